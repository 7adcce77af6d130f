// The operator's command line: what every command does, refuses and says. Against a real PostgreSQL;
// what needs a gateway is in payment.test.mjs and verify.test.mjs.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CliError, run, startStack } from '../harness/index.mjs';

const OK = 0, REFUSED = 1, USAGE = 2, UNREACHABLE = 3, CONFIGURATION = 4;
const NOBODY = '018f3c4e-7d2a-7b61-9c55-2f1d0e9ab340';
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const AMOUNT_MAX = '9999999999999999';

let stack, binary;
before(async () => {
  stack = await startStack({ services: ['postgres'], migrate: true });
  binary = path.join(stack.info.build, 'paylink');
});
after(() => stack.stop());

const paylink = (...args) => run(binary, args);

// The one way in which a command fails: status, a sentence on stderr, the same as JSON on stdout.
async function fails(status, code, ...args) {
  const result = await stack.cliRaw(...args, '--json');
  assert.equal(result.status, status, `${args.join(' ')}: ${result.stdout}${result.stderr}`);
  const { error, ...rest } = JSON.parse(result.stdout);
  assert.deepEqual(rest, {});
  assert.equal(error.code, code, error.message);
  assert.ok(result.stderr.includes(error.message), 'the same sentence for people');
  assert.match(result.stderr, /^paylink: .+\n/);
  return error.message;
}

const keysOf = (object) => Object.keys(object).sort();

describe('help', () => {
  const commands = {};

  test('the program names every command, and says what the exit statuses mean', async () => {
    const help = await paylink('--help');
    assert.equal(help.status, OK);
    for (const [, noun, rest] of help.stdout.matchAll(/^ {2}([a-z]+) {2,}(.+)$/gm)) {
      commands[noun] = rest.includes(' · ') || ['record', 'list'].includes(rest) ? rest.split(' · ') : [null];
    }
    assert.deepEqual(Object.keys(commands), ['merchant', 'customer', 'invoice', 'link', 'payment', 'credit', 'refund',
      'ledger', 'attempt', 'mail', 'worker', 'sandbox', 'migrate', 'rebuild', 'verify', 'keys', 'settings']);
    for (const status of ['0  done', '1  refused', '2  wrong usage', '3 ', '4  wrong configuration']) {
      assert.ok(help.stdout.includes(`  ${status}`), status);
    }
    assert.equal((await paylink('help')).stdout, help.stdout);
    assert.equal((await paylink('-h')).stdout, help.stdout);
  });

  test('every command has help with usage, options, an example and exit statuses, without any settings', async () => {
    let seen = 0;
    for (const [noun, verbs] of Object.entries(commands)) {
      for (const verb of verbs) {
        const words = verb ? [noun, verb] : [noun];
        const help = await paylink(...words, '--help');
        assert.equal(help.status, OK, words.join(' '));
        assert.equal(help.stderr, '');
        assert.match(help.stdout, new RegExp(`^paylink ${words.join(' ')}: .+\\n\\nUsage: paylink .*${words.join(' ')}`));
        for (const part of ['\nOptions:\n', ['worker', 'sandbox'].includes(noun) ? '\n  --help ' : '\n  --json ', '\nExample:\n', '\nExit status:\n']) {
          assert.ok(help.stdout.includes(part), `${words.join(' ')}: ${part}`);
        }
        const wide = help.stdout.split('\n').filter((line) => [...line].length > 100 && !line.startsWith('  paylink '));
        assert.deepEqual(wide, [], 'fits a terminal');
        assert.equal((await paylink('help', ...words)).stdout, help.stdout);
        seen++;
      }
      if (verbs[0]) {
        const help = await paylink(noun, '--help');
        assert.equal(help.status, OK);
        for (const verb of verbs) assert.match(help.stdout, new RegExp(`^ {2}${verb} `, 'm'));
      }
    }
    assert.ok(seen > 30, `${seen} commands`);
  });

  test('help wins over every mistake beside it', async () => {
    for (const words of [['--nonsense', '--help'], ['--name', '--help'], ['--help', '--currency', 'usd']]) {
      assert.equal((await paylink('merchant', 'create', ...words)).status, OK);
    }
  });

  test('the version is told', async () => {
    const version = await paylink('--version');
    assert.equal(version.status, OK);
    assert.match(version.stdout, /^paylink \d+\.\d+\.\d+\n$/);
  });
});

