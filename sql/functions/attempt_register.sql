-- Registering submits: decides which may be charged, takes the fence of their invoices. Never talks of what
-- a charge led to: that is attempt_settle.sql.
--
-- A trap for all functions that a worker calls: their plans are made once per session, perhaps while a table is still (or
-- again) empty, and reading all of an empty table is as good as looking up single rows of it. Weeks later it is not empty.
-- Hence the settings (no sequential scans, no hash or merge joins) and two spellings that leave the planner nothing but the
-- look-up. = ANY (ARRAY[x]) on a unique id, or on the first column of a key, is an index condition but gives no order that
-- could make reading the whole index seem useful. LATERAL … OFFSET 0 makes a look-up a step of its own where the columns of
-- a key come from different tables.
-- tests/sql/plans.sql counts the rows that are read.

SET ROLE paylink_owner;

CREATE OR REPLACE FUNCTION paylink.link_paid_elsewhere(merchant uuid, of_link uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
BEGIN
    RETURN NOT EXISTS (
        SELECT FROM link_invoice mine
         CROSS JOIN LATERAL (SELECT x.merchant_id, x.link_id FROM link_invoice x
                              WHERE x.merchant_id = mine.merchant_id AND x.invoice_id = mine.invoice_id OFFSET 0) li
         CROSS JOIN LATERAL (SELECT x.state FROM attempt x
                              WHERE x.merchant_id = li.merchant_id AND x.link_id = li.link_id OFFSET 0) t
         WHERE mine.merchant_id = merchant AND mine.link_id = of_link AND t.state = 'captured');
END
$$;
COMMENT ON FUNCTION paylink.link_paid_elsewhere(uuid, uuid) IS
    'True if nothing was ever captured through the gateway for any invoice of the link.';

CREATE OR REPLACE FUNCTION paylink.register_overpays(
    merchant uuid, of_link uuid, amount_minor bigint, is_older boolean) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    RETURN is_older
       AND EXISTS (SELECT FROM merchant m WHERE m.id = register_overpays.merchant AND m.when_paid_elsewhere = 'overpayment')
       AND amount_minor = (SELECT s.payable_minor FROM link_status s
                            WHERE s.merchant_id = register_overpays.merchant AND s.id = of_link)
       AND link_paid_elsewhere(merchant, of_link);
END
$$;
COMMENT ON FUNCTION paylink.register_overpays(uuid, uuid, bigint, boolean) IS
    'May a page from before the payment still pay a link that was paid through other channels? Only its own amount, only if '
    'the merchant wants it, and never after a gateway capture.';

CREATE OR REPLACE FUNCTION paylink.register_allows(
    merchant uuid, amount_minor bigint, due_minor bigint, is_chosen boolean) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    IF amount_minor = due_minor AND NOT is_chosen THEN
        RETURN true;
    END IF;
    RETURN coalesce((SELECT (m.choose_invoices OR NOT is_chosen)
                            AND (amount_minor = due_minor
                                 OR amount_minor < due_minor AND amount_minor >= m.partial_min_minor)
                       FROM merchant m WHERE m.id = register_allows.merchant), false);
END
$$;
COMMENT ON FUNCTION paylink.register_allows(uuid, bigint, bigint, boolean) IS
    'May a payer pay this much of what is due on the invoices that are to be paid? All of it always; a choice of invoices, or '
    'less, if the merchant allows it. due_minor is null if none of the chosen invoices exists.';

CREATE OR REPLACE FUNCTION paylink.register_read(batch jsonb) RETURNS paylink.submit[]
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    submits submit[];
    opened_earlier jsonb;
    flawed boolean;
BEGIN
    SELECT array_agg(ROW(s.merchant_id, s.attempt, s.link, NULL, s.customer_id, s.version, s.amount_minor, s.currency,
                         s.payment_method, ms_time(s.at_ms), s.kid, NULL, false, 1, s.verdict,
                         substring(s.lang FROM '^[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,4}$'), s.chosen)::submit),
           jsonb_agg(jsonb_build_object('link', s.link, 'opened_ms', s.opened_ms))
               FILTER (WHERE s.opened_ms > 0 AND s.opened_ms < s.opened_before_ms),
           bool_or(s.attempt IS NULL OR s.version IS NULL OR s.amount_minor IS NULL OR s.amount_minor <= 0
                   OR s.amount_minor > 9999999999999999 OR s.payment_method IS NULL OR s.at_ms IS NULL
                   OR cardinality(s.chosen) NOT BETWEEN 1 AND 100)
      INTO submits, opened_earlier, flawed
      FROM (SELECT b.*, l.merchant_id, l.customer_id, l.currency, l.kid,
                   coalesce(time_ms(l.opened_at), 9223372036854775807) AS opened_before_ms,
                   CASE
                       WHEN l.id IS NULL OR t.link_id <> l.id THEN 'absent'
                       WHEN row_number() OVER (PARTITION BY b.attempt ORDER BY b.n) > 1 THEN 'twin'
                       WHEN t.id IS NOT NULL THEN 'known'
                       WHEN l.closed IS NOT NULL THEN l.closed
                       WHEN b.at_ms >= coalesce(least(nullif(b.opened_ms, 0), time_ms(l.opened_at)) + l.lifetime_ms,
                                                time_ms(l.ceiling_at)) THEN 'expired'
                       WHEN NOT m.links_on THEN 'disabled'
                       ELSE 'new'
                   END AS verdict
              FROM ROWS FROM (jsonb_to_recordset(batch) AS (
                       attempt uuid, link uuid, version bigint, amount_minor bigint, payment_method text, at_ms bigint,
                       opened_ms bigint, lang text, chosen smallint[])) WITH ORDINALITY
                   AS b (attempt, link, version, amount_minor, payment_method, at_ms, opened_ms, lang, chosen, n)
              LEFT JOIN link l ON l.id = ANY (ARRAY[b.link])
              LEFT JOIN merchant m ON m.id = ANY (ARRAY[l.merchant_id])
              LEFT JOIN attempt t ON t.id = ANY (ARRAY[b.attempt])
             ORDER BY b.n) s;
    IF flawed THEN
        PERFORM refuse('invalid_batch',
                       'A submit needs attempt, link, version, amount_minor (from 1), payment_method and at_ms; chosen has 1 to 100 positions.');
    END IF;
    IF opened_earlier IS NOT NULL THEN
        PERFORM link_opened(opened_earlier);
    END IF;
    RETURN coalesce(submits, '{}');
END
$$;
COMMENT ON FUNCTION paylink.register_read(jsonb) IS
    'A batch of attempt_register with what its links and attempts say for themselves; what a submit tells of its link''s '
    'opening is kept. Errors: invalid_batch.';

CREATE OR REPLACE FUNCTION paylink.register_judge(INOUT submits paylink.submit[])
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
BEGIN
    -- The fences first, in id order. Whoever held one before has committed by the time we get it, so that the reading
    -- below, which is a later statement, sees what was paid meanwhile.
    INSERT INTO invoice_fence (merchant_id, invoice_id, attempt_id)
    SELECT DISTINCT ON (li.merchant_id, li.invoice_id) li.merchant_id, li.invoice_id, u.id
      FROM unnest(submits) WITH ORDINALITY AS u
      JOIN link_invoice li ON li.merchant_id = ANY (ARRAY[u.merchant_id]) AND li.link_id = u.link_id
     WHERE u.verdict = 'new'
     ORDER BY li.merchant_id, li.invoice_id, u.ordinality
    ON CONFLICT DO NOTHING;

    SELECT array_agg(ROW(u.merchant_id, u.id, u.link_id, CASE WHEN s.invoice_count = 1 THEN s.invoice_ids[1] END, u.customer_id,
                         u.version, u.amount_minor, u.currency, u.payment_method, u.submitted_at, u.kid, s.numbers,
                         s.due_minor = 0, u.epoch,
                         CASE WHEN u.verdict <> 'new' THEN u.verdict
                              WHEN l.closed IS NOT NULL THEN l.closed
                              WHEN s.live_count = 0 THEN 'void'
                              WHEN s.due_minor = 0
                                   AND NOT register_overpays(u.merchant_id, u.link_id, u.amount_minor,
                                                             u.version < l.version_base + s.change_count) THEN 'paid'
                              WHEN s.due_minor > 0 AND u.version <> l.version_base + s.change_count THEN 'stale'
                              WHEN s.due_minor > 0 AND NOT register_allows(u.merchant_id, u.amount_minor, s.chosen_minor,
                                                                           u.chosen IS NOT NULL) THEN 'amount'
                              WHEN s.fence_count < s.invoice_count THEN 'contested'
                              ELSE 'new' END, u.lang, u.chosen)::submit)
      INTO submits
      FROM (SELECT x.* FROM unnest(submits) WITH ORDINALITY AS x ORDER BY x.ordinality) u
      LEFT JOIN link l ON l.id = ANY (ARRAY[u.link_id])
      LEFT JOIN LATERAL (
           SELECT sum(i.due_minor) AS due_minor,
                  sum(i.due_minor) FILTER (WHERE u.chosen IS NULL OR li.position = ANY (u.chosen))::bigint AS chosen_minor,
                  sum(i.change_count) AS change_count, count(*) AS invoice_count,
                  count(*) FILTER (WHERE i.voided_at IS NULL) AS live_count,
                  count(*) FILTER (WHERE i.fenced_for = u.id) AS fence_count,
                  array_agg(i.id) AS invoice_ids, string_agg(i.number, ', ' ORDER BY li.position) AS numbers
             FROM link_invoice li
            CROSS JOIN LATERAL (
                  SELECT x.id, x.number::text AS number, x.due_minor, x.change_count, x.voided_at,
                         (SELECT f.attempt_id FROM invoice_fence f
                           WHERE f.merchant_id = li.merchant_id AND f.invoice_id = li.invoice_id) AS fenced_for
                    FROM invoice x
                   WHERE x.merchant_id = li.merchant_id AND x.id = li.invoice_id OFFSET 0) i
            WHERE li.merchant_id = u.merchant_id AND li.link_id = u.link_id) s ON true;
END
$$;
COMMENT ON FUNCTION paylink.register_judge(paylink.submit[]) IS
    'Takes the fences for submits whose verdict is new, then judges each by the invoices as they are now: new (all fences '
    'held), contested (good, but some fence is somebody else''s), or why not.';

CREATE OR REPLACE FUNCTION paylink.register_contend(INOUT submits paylink.submit[])
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    ours uuid[];
    mine uuid[];
BEGIN
    SELECT array_agg(DISTINCT f.invoice_id) INTO ours
      FROM unnest(submits) AS u
      JOIN link_invoice li ON li.merchant_id = ANY (ARRAY[u.merchant_id]) AND li.link_id = u.link_id
     CROSS JOIN LATERAL (SELECT x.invoice_id, x.attempt_id FROM invoice_fence x
                          WHERE x.merchant_id = li.merchant_id AND x.invoice_id = li.invoice_id OFFSET 0) f
     WHERE u.verdict NOT IN ('absent', 'known', 'twin') AND f.attempt_id IN (SELECT x.id FROM unnest(submits) AS x)
       AND NOT EXISTS (SELECT FROM attempt t WHERE t.id = f.attempt_id);
    FOR n IN 1 .. cardinality(submits)
    LOOP
        IF submits[n].verdict IN ('new', 'contested') THEN
            mine := array(SELECT li.invoice_id FROM link_invoice li
                           WHERE li.merchant_id = submits[n].merchant_id AND li.link_id = submits[n].link_id);
            IF mine <@ ours THEN
                submits[n].verdict := 'new';
                ours := array(SELECT x FROM unnest(ours) AS x WHERE x <> ALL (mine));
                UPDATE invoice_fence f SET attempt_id = submits[n].id
                 WHERE f.merchant_id = submits[n].merchant_id AND f.invoice_id = ANY (mine) AND f.attempt_id <> submits[n].id;
            ELSE
                submits[n].verdict := 'busy';
            END IF;
        END IF;
    END LOOP;
    WITH left_over AS MATERIALIZED (
        SELECT DISTINCT u.merchant_id, x AS invoice_id FROM unnest(submits) AS u, unnest(ours) AS x
    )
    DELETE FROM invoice_fence f
     USING left_over o
     WHERE f.merchant_id = ANY (ARRAY[o.merchant_id]) AND f.invoice_id = o.invoice_id;
END
$$;
COMMENT ON FUNCTION paylink.register_contend(paylink.submit[]) IS
    'Sorts out the fences of a batch in which not every submit may be charged: those that this batch took go, in the order '
    'of the batch, to submits that get all of their link''s; what is left over is given back.';

CREATE OR REPLACE FUNCTION paylink.register_store(worker text, in_lease_ms bigint, INOUT submits paylink.submit[])
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    now_at timestamptz := clock_timestamp();
    stored uuid[];
BEGIN
    WITH registered AS (
        INSERT INTO attempt (merchant_id, id, link_id, invoice_id, customer_id, version, amount_minor, currency,
                             payment_method, overpay, state, reason, epoch, lease_owner, lease_ms, lease_until,
                             submitted_at, settled_at, lang, chosen)
        SELECT u.merchant_id, u.id, u.link_id, u.invoice_id, u.customer_id, u.version, u.amount_minor, u.currency,
               u.payment_method, u.verdict = 'new' AND u.overpay,
               CASE WHEN u.verdict = 'new' THEN 'charging'::attempt_state ELSE 'refused' END,
               CASE WHEN u.verdict <> 'new' THEN u.verdict END, CASE WHEN u.verdict = 'new' THEN 1 ELSE 0 END,
               worker, in_lease_ms,
               CASE WHEN u.verdict = 'new' THEN now_at + make_interval(secs => in_lease_ms / 1000.0) END,
               u.submitted_at, CASE WHEN u.verdict <> 'new' THEN now_at END, u.lang, u.chosen
          FROM unnest(submits) AS u
         WHERE u.verdict NOT IN ('absent', 'known', 'twin')
         ORDER BY u.id -- two workers with the same submits wait for each other, in the same order
        ON CONFLICT (id) DO NOTHING
        RETURNING merchant_id, id, state, reason
    ), history AS (
        INSERT INTO attempt_event (merchant_id, attempt_id, seq, at, state, worker, note)
        SELECT r.merchant_id, r.id, 1, now_at, r.state, worker, r.reason FROM registered r
    ), told AS (
        INSERT INTO outbox (merchant_id, id, attempts)
        SELECT r.merchant_id, uuid7(), array_agg(r.id) FROM registered r WHERE r.state = 'refused' GROUP BY r.merchant_id
    )
    SELECT coalesce(array_agg(r.id), '{}') INTO stored FROM registered r;
    IF cardinality(stored) < (SELECT count(*) FROM unnest(submits) AS u WHERE u.verdict NOT IN ('absent', 'known', 'twin')) THEN
        -- Another worker registered it while we waited for the fence: it is that worker's, and so is the fence, unless
        -- it has come to an end in between.
        FOR n IN 1 .. cardinality(submits)
        LOOP
            IF submits[n].verdict NOT IN ('absent', 'known', 'twin') AND submits[n].id <> ALL (stored) THEN
                submits[n].verdict := 'twin';
            END IF;
        END LOOP;
        WITH ended AS MATERIALIZED (
            SELECT t.id, li.merchant_id, li.invoice_id
              FROM unnest(submits) AS u
              JOIN link_invoice li ON li.merchant_id = ANY (ARRAY[u.merchant_id]) AND li.link_id = u.link_id
              JOIN attempt t ON t.id = ANY (ARRAY[u.id])
             WHERE u.verdict = 'twin' AND t.state IN ('captured', 'declined', 'refused')
        )
        DELETE FROM invoice_fence f
         USING ended e
         WHERE f.merchant_id = ANY (ARRAY[e.merchant_id]) AND f.invoice_id = e.invoice_id
           AND f.attempt_id = e.id;
    END IF;
END
$$;
COMMENT ON FUNCTION paylink.register_store(text, bigint, paylink.submit[]) IS
    'Writes the attempts of a judged batch with the first line of their history; refused ones are told at once.';

CREATE OR REPLACE FUNCTION paylink.register_again(
    worker text, in_lease_ms bigint, INOUT submits paylink.submit[])
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    known record;
    t attempt;
    action text;
    now_at timestamptz := clock_timestamp();
BEGIN
    FOR known IN
        SELECT x AS attempt, u.ordinality AS n
          FROM unnest(submits) WITH ORDINALITY AS u
          JOIN attempt x ON x.id = ANY (ARRAY[u.id])
         WHERE u.verdict = 'known'
         ORDER BY x.id FOR NO KEY UPDATE OF x
    LOOP
        t := known.attempt;
        IF t.state <> 'charging' THEN
            action := 'final';
            INSERT INTO outbox (merchant_id, id, attempts) VALUES (t.merchant_id, uuid7(), ARRAY[t.id]);
        ELSIF t.lease_until > now_at AND t.lease_owner <> worker THEN
            action := 'held';
        ELSIF t.created_at < now_at - interval '23 hours' THEN
            -- The gateway forgets idempotency keys after 24 hours: from here on only asking is safe.
            action := 'held';
            UPDATE attempt x
               SET state = 'unknown', lease_until = now_at, next_check_at = now_at, check_count = 0,
                   event_count = x.event_count + 1
             WHERE x.merchant_id = t.merchant_id AND x.id = t.id;
            INSERT INTO attempt_event (merchant_id, attempt_id, seq, state, worker, note)
            VALUES (t.merchant_id, t.id, t.event_count + 1, 'unknown', worker, 'too old to charge again');
        ELSE
            action := 'charge';
            UPDATE attempt x
               SET epoch = x.epoch + 1, lease_owner = worker, lease_ms = in_lease_ms,
                   lease_until = now_at + make_interval(secs => in_lease_ms / 1000.0),
                   event_count = x.event_count + 1
             WHERE x.merchant_id = t.merchant_id AND x.id = t.id
            RETURNING x.* INTO t;
            INSERT INTO attempt_event (merchant_id, attempt_id, seq, state, worker, note)
            VALUES (t.merchant_id, t.id, t.event_count, 'charging', worker, 'handed over again');
        END IF;
        submits[known.n].verdict := 'known:' || action;
        submits[known.n].epoch := t.epoch;
        submits[known.n].version := t.version;
        submits[known.n].amount_minor := t.amount_minor;
        submits[known.n].currency := t.currency;
        submits[known.n].payment_method := t.payment_method;
    END LOOP;
END
$$;
COMMENT ON FUNCTION paylink.register_again(text, bigint, paylink.submit[]) IS
    'Decides about attempts that are registered already (a repeated delivery). charge: the lease is this worker''s or '
    'has lapsed, and the gateway still knows the key; same parameters, next epoch. held: somebody else''s. final: has a '
    'result or waits for one; its answer is published again.';

CREATE OR REPLACE FUNCTION paylink.attempt_register(worker text, lease_ms bigint, batch jsonb) RETURNS json
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    submits submit[] := register_read(batch);
BEGIN
    submits := register_judge(submits);
    IF EXISTS (SELECT FROM unnest(submits) AS u WHERE u.verdict <> 'new') THEN
        submits := register_contend(submits);
    END IF;
    submits := register_store(worker, lease_ms, submits);
    IF EXISTS (SELECT FROM unnest(submits) AS u WHERE u.verdict = 'known') THEN
        submits := register_again(worker, lease_ms, submits);
    END IF;
    RETURN (
        SELECT coalesce(json_agg(ROW(
                   u.id,
                   CASE WHEN u.verdict IN ('new', 'known:charge') THEN 'charge'
                        WHEN u.verdict IN ('twin', 'known:held') THEN 'held'
                        WHEN u.verdict = 'known:final' THEN 'final'
                        ELSE 'refused' END,
                   CASE WHEN u.verdict NOT LIKE 'known:%' AND u.verdict NOT IN ('new', 'twin') THEN u.verdict END,
                   u.epoch, u.amount_minor, u.currency, u.payment_method, u.merchant_id, hex_of(u.link_id), u.kid, u.version,
                   u.numbers, CASE WHEN u.numbers LIKE '%, %' THEN 'Invoices ' ELSE 'Invoice ' END || u.numbers)::submit_answer
                   ORDER BY u.ordinality), '[]')
          FROM unnest(submits) WITH ORDINALITY AS u);
END
$$;
COMMENT ON FUNCTION paylink.attempt_register(text, bigint, jsonb) IS
    'batch [{attempt, link (hex), version, amount_minor, payment_method, at_ms, opened_ms, lang, chosen [position …]}] → in the same order '
    '[submit_answer …]. '
    'action charge: call the gateway with what is answered here. refused: never charge; reason paid | stale | '
    'amount | busy | expired | disabled | void | replaced | revoked | absent (unknown link: no row is kept). final: has or awaits a '
    'result, which is published again. held: another live worker''s, or a twin in this batch: do not acknowledge. '
    'A charged attempt holds the fence of all invoices of its link until it is final: whoever comes second is busy, in '
    'this batch the later one. json, not jsonb: nothing reads it but a client, and it is made in a third of the time. '
    'Errors: invalid_batch.';

REVOKE ALL ON FUNCTION paylink.link_paid_elsewhere(uuid, uuid), paylink.register_overpays(uuid, uuid, bigint, boolean),
    paylink.register_allows(uuid, bigint, bigint, boolean),
    paylink.register_read(jsonb), paylink.register_judge(paylink.submit[]), paylink.register_contend(paylink.submit[]),
    paylink.register_store(text, bigint, paylink.submit[]), paylink.register_again(text, bigint, paylink.submit[]),
    paylink.attempt_register(text, bigint, jsonb)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION paylink.attempt_register(text, bigint, jsonb) TO paylink_worker;

RESET ROLE;
