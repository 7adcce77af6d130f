-- Credit memos and pre-payments, and their application to open invoices. Knows no gateway.

SET ROLE paylink_owner;

CREATE OR REPLACE FUNCTION paylink.credit_json(c paylink.credit) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = paylink, pg_temp
AS $$
    SELECT jsonb_build_object(
        'id', c.id, 'merchant', c.merchant_id, 'customer', c.customer_id, 'kind', c.kind,
        'amount_minor', c.amount_minor, 'currency', c.currency, 'applied_minor', c.applied_minor,
        'unapplied_minor', c.unapplied_minor, 'key', c.key, 'note', c.note, 'created_at', time_text(c.created_at),
        'allocations', (SELECT coalesce(jsonb_agg(jsonb_build_object(
                                   'invoice', a.invoice_id, 'amount_minor', a.amount_minor) ORDER BY a.line), '[]')
                          FROM allocation a WHERE (a.merchant_id, a.source_id) = (c.merchant_id, c.id)))
$$;
COMMENT ON FUNCTION paylink.credit_json(paylink.credit) IS
    '{id, merchant, customer, kind: credit|prepayment, amount_minor, currency, applied_minor, unapplied_minor, key, note, '
    'created_at, allocations: [{invoice, amount_minor}]}';

CREATE OR REPLACE FUNCTION paylink.credit_apply(c paylink.credit, only_invoice uuid) RETURNS paylink.credit
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    invoices uuid[];
    amounts bigint[];
    applied bigint;
    journal uuid;
BEGIN
    SELECT array_agg(s.id ORDER BY s.due_on, s.id), array_agg(s.part_minor ORDER BY s.due_on, s.id)
      INTO invoices, amounts
      FROM (SELECT h.id, h.due_on,
                   least(h.due_minor, c.unapplied_minor - (sum(h.due_minor::numeric) OVER w - h.due_minor)) AS part_minor
              FROM (SELECT i.id, i.due_minor, coalesce(i.due_date, i.created_at::date) AS due_on
                      FROM invoice i
                     WHERE i.merchant_id = c.merchant_id AND i.customer_id = c.customer_id
                       AND i.currency = c.currency AND i.state = 'open'
                       AND (only_invoice IS NULL OR i.id = only_invoice)
                     ORDER BY i.id FOR NO KEY UPDATE) h
            WINDOW w AS (ORDER BY h.due_on, h.id)) s
     WHERE s.part_minor > 0;
    IF invoices IS NULL THEN
        RETURN c;
    END IF;
    SELECT sum(a) INTO applied FROM unnest(amounts) AS a;
    journal := journal_post(c.merchant_id, 'application', c.id, NULL, c.customer_id, c.currency,
                            ARRAY['unapplied', 'receivable']::account_kind[], ARRAY[applied, -applied]);
    INSERT INTO allocation (merchant_id, line, credit_id, invoice_id, journal_id, amount_minor)
    SELECT c.merchant_id, x.n, c.id, x.invoice, journal, x.amount
      FROM unnest(invoices, amounts) WITH ORDINALITY AS x (invoice, amount, n);
    PERFORM invoice_pay(array_fill(c.merchant_id, ARRAY[cardinality(invoices)]), invoices, amounts);
    UPDATE credit x
       SET applied_minor = x.applied_minor + applied, unapplied_minor = x.unapplied_minor - applied
     WHERE (x.merchant_id, x.id) = (c.merchant_id, c.id)
    RETURNING x.* INTO c;
    PERFORM outbox_put(c.merchant_id, '{}', invoices, '{}');
    RETURN c;
END
$$;
COMMENT ON FUNCTION paylink.credit_apply(paylink.credit, uuid) IS
    'Applies a fresh credit to its customer''s open invoices of its currency, the earliest due first (or to one of them); '
    'the rest stays unapplied. → the credit as it is then.';

