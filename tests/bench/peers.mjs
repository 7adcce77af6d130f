// The edge beside what a team would build instead: the same page, nginx and lua, or Node with Fastify and
// ioredis, alone and behind nginx. The same token check, one HMGET, the same escaping, a new attempt, the same headers.
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { get, waitFor } from '../harness/index.mjs';
import { CONNECTIONS, durableSubmits, EDGE_CPU, freePort, LOAD_CPU, openedPage, startEdge, thousands } from './edge.mjs';
import { alternate, cpuSeconds, pin, ratio, start, startNginx, table, wrk } from './measure.mjs';

const HERE = path.join(import.meta.dirname, 'peers');
const MODULES = '/usr/lib/nginx/modules';
const WARM_SECONDS = 2;
const SECONDS = 2;
const IDLE_CONNECTIONS = 2_000;

// The page taken apart: constant text, the values that Redis keeps of the link, the token and the attempt.
async function takeApart(edge, { link, page, form }) {
  const redis = await edge.stack.redis();
  const shard = (Number.parseInt(link.id.slice(0, 2), 16) % 16).toString(16).padStart(2, '0');
  const record = await redis.hash(`paylink:{${shard}}:link:${link.id}`);
  const escaped = (value) => value.replace(/[&<>"']/g, (char) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' })[char]);
  const fields = Object.keys(record).filter((name) => /^[\x20-\x7e]+$/.test(record[name]));
  // The longest first: an amount in words may hold the amount in digits.
  const shown = fields.filter((name) => record[name].length > 3).sort((a, b) => record[b].length - record[a].length);
  const found = { [link.token]: { token: true }, [form.fields.attempt]: { attempt: true } };
  for (const name of shown) found[escaped(record[name])] ??= { field: fields.indexOf(name) + 1 };
  const quoted = Object.keys(found).map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const parts = page.text.split(new RegExp(`(${quoted.join('|')})`)).map((text) => found[text] ?? text);
  await redis.do('HSET', `paylink:{${shard}}:bench:${link.id}`, ...fields.flatMap((name) => [name, record[name]]));
  const [kid, key] = fs.readFileSync(edge.stack.info.key_file, 'utf8').trim().split(/\s+/);
  const headers = Object.fromEntries(Object.entries(page.headers).filter(([name]) => !['server', 'date', 'connection', 'content-length'].includes(name)));
  return {
    redis: edge.stack.info.redis_socket, kid: Number(kid), key, fields, parts, headers, version: fields.indexOf('version') + 1,
    values: parts.filter((part) => typeof part !== 'string').length,
  };
}

// -> { lua, node, proxied: { url, pids } }, stopped by stop().
async function startPeers(edge, peer) {
  const dir = path.join(edge.stack.dir, 'peers');
  fs.mkdirSync(dir);
  const file = path.join(dir, 'peer.json');
  fs.writeFileSync(file, JSON.stringify(peer), { mode: 0o600 });
  const [luaPort, nodePort, proxyPort] = [await freePort(), await freePort(), await freePort()];
  const lua = await startNginx(path.join(dir, 'lua'), `env PEER_FILE;
load_module ${MODULES}/ndk_http_module.so; load_module ${MODULES}/ngx_http_lua_module.so;`, `
lua_package_path "${HERE}/?.lua;;";
init_by_lua_block { peer = require 'page' }
server { listen 127.0.0.1:${luaPort};
  location ~ ^/p/[^/]+$ { content_by_lua_block { peer.page() } }
  location ~ ^/p/[^/]+/pay$ { content_by_lua_block { peer.pay() } } }`, { PEER_FILE: file });
  const node = start(process.execPath, [path.join(HERE, 'server.mjs')], { PEER_FILE: file, PEER_PORT: String(nodePort), NODE_ENV: 'production' }, path.join(dir, 'node.log'));
  pin(node.pid, EDGE_CPU);
  pin(lua.pid, EDGE_CPU);
  const proxy = await startNginx(path.join(dir, 'proxy'), '', `
upstream node { server 127.0.0.1:${nodePort}; keepalive 64; }
server { listen 127.0.0.1:${proxyPort};
  location / { proxy_pass http://node; proxy_http_version 1.1; proxy_set_header Connection ""; } }`, {});
  pin(proxy.pid, EDGE_CPU);
  const url = (port) => `http://127.0.0.1:${port}`;
  await waitFor(async () => (await get(`${url(nodePort)}/none`)).status === 404, { what: 'Node' });
  return {
    lua: { url: url(luaPort), pids: [lua.pid] },
    node: { url: url(nodePort), pids: [node.pid] },
    proxied: { url: url(proxyPort), pids: [proxy.pid, node.pid] },
    async stop() {
      const children = [lua.child, node, proxy.child];
      const ended = children.map((child) => new Promise((resolve) => child.once('exit', resolve)));
      for (const child of children) child.kill('SIGTERM');
      await Promise.all(ended);
    },
  };
}

// What a payer would see must be the same, but for the attempt.
async function checkSame(side, { page, form, link }) {
  const theirs = await get(`${side.url}/p/${link.token}`);
  const attempt = /name="attempt" value="([^"]+)"/.exec(theirs.text)?.[1];
  if (theirs.text.replace(attempt, '') !== page.text.replace(form.fields.attempt, '')) throw new Error(`${side.url} has another page`);
  for (const name of Object.keys(page.headers).filter((header) => /policy|security|robots|cache/.test(header))) {
    if (theirs.headers[name] !== page.headers[name]) throw new Error(`${side.url} has no ${name}`);
  }
}

