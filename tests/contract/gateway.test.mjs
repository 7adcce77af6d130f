// The worker's own gateway client, in C, against the sandbox and against scripted replies. Its requests are held
// against Stripe's OpenAPI description; what its replies mean is checked case by case.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { API_VERSION, BUILD, EDGE, ROOT, Recorder, SECRET_KEY, SandboxProcess } from './sandbox.mjs';

const PROGRAM = path.join(ROOT, 'build/test/contract/gateway_client');
const MERCHANT = '0192f0c0-0000-7000-8000-000000000001';
const LINK = '00112233445566778899aabbccddeeff';

let sandbox;
let recorder;
let number = 0;

function buildClient() {
  fs.mkdirSync(path.dirname(PROGRAM), { recursive: true });
  const objects = ['base', 'core', 'gateway'].flatMap((dir) => fs.readdirSync(path.join(ROOT, 'worker', dir))
    .filter((name) => name.endsWith('.c')).map((name) => path.join(dir, name)))
    .concat(['io/http.c', 'io/json.c', 'io/loop.c', 'io/multi.c'])
    .map((name) => path.join(BUILD, 'obj/worker', name.replace(/c$/, 'o')));
  const libraries = execFileSync('pkg-config', ['--libs', 'jansson', 'libcurl', 'libevent', 'libcrypto', 'inih'], { encoding: 'utf8' }).trim().split(/\s+/);
  const fresh = `${PROGRAM}.${process.pid}`;
  execFileSync('gcc', ['-std=gnu11', '-D_GNU_SOURCE', '-O1', '-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-Wall', '-Wextra', '-Werror',
    '-o', fresh, path.join(ROOT, 'tests/contract/gateway_client.c'), ...objects, ...libraries], { stdio: ['ignore', 'inherit', 'pipe'] });
  fs.renameSync(fresh, PROGRAM);
}

before(async () => {
  buildClient();
  sandbox = await SandboxProcess.start();
  recorder = await Recorder.start(sandbox.url);
});

after(async () => {
  await recorder?.stop();
  await sandbox?.stop();
});

afterEach(() => { recorder.reply = null; });

// Runs the calls in one process; -> { results (by call, one or many), log }.
async function run(calls, { url = recorder.url, timeoutMs = 5000, connections = 8, stop } = {}) {
  const child = spawn(PROGRAM, [url, path.join(sandbox.dir, 'key'), String(timeoutMs), String(connections)]);
  let out = '';
  let log = '';
  child.stdout.on('data', (chunk) => { out += chunk; });
  child.stderr.on('data', (chunk) => { log += chunk; });
  child.stdin.end(calls.map((call) => `${JSON.stringify(call)}\n`).join(''));
  if (stop) setTimeout(() => child.kill('SIGTERM'), stop);
  const status = await new Promise((resolve) => { child.on('close', resolve); });
  assert.equal(status, 0, log);
  assert.ok(!log.includes(SECRET_KEY));
  const lines = out.split('\n').filter(Boolean).map((line) => JSON.parse(line));
  return { log, lines, results: calls.map((_, n) => lines.filter((line) => line.n === n)) };
}

const attemptId = () => `0192f0c0-0000-7000-8000-${String(number += 1).padStart(12, '0')}`;
const charge = (fields = {}) => ({
  call: 'charge', attempt: attemptId(), link: LINK, merchant: MERCHANT, payment_method: 'pm_card_visa', amount_minor: 12345, currency: 'USD',
  description: 'Invoice INV-1', receipt_number: 'INV-1', return_url: `${EDGE}/p/x/a/y`, ...fields,
});
async function one(call, options) {
  const { results, log } = await run([call], options);
  assert.equal(results[0].length, 1, 'exactly one callback');
  return { ...results[0][0], log };
}

