// HTTP as the tests need it: no redirects followed, every header visible, broken requests possible;
// and the forms of a page as a browser without JavaScript would send them.
import http from 'node:http';
import net from 'node:net';

const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });

// -> { status, headers, rawHeaders, body (Buffer), text, json() }. Rejects after `timeout` ms. With `connection: close`
// over a connection of its own: one that was kept may just be closing.
export function request(method, url, { headers = {}, body, timeout = 30_000, signal } = {}) {
  return new Promise((resolve, reject) => {
    const sent = http.request(url, { method, headers, agent: headers.connection === 'close' ? false : agent, timeout, signal }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const bytes = Buffer.concat(chunks);
        resolve({
          status: response.statusCode,
          headers: response.headers,
          rawHeaders: response.rawHeaders,
          body: bytes,
          text: bytes.toString('utf8'),
          json() { return JSON.parse(this.text); },
        });
      });
    });
    sent.on('timeout', () => sent.destroy(new Error(`${method} ${url}: no answer within ${timeout} ms`)));
    sent.on('error', reject);
    sent.end(body);
  });
}

// A port that nobody listens on.
export function freePort() {
  return new Promise((resolve) => {
    const probe = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

export const get = (url, options) => request('GET', url, options);

export function formBody(fields) {
  const pairs = Array.isArray(fields) ? fields : Object.entries(fields);
  return new URLSearchParams(pairs.map(([name, value]) => [name, String(value)])).toString();
}

// Posts like a form of the same origin. `fields` may be an array of pairs (duplicates, order) or a string.
export function postForm(url, fields, { headers = {}, ...options } = {}) {
  const body = typeof fields === 'string' ? fields : formBody(fields);
  return request('POST', url, {
    ...options,
    body,
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      'content-length': Buffer.byteLength(body),
      ...headers,
    },
  });
}

// Sends exactly these bytes and gives back everything that comes until the peer closes or `quiet` ms
// pass without a byte.
export function rawRequest(baseUrl, bytes, { quiet = 2_000, path } = {}) {
  const { hostname, port } = new URL(baseUrl);
  return new Promise((resolve, reject) => {
    const socket = path ? net.connect({ path }) : net.connect({ host: hostname, port: Number(port) });
    const chunks = [];
    const done = () => {
      socket.destroy();
      resolve(Buffer.concat(chunks).toString('latin1'));
    };
    socket.setTimeout(quiet, done);
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('end', done);
    socket.on('error', (error) => (chunks.length ? done() : reject(error)));
    socket.write(bytes);
  });
}

// What a page says, without what sets words apart: the blanks of ICU as plain ones, no <bdi>.
export const plainText = ({ text }) => text.replace(/[\u00a0\u202f]/g, ' ').replace(/<\/?bdi[^>]*>/g, '');

const ENTITIES = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0' };

export function decodeHtml(text) {
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|([a-z]+));/gi, (whole, hex, decimal, name) =>
    hex ? String.fromCodePoint(parseInt(hex, 16))
      : decimal ? String.fromCodePoint(Number(decimal))
        : ENTITIES[name] ?? whole);
}

export function attributes(tag) {
  const found = {};
  for (const [, name, double, single, bare] of tag.matchAll(/\s([a-zA-Z-]+)(?:=(?:"([^"]*)"|'([^']*)'|([^\s>]+)))?/g)) {
    found[name.toLowerCase()] = decodeHtml(double ?? single ?? bare ?? '');
  }
  return found;
}

// Every form of a page: [{ action, method, fields }] with the values of its inputs and buttons.
export function parseForms(html) {
  return [...html.matchAll(/<form\b[^>]*>([\s\S]*?)<\/form>/gi)].map(([whole, inside]) => {
    const { action = '', method = 'get' } = attributes(whole.slice(0, whole.indexOf('>') + 1));
    const fields = {};
    for (const [tag] of inside.matchAll(/<(?:input|button)\b[^>]*>/gi)) {
      const { name, value = '' } = attributes(tag);
      if (name) fields[name] = value;
    }
    return { action, method: method.toLowerCase(), fields };
  });
}

// The pay form of a page, or undefined.
export function parseForm(html) {
  return parseForms(html).find((form) => 'attempt' in form.fields);
}

// What a reader sees: no tags, no scripts, white space joined.
export function visibleText(html) {
  return decodeHtml(html.replace(/<(script|style)\b[\s\S]*?<\/\1>/gi, ' ').replace(/<[^>]+>/g, ' ')).replace(/\s+/g, ' ').trim();
}
