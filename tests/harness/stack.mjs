// A private stack for a test: started through config/stack/stack, attached to through stack.json as any
// outside client would, stopped by pid even when the test fails.
import { execFile, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, get, rawRequest } from './http.mjs';
import { Payer } from './payer.mjs';
import { Redis } from './redis.mjs';
import { Sandbox } from './sandbox.mjs';
import { waitFor } from './wait.mjs';

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const TOOL = path.join(ROOT, 'config/stack/stack');
const SHIM = path.join(ROOT, 'build/test/timeshim.so');

const running = new Set();

process.on('exit', () => {
  for (const stack of running) {
    stack.endWorkers();
    stack.keepLogs();
    spawnSync(TOOL, ['down', '--purge', '--dir', stack.dir], { stdio: 'ignore' });
    fs.rmSync(stack.parent, { recursive: true, force: true });
  }
});
for (const [signal, status] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]]) {
  process.on(signal, () => process.exit(status));
}

// Runs a program; -> { status, signal, stdout, stderr }, never rejects for a status.
export function run(file, args, { env = {}, input, timeout = 60_000, cwd = ROOT } = {}) {
  return new Promise((resolve) => {
    const child = execFile(file, args, { cwd, timeout, env: { ...process.env, ...env }, maxBuffer: 64 << 20 },
      (error, stdout, stderr) => resolve({
        status: error ? (typeof error.code === 'number' ? error.code : null) : 0,
        signal: error?.signal ?? null, stdout, stderr,
      }));
    if (input !== undefined) child.stdin.end(input);
  });
}

async function buildShim() {
  const source = path.join(ROOT, 'tests/harness/timeshim.c');
  if (fs.existsSync(SHIM) && fs.statSync(SHIM).mtimeMs > fs.statSync(source).mtimeMs) return;
  fs.mkdirSync(path.dirname(SHIM), { recursive: true });
  const fresh = `${SHIM}.${process.pid}`;
  const made = await run('gcc', ['-shared', '-fPIC', '-O2', '-Wall', '-Wextra', '-Werror', '-fvisibility=hidden', '-o', fresh, source]);
  if (made.status !== 0) throw new Error(`the time shim does not build:\n${made.stderr}`);
  fs.renameSync(fresh, SHIM);
}

// Options, all optional:
//   build       folder of the binaries (default: build/asan, or what PAYLINK_TEST_BUILD says)
//   open        'human' | 'view'          nginxWorkers  number
//   set         { 'section.key': value }  worker settings
//   nginx, nginxMain   arrays of configuration lines
//   workerEnv   { NAME: value }           pg   { name: value }
//   worker      false: without it         services  array: only these
//   migrate     true with services: ['postgres', …]
//   shim        true: setTime() works     durable   true: with every fsync
//   maxmemory   of Redis                  nginxLog  level
//   mail        true: written to DIR/mail
function upArguments(dir, options) {
  const args = ['up', '--dir', dir, '--port', '0', '--sandbox-port', '0'];
  args.push('--build', options.build ?? process.env.PAYLINK_TEST_BUILD ?? path.join(ROOT, 'build/asan'));
  if (options.open) args.push('--open', options.open);
  if (options.worker === false) args.push('--no-worker');
  if (options.services) args.push('--services', options.services.join(','));
  if (options.migrate) args.push('--migrate');
  if (options.mail) args.push('--mail');
  if (options.shim) args.push('--shim', SHIM);
  if (!options.durable) args.push('--fast');
  if (options.maxmemory) args.push('--maxmemory', options.maxmemory);
  if (options.nginxWorkers) args.push('--nginx-workers', String(options.nginxWorkers));
  if (options.nginxLog) args.push('--nginx-log', options.nginxLog);
  for (const [name, value] of Object.entries(options.set ?? {})) args.push('--set', `${name}=${value}`);
  for (const [name, value] of Object.entries(options.pg ?? {})) args.push('--pg', `${name}=${value}`);
  for (const [name, value] of Object.entries(options.workerEnv ?? {})) args.push('--worker-env', `${name}=${value}`);
  for (const line of options.nginx ?? []) args.push('--nginx', line);
  for (const line of options.nginxMain ?? []) args.push('--nginx-main', line);
  return args;
}

