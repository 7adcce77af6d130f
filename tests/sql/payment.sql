-- Payments the merchant took itself, credits and pre-payments: applied, unapplied, idempotent.
BEGIN;
\ir support/world.psql
SELECT plan(43);

SELECT pg_temp.keep('m', pg_temp.merchant());
SELECT pg_temp.keep('c', pg_temp.customer(pg_temp.get('m')));
CREATE FUNCTION pg_temp.due(i text) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', i ->> 'state', i ->> 'paid_minor', i ->> 'due_minor') FROM invoice_show(i) AS i $$;
CREATE FUNCTION pg_temp.parts(p jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s = %s applied + %s unapplied', p ->> 'amount_minor', p ->> 'applied_minor', p ->> 'unapplied_minor') $$;

SELECT pg_temp.keep('i', pg_temp.invoice(pg_temp.get('m'), pg_temp.get('c'), 1000));
SELECT is(payment_record(pg_temp.get('i'), 'cash', 300, '{"note": "at the desk"}') - 'id' - 'merchant' - 'customer' - 'created_at' - 'receipt_number' - 'allocations',
          jsonb_build_object('method', 'cash', 'amount_minor', 300, 'currency', 'USD', 'applied_minor', 300, 'unapplied_minor', 0,
            'refunded_minor', 0, 'refundable_minor', 300, 'attempt', NULL, 'gateway_ref', NULL, 'invoice', pg_temp.get('i'), 'key', NULL,
            'note', 'at the desk'), 'cash is applied to its invoice');
SELECT is(pg_temp.due(pg_temp.get('i')), 'open 300 700', 'which is open for the rest');
SELECT is(pg_temp.books(pg_temp.get('m')), 'cash 300, receivable 700, revenue -1000', 'cash lies in the cash account');
SELECT pg_temp.keep('p', payment_record(pg_temp.get('i'), 'cheque', 900, '{"key": "k1"}') ->> 'id');
SELECT is(pg_temp.parts(payment_show(pg_temp.get('p'))), '900 = 700 applied + 200 unapplied', 'what exceeds the due amount is unapplied');
SELECT is(pg_temp.due(pg_temp.get('i')), 'paid 1000 0', 'the invoice is paid, never overpaid');
SELECT is(pg_temp.books(pg_temp.get('m')), 'bank 900, cash 300, revenue -1000, unapplied -200', 'a cheque lies in the bank, the rest is the customer''s');
SELECT is(pg_temp.parts(payment_record(pg_temp.get('i'), 'transfer', 50, '{}')), '50 = 0 applied + 50 unapplied',
          'money for a paid invoice is booked all the same');
SELECT is(payment_record(pg_temp.get('i'), 'cheque', 900, '{"key": "k1"}') ->> 'id', pg_temp.get('p'), 'the same key gives the same payment');
SELECT is((SELECT count(*)::integer FROM payment WHERE merchant_id = pg_temp.get('m')::uuid), 3, 'and books nothing twice');
SELECT pg_temp.refuses(format('SELECT payment_record(%L, ''cheque'', 901, ''{"key": "k1"}'')', pg_temp.get('i')), 'idempotency_mismatch',
                       'the same key with another amount is refused');
SELECT pg_temp.refuses(format('SELECT payment_record(%L, ''cash'', 900, ''{"key": "k1"}'')', pg_temp.get('i')), 'idempotency_mismatch',
                       'and with another method');
SELECT pg_temp.refuses(format('SELECT payment_record(%L, ''cheque'', 900, ''{"key": "k1"}'')', pg_temp.invoice(pg_temp.get('m'), pg_temp.get('c'), 5)),
                       'idempotency_mismatch', 'and for another invoice');
SELECT pg_temp.refuses(format('SELECT payment_record(%L, %L, %s, %L)', pg_temp.get('i'), method, amount, options), code, why)
  FROM (VALUES ('cash', '0', '{}', 'invalid_amount', 'nothing'), ('cash', '-1', '{}', 'invalid_amount', 'less than nothing'),
               ('cash', '10000000000000000', '{}', 'invalid_amount', 'more than the largest amount'),
               ('cash', 'NULL', '{}', 'invalid_amount', 'an unknown amount'), ('barter', '5', '{}', 'invalid_method', 'two goats'),
               ('card', '5', '{}', 'invalid_method', 'a card without the gateway'),
               ('cash', '5', '{"keys": "k"}', 'invalid_option', 'a misspelt option')) AS t (method, amount, options, code, why);
SELECT pg_temp.refuses(format('SELECT payment_record(%L, ''cash'', 5, ''{}'')', gen_random_uuid()), 'not_found', 'an unknown invoice');
SELECT is((SELECT string_agg(p ->> 'method', ' ' ORDER BY p ->> 'id') FROM jsonb_array_elements(payment_list(jsonb_build_object('invoice', pg_temp.get('i')))) AS p),
          'cash cheque transfer', 'an invoice lists its payments, the overpaying one included');
SELECT is(jsonb_array_length(payment_list(jsonb_build_object('customer', pg_temp.get('c')))), 3, 'so does a customer');
SELECT is(jsonb_array_length(payment_list(jsonb_build_object('merchant', pg_temp.get('m')))), 3, 'and a merchant');
SELECT matches(payment_show(pg_temp.get('p')) ->> 'receipt_number', '^R-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{4}$', 'a payment has a receipt number');

-- Credits.
SELECT pg_temp.keep('d', pg_temp.customer(pg_temp.get('m')));
SELECT pg_temp.keep('late', pg_temp.invoice(pg_temp.get('m'), pg_temp.get('d'), 100, 'USD', '2030-01-01'));
SELECT pg_temp.keep('soon', pg_temp.invoice(pg_temp.get('m'), pg_temp.get('d'), 60, 'USD', '2020-01-01'));
SELECT pg_temp.keep('yen', pg_temp.invoice(pg_temp.get('m'), pg_temp.get('d'), 100, 'JPY', '2010-01-01'));
SELECT pg_temp.keep('k', credit_record(pg_temp.get('d'), 80, '{"key": "c1", "note": "sorry"}') ->> 'id');
SELECT is(pg_temp.due(pg_temp.get('soon')), 'paid 60 0', 'a credit pays the invoice that is due first');
SELECT is(pg_temp.due(pg_temp.get('late')), 'open 20 80', 'then the next');
SELECT is(pg_temp.due(pg_temp.get('yen')), 'open 0 100', 'but none in another currency');
SELECT is(credit_record(pg_temp.get('d'), 80, '{"key": "c1", "note": "sorry"}') - 'created_at' - 'id',
          jsonb_build_object('merchant', pg_temp.get('m'), 'customer', pg_temp.get('d'), 'kind', 'credit', 'amount_minor', 80, 'currency', 'USD',
            'applied_minor', 80, 'unapplied_minor', 0, 'key', 'c1', 'note', 'sorry', 'allocations', jsonb_build_array(
              jsonb_build_object('invoice', pg_temp.get('soon'), 'amount_minor', 60),
              jsonb_build_object('invoice', pg_temp.get('late'), 'amount_minor', 20))), 'the same key gives the same credit');
SELECT pg_temp.refuses(format('SELECT credit_record(%L, 81, ''{"key": "c1", "note": "sorry"}'')', pg_temp.get('d')), 'idempotency_mismatch',
                       'with anything else it is refused');
SELECT is(pg_temp.parts(credit_record(pg_temp.get('d'), 500, '{"kind": "prepayment"}')), '500 = 80 applied + 420 unapplied',
          'a pre-payment pays what is open, the rest waits');
SELECT is(pg_temp.parts(credit_record(pg_temp.get('d'), 30, '{"apply": false}')), '30 = 0 applied + 30 unapplied', 'unless it is not to be applied');
SELECT is(pg_temp.parts(credit_record(pg_temp.get('d'), 30, jsonb_build_object('currency', 'JPY', 'invoice', pg_temp.get('yen')))),
          '30 = 30 applied + 0 unapplied', 'or only to one invoice');
SELECT is((SELECT string_agg(concat_ws(' ', b ->> 'kind', b ->> 'currency', b ->> 'balance_minor'), ', ' ORDER BY b ->> 'currency', b ->> 'kind')
             FROM jsonb_array_elements(ledger_balances(pg_temp.get('m'))) AS b
            WHERE b ->> 'customer' = pg_temp.get('d') AND b ->> 'balance_minor' <> '0'),
          'receivable JPY 70, unapplied USD -450', 'what the customer owes and has is in the books');
SELECT pg_temp.refuses(format('SELECT credit_record(%L, %s, %L)', pg_temp.get('d'), amount, options), code, why)
  FROM (VALUES ('0', '{}', 'invalid_amount', 'nothing'), ('5', '{"currency": "BTC"}', 'unknown_currency', 'bitcoin'),
               ('5', '{"kind": "gift"}', 'invalid_option', 'a gift'), ('5', '{"apply": "no"}', 'invalid_option', 'a maybe'),
               ('5', '{"invoice": "x"}', 'invalid_id', 'an invoice that is none')) AS t (amount, options, code, why);
SELECT pg_temp.refuses(format('SELECT credit_record(%L, 5, %L)', pg_temp.get('d'), jsonb_build_object('invoice', pg_temp.get(k))), code, why)
  FROM (VALUES ('i', 'not_found', 'another customer''s invoice'), ('yen', 'currency_mismatch', 'an invoice in another currency')) AS t (k, code, why);
SELECT pg_temp.refuses(format('SELECT credit_record(%L, 5, ''{}'')', gen_random_uuid()), 'not_found', 'an unknown customer');
SELECT is((SELECT count(*)::integer FROM audit WHERE merchant_id = pg_temp.get('m')::uuid AND action IN ('payment.record', 'credit.record')), 7,
          'each of them is in the audit once');
SELECT pg_temp.books_are_right('after all of it the books are right');

SELECT * FROM finish();
ROLLBACK;
