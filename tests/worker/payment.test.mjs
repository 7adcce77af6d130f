// One payment from page to ledger, and everything that can come between: declines, cash, credits,
// changed and void invoices, overpayments, refunds to the last cent.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { CliError, startStack, waitFor } from '../harness/index.mjs';

let stack;
before(async () => { stack = await startStack(); });
after(() => stack.stop());

const refused = (code) => (error) => error instanceof CliError && error.status === 1 && error.code === code;

const captures = async (link) => (await stack.sandbox.log()).filter((line) => line.type === 'charge' && line.metadata?.link === link.id);

async function published(link, condition) {
  return waitFor(async () => {
    const page = await stack.page(link.url);
    return condition(page) && page;
  }, { what: 'the page to follow the books' });
}

// The journal of a merchant sums to zero, and verify() and the gateway agree with the books.
async function verifyBooks() {
  const result = await stack.cli('verify');
  assert.equal(result.ok, true, JSON.stringify(result.checks?.filter((check) => !check.ok)));
}

test('a payer pays: the receipt is shown, the invoice is paid, one capture, the ledger explains it', async () => {
  const scene = await stack.scene({ amounts: [12_345] });
  const payer = stack.payer(scene.link);
  const result = await payer.settle();
  assert.equal(result.state, 'captured');
  assert.match(result.text, /123\.45/);

  const invoice = await stack.cli('invoice', 'show', scene.invoice.id);
  assert.deepEqual([invoice.state, invoice.paid_minor, invoice.due_minor], ['paid', 12_345, 0]);
  const [payment, ...more] = await stack.cli('payment', 'list', '--invoice', scene.invoice.id);
  assert.equal(more.length, 0);
  assert.equal(payment.amount_minor, 12_345);
  assert.equal((await captures(scene.link)).length, 1);
  const [attempt] = await stack.cli('attempt', 'list', '--invoice', scene.invoice.id);
  assert.equal(attempt.state, 'captured');

  const balances = (await stack.cli('ledger', 'balances')).filter((row) => row.merchant === scene.merchant.id);
  assert.equal(balances.reduce((sum, row) => sum + row.balance_minor, 0), 0);
  assert.equal(balances.find((row) => row.kind === 'cash_gateway').balance_minor, 12_345);
  const page = await published(scene.link, (answer) => answer.text.includes('data-state="paid"'));
  assert.equal(page.status, 200);
  await verifyBooks();
});

for (const [number, reason] of [
  ['4000000000000002', 'card_declined'],
  ['4000000000009995', 'insufficient_funds'],
  ['4000000000000119', 'processing_error'],
  ['4000000000000069', 'expired_card'],
  ['4000000000000127', 'incorrect_cvc'],
]) {
  test(`a card that answers ${reason}: nothing is booked, the payer may try another`, async () => {
    const scene = await stack.scene();
    const payer = stack.payer(scene.link);
    const declined = await payer.settle({ number });
    assert.equal(declined.state, 'declined');
    const [attempt] = await stack.cli('attempt', 'list', '--invoice', scene.invoice.id);
    assert.deepEqual([attempt.state, attempt.reason], ['declined', reason]);
    assert.equal((await stack.cli('payment', 'list', '--invoice', scene.invoice.id)).length, 0);
    assert.equal((await payer.settle()).state, 'captured');
    await verifyBooks();
  });
}

test('several invoices on one link are paid with one capture', async () => {
  const scene = await stack.scene({ amounts: [1_000, 2_500, 399] });
  assert.equal((await stack.payer(scene.link).settle()).state, 'captured');
  for (const { id } of scene.invoices) assert.equal((await stack.cli('invoice', 'show', id)).state, 'paid');
  const charges = await captures(scene.link);
  assert.deepEqual(charges.map((charge) => charge.amount), [3_899]);
});

for (const [currency, amount, shown] of [['JPY', 12_345, '12,345'], ['KWD', 12_340, '12.340'], ['EUR', 12_345, '123.45']]) {
  test(`${currency} is shown with its own digits and charged in its minor unit`, async () => {
    const scene = await stack.scene({ currency, amounts: [amount] });
    const payer = stack.payer(scene.link);
    assert.ok((await payer.view()).text.includes(shown));
    assert.equal((await payer.settle()).state, 'captured');
    const [charge] = await captures(scene.link);
    assert.deepEqual([charge.amount, charge.currency.toUpperCase()], [amount, currency]);
  });
}

test('paid in cash before the submit: the old page is refused and nothing is charged', async () => {
  const scene = await stack.scene();
  const payer = stack.payer(scene.link);
  await payer.view();
  const token = await payer.token();
  await stack.cli('payment', 'record', '--invoice', scene.invoice.id, '--method', 'cash', '--amount-minor', 12_500);
  await published(scene.link, (page) => page.text.includes('data-state="paid"'));
  const answer = await payer.submit({ payment_method: token });
  assert.notEqual(answer.status, 303);
  assert.match(answer.text, /data-state="paid"/);
  assert.equal((await captures(scene.link)).length, 0);
});

