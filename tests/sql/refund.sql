-- Refunds: reserved at once, to the last cent and not one more, settled or compensated.
BEGIN;
\ir support/world.psql
SELECT plan(49);

CREATE FUNCTION pg_temp.world_paid(amount_minor bigint, captured_minor bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    w jsonb := pg_temp.world(amount_minor);
    a uuid := pg_temp.charge(w ->> 'link');
BEGIN
    PERFORM pg_temp.settle(pg_temp.outcome(a, 'captured', captured_minor));
    RETURN w || jsonb_build_object('payment', a);
END $$;
CREATE FUNCTION pg_temp.back(p text) RETURNS text LANGUAGE sql AS $$
    SELECT format('refunded %s, refundable %s, unapplied %s', p ->> 'refunded_minor', p ->> 'refundable_minor', p ->> 'unapplied_minor')
      FROM payment_show(p) AS p $$;
CREATE FUNCTION pg_temp.settled(id text, outcome text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT refund_settle(jsonb_build_array(jsonb_build_object('refund', id, 'outcome', outcome, 'gateway_ref', 're_' || id, 'reason', outcome))) $$;

-- 1000 due, 1300 captured: 300 unapplied.
SELECT pg_temp.keep('w', pg_temp.world_paid(1000, 1300)::text);
SELECT pg_temp.keep('m', pg_temp.get('w')::jsonb ->> 'merchant');
SELECT pg_temp.keep('p', pg_temp.get('w')::jsonb ->> 'payment');
SELECT is(pg_temp.back(pg_temp.get('p')), 'refunded 0, refundable 1300, unapplied 300', 'an overpayment can be refunded');
SELECT is(refund_create(pg_temp.get('p'), 100, 'r1') - 'created_at',
          jsonb_build_object('id', 'r1', 'merchant', pg_temp.get('m'), 'payment', pg_temp.get('p'), 'state', 'pending', 'amount_minor', 100,
            'currency', 'USD', 'from_unapplied_minor', 100, 'gateway_ref', NULL, 'reason', NULL, 'settled_at', NULL), 'a refund is pending first');
SELECT is(pg_temp.back(pg_temp.get('p')), 'refunded 100, refundable 1200, unapplied 200', 'its amount is reserved from the unapplied part');
SELECT is(pg_temp.books(pg_temp.get('m')), 'cash_gateway 1300, refunds_payable -100, revenue -1000, unapplied -200', 'in the books too');
SELECT is(refund_create(pg_temp.get('p'), 100, 'r1') ->> 'id', 'r1', 'the same id gives the same refund');
SELECT is(pg_temp.back(pg_temp.get('p')), 'refunded 100, refundable 1200, unapplied 200', 'and reserves nothing twice');
SELECT pg_temp.refuses(format('SELECT refund_create(%L, 101, ''r1'')', pg_temp.get('p')), 'idempotency_mismatch', 'with another amount it is refused');
SELECT pg_temp.refuses(format('SELECT refund_create(%L, 100, ''r1'')', pg_temp.world_paid(100, 100) ->> 'payment'), 'idempotency_mismatch',
                       'and for another payment, even of another merchant');
SELECT is(refund_create(pg_temp.get('p'), 350, 'r2') ->> 'from_unapplied_minor', '200', 'a larger one takes the rest of the unapplied part');
SELECT is(pg_temp.books(pg_temp.get('m')), 'cash_gateway 1300, refunds 150, refunds_payable -450, revenue -1000', 'then contra revenue');
SELECT is(invoice_show(pg_temp.get('w')::jsonb ->> 'invoice') ->> 'state', 'paid', 'the invoice stays paid');
SELECT pg_temp.refuses(format('SELECT refund_create(%L, 851, ''r3'')', pg_temp.get('p')), 'refund_exceeds', 'one cent more than is left is refused');
SELECT is(refund_create(pg_temp.get('p'), 850, 'r3') ->> 'state', 'pending', 'the last cent is not');
SELECT pg_temp.refuses(format('SELECT refund_create(%L, 1, ''r4'')', pg_temp.get('p')), 'refund_exceeds', 'then nothing is left');
SELECT pg_temp.refuses(format('SELECT refund_create(%L, %s, %L)', pg_temp.get('p'), amount, id), code, why)
  FROM (VALUES ('0', 'x', 'invalid_amount', 'nothing'), ('-5', 'x', 'invalid_amount', 'a negative refund'),
               ('NULL', 'x', 'invalid_amount', 'an unknown amount'), ('5', '', 'invalid_key', 'no id'),
               ('5', repeat('x', 65), 'invalid_key', 'a long id'), ('5', 'a b', 'invalid_key', 'an id with a space')) AS t (amount, id, code, why);
SELECT pg_temp.refuses(format('SELECT refund_create(%L, 5, ''x'')', gen_random_uuid()), 'not_found', 'an unknown payment');

-- The worker's side.
SELECT is((SELECT string_agg(concat_ws(' ', r ->> 'refund', r ->> 'gateway_ref', r ->> 'amount_minor', r ->> 'currency'), ', ' ORDER BY r ->> 'refund')
             FROM jsonb_array_elements(refund_claim('w1', 60000, 10)) AS r),
          format('r1 pi_%1$s 100 USD, r2 pi_%1$s 350 USD, r3 pi_%1$s 850 USD', pg_temp.get('p')), 'pending refunds are claimed with what the gateway needs');
SELECT is(refund_claim('w2', 60000, 10), '[]', 'nobody else gets them while the lease lasts');
SELECT is(pg_temp.settled('r1', 'succeeded'), '{"applied": 1, "ignored": 0}', 'success is booked');
SELECT is(pg_temp.books(pg_temp.get('m')), 'cash_gateway 1200, refunds 1000, refunds_payable -1200, revenue -1000', 'the money has left the gateway');
SELECT is(pg_temp.settled('r1', 'succeeded'), '{"applied": 0, "ignored": 1}', 'once');
SELECT is(pg_temp.settled('r1', 'pending'), '{"applied": 0, "ignored": 1}', 'stale news changes nothing');
SELECT is(refund_show('r1') ->> 'state', 'succeeded', 'it has succeeded');
SELECT is(pg_temp.settled('r2', 'failed'), '{"applied": 1, "ignored": 0}', 'a failure');
SELECT is(pg_temp.books(pg_temp.get('m')), 'cash_gateway 1200, refunds 850, refunds_payable -850, revenue -1000, unapplied -200',
          'gives the reserve back by a compensating journal');
SELECT is(pg_temp.back(pg_temp.get('p')), 'refunded 950, refundable 350, unapplied 200', 'and to the payment');
SELECT is(refund_create(pg_temp.get('p'), 350, 'r2') ->> 'state', 'failed', 'its id stays failed: another try needs another id');
SELECT pg_temp.refuses($$SELECT pg_temp.settled('r2', 'succeeded')$$, 'illegal_transition', 'failed is final');
SELECT is(pg_temp.settled('r1', 'failed'), '{"applied": 1, "ignored": 0}', 'a bank may return a refund that had succeeded');
SELECT is(pg_temp.books(pg_temp.get('m')), 'cash_gateway 1300, refunds 850, refunds_payable -850, revenue -1000, unapplied -300',
          'then the money is back where it was');
SELECT is(pg_temp.settled('r3', 'pending'), '{"applied": 1, "ignored": 0}', 'what is still pending at the gateway');
SELECT is((SELECT lease_until BETWEEN clock_timestamp() AND clock_timestamp() + interval '3 seconds' FROM refund WHERE id = 'r3'), true, 'is asked again soon');
SELECT is((SELECT gateway_ref FROM refund WHERE id = 'r3'), 're_r3', 'and its reference is kept');
UPDATE refund SET lease_until = clock_timestamp() - interval '1 second' WHERE id = 'r3';
UPDATE refund SET created_at = clock_timestamp() - interval '25 hours' WHERE id = 'r3';
SELECT is((SELECT format('%s %s %s', r ->> 'refund', r ->> 'refund_ref', (r ->> 'age_ms')::bigint > 24 * 3600 * 1000)
             FROM jsonb_array_elements(refund_claim('w2', 60000, 10)) AS r),
          'r3 re_r3 t', 'a lapsed lease makes it free; its age says whether the gateway still knows its key');
SELECT is(refund_claim('w3', 60000, 10), '[]', 'w2 has it now');
SELECT refund_release('w3');
SELECT is(refund_claim('w3', 60000, 10), '[]', 'a worker that starts again frees only what was its own');
SELECT refund_release('w2');
SELECT is(refund_claim('w3', 60000, 10) -> 0 ->> 'refund', 'r3', 'and that at once');
SELECT pg_temp.refuses($$SELECT pg_temp.settled('nobody', 'succeeded')$$, 'not_found', 'an unknown refund is told');
SELECT pg_temp.refuses($$SELECT pg_temp.settled('r3', 'maybe')$$, 'invalid_outcome', 'so is an unknown outcome');
SELECT is(jsonb_array_length(refund_list(jsonb_build_object('payment', pg_temp.get('p')))), 3, 'refunds are listed by payment');
SELECT is(jsonb_array_length(refund_list(jsonb_build_object('merchant', pg_temp.get('m'), 'state', 'failed'))), 2, 'by merchant and state');

-- An offline payment.
SELECT pg_temp.keep('o', payment_record(pg_temp.invoice(m, pg_temp.customer(m), 500), 'cash', 500, '{}') ->> 'id') FROM pg_temp.merchant() AS m;
SELECT is(refund_create(pg_temp.get('o'), 500, 'cash-1') ->> 'state', 'succeeded', 'cash is given back at once');
SELECT is(pg_temp.books((payment_show(pg_temp.get('o'))) ->> 'merchant'), 'refunds 500, revenue -500', 'out of the cash account');
SELECT pg_temp.books_are_right('after all of it the books are right');

SELECT * FROM finish();
ROLLBACK;
