// The whole story in a browser with JavaScript switched off: links, forms and pages that renew themselves.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CARD } from '../harness/browser.mjs';
import { bill, captures, house, inFlight, payCash, published, verifyBooks } from './scenes.mjs';

// A short wait at the edge, so that the waiting page is really seen.
const it = house({ nginx: ['paylink_result_wait 1s;'] });
const visit = (act) => it.visit(act, { javaScriptEnabled: false });

test('to the card page of the gateway, back, Pay, receipt; the money is booked', visit(async (payer) => {
  const { stack } = it;
  const { invoice, link } = await bill(stack);
  await payer.open(link.url);
  assert.equal(await payer.page.locator('#button').isVisible(), false, 'nothing to press before there is a card');
  await payer.hostedCard();
  assert.match(await payer.text(), /Your card is ready\. It is charged when you press Pay\./);
  assert.deepEqual(await captures(stack, link), []);
  await payer.press();
  await payer.shows('captured');
  assert.match(await payer.text(), /Payment received[\s\S]*\$1,200\.00/);
  assert.deepEqual(await captures(stack, link), [120_000]);
  assert.equal((await stack.cli('invoice', 'show', invoice.id)).state, 'paid');
  await payer.open(link.url);
  assert.equal(await payer.state(), 'paid');
  await verifyBooks(stack);
}));

test('a mistyped card is told on the card page; put right, it pays', visit(async (payer) => {
  const { stack } = it;
  const { link } = await bill(stack);
  await payer.open(link.url);
  await payer.page.getByRole('link', { name: 'Continue to the card page' }).click();
  await payer.page.locator('#number').fill('4242 4242 4242 4241');
  await payer.page.locator('#exp_month').fill('12');
  await payer.page.locator('#exp_year').fill('40');
  await payer.page.locator('#cvc').fill('123');
  await payer.page.getByRole('button', { name: 'Use this card' }).click();
  await payer.page.getByRole('alert').waitFor();
  assert.equal(await payer.page.locator('[aria-invalid=true]').getAttribute('id'), 'number');
  await payer.page.locator('#number').fill('4242 4242 4242 4242');
  await payer.page.locator('#cvc').fill('123');
  await payer.page.getByRole('button', { name: 'Use this card' }).click();
  await payer.page.waitForURL('**/p/*payment_method=pm_*');
  await payer.press();
  await payer.shows('captured');
  assert.deepEqual(await captures(stack, link), [120_000]);
}));

test('declined: told that nothing was charged; another card pays', visit(async (payer) => {
  const { stack } = it;
  const { link } = await bill(stack);
  await payer.open(link.url);
  await payer.hostedCard(CARD.noFunds);
  await payer.press();
  await payer.shows('declined');
  assert.match(await payer.text(), /Not enough money on the card[\s\S]*Your card was not charged/);
  await payer.page.getByRole('link', { name: 'Back to the payment page' }).click();
  await payer.hostedCard();
  await payer.press();
  await payer.shows('captured');
  assert.deepEqual(await captures(stack, link), [120_000]);
  await verifyBooks(stack);
}));

for (const [decision, state, captured] of [['Confirm the payment', 'captured', [120_000]], ['Refuse it', 'declined', []]]) {
  test(`3-D Secure, "${decision}": ${state}`, visit(async (payer) => {
    const { link } = await bill(it.stack);
    await payer.open(link.url);
    await payer.hostedCard(CARD.confirm);
    await payer.press();
    await payer.shows('action_required');
    await payer.page.getByRole('link', { name: 'Continue to your bank' }).click();
    await payer.page.getByRole('button', { name: decision }).click();
    await payer.shows(state);
    assert.deepEqual(await captures(it.stack, link), captured);
  }));
}

test('a slow gateway: the page says so, renews itself and ends at the receipt', visit(async (payer) => {
  const { stack } = it;
  const { link } = await bill(stack);
  await stack.sandbox.fault({ on: 'payment_intents', kind: 'delay', delay_ms: 3_000, count: 1 });
  await payer.open(link.url);
  await payer.hostedCard();
  await payer.press();
  assert.match(await payer.heading(), /being processed/);
  assert.match(await payer.text(), /You will be charged once at most/);
  await payer.shows('captured');
  assert.ok(payer.watch.count('GET', /\/a\/[^/]+$/) >= 2, 'the page came back by itself');
  assert.deepEqual(await captures(stack, link), [120_000]);
}));

test('the waiting page works by plain reload', visit(async (payer) => {
  const { stack } = it;
  const { link } = await bill(stack);
  await payer.open(link.url);
  await payer.hostedCard();
  await stack.stopService('worker');
  await payer.press();
  await payer.shows('received');
  await payer.page.reload();
  assert.equal(await payer.state(), 'received');
  await stack.startService('worker');
  await payer.page.getByRole('link', { name: 'Check now' }).click();
  await payer.shows('captured');
  assert.deepEqual(await captures(stack, link), [120_000]);
}));

test('an old page: the new total is shown, nothing is charged; then that is paid', visit(async (payer) => {
  const { stack } = it;
  const { invoice, link } = await bill(stack);
  await payer.open(link.url);
  await payer.hostedCard();
  await stack.cli('invoice', 'change', invoice.id, '--line', 'Website design:1:99000');
  await published(stack, link, (page) => page.includes('990.00'));
  await payer.page.locator('#button').click();
  await payer.page.getByRole('alert').getByText('The amount has changed').waitFor();
  assert.match(await payer.text(), /Your card was not charged[\s\S]*\$990\.00/);
  assert.deepEqual(await captures(stack, link), []);
  await payer.hostedCard();
  assert.match(await payer.page.locator('#button').innerText(), /Pay \$990\.00/);
  await payer.press();
  await payer.shows('captured');
  assert.deepEqual(await captures(stack, link), [99_000]);
}));

test('cash arrives while the card is charged: the receipt says what was too much', visit(async (payer) => {
  const { stack } = it;
  const { invoice, link } = await bill(stack);
  await stack.sandbox.fault({ on: 'payment_intents', kind: 'delay', delay_ms: 4_000, count: 1 });
  await payer.open(link.url);
  await payer.hostedCard();
  await payer.press();
  await inFlight(stack, invoice);
  await payCash(stack, invoice, 120_000);
  await payer.shows('captured');
  assert.match(await payer.text(), /\$1,200\.00 more than was due/);
  await verifyBooks(stack);
}));

test('a double click on Pay: the same attempt twice, one capture', visit(async (payer) => {
  const { stack } = it;
  const { link } = await bill(stack);
  await payer.open(link.url);
  await payer.hostedCard();
  await payer.page.locator('#button').dblclick();
  await payer.shows('captured');
  assert.ok(payer.watch.count('POST', /\/pay$/) >= 1);
  assert.deepEqual(await captures(stack, link), [120_000]);
  await verifyBooks(stack);
}));

test('Back after paying, to the page with the card: Pay leads to the receipt, no second charge', visit(async (payer) => {
  const { stack } = it;
  const { link } = await bill(stack);
  await payer.open(link.url);
  await payer.hostedCard();
  await payer.press();
  await payer.shows('captured');
  await payer.page.goBack();
  await payer.shows('paid');
  assert.equal(await payer.page.locator('form').count(), 0);
  assert.deepEqual(await captures(stack, link), [120_000]);
}));
