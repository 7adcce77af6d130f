-- What the books say was done at the gateway, page by page, for a comparison with the gateway's own list.
-- Changes nothing.

SET ROLE paylink_owner;

CREATE OR REPLACE FUNCTION paylink.gateway_captures(after_merchant text, after_id text, row_limit integer) RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'merchant', p.merchant_id, 'id', p.id, 'gateway_ref', p.gateway_ref,
               'amount_minor', p.amount_minor, 'currency', p.currency) ORDER BY p.merchant_id, p.id), '[]')
      FROM (SELECT x.*
              FROM payment x
             WHERE x.attempt_id IS NOT NULL
               AND (x.merchant_id, x.id) > (coalesce(after_merchant, '00000000-0000-0000-0000-000000000000')::uuid,
                                            coalesce(after_id, '00000000-0000-0000-0000-000000000000')::uuid)
             ORDER BY x.merchant_id, x.id
             LIMIT least(row_limit, 10000)) p
$$;
COMMENT ON FUNCTION paylink.gateway_captures(text, text, integer) IS
    'Booked captures behind {merchant, id} of the page before (null: from the start), at most 10,000: [{merchant, id (of '
    'the attempt), gateway_ref, amount_minor, currency}].';

CREATE OR REPLACE FUNCTION paylink.gateway_refunds(after_merchant text, after_id text, row_limit integer) RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'merchant', r.merchant_id, 'id', r.id, 'gateway_ref', r.gateway_ref,
               'amount_minor', r.amount_minor, 'currency', r.currency) ORDER BY r.merchant_id, r.id), '[]')
      FROM (SELECT x.*
              FROM refund x
             WHERE x.state = 'succeeded' AND x.gateway_ref IS NOT NULL
               AND (x.merchant_id, x.id) > (coalesce(after_merchant, '00000000-0000-0000-0000-000000000000')::uuid,
                                            coalesce(after_id, ''))
             ORDER BY x.merchant_id, x.id
             LIMIT least(row_limit, 10000)) r
$$;
COMMENT ON FUNCTION paylink.gateway_refunds(text, text, integer) IS
    'The same for refunds that succeeded at the gateway; id is the refund''s key.';

REVOKE ALL ON FUNCTION paylink.gateway_captures(text, text, integer), paylink.gateway_refunds(text, text, integer)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION paylink.gateway_captures(text, text, integer), paylink.gateway_refunds(text, text, integer)
    TO paylink_operator;

RESET ROLE;
