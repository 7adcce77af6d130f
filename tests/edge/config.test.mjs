// A broken configuration: nginx -t says which line and what is wrong with it.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { run, startStack } from '../harness/index.mjs';

let stack;
let config;
let folder;
before(async () => {
  stack = await startStack({ services: ['postgres', 'redis', 'sandbox', 'nginx'] });
  config = fs.readFileSync(path.join(stack.dir, 'nginx/nginx.conf'), 'utf8');
  folder = fs.mkdtempSync(path.join(stack.parent, 'config-'));
});
after(() => stack.stop());

// nginx -t with `change` made to the stack's own configuration; -> its message.
async function check(change) {
  const text = change(config);
  assert.notEqual(text, config, 'the change changes nothing');
  const file = path.join(folder, 'nginx.conf');
  fs.writeFileSync(file, text);
  const result = await run('nginx', ['-t', '-p', path.join(stack.dir, 'nginx'), '-e', 'stderr', '-c', file], { env: stack.environment('nginx-t') });
  assert.notEqual(result.status, 0, text);
  return result.stderr;
}

const replaceDirective = (name, line) => (text) => text.replace(new RegExp(`^\\s*${name}\\s[^;]*;`, 'm'), line);
const lineOf = (file, needle) => fs.readFileSync(file, 'utf8').split('\n').findIndex((line) => line.includes(needle)) + 1;

for (const [title, directive, line, says] of [
  ['an address that is no unix socket', 'paylink_redis', 'paylink_redis tcp:nowhere;', /redis address "tcp:nowhere"/],
  ['an unknown parameter', 'paylink_redis', 'paylink_redis unix:/tmp/x colour=red;', /colour/],
  ['a time-out that is none', 'paylink_redis', 'paylink_redis unix:/tmp/x timeout=soon;', /soon/],
  ['a replica that is nowhere', 'paylink_redis', 'paylink_redis unix:/tmp/x; paylink_redis_replica tcp:nowhere;', /redis address "tcp:nowhere"/],
  ['a replica with a user of its own', 'paylink_redis', 'paylink_redis unix:/tmp/x; paylink_redis_replica unix:/tmp/y user=edge;', /invalid number of arguments in "paylink_redis_replica"/],
  ['a replica that is said twice', 'paylink_redis', 'paylink_redis unix:/tmp/x; paylink_redis_replica unix:/tmp/y; paylink_redis_replica unix:/tmp/z;', /"paylink_redis_replica" directive is duplicate/],
  ['a key file that does not exist', 'paylink_key_file', 'paylink_key_file /nonexistent/keys;', /\/nonexistent\/keys/],
  ['pages that do not exist', 'paylink_pages', 'paylink_pages /nonexistent/pages;', /\/nonexistent\/pages/],
  ['a gateway that is no address', 'paylink_gateway', 'paylink_gateway gateway;', /gateway/],
  ...['declines=many', 'cards=1001', 'cards=-1', 'rate=10', 'rate=/h', 'rate=10/d', 'delay=soon', 'delay=11s', 'challenge=/human', 'challenge=@', 'colour=red', 'rate=1/h on']
    .map((odd) => [`a guard with ${odd}`, 'paylink_guard', `paylink_guard ${odd};`, new RegExp(odd.split(' ').at(-1))]),
  ['a guard that excepts no address', 'paylink_guard', 'paylink_guard except=here;', /invalid address "here"/],
  ['a guard that is said twice', 'paylink_guard', 'paylink_guard on; paylink_guard off;', /duplicate/],
  ['a base address that is none', 'paylink_base_url', 'paylink_base_url pay.example;', /pay\.example/],
]) {
  test(`nginx -t names the line: ${title}`, async () => {
    const message = await check(replaceDirective(directive, line));
    assert.match(message, says);
    assert.match(message, new RegExp(`nginx\\.conf:${lineOf(path.join(folder, 'nginx.conf'), line)}`));
  });
}

test('a duplicate directive and a wrong value of paylink_open are refused', async () => {
  assert.match(await check((text) => text.replace(/^(\s*paylink_key_file\s[^;]*;)/m, '$1\n$1')), /duplicate/);
  assert.match(await check((text) => text.replace(/paylink on;/, 'paylink on;\npaylink_open sometimes;')), /sometimes/);
});

test('a replica that is the primary itself, and one without a primary, are refused', async () => {
  assert.match(await check(replaceDirective('paylink_redis', 'paylink_redis unix:/tmp/x; paylink_redis_replica unix:/tmp/x;')), /is the address of "paylink_redis" itself: "unix:\/tmp\/x"/);
  assert.match(await check(replaceDirective('paylink_redis', 'paylink_redis_replica unix:/tmp/x;')), /needs "paylink_redis"/);
});

test('a location that is on without its directives says what is missing', async () => {
  assert.match(await check(replaceDirective('paylink_key_file', '')), /paylink_key_file/);
  assert.match(await check(replaceDirective('paylink_redis', '')), /paylink_redis/);
  assert.match(await check(replaceDirective('paylink_pages', '')), /paylink_pages/);
});

