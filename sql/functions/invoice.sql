-- Invoices: create, show, list, change, void. Books what they say; knows links only as something to be told.

SET ROLE paylink_owner;

CREATE OR REPLACE FUNCTION paylink.invoice_json(i paylink.invoice) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = paylink, pg_temp
AS $$
    SELECT jsonb_build_object(
        'id', i.id, 'merchant', i.merchant_id, 'customer', i.customer_id, 'number', i.number,
        'currency', i.currency, 'revision', i.revision, 'state', i.state, 'total_minor', i.total_minor,
        'paid_minor', i.paid_minor, 'due_minor', i.due_minor, 'due_date', i.due_date,
        'created_at', time_text(i.created_at), 'voided_at', time_text(i.voided_at), 'void_reason', i.void_reason,
        'lines', (SELECT coalesce(jsonb_agg(jsonb_build_object(
                            'description', l.description, 'quantity', l.quantity,
                            'unit_minor', l.unit_minor, 'total_minor', l.total_minor) ORDER BY l.line), '[]')
                    FROM invoice_line l
                   WHERE (l.merchant_id, l.invoice_id, l.revision) = (i.merchant_id, i.id, i.revision)))
$$;
COMMENT ON FUNCTION paylink.invoice_json(paylink.invoice) IS
    '{id, merchant, customer, number, currency, revision, state: open|paid|void, total_minor, paid_minor, due_minor, '
    'due_date, created_at, voided_at, void_reason, lines: [{description, quantity, unit_minor, total_minor}]}';

CREATE OR REPLACE FUNCTION paylink.invoice_lines_total(lines jsonb) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    line jsonb;
    description text;
    sum_minor numeric := 0;
BEGIN
    IF jsonb_typeof(lines) IS DISTINCT FROM 'array' OR jsonb_array_length(lines) NOT BETWEEN 1 AND 1000 THEN
        PERFORM refuse('invalid_lines', 'An invoice has 1 to 1000 lines.');
    END IF;
    FOR line IN SELECT l FROM jsonb_array_elements(lines) AS l
    LOOP
        PERFORM json_only(line, ARRAY['description', 'quantity', 'unit_minor'], 'invalid_lines');
        description := json_text(line, 'description', 500, 'invalid_lines');
        IF description IS NULL OR description !~ '^[^[:cntrl:]]+$' THEN
            PERFORM refuse('invalid_lines', 'A line has a description of 1 to 500 characters, none of them control characters.');
        END IF;
        sum_minor := sum_minor + json_integer(line, 'quantity', 1, 1000000, 'invalid_lines')::numeric
                               * json_integer(line, 'unit_minor', 0, 9999999999999999, 'invalid_amount');
        IF sum_minor > 9999999999999999 THEN
            PERFORM refuse('invalid_amount', 'The invoice''s total exceeds 9999999999999999 minor units.');
        END IF;
    END LOOP;
    RETURN checked_amount(sum_minor::bigint);
END
$$;
COMMENT ON FUNCTION paylink.invoice_lines_total(jsonb) IS
    'Total of [{description, quantity, unit_minor}], checked line by line. Errors: invalid_lines, invalid_amount.';

CREATE OR REPLACE FUNCTION paylink.invoice_revise(i paylink.invoice, lines jsonb) RETURNS void
    LANGUAGE sql VOLATILE
    SET search_path = paylink, pg_temp
AS $$
    INSERT INTO invoice_revision (merchant_id, invoice_id, revision, total_minor, due_date)
    VALUES (i.merchant_id, i.id, i.revision, i.total_minor, i.due_date);
    INSERT INTO invoice_line (merchant_id, invoice_id, revision, line, description, quantity, unit_minor, total_minor)
    SELECT i.merchant_id, i.id, i.revision, l.n, l.doc ->> 'description', (l.doc ->> 'quantity')::numeric::integer,
           (l.doc ->> 'unit_minor')::numeric::bigint,
           ((l.doc ->> 'quantity')::numeric * (l.doc ->> 'unit_minor')::numeric)::bigint
      FROM jsonb_array_elements(lines) WITH ORDINALITY AS l (doc, n);
$$;
COMMENT ON FUNCTION paylink.invoice_revise(paylink.invoice, jsonb) IS 'Writes the invoice''s current revision and its lines.';

CREATE OR REPLACE FUNCTION paylink.date_arg(given text) RETURNS date
    LANGUAGE plpgsql IMMUTABLE
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    IF given IS NULL THEN
        RETURN NULL;
    END IF;
    IF given ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$' THEN
        BEGIN
            RETURN make_date(left(given, 4)::integer, substr(given, 6, 2)::integer, right(given, 2)::integer);
        EXCEPTION WHEN datetime_field_overflow THEN
            NULL; -- the 31st of February: refused below like any other non-date
        END;
    END IF;
    PERFORM refuse('invalid_date', format('"%s" is not a date like 2026-12-31.', left(given, 32)));
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION paylink.date_arg(text) IS 'A caller''s ISO date, null as null. Errors: invalid_date.';

