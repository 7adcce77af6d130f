-- Attempts as they are seen and checked: list, show, the timetable of questions to the gateway.

SET ROLE paylink_owner;

CREATE OR REPLACE FUNCTION paylink.attempt_json(t paylink.attempt) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object(
        'id', t.id, 'attempt', t.id, 'merchant', t.merchant_id, 'customer', t.customer_id, 'link', hex_of(t.link_id),
        'version', t.version, 'state', t.state, 'reason', t.reason, 'amount_minor', t.amount_minor,
        'currency', t.currency, 'captured_minor', t.captured_minor, 'overpay', t.overpay, 'epoch', t.epoch,
        'gateway_ref', t.gateway_ref, 'charge_ref', t.charge_ref, 'action_url', t.action_url,
        'card_brand', t.card_brand, 'card_last4', t.card_last4, 'attention', t.attention,
        'payment', CASE WHEN t.state = 'captured' THEN t.id END,
        'next_check_at', time_text(t.next_check_at),
        'submitted_at', time_text(t.submitted_at), 'created_at', time_text(t.created_at),
        'settled_at', time_text(t.settled_at));
END
$$;
COMMENT ON FUNCTION paylink.attempt_json(paylink.attempt) IS
    '{id, attempt (the same), merchant, customer, link (hex), version, state, reason, amount_minor, '
    'currency, captured_minor, overpay, epoch, '
    'gateway_ref, charge_ref, action_url, card_brand, card_last4, attention, payment, next_check_at, submitted_at, '
    'created_at, settled_at}';

