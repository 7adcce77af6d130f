-- Links: what they collect, how their version and state follow from the invoices, replacing, revoking, opening.
BEGIN;
\ir support/world.psql
SELECT plan(47);

SELECT pg_temp.keep('m', pg_temp.merchant('{"link_ceiling_days": 10}'));
SELECT pg_temp.keep('c', pg_temp.customer(pg_temp.get('m')));
SELECT pg_temp.keep('i1', pg_temp.invoice(pg_temp.get('m'), pg_temp.get('c'), 3000));
SELECT pg_temp.keep('i2', pg_temp.invoice(pg_temp.get('m'), pg_temp.get('c'), 200));
CREATE FUNCTION pg_temp.shown(l text) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', l ->> 'state', 'v' || (l ->> 'version'), l ->> 'due_minor') FROM link_show(l) AS l $$;
CREATE FUNCTION pg_temp.try(invoices text, id text DEFAULT replace(gen_random_uuid()::text, '-', ''), kid integer DEFAULT 1,
                            options text DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT link_create(pg_temp.get('m'), invoices::jsonb, id, kid, options::jsonb) $$;

SELECT is(pg_temp.try(jsonb_build_array(pg_temp.get('i1'), pg_temp.get('i2'))::text, '0102030405060708090a0b0c0d0e0f10', 7)
          - 'merchant' - 'customer' - 'ceiling_at' - 'created_at' - 'invoices',
          '{"id": "0102030405060708090a0b0c0d0e0f10", "kid": 7, "state": "active", "version": 1, "due_minor": 3200, "currency": "USD",
            "opened_at": null, "expires_at": null, "lifetime_s": 86400, "closed_at": null, "closed_reason": null, "replaced_by": null}'::jsonb,
          'a link collects the total of its invoices');
SELECT pg_temp.keep('l', '0102030405060708090a0b0c0d0e0f10');
SELECT is(link_show(pg_temp.get('l')) -> 'invoices', jsonb_build_array(pg_temp.get('i1'), pg_temp.get('i2')), 'in the order given');
SELECT is((link_show(pg_temp.get('l')) ->> 'ceiling_at')::timestamptz, date_trunc('milliseconds', now() + interval '10 days'),
          'it dies unopened after the merchant''s ceiling');
SELECT is(pg_temp.try(jsonb_build_array(pg_temp.get('i1'), pg_temp.get('i2'))::text, pg_temp.get('l'), 7) ->> 'version', '1',
          'the same call again gives the same link');
SELECT pg_temp.refuses(format('SELECT pg_temp.try(%L, %L)', jsonb_build_array(pg_temp.get('i1')), pg_temp.get('l')), 'idempotency_mismatch',
                       'the same id for other invoices is refused');

-- Version and state follow.
SELECT payment_record(pg_temp.get('i2'), 'cash', 50, '{}');
SELECT is(pg_temp.shown(pg_temp.get('l')), 'active v2 3150', 'a payment is a new version with a new total');
SELECT invoice_change(pg_temp.get('i1'), '{"lines": [{"description": "x", "quantity": 1, "unit_minor": 1000}]}');
SELECT is(pg_temp.shown(pg_temp.get('l')), 'active v3 1150', 'so is a changed invoice');
SELECT credit_record(pg_temp.get('c'), 1100, '{}');
SELECT is(pg_temp.shown(pg_temp.get('l')), 'active v5 50', 'a credit over two invoices counts for both');
SELECT invoice_void(pg_temp.get('i2'), 'x');
SELECT is(pg_temp.shown(pg_temp.get('l')), 'paid v6 0', 'nothing is due and one invoice is paid: paid');
SELECT is((SELECT payable_minor::integer FROM link_status WHERE id = pg_temp.get('l')::uuid), 1000,
          'the last payment that paid an invoice says what was payable before');
SELECT pg_temp.refuses(format('SELECT pg_temp.try(%L)', jsonb_build_array(pg_temp.get('i1'))), 'nothing_due', 'a paid invoice gets no link');
SELECT pg_temp.refuses(format('SELECT pg_temp.try(%L)', jsonb_build_array(pg_temp.get('i2'))), 'invoice_void', 'nor does a void one');
SELECT pg_temp.refuses(format('SELECT link_revoke(%L, ''x'')', pg_temp.get('l')), 'link_paid', 'a paid link is not revoked');

-- What is refused.
SELECT pg_temp.keep('i3', pg_temp.invoice(pg_temp.get('m'), pg_temp.get('c'), 700));
SELECT pg_temp.keep('eur', pg_temp.invoice(pg_temp.get('m'), pg_temp.get('c'), 700, 'EUR'));
SELECT pg_temp.keep('other', pg_temp.invoice(pg_temp.get('m'), pg_temp.customer(pg_temp.get('m')), 700));
SELECT pg_temp.keep('foreign', (SELECT w ->> 'invoice' FROM pg_temp.world(1) AS w));
SELECT pg_temp.refuses(format('SELECT pg_temp.try(%L)', jsonb_build_array(pg_temp.get('i3'), pg_temp.get(k))), code, why)
  FROM (VALUES ('eur', 'currency_mismatch', 'two currencies'), ('other', 'customer_mismatch', 'two customers'),
               ('foreign', 'not_found', 'an invoice of another merchant'), ('i3', 'invalid_invoices', 'an invoice twice')) AS t (k, code, why);
