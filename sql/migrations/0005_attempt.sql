-- Payment attempts: their states, their immutable history, and the fence that lets one attempt at a time
-- charge an invoice. Knows no gateway's words.

SET ROLE paylink_owner;

CREATE TYPE paylink.attempt_state AS ENUM (
    'charging', 'action_required', 'unknown', 'captured', 'declined', 'refused');
COMMENT ON TYPE paylink.attempt_state IS 'See table attempt.';

CREATE DOMAIN paylink.gateway_text AS text
    CONSTRAINT gateway_text_length CHECK (octet_length(VALUE) <= 255);
COMMENT ON DOMAIN paylink.gateway_text IS 'A word or reference of the gateway: at most 255 bytes.';

CREATE DOMAIN paylink.gateway_url AS text
    CONSTRAINT gateway_url_length CHECK (octet_length(VALUE) <= 2048);
COMMENT ON DOMAIN paylink.gateway_url IS 'An address at the gateway: at most 2048 bytes.';

CREATE DOMAIN paylink.card_last4 AS text
    CONSTRAINT card_last4_shape CHECK (VALUE ~ '^[0-9]{4}$');
COMMENT ON DOMAIN paylink.card_last4 IS 'The last four digits of a card.';

CREATE TABLE paylink.attempt (
    merchant_id    uuid NOT NULL,
    id             uuid NOT NULL,
    link_id        uuid NOT NULL,
    invoice_id     uuid,
    customer_id    uuid NOT NULL,
    version        bigint NOT NULL,
    amount_minor   paylink.positive_minor NOT NULL,
    currency       text NOT NULL,
    payment_method paylink.gateway_text NOT NULL,
    overpay        boolean NOT NULL DEFAULT false,
    state          paylink.attempt_state NOT NULL,
    reason         paylink.gateway_text,
    event_count    smallint NOT NULL DEFAULT 1,
    epoch          integer NOT NULL DEFAULT 0,
    check_count    smallint NOT NULL DEFAULT 0,
    lease_owner    text,
    lease_until    timestamptz,
    lease_ms       bigint NOT NULL DEFAULT 0,
    next_check_at  timestamptz,
    gateway_ref    paylink.gateway_text,
    charge_ref     paylink.gateway_text,
    captured_minor paylink.positive_minor,
    action_url     paylink.gateway_url,
    card_brand     paylink.gateway_text,
    card_last4     paylink.card_last4,
    attention      text,
    submitted_at   timestamptz NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    settled_at     timestamptz,
    PRIMARY KEY (merchant_id, id),
    CONSTRAINT attempt_id_key UNIQUE (id),
    CONSTRAINT attempt_captured CHECK ((state = 'captured') = (captured_minor IS NOT NULL)
        AND (state <> 'captured' OR gateway_ref IS NOT NULL)),
    CONSTRAINT attempt_settled CHECK ((state IN ('captured', 'declined', 'refused')) = (settled_at IS NOT NULL)),
    CONSTRAINT attempt_reason CHECK ((state IN ('declined', 'refused')) <= (reason IS NOT NULL))
) WITH (fillfactor = 40); -- settled, with more in it, right after it was registered; see invoice
CREATE INDEX attempt_by_link ON paylink.attempt (merchant_id, link_id, id);
CREATE INDEX attempt_to_check ON paylink.attempt (next_check_at) WHERE next_check_at IS NOT NULL;
COMMENT ON TABLE paylink.attempt IS
    'A payer''s submit. charging → [action_required] → captured | declined | unknown; unknown → captured | declined | '
    'action_required, only by asking the gateway; refused: never charged. A captured attempt is booked in the same '
    'transaction. A late capture wins over declined and refused: money that was captured is always booked.';
COMMENT ON COLUMN paylink.attempt.id IS 'Minted by the edge with the form; the gateway''s idempotency key and metadata.';
COMMENT ON COLUMN paylink.attempt.invoice_id IS 'The only invoice of its link; null if there are several.';
COMMENT ON COLUMN paylink.attempt.payment_method IS
    'The gateway''s one-time name of the card, no card data; kept because a repeat under the same idempotency key must '
    'send the same parameters.';
COMMENT ON COLUMN paylink.attempt.epoch IS 'Counts the times it was handed to a worker to charge.';
COMMENT ON COLUMN paylink.attempt.lease_until IS 'Until then only lease_owner may charge it.';
COMMENT ON COLUMN paylink.attempt.attention IS 'Why a person should look at it; null: nothing unusual.';