describe('wrong usage', () => {
  const cases = [
    ['there is no command “invioce”; did you mean “invoice”?', 'invioce', 'list'],
    ['there is no command “craete”; did you mean “create”?', 'invoice', 'craete'],
    ['there is no command “zzzzzz”.', 'zzzzzz'],
    ['unknown option --nmae; did you mean --name?', 'merchant', 'create', '--nmae', 'x'],
    ['unknown option --color.', 'merchant', 'list', '--color', 'red'],
    ['--name needs a value', 'merchant', 'create', '--name'],
    ['--name needs a value', 'merchant', 'create', '--name', '--currency', 'USD'],
    ['--name TEXT is missing', 'merchant', 'create', '--currency', 'USD'],
    ['--currency is given twice', 'merchant', 'create', '--currency', 'USD', '--currency', 'USD'],
    ['“b” is one word too many', 'merchant', 'show', NOBODY, 'b'],
    ['--json takes no value', 'merchant', 'list', '--json=yes'],
    ['--no-apply takes no value', 'credit', 'record', '--no-apply=1'],
    ['--invoice, --customer or --merchant', 'payment', 'list'],
    ['--invoice, --link or --state', 'attempt', 'list'],
  ];
  for (const [sentence, ...args] of cases) {
    test(`${args.join(' ')}: ${sentence}`, async () => {
      const message = await fails(USAGE, 'usage', ...args);
      assert.ok(message.includes(sentence), message);
      assert.match((await stack.cliRaw(...args)).stderr, /^See `paylink .*--help`\.$/m);
    });
  }

  test('nothing at all, or a noun alone, shows help and fails', async () => {
    for (const args of [[], ['invoice'], ['--json']]) {
      const result = await paylink(...args);
      assert.equal(result.status, USAGE);
      assert.equal(result.stdout, '');
      assert.match(result.stderr, /Usage: paylink/);
    }
  });

  test('no settings file is named', async () => {
    const result = await paylink('merchant', 'list');
    assert.equal(result.status, USAGE);
    assert.match(result.stderr, /--config FILE is missing/);
    assert.equal((await paylink('--config')).status, USAGE);
    assert.equal((await paylink('--frobnicate', 'merchant', 'list')).status, USAGE);
  });

  test('the settings file may be named before or behind the command, or by the environment', async () => {
    const { config } = stack.info;
    assert.equal((await paylink('--config', config, 'merchant', 'list')).status, OK);
    assert.equal((await paylink(`--config=${config}`, '--json', 'merchant', 'list')).status, OK);
    assert.equal((await paylink('merchant', 'list', '--config', config)).status, OK);
    assert.equal((await run(binary, ['merchant', 'list'], { env: { PAYLINK_CONFIG: config } })).status, OK);
  });

  test('invalid bytes and control characters in a mistake are not sent to the terminal', async () => {
    const result = await stack.cliRaw('merchant', 'show', 'a\x1b[2Jb');
    assert.equal(result.status, USAGE);
    assert.ok(!result.stderr.includes('\x1b'));
    const nonsense = await stack.cliRaw('\x1b]0;x\x07');
    assert.equal(nonsense.status, USAGE);
    assert.ok(!/[\x00-\x09\x0b-\x1f]/.test(nonsense.stderr));
  });
});

describe('values that no command takes', () => {
  const amounts = ['-1', '+1', '1.5', '1,5', '12.00', '0', '', ' 1', '1 ', '01', '1e3', '0x10', '½', '１', 'USD', '10000000000000000',
    '99999999999999999999999999', '-0'];
  for (const amount of amounts) {
    test(`an amount of “${amount}”`, async () => {
      await fails(USAGE, 'invalid_amount', 'payment', 'record', '--invoice', NOBODY, '--method', 'cash', `--amount-minor=${amount}`);
      await fails(USAGE, 'invalid_amount', 'credit', 'record', '--customer', NOBODY, `--amount-minor=${amount}`);
      await fails(USAGE, 'invalid_amount', 'refund', 'create', '--payment', NOBODY, '--id', 'x', `--amount-minor=${amount}`);
    });
  }

  const create = (line, ...more) => ['invoice', 'create', '--merchant', NOBODY, '--customer', NOBODY, '--number', 'A', '--currency', 'USD',
    `--line=${line}`, ...more];
  for (const [line, code] of [
    ['Oil', 'invalid_line'], ['Oil:1', 'invalid_line'], ['', 'invalid_line'], [':1:1', 'invalid_text'], ['  :1:1', 'invalid_text'],
    ['Oil:0:1', 'invalid_quantity'], ['Oil:-1:1', 'invalid_quantity'], ['Oil:1.5:1', 'invalid_quantity'], ['Oil::1', 'invalid_quantity'],
    ['Oil:1000001:1', 'invalid_quantity'], ['Oil:1:-1', 'invalid_amount'], ['Oil:1:1.50', 'invalid_amount'], ['Oil:1:', 'invalid_amount'],
    ['Oil:2:9999999999999999', 'invalid_amount'], ['Oil:1:10000000000000000', 'invalid_amount'], ['a\tb:1:1', 'invalid_text'],
    ['a\nb:1:1', 'invalid_text'], ['\u202eevil:1:1', 'invalid_text'], ['a\u2028b:1:1', 'invalid_text'], ['a\u0085b:1:1', 'invalid_text'],
    [`${'x'.repeat(501)}:1:1`, 'text_too_long'], ['card 4242 4242 4242 4242:1:1', 'card_number'],
  ]) {
    test(`an invoice line of ${JSON.stringify(line.slice(0, 40))}: ${code}`, () => fails(USAGE, code, ...create(line)));
  }

  test('lines that overflow together', async () => {
    await fails(REFUSED, 'invalid_amount', ...create(`A:1:${AMOUNT_MAX}`, '--line', 'B:1:1'));
  });

  for (const date of ['2026-02-30', '2025-02-29', '2026-13-01', '2026-00-10', '2026-1-1', '31.01.2026', '1899-12-31', '2026-01-31T00:00', '']) {
    test(`a date of “${date}”`, () => fails(USAGE, 'invalid_date', ...create('Oil:1:1', `--due=${date}`)));
  }

  for (const currency of ['usd', 'US', 'USDX', 'XXX', 'XTS', 'ZZZ', 'U$D', '', '840']) {
    test(`a currency of “${currency}”`, () => fails(USAGE, 'unknown_currency', 'merchant', 'create', '--name', 'x', `--currency=${currency}`));
  }

  for (const id of ['1', 'x'.repeat(36), `${NOBODY}0`, NOBODY.replaceAll('-', ''), `{${NOBODY}}`, "' OR 1=1 --", '']) {
    test(`an id of “${id}”`, async () => {
      await fails(USAGE, 'invalid_id', 'invoice', 'show', `--id=${id}`);
      await fails(USAGE, 'invalid_id', 'merchant', 'show', `--merchant=${id}`);
    });
  }

  for (const link of ['x', 'a'.repeat(31), 'g'.repeat(32), 'A'.repeat(43), 'A'.repeat(45), 'https://pay.example/p/', `${'A'.repeat(43)}=`, '']) {
    test(`a link of “${link}”, which is not repeated in the message`, async () => {
      const message = await fails(USAGE, 'invalid_id', 'link', 'show', `--link=${link}`);
      if (link.length > 1) assert.ok(!message.includes(link));
    });
  }

  for (const email of ['ada', '@example.com', 'ada@', 'ada@@example.com', 'a b@example.com', 'ada@exa mple.com', 'ada@example.com\nBcc: x@y',
    'ada@.example', 'ada@example.', 'ada@ex..ample', '<ada@example.com>', 'a,b@example.com', `${'a'.repeat(65)}@example.com`, `a@${'b'.repeat(253)}`]) {
    test(`an e-mail address of ${JSON.stringify(email.slice(0, 40))}`,
      () => fails(USAGE, 'invalid_email', 'customer', 'create', '--merchant', NOBODY, '--name', 'x', '--email', email));
  }

  for (const key of ['', 'a b', 'ä', 'x'.repeat(65), 'a/b']) {
    test(`a refund's id of “${key}”`, () => fails(USAGE, 'invalid_key', 'refund', 'create', '--payment', NOBODY, '--amount-minor', '1', `--id=${key}`));
  }

  test('text that is not UTF-8', async () => {
    const script = `exec "$0" --config "$1" merchant create --currency USD --json --name "$(printf 'caf\\351')"`;
    const result = await run('/bin/bash', ['-c', script, binary, stack.info.config]);
    assert.equal(result.status, USAGE);
    assert.equal(JSON.parse(result.stdout).error.code, 'invalid_text');
  });

  test('choices, locales and numbers out of range', async () => {
    await fails(USAGE, 'invalid_choice', 'payment', 'record', '--invoice', NOBODY, '--amount-minor', '1', '--method', 'barter');
    await fails(USAGE, 'invalid_choice', 'payment', 'record', '--invoice', NOBODY, '--amount-minor', '1', '--method', 'cash|cheque');
    await fails(USAGE, 'invalid_choice', 'merchant', 'create', '--name', 'x', '--currency', 'USD', '--when-paid-elsewhere', 'ignore');
    await fails(USAGE, 'invalid_locale', 'merchant', 'create', '--name', 'x', '--currency', 'USD', '--locale', 'en_US');
    await fails(USAGE, 'invalid_number', 'merchant', 'create', '--name', 'x', '--currency', 'USD', '--link-ceiling-days', '0');
    await fails(USAGE, 'invalid_number', 'link', 'create', '--merchant', NOBODY, '--invoice', NOBODY, '--lifetime', '86401');
    await fails(USAGE, 'text_too_long', 'merchant', 'create', '--name', 'é'.repeat(201), '--currency', 'USD');
  });

  test('nothing of all that was stored', async () => {
    assert.equal((await stack.sql('SELECT * FROM paylink.audit')).length, 0);
  });
});

