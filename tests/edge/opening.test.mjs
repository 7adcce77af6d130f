// What fetches links without a human: mail scanners, previewers, prefetching browsers. None of it starts a clock.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { formBody, request, startStack, together, waitFor } from '../harness/index.mjs';

const ROBOTS = [
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0 SafeLinks',
  'Mozilla/5.0 (compatible; Barracuda Sentinel (EE))', 'Mozilla/5.0 (compatible; ProofPoint URL Defense)', 'Mimecast/1.0', 'Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)',
  'facebookexternalhit/1.1', 'WhatsApp/2.23.20.0', 'TelegramBot (like TwitterBot)', 'Twitterbot/1.0', 'LinkedInBot/1.0', 'Discordbot/2.0', 'SkypeUriPreview Preview/0.5',
  'Google-PageRenderer Google (+https://developers.google.com/+/web/snippet/)', 'GoogleImageProxy', 'Googlebot/2.1', 'bingbot/2.0', 'YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html',
  'HeadlessChrome/126.0.0.0', 'curl/8.5.0', 'python-requests/2.32.0', '',
];
const PREFETCHES = [
  { purpose: 'prefetch' }, { 'sec-purpose': 'prefetch' }, { 'sec-purpose': 'prefetch;prerender' }, { 'sec-purpose': 'prefetch;anonymous-client-ip' }, { 'x-moz': 'prefetch' },
  { 'x-purpose': 'preview' }, { 'x-purpose': ': preview' }, { 'sec-fetch-dest': 'empty', 'sec-fetch-mode': 'no-cors' }, { range: 'bytes=0-0' }, { 'if-none-match': '*' },
];

let stack;
before(async () => { stack = await startStack(); });
after(() => stack.stop());

test('robots, previews and prefetches start no clock; then a human does', async () => {
  const { link } = await stack.scene();
  await waitFor(async () => (await stack.page(link.url)).status === 200, { what: 'the page' });
  const visits = [...ROBOTS.map((name) => ({ 'user-agent': name })), ...PREFETCHES];
  const below = ['', '/events.js', '/nothing', '/open', '/pay', '?utm_source=mail', '?payment_method=pm_card_visa', '#top'];
  await together(visits.length, async (i) => {
    for (const at of below) {
      for (const method of ['HEAD', 'GET', 'OPTIONS']) await request(method, link.url + at, { headers: visits[i] });
    }
  });
  const payer = stack.payer(link);
  await payer.view();
  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  for (const [where, headers, fields] of [
    ['/open', { 'sec-fetch-site': 'cross-site' }, {}],
    ['/pay', form, payer.form.fields],
    ['/pay', form, { ...payer.form.fields, payment_method: '' }],
    ['/pay', form, { ...payer.form.fields, payment_method: 'test', extra: 'test' }],
    ['/pay', { ...form, 'sec-fetch-site': 'cross-site' }, { ...payer.form.fields, payment_method: 'pm_card_visa' }],
    ['', form, { ...payer.form.fields, payment_method: 'pm_card_visa' }],
  ]) {
    assert.ok((await request('POST', link.url + where, { headers, body: formBody(fields) })).status >= 400, where);
  }
  assert.equal((await stack.cli('link', 'show', link.id)).opened_at, null);
  await payer.open();
  await waitFor(async () => (await stack.cli('link', 'show', link.id)).opened_at, { what: 'the opening in the books' });
});

test('Pay without JavaScript starts the clock', async () => {
  const { link } = await stack.scene();
  assert.equal((await stack.payer(link).settle()).state, 'captured');
  assert.notEqual((await stack.cli('link', 'show', link.id)).opened_at, null);
});
