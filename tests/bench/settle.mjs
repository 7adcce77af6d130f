// Settling under load: the whole path from the stream to the acknowledgement, and booking alone, beside
// pgbench's tpcb-like on the same cluster, in turns.
import { createHmac, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { startStack, waitFor } from '../harness/index.mjs';
import { alternate, cpuSeconds, familySeconds, percentile, ratio, run, table } from './measure.mjs';

const WORKERS = [1, 2, 4];
const ROUND_PAYMENTS = 2_000;
const BOOK_BATCHES = 16;
const BATCH = 100;
const PGBENCH_SECONDS = 3;
const LATENCY_PAYMENTS = 300;
const BACKLOG = 200_000;
const BACKLOG_LINKS = 2_000;
const PIPELINE = 500;
const LINKS_STEP = 100;

const HERE = import.meta.dirname;
const SHARDS = Array.from({ length: 16 }, (_, i) => `{${i.toString(16).padStart(2, '0')}}`);
const shard = (hex) => SHARDS[parseInt(hex.slice(0, 2), 16) % 16];

// For what may take longer than a test would allow.
const psql = (bench, ...statements) =>
  run('psql', ['-qXAt', '-v', 'ON_ERROR_STOP=1', bench.stack.superuser, ...statements.flatMap((statement) => ['-c', statement])]);

async function pgbench(bench, database, args) {
  const host = /host=(\S+)/.exec(bench.stack.info.pg_conninfo)[1];
  const out = await run('pgbench', [...args, '-h', host, '-U', 'postgres', database]);
  const failed = /number of failed transactions: (\d+)/.exec(out);
  if (failed && failed[1] !== '0') throw new Error(out);
  return { perSecond: Number(/tps = ([\d.]+) \(without/.exec(out)[1]) };
}

const tpcb = (bench, clients) => pgbench(bench, 'tpcb', ['-b', 'tpcb-like', '-c', clients, '-j', Math.min(clients, 2), '-T', PGBENCH_SECONDS].map(String));

async function start() {
  const stack = await startStack({
    build: 'build', durable: true, worker: false, maxmemory: '2gb',
    pg: { shared_buffers: '256MB', max_wal_size: '8GB' },
  });
  const { merchant, customer } = await stack.scene({ link: false });
  const bench = { stack, merchant, customer, redis: await stack.redis(), made: 0, used: 0, workers: 0 };
  await stack.sqlRun(fs.readFileSync(path.join(HERE, 'settle.sql'), 'utf8'));
  await stack.sqlRun('CREATE DATABASE tpcb');
  await pgbench(bench, 'tpcb', ['-i', '-q', '-s', '10']).catch(() => {}); // prints no tps
  return bench;
}

// Workers under new names, running and reading; -> what spawnWorker() gives.
async function startWorkers(bench, count) {
  const names = Array.from({ length: count }, () => `bench-${++bench.workers}`);
  const workers = [];
  for (const name of names) workers.push(await bench.stack.spawnWorker(name));
  for (const name of names) {
    await waitFor(async () => {
      const consumers = await bench.redis.do('XINFO', 'CONSUMERS', `paylink:${SHARDS[15]}:submit`, 'worker');
      return consumers.some((consumer) => consumer[1] === name);
    }, { what: `the reading of ${name}` });
  }
  return workers;
}

const sum = (numbers) => numbers.reduce((total, n) => total + n, 0);
const waiting = async (bench, kind) => sum(await Promise.all(SHARDS.map((at) => bench.redis.do('XLEN', `paylink:${at}:${kind}`))));

async function drained(bench, kind = 'submit') {
  await waitFor(async () => await waiting(bench, kind) === 0, { timeout: 120_000, interval: 5, what: `the end of stream ${kind}` });
  await waitFor(async () => await bench.stack.sqlRun('SELECT count(*) FROM paylink.outbox') === '0',
    { timeout: 120_000, interval: 5, what: 'the end of the outbox' });
}

async function pipelined(count, send) {
  for (let from = 0; from < count; from += PIPELINE) {
    await Promise.all(Array.from({ length: Math.min(PIPELINE, count - from) }, (_, i) => send(from + i)));
  }
}

// Links with their invoices; published, and opened as a payer does.
async function prepare(bench, count) {
  const { merchant, customer, stack } = bench;
  const kid = Number(fs.readFileSync(stack.info.key_file, 'utf8').split(' ')[0]);
  const make = (tag, n) =>
    psql(bench, `CALL bench.links_make('${merchant.id}', '${customer.id}', '${tag}', ${kid}, ${n})`);
  // Statistics of a young table would make the checks of foreign keys read all of it, link by link.
  const half = Math.ceil(count / 2 / LINKS_STEP) * LINKS_STEP;
  await Promise.all([make('A', half), make('B', half)]);
  await psql(bench, 'ANALYZE');
  const [worker] = await startWorkers(bench, 1);
  await drained(bench);
  bench.links = (await stack.sqlRun(`SELECT replace(link::text, '-', '') FROM bench.link ORDER BY n`)).split('\n');
  await pipelined(bench.links.length, (i) => {
    const at = `paylink:${shard(bench.links[i])}`;
    return bench.redis.do('FCALL', 'paylink_open', 2, `${at}:link:${bench.links[i]}`, `${at}:open`, bench.links[i], 'human');
  });
  await drained(bench, 'open');
  await worker.stop();
}

function take(bench, count) {
  bench.used += count;
  if (bench.used > bench.links.length) throw new Error('there are too few links');
  return bench.links.slice(bench.used - count, bench.used);
}

function attemptId() {
  const id = randomBytes(16);
  id.writeUIntBE(Date.now(), 0, 6);
  id[6] = 0x70 | (id[6] & 0x0f);
  id[8] = 0x80 | (id[8] & 0x3f);
  return id.toString('hex');
}

// What the edge does with a submit that it has checked.
async function submit(bench, link) {
  const at = `paylink:${shard(link)}`;
  const attempt = attemptId();
  const [status] = await bench.redis.do('FCALL', 'paylink_submit', 5, `${at}:link:${link}`, `${at}:attempt:${attempt}`,
    `${at}:guard:${link}`, `${at}:submit`, `${at}:open`, link, attempt, '1', '12500', 'pm_card_visa', '', 0, 0, '', '');
  if (status !== 'accepted') throw new Error(`a submit was ${status}`);
}

const memoryMb = (pid) => Number(/VmHWM:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;

async function booked(bench) {
  return Number(await bench.stack.sqlRun('SELECT count(*) FROM paylink.payment'));
}

// The workers stand still until all is submitted.
async function settleRound(bench, count) {
  const { pids } = bench.stack.info;
  const links = take(bench, ROUND_PAYMENTS);
  const before = await booked(bench);
  const workers = await startWorkers(bench, count);
  for (const worker of workers) worker.kill('SIGSTOP');
  await pipelined(links.length, (i) => submit(bench, links[i]));
  const spent = () => [sum(workers.map(({ pid }) => cpuSeconds(pid))), cpuSeconds(pids.sandbox), cpuSeconds(pids.redis), familySeconds(pids.postgres)];
  const from = spent();
  const begin = performance.now();
  for (const worker of workers) worker.kill('SIGCONT');
  await drained(bench);
  const seconds = (performance.now() - begin) / 1000;
  const to = spent();
  const memory = Math.max(...workers.map(({ pid }) => memoryMb(pid)));
  await Promise.all(workers.map((worker) => worker.stop()));
  const done = await booked(bench) - before;
  if (done !== links.length) throw new Error(`${done} of ${links.length} payments were booked`);
  const micro = to.map((value, i) => (value - from[i]) * 1e6 / links.length);
  return { perSecond: done / seconds, memory, workerUs: micro[0], sandboxUs: micro[1], redisUs: micro[2], postgresUs: micro[3] };
}

function wholePath(bench, rounds) {
  const sides = { tpcb: () => tpcb(bench, 8) };
  for (const count of WORKERS) sides[`workers${count}`] = () => settleRound(bench, count);
  return alternate(rounds, sides);
}

// From the press of the button to the page with the receipt, one payer at a time.
async function latency(bench) {
  const [worker] = await startWorkers(bench, 1);
  const times = [];
  for (let i = 0; i < LATENCY_PAYMENTS; i++) {
    const payer = bench.stack.payer(linkUrl(bench, take(bench, 1)[0]));
    await payer.view();
    const begin = performance.now();
    const page = await payer.result(await payer.submit({ payment_method: 'pm_card_visa' }));
    if (page.state !== 'captured') throw new Error(`a payment was ${page.state}`);
    times.push(performance.now() - begin);
  }
  await drained(bench);
  await worker.stop();
  return { p50: percentile(times, 50), p99: percentile(times, 99) };
}

// As worker/core/token.h has it: kid, id, the first half of the HMAC over both.
function linkUrl(bench, hex) {
  const [kid, key] = fs.readFileSync(bench.stack.info.key_file, 'utf8').trim().split(' ');
  const named = Buffer.concat([Buffer.from([Number(kid)]), Buffer.from(hex, 'hex')]);
  const tag = createHmac('sha256', Buffer.from(key, 'hex')).update('paylink link v1').update(named).digest().subarray(0, 16);
  return `${bench.stack.url}/p/${Buffer.concat([named, tag]).toString('base64url')}`;
}

async function booking(bench, rounds) {
  const batches = rounds * 2 * BOOK_BATCHES;
  const from = bench.used + 1;
  take(bench, batches * BATCH);
  await psql(bench, `CALL bench.batches_make(${from}, ${from + batches * BATCH - 1})`);
  const book = async (clients) => {
    const args = ['-n', '-f', path.join(HERE, 'book.sql'), '-c', clients, '-j', Math.min(clients, 2), '-t', BOOK_BATCHES / clients];
    return { perSecond: (await pgbench(bench, 'paylink', args.map(String))).perSecond * BATCH };
  };
  const figures = await alternate(rounds, {
    tpcb1: () => tpcb(bench, 1), book1: () => book(1), tpcb8: () => tpcb(bench, 8), book8: () => book(8),
  });
  // Nobody is there to publish these.
  await bench.stack.sqlRun('DELETE FROM paylink.outbox');
  return figures;
}

// A worker is killed in the middle of a large backlog: how long until its successor books?
async function restart(bench) {
  const links = take(bench, BACKLOG_LINKS);
  const before = await booked(bench);
  await pipelined(BACKLOG, (i) => submit(bench, links[i % links.length]));
  const [first] = await startWorkers(bench, 1);
  await waitFor(async () => await booked(bench) > before, { what: 'the first booking' });
  await first.stop('SIGKILL');
  const begin = Date.now();
  const again = await bench.stack.spawnWorker(`bench-${bench.workers}`);
  const booking = async () => Number(await bench.stack.sqlRun(
    `SELECT count(*), coalesce(min(paylink.time_ms(created_at)), 0) FROM paylink.payment WHERE created_at > to_timestamp(${begin / 1000})`)
    .then((row) => row.split('|')[1]));
  const at = await waitFor(booking, { timeout: 60_000, what: 'the first booking after the crash' });
  const left = await waiting(bench, 'submit');
  const memory = memoryMb(again.pid);
  await again.stop('SIGKILL');
  return { ms: at - begin, left, memory };
}

const thousands = (value) => Math.round(value).toLocaleString('en-US');

function report(whole, late, book, again) {
  const worker = (count) => whole[`workers${count}`];
  const memory = Math.max(again.memory, ...WORKERS.flatMap((count) => worker(count).map((round) => round.memory)));
  return [
    '## Settling: PostgreSQL, Redis, sandbox gateway and workers share the machine\n',
    table(['whole path', 'payments/s', '/ tpcb-like, 8 clients', 'worker µs', 'sandbox µs', 'PostgreSQL µs', 'Redis µs'], [
      ['pgbench tpcb-like, 8 clients', thousands(whole.tpcb.perSecond), '1.00 ×', '', '', '', ''],
      ...WORKERS.map((count) => [`${count} worker${count > 1 ? 's' : ''}`, thousands(worker(count).perSecond), `${ratio(worker(count), whole.tpcb, 'perSecond')} ×`,
        ...['workerUs', 'sandboxUs', 'postgresUs', 'redisUs'].map((name) => thousands(worker(count)[name]))]),
    ]),
    '',
    table(['booking alone, batches of 100', 'per second', '/ tpcb-like'], [
      ['tpcb-like, 1 client', thousands(book.tpcb1.perSecond), '1.0 ×'],
      ['attempt_settle, 1 client', thousands(book.book1.perSecond), `${ratio(book.book1, book.tpcb1, 'perSecond')} ×`],
      ['tpcb-like, 8 clients', thousands(book.tpcb8.perSecond), '1.0 ×'],
      ['attempt_settle, 8 clients', thousands(book.book8.perSecond), `${ratio(book.book8, book.tpcb8, 'perSecond')} ×`],
    ]),
    '',
    table(['figure', 'measured', 'goal'], [
      ['whole path / tpcb-like, 8 clients, best', `${Math.max(...WORKERS.map((count) => ratio(worker(count), whole.tpcb, 'perSecond'))).toFixed(2)} ×`, '≥ 1.5 ×'],
      ['booking / tpcb-like, 1 client', `${ratio(book.book1, book.tpcb1, 'perSecond')} ×`, '≥ 10 ×'],
      ['booking / tpcb-like, 8 clients', `${ratio(book.book8, book.tpcb8, 'perSecond')} ×`, '≥ 10 ×'],
      ['submit → receipt on the page, idle, p50', `${late.p50.toFixed(1)} ms`, '≤ 15 ms'],
      ['submit → receipt on the page, idle, p99', `${late.p99.toFixed(1)} ms`, '≤ 50 ms'],
      ['memory of a worker, peak', `${memory.toFixed(1)} MB`, '≤ 64 MB'],
      [`start after a crash, ${thousands(again.left)} entries waiting: first booking`, `${(again.ms / 1000).toFixed(2)} s`, '≤ 5 s'],
    ]),
  ].join('\n');
}

export async function settleBench({ rounds, note }) {
  const bench = await start();
  try {
    note('settle: preparing invoices and links');
    await prepare(bench, rounds * (WORKERS.length * ROUND_PAYMENTS + 2 * BOOK_BATCHES * BATCH) + LATENCY_PAYMENTS + BACKLOG_LINKS);
    note('settle: the whole path');
    const whole = await wholePath(bench, rounds);
    note('settle: latency');
    const late = await latency(bench);
    note('settle: booking alone');
    const book = await booking(bench, rounds);
    note('settle: restart with a backlog');
    return report(whole, late, book, await restart(bench));
  } finally {
    await bench.stack.stop();
  }
}
