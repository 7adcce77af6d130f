// A Redis client of few lines, over a unix socket (RESP2): what a test wants to say to Redis is said
// in Redis' own commands. Pipelined; replies come in order.
import net from 'node:net';

export class RedisError extends Error {}

// Reads one reply at `at` of `buffer`: [value, next offset], or null if it is not whole yet.
function parse(buffer, at) {
  const eol = buffer.indexOf('\r\n', at);
  if (eol < 0) return null;
  const head = buffer.toString('utf8', at + 1, eol);
  const next = eol + 2;
  switch (String.fromCharCode(buffer[at])) {
    case '+': return [head, next];
    case '-': return [new RedisError(head), next];
    case ':': return [Number(head), next];
    case '$': {
      const length = Number(head);
      if (length < 0) return [null, next];
      if (buffer.length < next + length + 2) return null;
      return [buffer.subarray(next, next + length), next + length + 2];
    }
    case '*': {
      const items = Number(head) < 0 ? null : [];
      let from = next;
      for (let i = 0; i < Number(head); i++) {
        const item = parse(buffer, from);
        if (!item) return null;
        items.push(item[0]);
        from = item[1];
      }
      return [items, from];
    }
    default: throw new Error(`not RESP: ${buffer.toString('latin1', at, at + 40)}`);
  }
}

const text = (value) =>
  Buffer.isBuffer(value) ? value.toString('utf8') : Array.isArray(value) ? value.map(text) : value;

function encode(args) {
  const parts = [Buffer.from(`*${args.length}\r\n`)];
  for (const arg of args) {
    const bytes = Buffer.isBuffer(arg) ? arg : Buffer.from(String(arg));
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n'));
  }
  return Buffer.concat(parts);
}

export class Redis {
  #socket;
  #waiting = [];
  #buffer = Buffer.alloc(0);
  #onMessage = null;

  // Connects; with `user` it authenticates first.
  static async connect(path, { user, password } = {}) {
    const redis = new Redis();
    redis.#socket = net.connect({ path });
    await new Promise((resolve, reject) => {
      redis.#socket.once('connect', resolve);
      redis.#socket.once('error', reject);
    });
    redis.#socket.on('data', (chunk) => redis.#read(chunk));
    redis.#socket.on('error', () => {});
    redis.#socket.on('close', () => {
      for (const waiter of redis.#waiting.splice(0)) waiter.reject(new Error('Redis closed the connection'));
    });
    if (user) await redis.do('AUTH', user, password);
    return redis;
  }

  #read(chunk) {
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
    let at = 0;
    for (let reply; (reply = at < this.#buffer.length && parse(this.#buffer, at)); at = reply[1]) {
      const value = reply[0];
      if (this.#onMessage && Array.isArray(value) && String(value[0]) === 'message') {
        this.#onMessage(text(value[2]), text(value[1]));
      } else if (value instanceof RedisError) {
        this.#waiting.shift().reject(value);
      } else {
        this.#waiting.shift().resolve(value);
      }
    }
    this.#buffer = this.#buffer.subarray(at);
  }

  // One command, arguments as strings, numbers or Buffers; the reply with Buffers for bulk strings.
  raw(...args) {
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) reject(new Error('the connection to Redis is closed'));
      this.#waiting.push({ resolve, reject });
      this.#socket.write(encode(args));
    });
  }

  // The same, with strings in the reply.
  async do(...args) {
    return text(await this.raw(...args));
  }

  async hash(key) {
    const flat = await this.do('HGETALL', key);
    return Object.fromEntries(Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i], flat[2 * i + 1]]));
  }

  // Stream entries as objects, oldest first, each with its `id_`.
  async entries(stream) {
    return (await this.do('XRANGE', stream, '-', '+')).map(([id, flat]) => ({
      id_: id,
      ...Object.fromEntries(Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i], flat[2 * i + 1]])),
    }));
  }

  // Calls onMessage(message, channel). The connection is for that alone from then on.
  subscribe(channel, onMessage) {
    this.#onMessage = onMessage;
    return this.do('SUBSCRIBE', channel);
  }

  // Commands processed so far, less INFO and CONFIG of the asking test and the XLEN of the edge's metrics: { hmget: 3, fcall: 1 }.
  async commandCounts() {
    const counts = {};
    for (const [, name, calls] of (await this.do('INFO', 'commandstats')).matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)) {
      if (!/^(info|config|xlen)/.test(name)) counts[name] = Number(calls);
    }
    return counts;
  }

  close() {
    this.#socket.destroy();
  }
}
