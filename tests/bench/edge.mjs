// The edge under load: the module beside what nginx itself does, in the same nginx, in turns.
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { get, parseForm, startStack, waitFor } from '../harness/index.mjs';
import { alternate, childrenOf, cpuSeconds, median, pin, ratio, table, wrk } from './measure.mjs';

const SECONDS = 2;
export const CONNECTIONS = 64;
export const EDGE_CPU = 0;
export const LOAD_CPU = 1;
const FLOOD = { connections: 200, rate: 10_000 };

export async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

// The stack's nginx with a second server in it, which does the least that nginx can do.
export async function startEdge({ cache = 'off' } = {}) {
  const port = await freePort();
  const stack = await startStack({
    build: 'build', durable: true, maxmemory: '1gb',
    nginx: [
      'access_log off;', `paylink_cache ${cache};`,
      `server { listen 127.0.0.1:${port}; access_log off; sendfile on; tcp_nopush on; default_type text/html;
        location = /page { root plain; } location = /none { return 404; } }`,
    ],
  });
  const plain = path.join(stack.dir, 'nginx/plain');
  fs.mkdirSync(plain);
  fs.chmodSync(plain, 0o755);
  const nginx = childrenOf(stack.info.pids.nginx);
  pin(nginx[0], EDGE_CPU);
  pin(stack.info.pids.redis, LOAD_CPU);
  return { stack, plain, plainUrl: `http://127.0.0.1:${port}`, nginx: nginx[0], redis: stack.info.pids.redis };
}

// An opened link, and the same page as a file.
export async function openedPage(edge) {
  const { link } = await edge.stack.scene();
  await waitFor(async () => (await get(link.url)).status === 200, { what: 'the page' });
  await edge.stack.payer(link).open();
  const page = await get(link.url);
  fs.writeFileSync(path.join(edge.plain, 'page'), page.body);
  fs.chmodSync(path.join(edge.plain, 'page'), 0o644);
  const same = await get(`${edge.plainUrl}/page`);
  if (!page.body.equals(same.body)) throw new Error('the file is not the page');
  // Nothing but the load may run now: what the worker does after a submit is the other bench's.
  await edge.stack.stopService('worker');
  return { link, page, form: parseForm(page.text) };
}

const forged = (url) => url.replace(/(\/p\/.{30})(.)/, (whole, head, one) => head + (one === 'A' ? 'B' : 'A'));

// A round of load with the CPU time that nginx and Redis spent on it.
async function measured(edge, run) {
  const before = [cpuSeconds(edge.nginx), cpuSeconds(edge.redis)];
  const round = await run();
  if (round.failures) throw new Error(`${round.failures} of ${round.requests} requests failed`);
  const micro = (pid, from) => (cpuSeconds(pid) - from) * 1e6 / round.requests;
  return { ...round, nginxUs: micro(edge.nginx, before[0]), redisUs: micro(edge.redis, before[1]) };
}

const load = (edge, url, options) =>
  measured(edge, () => wrk(url, { connections: CONNECTIONS, seconds: SECONDS, cpu: LOAD_CPU, ...options }));

async function pages(edge, { link }, rounds, known) {
  const redis = await edge.stack.redis();
  const commands = async () => Object.values(await redis.commandCounts()).reduce((sum, n) => sum + n, 0);
  let asked = 0;
  const sides = await alternate(rounds, {
    file: () => load(edge, `${edge.plainUrl}/page`),
    page: () => load(edge, link.url),
    cached: () => load(known.edge, known.scene.link.url),
    none: () => load(edge, `${edge.plainUrl}/none`, { anyStatus: true }),
    forged: async () => {
      const before = await commands();
      const round = await load(edge, forged(link.url), { anyStatus: true });
      asked += await commands() - before;
      return round;
    },
  });
  return { sides, asked };
}

const idle = (edge, { link }, rounds) => alternate(rounds, {
  file: () => load(edge, `${edge.plainUrl}/page`, { connections: 1, seconds: 1 }),
  page: () => load(edge, link.url, { connections: 1, seconds: 1 }),
});

// p99 of valid pages beside a flood of forged tokens, beside the same flood of plain 404s, and alone.
async function flooded(edge, { link }, rounds) {
  const env = { FLOOD_CONNECTIONS: FLOOD.connections, FLOOD_RATE: FLOOD.rate };
  const script = path.join(import.meta.dirname, 'flood.lua');
  const beside = (url) => async () => {
    const flood = url && wrk(url, {
      connections: FLOOD.connections, seconds: SECONDS + 1, cpu: LOAD_CPU, script, env, anyStatus: true,
    });
    const round = await load(edge, link.url, { connections: 8 });
    return { ...round, floodPerSecond: flood ? (await flood).perSecond : 0 };
  };
  return alternate(rounds, { alone: beside(null), none: beside(`${edge.plainUrl}/none`), forged: beside(forged(link.url)) });
}

