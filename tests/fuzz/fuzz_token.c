/*
 * Tokens, attempts, key files and the encodings under them. The first byte chooses the parser.
 * What is accepted must be the one canonical text; what was minted stays good until one bit
 * changes.
 */
#include "fuzz.h"

#include "../../worker/core/token.h"

static const struct token_keys *keys_fixed(void)
{
    static const char text[] =
        "7 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
        "9 fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0efeeedecebeae9e8e7e6e5e4e3e2e1e0\n";
    static struct token_keys keys;
    char err[100];

    if (keys.count == 0) {
        CHECK(token_keys_parse(text, sizeof(text) - 1, "k", &keys, err, sizeof(err)) == 0);
    }
    return &keys;
}

/* Any text: what is accepted must be what we would have written. */
static void any_text(const char *text, size_t size)
{
    const struct token_keys *keys = keys_fixed();
    struct token_link link = {.kid = 7}, owner = {.kid = 7};
    struct token_attempt attempt;
    char out[ATTEMPT_TEXT_SIZE];

    if (token_verify(keys, text, size, &link) == 0) {
        CHECK(size == TOKEN_TEXT_SIZE);
        CHECK(token_mint(keys, &link, out) == 0);
        CHECK(memcmp(out, text, TOKEN_TEXT_SIZE) == 0);
    }
    if (attempt_verify(keys, &owner, text, size, &attempt) == 0) {
        CHECK(size == ATTEMPT_TEXT_SIZE);
        CHECK(attempt_mint(keys, &owner, &attempt, out) == 0);
        CHECK(memcmp(out, text, ATTEMPT_TEXT_SIZE) == 0);
    }
}

/* Any link and attempt: good as minted, refused after any change of one character. */
static void any_link(struct input *in)
{
    const struct token_keys *keys = keys_fixed();
    struct token_link link, read;
    struct token_attempt attempt, back;
    char token[TOKEN_TEXT_SIZE], text[ATTEMPT_TEXT_SIZE];
    size_t at;
    char other;

    link.kid = input_byte(in) % 2 == 0 ? 7 : 9;
    input_bytes(in, link.id, sizeof(link.id));
    input_bytes(in, attempt.uuid, sizeof(attempt.uuid));
    input_bytes(in, &attempt.version, sizeof(attempt.version));
    at = input_byte(in);
    other = (char)input_byte(in);

    CHECK(token_mint(keys, &link, token) == 0);
    CHECK(token_verify(keys, token, sizeof(token), &read) == 0);
    CHECK(read.kid == link.kid && memcmp(read.id, link.id, sizeof(link.id)) == 0);
    CHECK(attempt_mint(keys, &link, &attempt, text) == 0);
    CHECK(attempt_verify(keys, &link, text, sizeof(text), &back) == 0);
    CHECK(back.version == attempt.version && memcmp(back.uuid, attempt.uuid, 16) == 0);

    if (token[at % sizeof(token)] != other) {
        token[at % sizeof(token)] = other;
        CHECK(token_verify(keys, token, sizeof(token), &read) != 0);
    }
    read = link;
    read.id[at % TOKEN_ID_SIZE] ^= 1;
    CHECK(attempt_verify(keys, &read, text, sizeof(text), &back) != 0);
    if (text[at % sizeof(text)] != other) {
        text[at % sizeof(text)] = other;
        CHECK(attempt_verify(keys, &link, text, sizeof(text), &back) != 0);
    }
}

/* A key file that is accepted, written again in its plainest form, gives the same keys. */
static void any_key_file(const char *text, size_t size)
{
    struct token_keys keys, again;
    char err[100] = "", plain[2 * 70];
    size_t len = 0;

    if (token_keys_parse(text, size, "k", &keys, err, sizeof(err)) != 0) {
        CHECK(strncmp(err, "k:", 2) == 0 && keys.count == 0 && keys.mac == NULL);
        return;
    }
    CHECK(keys.count >= 1 && keys.count <= TOKEN_KEYS_MAX && keys.mac != NULL);
    CHECK(keys.count == 1 || keys.key[0].kid != keys.key[1].kid);
    for (unsigned i = 0; i < keys.count; i++) {
        len += (size_t)snprintf(plain + len, sizeof(plain) - len, "%u ", keys.key[i].kid);
        hex_format(keys.key[i].secret, 32, plain + len);
        len += 64;
        plain[len++] = '\n';
    }
    CHECK(token_keys_parse(plain, len, "k", &again, err, sizeof(err)) == 0);
    CHECK(again.count == keys.count && memcmp(again.key, keys.key, sizeof(keys.key)) == 0);
    token_keys_free(&keys);
    token_keys_free(&again);
}

static void any_encoding(const char *text, size_t size)
{
    uint8_t *bytes = malloc(size + 1);
    char *back = malloc(2 * size + UUID_TEXT_SIZE);
    uint8_t uuid[16];

    CHECK(bytes != NULL && back != NULL);
    if (base64url_parse(text, size, bytes) == 0) {
        base64url_format(bytes, size / 4 * 3, back);
        CHECK(size == 0 || memcmp(back, text, size) == 0);
    }
    if (hex_parse(text, size, bytes) == 0) {
        hex_format(bytes, size / 2, back);
        for (size_t i = 0; i < size; i++) {
            CHECK(back[i] == (text[i] >= 'A' && text[i] <= 'F' ? text[i] + 32 : text[i]));
        }
    }
    if (uuid_parse(text, size, uuid) == 0) {
        uuid_format(uuid, back);
        CHECK(size == UUID_TEXT_SIZE && memcmp(back, text, size) == 0);
    }
    free(bytes);
    free(back);
}

/* UTF-8 the other way round: decode by the lead byte, encode the code point, compare. */
static size_t utf8_reencoded(const uint8_t *s, size_t left)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc0 ? 2 : 0;
    uint32_t point = n == 1 ? s[0] : n == 2 ? s[0] & 31 : n == 3 ? s[0] & 15 : s[0] & 15;
    uint8_t out[4];

    if (n == 0 || n > left || s[0] >= 0xf8) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if (s[i] >> 6 != 2) {
            return 0;
        }
        point = point << 6 | (s[i] & 63);
    }
    if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) {
        return 0;
    }
    if (point < 0x80) {
        return n == 1 ? 1 : 0;
    }
    if (point < 0x800) {
        return n == 2 ? 2 : 0;
    }
    if (point < 0x10000) {
        return n == 3 ? 3 : 0;
    }
    out[0] = (uint8_t)(0xf0 | point >> 18);
    return out[0] == s[0] ? 4 : 0;
}

static void any_utf8(const char *text, size_t size)
{
    size_t at = 0, n = 1;

    while (at < size && n > 0) {
        n = utf8_reencoded((const uint8_t *)text + at, size - at);
        at += n;
    }
    CHECK(utf8_valid(text, size) == (at == size && n > 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    uint8_t mode = input_byte(&in) % 5;
    char *text = exact_copy(in.at, in.left);

    switch (mode) {
    case 0:
        any_text(text, in.left);
        break;
    case 1:
        any_link(&in);
        break;
    case 2:
        any_key_file(text, in.left);
        break;
    case 3:
        any_encoding(text, in.left);
        break;
    default:
        any_utf8(text, in.left);
    }
    free(text);
    return 0;
}
