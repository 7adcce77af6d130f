-- Small things that every other function uses: ids, refusals, checked reading of JSON. Knows no table but audit and
-- outbox. The one-line SQL functions are neither STRICT nor more immutable than their bodies, so that the planner
-- inlines them: called, each would cost as much as an index lookup.

SET ROLE paylink_owner;

CREATE OR REPLACE FUNCTION paylink.uuid7() RETURNS uuid
    LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN (overlay(lpad(to_hex(floor(extract(epoch FROM clock_timestamp()) * 4096000)::bigint), 15, '0') PLACING '7' FROM 13 FOR 0)
        || substr(gen_random_uuid()::text, 20))::uuid;
COMMENT ON FUNCTION paylink.uuid7() IS
    'A UUIDv7 (RFC 9562): 48 bits of milliseconds, version 7, 12 bits of the fraction of the millisecond, then random '
    'bits under the variant. Ordered by time to the microsecond, so that new rows go to the end of an index. One reading '
    'of the clock gives both parts, in 1/4096 ms.';

CREATE OR REPLACE FUNCTION paylink.hex_of(id uuid) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN replace(id::text, '-', '');
COMMENT ON FUNCTION paylink.hex_of(uuid) IS 'A link id as 32 lower-case hexadecimal digits.';

CREATE OR REPLACE FUNCTION paylink.time_text(at timestamptz) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
RETURN to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
COMMENT ON FUNCTION paylink.time_text(timestamptz) IS 'RFC 3339, UTC, milliseconds.';

CREATE OR REPLACE FUNCTION paylink.time_ms(at timestamptz) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
RETURN floor(extract(epoch FROM at) * 1000)::bigint;
COMMENT ON FUNCTION paylink.time_ms(timestamptz) IS 'Milliseconds since the epoch.';

CREATE OR REPLACE FUNCTION paylink.ms_time(ms bigint) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_timestamp(ms / 1000.0);
COMMENT ON FUNCTION paylink.ms_time(bigint) IS 'The inverse of time_ms.';