CREATE OR REPLACE FUNCTION paylink.invoice_lock(id text) RETURNS paylink.invoice
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    wanted uuid := uuid_arg(id, 'invoice');
    i invoice;
BEGIN
    SELECT x.* INTO i FROM invoice x WHERE x.id = wanted FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM refuse('not_found', format('There is no invoice %s.', wanted));
    END IF;
    RETURN i;
END
$$;
COMMENT ON FUNCTION paylink.invoice_lock(text) IS
    'The invoice, locked until the transaction ends. Errors: invalid_id, not_found.';

CREATE OR REPLACE FUNCTION paylink.invoice_create(
    merchant text, customer text, number text, currency text, lines jsonb, due text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    i invoice;
BEGIN
    i.merchant_id := uuid_arg(merchant, 'merchant');
    i.customer_id := uuid_arg(customer, 'customer');
    IF NOT EXISTS (SELECT FROM customer c WHERE (c.merchant_id, c.id) = (i.merchant_id, i.customer_id)) THEN
        PERFORM refuse('not_found', format('Merchant %s has no customer %s.', i.merchant_id, i.customer_id));
    END IF;
    IF number IS NULL OR number !~ '^[^[:cntrl:]]{1,64}$' OR number ~ '^\s*$' THEN
        PERFORM refuse('invalid_number', 'An invoice number has 1 to 64 characters, none of them control characters.');
    END IF;
    i.id := uuid7();
    i.number := number;
    i.currency := checked_currency(currency);
    i.total_minor := invoice_lines_total(lines);
    i.due_date := date_arg(due);
    i.revision := 1;
    BEGIN
        INSERT INTO invoice AS x (merchant_id, id, customer_id, number, currency, total_minor, due_date)
        VALUES (i.merchant_id, i.id, i.customer_id, i.number, i.currency, i.total_minor, i.due_date)
        RETURNING x.* INTO i;
    EXCEPTION WHEN unique_violation THEN
        PERFORM refuse('duplicate_number', format('The merchant already has an invoice number %s.', number));
    END;
    PERFORM invoice_revise(i, lines);
    PERFORM journal_post(i.merchant_id, 'invoice', i.id, NULL, i.customer_id, i.currency,
                         ARRAY['receivable', 'revenue']::account_kind[], ARRAY[i.total_minor, -i.total_minor]::bigint[]);
    PERFORM audit_write(i.merchant_id, 'invoice.create', i.id::text,
                        jsonb_build_object('number', i.number, 'total_minor', i.total_minor, 'currency', i.currency));
    RETURN invoice_json(i);
END
$$;
COMMENT ON FUNCTION paylink.invoice_create(text, text, text, text, jsonb, text) IS
    'New invoice; lines [{description, quantity, unit_minor ≥ 0}], due an ISO date or null. Books Dr receivable, '
    'Cr revenue. → invoice_json. Errors: invalid_id, not_found, invalid_number, duplicate_number, unknown_currency, '
    'invalid_lines, invalid_amount, invalid_date.';

CREATE OR REPLACE FUNCTION paylink.invoice_show(id text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    wanted uuid := uuid_arg(id, 'invoice');
    i invoice;
BEGIN
    SELECT x.* INTO i FROM invoice x WHERE x.id = wanted;
    IF NOT FOUND THEN
        PERFORM refuse('not_found', format('There is no invoice %s.', wanted));
    END IF;
    RETURN invoice_json(i);
END
$$;
COMMENT ON FUNCTION paylink.invoice_show(text) IS '→ invoice_json. Errors: invalid_id, not_found.';

CREATE OR REPLACE FUNCTION paylink.invoice_list(merchant text, filter jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    of_merchant uuid := uuid_arg(merchant, 'merchant');
    of_customer uuid;
    of_state text;
BEGIN
    filter := coalesce(filter, '{}');
    PERFORM json_only(filter, ARRAY['customer', 'state'], 'invalid_filter');
    IF filter ->> 'customer' IS NOT NULL THEN
        of_customer := uuid_arg(filter ->> 'customer', 'customer');
    END IF;
    of_state := json_text(filter, 'state', 8, 'invalid_filter');
    IF of_state NOT IN ('open', 'paid', 'void') THEN
        PERFORM refuse('invalid_filter', 'state is open, paid or void.');
    END IF;
    RETURN (SELECT coalesce(jsonb_agg(invoice_json(i) ORDER BY i.id), '[]')
              FROM invoice i
             WHERE i.merchant_id = of_merchant
               AND (of_customer IS NULL OR i.customer_id = of_customer)
               AND (of_state IS NULL OR i.state = of_state));
END
$$;
COMMENT ON FUNCTION paylink.invoice_list(text, jsonb) IS
    '→ [invoice_json …] of a merchant, oldest first; filter {customer, state}. Errors: invalid_id, invalid_filter.';

CREATE OR REPLACE FUNCTION paylink.invoice_change(id text, changes jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    i invoice := invoice_lock(id);
    lines jsonb;
    delta_minor bigint;
BEGIN
    PERFORM json_only(changes, ARRAY['lines', 'due'], 'invalid_change');
    IF i.state = 'void' THEN
        PERFORM refuse('invoice_void', format('Invoice %s is void and cannot be changed.', i.number));
    END IF;
    lines := changes -> 'lines';
    IF lines IS NULL OR jsonb_typeof(lines) = 'null' THEN
        lines := (SELECT jsonb_agg(jsonb_build_object('description', l.description, 'quantity', l.quantity,
                                                      'unit_minor', l.unit_minor) ORDER BY l.line)
                    FROM invoice_line l
                   WHERE (l.merchant_id, l.invoice_id, l.revision) = (i.merchant_id, i.id, i.revision));
    END IF;
    delta_minor := invoice_lines_total(lines) - i.total_minor;
    IF i.total_minor + delta_minor < i.paid_minor THEN
        PERFORM refuse('below_paid', format('Invoice %s has %s paid already; its total cannot become %s.',
                                            i.number, i.paid_minor, i.total_minor + delta_minor));
    END IF;
    UPDATE invoice x
       SET revision = x.revision + 1,
           change_count = x.change_count + 1,
           total_minor = x.total_minor + delta_minor,
           paid_at = CASE WHEN x.paid_minor = x.total_minor + delta_minor THEN coalesce(x.paid_at, now()) END,
           due_date = CASE WHEN changes ? 'due' THEN date_arg(json_text(changes, 'due', 32, 'invalid_date'))
                           ELSE x.due_date END
     WHERE (x.merchant_id, x.id) = (i.merchant_id, i.id)
    RETURNING x.* INTO i;
    PERFORM invoice_revise(i, lines);
    IF delta_minor <> 0 THEN
        PERFORM journal_post(i.merchant_id, 'invoice_change', i.id, NULL, i.customer_id, i.currency,
                             ARRAY['receivable', 'revenue']::account_kind[], ARRAY[delta_minor, -delta_minor]);
    END IF;
    PERFORM outbox_put(i.merchant_id, '{}', ARRAY[i.id], '{}');
    PERFORM audit_write(i.merchant_id, 'invoice.change', i.id::text,
                        jsonb_build_object('revision', i.revision, 'total_minor', i.total_minor));
    RETURN invoice_json(i);
END
$$;
COMMENT ON FUNCTION paylink.invoice_change(text, jsonb) IS
    'New revision with other {lines, due} (either may be left out; due null removes the date). Books the difference; '
    'its links get a new version, so that no older page can pay. The total may not go below what is paid: refund first. '
    '→ invoice_json. Errors: invalid_id, not_found, invoice_void, below_paid, invalid_change, invalid_lines, '
    'invalid_amount, invalid_date.';

CREATE OR REPLACE FUNCTION paylink.invoice_void(id text, reason text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    i invoice := invoice_lock(id);
    rest_minor bigint := i.due_minor;
BEGIN
    IF i.state = 'void' THEN
        RETURN invoice_json(i);
    END IF;
    IF i.state = 'paid' THEN
        PERFORM refuse('invoice_paid', format('Invoice %s is paid: refund its payment instead.', i.number));
    END IF;
    UPDATE invoice x
       SET voided_at = now(), change_count = x.change_count + 1, void_reason = left(coalesce(reason, ''), 500)
     WHERE (x.merchant_id, x.id) = (i.merchant_id, i.id)
    RETURNING x.* INTO i;
    PERFORM journal_post(i.merchant_id, 'invoice_void', i.id, NULL, i.customer_id, i.currency,
                         ARRAY['revenue', 'receivable']::account_kind[], ARRAY[rest_minor, -rest_minor]);
    PERFORM outbox_put(i.merchant_id, '{}', ARRAY[i.id], '{}');
    PERFORM audit_write(i.merchant_id, 'invoice.void', i.id::text, jsonb_build_object('reason', i.void_reason));
    RETURN invoice_json(i);
END
$$;
COMMENT ON FUNCTION paylink.invoice_void(text, text) IS
    'Reverses what is unpaid; what was paid stays. Voiding again changes nothing. A capture that is under way is booked '
    'whole as unapplied when it arrives. → invoice_json. Errors: invalid_id, not_found, invoice_paid.';

REVOKE ALL ON FUNCTION paylink.invoice_json(paylink.invoice), paylink.invoice_lines_total(jsonb),
    paylink.invoice_revise(paylink.invoice, jsonb), paylink.date_arg(text), paylink.invoice_lock(text),
    paylink.invoice_create(text, text, text, text, jsonb, text), paylink.invoice_show(text),
    paylink.invoice_list(text, jsonb), paylink.invoice_change(text, jsonb), paylink.invoice_void(text, text)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION paylink.invoice_create(text, text, text, text, jsonb, text), paylink.invoice_show(text),
    paylink.invoice_list(text, jsonb), paylink.invoice_change(text, jsonb), paylink.invoice_void(text, text)
    TO paylink_operator;

RESET ROLE;
