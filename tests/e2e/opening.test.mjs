// Only a human opens a link. Whatever renders the page and runs its script, as mail scanners do, starts no
// clock; a click, a key, a touch, a wheel or the card field does, once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PHONE } from '../harness/browser.mjs';
import { waitFor } from '../harness/index.mjs';
import { bill, house, linkRecord } from './scenes.mjs';

const it = house();
const { visit } = it;
const OPEN = /\/open$/;

async function closed(payer, link) {
  // A request after the fact: had the page reported anything, that would have been asked for before.
  await payer.page.evaluate(() => fetch('/healthz').then((reply) => reply.status));
  assert.equal(payer.watch.count('POST', OPEN), 0);
  assert.equal((await linkRecord(it.stack, link)).opened_ms, undefined);
  assert.equal((await it.stack.cli('link', 'show', link.id)).opened_at, null);
}

async function opened(payer, link) {
  await waitFor(async () => Number((await linkRecord(it.stack, link)).opened_ms) > 0, { what: 'the opening' });
  // Redis may know before the browser has told of its request.
  await waitFor(() => payer.watch.count('POST', OPEN) > 0, { what: 'the report of the page' });
  assert.equal(payer.watch.count('POST', OPEN), 1);
  const shown = await waitFor(async () => {
    const now = await it.stack.cli('link', 'show', link.id);
    return now.opened_at && now;
  }, { what: 'the opening in the books' });
  assert.equal(Date.parse(shown.expires_at) - Date.parse(shown.opened_at), 24 * 3_600_000);
}

test('a page that is rendered, runs its script, is reloaded and stays for an hour starts no clock', visit(async (payer) => {
  const { link } = await bill(it.stack);
  await payer.context.clock.install();
  await payer.open(link.url);
  await payer.page.reload();
  await payer.frameReady();
  await payer.page.screenshot({ fullPage: true });
  await payer.context.clock.runFor('01:00:00');
  await closed(payer, link);
}));

test('events that a script makes start no clock', visit(async (payer) => {
  const { link } = await bill(it.stack);
  await payer.context.clock.install();
  await payer.open(link.url);
  await payer.page.evaluate(() => {
    const button = document.getElementById('button');
    for (const target of [window, document.body, button]) {
      for (const type of ['pointerdown', 'mousedown', 'touchstart', 'keydown', 'wheel', 'click', 'scroll', 'focus', 'blur', 'mousemove']) {
        target.dispatchEvent(new Event(type, { bubbles: true }));
      }
      target.dispatchEvent(new PointerEvent('pointerdown', { bubbles: true, pointerType: 'touch' }));
      target.dispatchEvent(new KeyboardEvent('keydown', { bubbles: true, key: 'Enter' }));
      target.dispatchEvent(new WheelEvent('wheel', { bubbles: true, deltaY: 100 }));
    }
    scrollTo(0, document.body.scrollHeight);
    scrollBy(0, -50);
    button.click();
    document.querySelector('iframe').focus();
    button.focus();
    document.querySelector('iframe').contentWindow.focus();
  });
  await payer.page.getByRole('alert').getByText('Enter the card number.').waitFor();
  await payer.context.clock.runFor('01:00:00');
  await closed(payer, link);
  // The same page still hears a human.
  await payer.page.mouse.click(20, 300);
  await opened(payer, link);
}));

test('a browser without JavaScript that only looks starts no clock', visit(async (payer) => {
  const { link } = await bill(it.stack);
  await payer.open(link.url);
  await payer.page.screenshot({ fullPage: true });
  await payer.page.mouse.click(20, 300);
  assert.equal(payer.watch.count('POST', OPEN), 0);
  assert.equal((await linkRecord(it.stack, link)).opened_ms, undefined);
}, { javaScriptEnabled: false }));

