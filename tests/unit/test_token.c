/*
 * Tokens and attempts, against values that were computed without our code:
 * { printf '%s' LABEL; printf '%s' HEX | xxd -r -p; } |
 *     openssl dgst -sha256 -mac HMAC -macopt hexkey:KEY | cut to 16 bytes, base64 | tr +/ -_
 */
#include "support.h"

#include "../../worker/core/token.h"

#define SECRET_7   "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define SECRET_200 "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0efeeedecebeae9e8e7e6e5e4e3e2e1e0"
#define ID         "8f3c5a1de2b4467091a2b3c4d5e6f708"
#define UUID       "0197f0e1c2a37bcd8ef0123456789abc"

static struct token_keys keys;

static int keys_setup(void **state)
{
    static const char text[] = "7 " SECRET_7 "\n200 " SECRET_200 "\n";
    char err[200];

    (void)state;
    return token_keys_parse(text, sizeof(text) - 1, "keys", &keys, err, sizeof(err));
}

static int keys_teardown(void **state)
{
    (void)state;
    token_keys_free(&keys);
    return 0;
}

static struct token_link link_of(uint8_t kid, const char *id)
{
    struct token_link link = {.kid = kid};

    assert_int_equal(hex_parse(id, 32, link.id), 0);
    return link;
}

static const struct {
    uint8_t kid;
    const char *id, *token;
} links[] = {
    {7, "00000000000000000000000000000000", "BwAAAAAAAAAAAAAAAAAAAABcolE7w68pMLMeWaap7H5V"},
    {7, "ffffffffffffffffffffffffffffffff", "B______________________oNN8DuGIGefxA1EDWKejF"},
    {7, ID, "B488Wh3itEZwkaKzxNXm9wi5DgjaYYebf9ZIuutEpPJX"},
    {200, ID, "yI88Wh3itEZwkaKzxNXm9whfdsyDifAayyMDfUE3r-XO"},
};

#define GOOD (links[2].token)

static void tokens_match_openssl(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
        struct token_link link = link_of(links[i].kid, links[i].id), read;
        char out[TOKEN_TEXT_SIZE + 1] = "";

        assert_int_equal(token_mint(&keys, &link, out), 0);
        assert_string_equal(out, links[i].token);
        assert_int_equal(token_verify(&keys, links[i].token, TOKEN_TEXT_SIZE, &read), 0);
        assert_int_equal(read.kid, links[i].kid);
        assert_memory_equal(read.id, link.id, TOKEN_ID_SIZE);
    }
}

static int verify(const char *text, size_t len)
{
    struct token_link link = {.kid = 99}, before = link;
    char *exact = malloc(len > 0 ? len : 1); /* so that the sanitizer sees a read beyond */
    int rc;

    assert_non_null(exact);
    memcpy(exact, text, len);
    rc = token_verify(&keys, exact, len, &link);
    if (rc != 0) {
        assert_memory_equal(&link, &before, sizeof(link));
    }
    free(exact);
    return rc;
}

static void no_other_text_of_a_token_is_accepted(void **state)
{
    (void)state;
    for (size_t at = 0; at < TOKEN_TEXT_SIZE; at++) {
        for (unsigned c = 0; c < 256; c++) {
            char text[TOKEN_TEXT_SIZE];

            memcpy(text, GOOD, sizeof(text));
            text[at] = (char)c;
            assert_int_equal(verify(text, sizeof(text)), (char)c == GOOD[at] ? 0 : -1);
        }
    }
}

static void tokens_of_other_lengths_are_refused(void **state)
{
    char longer[64];

    (void)state;
    memset(longer, 'A', sizeof(longer));
    memcpy(longer, GOOD, TOKEN_TEXT_SIZE);
    for (size_t len = 0; len <= sizeof(longer); len++) {
        assert_int_equal(verify(longer, len), len == TOKEN_TEXT_SIZE ? 0 : -1);
    }
}

static void a_tag_of_another_key_is_refused(void **state)
{
    (void)state;
    /* kid 7 and ID, signed with the secret of kid 200 */
    assert_int_equal(verify("B488Wh3itEZwkaKzxNXm9wjskHN_-BLkZ2TcBNRbGjUD", 44), -1);
}

