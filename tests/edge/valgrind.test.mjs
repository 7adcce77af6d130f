// The release build under valgrind: one payment, bad input, a dead Redis and a clean end, without an
// error and without a lost byte.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { ROOT, startStack, waitFor } from '../harness/index.mjs';

const PATIENCE_MS = 120_000;

let stack;
const programs = [];
before(async () => {
  stack = await startStack({ build: path.join(ROOT, 'build'), set: { 'gateway.timeout_ms': '60000', 'worker.lease_ms': '90000', 'worker.claim_idle_ms': '90000' } });
  await stack.stopService('worker');
  await stack.stopService('nginx');
});
after(async () => {
  for (const { child } of programs) child.kill('SIGKILL');
  await stack.stop();
});

function underValgrind(name, command, args) {
  const log = path.join(stack.info.log_dir, `valgrind-${name}.log`);
  const child = spawn('valgrind', ['--quiet', '--leak-check=full', '--show-leak-kinds=definite', '--errors-for-leak-kinds=definite',
    `--suppressions=${path.join(ROOT, 'tests/edge/valgrind.supp')}`, '--error-exitcode=99', '--child-silent-after-fork=yes', `--log-file=${log}`, command, ...args], { stdio: 'ignore' });
  const program = { name, child, log, ended: new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal))) };
  programs.push(program);
  return program;
}

test('the module and the worker: no invalid access, no leak', { timeout: 8 * PATIENCE_MS }, async () => {
  const folder = path.join(stack.dir, 'nginx');
  const config = path.join(folder, 'valgrind.conf');
  fs.writeFileSync(config, `master_process off;\n${fs.readFileSync(path.join(folder, 'nginx.conf'), 'utf8')}`);
  const nginx = underValgrind('nginx', 'nginx', ['-p', folder, '-e', 'stderr', '-c', config]);
  const worker = underValgrind('worker', path.join(ROOT, 'build/paylink'), ['--config', stack.info.config, 'worker']);
  await waitFor(async () => (await stack.page('/healthz')).status === 200, { timeout: PATIENCE_MS, what: 'nginx under valgrind' });

  const scene = await stack.scene();
  const payer = stack.payer(scene.link);
  await waitFor(async () => (await payer.view()).status === 200, { timeout: PATIENCE_MS, what: 'the page' });
  await payer.open();
  await stack.page('/p/forged');
  await payer.submit({ payment_method: '4242424242424242' });
  await payer.submit({ payment_method: 'pm_card_visa', version: '9' });
  assert.equal((await payer.result(await payer.pay({ paymentMethod: 'pm_card_chargeDeclined' }), { timeout: PATIENCE_MS })).state, 'declined');
  assert.equal((await payer.result(await payer.pay(), { timeout: PATIENCE_MS })).state, 'captured');
  const redis = await stack.redis();
  await redis.do('FLUSHALL');
  await waitFor(async () => /data-state="paid"/.test((await stack.page(scene.link.url)).text), { timeout: PATIENCE_MS, what: 'the receipt after a flush' });
  await stack.stopService('redis');
  assert.equal((await stack.page(scene.link.url)).status, 503);

  worker.child.kill('SIGTERM');
  nginx.child.kill('SIGQUIT');
  for (const program of programs) {
    const status = await program.ended;
    assert.equal(status, 0, `${program.name}: ${status}\n${fs.readFileSync(program.log, 'utf8').slice(0, 4_000)}`);
    assert.equal(fs.readFileSync(program.log, 'utf8').trim(), '');
  }
});
