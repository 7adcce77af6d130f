// Bad input to the pay form: each a clear answer, nothing accepted, nothing lost, nothing logged.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { formBody, postForm, request, startStack } from '../harness/index.mjs';

let stack;
let scene;
let payer;
before(async () => {
  stack = await startStack({ worker: true });
  scene = await stack.scene();
  payer = stack.payer(scene.link);
  await payer.view();
});
after(() => stack.stop());

const attempts = () => stack.cli('attempt', 'list', '--invoice', scene.invoice.id);

async function refusedWith(status, send) {
  const seen = JSON.stringify(await attempts());
  const answer = await send();
  assert.equal(answer.status, status, `${send}\n${answer.text.slice(0, 400)}`);
  if (status < 500) assert.match(answer.headers['content-type'], /^text\/html/);
  assert.equal(JSON.stringify(await attempts()), seen);
  return answer;
}

const good = () => ({ ...payer.form.fields, payment_method: 'pm_card_visa' });
const where = () => new URL(payer.form.action, scene.link.url).href;

test('amounts that are no amounts', async () => {
  for (const amount of ['-12500', '+12500', '12500.00', '1e4', '012500', ' 12500', '', '9999999999999999999999', '18446744073709564116', '125O0', '0x30d4', '１２５００', 'USD12500']) {
    await refusedWith(400, () => payer.submit({ payment_method: 'pm_card_visa', amount_minor: amount }));
  }
});

test('an amount that is not the total on the page', async () => {
  for (const amount of ['1', '12499', '12501', '9999999999999999']) {
    const answer = await payer.submit({ payment_method: 'pm_card_visa', amount_minor: amount });
    assert.ok([400, 409].includes(answer.status), String(answer.status));
  }
  assert.equal((await attempts()).length, 0);
});

test('attempts and versions that the page did not mint', async () => {
  const { attempt } = payer.form.fields;
  const other = stack.payer((await stack.scene()).link);
  await other.view();
  for (const bad of ['', 'x', attempt.slice(1), `${attempt}A`, attempt.replace(/.$/, (c) => (c === 'A' ? 'B' : 'A')), other.form.fields.attempt, 'A'.repeat(48), '='.repeat(48)]) {
    await refusedWith(400, () => payer.submit({ payment_method: 'pm_card_visa', attempt: bad }));
  }
  for (const version of ['', '0', '-1', '99999999999', 'x', '2']) {
    const answer = await payer.submit({ payment_method: 'pm_card_visa', version });
    assert.ok([400, 409].includes(answer.status), `${version}: ${answer.status}`);
  }
  assert.equal((await attempts()).length, 0);
});

test('payment methods that are no gateway tokens; card numbers are refused and not logged', async () => {
  for (const bad of ['', 'pm_a b', 'pm_<script>', `pm_${'a'.repeat(300)}`, '../pm_card', 'pm_card_visa\u0000']) {
    await refusedWith(400, () => payer.submit({ payment_method: bad }));
  }
  for (const number of ['4242424242424242', '4242 4242 4242 4242', '5555-5555-5555-4444', '378282246310005']) {
    await refusedWith(400, () => payer.submit({ payment_method: number }));
    await refusedWith(400, () => payer.submit({ payment_method: 'pm_card_visa', note: number }));
  }
  for (const name of readdirSync(stack.info.log_dir).filter((file) => file.endsWith('.log'))) {
    assert.doesNotMatch(readFileSync(`${stack.info.log_dir}/${name}`, 'latin1'), /4242[ -]?4242[ -]?4242|5555-5555-5555-4444|378282246310005/, name);
  }
});

