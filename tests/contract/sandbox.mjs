// A private `paylink sandbox` on a free port, and a recorder in front of it that judges what passes.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import Stripe from 'stripe';
import { replyProblems, requestProblems } from './openapi.mjs';

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const BUILD = path.resolve(process.env.PAYLINK_TEST_BUILD ?? path.join(ROOT, 'build/asan'));
export const SECRET_KEY = 'sk_test_contract0123456789abcdefgh';
export const WEBHOOK_SECRET = 'whsec_contract0123456789';
export const EDGE = 'http://127.0.0.1:18080';
export const API_VERSION = '2022-11-15';

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

export class SandboxProcess {
  // `webhookUrl`: where events go.
  static async start({ webhookUrl } = {}) {
    const sandbox = new SandboxProcess();
    sandbox.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'paylink-sandbox-'));
    sandbox.port = await freePort();
    sandbox.url = `http://127.0.0.1:${sandbox.port}`;
    sandbox.data = path.join(sandbox.dir, 'data');
    sandbox.logFile = path.join(sandbox.data, 'charges.log');
    sandbox.stderr = '';
    const secret = (name, text) => {
      const file = path.join(sandbox.dir, name);
      fs.writeFileSync(file, `${text}\n`, { mode: 0o600 });
      return file;
    };
    sandbox.config = path.join(sandbox.dir, 'paylink.ini');
    fs.writeFileSync(sandbox.config, [
      '[edge]', `base_url = ${EDGE}`,
      '[gateway]', `secret_key_file = ${secret('key', SECRET_KEY)}`, `url = ${sandbox.url}`,
      '[keys]', `file = ${sandbox.dir}/link-keys`,
      '[postgres]', 'conninfo = host=/nonexistent',
      '[redis]', 'functions_file = /nonexistent', 'socket = /nonexistent',
      '[sandbox]', `data_dir = ${sandbox.data}`, `listen = 127.0.0.1:${sandbox.port}`,
      `public_url = ${sandbox.url}`, `pages_dir = ${ROOT}/config/pages/sandbox`,
      ...(webhookUrl ? [`webhook_url = ${webhookUrl}`, `webhook_secret_file = ${secret('webhook', WEBHOOK_SECRET)}`] : []),
      '',
    ].join('\n'));
    await sandbox.up();
    return sandbox;
  }

  // `front` runs it, for example ['strace', …].
  async up({ env = {}, front = [] } = {}) {
    const [program, ...args] = [...front, path.join(BUILD, 'paylink'), '--config', this.config, 'sandbox'];
    this.child = spawn(program, args,
      { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...env } });
    this.child.stderr.on('data', (chunk) => { this.stderr += chunk; });
    this.ended = once(this.child, 'exit');
    const until = Date.now() + 20_000;
    for (;;) {
      try {
        if ((await fetch(`${this.url}/sandbox/health`)).ok) return;
      } catch { /* not yet */ }
      if (this.child.exitCode !== null || Date.now() > until) throw new Error(`the sandbox does not start:\n${this.stderr}`);
      await new Promise((resolve) => { setTimeout(resolve, 20); });
    }
  }

  async kill(signal) {
    this.child.kill(signal);
    return (await this.ended)[0];
  }

  // Ends it as an operator would. A sanitizer's finding shows in the status.
  async stop() {
    const status = this.child.exitCode ?? await this.kill('SIGTERM');
    fs.rmSync(this.dir, { recursive: true, force: true });
    assert.equal(status, 0, this.stderr);
    assert.doesNotMatch(this.stderr, /Sanitizer|runtime error/);
  }

  lines() {
    return fs.readFileSync(this.logFile, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
  }

  async fault(fault) {
    const reply = await fetch(`${this.url}/sandbox/faults`, {
      method: fault ? 'POST' : 'DELETE',
      ...(fault && { body: JSON.stringify(fault), headers: { 'content-type': 'application/json' } }),
    });
    assert.equal(reply.status, 200, await reply.clone().text());
    return reply.json();
  }

  stripe(options = {}) { return stripeAt(this.url, options); }

  // A form post, a GET without fields.
  async api(route, fields, { headers = {}, key = SECRET_KEY, method } = {}) {
    const reply = await fetch(this.url + route, {
      method: method ?? (fields === undefined ? 'GET' : 'POST'),
      headers: { ...(key && { authorization: `Bearer ${key}` }), ...headers },
      ...(fields !== undefined && { body: typeof fields === 'string' ? fields : new URLSearchParams(fields) }),
      redirect: 'manual',
    });
    const text = await reply.text();
    return { status: reply.status, headers: reply.headers, text, get json() { return JSON.parse(text); } };
  }
}

export function stripeAt(url, options = {}) {
  const { hostname, port } = new URL(url);
  return new Stripe(SECRET_KEY, {
    host: hostname, port, protocol: 'http', apiVersion: API_VERSION, maxNetworkRetries: 0, telemetry: false, ...options,
  });
}

// Passes everything on to `target` and keeps it. `reply(request)` may answer instead: { status, headers, body },
// 'drop' (close without a reply) or 'hang' (never answer).
export class Recorder {
  exchanges = [];
  reply = null;

  static async start(target) {
    const recorder = new Recorder();
    recorder.target = target;
    recorder.server = http.createServer((request, response) => {
      recorder.#take(request, response).catch((error) => response.destroy(error));
    }).listen(0, '127.0.0.1');
    await once(recorder.server, 'listening');
    recorder.url = `http://127.0.0.1:${recorder.server.address().port}`;
    return recorder;
  }

  async #take(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const kept = { method: request.method, url: request.url, headers: request.headers, body: Buffer.concat(chunks).toString() };
    this.exchanges.push(kept);
    const scripted = this.reply?.(kept, this.exchanges.length);
    if (scripted === 'hang') return;
    if (scripted === 'drop') {
      request.socket.destroy();
      return;
    }
    if (scripted) {
      response.writeHead(scripted.status, { 'content-type': 'application/json', ...scripted.headers });
      response.end(scripted.body ?? '');
      return;
    }
    const { 'content-length': _, host: __, connection: ___, ...headers } = request.headers;
    const upstream = http.request(this.target + request.url, {
      method: request.method, headers: { ...headers, 'content-length': Buffer.byteLength(kept.body) },
    });
    upstream.end(kept.body);
    const [answer] = await once(upstream, 'response');
    const parts = [];
    for await (const chunk of answer) parts.push(chunk);
    kept.status = answer.statusCode;
    kept.reply = Buffer.concat(parts).toString();
    response.writeHead(answer.statusCode, answer.headers);
    response.end(kept.reply);
  }

  // Every recorded request and reply as Stripe describes them.
  judge({ requests = true } = {}) {
    for (const { method, url, headers, body, status, reply } of this.exchanges) {
      if (requests) assert.deepEqual(requestProblems({ method, url, headers, body }), [], `${method} ${url} ${body}`);
      if (status) assert.deepEqual(replyProblems(method, url, status, JSON.parse(reply)), [], `${method} ${url} -> ${status} ${reply}`);
    }
    return this.exchanges.length;
  }

  async stop() {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }
}

export const wait = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

export async function eventually(check, what, timeoutMs = 10_000) {
  const until = Date.now() + timeoutMs;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > until) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await wait(20);
  }
}