CREATE OR REPLACE FUNCTION paylink.refuse(code text, sentence text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'PL001', MESSAGE = sentence, DETAIL = code;
END
$$;
COMMENT ON FUNCTION paylink.refuse(text, text) IS
    'Raises SQLSTATE PL001: MESSAGE is the sentence for people, DETAIL the stable code for programs.';

CREATE OR REPLACE FUNCTION paylink.uuid_arg(given text, what text) RETURNS uuid
    LANGUAGE plpgsql IMMUTABLE
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    IF given IS NULL OR given !~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$' THEN
        PERFORM refuse('invalid_id', format('"%s" is not the id of a %s.', left(coalesce(given, ''), 64), what));
    END IF;
    RETURN given::uuid;
END
$$;
COMMENT ON FUNCTION paylink.uuid_arg(text, text) IS 'A caller''s id as uuid. Errors: invalid_id.';

CREATE OR REPLACE FUNCTION paylink.link_arg(given text) RETURNS uuid
    LANGUAGE plpgsql IMMUTABLE
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    IF given IS NULL OR given !~ '^[0-9a-f]{32}$' THEN
        PERFORM refuse('invalid_id', format('"%s" is not the id of a link: 32 lower-case hexadecimal digits.',
                                            left(coalesce(given, ''), 64)));
    END IF;
    RETURN given::uuid;
END
$$;
COMMENT ON FUNCTION paylink.link_arg(text) IS 'A caller''s link id as uuid. Errors: invalid_id.';

CREATE OR REPLACE FUNCTION paylink.json_integer(doc jsonb, field text, low bigint, high bigint, code text) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    n numeric;
BEGIN
    IF jsonb_typeof(doc -> field) = 'number' THEN
        n := (doc ->> field)::numeric;
    END IF;
    IF n IS NULL OR n <> trunc(n) OR n < low OR n > high THEN
        PERFORM refuse(code, format('%s must be a whole number from %s to %s.', field, low, high));
    END IF;
    RETURN n::bigint;
END
$$;
COMMENT ON FUNCTION paylink.json_integer(jsonb, text, bigint, bigint, text) IS
    'A required whole number of a JSON object; anything else (1.5, "1", null, out of range) raises the given code.';

CREATE OR REPLACE FUNCTION paylink.json_text(doc jsonb, field text, length_max integer, code text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    IF doc -> field IS NULL OR jsonb_typeof(doc -> field) = 'null' THEN
        RETURN NULL;
    END IF;
    IF jsonb_typeof(doc -> field) <> 'string' OR length(doc ->> field) > length_max THEN
        PERFORM refuse(code, format('%s must be a text of at most %s characters.', field, length_max));
    END IF;
    RETURN doc ->> field;
END
$$;
COMMENT ON FUNCTION paylink.json_text(jsonb, text, integer, text) IS 'An optional text of a JSON object, or the given code.';

CREATE OR REPLACE FUNCTION paylink.json_only(doc jsonb, allowed text[], code text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    stray text;
BEGIN
    IF jsonb_typeof(doc) IS DISTINCT FROM 'object' THEN
        PERFORM refuse(code, 'A JSON object is expected.');
    END IF;
    SELECT k INTO stray FROM jsonb_object_keys(doc) AS k WHERE k <> ALL (allowed) LIMIT 1;
    IF FOUND THEN
        PERFORM refuse(code, format('There is no setting "%s"; known are: %s.', left(stray, 64), array_to_string(allowed, ', ')));
    END IF;
END
$$;
COMMENT ON FUNCTION paylink.json_only(jsonb, text[], text) IS
    'Refuses a JSON document that is no object or has a key that is not allowed: a misspelt option must not pass unnoticed.';

CREATE OR REPLACE FUNCTION paylink.checked_amount(amount_minor bigint) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    IF amount_minor IS NULL OR amount_minor <= 0 OR amount_minor > 9999999999999999 THEN
        PERFORM refuse('invalid_amount', 'The amount must be from 1 to 9999999999999999 minor units.');
    END IF;
    RETURN amount_minor;
END
$$;
COMMENT ON FUNCTION paylink.checked_amount(bigint) IS 'The amount itself. Errors: invalid_amount.';

CREATE OR REPLACE FUNCTION paylink.checked_currency(code text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    IF code IS NULL OR NOT EXISTS (SELECT FROM currency c WHERE c.code = checked_currency.code) THEN
        PERFORM refuse('unknown_currency', format('"%s" is not the ISO 4217 code of a currency with a minor unit.',
                                                  left(coalesce(code, ''), 16)));
    END IF;
    RETURN code;
END
$$;
COMMENT ON FUNCTION paylink.checked_currency(text) IS 'The code itself. Errors: unknown_currency.';

CREATE OR REPLACE FUNCTION paylink.checked_email(address text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    -- It goes into mail headers: nothing that could end a line, and exactly one @.
    IF address IS NULL OR length(address) > 254
       OR address !~ '^[^[:space:][:cntrl:]@<>,;"]+@[^[:space:][:cntrl:]@<>,;"]+$' THEN
        PERFORM refuse('invalid_email', format('"%s" is not an e-mail address.', left(coalesce(address, ''), 64)));
    END IF;
    RETURN address;
END
$$;
COMMENT ON FUNCTION paylink.checked_email(text) IS 'The address itself. Errors: invalid_email.';

CREATE OR REPLACE FUNCTION paylink.audit_write(merchant uuid, action text, subject text, detail jsonb) RETURNS void
    LANGUAGE sql VOLATILE
    SET search_path = paylink, pg_temp
AS $$
    INSERT INTO audit (merchant_id, id, actor, action, subject, detail)
    VALUES (merchant, uuid7(), session_user || '/' || left(current_setting('application_name'), 64), action, subject, detail)
$$;
COMMENT ON FUNCTION paylink.audit_write(uuid, text, text, jsonb) IS 'One audit row in the caller''s transaction.';

CREATE OR REPLACE FUNCTION paylink.outbox_put(merchant uuid, links uuid[], invoices uuid[], attempts uuid[]) RETURNS void
    LANGUAGE sql VOLATILE
    SET search_path = paylink, pg_temp
AS $$
    INSERT INTO outbox (merchant_id, id, links, invoices, attempts)
    SELECT merchant, uuid7(), links, invoices, attempts
     WHERE cardinality(links) + cardinality(invoices) + cardinality(attempts) > 0
$$;
COMMENT ON FUNCTION paylink.outbox_put(uuid, uuid[], uuid[], uuid[]) IS
    'One outbox row: these links and attempts, and every open link of these invoices, are to be published again.';

REVOKE ALL ON FUNCTION
    paylink.uuid7(), paylink.hex_of(uuid), paylink.time_text(timestamptz), paylink.time_ms(timestamptz),
    paylink.ms_time(bigint), paylink.refuse(text, text), paylink.uuid_arg(text, text), paylink.link_arg(text),
    paylink.json_integer(jsonb, text, bigint, bigint, text), paylink.json_text(jsonb, text, integer, text),
    paylink.json_only(jsonb, text[], text), paylink.checked_amount(bigint), paylink.checked_currency(text),
    paylink.checked_email(text),
    paylink.audit_write(uuid, text, text, jsonb), paylink.outbox_put(uuid, uuid[], uuid[], uuid[])
    FROM PUBLIC;

RESET ROLE;
