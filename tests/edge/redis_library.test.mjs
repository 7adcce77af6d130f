// The Redis function library and the two restricted users, against a real Redis with our configuration.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { ROOT, RedisError, startStack, tally, together, waitFor } from '../harness/index.mjs';

const DAY = 86_400_000;
let stack, admin, edge, worker;

before(async () => {
  stack = await startStack({ services: ['redis'], shim: true });
  [admin, edge, worker] = await Promise.all([stack.redis(), stack.redis({ user: 'edge' }), stack.redis({ user: 'worker' })]);
  await worker.do('FUNCTION', 'LOAD', 'REPLACE', fs.readFileSync(path.join(ROOT, 'config/redis/paylink.lua')));
});
after(() => stack?.stop());

// A link of its own for each test, with the calls that the edge and the worker make on it.
function makeLink() {
  const id = randomBytes(16);
  const hex = id.toString('hex');
  const shard = `paylink:{${(id[0] % 16).toString(16).padStart(2, '0')}}`;
  const key = `${shard}:link:${hex}`;
  const guard = `${shard}:guard:${hex}`;
  const attemptKey = (attempt) => `${shard}:attempt:${attempt}`;
  const flat = (fields) => Object.entries(fields).flat();
  return {
    hex, shard, key, guard, attemptKey, client: `${shard}:client:${hex}`,
    submits: `${shard}:submit`, opens: `${shard}:open`, wants: `${shard}:want`, renewals: `${shard}:renew`,
    publish: (fields = {}, { version = 1, ttl = 40 * DAY } = {}) =>
      worker.do('FCALL', 'paylink_publish', 1, key, hex, version, ttl,
        ...flat({ state: 'active', due_minor: 12500, currency: 'USD', lifetime_ms: DAY, ...fields })),
    open: (source = 'human', client = edge) => client.do('FCALL', 'paylink_open', 2, key, `${shard}:open`, hex, source),
    submit: (attempt, { version = 1, amount = 12500, token = 'pm_card_visa', chosen = '', declines = 0, cards = 0, client = edge, lang = 'fr' } = {}) =>
      client.do('FCALL', 'paylink_submit', 5, key, attemptKey(attempt), guard, `${shard}:submit`, `${shard}:open`,
        hex, attempt, version, amount, token, chosen, declines, cards, 'c1', lang),
    check: (attempt, { version = 1, amount = 12500, token = 'pm_card_visa', chosen = '', declines = 0, cards = 0 } = {}) =>
      edge.do('FCALL', 'paylink_check', 3, key, attemptKey(attempt), guard, hex, attempt, version, amount, token, chosen, declines, cards),
    renew: (lang = 'fr', client = edge) =>
      client.do('FCALL', 'paylink_renew', 3, key, `${shard}:renew`, `${shard}:renewed:${hex}`, hex, lang),
    want: (kind = 'link', of = '') =>
      edge.do('FCALL', 'paylink_want', 2, `${shard}:wanted:${of || hex}`, `${shard}:want`, kind, hex, of),
    text: (tag, words, version = 1) => worker.do('FCALL', 'paylink_text', 1, key, hex, version, tag, words),
    answer: (attempt, state, fields = {}, ttl = DAY) =>
      worker.do('FCALL', 'paylink_answer', 3, attemptKey(attempt), key, guard, attempt, hex, state, ttl, ...flat(fields)),
    ofLink: async (stream) => (await admin.entries(stream)).filter((entry) => entry.link === hex),
    hash: () => admin.hash(key),
  };
}
const newAttempt = () => randomBytes(16).toString('hex');
const redisMs = async () => {
  const [seconds, micros] = await admin.do('TIME');
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
};

describe('text', () => {
  test('is kept beside the version it belongs to, tells of itself, and goes with it', async () => {
    const link = makeLink();
    await link.publish();
    assert.deepEqual(await link.text('fr', 'un'), ['kept']);
    assert.deepEqual(await link.text('de', 'eins'), ['kept']);
    assert.deepEqual([(await link.hash())['text:fr'], (await link.hash())['text:de']], ['un', 'eins']);
    await link.publish({}, { version: 2 });
    assert.equal((await link.hash())['text:fr'], undefined);
    assert.deepEqual(await link.text('fr', 'un'), ['older']);
    assert.equal((await link.hash())['text:fr'], undefined);
  });

  test('of a link that Redis does not have makes none', async () => {
    const link = makeLink();
    assert.deepEqual(await link.text('fr', 'un'), ['older']);
    assert.deepEqual(await link.hash(), {});
  });

  test('a payment in a language that the customer has set is in that one', async () => {
    const link = makeLink();
    const attempt = newAttempt();
    await link.publish({ lang: 'de-DE', lang_set: 1 });
    await link.submit(attempt);
    assert.equal((await admin.hash(link.attemptKey(attempt))).lang, 'de-DE');
  });
});