static void keys_that_are_not_live_neither_mint_nor_verify(void **state)
{
    static const char text[] = "200 " SECRET_200;
    struct token_attempt attempt = {.version = 1};
    struct token_link link = link_of(7, ID);
    struct token_keys rotated;
    char err[200], out[ATTEMPT_TEXT_SIZE];

    (void)state;
    assert_int_equal(token_keys_parse(text, sizeof(text) - 1, "keys", &rotated, err, sizeof(err)),
                     0);
    assert_int_equal(token_mint(&rotated, &link, out), -1);
    assert_int_equal(attempt_mint(&rotated, &link, &attempt, out), -1);
    assert_int_equal(token_verify(&rotated, GOOD, TOKEN_TEXT_SIZE, &link), -1);
    assert_int_equal(token_verify(&rotated, links[3].token, TOKEN_TEXT_SIZE, &link), 0);
    link.kid = 7;
    assert_int_equal(attempt_mint(&keys, &link, &attempt, out), 0);
    assert_int_equal(attempt_verify(&rotated, &link, out, sizeof(out), &attempt), -1);
    token_keys_free(&rotated);
}

static const struct {
    uint8_t kid;
    uint32_t version;
    const char *id, *uuid, *text;
} attempts[] = {
    {7, 1, ID, UUID, "AZfw4cKje82O8BI0VniavAAAAAHNJfvM_GTY0HYH7mP06oYh"},
    {7, UINT32_MAX, ID, UUID, "AZfw4cKje82O8BI0VniavP____-gk9BhaHuJgnTmoh0cBdv6"},
    {200, 0x01020304, ID, UUID, "AZfw4cKje82O8BI0VniavAECAwRqZtG_ogkDsvBp3OYSPsJd"},
    {7, 0, "00000000000000000000000000000000", "00000000000000000000000000000000",
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAGReksFaP8LLcRMibZLhKC"},
};

static void attempts_match_openssl(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
        struct token_link link = link_of(attempts[i].kid, attempts[i].id);
        struct token_attempt attempt = {.version = attempts[i].version}, read;
        char out[ATTEMPT_TEXT_SIZE + 1] = "";

        assert_int_equal(hex_parse(attempts[i].uuid, 32, attempt.uuid), 0);
        assert_int_equal(attempt_mint(&keys, &link, &attempt, out), 0);
        assert_string_equal(out, attempts[i].text);
        assert_int_equal(attempt_verify(&keys, &link, out, ATTEMPT_TEXT_SIZE, &read), 0);
        assert_int_equal(read.version, attempt.version);
        assert_memory_equal(read.uuid, attempt.uuid, 16);
    }
}

static void attempts_belong_to_one_link_and_key(void **state)
{
    struct token_link link = link_of(7, ID);
    struct token_attempt attempt = {.version = 99}, before = attempt;

    (void)state;
    link.kid = 200;
    assert_int_equal(attempt_verify(&keys, &link, attempts[0].text, 48, &attempt), -1);
    link.kid = 7;
    for (size_t i = 0; i < TOKEN_ID_SIZE; i++) {
        link.id[i] ^= 1;
        assert_int_equal(attempt_verify(&keys, &link, attempts[0].text, 48, &attempt), -1);
        link.id[i] ^= 1;
    }
    link.kid = 8;
    assert_int_equal(attempt_verify(&keys, &link, attempts[0].text, 48, &attempt), -1);
    assert_memory_equal(&attempt, &before, sizeof(attempt));
    link.kid = 7;
    assert_int_equal(attempt_verify(&keys, &link, attempts[0].text, 48, &attempt), 0);
}

static void no_other_text_of_an_attempt_is_accepted(void **state)
{
    struct token_link link = link_of(7, ID);
    struct token_attempt attempt;
    char text[ATTEMPT_TEXT_SIZE + 4];

    (void)state;
    for (size_t at = 0; at < ATTEMPT_TEXT_SIZE; at++) {
        for (unsigned c = 0; c < 256; c++) {
            memcpy(text, attempts[0].text, ATTEMPT_TEXT_SIZE);
            text[at] = (char)c;
            assert_int_equal(attempt_verify(&keys, &link, text, ATTEMPT_TEXT_SIZE, &attempt),
                             (char)c == attempts[0].text[at] ? 0 : -1);
        }
    }
    memset(text, 'A', sizeof(text));
    memcpy(text, attempts[0].text, ATTEMPT_TEXT_SIZE);
    for (size_t len = 0; len <= sizeof(text); len++) {
        assert_int_equal(attempt_verify(&keys, &link, text, len, &attempt),
                         len == ATTEMPT_TEXT_SIZE ? 0 : -1);
    }
}

