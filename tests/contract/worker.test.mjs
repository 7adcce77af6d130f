// The whole of Paylink in front of a recorder: what its worker and its commands really ask of the gateway, held
// against Stripe's OpenAPI description.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { startStack, waitFor } from '../harness/index.mjs';
import { API_VERSION, Recorder } from './sandbox.mjs';

let recorder;
let stack;

before(async () => {
  recorder = await Recorder.start();
  stack = await startStack({ set: { 'gateway.url': recorder.url } });
  recorder.target = stack.info.sandbox_url;
});

after(async () => {
  await stack?.stop();
  await recorder?.stop();
});

const settled = (invoice, states) => waitFor(async () => {
  const attempts = await stack.cli('attempt', 'list', '--invoice', invoice.id);
  return attempts.find(({ state }) => states.includes(state));
}, { what: `an attempt that is ${states}`, timeout: 30_000 });

it('a payment, a decline, an authentication, a refund, a lost reply', async () => {
  const paid = await stack.scene({ amounts: [1_234, 5_000] });
  assert.equal((await stack.payer(paid.link).settle()).state, 'captured');
  const [payment] = await stack.cli('payment', 'list', '--invoice', paid.invoice.id);
  await stack.cli('refund', 'create', '--payment', payment.id, '--amount-minor', '234', '--id', 'contract-1');
  await waitFor(() => recorder.exchanges.some(({ url, status }) => url === '/v1/refunds' && status === 200), { what: 'the refund' });

  const declined = await stack.scene();
  assert.equal((await stack.payer(declined.link).settle({ number: '4000000000000002' })).state, 'declined');

  const secured = await stack.scene();
  await stack.payer(secured.link).settle({ number: '4000002760003184' });
  assert.ok((await settled(secured.invoice, ['action_required'])).gateway_ref);

  const lost = await stack.scene();
  await stack.sandbox.fault({ on: 'payment_intents', kind: 'status_after', status: 502, count: 1 });
  await stack.payer(lost.link).settle().catch(() => {});
  await settled(lost.invoice, ['captured']);
  assert.equal((await stack.cli('verify')).ok, true);
});

it('every request is one that Stripe describes, with our key, our version and our idempotency key', () => {
  const routes = new Set(recorder.exchanges.map(({ method, url }) => `${method} ${url.replace(/\?.*/, '').replace(/\/pi_\w+/, '/ID')}`));
  for (const route of ['POST /v1/payment_intents', 'POST /v1/refunds', 'GET /v1/payment_intents', 'GET /v1/refunds']) {
    assert.ok(routes.has(route), `${route} in ${[...routes]}`);
  }
  for (const { method, url, headers, body } of recorder.exchanges) {
    assert.match(headers.authorization, /^Bearer sk_/);
    assert.equal(headers['stripe-version'], API_VERSION);
    if (method === 'POST' && !url.endsWith('/cancel')) assert.ok(headers['idempotency-key'], url);
    assert.doesNotMatch(body, /4242424242424242|4000000000000002/, 'no card number leaves Paylink');
  }
  recorder.judge();
});
