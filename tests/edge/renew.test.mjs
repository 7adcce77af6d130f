// "Send me a new link": offered on the page of an expired link, without a script, and answered the same whatever
// comes of it. The mail itself: tests/worker/mail.test.mjs.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { parseForms, postForm, request, startStack, together, visibleText, waitFor } from '../harness/index.mjs';

const MAIL = { 'mail.url': 'smtp://127.0.0.1:9', 'mail.from': 'pay@pay.example' };

let stack, redis;
before(async () => {
  stack = await startStack({ set: MAIL });
  redis = await stack.redis();
});
after(() => stack?.stop());

const shard = (link) => `paylink:{${(Number.parseInt(link.id.slice(0, 2), 16) % 16).toString(16).padStart(2, '0')}}`;
const show = (link, on = stack) => on.cli('link', 'show', link.id);
const mails = (scene) => stack.sql(`SELECT kind, encode(uuid_send(link_id), 'hex') AS link, lang FROM paylink.mail WHERE merchant_id = '${scene.merchant.id}'`);
const renew = (link, options) => postForm(`${link.url}/renew`, '', options);

async function expired({ on = stack, ...options } = {}) {
  const scene = await on.scene({ lifetime: 1, ...options });
  const payer = on.payer(scene.link);
  await payer.view();
  await payer.open();
  await waitFor(async () => (await on.page(scene.link.url)).status === 410, { what: 'the end of the link' });
  return scene;
}

// Everything of an answer that an outsider can see, but the time.
const seen = ({ status, rawHeaders, text }) => JSON.stringify([status, rawHeaders.filter((_, i, all) => all[i - (i % 2)] !== 'Date'), text]);

test('the expired page offers a new link to a masked address; pressed, it replaces the link and waits for the mail', async () => {
  const scene = await expired();
  const page = await stack.page(scene.link.url);
  assert.match(visibleText(page.text), /We can e-mail you a new link for Invoice INV-\S+ ?\. It goes only to the address that Harbour Tools \S+ has for you: a•••@e•••\.com/);
  const [form, ...others] = parseForms(page.text);
  assert.deepEqual([form.method, others.length, form.fields], ['post', 0, {}]);
  const answer = await postForm(new URL(form.action, scene.link.url).href, form.fields);
  assert.equal(answer.status, 303);
  assert.equal(answer.headers.location, `${new URL(scene.link.url).pathname}/renewed`);
  const told = await stack.page(answer.headers.location);
  assert.equal(told.status, 200);
  assert.match(visibleText(told.text), /Look into your mailbox .* Invoice INV-/);
  const old = await waitFor(async () => (await show(scene.link)).replaced_by && show(scene.link), { what: 'the successor' });
  assert.equal(old.state, 'replaced');
  assert.deepEqual(await mails(scene), [{ kind: 'renew', link: old.replaced_by, lang: 'en' }]);
  await waitFor(async () => /data-state="replaced"/.test((await stack.page(scene.link.url)).text), { what: 'the end of the old link' });
  const fresh = await stack.cli('link', 'show', old.replaced_by);
  assert.deepEqual([fresh.state, fresh.lifetime_s, fresh.opened_at], ['active', 1, null]);
  assert.equal((await stack.page(fresh.url)).status, 200);
});

test('neither Redis nor any page ever has the address', async () => {
  const scene = await expired();
  await renew(scene.link);
  const [name] = scene.customer.email.split('@');
  const values = await redis.do('EVAL', `
    local out = {}
    for _, key in ipairs(redis.call('KEYS', '*')) do
      local kind = redis.call('TYPE', key).ok
      if kind == 'hash' then out[#out + 1] = table.concat(redis.call('HGETALL', key), ' ')
      elseif kind == 'stream' then for _, entry in ipairs(redis.call('XRANGE', key, '-', '+')) do out[#out + 1] = table.concat(entry[2], ' ') end
      elseif kind == 'string' then out[#out + 1] = redis.call('GET', key) end
    end
    return out`, 0);
  assert.ok(values.some((value) => value.includes('a•••@e•••.com')));
  assert.ok(!values.some((value) => value.includes(name)));
  for (const at of ['', '/renewed']) assert.ok(!(await stack.page(scene.link.url + at)).text.includes(name));
});

test('the answer is the same, byte for byte, whether or not a mail will be sent', async () => {
  const scene = await expired();
  const { link } = scene;
  await stack.stopService('worker');
  const first = [await renew(link), await stack.page(`${link.url}/renewed`)];
  const limited = [await renew(link), await stack.page(`${link.url}/renewed`)];
  assert.equal((await redis.entries(`${shard(link)}:renew`)).filter((entry) => entry.link === link.id).length, 1);
  await stack.startService('worker');
  await waitFor(async () => (await show(link)).state === 'replaced', { what: 'the successor' });
  await waitFor(async () => (await redis.hash(`${shard(link)}:link:${link.id}`)).state === 'replaced', { what: 'Redis to know' });
  const replaced = [await renew(link), await stack.page(`${link.url}/renewed`)];
  assert.deepEqual(limited.map(seen), first.map(seen));
  assert.deepEqual(replaced.map(seen), first.map(seen));
  assert.equal((await mails(scene)).length, 1);
});

