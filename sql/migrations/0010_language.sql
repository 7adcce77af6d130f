-- The language in which a payer pays, so that what is told of the payment is told in it.

SET ROLE paylink_owner;

ALTER TABLE paylink.attempt
    ADD COLUMN lang text CONSTRAINT attempt_lang CHECK (lang ~ '^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}$');
COMMENT ON COLUMN paylink.attempt.lang IS
    'Of the page on which the payer pressed Pay, a BCP 47 tag; null: not known. A customer''s own setting goes before it.';

ALTER TYPE paylink.submit ADD ATTRIBUTE lang text;

RESET ROLE;
