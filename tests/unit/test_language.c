/* Which language a reader gets. */
#include "support.h"

#include "../../worker/core/language.h"

static const char *const languages[] = {"en", "de", "zh", "zh-Hant", "fr"};

static const char *chosen(const char *header)
{
    int i = language_choose(header, strlen(header), languages, 5);

    return i < 0 ? "none" : languages[i];
}

static const char *found(const char *tag)
{
    int i = language_find(tag, strlen(tag), languages, 5);

    return i < 0 ? "none" : languages[i];
}

static void a_tag_finds_the_longest_that_it_begins_with(void **state)
{
    (void)state;
    assert_string_equal(found("de"), "de");
    assert_string_equal(found("DE-ch"), "de");
    assert_string_equal(found("zh-Hant-TW"), "zh-Hant");
    assert_string_equal(found("zh-TW"), "zh");
    assert_string_equal(found("deu"), "none");
    assert_string_equal(found("d"), "none");
    assert_string_equal(found(""), "none");
}

static void the_highest_quality_wins_then_the_first(void **state)
{
    (void)state;
    assert_string_equal(chosen("fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5"), "fr");
    assert_string_equal(chosen("en;q=0.8,de"), "de");
    assert_string_equal(chosen("sv, fi;q=0.9, de;q=0.2"), "de");
    assert_string_equal(chosen("en;q=0.5,de;q=0.5"), "en");
    assert_string_equal(chosen("en;q=0.501,de;q=0.51"), "de");
    assert_string_equal(chosen(" \tde\t;\t Q=1.000 , en"), "de");
}

static void what_is_excluded_or_cannot_be_read_is_none(void **state)
{
    static const char *const none[] = {
        "",       "*",     "sv",       "de;q=0",      "de;q=0.000", "de;q=1.001",
        "de;q=2", "de;q=", "de;q=0,5", "de;q=0.1234", "de;q=-1",    "de;x=1",
        ",,,;;;", "de_CH", "de;q=1x",  "de ; en;q=1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        if (strcmp(chosen(none[i]), "none") != 0)
            fail_msg("\"%s\" gives %s", none[i], chosen(none[i]));
}

static void a_long_header_is_read_as_far_as_whole_ranges_go(void **state)
{
    char header[LANGUAGE_HEADER_MAX + 3];

    (void)state;
    memset(header, ',', sizeof header - 1);
    header[sizeof header - 1] = '\0';
    memcpy(header + LANGUAGE_HEADER_MAX - 2, "de-C", 4);
    assert_string_equal(chosen(header), "none");
    memcpy(header, "fr", 2);
    assert_string_equal(chosen(header), "fr");
}

static void some_run_from_right_to_left(void **state)
{
    (void)state;
    assert_true(language_right_to_left("ar", 2));
    assert_true(language_right_to_left("HE-il", 5));
    assert_false(language_right_to_left("arn", 3));
    assert_false(language_right_to_left("en", 2));
    assert_false(language_right_to_left("", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tag_finds_the_longest_that_it_begins_with),
        cmocka_unit_test(the_highest_quality_wins_then_the_first),
        cmocka_unit_test(what_is_excluded_or_cannot_be_read_is_none),
        cmocka_unit_test(a_long_header_is_read_as_far_as_whole_ranges_go),
        cmocka_unit_test(some_run_from_right_to_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
