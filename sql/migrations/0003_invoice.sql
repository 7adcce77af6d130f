-- Invoices with their lines and revisions, and the payment links that collect them. Knows no payment: what
-- was paid arrives here as paid_minor, kept by the functions that allocate.

SET ROLE paylink_owner;

CREATE TABLE paylink.invoice (
    merchant_id     uuid NOT NULL,
    id              uuid NOT NULL,
    customer_id     uuid NOT NULL,
    number          paylink.invoice_number NOT NULL,
    currency        text NOT NULL REFERENCES paylink.currency (code),
    revision        integer NOT NULL DEFAULT 1 CHECK (revision >= 1),
    change_count    bigint NOT NULL DEFAULT 0 CHECK (change_count >= 0),
    total_minor     paylink.positive_minor NOT NULL,
    paid_minor      paylink.total_minor NOT NULL DEFAULT 0,
    prior_due_minor bigint NOT NULL DEFAULT 0,
    paid_at         timestamptz,
    due_date        date,
    voided_at       timestamptz,
    void_reason     text CHECK (length(void_reason) <= 500),
    created_at      timestamptz NOT NULL DEFAULT now(),
    state           text NOT NULL GENERATED ALWAYS AS (
                        CASE WHEN voided_at IS NOT NULL THEN 'void'
                             WHEN paid_minor = total_minor THEN 'paid'
                             ELSE 'open' END) STORED,
    due_minor       bigint NOT NULL GENERATED ALWAYS AS (
                        CASE WHEN voided_at IS NOT NULL THEN 0 ELSE total_minor - paid_minor END) STORED,
    PRIMARY KEY (merchant_id, id),
    CONSTRAINT invoice_id_key UNIQUE (id),
    CONSTRAINT invoice_number_key UNIQUE (merchant_id, number),
    CONSTRAINT invoice_never_overpaid CHECK (paid_minor <= total_minor),
    CONSTRAINT invoice_void_has_reason CHECK ((voided_at IS NULL) = (void_reason IS NULL)),
    CONSTRAINT invoice_paid_since CHECK ((paid_minor = total_minor) = (paid_at IS NOT NULL)),
    FOREIGN KEY (merchant_id, customer_id) REFERENCES paylink.customer (merchant_id, id)
) WITH (fillfactor = 45); -- neighbours are paid in one batch: room for a second version of each, so that no index is touched
CREATE INDEX invoice_by_customer ON paylink.invoice (merchant_id, customer_id, id);
COMMENT ON TABLE paylink.invoice IS
    'What a customer owes. State and due amount are generated from the facts in the row, so that they cannot '
    'disagree with them. An invoice is never overpaid: what exceeds the due amount stays unapplied with its payment.';
COMMENT ON COLUMN paylink.invoice.change_count IS
    'Grows by one with every change that a payer could see: lines, total, due date, paid amount, voiding. The versions '
    'of its links are made of it.';
COMMENT ON COLUMN paylink.invoice.paid_minor IS
    'Sum of the invoice''s allocations. Never decreases: a refund takes from the payment and from the contra revenue '
    'account "refunds"; it does not make the invoice open again.';
COMMENT ON COLUMN paylink.invoice.prior_due_minor IS 'What was due before the last change of paid_minor.';
COMMENT ON COLUMN paylink.invoice.paid_at IS 'Since when nothing is due because all is paid.';
COMMENT ON COLUMN paylink.invoice.voided_at IS
    'Voiding reverses what is unpaid; what was paid before stays allocated and can be refunded. '
    'Money captured for a void invoice is booked whole as unapplied.';

CREATE TRIGGER invoice_stays
    BEFORE DELETE OR TRUNCATE ON paylink.invoice
    FOR EACH STATEMENT EXECUTE FUNCTION paylink.refuse_change();

CREATE TABLE paylink.invoice_revision (
    merchant_id uuid NOT NULL,
    invoice_id  uuid NOT NULL,
    revision    integer NOT NULL,
    total_minor paylink.positive_minor NOT NULL,
    due_date    date,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant_id, invoice_id, revision),
    FOREIGN KEY (merchant_id, invoice_id) REFERENCES paylink.invoice (merchant_id, id)
);
COMMENT ON TABLE paylink.invoice_revision IS 'Every state of an invoice''s content that ever was; the newest is the invoice''s.';

