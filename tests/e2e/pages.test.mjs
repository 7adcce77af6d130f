// Every state of every page but the result's that a payer can meet.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { CARD, DESKTOP, PHONE } from '../harness/browser.mjs';
import { get, ROOT, waitFor } from '../harness/index.mjs';
import { markup, overflow } from '../harness/judge.mjs';
import { after, closed, it, JUDGED, page, picture, windowOf } from './pages.mjs';
import { bill, forgetAddress, inFlight, payCash, published } from './scenes.mjs';

const HOUR_MS = 3_600_000;

const gone = (stack, link) => waitFor(async () => (await stack.page(link.url)).status === 410, { what: 'the end of the link' });

// --- to pay -----------------------------------------------------------------------------------

page('pay', { state: 'active', heading: /Invoice INV-/ }, async (payer, stack) => payer.open((await bill(stack)).link.url));

page('pay-several', { state: 'active', heading: /3 invoices/ }, async (payer, stack) => {
  const { invoices, link } = await bill(stack, { amounts: [240_000, 62_350, 300_000] });
  await payCash(stack, invoices[0], 120_000);
  await published(stack, link, (text) => text.includes('4,823.50'));
  return payer.open(link.url);
});

page('pay-choose', { state: 'active', heading: /3 invoices/ }, async (payer, stack) => {
  const { merchant, link } = await bill(stack, { amounts: [240_000, 62_350, 300_000] });
  await stack.cli('merchant', 'change', merchant.id, '--choose-invoices', 'on', '--partial-min-minor', 5_000);
  await published(stack, link, (text) => text.includes('id="choice"'));
  return payer.open(`${link.url}?i1=1&i3=1&amount=1500`);
});

page('pay-choose-wrong', { state: 'active', heading: /3 invoices/, context: { javaScriptEnabled: false } }, async (payer, stack) => {
  const { merchant, link } = await bill(stack, { amounts: [240_000, 62_350, 300_000] });
  await stack.cli('merchant', 'change', merchant.id, '--choose-invoices', 'on', '--partial-min-minor', 5_000);
  await published(stack, link, (text) => text.includes('id="choice"'));
  return payer.open(`${link.url}?i2=1&amount=9000`);
});

page('pay-opened', { state: 'active', heading: /Invoice/ }, async (payer, stack) => {
  const { link } = await bill(stack);
  await stack.payer(link).open();
  return payer.open(link.url);
});

page('pay-changed', { state: 'active', status: 409, heading: /Invoice/ }, async (payer, stack) => {
  const { invoice, link } = await bill(stack);
  await payer.deaf();
  await payer.open(link.url);
  await payer.typeCard();
  await stack.cli('invoice', 'change', invoice.id, '--line', 'Website design:1:99000');
  await published(stack, link, (text) => text.includes('990.00'));
  return after(payer, () => payer.page.locator('#button').click());
});

page('pay-under-way', { state: 'active', heading: /Invoice/ }, async (payer, stack) => {
  const { invoice, link } = await bill(stack);
  await stack.sandbox.fault({ on: 'payment_intents', kind: 'delay_after', delay_ms: 15_000, count: 1 });
  await stack.payer(link).pay();
  await inFlight(stack, invoice);
  return payer.open(link.url);
});

page('pay-wrong-card', { state: 'active', heading: /Invoice/ }, async (payer, stack) => {
  const response = await payer.open((await bill(stack)).link.url);
  await payer.typeCard('4242424242424241', { expiry: '0121', code: '1' });
  await payer.page.locator('#button').click();
  await payer.page.locator('#error:not(:empty)').waitFor();
  return response;
});

page('pay-without-script', { state: 'active', heading: /Invoice/, context: { javaScriptEnabled: false } },
  async (payer, stack) => payer.open((await bill(stack)).link.url));

