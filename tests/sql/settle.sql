-- Settling: what the gateway said becomes state and books, whatever happened meanwhile.
BEGIN;
\ir support/world.psql
SELECT plan(66);

-- A capture.
SELECT pg_temp.keep('w', pg_temp.world(1000)::text);
SELECT pg_temp.keep('a', pg_temp.charge(pg_temp.get('w')::jsonb ->> 'link')::text);
DELETE FROM outbox;
SELECT is(pg_temp.settle(pg_temp.outcome(pg_temp.get('a')::uuid, 'captured', 1000)), '{"applied": 1, "ignored": 0}', 'a capture is applied');
SELECT is(pg_temp.attempt_state(pg_temp.get('a')::uuid), 'captured', 'the attempt is captured');
SELECT is(pg_temp.history(pg_temp.get('a')::uuid), 'charging captured', 'its history tells how');
SELECT is(payment_show(pg_temp.get('a')) - 'created_at' - 'receipt_number' - 'note' - 'key' - 'invoice' - 'merchant' - 'customer',
          jsonb_build_object('id', pg_temp.get('a'), 'method', 'card', 'amount_minor', 1000, 'currency', 'USD', 'applied_minor', 1000,
            'unapplied_minor', 0, 'refunded_minor', 0, 'refundable_minor', 1000, 'attempt', pg_temp.get('a'),
            'gateway_ref', 'pi_' || pg_temp.get('a'), 'allocations', jsonb_build_array(
              jsonb_build_object('invoice', pg_temp.get('w')::jsonb ->> 'invoice', 'amount_minor', 1000))), 'there is a payment, applied to the invoice');
SELECT is(invoice_show(pg_temp.get('w')::jsonb ->> 'invoice') ->> 'state', 'paid', 'the invoice is paid');
SELECT is((SELECT concat_ws(' ', l ->> 'state', l ->> 'version', l ->> 'due_minor') FROM link_show(pg_temp.get('w')::jsonb ->> 'link') AS l), 'paid 2 0',
          'its link too, with a new version');
SELECT is(pg_temp.books(pg_temp.get('w')::jsonb ->> 'merchant'), 'cash_gateway 1000, revenue -1000', 'it is in the books');
SELECT is((SELECT count(*)::integer FROM invoice_fence WHERE attempt_id = pg_temp.get('a')::uuid), 0, 'the fence is released');
SELECT is(outbox_claim('w1', 1000, 10) - 'ids', jsonb_build_object('links', jsonb_build_array(pg_temp.get('w')::jsonb ->> 'link'),
            'attempts', jsonb_build_array(pg_temp.get('a'))), 'link and attempt are to be told');
SELECT is(pg_temp.settle(pg_temp.outcome(pg_temp.get('a')::uuid, 'captured', 1000)), '{"applied": 0, "ignored": 1}', 'the same again is ignored');
SELECT is(pg_temp.settle(pg_temp.outcome(pg_temp.get('a')::uuid, stale)), '{"applied": 0, "ignored": 1}', 'stale after the capture: ' || stale)
  FROM unnest(ARRAY['declined', 'unknown', 'action_required', 'retry']) AS stale;
SELECT is(pg_temp.attempt_state(pg_temp.get('a')::uuid), 'captured', 'it stays captured');
SELECT is(pg_temp.settle(pg_temp.outcome(pg_temp.get('a')::uuid, 'captured', 1000, '{"gateway_ref": "pi_other"}')), '{"applied": 0, "ignored": 1}',
          'a second capture of an attempt is not booked as a second payment');
SELECT is(attempt_show(pg_temp.get('a')) ->> 'attention', 'captured twice: also pi_other', 'but noted');
SELECT is(pg_temp.wrong(), 'attempt_captured_once', 'and verify reports it');
UPDATE attempt SET attention = NULL WHERE id = pg_temp.get('a')::uuid;

