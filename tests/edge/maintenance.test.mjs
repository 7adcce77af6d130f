// The edge closed for a while by its operator.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { startStack, waitFor } from '../harness/index.mjs';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'paylink-closed-'));
const closed = path.join(folder, 'closed');

let stack;
before(async () => {
  fs.chmodSync(folder, 0o755);
  stack = await startStack({ nginx: [`paylink_maintenance ${closed};`] });
});
after(async () => {
  await stack.stop();
  fs.rmSync(folder, { recursive: true });
});

const answers = (url, status) => waitFor(async () => (await stack.page(url)).status === status, { what: `status ${status}` });

test('while its file exists, every page says so and no submit is taken', async () => {
  const { link } = await stack.scene();
  await answers(link.url, 200);
  const payer = stack.payer(link);
  await payer.view();
  const method = await payer.token();
  fs.writeFileSync(closed, '');
  await answers(link.url, 503);
  const page = await stack.page(link.url);
  assert.match(page.text, /data-state="maintenance"/);
  assert.equal(page.headers['retry-after'], '60');
  assert.equal(page.headers['cache-control'], 'no-store, private');
  const redis = await stack.redis();
  const before = await redis.commandCounts();
  for (const where of [`${link.url}/events`, '/p/x', '/nowhere']) assert.equal((await stack.page(where)).text, page.text, where);
  const refused = await payer.submit({ payment_method: method });
  assert.deepEqual([refused.status, refused.text], [503, page.text]);
  const now = await redis.commandCounts();
  for (const command of ['hmget', 'fcall', 'xadd']) assert.equal(now[command] ?? 0, before[command] ?? 0, command);
  assert.equal((await stack.page('/healthz')).status, 200);
  const sheet = /href="(\/static\/[^"]+\.css)"/.exec(page.text)[1];
  assert.equal((await stack.page(sheet)).status, 200);
  fs.rmSync(closed);
  await answers(link.url, 200);
  assert.equal((await payer.result(await payer.submit({ payment_method: method }))).state, 'captured');
});
