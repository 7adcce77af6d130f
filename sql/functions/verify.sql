-- verify, last part: attempts, fences, the guards themselves, and the report of it all. Changes nothing.

SET ROLE paylink_owner;

CREATE OR REPLACE FUNCTION paylink.verify_attempts() RETURNS TABLE (name text, wrong bigint, example text)
    LANGUAGE plpgsql STABLE
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT 'capture_is_a_payment', count(*), min(format('attempt %s', coalesce(t.id, p.id)))
      FROM (SELECT x.* FROM attempt x WHERE x.state = 'captured') t
      FULL JOIN (SELECT x.* FROM payment x WHERE x.attempt_id IS NOT NULL) p
        ON p.merchant_id = t.merchant_id AND p.attempt_id = t.id
     WHERE t.captured_minor IS DISTINCT FROM p.amount_minor OR t.currency IS DISTINCT FROM p.currency
        OR t.gateway_ref IS DISTINCT FROM p.gateway_ref OR t.customer_id IS DISTINCT FROM p.customer_id;
    RETURN QUERY
    SELECT 'attempt_captured_once', count(*), min(format('attempt %s: %s', t.id, t.attention))
      FROM attempt t WHERE t.attention LIKE 'captured twice%';
    RETURN QUERY
    SELECT 'attempt_fits_its_link', count(*), min(format('attempt %s', t.id))
      FROM attempt t LEFT JOIN link l ON l.merchant_id = t.merchant_id AND l.id = t.link_id
     WHERE l.customer_id IS DISTINCT FROM t.customer_id OR l.currency IS DISTINCT FROM t.currency;
    RETURN QUERY
    SELECT 'attempt_history_is_whole', count(*), min(format('attempt %s', coalesce(t.id, s.attempt_id)))
      FROM attempt t
      FULL JOIN (SELECT e.merchant_id, e.attempt_id, count(*) AS events, max(e.seq) AS newest,
                        (array_agg(e.state ORDER BY e.seq DESC))[1] AS state
                   FROM attempt_event e GROUP BY e.merchant_id, e.attempt_id) s
        ON s.merchant_id = t.merchant_id AND s.attempt_id = t.id
     WHERE s.events IS DISTINCT FROM t.event_count OR s.newest IS DISTINCT FROM t.event_count
        OR s.state IS DISTINCT FROM t.state;
    RETURN QUERY
    SELECT 'fences_guard_live_attempts', count(*),
           min(format('invoice %s, attempt %s', coalesce(f.invoice_id, w.invoice_id), coalesce(f.attempt_id, w.attempt_id)))
      FROM invoice_fence f
      FULL JOIN (SELECT t.merchant_id, li.invoice_id, t.id AS attempt_id
                   FROM attempt t JOIN link_invoice li ON li.merchant_id = t.merchant_id AND li.link_id = t.link_id
                  WHERE t.state IN ('charging', 'action_required', 'unknown')) w
        ON w.merchant_id = f.merchant_id AND w.invoice_id = f.invoice_id AND w.attempt_id = f.attempt_id
     WHERE f.attempt_id IS NULL OR w.attempt_id IS NULL;
END
$$;
COMMENT ON FUNCTION paylink.verify_attempts() IS 'Checks of attempts and fences: name, how many are wrong, one example.';

