// The sandbox gateway seen from a test: what it charged (the oracle), and the faults it is told to show.
import fs from 'node:fs';
import path from 'node:path';
import { formBody, request } from './http.mjs';

export class Sandbox {
  #secret;

  constructor(info) {
    this.url = info.sandbox_url;
    this.#secret = path.join(path.dirname(info.config), 'secrets/gateway_secret');
  }

  // An API request; `key` is pk_… or, by default, the stack's secret key. Body fields as Stripe spells them.
  api(method, route, fields, { key = fs.readFileSync(this.#secret, 'utf8').trim(), headers = {} } = {}) {
    const body = fields && formBody(fields);
    return request(method, this.url + route, {
      body,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body !== undefined && {
          'content-type': 'application/x-www-form-urlencoded',
          'content-length': Buffer.byteLength(body),
        }),
        ...headers,
      },
    });
  }

  async #control(method, route, value) {
    const body = value && JSON.stringify(value);
    const reply = await request(method, this.url + route, {
      body,
      headers: body ? { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) } : {},
    });
    if (reply.status >= 300) throw new Error(`sandbox ${method} ${route}: ${reply.status} ${reply.text}`);
    return reply;
  }

  // { on: payment_intents | refunds | all, kind: delay | drop_before | drop_after | status | decline,
  //   delay_ms, status, code, count }
  fault(fault) { return this.#control('POST', '/sandbox/faults', fault); }
  clearFaults() { return this.#control('DELETE', '/sandbox/faults'); }

  // The charge log, one object a line, oldest first.
  async log() {
    const { text } = await this.#control('GET', '/sandbox/log');
    return text.split('\n').filter(Boolean).map((line) => JSON.parse(line));
  }
}
