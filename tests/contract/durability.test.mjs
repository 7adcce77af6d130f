// What was told is on disk: kill -9, torn lines, damage, a full or failing disk.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, it } from 'node:test';
import { BUILD, eventually, SandboxProcess } from './sandbox.mjs';

let sandbox;
let stripe;

beforeEach(async () => {
  sandbox = await SandboxProcess.start();
  stripe = sandbox.stripe();
});

afterEach(() => sandbox?.stop());

const charge = (fields = {}, key = undefined) => stripe.paymentIntents.create(
  { amount: 2000, currency: 'usd', payment_method: 'pm_card_visa', confirm: true, ...fields }, key && { idempotencyKey: key });

async function restart(options) {
  await sandbox.kill('SIGKILL');
  await sandbox.up(options);
}

it('everything is as it was after kill -9: objects, events, keys', async () => {
  const method = await stripe.paymentMethods.create({ type: 'card', card: { number: '5555555555554444', exp_month: 2, exp_year: 2041, cvc: '123' }, billing_details: { name: 'Zoë "Q"' } });
  const intents = [
    await charge({ metadata: { attempt: 'd-1', odd: 'ä"\\\u0001 \n' }, description: 'x', expand: ['latest_charge'] }, 'dur-1'),
    await stripe.paymentIntents.create({ amount: 100, currency: 'eur' }),
    await stripe.paymentIntents.create({ amount: 100, currency: 'eur', payment_method: method.id }),
    await charge({ payment_method: 'pm_card_threeDSecure2Required', return_url: 'http://127.0.0.1:18080/back' }),
    await stripe.paymentIntents.cancel((await stripe.paymentIntents.create({ amount: 100, currency: 'eur' })).id, { cancellation_reason: 'duplicate' }),
  ];
  const declined = await charge({ payment_method: 'pm_card_chargeDeclinedInsufficientFunds' }, 'dur-2').catch((error) => error);
  const retried = await stripe.paymentIntents.confirm(declined.payment_intent.id, { payment_method: 'pm_card_visa' });
  const refund = await stripe.refunds.create({ payment_intent: intents[0].id, amount: 1200, metadata: { refund: 'r' }, reason: 'duplicate' });
  const refused = await stripe.refunds.create({ payment_intent: intents[0].id, amount: 1200 }, { idempotencyKey: 'dur-3' }).catch((error) => error);
  const authentication = await stripe.paymentIntents.create({ amount: 300, currency: 'usd', payment_method: 'pm_card_threeDSecure2Required', confirm: true, return_url: 'http://127.0.0.1:18080/' });
  await fetch(authentication.next_action.redirect_to_url.url, { method: 'POST', body: new URLSearchParams({ decision: 'fail' }), redirect: 'manual' });

  const everything = async () => JSON.stringify({
    intents: await stripe.paymentIntents.list({ limit: 100, expand: ['data.latest_charge', 'data.payment_method'] }),
    refunds: await stripe.refunds.list({ limit: 100 }),
    events: await stripe.events.list({ limit: 100 }),
    method: await stripe.paymentMethods.retrieve(method.id),
    charges: await Promise.all([declined.charge, retried.latest_charge].map((id) => stripe.charges.retrieve(id))),
    health: await (await fetch(`${sandbox.url}/sandbox/health`)).json(),
  });
  const before = await everything();
  await restart();
  assert.equal(await everything(), before);
  assert.deepEqual(await charge({ metadata: { attempt: 'd-1', odd: 'ä"\\\u0001 \n' }, description: 'x', expand: ['latest_charge'] }, 'dur-1'), intents[0]);
  const again = await charge({ payment_method: 'pm_card_chargeDeclinedInsufficientFunds' }, 'dur-2').catch((error) => error);
  assert.deepEqual([again.raw.payment_intent, again.headers['idempotent-replayed']], [declined.raw.payment_intent, 'true']);
  const refusedAgain = await stripe.refunds.create({ payment_intent: intents[0].id, amount: 1200 }, { idempotencyKey: 'dur-3' }).catch((error) => error);
  assert.equal(refusedAgain.message, refused.message);
  assert.equal((await stripe.refunds.create({ payment_intent: intents[0].id })).amount, 800);
  assert.equal((await stripe.refunds.retrieve(refund.id)).amount, 1200);
});