CREATE TABLE paylink.invoice_line (
    merchant_id uuid NOT NULL,
    invoice_id  uuid NOT NULL,
    revision    integer NOT NULL,
    line        smallint NOT NULL CHECK (line >= 1),
    description text NOT NULL CHECK (length(description) BETWEEN 1 AND 500),
    quantity    integer NOT NULL CHECK (quantity BETWEEN 1 AND 1000000),
    unit_minor  paylink.total_minor NOT NULL,
    total_minor paylink.total_minor NOT NULL,
    PRIMARY KEY (merchant_id, invoice_id, revision, line),
    CONSTRAINT invoice_line_total CHECK (total_minor = quantity * unit_minor::numeric),
    FOREIGN KEY (merchant_id, invoice_id, revision)
        REFERENCES paylink.invoice_revision (merchant_id, invoice_id, revision)
);
COMMENT ON TABLE paylink.invoice_line IS 'Lines of one revision, in order.';

CREATE TRIGGER invoice_revision_immutable
    BEFORE UPDATE OR DELETE OR TRUNCATE ON paylink.invoice_revision
    FOR EACH STATEMENT EXECUTE FUNCTION paylink.refuse_change();
CREATE TRIGGER invoice_line_immutable
    BEFORE UPDATE OR DELETE OR TRUNCATE ON paylink.invoice_line
    FOR EACH STATEMENT EXECUTE FUNCTION paylink.refuse_change();

CREATE TABLE paylink.link (
    merchant_id  uuid NOT NULL,
    id           uuid NOT NULL,
    customer_id  uuid NOT NULL,
    currency     text NOT NULL REFERENCES paylink.currency (code),
    kid          smallint NOT NULL CHECK (kid BETWEEN 0 AND 255),
    version_base bigint NOT NULL,
    lifetime_ms  bigint NOT NULL DEFAULT 86400000 CHECK (lifetime_ms BETWEEN 1000 AND 86400000),
    ceiling_at   timestamptz NOT NULL,
    opened_at    timestamptz,
    closed       text CHECK (closed IN ('replaced', 'revoked')),
    closed_at    timestamptz,
    closed_note  text CHECK (length(closed_note) <= 500),
    replaced_by  uuid,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant_id, id),
    CONSTRAINT link_id_key UNIQUE (id),
    CONSTRAINT link_closed_since CHECK ((closed IS NULL) = (closed_at IS NULL)),
    CONSTRAINT link_replaced_by CHECK ((closed IS NOT DISTINCT FROM 'replaced') = (replaced_by IS NOT NULL)),
    FOREIGN KEY (merchant_id, customer_id) REFERENCES paylink.customer (merchant_id, id)
) WITH (fillfactor = 80);
COMMENT ON TABLE paylink.link IS
    'A payment link: one customer, one currency, one or more invoices. What is due, its state and its version follow '
    'from the invoices (view link_status) and are stored nowhere. The secret tag of its token is not here.';
COMMENT ON COLUMN paylink.link.id IS '16 random bytes kept as uuid for speed; everywhere else 32 hexadecimal digits.';
COMMENT ON COLUMN paylink.link.version_base IS
    'version = version_base + sum of its invoices'' change_count: 1 when made, and more with every change of total or '
    'state, without a write to the link. Closing it adds one.';
COMMENT ON COLUMN paylink.link.opened_at IS
    'First human opening, by Redis'' clock; the earliest report wins. From then the link lives lifetime_ms.';
COMMENT ON COLUMN paylink.link.closed IS 'Closed for good, whatever its invoices do. Expiry is not a state but a matter of the clock.';

CREATE TRIGGER link_stays
    BEFORE DELETE OR TRUNCATE ON paylink.link
    FOR EACH STATEMENT EXECUTE FUNCTION paylink.refuse_change();

CREATE TABLE paylink.link_invoice (
    merchant_id uuid NOT NULL,
    link_id     uuid NOT NULL,
    invoice_id  uuid NOT NULL,
    position    smallint NOT NULL CHECK (position >= 1),
    PRIMARY KEY (merchant_id, link_id, invoice_id),
    FOREIGN KEY (merchant_id, link_id) REFERENCES paylink.link (merchant_id, id),
    FOREIGN KEY (merchant_id, invoice_id) REFERENCES paylink.invoice (merchant_id, id)
);
CREATE INDEX link_invoice_by_invoice ON paylink.link_invoice (merchant_id, invoice_id, link_id);
COMMENT ON TABLE paylink.link_invoice IS
    'The invoices that a link collects, in the order in which a payment is applied to them. Fixed when the link is made.';

CREATE TRIGGER link_invoice_immutable
    BEFORE UPDATE OR DELETE OR TRUNCATE ON paylink.link_invoice
    FOR EACH STATEMENT EXECUTE FUNCTION paylink.refuse_change();

RESET ROLE;