CREATE OR REPLACE FUNCTION paylink.attempt_show(id text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    wanted uuid := uuid_arg(id, 'attempt');
    t attempt;
BEGIN
    SELECT x.* INTO t FROM attempt x WHERE x.id = wanted;
    IF NOT FOUND THEN
        PERFORM refuse('not_found', format('There is no attempt %s.', wanted));
    END IF;
    RETURN attempt_json(t) || jsonb_build_object('events', (
        SELECT jsonb_agg(jsonb_build_object('seq', e.seq, 'at', time_text(e.at), 'state', e.state, 'worker', e.worker,
                                            'note', e.note) ORDER BY e.seq)
          FROM attempt_event e WHERE e.merchant_id = t.merchant_id AND e.attempt_id = t.id));
END
$$;
COMMENT ON FUNCTION paylink.attempt_show(text) IS
    '→ attempt_json with events: [{seq, at, state, worker, note}]. Errors: invalid_id, not_found.';

CREATE OR REPLACE FUNCTION paylink.attempt_list(filter jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    of_invoice uuid;
    of_link uuid;
    of_state text;
BEGIN
    PERFORM json_only(filter, ARRAY['invoice', 'link', 'state'], 'invalid_filter');
    of_state := json_text(filter, 'state', 16, 'invalid_filter');
    IF of_state NOT IN ('charging', 'action_required', 'unknown', 'captured', 'declined', 'refused') THEN
        PERFORM refuse('invalid_filter', 'state is charging, action_required, unknown, captured, declined or refused.');
    END IF;
    IF filter ->> 'invoice' IS NOT NULL THEN
        of_invoice := uuid_arg(filter ->> 'invoice', 'invoice');
    END IF;
    IF filter ->> 'link' IS NOT NULL THEN
        of_link := link_arg(filter ->> 'link');
    END IF;
    IF of_invoice IS NULL AND of_link IS NULL THEN
        RETURN (SELECT coalesce(jsonb_agg(attempt_json(t) ORDER BY t.id), '[]')
                  FROM attempt t WHERE of_state IS NULL OR t.state = of_state::attempt_state);
    END IF;
    RETURN (SELECT coalesce(jsonb_agg(attempt_json(t) ORDER BY t.id), '[]')
              FROM (SELECT l.merchant_id, l.id FROM link l WHERE l.id = of_link
                     UNION
                    SELECT li.merchant_id, li.link_id
                      FROM invoice i
                      JOIN link_invoice li ON li.merchant_id = i.merchant_id AND li.invoice_id = i.id
                     WHERE i.id = of_invoice) l
              JOIN attempt t ON t.merchant_id = l.merchant_id AND t.link_id = l.id
             WHERE of_state IS NULL OR t.state = of_state::attempt_state);
END
$$;
COMMENT ON FUNCTION paylink.attempt_list(jsonb) IS
    'filter {invoice | link, state} → [attempt_json …], oldest first. Errors: invalid_id, invalid_filter.';

CREATE OR REPLACE FUNCTION paylink.attempt_checks_due(row_limit integer, delays jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    now_at timestamptz := clock_timestamp();
    waits_ms bigint[] := array(SELECT x.ms::bigint FROM jsonb_array_elements_text(delays) WITH ORDINALITY AS x (ms, n)
                                ORDER BY x.n);
    answer jsonb;
BEGIN
    IF coalesce(cardinality(waits_ms), 0) = 0 THEN
        PERFORM refuse('invalid_batch', 'delays is a list of at least one wait in milliseconds.');
    END IF;
    -- A charge whose worker died: once its lease is over for as long as it was, somebody has to ask.
    WITH deserted AS (
        SELECT t.merchant_id, t.id
          FROM attempt t
         WHERE (t.merchant_id, t.id) IN (SELECT f.merchant_id, f.attempt_id FROM invoice_fence f)
           AND t.state = 'charging' AND t.next_check_at IS NULL AND t.attention IS NULL
           AND t.lease_until + make_interval(secs => t.lease_ms / 1000.0) < now_at
           FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE attempt t
       SET next_check_at = now_at, check_count = 0
      FROM deserted d
     WHERE t.merchant_id = d.merchant_id AND t.id = d.id;
    WITH due AS (
        SELECT t.merchant_id, t.id, t.check_count
          FROM attempt t
         WHERE t.next_check_at <= now_at
         ORDER BY t.next_check_at
         LIMIT greatest(row_limit, 1)
           FOR NO KEY UPDATE SKIP LOCKED
    ), scheduled AS (
        UPDATE attempt t
           SET check_count = t.check_count + 1,
               next_check_at = now_at + make_interval(secs => waits_ms[d.check_count + 1] / 1000.0),
               attention = CASE WHEN d.check_count >= cardinality(waits_ms)
                                THEN 'no answer after the last check: ask the gateway''s support' ELSE t.attention END
          FROM due d
         WHERE t.merchant_id = d.merchant_id AND t.id = d.id
        RETURNING t.*, d.check_count AS asked
    )
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'attempt', s.id, 'state', s.state, 'gateway_ref', s.gateway_ref, 'merchant', s.merchant_id,
               'created_ms', time_ms(s.created_at), 'age_ms', time_ms(now_at) - time_ms(s.created_at))
               ORDER BY s.id), '[]')
      INTO answer
      FROM scheduled s
     WHERE s.asked > 0;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION paylink.attempt_checks_due(integer, jsonb) IS
    'delays: waits in ms before the first, second … question to the gateway. → the attempts to ask about now: '
    '[{attempt, state, gateway_ref, merchant, created_ms, age_ms}], each put on the next place of the timetable: those '
    'unknown or action_required, and those charging whose lease is over for as long as it lasted. The first call after a '
    'state was entered only starts the timetable; after the last delay the attempt gets attention and is left to a person. '
    'Errors: invalid_batch.';

CREATE OR REPLACE FUNCTION paylink.attempt_check_now(ids jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    changed integer;
BEGIN
    WITH waiting AS ( -- one that is locked is being settled at this moment
        SELECT t.merchant_id, t.id
          FROM attempt t
         WHERE t.id = ANY (array(SELECT x::uuid FROM jsonb_array_elements_text(ids) AS x))
           AND t.state IN ('action_required', 'unknown')
           FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE attempt t
       SET next_check_at = clock_timestamp(), check_count = greatest(t.check_count, 1)
      FROM waiting w
     WHERE t.merchant_id = w.merchant_id AND t.id = w.id;
    GET DIAGNOSTICS changed = ROW_COUNT;
    RETURN jsonb_build_object('changed', changed);
END
$$;
COMMENT ON FUNCTION paylink.attempt_check_now(jsonb) IS
    'ids [uuid …]: those in action_required or unknown are due for a question at once (the payer came back). → {changed}.';

REVOKE ALL ON FUNCTION paylink.attempt_json(paylink.attempt), paylink.attempt_show(text), paylink.attempt_list(jsonb),
    paylink.attempt_checks_due(integer, jsonb), paylink.attempt_check_now(jsonb)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION paylink.attempt_show(text), paylink.attempt_list(jsonb) TO paylink_operator;
GRANT EXECUTE ON FUNCTION paylink.attempt_show(text), paylink.attempt_checks_due(integer, jsonb),
    paylink.attempt_check_now(jsonb) TO paylink_worker;

RESET ROLE;
