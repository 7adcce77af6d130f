// Live viewers: many idle ones on one nginx worker, what each costs in memory, and how long an update takes to reach all
// of them; beside Debian's nchan, which does nothing but that.
import fs from 'node:fs';
import net from 'node:net';
import { request, startStack, waitFor } from '../harness/index.mjs';
import { freePort, thousands } from './edge.mjs';
import { childrenOf, median, startNginx, table } from './measure.mjs';

const VIEWERS = 10_000;
const WARM = 500;
const AT_ONCE = 200;
const NCHAN = '/usr/lib/nginx/modules/ngx_nchan_module.so';

const residentKb = (pid) => Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);

// Connections that read a stream and only look for the text of the update.
class Audience {
  sockets = [];
  #wanted = null;
  #reached = 0;

  constructor(url, headers = '') {
    this.url = new URL(url);
    this.request = `GET ${this.url.pathname} HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n${headers}\r\n`;
  }

  #open() {
    return new Promise((resolve, reject) => {
      const socket = net.connect(Number(this.url.port), this.url.hostname, () => socket.write(this.request));
      socket.once('data', (first) => (/^HTTP\/1\.1 200/.test(first.toString('latin1')) ? resolve(socket) : reject(new Error(first.toString('latin1')))));
      socket.on('data', (chunk) => {
        if (this.#wanted && !socket.reached && chunk.includes(this.#wanted)) {
          socket.reached = true;
          this.#reached += 1;
        }
      });
      socket.once('error', reject);
    });
  }

  async grow(count) {
    while (this.sockets.length < count) {
      this.sockets.push(...await Promise.all(Array.from({ length: Math.min(AT_ONCE, count - this.sockets.length) }, () => this.#open())));
    }
  }

  // ms from the call of publish() until everybody has seen `text`.
  async reach(text, publish) {
    this.#wanted = text;
    this.#reached = 0;
    for (const socket of this.sockets) socket.reached = false;
    const begin = performance.now();
    await publish();
    await waitFor(() => this.#reached === this.sockets.length, { interval: 1, timeout: 30_000, what: 'the update to reach everybody' });
    return performance.now() - begin;
  }

  close() {
    for (const socket of this.sockets) socket.destroy();
  }
}

async function measure(audience, pid, publish, rounds) {
  await audience.grow(WARM);
  const before = residentKb(pid);
  await audience.grow(WARM + VIEWERS);
  const bytes = (residentKb(pid) - before) * 1024 / VIEWERS;
  const times = [];
  for (let round = 0; round < rounds; round++) times.push(await publish(audience, round));
  audience.close();
  return { bytes, ms: median(times) };
}

async function ours(rounds) {
  const stack = await startStack({ build: 'build', nginx: ['access_log off;', `paylink_live total=${2 * VIEWERS} per_link=${2 * VIEWERS} heartbeat=60s;`] });
  try {
    const { link } = await stack.scene();
    await waitFor(async () => (await request('GET', link.url)).status === 200, { what: 'the page' });
    const redis = await stack.redis();
    const shard = `paylink:{${(Number.parseInt(link.id.slice(0, 2), 16) % 16).toString(16).padStart(2, '0')}}`;
    const record = Object.entries(await redis.hash(`${shard}:link:${link.id}`)).filter(([name]) => name !== 'version').flat();
    const publish = (audience, round) => audience.reach(`"version":${round + 2},`, () =>
      redis.do('FCALL', 'paylink_publish', 1, `${shard}:link:${link.id}`, link.id, round + 2, 3_600_000, ...record));
    return await measure(new Audience(`${link.url}/events`), childrenOf(stack.info.pids.nginx)[0], publish, rounds);
  } finally {
    await stack.stop();
  }
}

async function nchan(rounds) {
  const dir = fs.mkdtempSync('/tmp/paylink-bench-');
  const port = await freePort();
  const { child, pid } = await startNginx(dir, `load_module ${NCHAN};`, `nchan_max_reserved_memory 64M;
server { listen 127.0.0.1:${port};
  location = /events { nchan_subscriber eventsource; nchan_channel_id bench; nchan_eventsource_ping_interval 60; }
  location = /publish { nchan_publisher; nchan_channel_id bench; } }`);
  try {
    const publish = (audience, round) => audience.reach(`"version":${round + 2},`, () =>
      request('POST', `http://127.0.0.1:${port}/publish`, { body: `{"state":"active","version":${round + 2},"paying":false}`, headers: { 'content-type': 'application/json' } }));
    return await measure(new Audience(`http://127.0.0.1:${port}/events`), pid, publish, rounds);
  } finally {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await ended;
    fs.rmSync(dir, { recursive: true, force: true });
  }
}

export async function liveBench({ rounds, note }) {
  note('live: viewers');
  const paylink = await ours(rounds);
  note('live: nchan');
  const peer = fs.existsSync(NCHAN) ? await nchan(rounds) : null;
  const row = (name, side) => [name, thousands(side.bytes), `${side.ms.toFixed(0)} ms`];
  return [
    `## Live viewers: ${thousands(VIEWERS)} idle ones of one link on one nginx worker\n`,
    table(['what', 'nginx bytes per viewer', 'an update reaches all in'], [row('Paylink', paylink), ...(peer ? [row('nchan', peer)] : [])]),
    '',
    table(['figure', 'measured', 'goal', 'stretch'], [
      ['nginx memory per viewer', `${(paylink.bytes / 1024).toFixed(1)} KB`, '≤ 8 KB', '2 KB'],
      ['an update reaches all of them', `${(paylink.ms / 1000).toFixed(2)} s`, '≤ 1 s', ''],
    ]),
  ].join('\n');
}