test('the books refuse it too when the page has not heard of the cash yet', async () => {
  const scene = await stack.scene();
  const payer = stack.payer(scene.link);
  await payer.view();
  const token = await payer.token();
  await stack.stopService('worker');
  await stack.cli('payment', 'record', '--invoice', scene.invoice.id, '--method', 'cash', '--amount-minor', 12_500);
  const answer = await payer.submit({ payment_method: token });
  assert.equal(answer.status, 303);
  await stack.startService('worker');
  const result = await payer.result(answer);
  assert.equal(result.state, 'refused');
  const [attempt] = await stack.cli('attempt', 'list', '--invoice', scene.invoice.id);
  assert.deepEqual([attempt.state, attempt.reason], ['refused', 'paid']);
  assert.equal((await captures(scene.link)).length, 0);
});

test('a merchant who prefers it gets an overpayment, which can be refunded', async () => {
  const scene = await stack.scene({ whenPaidElsewhere: 'overpayment' });
  const payer = stack.payer(scene.link);
  await payer.view();
  const token = await payer.token();
  await stack.cli('payment', 'record', '--invoice', scene.invoice.id, '--method', 'cash', '--amount-minor', 12_500);
  await published(scene.link, (page) => page.text.includes('data-state="paid"'));
  const result = await payer.result(await payer.submit({ payment_method: token }));
  assert.equal(result.state, 'captured');
  const [, payment] = (await stack.cli('payment', 'list', '--customer', scene.customer.id))
    .sort((a, b) => (a.attempt ? 1 : 0) - (b.attempt ? 1 : 0));
  assert.deepEqual([payment.applied_minor, payment.unapplied_minor], [0, 12_500]);
  const refund = await stack.cli('refund', 'create', '--payment', payment.id, '--amount-minor', 12_500, '--id', `over-${payment.id}`);
  assert.equal(refund.state, 'succeeded');
  await verifyBooks();
});

test('cash that arrives while the charge is in flight makes an overpayment', async () => {
  const scene = await stack.scene();
  const payer = stack.payer(scene.link);
  await stack.sandbox.fault({ on: 'payment_intents', kind: 'delay', delay_ms: 1_500, count: 1 });
  const answer = await payer.pay();
  await waitFor(async () => (await stack.cli('attempt', 'list', '--invoice', scene.invoice.id))[0]?.state === 'charging',
    { what: 'the charge to be in flight' });
  await stack.cli('payment', 'record', '--invoice', scene.invoice.id, '--method', 'cash', '--amount-minor', 10_000);
  assert.equal((await payer.result(answer)).state, 'captured');
  const payments = await stack.cli('payment', 'list', '--invoice', scene.invoice.id);
  const card = payments.find((payment) => payment.attempt);
  assert.deepEqual([card.amount_minor, card.applied_minor, card.unapplied_minor], [12_500, 2_500, 10_000]);
  assert.equal((await stack.cli('invoice', 'show', scene.invoice.id)).due_minor, 0);
  await verifyBooks();
});

test('an invoice voided while the charge is in flight: the money is booked and refundable', async () => {
  const scene = await stack.scene();
  const payer = stack.payer(scene.link);
  await stack.sandbox.fault({ on: 'payment_intents', kind: 'delay', delay_ms: 1_500, count: 1 });
  const answer = await payer.pay();
  await waitFor(async () => (await stack.cli('attempt', 'list', '--invoice', scene.invoice.id))[0]?.state === 'charging',
    { what: 'the charge to be in flight' });
  await stack.cli('invoice', 'void', scene.invoice.id);
  assert.equal((await payer.result(answer)).state, 'captured');
  const [card] = (await stack.cli('payment', 'list', '--customer', scene.customer.id));
  assert.deepEqual([card.applied_minor, card.unapplied_minor], [0, 12_500]);
  await verifyBooks();
});

test('partial refunds go to the last cent; one cent more is refused; a key is used once', async () => {
  const scene = await stack.scene({ amounts: [1_000] });
  assert.equal((await stack.payer(scene.link).settle()).state, 'captured');
  const [payment] = await stack.cli('payment', 'list', '--invoice', scene.invoice.id);
  const refund = (amount, key) => stack.cli('refund', 'create', '--payment', payment.id, '--amount-minor', amount, '--id', `${payment.id}-${key}`);
  assert.equal((await refund(400, 'a')).state, 'succeeded');
  assert.equal((await refund(400, 'a')).state, 'succeeded');
  await assert.rejects(refund(401, 'a'), refused('idempotency_mismatch'));
  assert.equal((await refund(599, 'b')).state, 'succeeded');
  assert.equal((await refund(1, 'c')).state, 'succeeded');
  await assert.rejects(refund(1, 'd'), refused('refund_exceeds'));
  assert.equal((await stack.cli('payment', 'show', payment.id)).refunded_minor, 1_000);
  const refunds = (await stack.sandbox.log()).filter((line) => line.type === 'refund' && line.payment_intent === payment.gateway_ref);
  assert.equal(refunds.reduce((sum, line) => sum + line.amount, 0), 1_000);
  await verifyBooks();
});

