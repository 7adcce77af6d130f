// Mail to customers, received by a real mail server: new links and receipts, retries, refusals, headers.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { CliError, Mailbox, postForm, run, startStack, visibleText, waitFor } from '../harness/index.mjs';

let stack, mailbox;
before(async () => {
  mailbox = await Mailbox.start();
  stack = await startStack({ set: { 'mail.url': mailbox.url, 'mail.from': 'pay@pay.example', 'mail.starttls': 'off', 'mail.retry_ms': 1 } });
});
after(async () => {
  await stack?.stop();
  await mailbox?.stop();
});

const mails = (scene, ...more) => stack.cli('mail', 'list', '--merchant', scene.merchant.id, ...more);
const state = (page) => /data-state="([a-z_]+)"/.exec(page.text)?.[1];
const ended = (scene) => waitFor(async () => (await mails(scene)).find((mail) => mail.ended_at), { what: 'the end of the mail' });

async function expired(options) {
  const scene = await stack.scene({ lifetime: 1, ...options });
  const payer = stack.payer(scene.link);
  await payer.view();
  await payer.open();
  await waitFor(async () => (await stack.page(scene.link.url)).status === 410, { what: 'the end of the link' });
  return scene;
}
async function renewed(options) {
  const scene = await expired(options);
  assert.equal((await postForm(`${scene.link.url}/renew`, '')).status, 303);
  return scene;
}
const urlIn = (text) => /http:\/\/\S+\/p\/[\w-]{44}(?=\s|"|$)/.exec(text)?.[0];

test('a new link arrives where the customer is, opens, and is paid; the old one stays dead', async () => {
  const scene = await renewed();
  const { parsed, raw, from, to } = await mailbox.next(scene.customer.email);
  assert.deepEqual([from, to], ['pay@pay.example', [scene.customer.email]]);
  assert.equal(parsed.from.text, `"${scene.merchant.name}" <pay@pay.example>`);
  assert.equal(parsed.to.text, `"Ada Byron" <${scene.customer.email}>`);
  assert.equal(parsed.subject, `Your new payment link for Invoice ${scene.invoice.number}`);
  assert.equal(parsed.headers.get('auto-submitted'), 'auto-generated');
  assert.match(parsed.messageId, /^<[0-9a-f-]{36}@pay\.example>$/);
  assert.ok(Math.abs(parsed.date - Date.now()) < 60_000);
  assert.equal(parsed.replyTo, undefined);
  assert.match(parsed.text, /^Hello Ada Byron,\n\nhere is the new payment link that was asked for\. It replaces the earlier one\. \$125\.00 is due to Harbour Tools/);
  assert.match(visibleText(parsed.html), /Hello Ada Byron , here is the new payment link .* Pay \$125\.00 /);
  assert.doesNotMatch(parsed.html, /<img|src=|url\(|<script|<link/);
  assert.ok(raw.split('\r\n').every((line) => line.length <= 76 || /^(From|To|Subject|Message-ID):/.test(line)));
  const url = urlIn(parsed.text);
  assert.equal(urlIn(parsed.html), url);
  assert.notEqual(url, scene.link.url);
  assert.equal(state(await stack.page(url)), 'active');
  assert.equal(state(await stack.page(scene.link.url)), 'replaced');
  assert.equal((await stack.payer({ url }).settle()).state, 'captured');
  assert.equal((await stack.cli('invoice', 'show', scene.invoice.id)).state, 'paid');
  const [mail] = (await mails(scene)).filter(({ kind }) => kind === 'renew');
  assert.deepEqual([mail.state, mail.tries, mail.email, mail.link], ['sent', 1, scene.customer.email, (await stack.cli('link', 'show', url)).id]);
  assert.match(mail.answer, /^250 /);
});

test('the promise of 24 hours is made for links that have them', async () => {
  const short = await renewed();
  assert.doesNotMatch((await mailbox.next(short.customer.email)).parsed.text, /24 hours/);
  const day = await expired();
  await stack.sqlRun(`UPDATE paylink.link SET lifetime_ms = 86400000, opened_at = opened_at - interval '25 hours' WHERE id = '${day.link.id}'`);
  await postForm(`${day.link.url}/renew`, '');
  assert.match((await mailbox.next(day.customer.email)).parsed.text, /the link is active for 24 hours/);
});

test('a payment is followed by its receipt; cash, a decline and a merchant that wants none are not', async () => {
  const scene = await stack.scene();
  await stack.cli('merchant', 'change', scene.merchant.id, '--reply-to', 'till@example.com');
  assert.equal((await stack.payer(scene.link).settle()).state, 'captured');
  const { parsed } = await mailbox.next(scene.customer.email);
  const [payment] = await stack.cli('payment', 'list', '--invoice', scene.invoice.id);
  assert.equal(parsed.subject, `Receipt ${payment.receipt_number} from ${scene.merchant.name}`);
  assert.equal(parsed.replyTo.text, 'till@example.com');
  for (const text of [parsed.text, visibleText(parsed.html)]) {
    for (const fact of ['$125.00', `Invoice ${scene.invoice.number}`, payment.receipt_number, 'Visa •••• 4242', 'Show the receipt']) assert.ok(text.includes(fact), fact);
  }
  assert.equal(urlIn(parsed.text), scene.link.url);
  const none = await stack.scene();
  await stack.cli('merchant', 'change', none.merchant.id, '--receipt-mail', 'off');
  await stack.payer(none.link).settle();
  const declined = await stack.scene();
  assert.equal((await stack.payer(declined.link).settle({ paymentMethod: 'pm_card_chargeDeclined' })).state, 'declined');
  const cash = await stack.scene();
  await stack.cli('payment', 'record', '--invoice', cash.invoice.id, '--method', 'cash', '--amount-minor', 12500);
  for (const other of [none, declined, cash]) assert.deepEqual(await mails(other), []);
});

for (const at of ['sender', 'recipient', 'data']) {
  test(`what is not taken now (4xx at ${at}) is tried again until it is`, async () => {
    const scene = await expired();
    mailbox.refuse(at, 451, 'come back later', 3);
    await postForm(`${scene.link.url}/renew`, '');
    await mailbox.next(scene.customer.email);
    const mail = await ended(scene);
    assert.equal(mail.state, 'sent');
    assert.equal(mail.tries, 4);
    assert.equal(mailbox.to(scene.customer.email).length, 1);
  });
}

for (const at of ['sender', 'recipient', 'data']) {
  test(`what is refused for good (5xx at ${at}) is recorded and not tried again`, async () => {
    const scene = await expired();
    mailbox.refuse(at, 550, 'no such mailbox', 1);
    await postForm(`${scene.link.url}/renew`, '');
    const mail = await ended(scene);
    assert.deepEqual([mail.state, mail.tries, mail.answer, mail.next_try_at], ['failed', 1, '550 no such mailbox', null]);
    assert.deepEqual(await mails(scene, '--state', 'failed'), [mail]);
    assert.deepEqual(await mails(scene, '--state', 'sent'), []);
    assert.equal(mailbox.to(scene.customer.email).length, 0);
    assert.ok(!stack.log('worker').includes(scene.customer.email), 'no address in a log');
  });
}

const WORDS = 'config/mail/messages';
for (const file of fs.readdirSync(WORDS)) {
  const lang = file.replace('.txt', '');
  test(`the letters to who reads ${lang}`, async () => {
    const words = Object.fromEntries([...fs.readFileSync(path.join(WORDS, file), 'utf8').matchAll(/^(\w+) = (.*)$/gm)].map(([, key, text]) => [key, text]));
    const said = (key, values) => words[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
    const checked = ({ parsed }) => {
      assert.ok(parsed.text.startsWith(`${said('mail_renew_hello', { customer: 'Ada Byron' })}\n`), parsed.text);
      assert.match(parsed.html, new RegExp(`<html lang="${lang}">`));
      assert.equal(/<body[^>]* dir="rtl"/.test(parsed.html), lang === 'ar');
      return parsed;
    };
    const scene = await stack.scene();
    assert.equal((await stack.payer(scene.link, lang).settle()).state, 'captured');
    const receipt = checked(await mailbox.next(scene.customer.email));
    const [payment] = await stack.cli('payment', 'list', '--invoice', scene.invoice.id);
    assert.equal(receipt.subject, said('mail_receipt_subject', { receipt_number: payment.receipt_number, merchant: scene.merchant.name }));
    const amount = { ar: '١٢٥٫٠٠', en: '125.00', ja: '125.00', zh: '125.00' }[lang] ?? '125,00';
    assert.ok(receipt.text.includes(amount), receipt.text);
    for (const key of ['receipt_number', 'receipt_date', 'receipt_paid', 'mail_receipt_link']) assert.ok(receipt.text.includes(words[key]), key);
    const late = await expired();
    await postForm(`${late.link.url}/renew`, '', { headers: { 'accept-language': lang } });
    const renewal = checked(await mailbox.next(late.customer.email));
    assert.ok(renewal.subject.includes(late.invoice.number));
    assert.ok(renewal.subject.startsWith(words.mail_renew_subject.split('{title}')[0]), renewal.subject);
    assert.ok(renewal.text.includes(words.mail_renew_ignore));
    assert.ok(visibleText(renewal.html).includes(amount));
  });
}

test('a mail server that is away: the answer to the operator, and the mail once it is back', async () => {
  const scene = await expired();
  const { port } = mailbox;
  await mailbox.stop();
  await postForm(`${scene.link.url}/renew`, '');
  const waiting = await waitFor(async () => (await mails(scene)).find(({ tries, answer }) => tries > 1 && answer), { what: 'failed tries' });
  assert.equal(waiting.state, 'waiting');
  assert.match(waiting.answer, /connect/i);
  const taken = mailbox.mails;
  mailbox = await Mailbox.start({}, port);
  mailbox.mails.push(...taken);
  await mailbox.next(scene.customer.email);
});

test('a worker that dies after sending sends again, under the same id', async () => {
  const scene = await expired();
  await stack.stopService('worker');
  await stack.startService('worker', { workerEnv: { PAYLINK_FAILPOINT: 'mail.after_send=kill' } });
  await postForm(`${scene.link.url}/renew`, '');
  await stack.waitDead('worker');
  await stack.startService('worker');
  await stack.sqlRun(`UPDATE paylink.mail SET next_try_at = now() WHERE merchant_id = '${scene.merchant.id}'`);
  assert.equal((await ended(scene)).state, 'sent');
  const [first, second] = mailbox.to(scene.customer.email);
  assert.equal(first.parsed.messageId, second.parsed.messageId);
});

test('names and subjects in any script arrive as they are; nothing gets into a header', async () => {
  const odd = ['Häfen & Söhne “木村” <b>', '"; Bcc: x@evil.example', '=?utf-8?Q?evil?=', '\\" <x@evil.example>,', 'ש'.repeat(200)];
  for (const name of odd) {
    const merchant = await stack.cli('merchant', 'create', '--name', name, '--currency', 'EUR');
    const customer = await stack.cli('customer', 'create', '--merchant', merchant.id, '--name', name, '--email', `odd-${odd.indexOf(name)}@example.com`);
    const invoice = await stack.cli('invoice', 'create', '--merchant', merchant.id, '--customer', customer.id, '--number', `Ré-“${odd.indexOf(name)}”`,
      '--currency', 'EUR', '--line', 'x:1:100');
    await stack.payer(await stack.link({ merchant, invoices: [invoice] })).settle();
    const { parsed, raw, to } = await mailbox.next(customer.email);
    assert.deepEqual(to, [customer.email]);
    assert.deepEqual(parsed.from.value, [{ address: 'pay@pay.example', name }]);
    assert.deepEqual(parsed.to.value, [{ address: customer.email, name }]);
    assert.equal(parsed.bcc, undefined);
    assert.ok(parsed.subject.endsWith(`from ${name}`));
    assert.ok(parsed.text.includes(`Hello ${name},`));
    assert.ok(!parsed.html.includes('<b>'));
    assert.doesNotMatch(raw.slice(0, raw.indexOf('\r\n\r\n')), /[^\r\n\x20-\x7e]/);
  }
});

test('line ends are refused long before a header: names, addresses, where answers go', async () => {
  const scene = await stack.scene({ link: false });
  const refused = (...args) => assert.rejects(stack.cli(...args), (error) => error instanceof CliError && /^(usage|invalid_)/.test(error.code), args.join(' '));
  for (const bad of ['a\r\nBcc: x@evil.example', 'a\nb', 'a\rb']) {
    await refused('customer', 'create', '--merchant', scene.merchant.id, '--name', bad, '--email', 'a@example.com');
    await refused('customer', 'create', '--merchant', scene.merchant.id, '--name', 'a', '--email', `${bad}@example.com`);
    await refused('merchant', 'change', scene.merchant.id, '--reply-to', `${bad}@example.com`);
  }
  await refused('merchant', 'change', scene.merchant.id, '--reply-to', 'nobody');
});

test('an address that a header cannot have is a failure that is told, not a mail', async () => {
  const scene = await expired();
  await stack.sqlRun(`UPDATE paylink.customer SET email = 'ädä@example.com' WHERE id = '${scene.customer.id}'`);
  await postForm(`${scene.link.url}/renew`, '');
  const mail = await ended(scene);
  assert.deepEqual([mail.state, mail.answer], ['failed', 'an address of the mail is not one in ASCII']);
});

test('a password is given to a server that asks for it, and nothing to one that cannot encrypt', async () => {
  const logins = [];
  const guarded = await Mailbox.start({
    disabledCommands: ['STARTTLS'], authOptional: false, allowInsecureAuth: true,
    onAuth: ({ username, password }, session, done) => {
      logins.push([username, password]);
      done(password === 'right' ? null : Object.assign(new Error('no'), { responseCode: 535 }), { user: username });
    },
  });
  const secret = path.join(stack.dir, 'secrets', 'mail');
  fs.writeFileSync(secret, 'wrong\n', { mode: 0o600 });
  const change = async (from, to) => {
    await stack.stopService('worker');
    fs.writeFileSync(stack.info.config, fs.readFileSync(stack.info.config, 'utf8').replace(from, to), { mode: 0o600 });
    await stack.startService('worker');
  };
  const own = /^url = smtp:.*$/m.exec(fs.readFileSync(stack.info.config, 'utf8'))[0];
  const tried = (scene, text) => waitFor(async () => (await mails(scene)).find(({ answer }) => text.test(answer)), { what: `an answer like ${text}` });
  try {
    const scene = await expired();
    await change(own, `url = ${guarded.url}\nuser = paylink\npassword_file = ${secret}`);
    await postForm(`${scene.link.url}/renew`, '');
    const { state: waiting } = await tried(scene, /login|denied/i);
    assert.equal(waiting, 'waiting');
    await change('starttls = off', 'starttls = on');
    const { length } = logins;
    await tried(scene, /SSL|TLS/);
    assert.equal(logins.length, length);
    fs.writeFileSync(secret, 'right\n', { mode: 0o600 });
    await change('starttls = on', 'starttls = off');
    await guarded.next(scene.customer.email);
    assert.deepEqual(logins.at(-1), ['paylink', 'right']);
  } finally {
    await change(new RegExp(`url = ${guarded.url}\\n.*\\n.*`), own);
    await guarded.stop();
  }
});

test('for trying out: a folder in place of a mail server, also one that is not there yet', async () => {
  const folder = path.join(stack.dir, 'letters');
  const config = fs.readFileSync(stack.info.config, 'utf8');
  const scene = await expired();
  await stack.stopService('worker');
  fs.writeFileSync(stack.info.config, config.replace(/^url = smtp:.*$/m, `url = file://${folder}`), { mode: 0o600 });
  await stack.startService('worker');
  await postForm(`${scene.link.url}/renew`, '');
  await waitFor(async () => (await mails(scene)).find(({ answer }) => /letters\/.*cannot be written: No such file/.test(answer)), { what: 'the complaint' });
  fs.mkdirSync(folder);
  const mail = await ended(scene);
  assert.deepEqual([mail.state, mail.answer], ['sent', 'written']);
  const file = path.join(folder, `${mail.id}.eml`);
  assert.match(fs.readFileSync(file, 'latin1'), /^From: "Harbour Tools [\s\S]*--\r\n$/);
  assert.equal(fs.statSync(file).mode & 0o777, 0o600);
  await stack.stopService('worker');
  fs.writeFileSync(stack.info.config, config, { mode: 0o600 });
  await stack.startService('worker');
});

test('flaws of templates and words are told with file and line when the worker starts', async () => {
  const folder = path.join(stack.dir, 'mail');
  const config = path.join(stack.dir, 'flawed.ini');
  fs.cpSync(path.join(process.cwd(), 'config/mail'), folder, { recursive: true });
  fs.writeFileSync(config, fs.readFileSync(stack.info.config, 'utf8').replace(/^dir = .*config\/mail$/m, `dir = ${folder}`), { mode: 0o600 });
  const starts = () => run(path.join(stack.info.build, 'paylink'), ['--config', config, 'worker'], { env: stack.environment('flawed') });
  const flawed = async (file, edit, expected) => {
    const at = path.join(folder, file);
    const before_ = fs.existsSync(at) ? fs.readFileSync(at) : null;
    fs.writeFileSync(at, edit(String(before_ ?? '')));
    const { status, stderr, stdout } = await starts();
    assert.equal(status, 4, stderr);
    assert.match(stderr + stdout, expected);
    if (before_) fs.writeFileSync(at, before_);
    else fs.rmSync(at);
  };
  await flawed('renew.txt', (text) => text.replace('{{url}}', '{{uri}}'), /renew\.txt:8: .*uri/);
  await flawed('receipt.html', (text) => `${text}{{#if url}}`, /receipt\.html:\d+: .*not closed/);
  await flawed('messages/en.txt', (text) => `${text}\nmail_other = x\n`, /en\.txt:\d+: no template says "mail_other"/);
  await flawed('messages/de.txt', () => 'mail_renew_hello = Guten Tag {customer},\n', /de\.txt.*missing/);
});