describe('merchants and customers', () => {
  test('a merchant is created, shown, listed and changed', async () => {
    const made = await stack.cli('merchant', 'create', '--name', 'Häfen & Söhne “木村”', '--currency', 'EUR', '--locale', 'de-CH',
      '--when-paid-elsewhere', 'overpayment', '--link-ceiling-days', 30, '--gateway-account', 'pk_test_1');
    assert.match(made.id, UUID);
    assert.match(made.created_at, TIME);
    assert.deepEqual(keysOf(made), ['accent', 'choose_invoices', 'created_at', 'currency', 'gateway_account', 'id', 'link_ceiling_days', 'links_on', 'locale', 'logo', 'name',
      'partial_min_minor', 'receipt_mail', 'reply_to', 'when_paid_elsewhere']);
    assert.deepEqual([made.name, made.currency, made.locale, made.when_paid_elsewhere, made.link_ceiling_days],
      ['Häfen & Söhne “木村”', 'EUR', 'de-CH', 'overpayment', 30]);
    for (const args of [[made.id], ['--id', made.id], ['--merchant', made.id], [`--merchant=${made.id.toUpperCase()}`]]) {
      assert.deepEqual(await stack.cli('merchant', 'show', ...args), made);
    }
    assert.deepEqual((await stack.cli('merchant', 'list')).find(({ id }) => id === made.id), made);
    const changed = await stack.cli('merchant', 'change', '--merchant', made.id, '--when-paid-elsewhere', 'refuse');
    assert.deepEqual(changed, { ...made, when_paid_elsewhere: 'refuse' });
    await fails(REFUSED, 'nothing_to_change', 'merchant', 'change', made.id);
    await fails(REFUSED, 'not_found', 'merchant', 'show', NOBODY);
    await fails(REFUSED, 'not_found', 'merchant', 'change', NOBODY, '--locale', 'en-US');
  });

  test('a customer is created, shown and listed', async () => {
    const { merchant } = await stack.scene({ link: false });
    const made = await stack.cli('customer', 'create', '--merchant', merchant.id, '--name', "O'Brien; DROP TABLE x", '--email', 'o@example.com',
      '--locale', 'fr-CA');
    assert.deepEqual([made.merchant, made.name, made.email, made.locale], [merchant.id, "O'Brien; DROP TABLE x", 'o@example.com', 'fr-CA']);
    for (const args of [[made.id], ['--id', made.id], ['--customer', made.id]]) assert.deepEqual(await stack.cli('customer', 'show', ...args), made);
    assert.ok((await stack.cli('customer', 'list', '--merchant', merchant.id)).some(({ id }) => id === made.id));
    await fails(REFUSED, 'not_found', 'customer', 'create', '--merchant', NOBODY, '--name', 'x', '--email', 'x@example.com');
    await fails(REFUSED, 'not_found', 'customer', 'show', NOBODY);
  });
});

