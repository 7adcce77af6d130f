// Pay buttons and QR codes for partners: images that say what they are asked to say, and give nothing away.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { plainText, ROOT, startStack, together, waitFor } from '../harness/index.mjs';

const PICTURES = path.join(ROOT, 'tests/artifacts/buttons');

let stack;
before(async () => { stack = await startStack(); });
after(() => stack.stop());

async function scene(...options) {
  const made = await stack.scene();
  await waitFor(async () => (await stack.page(made.link.url)).status === 200, { what: 'the page' });
  made.button = await stack.cli('link', 'button', made.link.id, ...options);
  return made;
}
const words = (page) => />([^<]+)<\/text>/.exec(plainText(page))[1];
const whole = ({ text }) => /^<svg [^>]+>\n<rect [^>]+>\n<text [^>]+>[^<]+<\/text>\n<\/svg>\n$/.test(text);
// A button's address with other arguments.
const at = ({ button }, query) => button.button_url.replace(/(\.svg).*/, `$1${query}`);

test('the command gives addresses and HTML that lead to the page', async () => {
  const { link, button } = await scene('--size', 'l', '--theme', 'dark', '--language', 'de', '--amount', '--state');
  assert.match(button.button_url, /\/b\/[\w-]{44}\.svg\?size=l&theme=dark&lang=de&amount=1&state=1$/);
  assert.equal(button.qr_url, `${link.url}/qr.svg`);
  assert.equal(button.html, `<a href="${link.url}" rel="noreferrer"><img src="${button.button_url.replaceAll('&', '&amp;')}" alt="Pay"></a>`);
  assert.equal(words(await stack.page(button.button_url)), '125,00 $ zahlen');
});

test('a plain button asks nobody, and may be kept for a day', async () => {
  const made = await scene();
  const store = await stack.redis();
  const before_ = await store.commandCounts();
  const pages = await together(50, () => stack.page(made.button.button_url));
  assert.ok(((await store.commandCounts()).hmget ?? 0) - (before_.hmget ?? 0) < 10);
  for (const page of pages) {
    assert.equal(page.status, 200);
    assert.equal(page.headers['content-type'], 'image/svg+xml');
    assert.equal(page.headers['cache-control'], 'public, max-age=86400');
    assert.equal(page.headers['cross-origin-resource-policy'], 'cross-origin');
    assert.match(page.headers['content-security-policy'], /default-src 'none'/);
    assert.equal(page.headers['x-content-type-options'], 'nosniff');
    assert.equal(page.headers['set-cookie'], undefined);
    assert.ok(whole(page), page.text);
    assert.equal(words(page), 'Pay now');
  }
});

test('amount and state, while it is due, paid, and closed', async () => {
  const made = await scene();
  const look = async (query) => stack.page(at(made, query));
  const due = await look('?amount=1&state=1');
  assert.equal(due.headers['cache-control'], 'public, max-age=60');
  assert.equal(words(due), 'Pay $125.00');
  assert.equal(words(await look('?state=1')), 'Pay now');
  assert.equal((await stack.payer(made.link).settle()).state, 'captured');
  await waitFor(async () => words(await look('?amount=1&state=1')) === 'Paid', { what: 'a button that says paid' });
  assert.equal(words(await look('?amount=1')), 'Pay now', 'what was not asked for is not told');
  const closed = await scene();
  await stack.cli('invoice', 'void', closed.invoice.id);
  await waitFor(async () => words(await stack.page(at(closed, '?state=1'))) === 'Closed', { what: 'a button that says closed' });
});

test('every language, size and theme; the words fit', async () => {
  const made = await scene();
  fs.mkdirSync(PICTURES, { recursive: true });
  for (const language of fs.readdirSync(path.join(ROOT, 'config/pages/messages')).map((file) => file.replace('.txt', ''))) {
    const page = await stack.page(at(made, `?lang=${language}&amount=1`));
    assert.ok(whole(page), language);
    assert.equal(page.text.includes('direction="rtl"'), language === 'ar');
    fs.writeFileSync(path.join(PICTURES, `${language}.svg`), page.text);
  }
  const heights = await Promise.all(['s', 'm', 'l'].map(async (size) => /height="(\d+)"/.exec((await stack.page(at(made, `?size=${size}`))).text)[1]));
  assert.deepEqual(heights, ['32', '44', '56']);
  assert.notEqual((await stack.page(at(made, '?theme=dark'))).text, (await stack.page(at(made, '?theme=light'))).text);
});

