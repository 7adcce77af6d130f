// Events as they arrive at a merchant: signed, complete, repeated until they are taken.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, it } from 'node:test';
import Stripe from 'stripe';
import { objectProblems } from './openapi.mjs';
import { SandboxProcess, WEBHOOK_SECRET, eventually, wait } from './sandbox.mjs';

let sandbox;
let stripe;
let endpoint;
let status = 200;
const received = [];

before(async () => {
  endpoint = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    received.push({ headers: request.headers, body: Buffer.concat(chunks).toString(), status });
    response.writeHead(status);
    response.end();
  }).listen(0, '127.0.0.1');
  await once(endpoint, 'listening');
  sandbox = await SandboxProcess.start({ webhookUrl: `http://127.0.0.1:${endpoint.address().port}/hooks/stripe` });
  stripe = sandbox.stripe();
});

after(async () => {
  await sandbox?.stop();
  endpoint.closeAllConnections();
  endpoint.close();
});

const charge = (fields) => stripe.paymentIntents.create(
  { amount: 2000, currency: 'usd', payment_method: 'pm_card_visa', confirm: true, ...fields }, { idempotencyKey: `wh-${Math.random()}` });
const events = () => received.filter((r) => r.status === 200).map(({ body }) => JSON.parse(body));
const arrived = (type, intent) => eventually(
  () => events().find((event) => event.type === type && (event.data.object.payment_intent ?? event.data.object.id) === intent), type);

it('the official client accepts every signature, and no other', async () => {
  const intent = await charge({ metadata: { attempt: 'wh-1' } });
  await arrived('payment_intent.succeeded', intent.id);
  for (const { headers, body } of received) {
    const event = Stripe.webhooks.constructEvent(body, headers['stripe-signature'], WEBHOOK_SECRET);
    assert.match(headers['content-type'], /^application\/json/);
    assert.equal(event.object, 'event');
  }
  const [{ headers, body }] = received;
  assert.throws(() => Stripe.webhooks.constructEvent(`${body} `, headers['stripe-signature'], WEBHOOK_SECRET), /signature/);
  assert.throws(() => Stripe.webhooks.constructEvent(body, headers['stripe-signature'], 'whsec_other'), /signature/);
});

it('every kind of event arrives once and is as Stripe describes it', async () => {
  const intent = await charge({ metadata: { attempt: 'wh-2' } });
  const refund = await stripe.refunds.create({ payment_intent: intent.id, amount: 500 });
  await assert.rejects(charge({ payment_method: 'pm_card_chargeDeclined' }));
  const challenged = await charge({ payment_method: 'pm_card_threeDSecure2Required', return_url: 'http://127.0.0.1:18080/' });
  await stripe.paymentIntents.cancel(challenged.id);
  await arrived('payment_intent.canceled', challenged.id);
  const types = ['payment_intent.created', 'charge.succeeded', 'payment_intent.succeeded', 'charge.refunded', 'refund.created',
    'charge.failed', 'payment_intent.payment_failed', 'payment_intent.requires_action', 'payment_intent.canceled'];
  await eventually(() => types.every((type) => events().some((event) => event.type === type)), 'all kinds of events');
  for (const event of events()) {
    assert.deepEqual(objectProblems('event', event), []);
    assert.deepEqual(objectProblems(event.data.object.object, event.data.object), [], event.type);
  }
  const succeeded = await arrived('payment_intent.succeeded', intent.id);
  assert.deepEqual(succeeded.data.object.metadata, { attempt: 'wh-2' });
  assert.match(succeeded.request.idempotency_key, /^wh-/);
  assert.deepEqual(await stripe.events.retrieve(succeeded.id), succeeded);
  assert.equal((await arrived('charge.refunded', intent.id)).data.object.amount_refunded, 500);
  assert.equal((await eventually(() => events().find((e) => e.data.object.id === refund.id), 'refund.created')).type, 'refund.created');
  const ids = events().map(({ id }) => id);
  assert.equal(ids.length, new Set(ids).size);
});

it('what is not taken comes again', async () => {
  status = 500;
  const before500 = received.length;
  const intent = await charge();
  await eventually(() => received.length >= before500 + 3, 'three refused deliveries');
  status = 200;
  const event = await arrived('payment_intent.succeeded', intent.id);
  assert.ok(received.filter(({ body }) => JSON.parse(body).id === event.id).length >= 2);
});

it('a restart repeats what was not delivered, and only that', async () => {
  status = 500;
  const intent = await charge();
  await eventually(() => received.some(({ body }) => body.includes(intent.id)), 'a refused delivery');
  // The marks of earlier deliveries reach the disk with the next sync.
  await charge();
  await wait(200);
  await sandbox.kill('SIGKILL');
  const seen = events().map(({ id }) => id);
  received.length = 0;
  status = 200;
  await sandbox.up();
  await arrived('payment_intent.succeeded', intent.id);
  await wait(300);
  assert.deepEqual(events().map(({ id }) => id).filter((id) => seen.includes(id)), []);
});