describe('invoices', () => {
  test('an invoice with lines is created, shown and listed; a description may contain colons', async () => {
    const { merchant, customer } = await stack.scene({ link: false });
    const made = await stack.cli('invoice', 'create', '--merchant', merchant.id, '--customer', customer.id, '--number', 'Nº 7/2026', '--currency', 'USD',
      '--line', 'Service: 10:30 to 12:00:1:12500', '--line', 'Öl, 5 l:2:1995', '--line', 'Gift:3:0', '--due', '2028-02-29');
    assert.match(made.id, UUID);
    assert.deepEqual([made.state, made.total_minor, made.paid_minor, made.due_minor, made.due_date, made.revision],
      ['open', 16_490, 0, 16_490, '2028-02-29', 1]);
    assert.deepEqual(made.lines, [
      { description: 'Service: 10:30 to 12:00', quantity: 1, unit_minor: 12_500, total_minor: 12_500 },
      { description: 'Öl, 5 l', quantity: 2, unit_minor: 1_995, total_minor: 3_990 },
      { description: 'Gift', quantity: 3, unit_minor: 0, total_minor: 0 },
    ]);
    for (const args of [[made.id], ['--id', made.id], ['--invoice', made.id]]) assert.deepEqual(await stack.cli('invoice', 'show', ...args), made);
    const ids = (await stack.cli('invoice', 'list', '--merchant', merchant.id, '--customer', customer.id, '--state', 'open')).map(({ id }) => id);
    assert.ok(ids.includes(made.id));
    assert.deepEqual(await stack.cli('invoice', 'list', '--merchant', merchant.id, '--state', 'void'), []);
  });

  test('the largest amount is exact, one more is refused', async () => {
    const { merchant, customer } = await stack.scene({ link: false });
    const result = await stack.cliRaw('invoice', 'create', '--merchant', merchant.id, '--customer', customer.id, '--number', 'MAX', '--currency', 'USD',
      '--line', `All:1:${AMOUNT_MAX}`, '--json');
    assert.equal(result.status, OK);
    assert.ok(result.stdout.includes(`"total_minor":${AMOUNT_MAX}`), 'more than JavaScript can count to');
    assert.match((await stack.cliRaw('invoice', 'list', merchant.id)).stdout, /99999999999999\.99 USD/);
  });

  test('currencies show their own minor units', async () => {
    const { merchant, customer } = await stack.scene({ link: false });
    for (const [currency, text] of [['JPY', '1235 JPY'], ['KWD', '1.235 KWD'], ['USD', '12.35 USD'], ['CLF', '0.1235 CLF']]) {
      await stack.cli('invoice', 'create', '--merchant', merchant.id, '--customer', customer.id, '--number', currency, '--currency', currency, '--line', 'x:1:1235');
      const list = await stack.cliRaw('invoice', 'list', merchant.id);
      assert.match(list.stdout, new RegExp(`  ${text}  `));
    }
  });

  test('what the books refuse', async () => {
    const { merchant, customer, invoice } = await stack.scene({ link: false });
    const other = await stack.scene({ link: false });
    const create = (changes) => {
      const options = { merchant: merchant.id, customer: customer.id, number: 'X-1', currency: 'USD', line: 'Oil:1:100', ...changes };
      return ['invoice', 'create', ...Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])];
    };
    await fails(REFUSED, 'duplicate_number', ...create({ number: invoice.number }));
    await fails(REFUSED, 'not_found', ...create({ customer: other.customer.id }));
    await fails(REFUSED, 'not_found', ...create({ merchant: NOBODY }));
    await fails(REFUSED, 'invalid_amount', ...create({ line: 'Nothing:1:0' }));
    await fails(REFUSED, 'not_found', 'invoice', 'show', NOBODY);
    assert.equal((await stack.cli('invoice', 'list', merchant.id)).length, 1);
  });

  test('a change is a new revision; below what is paid it is refused', async () => {
    const { invoice } = await stack.scene({ link: false, amounts: [10_000] });
    const changed = await stack.cli('invoice', 'change', '--invoice', invoice.id, '--line', 'Less:1:9000', '--due', '2031-01-01');
    assert.deepEqual([changed.revision, changed.total_minor, changed.due_minor, changed.due_date], [2, 9_000, 9_000, '2031-01-01']);
    assert.equal((await stack.cli('invoice', 'change', invoice.id, '--no-due')).due_date, null);
    await stack.cli('payment', 'record', '--invoice', invoice.id, '--method', 'cash', '--amount-minor', 5_000);
    await fails(REFUSED, 'below_paid', 'invoice', 'change', invoice.id, '--line', 'Less:1:4999');
    await fails(REFUSED, 'nothing_to_change', 'invoice', 'change', invoice.id);
    assert.equal((await stack.cli('invoice', 'change', invoice.id, '--line', 'Less:1:5000')).state, 'paid');
    await fails(REFUSED, 'invoice_paid', 'invoice', 'void', invoice.id);
  });

  test('a void invoice stays void and cannot be changed or collected', async () => {
    const { merchant, invoice } = await stack.scene({ link: false });
    const gone = await stack.cli('invoice', 'void', '--invoice', invoice.id, '--reason', 'ordered twice');
    assert.deepEqual([gone.state, gone.due_minor, gone.void_reason], ['void', 0, 'ordered twice']);
    assert.equal((await stack.cli('invoice', 'void', invoice.id)).void_reason, 'ordered twice');
    await fails(REFUSED, 'invoice_void', 'invoice', 'change', invoice.id, '--line', 'x:1:1');
    await fails(REFUSED, 'invoice_void', 'link', 'create', '--merchant', merchant.id, '--invoice', invoice.id);
    await fails(REFUSED, 'invoice_void', 'payment', 'record', '--invoice', invoice.id, '--method', 'cash', '--amount-minor', '1');
  });
});