describe('paying a part', () => {
  const publish = (link, fields) => link.publish({ due_minor: 12500, dues: '6000,0,2500,4000', ...fields });
  const answers = async (fields, submits) => {
    const link = makeLink();
    await publish(link, fields);
    const found = [];
    for (const options of submits) found.push((await link.submit(newAttempt(), options))[0]);
    return found;
  };

  test('chosen invoices ask for their sum, where payers may choose', async () => {
    const submits = [{ chosen: '1', amount: 6000 }, { chosen: '1,4', amount: 10000 }, { chosen: '1,4', amount: 6000 }, { chosen: '2', amount: 2500 },
      { chosen: '9', amount: 12500 }, { amount: 6000 }, { amount: 12500 }];
    assert.deepEqual(await answers({ choose: 1 }, submits), ['accepted', 'accepted', 'amount', 'amount', 'amount', 'amount', 'accepted']);
    assert.deepEqual(await answers({}, submits), ['amount', 'amount', 'amount', 'amount', 'amount', 'amount', 'accepted']);
  });

  test('less than is due is taken from the minimum on', async () => {
    const submits = [{ amount: 999 }, { amount: 1000 }, { amount: 12499 }, { amount: 12501 }, { chosen: '1', amount: 5000 }];
    assert.deepEqual(await answers({ partial_min_minor: 1000 }, submits), ['amount', 'accepted', 'accepted', 'amount', 'amount']);
    assert.deepEqual(await answers({ partial_min_minor: 1000, choose: 1 }, submits), ['amount', 'accepted', 'accepted', 'amount', 'accepted']);
  });

  test('what is queued names the chosen invoices', async () => {
    const link = makeLink();
    await publish(link, { choose: 1 });
    await link.submit(newAttempt(), { chosen: '1,4', amount: 10000 });
    assert.equal((await link.ofLink(link.submits))[0].chosen, '1,4');
  });
});

describe('open', () => {
  test('the first opening starts the clock and tells the worker, later ones change nothing', async () => {
    const link = makeLink();
    await link.publish();
    const before_ = await redisMs();
    const [status, opened, expires] = await link.open('human');
    assert.equal(status, 'opened');
    assert.ok(Number(opened) >= before_ && Number(opened) <= await redisMs());
    assert.equal(Number(expires), Number(opened) + DAY);
    assert.deepEqual(await link.open('view'), ['already', opened, expires]);
    assert.deepEqual((await link.ofLink(link.opens)).map(({ opened_ms, source }) => [opened_ms, source]), [[opened, 'human']]);
    const hash = await link.hash();
    assert.deepEqual([hash.opened_ms, hash.expires_ms, hash.version], [opened, expires, '1']);
  });

  test('of 1,000 concurrent openings exactly one records the time', async () => {
    const link = makeLink();
    await link.publish();
    const clients = await together(20, () => stack.redis({ user: 'edge' }));
    const replies = await together(1000, (i) => link.open('human', clients[i % clients.length]));
    assert.deepEqual(tally(replies.map(([status]) => status)), { opened: 1, already: 999 });
    assert.equal(new Set(replies.map(([, opened]) => opened)).size, 1);
    assert.equal((await link.ofLink(link.opens)).length, 1);
  });

  for (const state of ['paid', 'replaced', 'void', 'revoked', 'absent']) {
    test(`a link that is ${state} says so and gets no clock`, async () => {
      const link = makeLink();
      await link.publish({ state });
      assert.deepEqual(await link.open(), [state, '', '']);
      assert.equal((await link.hash()).opened_ms, undefined);
      assert.deepEqual(await link.ofLink(link.opens), []);
    });
  }

  test('a link that Redis does not have is missing, and stays so', async () => {
    const link = makeLink();
    assert.deepEqual(await link.open(), ['missing', '', '']);
    assert.equal(await admin.do('EXISTS', link.key), 0);
  });

  test('a link that was never opened dies at its ceiling, not before', async () => {
    const now = await redisMs();
    const [alive, dead] = [makeLink(), makeLink()];
    await alive.publish({ ceiling_ms: now + 60_000 });
    await dead.publish({ ceiling_ms: now });
    assert.equal((await alive.open())[0], 'opened');
    assert.deepEqual(await dead.open(), ['expired', '', '']);
  });

  test('no link lives longer than a day after opening, whatever lifetime was published', async () => {
    const link = makeLink();
    await link.publish({ lifetime_ms: 30 * DAY });
    const [, opened, expires] = await link.open();
    assert.equal(Number(expires) - Number(opened), DAY);
  });

  test('an opened link stays in Redis past its end, even if it was published for a moment', async () => {
    const link = makeLink();
    await link.publish({}, { ttl: 60_000 });
    await link.open();
    assert.ok(await admin.do('PTTL', link.key) > DAY);
  });
});

describe('24 hours by Redis\' own clock', () => {
  after(() => stack.setTime(0));

  test('open at 23:59:59, expired at 24:00:01; an unopened one is still there', async () => {
    const [opened, unopened] = [makeLink(), makeLink()];
    await opened.publish();
    await unopened.publish();
    await opened.open();
    stack.setTime(DAY - 1000);
    assert.equal((await opened.open())[0], 'already');
    assert.equal((await opened.submit(newAttempt()))[0], 'accepted');
    stack.setTime(DAY + 1000);
    assert.equal((await opened.open())[0], 'expired');
    assert.equal((await opened.submit(newAttempt()))[0], 'expired');
    assert.equal((await unopened.open())[0], 'opened');
  });

  test('an attempt that was taken in time stays a duplicate after the end', async () => {
    const link = makeLink();
    const attempt = newAttempt();
    stack.setTime(0);
    await link.publish();
    assert.equal((await link.submit(attempt))[0], 'accepted');
    stack.setTime(2 * DAY);
    assert.equal((await link.submit(attempt))[0], 'duplicate');
    assert.equal((await link.submit(newAttempt()))[0], 'expired');
  });
});

