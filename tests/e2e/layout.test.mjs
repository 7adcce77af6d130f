// Narrow, enlarged, by keyboard alone, with other colours, on paper: the page stays usable and nothing on it
// scrolls sideways.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CARD, DESKTOP } from '../harness/browser.mjs';
import { accessibility, cardNumbers, markup, overflow } from '../harness/judge.mjs';
import { bill, captures, house, payCash, published } from './scenes.mjs';

const it = house({ nginx: ['paylink_result_wait 1s;'] });
const { visit } = it;

const NARROW = { width: 320, height: 568 };
// 1280 x 1024 at 400 %.
const ENLARGED = { viewport: { width: 320, height: 256 }, deviceScaleFactor: 4 };
const several = () => bill(it.stack, {
  amounts: [240_000, 62_350, 300_000], merchant: 'Gesellschaft für außergewöhnlich lange Firmennamen mbH', prefix: 'RECHNUNGSNUMMER-2026',
});

for (const [how, context] of [['320 px wide', { viewport: NARROW }], ['at 400 %', ENLARGED]]) {
  test(`${how}: a declined and a good payment, nothing scrolls sideways`, visit(async (payer) => {
    const { link } = await several();
    await payer.open(link.url);
    assert.deepEqual(await overflow(payer.page), []);
    await payer.page.locator('#button').click();
    await payer.page.getByRole('alert').getByText('Enter the card number.').waitFor();
    assert.deepEqual(await overflow(payer.page), []);
    await payer.typeCard(CARD.noFunds);
    await payer.press();
    await payer.shows('declined');
    assert.deepEqual(await overflow(payer.page), []);
    await payer.page.getByRole('link', { name: 'Back to the payment page' }).click();
    await payer.frameReady();
    await payer.typeCard();
    await payer.press();
    await payer.shows('captured');
    assert.deepEqual(await overflow(payer.page), []);
    assert.deepEqual(await captures(it.stack, link), [602_350]);
  }, context));
}

test('320 px wide without script: the card page and the way back fit', visit(async (payer) => {
  const { link } = await several();
  await payer.open(link.url);
  assert.deepEqual(await overflow(payer.page), []);
  await payer.page.getByRole('link', { name: 'Continue to the card page' }).click();
  assert.deepEqual(await overflow(payer.page), []);
  await payer.page.goBack();
  await payer.hostedCard();
  assert.deepEqual(await overflow(payer.page), []);
}, { viewport: NARROW, javaScriptEnabled: false }));

test('letters of twice the size and wide spacing hide nothing', visit(async (payer) => {
  const { link } = await several();
  await payer.open(link.url);
  for (const frame of payer.page.frames()) {
    // The text spacing of WCAG 1.4.12, at 200 %.
    await frame.evaluate(() => {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync('html { font-size: 200% } * { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important } p { margin-block-end: 2em !important }');
      document.adoptedStyleSheets.push(sheet);
    });
  }
  assert.deepEqual(await overflow(payer.page), []);
  const cut = await payer.page.evaluate(() => [...document.querySelectorAll('h1, h2, p:not(.vh), td, th, b, .button')]
    .filter((node) => node.checkVisibility() && !node.closest('.vh') && getComputedStyle(node).overflow !== 'visible' && node.scrollHeight > node.clientHeight + 1)
    .map((node) => node.outerHTML.slice(0, 80)));
  assert.deepEqual(cut, []);
  // The frame grows with what is in it.
  await payer.page.locator('iframe').scrollIntoViewIfNeeded();
  await payer.page.frames()[1].waitForFunction(() => document.documentElement.scrollHeight <= innerHeight, null, { polling: 100 });
}, { viewport: { width: 640, height: 900 } }));

