/* Receipts and buttons as they are drawn: whole, bounded, the same each time. */
#include "support.h"

#include "../../worker/document/button.h"
#include "../../worker/document/receipt.h"
#include "../../worker/io/canvas.h"

#define ROWS_MAX 400

static struct receipt_row rows[ROWS_MAX];

static struct receipt receipt_of(const char *language, size_t row_count)
{
    for (size_t i = 0; i < row_count; i++)
        rows[i] = i % 4 == 0 ? (struct receipt_row){true, "INV-1", NULL, "$125.00"}
                             : (struct receipt_row){false, "Lathe service", "2 × $19.95", "$39.90"};
    return (struct receipt){
        .language = language,
        .heading = "Receipt",
        .number = "R-1",
        .merchant = "Harbour Tools",
        .paid_at_ms = INT64_C(1769853600000),
        .accent = {0xff, 0xd4, 0x00},
        .facts = {{"Receipt number", "R-1"}, {"Customer", "Ada Byron"}, {"Paid by", "Cash"}},
        .total = {"Amount paid", "$125.00"},
        .invoice_label = "Invoice",
        .amount_label = "Amount",
        .rows = rows,
        .row_count = row_count};
}

static size_t times(const uint8_t *bytes, size_t len, const char *what)
{
    size_t n = 0, what_len = strlen(what);

    for (size_t i = 0; i + what_len <= len; i++)
        n += memcmp(bytes + i, what, what_len) == 0;
    return n;
}

static void a_receipt_has_the_pages_that_it_needs(void **state)
{
    static const struct {
        size_t rows, pages;
    } of[] = {{0, 1}, {2, 1}, {40, 2}, {ROWS_MAX, 12}};
    struct error err;

    (void)state;
    for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
        struct receipt receipt = receipt_of("en", of[i].rows);
        uint8_t *pdf;
        size_t len;

        assert_int_equal(receipt_draw(&receipt, 262144, &pdf, &len, &err), RESULT_OK);
        assert_memory_equal(pdf, "%PDF-", 5);
        assert_memory_equal(pdf + len - 6, "%%EOF\n", 6);
        assert_int_equal(times(pdf, len, "<< /Type /Page "), of[i].pages);
        free(pdf);
    }
}

static void the_same_receipt_gives_the_same_bytes(void **state)
{
    static const char *const languages[] = {"en", "ja", "zh", "ar"};
    struct error err;

    (void)state;
    for (size_t i = 0; i < sizeof languages / sizeof languages[0]; i++) {
        struct receipt receipt = receipt_of(languages[i], 40);
        uint8_t *one, *two;
        size_t len, again;

        assert_int_equal(receipt_draw(&receipt, 262144, &one, &len, &err), RESULT_OK);
        assert_int_equal(receipt_draw(&receipt, 262144, &two, &again, &err), RESULT_OK);
        assert_int_equal(len, again);
        assert_memory_equal(one, two, len);
        free(one);
        free(two);
    }
}

static void what_is_too_large_is_refused(void **state)
{
    struct receipt receipt = receipt_of("en", 40);
    struct error err;
    uint8_t *out;
    size_t len;

    (void)state;
    assert_int_equal(receipt_draw(&receipt, 4096, &out, &len, &err), RESULT_REJECTED);
    assert_int_equal(button_draw("en 1 120 44 17 #0b6654 #ffffff Pay now", 100, &out, &len, &err),
                     RESULT_REJECTED);
}

static uint32_t pixels(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void a_button_has_the_size_that_was_asked_for(void **state)
{
    char text[96];
    struct error err;

    (void)state;
    for (unsigned scale = 1; scale <= 3; scale++) {
        uint8_t *png;
        size_t len;

        snprintf(text, sizeof text, "ar %u 120 44 17 #0b6654 #ffffff ادفع الآن", scale);
        assert_int_equal(button_draw(text, 65536, &png, &len, &err), RESULT_OK);
        assert_memory_equal(png, "\x89PNG\r\n\x1a\n", 8);
        assert_int_equal(pixels(png + 16), 120 * scale);
        assert_int_equal(pixels(png + 20), 44 * scale);
        free(png);
    }
}

static void an_odd_button_is_refused(void **state)
{
    static const char *const odd[] = {"",
                                      "en",
                                      "en 1 120 44 17 #0b6654 #ffffff",
                                      "en 1 120 44 17 #0b6654 #ffffff ",
                                      " 1 120 44 17 #0b6654 #ffffff Pay",
                                      "en 0 120 44 17 #0b6654 #ffffff Pay",
                                      "en 4 120 44 17 #0b6654 #ffffff Pay",
                                      "en 1 2001 44 17 #0b6654 #ffffff Pay",
                                      "en 1 120 201 17 #0b6654 #ffffff Pay",
                                      "en 1 120 44 -1 #0b6654 #ffffff Pay",
                                      "en 1 120 44 17 0b6654 #ffffff Pay",
                                      "en 1 120 44 17 #0b6654 #fffff Pay",
                                      "abcdefghijklmnopq 1 120 44 17 #0b6654 #ffffff Pay",
                                      "en 1 120 44 17 #0b6654 #ffffff \xff"};
    struct error err;
    uint8_t *out;
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
        assert_int_equal(button_draw(odd[i], 65536, &out, &len, &err), RESULT_REJECTED);
}

static int forget(void **state)
{
    (void)state;
    canvas_forget();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_receipt_has_the_pages_that_it_needs),
        cmocka_unit_test(the_same_receipt_gives_the_same_bytes),
        cmocka_unit_test(what_is_too_large_is_refused),
        cmocka_unit_test(a_button_has_the_size_that_was_asked_for),
        cmocka_unit_test(an_odd_button_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, forget);
}