// Collects forms from the page at `url`, then submits each once; measure(run) is what a round of load gives.
export async function durableSubmits(edge, { link, form }, url, measure) {
  const file = path.join(edge.stack.dir, 'forms');
  const ended = path.join(edge.stack.dir, 'forms.ended');
  const { attempt, ...rest } = { ...form.fields, payment_method: 'pm_card_visa' };
  const env = {
    FORMS_FILE: file, FORMS_ENDED: ended, FORM_REST: new URLSearchParams(rest).toString(), FORM_ORIGIN: new URL(link.url).origin,
  };
  const redis = await edge.stack.redis();
  const length = async () => {
    const lengths = await Promise.all(Array.from({ length: 16 }, (_, i) =>
      redis.do('XLEN', `paylink:{${i.toString(16).padStart(2, '0')}}:submit`)));
    return lengths.reduce((sum, n) => sum + n, 0);
  };
  const script = (name) => path.join(import.meta.dirname, name);
  await wrk(`${url}/p/${link.token}`, { connections: CONNECTIONS, seconds: 3, cpu: LOAD_CPU, script: script('forms.lua'), env });
  const before = await length();
  const result = await measure(() => wrk(`${url}/p/${link.token}/pay`, { connections: CONNECTIONS, seconds: 1, cpu: LOAD_CPU, script: script('submit.lua'), env }));
  const added = await length() - before;
  if (fs.existsSync(ended)) throw new Error('there were too few forms');
  if (added < result.requests) throw new Error(`${result.requests} submits were taken, ${added} are in the stream`);
  return result;
}

const submits = (edge, scene, rounds) => alternate(rounds, {
  submit: () => durableSubmits(edge, scene, edge.stack.url, (run) => measured(edge, run)),
});

const fixed = (value, digits = 2) => value.toFixed(digits);
export const thousands = (value) => Math.round(value).toLocaleString('en-US');

function report({ page }, { sides: { file, page: ours, cached, none, forged: fake }, asked }, quiet, flood, { submit }) {
  const row = (name, side) => [name, thousands(side.perSecond), fixed(side.p50Ms), fixed(side.p99Ms), fixed(side.nginxUs, 1), fixed(side.redisUs, 1)];
  return [
    `## Edge: one nginx worker, ${CONNECTIONS} keep-alive connections, a page of ${thousands(page.body.length)} bytes\n`,
    table(['what', 'req/s', 'p50 ms', 'p99 ms', 'nginx µs/req', 'Redis µs/req'], [
      row('the page as a static file', file), row('the page of an opened link', ours), row('… from the local cache', cached),
      row('nginx return 404', none), row('a forged token', fake), row('submit, durable', submit),
    ]),
    '',
    table(['ratio', 'measured', 'goal', 'stretch'], [
      ['page / static file, nginx CPU', `${ratio(ours, file, 'nginxUs')} ×`, '≤ 1.7 ×', '1.45 ×'],
      ['page / static file, req/s', `${ratio(ours, file, 'perSecond')} ×`, '≥ 0.45 ×', '0.53 ×'],
      ['page / static file, p99', `${ratio(ours, file, 'p99Ms')} ×`, '≤ 2.2 ×', '1.7 ×'],
      ['page / static file, p50, 1 connection', `${ratio(quiet.page, quiet.file, 'p50Ms')} ×`, '≤ 2.2 ×', ''],
      ['page from the local cache / static file, req/s', `${ratio(cached, file, 'perSecond')} ×`, '≥ 0.75 ×', '0.85 ×'],
      ['forged token / return 404, req/s', `${ratio(fake, none, 'perSecond')} ×`, '≥ 0.90 ×', ''],
      ['Redis commands for all forged tokens', String(asked), '0', ''],
      ['p99 of pages, flood of forged tokens / no flood', `${ratio(flood.forged, flood.alone, 'p99Ms')} ×`, '< 1.10 ×', ''],
      ['… / the same flood of return 404', `${ratio(flood.forged, flood.none, 'p99Ms')} ×`, '', ''],
    ]),
    '',
    `The flood: ${thousands(median(flood.forged.map((r) => r.floodPerSecond)))} forged tokens a second beside 8 connections that view pages.`,
  ].join('\n');
}

export async function edgeBench({ rounds, note }) {
  const edge = await startEdge();
  const cached = await startEdge({ cache: '8m' });
  try {
    const scene = await openedPage(edge);
    const known = { edge: cached, scene: await openedPage(cached) };
    const figures = [];
    for (const [name, part] of [['pages', pages], ['latency', idle], ['flood', flooded], ['submits', submits]]) {
      note(`edge: ${name}`);
      figures.push(await part(edge, scene, rounds, known));
    }
    return report(scene, ...figures);
  } finally {
    await cached.stack.stop();
    await edge.stack.stop();
  }
}