test('the card frame grows with its messages: none is cut off', visit(async (payer) => {
  const { link } = await bill(it.stack);
  await payer.open(link.url);
  await payer.page.locator('#button').click();
  await payer.page.getByRole('alert').getByText('Enter the card number.').waitFor();
  const frame = payer.page.frames()[1];
  await frame.waitForFunction(() => document.documentElement.scrollHeight <= innerHeight, null, { polling: 100 });
  assert.equal(await payer.field('cvc-error').innerText(), 'Enter the security code.');
}, { viewport: NARROW }));

test('nothing moves once Pay can be pressed', visit(async (payer) => {
  const { link } = await several();
  await payer.page.addInitScript(() => {
    if (self !== top) return;
    const places = [];
    globalThis.places = places;
    addEventListener('DOMContentLoaded', () => {
      const button = document.getElementById('button');
      const note = () => {
        const top = button.getBoundingClientRect().top + scrollY;
        if (button.getAttribute('aria-disabled') === 'false' && top !== places.at(-1)) places.push(top);
      };
      new MutationObserver(note).observe(document.body, { subtree: true, attributes: true });
      new ResizeObserver(note).observe(document.body);
    });
  });
  await payer.open(link.url);
  await payer.page.frames()[1].waitForFunction(() => document.documentElement.scrollHeight <= innerHeight, null, { polling: 100 });
  await payer.field('number').fill('4242 4242 4242 4242');
  assert.equal((await payer.page.evaluate(() => globalThis.places)).length, 1);
}, { viewport: NARROW }));

test('by keyboard alone: every stop is visible, and it pays', visit(async (payer) => {
  const { link } = await bill(it.stack);
  await payer.open(link.url);
  const { keyboard } = payer.page;
  const stop = async () => {
    for (const frame of payer.page.frames()) {
      const at = await frame.evaluate(() => {
        const node = document.activeElement;
        if (!document.hasFocus() || !node || node === document.body || node.tagName === 'IFRAME') return null;
        const style = getComputedStyle(node);
        return { name: node.id || node.textContent.trim(), outline: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 };
      });
      if (at) return at;
    }
    return null;
  };
  const stops = [];
  for (const text of [CARD.good, '1240', '123']) {
    await keyboard.press('Tab');
    stops.push(await stop());
    await keyboard.type(text);
  }
  await keyboard.press('Tab');
  stops.push(await stop());
  assert.deepEqual(stops.map((at) => at?.name), ['number', 'expiry', 'cvc', 'button']);
  assert.ok(stops.every((at) => at.outline), JSON.stringify(stops));
  await keyboard.press('Enter');
  await payer.shows('captured');
  await keyboard.press('Tab');
  assert.deepEqual(await stop(), { name: 'Show the receipt', outline: true });
  await keyboard.press('Enter');
  await payer.shows('paid');
  assert.deepEqual(await captures(it.stack, link), [120_000]);
}));

test('a wrong card by keyboard: the focus goes to the field, and the field says why', visit(async (payer) => {
  const { link } = await bill(it.stack);
  await payer.open(link.url);
  await payer.page.locator('#button').focus();
  await payer.page.keyboard.press('Enter');
  await payer.page.getByRole('alert').getByText('Enter the card number.').waitFor();
  const frame = payer.page.frames()[1];
  assert.equal(await frame.evaluate(() => document.activeElement.id), 'number');
  const described = await frame.evaluate(() => document.getElementById(document.activeElement.getAttribute('aria-describedby')).textContent);
  assert.equal(described, 'Enter the card number.');
}));

test('whoever wants less motion gets less', visit(async (payer) => {
  const { link } = await bill(it.stack);
  await payer.open(link.url);
  await payer.typeCard();
  await it.stack.stopService('worker');
  await payer.press();
  await payer.shows('received');
  const turning = () => payer.page.locator('.icon.busy').evaluate((node) => parseFloat(getComputedStyle(node).animationDuration));
  const usual = await turning();
  await payer.page.emulateMedia({ reducedMotion: 'reduce' });
  assert.ok(await turning() >= 4 * usual);
  await it.stack.startService('worker');
  await payer.shows('captured');
}));

