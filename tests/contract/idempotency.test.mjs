// Idempotency-Key with Stripe's semantics: nothing happens twice, nothing is answered differently.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { SandboxProcess } from './sandbox.mjs';

let sandbox;
let stripe;
let number = 0;

before(async () => {
  sandbox = await SandboxProcess.start();
  stripe = sandbox.stripe();
});

after(() => sandbox?.stop());

const charge = { amount: '900', currency: 'usd', payment_method: 'pm_card_visa', confirm: 'true', 'metadata[attempt]': 'k' };
const keyed = (key, fields = charge, route = '/v1/payment_intents') =>
  sandbox.api(route, fields, { headers: { 'idempotency-key': key } });
const newKey = () => `key-${number += 1}`;
const captures = () => sandbox.lines().filter((line) => line.type === 'charge').length;

it('the same request again gets the same bytes and charges nothing', async () => {
  const key = newKey();
  const first = await keyed(key);
  const count = captures();
  const second = await keyed(key);
  assert.equal(second.status, 200);
  assert.equal(second.text, first.text);
  assert.equal(first.headers.get('idempotent-replayed'), null);
  assert.equal(second.headers.get('idempotent-replayed'), 'true');
  assert.equal(second.headers.get('original-request'), first.headers.get('request-id'));
  assert.notEqual(second.headers.get('request-id'), first.headers.get('request-id'));
  assert.equal(captures(), count);
});

it('the reply stays as it was although the payment went on', async () => {
  const key = newKey();
  const fields = { ...charge, 'expand[]': 'latest_charge' };
  const first = await keyed(key, fields);
  await stripe.refunds.create({ payment_intent: first.json.id, amount: 100 });
  assert.equal((await keyed(key, fields)).text, first.text);
  assert.equal(first.json.latest_charge.amount_refunded, 0);
});

it('the order of parameters does not matter, their values do', async () => {
  const key = newKey();
  const first = await keyed(key);
  const turned = Object.fromEntries(Object.entries(charge).reverse());
  assert.equal((await keyed(key, turned)).text, first.text);
  for (const other of [{ ...charge, amount: '901' }, { ...charge, 'metadata[x]': '1' }, { amount: '900', currency: 'usd' }]) {
    const reply = await keyed(key, other);
    assert.equal(reply.status, 400);
    assert.equal(reply.json.error.type, 'idempotency_error');
    assert.match(reply.json.error.message, /can only be used with the same parameters/);
  }
  const elsewhere = await keyed(key, { payment_intent: first.json.id }, '/v1/refunds');
  assert.equal(elsewhere.json.error.type, 'idempotency_error');
  assert.match(elsewhere.json.error.message, /same endpoint/);
});

it('a decline is kept, and so is a refusal that depends on the state', async () => {
  const declined = newKey();
  const fields = { ...charge, payment_method: 'pm_card_chargeDeclined' };
  const first = await keyed(declined, fields);
  assert.equal(first.status, 402);
  assert.equal((await keyed(declined, fields)).text, first.text);
  const { id } = (await keyed(newKey())).json;
  await stripe.refunds.create({ payment_intent: id, amount: 800 });
  const refused = newKey();
  const tooMuch = await keyed(refused, { payment_intent: id, amount: '200' }, '/v1/refunds');
  assert.equal(tooMuch.status, 400);
  assert.equal((await keyed(refused, { payment_intent: id, amount: '200' }, '/v1/refunds')).headers.get('idempotent-replayed'), 'true');
});

it('a refusal of the parameters is not kept', async () => {
  const key = newKey();
  assert.equal((await keyed(key, { ...charge, amount: '1' })).status, 400);
  assert.equal((await keyed(key)).status, 200);
});

it('while the first request runs, the second is told so; afterwards it gets the result', async () => {
  const key = newKey();
  await sandbox.fault({ kind: 'delay', delay_ms: 2_000, count: 1 });
  const running = keyed(key);
  await new Promise((resolve) => { setTimeout(resolve, 100); });
  const meanwhile = await keyed(key);
  assert.equal(meanwhile.status, 409);
  assert.equal(meanwhile.json.error.code, 'idempotency_key_in_use');
  const first = await running;
  assert.equal(first.status, 200);
  assert.equal((await keyed(key)).text, first.text);
  await sandbox.fault(null);
});

it('100 requests at once with one key charge once', async () => {
  const key = newKey();
  const count = captures();
  const replies = await Promise.all(Array.from({ length: 100 }, () => keyed(key)));
  const bodies = new Set(replies.filter(({ status }) => status === 200).map(({ text }) => text));
  assert.ok(replies.every(({ status }) => status === 200 || status === 409));
  assert.equal(bodies.size, 1);
  assert.equal(captures(), count + 1);
});

it('100 refunds at once never give back more than was captured', async () => {
  const { id } = (await keyed(newKey())).json;
  const replies = await Promise.all(Array.from({ length: 100 }, (_, i) =>
    keyed(`race-${i}`, { payment_intent: id, amount: '30' }, '/v1/refunds')));
  assert.equal(replies.filter(({ status }) => status === 200).length, 30);
  const refunds = sandbox.lines().filter((line) => line.type === 'refund' && line.payment_intent === id);
  assert.equal(refunds.reduce((sum, line) => sum + line.amount, 0), 900);
});

it('keys that are no keys are refused', async () => {
  assert.equal((await keyed('x'.repeat(256))).status, 400);
  assert.equal((await keyed('x'.repeat(255))).status, 200);
});

it('neither card number nor security code enters the log with a key', async () => {
  const card = { type: 'card', 'card[number]': '4000056655665556', 'card[exp_month]': '12', 'card[exp_year]': '2040', 'card[cvc]': '987' };
  const key = newKey();
  const first = await keyed(key, card, '/v1/payment_methods');
  assert.equal((await keyed(key, card, '/v1/payment_methods')).text, first.text);
  const other = await keyed(key, { ...card, 'card[number]': '4242424242424242' }, '/v1/payment_methods');
  assert.equal(other.json.error.type, 'idempotency_error');
  const log = sandbox.lines().map((line) => JSON.stringify(line)).join('\n');
  assert.doesNotMatch(log, /4000056655665556|\b987\b/);
});
