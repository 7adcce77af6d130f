-- What is published of links and attempts: raw facts of one moment. Wording, money formats and languages are
-- the publisher's business.

SET ROLE paylink_owner;

DROP FUNCTION IF EXISTS paylink.link_rows(uuid, uuid), paylink.link_receipt(uuid, uuid), paylink.link_title(text[]);

-- These two are inlined into link_snapshot: called, they would cost more than what they look up. OFFSET 0: every look-up
-- by the whole key, see attempt_register.sql.
CREATE OR REPLACE FUNCTION paylink.snapshot_rows(merchant uuid, of_link uuid) RETURNS SETOF jsonb
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT jsonb_agg(jsonb_build_object(
               'number', i.number, 'description', d.description, 'due_date', i.due_date,
               'total_minor', i.total_minor, 'due_minor', i.due_minor, 'paid_minor', i.paid_minor, 'state', i.state)
               ORDER BY li.position)
      FROM paylink.link_invoice li
     CROSS JOIN LATERAL (
           SELECT x.id, x.number, x.due_date, x.total_minor, x.due_minor, x.paid_minor, x.state, x.revision
             FROM paylink.invoice x
            WHERE x.merchant_id = li.merchant_id AND x.id = li.invoice_id
           OFFSET 0) i
     CROSS JOIN LATERAL (
           SELECT min(l.description) FILTER (WHERE l.line = 1)
                  || CASE WHEN count(*) > 1 THEN ' + ' || count(*) - 1 ELSE '' END AS description
             FROM paylink.invoice_line l
            WHERE l.merchant_id = li.merchant_id AND l.invoice_id = i.id AND l.revision = i.revision) d
     WHERE li.merchant_id = merchant AND li.link_id = of_link;
END;
COMMENT ON FUNCTION paylink.snapshot_rows(uuid, uuid) IS
    'The invoices of a link in order: [{number, description (first line, "+ n" for n more), due_date, total_minor, due_minor, '
    'paid_minor, state}]';