it('kill -9 under load loses nothing that was told and invents nothing', async () => {
  const told = new Map();
  let stopped = false;
  const payer = async (name) => {
    for (let i = 0; !stopped; i += 1) {
      const key = `${name}-${i}`;
      try {
        told.set(key, await charge({ metadata: { attempt: key } }, key));
      } catch { return; }
    }
  };
  const payers = Array.from({ length: 16 }, (_, i) => payer(`p${i}`));
  await eventually(() => told.size > 20, 'some charges');
  await sandbox.kill('SIGKILL');
  stopped = true;
  await Promise.all(payers);
  await sandbox.up();
  const lines = sandbox.lines().filter((line) => line.type === 'charge');
  const logged = new Map(lines.map((line) => [line.metadata.attempt, line]));
  assert.equal(logged.size, lines.length, 'one capture per attempt');
  for (const [key, intent] of told) {
    assert.equal(logged.get(key)?.payment_intent, intent.id);
    assert.deepEqual(await charge({ metadata: { attempt: key } }, key), intent);
  }
});

it('between writing and telling: the charge is there and is told to the next who asks', async () => {
  await restart({ env: { PAYLINK_FAILPOINT: 'sandbox.after_sync=kill' } });
  await assert.rejects(charge({ metadata: { attempt: 'f-1' } }, 'fail-1'));
  await sandbox.ended;
  await sandbox.up();
  const intent = await charge({ metadata: { attempt: 'f-1' } }, 'fail-1');
  assert.equal(intent.status, 'succeeded');
  assert.equal(sandbox.lines().filter((line) => line.type === 'charge').length, 1);
});

it('before writing: nothing happened', async () => {
  await restart({ env: { PAYLINK_FAILPOINT: 'sandbox.before_sync=kill' } });
  await assert.rejects(charge({ metadata: { attempt: 'f-2' } }, 'fail-2'));
  await sandbox.ended;
  await sandbox.up();
  assert.equal(sandbox.lines().filter((line) => line.type === 'charge').length, 0);
});

it('a torn last line is cut off and reported', async () => {
  const { id } = await charge();
  const whole = fs.readFileSync(sandbox.logFile);
  for (const tail of ['{"seq":3,"at_ms":17', '\0\0\0\0', '{"seq":3,"at_ms":1,"type":"charge"}\n', '\n']) {
    await sandbox.kill('SIGKILL');
    fs.writeFileSync(sandbox.logFile, Buffer.concat([whole, Buffer.from(tail)]));
    sandbox.stderr = '';
    await sandbox.up();
    assert.match(sandbox.stderr, new RegExp(`cut off ${Buffer.byteLength(tail)} bytes of a torn last line \\(line 3\\)`), JSON.stringify(tail));
    assert.equal((await stripe.paymentIntents.retrieve(id)).status, 'succeeded');
    assert.deepEqual(fs.readFileSync(sandbox.logFile), whole);
  }
  await charge();
  await restart();
  assert.equal((await stripe.paymentIntents.list()).data.length, 2);
});

// The status and the last words of a sandbox that does not start.
function failedStart() {
  const { status, stderr } = spawnSync(path.join(BUILD, 'paylink'), ['--config', sandbox.config, 'sandbox'], { encoding: 'utf8', timeout: 20_000 });
  return { status, stderr };
}

it('damage elsewhere stops the start and names the line', async () => {
  await charge();
  await charge();
  await sandbox.kill('SIGKILL');
  const whole = fs.readFileSync(sandbox.logFile, 'utf8');
  const lines = whole.split('\n');
  for (const broken of ['{"seq":2}', 'x', '', lines[1].replace('"amount":2000', '"amount":"2000"'), lines[2]]) {
    fs.writeFileSync(sandbox.logFile, [lines[0], broken, ...lines.slice(2)].join('\n'));
    const { status, stderr } = failedStart();
    assert.notEqual(status, 0);
    assert.match(stderr, /charges\.log, line 2: /, broken);
    assert.doesNotMatch(stderr, /Sanitizer/);
  }
  fs.writeFileSync(sandbox.logFile, whole);
  await sandbox.up();
});

