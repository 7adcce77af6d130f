// The official Stripe client through every operation of the sandbox; everything that passes is held
// against Stripe's OpenAPI description.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { EDGE, Recorder, SandboxProcess, eventually, stripeAt } from './sandbox.mjs';

let sandbox;
let recorder;
let stripe;

before(async () => {
  sandbox = await SandboxProcess.start();
  recorder = await Recorder.start(sandbox.url);
  stripe = stripeAt(recorder.url);
});

after(async () => {
  await recorder?.stop();
  await sandbox?.stop();
});

// The error that the promise ends with.
async function refused(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return assert.fail('it was accepted');
}

const paid = (fields = {}) => stripe.paymentIntents.create(
  { amount: 2000, currency: 'usd', payment_method: 'pm_card_visa', confirm: true, ...fields });

describe('payment methods', () => {
  it('are made from the published test cards and never show the number', async () => {
    const method = await stripe.paymentMethods.create({
      type: 'card',
      card: { number: '4242 4242 4242 4242', exp_month: 12, exp_year: 2040, cvc: '123' },
      billing_details: { name: 'Jenny Rosen' },
    });
    assert.match(method.id, /^pm_/);
    assert.equal(method.card.brand, 'visa');
    assert.equal(method.card.last4, '4242');
    assert.equal(method.card.checks.cvc_check, 'pass');
    assert.equal(method.billing_details.name, 'Jenny Rosen');
    assert.equal(method.livemode, false);
    assert.deepEqual(await stripe.paymentMethods.retrieve(method.id), method);
  });

  it('refuse what is wrong with a card, and say which field', async () => {
    const card = { number: '4242424242424242', exp_month: 12, exp_year: 2040, cvc: '123' };
    for (const [change, code, param] of [
      [{ number: '4242424242424241' }, 'incorrect_number', 'number'],
      [{ number: '42' }, 'invalid_number', 'number'],
      [{ number: '4242x4242424242' }, 'invalid_number', 'number'],
      [{ exp_month: 13 }, 'invalid_expiry_month', 'exp_month'],
      [{ exp_year: 2001 }, 'invalid_expiry_year', 'exp_year'],
      [{ cvc: '12' }, 'invalid_cvc', 'cvc'],
    ]) {
      const error = await refused(stripe.paymentMethods.create({ type: 'card', card: { ...card, ...change } }));
      assert.deepEqual([error.type, error.statusCode, error.code, error.param], ['StripeCardError', 402, code, param]);
    }
  });

  it('refuse a real card, as test mode does', async () => {
    const error = await refused(stripe.paymentMethods.create({ type: 'card', card: { number: '4539578763621486', exp_month: 1, exp_year: 2040 } }));
    assert.deepEqual([error.code, error.decline_code], ['card_declined', 'test_mode_live_card']);
  });

  it('that do not exist are missing', async () => {
    const error = await refused(stripe.paymentMethods.retrieve('pm_none'));
    assert.deepEqual([error.statusCode, error.code], [404, 'resource_missing']);
  });
});

