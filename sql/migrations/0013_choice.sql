-- Payers who pay a part: some invoices of a link, or less than is due.

SET ROLE paylink_owner;

ALTER TABLE paylink.merchant
    ADD COLUMN choose_invoices   boolean NOT NULL DEFAULT false,
    ADD COLUMN partial_min_minor paylink.positive_minor;
COMMENT ON COLUMN paylink.merchant.choose_invoices IS 'Payers may choose which invoices of a link they pay.';
COMMENT ON COLUMN paylink.merchant.partial_min_minor IS
    'Payers may pay less than is due, from this on, in minor units of the link''s currency; null: all or nothing.';

ALTER TABLE paylink.attempt
    ADD COLUMN chosen smallint[] CONSTRAINT attempt_chosen CHECK (cardinality(chosen) BETWEEN 1 AND 100);
COMMENT ON COLUMN paylink.attempt.chosen IS
    'The positions of the invoices in the link that the payer chose to pay, ascending; null: all of them.';

ALTER TYPE paylink.submit ADD ATTRIBUTE chosen smallint[];

RESET ROLE;
