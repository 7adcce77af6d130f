// Receipts as PDFs and buttons as PNGs: the worker makes them when they are asked for, Redis keeps them for a while.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { ROOT, request, run, startStack, together, waitFor } from '../harness/index.mjs';

const KEPT = path.join(ROOT, 'tests/artifacts/documents');

let stack;
before(async () => {
  fs.mkdirSync(KEPT, { recursive: true });
  stack = await startStack();
});
after(() => stack.stop());

// Drawing takes its time on a busy machine: "try again shortly" is a fair answer, once.
const get = (where, language) => waitFor(async () => {
  const page = await stack.page(where, { headers: language ? { 'accept-language': language } : {} });
  return page.status !== 503 && page;
}, { timeout: 60_000, what: `an answer of ${where.slice(-12)}` });

const paid = ({ link }) => waitFor(async () => (await stack.page(link.url)).text.includes('data-state="paid"'), { what: 'the paid page' });

// What a document says, checked to be whole: qpdf and poppler are strict readers.
async function read(pdf, name) {
  const file = path.join(KEPT, `${name}.pdf`);
  fs.writeFileSync(file, pdf.body);
  const checked = await run('qpdf', ['--check', file]);
  assert.equal(checked.status, 0, checked.stdout + checked.stderr);
  const text = await run('pdftotext', ['-layout', file, '-']);
  const info = await run('pdfinfo', [file]);
  return {
    text: text.stdout.replace(/[\u00a0\u202f]/g, ' '),
    pages: Number(/^Pages:\s+(\d+)/m.exec(info.stdout)[1]),
    title: /^Title:\s+(.*)$/m.exec(info.stdout)[1],
    info: info.stdout,
  };
}

// Without what readers of text put between joined letters.
const joined = (text) => text.replace(/[\s\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '');

// Not there: the very page of an unknown address.
async function unknown(where) {
  const [page, other] = [await get(where), await stack.page('/nowhere')];
  assert.deepEqual([page.status, page.text], [404, other.text]);
}

test('a paid link has a receipt, and its page leads there', async () => {
  const made = await stack.scene();
  await unknown(`${made.link.url}/receipt.pdf`);
  const payer = stack.payer(made.link);
  const captured = await payer.settle();
  assert.match(captured.text, /href="\/p\/[\w-]{44}\/receipt\.pdf">Receipt \(PDF\)</);
  await paid(made);
  const where = /href="([^"]+\/receipt\.pdf)"/.exec((await stack.page(made.link.url)).text)[1];
  const pdf = await get(where);
  assert.equal(pdf.status, 200);
  const receipt = await read(pdf, 'en');
  const [{ receipt_number: number }] = await stack.cli('payment', 'list', '--invoice', made.invoice.id);
  for (const words of ['Receipt', number, made.merchant.name, 'Ada Byron', 'Visa •••• 4242', made.invoice.number, 'Lathe service', 'Amount paid', '$125.00']) {
    assert.ok(receipt.text.includes(words), `${words} in:\n${receipt.text}`);
  }
  assert.equal(receipt.pages, 1);
  assert.equal(receipt.title, `Receipt ${number} – ${made.merchant.name}`);
  assert.match(receipt.info, /^Page size:.*\(A4\)$/m);
  assert.ok(!pdf.body.includes(/[\w-]{44}$/.exec(made.link.url)[0]), 'it does not tell the link');
  const { headers } = pdf;
  assert.equal(headers['content-type'], 'application/pdf');
  assert.equal(headers['content-disposition'], `inline; filename="receipt-${number}.pdf"`);
  assert.equal(headers['cache-control'], 'no-store, private');
  assert.equal(headers['cdn-cache-control'], 'no-store');
  const page = await stack.page(made.link.url);
  for (const name of ['content-security-policy', 'strict-transport-security', 'x-content-type-options', 'referrer-policy', 'cross-origin-resource-policy',
    'cross-origin-opener-policy', 'permissions-policy', 'x-robots-tag']) {
    assert.ok(headers[name], name);
    assert.equal(headers[name], page.headers[name], name);
  }
});

test('in the reader\'s language, from right to left too', async () => {
  const made = await stack.scene({ currency: 'JPY', amounts: [12_500] });
  assert.equal((await stack.payer(made.link).settle()).state, 'captured');
  await paid(made);
  const [{ receipt_number: number }] = await stack.cli('payment', 'list', '--invoice', made.invoice.id);
  for (const [language, ...words] of [['ja', '領収書', 'お支払い金額', '￥12,500'], ['ar', 'إيصال', 'رقم الإيصال', 'المبلغ المدفوع', '١٢٬٥٠٠'], ['zh', '收据', '已付金额'], ['de', 'Zahlungsbeleg', 'Gezahlter Betrag']]) {
    const receipt = await read(await get(`${made.link.url}/receipt.pdf`, language), language);
    for (const word of [number, made.merchant.name, ...words]) assert.ok(joined(receipt.text).includes(joined(word)), `${word} in:\n${receipt.text}`);
  }
});