describe('links', () => {
  test('a link is created with its address, and shown by id, token and address', async () => {
    const { merchant, customer, invoices, link } = await stack.scene({ amounts: [100, 250] });
    assert.match(link.id, /^[0-9a-f]{32}$/);
    assert.match(link.token, /^[A-Za-z0-9_-]{44}$/);
    assert.equal(link.url, `${stack.info.base_url}/p/${link.token}`);
    assert.deepEqual([link.state, link.due_minor, link.currency, link.version, link.opened_at, link.expires_at, link.customer],
      ['active', 350, 'USD', 1, null, null, customer.id]);
    assert.deepEqual(link.invoices, invoices.map(({ id }) => id));
    for (const args of [[link.id], ['--link', link.id], ['--id', link.id.toUpperCase()], ['--token', link.token], ['--link', link.token], [link.url],
      ['--url', link.url], [`${link.url}?utm=1#x`], [`${link.url}/a/x`]]) {
      assert.deepEqual(await stack.cli('link', 'show', ...args), link, args.join(' '));
    }
    assert.deepEqual((await stack.cli('link', 'list', merchant.id)).map(({ id }) => id), [link.id]);
  });

  test('only create, show and revoke tell the address', async () => {
    const { merchant, link } = await stack.scene();
    for (const args of [['link', 'list', merchant.id], ['link', 'list', merchant.id, '--json'], ['attempt', 'list', '--link', link.url],
      ['invoice', 'list', merchant.id, '--json']]) {
      const { stdout, stderr } = await stack.cliRaw(...args);
      assert.ok(!`${stdout}${stderr}`.includes(link.token), args.join(' '));
    }
    assert.ok(!stack.log('postgres').includes(link.token));
  });

  test('a forged token is no link, and 22 bytes of a good one are not either', async () => {
    const { link } = await stack.scene();
    const last = link.token.endsWith('A') ? 'B' : 'A';
    await fails(REFUSED, 'not_found', 'link', 'show', '--token', link.token.slice(0, -1) + last);
    await fails(REFUSED, 'not_found', 'link', 'show', '--token', 'A'.repeat(44));
    await fails(REFUSED, 'not_found', 'link', 'show', '0'.repeat(32));
    await fails(REFUSED, 'not_found', 'link', 'revoke', '0'.repeat(32));
  });

  test('two links differ in every random bit, a new one replaces the old', async () => {
    const scene = await stack.scene();
    const second = await stack.link(scene, { lifetime: 60 });
    assert.equal(second.lifetime_s, 60);
    assert.notEqual(second.id, scene.link.id);
    const old = await stack.cli('link', 'show', scene.link.id);
    assert.deepEqual([old.state, old.replaced_by, old.version], ['replaced', second.id, 2]);
    assert.deepEqual((await stack.cli('link', 'list', scene.merchant.id, '--state', 'active')).map(({ id }) => id), [second.id]);
    assert.equal((await stack.cli('link', 'list', scene.merchant.id, '--invoice', scene.invoice.id)).length, 2);
    await fails(REFUSED, 'link_replaced', 'link', 'revoke', scene.link.id);
  });

  test('a link is revoked once and for all', async () => {
    const { link } = await stack.scene();
    const closed = await stack.cli('link', 'revoke', '--link', link.url, '--reason', 'wrong address');
    assert.deepEqual([closed.state, closed.closed_reason, closed.version], ['revoked', 'wrong address', 2]);
    assert.deepEqual(await stack.cli('link', 'revoke', link.id), closed);
  });

  test('what a link cannot be made of', async () => {
    const scene = await stack.scene({ link: false, amounts: [100, 200] });
    const other = await stack.scene({ link: false });
    const euro = await stack.cli('invoice', 'create', '--merchant', scene.merchant.id, '--customer', scene.customer.id, '--number', 'EUR-1',
      '--currency', 'EUR', '--line', 'x:1:100');
    const second = await stack.cli('customer', 'create', '--merchant', scene.merchant.id, '--name', 'Bob', '--email', 'bob@example.com');
    const theirs = await stack.cli('invoice', 'create', '--merchant', scene.merchant.id, '--customer', second.id, '--number', 'B-1',
      '--currency', 'USD', '--line', 'x:1:100');
    const create = (...ids) => ['link', 'create', '--merchant', scene.merchant.id, ...ids.flatMap((id) => ['--invoice', id])];
    const [first] = scene.invoices;
    await fails(REFUSED, 'currency_mismatch', ...create(first.id, euro.id));
    await fails(REFUSED, 'customer_mismatch', ...create(first.id, theirs.id));
    await fails(REFUSED, 'not_found', ...create(other.invoice.id));
    await fails(REFUSED, 'not_found', ...create(NOBODY));
    await fails(REFUSED, 'invalid_invoices', ...create(first.id, first.id));
    await fails(USAGE, 'usage', ...create());
    await stack.cli('payment', 'record', '--invoice', first.id, '--method', 'cheque', '--amount-minor', 100);
    await fails(REFUSED, 'nothing_due', ...create(first.id));
    assert.deepEqual(await stack.cli('link', 'list', scene.merchant.id), []);
  });

  test('after two rotations of the key an old link has no address any more', async () => {
    const scene = await stack.scene();
    await stack.cli('keys', 'rotate');
    const still = await stack.cli('link', 'show', scene.link.id);
    assert.equal(still.url, scene.link.url);
    const fresh = await stack.link(scene);
    assert.equal(fresh.kid, scene.link.kid + 1);
    await stack.cli('keys', 'rotate');
    const gone = await stack.cli('link', 'show', scene.link.id);
    assert.deepEqual([gone.url, gone.token], [null, null]);
    await fails(REFUSED, 'not_found', 'link', 'show', '--token', scene.link.token);
    assert.equal((await stack.cli('link', 'show', fresh.url)).id, fresh.id);
  });
});

