// Parts that are away: Redis flushed or dead, PostgreSQL stopped, the gateway silent. Nothing that was
// accepted is lost, nobody is charged twice, and the payer is told the truth at every moment.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startStack, waitFor } from '../harness/index.mjs';

let stack;
before(async () => {
  stack = await startStack({ durable: true, set: { 'gateway.timeout_ms': '1000', 'worker.check_delays_ms': '500,1000,2000,4000,60000' } });
});
after(() => stack.stop());

const state = (page) => /data-state="([a-z_]+)"/.exec(page.text)?.[1];

async function charges(scene) {
  return (await stack.sandbox.log()).filter((line) => line.type === 'charge' && line.metadata?.link === scene.link.id);
}

async function verifyBooks() {
  const verified = await stack.cli('verify');
  assert.equal(verified.ok, true, JSON.stringify(verified.checks?.filter((check) => !check.ok)));
}

test('the gateway charges and its answer is lost: unknown, resolved by asking, one capture', async () => {
  const scene = await stack.scene();
  const payer = stack.payer(scene.link);
  await stack.sandbox.fault({ on: 'payment_intents', kind: 'drop_after', count: 1 });
  const answer = await payer.pay();
  const attempt = async () => (await stack.cli('attempt', 'list', '--invoice', scene.invoice.id))[0];
  await waitFor(async () => ['unknown', 'captured'].includes((await attempt())?.state), { what: 'the lost answer' });
  assert.equal((await payer.result(answer, { timeout: 40_000 })).state, 'captured');
  assert.equal((await charges(scene)).length, 1);
  await verifyBooks();
});

test('an unknown attempt blocks a second charge of its invoice: late rather than twice', async () => {
  const scene = await stack.scene();
  const first = stack.payer(scene.link);
  const second = stack.payer(scene.link);
  await second.view();
  await stack.sandbox.fault({ on: 'payment_intents', kind: 'delay_after', delay_ms: 4_000, count: 1 });
  const answer = await first.pay({ paymentMethod: 'pm_card_visa' });
  await waitFor(async () => (await stack.cli('attempt', 'list', '--invoice', scene.invoice.id))[0]?.state === 'unknown', { what: 'the unknown state' });
  const blocked = await second.submit({ payment_method: 'pm_card_visa' });
  const attempts = await stack.cli('attempt', 'list', '--invoice', scene.invoice.id);
  if (blocked.status === 303) assert.equal((await second.result(blocked)).state, 'refused');
  assert.ok(attempts.length <= 2);
  assert.equal((await first.result(answer, { timeout: 40_000 })).state, 'captured');
  assert.equal((await charges(scene)).length, 1);
});

test('the request never reached the gateway: nothing is charged, and the payer can pay again', async () => {
  const scene = await stack.scene();
  const payer = stack.payer(scene.link);
  await payer.view();
  await stack.stopService('sandbox');
  const answer = await payer.submit({ payment_method: 'pm_card_visa' });
  assert.equal(answer.status, 303);
  await waitFor(async () => (await stack.cli('attempt', 'list', '--invoice', scene.invoice.id))[0]?.state === 'charging', { what: 'the attempt' });
  await stack.startService('sandbox');
  assert.equal((await payer.result(answer, { timeout: 60_000 })).state, 'captured');
  assert.equal((await charges(scene)).length, 1);
});

test('a gateway that is busy (409, 429) is asked again with the same key: one capture', async () => {
  for (const status of [409, 429]) {
    const scene = await stack.scene();
    await stack.sandbox.fault({ on: 'payment_intents', kind: 'status', status, count: 2 });
    const payer = stack.payer(scene.link);
    const answer = await payer.pay({ paymentMethod: 'pm_card_visa' });
    assert.equal((await payer.result(answer, { timeout: 30_000 })).state, 'captured');
    assert.equal((await charges(scene)).length, 1);
  }
  await verifyBooks();
});

test('a gateway that answers 500 may have charged: unknown, and never charged again', async () => {
  const scene = await stack.scene();
  await stack.sandbox.fault({ on: 'payment_intents', kind: 'status', status: 500, count: 1 });
  const payer = stack.payer(scene.link);
  const answer = await payer.pay({ paymentMethod: 'pm_card_visa' });
  await waitFor(async () => (await stack.cli('attempt', 'list', '--invoice', scene.invoice.id))[0]?.state === 'unknown', { what: 'the unknown result' });
  assert.equal(state(await stack.page(answer.headers.location, { timeout: 20_000 })), 'unknown');
  assert.equal((await stack.payer(scene.link).settle()).state, 'refused');
  assert.equal((await charges(scene)).length, 0);
});

