// The sandbox's own pages over HTTP: what they promise the payer's page, and whom they serve.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { EDGE, ROOT, SandboxProcess } from './sandbox.mjs';

let sandbox;

before(async () => { sandbox = await SandboxProcess.start(); });
after(() => sandbox?.stop());

const page = async (route, fields) => {
  const reply = await fetch(sandbox.url + route, {
    redirect: 'manual', ...(fields && { method: 'POST', body: new URLSearchParams(fields) }),
  });
  return { status: reply.status, headers: reply.headers, text: await reply.text() };
};
const query = (fields) => new URLSearchParams(fields).toString();
const RETURN = `${EDGE}/p/TOKEN`;
const CARD = { account: 'pk_test_1', return_url: RETURN, number: '4242 4242 4242 4242', exp_month: '12', exp_year: '40', cvc: '123' };

it('the card fields may be framed by the edge and by nobody else', async () => {
  const good = await page(`/fields?${query({ account: 'pk_test_1', origin: EDGE })}`);
  assert.equal(good.status, 200);
  const policy = good.headers.get('content-security-policy');
  assert.match(policy, new RegExp(`frame-ancestors ${EDGE}$`));
  assert.match(policy, /^default-src 'none';/);
  assert.doesNotMatch(policy, /unsafe|\*/);
  assert.equal(good.headers.get('cache-control'), 'no-cache, no-store');
  for (const origin of ['https://evil.example', `${EDGE}.evil.example`, `${EDGE} https://evil.example`, '', '*', 'null']) {
    const reply = await page(`/fields?${query({ account: 'pk_test_1', origin })}`);
    assert.equal(reply.status, 403, origin);
    assert.match(reply.headers.get('content-security-policy'), /frame-ancestors 'none'/);
  }
  for (const account of ['', 'sk_test_1', 'pk_', 'pk_"><script>', `pk_${'x'.repeat(200)}`]) {
    assert.equal((await page(`/fields?${query({ account, origin: EDGE })}`)).status, 400, account);
  }
});

it('script and style are served under names with their hash, for good', async () => {
  const { text } = await page(`/fields?${query({ account: 'pk_test_1', origin: EDGE })}`);
  for (const [pattern, file, type] of [
    [/href="(\/static\/sandbox\.[0-9a-f]{16}\.css)"/, 'sandbox.css', /^text\/css/],
    [/src="(\/static\/fields\.[0-9a-f]{16}\.js)"/, 'fields.js', /^text\/javascript/],
  ]) {
    const reply = await page(pattern.exec(text)[1]);
    assert.equal(reply.text, fs.readFileSync(path.join(ROOT, 'config/pages/sandbox', file), 'utf8'));
    assert.match(reply.headers.get('content-type'), type);
    assert.match(reply.headers.get('cache-control'), /immutable/);
    assert.equal(reply.headers.get('x-content-type-options'), 'nosniff');
  }
  assert.equal((await page('/static/../sandbox.css')).status, 404);
  assert.equal((await page('/static/fields.js')).status, 404);
  assert.equal((await page('/static/%66ields.js')).status, 404);
});

