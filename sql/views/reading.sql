-- The read API: what a merchant may see of itself. security_invoker, so that the reader's row-level security
-- applies: role paylink_api with the setting paylink.merchant_id.

SET ROLE paylink_owner;

CREATE OR REPLACE VIEW paylink.invoice_overview WITH (security_invoker = true) AS
SELECT i.merchant_id, i.id, i.number, i.customer_id, c.name AS customer, i.state, i.currency, y.exponent,
       i.total_minor::bigint AS total_minor, i.paid_minor::bigint AS paid_minor, i.due_minor, i.due_date, i.revision,
       i.created_at
  FROM paylink.invoice i
  JOIN paylink.customer c ON c.merchant_id = i.merchant_id AND c.id = i.customer_id
  JOIN paylink.currency y ON y.code = i.currency;
COMMENT ON VIEW paylink.invoice_overview IS 'Invoices with their customer and the digits of their currency; amounts in minor units.';

CREATE OR REPLACE VIEW paylink.payment_overview WITH (security_invoker = true) AS
SELECT p.merchant_id, p.id, p.customer_id, c.name AS customer, p.method, p.currency, p.amount_minor::bigint AS amount_minor,
       p.applied_minor::bigint AS applied_minor, p.unapplied_minor::bigint AS unapplied_minor,
       p.refunded_minor::bigint AS refunded_minor, (p.amount_minor - p.refunded_minor)::bigint AS refundable_minor,
       p.attempt_id, p.created_at
  FROM paylink.payment p
  JOIN paylink.customer c ON c.merchant_id = p.merchant_id AND c.id = p.customer_id;
COMMENT ON VIEW paylink.payment_overview IS 'Payments with what became of them; amounts in minor units.';

CREATE OR REPLACE VIEW paylink.account_balance WITH (security_invoker = true) AS
SELECT e.merchant_id, e.account, e.customer_id, e.currency, sum(e.amount_minor) AS balance_minor, count(*) AS entry_count
  FROM paylink.entry e
 GROUP BY e.merchant_id, e.account, e.customer_id, e.currency;
COMMENT ON VIEW paylink.account_balance IS 'Balance of every account that was posted to: the sum of its entries, debit positive.';

CREATE OR REPLACE VIEW paylink.link_overview WITH (security_invoker = true) AS
SELECT l.merchant_id, replace(l.id::text, '-', '') AS id, l.customer_id,
       CASE WHEN s.state = 'active' AND clock_timestamp() >= coalesce(
                     l.opened_at + make_interval(secs => l.lifetime_ms / 1000.0), l.ceiling_at)
            THEN 'expired' ELSE s.state END AS state,
       s.version, s.due_minor, l.currency, l.opened_at,
       l.opened_at + make_interval(secs => l.lifetime_ms / 1000.0) AS expires_at, l.ceiling_at, l.created_at
  FROM paylink.link l
  JOIN paylink.link_status s ON s.merchant_id = l.merchant_id AND s.id = l.id;
COMMENT ON VIEW paylink.link_overview IS 'Links with the state a payer would find by this machine''s clock.';

CREATE OR REPLACE VIEW paylink.live_attempt WITH (security_invoker = true) AS
SELECT t.merchant_id, t.id, t.link_id, t.state, t.amount_minor::bigint AS amount_minor, t.currency, t.created_at,
       t.next_check_at, t.attention
  FROM paylink.attempt t
 WHERE t.state IN ('charging', 'action_required', 'unknown') OR t.attention IS NOT NULL;
COMMENT ON VIEW paylink.live_attempt IS 'Attempts without a final result, and those a person should look at.';

REVOKE ALL ON paylink.invoice_overview, paylink.payment_overview, paylink.account_balance, paylink.link_overview,
    paylink.live_attempt FROM PUBLIC;
GRANT SELECT ON paylink.invoice_overview, paylink.payment_overview, paylink.account_balance, paylink.link_overview,
    paylink.live_attempt TO paylink_api;

RESET ROLE;
