-- Mail to customers: new links in place of expired ones, receipts. Knows no wording and no mail server.

SET ROLE paylink_owner;

ALTER TABLE paylink.merchant
    ADD COLUMN receipt_mail boolean NOT NULL DEFAULT true,
    ADD COLUMN reply_to     text CHECK (length(reply_to) BETWEEN 3 AND 254);
COMMENT ON COLUMN paylink.merchant.receipt_mail IS 'Who pays through a link gets a receipt by mail.';
COMMENT ON COLUMN paylink.merchant.reply_to IS 'Where answers to its mail go; null: to the sender.';

CREATE TABLE paylink.mail (
    merchant_id uuid NOT NULL,
    id          uuid NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('renew', 'receipt')),
    customer_id uuid NOT NULL,
    link_id     uuid,
    payment_id  uuid,
    lang        text CONSTRAINT mail_lang CHECK (lang ~ '^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}$'),
    state       text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'failed', 'dropped')),
    tries       integer NOT NULL DEFAULT 0 CHECK (tries >= 0),
    next_try_at timestamptz NOT NULL DEFAULT now(),
    lease_owner text,
    answer      text CHECK (length(answer) <= 500),
    created_at  timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz,
    PRIMARY KEY (merchant_id, id),
    CONSTRAINT mail_of_link CHECK ((kind = 'renew') = (link_id IS NOT NULL)),
    CONSTRAINT mail_of_payment CHECK ((kind = 'receipt') = (payment_id IS NOT NULL)),
    CONSTRAINT mail_ended CHECK ((state <> 'waiting') = (ended_at IS NOT NULL)),
    FOREIGN KEY (merchant_id, customer_id) REFERENCES paylink.customer (merchant_id, id),
    FOREIGN KEY (merchant_id, link_id) REFERENCES paylink.link (merchant_id, id),
    FOREIGN KEY (merchant_id, payment_id) REFERENCES paylink.payment (merchant_id, id)
);
CREATE INDEX mail_waiting ON paylink.mail (next_try_at) WHERE state = 'waiting';
CREATE INDEX mail_by_customer ON paylink.mail (merchant_id, customer_id, created_at) WHERE kind = 'renew';
CREATE UNIQUE INDEX mail_by_link ON paylink.mail (merchant_id, link_id) WHERE kind = 'renew';
CREATE UNIQUE INDEX mail_by_payment ON paylink.mail (merchant_id, payment_id) WHERE kind = 'receipt';
COMMENT ON TABLE paylink.mail IS
    'Mail that is to go out or has: written in the transaction that causes it, kept as the record of what was sent. '
    'Address and amounts are looked up when it is sent.';
COMMENT ON COLUMN paylink.mail.link_id IS 'Of a renewal: the new link.';
COMMENT ON COLUMN paylink.mail.lang IS 'Of the payer''s page; a customer''s own setting goes before it.';
COMMENT ON COLUMN paylink.mail.state IS
    'dropped: there was nothing left to say, such as a new link for what was paid meanwhile. failed: the mail server '
    'refused it for good, or 72 hours were not enough.';
COMMENT ON COLUMN paylink.mail.next_try_at IS 'While it is being sent: when its lease lapses.';
COMMENT ON COLUMN paylink.mail.answer IS 'What the mail server, or what stands before it, said last.';

CREATE FUNCTION paylink.mail_notify() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    PERFORM pg_notify('paylink_mail', '');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION paylink.mail_notify() IS 'Trigger: wakes whoever listens on paylink_mail, once per transaction.';
REVOKE ALL ON FUNCTION paylink.mail_notify() FROM PUBLIC;

CREATE TRIGGER mail_notify
    AFTER INSERT ON paylink.mail
    FOR EACH STATEMENT EXECUTE FUNCTION paylink.mail_notify();

ALTER TABLE paylink.mail ENABLE ROW LEVEL SECURITY;
CREATE POLICY one_merchant ON paylink.mail TO paylink_api
    USING (merchant_id = nullif(current_setting('paylink.merchant_id', true), '')::uuid);
REVOKE ALL ON paylink.mail FROM PUBLIC;

RESET ROLE;
