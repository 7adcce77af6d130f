-- Invoices: totals from lines, revisions, voiding, and the journals that explain them.
BEGIN;
\ir support/world.psql
SELECT plan(50);

SELECT pg_temp.keep('m', pg_temp.merchant());
SELECT pg_temp.keep('c', pg_temp.customer(pg_temp.get('m')));
CREATE FUNCTION pg_temp.make(number text, lines jsonb, due text DEFAULT NULL, currency text DEFAULT 'USD') RETURNS jsonb LANGUAGE sql AS $$
    SELECT invoice_create(pg_temp.get('m'), pg_temp.get('c'), number, currency, lines, due) $$;
CREATE FUNCTION pg_temp.lines(VARIADIC parts bigint[]) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_agg(jsonb_build_object('description', 'Line ' || n, 'quantity', 1, 'unit_minor', p) ORDER BY n)
      FROM unnest(parts) WITH ORDINALITY AS x (p, n) $$;

SELECT is(pg_temp.make('A-1', '[{"description": "Lathe", "quantity": 2, "unit_minor": 5000}, {"description": "Advice", "quantity": 1, "unit_minor": 0}]',
                       '2026-12-31') - 'id' - 'created_at' - 'merchant' - 'customer',
          '{"number": "A-1", "currency": "USD", "revision": 1, "state": "open", "total_minor": 10000, "paid_minor": 0, "due_minor": 10000,
            "due_date": "2026-12-31", "voided_at": null, "void_reason": null, "lines": [
            {"description": "Lathe", "quantity": 2, "unit_minor": 5000, "total_minor": 10000},
            {"description": "Advice", "quantity": 1, "unit_minor": 0, "total_minor": 0}]}'::jsonb, 'an invoice is the sum of its lines');
SELECT is(pg_temp.books(pg_temp.get('m')), 'receivable 10000, revenue -10000', 'and is booked');
SELECT is(pg_temp.make('A-2', pg_temp.lines(9999999999999999)) ->> 'total_minor', '9999999999999999', 'up to the largest amount');

SELECT pg_temp.refuses($$SELECT pg_temp.make('A-1', pg_temp.lines(1))$$, 'duplicate_number', 'a number is used once per merchant');
SELECT lives_ok($$SELECT invoice_create(m, pg_temp.customer(m), 'A-1', 'USD', pg_temp.lines(1), NULL) FROM pg_temp.merchant() AS m$$,
                'another merchant may use it');
SELECT pg_temp.refuses($$SELECT pg_temp.make('B', pg_temp.lines(9999999999999999, 1))$$, 'invalid_amount', 'no total above the largest amount');
SELECT pg_temp.refuses($$SELECT pg_temp.make('B', '[{"description": "x", "quantity": 1000000, "unit_minor": 9999999999999999}]')$$,
                       'invalid_amount', 'no overflow either');
SELECT pg_temp.refuses($$SELECT pg_temp.make('B', pg_temp.lines(0))$$, 'invalid_amount', 'an invoice over nothing is refused');
SELECT pg_temp.refuses($$SELECT pg_temp.make('B', pg_temp.lines(-5))$$, 'invalid_amount', 'a negative line is refused');
SELECT pg_temp.refuses(format('SELECT pg_temp.make(%L, %L)', 'B', bad), code, why)
  FROM (VALUES ('[]', 'invalid_lines', 'no lines'),
               ('{}', 'invalid_lines', 'no list of lines'),
               ('null', 'invalid_lines', 'null lines'),
               ('[5]', 'invalid_lines', 'a line that is a number'),
               ('[{"description": "x", "quantity": 0, "unit_minor": 5}]', 'invalid_lines', 'a quantity of zero'),
               ('[{"description": "x", "quantity": 1.5, "unit_minor": 5}]', 'invalid_lines', 'a half'),
               ('[{"description": "x", "quantity": "2", "unit_minor": 5}]', 'invalid_lines', 'a quantity in quotes'),
               ('[{"description": "x", "quantity": 2}]', 'invalid_amount', 'a missing price'),
               ('[{"description": "x", "quantity": 1, "unit_minor": 5.5}]', 'invalid_amount', 'half a cent'),
               ('[{"description": "x", "quantity": 1, "unit_minor": 99999999999999999999}]', 'invalid_amount', 'a price beyond bigint'),
               ('[{"description": "", "quantity": 1, "unit_minor": 5}]', 'invalid_lines', 'an empty description'),
               ('[{"description": "a\u0007b", "quantity": 1, "unit_minor": 5}]', 'invalid_lines', 'a control character'),
               ('[{"description": "x", "quantity": 1, "unit_minor": 5, "vat": 7}]', 'invalid_lines', 'an unknown key')
       ) AS t (bad, code, why);
SELECT pg_temp.refuses($$SELECT pg_temp.make('B', pg_temp.lines(1), NULL, 'XAU')$$, 'unknown_currency', 'gold is refused');
SELECT pg_temp.refuses($$SELECT pg_temp.make('B', pg_temp.lines(1), '2026-02-30')$$, 'invalid_date', 'the 30th of February is refused');
SELECT pg_temp.refuses($$SELECT pg_temp.make('B', pg_temp.lines(1), 'tomorrow')$$, 'invalid_date', 'a date is YYYY-MM-DD');
SELECT pg_temp.refuses($$SELECT pg_temp.make(E'B\r', pg_temp.lines(1))$$, 'invalid_number', 'a number is printable');
SELECT pg_temp.refuses(format('SELECT invoice_create(%L, %L, ''B'', ''USD'', pg_temp.lines(1), NULL)', pg_temp.merchant(), pg_temp.get('c')),
                       'not_found', 'the customer is the merchant''s own');
