-- Refunds: reserve, hand to the gateway, settle or compensate. Everything happens under the payment's lock.

SET ROLE paylink_owner;

CREATE OR REPLACE FUNCTION paylink.refund_json(r paylink.refund) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = paylink, pg_temp
AS $$
    SELECT jsonb_build_object(
        'id', r.id, 'merchant', r.merchant_id, 'payment', r.payment_id, 'state', r.state,
        'amount_minor', r.amount_minor, 'currency', r.currency, 'from_unapplied_minor', r.from_unapplied_minor,
        'gateway_ref', r.gateway_ref, 'reason', r.reason, 'created_at', time_text(r.created_at),
        'settled_at', time_text(r.settled_at))
$$;
COMMENT ON FUNCTION paylink.refund_json(paylink.refund) IS
    '{id (caller''s key), merchant, payment, state: pending|succeeded|failed, amount_minor, currency, '
    'from_unapplied_minor, gateway_ref, reason, created_at, settled_at}';

CREATE OR REPLACE FUNCTION paylink.refund_repeated(key text, payment uuid, in_amount_minor bigint) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    r refund;
BEGIN
    SELECT x.* INTO r FROM refund x WHERE x.id = key;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF r.payment_id <> payment OR r.amount_minor <> in_amount_minor THEN
        PERFORM refuse('idempotency_mismatch', format('The id %s was used for another refund.', key));
    END IF;
    RETURN refund_json(r);
END
$$;
COMMENT ON FUNCTION paylink.refund_repeated(text, uuid, bigint) IS
    'The refund that an earlier call with the same id made, or null. Errors: idempotency_mismatch.';