test('other arguments, twice or odd: one picture has one address', async () => {
  const made = await scene();
  for (const query of ['?x=1', '?size=xl', '?size', '?theme=', '?lang=tlh', '?lang=de-CH', '?amount=2', '?state=', '?&', '?size=m&', '?lang=%64e']) {
    assert.equal((await stack.page(at(made, query))).status, 400, query);
  }
});

test('a button cannot pay, a link is no button, forged ones cost Redis nothing', async () => {
  const made = await scene();
  const button = /\/b\/([\w-]{44})/.exec(made.button.button_url)[1];
  const [token] = /[\w-]{44}$/.exec(made.link.url);
  const unknown = await stack.page('/p/x');
  const store = await stack.redis();
  const before_ = await store.commandCounts();
  for (const where of [`/p/${button}`, `/p/${button}/qr.svg`, `/b/${token}.svg`, `/b/${button.slice(0, -1)}${button.endsWith('A') ? 'B' : 'A'}.svg`,
    `/b/${button.slice(0, -1)}${button.endsWith('A') ? 'B' : 'A'}.png`, `/b/${token}.png`, `/b/${button}`, `/b/${button}.gif`, `/b/${button}.svg/`, `/b/${button}.SVG`, '/b/', '/b/.svg']) {
    const page = await stack.page(where);
    assert.deepEqual([page.status, page.text], [404, unknown.text], where);
  }
  assert.equal(((await store.commandCounts()).fcall ?? 0) - (before_.fcall ?? 0), 0);
  assert.equal((await stack.page(`${made.link.url}/qr.gif`)).status, 404);
});

test('the worker brings back a link that Redis has lost', async () => {
  const made = await scene();
  const store = await stack.redis();
  await store.do('FLUSHALL');
  assert.equal(words(await stack.page(at(made, '?amount=1'))), 'Pay $125.00');
});

test('the QR code is the link, as SVG and as PNG, and personal', async () => {
  const { link, button } = await scene();
  fs.mkdirSync(PICTURES, { recursive: true });
  const svg = await stack.page(button.qr_url);
  const png = await stack.page(`${link.url}/qr.png`);
  for (const page of [svg, png]) {
    assert.equal(page.status, 200);
    assert.equal(page.headers['cache-control'], 'no-store, private');
    assert.equal(page.headers['cross-origin-resource-policy'], 'same-origin');
  }
  const file = path.join(PICTURES, 'qr.png');
  fs.writeFileSync(file, png.body);
  assert.equal(execFileSync('zbarimg', ['--quiet', '--raw', file]).toString().trim(), link.url);
  // The same modules: each run of the SVG is dark in the PNG's grid.
  const size = Number(/viewBox="0 0 (\d+) /.exec(svg.text)[1]);
  assert.equal(png.body.readUInt32BE(16), size * 8);
  const dark = new Set();
  for (const [, x, y, n] of svg.text.matchAll(/M(\d+) (\d+)h(\d+)v1/g)) for (let i = 0; i < Number(n); i++) dark.add(`${Number(x) + i},${y}`);
  assert.ok(dark.size > (size - 8) ** 2 / 3 && dark.size < (size - 8) ** 2 * 2 / 3);
  for (const corner of ['4,4', `${size - 5},4`, `4,${size - 5}`]) assert.ok(dark.has(corner), corner);
});

test('no address of a button or link is logged', async () => {
  const made = await scene();
  await stack.page(made.button.button_url);
  await stack.page(`${made.link.url}/qr.png`);
  const logs = fs.readdirSync(stack.info.log_dir).map((file) => fs.readFileSync(path.join(stack.info.log_dir, file), 'utf8')).join('\n');
  assert.ok(!logs.includes(/\/b\/([\w-]{44})/.exec(made.button.button_url)[1]));
  assert.ok(!logs.includes(/[\w-]{44}$/.exec(made.link.url)[0]));
});
