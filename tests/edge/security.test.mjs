// The security checklist on everything that the edge answers: every route, method and refusal, nginx's own included; and the
// tool that finds a page that was tampered with.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { formBody, get, ROOT, request, run, startStack, Viewer, waitFor } from '../harness/index.mjs';

const CSP = "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'";

let stack;
let scene;
let payer;
let where;
before(async () => {
  stack = await startStack();
  scene = await stack.scene();
  payer = stack.payer(scene.link);
  await waitFor(async () => (await stack.page(scene.link.url)).status === 200, { what: 'the page' });
  await payer.view();
  where = new URL(scene.link.url).pathname;
});
after(() => stack.stop());

function headersOf(raw) {
  const [head] = raw.split('\r\n\r\n');
  const [status, ...lines] = head.split('\r\n');
  const headers = {};
  for (const line of lines) {
    const name = line.slice(0, line.indexOf(':')).toLowerCase();
    assert.ok(!(name in headers), `${name} comes twice`);
    headers[name] = line.slice(line.indexOf(':') + 1).trim();
  }
  return { status: Number(status.split(' ')[1]), headers };
}

function judge({ headers }, what, { pays = false } = {}) {
  const gateway = new URL(stack.info.sandbox_url).origin;
  const expected = {
    'strict-transport-security': 'max-age=63072000; includeSubDomains; preload',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cross-origin-resource-policy': 'same-origin',
    'cross-origin-opener-policy': 'same-origin-allow-popups',
    'x-robots-tag': 'noindex, nofollow',
    'permissions-policy': `payment=(self "${gateway}")`,
    'content-security-policy': pays ? `${CSP}; frame-src ${gateway}` : CSP,
    'cache-control': 'no-store, private',
    'cdn-cache-control': 'no-store',
    server: 'nginx',
  };
  for (const [name, value] of Object.entries(expected)) assert.equal(headers[name], value, `${what}: ${name}`);
  for (const name of ['etag', 'last-modified', 'set-cookie', 'content-encoding', 'access-control-allow-origin', 'x-powered-by']) {
    assert.equal(headers[name], undefined, `${what}: ${name}`);
  }
}

test('every route with every method', async () => {
  const attempt = payer.form.fields.attempt;
  const statuses = new Set();
  for (const at of [where, `${where}/open`, `${where}/pay`, `${where}/events`, `${where}/a/${attempt}`, `${where}/nothing`, '/p/forged', '/', '/healthz', '/readyz', '/static/none.css', '/metrics/']) {
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE', 'PROPFIND', 'BREW']) {
      if (method === 'GET' && at.endsWith('/events')) continue;
      const answer = headersOf(await stack.raw(`${method} ${at} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`));
      statuses.add(answer.status);
      judge(answer, `${method} ${at}: ${answer.status}`, { pays: at === where && answer.status === 200 });
    }
  }
  for (const status of [200, 204, 404, 405, 415]) assert.ok(statuses.has(status), String(status));
});

test('the stream of a live page, a submit, its result and its refusal', async () => {
  const viewer = await Viewer.open(`${scene.link.url}/events`);
  judge(viewer, 'events');
  viewer.close();
  const paying = stack.payer((await stack.scene()).link);
  await paying.view();
  const refused = await paying.submit({ payment_method: 'pm_card_visa', amount_minor: '1' });
  assert.equal(refused.status, 409);
  judge(refused, 'a stale submit', { pays: true });
  const answer = await paying.submit({ payment_method: 'pm_card_visa' });
  assert.equal(answer.status, 303);
  judge(answer, 'a submit');
  assert.equal((await paying.result(answer)).state, 'captured');
  judge(await get(new URL(answer.headers.location, stack.url).href), 'the result');
});

