// The open page follows its link, without a reload and without a touch of the card that is being typed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CARD, Visitor } from '../harness/browser.mjs';
import { waitFor } from '../harness/index.mjs';
import { bill, captures, house, payCash, published } from './scenes.mjs';

const it = house();
const { visit } = it;

const credit = (stack, { customer }, amount) => stack.cli('credit', 'record', '--customer', customer.id, '--amount-minor', amount);

test('a credit changes the total on the screen; the half-typed card stays, and pays the new total', visit(async (payer) => {
  const { stack } = it;
  const scene = await bill(stack, { amounts: [120_000, 30_000] });
  await payer.open(scene.link.url);
  await payer.field('number').pressSequentially('4242 4242');
  const before = await payer.page.locator('[name=attempt]').inputValue();
  await credit(stack, scene, 20_000);
  await payer.page.locator('#changed').waitFor();
  assert.match(await payer.page.locator('#changed').innerText(), /The amount has changed[\s\S]*\$1,300\.00/);
  assert.match(await payer.page.locator('#sum').innerText(), /\$1,300\.00[\s\S]*\$1,000\.00[\s\S]*\$300\.00/);
  assert.match(await payer.page.locator('#button').innerText(), /Pay \$1,300\.00/);
  assert.match(await payer.page.title(), /\$1,300\.00/);
  const renewed = await payer.page.locator('[name=attempt]').inputValue();
  assert.notEqual(renewed, before);
  // Six bytes of time: that of the first rendering.
  assert.equal(renewed.slice(0, 8), before.slice(0, 8));
  assert.equal(await payer.field('number').inputValue(), '4242 4242');
  assert.equal(await payer.field('number').evaluate((field) => document.activeElement === field), true, 'the focus stays');
  await payer.typeCard();
  await payer.press();
  await payer.shows('captured');
  assert.deepEqual(await captures(stack, scene.link), [130_000]);
}));

test('an error of the moment, a lost request, an older page: the card stays, the total comes', visit(async (payer) => {
  const { stack } = it;
  const scene = await bill(stack);
  await payer.open(scene.link.url);
  await payer.field('number').pressSequentially('4242 4242');
  const older = await (await fetch(scene.link.url)).text();
  const answers = [{ status: 503, body: '<title>busy</title>' }, null, { status: 200, contentType: 'text/html', body: older }];
  await payer.page.route(scene.link.url, (route) => {
    if (!answers.length) return route.continue();
    const answer = answers.shift();
    return answer ? route.fulfill(answer) : route.abort();
  });
  await credit(stack, scene, 20_000);
  await payer.page.locator('#changed').waitFor();
  assert.equal(answers.length, 0);
  assert.match(await payer.page.locator('#sum').innerText(), /\$1,000\.00/);
  assert.equal(await payer.field('number').inputValue(), '4242 4242');
  payer.watch.take();
}));

test('the change is in a region that screen readers announce', visit(async (payer) => {
  const { stack } = it;
  const scene = await bill(stack);
  await payer.open(scene.link.url);
  const region = payer.page.getByRole('status').filter({ has: payer.page.locator('#changed') });
  assert.equal((await payer.page.locator('#news').innerText()).trim(), '');
  await credit(stack, scene, 20_000);
  await region.getByText('The amount has changed').waitFor();
}));

for (const [what, change, state] of [
  ['paid in cash', (stack, { invoice }) => payCash(stack, invoice, 120_000), 'paid'],
  ['voided', (stack, { invoice }) => stack.cli('invoice', 'void', invoice.id), 'void'],
  ['replaced', (stack, scene) => stack.link(scene), 'replaced'],
]) {
  test(`${what} meanwhile: the screen shows it by itself`, visit(async (payer) => {
    const { stack } = it;
    const scene = await bill(stack);
    await payer.open(scene.link.url);
    await change(stack, scene);
    await payer.shows(state);
  }));
}

