-- The outbox: what must be told outside once a transaction has committed. Knows no receiver.

SET ROLE paylink_owner;

CREATE TABLE paylink.outbox (
    merchant_id uuid NOT NULL,
    id          uuid NOT NULL,
    links       uuid[] NOT NULL DEFAULT '{}',
    invoices    uuid[] NOT NULL DEFAULT '{}',
    attempts    uuid[] NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT now(),
    lease_owner text,
    lease_until timestamptz,
    tries       integer NOT NULL DEFAULT 0,
    PRIMARY KEY (merchant_id, id),
    CONSTRAINT outbox_id_key UNIQUE (id),
    CONSTRAINT outbox_not_empty CHECK (cardinality(links) + cardinality(invoices) + cardinality(attempts) > 0)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
COMMENT ON TABLE paylink.outbox IS
    'Links and attempts whose published state is out of date: one row per transaction and merchant, so that a batch '
    'of a hundred bookings costs one row. Rows go once everything in them is published.';
COMMENT ON COLUMN paylink.outbox.invoices IS 'Invoices that changed: every link on them that is not closed has to be told.';

CREATE FUNCTION paylink.outbox_notify() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    PERFORM pg_notify('paylink_outbox', '');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION paylink.outbox_notify() IS 'Trigger: wakes whoever listens on paylink_outbox, once per transaction.';
REVOKE ALL ON FUNCTION paylink.outbox_notify() FROM PUBLIC;

CREATE TRIGGER outbox_notify
    AFTER INSERT ON paylink.outbox
    FOR EACH STATEMENT EXECUTE FUNCTION paylink.outbox_notify();

RESET ROLE;