test('asked for a living, a paid and a revoked link: told the same, and nothing happens', async () => {
  const living = await stack.scene();
  const paid = await stack.scene();
  await stack.payer(paid.link).settle();
  const revoked = await stack.scene();
  await stack.cli('link', 'revoke', revoked.link.id);
  for (const scene of [living, paid, revoked]) {
    const before_ = await show(scene.link);
    const answer = await renew(scene.link);
    assert.equal(answer.status, 303);
    assert.equal((await stack.page(answer.headers.location)).status, 200);
    assert.deepEqual(await redis.entries(`${shard(scene.link)}:renew`), []);
    assert.deepEqual(await show(scene.link), before_);
    assert.equal((await mails(scene)).filter(({ kind }) => kind === 'renew').length, 0);
  }
});

test('many at once get one new link', async () => {
  const scene = await expired();
  const answers = await together(30, () => renew(scene.link));
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([303]));
  await waitFor(async () => (await show(scene.link)).state === 'replaced', { what: 'the successor' });
  assert.equal((await mails(scene)).length, 1);
  assert.equal((await stack.cli('link', 'list', scene.merchant.id)).length, 2);
});

test('what is not a form of this page is refused, and nothing is queued', async () => {
  const { link } = await expired();
  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  for (const [method, at, headers, body, status] of [
    ['GET', '/renew', {}, undefined, 405], ['HEAD', '/renew', {}, undefined, 405], ['PUT', '/renew', form, '', 405],
    ['POST', '/renewed', form, '', 405], ['POST', '/renew', { ...form, 'sec-fetch-site': 'cross-site' }, '', 403],
    ['POST', '/renew', { ...form, 'transfer-encoding': 'chunked' }, 'a=1', 411], ['POST', '/renew', { 'content-type': 'text/plain', 'content-length': 0 }, '', 415],
    ['POST', '/renew', { ...form, 'content-length': 9000 }, 'a'.repeat(9000), 413], ['POST', '/renew/', { ...form, 'content-length': 0 }, '', 404],
    ['GET', '/renewed/', {}, undefined, 404], ['GET', '/renew%65d', {}, undefined, 404],
  ]) {
    assert.equal((await request(method, link.url + at, { headers, body })).status, status, `${method} ${at} ${JSON.stringify(headers)}`);
  }
  assert.equal((await request('GET', `${link.url}/renew`)).headers.allow, 'POST');
  assert.equal((await request('POST', `${link.url}/renewed`)).headers.allow, 'GET, HEAD');
  const forged = link.url.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'));
  const unknown = await stack.page(forged);
  assert.equal(unknown.status, 404);
  for (const answer of [await renew({ url: forged }), await stack.page(`${forged}/renewed`)]) assert.equal(answer.text, unknown.text);
  assert.deepEqual(await redis.entries(`${shard(link)}:renew`), []);
  assert.equal((await show(link)).state, 'expired');
});

test('a link that Redis has lost is asked for and renewed', async () => {
  const scene = await expired();
  await waitFor(async () => (await show(scene.link)).opened_at, { what: 'the opening in the books' });
  await redis.do('DEL', `${shard(scene.link)}:link:${scene.link.id}`);
  assert.equal((await renew(scene.link)).status, 303);
  await waitFor(async () => (await show(scene.link)).state === 'replaced', { what: 'the successor' });
});

test('without Redis the payer is asked to try again shortly', async () => {
  const { link } = await expired();
  await stack.stopService('redis');
  const answer = await renew(link);
  assert.deepEqual([answer.status, answer.headers['retry-after']], [503, '2']);
  await stack.startService('redis');
  await waitFor(async () => (await stack.page(link.url)).status === 410, { what: 'the page' });
  redis = await stack.redis();
});

test('in the language of the reader; the mail is to be in it, too', async () => {
  const scene = await expired();
  const german = { headers: { 'accept-language': 'de' } };
  const page = await stack.page(scene.link.url, german);
  assert.match(page.text, /Neuen Link senden/);
  await renew(scene.link, german);
  assert.match((await stack.page(`${scene.link.url}/renewed`, german)).text, /Bitte prüfen Sie Ihr Postfach/);
  await waitFor(async () => (await mails(scene)).length === 1, { what: 'the mail' });
  assert.equal((await mails(scene))[0].lang, 'de');
});

test('where no mail can be sent nothing is offered, and nothing comes of asking', async () => {
  const other = await startStack();
  try {
    const { link } = await expired({ on: other });
    const page = await other.page(link.url);
    assert.deepEqual(parseForms(page.text), []);
    assert.match(visibleText(page.text), /Ask Harbour Tools \S+ for a new payment link/);
    assert.equal((await renew(link)).status, 303);
    assert.deepEqual(await (await other.redis()).entries(`${shard(link)}:renew`), []);
    assert.equal((await show(link, other)).state, 'expired');
  } finally {
    await other.stop();
  }
});
