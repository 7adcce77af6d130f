// The whole story in a real browser with JavaScript: the card goes into the gateway's frame, the money to
// the books, the receipt to the payer; and everything that may come between.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CARD, PHONE } from '../harness/browser.mjs';
import { bill, captures, house, inFlight, payCash, published, verifyBooks } from './scenes.mjs';

// No sweep of the gateway's list: it would find what a test keeps waiting for.
const it = house({ set: { 'worker.sweep_ms': '3600000', 'gateway.timeout_ms': '7000', 'worker.check_delays_ms': '1000,2000,4000,8000,9000,10000,11000,12000,60000' } });
const { visit } = it;

test('a payer opens the link, types a card, presses Pay and sees the receipt; the money is booked', visit(async (payer) => {
  const { stack } = it;
  const { invoice, link } = await bill(stack);
  await payer.open(link.url);
  assert.equal(await payer.page.title(), 'Pay $1,200.00 to Northwind Studio');
  await payer.typeCard();
  assert.equal(await payer.field('number').inputValue(), '4242 4242 4242 4242');
  await payer.press();
  await payer.shows('captured');
  assert.match(await payer.text(), /Payment received[\s\S]*\$1,200\.00[\s\S]*Northwind Studio[\s\S]*Visa •••• 4242[\s\S]*Receipt number/);
  assert.deepEqual(await captures(stack, link), [120_000]);
  assert.equal((await stack.cli('invoice', 'show', invoice.id)).state, 'paid');

  await payer.page.getByRole('link', { name: 'Show the receipt' }).click();
  await payer.shows('paid');
  assert.match(await payer.text(), /Paid in full[\s\S]*\$1,200\.00[\s\S]*Acme Corp/);
  assert.equal(payer.watch.count('POST', /\/open$/), 1);
  assert.equal(payer.watch.count('POST', /\/pay$/), 1);
  await verifyBooks(stack);
}));

test('several invoices on one link: each is listed, one charge pays all', visit(async (payer) => {
  const { stack } = it;
  const { invoices, link } = await bill(stack, { amounts: [120_000, 62_350, 300_000] });
  await payCash(stack, invoices[0], 20_000);
  await published(stack, link, (page) => page.includes('4,623.50'));
  await payer.open(link.url);
  const shown = await payer.text();
  for (const { number } of invoices) assert.ok(shown.includes(number), shown);
  assert.match(shown, /\$1,000\.00\s+of \$1,200\.00/);
  assert.match(await payer.page.locator('#button').innerText(), /Pay \$4,623\.50/);
  await payer.typeCard();
  await payer.press();
  await payer.shows('captured');
  assert.deepEqual(await captures(stack, link), [462_350]);
  await payer.open(link.url);
  const receipt = await payer.text();
  for (const { number } of invoices) assert.ok(receipt.includes(number), receipt);
  await verifyBooks(stack);
}, { viewport: PHONE }));

test('declined: told that nothing was charged; another card pays', visit(async (payer) => {
  const { stack } = it;
  const { link } = await bill(stack);
  await payer.open(link.url);
  await payer.typeCard(CARD.declined);
  await payer.press();
  await payer.shows('declined');
  assert.match(await payer.text(), /The card was declined[\s\S]*Your card was not charged/);
  assert.deepEqual(await captures(stack, link), []);
  await payer.page.getByRole('link', { name: 'Back to the payment page' }).click();
  await payer.frameReady();
  assert.equal(await payer.field('number').inputValue(), '');
  await payer.typeCard(CARD.good);
  await payer.press();
  await payer.shows('captured');
  assert.deepEqual(await captures(stack, link), [120_000]);
  await verifyBooks(stack);
}));

test('a mistyped card is told at the field, nothing is sent; put right, it pays', visit(async (payer) => {
  const { stack } = it;
  const { link } = await bill(stack);
  await payer.open(link.url);
  await payer.page.locator('#button').click();
  await payer.page.getByRole('alert').getByText('Enter the card number.').waitFor();
  await payer.typeCard('4242424242424241');
  await payer.page.locator('#button').click();
  await payer.page.getByRole('alert').getByText('The card number is not right.').waitFor();
  assert.equal(await payer.field('number').getAttribute('aria-invalid'), 'true');
  assert.equal(payer.watch.requests.filter(({ url }) => url.endsWith('/v1/payment_methods')).length, 0);
  assert.equal(payer.watch.count('POST', /\/pay$/), 0);
  await payer.field('number').press('End');
  await payer.field('number').press('Backspace');
  await payer.field('number').pressSequentially('2');
  assert.equal(await payer.field('number').getAttribute('aria-invalid'), 'false');
  await payer.press();
  await payer.shows('captured');
}));

