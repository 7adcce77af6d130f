/* A merchant's look: colours that can be read whatever was asked for, and logos that are pictures.
 */
#include "support.h"

#include <math.h>

#include "../../worker/document/brand.h"
#include "../../worker/document/png.h"

static double luminance_of[256];

/* WCAG 2.2's own words, in floating point: what the integers are judged by. */
static double luminance(struct colour c)
{
    return 0.2126 * luminance_of[c.red] + 0.7152 * luminance_of[c.green] +
           0.0722 * luminance_of[c.blue];
}

static bool contrasts(double brighter, double darker)
{
    return brighter + 0.05 >= 4.5 * (darker + 0.05);
}

static int luminances(void **state)
{
    (void)state;
    for (int i = 0; i < 256; i++) {
        double c = i / 255.0;
        luminance_of[i] = c <= 0.04045 ? c / 12.92 : pow((c + 0.055) / 1.055, 2.4);
    }
    return 0;
}

static const struct colour light_grounds[] = {
    {0xff, 0xff, 0xff}, {0xf3, 0xf5, 0xf4}, {0xe2, 0xf3, 0xee},
    {0xfc, 0xf1, 0xda}, {0xfd, 0xec, 0xea},
};
static const struct colour dark_grounds[] = {
    {0x0f, 0x15, 0x14}, {0x18, 0x21, 0x20}, {0x16, 0x33, 0x2d},
    {0x35, 0x29, 0x0f}, {0x3d, 0x1c, 0x19},
};

static double darkest, lightest; /* of the light grounds, of the dark grounds */

static int grounds(void **state)
{
    luminances(state);
    darkest = 1;
    lightest = 0;
    for (int i = 0; i < 5; i++) {
        darkest = fmin(darkest, luminance(light_grounds[i]));
        lightest = fmax(lightest, luminance(dark_grounds[i]));
    }
    return 0;
}

static void every_colour_becomes_readable(void **state)
{
    (void)state;
    for (unsigned rgb = 0; rgb < 1u << 24; rgb++) {
        struct colour accent = {(uint8_t)(rgb >> 16), (uint8_t)(rgb >> 8), (uint8_t)rgb};
        struct colour_scheme light = colour_scheme_light(accent), dark = colour_scheme_dark(accent);
        double light_accent = luminance(light.accent), light_deep = luminance(light.deep);
        double dark_accent = luminance(dark.accent), dark_deep = luminance(dark.deep);

        if (!contrasts(darkest, light_accent) || !contrasts(darkest, light_deep) ||
            !contrasts(luminance(light.on), fmax(light_accent, light_deep)))
            fail_msg("#%06x cannot be read on a light ground", rgb);
        if (!contrasts(dark_accent, lightest) || !contrasts(dark_deep, lightest) ||
            !contrasts(fmin(dark_accent, dark_deep), luminance(dark.on)))
            fail_msg("#%06x cannot be read on a dark ground", rgb);
    }
}

static void a_colour_that_is_readable_stays(void **state)
{
    struct colour green = {0x0b, 0x66, 0x55}, mint = {0x6f, 0xd6, 0xbd};
    struct colour_scheme light = colour_scheme_light(green), dark = colour_scheme_dark(mint);

    (void)state;
    assert_memory_equal(&light.accent, &green, sizeof green);
    assert_memory_equal(&dark.accent, &mint, sizeof mint);
}

static void colours_are_read_strictly(void **state)
{
    static const char *const bad[] = {"",        "#",       "0b6655",  "#0b665",   "#0b66555",
                                      "#0b665g", "#0b 655", " #0b665", "rgb(0,0)", "#fff"};
    struct colour colour;
    char text[COLOUR_TEXT_SIZE + 1];

    (void)state;
    assert_true(colour_parse("#0B66f5", 7, &colour));
    colour_format(colour, text);
    assert_string_equal(text, "#0b66f5");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(colour_parse(bad[i], strlen(bad[i]), &colour));
}

static void a_sheet_sets_both_grounds(void **state)
{
    char sheet[BRAND_SHEET_SIZE];

    (void)state;
    size_t n = brand_sheet((struct colour){0, 0, 0}, sheet);

    assert_int_equal(n, strlen(sheet));
    assert_string_equal(sheet,
                        ":root{--accent:#000000;--accent-deep:#000000;--on-accent:#ffffff}"
                        "@media screen and (prefers-color-scheme:dark){"
                        ":root{--accent:#959595;--accent-deep:#bdbdbd;--on-accent:#000000}}\n");
}

/* 1 x 1, with a text chunk that is to go. */
static const uint8_t picture[] = {
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48,
    0x44, 0x52, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x00, 0x00,
    0x00, 0x3a, 0x7e, 0x9b, 0x55, 0x00, 0x00, 0x00, 0x03, 0x74, 0x45, 0x58, 0x74, 0x61,
    0x00, 0x62, 0xdc, 0x49, 0xa2, 0x3b, 0x00, 0x00, 0x00, 0x0a, 0x49, 0x44, 0x41, 0x54,
    0x78, 0xda, 0x63, 0x60, 0x00, 0x00, 0x00, 0x02, 0x00, 0x01, 0xe5, 0x27, 0xde, 0xfc,
    0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};

#define TEXT_AT   33
#define TEXT_SIZE 15

static void a_picture_is_kept_and_its_texts_are_not(void **state)
{
    uint8_t out[PNG_BYTES_MAX];
    struct png_size size;
    size_t n = 0;

    (void)state;
    assert_null(png_reduce(picture, sizeof picture, out, &n, &size));
    assert_int_equal(size.width, 1);
    assert_int_equal(size.height, 1);
    assert_int_equal(n, sizeof picture - TEXT_SIZE);
    assert_memory_equal(out, picture, TEXT_AT);
    assert_memory_equal(out + TEXT_AT, picture + TEXT_AT + TEXT_SIZE, n - TEXT_AT);
}

static void what_is_damaged_is_refused(void **state)
{
    uint8_t copy[sizeof picture], out[PNG_BYTES_MAX];
    struct png_size size;
    size_t n;

    (void)state;
    for (size_t i = 0; i < sizeof picture; i++) {
        assert_non_null(png_reduce(picture, i, out, &n, &size));
        memcpy(copy, picture, sizeof copy);
        copy[i] ^= 1;
        assert_non_null(png_reduce(copy, sizeof copy, out, &n, &size));
    }
    assert_non_null(png_reduce((const uint8_t *)"<svg xmlns=\"…\"/>", 16, out, &n, &size));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_colour_becomes_readable),
        cmocka_unit_test(a_colour_that_is_readable_stays),
        cmocka_unit_test(colours_are_read_strictly),
        cmocka_unit_test(a_sheet_sets_both_grounds),
        cmocka_unit_test(a_picture_is_kept_and_its_texts_are_not),
        cmocka_unit_test(what_is_damaged_is_refused),
    };

    return cmocka_run_group_tests(tests, grounds, NULL);
}
