// The fault switches: each does what the tests of the worker rely on, to the requests it is for.
import assert from 'node:assert/strict';
import { after, afterEach, before, it } from 'node:test';
import { eventually, SandboxProcess, wait } from './sandbox.mjs';

let sandbox;
let number = 0;

before(async () => { sandbox = await SandboxProcess.start(); });
after(() => sandbox?.stop());
afterEach(() => sandbox.fault(null));

const fields = (attempt) => ({ amount: '900', currency: 'usd', payment_method: 'pm_card_visa', confirm: 'true', 'metadata[attempt]': attempt });
const charge = (attempt = `f-${number += 1}`, options = {}) =>
  sandbox.api('/v1/payment_intents', fields(attempt), { headers: { 'idempotency-key': attempt }, ...options });
const captured = (attempt) => sandbox.lines().filter((line) => line.type === 'charge' && line.metadata.attempt === attempt).length;
// A closed connection without a reply; undici may try again itself, so the key must not be fresh.
const dropped = (promise) => assert.rejects(promise, TypeError);

it('delay: the reply comes later, and the charge happens late', async () => {
  await sandbox.fault({ kind: 'delay', on: 'payment_intents', delay_ms: 2_000, count: 1 });
  const begun = Date.now();
  const running = charge('slow');
  await wait(100);
  // Not held, so done before the one that is: the fault was for one request only.
  assert.equal((await charge('quick')).status, 200);
  assert.deepEqual([captured('slow'), captured('quick')], [0, 1]);
  assert.equal((await running).status, 200);
  assert.equal(captured('slow'), 1);
  assert.ok(Date.now() - begun >= 1_995);
});

it('delay_after: the charge happens at once, the reply comes later', async () => {
  await sandbox.fault({ kind: 'delay_after', delay_ms: 2_000, count: 1 });
  const running = charge('late');
  let replied = false;
  void running.then(() => { replied = true; });
  await eventually(() => captured('late') === 1, 'the charge');
  assert.equal(replied, false);
  assert.equal((await running).status, 200);
});

it('drop_before: nothing happens; drop_after: everything happens but the reply', async () => {
  await sandbox.fault({ kind: 'drop_before' });
  await dropped(charge('nothing'));
  await sandbox.fault(null);
  assert.equal(captured('nothing'), 0);
  await sandbox.fault({ kind: 'drop_after' });
  await dropped(charge('all'));
  await sandbox.fault(null);
  assert.equal(captured('all'), 1);
  const again = await charge('all');
  assert.equal(again.headers.get('idempotent-replayed'), 'true');
  assert.equal(captured('all'), 1);
});

it('status: only the answer; status_after: the work too', async () => {
  for (const status of [429, 500, 503, 409]) {
    await sandbox.fault({ kind: 'status', status, count: 1 });
    const reply = await charge(`s-${status}`);
    assert.equal(reply.status, status);
    assert.equal(typeof reply.json.error.message, 'string');
    assert.equal(captured(`s-${status}`), 0);
    assert.equal((await charge(`s-${status}`)).status, 200);
  }
  await sandbox.fault({ kind: 'status_after', status: 502, count: 1 });
  assert.equal((await charge('s-after')).status, 502);
  assert.equal(captured('s-after'), 1);
});

it('decline: whatever the card; a refund fails', async () => {
  const good = await charge();
  await sandbox.fault({ kind: 'decline', on: 'payment_intents', code: 'insufficient_funds' });
  const reply = await charge();
  assert.deepEqual([reply.status, reply.json.error.decline_code], [402, 'insufficient_funds']);
  const refund = await sandbox.api('/v1/refunds', { payment_intent: good.json.id });
  assert.equal(refund.json.status, 'succeeded');
  await sandbox.fault(null);
  const other = await charge();
  await sandbox.fault({ kind: 'decline', on: 'refunds', count: 1 });
  assert.equal((await sandbox.api('/v1/refunds', { payment_intent: other.json.id })).json.status, 'failed');
  assert.equal((await sandbox.api('/v1/refunds', { payment_intent: other.json.id })).json.status, 'succeeded');
});

it('a switch is for its method, its path, its match and its count', async () => {
  await sandbox.fault({ kind: 'status', on: 'refunds' });
  assert.equal((await charge()).status, 200);
  await sandbox.fault(null);
  await sandbox.fault({ kind: 'status', method: 'GET' });
  const { json } = await charge();
  assert.equal((await sandbox.api(`/v1/payment_intents/${json.id}`)).status, 500);
  await sandbox.fault(null);
  await sandbox.fault({ kind: 'status', match: 'only-me' });
  assert.equal((await charge()).status, 200);
  assert.equal((await charge('only-me')).status, 500);
  await sandbox.fault(null);
  const list = await sandbox.fault({ kind: 'status', count: 2 });
  assert.deepEqual([list.data.length, list.data[0].count, list.data[0].hits], [1, 2, 0]);
  assert.deepEqual([(await charge()).status, (await charge()).status, (await charge()).status], [500, 500, 200]);
  assert.equal((await (await fetch(`${sandbox.url}/sandbox/faults`)).json()).data[0].hits, 2);
});

it('is set with a form as well, and refuses what it does not know', async () => {
  const set = (fields_) => sandbox.api('/sandbox/faults', fields_, { key: null });
  assert.equal((await set({ kind: 'delay', delay_ms: '1' })).status, 200);
  for (const wrong of [{}, { kind: 'explode' }, { kind: 'delay', delay_ms: '-1' }, { kind: 'status', status: '200' },
    { kind: 'delay', on: 'mars' }, { kind: 'decline', code: 'mood' }, { kind: 'delay', surprise: '1' }, { kind: 'delay', method: 'PUT' }]) {
    assert.equal((await set(wrong)).status, 400, JSON.stringify(wrong));
  }
  const json = (body) => fetch(`${sandbox.url}/sandbox/faults`, { method: 'POST', body, headers: { 'content-type': 'application/json' } });
  for (const wrong of ['', '[]', '{', '"x"', '{"kind":"delay","surprise":1}', '{"kind":7}']) assert.equal((await json(wrong)).status, 400, wrong);
});

it('a stop while requests are delayed answers or closes them and ends cleanly', async () => {
  const other = await SandboxProcess.start();
  await other.fault({ kind: 'delay', delay_ms: 60_000 });
  const running = other.api('/v1/payment_intents', fields('stop')).catch((error) => error);
  await wait(100);
  await other.stop();
  await running;
});
