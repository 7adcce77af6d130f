-- verify(): every check is able to fail. Each test breaks the data of a sound little world deliberately, as a superuser
-- with all triggers off, sees exactly the expected checks fail, and undoes the damage.
BEGIN;
\ir support/world.psql
SELECT plan(59);

-- A world with something of everything.
SELECT pg_temp.keep('m', pg_temp.merchant());
SELECT pg_temp.keep('c', pg_temp.customer(pg_temp.get('m')));
SELECT pg_temp.keep('i' || n, pg_temp.invoice(pg_temp.get('m'), pg_temp.get('c'), 100 * n)) FROM generate_series(1, 6) AS n;
SELECT pg_temp.keep('l1', pg_temp.link(pg_temp.get('m'), pg_temp.get('i1')));
SELECT pg_temp.keep('a1', pg_temp.charge(pg_temp.get('l1'))::text);
SELECT pg_temp.settle(pg_temp.outcome(pg_temp.get('a1')::uuid, 'captured', 130));
SELECT refund_create(pg_temp.get('a1'), 50, 'v-1');
SELECT refund_settle('[{"refund": "v-1", "outcome": "succeeded"}]');
SELECT refund_create(pg_temp.get('a1'), 20, 'v-2');
SELECT refund_settle('[{"refund": "v-2", "outcome": "failed"}]');
SELECT refund_create(pg_temp.get('a1'), 10, 'v-3');
SELECT pg_temp.keep('l2', pg_temp.link(pg_temp.get('m'), pg_temp.get('i2')));
SELECT pg_temp.keep('a2', pg_temp.charge(pg_temp.get('l2'))::text);
SELECT pg_temp.keep('cash', payment_record(pg_temp.get('i3'), 'cash', 150, '{}') ->> 'id');
SELECT invoice_void(pg_temp.get('i3'), 'x');
SELECT pg_temp.keep('k', credit_record(pg_temp.get('c'), 250, jsonb_build_object('invoice', pg_temp.get('i5'))) ->> 'id');
SELECT credit_record(pg_temp.get('c'), 40, '{"kind": "prepayment", "apply": false}');
SELECT payment_record(pg_temp.get('i6'), 'transfer', 600, '{}');
SELECT pg_temp.keep('l4', pg_temp.link(pg_temp.get('m'), pg_temp.get('i4')));
UPDATE attempt SET attention = NULL;
SELECT pg_temp.books_are_right('the world is sound');
SELECT is((SELECT count(*)::integer FROM jsonb_array_elements(verify()) AS c WHERE (c ->> 'warning')::boolean), 0, 'and nothing needs attention');

