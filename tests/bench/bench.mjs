// Runs the benches one after the other and prints their tables; what they mean is said in each.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { edgeBench } from './edge.mjs';
import { liveBench } from './live.mjs';
import { peersBench } from './peers.mjs';
import { settleBench } from './settle.mjs';

const BENCHES = { edge: edgeBench, live: liveBench, peers: peersBench, settle: settleBench };
const RESULTS = path.join(import.meta.dirname, 'RESULTS.md');

function options(args) {
  const chosen = { names: [], rounds: 5, save: false };
  while (args.length) {
    const arg = args.shift();
    if (arg === '--save') chosen.save = true;
    else if (arg === '--rounds' && Number(args[0]) >= 1) chosen.rounds = Number(args.shift());
    else if (BENCHES[arg]) chosen.names.push(arg);
    else throw new Error(`usage: tests/bench/run [--save] [--rounds N] [${Object.keys(BENCHES).join('|')}]`);
  }
  if (!chosen.names.length) chosen.names = Object.keys(BENCHES);
  if (chosen.save && chosen.names.length < Object.keys(BENCHES).length) throw new Error('only a whole run is saved');
  return chosen;
}

const first = (command, args) => execFileSync(command, args, { stdio: ['ignore', 'pipe', 'pipe'] }).toString().split('\n')[0];

function machine() {
  const cpus = os.cpus();
  const debian = /PRETTY_NAME="([^"]+)"/.exec(fs.readFileSync('/etc/os-release', 'utf8'))[1];
  const nginx = execFileSync('sh', ['-c', 'nginx -v 2>&1']).toString().trim().replace('nginx version: ', '');
  return [
    `${cpus.length} CPUs (${cpus[0].model.trim()}), ${Math.round(os.totalmem() / 2 ** 30)} GB, ${debian}, Linux ${os.release()}`,
    `${nginx}, ${first('redis-server', ['--version']).replace(/ sha=.*/, '')}, ${first('psql', ['--version'])}`,
  ];
}

const HOW = `How it is measured: \`tests/bench/run\`, everything on one machine. The sides of a comparison run in turns, one
short round of each after the other; a figure is the median of the rounds, a ratio the median of the ratios of
neighbouring rounds. Absolute numbers drift with the machine, ratios and CPU time per request (from /proc) hold.

* Edge: the stack of \`config/stack\` with its release build. One nginx worker on CPU 0; Redis (\`appendfsync
  always\`) and wrk (one thread) on CPU 1; access logs off on both sides. The static file has the bytes of the page and is
  sent by the same nginx with \`sendfile\`; it needs no token check, no Redis and none of the page's security headers. The
  flood is a second wrk that sends at a steady rate.
* Peers: nginx + lua (Debian's module, RESP over a pooled cosocket, HMAC through the FFI), Node with Fastify and ioredis
  (automatic pipelining), alone and behind nginx with keep-alive. Each has one process on CPU 0, checks the same token, reads
  as many fields with one HMGET from the same Redis, escapes the same values, mints an attempt, and sends the same bytes
  and headers. Each is warmed up first. A submit is the same function call in Redis.
* Live viewers: idle connections that hold one link's stream open, their cost the growth of the nginx worker's resident
  memory. The time of an update runs from its publication until all have it, reading in one Node process on this machine.
* Settling: nothing is pinned. The submits enter Redis through the function that the edge calls, while the workers are
  stopped; the time runs from their continuation until the streams and the outbox are empty, which means: registered,
  charged by \`paylink sandbox\` over HTTP with an fsynced charge log, booked, published and acknowledged. tpcb-like has
  scale 10 and the same cluster: fsync and synchronous_commit on, shared_buffers 256 MB, max_wal_size 8 GB.`;

const { names, rounds, save } = options(process.argv.slice(2));
const note = (text) => process.stderr.write(`${text}\n`);
const parts = [`# Results of \`make bench\`\n\n${machine().join('  \n')}\n`];
for (const name of names) parts.push(`${await BENCHES[name]({ rounds, note })}\n`);
parts.push(`${HOW}\n`);
const text = parts.join('\n');
process.stdout.write(text);
if (save) fs.writeFileSync(RESULTS, text);
