// Receipts as PDFs and buttons as PNGs: the worker makes them when they are asked for, Redis keeps them for a while.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import zlib from 'node:zlib';
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

// --- buttons ----------------------------------------------------------------------------------

async function buttonOf(made, ...options) {
  await waitFor(async () => (await stack.page(made.link.url)).status === 200, { what: 'the page' });
  return stack.cli('link', 'button', made.link.id, ...options);
}
const at = ({ button_png_url: url }, query) => url.replace(/(\.png).*/, `$1${query}`);

// A PNG, pixel by pixel: https://www.w3.org/TR/png/
function decode(png) {
  assert.equal(png.subarray(0, 8).toString('latin1'), '\x89PNG\r\n\x1a\n');
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)];
  assert.deepEqual([...png.subarray(24, 29)], [8, 6, 0, 0, 0], 'eight bits of red, green, blue and alpha');
  const parts = [];
  for (let offset = 8; offset < png.length; offset += 12 + png.readUInt32BE(offset)) {
    if (png.toString('latin1', offset + 4, offset + 8) === 'IDAT') parts.push(png.subarray(offset + 8, offset + 8 + png.readUInt32BE(offset)));
  }
  const rows = zlib.inflateSync(Buffer.concat(parts));
  const line = 4 * width;
  assert.equal(rows.length, height * (line + 1));
  const pixels = Buffer.alloc(height * line);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < line; x++) {
      const left = x < 4 ? 0 : pixels[y * line + x - 4];
      const up = y === 0 ? 0 : pixels[(y - 1) * line + x];
      const corner = x < 4 || y === 0 ? 0 : pixels[(y - 1) * line + x - 4];
      const paeth = [left, up, corner].sort((a, b) => Math.abs(left + up - corner - a) - Math.abs(left + up - corner - b))[0];
      pixels[y * line + x] = rows[y * (line + 1) + 1 + x] + [0, left, up, (left + up) >> 1, paeth][rows[y * (line + 1)]];
    }
  }
  return { width, height, at: (x, y) => pixels.subarray(y * line + 4 * x, y * line + 4 * x + 4).toString('hex'), pixels };
}

test('a button is the same as a PNG: as large, in its colours', async () => {
  const made = await stack.scene();
  const button = await buttonOf(made);
  for (const query of ['?size=s', '?size=m&theme=dark', '?size=l&lang=ar', '?lang=ja&amount=1', '?lang=de&amount=1&state=1']) {
    const svg = await get(at(button, query).replace('.png', '.svg'));
    const png = await get(at(button, query));
    assert.equal(png.status, 200);
    assert.equal(png.headers['content-type'], 'image/png');
    for (const name of ['cache-control', 'cross-origin-resource-policy', 'content-security-policy', 'x-content-type-options']) {
      assert.equal(png.headers[name], svg.headers[name], name);
    }
    const picture = decode(png.body);
    assert.deepEqual([picture.width, picture.height].map(String), /width="(\d+)" height="(\d+)"/.exec(svg.text).slice(1, 3), query);
    const ground = /<rect [^>]*fill="#(\w{6})"/.exec(svg.text)[1];
    const ink = /<text [^>]*fill="#(\w{6})"/.exec(svg.text)[1];
    assert.equal(picture.at(4, picture.height / 2), `${ground}ff`);
    assert.match(picture.at(0, 0), /00$/, 'round corners');
    let strokes = 0;
    for (let y = 0; y < picture.height; y++) for (let x = 0; x < picture.width; x++) strokes += picture.at(x, y) === `${ink}ff`;
    assert.ok(strokes > 10, `${strokes} pixels of ink in ${query}`);
    fs.writeFileSync(path.join(KEPT, `button${query.replace(/\W/g, '-')}.png`), png.body);
  }
});

