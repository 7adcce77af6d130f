// Paying a part of a link: some of its invoices, or less than is due, where the merchant allows it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { plainText as plain, startStack, together, waitFor } from '../harness/index.mjs';

let stack;
before(async () => { stack = await startStack(); });
after(() => stack.stop());

const total = (page) => /<strong>([^<]+)<\/strong>/.exec(plain(page))[1];

// Three invoices of $60.00, $25.00 and $40.00; the settings are the merchant's.
async function scene(...settings) {
  const made = await stack.scene({ amounts: [6_000, 2_500, 4_000] });
  await stack.cli('merchant', 'change', made.merchant.id, ...settings);
  await waitFor(async () => (await stack.page(made.link.url)).text.includes('id="choice"') === settings.length > 0, { what: 'the setting on the page' });
  return made;
}
const chooses = () => scene('--choose-invoices', 'on');
const partly = (least = 1_000) => scene('--partial-min-minor', least);
const both = () => scene('--choose-invoices', 'on', '--partial-min-minor', 1_000);

// A payer whose page is the one at `query`.
async function payerAt({ link }, query) {
  const payer = stack.payer({ url: `${link.url}${query}` });
  const page = await payer.view();
  payer.url = link.url;
  payer.form = payer.form?.fields.attempt ? payer.form : undefined;
  return { payer, page };
}

const due = async ({ invoices }) => Promise.all(invoices.map(async ({ id }) => (await stack.cli('invoice', 'show', id)).due_minor));

test('off: no boxes, and the address changes nothing', async () => {
  const made = await stack.scene({ amounts: [6_000, 2_500] });
  const page = await waitFor(async () => { const got = await stack.page(`${made.link.url}?i1=1&amount=5`); return got.status === 200 && got; });
  assert.ok(!page.text.includes('id="choice"'));
  assert.equal(total(page), '$85.00');
});

test('chosen invoices: the page says their total, the payment goes to them alone', async () => {
  const made = await chooses();
  const { payer, page } = await payerAt(made, '?choose=1&i1=1&i3=1');
  assert.equal(total(page), '$100.00');
  assert.deepEqual([...page.text.matchAll(/name="i(\d)" value="1"( checked)?>/g)].map(([, box, on]) => [box, Boolean(on)]), [['1', true], ['2', false], ['3', true]]);
  assert.deepEqual([payer.form.fields.amount_minor, payer.form.fields.invoices], ['10000', '1,3']);
  const result = await payer.result(await payer.submit({ payment_method: await payer.token() }));
  assert.equal(result.state, 'captured');
  assert.match(plain(result), /\$100\.00 paid, <b>\$25\.00<\/b> left to pay/);
  assert.deepEqual(await due(made), [0, 2_500, 0]);
  const rest = await waitFor(async () => { const got = await stack.page(made.link.url); return total(got) === '$25.00' && got; }, { what: 'the rest' });
  assert.ok(!rest.text.includes('id="choice"'), 'one open invoice is no choice');
  assert.equal((await stack.payer(made.link).settle()).state, 'captured');
  assert.equal((await stack.cli('link', 'show', made.link.id)).state, 'paid');
  assert.equal((await stack.cli('verify')).failed ?? 0, 0);
});

test('part of an amount: from the minimum on, the oldest invoice first', async () => {
  const made = await partly();
  const { payer, page } = await payerAt(made, '?amount=70.50');
  assert.equal(total(page), '$70.50');
  assert.match(plain(page), /At least \$10\.00, at most \$125\.00/);
  assert.equal((await payer.result(await payer.submit({ payment_method: await payer.token() }))).state, 'captured');
  assert.deepEqual(await due(made), [0, 1_450, 4_000]);
});

test('part of the chosen: both together, in another language too', async () => {
  const made = await both();
  const page = await waitFor(async () => { const got = await stack.page(`${made.link.url}?i2=1&i3=1&amount=30%2C5`, { headers: { 'accept-language': 'de' } }); return got; });
  assert.equal(total(page), '30,50 $');
  const { payer } = await payerAt(made, '?i2=1&i3=1&amount=30.5');
  assert.equal((await payer.result(await payer.submit({ payment_method: await payer.token() }))).state, 'captured');
  assert.deepEqual(await due(made), [6_000, 0, 3_450]);
});