test('forms that are no forms', async () => {
  const fields = good();
  const pairs = Object.entries(fields);
  await refusedWith(400, () => postForm(where(), [...pairs, ['attempt', fields.attempt]]));
  await refusedWith(400, () => postForm(where(), [...pairs, ['amount_minor', '1']]));
  await refusedWith(400, () => postForm(where(), [...pairs, ['currency', 'EUR']]));
  await refusedWith(400, () => postForm(where(), pairs.filter(([name]) => name !== 'attempt')));
  await refusedWith(400, () => postForm(where(), pairs.filter(([name]) => name !== 'amount_minor')));
  await refusedWith(400, () => postForm(where(), ''));
  await refusedWith(400, () => postForm(where(), '&&&&'));
  await refusedWith(400, () => postForm(where(), '=x'));
  await refusedWith(400, () => postForm(where(), `${formBody(fields)}&bad=%zz`));
  await refusedWith(400, () => postForm(where(), `${formBody(fields)}&bad=%ff%fe`));
  await refusedWith(400, () => postForm(where(), `${formBody(fields)}&bad=%c0%80`));
  await refusedWith(400, () => postForm(where(), `${formBody(fields)}&bad=%00`));
  await refusedWith(400, () => postForm(where(), Array.from({ length: 30 }, (_, i) => [`f${i}`, '1'])));
});

test('bodies of the wrong type or size', async () => {
  await refusedWith(415, () => request('POST', where(), { body: JSON.stringify(good()), headers: { 'content-type': 'application/json', 'content-length': JSON.stringify(good()).length } }));
  await refusedWith(415, () => request('POST', where(), { body: 'x', headers: { 'content-length': 1 } }));
  await refusedWith(413, () => postForm(where(), `${formBody(good())}&x=${'a'.repeat(9_000)}`));
  await refusedWith(413, () => postForm(where(), 'a'.repeat(3_000_000)));
});

test('a submit from another site is refused', async () => {
  await refusedWith(403, () => postForm(where(), good(), { headers: { 'sec-fetch-site': 'cross-site' } }));
  await refusedWith(403, () => request('POST', `${scene.link.url}/open`, { headers: { 'content-length': 0, 'sec-fetch-site': 'cross-site' } }));
});

test('a body without a length, a broken one and a half one do not harm', async () => {
  const body = formBody(good());
  const path = new URL(where()).pathname;
  const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n`;
  const chunked = await stack.raw(`${head}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`);
  assert.match(chunked, /^HTTP\/1\.1 411 /);
  const broken = await stack.raw(`${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n${body}\r\n0\r\n\r\n`);
  assert.match(broken, /^HTTP\/1\.1 4/);
  const both = await stack.raw(`${head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`);
  assert.match(both, /^HTTP\/1\.1 4/);
  await stack.raw(`${head}Content-Length: ${body.length}\r\n\r\n${body.slice(0, 20)}`, { quiet: 300 });
  assert.equal((await attempts()).length, 0);
  const whole = await stack.raw(`${head}Connection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  assert.match(whole, /^HTTP\/1\.1 303 /);
  const location = /Location: (\S+)/i.exec(whole)[1];
  assert.equal((await payer.result({ status: 303, headers: { location } })).state, 'captured');
});

test('odd text of merchants and customers is shown as text', async () => {
  const merchant = await stack.cli('merchant', 'create', '--name', '<script>alert("M&M")</script>', '--currency', 'USD');
  const customer = await stack.cli('customer', 'create', '--merchant', merchant.id, '--name', "O'Brien & 木村 <b>", '--email', 'o@example.com');
  const invoice = await stack.cli('invoice', 'create', '--merchant', merchant.id, '--customer', customer.id, '--number', 'A"1\'', '--currency', 'USD', '--line', 'x{{due_text}}</td>:1:100');
  const link = await stack.cli('link', 'create', '--merchant', merchant.id, '--invoice', invoice.id);
  const { text } = await stack.page(link.url);
  assert.ok(text.includes('&lt;script&gt;alert(&quot;M&amp;M&quot;)&lt;/script&gt;'));
  assert.doesNotMatch(text, /<script>alert/);
});