describe('payments, credits and refunds', () => {
  test('cash is recorded once per key, and explained', async () => {
    const { merchant, customer, invoice } = await stack.scene({ link: false, amounts: [10_000] });
    const record = ['payment', 'record', '--invoice', invoice.id, '--method', 'cash', '--amount-minor', 4_000, '--key', 'till-1', '--note', 'counter 3'];
    const paid = await stack.cli(...record);
    assert.deepEqual([paid.method, paid.amount_minor, paid.applied_minor, paid.unapplied_minor, paid.refundable_minor, paid.note],
      ['cash', 4_000, 4_000, 0, 4_000, 'counter 3']);
    assert.deepEqual(paid.allocations, [{ invoice: invoice.id, amount_minor: 4_000 }]);
    assert.deepEqual(await stack.cli(...record), paid);
    await fails(REFUSED, 'idempotency_mismatch', ...record.map((word) => (word === 4_000 ? '4001' : String(word))));
    for (const by of [['--invoice', invoice.id], ['--customer', customer.id], ['--merchant', merchant.id]]) {
      assert.deepEqual(await stack.cli('payment', 'list', ...by), [paid]);
    }
    for (const args of [[paid.id], ['--id', paid.id], ['--payment', paid.id]]) assert.deepEqual(await stack.cli('payment', 'show', ...args), paid);
    assert.equal((await stack.cli('invoice', 'show', invoice.id)).due_minor, 6_000);
  });

  test('what exceeds the amount due stays unapplied', async () => {
    const { invoice } = await stack.scene({ link: false, amounts: [10_000] });
    const paid = await stack.cli('payment', 'record', '--invoice', invoice.id, '--method', 'transfer', '--amount-minor', 10_001);
    assert.deepEqual([paid.applied_minor, paid.unapplied_minor], [10_000, 1]);
    assert.equal((await stack.cli('invoice', 'show', invoice.id)).state, 'paid');
  });

  test('a foreign currency is refused', async () => {
    const { merchant, customer, invoice } = await stack.scene({ link: false });
    const record = ['payment', 'record', '--invoice', invoice.id, '--method', 'cash', '--amount-minor', '100', '--currency'];
    await fails(REFUSED, 'currency_mismatch', ...record, 'EUR');
    assert.deepEqual(await stack.cli('payment', 'list', '--merchant', merchant.id), []);
    assert.equal((await stack.cli(...record, 'USD')).currency, 'USD');
    await fails(REFUSED, 'currency_mismatch', 'credit', 'record', '--customer', customer.id, '--amount-minor', '100', '--currency', 'EUR',
      '--invoice', invoice.id);
  });

  test('payments of nobody', async () => {
    await fails(REFUSED, 'not_found', 'payment', 'record', '--invoice', NOBODY, '--method', 'cash', '--amount-minor', '1');
    await fails(REFUSED, 'not_found', 'payment', 'show', NOBODY);
    await fails(REFUSED, 'not_found', 'payment', 'list', '--invoice', NOBODY);
    await fails(REFUSED, 'not_found', 'credit', 'record', '--customer', NOBODY, '--amount-minor', '1');
    await fails(REFUSED, 'not_found', 'refund', 'create', '--payment', NOBODY, '--amount-minor', '1', '--id', 'nobody-1');
    await fails(REFUSED, 'not_found', 'refund', 'show', 'nobody-1');
    await fails(REFUSED, 'not_found', 'attempt', 'show', NOBODY);
  });

  test('a credit lowers what is due, oldest invoice first; the rest stays with the customer', async () => {
    const { customer, invoices } = await stack.scene({ amounts: [300, 500] });
    const credit = await stack.cli('credit', 'record', '--customer', customer.id, '--amount-minor', 350, '--key', 'c-1');
    assert.deepEqual([credit.kind, credit.applied_minor, credit.unapplied_minor], ['credit', 350, 0]);
    assert.deepEqual(credit.allocations.map(({ amount_minor }) => amount_minor), [300, 50]);
    assert.equal((await stack.cli('invoice', 'show', invoices[1].id)).due_minor, 450);
    assert.deepEqual(await stack.cli('credit', 'record', '--customer', customer.id, '--amount-minor', 350, '--key', 'c-1'), credit);
    await fails(REFUSED, 'idempotency_mismatch', 'credit', 'record', '--customer', customer.id, '--amount-minor', '351', '--key', 'c-1');
    const kept = await stack.cli('credit', 'record', '--customer', customer.id, '--amount-minor', 99, '--no-apply', '--kind', 'prepayment');
    assert.deepEqual([kept.kind, kept.applied_minor, kept.unapplied_minor], ['prepayment', 0, 99]);
    const one = await stack.cli('credit', 'record', '--customer', customer.id, '--amount-minor', 1_000, '--invoice', invoices[1].id);
    assert.deepEqual([one.applied_minor, one.unapplied_minor], [450, 550]);
  });

  test('refunds: once per id, never more than was paid, not one cent more', async () => {
    const { merchant, invoice } = await stack.scene({ link: false, amounts: [1_000] });
    const paid = await stack.cli('payment', 'record', '--invoice', invoice.id, '--method', 'cash', '--amount-minor', 1_000);
    const refund = (amount, id) => ['refund', 'create', '--payment', paid.id, '--amount-minor', String(amount), '--id', `${paid.id}.${id}`];
    const first = await stack.cli(...refund(400, 'a'));
    assert.deepEqual([first.id, first.state, first.payment, first.amount_minor], [`${paid.id}.a`, 'succeeded', paid.id, 400]);
    assert.deepEqual(await stack.cli(...refund(400, 'a')), first);
    await fails(REFUSED, 'idempotency_mismatch', ...refund(401, 'a'));
    await fails(REFUSED, 'refund_exceeds', ...refund(601, 'b'));
    await stack.cli(...refund(600, 'c'));
    await fails(REFUSED, 'refund_exceeds', ...refund(1, 'd'));
    for (const args of [[first.id], ['--id', first.id], ['--refund', first.id], ['--key', first.id]]) {
      assert.deepEqual(await stack.cli('refund', 'show', ...args), first);
    }
    assert.deepEqual((await stack.cli('refund', 'list', '--payment', paid.id)).map(({ amount_minor }) => amount_minor), [400, 600]);
    assert.equal((await stack.cli('refund', 'list', '--merchant', merchant.id, '--state', 'pending')).length, 0);
    assert.equal((await stack.cli('payment', 'show', paid.id)).refundable_minor, 0);
  });
});