it('a key is kept for 24 hours and no longer', async () => {
  const first = await charge({}, 'old-key');
  const shift = async (hours) => {
    await sandbox.kill('SIGKILL');
    const text = fs.readFileSync(sandbox.logFile, 'utf8');
    fs.writeFileSync(sandbox.logFile, text.replace(/"at_ms":(\d+)/g, (_, ms) => `"at_ms":${Math.max(0, Number(ms) - hours * 3_600_000)}`));
    await sandbox.up();
  };
  await shift(23);
  assert.equal((await charge({}, 'old-key')).id, first.id);
  await shift(2);
  const second = await charge({}, 'old-key');
  assert.notEqual(second.id, first.id);
  assert.equal((await charge({}, 'old-key')).id, second.id);
  await restart();
  assert.equal((await charge({}, 'old-key')).id, second.id);
});

it('a folder and a port belong to one sandbox', async () => {
  assert.match(failedStart().stderr, /charges\.log belongs to another running sandbox/);
  const config = fs.readFileSync(sandbox.config, 'utf8');
  fs.writeFileSync(sandbox.config, config.replace(sandbox.data, `${sandbox.data}2`));
  const { status, stderr } = failedStart();
  assert.notEqual(status, 0);
  assert.match(stderr, /Address already in use/);
  fs.writeFileSync(sandbox.config, config);
});

it('a file that cannot be opened is a clear message', async () => {
  await sandbox.kill('SIGKILL');
  fs.rmSync(sandbox.logFile);
  fs.mkdirSync(sandbox.logFile);
  assert.match(failedStart().stderr, /charges\.log: Is a directory/);
  fs.rmdirSync(sandbox.logFile);
  await sandbox.up();
});

it('a disk that takes no more ends the sandbox before anything is told', async () => {
  const first = await charge({}, 'full-1');
  const size = fs.statSync(sandbox.logFile).size;
  // The next line fits in part only.
  execFileSync('prlimit', ['--pid', String(sandbox.child.pid), `--fsize=${size + 100}`]);
  await assert.rejects(charge({ metadata: { attempt: 'full' } }, 'full-2'));
  await sandbox.ended;
  assert.equal(fs.statSync(sandbox.logFile).size, size + 100);
  sandbox.stderr = '';
  await sandbox.up();
  assert.match(sandbox.stderr, /cut off 100 bytes of a torn last line/);
  assert.deepEqual((await stripe.paymentIntents.list()).data.map(({ id }) => id), [first.id]);
  assert.equal((await charge({ metadata: { attempt: 'full' } }, 'full-2')).status, 'succeeded');
});

it('a sync that fails ends the sandbox before anything is told', async () => {
  const first = await charge({}, 'eio-1');
  await restart({ front: ['strace', '-f', '-qq', '-e', 'trace=fdatasync', '-e', 'inject=fdatasync:error=EIO:when=2+'], env: { ASAN_OPTIONS: 'detect_leaks=0' } });
  await assert.rejects(charge({}, 'eio-2'));
  assert.equal((await sandbox.ended)[0], 1);
  assert.match(sandbox.stderr, /charges\.log: Input\/output error/);
  await sandbox.up();
  assert.equal((await charge({}, 'eio-1')).id, first.id);
});

it('no card number is in the log, on stderr or in memory of the file system', async () => {
  const number = '4000000000009995';
  const method = await stripe.paymentMethods.create({ type: 'card', card: { number, exp_month: 2, exp_year: 2041, cvc: '8372' } });
  await assert.rejects(charge({ payment_method: method.id }));
  const form = new URLSearchParams({ account: 'pk_test_1', return_url: 'http://127.0.0.1:18080/p/x', number, exp_month: '2', exp_year: '41', cvc: '8372' });
  assert.equal((await fetch(`${sandbox.url}/hosted`, { method: 'POST', body: form, redirect: 'manual' })).status, 303);
  const all = fs.readFileSync(sandbox.logFile, 'utf8') + sandbox.stderr;
  assert.doesNotMatch(all, /9995|8372/);
});
