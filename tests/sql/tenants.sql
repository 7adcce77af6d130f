-- Merchants are separated by the database: what role paylink_api sees.
BEGIN;
\ir support/world.psql
SELECT plan(26);

-- Two merchants, each with a row in every table that the API may read.
CREATE FUNCTION pg_temp.populate(tag text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    w jsonb := pg_temp.world(5000);
    a uuid := pg_temp.charge(w ->> 'link');
BEGIN
    PERFORM pg_temp.settle(pg_temp.outcome(a, 'captured', 5000));
    PERFORM paylink.refund_create(a::text, 10, 'refund-' || tag);
    PERFORM paylink.credit_record(w ->> 'customer', 7, '{}');
    PERFORM pg_temp.keep(tag, w ->> 'merchant');
END $$;
SELECT pg_temp.populate('one');
SELECT pg_temp.populate('two');

CREATE FUNCTION pg_temp.seen(table_name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    EXECUTE format('SELECT string_agg(DISTINCT %I::text, '','') FROM paylink.%I',
                   CASE table_name WHEN 'merchant' THEN 'id' ELSE 'merchant_id' END, table_name) INTO answer;
    RETURN answer;
END $$;
GRANT SELECT ON kept TO paylink_api;

SET LOCAL ROLE paylink_api;
SELECT is((SELECT count(*)::integer FROM paylink.invoice), 0, 'without paylink.merchant_id nothing is seen');
SELECT set_config('paylink.merchant_id', '', true);
SELECT is((SELECT count(*)::integer FROM paylink.payment), 0, 'nor with an empty one');
SELECT set_config('paylink.merchant_id', pg_temp.get('one'), true);
SELECT is(pg_temp.seen(t), pg_temp.get('one'), format('%s: only the merchant''s own rows', t))
  FROM unnest(ARRAY['merchant', 'customer', 'audit', 'invoice', 'invoice_revision', 'invoice_line', 'link', 'link_invoice', 'journal',
                    'entry', 'payment', 'credit', 'allocation', 'refund', 'attempt', 'attempt_event', 'invoice_overview', 'payment_overview',
                    'account_balance', 'link_overview']) AS t;
SELECT is((SELECT count(*)::integer FROM paylink.invoice WHERE merchant_id = pg_temp.get('two')::uuid), 0,
          'asking for the other merchant by name finds nothing');
SELECT set_config('paylink.merchant_id', pg_temp.get('two'), true);
SELECT is(pg_temp.seen('invoice'), pg_temp.get('two'), 'the other merchant sees its own');
SELECT throws_ok('INSERT INTO paylink.customer VALUES (gen_random_uuid(), gen_random_uuid(), ''x'', ''x@y'')', '42501', NULL, 'the API role cannot write');
SELECT throws_ok('SELECT * FROM paylink.outbox', '42501', NULL, 'nor look into the outbox');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