page('pay-card-ready', { state: 'active', heading: /Invoice/, context: { javaScriptEnabled: false } }, async (payer, stack) => {
  await payer.open((await bill(stack)).link.url);
  return after(payer, () => payer.hostedCard(), (url) => url.includes('payment_method='));
});

page('pay-long-names', { state: 'active', heading: /3 invoices/ }, async (payer, stack) => {
  const { link } = await bill(stack, {
    merchant: 'Gesellschaft für außergewöhnlich lange Firmennamen und Söhne mbH & Co. Kommanditgesellschaft',
    amounts: [411_522_630, 411_522_630, 411_522_630], currency: 'KWD', prefix: '2026-NORTHWIND-MAINTENANCE-AND-SUPPORT-AGREEMENT-NR',
    lines: ['Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft "quoted" <b>not bold</b> & more'],
  });
  return payer.open(link.url);
});

test('a long total is not broken', async () => {
  const payer = await windowOf({});
  const { link } = await bill(it.stack, { amounts: [1_234_567_890], currency: 'KWD' });
  for (const viewport of [PHONE, DESKTOP]) {
    await payer.page.setViewportSize(viewport);
    await payer.open(link.url);
    const lines = await payer.page.locator('.total strong').evaluate((node) => node.clientHeight / parseFloat(getComputedStyle(node).lineHeight));
    assert.ok(lines < 1.5, `${lines} lines`);
  }
});

page('pay-right-to-left', { state: 'active', heading: /3|٣/, dir: 'rtl', context: { locale: 'ar-SA' } }, async (payer, stack) => {
  const { link } = await bill(stack, {
    merchant: 'استوديو رياح الشمال', customer: 'شركة أكمي', amounts: [240_000, 62_350, 300_000], currency: 'SAR', locale: 'ar-SA',
    lines: ['تصميم موقع', 'استضافة وصيانة', 'هوية بصرية'],
  });
  return payer.open(link.url);
});

for (const file of fs.readdirSync(path.join(ROOT, 'config/pages/messages'))) {
  const language = file.replace('.txt', '');
  test(`page pay-several in ${language}: its words fit, on a narrow phone too`, async () => {
    const payer = await windowOf({ locale: language });
    const { link } = await bill(it.stack, { amounts: [240_000, 62_350, 300_000] });
    for (const viewport of [{ width: 320, height: 568 }, PHONE]) {
      await payer.page.setViewportSize(viewport);
      await payer.open(link.url);
      assert.match(await payer.page.getAttribute('html', 'lang'), new RegExp(`^${language}`));
      assert.equal(await payer.page.frameLocator('iframe[name=paylink-card]').locator('html').getAttribute('lang'), language);
      assert.deepEqual(await overflow(payer.page), []);
    }
    await picture(payer.page, PHONE, `languages.pay-several.${language}`);
    assert.deepEqual(payer.watch.take(), []);
  });
}

test('the first response, with style and script, stays below 14 KB in every language', async () => {
  const { link } = await bill(it.stack, { amounts: [240_000, 62_350, 300_000] });
  for (const file of fs.readdirSync(path.join(ROOT, 'config/pages/messages'))) {
    const page = await get(link.url, { headers: { 'accept-language': file.replace('.txt', ''), 'accept-encoding': 'gzip' } });
    assert.equal(page.status, 200);
    const html = page.headers['content-encoding'] === 'gzip' ? page.body : gzipSync(page.body);
    const text = page.headers['content-encoding'] === 'gzip' ? gunzipSync(page.body).toString() : page.text;
    const assets = [...text.matchAll(/(?:href|src)="(\/static\/[^"]+\.(?:css|js))"/g)].map(([, url]) => url);
    assert.equal(assets.length, 2);
    let bytes = html.length;
    for (const url of assets) bytes += (await get(new URL(url, link.url).href, { headers: { 'accept-encoding': 'gzip' } })).body.length;
    assert.ok(bytes <= 14 * 1024, `${file}: ${bytes} bytes`);
  }
});

// --- paid -------------------------------------------------------------------------------------