test('3-D Secure: the payer confirms at the bank and comes back to the receipt', visit(async (payer) => {
  const { stack } = it;
  const { link } = await bill(stack);
  await payer.open(link.url);
  await payer.typeCard(CARD.confirm);
  await payer.press();
  await payer.shows('action_required');
  assert.match(await payer.text(), /has not been charged yet/);
  assert.deepEqual(await captures(stack, link), []);
  await payer.page.getByRole('link', { name: 'Continue to your bank' }).click();
  assert.equal(new URL(payer.page.url()).origin, payer.watch.gateway);
  assert.match(await payer.text(), /\$1,200\.00/);
  await payer.page.getByRole('button', { name: 'Confirm the payment' }).click();
  await payer.shows('captured');
  assert.ok(payer.page.url().startsWith(`${link.url}/a/`));
  assert.deepEqual(await captures(stack, link), [120_000]);
  await verifyBooks(stack);
}));

test('3-D Secure refused: nothing is charged, and the link can still be paid', visit(async (payer) => {
  const { stack } = it;
  const { link } = await bill(stack);
  await payer.open(link.url);
  await payer.typeCard(CARD.confirm);
  await payer.press();
  await payer.shows('action_required');
  await payer.page.getByRole('link', { name: 'Continue to your bank' }).click();
  await payer.page.getByRole('button', { name: 'Refuse it' }).click();
  await payer.shows('declined');
  assert.match(await payer.text(), /Your card was not charged/);
  assert.deepEqual(await captures(stack, link), []);
  await payer.page.getByRole('link', { name: 'Back to the payment page' }).click();
  await payer.frameReady();
  await payer.typeCard();
  await payer.press();
  await payer.shows('captured');
  assert.deepEqual(await captures(stack, link), [120_000]);
}));

test('cash arrives while the card is charged: the receipt says what was too much', visit(async (payer) => {
  const { stack } = it;
  const { customer, invoice, link } = await bill(stack);
  await stack.sandbox.fault({ on: 'payment_intents', kind: 'delay', delay_ms: 4_000, count: 1 });
  await payer.open(link.url);
  await payer.typeCard();
  await payer.push();
  await inFlight(stack, invoice);
  await payCash(stack, invoice, 50_000);
  await payer.shows('captured');
  assert.match(await payer.text(), /\$500\.00 more than was due[\s\S]*kept as your balance with Northwind Studio/);
  const card = (await stack.cli('payment', 'list', '--customer', customer.id)).find((payment) => payment.attempt);
  assert.deepEqual([card.amount_minor, card.applied_minor, card.unapplied_minor], [120_000, 70_000, 50_000]);
  await verifyBooks(stack);
}));

test('an old page: the new total is shown and nothing is charged; then that is paid', visit(async (payer) => {
  const { stack } = it;
  const { invoice, link } = await bill(stack);
  await payer.deaf();
  await payer.open(link.url);
  await payer.typeCard();
  await stack.cli('invoice', 'change', invoice.id, '--line', 'Website design:1:99000');
  await published(stack, link, (page) => page.includes('990.00'));
  const [answer] = await Promise.all([
    payer.page.waitForResponse((response) => response.url().endsWith('/pay')),
    payer.page.locator('#button').click(),
  ]);
  assert.equal(answer.status(), 409);
  await payer.page.getByRole('alert').getByText('The amount has changed').waitFor();
  assert.match(await payer.text(), /Your card was not charged/);
  assert.match(await payer.page.locator('#button').innerText(), /Pay \$990\.00/);
  assert.deepEqual(await captures(stack, link), []);
  await payer.frameReady();
  await payer.typeCard();
  await payer.press();
  await payer.shows('captured');
  assert.deepEqual(await captures(stack, link), [99_000]);
}));

test('paid in cash meanwhile: the old page is answered with the receipt and charges nothing', visit(async (payer) => {
  const { stack } = it;
  const { invoice, link } = await bill(stack);
  await payer.deaf();
  await payer.open(link.url);
  await payer.typeCard();
  await payCash(stack, invoice, 120_000);
  await published(stack, link, (page) => page.includes('data-state="paid"'));
  await payer.page.locator('#button').click();
  await payer.shows('paid');
  assert.match(await payer.text(), /that payment was not charged[\s\S]*Cash/);
  assert.deepEqual(await captures(stack, link), []);
}));

