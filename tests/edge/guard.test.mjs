// The card-testing guard at the edge: its limits as they are without any configuration, each at its edge, whom
// they touch and whom not, and the ways to set them.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CARD } from '../harness/browser.mjs';
import { formBody, startStack, tally, together, waitFor } from '../harness/index.mjs';

const OUR_SIDE = ['set_real_ip_from 127.0.0.0/8;', 'real_ip_header X-Forwarded-For;', 'real_ip_recursive on;'];
const HOUR_S = 3600;
const DELAY_MS = 2000;

// A client's address of its own for each test, from the ranges for documentation.
let addresses = 0;
const address = () => `198.51.100.${++addresses}`;
const from = (client) => ({ headers: { 'x-forwarded-for': client } });

async function published(stack, options) {
  const scene = await stack.scene(options);
  await waitFor(async () => (await stack.page(scene.link.url)).status === 200, { what: 'the link' });
  return scene;
}

// A payer whose form is rendered, and has been for long enough.
async function ready(stack, link) {
  const payer = stack.payer(link);
  await payer.view();
  return payer;
}

async function metrics(stack) {
  const { text } = await stack.page('/metrics');
  return Object.fromEntries([...text.matchAll(/^paylink_guard_total\{kind="(\w+)"\} (\d+)$/gm)].map(([, kind, value]) => [kind, Number(value)]));
}

function refused(answer, heading) {
  assert.equal(answer.status, 429);
  assert.match(answer.text, heading);
  assert.match(answer.text, /Your card was not charged\./);
  assert.match(answer.headers['retry-after'], /^\d+$/);
  assert.equal(answer.headers['cache-control'], 'no-store, private');
  assert.equal(answer.headers.location, undefined);
}
const LINK = /takes no more cards/;
const NETWORK = /Too many payments were tried from your network/;