-- Other outcomes.
CREATE FUNCTION pg_temp.after(VARIADIC outcomes text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    a uuid := pg_temp.charge(pg_temp.world(1000) ->> 'link');
    o text;
BEGIN
    FOREACH o IN ARRAY outcomes LOOP
        PERFORM pg_temp.settle(pg_temp.outcome(a, o, 1000, jsonb_build_object('reason', CASE o WHEN 'declined' THEN 'insufficient_funds' END)));
    END LOOP;
    RETURN pg_temp.attempt_state(a) || ' / ' || (SELECT count(*) FROM invoice_fence WHERE attempt_id = a) || ' / '
           || (SELECT count(*) FROM payment WHERE id = a);
END $$;
SELECT is(pg_temp.after('declined'), 'declined insufficient_funds / 0 / 0', 'declined: with its reason, the fence is free');
SELECT is(pg_temp.after('unknown'), 'unknown / 1 / 0', 'unknown: the fence stays');
SELECT is(pg_temp.after('action_required'), 'action_required / 1 / 0', '3-D Secure: the fence stays');
SELECT is(pg_temp.after('unknown', 'captured'), 'captured / 0 / 1', 'unknown, then captured');
SELECT is(pg_temp.after('unknown', 'declined'), 'declined insufficient_funds / 0 / 0', 'unknown, then declined');
SELECT is(pg_temp.after('action_required', 'captured'), 'captured / 0 / 1', '3-D Secure passed');
SELECT is(pg_temp.after('action_required', 'declined'), 'declined insufficient_funds / 0 / 0', '3-D Secure failed');
SELECT is(pg_temp.after('unknown', 'action_required', 'unknown', 'captured'), 'captured / 0 / 1', 'there and back');
SELECT is(pg_temp.after('declined', 'captured'), 'captured / 0 / 1', 'a late success after a decline is booked');
SELECT is(pg_temp.after('declined', 'unknown'), 'declined insufficient_funds / 0 / 0', 'a late "unknown" is not');
SELECT is(pg_temp.after('captured', 'declined', 'captured'), 'captured / 0 / 1', 'news in the wrong order give the same books');
SELECT is(pg_temp.after('retry'), 'charging / 1 / 0', 'to be tried again: still charging');
SELECT is((SELECT bool_and(lease_until <= clock_timestamp()) FROM attempt WHERE state = 'charging' AND event_count = 2), true, 'but nobody''s');
SELECT is((SELECT attention FROM attempt WHERE state = 'captured' AND event_count = 3 AND attention IS NOT NULL), 'captured after it was declined',
          'a late success is noted for a person');
SELECT is(pg_temp.settle(pg_temp.outcome(a, 'retry', more => '{}')) ->> 'ignored', '0', 'a lease is given back by its owner')
  FROM (SELECT pg_temp.charge(pg_temp.world(10) ->> 'link') AS a OFFSET 0) x;
SELECT is(attempt_settle('w2', jsonb_build_array(pg_temp.outcome(a, 'retry'))) ->> 'ignored', '1', 'and by nobody else')
  FROM (SELECT pg_temp.charge(pg_temp.world(10) ->> 'link') AS a OFFSET 0) x;

-- Absent at the gateway.
SELECT pg_temp.keep('b', pg_temp.charge(pg_temp.world(10) ->> 'link')::text);
SELECT pg_temp.settle(pg_temp.outcome(pg_temp.get('b')::uuid, 'unknown'));
SELECT is(pg_temp.settle(pg_temp.outcome(pg_temp.get('b')::uuid, 'absent')), '{"applied": 0, "ignored": 1}', 'absent says nothing in the first two minutes');
UPDATE attempt SET created_at = created_at - interval '2 minutes' WHERE id = pg_temp.get('b')::uuid;
SELECT is(pg_temp.settle(pg_temp.outcome(pg_temp.get('b')::uuid, 'absent')), '{"applied": 1, "ignored": 0}', 'after that it is an answer');
SELECT is(pg_temp.attempt_state(pg_temp.get('b')::uuid), 'declined not_received', 'nothing was charged');
SELECT pg_temp.keep('b2', pg_temp.charge(pg_temp.world(10) ->> 'link')::text);
UPDATE attempt SET created_at = created_at - interval '2 minutes' WHERE id = pg_temp.get('b2')::uuid;
SELECT is(pg_temp.settle(pg_temp.outcome(pg_temp.get('b2')::uuid, 'absent')), '{"applied": 0, "ignored": 1}', 'not while somebody is charging it');
UPDATE attempt SET lease_until = clock_timestamp() - interval '1 second' WHERE id = pg_temp.get('b2')::uuid;
SELECT is(pg_temp.settle(pg_temp.outcome(pg_temp.get('b2')::uuid, 'absent')), '{"applied": 1, "ignored": 0}', 'but once the lease has lapsed');

-- What happened while the charge was in flight.
CREATE FUNCTION pg_temp.meanwhile(what text, captured_minor bigint DEFAULT 1000) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    w jsonb := pg_temp.world(1000);
    a uuid := pg_temp.charge(w ->> 'link');
BEGIN
    EXECUTE replace(replace(what, '$i', quote_literal(w ->> 'invoice')), '$l', quote_literal(w ->> 'link'));
    PERFORM pg_temp.settle(pg_temp.outcome(a, 'captured', captured_minor));
    RETURN (SELECT concat_ws(' ', p ->> 'applied_minor', '+', p ->> 'unapplied_minor') FROM payment_show(a::text) AS p)
           || (SELECT concat_ws(' ', ',', i ->> 'state', i ->> 'paid_minor') FROM invoice_show(w ->> 'invoice') AS i);
END $$;
SELECT is(pg_temp.meanwhile('SELECT 1'), '1000 + 0, paid 1000', 'nothing happened');
SELECT is(pg_temp.meanwhile($$SELECT payment_record($i, 'cash', 1000, '{}')$$), '0 + 1000, paid 1000', 'cash came: all of the capture is unapplied');
SELECT is(pg_temp.meanwhile($$SELECT payment_record($i, 'cash', 300, '{}')$$), '700 + 300, paid 1000', 'some cash came: the excess is unapplied');
SELECT is(pg_temp.meanwhile($$SELECT invoice_void($i, 'x')$$), '0 + 1000, void 0', 'voided: all of it is unapplied');
SELECT is(pg_temp.meanwhile($$SELECT invoice_change($i, '{"lines": [{"description": "x", "quantity": 1, "unit_minor": 1500}]}')$$),
          '1000 + 0, open 1000', 'raised: a part is paid');
SELECT is(pg_temp.meanwhile($$SELECT invoice_change($i, '{"lines": [{"description": "x", "quantity": 1, "unit_minor": 600}]}')$$),
          '600 + 400, paid 600', 'lowered: the rest is unapplied');
SELECT is(pg_temp.meanwhile($$SELECT link_revoke($l, 'x')$$), '1000 + 0, paid 1000', 'the link was revoked: what was captured is booked');
SELECT is(pg_temp.meanwhile('SELECT 1', 400), '400 + 0, open 400', 'less was captured than asked for: booked as captured');
SELECT is(pg_temp.meanwhile('SELECT 1', 1200), '1000 + 200, paid 1000', 'more was captured: the rest is unapplied');
SELECT is((SELECT count(*)::integer FROM attempt WHERE attention = 'captured another amount than was asked for'), 2, 'both are noted for a person');

-- Links with several invoices, and captures that meet in one invoice.
SELECT pg_temp.keep('m', pg_temp.merchant());
SELECT pg_temp.keep('c', pg_temp.customer(pg_temp.get('m')));
SELECT pg_temp.keep('n' || n, pg_temp.invoice(pg_temp.get('m'), pg_temp.get('c'), 100 * n)) FROM generate_series(1, 3) AS n;
SELECT pg_temp.keep('l', pg_temp.link(pg_temp.get('m'), pg_temp.get('n3'), pg_temp.get('n1'), pg_temp.get('n2')));
SELECT pg_temp.keep('x', pg_temp.charge(pg_temp.get('l'))::text);
SELECT is((SELECT count(*)::integer FROM invoice_fence WHERE attempt_id = pg_temp.get('x')::uuid), 3, 'an attempt fences all invoices of its link');
SELECT pg_temp.settle(pg_temp.outcome(pg_temp.get('x')::uuid, 'captured', 450));
SELECT is((SELECT string_agg(concat_ws(' ', i.total_minor, i.paid_minor), ', ' ORDER BY i.total_minor) FROM invoice i WHERE i.merchant_id = pg_temp.get('m')::uuid),
          '100 100, 200 50, 300 300', 'a capture is applied in the order of the link');
SELECT is((SELECT count(*)::integer FROM invoice_fence WHERE attempt_id = pg_temp.get('x')::uuid), 0, 'and releases all fences');
SELECT pg_temp.keep('d', pg_temp.charge(pg_temp.link(pg_temp.get('m'), pg_temp.get('n2')))::text);
SELECT pg_temp.settle(pg_temp.outcome(pg_temp.get('d')::uuid, 'declined'));
SELECT pg_temp.keep('e', pg_temp.charge(link_list(pg_temp.get('m'), '{"state": "active"}') -> 0 ->> 'id')::text);
SELECT is(pg_temp.settle(pg_temp.outcome(pg_temp.get('e')::uuid, 'captured', 150), pg_temp.outcome(pg_temp.get('d')::uuid, 'captured', 150)),
          '{"applied": 2, "ignored": 0}', 'two captures for one invoice in one batch');
SELECT is((SELECT string_agg(concat_ws(' ', p.applied_minor, '+', p.unapplied_minor), ', ' ORDER BY p.id) FROM payment p WHERE p.id IN (pg_temp.get('d')::uuid, pg_temp.get('e')::uuid)),
          '150 + 0, 0 + 150', 'the first in order takes what is due, the other is an overpayment');

-- A batch of everything.
SELECT pg_temp.keep('z' || n, pg_temp.charge(pg_temp.world(n) ->> 'link')::text) FROM generate_series(101, 160) AS n;
SELECT is(attempt_settle('w1', (SELECT jsonb_agg(pg_temp.outcome(pg_temp.get('z' || n)::uuid, CASE n % 3 WHEN 0 THEN 'captured' WHEN 1 THEN 'declined' ELSE 'unknown' END, n))
                                  FROM generate_series(101, 160) AS n)), '{"applied": 60, "ignored": 0}', 'sixty of all kinds at once');
SELECT is((SELECT string_agg(concat_ws(' ', s.state, s.n), ', ' ORDER BY s.state)
             FROM (SELECT t.state::text, count(*) AS n FROM attempt t WHERE t.amount_minor BETWEEN 101 AND 160 AND t.id::text IN (SELECT value FROM kept WHERE name LIKE 'z%') GROUP BY 1) s),
          'captured 20, declined 20, unknown 20', 'each went its way');
SELECT is(attempt_settle('w1', (SELECT jsonb_agg(o) FROM (SELECT pg_temp.outcome(pg_temp.get('z103')::uuid, 'unknown') AS o UNION ALL SELECT pg_temp.outcome(pg_temp.get('z104')::uuid, 'captured', 104)
             UNION ALL SELECT pg_temp.outcome(pg_temp.get('z104')::uuid, 'unknown')) s)) ->> 'applied', '1', 'of two pieces of news about one attempt the capture counts');

-- What is refused, and takes the whole batch with it.
SELECT pg_temp.keep('q', pg_temp.charge(pg_temp.world(10) ->> 'link')::text);
SELECT pg_temp.refuses(format('SELECT pg_temp.settle(%L)', pg_temp.outcome(pg_temp.get('q')::uuid, outcome, amount::bigint, more::jsonb)), code, why)
  FROM (VALUES ('captured', '0', '{}', 'invalid_amount', 'a capture of nothing'),
               ('captured', NULL, '{}', 'invalid_amount', 'a capture of an unknown amount'),
               ('captured', '10', '{"gateway_ref": null}', 'invalid_amount', 'a capture without a reference'),
               ('captured', '10', '{"currency": "EUR"}', 'currency_mismatch', 'a capture in another currency'),
               ('vanished', NULL, '{}', 'invalid_outcome', 'an unknown outcome'),
               ('captured', '10', jsonb_build_object('attempt', gen_random_uuid())::text, 'not_found', 'an unknown attempt')) AS t (outcome, amount, more, code, why);
SELECT pg_temp.register(pg_temp.submit(pg_temp.world(10) ->> 'link', version => 9));
SELECT pg_temp.refuses(format('SELECT pg_temp.settle(%L)', pg_temp.outcome((SELECT id FROM attempt WHERE state = 'refused' LIMIT 1), 'declined')),
                       'illegal_transition', 'a refused attempt was never at the gateway');
SELECT pg_temp.refuses(format('UPDATE attempt SET state = ''charging'', captured_minor = NULL, settled_at = NULL WHERE id = %L', pg_temp.get('a')),
                       'illegal_transition', 'no other statement moves an attempt where it cannot go');
SELECT pg_temp.books_are_right('after all of it the books are right');

SELECT * FROM finish();
ROLLBACK;
