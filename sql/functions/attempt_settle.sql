-- Settling: what the gateway said becomes the attempt's state, and a capture becomes a payment with its journal,
-- in one transaction. The only place that moves an attempt on. For = ANY (ARRAY[x]) see attempt_register.sql.

SET ROLE paylink_owner;

CREATE OR REPLACE FUNCTION paylink.settle_validate(batch jsonb) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    b record;
BEGIN
    FOR b IN
        SELECT x.attempt, x.outcome, x.gateway_ref, x.amount_minor, x.currency, t.id AS known, t.state,
               t.currency AS expected
          FROM jsonb_to_recordset(batch) AS x (
               attempt uuid, outcome text, gateway_ref text, amount_minor bigint, currency text)
          LEFT JOIN attempt t ON t.id = x.attempt
    LOOP
        IF b.outcome IS NULL OR b.outcome NOT IN ('captured', 'declined', 'action_required', 'unknown', 'retry', 'absent') THEN
            PERFORM refuse('invalid_outcome',
                           format('"%s" is not the outcome of an attempt.', left(coalesce(b.outcome, ''), 32)));
        ELSIF b.known IS NULL THEN
            PERFORM refuse('not_found', format('There is no attempt %s.', b.attempt));
        ELSIF b.outcome = 'captured' AND (b.gateway_ref IS NULL OR b.amount_minor IS NULL OR b.amount_minor <= 0
                                          OR b.amount_minor > 9999999999999999) THEN
            PERFORM refuse('invalid_amount', format('The capture of attempt %s lacks a reference or a valid amount.', b.attempt));
        ELSIF b.outcome = 'captured' AND b.currency IS DISTINCT FROM b.expected THEN
            PERFORM refuse('currency_mismatch', format('Attempt %s is in %s; the gateway captured %s.',
                                                       b.attempt, b.expected, coalesce(b.currency, 'nothing')));
        ELSIF b.state = 'refused' AND b.outcome <> 'captured' OR b.state = 'captured' AND b.outcome = 'absent' THEN
            PERFORM refuse('illegal_transition', format('Attempt %s is %s and cannot become %s.',
                                                        b.attempt, b.state, b.outcome));
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION paylink.settle_validate(jsonb) IS
    'Raises what is wrong with a batch of attempt_settle, if anything. Errors: invalid_outcome, not_found, invalid_amount, '
    'currency_mismatch, illegal_transition.';

