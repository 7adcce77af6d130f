-- The outbox: claim, done. Losing a claim or a "done" only publishes once more, so both commit without waiting
-- for the disk. Knows nothing of what is published where.

SET ROLE paylink_owner;

CREATE OR REPLACE FUNCTION paylink.outbox_claim(worker text, lease_ms bigint, id_limit integer) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = paylink, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    answer jsonb;
BEGIN
    -- Not as a setting of the function: that would be over before the transaction commits.
    SET LOCAL synchronous_commit = off;
    WITH waiting AS (
        SELECT o.merchant_id, o.id, cardinality(o.links) + cardinality(o.invoices) + cardinality(o.attempts) AS size
          FROM outbox o
         WHERE o.lease_until IS NULL OR o.lease_until < clock_timestamp()
         ORDER BY o.id
         LIMIT greatest(id_limit, 1)
           FOR UPDATE SKIP LOCKED
    ), free AS (
        SELECT s.merchant_id, s.id
          FROM (SELECT w.*, sum(w.size) OVER (ORDER BY w.id) - w.size AS before FROM waiting w) s
         WHERE s.before < greatest(id_limit, 1)
    ), taken AS (
        UPDATE outbox o
           SET lease_owner = worker,
               lease_until = clock_timestamp() + make_interval(secs => lease_ms / 1000.0),
               tries = o.tries + 1
          FROM free f
         WHERE o.id = ANY (ARRAY[f.id])
        RETURNING o.merchant_id, o.id, o.links, o.invoices, o.attempts
    ), told AS (
        SELECT x AS link_id FROM taken t, unnest(t.links) AS x
         UNION
        SELECT l.id
          FROM (SELECT t.merchant_id, x AS invoice_id FROM taken t, unnest(t.invoices) AS x OFFSET 0) c
         CROSS JOIN LATERAL (SELECT y.merchant_id, y.link_id FROM link_invoice y
                              WHERE y.merchant_id = c.merchant_id AND y.invoice_id = c.invoice_id OFFSET 0) li
         CROSS JOIN LATERAL (SELECT y.id, y.closed FROM link y
                              WHERE y.merchant_id = li.merchant_id AND y.id = li.link_id OFFSET 0) l
         WHERE l.closed IS NULL
    )
    SELECT jsonb_build_object(
        'ids', coalesce((SELECT jsonb_agg(t.id) FROM taken t), '[]'),
        'links', coalesce((SELECT jsonb_agg(hex_of(t.link_id)) FROM told t), '[]'),
        'attempts', coalesce((SELECT jsonb_agg(DISTINCT x) FROM taken t, unnest(t.attempts) AS x), '[]'))
      INTO answer;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION paylink.outbox_claim(text, bigint, integer) IS
    'Takes waiting rows with about id_limit ids in them for lease_ms; a lapsed lease makes a row free again. '
    'The open links of changed '
    'invoices are found here, not while booking. '
    '→ {ids: [uuid …], links: [hex …], attempts: [uuid …]}, links and attempts distinct.';

CREATE OR REPLACE FUNCTION paylink.outbox_done(ids jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    gone integer;
BEGIN
    SET LOCAL synchronous_commit = off;
    DELETE FROM outbox o WHERE o.id = ANY (array(SELECT x::uuid FROM jsonb_array_elements_text(ids) AS x));
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN jsonb_build_object('done', gone);
END
$$;
COMMENT ON FUNCTION paylink.outbox_done(jsonb) IS 'ids of outbox_claim whose links and attempts are all published. → {done}.';

REVOKE ALL ON FUNCTION paylink.outbox_claim(text, bigint, integer), paylink.outbox_done(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION paylink.outbox_claim(text, bigint, integer), paylink.outbox_done(jsonb) TO paylink_worker;

RESET ROLE;