test('a picture of two or three times the pixels; other scales are a 400, and an SVG has none', async () => {
  const button = await buttonOf(await stack.scene());
  const one = decode((await get(at(button, ''))).body);
  for (const scale of [1, 2, 3]) {
    const more = decode((await get(at(button, `?scale=${scale}`))).body);
    assert.deepEqual([more.width, more.height], [scale * one.width, scale * one.height]);
  }
  for (const query of ['?scale=0', '?scale=4', '?scale=', '?scale=11', '?scale=1.5', '?scale=-1']) assert.equal((await get(at(button, query))).status, 400, query);
  assert.equal((await get(at(button, '?scale=2').replace('.png', '.svg'))).status, 400);
});

test('it shows once it is paid; what all links have in common is drawn once', async () => {
  const [made, other] = [await stack.scene(), await stack.scene()];
  const button = await buttonOf(made);
  const look = async (of, query) => (await get(at(of, query))).body;
  const due = await look(button, '?state=1');
  assert.ok(due.equals(await look(button, '')), 'a button that is due looks plain');
  assert.equal((await stack.payer(made.link).settle()).state, 'captured');
  const done = await waitFor(async () => {
    const now = await look(button, '?state=1');
    return !now.equals(due) && now;
  }, { what: 'a picture that says paid' });
  assert.equal(decode(done).at(4, 22), 'e3efecff');
  assert.ok((await look(button, '')).equals(due), 'what was not asked for is not told');
  const store = await stack.redis();
  const before_ = (await store.commandCounts()).xadd ?? 0;
  assert.ok((await look(await buttonOf(other), '')).equals(due));
  assert.equal((await store.commandCounts()).xadd ?? 0, before_, 'nothing was wanted for it');
});

test('the command gives the PNG\'s address, and HTML for mail programs', async () => {
  const { link } = await stack.scene();
  const { button_url: svg, button_png_url: png, html } = await stack.cli('link', 'button', link.id, '--size', 'l', '--state', '--image', 'png', '--scale', '2');
  assert.match(svg, /\.svg\?size=l&state=1$/);
  assert.equal(png, svg.replace('.svg', '.png').concat('&scale=2'));
  assert.equal(html, `<a href="${link.url}" rel="noreferrer"><img src="${png.replaceAll('&', '&amp;')}" height="56" alt="Pay"></a>`);
  assert.deepEqual([(await get(png)).status, decode((await get(png)).body).height], [200, 112]);
});

test('a picture of a link that Redis has lost, and none without a worker', async () => {
  const button = await buttonOf(await stack.scene());
  await (await stack.redis()).do('FLUSHALL');
  assert.equal((await get(at(button, '?amount=1'))).status, 200);
  await stack.stopService('worker');
  const away = await stack.page(at(button, '?theme=dark&size=s&scale=3'));
  assert.equal(away.status, 503);
  assert.ok(Number(away.headers['retry-after']) > 0);
  assert.equal(away.headers['cache-control'], 'no-store, private');
  await stack.startService('worker');
  assert.equal((await get(at(button, '?theme=dark&size=s&scale=3'))).status, 200);
});

test('many different pictures at once: all of them come, and a payment is not kept waiting', async () => {
  const button = await buttonOf(await stack.scene());
  const paying = stack.payer((await stack.scene()).link);
  const languages = fs.readdirSync(path.join(ROOT, 'config/pages/messages')).map((file) => file.replace('.txt', ''));
  const queries = ['s', 'm', 'l'].flatMap((size) => ['light', 'dark'].flatMap((theme) => languages.map((lang) => `?size=${size}&theme=${theme}&lang=${lang}&scale=3`)));
  const [pictures, result] = await Promise.all([Promise.all(queries.map((query) => get(at(button, query)))), paying.settle()]);
  assert.equal(result.state, 'captured');
  for (const { status, body } of pictures) {
    assert.equal(status, 200);
    assert.ok(decode(body).width > 0);
  }
  assert.ok(new Set(pictures.map(({ body }) => body.toString('latin1'))).size > queries.length / 2, 'they differ, unless two languages say the same');
});
