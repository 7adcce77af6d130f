-- Merchants: create, show, list, change. Knows no money but the default currency.

SET ROLE paylink_owner;

CREATE OR REPLACE FUNCTION paylink.merchant_json(m paylink.merchant) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = paylink, pg_temp
AS $$
    SELECT jsonb_build_object(
        'id', m.id, 'name', m.name, 'currency', m.currency, 'when_paid_elsewhere', m.when_paid_elsewhere,
        'locale', m.locale, 'link_ceiling_days', m.link_ceiling_days, 'gateway_account', m.gateway_account,
        'accent', m.accent, 'logo', hex_of(m.brand_logo), 'links_on', m.links_on,
        'choose_invoices', m.choose_invoices, 'partial_min_minor', m.partial_min_minor,
        'receipt_mail', m.receipt_mail, 'reply_to', m.reply_to, 'created_at', time_text(m.created_at))
$$;
COMMENT ON FUNCTION paylink.merchant_json(paylink.merchant) IS
    '{id, name, currency, when_paid_elsewhere, locale, link_ceiling_days, gateway_account, accent, logo (its name), links_on, '
    'choose_invoices, partial_min_minor (null: no partial payments), receipt_mail, reply_to, created_at}';

CREATE OR REPLACE FUNCTION paylink.merchant_apply(m paylink.merchant, settings jsonb) RETURNS paylink.merchant
    LANGUAGE plpgsql STABLE
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    name text := coalesce(json_text(settings, 'name', 200, 'invalid_name'), m.name);
    locale text := coalesce(json_text(settings, 'locale', 35, 'invalid_setting'), m.locale, 'en-US');
BEGIN
    PERFORM json_only(settings, ARRAY['name', 'currency', 'when_paid_elsewhere', 'locale', 'link_ceiling_days',
                                      'gateway_account', 'accent', 'brand_css', 'brand_logo', 'links_on', 'choose_invoices', 'partial_min_minor',
                                      'receipt_mail', 'reply_to'],
                      'invalid_setting');
    IF name IS NULL OR name !~ '^[^[:cntrl:]]{1,200}$' OR name ~ '^\s*$' THEN
        PERFORM refuse('invalid_name', 'A merchant''s name has 1 to 200 characters, none of them control characters.');
    END IF;
    m.name := name;
    m.currency := checked_currency(coalesce(json_text(settings, 'currency', 16, 'unknown_currency'), m.currency));
    m.when_paid_elsewhere := coalesce(json_text(settings, 'when_paid_elsewhere', 16, 'invalid_setting'),
                                      m.when_paid_elsewhere, 'refuse');
    IF m.when_paid_elsewhere NOT IN ('refuse', 'overpayment') THEN
        PERFORM refuse('invalid_setting', 'when_paid_elsewhere is refuse or overpayment.');
    END IF;
    IF locale !~ '^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}$' THEN
        PERFORM refuse('invalid_setting', 'locale is a BCP 47 language tag such as en-US.');
    END IF;
    m.locale := locale;
    m.link_ceiling_days := coalesce(m.link_ceiling_days, 180);
    IF settings ? 'link_ceiling_days' THEN
        m.link_ceiling_days := json_integer(settings, 'link_ceiling_days', 1, 3660, 'invalid_setting');
    END IF;
    m.gateway_account := coalesce(json_text(settings, 'gateway_account', 200, 'invalid_setting'), m.gateway_account, '');
    IF m.gateway_account !~ '^[A-Za-z0-9_]{0,200}$' THEN
        PERFORM refuse('invalid_setting', 'gateway_account is the gateway''s publishable key.');
    END IF;
    IF settings ? 'links_on' AND jsonb_typeof(settings -> 'links_on') <> 'boolean'
       OR settings ? 'choose_invoices' AND jsonb_typeof(settings -> 'choose_invoices') <> 'boolean'
       OR settings ? 'receipt_mail' AND jsonb_typeof(settings -> 'receipt_mail') <> 'boolean' THEN
        PERFORM refuse('invalid_setting', 'links_on, choose_invoices and receipt_mail are true or false.');
    END IF;
    m.choose_invoices := coalesce((settings ->> 'choose_invoices')::boolean, m.choose_invoices, false);
    IF settings -> 'partial_min_minor' = 'null' THEN
        m.partial_min_minor := NULL;
    ELSIF settings ? 'partial_min_minor' THEN
        m.partial_min_minor := json_integer(settings, 'partial_min_minor', 1, 9999999999999999, 'invalid_setting');
    END IF;
    m.receipt_mail := coalesce((settings ->> 'receipt_mail')::boolean, m.receipt_mail, true);
    IF settings -> 'reply_to' = 'null' THEN
        m.reply_to := NULL;
    ELSIF settings ? 'reply_to' THEN
        m.reply_to := checked_email(json_text(settings, 'reply_to', 254, 'invalid_email'));
    END IF;
    m.links_on := coalesce((settings ->> 'links_on')::boolean, m.links_on, true);
    RETURN m;
