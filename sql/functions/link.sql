-- Payment links: create, show, list, revoke, openings. What a link is worth is not kept here: view link_status
-- derives it from the invoices.

SET ROLE paylink_owner;

CREATE OR REPLACE FUNCTION paylink.link_json(merchant uuid, wanted uuid) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object(
                   'id', hex_of(l.id), 'merchant', l.merchant_id, 'customer', l.customer_id, 'kid', l.kid,
                   'state', CASE WHEN s.state <> 'active' THEN s.state
                                 WHEN clock_timestamp() >= link_end(l) THEN 'expired'
                                 WHEN NOT m.links_on THEN 'disabled'
                                 ELSE 'active' END,
                   'version', s.version, 'due_minor', s.due_minor, 'currency', l.currency,
                   'opened_at', time_text(l.opened_at),
                   'expires_at', CASE WHEN l.opened_at IS NOT NULL THEN time_text(link_end(l)) END,
                   'ceiling_at', time_text(l.ceiling_at), 'lifetime_s', l.lifetime_ms / 1000,
                   'created_at', time_text(l.created_at), 'closed_at', time_text(l.closed_at),
                   'closed_reason', l.closed_note, 'replaced_by', hex_of(l.replaced_by),
                   'invoices', (SELECT jsonb_agg(li.invoice_id ORDER BY li.position)
                                  FROM link_invoice li WHERE li.merchant_id = l.merchant_id AND li.link_id = l.id))
          FROM link l
         CROSS JOIN LATERAL (SELECT x.links_on FROM merchant x WHERE x.id = l.merchant_id OFFSET 0) m
         CROSS JOIN LATERAL (
               SELECT x.* FROM link_status x WHERE x.merchant_id = l.merchant_id AND x.id = l.id OFFSET 0) s
         WHERE l.merchant_id = merchant AND l.id = ANY (ARRAY[wanted]));
END
$$;
COMMENT ON FUNCTION paylink.link_json(uuid, uuid) IS
    '{id (hex), merchant, customer, kid, state: active|paid|expired|disabled|replaced|void|revoked, version, due_minor, currency, '
    'opened_at, expires_at (null until opened), ceiling_at, lifetime_s, created_at, closed_at, closed_reason, '
    'replaced_by, invoices: [id …]}. "expired" is judged by this machine''s clock; payers'' pages go by Redis'' alone.';

CREATE OR REPLACE FUNCTION paylink.link_end(l paylink.link) RETURNS timestamptz
    LANGUAGE sql STABLE
RETURN coalesce(l.opened_at + make_interval(secs => l.lifetime_ms / 1000.0), l.ceiling_at);
COMMENT ON FUNCTION paylink.link_end(paylink.link) IS
    'When a link expires: its life after opening is over, or it was never opened and its ceiling is reached.';

CREATE OR REPLACE FUNCTION paylink.link_replace(merchant uuid, invoices uuid[], successor uuid) RETURNS uuid[]
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    others uuid[];
    gone uuid[];
BEGIN
    -- One index look-up per invoice, whatever the planner knows: with the statistics of a young table it would compare
    -- all links of the merchant with all of its invoices.
    others := array(SELECT DISTINCT x.link_id
                      FROM unnest(invoices) AS i (id)
                     CROSS JOIN LATERAL (SELECT y.link_id FROM link_invoice y
                                          WHERE y.merchant_id = merchant AND y.invoice_id = i.id OFFSET 0) x
                     WHERE x.link_id <> successor);
    IF cardinality(others) = 0 THEN
        RETURN NULL;
    END IF;
    WITH older AS MATERIALIZED (
        SELECT x.id
          FROM (SELECT u.id FROM unnest(others) AS u (id) ORDER BY u.id) o
         CROSS JOIN LATERAL (SELECT y.id, y.closed FROM link y WHERE y.merchant_id = merchant AND y.id = o.id FOR NO KEY UPDATE) x
         WHERE x.closed IS NULL
    ), closed AS (
        UPDATE link l
           SET closed = 'replaced', closed_at = now(), replaced_by = successor, version_base = l.version_base + 1
          FROM older o
         WHERE l.id = ANY (ARRAY[o.id])
        RETURNING l.id
    )
    SELECT array_agg(c.id) INTO gone FROM closed c;
    RETURN gone;
