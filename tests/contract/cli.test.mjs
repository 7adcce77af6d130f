// The official Stripe command-line client against the sandbox, offline.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { ROOT, Recorder, SECRET_KEY, SandboxProcess } from './sandbox.mjs';

const PROGRAM = path.join(ROOT, `tests/node_modules/@stripe/cli-linux-${process.arch}/bin/stripe`);

let sandbox;
let recorder;

before(async () => {
  sandbox = await SandboxProcess.start();
  recorder = await Recorder.start(sandbox.url);
});

after(async () => {
  await recorder?.stop();
  await sandbox?.stop();
});

function stripe(...args) {
  return new Promise((resolve, reject) => {
    execFile(PROGRAM, [...args, '--api-base', recorder.url, '--api-key', SECRET_KEY],
      { env: { PATH: process.env.PATH, HOME: sandbox.dir, XDG_CONFIG_HOME: sandbox.dir, STRIPE_CLI_TELEMETRY_OPTOUT: '1' }, timeout: 30_000 },
      (error, stdout, stderr) => {
        if (error) reject(new Error(`${stderr}\n${stdout}`));
        else resolve(JSON.parse(stdout));
      });
  });
}

it('pays, looks, refunds, lists', async () => {
  const intent = await stripe('payment_intents', 'create', '--amount', '2000', '--currency', 'usd', '--payment-method', 'pm_card_visa', '--confirm', '-d', 'metadata[order]=6735');
  assert.deepEqual([intent.status, intent.metadata], ['succeeded', { order: '6735' }]);
  assert.deepEqual(await stripe('payment_intents', 'retrieve', intent.id), intent);
  assert.equal((await stripe('charges', 'retrieve', intent.latest_charge)).payment_intent, intent.id);
  const refund = await stripe('refunds', 'create', '--payment-intent', intent.id, '--amount', '500');
  assert.deepEqual([refund.status, refund.amount], ['succeeded', 500]);
  assert.deepEqual((await stripe('refunds', 'list', '--payment-intent', intent.id)).data.map(({ id }) => id), [refund.id]);
  assert.equal((await stripe('events', 'list', '--limit', '1')).data[0].type, 'charge.refunded');
  assert.equal((await stripe('payment_intents', 'list', '--limit', '1')).data[0].id, intent.id);
});

it('confirms and cancels', async () => {
  const open = await stripe('payment_intents', 'create', '--amount', '700', '--currency', 'eur');
  assert.equal(open.status, 'requires_payment_method');
  assert.equal((await stripe('payment_intents', 'confirm', open.id, '--payment-method', 'pm_card_visa')).status, 'succeeded');
  const left = await stripe('payment_intents', 'create', '--amount', '700', '--currency', 'eur');
  assert.equal((await stripe('payment_intents', 'cancel', left.id, '--cancellation-reason', 'abandoned')).status, 'canceled');
});

it('shows errors, and replays by key', async () => {
  const wrong = await stripe('post', '/v1/payment_intents', '-d', 'amount=10', '-d', 'currency=usd');
  assert.equal(wrong.error.code, 'amount_too_small');
  const again = () => stripe('post', '/v1/payment_intents', '-d', 'amount=900', '-d', 'currency=usd', '--idempotency', 'cli-1');
  assert.deepEqual(await again(), await again());
  assert.equal(sandbox.lines().filter((line) => line.reply?.key === 'cli-1').length, 1);
});

it('all of it as Stripe describes it', () => {
  assert.ok(recorder.judge() >= 13);
});