// The line that leaves loopback alone gives way to one that sets the delay alone: the limits are the module's own.
describe('by default', () => {
  let stack;
  before(async () => { stack = await startStack({ shim: true, nginx: ['paylink_guard delay=off;', ...OUR_SIDE] }); });
  after(() => stack?.stop());

  test('a link takes five declines of one card, and no sixth attempt', async () => {
    const { link } = await published(stack);
    const counted = (await metrics(stack)).declines;
    for (let i = 0; i < 5; i++) {
      const payer = await ready(stack, link);
      const answer = await payer.submit({ payment_method: await payer.token(CARD.wrongCode) }, from(address()));
      assert.equal((await payer.result(answer)).state, 'declined', `attempt ${i + 1}`);
    }
    const payer = await ready(stack, link);
    const answer = await payer.submit({ payment_method: await payer.token() }, from(address()));
    refused(answer, LINK);
    assert.ok(Number(answer.headers['retry-after']) > 23 * HOUR_S && Number(answer.headers['retry-after']) <= 24 * HOUR_S);
    assert.equal((await metrics(stack)).declines, counted + 1);
  });

  test('a link takes three cards that are declined, and no fourth; another link of the merchant does', async () => {
    const scene = await published(stack);
    const counted = (await metrics(stack)).cards;
    for (const card of [CARD.declined, CARD.noFunds, CARD.expired]) {
      const payer = await ready(stack, scene.link);
      const answer = await payer.submit({ payment_method: await payer.token(card) }, from(address()));
      assert.equal((await payer.result(answer)).state, 'declined', card);
    }
    const payer = await ready(stack, scene.link);
    const client = address();
    refused(await payer.submit({ payment_method: await payer.token() }, from(client)), LINK);
    assert.equal((await metrics(stack)).cards, counted + 1);
    const other = await ready(stack, (await published(stack)).link);
    assert.equal((await other.result(await other.submit({ payment_method: await other.token() }, from(client)))).state, 'captured');
  });

  test('who is declined twice pays with the third card', async () => {
    const { link } = await published(stack);
    const client = address();
    for (const [card, state] of [[CARD.declined, 'declined'], [CARD.noFunds, 'declined'], [CARD.good, 'captured']]) {
      const payer = await ready(stack, link);
      assert.equal((await payer.result(await payer.submit({ payment_method: await payer.token(card) }, from(client)))).state, state, card);
    }
  });

  test('an attempt that is sent again is answered, and counts neither for the link nor for the address', async () => {
    const { link } = await published(stack);
    const client = address();
    const payer = await ready(stack, link);
    const token = await payer.token(CARD.declined);
    const answer = await payer.submit({ payment_method: token }, from(client));
    assert.equal((await payer.result(answer)).state, 'declined');
    for (let i = 0; i < 15; i++) {
      const again = await payer.submit({ payment_method: token }, from(i % 2 ? client : address()));
      assert.deepEqual([again.status, again.headers.location], [303, answer.headers.location]);
    }
    const next = await ready(stack, link);
    assert.equal((await next.result(await next.submit({ payment_method: await next.token() }, from(client)))).state, 'captured');
  });

  test('ten attempts an hour come from one address, whatever the links; others do not feel it, and the hour passes', async () => {
    const scenes = await together(12, () => published(stack));
    const client = address();
    const payers = await together(12, (i) => ready(stack, scenes[i].link));
    const counted = (await metrics(stack)).address;
    for (let i = 0; i < 10; i++) {
      assert.equal((await payers[i].submit({ payment_method: 'pm_card_visa' }, from(client))).status, 303, `attempt ${i + 1}`);
    }
    const answer = await payers[10].submit({ payment_method: 'pm_card_visa' }, from(client));
    refused(answer, NETWORK);
    assert.ok(Number(answer.headers['retry-after']) > HOUR_S - 300 && Number(answer.headers['retry-after']) <= HOUR_S);
    assert.equal((await metrics(stack)).address, counted + 1);
    // What was taken before is answered still, and what a link does not take anyway is told as ever.
    assert.equal((await payers[0].submit({ payment_method: 'pm_card_visa' }, from(client))).status, 303);
    await stack.cli('link', 'revoke', scenes[11].link.id);
    await waitFor(async () => (await stack.page(scenes[11].link.url)).status === 410, { what: 'the end of the link' });
    assert.equal((await payers[11].submit({ payment_method: 'pm_card_visa' }, from(client))).status, 410);
    // The same form from elsewhere, and the same address later.
    assert.equal((await payers[10].submit({ payment_method: 'pm_card_visa' }, from(address()))).status, 303);
    stack.setTime((HOUR_S + 60) * 1000);
    try {
      const late = await ready(stack, (await published(stack)).link);
      assert.equal((await late.submit({ payment_method: 'pm_card_visa' }, from(client))).status, 303);
    } finally {
      stack.setTime(0);
    }
  });

  test('of 50 submits at once from one address exactly ten are taken, over 50 links', async () => {
    const scenes = [];
    for (let i = 0; i < 50; i++) scenes.push(await stack.scene());
    const payers = [];
    for (const { link } of scenes) {
      await waitFor(async () => (await stack.page(link.url)).status === 200, { what: 'the link' });
      payers.push(await ready(stack, link));
    }
    const client = address();
    const answers = await together(50, (i) => payers[i].submit({ payment_method: 'pm_card_visa' }, from(client)));
    assert.deepEqual(tally(answers.map(({ status }) => status)), { 303: 10, 429: 40 });
    for (const { link } of scenes.slice(0, 3)) assert.equal((await stack.page(link.url)).status, 200);
  });

  test('of 50 submits at once to one link three are taken', async () => {
    const { link } = await published(stack);
    const payers = await together(50, () => ready(stack, link));
    const tokens = await together(50, (i) => payers[i].token(CARD.declined));
    await stack.stopService('worker');
    const answers = await together(50, (i) => payers[i].submit({ payment_method: tokens[i] }, from(address())));
    assert.deepEqual(tally(answers.map(({ status }) => status)), { 303: 3, 429: 47 });
    for (const answer of answers.filter(({ status }) => status === 429)) assert.equal(answer.headers['retry-after'], '60');
    await stack.startService('worker');
    const states = await Promise.all(answers.filter(({ status }) => status === 303).map((answer) => payers[0].result(answer)));
    // One invoice has one attempt under way at a time: the others of the batch are refused by the worker.
    assert.ok(states.some(({ state }) => state === 'declined'));
    assert.ok(states.every(({ state }) => ['declined', 'refused'].includes(state)));
  });

  test('IPv6 counts by its /64, and IPv4 in IPv6 as IPv4', async () => {
    const submit = async (client) => {
      const payer = await ready(stack, (await published(stack)).link);
      return (await payer.submit({ payment_method: 'pm_card_visa' }, from(client))).status;
    };
    for (let i = 1; i <= 10; i++) assert.equal(await submit(`2001:db8:1:2:${i}::1`), 303, `attempt ${i}`);
    assert.equal(await submit('2001:db8:1:2:ffff:ffff:ffff:ffff'), 429);
    assert.equal(await submit('2001:db8:1:3::1'), 303);
    const client = address();
    for (let i = 1; i <= 10; i++) assert.equal(await submit(i % 2 ? client : `::ffff:${client}`), 303, `attempt ${i}`);
    assert.equal(await submit(`::ffff:${client}`), 429);
  });

  test('no log of the module\'s has the address', async () => {
    await waitFor(() => /the guard refuses submits: guard_address/.test(stack.log('nginx')), { what: 'the line' });
    const lines = stack.log('nginx').split('\n').filter((line) => line.includes('the guard refuses'));
    for (const line of lines) assert.doesNotMatch(line, /client|198\.51\.100|request/);
  });
});