for (const [how, act, context] of [
  ['a click', (page) => page.mouse.click(20, 300)],
  ['a key', (page) => page.keyboard.press('ArrowDown')],
  ['the wheel', (page) => page.mouse.wheel(0, 120)],
  ['a touch', (page) => page.touchscreen.tap(20, 300), { viewport: PHONE, hasTouch: true, isMobile: true }],
  ['the card field', (page) => page.frameLocator('iframe').locator('#number').click()],
  ['Tab into the card field', async (page) => {
    await page.locator('#button').focus();
    await page.keyboard.press('Shift+Tab');
  }],
]) {
  test(`${how} starts the clock, once`, visit(async (payer) => {
    const { link } = await bill(it.stack);
    await payer.open(link.url);
    await closed(payer, link);
    for (let times = 0; times < 3; times++) await act(payer.page);
    await opened(payer, link);
    await act(payer.page);
    await payer.open(link.url);
    assert.match(await payer.page.locator('.until').innerText(), /active until/);
    await act(payer.page);
    await payer.page.evaluate(() => fetch('/healthz').then((reply) => reply.status));
    assert.equal(payer.watch.count('POST', OPEN), 1, 'an open link is not opened again');
  }, context));
}

// What a screen reader does when its user activates a button: a trusted click that no pointer, touch or key comes before.
test('a screen reader’s activation starts the clock', visit(async (payer) => {
  const { link } = await bill(it.stack);
  await payer.context.addInitScript(() => {
    const listen = EventTarget.prototype.addEventListener;
    EventTarget.prototype.addEventListener = function (type, ...rest) {
      if (!/^(pointer|touch|key|wheel)/.test(type)) listen.call(this, type, ...rest);
    };
  });
  await payer.open(link.url);
  await payer.page.evaluate(() => document.getElementById('button').click());
  await closed(payer, link);
  await payer.page.mouse.click(20, 300);
  await opened(payer, link);
}));

test('a script that fills in the form and sends it without a card starts no clock', visit(async (payer) => {
  const { link } = await bill(it.stack);
  await payer.open(link.url);
  payer.watch.expect(400, `${link.url}/pay`);
  await Promise.all([
    payer.page.waitForURL('**/pay'),
    payer.page.evaluate(() => document.getElementById('pay').submit()),
  ]);
  assert.equal(await payer.state(), 'problem');
  assert.equal((await linkRecord(it.stack, link)).opened_ms, undefined);
}));

test('the page tells until when in the payer’s own time', visit(async (payer) => {
  const { link } = await bill(it.stack);
  await payer.open(link.url);
  assert.match(await payer.page.locator('.until').innerText(), /24 hours once you start using it/);
  await payer.page.mouse.click(20, 300);
  await opened(payer, link);
  await payer.open(link.url);
  const record = await linkRecord(it.stack, link);
  const expected = new Date(Number(record.expires_ms)).toLocaleString('en-US', {
    month: 'short', day: 'numeric', hour: 'numeric', minute: '2-digit', timeZoneName: 'short', timeZone: 'Europe/Berlin',
  });
  assert.equal((await payer.page.locator('.until time').innerText()).replace(/\s/g, ' '), expected.replace(/\s/g, ' '));
}));

test('the edge is away for a moment: the next act of the human opens', visit(async (payer) => {
  const { stack } = it;
  const { link } = await bill(stack);
  await payer.open(link.url);
  let refused = 0;
  await payer.page.route('**/open', async (route) => {
    if (refused++ === 0) await route.fulfill({ status: 503 });
    else await route.continue();
  });
  payer.watch.expect(503, `${link.url}/open`);
  await payer.page.mouse.click(20, 300);
  await waitFor(() => refused === 1, { what: 'the first report' });
  assert.equal((await linkRecord(stack, link)).opened_ms, undefined);
  await waitFor(async () => {
    await payer.page.mouse.click(20, 300);
    return Number((await linkRecord(stack, link)).opened_ms) > 0;
  }, { what: 'the opening' });
}));
