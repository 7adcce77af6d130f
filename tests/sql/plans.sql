-- The plans of a long session. A worker may connect to an empty database and stay for weeks: plans that were made for
-- empty tables must still look up single rows once the tables are large. Counted in rows that were read, not in time.
BEGIN;
\ir support/world.psql
SELECT plan(14);
SET LOCAL plan_cache_mode = force_generic_plan;

SELECT pg_temp.keep('m', pg_temp.merchant());
SELECT pg_temp.keep('c', pg_temp.customer(pg_temp.get('m')));
CREATE TEMPORARY TABLE crowd (n integer PRIMARY KEY, invoice_id uuid, link_id uuid, attempt_id uuid);

-- From_n … to_n: invoices of 100 with a link each, written directly because there are many.
CREATE FUNCTION pg_temp.grow(from_n integer, to_n integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    m uuid := pg_temp.get('m');
    c uuid := pg_temp.get('c');
BEGIN
    INSERT INTO crowd SELECT n, uuid7(), gen_random_uuid(), uuid7() FROM generate_series(from_n, to_n) AS n;
    INSERT INTO invoice (merchant_id, id, customer_id, number, currency, total_minor)
    SELECT m, invoice_id, c, 'crowd-' || n, 'USD', 100 FROM crowd WHERE n BETWEEN from_n AND to_n;
    INSERT INTO invoice_revision (merchant_id, invoice_id, revision, total_minor)
    SELECT m, invoice_id, 1, 100 FROM crowd WHERE n BETWEEN from_n AND to_n;
    INSERT INTO invoice_line (merchant_id, invoice_id, revision, line, description, quantity, unit_minor, total_minor)
    SELECT m, invoice_id, 1, 1, 'Lathe', 1, 100, 100 FROM crowd WHERE n BETWEEN from_n AND to_n;
    INSERT INTO link (merchant_id, id, customer_id, currency, kid, version_base, ceiling_at)
    SELECT m, link_id, c, 'USD', 1, 1, now() + interval '1 day' FROM crowd WHERE n BETWEEN from_n AND to_n;
    INSERT INTO link_invoice (merchant_id, link_id, invoice_id, position)
    SELECT m, link_id, invoice_id, 1 FROM crowd WHERE n BETWEEN from_n AND to_n;
END $$;
CREATE FUNCTION pg_temp.register_crowd(from_n integer, to_n integer) RETURNS integer LANGUAGE sql AS $$
    SELECT count(*) FILTER (WHERE d ->> 'action' = 'charge')::integer FROM json_array_elements(paylink.attempt_register('w1', 60000, (
        SELECT jsonb_agg(jsonb_build_object('attempt', attempt_id, 'link', link_id, 'version', 1, 'amount_minor', 100, 'payment_method', 'pm',
                                            'at_ms', pg_temp.now_ms())) FROM crowd WHERE n BETWEEN from_n AND to_n))) AS d $$;
CREATE FUNCTION pg_temp.settle_crowd(from_n integer, to_n integer) RETURNS integer LANGUAGE sql AS $$
    SELECT (paylink.attempt_settle('w1', (SELECT jsonb_agg(pg_temp.outcome(attempt_id, 'captured', 100)) FROM crowd WHERE n BETWEEN from_n AND to_n)) ->> 'applied')::integer $$;
CREATE FUNCTION pg_temp.tell_crowd(from_n integer, to_n integer) RETURNS integer LANGUAGE sql AS $$
    SELECT jsonb_array_length(paylink.outbox_claim('w1', 60000, 1000) -> 'links')
         + jsonb_array_length(paylink.link_snapshot((SELECT jsonb_agg(replace(link_id::text, '-', '')) FROM crowd WHERE n BETWEEN from_n AND to_n)))
         + jsonb_array_length(paylink.attempt_snapshot((SELECT jsonb_agg(attempt_id) FROM crowd WHERE n BETWEEN from_n AND to_n))) $$;
-- A second link for each invoice, which replaces the first.
CREATE FUNCTION pg_temp.link_crowd(from_n integer, to_n integer) RETURNS integer LANGUAGE sql AS $$
    SELECT count(pg_temp.link(pg_temp.get('m'), invoice_id::text))::integer FROM crowd WHERE n BETWEEN from_n AND to_n $$;

-- Rows read from all tables so far in this transaction, but for the batch and its making.
CREATE FUNCTION pg_temp.rows_read() RETURNS bigint LANGUAGE sql AS $$
    SELECT coalesce(sum(coalesce(idx_tup_fetch, 0) + coalesce(seq_tup_read, 0)), 0)::bigint
      FROM pg_stat_xact_user_tables WHERE schemaname = 'paylink' $$;
CREATE FUNCTION pg_temp.reads(what text, OUT answer integer, OUT per_item numeric) LANGUAGE plpgsql AS $$
DECLARE
    before bigint := pg_temp.rows_read();
BEGIN
    EXECUTE what INTO answer;
    per_item := (pg_temp.rows_read() - before) / 50.0;
END $$;

-- Plans are made now, with next to nothing in the tables.
SELECT pg_temp.grow(1, 1);
SELECT pg_temp.grow(0, 0);
SELECT pg_temp.link_crowd(0, 0);
SELECT pg_temp.register_crowd(1, 1);
SELECT pg_temp.settle_crowd(1, 1);
SELECT pg_temp.tell_crowd(1, 1);

-- Then a crowd comes: 3000 invoices, 2000 of them being charged, 1000 paid.
SELECT pg_temp.grow(2, 4000);
SELECT is(pg_temp.register_crowd(2, 1001) + pg_temp.register_crowd(1002, 2000), 1999, 'a crowd is registered');
SELECT is(pg_temp.settle_crowd(2, 1001), 1000, 'half of it is booked');
DELETE FROM outbox;

SELECT pg_temp.keep('r', (r.answer || ' ' || r.per_item)) FROM pg_temp.reads('SELECT pg_temp.register_crowd(3001, 3050)') AS r;
SELECT is(split_part(pg_temp.get('r'), ' ', 1), '50', 'fifty more are registered');
SELECT cmp_ok(split_part(pg_temp.get('r'), ' ', 2)::numeric, '<', 12::numeric, 'reading a dozen rows each: ' || split_part(pg_temp.get('r'), ' ', 2));
SELECT pg_temp.keep('s', (r.answer || ' ' || r.per_item)) FROM pg_temp.reads('SELECT pg_temp.settle_crowd(3001, 3050)') AS r;
SELECT is(split_part(pg_temp.get('s'), ' ', 1), '50', 'and booked');
SELECT cmp_ok(split_part(pg_temp.get('s'), ' ', 2)::numeric, '<', 8::numeric, 'reading even fewer: ' || split_part(pg_temp.get('s'), ' ', 2));
SELECT pg_temp.keep('t', (r.answer || ' ' || r.per_item)) FROM pg_temp.reads('SELECT pg_temp.tell_crowd(3001, 3050)') AS r;
SELECT is(split_part(pg_temp.get('t'), ' ', 1), '150', 'and told');
SELECT cmp_ok(split_part(pg_temp.get('t'), ' ', 2)::numeric, '<', 40::numeric, 'page and receipt take some more: ' || split_part(pg_temp.get('t'), ' ', 2));
SELECT pg_temp.keep('l', (r.answer || ' ' || r.per_item)) FROM pg_temp.reads('SELECT pg_temp.link_crowd(3101, 3150)') AS r;
SELECT is(split_part(pg_temp.get('l'), ' ', 1), '50', 'fifty links are made, and replace as many');
SELECT cmp_ok(split_part(pg_temp.get('l'), ' ', 2)::numeric, '<', 40::numeric, 'reading what they collect: ' || split_part(pg_temp.get('l'), ' ', 2));
-- Rivals for the same invoices go the long way round.
UPDATE crowd SET attempt_id = uuid7() WHERE n BETWEEN 1951 AND 2000;
SELECT pg_temp.keep('b', (r.answer || ' ' || r.per_item)) FROM pg_temp.reads('SELECT pg_temp.register_crowd(1951, 2000)') AS r;
SELECT is(split_part(pg_temp.get('b'), ' ', 1), '0', 'fifty rivals are refused');
SELECT cmp_ok(split_part(pg_temp.get('b'), ' ', 2)::numeric, '<', 20::numeric, 'without searching far: ' || split_part(pg_temp.get('b'), ' ', 2));
-- What touches several invoices.
SELECT pg_temp.keep('multi', pg_temp.link(pg_temp.get('m'), VARIADIC ARRAY(SELECT invoice_id::text FROM crowd WHERE n BETWEEN 3901 AND 3950)));
SELECT pg_temp.keep('ma', pg_temp.charge(pg_temp.get('multi'))::text);
SELECT pg_temp.keep('x', (r.answer || ' ' || r.per_item)) FROM pg_temp.reads(format(
    'SELECT (paylink.attempt_settle(''w1'', %L) ->> ''applied'')::integer', jsonb_build_array(pg_temp.outcome(pg_temp.get('ma')::uuid, 'captured', 5000)))) AS r;
SELECT is(split_part(pg_temp.get('x'), ' ', 1), '1', 'a capture for fifty invoices is booked');
SELECT cmp_ok(split_part(pg_temp.get('x'), ' ', 2)::numeric, '<', 12::numeric, 'in one look at each: ' || split_part(pg_temp.get('x'), ' ', 2));

SELECT * FROM finish();
ROLLBACK;