describe('against the sandbox', () => {
  it('charges, and tells what was captured', async () => {
    const call = charge();
    const result = await one(call);
    assert.equal(result.outcome, 'succeeded');
    assert.deepEqual([result.amount_minor, result.currency, result.card_brand, result.card_last4, result.attempt], [12345, 'USD', 'visa', '4242', call.attempt]);
    assert.match(result.id, /^pi_/);
    assert.match(result.charge, /^ch_/);
    assert.ok(Math.abs(result.created_ms - Date.now()) < 60_000);
    const [line] = sandbox.lines().filter((l) => l.payment_intent === result.id);
    assert.deepEqual(line.metadata, { attempt: call.attempt, link: LINK, merchant: MERCHANT, invoices: 'INV-1' });
    assert.equal(line.reply.key, call.attempt);
    const sent = recorder.exchanges.at(-1);
    assert.equal(sent.headers['stripe-version'], API_VERSION);
    assert.equal(sent.headers.authorization, `Bearer ${SECRET_KEY}`);
    assert.deepEqual({ ...await one(call), log: '' }, { ...result, log: '' }, 'the same attempt again is the same payment');
  });

  it('declines with the word that the payer is told', async () => {
    for (const [method, reason] of [
      ['pm_card_chargeDeclined', 'card_declined'], ['pm_card_chargeDeclinedInsufficientFunds', 'insufficient_funds'],
      ['pm_card_chargeDeclinedLostCard', 'card_declined'], ['pm_card_chargeDeclinedStolenCard', 'card_declined'],
      ['pm_card_chargeDeclinedFraudulent', 'card_declined'], ['pm_card_chargeDeclinedExpiredCard', 'expired_card'],
      ['pm_card_chargeDeclinedIncorrectCvc', 'incorrect_cvc'], ['pm_card_chargeDeclinedProcessingError', 'processing_error'],
    ]) {
      const result = await one(charge({ payment_method: method }));
      assert.deepEqual([result.outcome, result.reason, result.card_brand, result.amount_minor], ['declined', reason, 'visa', 12345], method);
      assert.match(result.id, /^pi_/);
    }
  });

  it('sends the payer to the bank, asks afterwards, cancels what was left', async () => {
    const method = 'pm_card_threeDSecure2Required';
    const begun = await one(charge({ payment_method: method }));
    assert.equal(begun.outcome, 'action_required');
    assert.match(begun.action_url, /\/authenticate\/pi_/);
    assert.equal((await one({ call: 'retrieve', id: begun.id })).outcome, 'action_required');
    await fetch(begun.action_url, { method: 'POST', body: new URLSearchParams({ decision: 'complete' }), redirect: 'manual' });
    const done = await one({ call: 'retrieve', id: begun.id });
    assert.deepEqual([done.outcome, done.amount_minor, done.card_last4], ['succeeded', 12345, '3220']);
    assert.equal((await one({ call: 'cancel', id: begun.id })).outcome, 'succeeded', 'too late to cancel: it is booked');

    const failed = await one(charge({ payment_method: method }));
    await fetch(failed.action_url, { method: 'POST', body: new URLSearchParams({ decision: 'fail' }), redirect: 'manual' });
    const after3ds = await one({ call: 'retrieve', id: failed.id });
    assert.deepEqual([after3ds.outcome, after3ds.reason], ['declined', 'authentication_failed']);

    const left = await one(charge({ payment_method: method }));
    const canceled = await one({ call: 'cancel', id: left.id });
    assert.deepEqual([canceled.outcome, canceled.reason], ['canceled', 'abandoned']);
    assert.equal((await one({ call: 'cancel', id: left.id })).outcome, 'canceled');
    assert.equal((await one({ call: 'retrieve', id: left.id })).outcome, 'canceled');
  });

  it('refunds with the caller\'s key, once', async () => {
    const { id } = await one(charge({ amount_minor: 1000 }));
    const call = { call: 'refund', id, amount_minor: 400, currency: 'USD', key: `r-${id}` };
    const first = await one(call);
    assert.deepEqual([first.outcome, first.amount_minor, first.currency, first.attempt], ['succeeded', 400, 'USD', `r-${id}`]);
    assert.equal((await one(call)).id, first.id);
    const tooMuch = await one({ ...call, amount_minor: 601, key: `r2-${id}` });
    assert.deepEqual([tooMuch.outcome, tooMuch.reason], ['declined', 'invalid_request']);
    assert.match(tooMuch.log, /error .*refuses a refund as invalid: status 400/);
    assert.equal((await one({ ...call, amount_minor: 600, key: `r3-${id}` })).outcome, 'succeeded');
    assert.equal((await one({ ...call, amount_minor: 1, key: `r4-${id}` })).reason, 'charge_already_refunded');
    const pending = await one(charge({ payment_method: 'pm_card_pendingRefund' }));
    assert.equal((await one({ call: 'refund', id: pending.id, amount_minor: 100, currency: 'USD', key: `r5-${id}` })).outcome, 'processing');
    await sandbox.fault({ kind: 'decline', on: 'refunds', count: 1 });
    const other = await one(charge());
    const failed = await one({ call: 'refund', id: other.id, amount_minor: 100, currency: 'USD', key: `r6-${id}` });
    assert.deepEqual([failed.outcome, failed.reason], ['declined', 'expired_or_canceled_card']);
    await sandbox.fault(null);
    assert.equal((await one({ ...call, id: 'pi_none', key: `r7-${id}` })).outcome, 'declined');
  });

  it('counts money as Stripe does, exactly, and refuses what cannot be said there', async () => {
    for (const [currency, minor, wire] of [['JPY', 5000, 5000], ['EUR', 5001, 5001], ['KWD', 12340, 12340], ['ISK', 500, 50000], ['UGX', 3000, 300000], ['MGA', 500, 5]]) {
      const result = await one(charge({ currency, amount_minor: minor }));
      assert.deepEqual([result.outcome, result.amount_minor, result.currency], ['succeeded', minor, currency], currency);
      assert.equal(new URLSearchParams(recorder.exchanges.at(-1).body).get('amount'), String(wire));
      const refund = await one({ call: 'refund', id: result.id, amount_minor: minor, currency, key: `m-${result.id}` });
      assert.deepEqual([refund.outcome, refund.amount_minor], ['succeeded', minor], currency);
    }
    const sent = recorder.exchanges.length;
    for (const wrong of [{ currency: 'KWD', amount_minor: 12341 }, { currency: 'MGA', amount_minor: 501 }, { currency: 'XXQ' }, { currency: 'usd' }, { currency: '' }]) {
      const result = await one(charge(wrong));
      assert.deepEqual([result.outcome, result.reason], ['declined', 'invalid_request'], JSON.stringify(wrong));
    }
    assert.equal(recorder.exchanges.length, sent, 'nothing was sent');
    assert.equal((await one(charge({ amount_minor: 1 }))).outcome, 'declined', 'below the gateway\'s minimum');
  });

  it('long and odd texts arrive cut at whole characters', async () => {
    const result = await one(charge({ description: '€'.repeat(600), receipt_number: 'Ä&=+%'.repeat(200), link: '' }));
    assert.equal(result.outcome, 'succeeded');
    const form = new URLSearchParams(recorder.exchanges.at(-1).body);
    assert.equal(form.get('description'), '€'.repeat(333));
    assert.ok(form.get('metadata[invoices]').startsWith('Ä&=+%Ä&=+%'));
    assert.equal(form.get('metadata[link]'), null);
  });

  it('lists everything since a time, page by page', async () => {
    const own = await SandboxProcess.start();
    const front = await Recorder.start(own.url);
    const calls = Array.from({ length: 250 }, () => charge());
    const made = (await run(calls, { url: own.url, connections: 32 })).results.map(([result]) => result);
    assert.ok(made.every(({ outcome }) => outcome === 'succeeded'));
    await run(made.slice(0, 120).map(({ id }, i) => ({ call: 'refund', id, amount_minor: 10 + i, currency: 'USD', key: `l-${i}` })), { url: own.url });
    const { results: [intents, refunds, later] } = await run([{ call: 'list', since_ms: 0 }, { call: 'list_refunds', since_ms: 0 },
      { call: 'list', since_ms: Date.now() + 3_600_000 }], { url: front.url });
    assert.deepEqual(intents.at(-1), { n: 0, complete: true, results: 250 });
    assert.deepEqual(new Set(intents.slice(0, -1).map(({ attempt }) => attempt)), new Set(calls.map(({ attempt }) => attempt)));
    assert.ok(intents.slice(0, -1).every((r) => r.outcome === 'succeeded' && r.amount_minor === 12345 && r.card_last4 === '4242'));
    assert.deepEqual(refunds.at(-1), { n: 1, complete: true, results: 120 });
    assert.deepEqual(refunds.slice(0, -1).map(({ attempt }) => attempt), Array.from({ length: 120 }, (_, i) => `l-${i}`).sort((a, b) =>
      refunds.findIndex((r) => r.attempt === a) - refunds.findIndex((r) => r.attempt === b)));
    assert.deepEqual(later, [{ n: 2, complete: true, results: 0 }]);
    assert.equal(front.exchanges.length, 3 + 2 + 1);
    front.judge();
    await front.stop();
    await own.stop();
  });

  it('asks for what does not exist', async () => {
    assert.equal((await one({ call: 'retrieve', id: 'pi_none' })).outcome, 'absent');
    assert.equal((await one({ call: 'cancel', id: 'pi_none' })).outcome, 'absent');
    assert.equal((await one({ call: 'retrieve', id: '../../sandbox/log?' })).outcome, 'absent');
    const unknown = await one(charge({ payment_method: 'pm_none' }));
    assert.deepEqual([unknown.outcome, unknown.reason], ['declined', 'invalid_request']);
  });

  it('every request that it made is as Stripe describes it, and so is every reply', () => {
    assert.ok(recorder.judge() > 40);
  });
});

