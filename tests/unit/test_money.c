/* Amounts: exact, bounded, in the currency's own digits. */
#include "support.h"

#include "../../worker/core/money.h"

static void exponents_follow_iso_4217(void **state)
{
    static const char zero[] =
        "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
    static const char two[] = "AED AUD CAD CHE CHF CHW CNY COU EUR GBP HUF IDR INR MGA MRU MXN MXV "
                              "SLE TWD USD USN UZS VED VES XAD XCG ZAR ZMW ZWG";
    static const char three[] = "BHD IQD JOD KWD LYD OMR TND";
    static const char four[] = "CLF UYW";
    static const struct {
        const char *codes;
        int exponent;
    } cases[] = {{zero, 0}, {two, 2}, {three, 3}, {four, 4}};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        for (const char *code = cases[i].codes;; code += 4) {
            assert_int_equal(money_exponent(code, 3), cases[i].exponent);
            if (code[3] == '\0') {
                break;
            }
        }
    }
}

/* A table that is out of order hides entries from the binary search: count what it finds. */
static void every_entry_of_the_table_is_found(void **state)
{
    unsigned found = 0;

    (void)state;
    for (char a = 'A'; a <= 'Z'; a++) {
        for (char b = 'A'; b <= 'Z'; b++) {
            for (char c = 'A'; c <= 'Z'; c++) {
                char code[3] = {a, b, c};

                found += money_exponent(code, 3) >= 0;
            }
        }
    }
    assert_int_equal(found, 165);
}

static void unknown_currencies_have_no_exponent(void **state)
{
    static const char *const bad[] = {"",
                                      "US",
                                      "USDX",
                                      "usd",
                                      "Usd",
                                      ("XX"
                                       "X"),
                                      "XTS",
                                      "XAU",
                                      "XDR",
                                      "DEM",
                                      "HRK",
                                      "ANG",
                                      "BGN",
                                      "ZWL",
                                      "SLL",
                                      "CUC",
                                      "AAA",
                                      "ZZZ"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(money_exponent(bad[i], strlen(bad[i])), -1);
    }
}

static void add_is_checked(void **state)
{
    int64_t out = 7;

    (void)state;
    assert_true(money_add(MONEY_MINOR_MAX - 1, 1, &out));
    assert_int_equal(out, MONEY_MINOR_MAX);
    assert_true(money_add(-MONEY_MINOR_MAX, 0, &out));
    assert_int_equal(out, -MONEY_MINOR_MAX);
    out = 7;
    assert_false(money_add(MONEY_MINOR_MAX, 1, &out));
    assert_false(money_add(-MONEY_MINOR_MAX, -1, &out));
    assert_false(money_add(INT64_MAX, 1, &out));
    assert_false(money_add(INT64_MIN, -1, &out));
    assert_int_equal(out, 7);
}

static void mul_is_checked(void **state)
{
    int64_t out = 7;

    (void)state;
    assert_true(money_mul(3, -MONEY_MINOR_MAX / 3, &out));
    assert_int_equal(out, -MONEY_MINOR_MAX);
    assert_true(money_mul(INT64_MIN, 0, &out));
    assert_int_equal(out, 0);
    out = 7;
    assert_false(money_mul(2, MONEY_MINOR_MAX, &out));
    assert_false(money_mul(-2, MONEY_MINOR_MAX, &out));
    assert_false(money_mul(INT64_MAX, 2, &out));
    assert_false(money_mul(INT64_MIN, -1, &out));
    assert_int_equal(out, 7);
}

static void minor_units_are_read_strictly(void **state)
{
    static const struct {
        const char *text;
        int64_t amount;
    } good[] = {
        {"0", 0}, {"1", 1}, {"10", 10}, {"123450", 123450}, {"9999999999999999", MONEY_MINOR_MAX}};
    static const char *const bad[] = {"",
                                      "00",
                                      "01",
                                      "+1",
                                      "-1",
                                      " 1",
                                      "1 ",
                                      "1.0",
                                      "1,0",
                                      "1e3",
                                      "0x1",
                                      "١",
                                      "1/",
                                      "1:",
                                      "10000000000000000",
                                      "99999999999999999999999999"};
    int64_t out;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(money_parse_minor(good[i].text, strlen(good[i].text), &out));
        assert_int_equal(out, good[i].amount);
    }
    out = 7;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(money_parse_minor(bad[i], strlen(bad[i]), &out));
    }
    assert_false(money_parse_minor("1\0", 2, &out));
    assert_int_equal(out, 7);
}