page('paid-card', { state: 'paid', heading: /Paid in full/ }, async (payer, stack) => {
  const { link } = await bill(stack, { amounts: [240_000, 62_350, 300_000] });
  assert.equal((await stack.payer(link).settle()).state, 'captured');
  await published(stack, link, (text) => text.includes('data-state="paid"'));
  return payer.open(link.url);
});

page('paid-cash', { state: 'paid', heading: /Paid in full/ }, async (payer, stack) => {
  const { invoice, link } = await bill(stack);
  await payCash(stack, invoice, 120_000);
  await published(stack, link, (text) => text.includes('data-state="paid"'));
  return payer.open(link.url);
});

page('paid-meanwhile', { state: 'paid', status: 409, heading: /Paid in full/ }, async (payer, stack) => {
  const { invoice, link } = await bill(stack);
  await payer.deaf();
  await payer.open(link.url);
  await payer.typeCard();
  await payCash(stack, invoice, 120_000);
  await published(stack, link, (text) => text.includes('data-state="paid"'));
  return after(payer, () => payer.page.locator('#button').click());
});

// --- over -------------------------------------------------------------------------------------

page('expired', { state: 'expired', status: 410, heading: /has expired/ }, async (payer, stack) => {
  const { link } = await bill(stack, { lifetime: 1 });
  await stack.payer(link).open();
  await gone(stack, link);
  return payer.open(link.url);
});

page('renewed', { state: 'renewed', heading: /Look into your mailbox/ }, async (payer, stack) => {
  const { link } = await bill(stack, { lifetime: 1 });
  await stack.payer(link).open();
  await gone(stack, link);
  await payer.open(link.url);
  return after(payer, () => payer.page.locator('main button').click(), (url) => url.endsWith('/renewed'));
});

page('expired-no-mail', { state: 'expired', status: 410, heading: /has expired/ }, async (payer, stack) => {
  const { link } = await bill(stack, { lifetime: 1 });
  await stack.payer(link).open();
  await gone(stack, link);
  await forgetAddress(stack, link);
  return payer.open(link.url);
});

page('expired-meanwhile', { state: 'expired', status: 410, heading: /has expired/ }, async (payer, stack) => {
  const { link } = await bill(stack);
  await payer.deaf();
  await payer.open(link.url);
  await payer.typeCard();
  await waitFor(async () => (await stack.cli('link', 'show', link.id)).opened_at, { what: 'the opening in the books' });
  stack.setTime(25 * HOUR_MS);
  try {
    await gone(stack, link);
    return await after(payer, () => payer.page.locator('#button').click());
  } finally {
    stack.setTime(0);
  }
});

page('expired-unopened', { state: 'expired', status: 410, heading: /has expired/ }, async (payer, stack) => {
  const { link } = await bill(stack);
  stack.setTime(181 * 24 * HOUR_MS);
  try {
    await gone(stack, link);
    return await payer.open(link.url);
  } finally {
    stack.setTime(0);
  }
});

page('disabled', { state: 'disabled', status: 403, heading: /are switched off/ }, async (payer, stack) => {
  const { merchant, link } = await bill(stack);
  await stack.cli('merchant', 'change', merchant.id, '--links', 'off');
  await waitFor(async () => (await stack.page(link.url)).status === 403, { what: 'the links to be off' });
  return payer.open(link.url);
});

for (const [name, accent] of [['yellow', '#ffd400'], ['blue', '#102a83'], ['red', '#e00020'], ['black', '#000000']]) {
  page(`pay-${name}`, { state: 'active', heading: /Invoice/ }, async (payer, stack) => {
    const { merchant, link } = await bill(stack);
    await stack.cli('merchant', 'change', merchant.id, '--accent', accent);
    await published(stack, link, (text) => text.includes('/brand/'));
    return payer.open(link.url);
  });
}

