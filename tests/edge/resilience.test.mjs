// The edge under bad weather: clients that leave at every waiting point, slow and dead Redis, huge
// replies, reloads under load. No request hangs, no descriptor leaks, no worker dies.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { formBody, startStack, tally, together, waitFor } from '../harness/index.mjs';

let stack;
let redis;
before(async () => {
  // Nothing is known without asking: what happens to those who ask is the matter here.
  stack = await startStack({ nginxLog: 'info', nginx: ['paylink_cache off;'] });
  redis = await stack.redis();
});
after(() => stack.stop());

function edgeWorkers() {
  return execFileSync('ps', ['-o', 'pid=', '--ppid', String(stack.info.pids.nginx)]).toString().trim().split(/\s+/).map(Number);
}

const descriptors = (pid) => fs.readdirSync(`/proc/${pid}/fd`).length;

// Sends a request and goes away without reading the answer.
function abandon(text, { reset = false } = {}) {
  const { hostname, port } = new URL(stack.url);
  return new Promise((resolve) => {
    const socket = net.connect({ host: hostname, port: Number(port) }, () => {
      socket.write(text, () => (reset ? socket.resetAndDestroy() : socket.destroy()));
    });
    socket.on('close', resolve);
    socket.on('error', () => {});
  });
}

async function everythingWorks() {
  const scene = await stack.scene();
  assert.equal((await stack.payer(scene.link).settle()).state, 'captured');
}

test('clients leave at every waiting point: the view, the hydration, the submit, the result', async () => {
  const scene = await stack.scene({ amounts: [100] });
  const payer = stack.payer(scene.link);
  await payer.view();
  const answer = await payer.pay({ paymentMethod: 'pm_card_visa' });
  const { pathname } = new URL(scene.link.url);
  const [worker] = edgeWorkers();
  const before = descriptors(worker);
  const body = formBody({ ...payer.form.fields, payment_method: 'pm_card_visa' });
  const form = `Host: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n`;
  await redis.do('CLIENT', 'PAUSE', '1500', 'ALL');
  await together(60, (i) => [
    () => abandon(`GET ${pathname} HTTP/1.1\r\nHost: x\r\n\r\n`, { reset: i % 2 === 0 }),
    () => abandon(`POST ${pathname}/open HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`, { reset: i % 2 === 0 }),
    () => abandon(`POST ${pathname}/pay HTTP/1.1\r\n${form}${body}`, { reset: i % 2 === 0 }),
    () => abandon(`POST ${pathname}/pay HTTP/1.1\r\n${form}${body.slice(0, 10)}`),
    () => abandon(`GET ${new URL(answer.headers.location, stack.url).pathname} HTTP/1.1\r\nHost: x\r\n\r\n`),
    () => abandon(`GET ${pathname} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`),
  ][i % 6]());
  await waitFor(async () => (await stack.page(scene.link.url)).status !== 503, { what: 'the end of the pause' });

  await stack.stopService('worker');
  await redis.do('FLUSHALL');
  await together(20, () => abandon(`GET ${pathname} HTTP/1.1\r\nHost: x\r\n\r\n`));
  await stack.startService('worker');
  await everythingWorks();
  await waitFor(() => descriptors(worker) <= before + 4, { what: 'every descriptor to be closed' });
  assert.deepEqual(edgeWorkers(), [worker], 'the nginx worker is still the same process');
});

test('a Redis that does not answer: 503 with Retry-After within the time-out, and then again 200', async () => {
  const scene = await stack.scene();
  await waitFor(async () => (await stack.page(scene.link.url)).status === 200, { what: 'the page' });
  stack.signal('redis', 'SIGSTOP');
  try {
    const answers = await together(20, () => stack.page(scene.link.url, { timeout: 10_000 }));
    assert.deepEqual(tally(answers.map((answer) => answer.status)), { 503: 20 });
    assert.ok(answers.every((answer) => answer.headers['retry-after']));
    assert.match(answers[0].text, /data-state="busy"/);
    assert.equal((await stack.page('/healthz')).status, 200);
    assert.equal((await stack.page('/p/forged')).status, 404);
  } finally {
    stack.signal('redis', 'SIGCONT');
  }
  await waitFor(async () => (await stack.page(scene.link.url)).status === 200, { what: 'the edge to recover' });
  await everythingWorks();
});

test('without a worker a link that Redis does not know is "try again shortly", never "unknown"', async () => {
  const scene = await stack.scene();
  await stack.stopService('worker');
  await redis.do('FLUSHALL');
  const answer = await stack.page(scene.link.url, { timeout: 10_000 });
  assert.equal(answer.status, 503);
  assert.match(answer.text, /data-state="busy"/);
  await stack.startService('worker');
  await waitFor(async () => (await stack.page(scene.link.url)).status === 200, { what: 'the hydration' });
});

