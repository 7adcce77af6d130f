// paylink migrate: forward only, all or nothing, safe to repeat and to race. Every test has a database of its own.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { ROOT, run, startStack, waitFor } from '../harness/index.mjs';

let stack, binary, number = 0;
before(async () => {
  stack = await startStack({ services: ['postgres'] });
  binary = path.join(stack.info.build, 'paylink');
});
after(() => stack.stop());

// A fresh database and a copy of sql/ that the test may change.
async function fresh() {
  const name = `fresh_${++number}`;
  await stack.sqlRun(`CREATE DATABASE ${name} OWNER paylink`);
  const conninfo = stack.info.pg_conninfo.replace('dbname=paylink', `dbname=${name}`);
  const config = path.join(stack.parent, `${name}.ini`);
  fs.writeFileSync(config, fs.readFileSync(stack.info.config, 'utf8').replace(/^conninfo = .*$/m, `conninfo = ${conninfo}`));
  const dir = path.join(stack.parent, `${name}-sql`);
  fs.cpSync(path.join(ROOT, 'sql'), dir, { recursive: true });
  const superuser = conninfo.replace('user=paylink', 'user=postgres');
  return {
    config, dir, conninfo,
    file: (relative) => path.join(dir, relative),
    newest: () => fs.readdirSync(path.join(dir, 'migrations')).sort().at(-1),
    raw: (...args) => run(binary, ['--config', config, 'migrate', '--sql-dir', dir, ...args]),
    sql: (query) => stack.sql(query, { conninfo: superuser }),
  };
}

async function migrated(database) {
  const result = await database.raw('--json');
  assert.equal(result.status, 0, result.stderr);
  return JSON.parse(result.stdout);
}

async function refused(database, status, code) {
  const result = await database.raw('--json');
  assert.equal(result.status, status, `${result.stdout}${result.stderr}`);
  const { error } = JSON.parse(result.stdout);
  assert.equal(error.code, code, error.message);
  return error.message;
}

// Everything in the schema that a migration could have touched.
const fingerprint = (database) => database.sql(`
  SELECT c.relname AS name, c.xmin::text AS xmin FROM pg_class c WHERE c.relnamespace = 'paylink'::regnamespace
  UNION ALL SELECT p.proname, p.xmin::text FROM pg_proc p WHERE p.pronamespace = 'paylink'::regnamespace ORDER BY 1, 2`);

const next = (database, step) => String(Number(database.newest().slice(0, 4)) + step).padStart(4, '0');

test('the first run applies every file in order, the second none', async () => {
  const database = await fresh();
  const files = ['migrations', 'functions', 'views'].flatMap((folder) => fs.readdirSync(database.file(folder)).filter((name) => name.endsWith('.sql')).sort()
    .map((name) => `${folder}/${name}`));
  const first = await migrated(database);
  assert.deepEqual(first, { version: Number(database.newest().slice(0, 4)), applied: files, unchanged: 0 });
  const before = await fingerprint(database);
  const second = await migrated(database);
  assert.deepEqual(second, { version: first.version, applied: [], unchanged: files.length });
  assert.deepEqual((await fingerprint(database)).filter(({ name }) => !name.startsWith('migration_')), before.filter(({ name }) => !name.startsWith('migration_')));
  const text = (await database.raw()).stdout;
  assert.match(text, /^schema version +\d+$/m);
});

test('the sql folder beside the program is found without being named', async () => {
  const database = await fresh();
  const result = await run(binary, ['--config', database.config, 'migrate', '--json'], { cwd: '/' });
  assert.equal(result.status, 0, result.stderr);
  assert.ok(JSON.parse(result.stdout).applied.length > 10);
});

test('a function that changed is applied again, alone', async () => {
  const database = await fresh();
  await migrated(database);
  fs.appendFileSync(database.file('functions/base.sql'), "\nCOMMENT ON FUNCTION paylink.uuid7() IS 'changed';\n");
  assert.deepEqual((await migrated(database)).applied, ['functions/base.sql']);
  const [{ said }] = await database.sql("SELECT obj_description('paylink.uuid7()'::regprocedure) AS said");
  assert.equal(said, 'changed');
});

test('a migration that was edited after it had been applied is refused', async () => {
  const database = await fresh();
  await migrated(database);
  fs.appendFileSync(database.file('migrations/0001_ground.sql'), '-- harmless?\n');
  const message = await refused(database, 1, 'migration_changed');
  assert.match(message, /migrations\/0001_ground\.sql/);
});

test('a new migration is applied once, and functions and views are built anew upon it', async () => {
  const database = await fresh();
  const { version, applied } = await migrated(database);
  const file = `migrations/${next(database, 1)}_more.sql`;
  fs.writeFileSync(database.file(file), 'CREATE TABLE paylink.more (id integer);\nINSERT INTO paylink.more VALUES (1);\n');
  const again = await migrated(database);
  assert.equal(again.version, version + 1);
  assert.deepEqual(again.applied, [file, ...applied.filter((name) => !name.startsWith('migrations/'))]);
  await migrated(database);
  assert.deepEqual(await database.sql('SELECT * FROM paylink.more'), [{ id: 1 }]);
});

