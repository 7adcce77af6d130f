-- What the settle bench prepares, in a schema of its own; everything goes through Paylink's own functions.

CREATE SCHEMA bench;
CREATE SEQUENCE bench.next_batch;
CREATE TABLE bench.link (n serial PRIMARY KEY, link uuid NOT NULL, invoice text NOT NULL);
CREATE TABLE bench.batch (n serial PRIMARY KEY, body jsonb NOT NULL);

-- So many links, each with an invoice of one line.
CREATE PROCEDURE bench.links_make(merchant text, customer text, tag text, kid integer, how_many integer)
    LANGUAGE plpgsql
AS $$
DECLARE
    made integer := 0;
BEGIN
    WHILE made < how_many LOOP
        WITH invoices AS MATERIALIZED (
            SELECT gen_random_uuid() AS link,
                   paylink.invoice_create(merchant, customer, format('%s-%s', tag, made + n), 'USD',
                       '[{"description": "Lathe service", "quantity": 1, "unit_minor": 12500}]', '2030-12-31') ->> 'id' AS id
              FROM generate_series(1, 100) AS n
        ), links AS MATERIALIZED (
            SELECT i.*, paylink.link_create(merchant, jsonb_build_array(i.id), replace(i.link::text, '-', ''), kid, '{}')
              FROM invoices i
        )
        INSERT INTO bench.link (link, invoice) SELECT l.link, l.id FROM links l;
        made := made + 100;
        COMMIT;
    END LOOP;
END
$$;

-- Registers submits for the links from_n … to_n and keeps what the gateway would say of them, by the hundred.
CREATE PROCEDURE bench.batches_make(from_n integer, to_n integer)
    LANGUAGE plpgsql
AS $$
DECLARE
    registered jsonb;
BEGIN
    FOR batch_n IN from_n .. to_n BY 100 LOOP
        SELECT paylink.attempt_register('bench', 3600000, jsonb_agg(jsonb_build_object(
                   'attempt', paylink.uuid7(), 'link', l.link, 'version', 1, 'amount_minor', 12500,
                   'payment_method', 'pm_card_visa', 'at_ms', paylink.time_ms(now()), 'opened_ms', paylink.time_ms(now()),
                   'overpay', false)))
          INTO registered
          FROM bench.link l
         WHERE l.n BETWEEN batch_n AND batch_n + 99;
        IF EXISTS (SELECT FROM jsonb_array_elements(registered) AS r WHERE r ->> 'action' <> 'charge') THEN
            RAISE EXCEPTION 'not all may be charged: %', registered;
        END IF;
        INSERT INTO bench.batch (body)
        SELECT jsonb_agg(jsonb_build_object(
                   'attempt', r -> 'attempt', 'outcome', 'captured', 'gateway_ref', 'pi_' || gen_random_uuid(),
                   'charge_ref', 'ch_' || gen_random_uuid(), 'amount_minor', 12500, 'currency', 'USD',
                   'card_brand', 'visa', 'card_last4', '4242'))
          FROM jsonb_array_elements(registered) AS r;
        COMMIT;
    END LOOP;
END
$$;
