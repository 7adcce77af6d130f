// The tour of `make demo`: every step, twice on one stack, readable without colour.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { ROOT, get, run, startStack } from '../harness/index.mjs';

let stack;
before(async () => { stack = await startStack({ mail: true }); });
after(() => stack?.stop());

const demo = () => run(path.join(ROOT, 'config/stack/demo'), ['--dir', stack.dir], { timeout: 240_000 });

test('shows the whole story, balances, verifies, and can be repeated', async () => {
  for (let round = 1; round <= 2; round++) {
    const { status, stdout, stderr } = await demo();
    assert.equal(status, 0, stdout + stderr);
    assert.doesNotMatch(stdout, /\x1b/, 'colour only on a terminal');
    assert.match(stdout, /INV-1001 +164\.90 USD/);
    assert.match(stdout, /result page says: Payment received/);
    assert.match(stdout, /INV-1002.*paid in cash[\s\S]*refused: [\s\S]*card was not charged/);
    assert.match(stdout, /450\.00 USD are the customer's unapplied balance\n +ok +refunded in full/);
    assert.match(stdout, /status 410: .*expired/);
    assert.match(stdout, /a new link by mail: Look into your mailbox\n.* opens: \S+\.eml\n/);
    assert.match(stdout, /sum +([\d,.]+) USD +\1 USD\n/);
    assert.match(stdout, /paylink verify: \d+ checks.* all good/);
    const links = Object.fromEntries([...stdout.matchAll(/^ +(\S.*?) {2,}(http:\S+\/p\/\S+)$/gm)].map(([, name, url]) => [name, url]));
    const statuses = {};
    for (const [name, url] of Object.entries(links)) statuses[name] = (await get(url)).status;
    assert.deepEqual(statuses, {
      'to pay, one invoice': 200, 'to pay, two invoices': 200, 'paid, the receipt': 200, expired: 410, 'never existed': 404,
    });
  }
});

test('a step that goes wrong ends the tour and names the step', async () => {
  stack.signal('worker', 'SIGSTOP');
  const { status, stderr } = await demo();
  stack.signal('worker', 'SIGCONT');
  assert.equal(status, 1);
  assert.match(stderr, /demo: step 2: the page of the new link did not happen within 5 s/);
  assert.match(stderr, /logs in .*make down stops it/);
});