// --- from render to submit --------------------------------------------------------------------

const mintedMs = (attempt) => Buffer.from(attempt, 'base64url').readUIntBE(0, 6);

describe('the delay', () => {
  let stack;
  before(async () => { stack = await startStack({ shim: true, nginx: ['paylink_guard rate=off;', ...OUR_SIDE] }); });
  after(() => stack?.stop());
  const held = async () => (await metrics(stack)).held;

  // -> how long after its rendering a form was answered that was submitted at once, ms by this machine's clock.
  async function waited(payer) {
    const answer = await payer.submit({ payment_method: 'pm_card_visa' }, from(address()));
    assert.equal(answer.status, 303);
    return Date.now() - mintedMs(payer.form.fields.attempt);
  }

  test('a form that comes back at once is taken two seconds after it was rendered, and paid', async () => {
    const { link } = await published(stack);
    const counted = await held();
    const payer = await ready(stack, link);
    const begun = mintedMs(payer.form.fields.attempt);
    const answer = await payer.submit({ payment_method: await payer.token() }, from(address()));
    assert.ok(Date.now() - begun >= DELAY_MS - 50, `${Date.now() - begun} ms`);
    assert.equal(await held(), counted + 1);
    assert.equal((await payer.result(answer)).state, 'captured');
  });

  test('a form that was read for two seconds is not held', async () => {
    const payer = await ready(stack, (await published(stack)).link);
    const counted = await held();
    stack.setTime(DELAY_MS);
    assert.equal((await payer.submit({ payment_method: 'pm_card_visa' }, from(address()))).status, 303);
    stack.setTime(0);
    assert.equal(await held(), counted);
  });

  test('a clock that is behind the one that rendered holds nobody for longer than the delay', async () => {
    const { link } = await published(stack);
    stack.setTime(60_000);
    const payer = await ready(stack, link);
    stack.setTime(0);
    assert.equal((await payer.submit({ payment_method: 'pm_card_visa' }, from(address()))).status, 303);
  });

  test('a page that is brought up to date keeps the time of its first rendering; a forged one does not', async () => {
    const { link } = await published(stack);
    const other = await ready(stack, (await published(stack)).link);
    const payer = await ready(stack, link);
    const first = payer.form.fields.attempt;
    const renewed = async (attempt) => /name="attempt" value="([^"]+)"/.exec((await stack.page(link.url, { headers: { 'paylink-attempt': attempt } })).text)[1];
    const second = await renewed(first);
    assert.notEqual(second, first);
    assert.equal(mintedMs(second), mintedMs(first));
    stack.setTime(1000);
    for (const odd of ['', 'x', `B${first.slice(1)}`, other.form.fields.attempt]) {
      assert.ok(mintedMs(await renewed(odd)) >= mintedMs(first) + 1000, odd);
    }
    stack.setTime(0);
    payer.form.fields.attempt = second;
    assert.ok(await waited(payer) >= DELAY_MS - 50);
  });

  test('who leaves while the form is held has submitted nothing', async () => {
    const { link } = await published(stack);
    const payer = await ready(stack, link);
    const counted = await held();
    const leaving = new AbortController();
    const gone = payer.submit({ payment_method: 'pm_card_visa' }, { ...from(address()), signal: leaving.signal }).catch((error) => error.name);
    await waitFor(async () => await held() === counted + 1, { what: 'the form to be held' });
    leaving.abort();
    assert.equal(await gone, 'AbortError');
    await waitFor(() => stack.log('access').includes('"status":499'), { what: 'the end of the request' });
    const redis = await stack.redis();
    const uuid = Buffer.from(payer.form.fields.attempt, 'base64url').subarray(0, 16).toString('hex');
    const shard = (Number.parseInt(link.id.slice(0, 2), 16) % 16).toString(16).padStart(2, '0');
    assert.equal(await redis.do('EXISTS', `paylink:{${shard}}:attempt:${uuid}`), 0);
  });
});

