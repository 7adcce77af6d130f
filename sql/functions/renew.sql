-- A new link in place of an expired one, for the customer's mailbox alone. Knows no mail server.

SET ROLE paylink_owner;

CREATE OR REPLACE FUNCTION paylink.email_masked(email text) RETURNS text
    LANGUAGE sql IMMUTABLE
RETURN left(email, 1) || '•••@' || left(split_part(email, '@', 2), 1) || '•••'
       || coalesce(substring(split_part(email, '@', 2) FROM '\.[^.]+$'), '');
COMMENT ON FUNCTION paylink.email_masked(text) IS
    'An address as its owner knows it again and nobody else can read it: "a•••@e•••.com". All that Redis gets of it.';

CREATE OR REPLACE FUNCTION paylink.renew_lock(batch jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
BEGIN
    PERFORM c.id
       FROM (SELECT DISTINCT l.merchant_id, l.customer_id
               FROM jsonb_to_recordset(batch) AS b (link uuid)
               JOIN link l ON l.id = ANY (ARRAY[b.link])
              ORDER BY 1, 2) o
      CROSS JOIN LATERAL (SELECT x.id FROM customer x
                           WHERE x.merchant_id = o.merchant_id AND x.id = o.customer_id FOR NO KEY UPDATE) c;
    PERFORM i.id
       FROM (SELECT DISTINCT li.merchant_id, li.invoice_id
               FROM jsonb_to_recordset(batch) AS b (link uuid)
               JOIN link l ON l.id = ANY (ARRAY[b.link])
               JOIN link_invoice li ON li.merchant_id = l.merchant_id AND li.link_id = l.id
              ORDER BY 1, 2) o
      CROSS JOIN LATERAL (SELECT x.id FROM invoice x
                           WHERE x.merchant_id = o.merchant_id AND x.id = o.invoice_id FOR NO KEY UPDATE) i;
END
$$;
COMMENT ON FUNCTION paylink.renew_lock(jsonb) IS
    'Locks the customers of the batch''s links, so that each one''s mails are counted once at a time, then their '
    'invoices in the order in which bookings lock them.';

CREATE OR REPLACE FUNCTION paylink.renew_one(
    old uuid, opened_ms bigint, at_ms bigint, lang text, successor text, kid integer) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    l link;
    invoices uuid[];
BEGIN
    SELECT x.* INTO l
      FROM link x
     CROSS JOIN LATERAL (SELECT y.links_on FROM merchant y WHERE y.id = x.merchant_id OFFSET 0) m
     WHERE x.id = old AND x.closed IS NULL AND m.links_on;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    l.opened_at := least(l.opened_at, ms_time(opened_ms));
    IF ms_time(at_ms) < link_end(l) THEN
        RETURN false;
    END IF;
    invoices := array(
        SELECT i.id
          FROM link_invoice li
         CROSS JOIN LATERAL (SELECT y.id FROM invoice y
                              WHERE y.merchant_id = li.merchant_id AND y.id = li.invoice_id AND y.due_minor > 0 OFFSET 0) i
         WHERE li.merchant_id = l.merchant_id AND li.link_id = l.id
         ORDER BY li.position);
    IF cardinality(invoices) = 0
       OR (SELECT count(*) FROM mail x
            WHERE x.merchant_id = l.merchant_id AND x.customer_id = l.customer_id AND x.kind = 'renew'
              AND x.created_at > clock_timestamp() - interval '24 hours') >= 5 THEN
        RETURN false;
    END IF;
    PERFORM link_create(l.merchant_id::text, to_jsonb(invoices), successor, kid,
                        jsonb_build_object('lifetime_s', l.lifetime_ms / 1000));
    INSERT INTO mail (merchant_id, id, kind, customer_id, link_id, lang)
    VALUES (l.merchant_id, uuid7(), 'renew', l.customer_id, successor::uuid, nullif(lang, ''));
    RETURN true;
END
$$;
COMMENT ON FUNCTION paylink.renew_one(uuid, bigint, bigint, text, text, integer) IS
    'One element of link_renew: → whether there is a successor now.';

CREATE OR REPLACE FUNCTION paylink.link_renew(batch jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    b record;
    renewed integer := 0;
BEGIN
    PERFORM renew_lock(batch);
    FOR b IN SELECT x.*
               FROM jsonb_to_recordset(batch) AS x (link uuid, opened_ms bigint, at_ms bigint, lang text, successor text, kid integer)
              ORDER BY x.link, x.at_ms
    LOOP
        IF renew_one(b.link, b.opened_ms, b.at_ms, b.lang, b.successor, b.kid) THEN
            renewed := renewed + 1;
        END IF;
    END LOOP;
    RETURN jsonb_build_object('renewed', renewed);
END
$$;
COMMENT ON FUNCTION paylink.link_renew(jsonb) IS
    'batch [{link (hex), opened_ms (null: never), at_ms (when it was asked, both by Redis'' clock), lang (null: not known), '
    'successor (hex, 16 random bytes), kid}] → {renewed}. An expired link gets a successor for its open invoices, which '
    'replaces it, and a mail with the new link, unless the customer got five such mails in 24 hours. Idempotent: a link '
    'that was replaced already, by whatever, is left alone, and so is one that has not expired, was revoked, paid or '
    'voided, or whose merchant has switched links off. Errors: invalid_id, invalid_kid, invalid_amount.';

REVOKE ALL ON FUNCTION paylink.email_masked(text), paylink.renew_lock(jsonb),
    paylink.renew_one(uuid, bigint, bigint, text, text, integer), paylink.link_renew(jsonb)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION paylink.link_renew(jsonb) TO paylink_worker;

RESET ROLE;
