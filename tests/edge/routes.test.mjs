// Who gets which page: routes, methods, path tricks, headers, and tokens that are none.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { request, startStack, tally, waitFor } from '../harness/index.mjs';

let stack;
let scene;
let token;
before(async () => {
  stack = await startStack();
  scene = await stack.scene();
  token = scene.link.token;
  await waitFor(async () => (await stack.page(scene.link.url)).status === 200, { what: 'the link' });
});
after(() => stack.stop());

// What differs from answer to answer by nature.
function comparable(answer) {
  const headers = { ...answer.headers };
  delete headers.date;
  return JSON.stringify({ status: answer.status, headers, body: answer.text });
}

const flip = (text, at) => text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1);

function badTokens() {
  return [
    'x', token.slice(0, 43), `${token}A`, `${token}=`, token.replace(/.$/, '='), token.replace(/^./, '+'), `${token.slice(0, 43)}/`,
    `${token.slice(0, 43)}%41`, flip(token, 2), flip(token, 20), flip(token, 43), 'A'.repeat(44), '_'.repeat(44), 'A'.repeat(128), 'A'.repeat(4_000),
    '%2e%2e', 'é'.repeat(22),
  ];
}

test('malformed, forged and unknown links get the same bytes', async () => {
  const answers = [];
  for (const bad of badTokens()) answers.push(await stack.page(`/p/${bad}`));
  const orphan = await stack.cli('link', 'create', '--merchant', scene.merchant.id, '--invoice', (await stack.scene({ link: false })).invoice.id).catch(() => null);
  assert.equal(orphan, null, 'an invoice of another merchant has no link here');
  const gone = await stack.scene();
  await stack.sqlRun(`SET session_replication_role = replica; DELETE FROM paylink.link WHERE replace(id::text, '-', '') = '${gone.link.id}'`);
  await (await stack.redis()).do('FLUSHALL');
  answers.push(await waitFor(async () => {
    const answer = await stack.page(gone.link.url);
    return answer.status === 404 && answer;
  }, { what: 'the tombstone of a link that is not in the books' }));
  answers.push(await stack.page('/nowhere'));
  assert.deepEqual(tally(answers.map((answer) => answer.status)), { 404: answers.length });
  assert.equal(new Set(answers.map(comparable)).size, 1);
});

test('forged and malformed links cost no Redis command', async () => {
  const redis = await stack.redis();
  await stack.stopService('worker');
  const before = await redis.commandCounts();
  for (const bad of badTokens()) {
    await stack.page(`/p/${bad}`);
    await request('POST', new URL(`/p/${bad}/open`, stack.url).href, { headers: { 'content-length': 0 } });
    await stack.page(`/p/${bad}/a/${'A'.repeat(48)}`);
  }
  assert.deepEqual(await redis.commandCounts(), before);
  await stack.startService('worker');
});

test('paths that only look like a route are unknown pages', async () => {
  const attempt = 'A'.repeat(48);
  for (const path of [
    `/p/${token}/`, `/p/${token}//`, `//p/${token}`, `/p//${token}`, `/p/${token};x=1`, `/p/${token}%2fopen`, `/p/${token}/open/`, `/p/${token}/pay.css`,
    `/p/${token}.css`, `/p/${token}/x.js`, `/P/${token}`, `/p/${token}%20`, `/p/./${token}`, `/p/x/../${token}`, `/p/${token}/a/${attempt}`, `/p/${token}/a/`, `/p/${token}/a/${attempt}/`,
    `/p/${token}%00`, `/p%2f${token}`, `/p/${encodeURIComponent(token)}%0a`, '/', '/p', '/p/', '/index.html', '/static/../p', '/static/paylink.css', '/healthz/',
  ]) {
    const raw = await stack.raw(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    assert.match(raw, /^HTTP\/1\.1 (404|400) /, path.replace(token, 'TOKEN'));
    assert.doesNotMatch(raw, /data-state="active"/, path.replace(token, 'TOKEN'));
  }
});

test('an absolute request target, HTTP/1.0 and odd query strings still reach the page', async () => {
  assert.match(await stack.raw(`GET http://x/p/${token} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`), /data-state="active"/);
  assert.match(await stack.raw(`GET /p/${token} HTTP/1.0\r\n\r\n`), /data-state="active"/);
  assert.match((await stack.page(`/p/${token}?utm=<script>alert(1)</script>&a=%00`)).text, /data-state="active"/);
});

test('wrong methods are refused with what is allowed', async () => {
  for (const [path, allowed, wrong] of [
    [`/p/${token}`, 'GET, HEAD', ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'PROPFIND']],
    [`/p/${token}/open`, 'POST', ['GET', 'HEAD', 'PUT']],
    [`/p/${token}/pay`, 'POST', ['GET', 'HEAD', 'DELETE']],
    ['/healthz', 'GET, HEAD', ['POST', 'DELETE']],
  ]) {
    for (const method of wrong) {
      const answer = await request(method, new URL(path, stack.url).href, { headers: { 'content-length': 0 } });
      assert.equal(answer.status, 405, `${method} ${path.replace(token, 'TOKEN')}`);
      assert.equal(answer.headers.allow, allowed);
    }
  }
});

