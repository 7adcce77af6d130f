-- Many sessions at once. What is raced for has to be committed, so this file alone leaves its (sound) rows behind.
\ir support/world.psql
CREATE EXTENSION IF NOT EXISTS dblink SCHEMA public;
SELECT plan(13);

CREATE TEMPORARY TABLE seat (n integer PRIMARY KEY);
INSERT INTO seat SELECT generate_series(1, 25);
SELECT count(dblink_connect('seat' || n, format('host=%s port=%s dbname=%s user=%s', split_part(current_setting('unix_socket_directories'), ',', 1),
                                                current_setting('port'), current_database(), session_user)))::text AS connected FROM seat \gset

-- Sends one statement to every session at once, as often as it takes to have each text of `statements` run; → all answers.
CREATE FUNCTION pg_temp.race(statements text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    at integer := 0;
    seats integer := (SELECT count(*) FROM seat);
    answer text;
BEGIN
    WHILE at < cardinality(statements) LOOP
        FOR n IN 1 .. least(seats, cardinality(statements) - at) LOOP
            PERFORM dblink_send_query('seat' || n, statements[at + n]);
        END LOOP;
        FOR n IN 1 .. least(seats, cardinality(statements) - at) LOOP
            BEGIN
                SELECT a.answer INTO answer FROM dblink_get_result('seat' || n) AS a (answer text);
                RETURN NEXT answer;
            EXCEPTION WHEN OTHERS THEN
                RETURN NEXT SQLSTATE || ' ' || SQLERRM;
            END;
            PERFORM * FROM dblink_get_result('seat' || n, false) AS a (answer text);
        END LOOP;
        at := at + seats;
    END LOOP;
END $$;
CREATE FUNCTION pg_temp.tally(answers text[]) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(s.n || ' ' || s.a, ', ' ORDER BY s.a) FROM (SELECT a, count(*) AS n FROM unnest(answers) AS a GROUP BY a) s $$;
CREATE FUNCTION pg_temp.registers(link text, attempt uuid DEFAULT NULL, n integer DEFAULT 100) RETURNS text[] LANGUAGE sql AS $$
    SELECT array_agg(format('SELECT concat_ws('' '', d ->> ''action'', d ->> ''reason'') FROM json_array_elements(paylink.attempt_register(%L, 60000, %L)) AS d',
                            'w' || g, jsonb_build_array(pg_temp.submit(link, coalesce(attempt, paylink.uuid7())))))
      FROM generate_series(1, n) AS g $$;

-- A hundred different submits for one invoice.
SELECT pg_temp.keep('w', pg_temp.world(1000)::text);
SELECT is(pg_temp.tally(ARRAY(SELECT pg_temp.race(pg_temp.registers(pg_temp.get('w')::jsonb ->> 'link')))), '1 charge, 99 refused busy',
          'of a hundred submits at once one is charged');
SELECT is((SELECT count(*)::integer FROM attempt WHERE link_id = (pg_temp.get('w')::jsonb ->> 'link')::uuid AND state = 'charging'), 1, 'one is charging');
SELECT pg_temp.keep('a', (SELECT id::text FROM attempt WHERE link_id = (pg_temp.get('w')::jsonb ->> 'link')::uuid AND state = 'charging'));

-- The same capture reported by many at once.
SELECT is(pg_temp.tally(ARRAY(SELECT pg_temp.race(ARRAY(
              SELECT format('SELECT paylink.attempt_settle(%L, %L) ->> ''applied''', 'w' || g, jsonb_build_array(pg_temp.outcome(pg_temp.get('a')::uuid, 'captured', 1000)))
                FROM generate_series(1, 50) AS g)))), '49 0, 1 1', 'a capture that fifty report is booked once');

-- One attempt delivered to a hundred workers at once.
SELECT pg_temp.keep('w2', pg_temp.world(1000)::text);
SELECT is(pg_temp.tally(ARRAY(SELECT pg_temp.race(pg_temp.registers(pg_temp.get('w2')::jsonb ->> 'link', uuid7())))), '1 charge, 99 held',
          'an attempt that a hundred workers get is charged by one');

-- Refunds of 300 out of 1000 under a hundred ids; then one id a hundred times.
SELECT is(pg_temp.tally(ARRAY(SELECT left(x, 5) FROM pg_temp.race(ARRAY(
              SELECT format('SELECT paylink.refund_create(%L, 300, %L) ->> ''state''', pg_temp.get('a'), 'race-' || pg_temp.get('a') || '-' || g)
                FROM generate_series(1, 100) AS g)) AS x)), '97 PL001, 3 pendi', 'refunds never exceed the payment, however many ask at once');
SELECT is(pg_temp.tally(ARRAY(SELECT pg_temp.race(ARRAY(
              SELECT format('SELECT paylink.refund_create(%L, 100, %L) ->> ''state''', pg_temp.get('a'), 'once-' || pg_temp.get('a'))
                FROM generate_series(1, 100) AS g)))), '100 pending', 'a hundred times the same refund');
SELECT is((SELECT concat_ws(' ', p ->> 'refunded_minor', p ->> 'refundable_minor') FROM payment_show(pg_temp.get('a')) AS p), '1000 0', 'is one refund');

-- Cash for one invoice, the same key from a hundred sides.
SELECT pg_temp.keep('w3', pg_temp.world(1000)::text);
SELECT is((SELECT count(DISTINCT x)::integer FROM pg_temp.race(ARRAY(
              SELECT format('SELECT paylink.payment_record(%L, ''cash'', 400, ''{"key": "k"}'') ->> ''id''', pg_temp.get('w3')::jsonb ->> 'invoice')
                FROM generate_series(1, 100) AS g)) AS x), 1, 'a payment recorded a hundred times under one key is one');
SELECT is(invoice_show(pg_temp.get('w3')::jsonb ->> 'invoice') ->> 'paid_minor', '400', 'and applied once');

-- Everything at once: captures in both orders over the same links, cash, credits, changes, new links, refunds.
SELECT pg_temp.keep('m', pg_temp.merchant());
SELECT pg_temp.keep('c', pg_temp.customer(pg_temp.get('m')));
SELECT pg_temp.keep('i' || n, pg_temp.invoice(pg_temp.get('m'), pg_temp.get('c'), 1000)) FROM generate_series(1, 40) AS n;
SELECT pg_temp.keep('l' || n, pg_temp.link(pg_temp.get('m'), pg_temp.get('i' || (2 * n - 1)), pg_temp.get('i' || (2 * n)))) FROM generate_series(1, 20) AS n;
SELECT pg_temp.keep('a' || n, pg_temp.charge(pg_temp.get('l' || n))::text) FROM generate_series(1, 20) AS n;
SELECT pg_temp.keep('answers', pg_temp.tally(ARRAY(SELECT CASE WHEN x ~ '^(40|PL)' THEN left(x, 5) ELSE 'fine' END FROM pg_temp.race(ARRAY(
    SELECT CASE g % 5
        WHEN 0 THEN format('SELECT paylink.attempt_settle(''w'', %L)::text', (SELECT jsonb_agg(pg_temp.outcome(pg_temp.get('a' || n)::uuid, 'captured', 2000) ORDER BY n * CASE WHEN g % 2 = 0 THEN 1 ELSE -1 END)
                                                                                FROM generate_series(1, 20) AS n))
        WHEN 1 THEN format('SELECT paylink.payment_record(%L, ''cash'', 700, ''{}'')::text', pg_temp.get('i' || (1 + g % 40)))
        WHEN 2 THEN format('SELECT paylink.credit_record(%L, 900, ''{}'')::text', pg_temp.get('c'))
        WHEN 3 THEN format('SELECT paylink.link_create(%L, %L, %L, 1, ''{}'')::text', pg_temp.get('m'), jsonb_build_array(pg_temp.get('i' || (1 + g % 40)), pg_temp.get('i' || (1 + (g + 7) % 40))),
                           replace(gen_random_uuid()::text, '-', ''))
        ELSE format('SELECT paylink.invoice_change(%L, ''{"lines": [{"description": "x", "quantity": 1, "unit_minor": 5000}]}'')::text', pg_temp.get('i' || (1 + g % 40)))
        END FROM generate_series(1, 100) AS g)) AS x)));
SELECT is((SELECT count(*)::integer FROM payment WHERE attempt_id::text IN (SELECT value FROM kept WHERE name ~ '^a[0-9]+$')), 20, 'every capture of the turmoil is booked');
SELECT unalike(pg_temp.get('answers'), '%40P01%', 'nobody locked in another order than the others');
SELECT is((SELECT sum((b ->> 'balance_minor')::numeric)::text FROM jsonb_array_elements(ledger_balances(pg_temp.get('m'))) AS b), '0', 'the books balance');
SELECT pg_temp.books_are_right('after all of it the books are right');

-- Leave nothing behind that waits for a worker.
SELECT refund_settle(jsonb_agg(jsonb_build_object('refund', id, 'outcome', 'succeeded'))) IS NOT NULL AS refunds FROM refund WHERE state = 'pending' \gset
SELECT attempt_settle('w', jsonb_agg(pg_temp.outcome(id, 'declined'))) IS NOT NULL AS attempts FROM attempt WHERE state = 'charging' \gset
DELETE FROM outbox;
SELECT count(dblink_disconnect('seat' || n)) AS disconnected FROM seat \gset
SELECT * FROM finish();
