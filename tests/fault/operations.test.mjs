// What operators do to a running edge, and what happens to it, while payers view and submit: no submit that
// was taken is lost, no view fails but for a connection that was cut.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { ROOT, startStack, tally, together, waitFor } from '../harness/index.mjs';

const PAYERS = 6;

let stack;
let master;
// nginx clears the environment of the binary that it is upgraded to, and the sanitizers' with it.
before(async () => {
  stack = await startStack({ build: path.join(ROOT, 'build'), nginxWorkers: 2 });
  master = stack.info.pids.nginx;
});
after(async () => {
  if (master !== stack.info.pids.nginx) {
    process.kill(master, 'SIGTERM');
    await waitFor(() => !alive(master), { what: 'the end of the upgraded nginx' });
  }
  await stack.stop();
});

function alive(pid) {
  try {
    return process.kill(pid, 0) && !/^\d+ \(.*\) [ZX]/.test(fs.readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}

function edgeWorkers() {
  return execFileSync('ps', ['-o', 'pid=,args=', '--ppid', String(master)]).toString().split('\n')
    .filter((line) => line.includes('worker process')).map((line) => Number.parseInt(line, 10));
}

// Views and submits go on around `act`; then every submit that was taken leads to its one capture.
async function underLoad(act, { mayCut = false } = {}) {
  const scenes = await together(PAYERS, () => stack.scene());
  await waitFor(async () => (await together(PAYERS, (i) => stack.page(scenes[i].link.url))).every((page) => page.status === 200), { what: 'the links' });
  const statuses = [];
  let cut = 0;
  let over = false;
  const headers = { connection: 'close' };
  const unlessCut = (error) => {
    if (!mayCut || !['ECONNRESET', 'EPIPE', 'ECONNREFUSED'].includes(error.code)) throw error;
    cut += 1;
  };
  const views = together(4, async (i) => {
    while (!over) await stack.page(scenes[i].link.url, { headers }).then((page) => statuses.push(page.status), unlessCut);
  });
  const acted = act(() => waitFor(() => statuses.length > 0, { what: 'views' })).finally(() => { over = true; });
  const taken = await together(PAYERS, async (i) => {
    const payer = stack.payer(scenes[i].link);
    // As a payer does whose connection was cut: presses the button again.
    return waitFor(async () => {
      try {
        payer.form ??= (await payer.view(), payer.form);
        return { payer, answer: await payer.submit({ payment_method: 'pm_card_visa' }, { headers }) };
      } catch (error) {
        if (!error.code) throw error;
        return false;
      }
    }, { what: 'an answer to the submit' });
  });
  await acted;
  await views;
  assert.deepEqual(Object.keys(tally(statuses)), ['200'], `${cut} cut`);
  for (const { payer, answer } of taken) assert.equal((await payer.result(answer, { timeout: 40_000 })).state, 'captured');
  const charges = (await stack.sandbox.log()).filter((line) => line.type === 'charge');
  for (const { link } of scenes) assert.equal(charges.filter((line) => line.metadata?.link === link.id).length, 1);
}

async function reload() {
  const old = edgeWorkers();
  process.kill(master, 'SIGHUP');
  await waitFor(() => edgeWorkers().length === 2 && edgeWorkers().every((pid) => !old.includes(pid)), { timeout: 30_000, what: 'the new nginx workers alone' });
}

test('nginx is reloaded', () => underLoad(async (loaded) => {
  await loaded();
  await reload();
  await reload();
}));

test('an nginx worker is killed', () => underLoad(async (loaded) => {
  await loaded();
  const [killed] = edgeWorkers();
  process.kill(killed, 'SIGKILL');
  await waitFor(() => edgeWorkers().length === 2 && !edgeWorkers().includes(killed), { what: 'another nginx worker' });
}, { mayCut: true }));

test('the paylink worker is killed', () => underLoad(async (loaded) => {
  await loaded();
  await stack.kill('worker');
  await stack.startService('worker');
}));

test('the key is rotated: links and forms of the old one still count', () => underLoad(async (loaded) => {
  await loaded();
  const { link } = await stack.scene();
  const before = stack.payer(link);
  await waitFor(async () => { await before.view(); return before.form; }, { what: 'a form signed by the old key' });
  const old = fs.readFileSync(stack.info.key_file, 'utf8');
  fs.writeFileSync(stack.info.key_file, `2 ${randomBytes(32).toString('hex')}\n${old}`);
  await reload();
  await stack.stopService('worker');
  await stack.startService('worker');
  const fresh = await stack.scene();
  assert.equal(Buffer.from(fresh.link.token, 'base64url')[0], 2);
  await waitFor(async () => (await stack.page(fresh.link.url)).status === 200, { what: 'the link of the new key' });
  assert.equal((await stack.payer(fresh.link).settle()).state, 'captured');
  assert.equal((await before.result(await before.submit({ payment_method: 'pm_card_visa' }))).state, 'captured');
}));

test('nginx is upgraded to another binary', () => underLoad(async (loaded) => {
  await loaded();
  const old = master;
  const file = path.join(stack.dir, 'nginx/nginx.pid');
  process.kill(old, 'SIGUSR2');
  master = await waitFor(() => {
    const pid = Number(fs.existsSync(file) && fs.readFileSync(file, 'utf8'));
    return pid && pid !== old && pid;
  }, { what: 'the new master' });
  await waitFor(() => edgeWorkers().length === 2, { what: 'its workers' });
  process.kill(old, 'SIGWINCH');
  process.kill(old, 'SIGQUIT');
  await waitFor(() => !alive(old), { timeout: 30_000, what: 'the end of the old master' });
}));
