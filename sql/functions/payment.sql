-- Payments: record one that was taken offline, show, list; and applying money to an invoice. Captures through
-- the gateway are booked by attempt_settle by the same rules.

SET ROLE paylink_owner;

CREATE OR REPLACE FUNCTION paylink.receipt_number(payment uuid) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 'R-' || upper(substr(payment::text, 25, 4) || '-' || substr(payment::text, 29, 4) || '-' || substr(payment::text, 33, 4));
COMMENT ON FUNCTION paylink.receipt_number(uuid) IS
    'The number on a receipt, from the 48 random bits of the payment''s id: tells nobody how many payments there are.';

CREATE OR REPLACE FUNCTION paylink.payment_json(p paylink.payment) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = paylink, pg_temp
AS $$
    SELECT jsonb_build_object(
        'id', p.id, 'merchant', p.merchant_id, 'customer', p.customer_id, 'method', p.method,
        'amount_minor', p.amount_minor, 'currency', p.currency, 'applied_minor', p.applied_minor,
        'unapplied_minor', p.unapplied_minor, 'refunded_minor', p.refunded_minor,
        'refundable_minor', p.amount_minor - p.refunded_minor, 'attempt', p.attempt_id,
        'gateway_ref', p.gateway_ref, 'invoice', p.invoice_id, 'key', p.key, 'note', p.note,
        'receipt_number', receipt_number(p.id), 'created_at', time_text(p.created_at),
        'allocations', (SELECT coalesce(jsonb_agg(jsonb_build_object(
                                   'invoice', a.invoice_id, 'amount_minor', a.amount_minor) ORDER BY a.line), '[]')
                          FROM allocation a WHERE (a.merchant_id, a.source_id) = (p.merchant_id, p.id)))
$$;
COMMENT ON FUNCTION paylink.payment_json(paylink.payment) IS
    '{id, merchant, customer, method, amount_minor, currency, applied_minor, unapplied_minor, refunded_minor, '
    'refundable_minor, attempt, gateway_ref, invoice, key, note, receipt_number, created_at, '
    'allocations: [{invoice, amount_minor}]}';

CREATE OR REPLACE FUNCTION paylink.cash_account(method text, through_gateway boolean) RETURNS paylink.account_kind
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN through_gateway THEN 'cash_gateway' WHEN method = 'cash' THEN 'cash' ELSE 'bank' END::paylink.account_kind;
COMMENT ON FUNCTION paylink.cash_account(text, boolean) IS 'Kind of the account where the money of a payment lies.';

CREATE OR REPLACE FUNCTION paylink.invoice_pay(
    merchants uuid[], invoices uuid[], offers_minor bigint[]) RETURNS bigint[]
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    places bigint[];
    taken bigint[];
BEGIN
    -- In id order: whoever pays several invoices locks them in the same order as everybody else.
    WITH paid AS (
        UPDATE invoice i
           SET paid_minor = i.paid_minor + least(i.due_minor, o.offer_minor),
               prior_due_minor = i.due_minor,
               paid_at = CASE WHEN i.due_minor <= o.offer_minor THEN now() END,
               change_count = i.change_count + 1
          FROM (SELECT u.* FROM unnest(merchants, invoices, offers_minor) WITH ORDINALITY
                                  AS u (merchant_id, invoice_id, offer_minor, n)
                 ORDER BY u.merchant_id, u.invoice_id) o
         WHERE i.id = ANY (ARRAY[o.invoice_id]) AND i.due_minor > 0
        RETURNING o.n, i.prior_due_minor - i.due_minor AS taken_minor
    )
    SELECT array_agg(p.n ORDER BY p.n), array_agg(p.taken_minor ORDER BY p.n) INTO places, taken FROM paid p;
    IF cardinality(places) = cardinality(invoices) THEN
        RETURN taken;
    END IF;
    RETURN array(SELECT coalesce((SELECT t.taken_minor FROM unnest(places, taken) AS t (n, taken_minor) WHERE t.n = g.n), 0)
                   FROM generate_series(1, cardinality(invoices)) AS g (n) ORDER BY g.n);
END
$$;
COMMENT ON FUNCTION paylink.invoice_pay(uuid[], uuid[], bigint[]) IS
    'Offers offers_minor[i] to the distinct invoices[i], each of which takes at most what is due: → what each took.';

