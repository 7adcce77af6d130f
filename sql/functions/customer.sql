-- Customers: create, show, list. Knows no invoice.

SET ROLE paylink_owner;

CREATE OR REPLACE FUNCTION paylink.customer_json(c paylink.customer) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = paylink, pg_temp
AS $$
    SELECT jsonb_build_object(
        'id', c.id, 'merchant', c.merchant_id, 'name', c.name, 'email', c.email, 'locale', c.locale,
        'created_at', time_text(c.created_at))
$$;
COMMENT ON FUNCTION paylink.customer_json(paylink.customer) IS '{id, merchant, name, email, locale, created_at}';

CREATE OR REPLACE FUNCTION paylink.customer_create(merchant text, name text, email text, settings jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    c customer;
BEGIN
    c.merchant_id := uuid_arg(merchant, 'merchant');
    IF NOT EXISTS (SELECT FROM merchant m WHERE m.id = c.merchant_id) THEN
        PERFORM refuse('not_found', format('There is no merchant %s.', c.merchant_id));
    END IF;
    IF name IS NULL OR name !~ '^[^[:cntrl:]]{1,200}$' OR name ~ '^\s*$' THEN
        PERFORM refuse('invalid_name', 'A customer''s name has 1 to 200 characters, none of them control characters.');
    END IF;
    settings := coalesce(settings, '{}');
    PERFORM json_only(settings, ARRAY['locale'], 'invalid_setting');
    IF json_text(settings, 'locale', 35, 'invalid_setting') !~ '^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}$' THEN
        PERFORM refuse('invalid_setting', 'locale is a BCP 47 language tag such as en-US.');
    END IF;
    c.locale := settings ->> 'locale';
    c.id := uuid7();
    c.name := name;
    c.email := checked_email(email);
    c.created_at := now();
    INSERT INTO customer SELECT c.*;
    PERFORM audit_write(c.merchant_id, 'customer.create', c.id::text, customer_json(c));
    RETURN customer_json(c);
END
$$;
COMMENT ON FUNCTION paylink.customer_create(text, text, text, jsonb) IS
    'New customer of a merchant; settings: locale. → customer_json. '
    'Errors: invalid_id, not_found, invalid_name, invalid_email, invalid_setting.';

CREATE OR REPLACE FUNCTION paylink.customer_show(id text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    wanted uuid := uuid_arg(id, 'customer');
    c customer;
BEGIN
    SELECT x.* INTO c FROM customer x WHERE x.id = wanted;
    IF NOT FOUND THEN
        PERFORM refuse('not_found', format('There is no customer %s.', wanted));
    END IF;
    RETURN customer_json(c);
END
$$;
COMMENT ON FUNCTION paylink.customer_show(text) IS '→ customer_json. Errors: invalid_id, not_found.';

CREATE OR REPLACE FUNCTION paylink.customer_list(merchant text) RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
    SELECT coalesce(jsonb_agg(customer_json(c) ORDER BY c.id), '[]')
      FROM customer c
     WHERE c.merchant_id = uuid_arg(merchant, 'merchant')
$$;
COMMENT ON FUNCTION paylink.customer_list(text) IS '→ [customer_json …] of a merchant, oldest first. Errors: invalid_id.';

REVOKE ALL ON FUNCTION paylink.customer_json(paylink.customer), paylink.customer_create(text, text, text, jsonb),
    paylink.customer_show(text), paylink.customer_list(text)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION paylink.customer_create(text, text, text, jsonb), paylink.customer_show(text),
    paylink.customer_list(text)
    TO paylink_operator;

RESET ROLE;