test('forced colours: borders still show what can be pressed', visit(async (payer) => {
  const { link } = await bill(it.stack);
  await payer.open(link.url);
  const border = await payer.page.locator('#button').evaluate((node) => {
    const { borderTopStyle, borderTopWidth, borderTopColor, backgroundColor } = getComputedStyle(node);
    return borderTopStyle === 'solid' && parseFloat(borderTopWidth) >= 1 && borderTopColor !== backgroundColor;
  });
  assert.equal(border, true);
}, { forcedColors: 'active' }));

test('on paper: the receipt has what counts and nothing to press, dark mode or not', visit(async (payer) => {
  const { stack } = it;
  const { invoice, link } = await bill(stack);
  await payCash(stack, invoice, 120_000);
  await published(stack, link, (text) => text.includes('data-state="paid"'));
  await payer.open(link.url);
  await payer.page.emulateMedia({ media: 'print' });
  for (const shown of ['Paid in full', '$1,200.00', 'Northwind Studio', 'Receipt number']) {
    assert.ok(await payer.page.getByText(shown).first().isVisible(), shown);
  }
  assert.equal(await payer.page.locator('.button:visible').count(), 0);
  const colours = await payer.page.evaluate(() => [getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]);
  assert.deepEqual(colours, ['rgb(0, 0, 0)', 'rgb(255, 255, 255)']);
}, { colorScheme: 'dark', viewport: DESKTOP }));

test('page, style and script of a payment come in one round trip: below 14 KB', async () => {
  const { link } = await several();
  const page = await it.stack.page(link.url);
  const { gzipSync } = await import('node:zlib');
  let bytes = page.body.length;
  for (const [, asset] of page.text.matchAll(/(?:href|src)="(\/static\/paylink[^"]+)"/g)) bytes += gzipSync((await it.stack.page(asset)).body).length;
  assert.ok(bytes < 14 * 1024, `${bytes} bytes`);
});

// --- the judges themselves --------------------------------------------------------------------

test('the judges find what they are there for', async () => {
  const { link } = await bill(it.stack);
  await visit(async (payer) => {
    await payer.open(link.url);
    await payer.page.evaluate(() => {
      document.querySelector('.small').style.color = '#eee';
      document.querySelector('.sum').style.width = '900px';
      document.querySelector('.sum').style.background = '#ccc';
      console.error('something went wrong');
      setTimeout(() => { throw new Error('a script broke'); });
      new Image().src = 'https://example.com/pixel.gif';
      fetch('/static/nothing.js');
    });
    await payer.page.evaluate(() => fetch('/healthz', { headers: { 'x-note': '4242-4242 42424242' } }));
    assert.ok((await accessibility(payer.page)).some((finding) => finding.startsWith('axe color-contrast')));
    assert.ok((await overflow(payer.page)).length > 0);
    assert.ok(payer.watch.report().some((finding) => /^did not load: 404 .*\/static\/nothing\.js/.test(finding)));
    payer.watch.expect(404, `${it.stack.url}/static/nothing.js`);
    payer.watch.accept([/^console: something went wrong/, /^script: a script broke/, /^console: .*Content Security Policy/,
      /^card data for the edge: GET/, /^foreign origin: GET https:\/\/example\.com/]);
  }, { viewport: NARROW })();
  assert.ok((await markup('<!DOCTYPE html><html lang="en"><head><title>x</title></head><body><p id="a"><div id="a"></p></body></html>')).length > 0);
  for (const hidden of ['4242424242424242', '4242+4242+4242+4242', '%34242424242424242', '4242-4242-4242-4242', '0004242424242424242']) {
    assert.ok(cardNumbers(`payment_method=${hidden}`).includes('4242424242424242'), hidden);
  }
  assert.deepEqual(cardNumbers('01a201a2-856d-7136-80e1-544b81b6ca54&amount_minor=120000&x=424242424242&y=4000000000000'), []);
});