END
$$;
COMMENT ON FUNCTION paylink.link_replace(uuid, uuid[], uuid) IS
    'Closes every open link that shares one of the invoices (locked by the caller, each with something due): the newest '
    'link is the one to use. → the closed ones.';

CREATE OR REPLACE FUNCTION paylink.link_invoices_lock(merchant uuid, ids uuid[]) RETURNS paylink.link
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    l link;
    i invoice;
    found_count integer := 0;
    due_minor numeric := 0;
BEGIN
    l.version_base := 1;
    FOR i IN SELECT x.*
               FROM (SELECT u.id FROM unnest(ids) AS u (id) ORDER BY u.id) o
              CROSS JOIN LATERAL (SELECT y.* FROM invoice y WHERE y.merchant_id = merchant AND y.id = o.id FOR NO KEY UPDATE) x
    LOOP
        IF i.state = 'void' THEN
            PERFORM refuse('invoice_void', format('Invoice %s is void.', i.number));
        ELSIF i.due_minor = 0 THEN
            PERFORM refuse('nothing_due', format('Invoice %s is paid: there is nothing to collect.', i.number));
        ELSIF i.customer_id <> l.customer_id THEN
            PERFORM refuse('customer_mismatch', 'The invoices of a link belong to one customer.');
        ELSIF i.currency <> l.currency THEN
            PERFORM refuse('currency_mismatch', 'The invoices of a link have one currency.');
        END IF;
        l.customer_id := i.customer_id;
        l.currency := i.currency;
        l.version_base := l.version_base - i.change_count;
        found_count := found_count + 1;
        due_minor := due_minor + i.due_minor;
    END LOOP;
    IF found_count <> cardinality(ids) THEN
        PERFORM refuse('not_found', format('Merchant %s does not have all of these invoices.', merchant));
    END IF;
    IF due_minor > 9999999999999999 THEN
        PERFORM refuse('invalid_amount', 'The total of the invoices exceeds 9999999999999999 minor units.');
    END IF;
    RETURN l;
END
$$;
COMMENT ON FUNCTION paylink.link_invoices_lock(uuid, uuid[]) IS
    'Locks distinct invoices in id order and checks that one link can collect them: → a link to be, with customer, '
    'currency and version_base. Errors: not_found, invoice_void, nothing_due, customer_mismatch, currency_mismatch, '
    'invalid_amount.';

CREATE OR REPLACE FUNCTION paylink.link_repeated(
    wanted uuid, merchant uuid, ids uuid[]) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    l link;
BEGIN
    SELECT x.* INTO l FROM link x WHERE x.id = wanted;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF l.merchant_id <> merchant
       OR array(SELECT li.invoice_id FROM link_invoice li
                 WHERE (li.merchant_id, li.link_id) = (l.merchant_id, l.id) ORDER BY li.position) <> ids THEN
        PERFORM refuse('idempotency_mismatch', 'A link with this id exists already, for other invoices.');
    END IF;
    RETURN link_json(l.merchant_id, l.id);
END
$$;
COMMENT ON FUNCTION paylink.link_repeated(uuid, uuid, uuid[]) IS
    'The link that an earlier call with the same id made, or null. Errors: idempotency_mismatch.';