describe('submit', () => {
  test('is queued with everything the worker needs, and starts the clock', async () => {
    const link = makeLink();
    const attempt = newAttempt();
    await link.publish();
    assert.deepEqual(await link.submit(attempt), ['accepted', '1', '12500']);
    const hash = await link.hash();
    const [{ id_, at_ms, ...entry }] = await link.ofLink(link.submits);
    assert.deepEqual(entry, {
      attempt, link: link.hex, version: '1', amount_minor: '12500', payment_method: 'pm_card_visa',
      opened_ms: hash.opened_ms, client: 'c1', lang: 'fr', chosen: '', overpay: '0',
    });
    assert.equal(at_ms, hash.opened_ms);
    assert.deepEqual((await link.ofLink(link.opens)).map(({ source }) => source), ['submit']);
    assert.deepEqual(await admin.hash(link.attemptKey(attempt)),
      { state: 'received', link: link.hex, version: '1', amount_minor: '12500', at_ms, lang: 'fr' });
    const ttl = await admin.do('PTTL', link.attemptKey(attempt));
    assert.ok(ttl > 6.9 * DAY && ttl <= 7 * DAY);
  });

  test('of 100 concurrent submits of one attempt one is accepted', async () => {
    const link = makeLink();
    const attempt = newAttempt();
    await link.publish();
    const clients = await together(10, () => stack.redis({ user: 'edge' }));
    const replies = await together(100, (i) => link.submit(attempt, { client: clients[i % clients.length] }));
    assert.deepEqual(tally(replies.map(([status]) => status)), { accepted: 1, duplicate: 99 });
    assert.equal((await link.ofLink(link.submits)).length, 1);
  });

  const refusals = {
    'a version that is no longer shown': [{}, { version: 1 }, { published: 2 }, ['stale', '2', '12500']],
    'a version that does not exist yet': [{}, { version: 7 }, {}, ['stale', '1', '12500']],
    'one cent less': [{}, { amount: 12499 }, {}, ['amount', '1', '12500']],
    'one cent more': [{}, { amount: 12501 }, {}, ['amount', '1', '12500']],
    'a paid link': [{ state: 'paid', overpay: 0 }, {}, {}, ['paid', '1', '12500']],
    'a replaced link': [{ state: 'replaced' }, {}, {}, ['replaced', '1', '12500']],
    'a void link': [{ state: 'void' }, {}, {}, ['void', '1', '12500']],
    'a revoked link': [{ state: 'revoked' }, {}, {}, ['revoked', '1', '12500']],
    'a link that PostgreSQL does not know': [{ state: 'absent' }, {}, {}, ['absent', '1', '12500']],
    'a link past its end': [{ opened_ms: 1000, expires_ms: 2000 }, {}, {}, ['expired', '1', '12500']],
  };
  for (const [name, [fields, submitted, { published = 1 }, reply]] of Object.entries(refusals)) {
    test(`${name} is refused, and nothing is queued`, async () => {
      const link = makeLink();
      const attempt = newAttempt();
      await link.publish(fields, { version: published });
      assert.deepEqual(await link.submit(attempt, submitted), reply);
      assert.deepEqual(await link.ofLink(link.submits), []);
      assert.equal(await admin.do('EXISTS', link.attemptKey(attempt)), 0);
    });
  }

  test('a link that Redis does not have is missing', async () => {
    assert.deepEqual(await makeLink().submit(newAttempt()), ['missing', '', '']);
  });

  test('amounts of 16 digits are told apart by their last one', async () => {
    const link = makeLink();
    await link.publish({ due_minor: '9999999999999999' });
    assert.equal((await link.submit(newAttempt(), { amount: '9999999999999998' }))[0], 'amount');
    assert.equal((await link.submit(newAttempt(), { amount: '9999999999999999' }))[0], 'accepted');
  });

  test('an old page may overpay only with the setting, its own amount, and before the end', async () => {
    const paid = { state: 'paid', due_minor: 0, overpay: 1, overpay_minor: 12500 };
    const link = makeLink();
    await link.publish({ ...paid, opened_ms: await redisMs() }, { version: 2 });
    assert.equal((await link.submit(newAttempt(), { amount: 100 }))[0], 'paid');
    assert.equal((await link.submit(newAttempt(), { version: 2 }))[0], 'paid');
    assert.deepEqual(await link.submit(newAttempt()), ['accepted', '2', '0']);
    assert.deepEqual((await link.ofLink(link.submits)).map(({ overpay }) => overpay), ['1']);
    const late = makeLink();
    await late.publish({ ...paid, opened_ms: 1000, expires_ms: 2000 }, { version: 2 });
    assert.equal((await late.submit(newAttempt()))[0], 'paid');
  });

  test('an attempt that was only asked for may still be submitted', async () => {
    const link = makeLink();
    const attempt = newAttempt();
    await link.publish();
    assert.deepEqual(await link.answer(attempt, 'absent'), ['answered']);
    assert.equal((await link.submit(attempt))[0], 'accepted');
    assert.deepEqual(await link.answer(attempt, 'absent'), ['kept']);
    assert.equal((await link.submit(attempt))[0], 'duplicate');
  });

  test('a version or limit that is no number is an error, not an answer', async () => {
    const link = makeLink();
    await link.publish();
    for (const odd of [{ version: 'one' }, { declines: 'few' }, { cards: '' }]) {
      await assert.rejects(link.submit(newAttempt(), odd), RedisError);
      await assert.rejects(link.check(newAttempt(), odd), RedisError);
    }
  });

  test('check says what submit would, and changes nothing', async () => {
    const link = makeLink();
    const attempt = newAttempt();
    assert.deepEqual(await link.check(attempt), ['missing', '', '']);
    await link.publish();
    const before_ = await link.hash();
    assert.deepEqual(await link.check(attempt, { declines: 5, cards: 3 }), ['acceptable', '1', '12500']);
    assert.deepEqual(await link.check(attempt, { version: 2 }), ['stale', '1', '12500']);
    assert.deepEqual(await link.check(attempt, { amount: 1 }), ['amount', '1', '12500']);
    assert.deepEqual(await link.hash(), before_);
    assert.equal(await admin.do('EXISTS', link.attemptKey(attempt), link.guard), 0);
    await link.submit(attempt);
    assert.deepEqual(await link.check(attempt), ['duplicate', '1', '12500']);
  });
});

