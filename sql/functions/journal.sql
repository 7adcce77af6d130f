-- Posting to the books one event at a time. The settling of batches posts by itself, set-based, by the same
-- rules. Knows the accounts, not why an event happens.

SET ROLE paylink_owner;

CREATE OR REPLACE FUNCTION paylink.journal_post(
    merchant uuid, in_kind paylink.journal_kind, document uuid, refund text, customer uuid, in_currency text,
    accounts paylink.account_kind[], amounts_minor bigint[]) RETURNS uuid
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    journal uuid := uuid7();
BEGIN
    INSERT INTO journal (merchant_id, id, kind, document_id, refund_id)
    VALUES (merchant, journal, in_kind, document, refund);
    INSERT INTO entry (merchant_id, journal_id, line, account, customer_id, currency, amount_minor)
    SELECT merchant, journal, row_number() OVER (ORDER BY l.n), l.account,
           CASE WHEN l.account IN ('receivable', 'unapplied') THEN customer END, in_currency, l.amount_minor
      FROM unnest(accounts, amounts_minor) WITH ORDINALITY AS l (account, amount_minor, n)
     WHERE l.amount_minor <> 0;
    RETURN journal;
END
$$;
COMMENT ON FUNCTION paylink.journal_post(uuid, paylink.journal_kind, uuid, text, uuid, text, paylink.account_kind[], bigint[]) IS
    'Posts one journal: accounts[i] gets amounts_minor[i] (debit positive); zero amounts are left out. → journal id.';

CREATE OR REPLACE FUNCTION paylink.ledger_balances(merchant text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    wanted uuid := CASE WHEN merchant IS NOT NULL THEN uuid_arg(merchant, 'merchant') END;
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'merchant', s.merchant_id, 'account', concat_ws(':', s.account, s.customer_id, s.currency),
                   'kind', s.account, 'customer', s.customer_id, 'currency', s.currency, 'balance_minor', s.balance_minor)
                   ORDER BY s.merchant_id, s.currency, s.account, s.customer_id), '[]')
          FROM (SELECT e.merchant_id, e.account, e.customer_id, e.currency, sum(e.amount_minor) AS balance_minor
                  FROM entry e
                 WHERE wanted IS NULL OR e.merchant_id = wanted
                 GROUP BY e.merchant_id, e.account, e.customer_id, e.currency) s);
END
$$;
COMMENT ON FUNCTION paylink.ledger_balances(text) IS
    'Balances of every account that was ever posted to, of one merchant or (null) all: [{merchant, account, kind, '
    'customer, currency, balance_minor}]. Debit positive; they sum to zero per merchant and currency. Errors: invalid_id.';

CREATE OR REPLACE FUNCTION paylink.ledger_journals(filter jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    of_merchant uuid;
    of_document uuid;
    row_limit bigint := 1000;
BEGIN
    filter := coalesce(filter, '{}');
    PERFORM json_only(filter, ARRAY['merchant', 'invoice', 'payment', 'credit', 'limit'], 'invalid_filter');
    IF filter ->> 'merchant' IS NOT NULL THEN
        of_merchant := uuid_arg(filter ->> 'merchant', 'merchant');
    END IF;
    IF coalesce(filter ->> 'invoice', filter ->> 'payment', filter ->> 'credit') IS NOT NULL THEN
        of_document := uuid_arg(coalesce(filter ->> 'invoice', filter ->> 'payment', filter ->> 'credit'), 'document');
    END IF;
    IF filter ? 'limit' THEN
        row_limit := json_integer(filter, 'limit', 1, 100000, 'invalid_filter');
    END IF;
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'journal', j.id, 'merchant', j.merchant_id, 'kind', j.kind, 'document', j.document_id,
                   'refund', j.refund_id, 'posted_at', time_text(j.posted_at), 'entries', l.entries)
                   ORDER BY j.posted_at, j.id), '[]')
          FROM (SELECT x.*
                  FROM merchant m
                  JOIN journal x ON x.merchant_id = m.id
                 WHERE (of_merchant IS NULL OR m.id = of_merchant)
                   AND (of_document IS NULL OR x.document_id = of_document AND x.document_id <> x.id OR x.id = of_document)
                 ORDER BY x.posted_at DESC, x.id DESC
                 LIMIT row_limit) j
         CROSS JOIN LATERAL (
               SELECT jsonb_agg(jsonb_build_object(
                          'kind', e.account, 'customer', e.customer_id, 'currency', e.currency,
                          'amount_minor', e.amount_minor) ORDER BY e.line) AS entries
                 FROM entry e
                WHERE e.merchant_id = j.merchant_id AND e.journal_id = j.id) l);
END
$$;
COMMENT ON FUNCTION paylink.ledger_journals(jsonb) IS
    'The newest journals, oldest of them first; filter {merchant | invoice | payment | credit, limit (1000)}: '
    '[{journal, merchant, kind, document, refund, posted_at, entries: [{kind, customer, currency, amount_minor}]}]. '
    'Errors: invalid_id, invalid_filter.';

REVOKE ALL ON FUNCTION
    paylink.journal_post(uuid, paylink.journal_kind, uuid, text, uuid, text, paylink.account_kind[], bigint[]),
    paylink.ledger_balances(text), paylink.ledger_journals(jsonb)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION paylink.ledger_balances(text), paylink.ledger_journals(jsonb) TO paylink_operator;

RESET ROLE;