export async function startStack(options = {}) {
  if (options.shim) await buildShim();
  const parent = fs.mkdtempSync(path.join(os.tmpdir(), 'paylink-test-'));
  fs.chmodSync(parent, 0o711);
  const stack = new Stack(parent, options);
  running.add(stack);
  const up = await run(TOOL, upArguments(stack.dir, options), { timeout: 120_000 });
  if (up.status !== 0) {
    const logs = stack.keepLogs();
    throw new Error(`the stack did not start (logs in ${logs}):\n${up.stderr}${up.stdout}`);
  }
  stack.attach();
  return stack;
}

export class CliError extends Error {
  constructor(args, result) {
    let refusal = {};
    try {
      refusal = JSON.parse(result.stdout).error ?? {};
    } catch { /* not every failure is a refusal */ }
    super(`paylink ${args.join(' ')}: status ${result.status}\n${result.stdout}${result.stderr}`);
    Object.assign(this, { status: result.status, code: refusal.code, text: refusal.message, stderr: result.stderr });
  }
}

export class Stack {
  #clients = [];
  #workers = [];
  #count = 0;

  constructor(parent, options) {
    this.parent = parent;
    this.dir = path.join(parent, 'stack');
    this.options = options;
  }

  // Reads stack.json; also after a service was started again.
  attach() {
    this.info = JSON.parse(fs.readFileSync(path.join(this.dir, 'stack.json'), 'utf8'));
    this.url = this.info.base_url;
    this.sandbox = new Sandbox(this.info);
    return this.info;
  }

  // --- the operator ---------------------------------------------------------------------------

  cliRaw(...args) {
    return run(path.join(this.info.build, 'paylink'), ['--config', this.info.config, ...args], { env: this.environment('cli') });
  }

  // The parsed JSON answer; a CliError with status and code otherwise.
  async cli(...args) {
    const result = await this.cliRaw(...args.map(String), '--json');
    if (result.status !== 0) throw new CliError(args, result);
    return JSON.parse(result.stdout);
  }

