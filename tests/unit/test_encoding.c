/* Bytes as text: what is written reads back, and every other text is refused. */
#include "support.h"

#include "../../worker/core/encoding.h"

static void hex_is_written_in_small_letters(void **state)
{
    static const uint8_t bytes[] = {0x00, 0x01, 0x9a, 0xbc, 0xef, 0xff};
    char out[13] = "............";

    (void)state;
    hex_format(bytes, sizeof(bytes), out);
    assert_string_equal(out, "00019abcefff");
}

static void hex_reads_both_cases(void **state)
{
    static const uint8_t expected[] = {0x00, 0x9a, 0xbc, 0xef};
    uint8_t out[4];

    (void)state;
    assert_int_equal(hex_parse("009aBcEF", 8, out), 0);
    assert_memory_equal(out, expected, 4);
    assert_int_equal(hex_parse("", 0, out), 0);
}

static void hex_refuses_the_rest(void **state)
{
    static const char *const bad[] = {"0", "0g", "g0", "0/", "0:", "0@", "0G", "0`", " 1", "0x12"};
    uint8_t out[4];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(hex_parse(bad[i], strlen(bad[i]), out), -1);
    }
    assert_int_equal(hex_parse("0\0", 2, out), -1);
}

static void base64url_matches_rfc_4648(void **state)
{
    static const struct {
        const char *bytes, *text;
    } cases[] = {
        {"foo", "Zm9v"},
        {"foobar", "Zm9vYmFy"},
        {"\xfb\xff\xfe", "-__-"},
        {"\x14\xfb\x9c", "FPuc"},
    };
    uint8_t bytes[6];
    char text[9];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t n = strlen(cases[i].bytes);

        base64url_format((const uint8_t *)cases[i].bytes, n, text);
        text[n / 3 * 4] = '\0';
        assert_string_equal(text, cases[i].text);
        assert_int_equal(base64url_parse(cases[i].text, n / 3 * 4, bytes), 0);
        assert_memory_equal(bytes, cases[i].bytes, n);
    }
}

static void base64url_has_exactly_64_characters(void **state)
{
    unsigned good = 0;

    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        for (unsigned at = 0; at < 4; at++) {
            char text[4] = {'A', 'A', 'A', 'A'};
            uint8_t bytes[3];

            text[at] = (char)c;
            if (base64url_parse(text, 4, bytes) == 0) {
                char back[4];

                base64url_format(bytes, 3, back);
                assert_memory_equal(back, text, 4);
                good++;
            }
        }
    }
    assert_int_equal(good, 4 * 64);
}

static void base64url_refuses_odd_lengths_and_the_other_alphabet(void **state)
{
    static const char *const bad[] = {"Zm9", "Zm9vY", "Zm9=", "Zm+v", "Zm/v", "Zm v", "Z\n9v"};
    uint8_t out[6];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(base64url_parse(bad[i], strlen(bad[i]), out), -1);
    }
}

static void uuid_round_trip(void **state)
{
    static const char text[] = "0197f0e1-c2a3-7bcd-8ef0-123456789abc";
    static const uint8_t expected[16] = {0x01, 0x97, 0xf0, 0xe1, 0xc2, 0xa3, 0x7b, 0xcd,
                                         0x8e, 0xf0, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc};
    uint8_t uuid[16];
    char out[UUID_TEXT_SIZE + 1] = "";

    (void)state;
    assert_int_equal(uuid_parse(text, UUID_TEXT_SIZE, uuid), 0);
    assert_memory_equal(uuid, expected, 16);
    uuid_format(uuid, out);
    assert_string_equal(out, text);
}

static void uuid_refuses_every_other_spelling(void **state)
{
    static const char *const bad[] = {
        "",
        "0197f0e1-c2a3-7bcd-8ef0-123456789ab",
        "0197f0e1-c2a3-7bcd-8ef0-123456789abcd",
        "0197F0E1-c2a3-7bcd-8ef0-123456789abc",
        "0197f0e1c2a3-7bcd-8ef0-0123456789abc",
        "0197f0e1xc2a3-7bcd-8ef0-123456789abc",
        "0197f0e1-c2a3x7bcd-8ef0-123456789abc",
        "0197f0e1-c2a3-7bcdx8ef0-123456789abc",
        "0197f0e1-c2a3-7bcd-8ef0x123456789abc",
        "{197f0e1-c2a3-7bcd-8ef0-123456789ab}",
        "0197f0e1-c2a3-7bcd-8ef0-123456789abg",
    };
    uint8_t out[16] = {42}, before[16] = {42};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(uuid_parse(bad[i], strlen(bad[i]), out), -1);
    }
    assert_memory_equal(out, before, 16);
}

