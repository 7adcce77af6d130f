-- Registering submits: who may be charged, who is refused and why, who holds the fence.
BEGIN;
\ir support/world.psql
SELECT plan(54);

SELECT pg_temp.keep('w', pg_temp.world(1000)::text);
SELECT pg_temp.keep('l', pg_temp.get('w')::jsonb ->> 'link');
SELECT pg_temp.keep('i', pg_temp.get('w')::jsonb ->> 'invoice');
CREATE FUNCTION pg_temp.try(submit jsonb) RETURNS text LANGUAGE sql AS $$ SELECT pg_temp.verdicts(pg_temp.register(submit)) $$;
CREATE FUNCTION pg_temp.fences(VARIADIC ids uuid[]) RETURNS integer LANGUAGE sql AS $$
    SELECT count(*)::integer FROM paylink.invoice_fence WHERE attempt_id = ANY (ids) $$;

-- One that is charged.
SELECT pg_temp.keep('a', uuid7()::text);
SELECT is(pg_temp.register(pg_temp.submit(pg_temp.get('l'), pg_temp.get('a')::uuid)) -> 0,
          jsonb_build_object('attempt', pg_temp.get('a'), 'action', 'charge', 'reason', NULL, 'epoch', 1, 'amount_minor', 1000,
            'currency', 'USD', 'payment_method', 'pm_card_visa', 'merchant', pg_temp.get('w')::jsonb ->> 'merchant', 'link', pg_temp.get('l'),
            'kid', 1, 'version', 1, 'numbers', invoice_show(pg_temp.get('i')) ->> 'number',
            'description', 'Invoice ' || (invoice_show(pg_temp.get('i')) ->> 'number')), 'a submit for what is due is to be charged');
SELECT is(pg_temp.attempt_state(pg_temp.get('a')::uuid), 'charging', 'it is charging');
SELECT is(pg_temp.fences(pg_temp.get('a')::uuid), 1, 'and holds the fence of its invoice');
SELECT is(pg_temp.try(pg_temp.submit(pg_temp.get('l'))), 'refused busy', 'a second attempt is refused while it lives');
SELECT is((SELECT state::text FROM attempt WHERE link_id = pg_temp.get('l')::uuid AND reason = 'busy'), 'refused', 'which is kept');
SELECT is((SELECT count(*)::integer FROM outbox WHERE attempts @> ARRAY(SELECT id FROM attempt WHERE reason = 'busy' AND link_id = pg_temp.get('l')::uuid)), 1,
          'and told');
SELECT is((SELECT count(*)::integer FROM outbox WHERE attempts @> ARRAY[pg_temp.get('a')::uuid]), 0, 'what is being charged has nothing to tell yet');

-- The same attempt again.
SELECT is(pg_temp.register(pg_temp.submit(pg_temp.get('l'), pg_temp.get('a')::uuid)) -> 0 ->> 'epoch', '2',
          'a repeated delivery to the same worker is charged again, in the next epoch');
SELECT is(pg_temp.verdicts(attempt_register('w2', 60000, jsonb_build_array(pg_temp.submit(pg_temp.get('l'), pg_temp.get('a')::uuid)))::jsonb), 'held',
          'another worker has to wait for the lease');
UPDATE attempt SET lease_until = clock_timestamp() - interval '1 ms' WHERE id = pg_temp.get('a')::uuid;
SELECT is((attempt_register('w2', 60000, jsonb_build_array(pg_temp.submit(pg_temp.get('l'), pg_temp.get('a')::uuid, 7, 5)
            || '{"payment_method": "pm_other"}'))::jsonb -> 0) - ARRAY['numbers', 'description', 'merchant', 'link', 'kid', 'version', 'reason', 'currency'],
          jsonb_build_object('attempt', pg_temp.get('a'), 'action', 'charge', 'epoch', 3, 'amount_minor', 1000, 'payment_method', 'pm_card_visa'),
          'then it takes over, with what was registered first: the gateway wants the same parameters under the same key');
SELECT is(pg_temp.history(pg_temp.get('a')::uuid), 'charging charging charging', 'each hand-over is in its history');
UPDATE attempt SET created_at = created_at - interval '23 hours 1 minute' WHERE id = pg_temp.get('a')::uuid;
SELECT is(pg_temp.verdicts(attempt_register('w2', 60000, jsonb_build_array(pg_temp.submit(pg_temp.get('l'), pg_temp.get('a')::uuid)))::jsonb), 'held',
          'after 23 hours the gateway may have forgotten the key: never again');
