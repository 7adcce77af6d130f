-- The books: chart of accounts, journals and entries, and the documents that post to them (payments,
-- credits, allocations, refunds). The database itself keeps every journal balanced and unchangeable.
--
-- The tables that booking a capture writes (payment, allocation, journal, entry; attempt, attempt_event, invoice_fence)
-- have no foreign keys to each other. Measured with all of them, booking took 1.8 times as long; what they would say is
-- written by two functions only, cannot be deleted (triggers), and is checked by verify(): journals_are_whole,
-- journals_have_documents, entries_have_customers, allocation_fits, allocation_is_posted, payment_is_posted_once,
-- capture_is_a_payment, attempt_fits_its_link, attempt_history_is_whole, fences_guard_live_attempts.

SET ROLE paylink_owner;

CREATE TYPE paylink.account_kind AS ENUM (
    'receivable', 'unapplied', 'cash_gateway', 'bank', 'cash', 'revenue', 'refunds', 'refunds_payable', 'credits_issued');
COMMENT ON TYPE paylink.account_kind IS 'The chart of accounts; see table account.';

CREATE TYPE paylink.journal_kind AS ENUM (
    'invoice', 'invoice_change', 'invoice_void', 'payment', 'credit', 'application',
    'refund_reserve', 'refund_succeeded', 'refund_failed');
COMMENT ON TYPE paylink.journal_kind IS 'Why a journal was posted.';

CREATE TABLE paylink.account (
    kind         paylink.account_kind PRIMARY KEY,
    per_customer boolean NOT NULL,
    meaning      text NOT NULL
);
COMMENT ON TABLE paylink.account IS
    'Chart of accounts. An account of a merchant is (kind, currency), for receivable and unapplied also the customer: '
    'entries carry that natural key, so that no account has to be opened or looked up to book, and none can be missing. '
    'A debit is positive, a credit negative. No balance is stored: it is the sum of the entries.';
INSERT INTO paylink.account (kind, per_customer, meaning) VALUES
    ('receivable',      true,  'what a customer owes for open invoices'),
    ('unapplied',       true,  'what a customer paid or was credited beyond what was due'),
    ('cash_gateway',    false, 'captured by the payment gateway'),
    ('bank',            false, 'cheques, transfers, pre-payments'),
    ('cash',            false, 'cash in hand'),
    ('revenue',         false, 'what was invoiced'),
    ('refunds',         false, 'contra revenue: refunded of what had been applied to invoices'),
    ('refunds_payable', false, 'reserved for refunds under way'),
    ('credits_issued',  false, 'what credit memos cost');

CREATE TABLE paylink.journal (
    merchant_id uuid NOT NULL,
    id          uuid NOT NULL,
    kind        paylink.journal_kind NOT NULL,
    document_id uuid NOT NULL,
    refund_id   text,
    posted_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant_id, id),
    CONSTRAINT journal_of_refund CHECK (
        (refund_id IS NOT NULL) = (kind IN ('refund_reserve', 'refund_succeeded', 'refund_failed')))
);
CREATE INDEX journal_by_document ON paylink.journal (merchant_id, document_id) WHERE document_id <> id;
COMMENT ON TABLE paylink.journal IS 'One business event in the books. Immutable; a correction is another journal.';
COMMENT ON COLUMN paylink.journal.id IS
    'The journal of a capture has its payment''s id and needs no index by document.';
COMMENT ON COLUMN paylink.journal.document_id IS
    'The invoice (invoice*), payment (payment, refund*) or credit (credit, application) that it explains.';

CREATE TABLE paylink.entry (
    merchant_id  uuid NOT NULL,
    journal_id   uuid NOT NULL,
    line         smallint NOT NULL,
    account      paylink.account_kind NOT NULL,
    customer_id  uuid,
    currency     text NOT NULL,
    amount_minor bigint NOT NULL,
    PRIMARY KEY (merchant_id, journal_id, line),
    CONSTRAINT entry_amount CHECK (
        amount_minor <> 0 AND amount_minor BETWEEN -9999999999999999 AND 9999999999999999),
    CONSTRAINT entry_account CHECK ((customer_id IS NOT NULL) = (account IN ('receivable', 'unapplied')))
);
COMMENT ON TABLE paylink.entry IS
    'A line of a journal. Immutable. All entries of a journal are inserted by one statement, which must balance per '
    'currency: so no journal is ever unbalanced, not even inside a transaction.';
COMMENT ON COLUMN paylink.entry.amount_minor IS 'Debit positive, credit negative, never zero.';

