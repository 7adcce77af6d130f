-- Currencies, amounts, ids: what everything else takes for granted.
BEGIN;
\ir support/world.psql
SELECT plan(19);

SELECT is((SELECT exponent::integer FROM currency WHERE code = 'USD'), 2, 'a dollar has cents');
SELECT is((SELECT string_agg(code, ' ' ORDER BY code) FROM currency WHERE exponent = 0),
          'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF', 'currencies without a minor unit');
SELECT is((SELECT string_agg(code, ' ' ORDER BY code) FROM currency WHERE exponent = 3),
          'BHD IQD JOD KWD LYD OMR TND', 'currencies with thousandths');
SELECT is((SELECT string_agg(code, ' ' ORDER BY code) FROM currency WHERE exponent = 4), 'CLF UYW', 'currencies with four digits');
SELECT is((SELECT count(*)::integer FROM currency), 165, 'the list is complete');
SELECT is((SELECT count(*)::integer FROM currency WHERE code IN ('XAU', 'XXX', 'XTS', 'XDR')), 0, 'gold is no currency here');
SELECT pg_temp.refuses($$DELETE FROM currency WHERE code = 'USD'$$, 'immutable', 'no currency disappears');

SELECT lives_ok($$SELECT 9999999999999999::positive_minor$$, 'the largest amount is 9,999,999,999,999,999');
SELECT throws_ok($$SELECT 10000000000000000::positive_minor$$, '23514', NULL, 'one more is too much');
SELECT throws_ok($$SELECT 0::positive_minor$$, '23514', NULL, 'zero is no amount');
SELECT throws_ok($$SELECT (-1)::total_minor$$, '23514', NULL, 'a part is never negative');

SELECT matches(uuid7()::text, '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$', 'uuid7 has version and variant of RFC 9562');
SELECT is((SELECT count(*)::integer FROM (SELECT DISTINCT uuid7() FROM generate_series(1, 20000)) d), 20000, 'uuid7 repeats nothing');
SELECT ok((SELECT bool_and(later) FROM (SELECT left(u::text, 18) >= lag(left(u::text, 18)) OVER (ORDER BY n) AS later
                                          FROM (SELECT n, uuid7() AS u FROM generate_series(1, 2000) AS n OFFSET 0) s) o),
          'uuid7 is ordered by time within a millisecond');
SELECT cmp_ok(abs(('x' || replace(left(uuid7()::text, 13), '-', ''))::bit(48)::bigint - pg_temp.now_ms()), '<', 1000::bigint,
              'uuid7 begins with the milliseconds of now');
SELECT is(hex_of('01020304-0506-0708-090a-0b0c0d0e0f10'), '0102030405060708090a0b0c0d0e0f10', 'a link id is 32 hexadecimal digits');
SELECT is(time_text('2026-02-03 04:05:06.789+02'), '2026-02-03T02:05:06.789Z', 'times are told in UTC');
SELECT is((SELECT count(*)::integer FROM generate_series(1795322233000, 1795322235000) AS ms WHERE time_ms(ms_time(ms)) <> ms), 0,
          'milliseconds survive the way to a time and back');
SELECT throws_ok($$SELECT uuid_arg('not-an-id', 'invoice')$$, 'PL001', '"not-an-id" is not the id of a invoice.', 'what is no id is told so');

SELECT * FROM finish();
ROLLBACK;