/* A token's tag must not pass for an attempt's: both hang on the same key. */
static void labels_separate_tokens_from_attempts(void **state)
{
    struct token_link link = link_of(7, ID);
    struct token_attempt attempt;
    uint8_t raw[33], forged[36] = {0};
    char text[ATTEMPT_TEXT_SIZE];

    (void)state;
    assert_int_equal(base64url_parse(GOOD, TOKEN_TEXT_SIZE, raw), 0);
    memcpy(forged + 20, raw + 17, 16);
    base64url_format(forged, sizeof(forged), text);
    assert_int_equal(attempt_verify(&keys, &link, text, sizeof(text), &attempt), -1);
}

static void parse_fails(const char *text, size_t len, const char *message)
{
    struct token_keys read;
    char err[200] = "";

    assert_int_equal(token_keys_parse(text, len, "k", &read, err, sizeof(err)), -1);
    assert_string_equal(err, message);
    assert_int_equal(read.count, 0);
    assert_null(read.mac);
}

static void key_files_may_have_comments_and_blanks(void **state)
{
    static const char text[] = "# links\n\n \t\n\t0  " SECRET_7 "\t# mints\n"
                               "255 " SECRET_200 " ";
    struct token_keys read;
    char err[200];

    (void)state;
    assert_int_equal(token_keys_parse(text, sizeof(text) - 1, "k", &read, err, sizeof(err)), 0);
    assert_int_equal(read.count, 2);
    assert_int_equal(read.key[0].kid, 0);
    assert_int_equal(read.key[0].secret[31], 0x1f);
    assert_int_equal(read.key[1].kid, 255);
    assert_int_equal(read.key[1].secret[0], 0xff);
    token_keys_free(&read);
    assert_int_equal(read.count, 0);
    assert_int_equal(read.key[0].secret[31], 0);
}

#define LINE_HELP "a line must be `KID HEX64`, KID a number from 0 to 255"

static void key_file_errors_name_the_line(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "k: no key; add a line `1 HEX64` (openssl rand -hex 32)"},
        {"# 1 " SECRET_7 "\n", "k: no key; add a line `1 HEX64` (openssl rand -hex 32)"},
        {"x " SECRET_7, "k:1: " LINE_HELP},
        {"\n-1 " SECRET_7, "k:2: " LINE_HELP},
        {"256 " SECRET_7, "k:1: " LINE_HELP},
        {"1000 " SECRET_7, "k:1: " LINE_HELP},
        {"01 " SECRET_7, "k:1: " LINE_HELP},
        {SECRET_7, "k:1: " LINE_HELP},
        {"1", "k:1: key 1 must have exactly 64 hex digits (32 bytes)"},
        {"1 #" SECRET_7, "k:1: key 1 must have exactly 64 hex digits (32 bytes)"},
        {"1 " SECRET_7 "0", "k:1: key 1 must have exactly 64 hex digits (32 bytes)"},
        {"1 g" SECRET_7, "k:1: key 1 must have exactly 64 hex digits (32 bytes)"},
        {"1 " SECRET_7 "\r\n", "k:1: key 1 must have exactly 64 hex digits (32 bytes)"},
        {"1 " SECRET_7 " x", "k:1: text after key 1; a comment starts with #"},
        {"1 " SECRET_7 "\n\n1 " SECRET_200, "k:3: key 1 is given twice"},
        {"1 " SECRET_7 "\n2 " SECRET_200 "\n3 " SECRET_7,
         "k:3: more than 2 keys; remove the ones that no link uses any more"},
    };
    static const char with_nul[] = "1 \0" SECRET_7;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        parse_fails(cases[i].text, strlen(cases[i].text), cases[i].message);
    }
    parse_fails(with_nul, sizeof(with_nul) - 1,
                "k:1: key 1 must have exactly 64 hex digits (32 bytes)");
}

static void a_bad_digit_anywhere_in_the_secret_is_refused(void **state)
{
    char text[] = "1 " SECRET_7;

    (void)state;
    text[40] = 'g';
    parse_fails(text, strlen(text), "k:1: key 1 must have exactly 64 hex digits (32 bytes)");
}

