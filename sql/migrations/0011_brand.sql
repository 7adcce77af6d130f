-- A merchant's look on the pages of payers, and whether its links are on. Knows no page.

SET ROLE paylink_owner;

ALTER TABLE paylink.merchant
    ADD COLUMN accent     text CHECK (accent ~ '^#[0-9a-f]{6}$'),
    ADD COLUMN brand_css  uuid,
    ADD COLUMN brand_logo uuid,
    ADD COLUMN links_on   boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN paylink.merchant.accent IS 'The accent colour as it was asked for, #rrggbb; null: the pages'' own.';
COMMENT ON COLUMN paylink.merchant.brand_css IS 'The style sheet made of the accent, a brand_asset; null: none.';
COMMENT ON COLUMN paylink.merchant.brand_logo IS 'The logo, a brand_asset; null: the first letter of the name.';
COMMENT ON COLUMN paylink.merchant.links_on IS
    'false: every link of the merchant is shown as disabled and takes no submit, until it is true again.';

CREATE TABLE paylink.brand_asset (
    merchant_id uuid NOT NULL REFERENCES paylink.merchant (id),
    hash        uuid NOT NULL,
    type        text NOT NULL CHECK (type IN ('css', 'png')),
    body        bytea NOT NULL CHECK (octet_length(body) BETWEEN 1 AND 65536),
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant_id, hash),
    CONSTRAINT brand_asset_hash CHECK (hash = encode(substr(sha256(body), 1, 16), 'hex')::uuid)
);
COMMENT ON TABLE paylink.brand_asset IS
    'Style sheets and logos, named by their content (the first 16 bytes of its SHA-256), as the edge serves them. Never '
    'changed: a page that somebody has open still finds what it names.';
CREATE INDEX brand_asset_by_hash ON paylink.brand_asset (hash);

CREATE TRIGGER brand_asset_immutable
    BEFORE UPDATE OR DELETE OR TRUNCATE ON paylink.brand_asset
    FOR EACH STATEMENT EXECUTE FUNCTION paylink.refuse_change();

ALTER TABLE paylink.merchant
    ADD CONSTRAINT merchant_brand_css FOREIGN KEY (id, brand_css) REFERENCES paylink.brand_asset (merchant_id, hash),
    ADD CONSTRAINT merchant_brand_logo FOREIGN KEY (id, brand_logo) REFERENCES paylink.brand_asset (merchant_id, hash);

ALTER TABLE paylink.brand_asset ENABLE ROW LEVEL SECURITY;
CREATE POLICY one_merchant ON paylink.brand_asset TO paylink_api
    USING (merchant_id = nullif(current_setting('paylink.merchant_id', true), '')::uuid);
REVOKE ALL ON paylink.brand_asset FROM PUBLIC;
GRANT SELECT ON paylink.brand_asset TO paylink_api;

RESET ROLE;
