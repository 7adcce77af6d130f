// The edge behind a CDN: whose word about the client's address counts, what may be cached, requests that
// were made to be read in two ways, and one link through two edges at once.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { after, before, test } from 'node:test';
import { formBody, ROOT, run, startStack, together, Viewer, waitFor } from '../harness/index.mjs';

const CDN = '127.0.0.2';
const OUTSIDE = '127.0.0.1';

let stack;
let redis;
let scene;
let token;
before(async () => {
  stack = await startStack({ nginx: ['paylink_guard off;', `set_real_ip_from ${CDN};`, 'real_ip_header X-Forwarded-For;', 'real_ip_recursive on;'] });
  redis = await stack.redis();
  scene = await published();
  ({ token } = scene.link);
});
after(() => stack.stop());

async function published() {
  const fresh = await stack.scene();
  await waitFor(async () => (await stack.page(fresh.link.url)).status === 200, { what: 'the link' });
  return fresh;
}

// A request from one of this machine's own addresses; -> { status, headers, body }.
function from(localAddress, method, url, { headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const sent = http.request(url, { method, headers, localAddress, agent: false }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

test('the client is who the CDN says, and nobody else is believed', async () => {
  const fresh = await published();
  await stack.stopService('worker');
  const shard = (Number.parseInt(fresh.link.id.slice(0, 2), 16) % 16).toString(16).padStart(2, '0');
  const client = async (address, forwarded) => {
    const payer = stack.payer(fresh.link);
    await payer.view();
    const body = formBody({ ...payer.form.fields, payment_method: 'pm_card_visa' });
    const answer = await from(address, 'POST', new URL(payer.form.action, stack.url).href, {
      body,
      headers: { 'content-type': 'application/x-www-form-urlencoded', 'content-length': body.length, ...(forwarded && { 'x-forwarded-for': forwarded }) },
    });
    assert.equal(answer.status, 303);
    const entries = await redis.do('XREVRANGE', `paylink:{${shard}}:submit`, '+', '-', 'COUNT', '1');
    const fields = entries[0][1];
    return fields[fields.indexOf('client') + 1];
  };
  const outside = await client(OUTSIDE);
  assert.match(outside, /^[0-9a-f]{32}$/);
  for (const spoofed of ['198.51.100.7', '198.51.100.8', `198.51.100.7, ${CDN}`]) assert.equal(await client(OUTSIDE, spoofed), outside, spoofed);
  const first = await client(CDN, '198.51.100.7');
  assert.notEqual(first, outside);
  assert.notEqual(await client(CDN, '198.51.100.8'), first);
  // What the client itself wrote stands left of what the CDN saw.
  assert.equal(await client(CDN, '203.0.113.1, 198.51.100.7'), first);
  assert.equal(await client(CDN, `203.0.113.2, 198.51.100.7, ${CDN}`), first);
  await stack.startService('worker');
});

test('nothing of a link can be cached under the name of a file', async () => {
  const unknown = await stack.page('/nowhere');
  const tricks = [
    '/x.css', '.css', ';x.js', ';.css', '%3bx.js', '%2fx.css', '%2Fx.css', '/..%2fx.css', '%00.css', '%0a.css', '%23x.css', '%3fx.css', '%20.css', '/',
    '//', '/%2e%2e/static/paylink.css', '/static/paylink.css', '/pay.css', '/pay/x.css', '/open.js', '/a/x.png', '/events.css', '/events/x.css', '\\x.css', '%5cx.css', '/.well-known/x.txt',
  ].map((tail) => `/p/${token}${tail}`).concat([
    `//p/${token}`, `/./p/${token}`, `/x/../p/${token}`, `/p//${token}`, `/p/./${token}`, `/P/${token}`, `/%70/${token}`, `/p%2f${token}`,
    `/static/../p/${token}`, `/static/..%2fp/${token}`, `/static/%2e%2e/p/${token}`, `/static/${token}.css`, `/robots.txt/../p/${token}`,
  ]);
  for (const where of tricks) {
    const reply = await stack.raw(`GET ${where} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    const head = reply.slice(0, reply.indexOf('\r\n\r\n'));
    assert.match(head, /^HTTP\/1\.1 (?:404|400|405) /, where);
    assert.match(head, /\r\nCache-Control: no-store, private\r\n/, where);
    assert.match(head, /\r\nCDN-Cache-Control: no-store\r\n/, where);
    assert.ok(!reply.includes('Harbour Tools') && !reply.includes(token), where);
    if (head.startsWith('HTTP/1.1 404')) assert.equal(reply.slice(head.length + 4), unknown.text, where);
  }
  for (const query of ['?x.css', '?/x.css', '?payment_method=x.css']) {
    const answer = await stack.page(`/p/${token}${query}`);
    assert.equal(answer.headers['cache-control'], 'no-store, private', query);
    assert.equal(answer.headers['cdn-cache-control'], 'no-store', query);
  }
});

test('requests that two servers might read in two ways are refused, and the connection with them', async () => {
  const smuggled = `GET /p/${token} HTTP/1.1\r\nHost: x\r\n\r\n`;
  const head = `POST /p/${token}/open HTTP/1.1\r\nHost: x\r\n`;
  for (const [what, bytes] of [
    ['both lengths', `${head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`],
    ['both lengths, the other way round', `${head}Transfer-Encoding: chunked\r\nContent-Length: ${5 + smuggled.length}\r\n\r\n0\r\n\r\n${smuggled}`],
    ['two lengths', `${head}Content-Length: 0\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`],
    ['a list of lengths', `${head}Content-Length: 0, ${smuggled.length}\r\n\r\n${smuggled}`],
    ['a length with a sign', `${head}Content-Length: +0\r\n\r\n${smuggled}`],
    ['a length in hex', `${head}Content-Length: 0x0\r\n\r\n${smuggled}`],
    ['a negative length', `${head}Content-Length: -1\r\n\r\n${smuggled}`],
    ['an unknown encoding', `${head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${smuggled}`],
    ['two encodings', `${head}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n${smuggled}`],
    ['a list of encodings', `${head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${smuggled}`],
    ['an encoding with a tab', `${head}Transfer-Encoding:\tchunked\v\r\n\r\n0\r\n\r\n${smuggled}`],
    ['a space before the colon', `${head}Content-Length : ${smuggled.length}\r\n\r\n${smuggled}`],
    ['a folded header', `${head}X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`],
    ['a zero byte in a header', `${head}X: a\0b\r\n\r\n${smuggled}`],
    ['a bare carriage return', `${head}X: a\rContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`],
    ['chunked in HTTP/1.0', `POST /p/${token}/open HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`],
    ['no host', `GET /p/${token} HTTP/1.1\r\n\r\n${smuggled}`],
    ['two hosts', `GET /p/${token} HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n${smuggled}`],
  ]) {
    const reply = await stack.raw(bytes, { quiet: 1_000 });
    const statuses = [...reply.matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => Number(status));
    assert.ok(statuses[0] >= 400, `${what}: ${statuses}`);
    assert.ok(!reply.includes('Harbour Tools'), `${what}: ${statuses}`);
    assert.deepEqual(statuses.length, 1, `${what}: ${statuses}`);
  }
  const key = (Number.parseInt(scene.link.id.slice(0, 2), 16) % 16).toString(16).padStart(2, '0');
  assert.equal(await redis.do('HGET', `paylink:{${key}}:link:${scene.link.id}`, 'opened_ms'), null, 'no clock was started');
});

test('assets are immutable, named by their content, compressed in advance, and vary by encoding alone', async () => {
  const { text } = await stack.page(scene.link.url);
  const names = [...new Set([...text.matchAll(/"(\/static\/[^"]+)"/g)].map(([, name]) => name))];
  assert.ok(names.length >= 2);
  for (const name of names) {
    const plain = await stack.page(name);
    assert.equal(plain.headers['content-encoding'], undefined);
    assert.equal(plain.headers.vary, 'Accept-Encoding');
    assert.equal(plain.headers['cache-control'], 'public, max-age=31536000, immutable');
    for (const accept of ['gzip', 'br, gzip;q=0.8', 'deflate,GZIP', 'gzip; q=0.001', '\tgzip']) {
      const packed = await stack.page(name, { headers: { 'accept-encoding': accept, via: '1.1 cdn' } });
      assert.equal(packed.headers['content-encoding'], 'gzip', accept);
      assert.equal(packed.headers.vary, 'Accept-Encoding');
      assert.equal(Number(packed.headers['content-length']), packed.body.length);
      assert.ok(packed.body.length < plain.body.length);
      assert.deepEqual(gunzipSync(packed.body), plain.body);
    }
    for (const accept of ['br', 'gzip;q=0', 'gzip;q=0.000', 'xgzip', 'gzipped', 'identity', ',']) {
      const other = await stack.page(name, { headers: { 'accept-encoding': accept } });
      assert.equal(other.headers['content-encoding'], undefined, accept);
      assert.deepEqual(other.body, plain.body);
    }
  }
});

test('pages are never compressed; that to pay names its assets for early hints', async () => {
  const page = await stack.page(scene.link.url, { headers: { 'accept-encoding': 'gzip' } });
  assert.equal(page.headers['content-encoding'], undefined);
  const links = page.headers.link.split(', ').map((link) => /^<([^>]+)>; rel=preload; as=(style|script); integrity="([^"]+)"$/.exec(link).slice(1));
  assert.deepEqual(links.map(([, as]) => as), ['style', 'script']);
  for (const [url, , integrity] of links) {
    assert.ok(page.text.includes(`"${url}"`) && page.text.includes(`integrity="${integrity}"`), url);
    assert.equal((await stack.page(url)).status, 200);
  }
  assert.equal((await stack.page('/nowhere')).headers.link, undefined);
});

test('nginx takes the include file of each CDN', async () => {
  const text = fs.readFileSync(path.join(stack.dir, 'nginx/nginx.conf'), 'utf8');
  const file = path.join(stack.dir, 'nginx/cdn.conf');
  for (const name of ['cloudflare', 'fastly', 'cloudfront']) {
    fs.writeFileSync(file, text.replace(/^ *(?:set_real_ip_from|real_ip_\w+) .*$/gm, '').replace(/http \{/, `http {\ninclude ${ROOT}/config/cdn/${name}.conf;`));
    const result = await run('nginx', ['-t', '-p', path.join(stack.dir, 'nginx'), '-e', 'stderr', '-c', file], { env: stack.environment('nginx-t') });
    assert.equal(result.status, 0, `${name}: ${result.stderr}`);
    const include = fs.readFileSync(`${ROOT}/config/cdn/${name}.conf`, 'utf8');
    assert.match(include, /^real_ip_header (?:CF-Connecting-IP|X-Forwarded-For);$/m);
    assert.doesNotMatch(include, /\/[0-7];/, 'no range is half of the net');
  }
});

test('the ranges are renewed from what a CDN publishes, and kept when it publishes nonsense', async () => {
  const folder = fs.mkdtempSync(path.join(stack.parent, 'cdn-'));
  fs.cpSync(path.join(ROOT, 'config/cdn'), folder, { recursive: true });
  const pages = {};
  const server = http.createServer((asked, answer) => answer.writeHead(pages[asked.url] === undefined ? 500 : 200).end(pages[asked.url]));
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const at = (name) => `http://127.0.0.1:${server.address().port}/${name}`;
  const env = { CLOUDFLARE_V4: at('v4'), CLOUDFLARE_V6: at('v6'), FASTLY: at('fastly'), CLOUDFRONT: at('cloudfront') };
  const refresh = (...names) => run(path.join(folder, 'refresh'), names, { env });
  const ranges = (name) => [...fs.readFileSync(path.join(folder, `${name}.conf`), 'utf8').matchAll(/^set_real_ip_from (\S+);$/gm)].map(([, range]) => range);
  try {
    Object.assign(pages, {
      '/v4': '192.0.2.0/24\n198.51.100.0/24', '/v6': '2001:db8::/32\n',
      '/fastly': JSON.stringify({ addresses: ['203.0.113.0/24'], ipv6_addresses: ['2001:db8:1::/48'] }),
      '/cloudfront': JSON.stringify({
        prefixes: [{ ip_prefix: '192.0.2.0/25', service: 'CLOUDFRONT_ORIGIN_FACING' }, { ip_prefix: '10.0.0.0/8', service: 'EC2' }], ipv6_prefixes: [],
      }),
    });
    const done = await refresh();
    assert.equal(done.status, 0, done.stderr);
    assert.deepEqual(ranges('cloudflare'), ['192.0.2.0/24', '198.51.100.0/24', '2001:db8::/32']);
    assert.deepEqual(ranges('fastly'), ['203.0.113.0/24', '2001:db8:1::/48']);
    assert.deepEqual(ranges('cloudfront'), ['192.0.2.0/25']);
    assert.match(fs.readFileSync(path.join(folder, 'cloudflare.conf'), 'utf8'), /real_ip_header CF-Connecting-IP;/);
    for (const nonsense of [undefined, '', '<html>', '0.0.0.0/0', '192.0.2.0/24; } evil {', '1.2.3.4/7']) {
      pages['/v4'] = nonsense;
      const refused = await refresh('cloudflare');
      assert.equal(refused.status, 1, `${nonsense}`);
      assert.match(refused.stderr, /cloudflare\.conf stays as it is/);
      assert.equal(ranges('cloudflare').length, 3);
    }
  } finally {
    server.close();
  }
});

test('one link through two edges: one clock, one charge, news on both', async () => {
  const edge = await stack.edge('second');
  try {
    const { link, customer } = await published();
    const there = link.url.replace(stack.url, edge.url);
    const [here, beyond] = await together(2, (i) => Viewer.open(`${[link.url, there][i]}/events`));
    assert.deepEqual((await together(40, (i) => from(OUTSIDE, 'POST', `${i % 2 ? there : link.url}/open`, { headers: { 'content-length': 0 } }))).map(({ status }) => status), Array(40).fill(204));
    await waitFor(async () => (await stack.sql(`SELECT count(*) AS n FROM paylink.link WHERE replace(id::text, '-', '') = '${link.id}' AND opened_at IS NOT NULL`))[0].n === 1, { what: 'the opening in the books' });
    const expiry = (text) => /datetime="([^"]+Z)"/.exec(text)?.[1];
    assert.equal(expiry((await stack.page(link.url)).text), expiry((await stack.page(there)).text));
    // The form of one edge, outdated by a credit, is stale on the other; a new one is taken there.
    const payer = stack.payer(link);
    await payer.view();
    await stack.cli('credit', 'record', '--customer', customer.id, '--amount-minor', '500');
    for (const viewer of [here, beyond]) await viewer.sees({ version: 2 });
    payer.url = there;
    assert.equal((await payer.submit({ payment_method: 'pm_card_visa' })).status, 409);
    payer.url = link.url;
    await waitFor(async () => { await payer.view(); return payer.form.fields.version === '2'; }, { what: 'the new total' });
    payer.url = there;
    const taken = await payer.submit({ payment_method: 'pm_card_visa' });
    payer.url = link.url;
    const again = await payer.submit({ payment_method: 'pm_card_visa' });
    assert.equal(again.headers.location, taken.headers.location);
    assert.equal((await payer.result(taken)).state, 'captured');
    for (const viewer of [here, beyond]) await viewer.sees({ state: 'paid' });
    assert.equal((await stack.sandbox.log()).filter((line) => line.type === 'charge' && line.metadata?.link === link.id).length, 1);
    for (const url of [link.url, there]) assert.match((await stack.page(url)).text, /data-state="paid"/);
  } finally {
    await edge.stop();
  }
});