const cpuOf = (pids) => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);

async function measured(edge, side, run) {
  const before = [cpuOf(side.pids), cpuSeconds(edge.redis)];
  const round = await run();
  if (round.failures) throw new Error(`${side.url}: ${round.failures} of ${round.requests} requests failed`);
  return {
    ...round,
    edgeUs: (cpuOf(side.pids) - before[0]) * 1e6 / round.requests, redisUs: (cpuSeconds(edge.redis) - before[1]) * 1e6 / round.requests,
  };
}

const view = (edge, side, { link }) => measured(edge, side, () =>
  wrk(`${side.url}/p/${link.token}`, { connections: CONNECTIONS, seconds: SECONDS, cpu: LOAD_CPU }));

const residentKb = (pids) => pids.reduce((sum, pid) => sum + Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]), 0);

// Memory that an idle keep-alive connection costs after one request, bytes.
async function idleBytes(side) {
  const { hostname, port } = new URL(side.url);
  const open = () => new Promise((resolve, reject) => {
    const socket = net.connect(Number(port), hostname, () => socket.write('GET /p/none HTTP/1.1\r\nHost: bench\r\n\r\n'));
    socket.once('data', () => resolve(socket));
    socket.once('error', reject);
  });
  const batch = async (count) => {
    const sockets = [];
    while (sockets.length < count) sockets.push(...await Promise.all(Array.from({ length: 100 }, open)));
    return sockets;
  };
  const warm = await batch(200); // what is taken once, whatever the number
  const before = residentKb(side.pids);
  const sockets = await batch(IDLE_CONNECTIONS);
  const bytes = (residentKb(side.pids) - before) * 1024 / IDLE_CONNECTIONS;
  for (const socket of [...warm, ...sockets]) socket.destroy();
  return Math.max(0, Math.round(bytes));
}

const NAMES = { ours: 'Paylink', lua: 'nginx + lua', node: 'Node + Fastify + ioredis', proxied: 'nginx → Node' };

