// The live page as its viewers hear it: every change of a link reaches the open screen, whatever happens to
// clients, nginx and Redis meanwhile.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { freePort, ROOT, startStack, tally, together, Viewer, waitFor } from '../harness/index.mjs';

const HEARTBEAT_MS = 1_500;

let stack;
let redis;
before(async () => {
  stack = await startStack({ nginx: [`paylink_live total=40 per_link=12 heartbeat=${HEARTBEAT_MS}ms;`] });
  redis = await stack.redis();
});
after(() => stack.stop());

const workers = (of = stack) => execFileSync('ps', ['-o', 'pid=', '--ppid', String(of.info.pids.nginx)]).toString().trim().split(/\s+/).map(Number);
const descriptors = (pid) => fs.readdirSync(`/proc/${pid}/fd`).length;

const shard = ({ id }) => `paylink:{${(Number.parseInt(id.slice(0, 2), 16) % 16).toString(16).padStart(2, '0')}}`;

async function published(scene) {
  await waitFor(async () => (await stack.page(scene.link.url)).status === 200, { what: 'the page' });
  return scene;
}

const scene = async (options) => published(await stack.scene(options));

async function view({ link }, options) {
  const viewer = await Viewer.open(`${link.url}/events`, options);
  assert.equal(viewer.status, 200);
  await waitFor(() => viewer.events.length || options?.lastEventId, { what: 'the first event' });
  return viewer;
}

test('a viewer gets what the link is now, then a heartbeat', async () => {
  const viewer = await view(await scene());
  assert.equal(viewer.headers['content-type'], 'text/event-stream; charset=utf-8');
  assert.equal(viewer.headers['cache-control'], 'no-store, private');
  assert.equal(viewer.headers['x-accel-buffering'], 'no');
  assert.ok(viewer.retry >= 1_000 && viewer.retry < 4_000);
  assert.deepEqual(viewer.last, { event: 'link', id: '1-active-0', state: 'active', version: 1, paying: false });
  await waitFor(() => viewer.comments >= 2, { what: 'two heartbeats' });
  assert.equal(viewer.events.length, 1);
  viewer.close();
});

for (const [what, change, expected] of [
  ['a credit', ({ customer }) => stack.cli('credit', 'record', '--customer', customer.id, '--amount-minor', '500'), { state: 'active', version: 2 }],
  ['a part paid in cash', ({ invoice }) => stack.cli('payment', 'record', '--invoice', invoice.id, '--method', 'cash', '--amount-minor', '100'), { state: 'active', version: 2 }],
  ['another line', ({ invoice }) => stack.cli('invoice', 'change', invoice.id, '--line', 'Oil:1:99'), { state: 'active', version: 2 }],
  ['all paid in cash', ({ invoice }) => stack.cli('payment', 'record', '--invoice', invoice.id, '--method', 'cash', '--amount-minor', '12500'), { state: 'paid' }],
  ['a voided invoice', ({ invoice }) => stack.cli('invoice', 'void', invoice.id, '--reason', 'mistake'), { state: 'void' }],
  ['a revoked link', ({ link }) => stack.cli('link', 'revoke', link.id), { state: 'revoked' }],
  ['a newer link', (of) => stack.link(of), { state: 'replaced' }],
]) {
  test(`${what} reaches all viewers of the link, and nobody else`, async () => {
    const mine = await scene();
    const viewers = await together(3, () => view(mine));
    const other = await view(await scene());
    await change(mine);
    for (const viewer of viewers) await viewer.sees(expected);
    if (expected.state !== 'active') await waitFor(() => viewers.every((viewer) => viewer.ended), { what: 'the end of the streams' });
    assert.equal(other.events.length, 1);
    for (const viewer of [...viewers, other]) viewer.close();
  });
}

test('while somebody pays the others are told, until it is declined or booked', async () => {
  const mine = await scene();
  const viewer = await view(mine);
  await stack.sandbox.fault({ on: 'payment_intents', kind: 'delay', delay_ms: 1_000, count: 2 });
  const payer = stack.payer(mine.link);
  const declined = await payer.pay({ number: '4000000000000002' });
  await viewer.sees({ paying: true, version: 1 });
  assert.match((await stack.page(mine.link.url)).text, /<div id="paying" class="note">/);
  assert.equal((await payer.result(declined)).state, 'declined');
  await viewer.sees({ paying: false, state: 'active' });
  assert.match((await stack.page(mine.link.url)).text, /<div id="paying" class="note" hidden>/);
  await payer.pay();
  await viewer.sees({ paying: true, state: 'active' });
  await viewer.sees({ paying: false, state: 'paid' });
});