CREATE FUNCTION paylink.entry_check() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    culprit record;
BEGIN
    SELECT f.merchant_id, f.journal_id, f.currency, sum(f.amount_minor) AS off_minor INTO culprit
      FROM fresh f
     GROUP BY f.merchant_id, f.journal_id, f.currency
    HAVING sum(f.amount_minor) <> 0
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PL001',
            MESSAGE = format('Journal %s of merchant %s does not balance: %s is off by %s.',
                             culprit.journal_id, culprit.merchant_id, culprit.currency, culprit.off_minor),
            DETAIL = 'unbalanced';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION paylink.entry_check() IS
    'Trigger, once per INSERT statement: the inserted entries must sum to zero per journal and currency. Stricter than '
    'a check at commit, and one aggregate per batch instead of one call per row.';
REVOKE ALL ON FUNCTION paylink.entry_check() FROM PUBLIC;

CREATE TRIGGER entry_balanced
    AFTER INSERT ON paylink.entry
    REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION paylink.entry_check();
CREATE TRIGGER entry_immutable
    BEFORE UPDATE OR DELETE OR TRUNCATE ON paylink.entry
    FOR EACH STATEMENT EXECUTE FUNCTION paylink.refuse_change();
CREATE TRIGGER journal_immutable
    BEFORE UPDATE OR DELETE OR TRUNCATE ON paylink.journal
    FOR EACH STATEMENT EXECUTE FUNCTION paylink.refuse_change();
CREATE TRIGGER account_immutable
    BEFORE UPDATE OR DELETE OR TRUNCATE ON paylink.account
    FOR EACH STATEMENT EXECUTE FUNCTION paylink.refuse_change();

CREATE TABLE paylink.payment (
    merchant_id              uuid NOT NULL,
    id                       uuid NOT NULL,
    customer_id              uuid NOT NULL,
    method                   text NOT NULL CHECK (method IN (
                                 'card', 'cash', 'cheque', 'transfer', 'card_on_file_offline', 'other')),
    currency                 text NOT NULL,
    amount_minor             paylink.positive_minor NOT NULL,
    applied_minor            paylink.total_minor NOT NULL,
    unapplied_minor          paylink.total_minor NOT NULL,
    refunded_minor           paylink.total_minor NOT NULL DEFAULT 0,
    refunded_unapplied_minor paylink.total_minor NOT NULL DEFAULT 0,
    attempt_id               uuid,
    invoice_id               uuid,
    gateway_ref              text,
    charge_ref               text,
    key                      text CHECK (length(key) BETWEEN 1 AND 200),
    note                     text CHECK (length(note) <= 1000),
    created_at               timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant_id, id),
    CONSTRAINT payment_all_accounted CHECK (applied_minor + unapplied_minor + refunded_unapplied_minor = amount_minor),
    CONSTRAINT payment_refunds_within CHECK (refunded_minor <= amount_minor
        AND refunded_unapplied_minor <= refunded_minor
        AND refunded_minor - refunded_unapplied_minor <= applied_minor),
    CONSTRAINT payment_of_attempt CHECK (attempt_id IS NULL OR attempt_id = id),
    CONSTRAINT payment_channel CHECK ((attempt_id IS NULL) = (gateway_ref IS NULL)),
    FOREIGN KEY (merchant_id, invoice_id) REFERENCES paylink.invoice (merchant_id, id)
) WITH (fillfactor = 90);
CREATE UNIQUE INDEX payment_key_key ON paylink.payment (merchant_id, key) WHERE key IS NOT NULL;
CREATE INDEX payment_by_invoice ON paylink.payment (merchant_id, invoice_id) WHERE invoice_id IS NOT NULL;
CREATE INDEX payment_unapplied ON paylink.payment (merchant_id, customer_id) WHERE unapplied_minor > 0;
COMMENT ON TABLE paylink.payment IS
    'Money received, through the gateway or recorded by the merchant. What exceeds the due amount is the overpayment: '
    'unapplied, refundable.';
COMMENT ON COLUMN paylink.payment.id IS
    'A captured attempt''s payment has the attempt''s id: the primary key is the proof that it is booked once.';
COMMENT ON COLUMN paylink.payment.applied_minor IS 'Sum of its allocations to invoices; never decreases.';
COMMENT ON COLUMN paylink.payment.unapplied_minor IS 'Still free: neither allocated nor refunded.';
COMMENT ON COLUMN paylink.payment.refunded_minor IS
    'Refunds reserved or succeeded. A refund takes the unapplied part first, then the applied part.';
COMMENT ON COLUMN paylink.payment.refunded_unapplied_minor IS 'The part of refunded_minor that came from the unapplied part.';
COMMENT ON COLUMN paylink.payment.invoice_id IS 'For which invoice an offline payment was recorded.';
COMMENT ON COLUMN paylink.payment.key IS 'Caller''s idempotency key of an offline payment.';