// What Redis waits for before it answers a submit: the median of some syncs of a log of that disk, µs.
function syncUs({ stack }) {
  const file = path.join(stack.dir, 'sync');
  const fd = fs.openSync(file, 'w');
  const took = Array.from({ length: 200 }, () => {
    fs.writeSync(fd, Buffer.alloc(20_000, 'x'));
    const begin = process.hrtime.bigint();
    fs.fdatasyncSync(fd);
    return Number(process.hrtime.bigint() - begin) / 1000;
  }).sort((a, b) => a - b);
  fs.closeSync(fd);
  fs.rmSync(file);
  return took[took.length / 2];
}

function report(edge, views, submits, idle, values) {
  const ours = views.ours;
  const row = (name) => [
    NAMES[name], thousands(views[name].perSecond), views[name].p50Ms.toFixed(2), views[name].p99Ms.toFixed(2), views[name].edgeUs.toFixed(1),
    views[name].redisUs.toFixed(1), `${ratio(ours, views[name], 'perSecond')} ×`, thousands(submits[name].perSecond),
    `${ratio(submits.ours, submits[name], 'perSecond')} ×`, submits[name].edgeUs.toFixed(1), submits[name].redisUs.toFixed(1), thousands(idle[name]),
  ];
  const goal = (name, what, text) => [`${what}, Paylink / ${NAMES[name]}, req/s`, `${ratio((what === 'page' ? views : submits).ours, (what === 'page' ? views : submits)[name], 'perSecond')} ×`, text];
  return [
    `## The edge beside what a team would build instead: the same page, ${values} values in it\n`,
    table(['what', 'page req/s', 'p50 ms', 'p99 ms', 'CPU µs', 'Redis µs', 'Paylink is', 'submit req/s', 'Paylink is', 'CPU µs', 'Redis µs', 'bytes per idle connection'],
      Object.keys(NAMES).map(row)),
    '',
    table(['ratio', 'measured', 'goal'], [
      goal('lua', 'page', '≥ 3 ×'), goal('proxied', 'page', '≥ 4 ×'), goal('lua', 'submit', '≥ 2.5 ×'), goal('proxied', 'submit', '≥ 3.5 ×'),
      ['submit, nginx + lua / Paylink, CPU of the edge', `${ratio(submits.lua, submits.ours, 'edgeUs')} ×`, ''],
      ['submit, nginx → Node / Paylink, CPU of the edge', `${ratio(submits.proxied, submits.ours, 'edgeUs')} ×`, ''],
    ]),
    `\nAn fdatasync of 20 KB takes ${Math.round(syncUs(edge))} µs here. Redis answers 64 submits after one, whoever sent them: it, and the function in Redis that is the`,
    'same for all, decide how many submits there are in a second. What is left to the edge is its CPU time.',
  ].join('\n');
}

export async function peersBench({ rounds, note }) {
  const edge = await startEdge();
  let peers;
  try {
    const scene = await openedPage(edge);
    const peer = await takeApart(edge, scene);
    peers = await startPeers(edge, peer);
    const sides = { ours: { url: edge.stack.url, pids: [edge.nginx] }, lua: peers.lua, node: peers.node, proxied: peers.proxied };
    for (const name of ['lua', 'node', 'proxied']) await checkSame(sides[name], scene);
    note('peers: warming up');
    for (const side of Object.values(sides)) await wrk(`${side.url}/p/${scene.link.token}`, { connections: CONNECTIONS, seconds: WARM_SECONDS, cpu: LOAD_CPU });
    const each = (act) => Object.fromEntries(Object.entries(sides).map(([name, side]) => [name, () => act(side)]));
    note('peers: pages');
    const views = await alternate(rounds, each((side) => view(edge, side, scene)));
    note('peers: submits');
    const submits = await alternate(rounds, each((side) => durableSubmits(edge, scene, side.url, (run) => measured(edge, side, run))));
    note('peers: idle connections');
    const idle = {};
    for (const [name, side] of Object.entries(sides)) idle[name] = await idleBytes(side);
    return report(edge, views, submits, idle, peer.values);
  } finally {
    await peers?.stop();
    await edge.stack.stop();
  }
}