describe('the guard of a link', () => {
  const strict = { declines: 5, cards: 3 };
  const visa = (last4) => ({ card: `Visa •••• ${last4}` });

  // One attempt that ends like that; -> what the submit said.
  async function tried(link, state, fields = {}, limits = strict) {
    const attempt = newAttempt();
    const [status] = await link.submit(attempt, { ...limits, token: `pm_${attempt}` });
    if (status === 'accepted') await link.answer(attempt, state, fields);
    return status;
  }
  const published = async () => {
    const link = makeLink();
    await link.publish();
    return link;
  };

  test('five declines of one card may be had, a sixth attempt is refused until the end of the link', async () => {
    const link = await published();
    for (let i = 0; i < 5; i++) assert.equal(await tried(link, 'declined', visa(1111)), 'accepted', `attempt ${i + 1}`);
    const { expires_ms } = await link.hash();
    const [status, version, due, retry] = await link.submit(newAttempt(), strict);
    assert.deepEqual([status, version, due], ['declines', '1', '12500']);
    assert.ok(Number(retry) <= DAY && Number(retry) > Number(expires_ms) - await redisMs() - 60_000);
    assert.equal((await link.check(newAttempt(), strict))[0], 'declines');
    assert.equal((await link.ofLink(link.submits)).length, 5);
  });

  test('three different cards may be declined, a fourth is refused', async () => {
    const link = await published();
    for (const last4 of [1111, 2222, 3333]) assert.equal(await tried(link, 'declined', visa(last4)), 'accepted', `card ${last4}`);
    assert.equal((await link.submit(newAttempt(), strict))[0], 'cards');
    assert.equal((await link.submit(newAttempt(), { declines: 5 }))[0], 'accepted');
  });

  test('a card that the gateway does not tell of counts by its payment method', async () => {
    const link = await published();
    for (let i = 0; i < 3; i++) assert.equal(await tried(link, 'declined'), 'accepted');
    assert.equal(await tried(link, 'declined'), 'cards');
  });

  test('who is declined twice, with two cards, pays with the third', async () => {
    const link = await published();
    assert.equal(await tried(link, 'declined', visa(1111)), 'accepted');
    assert.equal(await tried(link, 'declined', visa(2222)), 'accepted');
    assert.equal(await tried(link, 'captured'), 'accepted');
    assert.deepEqual(Object.values(await admin.hash(link.guard)).sort(), ['declined:Visa •••• 1111', 'declined:Visa •••• 2222']);
  });

  test('an attempt counts once, however often it is sent or answered', async () => {
    const link = await published();
    const attempt = newAttempt();
    await link.submit(attempt, strict);
    for (let i = 0; i < 20; i++) {
      assert.equal((await link.submit(attempt, strict))[0], 'duplicate');
      await link.answer(attempt, 'declined', i % 2 ? {} : visa(1111));
    }
    assert.deepEqual(await admin.hash(link.guard), { [attempt]: 'declined:Visa •••• 1111' });
  });

  test('what was refused, never reached the gateway or was captured after all leaves its place', async () => {
    const link = await published();
    for (let i = 0; i < 10; i++) {
      assert.equal(await tried(link, 'refused', { reason: 'busy' }), 'accepted');
      assert.equal(await tried(link, 'declined', { reason: 'not_received' }), 'accepted');
    }
    const late = newAttempt();
    await link.submit(late, strict);
    await link.answer(late, 'declined', visa(1111));
    await link.answer(late, 'captured', visa(1111));
    assert.deepEqual(await admin.hash(link.guard), {});
  });

  for (const [name, token, expected] of [
    ['payment methods, three', (i) => `pm_${i}`, { accepted: 3, cards: 47 }],
    ['attempts of one payment method, five', () => 'pm_one', { accepted: 5, declines: 45 }],
  ]) {
    test(`of 50 concurrent ${name} hold a place, the others may come back in a minute`, async () => {
      const link = await published();
      const clients = await together(10, () => stack.redis({ user: 'edge' }));
      const replies = await together(50, (i) => link.submit(newAttempt(), { ...strict, token: token(i), client: clients[i % clients.length] }));
      assert.deepEqual(tally(replies.map(([status]) => status)), expected);
      assert.equal((await link.ofLink(link.submits)).length, expected.accepted);
      assert.deepEqual([...new Set(replies.map(([, , , retry]) => retry))].sort(), ['60000', undefined]);
    });
  }

  test('outlives what is published and the life of the link, and is nothing that others feel', async () => {
    const [link, other] = [await published(), await published()];
    for (let i = 0; i < 5; i++) await tried(link, 'declined', visa(1111));
    await link.publish({}, { version: 2 });
    assert.equal((await link.submit(newAttempt(), { ...strict, version: 2 }))[0], 'declines');
    assert.ok(await admin.do('PTTL', link.guard) > DAY);
    assert.equal(await tried(other, 'declined', visa(1111)), 'accepted');
  });

  test('without limits nothing is written and nothing refused', async () => {
    const link = await published();
    for (let i = 0; i < 20; i++) assert.equal((await link.submit(newAttempt(), { token: `pm_${i}` }))[0], 'accepted');
    assert.equal(await admin.do('EXISTS', link.guard), 0);
  });
});