test('the end of the link’s time is told when it comes', async () => {
  const mine = await scene({ lifetime: '2' });
  const viewer = await view(mine);
  await stack.payer(mine.link).open();
  await viewer.sees({ state: 'expired' });
  await waitFor(() => viewer.ended, { what: 'the end of the stream' });
});

test('a payment that nobody hears of again is under way for ten minutes, no longer', async () => {
  const mine = await scene();
  const viewer = await view(mine);
  await redis.do('HSET', `${shard(mine.link)}:link:${mine.link.id}`, 'paying', 'x', 'paying_ms', Date.now() - 598_000);
  await redis.do('PUBLISH', `${shard(mine.link)}:events`, `link ${mine.link.id} 1 active`);
  await viewer.sees({ paying: true });
  await viewer.sees({ paying: false });
  viewer.close();
});

test('whoever comes back to a link that has ended is told so once more', async () => {
  const mine = await scene();
  const first = await view(mine);
  await stack.cli('invoice', 'void', mine.invoice.id);
  await first.sees({ state: 'void' });
  const again = await view(mine, { lastEventId: first.last.id });
  await again.sees({ state: 'void' });
  await waitFor(() => again.ended, { what: 'the end of the stream' });
});

test('whoever comes back with the last id gets only what is news', async () => {
  const mine = await scene();
  const first = await view(mine);
  first.close();
  const again = await view(mine, { lastEventId: first.last.id });
  await waitFor(() => again.comments > 0, { what: 'a heartbeat' });
  assert.equal(again.events.length, 0);
  await stack.cli('credit', 'record', '--customer', mine.customer.id, '--amount-minor', '500');
  await again.sees({ version: 2 });
  again.close();
  const late = await view(mine, { lastEventId: first.last.id });
  await late.sees({ version: 2 });
  assert.equal(late.events.length, 1);
  late.close();
});

test('viewers are bounded for each link and in total; there is room again when they leave', async () => {
  const crowded = await scene();
  const viewers = await together(12, () => view(crowded));
  const refused = await Viewer.open(`${crowded.link.url}/events`);
  assert.deepEqual([refused.status, refused.headers['retry-after']], [503, '30']);
  for (let links = 0; links < 3; links++) {
    const next = await scene();
    viewers.push(...await together(links < 2 ? 12 : 4, () => view(next)));
  }
  const free = await scene();
  assert.equal((await Viewer.open(`${free.link.url}/events`)).status, 503);
  viewers.pop().close();
  await waitFor(async () => {
    const viewer = await Viewer.open(`${free.link.url}/events`);
    if (viewer.status === 200) viewers.push(viewer);
    return viewer.status === 200;
  }, { what: 'room for one more' });
  for (const viewer of viewers) viewer.close();
});