SELECT is(pg_temp.attempt_state(pg_temp.get('a')::uuid), 'unknown', 'it has to be asked for');
SELECT is(pg_temp.try(pg_temp.submit(pg_temp.get('l'), pg_temp.get('a')::uuid)), 'final', 'a redelivery of it is acknowledged');
SELECT is((SELECT count(*)::integer FROM outbox WHERE attempts @> ARRAY[pg_temp.get('a')::uuid]), 1, 'and its state is told again');
SELECT is(pg_temp.try(pg_temp.submit(pg_temp.get('l'))), 'refused busy', 'an unknown result blocks the invoice');
SELECT pg_temp.settle(pg_temp.outcome(pg_temp.get('a')::uuid, 'declined'));
SELECT is(pg_temp.try(pg_temp.submit(pg_temp.get('l'), pg_temp.get('a')::uuid)), 'final', 'a declined attempt stays declined');
SELECT is(pg_temp.fences(pg_temp.get('a')::uuid), 0, 'its fence is gone');

-- Why not.
SELECT is(pg_temp.try(pg_temp.submit(pg_temp.get('l'), version => 2)), 'refused stale', 'another version than the current one');
SELECT is(pg_temp.try(pg_temp.submit(pg_temp.get('l'), amount_minor => 999)), 'refused amount', 'another amount than what is due');
SELECT is(pg_temp.try(pg_temp.submit(repeat('0', 32), version => 1, amount_minor => 5)), 'refused absent', 'an unknown link');
SELECT is((SELECT count(*)::integer FROM attempt WHERE link_id = '00000000-0000-0000-0000-000000000000'), 0, 'leaves no row');
SELECT is(pg_temp.try(pg_temp.submit(pg_temp.world(5) ->> 'link', pg_temp.get('a')::uuid)), 'refused absent', 'an attempt of another link');
SELECT is(pg_temp.try(pg_temp.submit(pg_temp.world(1000) ->> 'link', at_ms => 1795086400000, opened_ms => 1795000000000)),
          'refused expired', '24 hours after opening');
SELECT is(pg_temp.try(pg_temp.submit(pg_temp.world(1000) ->> 'link', at_ms => 1795086399999, opened_ms => 1795000000000)),
          'charge', 'a millisecond before that');
SELECT is(pg_temp.try(pg_temp.submit(pg_temp.world(5) ->> 'link', at_ms => pg_temp.now_ms() + 180::bigint * 86400000 + 60000)), 'refused expired',
          'after the ceiling of a link nobody opened');
SELECT pg_temp.keep('opened', pg_temp.world(5) ->> 'link');
SELECT pg_temp.register(pg_temp.submit(pg_temp.get('opened'), opened_ms => 1795000000000, at_ms => 1795000005000));
SELECT is(link_show(pg_temp.get('opened')) ->> 'opened_at', '2026-11-18T11:06:40.000Z', 'a submit also tells when the link was opened');
SELECT is(pg_temp.fences(VARIADIC ARRAY(SELECT id FROM attempt WHERE state = 'refused')), 0, 'no refused attempt keeps a fence');

