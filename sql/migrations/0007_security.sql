-- Row-level security on every tenant table. The API role sees the rows of the merchant named by the setting
-- paylink.merchant_id, and none when it is not set. The owner, as whom the functions run, sees all.

SET ROLE paylink_owner;

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY[
        'merchant', 'customer', 'audit', 'invoice', 'invoice_revision', 'invoice_line', 'link', 'link_invoice',
        'journal', 'entry', 'payment', 'credit', 'allocation', 'refund',
        'attempt', 'attempt_event', 'invoice_fence', 'outbox']
    LOOP
        EXECUTE format('ALTER TABLE paylink.%I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format(
            'CREATE POLICY one_merchant ON paylink.%I TO paylink_api '
            'USING (%I = nullif(current_setting(''paylink.merchant_id'', true), '''')::uuid)',
            t, CASE t WHEN 'merchant' THEN 'id' ELSE 'merchant_id' END);
        EXECUTE format('REVOKE ALL ON paylink.%I FROM PUBLIC', t);
    END LOOP;
END
$$;

-- The API reads; what waits in the outbox and who is fenced is nobody's business outside.
GRANT SELECT ON paylink.merchant, paylink.customer, paylink.audit, paylink.invoice, paylink.invoice_revision,
    paylink.invoice_line, paylink.link, paylink.link_invoice, paylink.account, paylink.journal, paylink.entry,
    paylink.payment, paylink.credit, paylink.allocation, paylink.refund, paylink.attempt, paylink.attempt_event,
    paylink.currency
    TO paylink_api;

RESET ROLE;