CREATE OR REPLACE FUNCTION paylink.snapshot_receipt(merchant uuid, of_link uuid) RETURNS TABLE (
    created_at timestamptz, source_id uuid, method text, card_brand text, card_last4 text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT s.created_at, s.source_id, s.method, s.card_brand, s.card_last4
      FROM (SELECT a.created_at, a.source_id, coalesce(p.method, c.kind) AS method, NULL::text AS card_brand,
                   NULL::text AS card_last4
              FROM paylink.link_invoice li
             CROSS JOIN LATERAL (
                   SELECT x.merchant_id, x.created_at, x.source_id, x.payment_id, x.credit_id
                     FROM paylink.allocation x
                    WHERE x.merchant_id = li.merchant_id AND x.invoice_id = li.invoice_id AND x.journal_id <> x.source_id
                   OFFSET 0) a
              LEFT JOIN LATERAL (
                   SELECT x.method FROM paylink.payment x WHERE x.merchant_id = a.merchant_id AND x.id = a.payment_id
                   OFFSET 0) p ON true
              LEFT JOIN LATERAL (
                   SELECT x.kind FROM paylink.credit x WHERE x.merchant_id = a.merchant_id AND x.id = a.credit_id
                   OFFSET 0) c ON true
             WHERE li.merchant_id = merchant AND li.link_id = of_link
             UNION ALL
            SELECT p.created_at, p.id, p.method, t.card_brand, t.card_last4
              FROM paylink.link_invoice mine
             CROSS JOIN LATERAL (
                   SELECT x.merchant_id, x.link_id
                     FROM paylink.link_invoice x
                    WHERE x.merchant_id = mine.merchant_id AND x.invoice_id = mine.invoice_id
                   OFFSET 0) li
             CROSS JOIN LATERAL (
                   SELECT x.merchant_id, x.id, x.card_brand::text, x.card_last4::text
                     FROM paylink.attempt x
                    WHERE x.merchant_id = li.merchant_id AND x.link_id = li.link_id AND x.state = 'captured'
                   OFFSET 0) t
             CROSS JOIN LATERAL (
                   SELECT x.created_at, x.id, x.method
                     FROM paylink.payment x
                    WHERE x.merchant_id = t.merchant_id AND x.id = t.id AND x.applied_minor > 0
                   OFFSET 0) p
             WHERE mine.merchant_id = merchant AND mine.link_id = of_link) s
     ORDER BY s.created_at DESC, s.source_id DESC
     LIMIT 1;
END;
COMMENT ON FUNCTION paylink.snapshot_receipt(uuid, uuid) IS
    'The newest money applied to the link''s invoices, if any.';

CREATE OR REPLACE FUNCTION paylink.link_snapshot(ids jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(
                   CASE WHEN l.id IS NULL
                        THEN jsonb_build_object('link', w.hex, 'state', 'absent', 'version', 1)
                        ELSE jsonb_build_object(
                            'link', w.hex, 'merchant_id', l.merchant_id,
                            'state', CASE WHEN s.state = 'active' AND NOT m.links_on THEN 'disabled' ELSE s.state END, 'version', s.version,
                            'opened_ms', time_ms(l.opened_at), 'expires_ms', time_ms(l.opened_at) + l.lifetime_ms,
                            'ceiling_ms', time_ms(l.ceiling_at), 'lifetime_ms', l.lifetime_ms,
                            'due_minor', s.due_minor, 'currency', l.currency, 'merchant', m.name, 'customer', c.name, 'email_masked', c.email_masked,
                            'numbers', s.numbers, 'due_date', s.due_date,
                            'rows', i.rows, 'paid_minor', s.paid_minor,
                            'choose', m.choose_invoices, 'partial_min_minor', m.partial_min_minor,
                            'overpay', s.state = 'paid' AND m.when_paid_elsewhere = 'overpayment'
                                       AND link_paid_elsewhere(l.merchant_id, l.id),
                            'overpay_minor', coalesce(s.payable_minor, s.due_minor),
                            'lang', coalesce(c.locale, m.locale), 'lang_set', c.locale IS NOT NULL, 'account', m.gateway_account,
                            'brand_css', hex_of(m.brand_css), 'brand_integrity', brand_integrity(m.id, m.brand_css),
                            'brand_logo', hex_of(m.brand_logo),
                            'paid_at_ms', time_ms(r.created_at), 'receipt_number', receipt_number(r.source_id),
                            'paid_method', r.method, 'card_brand', r.card_brand, 'card_last4', r.card_last4)
                   END ORDER BY w.n), '[]')
          FROM jsonb_array_elements_text(ids) WITH ORDINALITY AS w (hex, n)
          LEFT JOIN link l ON l.id = ANY (ARRAY[w.hex::uuid])
          LEFT JOIN LATERAL (
               SELECT x.* FROM link_status x WHERE x.merchant_id = l.merchant_id AND x.id = l.id OFFSET 0) s ON true
          LEFT JOIN LATERAL snapshot_rows(l.merchant_id, l.id) AS i (rows) ON true
          LEFT JOIN LATERAL (
               SELECT x.* FROM snapshot_receipt(l.merchant_id, l.id) x WHERE s.state = 'paid') r ON true
          LEFT JOIN merchant m ON m.id = ANY (ARRAY[l.merchant_id])
          LEFT JOIN LATERAL (
               SELECT x.name, x.locale, email_masked(x.email) AS email_masked FROM customer x WHERE x.merchant_id = l.merchant_id AND x.id = l.customer_id
               OFFSET 0) c ON true);
END
$$;
COMMENT ON FUNCTION paylink.link_snapshot(jsonb) IS
    'ids [hex …] → in the same order [{link, merchant_id, state, version, opened_ms, expires_ms, ceiling_ms, lifetime_ms, '
    'due_minor, currency, merchant, customer, email_masked, numbers [of its invoices], due_date, rows: snapshot_rows, paid_minor, '
    'choose (payers may choose invoices), partial_min_minor (null: all or nothing), '
    'paid_at_ms, paid_method, receipt_number, card_brand, card_last4, overpay (boolean), overpay_minor, lang, '
    'lang_set (its customer has chosen it), account, '
    'brand_css, brand_logo (names), brand_integrity}]; an unknown id → {link, '
    'state: absent, version: 1}. '
    'All of one moment, so that version and totals belong together. state never says expired: the clock is the reader''s.';