// --- settings ---------------------------------------------------------------------------------

test('the guard can be switched off', async () => {
  const stack = await startStack({ nginx: ['paylink_guard off;', ...OUR_SIDE] });
  try {
    const { link } = await published(stack);
    await stack.stopService('worker');
    const client = address();
    const payers = await together(12, () => ready(stack, link));
    const answers = await together(12, (i) => payers[i].submit({ payment_method: `pm_${i}` }, from(client)));
    assert.deepEqual(tally(answers.map(({ status }) => status)), { 303: 12 });
    assert.deepEqual(await metrics(stack), { declines: 0, cards: 0, address: 0, held: 0 });
  } finally {
    await stack.stop();
  }
});

test('an address that is excepted is left alone, another one through the same edge is not', async () => {
  const stack = await startStack({ nginx: OUR_SIDE });
  try {
    const { link } = await published(stack);
    await stack.stopService('worker');
    const payers = await together(16, () => ready(stack, link));
    const own = await together(12, (i) => payers[i].submit({ payment_method: `pm_${i}` }));
    assert.deepEqual(tally(own.map(({ status }) => status)), { 303: 12 });
    const client = address();
    const others = await together(4, (i) => payers[12 + i].submit({ payment_method: `pm_${12 + i}` }, from(client)));
    assert.deepEqual(tally(others.map(({ status }) => status)), { 303: 3, 429: 1 });
  } finally {
    await stack.stop();
  }
});