test('what nginx itself refuses', async () => {
  const huge = 'x'.repeat(40_000);
  for (const [what, text, statuses] of [
    ['no request', 'GARBAGE\r\n\r\n', [400]],
    ['HTTP/3.0', `GET ${where} HTTP/3.0\r\nHost: x\r\n\r\n`, [505]],
    ['no host', `GET ${where} HTTP/1.1\r\nConnection: close\r\n\r\n`, [400]],
    ['two hosts', `GET ${where} HTTP/1.1\r\nHost: x\r\nHost: y\r\nConnection: close\r\n\r\n`, [400]],
    ['a long address', `GET /${huge} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`, [414]],
    ['a long header', `GET ${where} HTTP/1.1\r\nHost: x\r\nX: ${huge}\r\nConnection: close\r\n\r\n`, [400, 431, 494]],
    ['a body that is too long', `POST ${where}/pay HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 999999999\r\nConnection: close\r\n\r\n`, [413]],
    ['two lengths', `POST ${where}/pay HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab`, [400]],
    ['a length and chunks', `POST ${where}/pay HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n`, [400, 411]],
    ['an unknown coding', `POST ${where}/pay HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\nConnection: close\r\n\r\n`, [400, 501]],
    ['a NUL in the address', `GET ${where}\0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`, [400]],
  ]) {
    const answer = headersOf(await stack.raw(text));
    assert.ok(statuses.includes(answer.status), `${what}: ${answer.status}`);
    judge(answer, what);
  }
});

test('one request that looks like two is one: nothing is smuggled past', async () => {
  const smuggled = `GET ${where}/open HTTP/1.1\r\nHost: x\r\n\r\n`;
  for (const text of [
    `POST ${where}/pay HTTP/1.1\r\nHost: x\r\nContent-Length: ${smuggled.length}\r\nConnection: close\r\n\r\n${smuggled}`,
    `POST ${where}/open HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\nConnection: close\r\n\r\n0\r\n\r\n${smuggled}`,
    `GET ${where} HTTP/1.1\r\nHost: x\r\nContent-Length: ${smuggled.length}\r\nConnection: close\r\n\r\n${smuggled}`,
    `POST ${where}/open HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\nConnection: close\r\n\r\n0\r\n\r\n${smuggled}`,
  ]) {
    const answers = (await stack.raw(text)).match(/^HTTP\/1\.1 \d+/gm);
    assert.equal(answers.length, 1, text);
  }
});

test('HTTP/1.0, and a browser that would take it compressed', async () => {
  judge(headersOf(await stack.raw(`GET ${where} HTTP/1.0\r\n\r\n`)), 'HTTP/1.0', { pays: true });
  judge(await get(scene.link.url, { headers: { 'accept-encoding': 'gzip, br' } }), 'gzip', { pays: true });
});

