-- What is told outside: the outbox, snapshots of links and attempts, and the timetable of questions to the gateway.
BEGIN;
\ir support/world.psql
SELECT plan(41);

SELECT pg_temp.keep('w', pg_temp.world(1000)::text);
SELECT pg_temp.keep('l', pg_temp.get('w')::jsonb ->> 'link');
SELECT pg_temp.keep('i', pg_temp.get('w')::jsonb ->> 'invoice');
DELETE FROM outbox;
CREATE FUNCTION pg_temp.told(what text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    claimed jsonb;
BEGIN
    EXECUTE what;
    claimed := outbox_claim('w', 60000, 1000);
    PERFORM outbox_done(claimed -> 'ids');
    RETURN (SELECT coalesce(string_agg(DISTINCT k.name, ' ' ORDER BY k.name), 'nothing')
              FROM kept k, jsonb_array_elements_text(claimed -> 'links' || (claimed -> 'attempts')) AS c (id) WHERE c.id = k.value);
END $$;

-- Whatever changes what a payer sees is told.
SELECT is(pg_temp.told(format('SELECT payment_record(%L, ''cash'', 100, ''{}'')', pg_temp.get('i'))), 'l', 'a payment');
SELECT is(pg_temp.told(format('SELECT credit_record(%L, 100, ''{}'')', pg_temp.get('w')::jsonb ->> 'customer')), 'l', 'a credit');
SELECT is(pg_temp.told(format('SELECT invoice_change(%L, ''{"due": "2027-01-01"}'')', pg_temp.get('i'))), 'l', 'a change of the invoice');
SELECT is(pg_temp.told(format('SELECT merchant_change(%L, ''{"name": "Other"}'')', pg_temp.get('w')::jsonb ->> 'merchant')), 'l', 'a change of the merchant');
SELECT pg_temp.keep('n', 'ffffffffffffffffffffffffffffffff');
SELECT is(pg_temp.told(format('SELECT link_create(%L, %L, %L, 1, ''{}'')', pg_temp.get('w')::jsonb ->> 'merchant', jsonb_build_array(pg_temp.get('i')),
                              pg_temp.get('n'))), 'l n', 'a new link, and the one it replaces');
SELECT is(pg_temp.told(format('SELECT payment_record(%L, ''cash'', 100, ''{}'')', pg_temp.get('i'))), 'n', 'a payment is told to the living link only');
SELECT is(pg_temp.told(format('SELECT link_revoke(%L, ''x'')', pg_temp.get('n'))), 'n', 'a revocation');
SELECT is(pg_temp.told(format('SELECT link_opened(%L)', jsonb_build_array(jsonb_build_object('link', pg_temp.get('n'), 'opened_ms', 5)))), 'nothing',
          'an opening is nobody''s news: Redis said it');

-- Claiming.
INSERT INTO outbox (merchant_id, id, attempts) SELECT (pg_temp.get('w')::jsonb ->> 'merchant')::uuid, uuid7(), ARRAY(SELECT uuid7() FROM generate_series(1, 10)) FROM generate_series(1, 5);
SELECT is(jsonb_array_length(outbox_claim('w1', 60000, 15) -> 'ids'), 2, 'as many rows are claimed as make up the limit');
SELECT is(jsonb_array_length(outbox_claim('w2', 60000, 1) -> 'ids'), 1, 'at least one');
SELECT is(jsonb_array_length(outbox_claim('w2', 60000, 1000) -> 'ids'), 2, 'nobody gets what somebody else has');
SELECT is(outbox_claim('w3', 60000, 1000), '{"ids": [], "links": [], "attempts": []}', 'then nothing is left');
UPDATE outbox SET lease_until = clock_timestamp() - interval '1 ms' WHERE lease_owner = 'w1';
SELECT pg_temp.keep('claim', outbox_claim('w3', 60000, 1000)::text);
SELECT is(jsonb_array_length(pg_temp.get('claim')::jsonb -> 'ids'), 2, 'a lapsed lease makes rows free again');
SELECT is(current_setting('synchronous_commit'), 'off', 'neither claim nor done waits for the disk');
SELECT is(outbox_done(pg_temp.get('claim')::jsonb -> 'ids'), '{"done": 2}', 'what is done is gone');
SELECT is(outbox_done(pg_temp.get('claim')::jsonb -> 'ids'), '{"done": 0}', 'once');
DELETE FROM outbox;

-- Snapshots of links.
SELECT is(link_snapshot(jsonb_build_array(repeat('0', 32))), jsonb_build_array(jsonb_build_object('link', repeat('0', 32), 'state', 'absent', 'version', 1)),
          'an unknown link is absent');
SELECT pg_temp.keep('m', pg_temp.merchant('{"gateway_account": "pk_test_1", "locale": "de-DE"}'));
SELECT pg_temp.keep('c', pg_temp.customer(pg_temp.get('m')));
SELECT pg_temp.keep('i1', invoice_create(pg_temp.get('m'), pg_temp.get('c'), 'R-1', 'USD',
    '[{"description": "Lathe", "quantity": 1, "unit_minor": 500}, {"description": "Oil", "quantity": 1, "unit_minor": 20}, {"description": "Rag", "quantity": 1, "unit_minor": 1}]',
    '2026-12-31') ->> 'id');
SELECT pg_temp.keep('i2', invoice_create(pg_temp.get('m'), pg_temp.get('c'), 'R-2', 'USD', '[{"description": "Drill", "quantity": 1, "unit_minor": 79}]', '2026-11-30') ->> 'id');
SELECT pg_temp.keep('s', pg_temp.link(pg_temp.get('m'), pg_temp.get('i1'), pg_temp.get('i2')));
SELECT link_opened(jsonb_build_array(jsonb_build_object('link', pg_temp.get('s'), 'opened_ms', 1795000000000)));
SELECT is((link_snapshot(jsonb_build_array(pg_temp.get('s'))) -> 0) - 'ceiling_ms',
          jsonb_build_object('link', pg_temp.get('s'), 'merchant_id', pg_temp.get('m'), 'state', 'active', 'version', 1,
            'opened_ms', 1795000000000, 'expires_ms', 1795086400000, 'lifetime_ms', 86400000, 'due_minor', 600, 'currency', 'USD',
            'merchant', 'Harbour Tools', 'customer', 'Ada Byron', 'email_masked', 'a•••@e•••.com', 'numbers', '["R-1", "R-2"]'::jsonb, 'due_date', '2026-11-30', 'paid_minor', 0,
            'paid_at_ms', NULL, 'paid_method', NULL, 'receipt_number', NULL, 'card_brand', NULL, 'card_last4', NULL, 'overpay', false, 'overpay_minor', 600, 'lang', 'de-DE', 'lang_set', false, 'account', 'pk_test_1', 'choose', false, 'partial_min_minor', NULL, 'brand_css', NULL, 'brand_integrity', NULL, 'brand_logo', NULL,
            'rows', '[{"number": "R-1", "description": "Lathe + 2", "due_date": "2026-12-31", "total_minor": 521, "due_minor": 521, "paid_minor": 0, "state": "open"},
                      {"number": "R-2", "description": "Drill", "due_date": "2026-11-30", "total_minor": 79, "due_minor": 79, "paid_minor": 0, "state": "open"}]'::jsonb),
          'a snapshot has what a page shows');
SELECT payment_record(pg_temp.get('i1'), 'cash', 521, '{}');
SELECT pg_temp.keep('p2', payment_record(pg_temp.get('i2'), 'cheque', 79, '{}') ->> 'id');
SELECT is((SELECT concat_ws(' ', s ->> 'state', s ->> 'version', s ->> 'due_minor', s ->> 'paid_minor', s ->> 'receipt_number' = payment_show(pg_temp.get('p2')) ->> 'receipt_number')
             FROM jsonb_array_elements(link_snapshot(jsonb_build_array(pg_temp.get('s')))) AS s), 'paid 3 0 600 t', 'a paid link has a receipt');
SELECT is(link_snapshot(jsonb_build_array(pg_temp.get('s'))) -> 0 ->> 'overpay', 'false', 'nobody pays it again by default');
SELECT merchant_change(pg_temp.get('m'), '{"when_paid_elsewhere": "overpayment"}');
SELECT is((SELECT concat_ws(' ', s ->> 'overpay', s ->> 'overpay_minor') FROM jsonb_array_elements(link_snapshot(jsonb_build_array(pg_temp.get('s')))) AS s), 'true 600',
          'unless the merchant takes overpayments: then the old page''s amount (both were paid at the same time)');
SELECT pg_temp.keep('w2', pg_temp.world(70, '{"when_paid_elsewhere": "overpayment"}')::text);
SELECT pg_temp.keep('a2', pg_temp.charge(pg_temp.get('w2')::jsonb ->> 'link')::text);
SELECT pg_temp.settle(pg_temp.outcome(pg_temp.get('a2')::uuid, 'captured', 70));
SELECT is((SELECT concat_ws(' ', s ->> 'state', s ->> 'overpay', s ->> 'paid_method', s ->> 'card_brand', s ->> 'card_last4')
             FROM jsonb_array_elements(link_snapshot(jsonb_build_array(pg_temp.get('w2')::jsonb ->> 'link'))) AS s), 'paid false card visa 4242',
          'and never after a card was charged');
SELECT pg_temp.keep('w3', pg_temp.world(5)::text);
SELECT credit_record(pg_temp.get('w3')::jsonb ->> 'customer', 5, '{}');
SELECT is((SELECT concat_ws(' ', s ->> 'state', s ->> 'paid_method') FROM jsonb_array_elements(link_snapshot(jsonb_build_array(pg_temp.get('w3')::jsonb ->> 'link'))) AS s),
          'paid credit', 'paid by a credit');

-- Snapshots of attempts.
SELECT is((attempt_snapshot(jsonb_build_array(pg_temp.get('a2'))) -> 0) - ARRAY['paid_at_ms', 'at_ms', 'merchant_id', 'receipt_number', 'numbers'],
          jsonb_build_object('attempt', pg_temp.get('a2'), 'link', pg_temp.get('w2')::jsonb ->> 'link', 'state', 'captured', 'version', 1, 'amount_minor', 70,
            'currency', 'USD', 'reason', NULL, 'action_url', NULL, 'brand_css', NULL, 'brand_integrity', NULL, 'brand_logo', NULL, 'card_brand', 'visa', 'card_last4', '4242', 'merchant', 'Harbour Tools',
            'overpaid_minor', 0, 'left_minor', NULL, 'lang', 'en-US'), 'an attempt has what its page shows');
SELECT is((attempt_snapshot(jsonb_build_array(pg_temp.get('a2'))) -> 0 ->> 'paid_at_ms')::bigint BETWEEN pg_temp.now_ms() - 60000 AND pg_temp.now_ms(), true, 'with the time');
SELECT is(attempt_snapshot(jsonb_build_array(pg_temp.get('a2'))) -> 0 -> 'numbers', jsonb_build_array(invoice_show(pg_temp.get('w2')::jsonb ->> 'invoice') ->> 'number'), 'and what was paid');
SELECT is(attempt_snapshot(jsonb_build_array('00000000-0000-7000-8000-000000000000')),
          '[{"attempt": "00000000-0000-7000-8000-000000000000", "state": "absent"}]', 'an unknown attempt is absent');
SELECT pg_temp.keep('a3', pg_temp.charge(pg_temp.world(8) ->> 'link')::text);
SELECT pg_temp.settle(pg_temp.outcome(pg_temp.get('a3')::uuid, 'action_required', more => '{"action_url": "https://gateway.example/3ds"}'));
SELECT is((SELECT concat_ws(' ', s ->> 'state', s ->> 'action_url') FROM jsonb_array_elements(attempt_snapshot(jsonb_build_array(pg_temp.get('a3')))) AS s),
          'action_required https://gateway.example/3ds', 'where the payer has to go is in it');

-- The timetable. waits: 5 s, 30 s, 2 min.
CREATE FUNCTION pg_temp.due(after interval DEFAULT '0') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    UPDATE attempt SET next_check_at = next_check_at - after, lease_until = lease_until - after;
    RETURN (SELECT coalesce(string_agg(concat_ws(' ', k.name, d ->> 'state'), ', ' ORDER BY k.name), 'none')
              FROM jsonb_array_elements(attempt_checks_due(100, '[5000, 30000, 120000]')) AS d JOIN kept k ON k.value = d ->> 'attempt');
END $$;
SELECT pg_temp.keep('u', pg_temp.charge(pg_temp.world(9) ->> 'link')::text);
SELECT is(pg_temp.due(), 'none', 'the first call starts the timetable');
SELECT is(pg_temp.due('4 s'), 'none', 'the first wait is not over');
SELECT is(pg_temp.due('1 s'), 'a3 action_required', 'now it is');
SELECT is(pg_temp.due('29 s'), 'none', 'the second wait');
SELECT is(pg_temp.due('1 s'), 'a3 action_required', 'is longer');
SELECT is(attempt_check_now(jsonb_build_array(pg_temp.get('a3'))), '{"changed": 1}', 'the payer came back');
SELECT is(pg_temp.due(), 'a3 action_required', 'asked at once');
SELECT is(pg_temp.due('86 s'), 'none', 'a lease that is over for as long as it lasted: its worker is gone');
SELECT is(pg_temp.due('5 s'), 'u charging', 'the gateway is asked about that one too');
SELECT pg_temp.settle(pg_temp.outcome(pg_temp.get('u')::uuid, 'captured', 9));
SELECT is(pg_temp.due('1 day'), 'none', 'after the last wait nobody is asked any more, nor about what is captured');
SELECT is(attempt_show(pg_temp.get('a3')) ->> 'attention', 'no answer after the last check: ask the gateway''s support', 'a person has to');
SELECT pg_temp.refuses($$SELECT attempt_checks_due(10, '[]')$$, 'invalid_batch', 'a timetable has at least one wait');
SELECT pg_temp.books_are_right('after all of it the books are right');

SELECT * FROM finish();
ROLLBACK;
