// How long the edge waits, for what, and what wakes it: the page of an attempt, the hydration of a link,
// the way back from the bank, slow readers. The worker's part is played by this test, in Redis.
import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { atBest, ROOT, parseForm, postForm, startStack, together, waitFor } from '../harness/index.mjs';

let stack;
let redis;
let key;
before(async () => {
  stack = await startStack({ services: ['redis', 'nginx'], nginx: ['paylink_result_wait 4s;', 'paylink_hydrate_wait 2s;'] });
  redis = await stack.redis();
  await redis.do('FUNCTION', 'LOAD', 'REPLACE', fs.readFileSync(path.join(ROOT, 'config/redis/paylink.lua'), 'utf8'));
  const [, kid, secret] = /^(\d+) ([0-9a-f]{64})$/m.exec(fs.readFileSync(stack.info.key_file, 'utf8'));
  key = { kid: Number(kid), secret: Buffer.from(secret, 'hex') };
  await waitFor(async () => (await stack.page('/healthz')).text.includes('redis up'), { what: 'the connection to Redis' });
});
after(() => stack.stop());

const mac = (...parts) => createHmac('sha256', key.secret).update(Buffer.concat(parts.map((part) => Buffer.from(part)))).digest().subarray(0, 16);

// A link that only this test knows.
function newLink() {
  const id = randomBytes(16);
  const token = Buffer.concat([[key.kid], id, mac('paylink link v1', [key.kid], id)].map((part) => Buffer.from(part))).toString('base64url');
  const shard = (id[0] % 16).toString(16).padStart(2, '0');
  const link = { id, hex: id.toString('hex'), token, shard, path: `/p/${token}`, name: (kind, hex) => `paylink:{${shard}}:${kind}${hex ? `:${hex}` : ''}` };
  link.write = (fields = {}) => redis.do('HSET', link.name('link', link.hex), ...Object.entries({
    state: 'active', version: 1, due_minor: 12500, due_text: '$125.00', currency: 'USD', merchant: 'Harbour Tools', title: 'Invoice 1', lifetime_ms: 86_400_000, lang: 'en', ...fields,
  }).flat());
  link.say = (message) => redis.do('PUBLISH', link.name('events'), message);
  return link;
}

function newAttempt(link) {
  const uuid = randomBytes(16);
  const version = Buffer.from([0, 0, 0, 1]);
  const text = Buffer.concat([uuid, version, mac('paylink attempt v1', [key.kid], link.id, uuid, version)]).toString('base64url');
  const hex = uuid.toString('hex');
  const name = link.name('attempt', hex);
  return {
    hex,
    path: `${link.path}/a/${text}`,
    write: (state, fields = {}) => redis.do('HSET', name, 'state', state, 'link', link.hex, ...Object.entries(fields).flat()),
    say: (state) => link.say(`attempt ${hex} ${state}`),
  };
}

async function timed(promise) {
  const start = performance.now();
  const answer = await promise;
  return { ...answer, text: answer.text, took: performance.now() - start };
}

const wants = async (link) => (await redis.entries(link.name('want'))).filter((entry) => entry.link === link.hex);
const submits = async (link) => (await redis.entries(link.name('submit'))).filter((entry) => entry.link === link.hex);
const stateOf = ({ text }) => /data-state="([a-z_]+)"/.exec(text)?.[1];

// The timer would do it after a second.
test('a message wakes the page of an attempt at once', () => atBest(1_000, async () => {
  const link = newLink();
  const attempt = newAttempt(link);
  await attempt.write('received');
  const answer = timed(stack.page(attempt.path));
  await pause(300);
  await attempt.write('captured', { receipt_number: 'R-77', card: 'Visa •••• 4242' });
  await attempt.say('captured');
  const page = await answer;
  assert.equal(page.status, 200);
  assert.match(page.text, /R-77/);
  return page.took;
}));

test('a message that was lost costs a second, not the result', () => atBest(2_500, async () => {
  const attempt = newAttempt(newLink());
  await attempt.write('charging');
  const answer = timed(stack.page(attempt.path));
  await pause(200);
  await attempt.write('declined', { reason: 'card_declined' });
  const page = await answer;
  assert.equal(stateOf(page), 'declined');
  return page.took;
}));

test('"charging" is no news for who waits for the end, "unknown" is', async () => {
  const attempt = newAttempt(newLink());
  await attempt.write('received');
  const answer = stack.page(attempt.path);
  await pause(200);
  await attempt.write('charging');
  await attempt.say('charging');
  await pause(200);
  await attempt.write('unknown');
  await attempt.say('unknown');
  assert.equal(stateOf(await answer), 'unknown');
});

test('without news the page comes when the time is over, and asks again by itself', async () => {
  const attempt = newAttempt(newLink());
  await attempt.write('received');
  const { took, ...page } = await timed(stack.page(attempt.path));
  assert.equal(stateOf(page), 'received');
  assert.match(page.text, /id="wait"/);
  assert.ok(took >= 3_900, `${took} ms`);
});