CREATE FUNCTION pg_temp.after(what text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    w jsonb := pg_temp.world(1000);
    s jsonb := pg_temp.submit(w ->> 'link');
BEGIN
    EXECUTE replace(replace(what, '$i', quote_literal(w ->> 'invoice')), '$l', quote_literal(w ->> 'link'));
    RETURN pg_temp.try(s);
END $$;
SELECT is(pg_temp.after($$SELECT payment_record($i, 'cash', 400, '{}')$$), 'refused stale', 'partly paid meanwhile');
SELECT is(pg_temp.after($$SELECT payment_record($i, 'cash', 1000, '{}')$$), 'refused paid', 'paid meanwhile');
SELECT is(pg_temp.after($$SELECT invoice_change($i, '{"lines": [{"description": "x", "quantity": 1, "unit_minor": 1000}]}')$$), 'refused stale',
          'changed meanwhile, even to the same total');
SELECT is(pg_temp.after($$SELECT invoice_void($i, 'x')$$), 'refused void', 'voided meanwhile');
SELECT is(pg_temp.after($$SELECT link_revoke($l, 'x')$$), 'refused revoked', 'revoked meanwhile');
SELECT is(pg_temp.after($$SELECT link_create(link_show($l) ->> 'merchant', jsonb_build_array($i), replace(gen_random_uuid()::text, '-', ''), 1, '{}')$$),
          'refused replaced', 'replaced meanwhile');

-- Paid elsewhere, and the merchant takes overpayments.
SELECT pg_temp.keep('o', pg_temp.world(1000, '{"when_paid_elsewhere": "overpayment"}')::text);
SELECT pg_temp.keep('ol', pg_temp.get('o')::jsonb ->> 'link');
SELECT pg_temp.keep('old_page', pg_temp.submit(pg_temp.get('ol'))::text);
SELECT payment_record(pg_temp.get('o')::jsonb ->> 'invoice', 'cash', 1000, '{}');
SELECT is(pg_temp.try(pg_temp.submit(pg_temp.get('ol'), version => 1, amount_minor => 999)), 'refused paid', 'another amount than the old page''s');
SELECT is(pg_temp.try(pg_temp.submit(pg_temp.get('ol'), version => 2, amount_minor => 1000)), 'refused paid', 'a page that knows that it is paid');
SELECT pg_temp.keep('oa', pg_temp.get('old_page')::jsonb ->> 'attempt');
SELECT is(pg_temp.try(pg_temp.get('old_page')::jsonb), 'charge', 'the old page may pay its amount');
SELECT is(pg_temp.try(pg_temp.submit(pg_temp.get('ol'), version => 1, amount_minor => 1000)), 'refused busy', 'one at a time');
SELECT pg_temp.settle(pg_temp.outcome(pg_temp.get('oa')::uuid, 'captured', 1000));
SELECT is(payment_show(pg_temp.get('oa')) ->> 'unapplied_minor', '1000', 'all of it is unapplied');
SELECT is(pg_temp.try(pg_temp.submit(pg_temp.get('ol'), version => 1, amount_minor => 1000)), 'refused paid', 'and only once: never a second card');

-- Several in one batch.
SELECT is(pg_temp.verdicts(pg_temp.register(pg_temp.submit(l), pg_temp.submit(l), pg_temp.submit(l))), 'charge, refused busy, refused busy',
          'of several submits for one invoice the first wins') FROM (SELECT pg_temp.world(5) ->> 'link' AS l) w;
SELECT is(pg_temp.verdicts(pg_temp.register(pg_temp.submit(l, version => 9), pg_temp.submit(l))), 'refused stale, charge',
          'a refused one is nobody''s rival') FROM (SELECT pg_temp.world(5) ->> 'link' AS l) w;
SELECT is(pg_temp.verdicts(pg_temp.register(s, s)), 'charge, held', 'an attempt twice in a batch is charged once')
  FROM (SELECT pg_temp.submit(pg_temp.world(5) ->> 'link') AS s OFFSET 0) w;
-- Links over {1,2}, {2,3}, {3}: only superseded links can share an invoice, so their closing is undone by hand.
SELECT pg_temp.keep('m', pg_temp.merchant());
SELECT pg_temp.keep('c', pg_temp.customer(pg_temp.get('m')));
SELECT pg_temp.keep('n' || n, pg_temp.invoice(pg_temp.get('m'), pg_temp.get('c'), 100 * n)) FROM generate_series(1, 3) AS n;
SELECT pg_temp.keep('l12', pg_temp.link(pg_temp.get('m'), pg_temp.get('n1'), pg_temp.get('n2')));
SELECT pg_temp.keep('l23', pg_temp.link(pg_temp.get('m'), pg_temp.get('n2'), pg_temp.get('n3')));
SELECT pg_temp.keep('l3', pg_temp.link(pg_temp.get('m'), pg_temp.get('n3')));
UPDATE link SET closed = NULL, closed_at = NULL, replaced_by = NULL WHERE merchant_id = pg_temp.get('m')::uuid;
SELECT pg_temp.keep('b' || k, pg_temp.submit(pg_temp.get('l' || k))::text) FROM unnest(ARRAY['12', '23', '3']) AS k;
SELECT is(pg_temp.verdicts(pg_temp.register(pg_temp.get('b12')::jsonb, pg_temp.get('b23')::jsonb, pg_temp.get('b3')::jsonb)),
          'charge, refused busy, charge', 'who gets not all of his fences takes none from others');
SELECT is((SELECT string_agg(concat_ws(' ', i.total_minor, f.attempt_id), ', ' ORDER BY i.total_minor)
             FROM invoice_fence f JOIN invoice i ON i.merchant_id = f.merchant_id AND i.id = f.invoice_id WHERE f.merchant_id = pg_temp.get('m')::uuid),
          format('100 %1$s, 200 %1$s, 300 %2$s', pg_temp.get('b12')::jsonb ->> 'attempt', pg_temp.get('b3')::jsonb ->> 'attempt'),
          'the fences are where they belong');

UPDATE link SET closed = 'revoked', closed_at = now() WHERE id IN (pg_temp.get('l12')::uuid, pg_temp.get('l23')::uuid);

-- Bad batches.
SELECT is(attempt_register('w1', 60000, '[]')::text, '[]', 'an empty batch is answered');
SELECT pg_temp.refuses(format('SELECT pg_temp.register(%L)', pg_temp.submit(pg_temp.get('l3')) - field), 'invalid_batch', 'without ' || field)
  FROM unnest(ARRAY['attempt', 'version', 'amount_minor', 'payment_method', 'at_ms']) AS field;
SELECT pg_temp.refuses(format('SELECT pg_temp.register(%L)', pg_temp.submit(pg_temp.get('l3'), amount_minor => -5)), 'invalid_batch', 'a negative amount');
SELECT is((SELECT count(*)::integer FROM attempt t WHERE t.state = 'refused' AND NOT EXISTS (SELECT FROM attempt_event e WHERE e.attempt_id = t.id)), 0,
          'every refusal has a history');
SELECT pg_temp.books_are_right('after all of it the books are right');

SELECT * FROM finish();
ROLLBACK;