test('every answer carries the headers of the checklist', async () => {
  const busy = `/p/${token}/pay`;
  const answers = {
    page: await stack.page(scene.link.url),
    head: await request('HEAD', scene.link.url),
    unknown: await stack.page('/p/x'),
    method: await request('DELETE', scene.link.url),
    opened: await request('POST', `${scene.link.url}/open`, { headers: { 'content-length': 0 } }),
    badForm: await request('POST', new URL(busy, stack.url).href, { body: 'x', headers: { 'content-type': 'text/plain', 'content-length': 1 } }),
    crossSite: await request('POST', `${scene.link.url}/open`, { headers: { 'content-length': 0, 'sec-fetch-site': 'cross-site' } }),
  };
  for (const [name, { headers }] of Object.entries(answers)) {
    assert.equal(headers['cache-control'], 'no-store, private', name);
    assert.equal(headers['cdn-cache-control'], 'no-store', name);
    assert.equal(headers['strict-transport-security'], 'max-age=63072000; includeSubDomains; preload', name);
    assert.equal(headers['x-content-type-options'], 'nosniff', name);
    assert.equal(headers['referrer-policy'], 'no-referrer', name);
    assert.equal(headers['cross-origin-resource-policy'], 'same-origin', name);
    assert.equal(headers['cross-origin-opener-policy'], 'same-origin-allow-popups', name);
    assert.match(headers['permissions-policy'], /payment=/, name);
    assert.equal(headers['x-robots-tag'], 'noindex, nofollow', name);
    assert.doesNotMatch(headers.server ?? '', /\d/, name);
    const policy = headers['content-security-policy'];
    for (const part of ["default-src 'none'", "style-src 'self'", "img-src 'self'", "script-src 'self'", "connect-src 'self'", "base-uri 'none'", "object-src 'none'", "frame-ancestors 'none'"]) {
      assert.ok(policy.includes(part), `${name}: ${part}`);
    }
    assert.doesNotMatch(policy, /unsafe|\*/, name);
  }
  assert.equal(answers.head.body.length, 0);
  assert.equal(answers.head.headers['content-length'], String(answers.page.body.length));
});

test('nothing that a script can run or load is inline or from elsewhere', async () => {
  const { text } = await stack.page(scene.link.url);
  assert.doesNotMatch(text, /<script(?![^>]*\bsrc=)|<style|\son[a-z]+=|\sstyle=|javascript:/i);
  for (const [, url] of text.matchAll(/<(?:script|link|img)\b[^>]*?(?:src|href)="([^"]+)"/g)) assert.match(url, /^\/static\//);
  assert.match(text, /<script[^>]+integrity="sha384-/);
});

test('assets have hashed names and may be kept for ever', async () => {
  const { text } = await stack.page(scene.link.url);
  const names = [...text.matchAll(/"(\/static\/[^"]+)"/g)].map(([, name]) => name);
  assert.ok(names.length >= 2);
  for (const name of names) {
    const answer = await stack.page(name);
    assert.equal(answer.status, 200);
    assert.match(answer.headers['cache-control'], /max-age=31536000.*immutable/);
    assert.equal(answer.headers['x-content-type-options'], 'nosniff');
    const wrong = name.replace(/\.[0-9a-f]{4}/, '.0000');
    assert.equal((await stack.page(wrong)).status, 404);
  }
});

test('healthz answers without Redis', async () => {
  const health = await stack.page('/healthz');
  assert.equal(health.status, 200);
});

test('no log of the edge contains a token, a query or a body', async () => {
  await stack.page(`${scene.link.url}?payment_method=pm_secretquery`);
  await stack.payer(scene.link).pay({ paymentMethod: 'pm_card_visa' });
  await stack.raw(`GET /p/${token} HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n`);
  await stack.raw(`POST /p/${token}/pay HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n`);
  await stack.raw(`GET /p/${token}/${'a'.repeat(40_000)} HTTP/1.1\r\nHost: x\r\n\r\n`);
  for (const name of readdirSync(stack.info.log_dir).filter((file) => file.endsWith('.log'))) {
    const log = readFileSync(`${stack.info.log_dir}/${name}`, 'latin1');
    assert.ok(!log.includes(token), `${name} contains a token`);
    assert.ok(!log.includes('pm_secretquery'), `${name} contains a query`);
    assert.ok(!log.includes('attempt='), `${name} contains a body`);
  }
});
