-- A merchant's look and its switch for links.
BEGIN;
\ir support/world.psql
SELECT plan(15);

CREATE FUNCTION pg_temp.change(settings jsonb) RETURNS jsonb LANGUAGE sql
    AS $$ SELECT paylink.merchant_change(pg_temp.get('m'), settings) $$;
SELECT pg_temp.keep('w', pg_temp.world(5000)::text);
SELECT pg_temp.keep('m', pg_temp.get('w')::jsonb ->> 'merchant');
SELECT pg_temp.keep('l', pg_temp.get('w')::jsonb ->> 'link');

SELECT is(pg_temp.change('{"accent": "#0b6655", "brand_css": "61", "brand_logo": "62"}') ->> 'accent', '#0b6655', 'a colour and a logo');
SELECT is((SELECT string_agg(x ->> 'type' || ':' || (x ->> 'body'), ' ')
             FROM jsonb_array_elements(brand_snapshot(
                  (SELECT jsonb_build_array(s ->> 'brand_css', s ->> 'brand_logo', repeat('0', 32))
                     FROM jsonb_array_elements(link_snapshot(jsonb_build_array(pg_temp.get('l')))) AS s))) AS x),
          'css:61 png:62', 'a link names them, by their names they are found');
SELECT is(brand_snapshot(jsonb_build_array(repeat('0', 32))) -> 0 ->> 'type', 'absent', 'what was never kept is absent');
SELECT is(pg_temp.change('{"name": "Another"}') ->> 'accent', '#0b6655', 'other settings leave them');
SELECT lives_ok($$SELECT pg_temp.change('{"accent": "#0b6655", "brand_css": "61"}')$$, 'the same may be given again');
SELECT pg_temp.refuses($$SELECT pg_temp.change('{"accent": "#0b6655"}')$$, 'invalid_setting', 'a colour needs its style sheet');
SELECT pg_temp.refuses($$SELECT pg_temp.change('{"accent": "red", "brand_css": "61"}')$$, 'invalid_setting', 'and six digits');
SELECT pg_temp.refuses($$SELECT pg_temp.change('{"brand_logo": "6"}')$$, 'invalid_setting', 'a logo is whole bytes');
SELECT pg_temp.refuses('UPDATE brand_asset SET body = ''x''', 'immutable', 'what is kept never changes');
SELECT is(pg_temp.change('{"accent": "", "brand_css": "", "brand_logo": ""}') -> 'logo', 'null'::jsonb, 'both can be taken away');

SELECT is(pg_temp.change('{"links_on": false}') -> 'links_on', 'false'::jsonb, 'links can be switched off');
SELECT is(link_snapshot(jsonb_build_array(pg_temp.get('l'))) -> 0 ->> 'state', 'disabled', 'then an active link is disabled');
SELECT is(link_show(pg_temp.get('l')) ->> 'state', 'disabled', 'for the operator, too');
SELECT is(attempt_register('w', 60000, jsonb_build_array(jsonb_build_object(
              'attempt', gen_random_uuid(), 'link', pg_temp.get('l'), 'version', 1, 'amount_minor', 5000, 'payment_method', 'pm',
              'at_ms', time_ms(now()), 'opened_ms', time_ms(now())))) -> 0 ->> 'reason', 'disabled', 'and a submit is refused');
SELECT pg_temp.change('{"links_on": true}');
SELECT is(link_snapshot(jsonb_build_array(pg_temp.get('l'))) -> 0 ->> 'state', 'active', 'and they can be switched on again');

SELECT * FROM finish();
ROLLBACK;