test('the way to the bank is shown soon; who comes back from there is waited for', async () => {
  const link = newLink();
  const attempt = newAttempt(link);
  await attempt.write('action_required', { action_url: 'https://bank.example/confirm' });
  await atBest(3_500, async () => {
    const there = await timed(stack.page(attempt.path));
    assert.match(there.text, /https:\/\/bank\.example\/confirm/);
    assert.doesNotMatch(there.text, /id="wait"/);
    return there.took;
  });
  const asked = await wants(link);
  assert.ok(asked.length > 0);
  assert.ok(asked.every((entry) => entry.kind === 'attempt' && entry.of === attempt.hex));

  const back = stack.page(`${attempt.path}?payment_intent=pi_1&redirect_status=succeeded`);
  await pause(2_500);
  await attempt.write('captured');
  await attempt.say('captured');
  assert.equal(stateOf(await back), 'captured');
});

test('an address that is none is not offered as the way to the bank', async () => {
  const attempt = newAttempt(newLink());
  await attempt.write('action_required', { action_url: 'javascript:alert(1)' });
  assert.doesNotMatch((await stack.page(attempt.path)).text, /javascript:/);
});

test('an attempt that Redis does not have is asked for; "absent" says that nothing was charged', async () => {
  const link = newLink();
  const attempt = newAttempt(link);
  const answer = stack.page(attempt.path);
  await waitFor(async () => (await wants(link)).length > 0, { what: 'the question' });
  await attempt.write('absent');
  await attempt.say('absent');
  const page = await answer;
  assert.equal(stateOf(page), 'absent');
  const nobody = newAttempt(link);
  const { status, headers } = await stack.page(nobody.path);
  assert.equal(status, 503);
  assert.ok(headers['retry-after']);
});

test('an attempt in the name of another link is not shown', async () => {
  const link = newLink();
  const attempt = newAttempt(link);
  await attempt.write('captured', { link: newLink().hex, receipt_number: 'R-99' });
  const { status, text } = await stack.page(attempt.path);
  assert.equal(status, 503);
  assert.doesNotMatch(text, /R-99/);
});

test('view, open and pay of a link that Redis has lost go on when the worker has brought it', async () => {
  const link = newLink();
  const bring = async (asked) => {
    await waitFor(async () => (await wants(link)).length >= asked, { what: 'the question' });
    await link.write();
    await link.say(`link ${link.hex} 1 active`);
  };
  const view = stack.page(link.path);
  await bring(1);
  const { status, text } = await view;
  assert.equal(status, 200);

  const { action, fields } = parseForm(text);
  for (const [asked, send, expected] of [
    [2, () => postForm(new URL(`${link.path}/open`, stack.url).href, ''), 204],
    [3, () => postForm(new URL(action, stack.url).href, { ...fields, payment_method: 'pm_card_visa' }), 303],
  ]) {
    // At once: Redis may refuse the first question, as it has just taken one.
    await redis.do('DEL', link.name('link', link.hex));
    const answer = send();
    await bring(asked);
    assert.equal((await answer).status, expected);
  }
  assert.equal((await submits(link)).length, 1);
});

test('nobody brings the link: 503 when the time is over', async () => {
  const { status, took } = await timed(stack.page(newLink().path));
  assert.equal(status, 503);
  assert.ok(took >= 1_900, `${took} ms`);
});

test('a submit without an answer leads to its result, which tells the truth', async () => {
  const link = newLink();
  await link.write();
  const { action, fields } = parseForm((await stack.page(link.path)).text);
  stack.signal('redis', 'SIGSTOP');
  let answer;
  try {
    answer = await postForm(new URL(action, stack.url).href, { ...fields, payment_method: 'pm_card_visa' });
  } finally {
    stack.signal('redis', 'SIGCONT');
  }
  assert.equal(answer.status, 503);
  const result = `${link.path}/a/${fields.attempt}`;
  assert.ok(answer.text.includes(`href="${result}"`));
  await waitFor(async () => (await submits(link)).length === 1, { what: 'the submission, accepted after all' });
  assert.equal(stateOf(await stack.page(result)), 'received');
});

test('many waiters of one attempt are woken together, those that left are not missed', async () => {
  const attempt = newAttempt(newLink());
  await attempt.write('received');
  const { hostname, port } = new URL(stack.url);
  const leavers = await together(50, () => new Promise((resolve) => {
    const socket = net.connect({ host: hostname, port: Number(port) }, () => socket.write(`GET ${attempt.path} HTTP/1.1\r\nHost: x\r\n\r\n`, () => resolve(socket)));
  }));
  const waiters = together(50, () => stack.page(attempt.path));
  await pause(300);
  for (const socket of leavers) socket.destroy();
  await attempt.write('captured');
  await attempt.say('captured');
  for (const page of await waiters) assert.equal(stateOf(page), 'captured');
});

test('a page of some MiB reaches a slow reader whole, also one that waited', async () => {
  const link = newLink();
  const attempt = newAttempt(link);
  const merchant = `${'M'.repeat(1 << 20)}END`;
  await link.write({ merchant });
  await attempt.write('captured', { merchant });
  const { hostname, port } = new URL(stack.url);
  for (const where of [link.path, attempt.path]) {
    const received = await new Promise((resolve, reject) => {
      let bytes = 0;
      const socket = net.connect({ host: hostname, port: Number(port) }, () => socket.write(`GET ${where} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`));
      socket.on('data', (chunk) => {
        bytes += chunk.length;
        if (bytes < 1_000_000) {
          socket.pause();
          setTimeout(() => socket.resume(), 5);
        }
      });
      socket.on('end', () => resolve(bytes));
      socket.on('error', reject);
      socket.setTimeout(20_000, () => socket.destroy(new Error(`stopped after ${bytes} bytes`)));
    });
    assert.ok(received > 1 << 20, `${received} bytes`);
  }
});
