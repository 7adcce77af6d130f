// A replica of a stack's Redis: a second redis-server with the same users, behind a line that a test can hold, so
// that the replica is there and falls behind.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { freePort } from './http.mjs';
import { Redis } from './redis.mjs';
import { waitFor } from './wait.mjs';

const running = new Set();

process.on('exit', () => {
  for (const replica of running) replica.end();
});

export class Replica {
  #pairs = new Set();
  #clients = [];
  #held = false;

  // Its socket is known before it is started, so that an edge can be told of it.
  constructor() {
    this.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'paylink-replica-'));
    this.socket = path.join(this.dir, 'redis.sock');
    running.add(this);
  }

  async start(stack) {
    this.stack = stack;
    if (!this.line) await this.#connect(await stack.redis());
    const log = fs.openSync(path.join(stack.info.log_dir, 'redis-replica.log'), 'a');
    this.child = spawn('redis-server', ['--port', '0', '--unixsocket', this.socket, '--dir', this.dir, '--save', '', '--appendonly', 'no',
      '--aclfile', path.join(stack.dir, 'redis/users.acl'), '--replicaof', '127.0.0.1', String(this.port)], { stdio: ['ignore', log, log] });
    fs.closeSync(log);
    this.ended = new Promise((resolve) => this.child.on('exit', resolve));
    await waitFor(async () => (await this.redis()).do('PING'), { what: 'the replica' });
  }

  // The primary takes replicas by TCP, and they come by this line.
  async #connect(primary) {
    const port = await freePort();
    await primary.do('CONFIG', 'SET', 'repl-diskless-sync-delay', '0');
    await primary.do('CONFIG', 'SET', 'bind', '127.0.0.1');
    await primary.do('CONFIG', 'SET', 'port', String(port));
    this.line = net.createServer((from) => {
      const to = net.connect({ host: '127.0.0.1', port });
      const pair = [from, to];
      this.#pairs.add(pair);
      for (const [one, other] of [pair, [to, from]]) {
        one.on('error', () => {});
        one.on('close', () => { other.destroy(); this.#pairs.delete(pair); });
        one.pipe(other);
      }
      if (this.#held) this.hold();
    });
    await new Promise((resolve) => this.line.listen(0, '127.0.0.1', resolve));
    this.line.unref();
    this.port = this.line.address().port;
  }

  // A connection of its own, closed with the replica.
  async redis() {
    const client = await Redis.connect(this.socket);
    this.#clients.push(client);
    return client;
  }

  // Nothing passes the line any more, and nobody is told; until it is released.
  hold() {
    this.#held = true;
    for (const [from, to] of this.#pairs) to.unpipe(from).pause();
  }

  release() {
    this.#held = false;
    for (const [from, to] of this.#pairs) to.pipe(from);
  }

  signal(signal) {
    process.kill(this.child.pid, signal);
  }

  async kill() {
    this.signal('SIGKILL');
    await this.ended;
  }

  async stop() {
    if (this.child) await this.kill();
    this.end();
  }

  end() {
    running.delete(this);
    this.child?.kill('SIGKILL');
    for (const client of this.#clients) client.close();
    for (const pair of this.#pairs) pair[0].destroy();
    this.line?.close();
    fs.rmSync(this.dir, { recursive: true, force: true });
  }
}