describe('a payment intent', () => {
  it('is charged when it is created with confirm', async () => {
    const intent = await paid({
      description: 'Invoice ÄÖ-1', receipt_email: 'a@example.com', metadata: { attempt: 'a-1', link: 'l "1"' }, expand: ['latest_charge'],
    });
    assert.equal(intent.status, 'succeeded');
    assert.equal(intent.amount_received, 2000);
    assert.deepEqual(intent.metadata, { attempt: 'a-1', link: 'l "1"' });
    const charge = intent.latest_charge;
    assert.deepEqual([charge.paid, charge.captured, charge.amount_captured, charge.status], [true, true, 2000, 'succeeded']);
    assert.deepEqual(charge.metadata, intent.metadata);
    assert.equal(charge.description, 'Invoice ÄÖ-1');
    assert.equal(charge.payment_method_details.card.last4, '4242');
    assert.equal(charge.payment_intent, intent.id);
    assert.deepEqual(await stripe.charges.retrieve(charge.id), charge);
    assert.deepEqual(await stripe.paymentIntents.retrieve(intent.id, { expand: ['latest_charge'] }), intent);
  });

  it('goes step by step: created, given a method, confirmed', async () => {
    const created = await stripe.paymentIntents.create({ amount: 700, currency: 'EUR' });
    assert.deepEqual([created.status, created.currency, created.latest_charge], ['requires_payment_method', 'eur', null]);
    const missing = await refused(stripe.paymentIntents.confirm(created.id));
    assert.deepEqual([missing.statusCode, missing.code], [400, 'payment_intent_unexpected_state']);
    const confirmed = await stripe.paymentIntents.confirm(created.id, { payment_method: 'pm_card_mastercard' });
    assert.equal(confirmed.status, 'succeeded');
    const again = await refused(stripe.paymentIntents.confirm(created.id, { payment_method: 'pm_card_visa' }));
    assert.equal(again.code, 'payment_intent_unexpected_state');
    assert.match(again.message, /already succeeded/);
    assert.equal(again.payment_intent.id, created.id);
    const waiting = await stripe.paymentIntents.create({ amount: 700, currency: 'eur', payment_method: 'pm_card_visa' });
    assert.equal(waiting.status, 'requires_confirmation');
    assert.equal((await stripe.paymentIntents.confirm(waiting.id)).status, 'succeeded');
  });

  it('declines with the words of each test card, and can be tried again', async () => {
    for (const [method, code, declineCode] of [
      ['pm_card_chargeDeclined', 'card_declined', 'generic_decline'],
      ['pm_card_chargeDeclinedInsufficientFunds', 'card_declined', 'insufficient_funds'],
      ['pm_card_chargeDeclinedLostCard', 'card_declined', 'lost_card'],
      ['pm_card_chargeDeclinedStolenCard', 'card_declined', 'stolen_card'],
      ['pm_card_chargeDeclinedExpiredCard', 'expired_card', 'expired_card'],
      ['pm_card_chargeDeclinedIncorrectCvc', 'incorrect_cvc', 'incorrect_cvc'],
      ['pm_card_chargeDeclinedProcessingError', 'processing_error', 'processing_error'],
    ]) {
      const error = await refused(paid({ payment_method: method }));
      assert.deepEqual([error.type, error.statusCode, error.code, error.decline_code], ['StripeCardError', 402, code, declineCode], method);
      const intent = error.payment_intent;
      assert.equal(intent.status, 'requires_payment_method');
      assert.equal(intent.payment_method, null);
      assert.equal(intent.last_payment_error.code, code);
      assert.equal(intent.amount_received, 0);
      const failed = await stripe.charges.retrieve(error.charge);
      assert.deepEqual([failed.paid, failed.status, failed.failure_code, failed.amount_captured], [false, 'failed', code, 0]);
      const second = await stripe.paymentIntents.confirm(intent.id, { payment_method: 'pm_card_visa' });
      assert.equal(second.status, 'succeeded');
      assert.equal(second.last_payment_error, null);
      assert.notEqual(second.latest_charge, failed.id);
    }
  });

  it('declines numbers typed in like their tokens', async () => {
    for (const [number, code] of [
      ['4000000000000002', 'card_declined'], ['4000000000009995', 'card_declined'], ['4000000000000119', 'processing_error'],
      ['4000000000000069', 'expired_card'], ['4000000000000127', 'incorrect_cvc'],
    ]) {
      const method = await stripe.paymentMethods.create({ type: 'card', card: { number, exp_month: 1, exp_year: 2040, cvc: '999' } });
      assert.equal((await refused(paid({ payment_method: method.id }))).code, code);
    }
  });

  it('uses a method once only', async () => {
    const { id } = await stripe.paymentMethods.create({ type: 'card', card: { number: '4242424242424242', exp_month: 1, exp_year: 2040, cvc: '999' } });
    const first = await paid({ payment_method: id });
    assert.equal(first.payment_method, id);
    assert.match((await refused(paid({ payment_method: id }))).message, /may not be used again/);
    const builtin = (await paid()).payment_method;
    assert.equal((await stripe.paymentMethods.retrieve(builtin)).card.last4, '4242');
    assert.match((await refused(paid({ payment_method: builtin }))).message, /may not be used again/);
  });

  it('counts minor units whatever the currency, within its limits', async () => {
    assert.equal((await paid({ amount: 5000, currency: 'jpy' })).amount_received, 5000);
    assert.equal((await paid({ amount: 1000, currency: 'kwd' })).amount_received, 1000);
    assert.equal((await paid({ amount: 99999999 })).amount_received, 99999999);
    for (const [fields, code, param] of [
      [{ amount: 49 }, 'amount_too_small', 'amount'],
      [{ amount: 49, currency: 'jpy' }, 'amount_too_small', 'amount'],
      [{ amount: 100000000 }, 'amount_too_large', 'amount'],
      [{ amount: '12.50' }, 'parameter_invalid_integer', 'amount'],
      [{ amount: 0 }, 'parameter_invalid_integer', 'amount'],
      [{ amount: -500 }, 'parameter_invalid_integer', 'amount'],
      [{ amount: 1001, currency: 'kwd' }, 'parameter_invalid_integer', 'amount'],
      [{ amount: undefined }, 'parameter_missing', 'amount'],
      [{ currency: undefined }, 'parameter_missing', 'currency'],
    ]) {
      const error = await refused(paid(fields));
      assert.deepEqual([error.type, error.statusCode, error.code, error.param],
        ['StripeInvalidRequestError', 400, code, param], JSON.stringify(fields));
    }
    const unsupported = await refused(paid({ currency: 'xxx' }));
    assert.match(unsupported.message, /^Invalid currency: xxx\. Stripe currently supports these currencies: usd, aed/);
    assert.equal(unsupported.param, 'currency');
  });

  it('refuses what it does not know', async () => {
    const unknown = await refused(paid({ surprise: 1 }));
    assert.deepEqual([unknown.code, unknown.param], ['parameter_unknown', 'surprise']);
    assert.equal((await refused(paid({ payment_method: 'pm_none' }))).code, 'resource_missing');
    assert.equal((await refused(paid({ metadata: { long: 'x'.repeat(501) } }))).param, 'metadata');
    assert.equal((await refused(paid({ confirm: false, return_url: EDGE }))).param, 'return_url');
    assert.equal((await refused(paid({ return_url: 'javascript:alert(1)' }))).param, 'return_url');
    assert.equal((await refused(paid({ capture_method: 'manual' }))).param, 'capture_method');
    assert.equal((await refused(stripe.paymentIntents.retrieve('pi_none'))).statusCode, 404);
    assert.equal((await refused(stripe.paymentIntents.update('pi_none', { amount: 1 }))).statusCode, 404);
  });

  it('is cancelled unless it ended', async () => {
    const { id } = await stripe.paymentIntents.create({ amount: 700, currency: 'eur' });
    const canceled = await stripe.paymentIntents.cancel(id, { cancellation_reason: 'abandoned' });
    assert.deepEqual([canceled.status, canceled.cancellation_reason], ['canceled', 'abandoned']);
    assert.ok(canceled.canceled_at >= canceled.created);
    const again = await refused(stripe.paymentIntents.cancel(id));
    assert.deepEqual([again.code, again.payment_intent.status], ['payment_intent_unexpected_state', 'canceled']);
    assert.equal((await refused(stripe.paymentIntents.confirm(id, { payment_method: 'pm_card_visa' }))).code, 'payment_intent_unexpected_state');
    const succeeded = await paid();
    assert.equal((await refused(stripe.paymentIntents.cancel(succeeded.id))).payment_intent.status, 'succeeded');
    assert.equal((await refused(stripe.paymentIntents.cancel(id, { cancellation_reason: 'boredom' }))).param, 'cancellation_reason');
  });
});

