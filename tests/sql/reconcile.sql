-- The pages that are compared with the gateway's own list.
BEGIN;
\ir support/world.psql
SELECT plan(6);

CREATE FUNCTION pg_temp.paid() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    a uuid := pg_temp.charge(pg_temp.world(100) ->> 'link');
BEGIN
    PERFORM pg_temp.settle(pg_temp.outcome(a, 'captured', 100));
    RETURN a;
END $$;
SELECT pg_temp.keep('p' || n, pg_temp.paid()) FROM generate_series(1, 3) AS n;
CREATE FUNCTION pg_temp.walk(page text, row_limit integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    seen text[] := ARRAY[]::text[];
    answer jsonb;
    at jsonb := '{}';
BEGIN
    LOOP
        EXECUTE format('SELECT paylink.%I($1, $2, $3)', page) INTO answer USING at ->> 'merchant', at ->> 'id', row_limit;
        EXIT WHEN answer = '[]';
        seen := seen || ARRAY(SELECT x ->> 'gateway_ref' FROM jsonb_array_elements(answer) AS x);
        at := answer -> -1;
    END LOOP;
    RETURN (SELECT string_agg(k.name, ' ' ORDER BY k.name) FROM kept k WHERE 'pi_' || k.value = ANY (seen) OR 're_' || k.name = ANY (seen));
END $$;
SELECT is(pg_temp.walk('gateway_captures', 1000), 'p1 p2 p3', 'every booked capture is listed');
SELECT is(pg_temp.walk('gateway_captures', 1), 'p1 p2 p3', 'also page by page');
SELECT is((SELECT count(*)::integer FROM jsonb_array_elements(gateway_captures(NULL, NULL, 10000)) AS x WHERE x ->> 'gateway_ref' IS NULL), 0,
          'with its reference at the gateway');
SELECT payment_record(pg_temp.world(5) ->> 'invoice', 'cash', 5, '{}');
SELECT is(pg_temp.walk('gateway_captures', 1000), 'p1 p2 p3', 'cash never was at the gateway');
SELECT refund_create(pg_temp.get('p1'), 10, 'reconcile-1');
SELECT pg_temp.keep('r1', 'reconcile-1');
SELECT is(pg_temp.walk('gateway_refunds', 1000), NULL, 'a pending refund is not yet listed');
SELECT refund_settle('[{"refund": "reconcile-1", "outcome": "succeeded", "gateway_ref": "re_r1"}]');
SELECT is(pg_temp.walk('gateway_refunds', 1), 'r1', 'one that succeeded is');

SELECT * FROM finish();
ROLLBACK;