CREATE OR REPLACE FUNCTION paylink.payment_repeated(
    merchant uuid, in_key text, invoice uuid, in_method text, in_amount_minor bigint) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    p payment;
BEGIN
    SELECT x.* INTO p FROM payment x WHERE x.merchant_id = merchant AND x.key = in_key;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF (p.invoice_id, p.method, p.amount_minor::bigint) IS DISTINCT FROM (invoice, in_method, in_amount_minor) THEN
        PERFORM refuse('idempotency_mismatch', format('The key %s was used for another payment.', in_key));
    END IF;
    RETURN payment_json(p);
END
$$;
COMMENT ON FUNCTION paylink.payment_repeated(uuid, text, uuid, text, bigint) IS
    'The payment that an earlier call with the same key recorded, or null. Errors: idempotency_mismatch.';

CREATE OR REPLACE FUNCTION paylink.payment_record(
    invoice text, method text, amount_minor bigint, options jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    i invoice := invoice_lock(invoice);
    p payment;
    journal uuid;
    again jsonb;
BEGIN
    IF method IS NULL OR method NOT IN ('cash', 'cheque', 'transfer', 'card_on_file_offline', 'other') THEN
        PERFORM refuse('invalid_method', 'method is cash, cheque, transfer, card_on_file_offline or other.');
    END IF;
    p.amount_minor := checked_amount(amount_minor);
    options := coalesce(options, '{}');
    PERFORM json_only(options, ARRAY['key', 'note'], 'invalid_option');
    p.key := nullif(json_text(options, 'key', 200, 'invalid_option'), '');
    p.note := json_text(options, 'note', 1000, 'invalid_option');
    again := payment_repeated(i.merchant_id, p.key, i.id, method, p.amount_minor);
    IF again IS NOT NULL THEN
        RETURN again;
    END IF;
    IF i.state = 'void' THEN
        PERFORM refuse('invoice_void', format('Invoice %s is void; record a pre-payment for its customer instead.', i.number));
    END IF;
    p.applied_minor := least(p.amount_minor, i.due_minor);
    INSERT INTO payment AS x (merchant_id, id, customer_id, method, currency, amount_minor, applied_minor,
                              unapplied_minor, invoice_id, key, note)
    VALUES (i.merchant_id, uuid7(), i.customer_id, payment_record.method, i.currency, p.amount_minor, p.applied_minor,
            p.amount_minor - p.applied_minor, i.id, p.key, p.note)
    ON CONFLICT (merchant_id, key) WHERE key IS NOT NULL DO NOTHING
    RETURNING x.* INTO p;
    IF NOT FOUND THEN -- the key was used for another invoice at this very moment
        RETURN payment_repeated(i.merchant_id, options ->> 'key', i.id, method, amount_minor);
    END IF;
    journal := journal_post(i.merchant_id, 'payment', p.id, NULL, i.customer_id, i.currency,
                            ARRAY[cash_account(p.method, false), 'receivable', 'unapplied']::account_kind[],
                            ARRAY[p.amount_minor, -p.applied_minor, -p.unapplied_minor]::bigint[]);
    IF p.applied_minor > 0 THEN
        INSERT INTO allocation (merchant_id, line, payment_id, invoice_id, journal_id, amount_minor)
        VALUES (i.merchant_id, 1, p.id, i.id, journal, p.applied_minor);
        PERFORM invoice_pay(ARRAY[i.merchant_id], ARRAY[i.id], ARRAY[p.applied_minor]::bigint[]);
    END IF;
    PERFORM outbox_put(i.merchant_id, '{}', ARRAY[i.id], '{}');
    PERFORM audit_write(i.merchant_id, 'payment.record', p.id::text,
                        jsonb_build_object('invoice', i.id, 'method', p.method, 'amount_minor', p.amount_minor));
    RETURN payment_json(p);
END
$$;
COMMENT ON FUNCTION paylink.payment_record(text, text, bigint, jsonb) IS
    'Money the merchant took itself (cash, cheque, transfer, card_on_file_offline, other) for an invoice; options: key '
    '(makes it idempotent), note. Applied up to what is due; the rest is an overpayment, unapplied and refundable, also '
    'when the invoice is paid already: money in hand is always booked. A gateway charge that is under way is not '
    'stopped: it becomes the overpayment when it arrives. → payment_json. Errors: invalid_id, not_found, invalid_method, '
    'invalid_amount, invalid_option, invoice_void, idempotency_mismatch.';

CREATE OR REPLACE FUNCTION paylink.payment_show(id text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    wanted uuid := uuid_arg(id, 'payment');
    p payment;
BEGIN
    -- No index on the id alone: one probe of the primary key per merchant spares every booking an index.
    SELECT x.* INTO p FROM merchant m JOIN payment x ON x.merchant_id = m.id WHERE x.id = wanted;
    IF NOT FOUND THEN
        PERFORM refuse('not_found', format('There is no payment %s.', wanted));
    END IF;
    RETURN payment_json(p);
END
$$;
COMMENT ON FUNCTION paylink.payment_show(text) IS '→ payment_json. Errors: invalid_id, not_found.';

CREATE OR REPLACE FUNCTION paylink.payment_list(filter jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    of_invoice uuid;
    of_customer uuid;
    of_merchant uuid;
    found_ids uuid[];
BEGIN
    PERFORM json_only(filter, ARRAY['invoice', 'customer', 'merchant'], 'invalid_filter');
    IF filter ->> 'invoice' IS NOT NULL THEN
        of_invoice := uuid_arg(filter ->> 'invoice', 'invoice');
        SELECT i.merchant_id INTO of_merchant FROM invoice i WHERE i.id = of_invoice;
        IF NOT FOUND THEN
            PERFORM refuse('not_found', format('There is no invoice %s.', of_invoice));
        END IF;
        found_ids := array(
            SELECT a.source_id FROM allocation a
             WHERE a.merchant_id = of_merchant AND a.invoice_id = of_invoice AND a.journal_id <> a.source_id
               AND a.payment_id IS NOT NULL
            UNION
            SELECT p.id FROM payment p WHERE p.merchant_id = of_merchant AND p.invoice_id = of_invoice
            UNION
            SELECT t.id FROM link_invoice li
              JOIN attempt t ON t.merchant_id = li.merchant_id AND t.link_id = li.link_id
             WHERE li.merchant_id = of_merchant AND li.invoice_id = of_invoice AND t.state = 'captured');
        RETURN (SELECT coalesce(jsonb_agg(payment_json(p) ORDER BY p.id), '[]')
                  FROM payment p WHERE p.merchant_id = of_merchant AND p.id = ANY (found_ids));
    ELSIF filter ->> 'customer' IS NOT NULL THEN
        of_customer := uuid_arg(filter ->> 'customer', 'customer');
        RETURN (SELECT coalesce(jsonb_agg(payment_json(p) ORDER BY p.id), '[]')
                  FROM customer c
                  JOIN payment p ON p.merchant_id = c.merchant_id AND p.customer_id = c.id
                 WHERE c.id = of_customer);
    END IF;
    of_merchant := uuid_arg(filter ->> 'merchant', 'merchant');
    RETURN (SELECT coalesce(jsonb_agg(payment_json(p) ORDER BY p.id), '[]')
              FROM payment p WHERE p.merchant_id = of_merchant);
END
$$;
COMMENT ON FUNCTION paylink.payment_list(jsonb) IS
    'filter {invoice | customer | merchant} → [payment_json …]. Of an invoice: what was applied to it, what was recorded '
    'for it, and what was captured through its links, overpayments included. Errors: invalid_id, not_found, invalid_filter.';

REVOKE ALL ON FUNCTION paylink.receipt_number(uuid), paylink.payment_json(paylink.payment),
    paylink.cash_account(text, boolean),
    paylink.invoice_pay(uuid[], uuid[], bigint[]), paylink.payment_repeated(uuid, text, uuid, text, bigint),
    paylink.payment_record(text, text, bigint, jsonb), paylink.payment_show(text), paylink.payment_list(jsonb)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION paylink.payment_record(text, text, bigint, jsonb), paylink.payment_show(text),
    paylink.payment_list(jsonb)
    TO paylink_operator;

RESET ROLE;
