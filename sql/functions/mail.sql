-- The mail outbox: claim, settle, list. Knows no wording and no mail server.

SET ROLE paylink_owner;

CREATE OR REPLACE FUNCTION paylink.mail_facts(x paylink.mail) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object(
                   'merchant_id', x.merchant_id, 'mail', x.id, 'kind', x.kind, 'merchant', m.name, 'reply_to', m.reply_to,
                   'customer', c.name, 'email', c.email, 'lang', coalesce(c.locale, x.lang, m.locale),
                   'link', hex_of(l.id), 'kid', l.kid, 'lifetime_ms', l.lifetime_ms, 'numbers', s.numbers, 'state', s.state,
                   'due_minor', s.due_minor, 'currency', coalesce(p.currency, l.currency), 'amount_minor', p.amount_minor,
                   'receipt_number', receipt_number(p.id), 'paid_at_ms', time_ms(p.created_at),
                   'card_brand', t.card_brand, 'card_last4', t.card_last4)
          FROM merchant m
          JOIN customer c ON c.merchant_id = m.id AND c.id = x.customer_id
          LEFT JOIN payment p ON p.merchant_id = m.id AND p.id = x.payment_id
          LEFT JOIN attempt t ON t.merchant_id = m.id AND t.id = p.attempt_id
          LEFT JOIN link l ON l.merchant_id = m.id AND l.id = coalesce(x.link_id, t.link_id)
          LEFT JOIN LATERAL (
               SELECT y.numbers, y.due_minor, CASE WHEN y.state = 'active' AND NOT m.links_on THEN 'disabled' ELSE y.state END AS state
                 FROM link_status y WHERE y.merchant_id = l.merchant_id AND y.id = l.id OFFSET 0) s ON true
         WHERE m.id = x.merchant_id);
END
$$;
COMMENT ON FUNCTION paylink.mail_facts(paylink.mail) IS 'What a mail says, as of now; see mail_claim.';

CREATE OR REPLACE FUNCTION paylink.mail_claim(worker text, lease_ms bigint, row_limit integer) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    x mail;
    facts jsonb;
    claimed jsonb := jsonb_build_array();
BEGIN
    FOR x IN SELECT y.* FROM mail y
              WHERE y.state = 'waiting' AND y.next_try_at <= clock_timestamp()
              ORDER BY y.next_try_at
              LIMIT greatest(row_limit, 1)
                FOR UPDATE SKIP LOCKED
    LOOP
        facts := mail_facts(x);
        IF x.created_at < clock_timestamp() - interval '72 hours' THEN
            UPDATE mail y
               SET state = 'failed', ended_at = clock_timestamp(), lease_owner = NULL,
                   answer = coalesce(y.answer, 'was never tried')
             WHERE y.merchant_id = x.merchant_id AND y.id = x.id;
        ELSIF x.kind = 'renew' AND facts ->> 'state' <> 'active' THEN
            UPDATE mail y
               SET state = 'dropped', ended_at = clock_timestamp(), lease_owner = NULL, answer = 'the link is ' || (facts ->> 'state')
             WHERE y.merchant_id = x.merchant_id AND y.id = x.id;
        ELSE
            UPDATE mail y
               SET lease_owner = worker, tries = y.tries + 1,
                   next_try_at = clock_timestamp() + make_interval(secs => lease_ms / 1000.0)
             WHERE y.merchant_id = x.merchant_id AND y.id = x.id;
            claimed := claimed || facts;
        END IF;
    END LOOP;
    RETURN claimed;
END
$$;
COMMENT ON FUNCTION paylink.mail_claim(text, bigint, integer) IS
    'Takes mails whose time has come for lease_ms; a lapsed lease makes one free again. → [{merchant_id, mail, kind: '
    'renew|receipt, merchant, reply_to, customer, email, lang, link (hex), kid, lifetime_ms, state (of the link), numbers, '
    'due_minor, currency; of a receipt: amount_minor, receipt_number, paid_at_ms, card_brand, card_last4}]. Gives up those '
    'that have waited for 72 hours, and new links that can no longer be paid.';