CREATE OR REPLACE FUNCTION paylink.attempt_move(mover text, batch jsonb) RETURNS paylink.attempt[]
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    moved attempt[];
BEGIN
    WITH changed AS (
        UPDATE attempt t
           SET state = CASE b.outcome WHEN 'captured' THEN 'captured' WHEN 'retry' THEN t.state WHEN 'absent' THEN 'declined'
                                      ELSE b.outcome::attempt_state END,
               reason = CASE b.outcome WHEN 'declined' THEN coalesce(left(b.reason, 64), 'card_declined')
                                       WHEN 'absent' THEN 'not_received' END,
               event_count = t.event_count + 1,
               lease_until = CASE b.outcome WHEN 'retry' THEN clock_timestamp() ELSE t.lease_until END,
               next_check_at = CASE WHEN b.outcome IN ('unknown', 'action_required') THEN clock_timestamp() END,
               check_count = 0,
               gateway_ref = coalesce(b.gateway_ref, t.gateway_ref),
               charge_ref = coalesce(b.charge_ref, t.charge_ref),
               captured_minor = CASE b.outcome WHEN 'captured' THEN b.amount_minor END,
               action_url = CASE b.outcome WHEN 'action_required' THEN b.action_url END,
               card_brand = coalesce(left(b.card_brand, 32), t.card_brand),
               card_last4 = coalesce(b.card_last4, t.card_last4),
               attention = CASE
                   WHEN b.outcome <> 'captured' THEN t.attention
                   WHEN t.state IN ('declined', 'refused') THEN 'captured after it was ' || t.state
                   WHEN b.amount_minor <> t.amount_minor THEN 'captured another amount than was asked for'
                   ELSE t.attention END,
               settled_at = CASE WHEN b.outcome IN ('captured', 'declined', 'absent') THEN clock_timestamp() END
          -- In id order, so that two workers with the same attempts wait for each other instead of locking each other out.
          FROM (SELECT DISTINCT ON (x.attempt) x.*
                  FROM jsonb_to_recordset(batch) AS x (
                       attempt uuid, outcome text, gateway_ref text, charge_ref text, amount_minor bigint, currency text,
                       reason text, action_url text, card_brand text, card_last4 text)
                 ORDER BY x.attempt, x.outcome = 'captured' DESC) b
         WHERE t.id = ANY (ARRAY[b.attempt])
           AND CASE b.outcome
                   WHEN 'captured'        THEN t.state <> 'captured' AND t.currency = b.currency AND b.gateway_ref IS NOT NULL
                                               AND b.amount_minor BETWEEN 1 AND 9999999999999999
                   WHEN 'declined'        THEN t.state IN ('charging', 'action_required', 'unknown')
                   WHEN 'action_required' THEN t.state IN ('charging', 'unknown')
                   WHEN 'unknown'         THEN t.state IN ('charging', 'action_required')
                   WHEN 'retry'           THEN t.state = 'charging' AND t.lease_owner = mover
                   -- Two minutes: a request of ours may still be on its way to the gateway.
                   WHEN 'absent'          THEN t.created_at < clock_timestamp() - interval '2 minutes'
                                               AND (t.state = 'unknown'
                                                    OR t.state = 'charging' AND t.lease_until < clock_timestamp())
                   ELSE false
               END
        RETURNING t.merchant_id, t.id, t.state, t.event_count, t.reason, t.attention, b.outcome, t AS whole
    ), history AS (
        INSERT INTO attempt_event (merchant_id, attempt_id, seq, at, state, worker, note)
        SELECT c.merchant_id, c.id, c.event_count, clock_timestamp(), c.state, mover,
               CASE c.outcome WHEN 'captured' THEN c.attention WHEN 'retry' THEN 'to be tried again' ELSE c.reason END
          FROM changed c
    )
    SELECT array_agg(c.whole) INTO moved FROM changed c;
    RETURN coalesce(moved, '{}');
END
$$;
COMMENT ON FUNCTION paylink.attempt_move(text, jsonb) IS
    'The one mover of attempts: applies each outcome of a batch of attempt_settle where that is news, and writes the '
    'history. What is stale (a decline after the capture, "unknown" after a result) or flawed changes nothing. → the '
    'attempts that moved, as they are now; one that is still charging gave its lease back.';

DROP FUNCTION IF EXISTS paylink.settle_shares(uuid[], uuid[], bigint[]);

CREATE OR REPLACE FUNCTION paylink.settle_shares(
    captured paylink.attempt[],
    OUT pair_places bigint[], OUT pair_lines smallint[], OUT pair_invoices uuid[], OUT pair_parts bigint[])
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    ranks bigint[];
    dues bigint[];
    rest_of_invoice bigint[];
    rest_of_capture bigint[] := array(SELECT u.captured_minor::bigint FROM unnest(captured) WITH ORDINALITY AS u ORDER BY u.ordinality);
    part_minor bigint;
BEGIN
    WITH pair AS MATERIALIZED (
        SELECT u.ordinality AS place, li.position AS line, li.merchant_id, li.invoice_id
          FROM unnest(captured) WITH ORDINALITY AS u
          JOIN link_invoice li ON li.merchant_id = ANY (ARRAY[u.merchant_id]) AND li.link_id = u.link_id
         WHERE u.chosen IS NULL OR li.position = ANY (u.chosen)
    )
    SELECT array_agg(s.place), array_agg(s.line), array_agg(s.invoice_id), array_agg(s.rank), array_agg(s.due_minor)
      INTO pair_places, pair_lines, pair_invoices, ranks, dues
      FROM (SELECT h.*, dense_rank() OVER (ORDER BY h.merchant_id, h.invoice_id) AS rank
              FROM (SELECT p.place, p.line, i.merchant_id, i.id AS invoice_id, i.due_minor
                      FROM pair p
                      JOIN invoice i ON i.id = ANY (ARRAY[p.invoice_id])
                     ORDER BY i.merchant_id, i.id
                       FOR NO KEY UPDATE OF i) h
             ORDER BY h.place, h.line) s;
    FOR n IN 1 .. cardinality(ranks)
    LOOP
        rest_of_invoice[ranks[n]] := dues[n];
    END LOOP;
    FOR n IN 1 .. cardinality(ranks)
    LOOP
        part_minor := least(rest_of_invoice[ranks[n]], rest_of_capture[pair_places[n]]);
        rest_of_invoice[ranks[n]] := rest_of_invoice[ranks[n]] - part_minor;
        rest_of_capture[pair_places[n]] := rest_of_capture[pair_places[n]] - part_minor;
        pair_parts[n] := part_minor;
    END LOOP;