test('cash is refunded without the gateway', async () => {
  const scene = await stack.scene({ link: false });
  const payment = await stack.cli('payment', 'record', '--invoice', scene.invoice.id, '--method', 'cash', '--amount-minor', 12_500);
  const refund = await stack.cli('refund', 'create', '--payment', payment.id, '--amount-minor', 2_500, '--id', `cash-${payment.id}`);
  assert.equal(refund.state, 'succeeded');
  await verifyBooks();
});

test('a credit lowers the total on the page; the stale page is refused with the new total', async () => {
  const scene = await stack.scene();
  const payer = stack.payer(scene.link);
  await payer.view();
  const token = await payer.token();
  await stack.cli('credit', 'record', '--customer', scene.customer.id, '--amount-minor', 2_500);
  await published(scene.link, (page) => page.text.includes('100.00'));
  const stale = await payer.submit({ payment_method: token });
  assert.equal(stale.status, 409);
  assert.match(stale.text, /100\.00/);
  assert.equal((await captures(scene.link)).length, 0);
  assert.equal((await payer.settle()).state, 'captured');
  assert.deepEqual((await captures(scene.link)).map((charge) => charge.amount), [10_000]);
});

test('a changed invoice: the newest total is charged, never the outdated one', async () => {
  const scene = await stack.scene();
  const payer = stack.payer(scene.link);
  await payer.view();
  await stack.cli('invoice', 'change', scene.invoice.id, '--line', 'Lathe service:1:9900');
  await published(scene.link, (page) => page.text.includes('99.00'));
  assert.equal((await payer.submit({ payment_method: 'pm_card_visa' })).status, 409);
  assert.equal((await payer.settle()).state, 'captured');
  assert.deepEqual((await captures(scene.link)).map((charge) => charge.amount), [9_900]);
});

test('a void invoice, a replaced and a revoked link are told apart and take no money', async () => {
  const scene = await stack.scene();
  const [first, payer] = [scene.link, stack.payer(scene.link)];
  await payer.view();
  const second = await stack.link(scene);
  await published(first, (page) => page.status === 410);
  assert.match((await stack.page(first.url)).text, /data-state="replaced"/);
  assert.equal((await payer.submit({ payment_method: 'pm_card_visa' })).status, 410);
  await stack.cli('link', 'revoke', second.id);
  await published(second, (page) => /data-state="revoked"/.test(page.text));
  const third = await stack.link(scene);
  await stack.cli('invoice', 'void', scene.invoice.id);
  await published(third, (page) => /data-state="void"/.test(page.text));
  assert.equal((await captures(first)).length, 0);
});

test('3-D Secure: the payer confirms at the gateway and returns to the receipt', async () => {
  const scene = await stack.scene();
  const payer = stack.payer(scene.link);
  const action = await payer.settle({ number: '4000002760003184' });
  assert.equal(action.state, 'action_required');
  const intent = (await stack.cli('attempt', 'list', '--invoice', scene.invoice.id))[0];
  assert.equal(intent.state, 'action_required');
  const decide = await fetch(`${stack.info.sandbox_url}/authenticate/${intent.gateway_ref}`, {
    method: 'POST', redirect: 'manual', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: 'decision=complete',
  });
  assert.equal(decide.status, 303);
  const back = decide.headers.get('location');
  assert.ok(back.startsWith(`${scene.link.url}/a/`), back.replace(/\/p\/[^/]+/, '/p/…'));
  await waitFor(async () => /data-state="captured"/.test((await stack.page(back)).text), { what: 'the receipt' });
  assert.equal((await stack.cli('invoice', 'show', scene.invoice.id)).state, 'paid');
  await verifyBooks();
});

test('3-D Secure refused: declined, and the invoice can be paid again', async () => {
  const scene = await stack.scene();
  const payer = stack.payer(scene.link);
  const action = await payer.settle({ number: '4000002760003184' });
  assert.equal(action.state, 'action_required');
  const [attempt] = await stack.cli('attempt', 'list', '--invoice', scene.invoice.id);
  const decide = await fetch(`${stack.info.sandbox_url}/authenticate/${attempt.gateway_ref}`, {
    method: 'POST', redirect: 'manual', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: 'decision=fail',
  });
  await waitFor(async () => /data-state="declined"/.test((await stack.page(decide.headers.get('location'))).text), { what: 'the refusal' });
  assert.equal((await payer.settle()).state, 'captured');
});