  // What a program of this stack's build needs around it; `name` is that of its sanitizer report. nginx keeps
  // what it allocated until its end on purpose, so a name that starts with it is not asked about leaks.
  environment(name) {
    const state = Object.fromEntries(fs.readFileSync(path.join(this.dir, 'state'), 'utf8').trim().split('\n')
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
    const preload = [state.asan, state.shim].filter(Boolean).join(':');
    const report = path.join(this.info.log_dir, `sanitizer.${name}`);
    return {
      ...(preload && { LD_PRELOAD: preload }),
      ...(state.shim && { PAYLINK_TIME_FILE: state.time_file }),
      ...(state.asan && { ASAN_OPTIONS: `exitcode=86:detect_leaks=${name.startsWith('nginx') ? 0 : 1}:log_path=${report}`, UBSAN_OPTIONS: `print_stacktrace=1:log_path=${report}` }),
    };
  }

  // A merchant with a customer, invoices of these amounts and, unless link is false, a link for all of them.
  async scene({ currency = 'USD', amounts = [12_500], whenPaidElsewhere, link = true, lifetime } = {}) {
    const tag = `${process.pid}-${++this.#count}`;
    const merchant = await this.cli('merchant', 'create', '--name', `Harbour Tools ${tag}`, '--currency', currency,
      ...(whenPaidElsewhere ? ['--when-paid-elsewhere', whenPaidElsewhere] : []));
    const customer = await this.cli('customer', 'create', '--merchant', merchant.id, '--name', 'Ada Byron', '--email', `ada-${tag}@example.com`);
    const invoices = [];
    for (const [index, amount] of amounts.entries()) {
      invoices.push(await this.cli('invoice', 'create', '--merchant', merchant.id, '--customer', customer.id,
        '--number', `INV-${tag}-${index + 1}`, '--currency', currency, '--line', `Lathe service:1:${amount}`, '--due', '2030-12-31'));
    }
    const scene = { merchant, customer, invoices, invoice: invoices[0] };
    if (link) scene.link = await this.link(scene, { lifetime });
    return scene;
  }

  link({ merchant, invoices }, { lifetime } = {}) {
    return this.cli('link', 'create', '--merchant', merchant.id, ...invoices.flatMap(({ id }) => ['--invoice', id]),
      ...(lifetime ? ['--lifetime', lifetime] : []));
  }

  // --- the payer ------------------------------------------------------------------------------

  page(where, options) {
    return get(new URL(where, this.url).href, options);
  }

  raw(bytes, options) {
    return rawRequest(this.url, bytes, options);
  }

  // `language`: what the payer's browser asks for.
  payer(link, language) {
    return new Payer(this, link, language);
  }

  // --- what lies below ------------------------------------------------------------------------

  // A connection to Redis, closed with the stack. { user: 'edge' | 'worker' } for restricted ones.
  async redis({ user } = {}) {
    const password = user && fs.readFileSync(path.join(this.dir, 'secrets', `redis_${user}`), 'utf8').trim();
    const redis = await Redis.connect(this.info.redis_socket, { user, password });
    this.#clients.push(redis);
    return redis;
  }

  get superuser() {
    return this.info.pg_conninfo.replace('user=paylink', 'user=postgres');
  }

  // Rows of a query as objects (bigint as numbers); as the database's superuser unless `conninfo` is given.
  async sql(query, { conninfo = this.superuser } = {}) {
    const wrapped = `SELECT coalesce(json_agg(row_), '[]') FROM (${query}) AS row_`;
    return JSON.parse(await this.sqlRun(wrapped, { conninfo }));
  }

  // Statements that are no query; -> what psql prints.
  async sqlRun(statements, { conninfo = this.superuser } = {}) {
    const result = await run('psql', ['-qXAt', '-v', 'ON_ERROR_STOP=1', conninfo], { input: statements });
    if (result.status !== 0) throw new Error(`psql: ${result.stderr}`);
    return result.stdout.trim();
  }

  // --- faults ---------------------------------------------------------------------------------

  async #tool(...args) {
    const result = await run(TOOL, [...args, '--dir', this.dir]);
    if (result.status !== 0) throw new Error(`stack ${args.join(' ')}: ${result.stderr}${result.stdout}`);
    if (args[0] !== 'down') this.attach();
  }