END
$$;
COMMENT ON FUNCTION paylink.merchant_apply(paylink.merchant, jsonb) IS
    'The merchant with settings applied and defaults filled. Errors: invalid_setting, invalid_name, unknown_currency, '
    'invalid_email.';

CREATE OR REPLACE FUNCTION paylink.merchant_create(name text, currency text, settings jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    m merchant;
BEGIN
    m := merchant_apply(m, coalesce(settings, '{}') || jsonb_build_object('name', name, 'currency', coalesce(currency, '')));
    m.id := uuid7();
    m.created_at := now();
    INSERT INTO merchant SELECT m.*;
    m := brand_apply(m, settings);
    UPDATE merchant x SET (accent, brand_css, brand_logo) = (m.accent, m.brand_css, m.brand_logo) WHERE x.id = m.id;
    PERFORM audit_write(m.id, 'merchant.create', m.id::text, merchant_json(m));
    RETURN merchant_json(m);
END
$$;
COMMENT ON FUNCTION paylink.merchant_create(text, text, jsonb) IS
    'New merchant; settings: when_paid_elsewhere, locale, link_ceiling_days, gateway_account, links_on, choose_invoices, '
    'partial_min_minor (null: payers pay all that is due), receipt_mail, reply_to (null: the sender''s) and those of '
    'brand_apply. → merchant_json. Errors: invalid_name, unknown_currency, invalid_setting, invalid_email.';

CREATE OR REPLACE FUNCTION paylink.merchant_show(id text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    wanted uuid := uuid_arg(id, 'merchant');
    m merchant;
BEGIN
    SELECT x.* INTO m FROM merchant x WHERE x.id = wanted;
    IF NOT FOUND THEN
        PERFORM refuse('not_found', format('There is no merchant %s.', wanted));
    END IF;
    RETURN merchant_json(m);
END
$$;
COMMENT ON FUNCTION paylink.merchant_show(text) IS '→ merchant_json. Errors: invalid_id, not_found.';

CREATE OR REPLACE FUNCTION paylink.merchant_list() RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
    SELECT coalesce(jsonb_agg(merchant_json(m) ORDER BY m.id), '[]') FROM merchant m
$$;
COMMENT ON FUNCTION paylink.merchant_list() IS '→ [merchant_json …], oldest first.';

CREATE OR REPLACE FUNCTION paylink.merchant_change(id text, settings jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    wanted uuid := uuid_arg(id, 'merchant');
    m merchant;
    before jsonb;
BEGIN
    SELECT x.* INTO m FROM merchant x WHERE x.id = wanted FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM refuse('not_found', format('There is no merchant %s.', wanted));
    END IF;
    before := merchant_json(m);
    m := brand_apply(merchant_apply(m, settings), settings);
    UPDATE merchant x
       SET (name, currency, when_paid_elsewhere, locale, link_ceiling_days, gateway_account, accent, brand_css, brand_logo,
            links_on, choose_invoices, partial_min_minor, receipt_mail, reply_to)
         = (m.name, m.currency, m.when_paid_elsewhere, m.locale, m.link_ceiling_days, m.gateway_account, m.accent, m.brand_css,
            m.brand_logo, m.links_on, m.choose_invoices, m.partial_min_minor, m.receipt_mail, m.reply_to)
     WHERE x.id = wanted;
    PERFORM audit_write(wanted, 'merchant.change', wanted::text, jsonb_build_object('before', before, 'after', merchant_json(m)));
    INSERT INTO outbox (merchant_id, id, links)
    SELECT wanted, uuid7(), array_agg(n.id)
      FROM (SELECT l.id, row_number() OVER () AS nth FROM link l WHERE l.merchant_id = wanted AND l.closed IS NULL) n
     GROUP BY n.nth / 500;
    RETURN merchant_json(m);
END
$$;
COMMENT ON FUNCTION paylink.merchant_change(text, jsonb) IS
    'Changes settings (those of merchant_create, name, currency); its living links are published again. → merchant_json. '
    'Errors: invalid_id, not_found, invalid_setting, invalid_name, unknown_currency, invalid_email.';

REVOKE ALL ON FUNCTION paylink.merchant_json(paylink.merchant), paylink.merchant_apply(paylink.merchant, jsonb),
    paylink.merchant_create(text, text, jsonb), paylink.merchant_show(text), paylink.merchant_list(),
    paylink.merchant_change(text, jsonb)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION paylink.merchant_create(text, text, jsonb), paylink.merchant_show(text),
    paylink.merchant_list(), paylink.merchant_change(text, jsonb)
    TO paylink_operator;

RESET ROLE;
