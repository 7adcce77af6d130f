-- The books: balanced by the statement that posts them, and unchangeable, whoever asks.
BEGIN;
\ir support/world.psql
SELECT plan(32);

SELECT pg_temp.keep('m', pg_temp.merchant());
SELECT pg_temp.keep('c', pg_temp.customer(pg_temp.get('m')));
SELECT pg_temp.keep('i', pg_temp.invoice(pg_temp.get('m'), pg_temp.get('c'), 5000));

CREATE FUNCTION pg_temp.post(VARIADIC entries text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    j uuid := paylink.uuid7();
BEGIN
    INSERT INTO paylink.journal (merchant_id, id, kind, document_id)
    VALUES (pg_temp.get('m')::uuid, j, 'invoice', pg_temp.get('i')::uuid);
    INSERT INTO paylink.entry (merchant_id, journal_id, line, account, customer_id, currency, amount_minor)
    SELECT pg_temp.get('m')::uuid, j, n, split_part(e, ' ', 1)::account_kind,
           CASE WHEN e ~ '^(receivable|unapplied)' THEN pg_temp.get('c')::uuid END, split_part(e, ' ', 2),
           split_part(e, ' ', 3)::bigint
      FROM unnest(entries) WITH ORDINALITY AS x (e, n);
END $$;

SELECT lives_ok($$SELECT pg_temp.post('receivable USD 100', 'revenue USD -100')$$, 'a balanced journal is posted');
SELECT lives_ok($$SELECT pg_temp.post('bank USD 100', 'unapplied USD -60', 'receivable USD -40')$$, 'also one of three entries');
SELECT pg_temp.refuses($$SELECT pg_temp.post('receivable USD 100', 'revenue USD -99')$$, 'unbalanced', 'a cent too little is refused');
SELECT pg_temp.refuses($$SELECT pg_temp.post('receivable USD 100')$$, 'unbalanced', 'one entry alone is refused');
SELECT pg_temp.refuses($$SELECT pg_temp.post('receivable USD 100', 'revenue EUR -100')$$, 'unbalanced',
                       'two currencies do not balance each other');
SELECT lives_ok($$SELECT pg_temp.post('bank USD 5', 'revenue USD -5', 'bank EUR 7', 'revenue EUR -7')$$,
                'a journal may have two currencies, each balanced');
SELECT lives_ok($$SELECT pg_temp.post('bank USD 9999999999999999', 'revenue USD -9999999999999999')$$, 'the largest amount balances too');
SELECT throws_ok($$SELECT pg_temp.post('bank USD 10000000000000000', 'revenue USD -10000000000000000')$$, '23514', NULL,
                 'a larger one is refused');
SELECT throws_ok($$SELECT pg_temp.post('bank USD 0', 'revenue USD 0')$$, '23514', NULL, 'an entry of nothing is refused');
SELECT throws_ok(format('INSERT INTO entry SELECT merchant_id, journal_id, line + 10, account, %L, currency, amount_minor FROM entry '
                        'WHERE merchant_id = %L AND account IN (''revenue'', ''receivable'') AND journal_id = %L', pg_temp.get('c'), pg_temp.get('m'),
                        (SELECT id FROM journal WHERE document_id = pg_temp.get('i')::uuid ORDER BY posted_at, id LIMIT 1)),
                 '23514', NULL, 'revenue is nobody''s account in particular');
SELECT pg_temp.refuses(format('INSERT INTO entry (merchant_id, journal_id, line, account, currency, amount_minor) '
                              'VALUES (%L, %L, 9, ''bank'', ''USD'', 1)', pg_temp.get('m'),
                              (SELECT id FROM journal WHERE document_id = pg_temp.get('i')::uuid ORDER BY posted_at, id LIMIT 1)),
                       'unbalanced', 'nothing is added to a journal later');

-- By the owner, who runs every function, and by a superuser alike.
SELECT pg_temp.refuses('UPDATE entry SET amount_minor = 1', 'immutable', 'an entry cannot be updated');
SELECT pg_temp.refuses('DELETE FROM entry', 'immutable', 'nor deleted');
SELECT pg_temp.refuses('TRUNCATE entry', 'immutable', 'nor truncated');
SELECT pg_temp.refuses('UPDATE journal SET kind = ''payment''', 'immutable', 'a journal cannot be updated');
SELECT pg_temp.refuses('DELETE FROM journal', 'immutable', 'nor deleted');
SELECT pg_temp.refuses('TRUNCATE journal', 'immutable', 'nor truncated');
SELECT pg_temp.refuses('UPDATE allocation SET amount_minor = 1', 'immutable', 'an allocation cannot be updated');
SELECT pg_temp.refuses('DELETE FROM allocation', 'immutable', 'nor deleted');
SELECT pg_temp.refuses('DELETE FROM account', 'immutable', 'the chart of accounts stays');
SELECT pg_temp.refuses('UPDATE audit SET actor = ''nobody''', 'immutable', 'the audit cannot be changed');
SELECT pg_temp.refuses('DELETE FROM audit', 'immutable', 'nor shortened');
SELECT pg_temp.refuses('UPDATE invoice_line SET quantity = 2', 'immutable', 'lines of an invoice are revised, not changed');
SELECT pg_temp.refuses(format('DELETE FROM %I', t), 'immutable', t || ' rows stay')
  FROM unnest(ARRAY['attempt', 'invoice', 'link', 'payment', 'credit', 'refund']) AS t;
SELECT pg_temp.refuses('DELETE FROM attempt_event', 'immutable', 'and so does its history');
SET LOCAL ROLE paylink_owner;
SELECT throws_ok('UPDATE paylink.entry SET amount_minor = 1', 'PL001', NULL, 'the owner is refused as well');
RESET ROLE;
SELECT is((SELECT sum((b ->> 'balance_minor')::numeric)::text FROM jsonb_array_elements(ledger_balances(pg_temp.get('m'))) AS b
            WHERE b ->> 'currency' = 'USD'), '0', 'the balances of a merchant sum to zero');

SELECT * FROM finish();
ROLLBACK;