describe('3-D Secure', () => {
  const challenged = (fields) => paid({ payment_method: 'pm_card_threeDSecure2Required', return_url: `${EDGE}/p/x/a/y?z=1`, ...fields });
  const decide = (intent, decision) => fetch(intent.next_action.redirect_to_url.url,
    { method: 'POST', body: new URLSearchParams({ decision }), redirect: 'manual' });

  it('sends the payer away and charges when the bank agrees', async () => {
    const intent = await challenged();
    assert.equal(intent.status, 'requires_action');
    assert.equal(intent.next_action.type, 'redirect_to_url');
    assert.equal(intent.latest_charge, null);
    const back = await decide(intent, 'complete');
    assert.equal(back.status, 303);
    assert.equal(back.headers.get('location'), `${EDGE}/p/x/a/y?z=1&payment_intent=${intent.id}&redirect_status=succeeded`);
    const done = await stripe.paymentIntents.retrieve(intent.id, { expand: ['latest_charge'] });
    assert.equal(done.status, 'succeeded');
    assert.equal(done.latest_charge.payment_method_details.card.three_d_secure.result, 'authenticated');
    assert.equal((await decide(intent, 'fail')).status, 303, 'a second press changes nothing');
    assert.equal((await stripe.paymentIntents.retrieve(intent.id)).status, 'succeeded');
  });

  it('does not charge when the bank refuses, or declines afterwards', async () => {
    const intent = await challenged();
    assert.match((await decide(intent, 'fail')).headers.get('location'), /redirect_status=failed$/);
    const failed = await stripe.paymentIntents.retrieve(intent.id);
    assert.deepEqual([failed.status, failed.last_payment_error.code, failed.latest_charge],
      ['requires_payment_method', 'payment_intent_authentication_failure', null]);
    const later = await challenged({ payment_method: 'pm_card_threeDSecureRequiredChargeDeclined' });
    await decide(later, 'complete');
    assert.equal((await stripe.paymentIntents.retrieve(later.id)).last_payment_error.code, 'card_declined');
  });

  it('cannot be left to a payer who is not there', async () => {
    for (const absent of [{ off_session: true }, { error_on_requires_action: true }]) {
      const error = await refused(challenged(absent));
      assert.deepEqual([error.statusCode, error.code], [402, 'authentication_required']);
    }
    const noUrl = await challenged({ return_url: undefined });
    assert.equal(noUrl.next_action.type, 'use_stripe_sdk');
  });

  it('can be cancelled', async () => {
    const intent = await challenged();
    assert.equal((await stripe.paymentIntents.cancel(intent.id)).status, 'canceled');
    assert.equal((await fetch(intent.next_action.redirect_to_url.url)).status, 410);
  });
});

