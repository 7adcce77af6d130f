// What a worker must not do when time passes: refund twice, take an outage for poison, lose an answer when it is
// stopped, or let somebody else's payment at the gateway hold up its own.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { startStack, waitFor } from '../harness/index.mjs';

const HOUR_MS = 3_600_000;

// `wrong`: the checks of `paylink verify` that have something to say at the end.
async function withStack(options, story, wrong = []) {
  const stack = await startStack(options);
  try {
    await story(stack);
    const { checks } = JSON.parse((await stack.cliRaw('verify', '--json')).stdout);
    assert.deepEqual(checks.filter((check) => !check.ok).map((check) => check.check), wrong);
  } finally {
    await stack.stop();
  }
}

async function restartWorkerWith(stack, failpoint) {
  await stack.stopService('worker');
  await stack.startService('worker', { workerEnv: failpoint ? { PAYLINK_FAILPOINT: failpoint } : {} });
}

const pendingEntries = async (redis) => {
  let entries = 0;
  for (let shard = 0; shard < 16; shard++) {
    entries += await redis.do('XLEN', `paylink:{0${shard.toString(16)}}:submit`);
  }
  return entries;
};

const deadLetters = async (redis) => (await redis.do('KEYS', 'paylink:{*}:dead')).length;

test('a refund whose answer was lost more than a day ago is looked for, and made once', async () => {
  await withStack({ shim: true }, async (stack) => {
    const scene = await stack.scene();
    assert.equal((await stack.payer(scene.link).settle()).state, 'captured');
    const [payment] = await stack.cli('payment', 'list', '--invoice', scene.invoice.id);
    let day = 0;
    for (const step of ['refund.after_gateway', 'refund.before_gateway']) {
      await restartWorkerWith(stack, `${step}=kill`);
      const refund = await stack.cli('refund', 'create', '--payment', payment.id, '--amount-minor', 100, '--id', step, '--no-wait');
      assert.equal(refund.state, 'pending');
      await stack.waitDead('worker');
      stack.setTime(++day * 25 * HOUR_MS);
      await stack.startService('worker');
      await waitFor(async () => (await stack.cli('refund', 'show', step)).state === 'succeeded', { what: `the refund after ${step}` });
    }
    const refunds = (await stack.sandbox.log()).filter((line) => line.type === 'refund');
    assert.deepEqual(refunds.map((line) => line.amount), [100, 100]);
  });
});

test('a payment that is not ours in the list of the gateway holds up no answer', async () => {
  await withStack({ set: { 'gateway.timeout_ms': '1000', 'worker.check_delays_ms': '500,1000,2000,60000' } }, async (stack) => {
    for (const attempt of [randomUUID(), 'order-17']) {
      const foreign = await stack.sandbox.api('POST', '/v1/payment_intents', {
        amount: 700, currency: 'usd', payment_method: 'pm_card_visa', confirm: 'true', 'payment_method_types[0]': 'card',
        'metadata[attempt]': attempt,
      });
      assert.equal(foreign.status, 200, foreign.text);
    }
    const scene = await stack.scene();
    await stack.sandbox.fault({ on: 'payment_intents', kind: 'drop_after', count: 1 });
    const payer = stack.payer(scene.link);
    assert.equal((await payer.result(await payer.pay())).state, 'captured');
    assert.match(stack.log('worker'), /cannot be booked: There is no attempt/);
  }, ['captures_at_gateway']);
});

test('a worker that is stopped books, tells and acknowledges what it has begun', async () => {
  await withStack({}, async (stack) => {
    const scene = await stack.scene();
    const payer = stack.payer(scene.link);
    const redis = await stack.redis();
    await stack.sandbox.fault({ on: 'payment_intents', kind: 'delay', delay_ms: 1500, count: 1 });
    const answer = await payer.pay();
    await waitFor(async () => (await stack.cli('attempt', 'list', '--invoice', scene.invoice.id))[0]?.state === 'charging', { what: 'the charge' });
    stack.signal('worker', 'SIGTERM');
    await stack.waitDead('worker');
    assert.equal((await payer.result(answer)).state, 'captured');
    assert.equal(await pendingEntries(redis), 0, 'entries that were not acknowledged');
    assert.match(stack.log('worker'), /ended/);
  });
});

test('a database that is away while workers come and go makes no entry poison', async () => {
  await withStack({}, async (stack) => {
    const scene = await stack.scene();
    const payer = stack.payer(scene.link);
    const redis = await stack.redis();
    await payer.view();
    await restartWorkerWith(stack, 'settle.before_register=kill');
    const answer = await payer.submit({ payment_method: 'pm_card_visa' });
    await stack.waitDead('worker'); // read, and not acknowledged
    await redis.do('XADD', `paylink:{${(Number.parseInt(scene.link.id.slice(0, 2), 16) % 16).toString(16).padStart(2, '0')}}:want`, '*',
      'kind', 'link', 'link', scene.link.id, 'of', '');
    await stack.stopService('postgres');
    for (let round = 0; round < 12; round++) {
      const worker = await stack.spawnWorker('worker-1');
      await new Promise((resolve) => { setTimeout(resolve, 400); });
      await worker.stop('SIGKILL');
    }
    await stack.startService('postgres');
    await stack.startService('worker');
    assert.equal((await payer.result(answer, { timeout: 40_000 })).state, 'captured');
    assert.equal(await deadLetters(redis), 0);
  });
});

test('a gateway that is away for long makes no entry poison either', async () => {
  const set = { 'worker.claim_idle_ms': '1200', 'worker.lease_ms': '1100', 'gateway.timeout_ms': '1000' };
  await withStack({ set }, async (stack) => {
    const scene = await stack.scene();
    const payer = stack.payer(scene.link);
    const redis = await stack.redis();
    const paymentMethod = await payer.token().catch(() => 'pm_card_visa');
    await stack.stopService('sandbox');
    await payer.view();
    const answer = await payer.submit({ payment_method: paymentMethod });
    const other = await stack.spawnWorker('worker-2');
    await new Promise((resolve) => { setTimeout(resolve, 15_000); });
    await restartWorkerWith(stack);
    await stack.startService('sandbox');
    assert.equal((await payer.result(answer, { timeout: 40_000 })).state, 'captured');
    assert.equal(await deadLetters(redis), 0);
    await other.stop();
    const charges = (await stack.sandbox.log()).filter((line) => line.type === 'charge');
    assert.equal(charges.length, 1);
  });
});
