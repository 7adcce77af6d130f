-- What a receipt says.
BEGIN;
\ir support/world.psql
SELECT plan(10);

SELECT pg_temp.keep('m', pg_temp.merchant('{"accent": "#ffd400", "brand_css": "61"}'));
SELECT pg_temp.keep('c', pg_temp.customer(pg_temp.get('m')));
SELECT pg_temp.keep('i1', invoice_create(pg_temp.get('m'), pg_temp.get('c'), 'R-1', 'USD',
    '[{"description": "Lathe", "quantity": 1, "unit_minor": 500}, {"description": "Oil", "quantity": 3, "unit_minor": 7}]', NULL) ->> 'id');
SELECT pg_temp.keep('i2', pg_temp.invoice(pg_temp.get('m'), pg_temp.get('c'), 79));
SELECT pg_temp.keep('i3', pg_temp.invoice(pg_temp.get('m'), pg_temp.get('c'), 11));
SELECT pg_temp.keep('l', pg_temp.link(pg_temp.get('m'), pg_temp.get('i1'), pg_temp.get('i2'), pg_temp.get('i3')));

SELECT is(receipt_snapshot(pg_temp.get('l'), 9), NULL, 'what is not paid has no receipt');
SELECT is(receipt_snapshot(repeat('0', 32), 9), NULL, 'nor has what nobody knows');
SELECT invoice_void(pg_temp.get('i3'), 'sent twice');
SELECT payment_record(pg_temp.get('i1'), 'cash', 521, '{}');
SELECT payment_record(pg_temp.get('i2'), 'cheque', 79, '{}');

SELECT is(receipt_snapshot(pg_temp.get('l'), 9) - ARRAY['invoices', 'accent'], link_snapshot(jsonb_build_array(pg_temp.get('l'))) -> 0,
          'a receipt says what the page says');
SELECT is(receipt_snapshot(pg_temp.get('l'), 9) ->> 'paid_minor', '600', 'the whole of it');
SELECT is(receipt_snapshot(pg_temp.get('l'), 9) ->> 'accent', '#ffd400', 'in the merchant''s colour');
SELECT is(receipt_snapshot(pg_temp.get('l'), 9) -> 'invoices' -> 0,
          '{"number": "R-1", "total_minor": 521, "lines": [{"description": "Lathe", "quantity": 1, "unit_minor": 500, "total_minor": 500},
            {"description": "Oil", "quantity": 3, "unit_minor": 7, "total_minor": 21}]}'::jsonb, 'invoice by invoice, line by line');
SELECT is(jsonb_array_length(receipt_snapshot(pg_temp.get('l'), 9) -> 'invoices'), 2, 'but for those that were voided');
SELECT is((SELECT sum((x ->> 'total_minor')::bigint)::text FROM jsonb_array_elements(receipt_snapshot(pg_temp.get('l'), 9) -> 'invoices') AS x),
          receipt_snapshot(pg_temp.get('l'), 9) ->> 'paid_minor', 'which add up to what was paid');
SELECT is(jsonb_path_query_array(receipt_snapshot(pg_temp.get('l'), 3) -> 'invoices', '$[*].lines[*].description'),
          '["Lathe", "Oil", "Lathe service"]'::jsonb, 'as many lines as there may be');
SELECT is(jsonb_path_query_array(receipt_snapshot(pg_temp.get('l'), 2) -> 'invoices', '$[*].keyvalue().key'),
          '["number", "total_minor", "number", "total_minor"]'::jsonb, 'or none, if they are more');

SELECT * FROM finish();
ROLLBACK;
