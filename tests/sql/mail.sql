-- The mail outbox: who gets a receipt, what a mail says, leases, back-off, the end after 72 hours.
BEGIN;
\ir support/world.psql
SELECT plan(34);

CREATE FUNCTION pg_temp.paid(w jsonb, receipts boolean DEFAULT true) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    a uuid := pg_temp.charge(w ->> 'link');
BEGIN
    PERFORM attempt_settle('w1', jsonb_build_array(pg_temp.outcome(a, 'captured', 500)), receipts);
    RETURN a;
END $$;
CREATE FUNCTION pg_temp.mails(w jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', x.kind, x.state, x.tries), ', ' ORDER BY x.id) FROM mail x WHERE x.merchant_id = (w ->> 'merchant')::uuid $$;
CREATE FUNCTION pg_temp.claim(n integer DEFAULT 10) RETURNS jsonb LANGUAGE sql AS $$ SELECT mail_claim('w1', 60000, n) $$;
CREATE FUNCTION pg_temp.ended(m jsonb, outcome text, answer text DEFAULT 'x', retry_ms bigint DEFAULT 60000) RETURNS integer LANGUAGE sql AS $$
    SELECT (mail_settle(retry_ms, jsonb_build_array(jsonb_build_object('merchant_id', m ->> 'merchant_id', 'mail', m ->> 'mail', 'outcome', outcome,
                                                                       'answer', answer))) ->> 'settled')::integer $$;
CREATE FUNCTION pg_temp.due(w jsonb) RETURNS void LANGUAGE sql AS $$ UPDATE mail SET next_try_at = now() WHERE merchant_id = (w ->> 'merchant')::uuid $$;
CREATE FUNCTION pg_temp.waits(w jsonb) RETURNS interval LANGUAGE sql AS $$
    SELECT date_trunc('second', next_try_at - clock_timestamp() + interval '0.5 seconds') FROM mail WHERE merchant_id = (w ->> 'merchant')::uuid $$;

-- Receipts.
SELECT pg_temp.keep('w', pg_temp.world(500, '{"reply_to": "till@example.com", "locale": "de-DE"}')::text);
SELECT pg_temp.keep('a', pg_temp.paid(pg_temp.get('w')::jsonb)::text);
SELECT is(pg_temp.mails(pg_temp.get('w')::jsonb), 'receipt waiting 0', 'a capture is followed by a receipt');
SELECT attempt_settle('w1', jsonb_build_array(pg_temp.outcome(pg_temp.get('a')::uuid, 'captured', 500)), true);
SELECT is(pg_temp.mails(pg_temp.get('w')::jsonb), 'receipt waiting 0', 'by one, however often it is settled');
SELECT pg_temp.keep('off', pg_temp.world(500, '{"receipt_mail": false}')::text);
SELECT pg_temp.paid(pg_temp.get('off')::jsonb);
SELECT is(pg_temp.mails(pg_temp.get('off')::jsonb), NULL, 'a merchant may not want it');
SELECT pg_temp.keep('none', pg_temp.world(500)::text);
SELECT pg_temp.paid(pg_temp.get('none')::jsonb, false);
SELECT is(pg_temp.mails(pg_temp.get('none')::jsonb), NULL, 'and where no mail is sent none is written');
SELECT pg_temp.keep('no', pg_temp.world(500)::text);
SELECT attempt_settle('w1', jsonb_build_array(pg_temp.outcome(pg_temp.charge(pg_temp.get('no')::jsonb ->> 'link'), 'declined')), true);
SELECT is(pg_temp.mails(pg_temp.get('no')::jsonb), NULL, 'nor for a declined card');

-- What is claimed.
SELECT pg_temp.keep('claim', pg_temp.claim()::text);
SELECT is(jsonb_array_length(pg_temp.get('claim')::jsonb), 1, 'what is due is claimed');
SELECT is((pg_temp.get('claim')::jsonb -> 0) - 'merchant_id' - 'mail' - 'link' - 'paid_at_ms' - 'receipt_number' - 'numbers',
          jsonb_build_object('kind', 'receipt', 'merchant', 'Harbour Tools', 'reply_to', 'till@example.com', 'customer', 'Ada Byron', 'email', 'ada@example.com',
              'lang', 'de-DE', 'kid', 1, 'lifetime_ms', 86400000, 'state', 'paid', 'due_minor', 0, 'currency', 'USD', 'amount_minor', 500,
              'card_brand', 'visa', 'card_last4', '4242'), 'with what a receipt says');
SELECT matches(pg_temp.get('claim')::jsonb -> 0 ->> 'receipt_number', '^R-', 'its number');
SELECT is(pg_temp.get('claim')::jsonb -> 0 ->> 'link', pg_temp.get('w')::jsonb ->> 'link', 'and the link that was paid');
SELECT is(pg_temp.claim(), '[]', 'it belongs to its worker');
SELECT is(pg_temp.waits(pg_temp.get('w')::jsonb), interval '60 seconds', 'until the lease lapses');
SELECT pg_temp.due(pg_temp.get('w')::jsonb);
SELECT is(jsonb_array_length(pg_temp.claim()), 1, 'then it is free again');

-- What comes of it.
SELECT pg_temp.keep('m', (pg_temp.get('claim')::jsonb -> 0)::text);
SELECT is(pg_temp.ended(pg_temp.get('m')::jsonb, 'retry', '451 later'), 1, 'a failure of the moment');
SELECT is(pg_temp.mails(pg_temp.get('w')::jsonb), 'receipt waiting 2', 'leaves it waiting');
SELECT is(pg_temp.waits(pg_temp.get('w')::jsonb), interval '120 seconds', 'after the second try for twice as long');
SELECT pg_temp.due(pg_temp.get('w')::jsonb), pg_temp.claim();
SELECT pg_temp.ended(pg_temp.get('m')::jsonb, 'retry', '451 later');
SELECT is(pg_temp.waits(pg_temp.get('w')::jsonb), interval '240 seconds', 'after the third for twice that');
UPDATE mail SET tries = 1000 WHERE id = (pg_temp.get('m')::jsonb ->> 'mail')::uuid;
SELECT pg_temp.ended(pg_temp.get('m')::jsonb, 'retry', '451 later');
SELECT is(pg_temp.waits(pg_temp.get('w')::jsonb), interval '4 hours', 'but never for longer than four hours');
SELECT is(pg_temp.ended(pg_temp.get('m')::jsonb, 'sent', '250 ok'), 1, 'it is sent');
SELECT is(pg_temp.ended(pg_temp.get('m')::jsonb, 'failed', '550 no'), 0, 'and stays so');
SELECT is((SELECT array[d ->> 'state', d ->> 'answer', d ->> 'email', d ->> 'next_try_at', d ->> 'payment'] FROM jsonb_array_elements(
             mail_list(jsonb_build_object('merchant', pg_temp.get('w')::jsonb ->> 'merchant', 'state', 'sent'))) AS d),
          ARRAY['sent', '250 ok', 'ada@example.com', NULL, pg_temp.get('a')], 'the operator sees it');
SELECT is(mail_list(jsonb_build_object('merchant', pg_temp.get('w')::jsonb ->> 'merchant', 'state', 'failed')), '[]', 'as what it is');
SELECT pg_temp.refuses($$SELECT mail_settle(1, '[{"outcome": "lost"}]')$$, 'invalid_outcome', 'an outcome that is none');
SELECT pg_temp.refuses($$SELECT mail_settle(1, '[{}]')$$, 'invalid_outcome', 'or is missing');
SELECT pg_temp.refuses($$SELECT mail_list('{"state": "lost"}')$$, 'invalid_filter', 'a state that is none');
SELECT pg_temp.refuses($$SELECT mail_list('{"customer": "x"}')$$, 'invalid_id', 'an id that is none');

-- Refused for good; too old.
SELECT pg_temp.keep('w', pg_temp.world(500)::text);
SELECT pg_temp.paid(pg_temp.get('w')::jsonb);
SELECT is(pg_temp.ended(pg_temp.claim() -> 0, 'failed', repeat('5', 600)), 1, 'one that is refused for good');
SELECT is((SELECT length(answer) FROM mail WHERE merchant_id = (pg_temp.get('w')::jsonb ->> 'merchant')::uuid), 500, 'keeps what was said, within reason');
SELECT pg_temp.keep('w', pg_temp.world(500)::text);
SELECT pg_temp.paid(pg_temp.get('w')::jsonb);
UPDATE mail SET created_at = now() - interval '73 hours' WHERE state = 'waiting';
SELECT is(pg_temp.claim(), '[]', 'after 72 hours a mail is not sent any more');
SELECT is(pg_temp.mails(pg_temp.get('w')::jsonb), 'receipt failed 0', 'it has failed');

-- New links.
CREATE FUNCTION pg_temp.renewed() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    w jsonb := pg_temp.world(700);
BEGIN
    UPDATE link SET opened_at = now() - interval '25 hours' WHERE id = (w ->> 'link')::uuid;
    PERFORM link_renew(jsonb_build_array(jsonb_build_object('link', w ->> 'link', 'at_ms', pg_temp.now_ms(), 'lang', 'fr', 'kid', 3,
                                                            'successor', replace(gen_random_uuid()::text, '-', ''))));
    RETURN w;
END $$;
SELECT pg_temp.keep('w', pg_temp.renewed()::text);
SELECT pg_temp.keep('claim', pg_temp.claim()::text);
SELECT is((SELECT array[d ->> 'kind', d ->> 'lang', d ->> 'kid', d ->> 'state', d ->> 'due_minor', d ->> 'receipt_number'] FROM jsonb_array_elements(pg_temp.get('claim')::jsonb) AS d),
          ARRAY['renew', 'fr', '3', 'active', '700', NULL], 'a new link is mailed in the payer''s language');
SELECT isnt(pg_temp.get('claim')::jsonb -> 0 ->> 'link', pg_temp.get('w')::jsonb ->> 'link', 'it is the new one');
SELECT is(link_show(pg_temp.get('claim')::jsonb -> 0 ->> 'link') ->> 'state', 'active', 'that can be paid');
SELECT pg_temp.keep('w', pg_temp.renewed()::text);
SELECT payment_record(pg_temp.get('w')::jsonb ->> 'invoice', 'cash', 700, '{}');
SELECT is(pg_temp.claim(), '[]', 'what was paid meanwhile gets no link');
SELECT is(pg_temp.mails(pg_temp.get('w')::jsonb), 'renew dropped 0', 'its mail is dropped');

SELECT * FROM finish();
ROLLBACK;
