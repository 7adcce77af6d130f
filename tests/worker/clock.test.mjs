// 24 hours really pass: the wall clock of every process of a private stack is moved.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startStack, tally, together, waitFor } from '../harness/index.mjs';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

let stack;
before(async () => { stack = await startStack({ shim: true }); });
after(() => stack.stop());

const state = (page) => /data-state="([a-z_]+)"/.exec(page.text)?.[1];
const show = (link) => stack.cli('link', 'show', link.id);
const opened = (link) => waitFor(async () => (await show(link)).opened_at && show(link), { what: 'the opening in the books' });

// The redis field itself says when a link was opened, by Redis' own clock.
async function openedMs(link) {
  const redis = await stack.redis();
  const shard = (Number.parseInt(link.id.slice(0, 2), 16) % 16).toString(16).padStart(2, '0');
  return Number((await redis.hash(`paylink:{${shard}}:link:${link.id}`)).opened_ms || 0);
}

// Sets the clock of the stack to `ms` after the opening of the link.
async function setAfterOpening(link, ms) {
  stack.setTime(await openedMs(link) + ms - Date.now());
}

test('payable at 23:59:59 after opening, expired at 24:00:01, and paid at the last second', async () => {
  stack.setTime(0);
  const scene = await stack.scene();
  const late = await stack.scene();
  for (const { link } of [scene, late]) {
    await stack.page(link.url);
    assert.equal((await stack.payer(link).open()).status, 204);
  }
  const shown = await opened(scene.link);
  assert.equal(Date.parse(shown.expires_at) - Date.parse(shown.opened_at), DAY_MS);

  await setAfterOpening(scene.link, DAY_MS - 1_000);
  const payer = stack.payer(scene.link);
  assert.equal(state(await payer.view()), 'active');
  const lastSecond = await payer.submit({ payment_method: 'pm_card_visa' });
  assert.equal(lastSecond.status, 303);
  assert.equal((await payer.result(lastSecond)).state, 'captured');

  await setAfterOpening(late.link, DAY_MS - 1_000);
  const latePayer = stack.payer(late.link);
  assert.equal(state(await latePayer.view()), 'active');
  await setAfterOpening(late.link, DAY_MS + 1_000);
  const page = await waitFor(async () => {
    const answer = await stack.page(late.link.url);
    return answer.status === 410 && answer;
  }, { what: 'the expired page' });
  assert.equal(state(page), 'expired');
  const submit = await latePayer.submit({ payment_method: 'pm_card_visa' });
  assert.equal(submit.status, 410);
  assert.equal(state(submit), 'expired');
  assert.equal((await show(late.link)).state, 'expired');
  assert.equal((await stack.sandbox.log()).filter((line) => line.metadata?.link === late.link.id).length, 0);
});

test('a link that nobody opened is payable after 100 days, and dies at its ceiling', async () => {
  stack.setTime(0);
  const scene = await stack.scene();
  await stack.page(scene.link.url);
  stack.setTime(100 * DAY_MS);
  const page = await stack.page(scene.link.url);
  assert.equal(state(page), 'active');
  assert.equal((await show(scene.link)).opened_at, null);
  stack.setTime(181 * DAY_MS);
  await waitFor(async () => state(await stack.page(scene.link.url)) === 'expired', { what: 'the ceiling' });
  stack.setTime(0);
});

test('1,000 requests as scanners make them start no clock', async () => {
  stack.setTime(0);
  const { link } = await stack.scene();
  const kinds = [
    ['GET', {}], ['HEAD', {}], ['GET', { purpose: 'prefetch' }], ['GET', { 'sec-purpose': 'prefetch;prerender' }],
    ['GET', { 'user-agent': 'Mozilla/5.0 (compatible; SafeLinks)' }], ['GET', { 'x-moz': 'prefetch' }],
    ['GET', { range: 'bytes=0-100' }], ['OPTIONS', {}],
  ];
  const { request } = await import('../harness/index.mjs');
  for (let round = 0; round < 10; round++) {
    const answers = await together(100, (i) => {
      const [method, headers] = kinds[i % kinds.length];
      return request(method, link.url, { headers });
    });
    assert.deepEqual(Object.keys(tally(answers.map((answer) => answer.status))).filter((s) => !['200', '405'].includes(s)), []);
  }
  assert.equal(await openedMs(link), 0);
  assert.equal((await show(link)).opened_at, null);
});

test('1,000 concurrent openings record exactly one time', async () => {
  stack.setTime(0);
  const { link } = await stack.scene();
  const payer = stack.payer(link);
  await payer.view();
  const answers = await together(1_000, () => payer.open());
  assert.deepEqual(tally(answers.map((answer) => answer.status)), { 204: 1_000 });
  const first = await openedMs(link);
  const shown = await opened(link);
  assert.equal(Date.parse(shown.opened_at), first);
  stack.setTime(2 * HOUR_MS);
  assert.equal((await payer.open()).status, 204);
  assert.equal(await openedMs(link), first);
  const redis = await stack.redis();
  const shard = (Number.parseInt(link.id.slice(0, 2), 16) % 16).toString(16).padStart(2, '0');
  await waitFor(async () => (await redis.entries(`paylink:{${shard}}:open`)).length === 0, { what: 'the opens to be taken' });
  assert.equal(Date.parse((await show(link)).opened_at), first);
  stack.setTime(0);
});

test('a flush extends nothing: the opening comes back from the books', async () => {
  stack.setTime(0);
  const { link } = await stack.scene();
  const payer = stack.payer(link);
  await payer.view();
  await payer.open();
  const before = await openedMs(link);
  await opened(link);
  const redis = await stack.redis();
  await redis.do('FLUSHALL');
  stack.setTime(3 * HOUR_MS);
  await waitFor(async () => state(await stack.page(link.url)) === 'active', { what: 'the link to come back' });
  assert.equal(await openedMs(link), before);
  await setAfterOpening(link, DAY_MS + 1_000);
  await redis.do('FLUSHALL');
  await waitFor(async () => state(await stack.page(link.url)) === 'expired', { what: 'the expired page after a flush' });
  stack.setTime(0);
});

test('paylink_open view: the first GET starts the clock, a HEAD does not', async () => {
  const literal = await startStack({ open: 'view' });
  try {
    const { link } = await literal.scene();
    const { request } = await import('../harness/index.mjs');
    await request('HEAD', link.url);
    assert.equal((await literal.cli('link', 'show', link.id)).opened_at, null);
    await literal.page(link.url);
    await waitFor(async () => (await literal.cli('link', 'show', link.id)).opened_at, { what: 'the opening by view' });
  } finally {
    await literal.stop();
  }
});
