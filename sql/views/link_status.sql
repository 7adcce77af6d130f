-- What a link is worth at this moment. Derived from its invoices; nothing of it is stored.

SET ROLE paylink_owner;

CREATE OR REPLACE VIEW paylink.link_status WITH (security_invoker = true) AS
SELECT l.merchant_id, l.id,
       CASE WHEN l.closed IS NOT NULL THEN l.closed
            WHEN s.live_count = 0 THEN 'void'
            WHEN s.due_minor = 0 THEN 'paid'
            ELSE 'active' END AS state,
       l.version_base + s.change_count AS version,
       s.due_minor, s.paid_minor, s.payable_minor, s.numbers, s.due_date
  FROM paylink.link l
 CROSS JOIN LATERAL (
       SELECT sum(i.due_minor)::bigint AS due_minor, sum(i.paid_minor)::bigint AS paid_minor,
              sum(i.change_count)::bigint AS change_count, count(*) FILTER (WHERE i.voided_at IS NULL) AS live_count,
              sum(i.prior_due_minor) FILTER (WHERE i.paid_at = i.last_paid_at)::bigint AS payable_minor,
              array_agg(i.number::text ORDER BY i.position) AS numbers, min(i.due_date) AS due_date
         FROM (SELECT x.*, li.position, max(x.paid_at) OVER () AS last_paid_at
                 FROM paylink.link_invoice li
                CROSS JOIN LATERAL (SELECT y.* FROM paylink.invoice y -- OFFSET 0: by the whole key, see attempt_register
                                     WHERE y.merchant_id = li.merchant_id AND y.id = li.invoice_id OFFSET 0) x
                WHERE li.merchant_id = l.merchant_id AND li.link_id = l.id) i) s;
COMMENT ON VIEW paylink.link_status IS
    'state: replaced and revoked are final; void: all its invoices are; paid: nothing is due and not all are void; else '
    'active ("expired" is a matter of the clock). version: grows with every change of total or state. payable_minor: of a '
    'paid link, what was due before the change that paid it: the amount that an older page may still pay under '
    'when_paid_elsewhere = overpayment.';

REVOKE ALL ON paylink.link_status FROM PUBLIC;
GRANT SELECT ON paylink.link_status TO paylink_api;

RESET ROLE;