test('a double click on Pay: one card token, one submit, one capture', visit(async (payer) => {
  const { stack } = it;
  const { link } = await bill(stack);
  await payer.open(link.url);
  await payer.typeCard();
  await payer.page.locator('#button').dblclick();
  await payer.shows('captured');
  assert.equal(payer.watch.requests.filter(({ method, url }) => method === 'POST' && url.endsWith('/v1/payment_methods')).length, 1);
  assert.equal(payer.watch.count('POST', /\/pay$/), 1);
  assert.deepEqual(await captures(stack, link), [120_000]);
}));

test('Enter in the card fields pays', visit(async (payer) => {
  const { link } = await bill(it.stack);
  await payer.open(link.url);
  await payer.typeCard();
  await payer.field('cvc').press('Enter');
  await payer.shows('captured');
  assert.deepEqual(await captures(it.stack, link), [120_000]);
}));

test('two tabs of one link: one capture, the other is told the truth', visit(async (payer) => {
  const { stack } = it;
  const { link } = await bill(stack);
  await payer.deaf();
  await payer.open(link.url);
  const first = payer.page;
  await payer.typeCard();
  payer.page = await payer.context.newPage();
  await payer.open(link.url);
  await payer.typeCard();
  await Promise.all([first.locator('#button').click(), payer.page.locator('#button').click()]);
  const states = [];
  for (const tab of [first, payer.page]) {
    await tab.locator('main:is([data-state=captured], [data-state=refused], [data-state=paid])').waitFor();
    states.push(await tab.locator('main').getAttribute('data-state'));
  }
  assert.equal(states.filter((state) => state === 'captured').length, 1, String(states));
  assert.deepEqual(await captures(stack, link), [120_000]);
  await verifyBooks(stack);
}));

test('Back and Reload after paying: the receipt, never a second charge', visit(async (payer) => {
  const { stack } = it;
  const { link } = await bill(stack);
  await payer.open(link.url);
  await payer.typeCard();
  await payer.press();
  await payer.shows('captured');
  await payer.page.reload();
  await payer.shows('captured');
  await payer.page.goBack();
  await payer.shows('paid');
  assert.equal(await payer.page.locator('form').count(), 0);
  await payer.page.goForward();
  await payer.shows('captured');
  assert.equal(payer.watch.count('POST', /\/pay$/), 1);
  assert.deepEqual(await captures(stack, link), [120_000]);
}));

test('Back while the charge is in flight, and Pay again: one capture', visit(async (payer) => {
  const { stack } = it;
  const { invoice, link } = await bill(stack);
  await stack.sandbox.fault({ on: 'payment_intents', kind: 'delay', delay_ms: 4_000, count: 1 });
  await payer.deaf();
  await payer.open(link.url);
  await payer.typeCard();
  await payer.push();
  await inFlight(stack, invoice);
  await payer.open(link.url);
  assert.equal(await payer.state(), 'active');
  await payer.typeCard();
  await payer.press();
  await payer.page.locator('main:is([data-state=refused], [data-state=paid])').waitFor();
  assert.match(await payer.text(), /was not charged/);
  await published(stack, link, (page) => page.includes('data-state="paid"'));
  assert.deepEqual(await captures(stack, link), [120_000]);
}));

test('the gateway does not answer after charging: the payer sees that it is being checked, then the receipt', visit(async (payer) => {
  const { stack } = it;
  const { link } = await bill(stack);
  await stack.sandbox.fault({ on: 'payment_intents', kind: 'delay_after', delay_ms: 12_000, count: 1 });
  await payer.open(link.url);
  await payer.typeCard();
  await payer.press();
  await payer.shows('unknown');
  assert.match(await payer.text(), /may have been charged, once at most/);
  await payer.shows('captured');
  assert.deepEqual(await captures(stack, link), [120_000]);
  await verifyBooks(stack);
}));

for (const [currency, amount, shown] of [['JPY', 12_345, '¥12,345'], ['KWD', 12_340, /KWD\s12\.340/], ['EUR', 12_345, '€123.45']]) {
  test(`${currency} is shown on the button and on the receipt as it is charged`, visit(async (payer) => {
    const { link } = await bill(it.stack, { currency, amounts: [amount] });
    await payer.open(link.url);
    const label = await payer.page.locator('#button').innerText();
    assert.ok(typeof shown === 'string' ? label.includes(shown) : shown.test(label), label);
    await payer.typeCard();
    await payer.press();
    await payer.shows('captured');
    const text = await payer.text();
    assert.ok(typeof shown === 'string' ? text.includes(shown) : shown.test(text), text);
    assert.deepEqual(await captures(it.stack, link), [amount]);
  }));
}
