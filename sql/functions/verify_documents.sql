-- verify, second part: invoices, links, payments, credits, refunds against what explains them.

SET ROLE paylink_owner;

CREATE OR REPLACE FUNCTION paylink.verify_invoices() RETURNS TABLE (name text, wrong bigint, example text)
    LANGUAGE plpgsql STABLE
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT 'invoice_lines_add_up', count(*), min(format('invoice %s', i.id))
      FROM invoice i
      LEFT JOIN (SELECT r.merchant_id, r.invoice_id, r.revision, r.total_minor, sum(l.total_minor) AS lines_minor
                   FROM invoice_revision r
                   LEFT JOIN invoice_line l ON l.merchant_id = r.merchant_id AND l.invoice_id = r.invoice_id
                                           AND l.revision = r.revision
                  GROUP BY r.merchant_id, r.invoice_id, r.revision, r.total_minor) s
        ON s.merchant_id = i.merchant_id AND s.invoice_id = i.id AND s.revision = i.revision
     WHERE s.total_minor IS DISTINCT FROM i.total_minor OR s.lines_minor IS DISTINCT FROM i.total_minor;
    RETURN QUERY
    SELECT 'invoice_paid_is_allocated', count(*),
           min(format('invoice %s: %s paid, %s allocated', i.id, i.paid_minor, coalesce(s.allocated_minor, 0)))
      FROM invoice i
      LEFT JOIN (SELECT a.merchant_id, a.invoice_id, sum(a.amount_minor) AS allocated_minor FROM allocation a
                  GROUP BY a.merchant_id, a.invoice_id) s
        ON s.merchant_id = i.merchant_id AND s.invoice_id = i.id
     WHERE i.paid_minor <> coalesce(s.allocated_minor, 0);
    RETURN QUERY
    SELECT 'invoice_is_posted', count(*), min(format('invoice %s: %s posted', i.id, coalesce(s.posted_minor, 0)))
      FROM invoice i
      LEFT JOIN (SELECT j.merchant_id, j.document_id, sum(e.amount_minor) AS posted_minor
                   FROM journal j
                   JOIN entry e ON e.merchant_id = j.merchant_id AND e.journal_id = j.id
                  WHERE j.kind IN ('invoice', 'invoice_change', 'invoice_void') AND e.account = 'receivable'
                  GROUP BY j.merchant_id, j.document_id) s
        ON s.merchant_id = i.merchant_id AND s.document_id = i.id
     WHERE coalesce(s.posted_minor, 0) <> CASE i.state WHEN 'void' THEN i.paid_minor ELSE i.total_minor END;
END
$$;
COMMENT ON FUNCTION paylink.verify_invoices() IS 'Checks of invoices: name, how many are wrong, one example.';

CREATE OR REPLACE FUNCTION paylink.verify_links() RETURNS TABLE (name text, wrong bigint, example text)
    LANGUAGE plpgsql STABLE
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT 'link_has_one_customer', count(*), min(format('link %s…', left(l.id::text, 8)))
      FROM link l
      LEFT JOIN (SELECT li.merchant_id, li.link_id, count(DISTINCT (i.customer_id, i.currency)) AS kinds,
                        min(i.customer_id::text) AS customer, min(i.currency) AS currency
                   FROM link_invoice li
                   LEFT JOIN invoice i ON i.merchant_id = li.merchant_id AND i.id = li.invoice_id
                  GROUP BY li.merchant_id, li.link_id) s
        ON s.merchant_id = l.merchant_id AND s.link_id = l.id
     WHERE s.kinds IS DISTINCT FROM 1 OR s.customer IS DISTINCT FROM l.customer_id::text
        OR s.currency IS DISTINCT FROM l.currency;
    RETURN QUERY
    SELECT 'link_version_only_grows', count(*),
           min(format('link %s… is at %s, %s was charged', left(l.id::text, 8), l.version_base + s.changes, t.version))
      FROM link l
      LEFT JOIN (SELECT li.merchant_id, li.link_id, sum(i.change_count) AS changes
                   FROM link_invoice li JOIN invoice i ON i.merchant_id = li.merchant_id AND i.id = li.invoice_id
                  GROUP BY li.merchant_id, li.link_id) s
        ON s.merchant_id = l.merchant_id AND s.link_id = l.id
      LEFT JOIN (SELECT x.merchant_id, x.link_id, max(x.version) AS version FROM attempt x WHERE x.state <> 'refused'
                  GROUP BY x.merchant_id, x.link_id) t
        ON t.merchant_id = l.merchant_id AND t.link_id = l.id
     WHERE s.changes IS NULL OR l.version_base + s.changes < greatest(1, t.version);
    RETURN QUERY
    SELECT 'one_link_per_open_invoice', count(*), min(format('invoice %s has %s', s.invoice_id, s.links))
      FROM (SELECT li.invoice_id, count(*) AS links
              FROM link_invoice li JOIN link l ON l.merchant_id = li.merchant_id AND l.id = li.link_id
              JOIN invoice i ON i.merchant_id = li.merchant_id AND i.id = li.invoice_id
             WHERE l.closed IS NULL AND i.state = 'open'
             GROUP BY li.merchant_id, li.invoice_id HAVING count(*) > 1) s;
END
$$;
COMMENT ON FUNCTION paylink.verify_links() IS 'Checks of links: name, how many are wrong, one example.';