test('every line of every invoice, over as many pages as it takes', async () => {
  const made = await stack.scene({ link: false });
  const lines = Array.from({ length: 40 }, (_, n) => ['--line', `Part ${n + 1}:${n % 3 + 1}:${1_995 + n}`]).flat();
  made.invoices.push(await stack.cli('invoice', 'create', '--merchant', made.merchant.id, '--customer', made.customer.id, '--number', 'INV-LONG', '--currency', 'USD', ...lines));
  await stack.cli('merchant', 'change', made.merchant.id, '--accent', '#FFD400');
  made.link = await stack.link(made);
  for (const { id, due_minor: due } of made.invoices) await stack.cli('payment', 'record', '--invoice', id, '--method', 'cash', '--amount-minor', due);
  await paid(made);
  const receipt = await read(await get(`${made.link.url}/receipt.pdf`), 'long');
  assert.equal(receipt.pages, 2);
  for (let n = 1; n <= 40; n++) assert.match(receipt.text, new RegExp(`Part ${n}\\s`), `line ${n}`);
  assert.match(receipt.text, /Part 3\s+3 × \$19\.97\s+\$59\.91/);
  assert.match(receipt.text, /Paid by\s/);
  assert.match(receipt.text, /Cash/);
  assert.match(receipt.text, /2 ?\/ ?2$/m);
});

test('one that is outdated is never shown', async () => {
  const made = await stack.scene();
  await stack.cli('payment', 'record', '--invoice', made.invoice.id, '--method', 'cash', '--amount-minor', 12_500);
  await paid(made);
  const where = `${made.link.url}/receipt.pdf`;
  assert.match((await read(await get(where), 'before')).text, /Harbour Tools/);
  await stack.cli('merchant', 'change', made.merchant.id, '--name', 'Quay Works');
  await waitFor(async () => (await stack.page(made.link.url)).text.includes('Quay Works'), { what: 'the new name on the page' });
  assert.match((await read(await get(where), 'after')).text, /Quay Works/);
});

test('the same receipt is made once, and forged ones cost Redis nothing', async () => {
  const made = await stack.scene();
  await stack.cli('payment', 'record', '--invoice', made.invoice.id, '--method', 'cash', '--amount-minor', 12_500);
  await paid(made);
  const where = `${made.link.url}/receipt.pdf`;
  const first = await get(where);
  const store = await stack.redis();
  const before_ = await store.commandCounts();
  for (const page of await together(20, () => get(where))) assert.ok(page.body.equals(first.body));
  const [token] = /[\w-]{44}$/.exec(made.link.url);
  const forged = `${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`;
  for (const at of [`/p/${forged}/receipt.pdf`, `${where}/`, `${made.link.url}/receipt.PDF`, `${made.link.url}/receipt.png`]) await unknown(at);
  const after_ = await store.commandCounts();
  const grown = (name) => (after_[name] ?? 0) - (before_[name] ?? 0);
  assert.equal(grown('xadd'), 0, 'nothing was wanted');
  assert.equal((await request('POST', where, { headers: { 'content-length': 0 } })).status, 405);
  const head = await request('HEAD', where);
  assert.deepEqual([head.status, head.headers['content-length'], head.body.length], [200, String(first.body.length), 0]);
});

test('without a worker: try again shortly, then it comes', async () => {
  const made = await stack.scene();
  await stack.cli('payment', 'record', '--invoice', made.invoice.id, '--method', 'cash', '--amount-minor', 12_500);
  await paid(made);
  await stack.stopService('worker');
  const away = await stack.page(`${made.link.url}/receipt.pdf`);
  assert.equal(away.status, 503);
  assert.ok(Number(away.headers['retry-after']) > 0);
  assert.match(away.headers['content-type'], /^text\/html/);
  assert.equal(away.headers['content-disposition'], undefined);
  await stack.startService('worker');
  assert.equal((await get(`${made.link.url}/receipt.pdf`)).headers['content-type'], 'application/pdf');
});

test('no answer is waited for when the reader leaves, and none is lost when Redis forgets', async () => {
  const made = await stack.scene();
  await stack.cli('payment', 'record', '--invoice', made.invoice.id, '--method', 'cash', '--amount-minor', 12_500);
  await paid(made);
  const where = `${made.link.url}/receipt.pdf`;
  await stack.stopService('worker');
  await together(10, () => request('GET', where, { signal: AbortSignal.timeout(200) }).catch(() => {}));
  await stack.startService('worker');
  await (await stack.redis()).do('FLUSHALL');
  assert.equal((await get(where)).status, 200);
});
