/* Form bodies: decoded exactly, and every malformed one refused for its own reason. */
#include "support.h"

#include "../../worker/core/form.h"

static struct form form;
static char *body; /* what `form` points into */

/* Bodies are copied to exactly their size, so that the sanitizer sees a read beyond. */
static char *exact_copy(const char *text, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);

    assert_non_null(copy);
    memcpy(copy, text, len);
    return copy;
}

static enum form_status parse_bytes(const char *text, size_t len)
{
    free(body);
    body = exact_copy(text, len);
    return form_parse(body, len, &form);
}

static enum form_status parse(const char *text)
{
    return parse_bytes(text, strlen(text));
}

static void value_is(const char *name, const char *value)
{
    const struct form_field *field = form_get(&form, name);

    assert_non_null(field);
    assert_int_equal(field->value_len, strlen(value));
    assert_memory_equal(field->value, value, field->value_len);
}

static void a_pay_form_is_read(void **state)
{
    (void)state;
    assert_int_equal(parse("attempt=AZfw&version=3&amount_minor=123450&payment_method=pm_1"),
                     FORM_OK);
    assert_int_equal(form.count, 4);
    value_is("attempt", "AZfw");
    value_is("version", "3");
    value_is("amount_minor", "123450");
    value_is("payment_method", "pm_1");
    assert_null(form_get(&form, "amount"));
    assert_null(form_get(&form, "amount_minor_"));
    assert_null(form_get(&form, ""));
}

static void escapes_are_decoded_in_names_and_values(void **state)
{
    (void)state;
    assert_int_equal(parse("card%5Bnumber%5d=4+2%2b&a%3db=%26%3D%25%c3%A9"), FORM_OK);
    value_is("card[number]", "4 2+");
    value_is("a=b", "&=%\xc3\xa9");
}

static void values_may_be_empty_or_missing_and_contain_equals(void **state)
{
    (void)state;
    assert_int_equal(parse("a=&b&c=x=y"), FORM_OK);
    value_is("a", "");
    value_is("b", "");
    value_is("c", "x=y");
    assert_int_equal(parse(""), FORM_OK);
    assert_int_equal(form.count, 0);
    assert_int_equal(form_parse(NULL, 0, &form), FORM_OK);
}

static void names_must_not_be_empty(void **state)
{
    static const char *const bad[] = {"=x", "=", "&", "a=1&", "&a=1", "a=1&&b=2"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(parse(bad[i]), FORM_EMPTY_NAME);
    }
}

static void bad_escapes_are_refused(void **state)
{
    static const char *const bad[] = {"a=%",    "a=%4",     "a=%g0", "a=%0g", "%=1",     "a%4=1",
                                      "a=%%41", "a=%4&1=2", "a=% 1", "a=%+1", "a=%u0041"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(parse(bad[i]), FORM_BAD_ESCAPE);
    }
}

static void control_characters_and_bad_utf8_are_refused(void **state)
{
    static const char *const bad[] = {
        "a=%00",          "a=%0A",    "a=%0d",    "a=%1f",  "a=%7F",    "a=\t",
        "a%00=1",         "a=%C2%80", "a=%c2%9f", "a=%80",  "a=%C0%80", "a=%ED%A0%80",
        "a=%F4%90%80%80", "a=%C3",    "%FF=1",    "a=\xff",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(parse(bad[i]), FORM_BAD_TEXT);
    }
    assert_int_equal(parse_bytes("a=\0b", 4), FORM_BAD_TEXT);
    assert_int_equal(parse("a=%C2%A0"), FORM_OK);
}

static void duplicate_fields_are_refused(void **state)
{
    (void)state;
    assert_int_equal(parse("a=1&b=2&a=1"), FORM_DUPLICATE_FIELD);
    assert_int_equal(parse("a=1&%61=2"), FORM_DUPLICATE_FIELD);
    assert_int_equal(parse("a=1&A=2&a+=3"), FORM_OK);
}

