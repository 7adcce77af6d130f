-- The shape of the schema itself: keys, comments, who may do what, functions without a flaw.
BEGIN;
\ir support/world.psql
SELECT plan(17);

SELECT is((SELECT string_agg(c.relname, ', ' ORDER BY c.relname)
             FROM pg_class c
             JOIN pg_attribute m ON m.attrelid = c.oid AND m.attname = 'merchant_id'
             LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
            WHERE c.relnamespace = 'paylink'::regnamespace AND c.relkind = 'r' AND k.conkey[1] IS DISTINCT FROM m.attnum),
          NULL, 'merchant_id leads the primary key of every tenant table');

SELECT is((SELECT string_agg(c.relname, ', ' ORDER BY c.relname)
             FROM pg_class c
            WHERE c.relnamespace = 'paylink'::regnamespace AND c.relkind IN ('r', 'v') AND obj_description(c.oid, 'pg_class') IS NULL),
          NULL, 'every table and view is explained');
SELECT is((SELECT string_agg(p.oid::regprocedure::text, ', ')
             FROM pg_proc p WHERE p.pronamespace = 'paylink'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL),
          NULL, 'every function is explained');
SELECT is((SELECT string_agg(t.typname, ', ')
             FROM pg_type t WHERE t.typnamespace = 'paylink'::regnamespace AND t.typtype IN ('d', 'e')
              AND obj_description(t.oid, 'pg_type') IS NULL),
          NULL, 'every domain and enumeration is explained');

SELECT is((SELECT string_agg(p.oid::regprocedure::text, ', ')
             FROM pg_proc p
            WHERE p.pronamespace = 'paylink'::regnamespace AND p.prosecdef
              AND NOT ('search_path=paylink, pg_temp' = ANY (coalesce(p.proconfig, '{}')))),
          NULL, 'every SECURITY DEFINER function has its search_path pinned');
SELECT is((SELECT string_agg(p.oid::regprocedure::text, ', ')
             FROM pg_proc p
            WHERE p.pronamespace = 'paylink'::regnamespace AND p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'plpgsql')
              AND p.proname NOT IN ('migration_apply')
              AND NOT ('search_path=paylink, pg_temp' = ANY (coalesce(p.proconfig, '{}')))),
          NULL, 'so has every PL/pgSQL function');
SELECT is((SELECT string_agg(p.oid::regprocedure::text, ', ')
             FROM pg_proc p
            WHERE p.pronamespace = 'paylink'::regnamespace AND has_function_privilege('public', p.oid, 'EXECUTE')),
          NULL, 'no function is open to PUBLIC');
SELECT is((SELECT string_agg(p.proname, ', ' ORDER BY p.proname)
             FROM pg_proc p
            WHERE p.pronamespace = 'paylink'::regnamespace AND p.prosecdef
              AND NOT has_function_privilege('paylink_worker', p.oid, 'EXECUTE')
              AND NOT has_function_privilege('paylink_operator', p.oid, 'EXECUTE')),
          NULL, 'every SECURITY DEFINER function is for somebody');
SELECT is((SELECT string_agg(p.proname, ', ' ORDER BY p.proname)
             FROM pg_proc p
            WHERE p.pronamespace = 'paylink'::regnamespace AND NOT p.prosecdef
              AND (has_function_privilege('paylink_worker', p.oid, 'EXECUTE')
                   OR has_function_privilege('paylink_operator', p.oid, 'EXECUTE'))),
          NULL, 'helpers are for nobody but the owner');
SELECT is((SELECT string_agg(p.proname, ', ' ORDER BY p.proname)
             FROM pg_proc p
            WHERE p.pronamespace = 'paylink'::regnamespace AND has_function_privilege('paylink_api', p.oid, 'EXECUTE')),
          NULL, 'the API role may call no function that runs as the owner');
SELECT is((SELECT string_agg(p.proname, ', ' ORDER BY p.proname)
             FROM pg_proc p
            WHERE p.pronamespace = 'paylink'::regnamespace AND has_function_privilege('paylink_worker', p.oid, 'EXECUTE')),
          'attempt_check_now, attempt_checks_due, attempt_register, attempt_settle, attempt_show, attempt_snapshot, brand_snapshot, '
          'link_opened, link_page, link_renew, link_snapshot, mail_claim, mail_settle, outbox_claim, outbox_done, receipt_snapshot, refund_claim, refund_release, refund_settle, verify',
          'the worker may do its pipeline and nothing else');
SELECT is((SELECT string_agg(DISTINCT c.relname, ', ')
             FROM pg_class c, unnest(ARRAY['paylink_worker', 'paylink_operator']) AS r,
                  unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS what
            WHERE c.relnamespace = 'paylink'::regnamespace AND c.relkind IN ('r', 'v') AND has_table_privilege(r, c.oid, what)),
          NULL, 'worker and operator touch no table');
SELECT is((SELECT string_agg(DISTINCT c.relname, ', ')
             FROM pg_class c, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS what
            WHERE c.relnamespace = 'paylink'::regnamespace AND c.relkind IN ('r', 'v')
              AND has_table_privilege('paylink_api', c.oid, what)),
          NULL, 'the API role writes no table');
SELECT is((SELECT string_agg(c.relname, ', ')
             FROM pg_class c
            WHERE c.relnamespace = 'paylink'::regnamespace AND pg_get_userbyid(c.relowner) <> 'paylink_owner'),
          NULL, 'everything belongs to paylink_owner');
SELECT is((SELECT string_agg(r.rolname, ', ')
             FROM pg_roles r
            WHERE r.rolname IN ('paylink_owner', 'paylink_worker', 'paylink_operator', 'paylink_api')
              AND (r.rolsuper OR r.rolcanlogin OR r.rolbypassrls OR r.rolcreaterole OR r.rolcreatedb)),
          NULL, 'the roles can neither log in nor bypass anything');

SELECT is((SELECT string_agg(format('%s line %s: %s', p.oid::regproc, f.lineno, f.message), E'\n')
             FROM pg_proc p
             JOIN pg_language l ON l.oid = p.prolang AND l.lanname = 'plpgsql'
            CROSS JOIN LATERAL plpgsql_check_function_tb(
                  p.oid,
                  relid => CASE WHEN p.prorettype = 'trigger'::regtype
                                THEN (SELECT t.tgrelid FROM pg_trigger t WHERE t.tgfoid = p.oid LIMIT 1) ELSE 0 END,
                  extra_warnings => true, performance_warnings => false,
                  newtable => CASE p.proname WHEN 'entry_check' THEN 'fresh' END) f
            WHERE p.pronamespace = 'paylink'::regnamespace),
          NULL, 'plpgsql_check finds nothing in any function');
SELECT cmp_ok((SELECT count(*) FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang AND l.lanname = 'plpgsql'
                WHERE p.pronamespace = 'paylink'::regnamespace), '>', 60::bigint, 'and it looked at all of them');

SELECT * FROM finish();
ROLLBACK;