SELECT pg_temp.refuses(format('SELECT pg_temp.try(%L)', bad), 'invalid_invoices', 'no invoices: ' || bad) FROM unnest(ARRAY['[]', '{}', 'null']) AS bad;
SELECT pg_temp.refuses(format('SELECT pg_temp.try(%L)', '["x"]'), 'invalid_id', 'an id that is none');
SELECT pg_temp.refuses(format('SELECT pg_temp.try(%L, %L)', jsonb_build_array(pg_temp.get('i3')), 'ABC'), 'invalid_id', 'a link id is 32 hex digits');
SELECT pg_temp.refuses(format('SELECT pg_temp.try(%L, kid => 256)', jsonb_build_array(pg_temp.get('i3'))), 'invalid_kid', 'a key id is a byte');
SELECT pg_temp.refuses(format('SELECT pg_temp.try(%L, options => %L)', jsonb_build_array(pg_temp.get('i3')), '{"lifetime_s": 86401}'),
                       'invalid_option', 'no link lives longer than a day after opening');
SELECT pg_temp.refuses($$SELECT link_show(repeat('0', 32))$$, 'not_found', 'an unknown link is told');

-- Replacing and revoking.
SELECT pg_temp.keep('old', pg_temp.link(pg_temp.get('m'), pg_temp.get('i3')));
SELECT pg_temp.keep('new', pg_temp.link(pg_temp.get('m'), pg_temp.get('i3')));
SELECT is(pg_temp.shown(pg_temp.get('old')), 'replaced v2 700', 'a newer link replaces the older one');
SELECT is(link_show(pg_temp.get('old')) ->> 'replaced_by', pg_temp.get('new'), 'which knows its successor');
SELECT is(pg_temp.shown(pg_temp.get('new')), 'active v1 700', 'the newer one begins at version 1');
SELECT is(link_revoke(pg_temp.get('new'), 'by mistake') ->> 'closed_reason', 'by mistake', 'a link is revoked with a reason');
SELECT is(pg_temp.shown(pg_temp.get('new')), 'revoked v2 700', 'which is a new version');
SELECT is(link_revoke(pg_temp.get('new'), 'again') ->> 'closed_reason', 'by mistake', 'revoking again changes nothing');
SELECT pg_temp.refuses(format('SELECT link_revoke(%L, ''x'')', pg_temp.get('old')), 'link_replaced', 'a replaced link is not revoked');
SELECT payment_record(pg_temp.get('i3'), 'cash', 700, '{}');
SELECT is(link_show(pg_temp.get('old')) ->> 'state', 'replaced', 'the old one stays dead when the invoice is paid');

-- Opening: the earliest report wins, in any order.
SELECT pg_temp.keep('i4', pg_temp.invoice(pg_temp.get('m'), pg_temp.get('c'), 10));
SELECT pg_temp.keep('o', pg_temp.link(pg_temp.get('m'), pg_temp.get('i4')));
CREATE FUNCTION pg_temp.opened(VARIADIC ms bigint[]) RETURNS jsonb LANGUAGE sql AS $$
    SELECT link_opened(jsonb_agg(jsonb_build_object('link', pg_temp.get('o'), 'opened_ms', m))) FROM unnest(ms) AS m $$;
SELECT is(pg_temp.opened(pg_temp.now_ms() - 1000, pg_temp.now_ms() - 5000), '{"changed": 1}', 'an opening is kept');
SELECT pg_temp.keep('opened_at', link_show(pg_temp.get('o')) ->> 'opened_at');
SELECT is(pg_temp.opened(pg_temp.now_ms()), '{"changed": 0}', 'a later one changes nothing');
SELECT is(link_show(pg_temp.get('o')) ->> 'opened_at', pg_temp.get('opened_at'), 'the time stays');
SELECT is((link_show(pg_temp.get('o')) ->> 'expires_at')::timestamptz - (link_show(pg_temp.get('o')) ->> 'opened_at')::timestamptz,
          interval '24 hours', 'it lives 24 hours from then');
SELECT is(pg_temp.shown(pg_temp.get('o')), 'active v1 10', 'opening is no new version');
SELECT is(pg_temp.opened(pg_temp.now_ms() - 86400000), '{"changed": 1}', 'an earlier report wins');
SELECT is(link_show(pg_temp.get('o')) ->> 'state', 'expired', 'and 24 hours later it is over');
SELECT is(link_opened(jsonb_build_array(jsonb_build_object('link', repeat('0', 32), 'opened_ms', 5))), '{"changed": 0}', 'unknown links are ignored');
UPDATE link SET ceiling_at = now() - interval '1 second', opened_at = NULL WHERE id = pg_temp.get('o')::uuid;
SELECT is(link_show(pg_temp.get('o')) ->> 'state', 'expired', 'a link that nobody opened dies at its ceiling');

SELECT is(jsonb_array_length(link_list(pg_temp.get('m'), '{}')), 4, 'links are listed');
SELECT is(link_list(pg_temp.get('m'), '{"state": "expired"}') -> 0 ->> 'id', pg_temp.get('o'), 'by state');
SELECT is(jsonb_array_length(link_list(pg_temp.get('m'), jsonb_build_object('invoice', pg_temp.get('i3')))), 2, 'by invoice');
SELECT is(jsonb_array_length(link_page(NULL, 1000)), (SELECT count(*)::integer FROM link), 'a rebuild walks over all that may still be asked for');
SELECT pg_temp.books_are_right('after all of it the books are right');

SELECT * FROM finish();
ROLLBACK;
