-- Renewal: a successor for an expired link, once, for its open invoices, and a mail that brings it.
BEGIN;
\ir support/world.psql
SELECT plan(30);

CREATE FUNCTION pg_temp.expired(l text, opened_ago interval DEFAULT '25 hours') RETURNS text LANGUAGE sql AS $$
    UPDATE link SET opened_at = now() - opened_ago WHERE id = l::uuid RETURNING hex_of(id) $$;
CREATE FUNCTION pg_temp.wish(link text, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('link', link, 'at_ms', pg_temp.now_ms(), 'lang', 'fr',
                              'successor', replace(gen_random_uuid()::text, '-', ''), 'kid', 3) || more $$;
CREATE FUNCTION pg_temp.renew(VARIADIC wishes jsonb[]) RETURNS integer LANGUAGE sql AS $$
    SELECT (link_renew(to_jsonb(wishes)) ->> 'renewed')::integer $$;
CREATE FUNCTION pg_temp.mails(merchant text) RETURNS integer LANGUAGE sql AS $$
    SELECT count(*)::integer FROM mail WHERE merchant_id = merchant::uuid $$;
CREATE FUNCTION pg_temp.world_expired(amount_minor bigint DEFAULT 500, settings jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    w jsonb := pg_temp.world(amount_minor, settings);
BEGIN
    PERFORM pg_temp.expired(w ->> 'link');
    RETURN w;
END $$;

-- One link, two invoices, one of them paid meanwhile.
SELECT pg_temp.keep('m', pg_temp.merchant('{"link_ceiling_days": 10}'));
SELECT pg_temp.keep('c', pg_temp.customer(pg_temp.get('m')));
SELECT pg_temp.keep('i' || n, pg_temp.invoice(pg_temp.get('m'), pg_temp.get('c'), 100 * n)) FROM generate_series(1, 3) AS n;
SELECT pg_temp.keep('l', link_create(pg_temp.get('m'), jsonb_build_array(pg_temp.get('i3'), pg_temp.get('i1'), pg_temp.get('i2')),
                                     repeat('a', 32), 1, '{"lifetime_s": 3600}') ->> 'id');
SELECT payment_record(pg_temp.get('i1'), 'cash', 100, '{}');
SELECT is(pg_temp.renew(pg_temp.wish(pg_temp.get('l'))), 0, 'a link that nobody opened has not expired');
SELECT pg_temp.expired(pg_temp.get('l'), '59 minutes');
SELECT is(pg_temp.renew(pg_temp.wish(pg_temp.get('l'))), 0, 'nor has one within its life');
SELECT is(pg_temp.mails(pg_temp.get('m')), 0, 'so nothing is mailed');
SELECT pg_temp.expired(pg_temp.get('l'), '61 minutes');
SELECT is(pg_temp.renew(pg_temp.wish(pg_temp.get('l'), jsonb_build_object('at_ms', pg_temp.now_ms() - 120000))), 0,
          'what counts is when it was asked, not when it is heard');
SELECT is(pg_temp.renew(pg_temp.wish(pg_temp.get('l'), jsonb_build_object('successor', repeat('b', 32)))), 1, 'an expired one is renewed');
SELECT is(link_show(repeat('b', 32)) - 'merchant' - 'customer' - 'ceiling_at' - 'created_at',
          jsonb_build_object('id', repeat('b', 32), 'kid', 3, 'state', 'active', 'version', 1, 'due_minor', 500, 'currency', 'USD', 'opened_at', NULL,
              'expires_at', NULL, 'lifetime_s', 3600, 'closed_at', NULL, 'closed_reason', NULL, 'replaced_by', NULL,
              'invoices', jsonb_build_array(pg_temp.get('i3'), pg_temp.get('i2'))),
          'the successor: no clock yet, the same life, the open invoices in the old order');
SELECT is(link_show(pg_temp.get('l')) ->> 'state', 'replaced', 'the old one stays dead');
SELECT is(link_show(pg_temp.get('l')) ->> 'replaced_by', repeat('b', 32), 'and knows its successor');
SELECT is((SELECT concat_ws(' ', x.kind, hex_of(x.link_id), x.lang, x.state, x.tries) FROM mail x WHERE x.merchant_id = pg_temp.get('m')::uuid),
          'renew ' || repeat('b', 32) || ' fr waiting 0', 'a mail waits, in the language of the page');
SELECT is((SELECT count(*)::integer FROM outbox o WHERE o.links @> ARRAY[repeat('a', 32)::uuid, repeat('b', 32)::uuid]), 1, 'both links are told');

-- Idempotency.
SELECT is(pg_temp.renew(pg_temp.wish(pg_temp.get('l'), jsonb_build_object('successor', repeat('b', 32)))), 0, 'the same again changes nothing');
SELECT is(pg_temp.renew(pg_temp.wish(pg_temp.get('l'))), 0, 'nor does it with another id');
SELECT pg_temp.keep('w', pg_temp.world_expired() ->> 'link');
SELECT is(pg_temp.renew(pg_temp.wish(pg_temp.get('w')), pg_temp.wish(pg_temp.get('w'))), 1, 'nor twice in one batch');
SELECT is(pg_temp.mails(pg_temp.get('m')), 1, 'one mail, after all of this');
SELECT is((SELECT count(*)::integer FROM link_invoice WHERE invoice_id = pg_temp.get('i3')::uuid), 2, 'and one successor');
SELECT is(pg_temp.renew(pg_temp.wish(repeat('0', 32))), 0, 'an unknown link is nothing');
SELECT is(link_renew('[]'), '{"renewed": 0}', 'no more than an empty batch');

-- Redis knew an opening that has not arrived here yet.
SELECT pg_temp.keep('early', pg_temp.world(100) ->> 'link');
SELECT is(pg_temp.renew(pg_temp.wish(pg_temp.get('early'), jsonb_build_object('opened_ms', pg_temp.now_ms() - 90000000))), 1,
          'an opening that only Redis knows yet counts');

-- What is not renewed.
SELECT pg_temp.keep('paid', pg_temp.world_expired()::text);
SELECT payment_record(pg_temp.get('paid')::jsonb ->> 'invoice', 'cash', 500, '{}');
SELECT is(pg_temp.renew(pg_temp.wish(pg_temp.get('paid')::jsonb ->> 'link')), 0, 'a paid one is not renewed');
SELECT pg_temp.keep('void', pg_temp.world_expired()::text);
SELECT invoice_void(pg_temp.get('void')::jsonb ->> 'invoice', 'x');
SELECT is(pg_temp.renew(pg_temp.wish(pg_temp.get('void')::jsonb ->> 'link')), 0, 'nor a void one');
SELECT pg_temp.keep('revoked', pg_temp.world_expired() ->> 'link');
SELECT link_revoke(pg_temp.get('revoked'), 'x');
SELECT is(pg_temp.renew(pg_temp.wish(pg_temp.get('revoked'))), 0, 'nor a revoked one');
SELECT is(pg_temp.renew(pg_temp.wish(pg_temp.world_expired(500, '{"links_on": false}') ->> 'link')), 0, 'nor one of a merchant whose links are off');
SELECT pg_temp.refuses(format('SELECT pg_temp.renew(%L)', pg_temp.wish(pg_temp.world_expired() ->> 'link', '{"successor": "x"}')), 'invalid_id',
                       'a successor without an id is refused');

-- Five mails a day for a customer, on whichever links.
SELECT pg_temp.keep('busy', pg_temp.customer(pg_temp.get('m')));
SELECT pg_temp.keep('b' || n, pg_temp.expired(pg_temp.link(pg_temp.get('m'), pg_temp.invoice(pg_temp.get('m'), pg_temp.get('busy'), 100))))
  FROM generate_series(1, 7) AS n;
SELECT is(pg_temp.renew(VARIADIC array(SELECT pg_temp.wish(pg_temp.get('b' || n)) FROM generate_series(1, 6) AS n)), 5, 'the sixth mail of a day is not written');
SELECT is((SELECT count(*)::integer FROM generate_series(1, 6) AS n WHERE link_show(pg_temp.get('b' || n)) ->> 'state' = 'expired'), 1,
          'and its link waits for another day');
SELECT is(pg_temp.renew(pg_temp.wish(pg_temp.get('b7'))), 0, 'the same in another batch');
UPDATE mail SET created_at = created_at - interval '25 hours' WHERE customer_id = pg_temp.get('busy')::uuid;
SELECT is(pg_temp.renew(pg_temp.wish(pg_temp.get('b7'))), 1, 'the day after it is');

-- What Redis gets of an address.
SELECT is(array(SELECT email_masked(e) FROM unnest(ARRAY['ada@example.com', 'a@b.co.uk', 'élise@exämple.de', 'root@localhost']) AS e),
          ARRAY['a•••@e•••.com', 'a•••@b•••.uk', 'é•••@e•••.de', 'r•••@l•••'], 'only its owner knows it again');
SELECT ok((SELECT link_snapshot(jsonb_build_array(repeat('b', 32))) -> 0 ->> 'email_masked') = 'a•••@e•••.com', 'the snapshot has that');
SELECT ok(strpos(link_snapshot(jsonb_build_array(repeat('b', 32)))::text, 'ada@') = 0, 'and nothing more of it');

SELECT * FROM finish();
ROLLBACK;
