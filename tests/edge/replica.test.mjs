// An edge that reads from a replica of Redis beside it: what goes where, what a payer is shown while the replica is
// behind, and that nobody notices when it is away.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { freePort, Replica, startStack, tally, together, Viewer, waitFor } from '../harness/index.mjs';

const STALE_MS_MAX = 1_000;
const WORKERS = 2;

let stack;
let redis;
let replica;
let beside;
before(async () => {
  replica = new Replica();
  stack = await startStack({ nginxWorkers: WORKERS, nginx: [`paylink_redis_replica unix:${replica.socket};`] });
  // A machine under load may be slow to answer: no request fails for that.
  const config = path.join(stack.dir, 'nginx/nginx.conf');
  fs.writeFileSync(config, fs.readFileSync(config, 'utf8').replace('timeout=500ms', 'timeout=2s'));
  await stack.stopService('nginx');
  await stack.startService('nginx');
  redis = await stack.redis();
});
after(async () => {
  await stack.stop();
  await replica.stop();
});

const shard = ({ link }) => `paylink:{${(Number.parseInt(link.id.slice(0, 2), 16) % 16).toString(16).padStart(2, '0')}}`;
const key = (scene) => `${shard(scene)}:link:${scene.link.id}`;
const version = (page) => Number(/data-version="(\d+)"/.exec(page.text)?.[1]);
const opened = (page) => page.text.includes('active until');
const paying = (page) => /<div id="paying" class="note">/.test(page.text);

async function scene(options) {
  const made = await stack.scene(options);
  await waitFor(async () => (await stack.page(made.link.url)).status === 200, { what: 'the page' });
  return made;
}

// Publishes the record anew with other values, as the worker does.
async function publish(made, number, values = {}) {
  const record = { ...await redis.hash(key(made)), ...values };
  delete record.version;
  assert.deepEqual(await redis.do('FCALL', 'paylink_publish', 1, key(made), made.link.id, number, 3_600_000, ...Object.entries(record).flat()), ['published']);
}

const sample = async (name, url = stack.url) =>
  Number((await stack.page(`${url}/metrics`)).text.split('\n').find((line) => line.startsWith(`${name} `)).slice(name.length));
const reading = async (url) => await sample('paylink_redis_replica_up', url);
const replicaRead = (url, count = WORKERS) => waitFor(async () => await reading(url) === count, { what: 'the replica to be read' });
const primaryRead = () => waitFor(async () => await reading() === 0, { what: 'the primary to be read' });
const listeners = async (to) => (await to.do('PUBSUB', 'NUMSUB', 'paylink:{00}:events'))[1];

test('a replica that is not there: the primary is read, and nothing fails', async () => {
  const made = await scene();
  assert.equal((await stack.page('/readyz')).text, 'ready\nreplica down\n');
  assert.equal((await stack.page('/healthz')).text, 'ok\nredis up\nreplica down\n');
  assert.equal(await reading(), 0);
  assert.equal((await stack.payer(made.link).settle()).state, 'captured');
  assert.equal(await sample('paylink_redis_reads_total{source="replica"}'), 0);
  assert.ok(await sample('paylink_redis_reads_total{source="primary"}') > 0);
});

test('once the replica keeps up, it is read and listened to; what writes, and the time, are the primary\'s', async () => {
  await replica.start(stack);
  beside = await replica.redis();
  await replicaRead();
  assert.equal((await stack.page('/readyz')).text, 'ready\nreplica up\n');
  await waitFor(async () => await listeners(redis) === 0 && await listeners(beside) === WORKERS, { what: 'the subscriptions to move' });
  const edge = await stack.edge('uncached', (text) => text.replace('http {', 'http {\npaylink_cache off;'));
  try {
    const made = await scene();
    await replicaRead(edge.url);
    // A machine that stands still for a moment makes the replica look late: what must be possible is asked for until it is seen.
    await waitFor(async () => {
      const before_ = await together(2, (i) => [redis, beside][i].commandCounts());
      const pages = await together(20, () => stack.page(made.link.url.replace(stack.url, edge.url)));
      assert.deepEqual(tally(pages.map((page) => page.status)), { 200: 20 });
      const after_ = await together(2, (i) => [redis, beside][i].commandCounts());
      return after_[0].hmget === before_[0].hmget && after_[1].hmget - (before_[1].hmget ?? 0) >= 20;
    }, { what: 'twenty views that cost the primary nothing' });
    assert.ok(await sample('paylink_redis_reads_total{source="replica"}', edge.url) >= 20);
    const calls = (await redis.commandCounts()).fcall;
    const payer = stack.payer(made.link.url.replace(stack.url, edge.url));
    assert.equal((await payer.open()).status, 204);
    assert.equal((await payer.settle()).state, 'captured');
    assert.ok((await redis.commandCounts()).fcall >= calls + 2);
    const counts = await beside.commandCounts();
    assert.deepEqual([counts.fcall, counts.time], [undefined, undefined]);
  } finally {
    await edge.stop();
  }
});