CREATE OR REPLACE FUNCTION paylink.refund_finish(r paylink.refund, p paylink.payment, new_state text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    held_in account_kind := CASE r.state WHEN 'pending' THEN 'refunds_payable'
                                         ELSE cash_account(p.method, p.attempt_id IS NOT NULL) END;
BEGIN
    IF new_state = 'succeeded' THEN
        PERFORM journal_post(r.merchant_id, 'refund_succeeded', r.payment_id, r.id, p.customer_id, r.currency,
                             ARRAY['refunds_payable', cash_account(p.method, p.attempt_id IS NOT NULL)]::account_kind[],
                             ARRAY[r.amount_minor, -r.amount_minor]::bigint[]);
    ELSE
        PERFORM journal_post(r.merchant_id, 'refund_failed', r.payment_id, r.id, p.customer_id, r.currency,
                             ARRAY[held_in, 'unapplied', 'refunds']::account_kind[],
                             ARRAY[r.amount_minor, -r.from_unapplied_minor,
                                   -(r.amount_minor - r.from_unapplied_minor)]::bigint[]);
        UPDATE payment x
           SET refunded_minor = x.refunded_minor - r.amount_minor,
               refunded_unapplied_minor = x.refunded_unapplied_minor - r.from_unapplied_minor,
               unapplied_minor = x.unapplied_minor + r.from_unapplied_minor
         WHERE (x.merchant_id, x.id) = (r.merchant_id, r.payment_id);
    END IF;
    UPDATE refund x
       SET state = new_state, settled_at = now(), lease_owner = NULL, lease_until = NULL,
           gateway_ref = r.gateway_ref, reason = r.reason
     WHERE (x.merchant_id, x.id) = (r.merchant_id, r.id);
END
$$;
COMMENT ON FUNCTION paylink.refund_finish(paylink.refund, paylink.payment, text) IS
    'Books the end of a refund whose payment is locked. succeeded: the reserve leaves the account where the money lay. '
    'failed: a compensating journal gives it back, from the reserve or, after an earlier success, from that account.';

CREATE OR REPLACE FUNCTION paylink.refund_create(payment text, amount_minor bigint, key text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    wanted uuid := uuid_arg(payment, 'payment');
    p payment;
    r refund;
    again jsonb;
    part_minor bigint;
BEGIN
    PERFORM checked_amount(amount_minor);
    IF key IS NULL OR key !~ '^[A-Za-z0-9._:-]{1,64}$' THEN
        PERFORM refuse('invalid_key', 'A refund''s id has 1 to 64 characters: letters, digits and . _ : - only.');
    END IF;
    SELECT x.* INTO p FROM merchant m JOIN payment x ON x.merchant_id = m.id WHERE x.id = wanted FOR NO KEY UPDATE OF x;
    IF NOT FOUND THEN
        PERFORM refuse('not_found', format('There is no payment %s.', wanted));
    END IF;
    again := refund_repeated(key, wanted, amount_minor);
    IF again IS NOT NULL THEN
        RETURN again;
    END IF;
    IF amount_minor > p.amount_minor - p.refunded_minor THEN
        PERFORM refuse('refund_exceeds', format('%s of this payment can still be refunded, not %s (minor units of %s).',
                                                p.amount_minor - p.refunded_minor, amount_minor, p.currency));
    END IF;
    part_minor := least(amount_minor, p.unapplied_minor);
    INSERT INTO refund AS x (merchant_id, id, payment_id, currency, amount_minor, from_unapplied_minor, state)
    VALUES (p.merchant_id, key, p.id, p.currency, refund_create.amount_minor, part_minor, 'pending')
    ON CONFLICT (id) DO NOTHING
    RETURNING x.* INTO r;
    IF NOT FOUND THEN -- the id was used for another payment at this very moment
        RETURN refund_repeated(key, wanted, amount_minor);
    END IF;
    UPDATE payment x
       SET refunded_minor = x.refunded_minor + r.amount_minor,
           refunded_unapplied_minor = x.refunded_unapplied_minor + part_minor,
           unapplied_minor = x.unapplied_minor - part_minor
     WHERE (x.merchant_id, x.id) = (p.merchant_id, p.id);
    PERFORM journal_post(p.merchant_id, 'refund_reserve', p.id, key, p.customer_id, p.currency,
                         ARRAY['unapplied', 'refunds', 'refunds_payable']::account_kind[],
                         ARRAY[part_minor, r.amount_minor - part_minor, -r.amount_minor]::bigint[]);
    IF p.attempt_id IS NULL THEN
        PERFORM refund_finish(r, p, 'succeeded');
        SELECT x.* INTO r FROM refund x WHERE (x.merchant_id, x.id) = (p.merchant_id, key);
    ELSE
        PERFORM pg_notify('paylink_refund', '');
    END IF;
    PERFORM audit_write(p.merchant_id, 'refund.create', key,
                        jsonb_build_object('payment', p.id, 'amount_minor', r.amount_minor, 'currency', p.currency));
    RETURN refund_json(r);
END
$$;
COMMENT ON FUNCTION paylink.refund_create(text, bigint, text) IS
    'Refunds a part or all of a payment; key is the refund''s id: a repeat with the same parameters returns the same '
    'refund. The amount is reserved at once: the payment''s unapplied part first, then contra revenue; what is reserved '
    'and refunded never exceeds what was captured. An offline payment''s refund succeeds at once; a gateway one is '
    'pending until the worker settles it. → refund_json. Errors: invalid_id, invalid_amount, invalid_key, not_found, '
    'refund_exceeds, idempotency_mismatch.';

CREATE OR REPLACE FUNCTION paylink.refund_show(key text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    r refund;
BEGIN
    SELECT x.* INTO r FROM refund x WHERE x.id = key;
    IF NOT FOUND THEN
        PERFORM refuse('not_found', format('There is no refund %s.', left(coalesce(key, ''), 64)));
    END IF;
    RETURN refund_json(r);
END
$$;
COMMENT ON FUNCTION paylink.refund_show(text) IS '→ refund_json. Errors: not_found.';

CREATE OR REPLACE FUNCTION paylink.refund_list(filter jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    of_payment uuid;
    of_merchant uuid;
    of_state text;
BEGIN
    filter := coalesce(filter, '{}');
    PERFORM json_only(filter, ARRAY['payment', 'merchant', 'state'], 'invalid_filter');
    IF filter ->> 'payment' IS NOT NULL THEN
        of_payment := uuid_arg(filter ->> 'payment', 'payment');
    END IF;
    IF filter ->> 'merchant' IS NOT NULL THEN
        of_merchant := uuid_arg(filter ->> 'merchant', 'merchant');
    END IF;
    of_state := json_text(filter, 'state', 10, 'invalid_filter');
    IF of_state NOT IN ('pending', 'succeeded', 'failed') THEN
        PERFORM refuse('invalid_filter', 'state is pending, succeeded or failed.');
    END IF;
    RETURN (SELECT coalesce(jsonb_agg(refund_json(r) ORDER BY r.created_at, r.id), '[]')
              FROM refund r
             WHERE (of_merchant IS NULL OR r.merchant_id = of_merchant)
               AND (of_payment IS NULL OR r.payment_id = of_payment)
               AND (of_state IS NULL OR r.state = of_state));
END
$$;
COMMENT ON FUNCTION paylink.refund_list(jsonb) IS
    'filter {payment, merchant, state} → [refund_json …], oldest first. Errors: invalid_id, invalid_filter.';

CREATE OR REPLACE FUNCTION paylink.refund_claim(worker text, lease_ms bigint, row_limit integer) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    answer jsonb;
BEGIN
    WITH free AS (
        SELECT r.merchant_id, r.id
          FROM refund r
         WHERE r.state = 'pending' AND (r.lease_until IS NULL OR r.lease_until < clock_timestamp())
         ORDER BY r.created_at
         LIMIT greatest(row_limit, 1)
           FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE refund r
           SET lease_owner = worker,
               lease_until = clock_timestamp() + make_interval(secs => lease_ms / 1000.0),
               tries = r.tries + 1
          FROM free f
         WHERE r.merchant_id = f.merchant_id AND r.id = f.id
        RETURNING r.*
    )
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'refund', t.id, 'payment', t.payment_id, 'merchant', t.merchant_id, 'gateway_ref', p.gateway_ref,
               'amount_minor', t.amount_minor, 'currency', t.currency, 'tries', t.tries, 'refund_ref', t.gateway_ref,
               'created_ms', time_ms(t.created_at), 'age_ms', time_ms(clock_timestamp()) - time_ms(t.created_at))
               ORDER BY t.created_at), '[]')
      INTO answer
      FROM taken t
      JOIN payment p ON p.merchant_id = t.merchant_id AND p.id = t.payment_id;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION paylink.refund_claim(text, bigint, integer) IS
    'Pending refunds nobody is working on, for lease_ms: [{refund, payment, merchant, gateway_ref (of the payment), '
    'amount_minor, currency, tries, refund_ref (the gateway''s id of it, once known), created_ms, age_ms}]. The refund''s id '
    'is the gateway''s idempotency key, so a repeat is harmless, but only for 24 hours.';

CREATE OR REPLACE FUNCTION paylink.refund_release(worker text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    freed integer;
BEGIN
    UPDATE refund r SET lease_until = NULL
     WHERE r.state = 'pending' AND r.lease_owner = worker AND r.lease_until IS NOT NULL;
    GET DIAGNOSTICS freed = ROW_COUNT;
    RETURN jsonb_build_object('freed', freed);
END
$$;
COMMENT ON FUNCTION paylink.refund_release(text) IS
    'For a worker that starts: what it had claimed in an earlier life is free at once, not only when the lease lapses. → {freed}.';

CREATE OR REPLACE FUNCTION paylink.refund_settle(batch jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    b record;
    r refund;
    p payment;
    applied integer := 0;
    ignored integer := 0;
BEGIN
    FOR b IN
        SELECT x.refund, x.outcome, x.gateway_ref, x.reason, f.merchant_id, f.payment_id
          FROM jsonb_to_recordset(batch) AS x (refund text, outcome text, gateway_ref text, reason text)
          LEFT JOIN refund f ON f.id = x.refund
         ORDER BY f.merchant_id, f.payment_id, x.refund
    LOOP
        SELECT x.* INTO p FROM payment x WHERE (x.merchant_id, x.id) = (b.merchant_id, b.payment_id) FOR NO KEY UPDATE;
        SELECT x.* INTO r FROM refund x WHERE (x.merchant_id, x.id) = (b.merchant_id, b.refund) FOR NO KEY UPDATE;
        IF NOT FOUND THEN
            PERFORM refuse('not_found', format('There is no refund %s.', left(coalesce(b.refund, ''), 64)));
        ELSIF b.outcome IS NULL OR b.outcome NOT IN ('succeeded', 'failed', 'pending') THEN
            PERFORM refuse('invalid_outcome', format('"%s" is not the outcome of a refund.', left(coalesce(b.outcome, ''), 32)));
        ELSIF r.state = 'failed' AND b.outcome = 'succeeded' THEN
            PERFORM refuse('illegal_transition', format('Refund %s failed before and cannot succeed now.', r.id));
        ELSIF b.outcome = r.state AND r.state <> 'pending' OR r.state <> 'pending' AND b.outcome = 'pending' THEN
            ignored := ignored + 1;
            CONTINUE;
        END IF;
        r.gateway_ref := coalesce(b.gateway_ref, r.gateway_ref);
        r.reason := coalesce(left(b.reason, 200), r.reason);
        IF b.outcome = 'pending' THEN
            UPDATE refund x
               SET gateway_ref = r.gateway_ref, reason = r.reason,
                   lease_until = clock_timestamp() + make_interval(secs => least(2 ^ least(x.tries, 12), 3600))
             WHERE (x.merchant_id, x.id) = (r.merchant_id, r.id);
        ELSE
            PERFORM refund_finish(r, p, b.outcome);
        END IF;
        applied := applied + 1;
    END LOOP;
    RETURN jsonb_build_object('applied', applied, 'ignored', ignored);
END
$$;
COMMENT ON FUNCTION paylink.refund_settle(jsonb) IS
    'batch [{refund, outcome: succeeded|failed|pending, gateway_ref, reason}] → {applied, ignored}. Idempotent. pending: '
    'claimable again after 2, 4, 8 … s, at most an hour. failed: a compensating journal, also after succeeded (a bank '
    'may return a refund later). Errors: not_found, invalid_outcome, illegal_transition (failed → succeeded).';

REVOKE ALL ON FUNCTION paylink.refund_json(paylink.refund), paylink.refund_repeated(text, uuid, bigint),
    paylink.refund_finish(paylink.refund, paylink.payment, text), paylink.refund_create(text, bigint, text),
    paylink.refund_show(text), paylink.refund_list(jsonb), paylink.refund_claim(text, bigint, integer),
    paylink.refund_release(text),
    paylink.refund_settle(jsonb)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION paylink.refund_create(text, bigint, text), paylink.refund_show(text), paylink.refund_list(jsonb)
    TO paylink_operator;
GRANT EXECUTE ON FUNCTION paylink.refund_claim(text, bigint, integer), paylink.refund_release(text), paylink.refund_settle(jsonb) TO paylink_worker;

RESET ROLE;