describe('velocity', () => {
  after(() => stack.setTime(0));
  const HOUR = 3_600_000;
  const newClient = () => `paylink:{0c}:client:${randomBytes(16).toString('hex')}`;
  const count = (client, attempt = newAttempt(), { limit = 10, window = HOUR, by = edge } = {}) =>
    by.do('FCALL', 'paylink_velocity', 1, client, attempt, limit, window);

  test('ten attempts are counted, the eleventh is told when to come again, the same one counts once', async () => {
    const client = newClient();
    const attempts = Array.from({ length: 10 }, newAttempt);
    for (const attempt of attempts) assert.deepEqual(await count(client, attempt), ['counted']);
    const [status, retry] = await count(client);
    assert.equal(status, 'full');
    assert.ok(Number(retry) > HOUR - 60_000 && Number(retry) <= HOUR);
    for (const attempt of attempts) assert.deepEqual(await count(client, attempt), ['known']);
    assert.deepEqual(await count(newClient()), ['counted']);
    const ttl = await admin.do('PTTL', client);
    assert.ok(ttl > 0 && ttl <= HOUR);
  });

  test('the window slides, and a refused attempt does not hold it up', async () => {
    const client = newClient();
    stack.setTime(0);
    for (let i = 0; i < 5; i++) await count(client);
    stack.setTime(HOUR / 2);
    for (let i = 0; i < 5; i++) await count(client);
    for (let i = 0; i < 100; i++) assert.equal((await count(client))[0], 'full');
    stack.setTime(HOUR + 1000);
    for (let i = 0; i < 5; i++) assert.deepEqual(await count(client), ['counted'], `after an hour, attempt ${i + 1}`);
    assert.equal((await count(client))[0], 'full');
  });

  test('of 50 concurrent attempts exactly ten get through', async () => {
    const client = newClient();
    const clients = await together(10, () => stack.redis({ user: 'edge' }));
    const replies = await together(50, (i) => count(client, newAttempt(), { by: clients[i % clients.length] }));
    assert.deepEqual(tally(replies.map(([status]) => status)), { counted: 10, full: 40 });
  });

  test('a limit that was lowered says when there is room again', async () => {
    const client = newClient();
    stack.setTime(0);
    for (let i = 0; i < 3; i++) await count(client);
    stack.setTime(HOUR / 2);
    for (let i = 0; i < 3; i++) await count(client);
    const [status, retry] = await count(client, newAttempt(), { limit: 2 });
    assert.equal(status, 'full');
    assert.ok(Number(retry) > HOUR / 2);
  });

  test('a limit or window that is no number is an error', async () => {
    await assert.rejects(count(newClient(), newAttempt(), { limit: 'ten' }), RedisError);
    await assert.rejects(count(newClient(), newAttempt(), { window: '' }), RedisError);
  });
});

describe('renew', () => {
  const MINUTE = 60_000;
  const expired = async (fields) => {
    const link = makeLink();
    await link.publish({ opened_ms: 1000, expires_ms: 2000, email_masked: 'a•••@e•••.com', ...fields });
    return link;
  };

  test('of an expired link is queued with what the worker needs', async () => {
    const link = await expired();
    const before_ = await redisMs();
    assert.deepEqual(await link.renew(), ['queued']);
    const [{ id_, at_ms, ...entry }] = await link.ofLink(link.renewals);
    assert.deepEqual(entry, { link: link.hex, opened_ms: '1000', lang: 'fr' });
    assert.ok(Number(at_ms) >= before_ && Number(at_ms) <= await redisMs());
  });

  test('of a link that died unopened, too; the customer\'s own language goes first', async () => {
    const link = await expired({ opened_ms: '', expires_ms: '', ceiling_ms: 2000, lang: 'de', lang_set: 1 });
    assert.deepEqual(await link.renew(), ['queued']);
    const [{ opened_ms, lang }] = await link.ofLink(link.renewals);
    assert.deepEqual([opened_ms, lang], ['', 'de']);
  });

  test('is refused while the link lives, once it is closed, and where nobody can be written to', async () => {
    const asked = async (link) => [...await link.renew(), (await link.ofLink(link.renewals)).length];
    assert.deepEqual(await asked(await expired({ opened_ms: await redisMs(), expires_ms: await redisMs() + DAY })), ['refused', 0]);
    assert.deepEqual(await asked(await expired({ email_masked: '' })), ['refused', 0]);
    for (const state of ['paid', 'disabled', 'replaced', 'void', 'revoked']) {
      assert.deepEqual(await asked(await expired({ state })), ['refused', 0], state);
    }
    assert.deepEqual(await asked(await expired({ state: 'absent' })), ['absent', 0]);
    assert.deepEqual(await asked(makeLink()), ['missing', 0]);
  });

  test('three times a day, with a minute between; refused ones do not count', async () => {
    const link = await expired();
    const asked = [];
    for (const at of [0, MINUTE - 2000, MINUTE + 2000, MINUTE + 4000, 3 * MINUTE, 5 * MINUTE, DAY - MINUTE, DAY + MINUTE / 2, DAY + 4 * MINUTE]) {
      stack.setTime(at);
      asked.push((await link.renew())[0]);
    }
    stack.setTime(0);
    assert.deepEqual(asked, ['queued', 'limited', 'queued', 'limited', 'queued', 'limited', 'limited', 'queued', 'queued']);
  });

  test('asked for by many at once is queued once', async () => {
    const link = await expired();
    assert.deepEqual(tally((await together(50, () => link.renew())).flat()), { queued: 1, limited: 49 });
    assert.equal((await link.ofLink(link.renewals)).length, 1);
  });
});

