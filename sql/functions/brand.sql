-- What a merchant's pages look like: style sheets and logos by their content. Knows no page and no colour.

SET ROLE paylink_owner;

CREATE OR REPLACE FUNCTION paylink.brand_keep(merchant uuid, type text, content text) RETURNS uuid
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    bytes bytea;
    name uuid;
BEGIN
    IF length(content) > 131072 OR content !~ '^([0-9a-f]{2})+$' THEN
        PERFORM refuse('invalid_setting', 'A style sheet or a logo has 1 to 65536 bytes, in hexadecimal digits.');
    END IF;
    bytes := decode(content, 'hex');
    name := encode(substr(sha256(bytes), 1, 16), 'hex')::uuid;
    INSERT INTO brand_asset (merchant_id, hash, type, body) VALUES (merchant, name, type, bytes)
    ON CONFLICT (merchant_id, hash) DO NOTHING;
    RETURN name;
END
$$;
COMMENT ON FUNCTION paylink.brand_keep(uuid, text, text) IS
    'Keeps a style sheet (css) or logo (png), in hex, for a merchant. → its name. Errors: invalid_setting.';

CREATE OR REPLACE FUNCTION paylink.brand_apply(m paylink.merchant, settings jsonb) RETURNS paylink.merchant
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    accent text := settings ->> 'accent';
    sheet text := settings ->> 'brand_css';
    logo text := settings ->> 'brand_logo';
BEGIN
    IF (accent IS NULL) <> (sheet IS NULL) OR (accent = '') <> (sheet = '') OR accent !~ '^(#[0-9a-f]{6})?$' THEN
        PERFORM refuse('invalid_setting', 'accent is a colour, #rrggbb, and comes with its style sheet; both empty: none.');
    END IF;
    IF accent IS NOT NULL THEN
        m.accent := nullif(accent, '');
        m.brand_css := CASE WHEN sheet <> '' THEN brand_keep(m.id, 'css', sheet) END;
    END IF;
    IF logo IS NOT NULL THEN
        m.brand_logo := CASE WHEN logo <> '' THEN brand_keep(m.id, 'png', logo) END;
    END IF;
    RETURN m;
END
$$;
COMMENT ON FUNCTION paylink.brand_apply(paylink.merchant, jsonb) IS
    'The merchant, which is in the books, with its look changed: accent (#rrggbb) with brand_css (hex), brand_logo (hex of a '
    'PNG); "" takes one away. Errors: invalid_setting.';

CREATE OR REPLACE FUNCTION paylink.brand_integrity(merchant uuid, sheet uuid) RETURNS text
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'sha256-' || encode(sha256(b.body), 'base64')
      FROM paylink.brand_asset b
     WHERE b.merchant_id = merchant AND b.hash = sheet;
END;
COMMENT ON FUNCTION paylink.brand_integrity(uuid, uuid) IS
    'The subresource integrity of a merchant''s style sheet, as HTML writes it; null without one.';

CREATE OR REPLACE FUNCTION paylink.brand_snapshot(ids jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_build_object('brand', w.hex, 'type', coalesce(b.type, 'absent'),
                                                     'body', encode(b.body, 'hex')) ORDER BY w.n), '[]')
          FROM jsonb_array_elements_text(ids) WITH ORDINALITY AS w (hex, n)
          LEFT JOIN LATERAL (
               SELECT x.type, x.body FROM brand_asset x WHERE x.hash = w.hex::uuid LIMIT 1) b ON true);
END
$$;
COMMENT ON FUNCTION paylink.brand_snapshot(jsonb) IS
    'ids [hex …] → in the same order [{brand, type: css|png|absent, body (hex, null when absent)}].';

REVOKE ALL ON FUNCTION paylink.brand_keep(uuid, text, text), paylink.brand_apply(paylink.merchant, jsonb),
    paylink.brand_integrity(uuid, uuid), paylink.brand_snapshot(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION paylink.brand_snapshot(jsonb) TO paylink_worker;

RESET ROLE;
