// Links that a worker of nginx knows without asking: a repeated view costs no command, and nothing that has changed is shown
// as it was, whatever happens to the connections.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { atBest, startStack, tally, together, waitFor } from '../harness/index.mjs';

const STALE_MS_MAX = 1_000;

let stack;
let redis;
before(async () => {
  stack = await startStack({ nginx: ['paylink_cache 128k;'] });
  redis = await stack.redis();
});
after(() => stack.stop());

const shard = ({ link }) => `paylink:{${(Number.parseInt(link.id.slice(0, 2), 16) % 16).toString(16).padStart(2, '0')}}`;
const key = (scene) => `${shard(scene)}:link:${scene.link.id}`;

async function scene(options) {
  const made = await stack.scene(options);
  await waitFor(async () => (await stack.page(made.link.url)).status === 200, { what: 'the page' });
  return made;
}

const hits = async () => Number(/paylink_cache_total\{result="hit"\} (\d+)/.exec((await stack.page('/metrics')).text)[1]);

// Views until one of them was answered without Redis.
async function warm(made) {
  await waitFor(async () => {
    const before_ = await hits();
    await stack.page(made.link.url);
    return await hits() > before_;
  }, { what: 'a view from the cache' });
}

// Publishes the record anew with other values, as the worker does.
async function publish(made, version, values) {
  const record = { ...await redis.hash(key(made)), ...values };
  delete record.version;
  assert.deepEqual(await redis.do('FCALL', 'paylink_publish', 1, key(made), made.link.id, version, 3_600_000, ...Object.entries(record).flat()), ['published']);
}

test('a repeated view costs no round trip, and mints an attempt of its own', async () => {
  const made = await scene();
  await warm(made);
  // An edge that gets no time to hear of changes reads again.
  await atBest(20, async () => {
    const before_ = await redis.commandCounts();
    const pages = await together(300, () => stack.page(made.link.url));
    const after_ = await redis.commandCounts();
    assert.deepEqual(tally(pages.map((page) => page.status)), { 200: 300 });
    const attempts = pages.map((page) => /name="attempt" value="([^"]+)"/.exec(page.text)[1]);
    assert.equal(new Set(attempts).size, 300);
    return after_.hmget - before_.hmget;
  });
});

test('what has changed is never shown as it was, a second after the change was acknowledged', async () => {
  const made = await scene();
  await warm(made);
  let stop = false;
  const shown = [];
  const viewing = together(8, async () => {
    while (!stop) {
      const begin = Date.now();
      const version = Number(/data-version="(\d+)"/.exec((await stack.page(made.link.url)).text)[1]);
      shown.push({ begin, version });
    }
  });
  const acknowledged = [];
  for (let version = 2; version <= 60; version++) {
    await publish(made, version, { due_minor: String(12_500 + version) });
    acknowledged.push({ version, at: Date.now() });
    await pause(20);
  }
  await pause(STALE_MS_MAX);
  await waitFor(() => shown.length > 500, { what: 'enough views' });
  stop = true;
  await viewing;
  for (const { begin, version } of shown) {
    const known = acknowledged.findLast(({ at }) => begin >= at + STALE_MS_MAX);
    assert.ok(!known || version >= known.version, `version ${version} was shown, ${known?.version} was acknowledged long before`);
  }
});

test('an opening, a submit and its answer are seen at once', async () => {
  const made = await scene();
  await warm(made);
  const payer = stack.payer(made.link);
  await payer.open();
  await waitFor(async () => (await stack.page(made.link.url)).text.includes('active until'), { what: 'the opened page' });
  await warm(made);
  assert.equal((await payer.settle()).state, 'captured');
  await waitFor(async () => (await stack.page(made.link.url)).text.includes('data-state="paid"'), { what: 'the receipt' });
});

test('a cached link expires when its time has come', async () => {
  const made = await scene({ lifetime: '3' });
  await stack.payer(made.link).open();
  await waitFor(async () => (await stack.page(made.link.url)).status === 410, { what: 'the end of the link' });
  assert.ok(Date.now() >= Number((await redis.hash(key(made))).expires_ms));
});

test('the connection that hears of changes is killed: the cache is left alone until it is back', async () => {
  const made = await scene();
  for (let version = 2; version <= 6; version++) {
    await warm(made);
    await redis.do('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await publish(made, version, { due_text: `$${version}.00` });
    const page = await waitFor(async () => {
      const answer = await stack.page(made.link.url);
      return answer.text.includes(`data-version="${version}"`) && answer;
    }, { what: `version ${version}` });
    assert.match(page.text, new RegExp(`\\$${version}\\.00`));
  }
  await warm(made);
});

test('the connection that asks is killed too', async () => {
  const made = await scene();
  await warm(made);
  await redis.do('CLIENT', 'KILL', 'USER', 'edge');
  await publish(made, 2, {});
  await waitFor(async () => (await stack.page(made.link.url)).text.includes('data-version="2"'), { what: 'version 2' });
  await warm(made);
});

test('a Redis that says nothing any more is not trusted for long', async () => {
  const made = await scene();
  await warm(made);
  stack.signal('redis', 'SIGSTOP');
  try {
    await waitFor(async () => (await stack.page(made.link.url, { timeout: 10_000 })).status === 503, { what: 'the end of trust' });
  } finally {
    stack.signal('redis', 'SIGCONT');
  }
  await warm(made);
});

test('Redis is emptied: no page of what it knew', async () => {
  const made = await scene();
  await stack.stopService('worker');
  await warm(made);
  await redis.do('FLUSHALL');
  await waitFor(async () => (await stack.page(made.link.url, { timeout: 10_000 })).status === 503, { what: 'the edge to ask' });
  await stack.startService('worker');
  await waitFor(async () => (await stack.page(made.link.url)).status === 200, { what: 'the hydration' });
});

test('more links than there is room for: the oldest go, all are right', async () => {
  const made = await scene();
  const record = await redis.hash(key(made));
  const links = [made, await scene(), await scene()];
  await Promise.all(links.map((one) => redis.do('HSET', key(one), 'merchant', 'M'.repeat(20_000))));
  for (let round = 0; round < 20; round++) {
    for (const one of links) assert.equal((await stack.page(one.link.url)).status, 200);
  }
  await redis.do('HSET', key(made), 'merchant', 'M'.repeat(200_000));
  await waitFor(async () => (await stack.page(made.link.url)).body.length > 200_000, { what: 'the large page' });
  await redis.do('HSET', key(made), 'merchant', record.merchant);
  await waitFor(async () => (await stack.page(made.link.url)).text.includes(record.merchant), { what: 'the small page' });
});

test('off: every view asks', async () => {
  const other = await startStack({ nginx: ['paylink_cache off;'] });
  try {
    const { link } = await other.scene();
    await waitFor(async () => (await other.page(link.url)).status === 200, { what: 'the page' });
    const store = await other.redis();
    const before_ = await store.commandCounts();
    await together(50, () => other.page(link.url));
    assert.ok((await store.commandCounts()).hmget - before_.hmget >= 50);
  } finally {
    await other.stop();
  }
});
