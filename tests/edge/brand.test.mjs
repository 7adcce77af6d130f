// A merchant's own colour and logo on its pages, and its switch for links.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { CliError, ROOT, request, startStack, waitFor } from '../harness/index.mjs';

const LOGO = path.join(ROOT, 'tests/fuzz/corpus/png/palette');

let stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

const shows = (link, what) => waitFor(async () => {
  const page = await stack.page(link.url);
  return what(page) && page;
}, { what: 'the page of the link' });

async function branded(...options) {
  const scene = await stack.scene();
  await stack.cli('merchant', 'change', scene.merchant.id, ...options);
  const page = await shows(scene.link, ({ text }) => /\/brand\//.test(text));
  return { ...scene, page, assets: [...page.text.matchAll(/\/brand\/[0-9a-f]{32}\.(?:css|png)/g)].map(([name]) => name) };
}

test('a colour and a logo are served under names of their content, for ever', async () => {
  const { assets } = await branded('--accent', '#FFD400', '--logo', LOGO);
  assert.equal(assets.length, 2);
  const [sheet, logo] = await Promise.all(assets.map((name) => stack.page(name)));
  assert.equal(sheet.status, 200);
  assert.equal(sheet.headers['content-type'], 'text/css; charset=utf-8');
  assert.match(sheet.text, /^:root\{--accent:#[0-9a-f]{6};--accent-deep:#[0-9a-f]{6};--on-accent:#ffffff\}@media screen and \(prefers-color-scheme:dark\)/);
  assert.equal(logo.status, 200);
  assert.equal(logo.headers['content-type'], 'image/png');
  for (const { headers } of [sheet, logo]) {
    assert.equal(headers['cache-control'], 'public, max-age=31536000, immutable');
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.match(headers['content-security-policy'], /default-src 'none'/);
  }
});

test('what Redis has lost comes back from the books', async () => {
  const { assets } = await branded('--accent', '#102a83');
  const before = (await stack.page(assets[0])).text;
  await (await stack.redis()).do('FLUSHALL');
  await waitFor(async () => (await stack.page(assets[0])).text === before, { what: 'the style sheet' });
});

test('a name that nobody knows is the unknown page, and asks the books but rarely', async () => {
  const redis = await stack.redis();
  const unknown = (await stack.page('/nowhere')).text;
  const wants = async () => Number((await redis.do('XLEN', 'paylink:{00}:want')));
  for (const bad of ['x.css', `${'0'.repeat(32)}.gif`, `${'0'.repeat(31)}A.css`, `${'0'.repeat(32)}.css/`, `${'0'.repeat(32)}`]) {
    assert.equal((await stack.page(`/brand/${bad}`)).text, unknown, bad);
  }
  const name = `/brand/${'0'.repeat(32)}.css`;
  assert.equal((await waitFor(async () => {
    const page = await stack.page(name);
    return page.status === 404 && page;
  }, { what: 'the answer that there is none' })).text, unknown);
  await stack.stopService('worker');
  const asked = await wants();
  await Promise.all(Array.from({ length: 40 }, (_, n) => stack.page(`/brand/00${String(n).padStart(30, '7')}.png`)));
  assert.ok(await wants() - asked <= 20, 'one want for all of them in half a second');
  await stack.startService('worker');
});

test('a style sheet has no other name than its own', async () => {
  const { assets } = await branded('--accent', '#102a83');
  assert.equal((await stack.page(assets[0])).status, 200);
  assert.equal((await stack.page(assets[0].replace('.css', '.png'))).status, 404);
  assert.equal((await request('POST', new URL(assets[0], stack.url).href, { headers: { 'content-length': 0 } })).status, 405);
});

test('the result of a payment wears them, too', async () => {
  const { link, assets } = await branded('--accent', '#b00020');
  const payer = stack.payer(link);
  const taken = await payer.pay();
  await payer.result(taken);
  assert.ok((await stack.page(taken.headers.location)).text.includes(assets[0]));
});

test('they can be taken away again', async () => {
  const { merchant, link } = await branded('--accent', '#102a83', '--logo', LOGO);
  const plain = await stack.cli('merchant', 'change', merchant.id, '--accent', 'none', '--logo', 'none');
  assert.deepEqual([plain.accent, plain.logo], [null, null]);
  await shows(link, ({ text }) => !text.includes('/brand/'));
});

test('a file that is no PNG is refused with the reason', async () => {
  const { merchant } = await stack.scene({ link: false });
  const svg = path.join(stack.parent, 'logo.svg');
  fs.writeFileSync(svg, '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>');
  const damaged = path.join(stack.parent, 'logo.png');
  fs.writeFileSync(damaged, fs.readFileSync(LOGO).subarray(0, 40));
  for (const [file, words] of [[svg, /SVG among them, have to be exported as PNG/], [damaged, /damaged or incomplete/], ['/nowhere', /cannot be opened/]]) {
    await assert.rejects(stack.cli('merchant', 'change', merchant.id, '--logo', file), (error) => error instanceof CliError && error.code === 'invalid_logo' && words.test(error.text));
  }
  await assert.rejects(stack.cli('merchant', 'change', merchant.id, '--accent', 'red'), (error) => error.code === 'invalid_accent');
});

test('a merchant switches its links off and on', async () => {
  const { merchant, link } = await stack.scene();
  await shows(link, ({ status }) => status === 200);
  const payer = stack.payer(link);
  await payer.view();
  await payer.open();
  await stack.cli('merchant', 'change', merchant.id, '--links', 'off');
  const off = await shows(link, ({ status }) => status === 403);
  assert.match(off.text, /data-state="disabled"/);
  const refused = await payer.submit({ payment_method: await payer.token() });
  assert.equal(refused.status, 403);
  assert.match(refused.text, /Your card was not charged/);
  assert.equal((await stack.cli('link', 'show', link.id)).state, 'disabled');
  await stack.cli('merchant', 'change', merchant.id, '--links', 'on');
  await shows(link, ({ status }) => status === 200);
  assert.equal((await stack.payer(link).settle()).state, 'captured');
});
