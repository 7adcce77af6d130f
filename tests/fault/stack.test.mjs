// The stack tool: what a user sees who starts twice, has a port in use, kills a part, or runs out of luck.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ROOT, run, startStack, waitFor } from '../harness/index.mjs';

const TOOL = path.join(ROOT, 'config/stack/stack');
const tool = (...args) => run(TOOL, args);
const processesIn = (dir) => fs.readdirSync('/proc').filter((pid) => /^\d+$/.test(pid)).filter((pid) => {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(dir);
  } catch {
    return false;
  }
});

function holdPort() {
  const server = net.createServer();
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve({ port: server.address().port, close: () => server.close() })));
}

describe('a whole stack', () => {
  let stack;
  before(async () => { stack = await startStack(); });
  after(() => stack?.stop());

  test('stack.json has what an outside client needs, and only its owner reads it', async () => {
    const file = path.join(stack.dir, 'stack.json');
    assert.equal(fs.statSync(file).mode & 0o777, 0o600);
    for (const key of ['base_url', 'sandbox_url', 'redis_socket', 'pg_conninfo', 'config', 'key_file', 'log_dir']) {
      assert.equal(typeof stack.info[key], 'string', key);
    }
    assert.deepEqual(Object.keys(stack.info.pids).sort(), ['nginx', 'postgres', 'redis', 'sandbox', 'worker']);
    for (const url of [stack.info.base_url, stack.info.sandbox_url]) assert.match(url, /^http:\/\/127\.0\.0\.1:\d+$/);
    for (const name of fs.readdirSync(path.join(stack.dir, 'secrets'))) {
      assert.equal(fs.statSync(path.join(stack.dir, 'secrets', name)).mode & 0o777, 0o600, name);
    }
    assert.equal((await stack.page('/healthz')).status, 200);
    const redisCli = await run('redis-cli', ['-s', stack.info.redis_socket, 'INFO', 'commandstats']);
    assert.match(redisCli.stdout, /cmdstat_/);
    assert.equal((await run('psql', ['-XAtc', 'SELECT current_user', stack.info.pg_conninfo])).stdout, 'paylink\n');
  });

  test('listens on loopback and unix sockets only', async () => {
    const { stdout } = await run('ss', ['-Hlntp']);
    const pids = new Set(Object.values(stack.info.pids).map(String));
    const ours = stdout.split('\n').filter((line) => [...line.matchAll(/pid=(\d+)/g)].some(([, pid]) => pids.has(pid)));
    assert.equal(ours.length, 2, stdout);
    for (const line of ours) assert.match(line, /\s127\.0\.0\.1:\d+\s/);
  });

  test('started twice: says that it runs and where, and changes nothing', async () => {
    const again = await tool('up', '--dir', stack.dir);
    assert.equal(again.status, 0);
    assert.match(again.stdout, /already running/);
    assert.ok(again.stdout.includes(stack.info.base_url));
    const other = await tool('up', '--dir', stack.dir, '--port', '0');
    assert.equal(other.status, 1);
    assert.match(other.stderr, /down first/);
    assert.deepEqual(JSON.parse(fs.readFileSync(path.join(stack.dir, 'stack.json'))).pids, stack.info.pids);
    assert.equal((await stack.page('/healthz')).status, 200);
  });

  test('half-dead: status names the dead part, up starts everything anew with the data', async () => {
    const { invoice } = await stack.scene({ link: false });
    await stack.kill('redis');
    const status = await tool('status', '--dir', stack.dir);
    assert.equal(status.status, 1);
    assert.match(status.stdout, /redis +dead/);
    const old = stack.info;
    const up = await tool('up', '--dir', stack.dir, '--build', old.build, '--port', '0', '--sandbox-port', '0', '--fast');
    assert.equal(up.status, 0, up.stderr);
    assert.match(up.stderr, /half-dead \(redis: dead/);
    stack.attach();
    assert.equal(stack.url, old.base_url, 'the port is remembered');
    for (const pid of Object.values(old.pids)) assert.ok(!Object.values(stack.info.pids).includes(pid));
    assert.equal((await stack.cli('invoice', 'show', '--invoice', invoice.id)).number, invoice.number);
  });

  for (const name of ['nginx', 'postgres']) test(`children of a killed ${name} are waited for or ended`, async () => {
    await stack.kill(name);
    const up = await tool('up', '--dir', stack.dir, '--build', stack.info.build, '--port', '0', '--sandbox-port', '0', '--fast');
    assert.equal(up.status, 0, up.stderr);
    stack.attach();
    assert.equal((await stack.page('/healthz')).status, 200);
  });

  test('single services stop and start again', async () => {
    for (const name of ['worker', 'postgres', 'redis', 'sandbox', 'nginx']) {
      const pid = stack.info.pids[name];
      await stack.stopService(name);
      assert.equal(stack.info.pids[name], undefined);
      await stack.startService(name);
      assert.notEqual(stack.info.pids[name], pid);
    }
    assert.equal((await tool('status', '--dir', stack.dir)).status, 0);
  });
});

describe('a start that cannot work', () => {
  let parent, dir;
  before(() => {
    parent = fs.mkdtempSync(path.join(os.tmpdir(), 'paylink-test-'));
    fs.chmodSync(parent, 0o711);
    dir = path.join(parent, 'stack');
  });
  after(async () => {
    await tool('down', '--purge', '--dir', dir);
    fs.rmSync(parent, { recursive: true, force: true });
  });
  const build = process.env.PAYLINK_TEST_BUILD ?? path.join(ROOT, 'build/asan');
  const sockets = () => fs.readdirSync('/tmp').filter((name) => /^paylink\.[A-Za-z0-9]{6}$/.test(name))
    .filter((name) => fs.statSync(path.join('/tmp', name)).uid === process.getuid());

  test('a port that is in use is named, with who has it', async () => {
    const held = await holdPort();
    const up = await tool('up', '--dir', dir, '--build', build, '--port', String(held.port));
    held.close();
    assert.equal(up.status, 1);
    assert.match(up.stderr, new RegExp(`port ${held.port} is in use by .*pid ${process.pid}`));
    assert.deepEqual(processesIn(dir), []);
  });

  test('without binaries it says what to run', async () => {
    const up = await tool('up', '--dir', dir, '--build', path.join(parent, 'none'));
    assert.equal(up.status, 1);
    assert.match(up.stderr, /paylink is missing; run make/);
  });

  test('a part that does not start: the reason, its log, and nothing is left running', async () => {
    const up = await tool('up', '--dir', dir, '--build', build, '--port', '0', '--sandbox-port', '0', '--fast', '--nginx', 'no_such_directive on;');
    assert.equal(up.status, 1);
    assert.match(up.stderr, /nginx stopped right after its start/);
    assert.match(up.stderr, /unknown directive "no_such_directive"/);
    assert.match(up.stderr, /everything that had been started is stopped/);
    assert.deepEqual(processesIn(dir), []);
    assert.ok(!fs.existsSync(path.join(dir, 'stack.json')));
    const fixed = await tool('up', '--dir', dir, '--build', build, '--port', '0', '--sandbox-port', '0', '--fast');
    assert.equal(fixed.status, 0, fixed.stderr);
    assert.equal((await tool('down', '--dir', dir)).status, 0);
  });

  test('a wrong worker setting names file and line', async () => {
    const up = await tool('up', '--dir', dir, '--build', build, '--port', '0', '--sandbox-port', '0', '--fast', '--set', 'worker.batch_max=0');
    assert.equal(up.status, 1);
    assert.match(up.stderr, /paylink\.ini/);
    assert.match(up.stderr, /batch_max/);
    assert.deepEqual(processesIn(dir), []);
  });

  test('down is done twice without complaint, and purge leaves nothing', async () => {
    assert.equal((await tool('up', '--services', 'postgres,redis', '--fast', '--dir', dir)).status, 0);
    const mine = sockets();
    for (let i = 0; i < 2; i++) assert.equal((await tool('down', '--dir', dir)).status, 0);
    assert.deepEqual(processesIn(dir), []);
    assert.ok(fs.existsSync(path.join(dir, 'pg/base')), 'data are kept');
    assert.equal((await tool('down', '--purge', '--dir', dir)).status, 0);
    assert.ok(!fs.existsSync(dir));
    assert.equal((await tool('down', '--dir', dir)).status, 0);
    assert.ok(sockets().length < mine.length || !mine.length);
  });

  test('a folder with other things in it is left alone', async () => {
    const other = path.join(parent, 'other');
    fs.mkdirSync(other);
    fs.writeFileSync(path.join(other, 'mine'), '');
    const up = await tool('up', '--services', 'redis', '--dir', other);
    assert.equal(up.status, 1);
    assert.match(up.stderr, /has other things in it/);
    await tool('down', '--purge', '--dir', other);
    assert.deepEqual(fs.readdirSync(other).filter((name) => name !== '.lock'), ['mine']);
  });

  test('an interrupted start leaves nothing running', async () => {
    const { spawn } = await import('node:child_process');
    const child = spawn(TOOL, ['up', '--dir', dir, '--services', 'postgres,redis', '--fast'], { stdio: 'ignore' });
    await waitFor(() => fs.existsSync(path.join(dir, 'pids/postgres')) || child.exitCode !== null, { what: 'PostgreSQL' });
    child.kill('SIGINT');
    await waitFor(() => child.exitCode !== null || child.signalCode !== null, { what: 'the end of the start' });
    await waitFor(() => processesIn(dir).length === 0, { what: 'the end of its processes' });
  });

  test('wrong words on the command line are explained', async () => {
    for (const [args, text] of [
      [['jump'], /no command 'jump'/], [['up', '--port'], /needs a value/], [['up', '--port', '99999'], /up to 64999/],
      [['up', '--open', 'maybe'], /human or view/], [['up', '--frob'], /no option --frob/], [['stop', 'everything', '--dir', dir], /needs a service/],
    ]) {
      const result = await tool(...args);
      assert.equal(result.status, 2, args.join(' '));
      assert.match(result.stderr, text);
    }
  });
});

describe('the time shim', () => {
  test('moves PostgreSQL and Redis together, and back', async () => {
    const stack = await startStack({ services: ['postgres', 'redis'], shim: true });
    try {
      const redis = await stack.redis();
      const clocks = async () => [
        (await stack.sql('SELECT extract(epoch FROM clock_timestamp())::float8 AS s'))[0].s,
        Number((await redis.do('TIME'))[0]),
      ];
      for (const days of [1, -3, 0]) {
        stack.setTime(days * 86_400_000);
        for (const seconds of await clocks()) {
          assert.ok(Math.abs(seconds - (Date.now() / 1000 + days * 86_400)) < 5, `${days} days: ${seconds}`);
        }
      }
    } finally {
      await stack.stop();
    }
  });
});