it('the hosted page makes a token and goes back with it', async () => {
  const form = await page(`/hosted?${query({ account: 'pk_test_1', return_url: RETURN })}`);
  assert.equal(form.status, 200);
  assert.match(form.headers.get('content-security-policy'), new RegExp(`form-action 'self' ${EDGE};`));
  assert.match(form.text, /name="number"/);
  const back = await page('/hosted', CARD);
  assert.equal(back.status, 303);
  const url = new URL(back.headers.get('location'));
  assert.equal(url.origin + url.pathname, RETURN);
  const method = await sandbox.stripe().paymentMethods.retrieve(url.searchParams.get('payment_method'));
  assert.equal(method.card.last4, '4242');
  const kept = await page('/hosted', { ...CARD, return_url: `${RETURN}?x=1#part` });
  assert.match(kept.headers.get('location'), /\?x=1&payment_method=pm_\w+#part$/);
});

it('the hosted page says what is wrong and repeats neither a foreign number nor the code', async () => {
  for (const [change, field] of [
    [{ number: '4242424242424241' }, 'number'], [{ number: '' }, 'number'], [{ number: '4539578763621486' }, 'number'],
    [{ exp_month: '13' }, 'exp_month'], [{ exp_year: '20' }, 'exp_year'], [{ cvc: '12345' }, 'cvc'], [{ cvc: '' }, 'cvc'],
  ]) {
    const reply = await page('/hosted', { ...CARD, ...change });
    assert.equal(reply.status, 400, field);
    assert.match(reply.text, new RegExp(`id="${field}"[^>]*aria-invalid="true"`), field);
    assert.match(reply.text, /role="alert"/);
    if (change.number) assert.ok(!reply.text.includes(change.number));
    assert.doesNotMatch(reply.text, /value="12345"|value="123"/);
  }
});

const LANGUAGES = fs.readdirSync(path.join(ROOT, 'config/pages/sandbox/messages')).map((file) => file.replace('.txt', ''));
const words = (lang) => Object.fromEntries([...fs.readFileSync(path.join(ROOT, `config/pages/sandbox/messages/${lang}.txt`), 'utf8')
  .matchAll(/^(\w+) = (.*)$/gm)].map(([, key, text]) => [key, text]));

it('every page speaks the language that it is asked for', async () => {
  const { next_action: action } = await sandbox.stripe().paymentIntents.create({
    amount: 123456, currency: 'eur', payment_method: 'pm_card_threeDSecure2Required', confirm: true, return_url: `${RETURN}/a/1`,
  });
  const bank = new URL(action.redirect_to_url.url).pathname;
  assert.equal(LANGUAGES.length, 10);
  for (const lang of LANGUAGES) {
    const said = words(lang);
    const account = 'pk_test_1';
    for (const [route, fields, key] of [
      [`/fields?${query({ account, lang, origin: EDGE })}`, null, 'card_number'],
      [`/hosted?${query({ account, lang, return_url: RETURN })}`, null, 'hosted_use'],
      ['/hosted', { ...CARD, lang, number: '4242424242424241' }, 'number_wrong'],
      [`/fields?${query({ account, lang, origin: 'https://evil.example' })}`, null, 'message_origin'],
      [`${bank}?lang=${lang}`, null, 'bank_confirm'],
    ]) {
      const { text } = await page(route, fields);
      assert.ok(text.includes(said[key]), `${route}: ${key}`);
      assert.match(text, new RegExp(`<html lang="${lang}"${lang === 'ar' ? ' dir="rtl"' : ''}>`));
    }
  }
  for (const [tag, spoken] of [['de-CH', 'de'], ['xx', 'en'], ['', 'en'], ['"><script>', 'en']]) {
    const { text } = await page(`/hosted?${query({ account: 'pk_test_1', lang: tag, return_url: RETURN })}`);
    assert.match(text, new RegExp(`<html lang="${spoken}"`), tag);
  }
  const browser = await fetch(`${sandbox.url}/authenticate/pi_none`, { headers: { 'accept-language': 'fr-CA, de;q=0.5' } });
  assert.match(await browser.text(), /<html lang="fr"/);
});

it('nobody is sent anywhere but to the edge', async () => {
  for (const url of ['https://evil.example/', `${EDGE}@evil.example/`, `${EDGE}.evil.example/`, '//evil.example', 'javascript:alert(1)',
    `${EDGE}/p/x\r\nset-cookie: a=b`, `${EDGE}/"><script>`, '', `${EDGE}/${'x'.repeat(3000)}`]) {
    assert.equal((await page('/hosted', { ...CARD, return_url: url })).status, 400, url);
    assert.equal((await page(`/hosted?${query({ account: 'pk_test_1', return_url: url })}`)).status, 400, url);
  }
});

it('the bank\'s page shows what is paid and asks for a decision', async () => {
  const intent = await sandbox.stripe().paymentIntents.create({
    amount: 123456, currency: 'eur', payment_method: 'pm_card_threeDSecure2Required', confirm: true, return_url: `${RETURN}/a/1`,
    description: 'Invoice <b>1</b>',
  });
  const route = new URL(intent.next_action.redirect_to_url.url).pathname;
  const shown = await page(route);
  assert.equal(shown.status, 200);
  assert.match(shown.text, /€1,234\.56/);
  assert.match(shown.text, /Invoice &lt;b&gt;1&lt;\/b&gt;/);
  assert.match(shown.text, /Visa •••• 3220/);
  assert.equal((await page(route, { decision: 'maybe' })).status, 400);
  assert.equal((await page(route, {})).status, 400);
  assert.equal((await page(route, { decision: 'complete' })).status, 303);
  assert.equal((await page(route)).status, 410);
  assert.equal((await page('/authenticate/pi_none')).status, 404);
});

it('pages of other sites cannot press the buttons', async () => {
  for (const route of ['/sandbox/faults', '/hosted', '/authenticate/pi_none', '/v1/payment_methods']) {
    const reply = await fetch(sandbox.url + route, { method: 'POST', body: new URLSearchParams(CARD), headers: { 'sec-fetch-site': 'cross-site' } });
    assert.equal(reply.status, 403, route);
  }
  assert.equal((await page('/hosted', CARD)).status, 303);
});

it('other methods and other paths are refused', async () => {
  for (const [route, allow] of [['/fields', 'GET, HEAD'], ['/hosted', 'GET, HEAD, POST']]) {
    const reply = await fetch(sandbox.url + route, { method: 'PUT' });
    assert.deepEqual([reply.status, reply.headers.get('allow')], [405, allow]);
  }
  for (const route of ['/', '/sandbox', '/sandbox/none', '/v2/x', '/fields/', '/hosted/x']) assert.equal((await page(route)).status, 404, route);
  const head = await fetch(`${sandbox.url}/sandbox/health`, { method: 'HEAD' });
  assert.deepEqual([head.status, await head.text()], [200, '']);
});