test('a reply of 1 MiB is rendered whole', async () => {
  const scene = await stack.scene();
  await waitFor(async () => (await stack.page(scene.link.url)).status === 200, { what: 'the page' });
  const shard = (Number.parseInt(scene.link.id.slice(0, 2), 16) % 16).toString(16).padStart(2, '0');
  await redis.do('HSET', `paylink:{${shard}}:link:${scene.link.id}`, 'merchant', `${'M'.repeat(1 << 20)}END`);
  const answer = await stack.page(scene.link.url);
  assert.equal(answer.status, 200);
  assert.ok(answer.text.includes('MMMEND'));
  assert.equal(Number(answer.headers['content-length'] ?? answer.body.length), answer.body.length);
});

test('Redis holds nonsense for a link: an honest answer, no crash', async () => {
  const scene = await stack.scene();
  await waitFor(async () => (await stack.page(scene.link.url)).status === 200, { what: 'the page' });
  const shard = (Number.parseInt(scene.link.id.slice(0, 2), 16) % 16).toString(16).padStart(2, '0');
  const key = `paylink:{${shard}}:link:${scene.link.id}`;
  for (const [field, value] of [['rows', Buffer.from([3, 255, 255, 1, 2])], ['version', 'x'], ['version', '99999999999999999999'], ['state', 'nonsense'], ['expires_ms', '-9e99'], ['due_minor', '']]) {
    const kept = await redis.do('HGET', key, field);
    await redis.raw('HSET', key, field, value);
    const answer = await stack.page(scene.link.url);
    assert.ok([200, 503].includes(answer.status), `${field}: ${answer.status}`);
    assert.doesNotMatch(answer.text, /name="attempt" value=""/);
    if (kept === null) await redis.do('HDEL', key, field);
    else await redis.do('HSET', key, field, kept);
  }
  await redis.do('DEL', key);
  await redis.do('SET', key, 'a string, not a hash');
  assert.equal((await stack.page(scene.link.url)).status, 503);
  await redis.do('DEL', key);
  await waitFor(async () => (await stack.page(scene.link.url)).status === 200, { what: 'the hydration' });
});

test('reload under load: every request is answered, old workers leave', async () => {
  const scene = await stack.scene();
  await waitFor(async () => (await stack.page(scene.link.url)).status === 200, { what: 'the page' });
  const old = edgeWorkers();
  let reloads = 0;
  let stopped = false;
  const statuses = [];
  const load = together(16, async () => {
    // An idle connection may be closed at any time; only what was sent must be answered.
    while (!stopped) statuses.push((await stack.page(scene.link.url, { headers: { connection: 'close' } })).status);
  });
  while (reloads < 5) {
    const known = edgeWorkers();
    stack.signal('nginx', 'SIGHUP');
    await waitFor(() => edgeWorkers().some((pid) => !known.includes(pid)), { what: 'new nginx workers' });
    const seen = statuses.length;
    await waitFor(() => statuses.length > seen + 50, { what: 'answers after the reload' });
    reloads += 1;
  }
  stopped = true;
  await load;
  assert.deepEqual(Object.keys(tally(statuses)), ['200']);
  await waitFor(() => edgeWorkers().every((pid) => !old.includes(pid)) && edgeWorkers().length === old.length, { timeout: 30_000, what: 'the old workers to leave' });
  const clients = await redis.do('CLIENT', 'LIST');
  const edges = clients.split('\n').filter((line) => /user=edge/.test(line)).length;
  assert.ok(edges <= 2 * old.length, `${edges} connections of ${old.length} nginx workers`);
});

test('many requests and aborted ones leave no descriptor behind', async () => {
  const scene = await stack.scene();
  await waitFor(async () => (await stack.page(scene.link.url)).status === 200, { what: 'the page' });
  const [worker] = edgeWorkers();
  const { pathname } = new URL(scene.link.url);
  await together(50, () => abandon(`GET ${pathname} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`));
  const before = descriptors(worker);
  for (let round = 0; round < 20; round++) {
    await together(50, (i) => abandon(`GET ${pathname} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`, { reset: i % 2 === 0 }));
  }
  await waitFor(() => descriptors(worker) <= before, { what: 'the descriptors to be closed' });
});

test('the nginx worker is killed: the master starts another, nothing accepted is lost', async () => {
  const scene = await stack.scene();
  const payer = stack.payer(scene.link);
  const answer = await payer.pay({ paymentMethod: 'pm_card_visa' });
  const [worker] = edgeWorkers();
  process.kill(worker, 'SIGKILL');
  await waitFor(() => edgeWorkers().length === 1 && edgeWorkers()[0] !== worker, { what: 'another nginx worker' });
  assert.equal((await payer.result(answer)).state, 'captured');
});
