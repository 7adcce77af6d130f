// The language of a page: the customer's setting, then the browser's, then the merchant's.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { plainText as plain, ROOT, startStack, together, waitFor } from '../harness/index.mjs';

let stack;
before(async () => { stack = await startStack(); });
after(() => stack.stop());

const GERMAN = 'de-CH, de;q=0.9, en;q=0.5';
const inGerman = { headers: { 'accept-language': GERMAN } };
const accepting = (language) => ({ headers: { 'accept-language': language } });
const languageOf = ({ text }) => /<html lang="([^"]+)"/.exec(text)[1];

async function published(link, options) {
  return waitFor(async () => {
    const page = await stack.page(link.url, options);
    return page.status !== 404 && page;
  }, { what: 'the page' });
}

// A scene whose merchant and customer speak these languages.
async function scene({ merchant = 'en-US', customer } = {}) {
  const made = await stack.scene({ amounts: [123_450, 100], link: false });
  await stack.cli('merchant', 'change', made.merchant.id, '--locale', merchant);
  if (customer) {
    made.customer = await stack.cli('customer', 'create', '--merchant', made.merchant.id, '--name', 'Grace', '--email', 'g@example.com', '--locale', customer);
    made.invoice = await stack.cli('invoice', 'create', '--merchant', made.merchant.id, '--customer', made.customer.id, '--number', 'G-1', '--currency', 'USD', '--line', 'Saw:1:123550');
    made.invoices = [made.invoice];
  }
  made.link = await stack.link(made);
  await published(made.link);
  return made;
}

test('the browser’s language: words, amounts, dates and the title of what is to be paid', async () => {
  const { link, invoices } = await scene();
  const page = await stack.page(link.url, inGerman);
  assert.equal(languageOf(page), 'de');
  for (const words of ['2 Rechnungen', '1.235,50 $ zahlen', '1.234,50 $', 'Fällig am 31. Dez. 2030', invoices[1].number, '&amp;lang=de&amp;']) {
    assert.ok(plain(page).includes(words), words);
  }
});

test('the customer’s setting goes before the browser’s, the merchant’s behind it', async () => {
  const set = await scene({ customer: 'de-DE' });
  assert.equal(languageOf(await stack.page(set.link.url, accepting('en'))), 'de-DE');
  assert.match(plain(await stack.page(set.link.url, accepting('en'))), /Rechnung G-1/);
  const { link } = await scene({ merchant: 'de-DE' });
  assert.equal(languageOf(await stack.page(link.url)), 'de-DE');
  assert.equal(languageOf(await stack.page(link.url, accepting('tlh'))), 'de-DE');
  const english = await stack.page(link.url, accepting('en-GB'));
  assert.equal(languageOf(english), 'en');
  assert.match(plain(english), /Pay \$1,235\.50/);
});

test('a setting in a language that there is not gives amounts in it, words as the browser asks', async () => {
  const { link } = await scene({ customer: 'sv-SE' });
  assert.equal(languageOf(await stack.page(link.url)), 'en');
  assert.match(plain(await stack.page(link.url)), /1 235,50 US\$/);
  assert.match(plain(await stack.page(link.url, inGerman)), /1\.235,50 \$ zahlen/);
});

test('each language is kept beside the others, until the link changes', async () => {
  const { link, customer } = await scene();
  const look = async () => [languageOf(await stack.page(link.url, inGerman)), languageOf(await stack.page(link.url))];
  for (let round = 0; round < 3; round++) assert.deepEqual(await look(), ['de', 'en-US']);
  await stack.cli('credit', 'record', '--customer', customer.id, '--amount-minor', '50');
  await waitFor(async () => plain(await stack.page(link.url, inGerman)).includes('1.235,00 $ zahlen'), { what: 'the new total in German' });
  assert.match(plain(await stack.page(link.url)), /Pay \$1,235\.00/);
});

test('a hundred readers of a language ask for it together', async () => {
  const { link } = await scene();
  const pages = await together(100, () => stack.page(link.url, inGerman));
  assert.deepEqual([...new Set(pages.map(languageOf))], ['de']);
});

test('a payment stays in the language of its page', async () => {
  const { link } = await scene();
  const payer = stack.payer(link);
  await payer.view();
  const taken = await payer.submit({ payment_method: await payer.token() }, inGerman);
  const page = await payer.result(taken);
  assert.equal(languageOf(page), 'de');
  assert.ok(plain(page).includes('mit <b>1.235,50 $</b>'));
  assert.ok(plain(page).includes('2 Rechnungen'));
  assert.match(plain(await stack.page(link.url, inGerman)), /Vollständig bezahlt/);
});

test('what is refused is said in the language of the page, too', async () => {
  const { link, customer } = await scene();
  const payer = stack.payer(link);
  await payer.view();
  await stack.cli('credit', 'record', '--customer', customer.id, '--amount-minor', '50');
  await waitFor(async () => plain(await stack.page(link.url)).includes('$1,235.00'), { what: 'the new total' });
  const refused = await payer.submit({ payment_method: await payer.token() }, inGerman);
  assert.equal(refused.status, 409);
  assert.equal(languageOf(refused), 'de');
  assert.match(plain(refused), /Zu zahlen sind jetzt noch 1\.235,00 \$/);
});

test('pages that know no link: the browser’s language, the same bytes for malformed, forged and unknown', async () => {
  const { link } = await scene();
  const [token] = /[A-Za-z0-9_-]{44,}/.exec(link.url);
  const forged = `/p/${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`;
  const pages = await Promise.all(['/p/x', forged, '/nothing'].map((where) => stack.page(where, inGerman)));
  for (const page of pages) assert.equal(page.text, pages[0].text);
  assert.equal(languageOf(pages[0]), 'de');
  assert.match(pages[0].text, /Diese Seite gibt es nicht/);
  const refused = await stack.page(`${link.url}/pay`, inGerman);
  assert.deepEqual([refused.status, languageOf(refused)], [405, 'de']);
});

test('no worker writes the texts: the page comes all the same, in the language it has', async () => {
  const { link } = await scene();
  stack.signal('worker', 'SIGSTOP');
  try {
    const page = await stack.page(link.url, inGerman);
    assert.equal(page.status, 200);
    assert.equal(languageOf(page), 'en-US');
    assert.match(plain(page), /Pay \$1,235\.50/);
  } finally {
    stack.signal('worker', 'SIGCONT');
  }
  await waitFor(async () => languageOf(await stack.page(link.url, inGerman)) === 'de', { what: 'German' });
});

test('odd headers are no error, and no language', async () => {
  const { link } = await scene();
  for (const odd of ['', ',', ';;', '*', 'de;q=0', 'x'.repeat(2_000), 'de_DE', '\u00fc']) {
    const page = await stack.page(link.url, accepting(odd));
    assert.deepEqual([page.status, languageOf(page)], [200, 'en-US'], odd);
  }
});

test('every language has a file, right-to-left ones say so', async () => {
  const files = fs.readdirSync(path.join(ROOT, 'config/pages/messages')).map((file) => file.replace('.txt', ''));
  for (const language of ['en', 'es', 'fr', 'de', 'pt', 'it', 'nl', 'ja', 'zh', 'ar']) assert.ok(files.includes(language), language);
  for (const language of files) {
    const page = await stack.page('/p/x', accepting(language));
    assert.equal(languageOf(page), language);
    assert.equal(page.text.includes('dir="rtl"'), language === 'ar');
  }
});