test('a migration that fails half-way leaves nothing behind, and the message says which and why', async () => {
  const database = await fresh();
  const { version } = await migrated(database);
  const before = await fingerprint(database);
  fs.writeFileSync(database.file(`migrations/${next(database, 1)}_good.sql`), 'CREATE TABLE paylink.good (id integer);');
  fs.writeFileSync(database.file(`migrations/${next(database, 1)}_bad.sql`), 'CREATE TABLE paylink.half (id integer); SELECT 1 / 0;');
  const message = await refused(database, 1, 'migration_failed');
  assert.match(message, /_bad\.sql: division by zero/);
  assert.match(message, /Nothing was changed/);
  const own = ({ name }) => !/^migration_(apply|check)$/.test(name);
  assert.deepEqual((await fingerprint(database)).filter(own), before.filter(own));
  assert.deepEqual(await database.sql('SELECT max(version) AS version FROM paylink.migration'), [{ version }]);
});

test('a migration cannot end its transaction on the sly', async () => {
  const database = await fresh();
  await migrated(database);
  fs.writeFileSync(database.file(`migrations/${next(database, 1)}_sly.sql`), 'CREATE TABLE paylink.sly (id integer); COMMIT;');
  await refused(database, 1, 'migration_failed');
  assert.deepEqual(await database.sql("SELECT to_regclass('paylink.sly') AS sly"), [{ sly: null }]);
});

test('numbers go forward only, and an older program refuses a newer schema', async () => {
  const database = await fresh();
  await migrated(database);
  const early = next(database, 1), late = next(database, 2);
  fs.writeFileSync(database.file(`migrations/${late}_late.sql`), 'SELECT 1;');
  await migrated(database);
  fs.writeFileSync(database.file(`migrations/${early}_early.sql`), 'SELECT 1;');
  assert.match(await refused(database, 1, 'migration_out_of_order'), new RegExp(`${early}_early\\.sql`));
  fs.rmSync(database.file(`migrations/${early}_early.sql`));
  fs.rmSync(database.file(`migrations/${late}_late.sql`));
  assert.match(await refused(database, 1, 'schema_newer'), new RegExp(`${late}_late\\.sql`));
});

test('files that are not what they should be: status 4', async () => {
  const database = await fresh();
  fs.writeFileSync(database.file('migrations/more.sql'), 'SELECT 1;');
  assert.match(await refused(database, 4, 'configuration'), /more\.sql/);
  fs.rmSync(database.file('migrations/more.sql'));
  fs.writeFileSync(database.file('functions/latin.sql'), Buffer.from("-- caf\xe9\n", 'latin1'));
  assert.match(await refused(database, 4, 'configuration'), /latin\.sql is not UTF-8/);
  fs.rmSync(database.file('functions'), { recursive: true });
  assert.match(await refused(database, 4, 'configuration'), /functions/);
});

test('four at once on an empty database: one does the work, all succeed', async () => {
  const database = await fresh();
  const reports = await Promise.all([1, 2, 3, 4].map(() => migrated(database)));
  assert.equal(reports.filter(({ applied }) => applied.length > 0).length, 1);
  assert.equal(new Set(reports.map(({ version }) => version)).size, 1);
});

test('a login that may not build the schema is told so', async () => {
  const database = await fresh();
  await stack.sqlRun("DO $$ BEGIN CREATE ROLE guest LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$");
  fs.writeFileSync(database.config, fs.readFileSync(database.config, 'utf8').replace('user=paylink', 'user=guest'));
  assert.match(await refused(database, 4, 'database_error'), /permission denied|must have admin option/);
});

test('while it waits for another one it is a process without core dumps', async () => {
  const database = await fresh();
  const holder = spawn('psql', ['-qXAt', database.conninfo], { stdio: ['pipe', 'pipe', 'inherit'] });
  holder.stdin.write("SELECT pg_advisory_lock(hashtextextended('paylink.migrate.run', 0)); SELECT 'held';\n");
  await new Promise((resolve) => holder.stdout.on('data', (text) => String(text).includes('held') && resolve()));
  const child = spawn(binary, ['--config', database.config, 'migrate', '--json'], { stdio: 'pipe' });
  const ended = new Promise((resolve) => child.on('exit', resolve));
  try {
    await waitFor(async () => (await database.sql("SELECT 1 FROM pg_stat_activity WHERE application_name = 'paylink migrate' AND wait_event = 'advisory'")).length > 0,
      { what: 'migrate to wait for the lock' });
    assert.match(fs.readFileSync(`/proc/${child.pid}/limits`, 'utf8'), /Max core file size +0 +0 /);
  } finally {
    holder.stdin.end();
  }
  assert.equal(await ended, 0);
});
