-- Merchants and customers: created, shown, changed; what is refused.
BEGIN;
\ir support/world.psql
SELECT plan(39);

SELECT pg_temp.keep('m', merchant_create('Harbour Tools', 'EUR', '{"locale": "de-DE"}') ->> 'id');
SELECT is(merchant_show(pg_temp.get('m')) - 'id' - 'created_at',
          '{"name": "Harbour Tools", "currency": "EUR", "when_paid_elsewhere": "refuse", "locale": "de-DE",
            "link_ceiling_days": 180, "gateway_account": "", "accent": null, "logo": null, "links_on": true, "choose_invoices": false, "partial_min_minor": null, "receipt_mail": true, "reply_to": null}'::jsonb, 'a merchant has its settings and defaults');
SELECT is(merchant_list() -> 0 ->> 'id' IS NOT NULL, true, 'merchants are listed');
SELECT is(merchant_change(pg_temp.get('m'), '{"when_paid_elsewhere": "overpayment", "gateway_account": "pk_test_1", "link_ceiling_days": 7}')
          - 'id' - 'created_at',
          '{"name": "Harbour Tools", "currency": "EUR", "when_paid_elsewhere": "overpayment", "locale": "de-DE",
            "link_ceiling_days": 7, "gateway_account": "pk_test_1", "accent": null, "logo": null, "links_on": true, "choose_invoices": false, "partial_min_minor": null, "receipt_mail": true, "reply_to": null}'::jsonb, 'settings can be changed, the others stay');
SELECT is((SELECT count(*)::integer FROM audit WHERE merchant_id = pg_temp.get('m')::uuid), 2, 'both are in the audit');
SELECT matches((SELECT actor FROM audit WHERE merchant_id = pg_temp.get('m')::uuid LIMIT 1), '^' || session_user || '/', 'with who did it');

SELECT pg_temp.refuses($$SELECT merchant_create('', 'EUR', '{}')$$, 'invalid_name', 'a merchant needs a name');
SELECT pg_temp.refuses($$SELECT merchant_create(NULL, 'EUR', '{}')$$, 'invalid_name', 'null is no name');
SELECT pg_temp.refuses($$SELECT merchant_create(E'a\nb', 'EUR', '{}')$$, 'invalid_name', 'a name is one line');
SELECT pg_temp.refuses($$SELECT merchant_create(repeat('x', 201), 'EUR', '{}')$$, 'invalid_name', 'a name has an end');
SELECT pg_temp.refuses($$SELECT merchant_create('M', 'EURO', '{}')$$, 'unknown_currency', 'EURO is no currency');
SELECT pg_temp.refuses($$SELECT merchant_create('M', 'eur', '{}')$$, 'unknown_currency', 'codes are upper case');
SELECT pg_temp.refuses($$SELECT merchant_create('M', NULL, '{}')$$, 'unknown_currency', 'a currency is needed');
SELECT pg_temp.refuses($$SELECT merchant_create('M', 'XXX', '{}')$$, 'unknown_currency', 'nor is "no currency" one');
SELECT pg_temp.refuses($$SELECT merchant_create('M', 'EUR', '{"when_paid_elsewhere": "maybe"}')$$, 'invalid_setting', 'settings are checked');
SELECT pg_temp.refuses($$SELECT merchant_create('M', 'EUR', '{"whenpaid": "refuse"}')$$, 'invalid_setting', 'a misspelt setting is told');
SELECT pg_temp.refuses($$SELECT merchant_create('M', 'EUR', '{"link_ceiling_days": 0}')$$, 'invalid_setting', 'a ceiling is a day or more');
SELECT pg_temp.refuses($$SELECT merchant_create('M', 'EUR', '{"link_ceiling_days": 1.5}')$$, 'invalid_setting', 'and whole');
SELECT pg_temp.refuses($$SELECT merchant_create('M', 'EUR', '{"link_ceiling_days": "7"}')$$, 'invalid_setting', 'and a number');
SELECT pg_temp.refuses($$SELECT merchant_create('M', 'EUR', '{"gateway_account": "pk live"}')$$, 'invalid_setting', 'a key has no spaces');
SELECT pg_temp.refuses($$SELECT merchant_create('M', 'EUR', '{"locale": "<script>"}')$$, 'invalid_setting', 'a locale is a language tag');
SELECT is(merchant_change(pg_temp.get('m'), '{"choose_invoices": true, "partial_min_minor": 500}') - 'id' @> '{"choose_invoices": true, "partial_min_minor": 500}', true, 'payers may pay a part');
SELECT is(merchant_change(pg_temp.get('m'), '{"choose_invoices": false, "partial_min_minor": null}') @> '{"choose_invoices": false, "partial_min_minor": null}', true, 'or not, again');
SELECT pg_temp.refuses($$SELECT merchant_create('M', 'EUR', '{"choose_invoices": "yes"}')$$, 'invalid_setting', 'choose_invoices is true or false');
SELECT pg_temp.refuses($$SELECT merchant_create('M', 'EUR', '{"partial_min_minor": 0}')$$, 'invalid_setting', 'a minimum is at least one unit');
SELECT is(merchant_change(pg_temp.get('m'), '{"receipt_mail": false, "reply_to": "till@example.com"}') @> '{"receipt_mail": false, "reply_to": "till@example.com"}', true, 'no receipts by mail, answers to the till');
SELECT is(merchant_change(pg_temp.get('m'), '{"receipt_mail": true, "reply_to": null}') @> '{"receipt_mail": true, "reply_to": null}', true, 'or as before');
SELECT pg_temp.refuses($$SELECT merchant_create('M', 'EUR', '{"receipt_mail": 1}')$$, 'invalid_setting', 'receipt_mail is true or false');
SELECT pg_temp.refuses(format('SELECT merchant_create(''M'', ''EUR'', %L)', jsonb_build_object('reply_to', bad)), 'invalid_email', 'reply_to is an address')
  FROM unnest(ARRAY['till', E'a@b\r\nBcc: c@d', '']) AS bad;
SELECT pg_temp.refuses($$SELECT merchant_show('1')$$, 'invalid_id', 'an id is a UUID');
SELECT pg_temp.refuses($$SELECT merchant_show(gen_random_uuid()::text)$$, 'not_found', 'an unknown merchant is told');

SELECT pg_temp.keep('c', customer_create(pg_temp.get('m'), 'Ada', 'ada@example.com', '{"locale": "fr-FR"}') ->> 'id');
SELECT is(customer_show(pg_temp.get('c')) - 'id' - 'merchant' - 'created_at',
          '{"name": "Ada", "email": "ada@example.com", "locale": "fr-FR"}'::jsonb, 'a customer is shown');
SELECT is(jsonb_array_length(customer_list(pg_temp.get('m'))), 1, 'and listed');
SELECT pg_temp.refuses(format('SELECT customer_create(%L, %L, %L, %L)', gen_random_uuid(), 'Ada', 'a@b.c', '{}'), 'not_found',
                       'a customer belongs to a merchant');
SELECT pg_temp.refuses(format('SELECT customer_create(%L, %L, %L, %L)', pg_temp.get('m'), '  ', 'a@b.c', '{}'), 'invalid_name', 'and has a name');
SELECT pg_temp.refuses(format('SELECT customer_create(%L, %L, %L, %L)', pg_temp.get('m'), 'Ada', bad, '{}'), 'invalid_email',
                       format('%s is no address', to_jsonb(bad)))
  FROM unnest(ARRAY['ada', 'a@b@c', E'a@b.c\nBcc: x@y.z']) AS bad;

SELECT * FROM finish();
ROLLBACK;