CREATE OR REPLACE FUNCTION paylink.link_create(
    merchant text, invoices jsonb, link_id text, kid integer, options jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    of_merchant uuid := uuid_arg(merchant, 'merchant');
    wanted uuid := link_arg(link_id);
    ids uuid[];
    l link;
    lifetime_s bigint := 86400;
    again jsonb;
BEGIN
    IF jsonb_typeof(invoices) IS DISTINCT FROM 'array' OR jsonb_array_length(invoices) NOT BETWEEN 1 AND 100 THEN
        PERFORM refuse('invalid_invoices', 'A link collects 1 to 100 invoices.');
    END IF;
    ids := array(SELECT uuid_arg(x.id, 'invoice') FROM jsonb_array_elements_text(invoices) WITH ORDINALITY AS x (id, n)
                  ORDER BY x.n);
    IF (SELECT count(DISTINCT x) FROM unnest(ids) AS x) <> cardinality(ids) THEN
        PERFORM refuse('invalid_invoices', 'The same invoice is named twice.');
    END IF;
    IF kid IS NULL OR kid NOT BETWEEN 0 AND 255 THEN
        PERFORM refuse('invalid_kid', 'A key id is a number from 0 to 255.');
    END IF;
    options := coalesce(options, '{}');
    PERFORM json_only(options, ARRAY['lifetime_s'], 'invalid_option');
    IF options ? 'lifetime_s' THEN
        lifetime_s := json_integer(options, 'lifetime_s', 1, 86400, 'invalid_option');
    END IF;
    again := link_repeated(wanted, of_merchant, ids);
    IF again IS NOT NULL THEN
        RETURN again;
    END IF;
    l := link_invoices_lock(of_merchant, ids);
    INSERT INTO link (merchant_id, id, customer_id, currency, kid, version_base, lifetime_ms, ceiling_at)
    SELECT of_merchant, wanted, l.customer_id, l.currency, link_create.kid, l.version_base, lifetime_s * 1000,
           now() + make_interval(days => m.link_ceiling_days)
      FROM merchant m
     WHERE m.id = of_merchant
    ON CONFLICT (id) DO NOTHING;
    IF NOT FOUND THEN -- the same call, at the same time, elsewhere
        RETURN link_repeated(wanted, of_merchant, ids);
    END IF;
    INSERT INTO link_invoice (merchant_id, link_id, invoice_id, position)
    SELECT of_merchant, wanted, x.id, x.n FROM unnest(ids) WITH ORDINALITY AS x (id, n);
    PERFORM outbox_put(of_merchant, wanted || link_replace(of_merchant, ids, wanted), '{}', '{}');
    again := link_json(of_merchant, wanted);
    PERFORM audit_write(of_merchant, 'link.create', left(link_id, 8), again - 'id' - 'replaced_by');
    RETURN again;
END
$$;
COMMENT ON FUNCTION paylink.link_create(text, jsonb, text, integer, jsonb) IS
    'New link for 1 to 100 open invoices of one customer and currency; link_id is the caller''s 16 random bytes in hex '
    'and its idempotency key; kid names the key of its token; options: lifetime_s ≤ 86400. Older active links that share '
    'an invoice are replaced. → link_json. Errors: invalid_id, invalid_invoices, invalid_kid, invalid_option, not_found, '
    'invoice_void, nothing_due, customer_mismatch, currency_mismatch, invalid_amount, idempotency_mismatch.';

CREATE OR REPLACE FUNCTION paylink.link_show(id text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    wanted uuid := link_arg(id);
    l link;
BEGIN
    SELECT x.* INTO l FROM link x WHERE x.id = wanted;
    IF NOT FOUND THEN
        PERFORM refuse('not_found', 'There is no such link.');
    END IF;
    RETURN link_json(l.merchant_id, l.id);
END
$$;
COMMENT ON FUNCTION paylink.link_show(text) IS '→ link_json. Errors: invalid_id, not_found.';

CREATE OR REPLACE FUNCTION paylink.link_list(merchant text, filter jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    of_merchant uuid := uuid_arg(merchant, 'merchant');
    of_customer uuid;
    of_invoice uuid;
    of_state text;
BEGIN
    filter := coalesce(filter, '{}');
    PERFORM json_only(filter, ARRAY['customer', 'invoice', 'state'], 'invalid_filter');
    IF filter ->> 'customer' IS NOT NULL THEN
        of_customer := uuid_arg(filter ->> 'customer', 'customer');
    END IF;
    IF filter ->> 'invoice' IS NOT NULL THEN
        of_invoice := uuid_arg(filter ->> 'invoice', 'invoice');
    END IF;
    of_state := json_text(filter, 'state', 8, 'invalid_filter');
    IF of_state NOT IN ('active', 'paid', 'expired', 'disabled', 'replaced', 'void', 'revoked') THEN
        PERFORM refuse('invalid_filter', 'state is active, paid, expired, disabled, replaced, void or revoked.');
    END IF;
    RETURN (SELECT coalesce(jsonb_agg(s.doc ORDER BY s.created_at, s.id), '[]')
              FROM (SELECT l.created_at, l.id, link_json(l.merchant_id, l.id) AS doc
                      FROM link l
                     WHERE l.merchant_id = of_merchant
                       AND (of_customer IS NULL OR l.customer_id = of_customer)
                       AND (of_invoice IS NULL OR EXISTS (
                            SELECT FROM link_invoice li
                             WHERE (li.merchant_id, li.link_id, li.invoice_id) = (l.merchant_id, l.id, of_invoice)))) s
             WHERE of_state IS NULL OR s.doc ->> 'state' = of_state);
END
$$;
COMMENT ON FUNCTION paylink.link_list(text, jsonb) IS
    '→ [link_json …] of a merchant, oldest first; filter {customer, invoice, state}. Errors: invalid_id, invalid_filter.';

CREATE OR REPLACE FUNCTION paylink.link_revoke(id text, reason text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    wanted uuid := link_arg(id);
    l link;
    is_now text;
BEGIN
    SELECT x.* INTO l FROM link x WHERE x.id = wanted FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM refuse('not_found', 'There is no such link.');
    END IF;
    SELECT s.state INTO is_now FROM link_status s WHERE s.merchant_id = l.merchant_id AND s.id = wanted;
    IF is_now = 'revoked' THEN
        RETURN link_json(l.merchant_id, wanted);
    ELSIF is_now <> 'active' THEN
        PERFORM refuse('link_' || is_now, format('The link is %s already.', is_now));
    END IF;
    UPDATE link x
       SET closed = 'revoked', closed_at = now(), closed_note = left(reason, 500), version_base = x.version_base + 1
     WHERE x.merchant_id = l.merchant_id AND x.id = wanted;
    PERFORM outbox_put(l.merchant_id, ARRAY[wanted], '{}', '{}');
    PERFORM audit_write(l.merchant_id, 'link.revoke', left(id, 8), jsonb_build_object('reason', left(reason, 500)));
    RETURN link_json(l.merchant_id, wanted);
END
$$;
COMMENT ON FUNCTION paylink.link_revoke(text, text) IS
    'Closes an active link for good; revoking again changes nothing. An attempt that is being charged already is still '
    'booked. → link_json. Errors: invalid_id, not_found, link_paid, link_void, link_replaced.';

CREATE OR REPLACE FUNCTION paylink.link_opened(batch jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    changed integer;
BEGIN
    WITH earliest AS (
        SELECT b.link, ms_time(min(b.opened_ms)) AS opened_at
          FROM jsonb_to_recordset(batch) AS b (link uuid, opened_ms bigint)
         WHERE b.opened_ms > 0
         GROUP BY b.link
    ), held AS (
        SELECT l.merchant_id, l.id, e.opened_at
          FROM earliest e
          JOIN link l ON l.id = ANY (ARRAY[e.link])
         WHERE l.opened_at IS NULL OR l.opened_at > e.opened_at
         ORDER BY l.merchant_id, l.id
           FOR NO KEY UPDATE OF l
    )
    UPDATE link l
       SET opened_at = h.opened_at
      FROM held h
     WHERE l.id = ANY (ARRAY[h.id]);
    GET DIAGNOSTICS changed = ROW_COUNT;
    RETURN jsonb_build_object('changed', changed);
END
$$;
COMMENT ON FUNCTION paylink.link_opened(jsonb) IS
    'batch [{link (hex), opened_ms}]: first human openings by Redis'' clock; the earliest ever reported wins, in any order '
    'of delivery. Unknown links are ignored. → {changed}.';

REVOKE ALL ON FUNCTION paylink.link_json(uuid, uuid), paylink.link_end(paylink.link), paylink.link_replace(uuid, uuid[], uuid),
    paylink.link_invoices_lock(uuid, uuid[]), paylink.link_repeated(uuid, uuid, uuid[]),
    paylink.link_create(text, jsonb, text, integer, jsonb), paylink.link_show(text), paylink.link_list(text, jsonb),
    paylink.link_revoke(text, text), paylink.link_opened(jsonb)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION paylink.link_create(text, jsonb, text, integer, jsonb), paylink.link_show(text),
    paylink.link_list(text, jsonb), paylink.link_revoke(text, text)
    TO paylink_operator;
GRANT EXECUTE ON FUNCTION paylink.link_opened(jsonb) TO paylink_worker;

RESET ROLE;