static void uuid7_carries_the_time(void **state)
{
    /* RFC 9562, A.6: 017F22E2-79B0-7CC3-98C4-DC0C0C07398F of 2022-02-22T19:22:22Z. */
    static const uint8_t random10[10] = {0x0c, 0xc3, 0x18, 0xc4, 0xdc,
                                         0x0c, 0x0c, 0x07, 0x39, 0x8f};
    uint8_t uuid[16];
    char out[UUID_TEXT_SIZE + 1] = "";

    (void)state;
    uuid7_make(uuid, 1645557742000, random10);
    uuid_format(uuid, out);
    assert_string_equal(out, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    assert_int_equal(uuid7_time_ms(uuid), 1645557742000);
}

static void uuid7_sets_version_and_variant_over_any_random_bits(void **state)
{
    static const uint8_t fills[] = {0x00, 0xff, 0xaa, 0x55};

    (void)state;
    for (size_t i = 0; i < sizeof(fills); i++) {
        uint8_t random10[10], uuid[16];

        memset(random10, fills[i], sizeof(random10));
        uuid7_make(uuid, INT64_C(281474976710655), random10);
        assert_int_equal(uuid[6] >> 4, 7);
        assert_int_equal(uuid[8] >> 6, 2);
        assert_int_equal(uuid[6] & 15, fills[i] & 15);
        assert_int_equal(uuid[8] & 63, fills[i] & 63);
        assert_memory_equal(uuid + 9, random10 + 3, 7);
        assert_int_equal(uuid7_time_ms(uuid), INT64_C(281474976710655));
        uuid7_make(uuid, -1, random10);
        assert_int_equal(uuid7_time_ms(uuid), 0);
    }
}

static bool valid(const char *text)
{
    return utf8_valid(text, strlen(text));
}

static void utf8_accepts_every_length(void **state)
{
    (void)state;
    assert_true(valid(""));
    assert_true(valid("plain"));
    assert_true(valid("\xc2\x80 \xdf\xbf"));
    assert_true(
        valid("\xe0\xa0\x80 \xec\xbf\xbf \xed\x80\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf"));
    assert_true(valid("\xf0\x90\x80\x80 \xf1\x80\x80\x80 \xf3\xbf\xbf\xbf \xf4\x8f\xbf\xbf"));
    assert_true(utf8_valid("a\0b", 3));
}

static void utf8_refuses_what_rfc_3629_refuses(void **state)
{
    static const char *const bad[] = {
        "\x80",             /* continuation alone */
        "\xbf",             /* */
        "\xc0\x80",         /* overlong */
        "\xc1\xbf",         /* overlong */
        "\xe0\x9f\xbf",     /* overlong */
        "\xf0\x8f\xbf\xbf", /* overlong */
        "\xed\xa0\x80",     /* surrogate */
        "\xed\xbf\xbf",     /* surrogate */
        "\xf4\x90\x80\x80", /* above U+10FFFF */
        "\xf5\x80\x80\x80",
        "\xff",
        "\xfe",
        "\xc2",
        "\xe1\x80",
        "\xf1\x80\x80", /* cut */
        "\xc2 ",
        "\xe1\x80 ",
        "\xe1 \x80",
        "\xf1\x80\x80 ",
        "\xf1\x80 \x80",
        "\xf1 \x80\x80",
        "\xc2\xc2",
        "\xe1\x80\xc0",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[16];

        assert_false(valid(bad[i]));
        snprintf(text, sizeof(text), "ok%s", bad[i]);
        assert_false(valid(text));
    }
}

/* FIPS 180-2, B.1 */
static void content_has_a_name(void **state)
{
    uint8_t name[16];
    char hex[33] = "";

    (void)state;
    content_name("abc", 3, name);
    hex_format(name, sizeof(name), hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hex_is_written_in_small_letters),
        cmocka_unit_test(hex_reads_both_cases),
        cmocka_unit_test(hex_refuses_the_rest),
        cmocka_unit_test(base64url_matches_rfc_4648),
        cmocka_unit_test(base64url_has_exactly_64_characters),
        cmocka_unit_test(base64url_refuses_odd_lengths_and_the_other_alphabet),
        cmocka_unit_test(uuid_round_trip),
        cmocka_unit_test(uuid_refuses_every_other_spelling),
        cmocka_unit_test(uuid7_carries_the_time),
        cmocka_unit_test(uuid7_sets_version_and_variant_over_any_random_bits),
        cmocka_unit_test(utf8_accepts_every_length),
        cmocka_unit_test(utf8_refuses_what_rfc_3629_refuses),
        cmocka_unit_test(content_has_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