CREATE FUNCTION paylink.attempt_move_legal(old_state paylink.attempt_state, new_state paylink.attempt_state) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN old_state = new_state
    OR CASE old_state
           WHEN 'charging'        THEN new_state IN ('captured', 'declined', 'unknown', 'action_required')
           WHEN 'unknown'         THEN new_state IN ('captured', 'declined', 'action_required')
           WHEN 'action_required' THEN new_state IN ('captured', 'declined', 'unknown')
           WHEN 'declined'        THEN new_state = 'captured'
           WHEN 'refused'         THEN new_state = 'captured'
           ELSE false
       END;
COMMENT ON FUNCTION paylink.attempt_move_legal(paylink.attempt_state, paylink.attempt_state) IS
    'The state machine of an attempt, in one place. captured is final; declined and refused yield to a late capture only.';
REVOKE ALL ON FUNCTION paylink.attempt_move_legal(paylink.attempt_state, paylink.attempt_state) FROM PUBLIC;

CREATE FUNCTION paylink.attempt_refuse_move() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = paylink, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'PL001',
        MESSAGE = format('Attempt %s cannot go from %s to %s.', OLD.id, OLD.state, NEW.state),
        DETAIL = 'illegal_transition';
END
$$;
COMMENT ON FUNCTION paylink.attempt_refuse_move() IS 'Trigger: the last guard of the attempt''s state machine.';
REVOKE ALL ON FUNCTION paylink.attempt_refuse_move() FROM PUBLIC;

CREATE TRIGGER attempt_moves_legally
    BEFORE UPDATE ON paylink.attempt
    FOR EACH ROW WHEN (NOT paylink.attempt_move_legal(OLD.state, NEW.state))
    EXECUTE FUNCTION paylink.attempt_refuse_move();
CREATE TRIGGER attempt_stays
    BEFORE DELETE OR TRUNCATE ON paylink.attempt
    FOR EACH STATEMENT EXECUTE FUNCTION paylink.refuse_change();

CREATE TYPE paylink.submit AS (
    merchant_id    uuid,
    id             uuid,
    link_id        uuid,
    invoice_id     uuid,
    customer_id    uuid,
    version        bigint,
    amount_minor   bigint,
    currency       text,
    payment_method text,
    submitted_at   timestamptz,
    kid            smallint,
    numbers        text,
    overpay        boolean,
    epoch          integer,
    verdict        text
);
COMMENT ON TYPE paylink.submit IS
    'A submit on its way through attempt_register. verdict: new (to be charged), contested, twin, known, known:ACTION, or '
    'the reason why it is refused.';

CREATE TYPE paylink.submit_answer AS (
    attempt        uuid,
    action         text,
    reason         text,
    epoch          integer,
    amount_minor   bigint,
    currency       text,
    payment_method text,
    merchant       uuid,
    link           text,
    kid            smallint,
    version        bigint,
    numbers        text,
    description    text
);
COMMENT ON TYPE paylink.submit_answer IS 'What attempt_register answers for one submit; its fields are the keys of the JSON.';

CREATE TABLE paylink.attempt_event (
    merchant_id uuid NOT NULL,
    attempt_id  uuid NOT NULL,
    seq         smallint NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    state       paylink.attempt_state NOT NULL,
    worker      text NOT NULL,
    note        text,
    PRIMARY KEY (merchant_id, attempt_id, seq)
);
COMMENT ON TABLE paylink.attempt_event IS 'History of an attempt: every state it entered, by whom. Immutable.';
COMMENT ON COLUMN paylink.attempt_event.note IS 'Reason, or what was noticed, in words.';
CREATE TRIGGER attempt_event_immutable
    BEFORE UPDATE OR DELETE OR TRUNCATE ON paylink.attempt_event
    FOR EACH STATEMENT EXECUTE FUNCTION paylink.refuse_change();

CREATE TABLE paylink.invoice_fence (
    merchant_id uuid NOT NULL,
    invoice_id  uuid NOT NULL,
    attempt_id  uuid NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant_id, invoice_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
COMMENT ON TABLE paylink.invoice_fence IS
    'The one live attempt of an invoice: present from charging until the attempt is final. While it stands, any other '
    'attempt that touches the invoice is refused as busy, so that an unknown result blocks further charges.';

RESET ROLE;