CREATE TABLE paylink.credit (
    merchant_id     uuid NOT NULL,
    id              uuid NOT NULL,
    customer_id     uuid NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('credit', 'prepayment')),
    currency        text NOT NULL REFERENCES paylink.currency (code),
    amount_minor    paylink.positive_minor NOT NULL,
    applied_minor   paylink.total_minor NOT NULL,
    unapplied_minor paylink.total_minor NOT NULL,
    key             text CHECK (length(key) BETWEEN 1 AND 200),
    note            text CHECK (length(note) <= 1000),
    request         jsonb NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant_id, id),
    CONSTRAINT credit_all_accounted CHECK (applied_minor + unapplied_minor = amount_minor),
    FOREIGN KEY (merchant_id, customer_id) REFERENCES paylink.customer (merchant_id, id)
);
CREATE UNIQUE INDEX credit_key_key ON paylink.credit (merchant_id, key) WHERE key IS NOT NULL;
CREATE INDEX credit_by_customer ON paylink.credit (merchant_id, customer_id, id);
COMMENT ON TABLE paylink.credit IS
    'A credit memo (costs the merchant: credits_issued) or a pre-payment (money in the bank). Applied to open invoices, '
    'the rest is unapplied.';
COMMENT ON COLUMN paylink.credit.request IS 'What the caller asked for: a repeat of the key with anything else is refused.';

CREATE TABLE paylink.allocation (
    merchant_id  uuid NOT NULL,
    source_id    uuid NOT NULL GENERATED ALWAYS AS (coalesce(payment_id, credit_id)) STORED,
    line         smallint NOT NULL CHECK (line >= 1),
    payment_id   uuid,
    credit_id    uuid,
    invoice_id   uuid NOT NULL,
    journal_id   uuid NOT NULL,
    amount_minor paylink.positive_minor NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant_id, source_id, line),
    CONSTRAINT allocation_one_source CHECK (num_nonnulls(payment_id, credit_id) = 1)
);
CREATE INDEX allocation_by_invoice ON paylink.allocation (merchant_id, invoice_id) WHERE journal_id <> source_id;
COMMENT ON TABLE paylink.allocation IS
    'So much of a payment or credit was applied to an invoice. Immutable: the sum per invoice is its paid_minor.';
COMMENT ON INDEX paylink.allocation_by_invoice IS
    'All but those that a capture makes when it is booked (its journal has the payment''s id): these are found through the '
    'attempts of the invoice''s links, and an index on every one of them would cost booking four percent.';
CREATE TRIGGER payment_stays
    BEFORE DELETE OR TRUNCATE ON paylink.payment
    FOR EACH STATEMENT EXECUTE FUNCTION paylink.refuse_change();
CREATE TRIGGER credit_stays
    BEFORE DELETE OR TRUNCATE ON paylink.credit
    FOR EACH STATEMENT EXECUTE FUNCTION paylink.refuse_change();
CREATE TRIGGER allocation_immutable
    BEFORE UPDATE OR DELETE OR TRUNCATE ON paylink.allocation
    FOR EACH STATEMENT EXECUTE FUNCTION paylink.refuse_change();

CREATE TABLE paylink.refund (
    merchant_id          uuid NOT NULL,
    id                   paylink.refund_key NOT NULL,
    payment_id           uuid NOT NULL,
    currency             text NOT NULL,
    amount_minor         paylink.positive_minor NOT NULL,
    from_unapplied_minor paylink.total_minor NOT NULL,
    state                text NOT NULL CHECK (state IN ('pending', 'succeeded', 'failed')),
    gateway_ref          text,
    reason               text CHECK (length(reason) <= 200),
    lease_owner          text,
    lease_until          timestamptz,
    tries                integer NOT NULL DEFAULT 0,
    created_at           timestamptz NOT NULL DEFAULT now(),
    settled_at           timestamptz,
    PRIMARY KEY (merchant_id, id),
    CONSTRAINT refund_id_key UNIQUE (id),
    CONSTRAINT refund_unapplied_within CHECK (from_unapplied_minor <= amount_minor),
    CONSTRAINT refund_settled CHECK ((state = 'pending') = (settled_at IS NULL)),
    FOREIGN KEY (merchant_id, payment_id) REFERENCES paylink.payment (merchant_id, id)
);
CREATE INDEX refund_by_payment ON paylink.refund (merchant_id, payment_id);
CREATE INDEX refund_pending ON paylink.refund (created_at) WHERE state = 'pending';
COMMENT ON TABLE paylink.refund IS
    'Money given back. pending: reserved in the books (refunds_payable) and on its way at the gateway; succeeded; '
    'failed: the reserve was given back by a compensating journal.';
COMMENT ON COLUMN paylink.refund.id IS
    'The caller''s key, also the gateway''s idempotency key. Merchants share the gateway''s key space, so it is unique '
    'across all of them.';
COMMENT ON COLUMN paylink.refund.from_unapplied_minor IS 'Taken from the payment''s unapplied part; the rest is contra revenue.';

CREATE TRIGGER refund_stays
    BEFORE DELETE OR TRUNCATE ON paylink.refund
    FOR EACH STATEMENT EXECUTE FUNCTION paylink.refuse_change();

RESET ROLE;