static void plain_text_has_the_currencys_digits(void **state)
{
    static const struct {
        int64_t amount;
        const char *currency, *text;
    } cases[] = {
        {123450, "USD", "1234.50"},
        {0, "USD", "0.00"},
        {5, "USD", "0.05"},
        {99, "USD", "0.99"},
        {100, "USD", "1.00"},
        {-5, "USD", "-0.05"},
        {0, "JPY", "0"},
        {1234, "JPY", "1234"},
        {-1, "JPY", "-1"},
        {1, "KWD", "0.001"},
        {1234567, "KWD", "1234.567"},
        {1, "CLF", "0.0001"},
        {MONEY_MINOR_MAX, "USD", "99999999999999.99"},
        {INT64_MIN, "CLF", "-922337203685477.5808"},
        {INT64_MAX, "JPY", "9223372036854775807"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[MONEY_TEXT_SIZE];
        int len = money_format_plain(cases[i].amount, cases[i].currency, out, sizeof(out));

        assert_string_equal(out, cases[i].text);
        assert_int_equal(len, strlen(cases[i].text));
    }
}

static void plain_text_that_does_not_fit_is_refused(void **state)
{
    char out[8] = "1234567";

    (void)state;
    assert_int_equal(money_format_plain(123450, "USD", out, 7), -1);
    assert_int_equal(money_format_plain(123450, "USD", out, 0), -1);
    assert_int_equal(money_format_plain(123450, "usd", out, 8), -1);
    assert_int_equal(money_format_plain(123450, "", out, 8), -1);
    assert_string_equal(out, "1234567");
    assert_int_equal(money_format_plain(123450, "USD", out, 8), 7);
    assert_string_equal(out, "1234.50");
}

static int64_t typed(const char *text, int exponent)
{
    int64_t amount = -1;

    return money_parse_typed(text, strlen(text), exponent, &amount) ? amount : -1;
}

static void what_somebody_types_is_an_amount_or_nothing(void **state)
{
    static const char *const refused[] = {"",
                                          " ",
                                          "0",
                                          "0.00",
                                          "-5",
                                          "+5",
                                          ".5",
                                          "5.",
                                          "5,",
                                          "1,234",
                                          "1.234",
                                          "1.2.3",
                                          "1 000",
                                          "5e3",
                                          "5.001",
                                          "0x5",
                                          "５",
                                          "12345678901234567890",
                                          "100000000000000.00"};

    (void)state;
    assert_int_equal(typed("50", 2), 5000);
    assert_int_equal(typed(" 50.5\t", 2), 5050);
    assert_int_equal(typed("50,05", 2), 5005);
    assert_int_equal(typed("007", 2), 700);
    assert_int_equal(typed("99999999999999.99", 2), MONEY_MINOR_MAX);
    assert_int_equal(typed("1.234", 3), 1234);
    assert_int_equal(typed("1234", 0), 1234);
    assert_int_equal(typed("1234.5", 0), -1);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (typed(refused[i], 2) != -1)
            fail_msg("\"%s\" is %lld", refused[i], (long long)typed(refused[i], 2));
}

static const char *styled(const char *style, int64_t amount_minor)
{
    static char out[32];

    out[money_write_style(style, strlen(style), amount_minor, 2, out, sizeof(out) - 1)] = '\0';
    return out;
}

static void a_style_says_how_amounts_are_written(void **state)
{
    (void)state;
    assert_string_equal(styled("\x1f €\x1f,\x1f.\x1f\x30\x1f\x33\x1f\x30\x1f\x31", 123450),
                        "1.234,50 €");
    assert_string_equal(styled("\x1f €\x1f,\x1f.\x1f\x30\x1f\x33\x1f\x30\x1f\x32", 123450),
                        "1234,50 €");
    assert_string_equal(styled("R\x1f\x1f.\x1f,\x1f\x30\x1f\x33\x1f\x32\x1f\x31", 1234567890),
                        "R1,23,45,678.90");
    assert_string_equal(styled("$\x1f\x1f.\x1f,\x1f\x30\x1f\x33\x1f\x30\x1f\x31", 5), "$0.05");
    assert_string_equal(styled("", 5), "");
    assert_string_equal(styled("$\x1f\x1f.\x1f,\x1f\x30\x1f\x33\x1f\x30", 5), "");
    assert_string_equal(styled("$\x1f\x1f.\x1f,\x1f\x1f\x33\x1f\x30\x1f\x31", 5), "");
    assert_string_equal(styled("$\x1f\x1f.\x1f,\x1f\x30\x1fx\x1f\x30\x1f\x31", 5), "");
    assert_string_equal(
        styled("$\x1f a long word that does not fit \x1f.\x1f,\x1f\x30\x1f\x33\x1f\x30\x1f\x31", 5),
        "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exponents_follow_iso_4217),
        cmocka_unit_test(every_entry_of_the_table_is_found),
        cmocka_unit_test(unknown_currencies_have_no_exponent),
        cmocka_unit_test(add_is_checked),
        cmocka_unit_test(mul_is_checked),
        cmocka_unit_test(minor_units_are_read_strictly),
        cmocka_unit_test(plain_text_has_the_currencys_digits),
        cmocka_unit_test(plain_text_that_does_not_fit_is_refused),
        cmocka_unit_test(what_somebody_types_is_an_amount_or_nothing),
        cmocka_unit_test(a_style_says_how_amounts_are_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