test('two payers on one link: one pays, the other is told, then sees the receipt', visit(async (payer) => {
  const { stack } = it;
  const { link } = await bill(stack);
  const other = await Visitor.start(it.browser, stack);
  try {
    await stack.sandbox.fault({ on: 'payment_intents', kind: 'delay', delay_ms: 5_000, count: 1 });
    await Promise.all([payer.open(link.url), other.open(link.url)]);
    await payer.typeCard();
    const pressed = payer.press();
    await other.page.getByText('A payment is under way').waitFor();
    await pressed;
    await payer.shows('captured');
    await other.shows('paid');
    assert.deepEqual(other.watch.report(), []);
    assert.deepEqual(await captures(stack, link), [120_000]);
  } finally {
    await other.close();
  }
}));

test('declined: the other payer may go on', visit(async (payer) => {
  const { stack } = it;
  const { link } = await bill(stack);
  await payer.open(link.url);
  await stack.sandbox.fault({ on: 'payment_intents', kind: 'delay', delay_ms: 4_000, count: 1 });
  await stack.payer(link).pay({ number: CARD.declined });
  await payer.page.locator('#paying').waitFor();
  await payer.page.locator('#paying').waitFor({ state: 'hidden' });
  assert.equal(await payer.state(), 'active');
}));

test('nginx is reloaded: the page comes back to the stream and still hears of changes', visit(async (payer) => {
  const { stack } = it;
  const scene = await bill(stack);
  const events = () => payer.watch.count('GET', /\/events$/);
  await payer.open(scene.link.url);
  await waitFor(() => events() === 1, { what: 'the stream' });
  stack.signal('nginx', 'SIGHUP');
  await waitFor(() => events() === 2, { what: 'the stream from the new worker' });
  await credit(stack, scene, 20_000);
  await payer.page.locator('#changed').waitFor();
}));

test('another choice is another total at once; the card stays, and pays what was chosen', visit(async (payer) => {
  const { stack } = it;
  const scene = await bill(stack, { amounts: [120_000, 30_000, 5_000] });
  await stack.cli('merchant', 'change', scene.merchant.id, '--choose-invoices', 'on', '--partial-min-minor', 1_000);
  await published(stack, scene.link, (text) => text.includes('id="choice"'));
  await payer.open(scene.link.url);
  await payer.field('number').pressSequentially('4242 4242');
  const button = payer.page.locator('#button');
  const says = (text) => button.getByText(text).waitFor();
  await payer.page.locator('#i1').uncheck();
  await says('Pay $350.00');
  assert.equal(await payer.page.locator('#i1').isChecked(), false);
  assert.equal(await payer.page.evaluate(() => document.activeElement.id), 'i1', 'the focus stays');
  assert.equal(await payer.page.locator('#changed').isVisible(), false, 'what the payer changes is no news');
  await payer.page.locator('#amount').fill('320.5');
  await payer.page.locator('#amount').press('Enter');
  await says('Pay $320.50');
  await payer.page.locator('#i3').uncheck();
  await payer.page.getByText('Please enter an amount from').waitFor();
  await says('Pay $300.00');
  await payer.page.locator('#amount').fill('200');
  await payer.page.locator('#amount').press('Tab');
  await says('Pay $200.00');
  await credit(stack, { customer: scene.customer }, 20_000);
  await payer.page.locator('#changed').waitFor();
  await says('Pay $200.00');
  assert.equal(await payer.field('number').inputValue(), '4242 4242');
  await payer.typeCard();
  await payer.press();
  await payer.shows('captured');
  await payer.page.getByText('left to pay').waitFor();
  assert.deepEqual(await captures(stack, scene.link), [20_000]);
  assert.deepEqual(await Promise.all(scene.invoices.map(async ({ id }) => (await stack.cli('invoice', 'show', id)).due_minor)), [100_000, 10_000, 5_000]);
}));
