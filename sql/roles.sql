-- Roles and the schema: who may do what. Knows no table. Applied first, by a superuser or a role that
-- may create roles; safe to apply again.
--
--   paylink_owner     owns every object; nobody logs in as it. Functions run as it (SECURITY DEFINER).
--   paylink_worker    the settle pipeline, publishing, refunds: functions only, no table.
--   paylink_operator  the operator's command line: functions only, no table.
--   paylink_api       reads one merchant's rows through row-level security (paylink.merchant_id).
--   paylink           the login of a small installation: worker and operator in one.

DO $$
DECLARE
    r text;
BEGIN
    FOREACH r IN ARRAY ARRAY['paylink_owner', 'paylink_worker', 'paylink_operator', 'paylink_api']
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION', r);
        END IF;
    END LOOP;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'paylink') THEN
        CREATE ROLE paylink LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
    END IF;
    FOREACH r IN ARRAY ARRAY['paylink_worker', 'paylink_operator']
    LOOP
        IF NOT EXISTS (SELECT FROM pg_auth_members
                        WHERE roleid = r::regrole AND member = 'paylink'::regrole) THEN
            EXECUTE format('GRANT %I TO paylink', r);
        END IF;
    END LOOP;
    IF NOT pg_has_role(current_user, 'paylink_owner', 'MEMBER') THEN
        EXECUTE format('GRANT paylink_owner TO %I', current_user);
    END IF;
    IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'paylink') THEN
        CREATE SCHEMA paylink AUTHORIZATION paylink_owner;
    END IF;
END
$$;

SET ROLE paylink_owner;

COMMENT ON SCHEMA paylink IS
    'Paylink: invoices, payment links, payments and the double-entry ledger behind them. '
    'Functions write, views read. Every amount is bigint minor units of an ISO 4217 currency.';

GRANT USAGE ON SCHEMA paylink TO paylink_worker, paylink_operator, paylink_api;

-- Nothing that is created later is open to everybody by default.
ALTER DEFAULT PRIVILEGES FOR ROLE paylink_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE paylink_owner REVOKE USAGE ON TYPES FROM PUBLIC;

RESET ROLE;
