// No log that nginx writes contains a token, however it came in: every format, level and place of a log,
// requests that nginx itself refuses, encoded tokens, HTTP/2.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, createHmac } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { get, run, startStack, waitFor } from '../harness/index.mjs';

let stack;
let logs;
let token;
let attempt;
let second;

before(async () => {
  stack = await startStack({ services: ['redis', 'nginx'] });
  token = Buffer.from(Array.from({ length: 33 }, (_, i) => i * 7 + 3)).toString('base64url');
  attempt = Buffer.from(Array.from({ length: 36 }, (_, i) => i * 5 + 1)).toString('base64url');
  logs = path.join(stack.dir, 'log');
  const file = path.join(stack.dir, 'nginx/nginx.conf');
  const text = fs.readFileSync(file, 'utf8');
  second = `unix:${stack.dir}/nginx/h2.sock`;
  // Every variable that carries an address, in the order in which people would log them.
  const extra = `
    log_format everything '$request|$request_uri|$uri|$args|$query_string|$document_uri|$request_filename|$http_referer';
    access_log ${logs}/combined.log combined;
    access_log ${logs}/everything.log everything;
    error_log ${logs}/http.log debug;
    server { listen ${second} http2; error_log ${logs}/h2.log debug; location / { paylink on; error_log ${logs}/location.log debug; } }
    server { listen unix:${stack.dir}/nginx/plain.sock; root ${stack.dir}; error_log ${logs}/plain.log info; }
    server {`;
  fs.writeFileSync(file, text.replace(/^ *server \{/m, extra));
  await reload();
});
after(() => stack.stop());

function edgeWorkers() {
  return execFileSync('ps', ['-o', 'pid=', '--ppid', String(stack.info.pids.nginx)]).toString().trim().split(/\s+/);
}

// Makes nginx read its configuration again; returns when only new workers are left.
async function reload() {
  const old = edgeWorkers();
  stack.signal('nginx', 'SIGHUP');
  await waitFor(() => edgeWorkers().length > 0 && edgeWorkers().every((pid) => !old.includes(pid)), { what: 'the new configuration' });
}

const encoded = (text) => [...text].map((c) => `%${c.charCodeAt(0).toString(16)}`).join('');

function requests() {
  const referer = `Referer: https://pay.example/p/${token}\r\n`;
  const paths = [
    `/p/${token}`, `/p/${token}?payment_method=pm_secretquery`, `/p/${token}/a/${attempt}`, `/elsewhere/${token}`, `/%2Fp%2F${token}`, `/p/${encoded(token)}`,
    `//p/${token}`, `/p/${token}/../x`, `/p/${token}/${'x'.repeat(1_900)}/${token}`, `/${'x/'.repeat(980)}${token}`,
  ];
  return [
    ...paths.map((where) => `GET ${where} HTTP/1.1\r\nHost: x\r\n${referer}Connection: close\r\n\r\n`),
    ...paths.map((where) => `GET ${where} HTTP/1.1\r\nHost: a b\r\n${referer}\r\n`),
    `GET /p/${token}\x01 HTTP/1.1\r\nHost: x\r\n\r\n`,
    `GET /p/${token} HTTP/9.9\r\n\r\n`,
    `BLAH /p/${token}\r\n\r\n`,
    `TRACE /p/${token} HTTP/1.1\r\nHost: x\r\n\r\n`,
    `GET /p/${token}?${'a'.repeat(40_000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
    `GET /p/${token} HTTP/1.1\r\nHost: x\r\nBad Header: ${token}\r\n${token}: y\r\nConnection: close\r\n\r\n`,
    `POST /p/${token}/pay HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n`,
    `POST /p/${token}/pay HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\nConnection: close\r\n\r\n`,
  ];
}

test('tokens are struck out of every log', async () => {
  for (const bytes of requests()) {
    await stack.raw(bytes, { quiet: 300 });
    await stack.raw(bytes, { quiet: 300, path: `${stack.dir}/nginx/plain.sock` });
  }
  const http2 = await run('curl', ['-sS', '-o', '/dev/null', '--http2-prior-knowledge', '--unix-socket', second.slice(5), '-e', `https://pay.example/p/${token}`, `http://x/p/${token}?payment_method=pm_secretquery`]);
  assert.equal(http2.status, 0, http2.stderr);
  const names = ['combined.log', 'everything.log', 'http.log', 'h2.log', 'location.log', 'plain.log'];
  await waitFor(() => names.every((name) => fs.statSync(path.join(logs, name)).size > 0), { what: 'lines in every log' });
  for (const name of fs.readdirSync(logs)) {
    const log = fs.readFileSync(path.join(logs, name), 'latin1');
    for (const secret of [token, token.slice(0, 40), token.slice(-40), attempt, encoded(token)]) {
      assert.ok(!log.includes(secret), `${name} contains ${secret.slice(0, 6)}…: ${log.split('\n').find((line) => line.includes(secret))?.slice(0, 300)}`);
    }
    // At debug level nginx tells how it takes an address apart.
    if (!/^(http|h2|location)\.log$/.test(name)) assert.ok(!log.includes('pm_secretquery'), name);
  }
  assert.match(fs.readFileSync(path.join(logs, 'plain.log'), 'latin1'), /open\(\) "[^"]*\/p\/-{44}" failed/);
  assert.match(fs.readFileSync(path.join(logs, 'combined.log'), 'latin1'), /"GET \/p\/-{44} HTTP\/1\.1" 404/);
});

test('a link is named by a hash of its id', async () => {
  const [, kid, secret] = /^(\d+) ([0-9a-f]{64})$/m.exec(fs.readFileSync(stack.info.key_file, 'utf8'));
  const id = Buffer.alloc(16, 0x5a);
  const tag = createHmac('sha256', Buffer.from(secret, 'hex')).update('paylink link v1').update(Buffer.from([kid])).update(id).digest().subarray(0, 16);
  const good = Buffer.concat([Buffer.from([kid]), id, tag]).toString('base64url');
  assert.equal((await get(new URL(`/p/${good}/open`, stack.url).href)).status, 405);
  const name = createHash('sha256').update(id).digest('hex').slice(0, 16);
  const log = () => fs.readFileSync(path.join(logs, 'access.log'), 'latin1');
  await waitFor(() => log().includes(`"link":"${name}","status":405`), { what: 'the line of the request' });
  assert.ok(!log().includes(good));
});

test('long names in the configuration are no tokens to strike out', async () => {
  const file = path.join(stack.dir, 'nginx/nginx.conf');
  const name = 'a-page-for-errors-whose-name-is-as-long-as-a-token-is';
  fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace(`root ${stack.dir};`, `root ${stack.dir}; error_page 404 /${name};`));
  fs.writeFileSync(path.join(stack.dir, name), 'the page for errors');
  fs.chmodSync(path.join(stack.dir, name), 0o644);
  await reload();
  const ask = () => stack.raw('GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', { path: `${stack.dir}/nginx/plain.sock` });
  for (let i = 0; i < 5; i++) assert.match(await ask(), /the page for errors/);
});
