// The judge itself: what is wrong must be found, or the other contract tests would prove nothing.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { objectProblems, replyProblems, requestProblems } from './openapi.mjs';

const form = (body, url = '/v1/payment_intents') => requestProblems(
  { method: 'POST', url, headers: { 'content-type': 'application/x-www-form-urlencoded' }, body });

it('accepts a good request and names what is wrong with a bad one', () => {
  assert.deepEqual(form('amount=1&currency=usd&metadata[a]=b&expand[0]=latest_charge'), []);
  assert.match(form('amount=1').join(), /currency/);
  assert.match(form('amount=x&currency=usd').join(), /integer/);
  assert.match(form('amount=1&currency=usd&surprise=1').join(), /additional/);
  assert.match(form('amount=1&currency=usd&metadata=1&capture_method=never').join(), /capture_method/);
  assert.match(form('', '/v1/nothing').join(), /no operation/);
  assert.match(requestProblems({ method: 'GET', url: '/v1/refunds?surprise=1', headers: {}, body: '' }).join(), /additional/);
  assert.match(requestProblems({ method: 'GET', url: '/v1/refunds', headers: {}, body: 'a=b' }).join(), /body/);
});

it('finds missing, wrong and unknown members of a reply', () => {
  const refund = { id: 're_1', object: 'refund', amount: 1, created: 1, currency: 'usd' };
  assert.deepEqual(replyProblems('POST', '/v1/refunds', 200, refund), []);
  assert.match(replyProblems('POST', '/v1/refunds', 200, { ...refund, amount: '1' }).join(), /integer/);
  assert.match(replyProblems('POST', '/v1/refunds', 200, { ...refund, id: undefined }).join(), /id/);
  assert.match(replyProblems('POST', '/v1/refunds', 200, { ...refund, surprise: 1 }).join(), /additional/);
  assert.match(replyProblems('POST', '/v1/refunds', 400, { error: { message: 'x' } }).join(), /type/);
  assert.match(objectProblems('event', { id: 'evt_1' }).join(), /object/);
});