END
$$;
COMMENT ON FUNCTION paylink.settle_shares(paylink.attempt[]) IS
    'For captures whose links have several invoices, or that meet in one invoice: locks the invoices in id order and gives '
    'them what is due, capture by capture, in the order of each link: all of its invoices, or those that the payer chose. → which capture pays how much of which invoice.';

CREATE OR REPLACE FUNCTION paylink.settle_post(captured paylink.attempt[], applied bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    WITH c AS MATERIALIZED (
        SELECT u.merchant_id, u.id, u.customer_id, u.currency, u.captured_minor::bigint AS amount_minor,
               applied[u.ordinality] AS applied_minor, u.captured_minor - applied[u.ordinality] AS unapplied_minor,
               u.gateway_ref, u.charge_ref
          FROM unnest(captured) WITH ORDINALITY AS u
    ), payments AS (
        INSERT INTO payment (merchant_id, id, customer_id, method, currency, amount_minor, applied_minor, unapplied_minor,
                             attempt_id, gateway_ref, charge_ref)
        SELECT c.merchant_id, c.id, c.customer_id, 'card', c.currency, c.amount_minor, c.applied_minor, c.unapplied_minor,
               c.id, c.gateway_ref, c.charge_ref
          FROM c
    ), journals AS (
        INSERT INTO journal (merchant_id, id, kind, document_id)
        SELECT c.merchant_id, c.id, 'payment', c.id FROM c
    )
    INSERT INTO entry (merchant_id, journal_id, line, account, customer_id, currency, amount_minor)
    SELECT c.merchant_id, c.id, 1, 'cash_gateway'::account_kind, NULL::uuid, c.currency, c.amount_minor FROM c
    UNION ALL
    SELECT c.merchant_id, c.id, 2, 'receivable', c.customer_id, c.currency, -c.applied_minor FROM c WHERE c.applied_minor > 0
    UNION ALL
    SELECT c.merchant_id, c.id, 3, 'unapplied', c.customer_id, c.currency, -c.unapplied_minor FROM c WHERE c.unapplied_minor > 0;
END
$$;
COMMENT ON FUNCTION paylink.settle_post(paylink.attempt[], bigint[]) IS
    'Books captures, set-based: for captured[i] the payment, its journal (both with the attempt''s id) and entries: '
    'Dr cash_gateway the whole amount, Cr receivable applied[i], Cr unapplied the rest, the overpayment.';

CREATE OR REPLACE FUNCTION paylink.settle_book(captured paylink.attempt[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    merchants uuid[];
    invoices uuid[];
    amounts bigint[];
    applied bigint[];
    s record;
BEGIN
    SELECT array_agg(u.merchant_id), array_agg(u.invoice_id), array_agg(u.captured_minor::bigint)
      INTO merchants, invoices, amounts
      FROM unnest(captured) AS u;
    IF array_position(invoices, NULL) IS NULL
       AND (SELECT count(*) = count(DISTINCT x) FROM unnest(invoices) AS x) THEN
        applied := invoice_pay(merchants, invoices, amounts);
        INSERT INTO allocation (merchant_id, line, payment_id, invoice_id, journal_id, amount_minor)
        SELECT u.merchant_id, 1, u.id, u.invoice_id, u.id, applied[u.ordinality]
          FROM unnest(captured) WITH ORDINALITY AS u
         WHERE applied[u.ordinality] > 0;
    ELSE
        SELECT * INTO s FROM settle_shares(captured);
        applied := array(
            SELECT coalesce((SELECT sum(p.part_minor)::bigint FROM unnest(s.pair_places, s.pair_parts) AS p (place, part_minor)
                              WHERE p.place = g.place), 0)
              FROM generate_series(1, cardinality(captured)) AS g (place) ORDER BY g.place);
        PERFORM invoice_pay(array_agg(x.merchant_id), array_agg(x.invoice_id), array_agg(x.part_minor))
           FROM (SELECT merchants[p.place] AS merchant_id, p.invoice_id, sum(p.part_minor)::bigint AS part_minor
                   FROM unnest(s.pair_places, s.pair_invoices, s.pair_parts) AS p (place, invoice_id, part_minor)
                  WHERE p.part_minor > 0
                  GROUP BY merchants[p.place], p.invoice_id) x;
        INSERT INTO allocation (merchant_id, line, payment_id, invoice_id, journal_id, amount_minor)
        SELECT u.merchant_id, p.line, u.id, p.invoice_id, u.id, p.part_minor
          FROM unnest(s.pair_places, s.pair_lines, s.pair_invoices, s.pair_parts) AS p (place, line, invoice_id, part_minor)
          JOIN unnest(captured) WITH ORDINALITY AS u ON u.ordinality = p.place
         WHERE p.part_minor > 0;
        INSERT INTO outbox (merchant_id, id, invoices)
        SELECT merchants[p.place], uuid7(), array_agg(DISTINCT p.invoice_id)
          FROM unnest(s.pair_places, s.pair_invoices) AS p (place, invoice_id)
         GROUP BY merchants[p.place];
    END IF;
    PERFORM settle_post(captured, applied);
END
$$;
COMMENT ON FUNCTION paylink.settle_book(paylink.attempt[]) IS
    'Books attempts that have just become captured: invoices, allocations, payments, journals. Nearly every link has one '
    'invoice that no other capture of the batch touches; only the others need settle_shares.';

CREATE OR REPLACE FUNCTION paylink.settle_release(moved paylink.attempt[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
BEGIN
    DELETE FROM invoice_fence f
     USING unnest(moved) AS u
     WHERE f.merchant_id = ANY (ARRAY[u.merchant_id]) AND f.invoice_id = u.invoice_id
       AND f.attempt_id = u.id AND u.state IN ('captured', 'declined');
    WITH ended AS MATERIALIZED (
        SELECT u.id, li.merchant_id, li.invoice_id
          FROM unnest(moved) AS u
          JOIN link_invoice li ON li.merchant_id = ANY (ARRAY[u.merchant_id]) AND li.link_id = u.link_id
         WHERE u.invoice_id IS NULL AND u.state IN ('captured', 'declined')
    )
    DELETE FROM invoice_fence f
     USING ended e
     WHERE f.merchant_id = ANY (ARRAY[e.merchant_id]) AND f.invoice_id = e.invoice_id
       AND f.attempt_id = e.id;
    INSERT INTO outbox (merchant_id, id, attempts, invoices)
    SELECT u.merchant_id, uuid7(), array_agg(u.id),
           coalesce(array_agg(u.invoice_id) FILTER (WHERE u.state = 'captured' AND u.invoice_id IS NOT NULL), '{}')
      FROM unnest(moved) AS u
     WHERE u.state <> 'charging'
     GROUP BY u.merchant_id;
END
$$;
COMMENT ON FUNCTION paylink.settle_release(paylink.attempt[]) IS
    'After attempts moved: final ones give back the fences that are theirs; all but those to be tried again are published.';

CREATE OR REPLACE FUNCTION paylink.settle_receipts(captured paylink.attempt[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
BEGIN
    INSERT INTO mail (merchant_id, id, kind, customer_id, payment_id, lang)
    SELECT u.merchant_id, uuid7(), 'receipt', u.customer_id, u.id, u.lang
      FROM unnest(captured) AS u
      JOIN merchant m ON m.id = ANY (ARRAY[u.merchant_id])
     WHERE m.receipt_mail;
END
$$;
COMMENT ON FUNCTION paylink.settle_receipts(paylink.attempt[]) IS
    'A receipt by mail for each capture that was booked, where its merchant wants that.';

DROP FUNCTION IF EXISTS paylink.attempt_settle(text, jsonb);

CREATE OR REPLACE FUNCTION paylink.attempt_settle(worker text, batch jsonb, receipts boolean DEFAULT false) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    given integer := jsonb_array_length(batch);
    moved attempt[];
    captured attempt[];
BEGIN
    -- Attempts are locked in id order by moving them, then their invoices in id order.
    moved := attempt_move(worker, batch);
    IF cardinality(moved) < given THEN
        PERFORM settle_validate(batch);
        PERFORM settle_note_second_captures(worker, batch);
    END IF;
    captured := array(SELECT u FROM unnest(moved) AS u WHERE u.state = 'captured');
    IF cardinality(captured) > 0 THEN
        PERFORM settle_book(captured);
        IF receipts THEN
            PERFORM settle_receipts(captured);
        END IF;
    END IF;
    PERFORM settle_release(moved);
    RETURN jsonb_build_object('applied', cardinality(moved), 'ignored', given - cardinality(moved));
END
$$;
COMMENT ON FUNCTION paylink.attempt_settle(text, jsonb, boolean) IS
    'batch [{attempt, outcome: captured|declined|action_required|unknown|retry|absent, gateway_ref, charge_ref, '
    'amount_minor, currency, reason, action_url, card_brand, card_last4}] → {applied, ignored}. captured books payment, '
    'journal, allocations in the order of the link''s invoices, and the overpayment: what exceeds what is due, all of it '
    'if the invoice was meanwhile paid or voided. It books whatever the state before, a late success after declined or '
    'refused included, and notes in attempt.attention what is unusual. captured, declined and absent release the fence; '
    'unknown and action_required keep it and put the attempt on the timetable of attempt_checks_due; retry gives the '
    'lease back; absent (the gateway knows nothing of it, two minutes after its creation) declines with not_received. '
    'receipts: payers get theirs by mail. Idempotent: stale news is ignored. Errors (nothing of the batch is applied): invalid_outcome, not_found, '
    'invalid_amount, currency_mismatch, illegal_transition.';

CREATE OR REPLACE FUNCTION paylink.settle_note_second_captures(mover text, batch jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    WITH noted AS (
        UPDATE attempt t
           SET attention = left('captured twice: also ' || b.gateway_ref, 200), event_count = t.event_count + 1
          FROM jsonb_to_recordset(batch) AS b (attempt uuid, outcome text, gateway_ref text)
         WHERE t.id = b.attempt AND b.outcome = 'captured' AND t.state = 'captured' AND t.gateway_ref <> b.gateway_ref
           AND t.attention IS DISTINCT FROM left('captured twice: also ' || b.gateway_ref, 200)
        RETURNING t.merchant_id, t.id, t.event_count, t.attention
    )
    INSERT INTO attempt_event (merchant_id, attempt_id, seq, state, worker, note)
    SELECT n.merchant_id, n.id, n.event_count, 'captured', mover, n.attention FROM noted n;
END
$$;
COMMENT ON FUNCTION paylink.settle_note_second_captures(text, jsonb) IS
    'A second capture of one attempt cannot be booked as a second payment of it: it is noted for a person, and verify() '
    'reports it.';

REVOKE ALL ON FUNCTION paylink.settle_validate(jsonb), paylink.attempt_move(text, jsonb),
    paylink.settle_shares(paylink.attempt[]), paylink.settle_post(paylink.attempt[], bigint[]),
    paylink.settle_book(paylink.attempt[]), paylink.settle_release(paylink.attempt[]),
    paylink.settle_receipts(paylink.attempt[]), paylink.attempt_settle(text, jsonb, boolean), paylink.settle_note_second_captures(text, jsonb)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION paylink.attempt_settle(text, jsonb, boolean) TO paylink_worker;

RESET ROLE;