CREATE OR REPLACE FUNCTION paylink.verify_guards() RETURNS TABLE (name text, wrong bigint, example text)
    LANGUAGE plpgsql STABLE
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT 'guards_are_in_place', count(*), min(format('%s on %s', g.trigger_name, g.table_name))
      FROM (VALUES ('currency', 'currency_immutable'), ('audit', 'audit_immutable'),
                   ('invoice_revision', 'invoice_revision_immutable'), ('invoice_line', 'invoice_line_immutable'),
                   ('link_invoice', 'link_invoice_immutable'), ('account', 'account_immutable'),
                   ('journal', 'journal_immutable'), ('entry', 'entry_immutable'), ('entry', 'entry_balanced'),
                   ('allocation', 'allocation_immutable'), ('invoice', 'invoice_stays'), ('link', 'link_stays'),
                   ('payment', 'payment_stays'), ('credit', 'credit_stays'), ('refund', 'refund_stays'),
                   ('attempt', 'attempt_moves_legally'),
                   ('attempt', 'attempt_stays'), ('attempt_event', 'attempt_event_immutable'))
           AS g (table_name, trigger_name)
     WHERE NOT EXISTS (SELECT FROM pg_trigger t
                        WHERE t.tgrelid = ('paylink.' || g.table_name)::regclass AND t.tgname = g.trigger_name
                          AND t.tgenabled IN ('O', 'A'));
    RETURN QUERY
    SELECT 'tenants_are_separated', count(*), min(c.relname::text)
      FROM pg_class c
     WHERE c.relnamespace = 'paylink'::regnamespace AND c.relkind = 'r'
       AND (c.relname = 'merchant' OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'merchant_id'))
       AND NOT (c.relrowsecurity AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid));
END
$$;
COMMENT ON FUNCTION paylink.verify_guards() IS
    'Checks that triggers and row-level security are there and on: name, how many are missing, one example.';

CREATE OR REPLACE FUNCTION paylink.verify_backlog() RETURNS TABLE (name text, wrong bigint, example text)
    LANGUAGE plpgsql STABLE
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT 'outbox_moves', count(*), format('the oldest waits since %s', time_text(min(o.created_at)))
      FROM outbox o WHERE o.created_at < now() - interval '15 minutes';
    RETURN QUERY
    SELECT 'refunds_move', count(*), format('the oldest is pending since %s', time_text(min(r.created_at)))
      FROM refund r WHERE r.state = 'pending' AND r.created_at < now() - interval '1 day';
    RETURN QUERY
    SELECT 'attempts_need_no_attention', count(*), min(format('attempt %s: %s', t.id, t.attention))
      FROM attempt t WHERE t.attention IS NOT NULL;
END
$$;
COMMENT ON FUNCTION paylink.verify_backlog() IS 'What is not wrong but should be looked at: name, how many, one example.';

CREATE OR REPLACE FUNCTION paylink.verify() RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_agg(jsonb_build_object(
                   'check', c.name,
                   'ok', c.wrong = 0 OR c.warning,
                   'warning', c.warning AND c.wrong > 0,
                   'detail', CASE WHEN c.wrong = 0 THEN ''
                                  ELSE format('%s%s: %s', c.wrong, CASE WHEN c.warning THEN '' ELSE ' wrong' END, c.example) END)
                   ORDER BY c.part, c.n)
          FROM (SELECT 1 AS part, v.*, false AS warning FROM verify_journals() WITH ORDINALITY AS v (name, wrong, example, n)
                 UNION ALL
                SELECT 2, v.*, false FROM verify_balances() WITH ORDINALITY AS v (name, wrong, example, n)
                 UNION ALL
                SELECT 3, v.*, false FROM verify_invoices() WITH ORDINALITY AS v (name, wrong, example, n)
                 UNION ALL
                SELECT 4, v.*, false FROM verify_links() WITH ORDINALITY AS v (name, wrong, example, n)
                 UNION ALL
                SELECT 5, v.*, false FROM verify_payments() WITH ORDINALITY AS v (name, wrong, example, n)
                 UNION ALL
                SELECT 6, v.*, false FROM verify_attempts() WITH ORDINALITY AS v (name, wrong, example, n)
                 UNION ALL
                SELECT 7, v.*, false FROM verify_guards() WITH ORDINALITY AS v (name, wrong, example, n)
                 UNION ALL
                SELECT 8, v.*, true FROM verify_backlog() WITH ORDINALITY AS v (name, wrong, example, n)) c);
END
$$;
COMMENT ON FUNCTION paylink.verify() IS
    'Recomputes every invariant that PostgreSQL alone can check, all of one moment: [{check, ok, warning, detail}]. '
    'detail names how many are wrong and one example; a warning (ok stays true) is a backlog or something for a person.';

REVOKE ALL ON FUNCTION paylink.verify_attempts(), paylink.verify_guards(), paylink.verify_backlog(), paylink.verify()
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION paylink.verify() TO paylink_operator, paylink_worker;

RESET ROLE;