test('a cached view costs neither anything, and a change reaches it by the replica', async () => {
  const made = await scene();
  await replicaRead();
  for (let number = 2; number <= 4; number++) {
    await waitFor(async () => {
      const before_ = await together(2, (i) => [redis, beside][i].commandCounts());
      await together(50, () => stack.page(made.link.url));
      const after_ = await together(2, (i) => [redis, beside][i].commandCounts());
      return after_[0].hmget === before_[0].hmget && after_[1].hmget === before_[1].hmget;
    }, { what: 'fifty views from the cache' });
    await publish(made, number);
    await waitFor(async () => version(await stack.page(made.link.url)) === number, { what: `version ${number}` });
  }
});

test('viewers of an open page hear of changes by the replica alone', async () => {
  const made = await scene();
  const viewer = await Viewer.open(`${made.link.url}/events`);
  await viewer.sees({ version: 1 });
  let number = 1;
  await waitFor(async () => {
    await replicaRead();
    const before_ = await listeners(redis);
    number += 1;
    await publish(made, number);
    await viewer.sees({ version: number });
    return before_ === 0 && await listeners(redis) === 0;
  }, { what: 'a change that the primary told nobody' });
  viewer.close();
});

// With the line held the replica is read for a moment still, and knows nothing of what happens then.
async function behind(act) {
  let seen = 0;
  await waitFor(async () => {
    await replicaRead();
    const made = await scene();
    const payer = stack.payer(made.link);
    await payer.view();
    replica.hold();
    try {
      await act(made, payer);
      // Only then has the round said something; a machine under load may need some more.
      if (await reading() === WORKERS) seen += 1;
    } finally {
      replica.release();
    }
    return seen >= 3;
  }, { what: 'three rounds before the edge knew that the replica is behind', timeout: 60_000 });
}

// By connections of their own, so that every process of the edge is asked.
const views = (made) => together(8, () => stack.page(made.link.url, { headers: { connection: 'close' } }));

// What waitFor would ask again is wrong once and for all.
let wrong;
const must = (what, is) => { if (!is) wrong ??= what; };

test('whoever has opened a link, submitted or was refused never sees it as it was, however far the replica is behind', async () => {
  wrong = undefined;
  await behind(async (made, payer) => {
    assert.equal((await payer.open()).status, 204);
    must('an opened link was shown as it was', (await views(made)).every(opened));
  });
  assert.equal(wrong, undefined);
  await behind(async (made, payer) => {
    await publish(made, 2);
    const refused = await payer.submit({ payment_method: 'pm_card_visa' });
    must('the refusal shows an old version', refused.status === 409 && version(refused) === 2);
    must('a version was shown that had been refused', (await views(made)).every((page) => version(page) === 2));
  });
  assert.equal(wrong, undefined);
});

test('what is paid is paid: the result and then the receipt, while the replica is behind', async () => {
  wrong = undefined;
  await behind(async (made, payer) => {
    const answer = await payer.submit({ payment_method: await payer.token() });
    must('the submit was not taken', answer.status === 303);
    must('a submit was not shown', (await views(made)).every((page) => paying(page) || page.text.includes('data-state="paid"')));
  });
  assert.equal(wrong, undefined);
  const made = await scene();
  replica.hold();
  try {
    const payer = stack.payer(made.link);
    assert.equal((await payer.settle()).state, 'captured');
    await waitFor(async () => (await views(made)).every((page) => page.text.includes('data-state="paid"')), { what: 'the receipt' });
  } finally {
    replica.release();
  }
  await replicaRead();
});

test('a replica that is behind is not read: nothing is older than a second, viewers hear from the primary', async () => {
  const made = await scene();
  await replicaRead();
  const viewer = await Viewer.open(`${made.link.url}/events`);
  await viewer.sees({ version: 1 });
  replica.hold();
  try {
    await publish(made, 2);
    const acknowledged = Date.now();
    const shown = [];
    await waitFor(async () => {
      const begin = Date.now();
      shown.push(...(await views(made)).map((page) => ({ begin, version: version(page), status: page.status })));
      return begin >= acknowledged + 2 * STALE_MS_MAX;
    }, { what: 'two seconds of views' });
    assert.deepEqual(tally(shown.map((page) => page.status)), { 200: shown.length });
    assert.deepEqual(shown.filter((page) => page.begin >= acknowledged + STALE_MS_MAX && page.version !== 2), []);
    await primaryRead();
    assert.equal((await stack.page('/readyz')).text, 'ready\nreplica down\n');
    await viewer.sees({ version: 2 });
    await publish(made, 3);
    await viewer.sees({ version: 3 });
    assert.equal((await beside.hash(key(made))).version, '1');
  } finally {
    replica.release();
  }
  await replicaRead();
  await publish(made, 4);
  await viewer.sees({ version: 4 });
  viewer.close();
});