describe('a challenge', () => {
  let stack;
  let folder;
  // Beside the stack's own server two on unix sockets; the first has the example of README.md.
  before(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'paylink-guard-'));
    stack = await startStack({
      nginx: ['paylink_guard rate=1/h delay=off challenge=@human;', ...OUR_SIDE, 'set_real_ip_from unix:;',
        `server { listen unix:${folder}/human.sock; location / { paylink on; }
          location @human { auth_request /human; error_page 401 = @captcha; paylink on; paylink_guard rate=off; }
          location = /human { internal; if ($cookie_human = yes) { return 204; } return 401; }
          location @captcha { default_type text/plain; return 403 "are you human?"; } }`,
        `server { listen unix:${folder}/strict.sock; location / { paylink on; } location @human { paylink on; } }`],
    });
  });
  after(async () => {
    await stack?.stop();
    fs.rmSync(folder, { recursive: true, force: true });
  });

  function post(socket, payer, client, cookie) {
    const body = formBody({ ...payer.form.fields, payment_method: 'pm_card_visa' });
    return new Promise((resolve, reject) => {
      const sent = http.request({
        socketPath: path.join(folder, socket), method: 'POST', path: new URL(payer.form.action, stack.url).pathname, agent: false,
        headers: {
          host: 'pay.example', 'content-type': 'application/x-www-form-urlencoded', 'content-length': body.length,
          ...(client && { 'x-forwarded-for': client }), ...(cookie && { cookie }),
        },
      }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk) => { text += chunk; });
        response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text }));
      });
      sent.on('error', reject);
      sent.end(body);
    });
  }
  const payerOfNew = async () => ready(stack, (await published(stack)).link);

  test('takes the place of the refusal, and the same submit goes on for whoever passes it', async () => {
    const client = address();
    const first = await payerOfNew();
    assert.equal((await post('human.sock', first, client)).status, 303);
    const payer = await payerOfNew();
    const counted = (await metrics(stack)).address;
    const asked = await post('human.sock', payer, client);
    assert.deepEqual([asked.status, asked.text], [403, 'are you human?']);
    assert.equal((await metrics(stack)).address, counted + 1);
    const answer = await post('human.sock', payer, client, 'human=yes');
    assert.equal((await payer.result(answer)).state, 'captured');
  });

  test('is not asked for twice: a location that counts as well refuses', async () => {
    const client = address();
    assert.equal((await post('strict.sock', await payerOfNew(), client)).status, 303);
    refused(await post('strict.sock', await payerOfNew(), client), NETWORK);
  });

  test('a client without an address is not counted by it', async () => {
    for (let i = 0; i < 3; i++) assert.equal((await post('strict.sock', await payerOfNew())).status, 303);
  });
});

// --- what can go wrong ------------------------------------------------------------------------

describe('Redis', () => {
  let stack;
  let redis;
  before(async () => {
    stack = await startStack({ nginx: ['paylink_guard delay=off;', ...OUR_SIDE] });
    redis = await stack.redis();
  });
  after(() => stack?.stop());

  const functions = ['paylink_check', 'paylink_velocity', 'paylink_submit', 'paylink_open', 'paylink_want'];
  for (const name of functions.slice(0, 3)) {
    test(`no answer of ${name}: nothing is taken, and trying again is safe`, async () => {
      const { link } = await published(stack);
      const payer = await ready(stack, link);
      const client = address();
      await redis.do('ACL', 'SETUSER', 'edge', '-fcall', ...functions.filter((other) => other !== name).map((other) => `+fcall|${other}`));
      const answer = await payer.submit({ payment_method: 'pm_card_visa' }, from(client));
      await redis.do('ACL', 'SETUSER', 'edge', `+fcall|${name}`);
      assert.equal(answer.status, 503);
      assert.ok(answer.text.includes(`/a/${payer.form.fields.attempt}`));
      assert.equal((await payer.result(await payer.submit({ payment_method: 'pm_card_visa' }, from(client)))).state, 'captured');
    });
  }

  test('a link that Redis has lost comes back, and the attempt counts once', async () => {
    const { link } = await published(stack);
    const payer = await ready(stack, link);
    const shard = (Number.parseInt(link.id.slice(0, 2), 16) % 16).toString(16).padStart(2, '0');
    await redis.do('DEL', `paylink:{${shard}}:link:${link.id}`, `paylink:{${shard}}:wanted:${link.id}`);
    const before_ = await redis.do('KEYS', 'paylink:*:client:*');
    const answer = await payer.submit({ payment_method: 'pm_card_visa' }, from(address()));
    assert.equal((await payer.result(answer)).state, 'captured');
    const [client, ...more] = (await redis.do('KEYS', 'paylink:*:client:*')).filter((key) => !before_.includes(key));
    assert.deepEqual(more, []);
    assert.equal(await redis.do('ZCARD', client), 1);
    const [, slot, name] = /^paylink:\{(..)\}:client:([0-9a-f]{32})$/.exec(client);
    assert.equal(Number.parseInt(slot, 16), Number.parseInt(name.slice(0, 2), 16) % 16);
  });
});
