// paylink verify against the gateway's own list, and refunds as the operator sees them, through the whole stack.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startStack, together, waitFor } from '../harness/index.mjs';

let stack;
before(async () => { stack = await startStack(); });
after(() => stack.stop());

async function report(status, ...args) {
  const result = await stack.cliRaw('verify', ...args, '--json');
  assert.equal(result.status, status, `${result.stdout}${result.stderr}`);
  const { ok, checks } = JSON.parse(result.stdout);
  assert.equal(ok, status === 0, result.stdout);
  return Object.fromEntries(checks.map((check) => [check.check, check]));
}

async function paid(amount = 12_500) {
  const scene = await stack.scene({ amounts: [amount] });
  const result = await stack.payer(scene.link).settle();
  assert.equal(result.state, 'captured');
  const [payment] = await stack.cli('payment', 'list', '--invoice', scene.invoice.id);
  return { ...scene, payment };
}

const charge = (fields = {}) => stack.sandbox.api('POST', '/v1/payment_intents', {
  amount: 777, currency: 'usd', payment_method: 'pm_card_visa', confirm: 'true', 'payment_method_types[]': 'card', ...fields,
});

test('captures and refunds agree, and are counted', async () => {
  const { payment } = await paid();
  const refund = await stack.cli('refund', 'create', '--payment', payment.id, '--amount-minor', 500, '--id', `agree-${payment.id}`);
  assert.equal(refund.state, 'succeeded', 'the command waited for the worker');
  assert.match(refund.gateway_ref, /^re_/);
  const checks = await report(0);
  assert.match(checks.captures_at_gateway.detail, /^\d+ agree$/);
  assert.match(checks.refunds_at_gateway.detail, /^\d+ agree$/);
  assert.match((await stack.cliRaw('verify')).stdout, /captures_at_gateway +good +\d+ agree[^]*\nall good\n$/);
});

test('while payers are paying, what is on its way is no difference', async () => {
  const scenes = [];
  for (let i = 0; i < 6; i++) scenes.push(await stack.scene());
  let done = false;
  const payers = together(scenes.length, (i) => stack.payer(scenes[i].link).settle()).finally(() => { done = true; });
  do await report(0); while (!done);
  await payers;
});

test('a refund waits for the worker only so long, and says the truth', async () => {
  const { payment } = await paid();
  const id = `wait-${payment.id}`;
  await stack.stopService('worker');
  try {
    const started = Date.now();
    const result = await stack.cliRaw('refund', 'create', '--payment', payment.id, '--amount-minor', '100', '--id', id, '--wait', '1', '--json');
    assert.equal(result.status, 0);
    assert.ok(Date.now() - started >= 1000);
    assert.equal(JSON.parse(result.stdout).state, 'pending');
    assert.match(result.stderr, /waits for the worker/);
    const later = await stack.cliRaw('refund', 'create', '--payment', payment.id, '--amount-minor', '100', '--id', id, '--no-wait', '--json');
    assert.equal(JSON.parse(later.stdout).state, 'pending');
  } finally {
    await stack.startService('worker');
  }
  await waitFor(async () => (await stack.cli('refund', 'show', id)).state === 'succeeded', { what: 'the refund to be executed' });
  assert.equal((await stack.cli('payment', 'show', payment.id)).refunded_minor, 100);
});

test('a refund that the gateway refuses: status 1, the books take it back', async () => {
  const { payment } = await paid(1_000);
  // The money is refunded behind Paylink's back: the gateway has nothing left to give.
  const reply = await stack.sandbox.api('POST', '/v1/refunds', { payment_intent: payment.gateway_ref });
  assert.equal(reply.status, 200, reply.text);
  const result = await stack.cliRaw('refund', 'create', '--payment', payment.id, '--amount-minor', '400', '--id', `refused-${payment.id}`, '--json');
  assert.equal(result.status, 1, result.stdout);
  assert.equal(JSON.parse(result.stdout).state, 'failed');
  const after = await stack.cli('payment', 'show', payment.id);
  assert.deepEqual([after.refunded_minor, after.refundable_minor], [0, 1_000]);

  const checks = await report(1, '--patience', '0');
  assert.equal(checks.refunds_at_gateway.ok, false);
  assert.match(checks.refunds_at_gateway.detail, new RegExp(`${reply.json().id}.*1000 USD done at the gateway and not booked here`));
  assert.equal(checks.captures_at_gateway.ok, true);
  await report(0, '--patience', '0', '--ours-only');
});

test('a capture that is not in the books', async () => {
  const reply = await charge();
  assert.equal(reply.json().status, 'succeeded', reply.text);
  const checks = await report(1, '--patience', '1');
  assert.match(checks.captures_at_gateway.detail, new RegExp(`${reply.json().id} \\(without Paylink's metadata\\): 777 USD done at the gateway and not booked here`));
  await report(0, '--patience', '0', '--ours-only');
  const declined = await charge({ payment_method: 'pm_card_chargeDeclined' });
  assert.equal(declined.status, 402);
  assert.match((await report(1, '--patience', '0')).captures_at_gateway.detail, /^1 differ/, 'what was declined is no capture');
});

test('a booked capture that the gateway does not know, or knows as another attempt\'s', async () => {
  const first = await paid(), second = await paid();
  const set = (payment, ref) => stack.sqlRun(`UPDATE paylink.payment SET gateway_ref = '${ref}' WHERE id = '${payment.id}'`);
  await set(first.payment, 'pi_never');
  let checks = await report(1, '--patience', '0', '--ours-only');
  assert.match(checks.captures_at_gateway.detail, new RegExp(`pi_never \\(${first.payment.id}\\) is booked here and not done at the gateway`));
  assert.match(checks.captures_at_gateway.detail, new RegExp(`${first.payment.gateway_ref}.*done at the gateway and not booked here`));
  assert.equal(checks.capture_is_a_payment.ok, false, 'the books notice it by themselves too');

  await set(first.payment, second.payment.gateway_ref);
  checks = await report(1, '--patience', '0', '--ours-only');
  assert.match(checks.captures_at_gateway.detail, new RegExp(`belongs to “${second.payment.id}” at the gateway, to ${first.payment.id} here|${second.payment.gateway_ref}.*booked here and not done`));
  await set(first.payment, first.payment.gateway_ref);
  await report(0, '--patience', '0', '--ours-only');
});

test('the gateway is away: status 3, the books are reported all the same', async () => {
  await stack.stopService('sandbox');
  try {
    const checks = await report(3);
    assert.equal(checks.gateway.ok, false);
    assert.equal(checks.capture_is_a_payment.ok, true);
    await report(0, '--no-gateway');
  } finally {
    await stack.startService('sandbox');
  }
});
