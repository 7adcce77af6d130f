-- Paying a part: chosen invoices of a link, or less than is due.
BEGIN;
\ir support/world.psql
SELECT plan(18);

-- A link over 600, 250 and 400.
CREATE FUNCTION pg_temp.trio(settings jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    m text := pg_temp.merchant(settings);
    c text := pg_temp.customer(m);
    i text[] := ARRAY[pg_temp.invoice(m, c, 600), pg_temp.invoice(m, c, 250), pg_temp.invoice(m, c, 400)];
BEGIN
    RETURN jsonb_build_object('merchant', m, 'invoices', to_jsonb(i), 'link', pg_temp.link(m, VARIADIC i));
END $$;
CREATE FUNCTION pg_temp.part(link text, amount_minor bigint, chosen jsonb DEFAULT NULL) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN pg_temp.submit(link, amount_minor => amount_minor) || CASE WHEN chosen IS NULL THEN '{}' ELSE jsonb_build_object('chosen', chosen) END;
END $$;
CREATE FUNCTION pg_temp.verdict_of(settings jsonb, amount_minor bigint, chosen jsonb DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN pg_temp.verdicts(pg_temp.register(pg_temp.part(pg_temp.trio(settings) ->> 'link', amount_minor, chosen)));
END $$;
CREATE FUNCTION pg_temp.dues(trio jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(invoice_show(i) ->> 'due_minor', ' ' ORDER BY n) FROM jsonb_array_elements_text(trio -> 'invoices') WITH ORDINALITY AS x (i, n) $$;

SELECT is(pg_temp.verdict_of('{}', 600, '[1]'), 'refused amount', 'a choice that the merchant does not allow');
SELECT is(pg_temp.verdict_of('{}', 1249), 'refused amount', 'less than is due, which the merchant does not allow');
SELECT is(pg_temp.verdict_of('{}', 1250), 'charge', 'all of it always');
SELECT is(pg_temp.verdict_of('{"choose_invoices": true}', 600, '[1]'), 'charge', 'a chosen invoice');
SELECT is(pg_temp.verdict_of('{"choose_invoices": true}', 1000, '[1, 3]'), 'charge', 'two of them');
SELECT is(pg_temp.verdict_of('{"choose_invoices": true}', 600, '[1, 3]'), 'refused amount', 'another amount than theirs');
SELECT is(pg_temp.verdict_of('{"choose_invoices": true}', 600, '[7]'), 'refused amount', 'an invoice that the link does not have');
SELECT is(pg_temp.verdict_of('{"partial_min_minor": 100}', 99), 'refused amount', 'below the minimum');
SELECT is(pg_temp.verdict_of('{"partial_min_minor": 100}', 100), 'charge', 'the minimum itself');
SELECT is(pg_temp.verdict_of('{"partial_min_minor": 100}', 1251), 'refused amount', 'more than is due');
SELECT is(pg_temp.verdict_of('{"partial_min_minor": 100}', 300, '[1]'), 'refused amount', 'part of a choice that is not allowed');
SELECT is(pg_temp.verdict_of('{"partial_min_minor": 100, "choose_invoices": true}', 300, '[1]'), 'charge', 'part of a choice');
SELECT pg_temp.refuses($$SELECT pg_temp.register(pg_temp.part(pg_temp.trio('{}') ->> 'link', 1250, '[]'))$$, 'invalid_batch', 'an empty choice is none');

-- What is captured goes to the chosen invoices, in the link's order; what they no longer need is unapplied.
SELECT pg_temp.keep('t', pg_temp.trio('{"choose_invoices": true, "partial_min_minor": 100}')::text);
SELECT pg_temp.keep('a', pg_temp.register(pg_temp.part(pg_temp.get('t')::jsonb ->> 'link', 650, '[2, 3]')) -> 0 ->> 'attempt');
SELECT pg_temp.settle(pg_temp.outcome(pg_temp.get('a')::uuid, 'captured', 650));
SELECT is(pg_temp.dues(pg_temp.get('t')::jsonb), '600 0 0', 'two chosen invoices are paid, the first is not');
SELECT pg_temp.keep('t', pg_temp.trio('{"choose_invoices": true, "partial_min_minor": 100}')::text);
SELECT pg_temp.keep('a', pg_temp.register(pg_temp.part(pg_temp.get('t')::jsonb ->> 'link', 300, '[2, 3]')) -> 0 ->> 'attempt');
SELECT pg_temp.settle(pg_temp.outcome(pg_temp.get('a')::uuid, 'captured', 300));
SELECT is(pg_temp.dues(pg_temp.get('t')::jsonb), '600 0 350', 'a part of them: the first of them first');
SELECT pg_temp.keep('b', pg_temp.register(pg_temp.part(pg_temp.get('t')::jsonb ->> 'link', 350, '[3]')) -> 0 ->> 'attempt');
SELECT payment_record(pg_temp.get('t')::jsonb -> 'invoices' ->> 2, 'cash', 200, '{}');
SELECT pg_temp.settle(pg_temp.outcome(pg_temp.get('b')::uuid, 'captured', 350));
SELECT is(pg_temp.dues(pg_temp.get('t')::jsonb), '600 0 0', 'paid elsewhere meanwhile: no other invoice gets the rest');
SELECT is((payment_show(pg_temp.get('b')) ->> 'unapplied_minor')::bigint, 200::bigint, 'it is an overpayment');
SELECT pg_temp.books_are_right('the books add up');

SELECT * FROM finish();
ROLLBACK;