test('Redis is flushed: links, openings and results come back, streams work again', async () => {
  const paid = await stack.scene();
  const paidPayer = stack.payer(paid.link);
  const answer = await paidPayer.pay();
  assert.equal((await paidPayer.result(answer)).state, 'captured');
  const open = await stack.scene();
  const payer = stack.payer(open.link);
  await payer.view();
  await payer.open();
  const openedAt = await waitFor(async () => (await stack.cli('link', 'show', open.link.id)).opened_at, { what: 'the opening' });
  await (await stack.redis()).do('FLUSHALL');
  assert.equal(state(await waitFor(async () => {
    const page = await payer.view();
    return page.status === 200 && page;
  }, { what: 'the link after the flush' })), 'active');
  assert.equal((await stack.cli('link', 'show', open.link.id)).opened_at, openedAt);
  assert.equal((await payer.settle()).state, 'captured');
  await waitFor(async () => state(await stack.page(paid.link.url)) === 'paid', { what: 'the receipt after the flush' });
  assert.equal((await paidPayer.result(answer)).state, 'captured');
  await verifyBooks();
});

test('a submit that Redis lost before the worker saw it: the page offers to pay again', async () => {
  const scene = await stack.scene();
  const payer = stack.payer(scene.link);
  await payer.view();
  await stack.stopService('worker');
  const answer = await payer.submit({ payment_method: 'pm_card_visa' });
  assert.equal(answer.status, 303);
  await (await stack.redis()).do('FLUSHALL');
  await stack.startService('worker');
  assert.equal((await payer.result(answer, { timeout: 40_000 })).state, 'absent');
  assert.equal((await payer.settle()).state, 'captured');
  assert.equal((await charges(scene)).length, 1);
});

test('rebuild fills an empty Redis from the books', async () => {
  const scene = await stack.scene();
  await stack.stopService('worker');
  const redis = await stack.redis();
  await redis.do('FLUSHALL');
  const result = await stack.cli('rebuild');
  assert.ok(result.links >= 1);
  const page = await stack.page(scene.link.url);
  assert.equal(state(page), 'active');
  await stack.startService('worker');
});

test('PostgreSQL is stopped: submits are accepted, kept, and booked later', async () => {
  const scene = await stack.scene();
  const payer = stack.payer(scene.link);
  await payer.view();
  await stack.stopService('postgres');
  const answer = await payer.submit({ payment_method: 'pm_card_visa' });
  assert.equal(answer.status, 303);
  const meanwhile = await stack.page(answer.headers.location);
  assert.match(state(meanwhile), /^(received|charging)$/);
  await stack.startService('postgres');
  assert.equal((await payer.result(answer, { timeout: 40_000 })).state, 'captured');
  assert.equal((await charges(scene)).length, 1);
  await verifyBooks();
});

test('PostgreSQL dies while charges are in flight: each is booked once', async () => {
  const scenes = [];
  for (let i = 0; i < 5; i++) scenes.push(await stack.scene());
  await stack.sandbox.fault({ on: 'payment_intents', kind: 'delay', delay_ms: 700, count: 5 });
  const payers = scenes.map((scene) => stack.payer(scene.link));
  const answers = await Promise.all(payers.map((payer) => payer.pay({ paymentMethod: 'pm_card_visa' })));
  await waitFor(async () => (await stack.sql("SELECT count(*)::int AS n FROM paylink.attempt WHERE state = 'charging'"))[0].n === 5, { what: 'five charges in flight' });
  await stack.kill('postgres');
  await stack.startService('postgres');
  for (const [i, payer] of payers.entries()) {
    assert.equal((await payer.result(answers[i], { timeout: 60_000 })).state, 'captured');
    assert.equal((await charges(scenes[i])).length, 1);
  }
  await verifyBooks();
});

test('Redis is killed: an honest 503, and everything goes on when it is back', async () => {
  const scene = await stack.scene();
  const payer = stack.payer(scene.link);
  await payer.view();
  await stack.kill('redis');
  const busy = await payer.submit({ payment_method: 'pm_card_visa' });
  assert.equal(busy.status, 503);
  assert.ok(busy.headers['retry-after']);
  assert.equal((await stack.page(scene.link.url)).status, 503);
  await stack.startService('redis');
  await waitFor(async () => (await stack.page(scene.link.url)).status === 200, { what: 'the edge to reconnect' });
  assert.equal((await payer.settle()).state, 'captured');
  assert.equal((await charges(scene)).length, 1);
});

test('an entry that nobody can read goes to the dead letters and holds up nothing', async () => {
  const redis = await stack.redis();
  await redis.do('XADD', 'paylink:{03}:submit', '*', 'nonsense', '\u0001');
  await redis.do('XADD', 'paylink:{03}:submit', '*', 'attempt', 'zz', 'link', 'zz', 'version', '-1', 'amount_minor', 'x');
  await waitFor(async () => (await redis.entries('paylink:{03}:dead')).length === 2, { what: 'the dead letters' });
  const scene = await stack.scene();
  assert.equal((await stack.payer(scene.link).settle()).state, 'captured');
});