describe('want', () => {
  test('asks the worker once for a while, however many ask', async () => {
    const link = makeLink();
    const replies = await together(50, () => link.want());
    assert.deepEqual(tally(replies.flat()), { queued: 1, already: 49 });
    const attempt = newAttempt();
    assert.deepEqual(await link.want('attempt', attempt), ['queued']);
    assert.deepEqual((await link.ofLink(link.wants)).map((entry) => [entry.kind, entry.of]), [['link', ''], ['attempt', attempt]]);
    assert.ok(await admin.do('PTTL', `${link.shard}:wanted:${link.hex}`) <= 500);
    await waitFor(async () => (await link.want())[0] === 'queued', { what: 'the next want' });
  });
});

describe('keep', () => {
  const keep = (link, kind, type, body, { ttl = 60_000, client = worker } = {}) =>
    client.do('FCALL', 'paylink_keep', 1, `${link.shard}:${kind}:${link.hex}`, kind, link.hex, type, body, ttl);

  test('type and bytes under a name, for a while, and those who wait are told', async () => {
    const heard = [];
    const listener = await stack.redis({ user: 'edge' });
    for (const [kind, type] of [['document', 'pdf'], ['brand', 'png']]) {
      const link = makeLink();
      await listener.subscribe(`${link.shard}:events`, (message) => heard.push(message));
      assert.deepEqual(await keep(link, kind, type, '%PDF-\r\n\0'), ['kept']);
      assert.deepEqual(await edge.do('HMGET', `${link.shard}:${kind}:${link.hex}`, 'type', 'body'), [type, '%PDF-\r\n\0']);
      const left = await admin.do('PTTL', `${link.shard}:${kind}:${link.hex}`);
      assert.ok(left > 0 && left <= 60_000, String(left));
      await waitFor(() => heard.includes(`${kind} ${link.hex} ${type}`), { what: `news of a ${kind}` });
    }
  });

  test('by the worker alone, and nothing but brands and documents', async () => {
    const link = makeLink();
    await assert.rejects(keep(link, 'document', 'pdf', 'x', { client: edge }), /NOPERM/);
    await assert.rejects(keep(link, 'renewed', 'pdf', 'x'), /NOPERM/);
    await assert.rejects(worker.do('FCALL', 'paylink_keep', 1, `${link.shard}:document:${link.hex}`, 'document', link.hex, 'pdf'), /ERR paylink/);
    await assert.rejects(edge.do('HGETALL', `${link.shard}:document:${link.hex}`), /NOPERM/);
  });
});

describe('publish', () => {
  test('replaces the whole record, sets its time to live and tells the subscribers', async () => {
    const link = makeLink();
    const heard = [];
    await (await stack.redis({ user: 'edge' })).subscribe(`${link.shard}:events`, (message) => heard.push(message));
    await link.publish({ due_text: '$125.00', rows: 'x' });
    assert.deepEqual(await link.publish({ state: 'paid', due_minor: 0 }, { version: 2, ttl: 5000 }), ['published']);
    assert.deepEqual(await link.hash(), { state: 'paid', version: '2', due_minor: '0', currency: 'USD', lifetime_ms: String(DAY) });
    assert.ok(await admin.do('PTTL', link.key) <= 5000);
    await waitFor(() => heard.filter((message) => message.includes(link.hex)).length === 2, { what: 'both messages' });
    assert.deepEqual(heard.filter((message) => message.includes(link.hex)), [`link ${link.hex} 1 active`, `link ${link.hex} 2 paid`]);
  });

  test('an older version never replaces a newer one, beyond 2^31 too', async () => {
    const link = makeLink();
    await link.publish({ due_minor: 1 }, { version: 4294967295 });
    assert.deepEqual(await link.publish({ due_minor: 2 }, { version: 4294967294 }), ['older']);
    assert.equal((await link.hash()).due_minor, '1');
    assert.deepEqual(await link.publish({ due_minor: 3 }, { version: 4294967295 }), ['published']);
    assert.equal((await link.hash()).due_minor, '3');
  });

  test('the earliest opening survives with its end', async () => {
    const link = makeLink();
    await link.publish();
    const [, opened, expires] = await link.open();
    await link.publish({}, { version: 2 });
    assert.deepEqual(await link.open(), ['already', opened, expires]);
    await link.publish({ opened_ms: Number(opened) + 5000, expires_ms: Number(expires) + 5000 }, { version: 3 });
    assert.deepEqual(await link.open(), ['already', opened, expires]);
    const earlier = [String(Number(opened) - 5000), String(Number(expires) - 5000)];
    await link.publish({ opened_ms: earlier[0], expires_ms: earlier[1] }, { version: 3 });
    assert.deepEqual(await link.open(), ['already', ...earlier]);
  });

  test('a tombstone never hides a link, and a link replaces a tombstone', async () => {
    const link = makeLink();
    await link.publish({ state: 'absent' });
    assert.equal((await link.open())[0], 'absent');
    assert.deepEqual(await link.publish(), ['published']);
    assert.deepEqual(await link.publish({ state: 'absent' }), ['older']);
    assert.equal((await link.open())[0], 'opened');
  });

  test('values are bytes', async () => {
    const link = makeLink();
    const rows = Buffer.from([0, 1, 2, 255, 13, 10, 0]);
    await worker.do('FCALL', 'paylink_publish', 1, link.key, link.hex, 1, 60000, 'state', 'active', 'rows', rows);
    assert.deepEqual(await admin.raw('HGET', link.key, 'rows'), rows);
  });

  test('a state that does not exist, a missing value or no version is an error', async () => {
    const link = makeLink();
    await assert.rejects(link.publish({ state: 'open' }), RedisError);
    await assert.rejects(link.publish({}, { version: 'x' }), RedisError);
    await assert.rejects(worker.do('FCALL', 'paylink_publish', 1, link.key, link.hex, 1, 1000, 'state', 'active', 'rows'), RedisError);
    assert.equal(await admin.do('EXISTS', link.key), 0);
  });
});