describe('what a reply means', () => {
  const json = (status, value, headers) => () => ({ status, headers, body: typeof value === 'string' ? value : JSON.stringify(value) });
  const error = (fields) => ({ error: { type: 'invalid_request_error', message: 'no', ...fields } });
  const refund = () => ({ call: 'refund', id: 'pi_1', amount_minor: 5, currency: 'USD', key: `x-${number += 1}` });
  const kinds = { charge, refund, retrieve: () => ({ call: 'retrieve', id: 'pi_1' }), cancel: () => ({ call: 'cancel', id: 'pi_1' }) };
  const intent = { id: 'pi_1', object: 'payment_intent', status: 'succeeded', amount: 100, amount_received: 100, currency: 'usd', metadata: {} };

  for (const [title, reply, outcomes] of [
    ['429', json(429, error({ code: 'rate_limit' })), { charge: 'retry', refund: 'retry', cancel: 'retry', retrieve: 'unknown' }],
    ['409', json(409, error({ code: 'lock_timeout' })), { charge: 'retry', refund: 'retry', cancel: 'retry', retrieve: 'unknown' }],
    ['401', json(401, error({})), { charge: 'retry', refund: 'retry', cancel: 'retry', retrieve: 'unknown' }],
    ['403', json(403, error({})), { charge: 'retry', refund: 'retry', cancel: 'retry', retrieve: 'unknown' }],
    ['400', json(400, error({ param: 'amount' })), { charge: 'declined', refund: 'declined', cancel: 'unknown', retrieve: 'unknown' }],
    ['404', json(404, error({ code: 'resource_missing' })), { charge: 'declined', refund: 'declined', cancel: 'absent', retrieve: 'absent' }],
    ['400 for another use of the key', json(400, error({ type: 'idempotency_error' })), { charge: 'unknown', refund: 'unknown', cancel: 'unknown' }],
    ['402', json(402, error({ type: 'card_error', code: 'card_declined' })), { charge: 'declined', refund: 'declined', retrieve: 'unknown' }],
    ['402 without an error object', json(402, '{}'), { charge: 'unknown', refund: 'unknown' }],
    ['400 that is no JSON', json(400, '<html>'), { charge: 'unknown', refund: 'unknown', retrieve: 'unknown' }],
    ['404 of a proxy', json(404, '<html>'), { charge: 'unknown', refund: 'unknown', retrieve: 'unknown', cancel: 'unknown' }],
    ['500', json(500, error({ type: 'api_error' })), { charge: 'unknown', refund: 'unknown', cancel: 'unknown', retrieve: 'unknown' }],
    ['503 of a proxy', json(503, 'busy'), { charge: 'unknown', refund: 'unknown', cancel: 'unknown', retrieve: 'unknown' }],
    ['a redirect', json(302, '', { location: 'http://127.0.0.1:1/' }), { charge: 'unknown', refund: 'unknown', retrieve: 'unknown' }],
    ['200 with nothing', json(200, ''), { charge: 'unknown', refund: 'unknown', cancel: 'unknown', retrieve: 'unknown' }],
    ['200 with half an object', json(200, '{"id":"pi_1","object":"payment_in'), { charge: 'unknown', refund: 'unknown', retrieve: 'unknown' }],
    ['200 with another object', json(200, { id: 'cus_1', object: 'customer', status: 'succeeded' }), { charge: 'unknown', refund: 'unknown', retrieve: 'unknown' }],
    ['200 with a status of the future', json(200, { ...intent, status: 'levitating' }), { charge: 'unknown', retrieve: 'unknown' }],
    ['200 with an amount that is no integer', json(200, { ...intent, amount_received: 1.5 }), { charge: 'unknown', retrieve: 'unknown' }],
    ['200 with a currency that we do not know', json(200, { ...intent, currency: 'zzz' }), { charge: 'unknown', retrieve: 'unknown' }],
    ['processing', json(200, { ...intent, status: 'processing' }), { charge: 'processing', retrieve: 'processing', cancel: 'processing' }],
    ['no reply', () => 'drop', { charge: 'unknown', refund: 'unknown', cancel: 'unknown', retrieve: 'unknown' }],
    ['silence', () => 'hang', { charge: 'unknown', refund: 'unknown', cancel: 'unknown', retrieve: 'unknown' }],
  ]) {
    it(title, async () => {
      recorder.reply = reply;
      const names = Object.keys(outcomes);
      const { results } = await run(names.map((name) => kinds[name]()), { timeoutMs: title === 'silence' ? 300 : 5000 });
      assert.deepEqual(Object.fromEntries(names.map((name, i) => [name, results[i].map(({ outcome }) => outcome).join()])), outcomes);
    });
  }

  it('nobody listens: certainly nothing happened', async () => {
    const names = ['charge', 'refund', 'cancel', 'retrieve'];
    const { results } = await run(names.map((name) => kinds[name]()), { url: 'http://127.0.0.1:1' });
    assert.deepEqual(results.map(([{ outcome }]) => outcome), ['retry', 'retry', 'retry', 'unknown']);
  });

  it('how long to wait is passed on, and a wrong key is an alert', async () => {
    recorder.reply = json(429, error({}), { 'retry-after': '7' });
    assert.equal((await one(charge())).retry_after_ms, 7000);
    recorder.reply = json(401, error({}));
    const result = await one(charge());
    assert.ok(result.retry_after_ms >= 1000);
    assert.match(result.log, / error .*refuses our key/);
  });

  it('what the gateway says is not believed beyond its place: no body in the log', async () => {
    recorder.reply = json(400, error({ message: 'pm_secret_looking_thing', param: 'payment_method' }));
    assert.doesNotMatch((await one(charge())).log, /pm_secret_looking_thing/);
  });

  it('a list that breaks off says so', async () => {
    const page = json(200, { object: 'list', has_more: true, url: '/v1/payment_intents', data: [intent] });
    recorder.reply = (request, n) => (request.url.includes('starting_after') ? { status: 500, body: '' } : page(request, n));
    const { results: [lines] } = await run([{ call: 'list', since_ms: 0 }]);
    assert.deepEqual(lines.at(-1), { n: 0, complete: false, results: 1 });
    for (const reply of [json(200, '{}'), json(200, 'x'), json(401, error({})), () => 'drop']) {
      recorder.reply = reply;
      const { results: [[end]] } = await run([{ call: 'list', since_ms: 0 }]);
      assert.deepEqual(end, { n: 0, complete: false, results: 0 });
    }
  });

  it('objects in a list that cannot be read are left out and logged', async () => {
    recorder.reply = json(200, { object: 'list', has_more: false, url: '/v1/payment_intents', data: [intent, { id: 'pi_2', object: 'x' }, 7, null] });
    const { results: [lines], log } = await run([{ call: 'list', since_ms: 0 }]);
    assert.deepEqual(lines.at(-1), { n: 0, complete: true, results: 1 });
    assert.match(log, /could not be read/);
  });

  it('a stop while calls are running gives each its callback', async () => {
    recorder.reply = () => 'hang';
    const calls = Array.from({ length: 6 }, () => charge()).concat({ call: 'list', since_ms: 0 });
    const { results } = await run(calls, { connections: 3, timeoutMs: 60_000, stop: 500 });
    const outcomes = results.slice(0, 6).map((lines) => lines.map(({ outcome }) => outcome).join());
    assert.deepEqual(outcomes.toSorted?.() ?? [...outcomes].sort(), ['retry', 'retry', 'retry', 'unknown', 'unknown', 'unknown']);
    assert.equal(results[6].at(-1).complete, false);
  });
});
