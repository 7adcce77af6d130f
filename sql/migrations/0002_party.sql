-- Merchants, their customers, and the audit of who did what. Knows no invoice and no money.

SET ROLE paylink_owner;

CREATE TABLE paylink.merchant (
    id                  uuid PRIMARY KEY,
    name                paylink.display_name NOT NULL,
    currency            text NOT NULL REFERENCES paylink.currency (code),
    when_paid_elsewhere text NOT NULL DEFAULT 'refuse'
                        CHECK (when_paid_elsewhere IN ('refuse', 'overpayment')),
    locale              paylink.language_tag NOT NULL DEFAULT 'en-US',
    link_ceiling_days   integer NOT NULL DEFAULT 180 CHECK (link_ceiling_days BETWEEN 1 AND 3660),
    gateway_account     text NOT NULL DEFAULT '' CHECK (gateway_account ~ '^[A-Za-z0-9_]{0,200}$'),
    created_at          timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE paylink.merchant IS
    'A tenant. Its id leads the primary key of every tenant table, so that a merchant''s rows lie together and '
    'can move to a shard together.';
COMMENT ON COLUMN paylink.merchant.currency IS 'Default currency of new invoices and credits.';
COMMENT ON COLUMN paylink.merchant.when_paid_elsewhere IS
    'What happens to a submit for an invoice that was meanwhile paid through another channel. '
    'refuse: it is not charged (reason "paid"). overpayment: a page that was rendered before the payment may still '
    'pay the amount it shows, once, and the whole amount becomes unapplied. It never applies after a gateway '
    'capture: a second card charge for the same invoice is always refused.';
COMMENT ON COLUMN paylink.merchant.link_ceiling_days IS 'A link that nobody opens dies after so many days.';
COMMENT ON COLUMN paylink.merchant.gateway_account IS 'The gateway''s publishable key: public by nature.';

CREATE TABLE paylink.customer (
    merchant_id uuid NOT NULL REFERENCES paylink.merchant (id),
    id          uuid NOT NULL,
    name        paylink.display_name NOT NULL,
    email       text NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    locale      paylink.language_tag,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant_id, id),
    CONSTRAINT customer_id_key UNIQUE (id)
);
COMMENT ON TABLE paylink.customer IS 'Who is invoiced. The e-mail address is the address on file.';
COMMENT ON COLUMN paylink.customer.locale IS 'BCP 47; null: the merchant''s.';

CREATE TABLE paylink.audit (
    merchant_id uuid NOT NULL REFERENCES paylink.merchant (id),
    id          uuid NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor       text NOT NULL,
    action      text NOT NULL,
    subject     text NOT NULL,
    detail      jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (merchant_id, id)
);
COMMENT ON TABLE paylink.audit IS
    'Who did what: one row per operator''s write, in its transaction, never changed.';
COMMENT ON COLUMN paylink.audit.actor IS 'Database login and application name.';

CREATE TRIGGER audit_immutable
    BEFORE UPDATE OR DELETE OR TRUNCATE ON paylink.audit
    FOR EACH STATEMENT EXECUTE FUNCTION paylink.refuse_change();

RESET ROLE;