describe('refunds', () => {
  it('take a part, then the rest, then nothing more', async () => {
    const intent = await paid();
    const part = await stripe.refunds.create({ payment_intent: intent.id, amount: 1500, reason: 'requested_by_customer', metadata: { refund: 'r-1' } });
    assert.deepEqual([part.status, part.amount, part.charge, part.metadata], ['succeeded', 1500, intent.latest_charge, { refund: 'r-1' }]);
    assert.deepEqual(await stripe.refunds.retrieve(part.id), part);
    const tooMuch = await refused(stripe.refunds.create({ payment_intent: intent.id, amount: 501 }));
    assert.equal(tooMuch.statusCode, 400);
    assert.equal(tooMuch.param, 'amount');
    assert.equal(tooMuch.message, 'Refund amount ($5.01) is greater than unrefunded amount on charge ($5.00)');
    const rest = await stripe.refunds.create({ charge: intent.latest_charge });
    assert.equal(rest.amount, 500);
    const charge = await stripe.charges.retrieve(intent.latest_charge);
    assert.deepEqual([charge.amount_refunded, charge.refunded], [2000, true]);
    const again = await refused(stripe.refunds.create({ payment_intent: intent.id }));
    assert.equal(again.code, 'charge_already_refunded');
  });

  it('refuse more than the charge, less than nothing, and what was never captured', async () => {
    const intent = await paid({ amount: 1234, currency: 'eur' });
    assert.equal((await refused(stripe.refunds.create({ payment_intent: intent.id, amount: 1235 }))).message,
      'Refund amount (€12.35) is greater than charge amount (€12.34)');
    assert.equal((await refused(stripe.refunds.create({ payment_intent: intent.id, amount: 0 }))).param, 'amount');
    assert.equal((await refused(stripe.refunds.create({ payment_intent: 'pi_none' }))).code, 'resource_missing');
    assert.equal((await refused(stripe.refunds.create({}))).statusCode, 400);
    assert.equal((await refused(stripe.refunds.create({ payment_intent: intent.id, reason: 'because' }))).param, 'reason');
    const open = await stripe.paymentIntents.create({ amount: 700, currency: 'eur' });
    assert.match((await refused(stripe.refunds.create({ payment_intent: open.id }))).message, /does not have a successful charge/);
    const declined = await refused(paid({ payment_method: 'pm_card_chargeDeclined' }));
    assert.match((await refused(stripe.refunds.create({ charge: declined.charge }))).message, /cannot be refunded/);
  });

  it('answer later for the cards that do', async () => {
    const slow = await paid({ payment_method: 'pm_card_pendingRefund' });
    const failing = await paid({ payment_method: 'pm_card_refundFail' });
    const pending = await stripe.refunds.create({ payment_intent: slow.id });
    assert.equal(pending.status, 'pending');
    const optimistic = await stripe.refunds.create({ payment_intent: failing.id });
    assert.equal(optimistic.status, 'succeeded');
    await eventually(async () => (await stripe.refunds.retrieve(pending.id)).status === 'succeeded', 'the pending refund succeeds');
    const failed = await eventually(async () => {
      const refund = await stripe.refunds.retrieve(optimistic.id);
      return refund.status === 'failed' && refund;
    }, 'the other one fails');
    assert.equal(failed.failure_reason, 'expired_or_canceled_card');
    assert.equal((await stripe.charges.retrieve(failing.latest_charge)).amount_refunded, 0);
  });
});