static void messages_are_cut_to_their_buffer(void **state)
{
    struct token_keys read;
    char err[4] = "xxx";

    (void)state;
    assert_int_equal(token_keys_parse("x", 1, "keys", &read, err, sizeof(err)), -1);
    assert_string_equal(err, "key");
}

static void load_fails(const char *path, const char *message)
{
    struct token_keys read;
    char err[300] = "", expected[300];

    assert_int_equal(token_keys_load(path, &read, err, sizeof(err)), -1);
    snprintf(expected, sizeof(expected), "%s%s", path, message);
    assert_string_equal(err, expected);
    assert_int_equal(read.count, 0);
}

static void key_files_are_loaded(void **state)
{
    struct token_keys read;
    struct token_link link;
    char err[200];

    (void)state;
    file_text("keys", "7 " SECRET_7 "\n");
    assert_int_equal(token_keys_load(path_of("keys"), &read, err, sizeof(err)), 0);
    assert_int_equal(token_verify(&read, GOOD, TOKEN_TEXT_SIZE, &link), 0);
    token_keys_free(&read);
    file_write("keys", "7 " SECRET_7, strlen("7 " SECRET_7), 0640);
    assert_int_equal(token_keys_load(path_of("keys"), &read, err, sizeof(err)), 0);
    token_keys_free(&read);
}

static void key_files_that_are_unsafe_or_broken_are_refused(void **state)
{
    static char big[TOKEN_KEY_FILE_BYTES_MAX + 1];

    (void)state;
    load_fails(path_of("absent"), ": cannot be opened: No such file or directory");
    load_fails(folder, ": is not a regular file");
    load_fails(file_text("keys", "\nzz"), ":2: " LINE_HELP);
    load_fails(file_write("keys", "7 " SECRET_7, 66, 0604),
               ": may be accessed by others (mode 0604); run chmod o= on it");
    load_fails(file_write("keys", "7 " SECRET_7, 66, 0642),
               ": may be accessed by others (mode 0642); run chmod o= on it");
    memset(big, '\n', sizeof(big));
    load_fails(file_write("keys", big, sizeof(big), 0600), ": is larger than 65536 bytes");
}

#define WITH_KEYS(test)   cmocka_unit_test_setup_teardown(test, keys_setup, keys_teardown)
#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)

static void a_button_names_a_link_and_cannot_stand_for_it(void **state)
{
    struct token_link link = link_of(7, ID), read = {0};
    char button[TOKEN_TEXT_SIZE], token[TOKEN_TEXT_SIZE];

    (void)state;
    assert_int_equal(button_mint(&keys, &link, button), 0);
    assert_int_equal(button_verify(&keys, button, sizeof(button), &read), 0);
    assert_memory_equal(read.id, link.id, sizeof(link.id));
    assert_int_equal(token_mint(&keys, &link, token), 0);
    assert_int_equal(token_verify(&keys, button, sizeof(button), &read), -1);
    assert_int_equal(button_verify(&keys, token, sizeof(token), &read), -1);
    link.kid = 99;
    assert_int_equal(button_mint(&keys, &link, button), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_KEYS(tokens_match_openssl),
        WITH_KEYS(no_other_text_of_a_token_is_accepted),
        WITH_KEYS(a_button_names_a_link_and_cannot_stand_for_it),
        WITH_KEYS(tokens_of_other_lengths_are_refused),
        WITH_KEYS(a_tag_of_another_key_is_refused),
        WITH_KEYS(keys_that_are_not_live_neither_mint_nor_verify),
        WITH_KEYS(attempts_match_openssl),
        WITH_KEYS(attempts_belong_to_one_link_and_key),
        WITH_KEYS(no_other_text_of_an_attempt_is_accepted),
        WITH_KEYS(labels_separate_tokens_from_attempts),
        cmocka_unit_test(key_files_may_have_comments_and_blanks),
        cmocka_unit_test(key_file_errors_name_the_line),
        cmocka_unit_test(a_bad_digit_anywhere_in_the_secret_is_refused),
        cmocka_unit_test(messages_are_cut_to_their_buffer),
        WITH_FOLDER(key_files_are_loaded),
        WITH_FOLDER(key_files_that_are_unsafe_or_broken_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