describe('the books', () => {
  test('balances sum to zero; journals show debit and credit; verify agrees', async () => {
    const { merchant, invoice } = await stack.scene({ link: false, amounts: [10_000] });
    await stack.cli('payment', 'record', '--invoice', invoice.id, '--method', 'cash', '--amount-minor', 10_000);
    const balances = await stack.cli('ledger', 'balances', '--merchant', merchant.id);
    assert.deepEqual(Object.fromEntries(balances.map(({ kind, balance_minor }) => [kind, balance_minor])), { cash: 10_000, receivable: 0, revenue: -10_000 });
    const journals = await stack.cli('ledger', 'journals', '--invoice', invoice.id);
    assert.deepEqual(journals.map(({ kind }) => kind), ['invoice']);
    assert.equal((await stack.cli('ledger', 'journals', '--merchant', merchant.id, '--limit', 1)).length, 1);
    const text = (await stack.cliRaw('ledger', 'journals', '--merchant', merchant.id)).stdout;
    assert.match(text, /invoice .* receivable +100\.00 USD/);
    assert.match(text, /revenue +100\.00 USD$/m);
    const report = await stack.cli('verify', '--no-gateway');
    assert.equal(report.ok, true, JSON.stringify(report));
    assert.ok(report.checks.length >= 5);
    for (const check of report.checks) assert.deepEqual(keysOf(check), ['check', 'detail', 'ok', 'warning']);
    assert.match((await stack.cliRaw('verify', '--no-gateway')).stdout, /all good\n$/);
  });

  test('verify finds a total that somebody changed by hand', async () => {
    const { invoice } = await stack.scene({ link: false, amounts: [10_000] });
    await stack.cli('payment', 'record', '--invoice', invoice.id, '--method', 'cash', '--amount-minor', 100);
    await stack.sqlRun(`UPDATE paylink.invoice SET paid_minor = 101 WHERE id = '${invoice.id}'`);
    const result = await stack.cliRaw('verify', '--no-gateway', '--json');
    assert.equal(result.status, REFUSED);
    const report = JSON.parse(result.stdout);
    assert.equal(report.ok, false);
    assert.ok(report.checks.some(({ ok }) => !ok));
    await stack.sqlRun(`UPDATE paylink.invoice SET paid_minor = 100 WHERE id = '${invoice.id}'`);
    assert.equal((await stack.cli('verify', '--no-gateway')).ok, true);
  });

  test('without the gateway verify still tells about the books, and says that it could not compare', async () => {
    const result = await stack.cliRaw('verify', '--json');
    assert.equal(result.status, UNREACHABLE, result.stderr);
    const report = JSON.parse(result.stdout);
    assert.equal(report.ok, false);
    assert.deepEqual(report.checks.filter(({ ok }) => !ok).map(({ check }) => check), ['gateway']);
  });

  test('every write of an operator is audited', async () => {
    const { merchant } = await stack.scene();
    const actions = (await stack.sql(`SELECT action, actor FROM paylink.audit WHERE merchant_id = '${merchant.id}' ORDER BY id`));
    assert.deepEqual(actions.map(({ action }) => action), ['merchant.create', 'customer.create', 'invoice.create', 'link.create']);
    assert.equal(actions[0].actor, 'paylink/paylink cli');
  });
});

describe('tables for people', () => {
  test('columns line up, whatever the script; amounts stand right', async () => {
    const { merchant } = await stack.scene({ link: false });
    await stack.cli('customer', 'create', '--merchant', merchant.id, '--name', '木村太郎', '--email', 'k@example.com');
    const { stdout } = await stack.cliRaw('customer', 'list', merchant.id);
    const [, rule, ...rows] = stdout.trimEnd().split('\n');
    assert.match(rule, /^[─ ]+$/);
    assert.equal(rows.length, 2);
    const wide = (text) => [...text].reduce((n, c) => n + (/\p{Script=Han}/u.test(c) ? 2 : 1), 0);
    const columns = rows.map((row) => wide(row.slice(0, row.search(/\S+@/))));
    assert.equal(columns[0], columns[1]);
  });

  test('empty lists say so, and are empty arrays in JSON', async () => {
    const merchant = await stack.cli('merchant', 'create', '--name', 'Empty', '--currency', 'USD');
    for (const [args, text] of [[['invoice', 'list', merchant.id], 'no invoices'], [['customer', 'list', merchant.id], 'no customers'],
      [['link', 'list', merchant.id], 'no links'], [['payment', 'list', '--merchant', merchant.id], 'no payments'],
      [['refund', 'list', '--merchant', merchant.id], 'no refunds'], [['ledger', 'balances', merchant.id], 'nothing was ever booked']]) {
      assert.equal((await stack.cliRaw(...args)).stdout, `${text}\n`);
      assert.deepEqual(await stack.cli(...args), []);
    }
  });

  test('an answer that nobody can read is a failure', async () => {
    const result = await run('/bin/bash', ['-c', '"$0" --config "$1" merchant list >/dev/full', binary, stack.info.config]);
    assert.notEqual(result.status, OK);
    assert.match(result.stderr, /could not be written/);
  });
});