describe('lists', () => {
  it('page through everything, newest first', async () => {
    const made = [];
    for (let i = 0; i < 7; i += 1) made.unshift((await paid({ amount: 100 + i })).id);
    const first = await stripe.paymentIntents.list({ limit: 3 });
    assert.deepEqual(first.data.map(({ id }) => id), made.slice(0, 3));
    assert.equal(first.has_more, true);
    const second = await stripe.paymentIntents.list({ limit: 3, starting_after: made[2] });
    assert.deepEqual(second.data.map(({ id }) => id), made.slice(3, 6));
    const back = await stripe.paymentIntents.list({ limit: 2, ending_before: made[3] });
    assert.deepEqual(back.data.map(({ id }) => id), made.slice(1, 3));
    assert.equal(back.has_more, true);
    const all = await stripe.paymentIntents.list({ limit: 2, expand: ['data.latest_charge'] }).autoPagingToArray({ limit: 1000 });
    assert.deepEqual(all.slice(0, 7).map(({ id }) => id), made);
    assert.equal(all.length, new Set(all.map(({ id }) => id)).size);
    assert.equal(all.length, sandbox.lines().filter((line) => line.new && line.secret).length);
    assert.equal(all[0].latest_charge.amount, 106);
  });

  it('filter by time and by what they belong to', async () => {
    const intent = await paid();
    assert.ok((await stripe.paymentIntents.list({ created: { gte: intent.created } })).data.some(({ id }) => id === intent.id));
    assert.deepEqual((await stripe.paymentIntents.list({ created: { gt: intent.created + 60 } })).data, []);
    assert.deepEqual((await stripe.paymentIntents.list({ created: { lt: 1000 } })).data, []);
    const refund = await stripe.refunds.create({ payment_intent: intent.id, amount: 100 });
    const second = await stripe.refunds.create({ payment_intent: intent.id, amount: 101 });
    assert.deepEqual((await stripe.refunds.list({ payment_intent: intent.id })).data.map(({ id }) => id), [second.id, refund.id]);
    assert.deepEqual((await stripe.refunds.list({ charge: intent.latest_charge, limit: 1 })).data.map(({ id }) => id), [second.id]);
  });

  it('refuse limits and places that do not exist', async () => {
    for (const fields of [{ limit: 0 }, { limit: 101 }, { limit: 'x' }, { starting_after: 'pi_none' }, { surprise: 1 }]) {
      assert.equal((await refused(stripe.paymentIntents.list(fields))).statusCode, 400, JSON.stringify(fields));
    }
  });
});

describe('events', () => {
  it('tell what happened, with the object as it was then', async () => {
    const intent = await paid({ metadata: { attempt: 'ev-1' } });
    await stripe.refunds.create({ payment_intent: intent.id, amount: 300 });
    const { data } = await stripe.events.list({ limit: 5 });
    assert.deepEqual(data.map(({ type }) => type),
      ['charge.refunded', 'refund.created', 'payment_intent.succeeded', 'charge.succeeded', 'payment_intent.created']);
    assert.equal(data[0].data.object.amount_refunded, 300);
    assert.equal(data[3].data.object.amount_refunded, 0);
    assert.deepEqual(data[2].data.object.metadata, { attempt: 'ev-1' });
    assert.deepEqual(await stripe.events.retrieve(data[2].id), data[2]);
    const succeeded = await stripe.events.list({ type: 'payment_intent.succeeded', limit: 1 });
    assert.equal(succeeded.data[0].id, data[2].id);
    assert.deepEqual((await stripe.events.list({ types: ['charge.refunded', 'refund.created'], limit: 2 })).data.map(({ id }) => id), [data[0].id, data[1].id]);
    assert.equal((await refused(stripe.events.retrieve('evt_none'))).statusCode, 404);
  });
});

describe('keys', () => {
  it('are asked for and told apart', async () => {
    const reply = (key) => sandbox.api('/v1/payment_intents', { amount: '500', currency: 'usd' }, { key });
    assert.equal((await reply(null)).status, 401);
    assert.match((await reply('sk_test_wrong_key_0123456789')).json.error.message, /^Invalid API Key provided: sk_test_\*+6789$/);
    assert.equal((await reply('pk_test_abc')).json.error.code, 'secret_key_required');
    const fields = { type: 'card', 'card[number]': '4242424242424242', 'card[exp_month]': '1', 'card[exp_year]': '2040' };
    assert.equal((await sandbox.api('/v1/payment_methods', fields, { key: 'pk_test_abc' })).status, 200);
    const basic = { authorization: `Basic ${Buffer.from('sk_test_contract0123456789abcdefgh:').toString('base64')}` };
    assert.equal((await sandbox.api('/v1/payment_intents', undefined, { key: null, headers: basic })).status, 200);
  });
});

it('everything that was sent and answered is as Stripe describes it', () => {
  // Some requests above are wrong on purpose: the replies are judged, and the requests that were accepted.
  recorder.judge({ requests: false });
  recorder.exchanges = recorder.exchanges.filter(({ status }) => status === 200);
  assert.ok(recorder.judge() > 50);
});