SELECT is(pg_temp.make('J-1', pg_temp.lines(500), NULL, 'JPY') ->> 'total_minor', '500', 'yen have no cents');

-- Changing it.
SELECT pg_temp.keep('i', pg_temp.make('C-1', pg_temp.lines(4000)) ->> 'id');
SELECT pg_temp.keep('l', pg_temp.link(pg_temp.get('m'), pg_temp.get('i')));
SELECT is(invoice_change(pg_temp.get('i'), jsonb_build_object('lines', pg_temp.lines(4000, 500))) - 'id' - 'created_at' - 'merchant' - 'customer' - 'lines',
          '{"number": "C-1", "currency": "USD", "revision": 2, "state": "open", "total_minor": 4500, "paid_minor": 0, "due_minor": 4500,
            "due_date": null, "voided_at": null, "void_reason": null}'::jsonb, 'other lines make a new revision');
SELECT is(invoice_change(pg_temp.get('i'), '{"due": "2026-11-30"}') ->> 'total_minor', '4500', 'another due date alone keeps the lines');
SELECT is(invoice_show(pg_temp.get('i')) -> 'due_date', '"2026-11-30"'::jsonb, 'and is kept');
SELECT is(invoice_change(pg_temp.get('i'), '{"due": null}') -> 'due_date', 'null'::jsonb, 'null takes the date away');
SELECT is((SELECT count(*)::integer FROM invoice_revision WHERE invoice_id = pg_temp.get('i')::uuid), 4, 'every revision is kept');
SELECT is(link_show(pg_temp.get('l')) ->> 'version', '4', 'each of them is a new version of its link');
SELECT is((SELECT string_agg(format('%s %s', j.kind, e.amount_minor), ', ' ORDER BY j.id)
             FROM journal j JOIN entry e ON e.journal_id = j.id AND e.account = 'receivable'
            WHERE j.document_id = pg_temp.get('i')::uuid), 'invoice 4000, invoice_change 500', 'only a difference is booked');
SELECT payment_record(pg_temp.get('i'), 'cash', 1000, '{}');
SELECT pg_temp.refuses(format('SELECT invoice_change(%L, %L)', pg_temp.get('i'), jsonb_build_object('lines', pg_temp.lines(999))),
                       'below_paid', 'the total stays above what is paid');
SELECT is(invoice_change(pg_temp.get('i'), jsonb_build_object('lines', pg_temp.lines(1000))) ->> 'state', 'paid', 'down to what is paid makes it paid');
SELECT is(link_show(pg_temp.get('l')) ->> 'state', 'paid', 'and its link');
SELECT pg_temp.refuses(format('SELECT invoice_void(%L, ''x'')', pg_temp.get('i')), 'invoice_paid', 'a paid invoice is not voided');
SELECT is(invoice_change(pg_temp.get('i'), jsonb_build_object('lines', pg_temp.lines(1500))) ->> 'due_minor', '500', 'more makes it open again');
SELECT is(link_show(pg_temp.get('l')) ->> 'state', 'active', 'and its link');
SELECT pg_temp.refuses(format('SELECT invoice_change(%L, ''{"total": 5}'')', pg_temp.get('i')), 'invalid_change', 'a total is not set by itself');

-- Voiding it.
SELECT is(invoice_void(pg_temp.get('i'), 'a mistake') - 'id' - 'created_at' - 'merchant' - 'customer' - 'lines' - 'voided_at',
          '{"number": "C-1", "currency": "USD", "revision": 6, "state": "void", "total_minor": 1500, "paid_minor": 1000, "due_minor": 0,
            "due_date": null, "void_reason": "a mistake"}'::jsonb, 'voiding reverses what is unpaid');
SELECT is((SELECT sum(e.amount_minor)::integer FROM journal j JOIN entry e ON e.journal_id = j.id AND e.account = 'receivable'
            WHERE j.document_id = pg_temp.get('i')::uuid), 1000, 'what was paid stays booked');
SELECT is(link_show(pg_temp.get('l')) ->> 'state', 'void', 'its link is void');
SELECT is(invoice_void(pg_temp.get('i'), 'again') ->> 'void_reason', 'a mistake', 'voiding again changes nothing');
SELECT pg_temp.refuses(format('SELECT invoice_change(%L, ''{"due": null}'')', pg_temp.get('i')), 'invoice_void', 'a void invoice is not changed');
SELECT pg_temp.refuses(format('SELECT payment_record(%L, ''cash'', 1, ''{}'')', pg_temp.get('i')), 'invoice_void', 'nor paid');
SELECT is(jsonb_array_length(invoice_list(pg_temp.get('m'), '{"state": "void"}')), 1, 'lists filter by state');
SELECT pg_temp.books_are_right('after all of it the books are right');

SELECT * FROM finish();
ROLLBACK;