-- Runs a statement with triggers off and row generation untouched; → the checks that fail then; undoes it.
CREATE FUNCTION pg_temp.broken(VARIADIC statements text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    failing text;
    s text;
BEGIN
    BEGIN
        SET LOCAL session_replication_role = replica;
        FOREACH s IN ARRAY statements LOOP
            s := regexp_replace(s, '\$(\w+)', '(SELECT k.value FROM kept k WHERE k.name = ''\1'')::uuid', 'g');
            EXECUTE s;
        END LOOP;
        failing := pg_temp.wrong();
        RAISE EXCEPTION SQLSTATE 'UNDO0';
    EXCEPTION WHEN SQLSTATE 'UNDO0' THEN
        RETURN failing;
    END;
END $$;
CREATE FUNCTION pg_temp.seen(failing text, code text, why text) RETURNS text LANGUAGE sql AS $$
    SELECT ok(code = ANY (string_to_array(failing, ', ')), why || ': ' || code || CASE WHEN failing = code THEN '' ELSE ' (of ' || failing || ')' END) $$;

SELECT is(pg_temp.broken('SELECT 1'), '', 'breaking nothing breaks nothing');
CREATE TEMPORARY TABLE breakage (n serial, statement text, code text, why text);
INSERT INTO breakage (statement, code, why) VALUES
    ('UPDATE entry SET amount_minor = amount_minor + 1 WHERE journal_id = $a1 AND line = 1', 'journals_balance', 'a cent too much in one entry'),
    ('UPDATE entry SET amount_minor = amount_minor + 1 WHERE journal_id = $a1 AND line = 1', 'ledger_sums_to_zero', 'and the whole ledger'),
    ('UPDATE entry SET currency = ''EUR'' WHERE journal_id = $a1 AND line = 1', 'journals_balance', 'an entry in another currency'),
    ('DELETE FROM journal WHERE id = $a1', 'journals_are_whole', 'a journal vanished'),
    ('DELETE FROM entry WHERE journal_id = $a1', 'journals_are_whole', 'its entries vanished'),
    ('UPDATE entry SET customer_id = gen_random_uuid() WHERE customer_id = $c', 'entries_have_customers', 'entries of an unknown customer'),
    ('UPDATE entry SET currency = ''BTC''', 'entries_have_customers', 'entries in no currency'),
    ('UPDATE journal SET document_id = gen_random_uuid() WHERE document_id = $cash', 'journals_have_documents', 'a journal that explains nothing'),
    ('UPDATE journal SET kind = ''credit'' WHERE id = $a1', 'journals_have_documents', 'a journal of the wrong kind'),
    ('UPDATE entry SET amount_minor = 2 * amount_minor WHERE journal_id IN (SELECT id FROM journal WHERE document_id = $i4)', 'balance_receivable', 'an invoice booked twice as high'),
    ('UPDATE entry SET amount_minor = 2 * amount_minor WHERE journal_id IN (SELECT id FROM journal WHERE document_id = $i4)', 'balance_revenue', 'and its revenue'),
    ('UPDATE entry SET amount_minor = 2 * amount_minor WHERE journal_id IN (SELECT id FROM journal WHERE document_id = $i4)', 'invoice_is_posted', 'which that invoice knows'),
    ('UPDATE entry SET account = ''bank'', customer_id = NULL WHERE account = ''unapplied'' AND journal_id = $a1', 'balance_unapplied', 'an overpayment in the bank'),
    ('UPDATE entry SET account = ''bank'' WHERE account = ''cash_gateway'' AND journal_id = $a1', 'balance_cash_gateway', 'a capture in the bank'),
    ('UPDATE entry SET account = ''bank'' WHERE account = ''cash_gateway'' AND journal_id = $a1', 'balance_bank', 'where it is too much'),
    ('UPDATE entry SET account = ''bank'' WHERE account = ''cash''', 'balance_cash', 'cash in the bank'),
    ('UPDATE entry SET account = ''revenue'' WHERE account = ''refunds''', 'balance_refunds', 'refunds taken from revenue'),
    ('UPDATE entry SET account = ''revenue'' WHERE account = ''refunds_payable''', 'balance_refunds_payable', 'reserves taken from revenue'),
    ('UPDATE entry SET account = ''revenue'' WHERE account = ''credits_issued''', 'balance_credits_issued', 'credits taken from revenue'),
    ('UPDATE invoice_line SET total_minor = total_minor + 1, unit_minor = unit_minor + 1 WHERE invoice_id = $i4', 'invoice_lines_add_up', 'a line that is more than its invoice'),
    ('DELETE FROM invoice_revision WHERE invoice_id = $i4', 'invoice_lines_add_up', 'a revision vanished'),
    ('UPDATE invoice SET paid_minor = 90, paid_at = NULL WHERE id = $i1', 'invoice_paid_is_allocated', 'an invoice that forgot ten cents'),
    ('UPDATE invoice SET paid_minor = 10 WHERE id = $i4', 'invoice_paid_is_allocated', 'an invoice that invented them'),
    ('UPDATE allocation SET amount_minor = 99 WHERE payment_id = $a1', 'applied_is_allocated', 'an allocation that is less than applied'),
    ('DELETE FROM allocation WHERE credit_id = $k', 'applied_is_allocated', 'a credit''s allocation vanished'),
    ('UPDATE allocation SET invoice_id = gen_random_uuid() WHERE payment_id = $a1', 'allocation_fits', 'an allocation to nothing'),
    ('UPDATE payment SET currency = ''EUR'' WHERE id = $a1', 'allocation_fits', 'an allocation across currencies'),
    ('UPDATE allocation SET journal_id = gen_random_uuid() WHERE payment_id = $a1', 'allocation_is_posted', 'an allocation without its journal'),
    ('UPDATE payment SET amount_minor = 140, unapplied_minor = unapplied_minor + 10 WHERE id = $a1', 'payment_is_posted_once', 'a payment that grew'),
    ('INSERT INTO journal SELECT merchant_id, gen_random_uuid(), kind, document_id, refund_id FROM journal WHERE id = $a1',
     'journals_are_whole', 'a second journal of a payment'),
    ('UPDATE payment SET gateway_ref = (SELECT gateway_ref FROM payment WHERE id = $a1), attempt_id = id WHERE id = $cash', 'gateway_capture_booked_once', 'one capture booked twice'),
    ('UPDATE payment SET refunded_minor = refunded_minor + 5 WHERE id = $a1', 'refunds_within_payment', 'a payment that invented a refund'),
    ('UPDATE refund SET amount_minor = 1000 WHERE id = ''v-1''', 'refunds_within_payment', 'a refund of more than was paid'),
    ('UPDATE refund SET from_unapplied_minor = 0 WHERE id = ''v-1''', 'refunds_within_payment', 'a refund from another part'),
    ('UPDATE refund SET state = ''failed'', settled_at = now() WHERE id = ''v-3''', 'refund_is_posted', 'a refund that failed without a journal'),
    ('UPDATE refund SET state = ''succeeded'' WHERE id = ''v-2''', 'refund_is_posted', 'one that failed and says it did not'),
    ('UPDATE attempt SET captured_minor = 131 WHERE id = $a1', 'capture_is_a_payment', 'an attempt that captured more than its payment'),
    ('DELETE FROM payment WHERE id = $a1', 'capture_is_a_payment', 'a capture that nobody booked'),
    ('UPDATE attempt SET state = ''declined'', captured_minor = NULL, reason = ''x'' WHERE id = $a1', 'capture_is_a_payment', 'a payment without a capture'),
    ('UPDATE attempt SET attention = ''captured twice: also pi_2'' WHERE id = $a1', 'attempt_captured_once', 'a second capture'),
    ('UPDATE attempt SET currency = ''EUR'' WHERE id = $a2', 'attempt_fits_its_link', 'an attempt in another currency than its link'),
    ('DELETE FROM attempt_event WHERE attempt_id = $a1 AND seq = 1', 'attempt_history_is_whole', 'a hole in the history'),
    ('INSERT INTO attempt_event VALUES ($m, gen_random_uuid(), 1, now(), ''charging'', ''w'')', 'attempt_history_is_whole', 'a history of nothing'),
    ('UPDATE attempt_event SET state = ''unknown'' WHERE attempt_id = $a1 AND seq = 2', 'attempt_history_is_whole', 'another end of it'),
    ('DELETE FROM invoice_fence', 'fences_guard_live_attempts', 'a live attempt without a fence'),
    ('INSERT INTO invoice_fence VALUES ($m, $i4, $a1)', 'fences_guard_live_attempts', 'a fence of a finished attempt'),
    ('DELETE FROM link_invoice WHERE link_id = $l4', 'link_has_one_customer', 'a link to nothing'),
    ('UPDATE link SET customer_id = gen_random_uuid() WHERE id = $l4', 'link_has_one_customer', 'a link of somebody else'),
    ('UPDATE link SET version_base = version_base - 1 WHERE id = $l2', 'link_version_only_grows', 'a version that went back'),
    ('UPDATE link_invoice SET invoice_id = $i2 WHERE link_id = $l4', 'one_link_per_open_invoice', 'two living links for one invoice'),
    ('ALTER TABLE entry DISABLE TRIGGER entry_balanced', 'guards_are_in_place', 'a guard that is off'),
    ('DROP TRIGGER journal_immutable ON journal', 'guards_are_in_place', 'a guard that is gone'),
    ('ALTER TABLE invoice DISABLE ROW LEVEL SECURITY', 'tenants_are_separated', 'no separation of merchants');
SELECT pg_temp.seen(pg_temp.broken(statement), code, why) FROM breakage ORDER BY n;
SELECT is((SELECT string_agg(c ->> 'check', ', ') FROM jsonb_array_elements(verify()) AS c
            WHERE c ->> 'check' NOT IN (SELECT code FROM breakage)
              AND c ->> 'check' NOT IN ('attempts_need_no_attention', 'outbox_moves', 'refunds_move')),
          NULL, 'every check was seen to fail');

-- Warnings.
CREATE FUNCTION pg_temp.warned() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(c ->> 'check', ', ' ORDER BY c ->> 'check') FROM jsonb_array_elements(paylink.verify()) AS c WHERE (c ->> 'warning')::boolean $$;
UPDATE outbox SET created_at = now() - interval '16 minutes';
UPDATE refund SET created_at = now() - interval '25 hours';
UPDATE attempt SET attention = 'captured another amount than was asked for' WHERE id = pg_temp.get('a1')::uuid;
SELECT is(pg_temp.warned(), 'attempts_need_no_attention, outbox_moves, refunds_move', 'what waits too long or needs a person is a warning');
SELECT is(pg_temp.wrong(), '', 'which is not wrong');

SELECT * FROM finish();
ROLLBACK;