CREATE OR REPLACE FUNCTION paylink.attempt_snapshot(ids jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(
                   CASE WHEN t.id IS NULL
                        THEN jsonb_build_object('attempt', w.id, 'state', 'absent')
                        ELSE jsonb_build_object(
                            'attempt', t.id, 'link', hex_of(t.link_id), 'merchant_id', t.merchant_id, 'state', t.state,
                            'version', t.version, 'amount_minor', coalesce(t.captured_minor, t.amount_minor),
                            'currency', t.currency, 'reason', t.reason, 'action_url', t.action_url,
                            'receipt_number', receipt_number(p.id), 'paid_at_ms', time_ms(p.created_at),
                            'at_ms', time_ms(t.submitted_at), 'card_brand', t.card_brand, 'card_last4', t.card_last4,
                            'merchant', m.name, 'numbers', i.numbers,
                            'brand_css', hex_of(m.brand_css), 'brand_integrity', brand_integrity(m.id, m.brand_css),
                            'brand_logo', hex_of(m.brand_logo),
                            'overpaid_minor', p.amount_minor - p.applied_minor,
                            'left_minor', CASE WHEN t.state = 'captured' THEN s.due_minor END,
                            'lang', coalesce(c.locale, t.lang, m.locale))
                   END ORDER BY w.n), '[]')
          FROM jsonb_array_elements_text(ids) WITH ORDINALITY AS w (id, n)
          LEFT JOIN attempt t ON t.id = ANY (ARRAY[w.id::uuid])
          LEFT JOIN merchant m ON m.id = ANY (ARRAY[t.merchant_id])
          LEFT JOIN LATERAL (
               SELECT x.locale FROM customer x WHERE x.merchant_id = t.merchant_id AND x.id = t.customer_id OFFSET 0) c ON true
          LEFT JOIN LATERAL (
               SELECT x.id, x.created_at, x.amount_minor, x.applied_minor
                 FROM payment x
                WHERE x.merchant_id = t.merchant_id AND x.id = t.id
               OFFSET 0) p ON true
          LEFT JOIN LATERAL (
               SELECT x.due_minor FROM link_status x
                WHERE x.merchant_id = t.merchant_id AND x.id = t.link_id
                  AND (m.choose_invoices OR m.partial_min_minor IS NOT NULL)
               OFFSET 0) s ON true
          LEFT JOIN LATERAL (
               SELECT array_agg(x.number ORDER BY li.position) AS numbers
                 FROM link_invoice li
                CROSS JOIN LATERAL (
                      SELECT y.number::text FROM invoice y WHERE y.merchant_id = li.merchant_id AND y.id = li.invoice_id
                      OFFSET 0) x
                WHERE li.merchant_id = t.merchant_id AND li.link_id = t.link_id) i ON true);
END
$$;
COMMENT ON FUNCTION paylink.attempt_snapshot(jsonb) IS
    'ids [uuid …] → in the same order [{attempt, link (hex), merchant_id, state, version, amount_minor (captured, else asked '
    'for), currency, reason, action_url, receipt_number, paid_at_ms, at_ms, card_brand, card_last4, merchant, numbers, '
    'overpaid_minor, left_minor (captured, where payers may pay a part: what is still due on its link), lang, brand_css, brand_integrity, brand_logo}]; an unknown id → {attempt, state: absent}.';

CREATE OR REPLACE FUNCTION paylink.link_page(after text, row_limit integer) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off
AS $$
DECLARE
    from_id uuid := coalesce(nullif(after, ''), '00000000000000000000000000000000')::uuid;
BEGIN
    RETURN (SELECT coalesce(jsonb_agg(hex_of(s.id) ORDER BY s.id), '[]')
              FROM (SELECT l.id
                      FROM link l
                     WHERE l.id > from_id
                       AND link_end(l) > now() - interval '7 days'
                     ORDER BY l.id
                     LIMIT greatest(row_limit, 1)) s);
END
$$;
COMMENT ON FUNCTION paylink.link_page(text, integer) IS
    'The next page of link ids (hex, ascending, after the given one or null) that payers may still ask for: all but those '
    'that ended more than seven days ago. An empty array ends the walk.';

REVOKE ALL ON FUNCTION paylink.snapshot_rows(uuid, uuid), paylink.snapshot_receipt(uuid, uuid),
    paylink.link_snapshot(jsonb), paylink.attempt_snapshot(jsonb), paylink.link_page(text, integer)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION paylink.link_snapshot(jsonb), paylink.attempt_snapshot(jsonb), paylink.link_page(text, integer)
    TO paylink_worker, paylink_operator;

RESET ROLE;