CREATE OR REPLACE FUNCTION paylink.credit_repeated(merchant uuid, in_key text, in_request jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    c credit;
BEGIN
    SELECT x.* INTO c FROM credit x WHERE x.merchant_id = merchant AND x.key = in_key;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF c.request <> in_request THEN
        PERFORM refuse('idempotency_mismatch', format('The key %s was used for another credit.', in_key));
    END IF;
    RETURN credit_json(c);
END
$$;
COMMENT ON FUNCTION paylink.credit_repeated(uuid, text, jsonb) IS
    'The credit that an earlier call with the same key recorded, or null. Errors: idempotency_mismatch.';

CREATE OR REPLACE FUNCTION paylink.credit_invoice_arg(given text, c paylink.credit) RETURNS uuid
    LANGUAGE plpgsql STABLE
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    wanted uuid;
    i invoice;
BEGIN
    IF given IS NULL THEN
        RETURN NULL;
    END IF;
    wanted := uuid_arg(given, 'invoice');
    SELECT x.* INTO i FROM invoice x
     WHERE x.merchant_id = c.merchant_id AND x.id = wanted AND x.customer_id = c.customer_id;
    IF NOT FOUND THEN
        PERFORM refuse('not_found', format('The customer has no invoice %s.', wanted));
    ELSIF i.currency <> c.currency THEN
        PERFORM refuse('currency_mismatch', format('Invoice %s is in %s, not in %s.', i.number, i.currency, c.currency));
    ELSIF i.state = 'void' THEN
        PERFORM refuse('invoice_void', format('Invoice %s is void.', i.number));
    END IF;
    RETURN wanted;
END
$$;
COMMENT ON FUNCTION paylink.credit_invoice_arg(text, paylink.credit) IS
    'The one invoice that a credit is for, or null. Errors: invalid_id, not_found, currency_mismatch, invoice_void.';

CREATE OR REPLACE FUNCTION paylink.credit_record(customer text, amount_minor bigint, options jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    c credit;
    only_invoice uuid;
    again jsonb;
    default_currency text;
BEGIN
    c.customer_id := uuid_arg(customer, 'customer');
    SELECT x.merchant_id, m.currency INTO c.merchant_id, default_currency
      FROM customer x JOIN merchant m ON m.id = x.merchant_id
     WHERE x.id = c.customer_id;
    IF NOT FOUND THEN
        PERFORM refuse('not_found', format('There is no customer %s.', c.customer_id));
    END IF;
    c.amount_minor := checked_amount(amount_minor);
    options := coalesce(options, '{}');
    PERFORM json_only(options, ARRAY['currency', 'key', 'note', 'kind', 'apply', 'invoice'], 'invalid_option');
    c.currency := checked_currency(coalesce(json_text(options, 'currency', 16, 'unknown_currency'), default_currency));
    c.kind := coalesce(json_text(options, 'kind', 16, 'invalid_option'), 'credit');
    IF c.kind NOT IN ('credit', 'prepayment') THEN
        PERFORM refuse('invalid_option', 'kind is credit or prepayment.');
    END IF;
    IF options ? 'apply' AND jsonb_typeof(options -> 'apply') NOT IN ('boolean', 'null') THEN
        PERFORM refuse('invalid_option', 'apply is true or false.');
    END IF;
    c.key := nullif(json_text(options, 'key', 200, 'invalid_option'), '');
    c.note := json_text(options, 'note', 1000, 'invalid_option');
    c.request := jsonb_strip_nulls(options) || jsonb_build_object('customer', c.customer_id, 'amount_minor', c.amount_minor);
    again := credit_repeated(c.merchant_id, c.key, c.request);
    IF again IS NOT NULL THEN
        RETURN again;
    END IF;
    only_invoice := credit_invoice_arg(json_text(options, 'invoice', 64, 'invalid_id'), c);
    INSERT INTO credit AS x (merchant_id, id, customer_id, kind, currency, amount_minor, applied_minor, unapplied_minor,
                             key, note, request)
    VALUES (c.merchant_id, uuid7(), c.customer_id, c.kind, c.currency, c.amount_minor, 0, c.amount_minor,
            c.key, c.note, c.request)
    ON CONFLICT (merchant_id, key) WHERE key IS NOT NULL DO NOTHING
    RETURNING x.* INTO c;
    IF NOT FOUND THEN -- the same call, at the same time, elsewhere
        RETURN credit_repeated((SELECT x.merchant_id FROM customer x WHERE x.id = uuid_arg(customer, 'customer')),
                               options ->> 'key',
                               jsonb_strip_nulls(options) || jsonb_build_object(
                                   'customer', uuid_arg(customer, 'customer'), 'amount_minor', amount_minor));
    END IF;
    PERFORM journal_post(c.merchant_id, 'credit', c.id, NULL, c.customer_id, c.currency,
                         ARRAY[CASE c.kind WHEN 'credit' THEN 'credits_issued' ELSE 'bank' END, 'unapplied']::account_kind[],
                         ARRAY[c.amount_minor, -c.amount_minor]::bigint[]);
    IF coalesce((options ->> 'apply')::boolean, true) THEN
        c := credit_apply(c, only_invoice);
    END IF;
    PERFORM audit_write(c.merchant_id, 'credit.record', c.id::text,
                        jsonb_build_object('kind', c.kind, 'amount_minor', c.amount_minor, 'currency', c.currency));
    RETURN credit_json(c);
END
$$;
COMMENT ON FUNCTION paylink.credit_record(text, bigint, jsonb) IS
    'Credit memo or pre-payment of a customer; options: currency (the merchant''s), key (makes it idempotent), note, '
    'kind credit|prepayment, apply (true), invoice (only this one). Applied to the earliest due open invoices; their links '
    'show the new total; the rest is unapplied. → credit_json. Errors: invalid_id, not_found, invalid_amount, '
    'unknown_currency, currency_mismatch, invoice_void, invalid_option, idempotency_mismatch.';

REVOKE ALL ON FUNCTION paylink.credit_json(paylink.credit), paylink.credit_apply(paylink.credit, uuid),
    paylink.credit_repeated(uuid, text, jsonb), paylink.credit_invoice_arg(text, paylink.credit),
    paylink.credit_record(text, bigint, jsonb)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION paylink.credit_record(text, bigint, jsonb) TO paylink_operator;

RESET ROLE;