test('forged links, unknown links and other methods get no stream', async () => {
  const mine = await scene();
  const statuses = await Promise.all([
    stack.page(mine.link.url.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A')) + '/events'),
    stack.page(`${mine.link.url}/events/`), stack.page(`${mine.link.url}/events.js`), stack.page(`${mine.link.url};/events`),
  ].map(async (answer) => (await answer).status));
  assert.deepEqual(statuses, [404, 404, 404, 404]);
  const head = await stack.raw(`HEAD ${new URL(mine.link.url).pathname}/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  assert.match(head, /^HTTP\/1\.1 405 /);
});

test('clients that leave, at any moment, leave nothing behind', async () => {
  const mine = await scene();
  const [worker] = workers();
  await waitFor(() => descriptors(worker) < 40, { what: 'earlier viewers to be gone' });
  const before_ = descriptors(worker);
  const { hostname, port, pathname } = new URL(`${mine.link.url}/events`);
  await together(120, (i) => new Promise((resolve) => {
    const socket = net.connect({ host: hostname, port: Number(port) }, () => {
      socket.write(`GET ${pathname} HTTP/1.1\r\nHost: x\r\n\r\n`, () => {
        if (i % 3 === 0) socket.destroy();
        else if (i % 3 === 1) socket.resetAndDestroy();
        else socket.once('data', () => socket.resetAndDestroy());
      });
    });
    socket.on('close', resolve);
    socket.on('error', () => {});
  }));
  const change = stack.cli('credit', 'record', '--customer', mine.customer.id, '--amount-minor', '500');
  await waitFor(() => descriptors(worker) <= before_ + 2, { what: 'every descriptor to be closed' });
  await change;
  const viewer = await view(mine);
  await viewer.sees({ version: 2 });
  viewer.close();
  assert.deepEqual(workers(), [worker]);
});

// With the release build: the sanitizers keep what is freed, which would be counted here. Over a unix socket with a small
// send buffer nginx soon sees that the client is slow; between TCP sockets a kernel may hold megabytes.
test('a client that does not read is not buffered for: it gets the newest once it reads', async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'paylink-slow-'));
  fs.chmodSync(folder, 0o755);
  const socketPath = path.join(folder, 'socket');
  const release = await startStack({ build: path.join(ROOT, 'build'), nginx: [`server { listen unix:${socketPath} sndbuf=4k; send_timeout 1h; location / { paylink on; } }`] });
  try {
    const { link } = await release.scene();
    await waitFor(async () => (await release.page(link.url)).status === 200, { what: 'the page' });
    const store = await release.redis();
    const record = Object.entries(await store.hash(`${shard(link)}:link:${link.id}`)).filter(([name]) => name !== 'version').flat();
    const slow = await view({ link }, { socketPath });
    slow.response.pause();
    const quick = await view({ link });
    const [worker] = workers(release);
    const resident = () => Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${worker}/status`, 'utf8'))[1]);
    const publish = (version) => store.do('FCALL', 'paylink_publish', 1, `${shard(link)}:link:${link.id}`, link.id, version, 3_600_000, ...record);
    for (let version = 2; version < 500; version++) await publish(version);
    const kb = resident();
    // One by one, so that nginx has no reason to skip any: far more than fits between it and who does not read.
    for (let version = 500; version <= 3_000; version++) {
      await publish(version);
      await quick.sees({ version }, { interval: 0 });
    }
    assert.ok(resident() - kb < 256, `${resident() - kb} KB more`);
    slow.response.resume();
    await slow.sees({ version: 3_000 });
    assert.ok(slow.events.length < quick.events.length, `${slow.events.length} of ${quick.events.length}`);
    for (const viewer of [slow, quick]) viewer.close();
  } finally {
    await release.stop();
    fs.rmSync(folder, { recursive: true });
  }
});

test('a reload of nginx ends the streams at once; who comes back is served by the new worker', async () => {
  const mine = await scene();
  const viewers = await together(5, () => view(mine));
  const old = workers();
  stack.signal('nginx', 'SIGHUP');
  await waitFor(() => viewers.every((viewer) => viewer.ended && !viewer.broken), { what: 'whole ends of all streams' });
  await waitFor(() => workers().every((pid) => !old.includes(pid)), { what: 'the end of the old worker' });
  const again = await view(mine, { lastEventId: viewers[0].last.id });
  await stack.cli('credit', 'record', '--customer', mine.customer.id, '--amount-minor', '500');
  await again.sees({ version: 2 });
  again.close();
  assert.doesNotMatch(stack.log('nginx'), /open socket|\[alert\]/);
});

test('Redis is killed and comes back: viewers stay, and hear what they have missed', async () => {
  const mine = await scene();
  const viewers = await together(3, () => view(mine));
  await stack.kill('redis');
  await stack.cli('credit', 'record', '--customer', mine.customer.id, '--amount-minor', '500');
  await stack.startService('redis');
  redis = await stack.redis();
  for (const viewer of viewers) await viewer.sees({ version: 2 });
  assert.deepEqual(tally(viewers.map((viewer) => viewer.ended)), { false: 3 });
  for (const viewer of viewers) viewer.close();
});

test('Redis forgets the link: the worker is asked for it, the viewer stays', async () => {
  const mine = await scene();
  const viewer = await view(mine);
  await redis.do('FLUSHALL');
  await stack.cli('credit', 'record', '--customer', mine.customer.id, '--amount-minor', '500');
  await viewer.sees({ version: 2 });
  const fresh = await scene();
  await redis.do('FLUSHALL');
  const late = await Viewer.open(`${fresh.link.url}/events`);
  await late.sees({ version: 1, state: 'active' });
  for (const one of [viewer, late]) one.close();
});