test('static files are for ever, and tied to the page by their hashes', async () => {
  const page = await stack.page(scene.link.url);
  const assets = [...page.text.matchAll(/(?:src|href)="(\/static\/[^"]+)"/g)].map(([, at]) => at);
  assert.ok(assets.length >= 2);
  for (const at of assets) {
    const { status, headers } = await stack.page(at);
    assert.equal(status, 200);
    assert.equal(headers['cache-control'], 'public, max-age=31536000, immutable');
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.match(at, /\.[0-9a-f]{16}\.\w+$/);
  }
  for (const tag of page.text.match(/<(?:script|link rel="stylesheet")[^>]*>/g)) assert.match(tag, /integrity="sha384-/);
});

test('posts from other sites are refused, whatever they carry', async () => {
  const { link } = await stack.scene();
  const target = stack.payer(link);
  await waitFor(async () => (await stack.page(link.url)).status === 200, { what: 'the page' });
  await target.view();
  for (const at of ['open', 'pay']) {
    const answer = await request('POST', `${link.url}/${at}`, {
      headers: { 'sec-fetch-site': 'cross-site', 'content-type': 'application/x-www-form-urlencoded' },
      body: formBody({ ...target.form.fields, payment_method: 'pm_card_visa' }),
    });
    assert.equal(answer.status, 403);
    judge(answer, at);
  }
  assert.equal((await stack.cli('link', 'show', link.id)).opened_at, null);
});

// Mozilla's published rules, those that say something about a site of one page: 100, and what is gained or lost.
test('the page scores at least 130 by the rules of Mozilla Observatory', async () => {
  const { headers, text } = await stack.page(scene.link.url);
  const csp = Object.fromEntries(headers['content-security-policy'].split('; ').map((part) => [part.split(' ')[0], part.split(' ').slice(1)]));
  const scripts = text.match(/<script[^>]*>/g);
  let score = 100;
  score += csp['default-src'].join() === "'none'" && !JSON.stringify(csp).includes('unsafe') ? 10 : -25;
  score += csp['frame-ancestors'].join() === "'none'" ? 5 : -20;
  score += headers['referrer-policy'] === 'no-referrer' ? 5 : 0;
  score += headers['cross-origin-resource-policy'] === 'same-origin' ? 10 : 0;
  score += Number(/max-age=(\d+)/.exec(headers['strict-transport-security'])[1]) >= 15_768_000 ? 5 * headers['strict-transport-security'].includes('preload') : -20;
  score += headers['x-content-type-options'] === 'nosniff' ? 0 : -5;
  score += headers['set-cookie'] ? -20 : 0;
  score += scripts.every((tag) => tag.includes('integrity=') && tag.includes('src="/')) ? 0 : -50;
  assert.ok(score >= 130, String(score));
});

describe('config/check-page', () => {
  const check = (url, ...args) => run(path.join(ROOT, 'config/check-page'), ['--gateway', new URL(stack.info.sandbox_url).origin, ...args, url]);

  // The page with something done to it, as a thief who has got between would serve it.
  async function tampered(change, act) {
    const page = await stack.page(scene.link.url);
    const server = http.createServer(async (asked, answer) => {
      const real = asked.url === '/' ? { text: page.text, headers: page.headers } : await stack.page(asked.url);
      const { text, headers } = change({ path: asked.url, text: real.text, headers: { ...real.headers } });
      delete headers['content-length'];
      delete headers.connection;
      answer.writeHead(200, headers).end(text);
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      return await act(`http://127.0.0.1:${server.address().port}/`);
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  test('says nothing of the page as it should be', async () => {
    assert.deepEqual(await check(scene.link.url), { status: 0, signal: null, stdout: '', stderr: '' });
    assert.equal((await tampered((same) => same, check)).status, 0);
  });

  for (const [what, change, said] of [
    ['a script in the page', (page) => (page.path === '/' ? { ...page, text: page.text.replace('</main>', '<script>steal()</script></main>') } : page), /a script stands in the page itself: <script>/],
    ['a further script', (page) => ({ ...page, text: page.text.replace('</head>', '<SCRIPT async SRC=https://evil.example/x.js></SCRIPT></head>') }), /https:\/\/evil\.example\/x\.js is not listed/],
    ['another script under the same hash', (page) => (page.path.endsWith('.js') ? { ...page, text: `${page.text};steal()` } : page), /is not what its hash says/],
    ['a script without its hash', (page) => ({ ...page, text: page.text.replace(/(<script[^>]*) integrity="[^"]*"/, '$1') }), /is not listed \(integrity: none\)/],
    ['a handler in a tag', (page) => ({ ...page, text: page.text.replace('<form ', '<form onsubmit="steal()" ') }), /a tag carries script: <form onsubmit/],
    ['a weaker policy', (page) => ({ ...page, headers: { ...page.headers, 'content-security-policy': page.headers['content-security-policy']?.replace("script-src 'self'", "script-src 'self' 'unsafe-inline'") ?? '' } }), /Content-Security-Policy is '.*unsafe-inline/],
    ['a missing header', ({ path: at, text, headers: { 'strict-transport-security': gone, ...headers } }) => ({ path: at, text, headers }), /Strict-Transport-Security is '' and should be/],
  ]) {
    test(`finds ${what}`, async () => {
      const { status, stdout } = await tampered(change, check);
      assert.equal(status, 1, stdout);
      assert.match(stdout, said);
    });
  }

  test('says when it could not look, or was asked wrongly', async () => {
    assert.equal((await check('http://127.0.0.1:1/')).status, 2);
    assert.equal((await run(path.join(ROOT, 'config/check-page'), [scene.link.url])).status, 2);
    assert.equal((await check(scene.link.url, '--list', '/nowhere')).status, 2);
  });

  test('the list names an owner and a reason for every script, and the hash of each file', () => {
    const { scripts } = JSON.parse(fs.readFileSync(path.join(ROOT, 'config/pages/scripts.json'), 'utf8'));
    for (const script of scripts) assert.ok(script.owner && script.reason.length > 20 && script.integrity.startsWith('sha384-'));
  });
});