CREATE OR REPLACE FUNCTION paylink.verify_payments() RETURNS TABLE (name text, wrong bigint, example text)
    LANGUAGE plpgsql STABLE
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT 'applied_is_allocated', count(*), min(format('%s %s: %s applied, %s allocated', d.what, d.id, d.applied_minor,
                                                        coalesce(s.allocated_minor, 0)))
      FROM (SELECT 'payment' AS what, p.merchant_id, p.id, p.applied_minor FROM payment p
             UNION ALL
            SELECT 'credit', c.merchant_id, c.id, c.applied_minor FROM credit c) d
      LEFT JOIN (SELECT a.merchant_id, a.source_id, sum(a.amount_minor) AS allocated_minor FROM allocation a
                  GROUP BY a.merchant_id, a.source_id) s
        ON s.merchant_id = d.merchant_id AND s.source_id = d.id
     WHERE d.applied_minor <> coalesce(s.allocated_minor, 0);
    RETURN QUERY
    SELECT 'allocation_fits', count(*), min(format('allocation of %s to invoice %s', a.source_id, a.invoice_id))
      FROM allocation a
      LEFT JOIN (SELECT p.merchant_id, p.id, p.customer_id, p.currency FROM payment p
                  UNION ALL
                 SELECT c.merchant_id, c.id, c.customer_id, c.currency FROM credit c) d
        ON d.merchant_id = a.merchant_id AND d.id = a.source_id
      LEFT JOIN invoice i ON i.merchant_id = a.merchant_id AND i.id = a.invoice_id
     WHERE d.customer_id IS DISTINCT FROM i.customer_id OR d.currency IS DISTINCT FROM i.currency OR d.id IS NULL;
    RETURN QUERY
    SELECT 'allocation_is_posted', count(*), min(format('journal %s', coalesce(s.journal_id, e.journal_id)))
      FROM (SELECT a.merchant_id, a.journal_id, sum(a.amount_minor) AS allocated_minor FROM allocation a
             GROUP BY a.merchant_id, a.journal_id) s
      FULL JOIN (SELECT j.merchant_id, j.id AS journal_id, -sum(x.amount_minor) AS posted_minor
                   FROM journal j
                   JOIN entry x ON x.merchant_id = j.merchant_id AND x.journal_id = j.id
                  WHERE j.kind IN ('payment', 'application') AND x.account = 'receivable'
                  GROUP BY j.merchant_id, j.id) e
        ON e.merchant_id = s.merchant_id AND e.journal_id = s.journal_id
     WHERE s.allocated_minor IS DISTINCT FROM e.posted_minor;
    RETURN QUERY
    SELECT 'payment_is_posted_once', count(*), min(format('payment %s has %s journals', p.id, coalesce(s.journals, 0)))
      FROM payment p
      LEFT JOIN (SELECT j.merchant_id, j.document_id, count(DISTINCT j.id) AS journals, sum(e.amount_minor) AS debit_minor
                   FROM journal j JOIN entry e ON e.merchant_id = j.merchant_id AND e.journal_id = j.id
                  WHERE j.kind = 'payment' AND e.amount_minor > 0
                  GROUP BY j.merchant_id, j.document_id) s
        ON s.merchant_id = p.merchant_id AND s.document_id = p.id
     WHERE s.journals IS DISTINCT FROM 1 OR s.debit_minor IS DISTINCT FROM p.amount_minor;
    RETURN QUERY
    SELECT 'gateway_capture_booked_once', count(*), min(format('%s is booked %s times', s.gateway_ref, s.times))
      FROM (SELECT p.gateway_ref, count(*) AS times FROM payment p WHERE p.gateway_ref IS NOT NULL
             GROUP BY p.gateway_ref HAVING count(*) > 1) s;
    RETURN QUERY
    SELECT 'refunds_within_payment', count(*),
           min(format('payment %s: %s refunded by its refunds, %s by itself, of %s', p.id, coalesce(s.refunded_minor, 0),
                      p.refunded_minor, p.amount_minor))
      FROM payment p
      LEFT JOIN (SELECT r.merchant_id, r.payment_id, sum(r.amount_minor) AS refunded_minor,
                        sum(r.from_unapplied_minor) AS unapplied_minor
                   FROM refund r WHERE r.state <> 'failed' GROUP BY r.merchant_id, r.payment_id) s
        ON s.merchant_id = p.merchant_id AND s.payment_id = p.id
     WHERE p.refunded_minor <> coalesce(s.refunded_minor, 0) OR coalesce(s.refunded_minor, 0) > p.amount_minor
        OR p.refunded_unapplied_minor <> coalesce(s.unapplied_minor, 0);
    RETURN QUERY
    SELECT 'refund_is_posted', count(*), min(format('refund %s (%s) has journals %s', r.id, r.state, s.kinds))
      FROM refund r
      LEFT JOIN (SELECT j.merchant_id, j.refund_id,
                        string_agg(replace(j.kind::text, 'refund_', ''), ',' ORDER BY j.posted_at, j.id) AS kinds
                   FROM journal j WHERE j.refund_id IS NOT NULL GROUP BY j.merchant_id, j.refund_id) s
        ON s.merchant_id = r.merchant_id AND s.refund_id = r.id
     WHERE coalesce(s.kinds, '') <> ALL (CASE r.state
               WHEN 'pending' THEN ARRAY['reserve']
               WHEN 'succeeded' THEN ARRAY['reserve,succeeded']
               ELSE ARRAY['reserve,failed', 'reserve,succeeded,failed'] END);
END
$$;
COMMENT ON FUNCTION paylink.verify_payments() IS
    'Checks of payments, credits, allocations and refunds: name, how many are wrong, one example.';

REVOKE ALL ON FUNCTION paylink.verify_invoices(), paylink.verify_links(), paylink.verify_payments() FROM PUBLIC;

RESET ROLE;