  // name: postgres | redis | sandbox | worker | nginx. A worker starts with this environment alone.
  startService(name, { workerEnv = {} } = {}) {
    return this.#tool('start', name, ...Object.entries(workerEnv).flatMap(([key, value]) => ['--worker-env', `${key}=${value}`]));
  }
  stopService(name) { return this.#tool('stop', name); }

  signal(name, signal) {
    process.kill(this.info.pids[name], signal);
  }

  // kill -9, and waits until the process is gone.
  async kill(name) {
    const pid = this.info.pids[name];
    process.kill(pid, 'SIGKILL');
    await waitFor(() => processGone(pid), { what: `the end of ${name}` });
  }

  // Waits until a process has ended by itself (a failpoint).
  waitDead(name, options) {
    return waitFor(() => this.isDead(name), { what: `the end of ${name}`, ...options });
  }

  isDead(name) {
    return processGone(this.info.pids[name]);
  }

  // Moves the wall clock of everything but this test, milliseconds from now. Needs { shim: true }.
  setTime(offsetMs) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(Math.round(offsetMs)) * 1_000_000n);
    const fd = fs.openSync(this.info.time_file, 'r+');
    fs.writeSync(fd, bytes, 0, 8, 0);
    fs.closeSync(fd);
  }

  log(name) {
    const file = path.join(this.info.log_dir, `${name}.log`);
    return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
  }

  // One more worker under a name of its own; -> { pid, stop(signal) }. It ends with the stack at the latest.
  async spawnWorker(name, { env = {} } = {}) {
    const config = path.join(this.dir, `${name}.ini`);
    fs.writeFileSync(config, fs.readFileSync(this.info.config, 'utf8').replace(/^name = .*$/m, `name = ${name}`), { mode: 0o600 });
    const log = fs.openSync(path.join(this.info.log_dir, `${name}.log`), 'a');
    const child = spawn(path.join(this.info.build, 'paylink'), ['--config', config, 'worker'],
      { stdio: ['ignore', log, log], env: { ...process.env, ...this.environment(name), ...env } });
    fs.closeSync(log);
    const ended = new Promise((resolve) => child.on('exit', resolve));
    const worker = {
      pid: child.pid,
      ended,
      kill: (signal) => child.exitCode === null && child.signalCode === null && child.kill(signal),
      stop: async (signal = 'SIGTERM') => {
        worker.kill(signal);
        await ended;
      },
    };
    this.#workers.push(worker);
    return worker;
  }

  // Another nginx on the same Redis, its configuration that of the stack with `change` made to it; -> { url, stop() }.
  async edge(name, change = (text) => text) {
    const port = await freePort();
    const home = path.join(this.dir, 'nginx');
    const file = path.join(home, `${name}.conf`);
    fs.writeFileSync(file, change(fs.readFileSync(path.join(home, 'nginx.conf'), 'utf8'))
      .replaceAll(new URL(this.url).port, String(port)).replace(/nginx\.pid/, `${name}.pid`).replace(/nginx\.lock/, `${name}.lock`));
    const log = fs.openSync(path.join(this.info.log_dir, `nginx-${name}.log`), 'a');
    const globals = process.getuid() === 0 ? ['-g', 'user root;'] : [];
    const child = spawn('nginx', ['-p', home, '-e', 'stderr', '-c', file, ...globals],
      { stdio: ['ignore', log, log], env: { ...process.env, ...this.environment(`nginx-${name}`) } });
    fs.closeSync(log);
    const ended = new Promise((resolve) => child.on('exit', resolve));
    const edge = {
      url: `http://127.0.0.1:${port}`,
      kill: (signal) => child.exitCode === null && child.signalCode === null && child.kill(signal),
      stop: async () => {
        edge.kill('SIGTERM');
        await ended;
      },
    };
    this.#workers.push(edge);
    await waitFor(async () => (await this.page(`${edge.url}/readyz`)).status === 200, { what: `the edge ${name}` });
    return edge;
  }

  // Reports of ASan and UBSan so far, [] when clean.
  sanitizerReports() {
    return fs.readdirSync(path.join(this.dir, 'log')).filter((name) => name.startsWith('sanitizer.'))
      .map((name) => fs.readFileSync(path.join(this.dir, 'log', name), 'utf8'));
  }

  // For the end of this process, when nothing can be waited for.
  endWorkers() {
    for (const worker of this.#workers) worker.kill('SIGKILL');
  }

  // Copies the logs to build/test/logs/<test file>-<n>; -> that folder.
  keepLogs() {
    const test = path.basename(process.argv[1] ?? 'test').replace(/\.test\.mjs$/, '');
    const to = path.join(ROOT, 'build/test/logs', `${test}-${process.pid}-${[...running].indexOf(this) + 1}`);
    if (fs.existsSync(path.join(this.dir, 'log'))) fs.cpSync(path.join(this.dir, 'log'), to, { recursive: true });
    return to;
  }

  // Stops everything; fails if a sanitizer has found anything in the life of the stack.
  async stop() {
    if (!running.has(this)) return;
    for (const client of this.#clients) client.close();
    await Promise.all(this.#workers.map((worker) => worker.stop()));
    await this.#tool('down');
    const reports = this.sanitizerReports();
    const logs = this.keepLogs();
    running.delete(this);
    await this.#tool('down', '--purge');
    fs.rmSync(this.parent, { recursive: true, force: true });
    if (reports.length) throw new Error(`the sanitizers found something (logs in ${logs}):\n${reports.join('\n')}`);
  }
}

function processGone(pid) {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
    return /^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch {
    return true;
  }
}