for (const [query, says] of [
  ['?choose=1', /choose at least one invoice/], ['?i9=1', /choose at least one invoice/], ['?ix=1', /choose at least one invoice/],
  ['?amount=9.99', /enter an amount from \$10\.00 to \$125\.00/], ['?amount=125.01', /enter an amount/], ['?amount=0', /enter an amount/],
  ['?amount=1e2', /enter an amount/], [`?amount=${'9'.repeat(99)}`, /enter an amount/], ['?amount=%00', /enter an amount/], ['?i1=1&amount=60.01', /to \$60\.00/],
]) {
  test(`${query.slice(0, 30)}: said, and all is offered`, async () => {
    both.made ??= await both();
    const page = await stack.page(`${both.made.link.url}${query}`);
    assert.equal(page.status, 200);
    assert.match(plain(page), says);
    assert.equal(total(page), query.startsWith('?i1=1') ? '$60.00' : '$125.00');
  });
}

test('what the merchant does not allow is refused at the edge: another choice, less than the minimum, more than is due', async () => {
  for (const [made, changes] of [
    [await partly(), { invoices: '1', amount_minor: 6_000 }], [await partly(), { amount_minor: 999 }], [await partly(), { amount_minor: 12_501 }],
    [await chooses(), { amount_minor: 6_000 }], [await chooses(), { invoices: '1,2', amount_minor: 6_000 }], [await chooses(), { invoices: '9', amount_minor: 0o1 }],
  ]) {
    const payer = stack.payer(made.link);
    payer.form = (await payerAt(made, '')).payer.form;
    const refused = await payer.submit({ payment_method: 'pm_card_visa', ...changes });
    assert.equal(refused.status, 409, JSON.stringify(changes));
    assert.deepEqual(await stack.cli('attempt', 'list', '--invoice', made.invoice.id), []);
  }
});

test('odd lists of invoices are no form of ours', async () => {
  const made = await chooses();
  const { payer } = await payerAt(made, '?i1=1');
  for (const invoices of ['', ',', '1,', ',1', '1,1', '3,1', '0', '01', '-1', '1 ', '101', '1,a', '1;2', '4294967297']) {
    assert.equal((await payer.submit({ payment_method: 'pm_card_visa', invoices })).status, 400, invoices);
  }
});

test('two payers, two halves: nobody pays what the other pays', async () => {
  const made = await chooses();
  const payers = await Promise.all(['?i1=1', '?i2=1&i3=1'].map((query) => payerAt(made, query)));
  const results = await together(2, async (i) => {
    const { payer } = payers[i];
    const taken = await payer.submit({ payment_method: await payer.token() });
    return taken.status === 303 ? (await payer.result(taken)).state : taken.status;
  });
  assert.ok(results.includes('captured'), results.join());
  const captured = (await Promise.all(made.invoices.map(({ id }) => stack.cli('payment', 'list', '--invoice', id)))).flat();
  const paid = new Map(captured.map(({ id, amount_minor: amount }) => [id, amount]));
  assert.equal([...paid.values()].reduce((sum, amount) => sum + amount, 0) + (await due(made)).reduce((sum, left) => sum + left, 0), 12_500);
});

test('without a script the choice survives the gateway’s own card page', async () => {
  const made = await chooses();
  const { page } = await payerAt(made, '?i2=1');
  const hosted = /href="([^"]*\/hosted\?[^"]*)"/.exec(page.text)[1].replaceAll('&amp;', '&');
  assert.equal(new URL(hosted).searchParams.get('return_url'), `${made.link.url}?i2=1`);
  const { payer, page: back } = await payerAt(made, '?i2=1&payment_method=pm_card_visa');
  assert.equal(total(back), '$25.00');
  assert.equal(payer.form.fields.invoices, '2');
});