test('a broken key file: file and line', async () => {
  const keys = path.join(folder, 'keys');
  for (const [text, says] of [['1 abc\n', /keys:1/], ['# only a comment\n', /no key/i], [`300 ${'a'.repeat(64)}\n`, /keys:1/], [`1 ${'a'.repeat(64)}\n1 ${'b'.repeat(64)}\n`, /keys:2/]]) {
    fs.writeFileSync(keys, text, { mode: 0o600 });
    fs.chmodSync(keys, 0o600);
    assert.match(await check(replaceDirective('paylink_key_file', `paylink_key_file ${keys};`)), says);
  }
  fs.writeFileSync(keys, `1 ${'a'.repeat(64)}\n`);
  fs.chmodSync(keys, 0o644);
  assert.match(await check(replaceDirective('paylink_key_file', `paylink_key_file ${keys};`)), /accessed by others/);
});

test('a broken template: file and line', async () => {
  const pages = path.join(folder, 'pages');
  const source = /paylink_pages\s+([^;]+);/.exec(config)[1].trim();
  for (const [text, says] of [['one\n{{nothing_like_that}}\n', /pay\.html:2.*nothing_like_that/], ['{{#if state}}\nx\n', /pay\.html/], ['{{> missing.html}}', /missing\.html/]]) {
    fs.cpSync(source, pages, { recursive: true });
    fs.writeFileSync(path.join(pages, 'pay.html'), text);
    assert.match(await check(replaceDirective('paylink_pages', `paylink_pages ${pages};`)), says);
  }
});

test('a broken message: file and line', async () => {
  const pages = path.join(folder, 'pages-of-messages');
  const source = /paylink_pages\s+([^;]+);/.exec(config)[1].trim();
  const file = path.join(pages, 'messages/en.txt');
  const english = fs.readFileSync(path.join(source, 'messages/en.txt'), 'utf8');
  const line = lineOf(path.join(source, 'messages/en.txt'), 'pay_due =');
  fs.cpSync(source, pages, { recursive: true });
  for (const [text, says] of [
    [english.replace(/^pay_due = .*\n/m, ''), /pay\.html:\d+: there is no message "pay_due"/],
    [english.replace(/^(pay_due = ).*/m, '$1Due {date}'), new RegExp(`en\\.txt:${line}: unknown name "date"`)],
    [english.replace(/^pay_due = /m, 'nobody_says_it = x\n$&'), new RegExp(`en\\.txt:${line}: no page says "nobody_says_it"`)],
    [english.replace(/^pay_due = .*\n/m, '$&$&'), new RegExp(`en\\.txt:${line + 1}: "pay_due" stands on line ${line} already`)],
  ]) {
    assert.notEqual(text, english);
    fs.writeFileSync(file, text);
    assert.match(await check(replaceDirective('paylink_pages', `paylink_pages ${pages};`)), says);
  }
});

test('another language that does not say the same: file and line', async () => {
  const pages = path.join(folder, 'pages-of-languages');
  const source = /paylink_pages\s+([^;]+);/.exec(config)[1].trim();
  const file = path.join(pages, 'messages/de.txt');
  const german = fs.readFileSync(path.join(source, 'messages/de.txt'), 'utf8');
  const line = lineOf(path.join(source, 'messages/de.txt'), 'pay_button =');
  fs.cpSync(source, pages, { recursive: true });
  for (const [text, says] of [
    [german.replace(/^pay_button = .*\n/m, ''), /de\.txt: "pay_button" is missing/],
    [german.replace(/^pay_button = .*/m, 'pay_button = Zahlen'), new RegExp(`de\\.txt:${line}: "pay_button" has lost \\{due_text\\}`)],
    [german.replace(/^(pay_button = .*)/m, '$1 an {merchant}'), new RegExp(`de\\.txt:${line}: "pay_button" has no \\{merchant\\} elsewhere`)],
    [german.replace(/^(pay_button = .*)/m, '$1\npay_buton = x'), new RegExp(`de\\.txt:${line + 1}: "pay_buton" is a message of no page`)],
  ]) {
    assert.notEqual(text, german);
    fs.writeFileSync(file, text);
    assert.match(await check(replaceDirective('paylink_pages', `paylink_pages ${pages};`)), says);
  }
  fs.rmSync(file);
  fs.writeFileSync(path.join(pages, 'messages/not-a-language-of-ours.txt'), german);
  assert.match(await check(replaceDirective('paylink_pages', `paylink_pages ${pages};`)), /is no language, or one too many/);
});

test('broken worker settings: file, line, and what is allowed', async () => {
  const settings = fs.readFileSync(stack.info.config, 'utf8');
  const file = path.join(folder, 'paylink.ini');
  for (const [text, says] of [
    [settings.replace(/^\[worker\]/m, '[worker]\nspeed = high'), /paylink\.ini:\d+.*speed/],
    [settings.replace(/^\[worker\]/m, '[worker]\nbatch_max = many'), /paylink\.ini:\d+.*batch_max/],
    [settings.replace(/^\[worker\]/m, '[worker]\nbatch_max = 100000'), /batch_max.*1000/],
    [settings.replace(/^conninfo.*$/m, ''), /conninfo/],
    [settings.replace(/^\[worker\]/m, '[workers]'), /workers/],
  ]) {
    fs.writeFileSync(file, text, { mode: 0o600 });
    const result = await run(path.join(stack.info.build, 'paylink'), ['--config', file, 'merchant', 'list']);
    assert.equal(result.status, 4, result.stderr);
    assert.match(result.stderr, says);
  }
});