// Everything works on, and no request fails.
async function fails(fault, repair) {
  const made = await scene();
  await replicaRead();
  const viewer = await Viewer.open(`${made.link.url}/events`);
  await viewer.sees({ version: 1 });
  let over = false;
  const statuses = [];
  const viewing = together(4, async () => {
    while (!over) statuses.push((await stack.page(made.link.url)).status);
  });
  try {
    await fault();
    await primaryRead();
    await publish(made, 2);
    await viewer.sees({ version: 2 });
    await waitFor(async () => (await views(made)).every((page) => version(page) === 2), { what: 'version 2' });
    assert.equal((await stack.payer((await scene()).link).settle()).state, 'captured');
  } finally {
    await repair();
    over = true;
  }
  await viewing;
  assert.deepEqual(tally(statuses), { 200: statuses.length });
  await replicaRead();
  await publish(made, 3);
  await viewer.sees({ version: 3 });
  viewer.close();
}

for (const stale of ['yes', 'no']) {
  test(`the replica has lost the primary and serves ${stale === 'yes' ? 'what it had' : 'nothing'}`, async () => {
    const nobody = await freePort();
    await beside.do('CONFIG', 'SET', 'replica-serve-stale-data', stale);
    await fails(
      () => beside.do('REPLICAOF', '127.0.0.1', String(nobody)),
      () => beside.do('REPLICAOF', '127.0.0.1', String(replica.port)),
    );
  });
}

test('the replica stands still', () => fails(() => replica.signal('SIGSTOP'), () => replica.signal('SIGCONT')));

test('the replica is killed and comes back empty', () => fails(() => replica.kill(), async () => {
  await replica.start(stack);
  beside = await replica.redis();
}));

test('the replica lets nobody in', () => fails(
  async () => {
    await beside.do('ACL', 'SETUSER', 'edge', 'off');
    await beside.do('CLIENT', 'KILL', 'USER', 'edge');
  },
  () => beside.do('ACL', 'SETUSER', 'edge', 'on'),
));

test('the primary goes away: "try again shortly", whatever the replica knows; then all is as it was', async () => {
  const made = await scene();
  await replicaRead();
  stack.signal('redis', 'SIGSTOP');
  try {
    await waitFor(async () => (await stack.page(made.link.url, { timeout: 10_000 })).status === 503, { what: 'the edge to notice' });
  } finally {
    stack.signal('redis', 'SIGCONT');
  }
  await waitFor(async () => (await stack.page(made.link.url)).status === 200, { what: 'the page' });
  await replicaRead();
});

test('a reload and its new processes find the replica again', async () => {
  const made = await scene();
  await replicaRead();
  stack.signal('nginx', 'SIGHUP');
  await waitFor(async () => await listeners(beside) === WORKERS && await reading() === WORKERS, { what: 'the new processes alone' });
  assert.equal((await stack.page(made.link.url)).status, 200);
  assert.equal((await stack.payer(made.link).settle()).state, 'captured');
});

test('two edges on one link, one with a replica and one without, show the same', async () => {
  await replicaRead();
  const plain = await stack.edge('plain', (text) => text.replace(/^\s*paylink_redis_replica .*$/m, ''));
  try {
    assert.equal((await stack.page(`${plain.url}/readyz`)).text, 'ready\n');
    const made = await scene();
    const there = made.link.url.replace(stack.url, plain.url);
    const viewers = await together(2, (i) => Viewer.open(`${[made.link.url, there][i]}/events`));
    await stack.cli('credit', 'record', '--customer', made.customer.id, '--amount-minor', '500');
    for (const viewer of viewers) await viewer.sees({ version: 2 });
    for (const url of [made.link.url, there]) await waitFor(async () => (await stack.page(url)).text.includes('$120.00'), { what: 'the new total' });
    assert.equal((await stack.payer(there).open()).status, 204);
    await waitFor(async () => (await views(made)).every(opened), { what: 'the opening on the other edge' });
    const payer = stack.payer(made.link);
    const taken = await payer.pay();
    payer.url = there;
    assert.equal((await payer.submit({ payment_method: 'pm_card_visa' })).headers.location, taken.headers.location);
    assert.equal((await payer.result(taken)).state, 'captured');
    for (const viewer of viewers) await viewer.sees({ state: 'paid' });
    for (const url of [made.link.url, there]) await waitFor(async () => (await stack.page(url)).text.includes('data-state="paid"'), { what: 'the receipt' });
  } finally {
    await plain.stop();
  }
});
