// Requests that no client would send: each gets an answer or a closed connection, and the sandbox goes on.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, it } from 'node:test';
import { SECRET_KEY, SandboxProcess } from './sandbox.mjs';

let sandbox;

before(async () => { sandbox = await SandboxProcess.start(); });
after(() => sandbox?.stop());

// Sends the bytes and collects what comes back until the peer closes, or a second passes.
async function raw(...parts) {
  const socket = net.connect(sandbox.port, '127.0.0.1');
  const chunks = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', () => {});
  await once(socket, 'connect');
  for (const part of parts) {
    socket.write(part);
    await new Promise((resolve) => { setTimeout(resolve, 5); });
  }
  await Promise.race([once(socket, 'close'), new Promise((resolve) => { setTimeout(resolve, 400); })]);
  socket.destroy();
  return Buffer.concat(chunks).toString('latin1');
}

const alive = async () => assert.equal((await fetch(`${sandbox.url}/sandbox/health`)).status, 200);
const post = (body, headers = '', route = '/v1/payment_intents') =>
  `POST ${route} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${SECRET_KEY}\r\nContent-Type: application/x-www-form-urlencoded\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`;

it('bodies that are no form are refused with a reason', async () => {
  for (const body of ['amount=%', 'amount=%4', 'amount=%zz', 'amount=%00', 'a\0b=1', 'amount=%ff%fe', 'description=%c0%af', 'amount=%ED%A0%80',
    '[]=1', '[=1', ']', '=1', 'metadata[=1', 'metadata[]]=1', 'metadata[a][b]=1', 'card[number][x]=1', 'amount[]=1', 'amount[0]=1',
    `${'a'.repeat(70)}[x]=1`, Array.from({ length: 129 }, (_, i) => `metadata[k${i}]=1`).join('&'),
    Array.from({ length: 51 }, (_, i) => `metadata[k${i}]=1`).join('&').concat('&amount=900&currency=usd'), 'metadata[]=x&amount=900&currency=usd']) {
    const reply = await sandbox.api('/v1/payment_intents', body, { headers: { 'content-type': 'application/x-www-form-urlencoded' } });
    assert.equal(reply.status, 400, body.slice(0, 80));
    assert.equal(reply.json.error.type, 'invalid_request_error');
  }
  const upper = await sandbox.api('/v1/payment_intents', 'amount=900&currency=usd&&&', { headers: { 'content-type': 'application/x-www-form-urlencoded' } });
  assert.equal(upper.status, 200);
});

it('other content types, too much, and odd headers', async () => {
  const json = await sandbox.api('/v1/payment_intents', '{"amount":1}', { headers: { 'content-type': 'application/json' } });
  assert.match(json.json.error.message, /form-encoded/);
  const large = await sandbox.api('/v1/payment_intents', `description=${'x'.repeat(70_000)}`, { headers: { 'content-type': 'application/x-www-form-urlencoded' } });
  assert.equal(large.status, 413);
  assert.equal((await sandbox.api('/v1/payment_intents', undefined, { headers: { 'stripe-version': 'tomorrow' } })).status, 400);
  assert.match(await raw(`GET /v1/payment_intents HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`), /^HTTP\/1\.[01] 4/);
  assert.equal((await sandbox.api(`/v1/payment_intents/${'x'.repeat(5000)}`)).status, 404);
  assert.equal((await sandbox.api('/v1/payment_intents//confirm', {})).status, 404);
  assert.equal((await sandbox.api('/v1/payment_intents/pi_x/confirm/x', {})).status, 404);
  assert.equal((await sandbox.api('/v1/', {})).status, 404);
  for (const authorization of ['Basic !!!', 'Basic', 'Bearer ', `Bearer ${'x'.repeat(5000)}`, 'Digest x', `Basic ${'A'.repeat(3)}`]) {
    assert.equal((await sandbox.api('/v1/refunds', undefined, { key: null, headers: { authorization } })).status, 401, authorization);
  }
  await alive();
});

it('broken HTTP', async () => {
  for (const bytes of ['\0\0\0\0', 'GET\r\n\r\n', 'GET / HTTP/9.9\r\n\r\n', '\r\n\r\n\r\n', 'POST /v1/refunds HTTP/1.1\r\nContent-Length: -1\r\n\r\n',
    'POST /v1/refunds HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n', 'GET / HTTP/1.1\r\nHost\r\n\r\n',
    'POST /v1/refunds HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n', `GET /${'%'.repeat(100)} HTTP/1.1\r\nHost: x\r\n\r\n`,
    'GET /?%=&%%=%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', 'BREW /v1/refunds HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
    `${'A'.repeat(100_000)}`]) {
    await raw(bytes);
  }
  await alive();
});

it('a body in single bytes, and one that never ends', async () => {
  const whole = post('amount=900&currency=usd');
  assert.match(await raw(...whole.match(/[^]{1,7}/g)), /^HTTP\/1\.1 200/);
  const unfinished = whole.slice(0, -5);
  assert.equal(await raw(unfinished), '');
  await alive();
});

it('several requests in one packet are answered in order', async () => {
  const one = (amount) => post(`amount=${amount}&currency=usd`).replace('Connection: close\r\n', '');
  const replies = await raw(one(901) + one(902) + post('amount=903&currency=usd'));
  assert.deepEqual([...replies.matchAll(/"amount":(\d+)/g)].map(([, amount]) => amount), ['901', '902', '903']);
});

it('clients that leave while their charge is synced', async () => {
  for (let i = 0; i < 50; i += 1) {
    const socket = net.connect(sandbox.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(post(`amount=900&currency=usd&payment_method=pm_card_visa&confirm=true&metadata[n]=${i}`));
    if (i % 2) socket.resetAndDestroy?.();
    else socket.end();
  }
  await new Promise((resolve) => { setTimeout(resolve, 300); });
  await alive();
});

it('random bytes in every place', async () => {
  let seed = 20260131;
  const random = (n) => { seed = (seed * 1103515245 + 12345) % 2147483648; return seed % n; };
  const alphabet = ['amount', 'metadata', '[', ']', '=', '&', '%', '%41', '%e2%82%ac', '\xff', '+', '0', '-1', 'usd', 'currency', 'confirm', 'true',
    'payment_method', 'pm_card_visa', 'expand', 'card', 'number', '4242424242424242', '"', '\\', '\r\n', '9'.repeat(30)];
  for (let i = 0; i < 300; i += 1) {
    const body = Array.from({ length: random(12) }, () => alphabet[random(alphabet.length)]).join('');
    const route = ['/v1/payment_intents', '/v1/payment_methods', '/v1/refunds', '/sandbox/faults', '/hosted', '/v1/payment_intents/pi_x/confirm'][random(6)];
    const reply = await sandbox.api(route, body, { headers: { 'content-type': 'application/x-www-form-urlencoded' } });
    assert.ok([200, 303, 400, 402, 404].includes(reply.status), `${route} ${body} -> ${reply.status}`);
    const got = await sandbox.api(`${route}?${encodeURI(body)}`, undefined);
    assert.ok(got.status < 500, `${route}?${body} -> ${got.status}`);
  }
  await sandbox.fault(null);
  await alive();
});
