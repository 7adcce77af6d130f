-- What a receipt says of a paid link: what its page says, and the lines of its invoices. Knows no wording.

SET ROLE paylink_owner;

CREATE OR REPLACE FUNCTION paylink.receipt_snapshot(link text, line_limit integer) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    snapshot jsonb := link_snapshot(jsonb_build_array(receipt_snapshot.link)) -> 0;
    line_count bigint;
    invoices jsonb;
BEGIN
    IF snapshot ->> 'state' <> 'paid' THEN
        RETURN NULL;
    END IF;
    SELECT sum(n.line_count), jsonb_agg(jsonb_build_object(
               'number', i.number, 'total_minor', i.total_minor,
               'lines', CASE WHEN n.line_count <= line_limit THEN n.lines END) ORDER BY li.position)
      INTO line_count, invoices
      FROM link_invoice li
     CROSS JOIN LATERAL (
           SELECT x.id, x.number, x.total_minor, x.revision
             FROM invoice x
            WHERE x.merchant_id = li.merchant_id AND x.id = li.invoice_id AND x.voided_at IS NULL
           OFFSET 0) i
     CROSS JOIN LATERAL (
           SELECT count(*) AS line_count, jsonb_agg(jsonb_build_object(
                      'description', l.description, 'quantity', l.quantity, 'unit_minor', l.unit_minor,
                      'total_minor', l.total_minor) ORDER BY l.line) AS lines
             FROM invoice_line l
            WHERE l.merchant_id = li.merchant_id AND l.invoice_id = i.id AND l.revision = i.revision) n
     WHERE li.merchant_id = (snapshot ->> 'merchant_id')::uuid AND li.link_id = receipt_snapshot.link::uuid;
    IF line_count > line_limit THEN
        invoices := (SELECT jsonb_agg(x.invoice - 'lines' ORDER BY x.n) FROM jsonb_array_elements(invoices) WITH ORDINALITY AS x (invoice, n));
    END IF;
    RETURN snapshot || jsonb_build_object(
        'invoices', invoices,
        'accent', (SELECT m.accent FROM merchant m WHERE m.id = (snapshot ->> 'merchant_id')::uuid));
END
$$;
COMMENT ON FUNCTION paylink.receipt_snapshot(text, integer) IS
    'link (hex) → what link_snapshot says of it, with accent (#rrggbb or null) and invoices [{number, total_minor, lines '
    '[{description, quantity, unit_minor, total_minor}]}], those that are void left out; without any lines if they are more '
    'than line_limit together. null: it is not paid.';

REVOKE ALL ON FUNCTION paylink.receipt_snapshot(text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION paylink.receipt_snapshot(text, integer) TO paylink_worker;

RESET ROLE;