// A logo as a designer would hand it over: transparent, wider than high.
async function drawLogo(stack) {
  const desk = await windowOf({ deviceScaleFactor: 2 });
  await desk.page.setContent(`<svg width="220" height="48" viewBox="0 0 220 48" xmlns="http://www.w3.org/2000/svg">
    <circle cx="24" cy="24" r="22" fill="#0f766e"/><path d="M24 6l6 18-6 18-6-18z" fill="#fff"/><circle cx="24" cy="24" r="3" fill="#0f766e"/>
    <text x="58" y="33" font-family="sans-serif" font-size="26" font-weight="700" fill="#0f766e">Northwind</text></svg>`);
  const file = path.join(stack.parent, 'northwind.png');
  fs.writeFileSync(file, await desk.page.locator('svg').screenshot({ omitBackground: true }));
  return file;
}

page('pay-logo', { state: 'active', heading: /Invoice/ }, async (payer, stack) => {
  const { merchant, link } = await bill(stack);
  await stack.cli('merchant', 'change', merchant.id, '--accent', '#0f766e', '--logo', await drawLogo(stack));
  await published(stack, link, (text) => /<img [^>]*src="\/brand\//.test(text));
  return payer.open(link.url);
});

for (const [name, heading, close] of [
  ['replaced', /newer payment link/, (stack, scene) => stack.link(scene)],
  ['void', /was cancelled/, (stack, { invoice }) => stack.cli('invoice', 'void', invoice.id)],
  ['revoked', /was withdrawn/, (stack, { link }) => stack.cli('link', 'revoke', link.id)],
]) {
  page(name, { state: name, status: 410, heading }, async (payer, stack) => {
    const scene = await bill(stack);
    await close(stack, scene);
    await gone(stack, scene.link);
    return payer.open(scene.link.url);
  });
  page(`${name}-meanwhile`, { state: name, status: 410, heading, views: JUDGED }, async (payer, stack) => {
    const scene = await bill(stack);
    await payer.deaf();
    await payer.open(scene.link.url);
    await payer.typeCard();
    await close(stack, scene);
    await gone(stack, scene.link);
    return after(payer, () => payer.page.locator('#button').click());
  });
}

page('unknown', { state: 'unknown', status: 404, heading: /does not exist/ }, (payer, stack) => payer.open(`${stack.url}/p/AQk7mWl3vZ0t1xQe8sLJ2c9f4hN6bRyUaKpDgXoT5wEi`));

const wake = (stack) => stack.signal('redis', 'SIGCONT');

page('busy', { state: 'busy', status: 503, heading: /try again in a moment/, undo: wake }, async (payer, stack) => {
  const { link } = await bill(stack);
  stack.signal('redis', 'SIGSTOP');
  return payer.open(link.url);
});

page('busy-submit', { state: 'busy', status: 503, heading: /try again in a moment/, undo: wake }, async (payer, stack) => {
  await payer.open((await bill(stack)).link.url);
  await payer.typeCard();
  stack.signal('redis', 'SIGSTOP');
  return after(payer, () => payer.page.locator('#button').click());
});

const reopen = async (stack) => {
  fs.rmSync(closed, { force: true });
  await waitFor(async () => (await stack.page('/p/x')).status === 404, { what: 'the edge to be open again' });
};

page('maintenance', { state: 'maintenance', status: 503, heading: /back shortly/, undo: reopen }, async (payer, stack) => {
  const { link } = await bill(stack);
  fs.writeFileSync(closed, '');
  await waitFor(async () => (await stack.page(link.url)).status === 503, { what: 'the edge to be closed' });
  return payer.open(link.url);
});

// --- refused unread ---------------------------------------------------------------------------

async function submitChanged(payer, stack, change) {
  await payer.open((await bill(stack)).link.url);
  return after(payer, () => payer.page.evaluate(change));
}

page('problem-card-number', { state: 'problem', status: 400, heading: /not send card numbers/, reports: [/^card data for the edge: POST /] },
  (payer, stack) => submitChanged(payer, stack, () => {
    document.querySelector('[name=payment_method]').value = '4242 4242 4242 4242';
    document.getElementById('pay').submit();
  }));

page('problem-form', { state: 'problem', status: 400, heading: /did not arrive as it should/ }, (payer, stack) => submitChanged(payer, stack, () => {
  document.querySelector('[name=version]').remove();
  document.getElementById('pay').submit();
}));

page('problem-too-large', { state: 'problem', status: 413, heading: /too much data/ }, (payer, stack) => submitChanged(payer, stack, () => {
  document.querySelector('[name=payment_method]').value = 'x'.repeat(20_000);
  document.getElementById('pay').submit();
}));

page('problem-method', { state: 'problem', status: 405, heading: /cannot be used that way/ }, async (payer, stack) => payer.open(`${(await bill(stack)).link.url}/pay`));

page('problem-other-site', { state: 'problem', status: 403, heading: /came from another site/ }, async (payer, stack) => {
  const { link } = await bill(stack);
  await payer.page.setContent(`<form method="post" action="${link.url}/pay"><input name="version" value="1"><button>Free money</button></form>`);
  return after(payer, () => payer.page.getByRole('button').click());
});

// --- the card-testing guard --------------------------------------------------------------------

const elsewhere = { 'x-forwarded-for': '198.51.100.1' };

async function payRefused(payer, link) {
  await payer.open(link.url);
  await payer.typeCard();
  return after(payer, () => payer.page.locator('#button').click());
}

page('problem-guard-link', { state: 'problem', status: 429, heading: /takes no more cards/, context: { extraHTTPHeaders: elsewhere } },
  async (payer, stack) => {
    const { link } = await bill(stack);
    assert.equal((await stack.payer(link).settle({ number: CARD.declined })).state, 'declined');
    return payRefused(payer, link);
  });

page('problem-guard-address', { state: 'problem', status: 429, heading: /from your network/, context: { extraHTTPHeaders: elsewhere } },
  async (payer, stack) => {
    const earlier = stack.payer((await bill(stack)).link);
    await earlier.view();
    await earlier.submit({ payment_method: 'pm_card_visa' }, { headers: elsewhere });
    return payRefused(payer, (await bill(stack)).link);
  });

// --- the sandbox gateway's own pages ----------------------------------------------------------

page('gateway-card', { heading: /Enter your card/, context: { javaScriptEnabled: false } }, async (payer, stack) => {
  await payer.open((await bill(stack)).link.url);
  return after(payer, () => payer.toHostedCard());
});

page('gateway-card-wrong', { heading: /Enter your card/, status: 400, context: { javaScriptEnabled: false } }, async (payer, stack) => {
  await payer.open((await bill(stack)).link.url);
  await payer.toHostedCard();
  await payer.page.locator('#number').fill('4242 4242 4242 4241');
  await payer.page.locator('#exp_month').fill('12');
  await payer.page.locator('#exp_year').fill('40');
  await payer.page.locator('#cvc').fill('123');
  return after(payer, () => payer.page.locator('button[type=submit]').click());
});

page('gateway-confirm', { heading: /Confirm your payment/ }, async (payer, stack) => {
  const { link } = await bill(stack);
  const pays = stack.payer(link);
  const taken = await pays.pay({ number: CARD.confirm });
  await pays.result(taken);
  await payer.open(new URL(taken.headers.location, link.url).href);
  return after(payer, () => payer.page.locator('main a.button').first().click());
});

page('gateway-nothing', { heading: /go back to the payment page/, status: 404 }, (payer, stack) => payer.open(`${stack.info.sandbox_url}/authenticate/pi_none`));

test('the markup of the card frame', async () => {
  const { link } = await bill(it.stack);
  const text = (await it.stack.page(link.url)).text;
  const frame = /data-fields="([^"]+)"/.exec(text)[1].replaceAll('&amp;', '&');
  assert.deepEqual(await markup((await get(frame)).text, { gateway: true }), []);
});