describe('keys and settings', () => {
  test('a key file is created once, for its owner alone, and rotated', async () => {
    const file = path.join(stack.parent, 'fresh-keys');
    const made = JSON.parse((await paylink('keys', 'create', '--file', file, '--json')).stdout);
    assert.deepEqual(made, { file, kid: 1, previous_kid: null });
    assert.equal(fs.statSync(file).mode & 0o777, 0o600);
    const [line] = fs.readFileSync(file, 'utf8').trim().split('\n');
    assert.match(line, /^1 [0-9a-f]{64}$/);
    const again = await paylink('keys', 'create', '--file', file, '--json');
    assert.equal(again.status, REFUSED);
    assert.equal(JSON.parse(again.stdout).error.code, 'exists');
    assert.ok(!`${again.stdout}${again.stderr}`.includes(line.slice(2)));

    fs.chmodSync(file, 0o640);
    const rotated = JSON.parse((await paylink('keys', 'rotate', file, '--json')).stdout);
    assert.deepEqual(rotated, { file, kid: 2, previous_kid: 1 });
    const lines = fs.readFileSync(file, 'utf8').trim().split('\n');
    assert.equal(lines.length, 2);
    assert.equal(lines[1], line);
    assert.equal(fs.statSync(file).mode & 0o777, 0o640, 'the edge must still be able to read it');
    await paylink('keys', 'rotate', file);
    assert.deepEqual(fs.readFileSync(file, 'utf8').match(/^\d+/gm), ['3', '2']);
    assert.deepEqual(fs.readdirSync(stack.parent).filter((name) => name.startsWith('fresh-keys')), ['fresh-keys']);
  });

  test('a key number wraps and never meets a live one', async () => {
    const file = path.join(stack.parent, 'wrapping-keys');
    fs.writeFileSync(file, `255 ${'a'.repeat(64)}\n0 ${'b'.repeat(64)}\n`, { mode: 0o600 });
    assert.equal((await paylink('keys', 'rotate', file)).status, OK);
    assert.deepEqual(fs.readFileSync(file, 'utf8').match(/^\d+/gm), ['1', '255']);
  });

  test('no file, a damaged file, a folder', async () => {
    assert.equal((await paylink('keys', 'create')).status, USAGE);
    assert.equal((await paylink('keys', 'rotate', '/nonexistent/keys')).status, CONFIGURATION);
    assert.equal((await paylink('keys', 'create', '/nonexistent/keys')).status, CONFIGURATION);
    const file = path.join(stack.parent, 'damaged-keys');
    fs.writeFileSync(file, '1 short\n', { mode: 0o600 });
    const result = await paylink('keys', 'rotate', file);
    assert.equal(result.status, CONFIGURATION);
    assert.match(result.stderr, /damaged-keys/);
  });

  test('the example of the settings explains every key; the stack\'s own file is good', async () => {
    const example = await paylink('settings', 'example');
    assert.equal(example.status, OK);
    for (const key of ['base_url', 'conninfo', 'socket', 'secret_key_file', 'check_delays_ms']) assert.match(example.stdout, new RegExp(`^#?\\s*${key} = `, 'm'));
    assert.deepEqual(await stack.cli('settings', 'check'), { settings: 'good' });
  });

  test('broken settings: status 4, with file and line', async () => {
    const good = fs.readFileSync(stack.info.config, 'utf8');
    for (const [what, text, expected] of [
      ['an unknown key', good.replace('[keys]', '[keys]\nfrobnicate = 1'), /frobnicate/],
      ['a bad number', `${good}\n[worker]\nbatch_max = many\n`, /batch_max/],
      ['a missing key', good.replace(/^conninfo.*$/m, ''), /conninfo/],
    ]) {
      const file = path.join(stack.parent, 'broken.ini');
      fs.writeFileSync(file, text);
      const result = await paylink('--config', file, 'merchant', 'list', '--json');
      assert.equal(result.status, CONFIGURATION, what);
      assert.match(result.stderr, expected);
      assert.match(result.stderr, /broken\.ini/);
      assert.ok(JSON.parse(result.stdout).error.message);
    }
    for (let n = 200; n < 204; n++) { // a message that is cut inside a character is still text
      const long = await paylink('--config', `/${'x'.repeat(n)}${'é'.repeat(300)}`, 'merchant', 'list', '--json');
      assert.equal(long.status, CONFIGURATION, long.stderr);
      assert.match(JSON.parse(long.stdout).error.message, /xé+$/);
    }
    const none = await paylink('--config', '/nonexistent.ini', 'merchant', 'list');
    assert.equal(none.status, CONFIGURATION);
    assert.match(none.stderr, /\/nonexistent\.ini/);
  });

  test('a key file that others can read: status 4, and no link is made', async () => {
    const scene = await stack.scene({ link: false });
    fs.chmodSync(stack.info.key_file, 0o604);
    try {
      await assert.rejects(stack.link(scene), (error) => error instanceof CliError && error.status === CONFIGURATION);
    } finally {
      fs.chmodSync(stack.info.key_file, 0o600);
    }
    assert.deepEqual(await stack.cli('link', 'list', scene.merchant.id), []);
  });

  test('PostgreSQL cannot be reached: status 3, and the next try works', async () => {
    const file = path.join(stack.parent, 'nowhere.ini');
    fs.writeFileSync(file, fs.readFileSync(stack.info.config, 'utf8').replace(/^conninfo = .*$/m, `conninfo = host=${stack.parent}/nowhere dbname=x`));
    for (const args of [['merchant', 'list'], ['migrate'], ['verify', '--no-gateway'], ['refund', 'show', 'x']]) {
      const result = await paylink('--config', file, ...args, '--json');
      assert.equal(result.status, UNREACHABLE, args.join(' '));
      assert.equal(JSON.parse(result.stdout).error.code, 'database_unreachable');
    }
    assert.ok(Array.isArray(await stack.cli('merchant', 'list')));
  });
});
