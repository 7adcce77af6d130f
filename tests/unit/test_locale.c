/* Amounts and dates as people of a locale read them, exact to the last unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../worker/core/money.h"
#include "../../worker/io/locale.h"

#define NBSP  "\xc2\xa0"
#define NNBSP "\xe2\x80\xaf"

static void money_is(const char *locale, const char *currency, int64_t amount_minor,
                     const char *expected)
{
    char out[96];
    size_t len = locale_money(locale, currency, amount_minor, out, sizeof(out));

    assert_string_equal(out, expected);
    assert_int_equal(len, strlen(expected));
}

static void money_follows_the_locale(void **state)
{
    (void)state;
    money_is("en-US", "USD", 123450, "$1,234.50");
    money_is("en-US", "EUR", 123450, "€1,234.50");
    money_is("de-DE", "EUR", 123450, "1.234,50" NBSP "€");
    money_is("de-CH", "CHF", 123450, "CHF" NBSP "1’234.50");
    money_is("fr-FR", "EUR", 123450, "1" NNBSP "234,50" NBSP "€");
    money_is("hi-IN", "INR", 1234567890, "₹1,23,45,678.90");
    money_is("en-US", "USD", -5, "-$0.05");
    money_is("en-US", "USD", 0, "$0.00");
}

/* The edge, which has no ICU, writes what ICU would, whatever the locale. */
static void a_style_writes_what_icu_does(void **state)
{
    static const char *const currencies[] = {"USD", "EUR", "JPY", "KWD", "INR", "CHF"};
    static const char *const tags[] = {
        "en",    "es",    "fr",    "de",    "pt",    "it",    "nl",    "ja",    "zh",    "ar",
        "en-US", "en-GB", "en-IN", "en-ZA", "es-MX", "es-ES", "es-AR", "fr-CA", "fr-CH", "de-AT",
        "de-CH", "de-LI", "pt-PT", "pt-BR", "it-CH", "nl-BE", "zh-TW", "zh-HK", "ar-EG", "ar-SA",
        "ar-MA", "fa",    "he",    "ur",    "hi",    "bn",    "mr",    "ne",    "my",    "th",
        "ko",    "ru",    "uk",    "pl",    "cs",    "hu",    "ro",    "bg",    "el",    "tr",
        "sv",    "nb",    "da",    "fi",    "et",    "lv",    "lt",    "ka",    "hy",    "sw",
        "vi",    "id",    "dz",    "ks",    "sat",   "mni",   "ckb",   "af",    "is",
    };
    static const int64_t amounts[] = {1, 99, 123450, 12345678, 1234567890, MONEY_MINOR_MAX};
    unsigned compared = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
        const char *tag = tags[i];
        char style[256], icu[256], ours[256];

        for (size_t c = 0; c < sizeof(currencies) / sizeof(currencies[0]); c++) {
            size_t style_len = locale_money_style(tag, currencies[c], style, sizeof(style));

            for (size_t a = 0; style_len > 0 && a < sizeof(amounts) / sizeof(amounts[0]); a++) {
                size_t len =
                    money_write_style(style, style_len, amounts[a],
                                      money_exponent(currencies[c], 3), ours, sizeof(ours) - 1);

                ours[len] = '\0';
                locale_money(tag, currencies[c], amounts[a], icu, sizeof(icu));
                if (strcmp(ours, icu) != 0)
                    fail_msg("%s %s: \"%s\", ICU \"%s\"", tag, currencies[c], ours, icu);
                compared++;
            }
        }
    }
    assert_int_equal(compared, sizeof(tags) / sizeof(tags[0]) * 36);
}

static void the_books_decide_the_minor_units(void **state)
{
    (void)state;
    money_is("ja-JP", "JPY", 1235, "￥1,235");
    money_is("en-US", "JPY", 1, "¥1");
    money_is("en-US", "KWD", 1234567, "KWD" NBSP "1,234.567");
    /* CLDR shows no fils, no qintars; a payer of 100.50 must not read 101. */
    money_is("en-US", "IQD", 100500, "IQD" NBSP "100.500");
    money_is("en-US", "ALL", 10050, "ALL" NBSP "100.50");
    money_is("en-US", "CHF", 3, "CHF" NBSP "0.03");
}

static void every_amount_is_exact(void **state)
{
    (void)state;
    money_is("en-US", "USD", INT64_C(9999999999999999), "$99,999,999,999,999.99");
    money_is("en-US", "USD", INT64_MAX, "$92,233,720,368,547,758.07");
    money_is("en-US", "USD", INT64_MIN, "-$92,233,720,368,547,758.08");
    money_is("en-US", "JPY", INT64_MAX, "¥9,223,372,036,854,775,807");
    money_is("en-US", "USD", INT64_C(9007199254740993), "$90,071,992,547,409.93"); /* 2^53 + 1 */
}

