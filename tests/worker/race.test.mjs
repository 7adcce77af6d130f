// Whatever races, one capture at most (X3), and refunds never exceed what was captured.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startStack, tally, together } from '../harness/index.mjs';

let stack;
before(async () => { stack = await startStack({ nginxWorkers: 2 }); });
after(() => stack.stop());

async function capturedOnce(scene) {
  const charges = (await stack.sandbox.log()).filter((line) => line.type === 'charge' && line.metadata?.merchant === scene.merchant.id);
  assert.equal(charges.length, 1);
  const payments = await stack.cli('payment', 'list', '--invoice', scene.invoice.id);
  assert.equal(payments.length, 1);
  assert.equal((await stack.cli('verify')).ok, true);
}

test('a double click: the second submit of the same page is absorbed', async () => {
  const scene = await stack.scene();
  const payer = stack.payer(scene.link);
  await payer.view();
  const token = await payer.token();
  const answers = await together(2, () => payer.submit({ payment_method: token }));
  assert.deepEqual(tally(answers.map((answer) => answer.status)), { 303: 2 });
  assert.equal(answers[0].headers.location, answers[1].headers.location);
  assert.equal((await payer.result(answers[0])).state, 'captured');
  await capturedOnce(scene);
});

test('two tabs: one is captured, the other is told why not', async () => {
  const scene = await stack.scene();
  const tabs = [stack.payer(scene.link), stack.payer(scene.link)];
  for (const tab of tabs) await tab.view();
  const answers = await together(2, async (i) => tabs[i].submit({ payment_method: await tabs[i].token() }));
  const states = await together(2, async (i) => (answers[i].status === 303 ? (await tabs[i].result(answers[i])).state : String(answers[i].status)));
  assert.equal(states.filter((state) => state === 'captured').length, 1, states.join(' '));
  await capturedOnce(scene);
});

test('100 concurrent submits for one invoice, from pages of their own: one capture', async () => {
  const scene = await stack.scene();
  const tabs = Array.from({ length: 100 }, () => stack.payer(scene.link));
  await together(100, (i) => tabs[i].view());
  assert.equal(new Set(tabs.map((tab) => tab.form.fields.attempt)).size, 100);
  const answers = await together(100, (i) => tabs[i].submit({ payment_method: 'pm_card_visa' }));
  const states = await together(100, async (i) => (answers[i].status === 303 ? (await tabs[i].result(answers[i])).state : String(answers[i].status)));
  const counts = tally(states);
  assert.equal(counts.captured, 1, JSON.stringify(counts));
  assert.deepEqual(Object.keys(counts).filter((state) => !['captured', 'refused', '200', '409', '410'].includes(state)), []);
  await capturedOnce(scene);
});

test('two links that share an invoice: one capture for it', async () => {
  const scene = await stack.scene({ amounts: [5_000, 7_000] });
  const old = stack.payer(scene.link);
  await old.view();
  const single = stack.payer(await stack.link({ merchant: scene.merchant, invoices: [scene.invoice] }));
  await single.view();
  const answers = [await old.submit({ payment_method: 'pm_card_visa' }), await single.submit({ payment_method: 'pm_card_visa' })];
  const states = await together(2, async (i) => (answers[i].status === 303 ? (await [old, single][i].result(answers[i])).state : String(answers[i].status)));
  assert.equal(states[1], 'captured', states.join(' '));
  await capturedOnce(scene);
});

test('100 refunds with one key are one refund; 100 of a cent out of 50 cents give 50', async () => {
  const scene = await stack.scene({ amounts: [50] });
  assert.equal((await stack.payer(scene.link).settle()).state, 'captured');
  const [payment] = await stack.cli('payment', 'list', '--invoice', scene.invoice.id);
  const create = (key) => stack.sqlRun(`SELECT paylink.refund_create('${payment.id}', 1, '${key}')`);
  await together(20, () => create(`one-${payment.id}`));
  const all = await together(100, (i) => create(`many-${i}-${payment.id}`).then(() => 'taken', (error) => /refund/i.test(error.message) ? 'refused' : error.message));
  assert.deepEqual(tally(all), { taken: 49, refused: 51 });
  assert.equal((await stack.sql(`SELECT sum(amount_minor)::bigint AS total FROM paylink.refund WHERE payment_id = '${payment.id}'`))[0].total, 50);
});
