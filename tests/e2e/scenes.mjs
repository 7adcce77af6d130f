// What the browser tests have in common: a stack with a browser, visits that are watched, and scenes a
// payer could meet. Everything goes through the operator's commands and the pages.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { launchBrowser, Visitor } from '../harness/browser.mjs';
import { startStack, waitFor } from '../harness/index.mjs';

// A stack and a browser for all tests of a file: { stack, browser, visit }.
export function house(options) {
  const it = {};
  before(async () => {
    it.stack = await startStack(options);
    it.browser = await launchBrowser();
  });
  after(async () => {
    await it.browser?.close();
    await it.stack?.stop();
  });
  // A test body: one payer's browser, and in the end nothing that the watch minds.
  it.visit = (act, context) => async () => {
    const visitor = await Visitor.start(it.browser, it.stack, context);
    try {
      await act(visitor);
      assert.deepEqual(visitor.watch.report(), []);
    } catch (error) {
      throw await visitor.seen(error);
    } finally {
      await visitor.close();
    }
  };
  return it;
}

const WORK = ['Website design, December', 'Hosting and maintenance', 'Brand guidelines & photography'];
let count = 0;

// A merchant, a customer, invoices of these amounts and a link for all of them.
export async function bill(stack, {
  amounts = [120_000], currency = 'USD', merchant: name = 'Northwind Studio', customer: who = 'Acme Corp', lines = WORK,
  whenPaidElsewhere, lifetime, locale, prefix = 'INV',
} = {}) {
  const option = (flag, value) => (value === undefined ? [] : [flag, value]);
  const first = 1041 + 10 * count++;
  const merchant = await stack.cli('merchant', 'create', '--name', name, '--currency', currency,
    ...option('--when-paid-elsewhere', whenPaidElsewhere), ...option('--locale', locale));
  const customer = await stack.cli('customer', 'create', '--merchant', merchant.id, '--name', who, '--email', `ada-${first}@example.com`);
  const invoices = [];
  for (const [index, amount] of amounts.entries()) {
    invoices.push(await stack.cli('invoice', 'create', '--merchant', merchant.id, '--customer', customer.id, '--currency', currency,
      '--number', `${prefix}-${first + index}`, '--line', `${lines[index % lines.length]}:1:${amount}`, '--due', '2030-01-31'));
  }
  const link = await stack.link({ merchant, invoices }, { lifetime });
  return { merchant, customer, invoices, invoice: invoices[0], link };
}

export async function captures(stack, link) {
  const all = (await stack.sandbox.log()).filter((line) => line.type === 'charge' && line.metadata?.link === link.id);
  return all.filter((line) => line.status === 'succeeded').map((line) => line.amount);
}

export function payCash(stack, invoice, amount) {
  return stack.cli('payment', 'record', '--invoice', invoice.id, '--method', 'cash', '--amount-minor', amount);
}

// Until the edge's page of the link is as the books are.
export function published(stack, link, condition) {
  return waitFor(async () => {
    const page = await stack.page(link.url);
    return condition(page.text) && page;
  }, { what: 'the page to follow the books' });
}

export async function inFlight(stack, invoice) {
  return waitFor(async () => (await stack.cli('attempt', 'list', '--invoice', invoice.id))[0]?.state === 'charging',
    { what: 'the charge to be in flight' });
}

// The books agree with themselves and with the gateway.
export async function verifyBooks(stack) {
  const result = await stack.cli('verify');
  assert.equal(result.ok, true, JSON.stringify(result.checks?.filter((check) => !check.ok)));
}

// --- what Redis holds --------------------------------------------------------------------------

const connections = new Map();

async function redisOf(stack) {
  if (!connections.has(stack)) connections.set(stack, await stack.redis());
  return connections.get(stack);
}

const shard = (link) => (Number.parseInt(link.id.slice(0, 2), 16) % 16).toString(16).padStart(2, '0');

// The record of a link: { opened_ms?, state, version, … }.
export async function linkRecord(stack, link) {
  return (await redisOf(stack)).hash(`paylink:{${shard(link)}}:link:${link.id}`);
}

// As if no mail could be sent to its customer.
export async function forgetAddress(stack, link) {
  await (await redisOf(stack)).do('HDEL', `paylink:{${shard(link)}}:link:${link.id}`, 'email_masked');
  await waitFor(async () => !(await stack.page(link.url)).text.includes('/renew"'), { what: 'the page without the offer' });
}

// The text of an attempt that the edge has minted for a page of this link and that nobody has submitted.
export async function mintAttempt(stack, link) {
  const payer = stack.payer(link);
  await payer.view();
  return payer.form.fields.attempt;
}

// Answers an attempt as the worker does.
export async function answer(stack, link, attempt, state, fields) {
  const uuid = Buffer.from(attempt, 'base64url').subarray(0, 16).toString('hex');
  const at = `paylink:{${shard(link)}}`;
  const taken = await (await redisOf(stack)).do('FCALL', 'paylink_answer', 3, `${at}:attempt:${uuid}`, `${at}:link:${link.id}`, `${at}:guard:${link.id}`,
    uuid, link.id, state, 600_000, 'link', link.id, ...fields);
  assert.deepEqual(taken, ['answered']);
}