static void an_unknown_locale_reads_plainly(void **state)
{
    (void)state;
    money_is("xx-XX", "USD", 123450, "1234.50 USD");
    money_is("", "USD", 123450, "1234.50 USD");
    money_is("en_US; DROP", "USD", 123450, "1234.50 USD");
    money_is("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "JPY", 7, "7 JPY");
    money_is(NULL, "USD", 5, "0.05 USD");
    money_is("en-US", "XQQ", 5, "5 XQQ");
}

static void a_small_buffer_never_holds_half_an_amount(void **state)
{
    char out[8];

    (void)state;
    size_t len = locale_money("en-US", "USD", 12345, out, sizeof(out));
    assert_string_equal(out, "$123.45");
    assert_int_equal(len, 7);
    len = locale_money("de-DE", "EUR", 123, out, sizeof(out));
    assert_true(len < sizeof(out) && out[len] == '\0');
}

static void dates_follow_the_locale(void **state)
{
    char out[96];

    (void)state;
    assert_int_equal(locale_date("en-US", "2026-01-31", out, sizeof(out)), 12);
    assert_string_equal(out, "Jan 31, 2026");
    locale_date("de-DE", "2026-01-31", out, sizeof(out));
    assert_string_equal(out, "31. Jan. 2026");
    locale_date("en-GB", "2024-02-29", out, sizeof(out));
    assert_string_equal(out, "29 Feb 2024");
    locale_date("ja-JP", "2026-12-31", out, sizeof(out));
    assert_string_equal(out, "2026年12月31日");
    locale_date("en-US", "1900-03-01", out, sizeof(out));
    assert_string_equal(out, "Mar 1, 1900");
    locale_date("en-US", "9999-12-31", out, sizeof(out));
    assert_string_equal(out, "Dec 31, 9999");
}

static void an_unreadable_date_is_copied(void **state)
{
    static const char *const odd[] = {"",           "soon",        "2026-13-01",
                                      "2026-01-00", "2026-01-311", "26-1-1"};
    char out[96];

    (void)state;
    for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
        locale_date("en-US", odd[i], out, sizeof(out));
        assert_string_equal(out, odd[i]);
    }
    locale_date("xx-XX", "2026-01-31", out, sizeof(out));
    assert_string_equal(out, "2026-01-31");
}

static void times_name_their_zone(void **state)
{
    char out[96];
    int64_t ten = INT64_C(1769853600000); /* 2026-01-31T10:00:00Z */

    (void)state;
    locale_time("en-US", ten, out, sizeof(out));
    assert_string_equal(out, "Jan 31, 2026, 10:00" NNBSP "AM UTC");
    locale_time("de-DE", ten, out, sizeof(out));
    assert_string_equal(out, "31. Jan. 2026, 10:00 UTC");
    locale_time("xx-XX", ten, out, sizeof(out));
    assert_string_equal(out, "2026-01-31T10:00:00.000Z");
}

/* More locales than the cache has room for: every answer stays right while formatters come and go.
 */
static void the_cache_may_overflow(void **state)
{
    static const char *const locales[] = {"en-US", "de-DE", "fr-FR", "ja-JP", "es-ES", "it-IT",
                                          "nl-NL", "pl-PL", "sv-SE", "pt-BR", "tr-TR", "xx-XX"};
    static const char *const currencies[] = {"USD", "EUR", "JPY", "GBP", "CHF"};
    char first[12][5][96], out[96];

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 12; i++) {
            for (int j = 0; j < 5; j++) {
                locale_money(locales[i], currencies[j], 1234567, out, sizeof(out));
                if (round == 0) {
                    memcpy(first[i][j], out, sizeof(out));
                }
                assert_string_equal(out, first[i][j]);
            }
        }
    }
}

static void a_message_says_how_many_and_which(void **state)
{
    static const char text[] = "{0, plural, one {Invoice {1}} other {# invoices, ''{1}'' first}}";
    struct locale_message *message = locale_message_new("en", text, strlen(text));
    char out[96];

    (void)state;
    assert_non_null(message);
    locale_message_write(message, 1, "INV-1", out, sizeof(out));
    assert_string_equal(out, "Invoice INV-1");
    locale_message_write(message, 12, "INV-1", out, sizeof(out));
    assert_string_equal(out, "12 invoices, 'INV-1' first");
    locale_message_free(message);
}

/* umsg_format() would take {1} for the first argument, or a number for the address of a text. */
static void a_message_without_its_number_is_refused(void **state)
{
    static const char *const refused[] = {
        "",
        "Invoice {1}",
        "Invoices",
        "{0}",
        "{0} of {1}",
        "'{0, number}'",
        "it's {1}, '{'0, number}",
        "{0, select, other {x}}",
        "{0, date}",
        "{0, number} {1, number}",
        "{0, number} {1, plural, other {#}}",
        "{0, number} {2}",
        "{0, number, integer} {1}",
        "{0, plural, one {{3}} other {#}}",
        "{0, number} {00}",
        "{0, number} {name}",
        "{0, number} {",
        "{0, number",
        "{0, number} '#{2}",
    };
    static const char *const taken[] = {
        "{0, number}",
        "{0, plural,=1{1 {1}}other{#}} it's {1}",
        "{0, selectordinal, one {#st} other {#th}} '{2}' ''",
        "{0, plural, offset:1 one {'}'} other {#}} {0, number}",
    };
    char out[96];

    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++)
        assert_null(locale_message_new("en", refused[i], strlen(refused[i])));
    for (size_t i = 0; i < sizeof(taken) / sizeof(*taken); i++) {
        struct locale_message *message = locale_message_new("en", taken[i], strlen(taken[i]));

        assert_non_null(message);
        assert_true(locale_message_write(message, 1, "INV-1", out, sizeof(out)) > 0);
        locale_message_free(message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(money_follows_the_locale),
        cmocka_unit_test(a_style_writes_what_icu_does),
        cmocka_unit_test(the_books_decide_the_minor_units),
        cmocka_unit_test(every_amount_is_exact),
        cmocka_unit_test(an_unknown_locale_reads_plainly),
        cmocka_unit_test(a_small_buffer_never_holds_half_an_amount),
        cmocka_unit_test(dates_follow_the_locale),
        cmocka_unit_test(an_unreadable_date_is_copied),
        cmocka_unit_test(times_name_their_zone),
        cmocka_unit_test(the_cache_may_overflow),
        cmocka_unit_test(a_message_says_how_many_and_which),
        cmocka_unit_test(a_message_without_its_number_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