describe('answer', () => {
  const ranks = [['absent'], ['received'], ['charging'], ['unknown', 'action_required'], ['declined', 'refused'], ['captured']];
  for (const [rank, states] of ranks.entries()) {
    for (const state of states) {
      test(`${state} is replaced by nothing that is decided less`, async () => {
        for (const [newRank, next] of ranks.flatMap((names, index) => names.map((name) => [index, name]))) {
          const link = makeLink();
          const attempt = newAttempt();
          assert.deepEqual(await link.answer(attempt, state), ['answered']);
          assert.deepEqual(await link.answer(attempt, next), [newRank < rank ? 'kept' : 'answered'], `${state} -> ${next}`);
          assert.equal((await admin.hash(link.attemptKey(attempt))).state, newRank < rank ? state : next);
        }
      });
    }
  }

  test('keeps what the submission wrote, drops what no longer holds, and tells the subscribers', async () => {
    const link = makeLink();
    const attempt = newAttempt();
    const heard = [];
    await (await stack.redis({ user: 'edge' })).subscribe(`${link.shard}:events`, (message) => heard.push(message));
    await link.publish();
    await link.submit(attempt);
    await link.answer(attempt, 'action_required', { action_url: 'http://127.0.0.1/a', reason: 'r' });
    await link.answer(attempt, 'captured', { receipt_number: 'R-1' });
    const { at_ms, ...hash } = await admin.hash(link.attemptKey(attempt));
    assert.deepEqual(hash, { state: 'captured', link: link.hex, version: '1', amount_minor: '12500', receipt_number: 'R-1', lang: 'fr' });
    assert.match(at_ms, /^\d{13}$/);
    const mine = () => heard.filter((message) => message.includes(attempt));
    await waitFor(() => mine().length === 2, { what: 'both messages' });
    assert.deepEqual(mine(), [`attempt ${attempt} action_required`, `attempt ${attempt} captured`]);
  });

  test('a state that does not exist is an error', async () => {
    await assert.rejects(makeLink().answer(newAttempt(), 'done'), RedisError);
  });
});

describe('paying', () => {
  const told = async (link, act) => {
    const listener = await stack.redis();
    const heard = [];
    await listener.subscribe(`${link.shard}:events`, (message) => heard.push(message));
    await act();
    await waitFor(() => heard.some((message) => message.startsWith(`link ${link.hex}`)), { what: 'a message' });
    return heard.filter((message) => message.startsWith(`link ${link.hex}`));
  };

  test('a submit marks the link and makes its viewers look, until the answer is final', async () => {
    const link = makeLink();
    const attempt = newAttempt();
    await link.publish();
    assert.deepEqual(await told(link, () => link.submit(attempt)), [`link ${link.hex} 1 active`]);
    const marked = await link.hash();
    assert.equal(marked.paying, attempt);
    assert.ok(Number(marked.paying_ms) <= await redisMs());
    for (const state of ['charging', 'unknown']) {
      await link.answer(attempt, state, { link: link.hex });
      assert.equal((await link.hash()).paying, attempt);
    }
    assert.deepEqual(await told(link, () => link.answer(attempt, 'declined', { link: link.hex })), [`link ${link.hex} 1 active`]);
    assert.equal((await link.hash()).paying, undefined);
  });

  test('publishing keeps the mark while the link is active; the answer of an older attempt does not take it away', async () => {
    const link = makeLink();
    const [older, newer] = [newAttempt(), newAttempt()];
    await link.publish();
    await link.submit(older);
    await link.submit(newer);
    await link.answer(older, 'declined', { link: link.hex });
    await link.publish({}, { version: 2 });
    assert.equal((await link.hash()).paying, newer);
    await link.publish({ state: 'paid', due_minor: 0 }, { version: 3 });
    assert.equal((await link.hash()).paying, undefined);
  });
});

