// Every state of the page of one attempt to pay.
import { CARD } from '../harness/browser.mjs';
import { after, it, JUDGED, page } from './pages.mjs';
import { answer, bill, mintAttempt, payCash, published } from './scenes.mjs';

page('result-received', { state: 'received', heading: /being processed/, undo: (stack) => stack.startService('worker') }, async (payer, stack) => {
  const { link } = await bill(stack);
  await payer.open(link.url);
  await payer.typeCard();
  await stack.stopService('worker');
  return after(payer, () => payer.press(), (url) => url.includes('/a/'));
});

page('result-captured', { state: 'captured', heading: /Payment received/ }, async (payer, stack) => {
  const { link } = await bill(stack);
  const pays = stack.payer(link, payer.language);
  const taken = await pays.pay();
  await pays.result(taken);
  return payer.open(new URL(taken.headers.location, link.url).href);
});

page('result-overpaid', { state: 'captured', heading: /Payment received/ }, async (payer, stack) => {
  const { invoice, link } = await bill(stack, { whenPaidElsewhere: 'overpayment' });
  const pays = stack.payer(link, payer.language);
  await pays.view();
  await payCash(stack, invoice, 120_000);
  await published(stack, link, (text) => text.includes('data-state="paid"'));
  const taken = await pays.submit({ payment_method: 'pm_card_visa' });
  await pays.result(taken);
  return payer.open(new URL(taken.headers.location, link.url).href);
});

page('result-declined', { state: 'declined', heading: /was declined/ }, async (payer, stack) => {
  const { link } = await bill(stack);
  const pays = stack.payer(link, payer.language);
  const taken = await pays.pay({ number: CARD.declined });
  await pays.result(taken);
  return payer.open(new URL(taken.headers.location, link.url).href);
});

page('result-confirm', { state: 'action_required', heading: /asks you to confirm/ }, async (payer, stack) => {
  const { link } = await bill(stack);
  const pays = stack.payer(link, payer.language);
  const taken = await pays.pay({ number: CARD.confirm });
  await pays.result(taken);
  return payer.open(new URL(taken.headers.location, link.url).href);
});

// What the worker answers seldom, put where it puts its answers.
const PAID = ['amount_text', '$1,200.00', 'merchant', 'Northwind Studio', 'title', 'Invoice INV-1041'];
const AT_BANK = ['action_url', 'http://127.0.0.1:9/authenticate/pi_1'];
for (const [name, state, heading, fields, query = ''] of [
  ['charging', 'charging', /being processed/, PAID],
  ['unknown', 'unknown', /checking your payment/, PAID],
  ['back-from-bank', 'action_required', /Back from your bank/, [...PAID, ...AT_BANK], '?payment_intent=pi_1'],
  ['absent', 'absent', /did not reach us/, []],
  ...[['insufficient_funds', /Not enough money/], ['expired_card', /expired/], ['incorrect_cvc', /security code/], ['incorrect_number', /number/],
    ['processing_error', /went wrong|could not/i], ['authentication_failed', /confirm/i], ['authentication_required', /confirm/i],
    ['abandoned', /not completed/], ['not_received', /did not get through/]]
    .map(([reason, title]) => [`declined-${reason}`, 'declined', title, [...PAID, 'reason', reason]]),
  ...[['paid', /already been paid/], ['busy', /already under way/], ['void', /was cancelled/], ['replaced', /newer payment link/],
    ['revoked', /was withdrawn/], ['expired', /has expired/], ['absent', /not known any more/], ['stale', /amount has changed/]]
    .map(([reason, title]) => [`refused-${reason}`, 'refused', title, [...PAID, 'reason', reason]]),
]) {
  page(`result-${name}`, { state, heading, views: JUDGED }, async (payer, stack) => {
    it.shared ??= await bill(stack);
    const attempt = await mintAttempt(stack, it.shared.link);
    await answer(stack, it.shared.link, attempt, state, fields);
    return payer.open(`${it.shared.link.url}/a/${attempt}${query}`);
  });
}