static void fields_are_limited(void **state)
{
    char text[256] = "";

    (void)state;
    for (int i = 0; i < FORM_FIELDS_MAX; i++) {
        char field[32];

        snprintf(field, sizeof(field), "%sf%d=%d", i > 0 ? "&" : "", i, i);
        strcat(text, field);
    }
    assert_int_equal(parse(text), FORM_OK);
    assert_int_equal(form.count, FORM_FIELDS_MAX);
    value_is("f19", "19");
    strcat(text, "&g=1");
    assert_int_equal(parse(text), FORM_TOO_MANY_FIELDS);
}

static void bodies_are_limited(void **state)
{
    static char text[FORM_BYTES_MAX + 1];

    (void)state;
    memset(text, 'x', sizeof(text));
    assert_int_equal(parse_bytes(text, FORM_BYTES_MAX), FORM_OK);
    assert_int_equal(form.field[0].name_len, FORM_BYTES_MAX);
    assert_int_equal(parse_bytes(text, FORM_BYTES_MAX + 1), FORM_TOO_LARGE);
    assert_int_equal(form.count, 0);
}

static void every_refusal_has_its_own_sentence(void **state)
{
    (void)state;
    for (int a = FORM_OK; a <= FORM_EMPTY_NAME; a++) {
        assert_true(strlen(form_status_text((enum form_status)a)) > 20);
        for (int b = FORM_OK; b < a; b++) {
            assert_string_not_equal(form_status_text((enum form_status)a),
                                    form_status_text((enum form_status)b));
        }
    }
    assert_string_equal(form_status_text((enum form_status)99), "The form is not well-formed.");
}

static bool like(const char *text)
{
    char *copy = exact_copy(text, strlen(text));
    bool result = card_number_like(copy, strlen(text));

    free(copy);
    return result;
}

static void card_numbers_are_recognised(void **state)
{
    static const char *const cards[] = {
        "4242424242424242",
        "4242 4242 4242 4242",
        "4242-4242-4242-4242",
        "3782 822463 10005",   /* 15 */
        "4222222222222",       /* 13 */
        "6304000000000000",    /* 16 */
        "6011000000000000001", /* 19 */
        "my card is 5555555555554444, thanks",
        "pm_4242424242424242",
        "x4242424242424242x",
        "12 4242 4242 4242 4242",
        "4242 4242 4242 4242 12 26 123",
        "4242424242424242 12/26",
        "99999 4242424242424242",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cards) / sizeof(cards[0]); i++) {
        if (!like(cards[i])) {
            fail_msg("not recognised: %s", cards[i]);
        }
    }
}

static void other_numbers_are_not(void **state)
{
    static const char *const others[] = {
        "",
        "pm_card_visa",
        "4242424242424241",       /* Luhn */
        "424242424242",           /* 12 digits */
        "0000000000000000000000", /* 22 digits in one group */
        "42424242424242424242",   /* 20 digits: contains one, but is no card number */
        "4242  4242 4242 4242",   /* two blanks part it */
        "4242.4242.4242.4242",
        "4242 -4242 4242 4242",
        "4242 4242 4242 ",
        "4242-4242-4242-",
        "018f3c5a-1de2-7467-91a2-b3c4d5e6f708",
        "2026-11-22T04:00:00",
        "123450",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (like(others[i])) {
            fail_msg("taken for a card number: %s", others[i]);
        }
    }
    assert_false(card_number_like("4242424242424242", 12));
}

static int body_free(void **state)
{
    (void)state;
    free(body);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pay_form_is_read),
        cmocka_unit_test(escapes_are_decoded_in_names_and_values),
        cmocka_unit_test(values_may_be_empty_or_missing_and_contain_equals),
        cmocka_unit_test(names_must_not_be_empty),
        cmocka_unit_test(bad_escapes_are_refused),
        cmocka_unit_test(control_characters_and_bad_utf8_are_refused),
        cmocka_unit_test(duplicate_fields_are_refused),
        cmocka_unit_test(fields_are_limited),
        cmocka_unit_test(bodies_are_limited),
        cmocka_unit_test(every_refusal_has_its_own_sentence),
        cmocka_unit_test(card_numbers_are_recognised),
        cmocka_unit_test(other_numbers_are_not),
    };

    return cmocka_run_group_tests(tests, NULL, body_free);
}
