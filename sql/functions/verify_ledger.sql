-- verify, first part: the books by themselves, and every balance recomputed from the documents.

SET ROLE paylink_owner;

CREATE OR REPLACE FUNCTION paylink.verify_journals() RETURNS TABLE (name text, wrong bigint, example text)
    LANGUAGE plpgsql STABLE
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT 'journals_balance', count(*), min(format('journal %s is off by %s %s', s.journal_id, s.off_minor, s.currency))
      FROM (SELECT e.merchant_id, e.journal_id, e.currency, sum(e.amount_minor) AS off_minor
              FROM entry e GROUP BY e.merchant_id, e.journal_id, e.currency
            HAVING sum(e.amount_minor) <> 0) s;
    RETURN QUERY
    SELECT 'ledger_sums_to_zero', count(*), min(format('%s is off by %s', s.currency, s.off_minor))
      FROM (SELECT e.currency, sum(e.amount_minor) AS off_minor FROM entry e GROUP BY e.currency
            HAVING sum(e.amount_minor) <> 0) s;
    RETURN QUERY
    SELECT 'journals_are_whole', count(*), min(format('journal %s has %s entries', s.id, s.entries))
      FROM (SELECT coalesce(j.id, e.journal_id) AS id, j.id IS NULL AS orphaned, coalesce(e.entries, 0) AS entries
              FROM journal j
              FULL JOIN (SELECT x.merchant_id, x.journal_id, count(*) AS entries FROM entry x
                          GROUP BY x.merchant_id, x.journal_id) e
                ON e.merchant_id = j.merchant_id AND e.journal_id = j.id) s
     WHERE s.orphaned OR s.entries < 2;
    RETURN QUERY
    SELECT 'entries_have_customers', count(*), min(format('journal %s line %s', e.journal_id, e.line))
      FROM entry e
      LEFT JOIN customer c ON c.merchant_id = e.merchant_id AND c.id = e.customer_id
     WHERE e.customer_id IS NOT NULL AND c.id IS NULL OR NOT EXISTS (SELECT FROM currency y WHERE y.code = e.currency);
    RETURN QUERY
    SELECT 'journals_have_documents', count(*), min(format('journal %s (%s) explains nothing', j.id, j.kind))
      FROM journal j
      LEFT JOIN invoice i ON j.kind IN ('invoice', 'invoice_change', 'invoice_void') AND i.merchant_id = j.merchant_id
                         AND i.id = j.document_id
      LEFT JOIN payment p ON j.kind IN ('payment', 'refund_reserve', 'refund_succeeded', 'refund_failed')
                         AND p.merchant_id = j.merchant_id AND p.id = j.document_id
      LEFT JOIN credit c ON j.kind IN ('credit', 'application') AND c.merchant_id = j.merchant_id AND c.id = j.document_id
     WHERE num_nonnulls(i.id, p.id, c.id) <> 1;
END
$$;
COMMENT ON FUNCTION paylink.verify_journals() IS
    'Checks of journals and entries: name, how many are wrong, one example.';

CREATE OR REPLACE FUNCTION paylink.expected_balances() RETURNS TABLE (
    merchant_id uuid, kind paylink.account_kind, currency text, customer_id uuid, balance_minor numeric)
    LANGUAGE sql STABLE
    SET search_path = paylink, pg_temp
AS $$
    SELECT i.merchant_id, 'receivable'::account_kind, i.currency, i.customer_id, sum(i.due_minor)
      FROM invoice i GROUP BY 1, 2, 3, 4
    UNION ALL
    SELECT i.merchant_id, 'revenue'::account_kind, i.currency, NULL::uuid,
           -sum(CASE i.state WHEN 'void' THEN i.paid_minor ELSE i.total_minor END)
      FROM invoice i GROUP BY 1, 2, 3, 4
    UNION ALL
    SELECT u.merchant_id, 'unapplied'::account_kind, u.currency, u.customer_id, -sum(u.unapplied_minor)
      FROM (SELECT p.merchant_id, p.currency, p.customer_id, p.unapplied_minor FROM payment p
             UNION ALL
            SELECT c.merchant_id, c.currency, c.customer_id, c.unapplied_minor FROM credit c) u
     GROUP BY 1, 2, 3, 4
    UNION ALL
    SELECT m.merchant_id, m.kind, m.currency, NULL::uuid, sum(m.amount_minor)
      FROM (SELECT p.merchant_id, cash_account(p.method, p.attempt_id IS NOT NULL) AS kind, p.currency,
                   p.amount_minor::numeric AS amount_minor
              FROM payment p
             UNION ALL
            SELECT r.merchant_id, cash_account(p.method, p.attempt_id IS NOT NULL), r.currency, -r.amount_minor::numeric
              FROM refund r JOIN payment p ON p.merchant_id = r.merchant_id AND p.id = r.payment_id
             WHERE r.state = 'succeeded'
             UNION ALL
            SELECT c.merchant_id, CASE c.kind WHEN 'credit' THEN 'credits_issued' ELSE 'bank' END::account_kind, c.currency,
                   c.amount_minor
              FROM credit c
             UNION ALL
            SELECT r.merchant_id, 'refunds'::account_kind, r.currency, r.amount_minor - r.from_unapplied_minor
              FROM refund r WHERE r.state <> 'failed'
             UNION ALL
            SELECT r.merchant_id, 'refunds_payable'::account_kind, r.currency, -r.amount_minor
              FROM refund r WHERE r.state = 'pending') m
     GROUP BY 1, 2, 3, 4
$$;
COMMENT ON FUNCTION paylink.expected_balances() IS
    'What every account ought to contain, from the documents alone: invoices, payments, credits, refunds.';

CREATE OR REPLACE FUNCTION paylink.verify_balances() RETURNS TABLE (name text, wrong bigint, example text)
    LANGUAGE plpgsql STABLE
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH posted AS (
        SELECT e.merchant_id, e.account AS kind, e.currency, e.customer_id, sum(e.amount_minor) AS balance_minor
          FROM entry e
         GROUP BY 1, 2, 3, 4
    ), off AS (
        SELECT coalesce(p.kind, x.kind) AS kind, coalesce(p.currency, x.currency) AS currency,
               coalesce(p.merchant_id, x.merchant_id) AS merchant_id, coalesce(p.balance_minor, 0) AS posted_minor,
               coalesce(x.balance_minor, 0) AS expected_minor
          FROM posted p
          FULL JOIN expected_balances() x
            ON x.merchant_id = p.merchant_id AND x.kind = p.kind AND x.currency = p.currency
           AND coalesce(x.customer_id, x.merchant_id) = coalesce(p.customer_id, p.merchant_id)
         WHERE coalesce(p.balance_minor, 0) <> coalesce(x.balance_minor, 0)
    )
    SELECT 'balance_' || k.kind, count(o.kind),
           min(format('merchant %s: %s posted, %s expected (%s)', o.merchant_id, o.posted_minor, o.expected_minor, o.currency))
      FROM account k
      LEFT JOIN off o ON o.kind = k.kind
     GROUP BY k.kind
     ORDER BY k.kind;
END
$$;
COMMENT ON FUNCTION paylink.verify_balances() IS
    'Every balance, recomputed from the documents and compared with the entries, one check per kind of account.';

REVOKE ALL ON FUNCTION paylink.verify_journals(), paylink.expected_balances(), paylink.verify_balances() FROM PUBLIC;

RESET ROLE;