describe('users', () => {
  const denied = (client, ...command) => assert.rejects(client.do(...command), /NOPERM/, command.join(' '));

  test('the edge can read links and attempts and call its five functions, nothing else', async () => {
    const link = makeLink();
    const attempt = newAttempt();
    await link.publish();
    await link.submit(attempt);
    assert.deepEqual(await edge.do('HMGET', link.key, 'state', 'nothing'), ['active', null]);
    assert.deepEqual(await edge.do('HMGET', link.attemptKey(attempt), 'state'), ['received']);
    assert.equal((await edge.do('TIME')).length, 2);
    assert.equal(await edge.do('PING'), 'PONG');
    await denied(edge, 'FCALL', 'paylink_publish', 1, link.key, link.hex, 9, 1000, 'state', 'paid');
    await denied(edge, 'FCALL', 'paylink_answer', 3, link.attemptKey(attempt), link.key, link.guard, attempt, link.hex, 'captured', 1000);
    await denied(edge, 'FCALL', 'paylink_open', 2, 'other:key', 'other:stream', link.hex, 'human');
    for (const command of [
      ['HGETALL', link.key], ['GET', link.key], ['DEL', link.key], ['UNLINK', link.key], ['HDEL', link.key, 'state'],
      ['KEYS', '*'], ['SCAN', 0], ['RANDOMKEY'], ['DBSIZE'], ['XRANGE', link.submits, '-', '+'], ['XREAD', 'STREAMS', link.submits, 0],
      ['XDEL', link.submits, '1-1'], ['XTRIM', link.submits, 'MAXLEN', 0], ['XGROUP', 'CREATE', link.submits, 'g', 0],
      ['XACK', link.submits, 'worker', '1-1'], ['XADD', `${link.shard}:dead`, '*', 'a', 'b'], ['HMGET', link.submits, 'a'],
      ['HSET', `${link.shard}:other`, 'a', 'b'], ['SET', link.key, 'x'], ['SET', 'x', 'y'],
      ['PUBLISH', 'other', 'x'], ['SUBSCRIBE', 'other'], ['PSUBSCRIBE', '*'], ['FLUSHALL'], ['FLUSHDB'],
      ['CONFIG', 'GET', '*'], ['ACL', 'LIST'], ['INFO'], ['MONITOR'], ['CLIENT', 'LIST'], ['EVAL', 'return 1', 0],
      ['HDEL', link.guard, attempt], ['DEL', link.guard], ['ZREM', link.client, attempt], ['DEL', link.client],
      ['SCRIPT', 'LOAD', 'return 1'], ['FUNCTION', 'LOAD', '#!lua name=x'], ['FUNCTION', 'FLUSH'], ['SHUTDOWN'],
      ['SAVE'], ['EVAL_RO', 'return 1', 0], ['MULTI'], ['COPY', link.key, 'x'], ['RENAME', link.key, 'x'],
    ]) await denied(edge, ...command);
    assert.equal((await link.hash()).state, 'active');
  });

  test('the worker can load, drain and publish; it cannot submit, flush, configure or read elsewhere', async () => {
    const link = makeLink();
    await link.publish();
    await link.submit(newAttempt());
    await worker.do('XGROUP', 'CREATE', link.submits, 'worker', '0', 'MKSTREAM').catch((error) => assert.match(error.message, /BUSYGROUP/));
    const [[, entries]] = await worker.do('XREADGROUP', 'GROUP', 'worker', 'w1', 'COUNT', 1000, 'STREAMS', link.submits, '>');
    assert.ok(entries.some(([, fields]) => fields.includes(link.hex)));
    assert.equal(await worker.do('XACK', link.submits, 'worker', ...entries.map(([id]) => id)), entries.length);
    assert.equal(await worker.do('XDEL', link.submits, ...entries.map(([id]) => id)), entries.length);
    await worker.do('XADD', `${link.shard}:dead`, '*', 'reason', 'test');
    assert.match(JSON.stringify(await worker.do('FUNCTION', 'LIST')), /paylink_submit/);
    for (const command of [
      ['FCALL', 'paylink_submit', 0], ['FCALL', 'paylink_velocity', 0], ['FCALL', 'paylink_open', 2, link.key, link.opens, link.hex, 'human'],
      ['FLUSHALL'], ['CONFIG', 'GET', '*'], ['ACL', 'LIST'], ['KEYS', '*'], ['SET', link.key, 'x'], ['HGETALL', 'other'],
      ['XADD', 'other', '*', 'a', 'b'], ['EVAL', 'return 1', 0], ['FUNCTION', 'FLUSH'], ['FUNCTION', 'DELETE', 'paylink'],
      ['SHUTDOWN'], ['MONITOR'], ['PUBLISH', 'other', 'x'],
    ]) await denied(worker, ...command);
  });

  test('without the password there is no user', async () => {
    const stranger = await stack.redis();
    await assert.rejects(stranger.do('AUTH', 'edge', 'guess'), /WRONGPASS/);
    await assert.rejects(stranger.do('AUTH', 'worker', ''), /WRONGPASS/);
  });

  test('keys outside of paylink:{NN}: are refused by the functions themselves', async () => {
    await assert.rejects(admin.do('FCALL', 'paylink_open', 2, 'a', 'b', 'c', 'human'), /outside/);
    await assert.rejects(admin.do('FCALL', 'paylink_open', 1, 'paylink:{00}:link:x', 'c', 'human'), /wrong number/);
  });
});

describe('configuration', () => {
  test('what was accepted is on disk, and nothing is evicted', async () => {
    const config = async (name) => (await admin.do('CONFIG', 'GET', name))[1];
    assert.equal(await config('maxmemory-policy'), 'noeviction');
    assert.equal(await config('appendonly'), 'yes');
    assert.equal(await config('port'), '0');
    assert.equal(await config('auto-aof-rewrite-percentage'), '100');
    const conf = fs.readFileSync(path.join(ROOT, 'config/redis/redis.conf.in'), 'utf8');
    assert.match(conf, /^appendfsync always$/m);
  });

  test('a full Redis refuses a submit and takes it again when there is room', async () => {
    const link = makeLink();
    await link.publish();
    const limit = (await admin.do('CONFIG', 'GET', 'maxmemory'))[1];
    await admin.do('CONFIG', 'SET', 'maxmemory', 1);
    try {
      await assert.rejects(link.submit(newAttempt()), /OOM/);
    } finally {
      await admin.do('CONFIG', 'SET', 'maxmemory', limit);
    }
    assert.equal((await link.submit(newAttempt()))[0], 'accepted');
  });
});
