-- What `paylink migrate` remembers: which files were applied, with which content. Applied right after
-- roles.sql, every time; safe to apply again. Knows no business table.

SET ROLE paylink_owner;

DO $$
BEGIN
    IF to_regclass('paylink.migration') IS NULL THEN
        CREATE TABLE paylink.migration (
            name       text PRIMARY KEY CHECK (name ~ '^(migrations|functions|views)/[a-z0-9_]+\.sql$'),
            version    integer UNIQUE CHECK (version > 0),
            checksum   text NOT NULL CHECK (checksum ~ '^[0-9a-f]{64}$'),
            applied_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT migration_numbered CHECK ((version IS NOT NULL) = (name LIKE 'migrations/%'))
        );
    END IF;
END
$$;
COMMENT ON TABLE paylink.migration IS
    'Files of sql/ as they were last applied. A migration has a version and is applied once, in order; functions and '
    'views have none and are applied again when they changed.';

CREATE OR REPLACE FUNCTION paylink.migration_check(steps jsonb) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = paylink, pg_temp
AS $$
DECLARE
    culprit text;
    newest integer := (SELECT max(m.version) FROM migration m);
BEGIN
    SELECT m.name INTO culprit
      FROM migration m
     WHERE m.version IS NOT NULL
       AND NOT EXISTS (SELECT FROM jsonb_array_elements(steps) AS s WHERE s ->> 'name' = m.name)
     ORDER BY m.version DESC LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'PL001', DETAIL = 'schema_newer',
            MESSAGE = format('The database has %s, which this paylink does not know: it is older than the schema. '
                             'Use the newer program.', culprit);
    END IF;
    SELECT m.name INTO culprit
      FROM migration m JOIN jsonb_array_elements(steps) AS s ON s ->> 'name' = m.name
     WHERE m.version IS NOT NULL AND s ->> 'checksum' <> m.checksum
     ORDER BY m.version LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'PL001', DETAIL = 'migration_changed',
            MESSAGE = format('%s was changed after it had been applied. A migration is never edited: restore it and '
                             'write a new one.', culprit);
    END IF;
    SELECT s ->> 'name' INTO culprit
      FROM jsonb_array_elements(steps) AS s
     WHERE (s ->> 'version')::integer < newest
       AND NOT EXISTS (SELECT FROM migration m WHERE m.name = s ->> 'name')
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'PL001', DETAIL = 'migration_out_of_order',
            MESSAGE = format('%s is new but numbered before %s, which is already applied: give it the next number.',
                             culprit, newest);
    END IF;
END
$$;
COMMENT ON FUNCTION paylink.migration_check(jsonb) IS
    'Errors: schema_newer, migration_changed, migration_out_of_order.';

CREATE OR REPLACE FUNCTION paylink.migration_apply(steps jsonb) RETURNS jsonb
    LANGUAGE plpgsql
AS $$
DECLARE
    step jsonb;
    known text;
    migrated boolean := false;
    applied jsonb := '[]'::jsonb;
    said text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('paylink.migrate', 0));
    PERFORM paylink.migration_check(steps);
    FOR step IN SELECT s.value FROM jsonb_array_elements(steps) WITH ORDINALITY AS s ORDER BY s.ordinality
    LOOP
        SELECT m.checksum INTO known FROM paylink.migration m WHERE m.name = step ->> 'name';
        -- A new migration may have dropped what functions and views had built on the old tables.
        CONTINUE WHEN known = step ->> 'checksum' AND NOT (migrated AND step ->> 'version' IS NULL);
        BEGIN
            EXECUTE step ->> 'script';
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS said = PG_EXCEPTION_CONTEXT;
            -- What comes last in it is the whole script.
            said := regexp_replace(trim(split_part(said, 'SQL statement "', 1)), '\s+', ' ', 'g');
            RAISE EXCEPTION USING ERRCODE = 'PL001', DETAIL = 'migration_failed',
                MESSAGE = format('%s: %s%s. Nothing was changed.', step ->> 'name', SQLERRM,
                                 coalesce(' (' || nullif(left(said, 160), '') || ')', ''));
        END;
        RESET ROLE;
        INSERT INTO paylink.migration AS m (name, version, checksum)
        VALUES (step ->> 'name', (step ->> 'version')::integer, step ->> 'checksum')
        ON CONFLICT (name) DO UPDATE SET checksum = excluded.checksum, applied_at = now();
        migrated := migrated OR step ->> 'version' IS NOT NULL;
        applied := applied || to_jsonb(step ->> 'name');
    END LOOP;
    RETURN jsonb_build_object(
        'version', (SELECT max(m.version) FROM paylink.migration m),
        'applied', applied,
        'unchanged', jsonb_array_length(steps) - jsonb_array_length(applied));
END
$$;
COMMENT ON FUNCTION paylink.migration_apply(jsonb) IS
    'Applies [{name, version or null, checksum, script} …] in order, in one transaction, as the caller: all or nothing. '
    '→ {version, applied: [name …], unchanged}. Errors: those of migration_check, migration_failed.';

REVOKE ALL ON FUNCTION paylink.migration_check(jsonb), paylink.migration_apply(jsonb) FROM PUBLIC;

RESET ROLE;
