-- The ground everything stands on: amounts, currencies, and the guards that make a table immutable.
-- Knows no business table.

SET ROLE paylink_owner;

CREATE DOMAIN paylink.positive_minor AS bigint
    CONSTRAINT positive_minor_range CHECK (VALUE > 0 AND VALUE <= 9999999999999999);
COMMENT ON DOMAIN paylink.positive_minor IS
    'An amount of money in minor units of its row''s currency: 1 to 9,999,999,999,999,999. '
    'Leaves room for sums of 900 such amounts in a bigint; larger sums are made as numeric.';

CREATE DOMAIN paylink.total_minor AS bigint
    CONSTRAINT total_minor_range CHECK (VALUE >= 0 AND VALUE <= 9999999999999999);
COMMENT ON DOMAIN paylink.total_minor IS
    'A part or a rest of an amount of money, in minor units: 0 to 9,999,999,999,999,999.';

-- Patterns stand in domains, not in table checks: a domain is checked when the value is given, a table check again
-- whenever anything else in the row changes, and a regular expression costs more than the change itself.
CREATE DOMAIN paylink.display_name AS text
    CONSTRAINT display_name_shape CHECK (VALUE ~ '^[^[:cntrl:]]{1,200}$');
COMMENT ON DOMAIN paylink.display_name IS 'A name that people read: 1 to 200 characters, no control characters.';

CREATE DOMAIN paylink.invoice_number AS text
    CONSTRAINT invoice_number_shape CHECK (VALUE ~ '^[^[:cntrl:]]{1,64}$');
COMMENT ON DOMAIN paylink.invoice_number IS 'The merchant''s own number of an invoice: 1 to 64 characters, no control characters.';

CREATE DOMAIN paylink.language_tag AS text
    CONSTRAINT language_tag_shape CHECK (VALUE ~ '^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}$');
COMMENT ON DOMAIN paylink.language_tag IS 'BCP 47, for example en-US.';

CREATE DOMAIN paylink.refund_key AS text
    CONSTRAINT refund_key_shape CHECK (VALUE ~ '^[A-Za-z0-9._:-]{1,64}$');
COMMENT ON DOMAIN paylink.refund_key IS 'A caller''s id of a refund: 1 to 64 characters out of A-Z a-z 0-9 . _ : -';

CREATE TABLE paylink.currency (
    code     text PRIMARY KEY CHECK (code ~ '^[A-Z]{3}$'),
    exponent smallint NOT NULL CHECK (exponent BETWEEN 0 AND 4)
);
COMMENT ON TABLE paylink.currency IS
    'ISO 4217 list one: every currency with a minor unit. Metals, funds without a minor unit (XAU, XDR …), '
    'test codes and "no currency" are left out on purpose: they cannot be collected.';
COMMENT ON COLUMN paylink.currency.exponent IS
    'Decimal digits of the minor unit: JPY 0, USD 2, KWD 3, CLF 4. For people''s eyes only: all arithmetic is in minor units.';

INSERT INTO paylink.currency (code, exponent)
SELECT code, 2
  FROM unnest(string_to_array(
       'AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD '
       'CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS '
       'GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL '
       'MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK '
       'PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS '
       'TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG', ' ')) AS code
UNION ALL
SELECT code, 0
  FROM unnest(string_to_array(
       'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF', ' ')) AS code
UNION ALL
SELECT code, 3 FROM unnest(string_to_array('BHD IQD JOD KWD LYD OMR TND', ' ')) AS code
UNION ALL
SELECT code, 4 FROM unnest(string_to_array('CLF UYW', ' ')) AS code;

CREATE FUNCTION paylink.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'PL001',
        MESSAGE = format('Rows of %I are never changed or removed: a correction is a new row.', TG_TABLE_NAME),
        DETAIL = 'immutable';
END
$$;
COMMENT ON FUNCTION paylink.refuse_change() IS
    'Trigger: refuses UPDATE, DELETE and TRUNCATE, whoever asks, the owner included.';
REVOKE ALL ON FUNCTION paylink.refuse_change() FROM PUBLIC;

CREATE TRIGGER currency_immutable
    BEFORE UPDATE OR DELETE OR TRUNCATE ON paylink.currency
    FOR EACH STATEMENT EXECUTE FUNCTION paylink.refuse_change();

RESET ROLE;