CREATE OR REPLACE FUNCTION paylink.mail_settle(retry_ms bigint, batch jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    stray text;
    settled integer;
BEGIN
    SELECT b.outcome INTO stray
      FROM jsonb_to_recordset(batch) AS b (outcome text)
     WHERE b.outcome IS NULL OR b.outcome NOT IN ('sent', 'failed', 'retry') LIMIT 1;
    IF FOUND THEN
        PERFORM refuse('invalid_outcome', format('"%s" is not the outcome of a mail.', left(coalesce(stray, ''), 32)));
    END IF;
    UPDATE mail x
       SET state = CASE b.outcome WHEN 'retry' THEN 'waiting' ELSE b.outcome END,
           ended_at = CASE WHEN b.outcome <> 'retry' THEN clock_timestamp() END,
           lease_owner = NULL, answer = left(b.answer, 500),
           next_try_at = clock_timestamp() + make_interval(secs => least(retry_ms * power(2, least(x.tries, 30) - 1), 14400000) / 1000.0)
      FROM (SELECT y.* FROM jsonb_to_recordset(batch) AS y (merchant_id uuid, mail uuid, outcome text, answer text)
             ORDER BY y.merchant_id, y.mail) b
     WHERE x.merchant_id = b.merchant_id AND x.id = b.mail AND x.state = 'waiting';
    GET DIAGNOSTICS settled = ROW_COUNT;
    RETURN jsonb_build_object('settled', settled);
END
$$;
COMMENT ON FUNCTION paylink.mail_settle(bigint, jsonb) IS
    'batch [{merchant_id, mail, outcome: sent|failed|retry, answer (what the mail server said)}] → {settled}. retry: after '
    'retry_ms, twice that after the next failure, and so on up to four hours. What has ended stays as it is. '
    'Errors: invalid_outcome.';

CREATE OR REPLACE FUNCTION paylink.mail_list(filter jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    of_merchant uuid;
    of_customer uuid;
    of_state text;
BEGIN
    filter := coalesce(filter, '{}');
    PERFORM json_only(filter, ARRAY['merchant', 'customer', 'state'], 'invalid_filter');
    IF filter ->> 'merchant' IS NOT NULL THEN
        of_merchant := uuid_arg(filter ->> 'merchant', 'merchant');
    END IF;
    IF filter ->> 'customer' IS NOT NULL THEN
        of_customer := uuid_arg(filter ->> 'customer', 'customer');
    END IF;
    of_state := json_text(filter, 'state', 8, 'invalid_filter');
    IF of_state NOT IN ('waiting', 'sent', 'failed', 'dropped') THEN
        PERFORM refuse('invalid_filter', 'state is waiting, sent, failed or dropped.');
    END IF;
    RETURN (SELECT coalesce(jsonb_agg(jsonb_build_object(
                       'id', x.id, 'merchant', x.merchant_id, 'kind', x.kind, 'state', x.state, 'customer', x.customer_id,
                       'email', c.email, 'link', hex_of(x.link_id), 'payment', x.payment_id, 'tries', x.tries,
                       'answer', x.answer, 'created_at', time_text(x.created_at), 'ended_at', time_text(x.ended_at),
                       'next_try_at', CASE x.state WHEN 'waiting' THEN time_text(x.next_try_at) END) ORDER BY x.id), '[]')
              FROM mail x
              JOIN customer c ON c.merchant_id = x.merchant_id AND c.id = x.customer_id
             WHERE (of_merchant IS NULL OR x.merchant_id = of_merchant)
               AND (of_customer IS NULL OR x.customer_id = of_customer)
               AND (of_state IS NULL OR x.state = of_state));
END
$$;
COMMENT ON FUNCTION paylink.mail_list(jsonb) IS
    'filter {merchant, customer, state: waiting|sent|failed|dropped} → [{id, merchant, kind, state, customer, email, link '
    '(hex), payment, tries, answer, created_at, ended_at, next_try_at}], oldest first. Errors: invalid_id, invalid_filter.';

REVOKE ALL ON FUNCTION paylink.mail_facts(paylink.mail), paylink.mail_claim(text, bigint, integer),
    paylink.mail_settle(bigint, jsonb), paylink.mail_list(jsonb)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION paylink.mail_claim(text, bigint, integer), paylink.mail_settle(bigint, jsonb) TO paylink_worker;
GRANT EXECUTE ON FUNCTION paylink.mail_list(jsonb) TO paylink_operator;

RESET ROLE;
