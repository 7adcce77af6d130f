// kill -9 at every durable step of the pipeline: after a restart the books are right, the gateway's own
// log agrees, and the payer is told the truth.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startStack, waitFor } from '../harness/index.mjs';

let stack;
before(async () => {
  stack = await startStack({ durable: true, set: { 'gateway.timeout_ms': '2000', 'worker.check_delays_ms': '500,1000,2000,4000,60000' } });
});
after(() => stack.stop());

async function oneCaptureBooked(scene) {
  const charges = (await stack.sandbox.log()).filter((line) => line.type === 'charge' && line.metadata?.link === scene.link.id);
  assert.equal(charges.length, 1, 'captures in the log of the gateway');
  const payments = await stack.cli('payment', 'list', '--invoice', scene.invoice.id);
  assert.deepEqual(payments.map((payment) => payment.amount_minor), [12_500]);
  const verified = await stack.cli('verify');
  assert.equal(verified.ok, true, JSON.stringify(verified.checks?.filter((check) => !check.ok)));
}

async function restartWorkerWith(failpoint) {
  await stack.stopService('worker');
  await stack.startService('worker', { workerEnv: failpoint ? { PAYLINK_FAILPOINT: failpoint } : {} });
}

for (const step of ['before_register', 'after_register', 'before_gateway', 'after_gateway', 'before_book', 'after_book', 'before_ack']) {
  test(`the worker is killed: settle.${step}`, async () => {
    const scene = await stack.scene();
    const payer = stack.payer(scene.link);
    await payer.view();
    await restartWorkerWith(`settle.${step}=kill`);
    const answer = await payer.submit({ payment_method: 'pm_card_visa' });
    assert.equal(answer.status, 303);
    await waitFor(() => stack.isDead('worker'), { what: `the kill at settle.${step}` });
    await stack.startService('worker');
    assert.equal((await payer.result(answer)).state, 'captured');
    await oneCaptureBooked(scene);
  });
}

test('the worker is killed while it publishes: the answer still reaches the payer', async () => {
  const scene = await stack.scene();
  const payer = stack.payer(scene.link);
  await payer.view();
  await restartWorkerWith('outbox.before_publish=kill');
  const answer = await payer.submit({ payment_method: 'pm_card_visa' });
  await waitFor(() => stack.isDead('worker'), { what: 'the kill' });
  await stack.startService('worker');
  assert.equal((await payer.result(answer)).state, 'captured');
  await oneCaptureBooked(scene);
});

test('the worker is killed in a refund, before and after the gateway: refunded once', async () => {
  const scene = await stack.scene();
  assert.equal((await stack.payer(scene.link).settle()).state, 'captured');
  const [payment] = await stack.cli('payment', 'list', '--invoice', scene.invoice.id);
  for (const step of ['refund.before_gateway', 'refund.after_gateway']) {
    await restartWorkerWith(`${step}=kill`);
    const key = `${step}-${payment.id}`;
    const refund = await stack.cli('refund', 'create', '--payment', payment.id, '--amount-minor', 100, '--id', key, '--no-wait');
    assert.equal(refund.state, 'pending');
    await waitFor(() => stack.isDead('worker'), { what: `the kill at ${step}` });
    await stack.startService('worker');
    await waitFor(async () => (await stack.cli('refund', 'show', key)).state === 'succeeded', { timeout: 40_000, what: 'the refund' });
  }
  const refunds = (await stack.sandbox.log()).filter((line) => line.type === 'refund' && line.payment_intent === payment.gateway_ref);
  assert.deepEqual(refunds.map((line) => line.amount), [100, 100]);
  assert.equal((await stack.cli('verify')).ok, true);
});

test('a stopped zombie wakes up after another worker has taken over: one capture', async () => {
  const other = await startStack({ set: { 'worker.claim_idle_ms': '1500', 'worker.lease_ms': '1200', 'gateway.timeout_ms': '1000' } });
  try {
    const scene = await other.scene();
    const payer = other.payer(scene.link);
    await payer.view();
    await other.stopService('worker');
    await other.startService('worker', { workerEnv: { PAYLINK_FAILPOINT: 'settle.before_gateway=stop' } });
    const answer = await payer.submit({ payment_method: 'pm_card_visa' });
    await waitFor(async () => (await other.cli('attempt', 'list', '--invoice', scene.invoice.id))[0]?.state === 'charging', { what: 'the attempt to be registered' });
    const second = await other.spawnWorker('worker-2');
    assert.equal((await payer.result(answer, { timeout: 40_000 })).state, 'captured');
    other.signal('worker', 'SIGCONT');
    const next = await other.scene();
    assert.equal((await other.payer(next.link).settle()).state, 'captured');
    const charges = (await other.sandbox.log()).filter((line) => line.type === 'charge' && line.metadata?.link === scene.link.id);
    assert.equal(charges.length, 1);
    assert.equal((await other.cli('verify')).ok, true);
    await second.stop();
  } finally {
    await other.stop();
  }
});

test('the gateway is killed after its log and before its answer: asked again, charged once', async () => {
  const scene = await stack.scene();
  const payer = stack.payer(scene.link);
  await stack.sandbox.fault({ on: 'payment_intents', kind: 'delay_after', delay_ms: 60_000, count: 1 });
  const answer = await payer.pay();
  await waitFor(async () => (await stack.cli('attempt', 'list', '--invoice', scene.invoice.id))[0]?.state === 'unknown', { what: 'the unknown result' });
  await stack.kill('sandbox');
  await stack.startService('sandbox');
  assert.equal((await payer.result(answer, { timeout: 40_000 })).state, 'captured');
  await oneCaptureBooked(scene);
});
