/* Owns what the edge can check alone: key file, link tokens, attempts. Knows no Redis, no HTTP. */

/*
 * The one-shot SHA-256 functions are deprecated in OpenSSL 3.0 but are the only ones whose state
 * can be copied: a check costs 0.4 us, with a prepared EVP_MAC_CTX 0.7 us (it allocates inside). A
 * forged token must cost the edge hardly more than `return 404`, and the keys stay immutable while
 * in use.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "token.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "file.h"

#define TAG_SIZE     16
#define TOKEN_SIZE   (1 + TOKEN_ID_SIZE + TAG_SIZE)
#define ATTEMPT_SIZE (16 + 4 + TAG_SIZE)

static const char link_label[] = "paylink link v1";
static const char button_label[] = "paylink button v1";
static const char attempt_label[] = "paylink attempt v1";

#define BUTTON_LABEL_SIZE    (sizeof(button_label) - 1) /* the longest of a link */
#define ATTEMPT_LABEL_SIZE   (sizeof(attempt_label) - 1)
#define LINK_MESSAGE_SIZE    (BUTTON_LABEL_SIZE + 1 + TOKEN_ID_SIZE)
#define ATTEMPT_MESSAGE_SIZE (ATTEMPT_LABEL_SIZE + 1 + TOKEN_ID_SIZE + 16 + 4)

/* HMAC (RFC 2104) with the key's two padded blocks already hashed. */
struct token_mac {
    SHA256_CTX inner, outer;
};

static void mac_prepare(struct token_mac *mac, const uint8_t secret[32])
{
    uint8_t pad[SHA256_CBLOCK];

    memset(pad, 0x36, sizeof(pad));
    for (size_t i = 0; i < 32; i++) {
        pad[i] ^= secret[i];
    }
    SHA256_Init(&mac->inner);
    SHA256_Update(&mac->inner, pad, sizeof(pad));

    for (size_t i = 0; i < sizeof(pad); i++) {
        pad[i] ^= 0x36 ^ 0x5c;
    }
    SHA256_Init(&mac->outer);
    SHA256_Update(&mac->outer, pad, sizeof(pad));
    OPENSSL_cleanse(pad, sizeof(pad));
}

static void mac_tag(const struct token_mac *mac, const uint8_t *message, size_t len,
                    uint8_t tag[TAG_SIZE])
{
    SHA256_CTX state = mac->inner;
    uint8_t digest[SHA256_DIGEST_LENGTH];

    SHA256_Update(&state, message, len);
    SHA256_Final(digest, &state);
    state = mac->outer;
    SHA256_Update(&state, digest, sizeof(digest));
    SHA256_Final(digest, &state);
    memcpy(tag, digest, TAG_SIZE);
}

/* NULL if `kid` is not live. Which keys live is no secret: kid is readable in every token. */
static const struct token_mac *mac_of(const struct token_keys *keys, uint8_t kid)
{
    for (unsigned i = 0; i < keys->count; i++) {
        if (keys->key[i].kid == kid) {
            return &keys->mac[i];
        }
    }
    return NULL;
}

static void link_tag(const struct token_mac *mac, const char *label, const struct token_link *link,
                     uint8_t tag[TAG_SIZE])
{
    uint8_t message[LINK_MESSAGE_SIZE];
    size_t len = (size_t)(stpcpy((char *)message, label) - (char *)message);

    message[len] = link->kid;
    memcpy(message + len + 1, link->id, TOKEN_ID_SIZE);
    mac_tag(mac, message, len + 1 + TOKEN_ID_SIZE, tag);
}

static int mint(const struct token_keys *keys, const char *label, const struct token_link *link,
                char *out)
{
    const struct token_mac *mac = mac_of(keys, link->kid);
    uint8_t raw[TOKEN_SIZE];

    if (mac == NULL) {
        return -1;
    }
    raw[0] = link->kid;
    memcpy(raw + 1, link->id, TOKEN_ID_SIZE);
    link_tag(mac, label, link, raw + 1 + TOKEN_ID_SIZE);
    base64url_format(raw, sizeof(raw), out);
    return 0;
}

static int verify(const struct token_keys *keys, const char *label, const char *text, size_t len,
                  struct token_link *link)
{
    const struct token_mac *mac;
    struct token_link claimed;
    uint8_t raw[TOKEN_SIZE], tag[TAG_SIZE];

    if (len != TOKEN_TEXT_SIZE || base64url_parse(text, len, raw) != 0) {
        return -1;
    }
    mac = mac_of(keys, raw[0]);
    if (mac == NULL) {
        return -1;
    }
    claimed.kid = raw[0];
    memcpy(claimed.id, raw + 1, TOKEN_ID_SIZE);
    link_tag(mac, label, &claimed, tag);
    if (CRYPTO_memcmp(tag, raw + 1 + TOKEN_ID_SIZE, TAG_SIZE) != 0) {
        return -1;
    }
    *link = claimed;
    return 0;
}

int token_mint(const struct token_keys *keys, const struct token_link *link, char *out)
{
    return mint(keys, link_label, link, out);
}

int token_verify(const struct token_keys *keys, const char *text, size_t len,
                 struct token_link *link)
{
    return verify(keys, link_label, text, len, link);
}

int button_mint(const struct token_keys *keys, const struct token_link *link, char *out)
{
    return mint(keys, button_label, link, out);
}

int button_verify(const struct token_keys *keys, const char *text, size_t len,
                  struct token_link *link)
{
    return verify(keys, button_label, text, len, link);
}

/* `body` is uuid || version, as in the attempt's text. */
static void attempt_tag(const struct token_mac *mac, const struct token_link *link,
                        const uint8_t body[16 + 4], uint8_t tag[TAG_SIZE])
{
    uint8_t message[ATTEMPT_MESSAGE_SIZE];
    uint8_t *at = message;

    memcpy(at, attempt_label, ATTEMPT_LABEL_SIZE);
    at += ATTEMPT_LABEL_SIZE;
    *at++ = link->kid;
    memcpy(at, link->id, TOKEN_ID_SIZE);
    memcpy(at + TOKEN_ID_SIZE, body, 16 + 4);
    mac_tag(mac, message, sizeof(message), tag);
}

int attempt_mint(const struct token_keys *keys, const struct token_link *link,
                 const struct token_attempt *attempt, char *out)
{
    const struct token_mac *mac = mac_of(keys, link->kid);
    uint8_t raw[ATTEMPT_SIZE];

    if (mac == NULL) {
        return -1;
    }
    memcpy(raw, attempt->uuid, 16);
    for (int i = 0; i < 4; i++) {
        raw[16 + i] = (uint8_t)(attempt->version >> (24 - 8 * i));
    }
    attempt_tag(mac, link, raw, raw + 16 + 4);
    base64url_format(raw, sizeof(raw), out);
    return 0;
}

int attempt_verify(const struct token_keys *keys, const struct token_link *link, const char *text,
                   size_t len, struct token_attempt *attempt)
{
    const struct token_mac *mac;
    uint8_t raw[ATTEMPT_SIZE], tag[TAG_SIZE];

    if (len != ATTEMPT_TEXT_SIZE || base64url_parse(text, len, raw) != 0) {
        return -1;
    }
    mac = mac_of(keys, link->kid);
    if (mac == NULL) {
        return -1;
    }
    attempt_tag(mac, link, raw, tag);
    if (CRYPTO_memcmp(tag, raw + 16 + 4, TAG_SIZE) != 0) {
        return -1;
    }
    memcpy(attempt->uuid, raw, 16);
    attempt->version = (uint32_t)raw[16] << 24 | (uint32_t)raw[17] << 16 | (uint32_t)raw[18] << 8 |
                       (uint32_t)raw[19];
    return 0;
}

/* Where the reader of the key file is, for messages. */
struct key_source {
    const char *name;
    unsigned line;
    char *err;
    size_t err_size;
};

static int __attribute__((format(printf, 2, 3)))
key_error(struct key_source *source, const char *fmt, ...)
{
    va_list ap;
    int n;

    n = source->line == 0
            ? snprintf(source->err, source->err_size, "%s: ", source->name)
            : snprintf(source->err, source->err_size, "%s:%u: ", source->name, source->line);
    if (n >= 0 && (size_t)n < source->err_size) {
        va_start(ap, fmt);
        vsnprintf(source->err + n, source->err_size - (size_t)n, fmt, ap);
        va_end(ap);
    }
    return -1;
}

static size_t span_blank(const char *text, size_t len)
{
    size_t n = 0;

    while (n < len && (text[n] == ' ' || text[n] == '\t')) {
        n++;
    }
    return n;
}

static size_t span_word(const char *text, size_t len)
{
    size_t n = 0;

    while (n < len && text[n] != ' ' && text[n] != '\t') {
        n++;
    }
    return n;
}

/* 0..255 without leading zeros, or -1. */
static int kid_parse(const char *text, size_t len)
{
    int kid = 0;

    if (len < 1 || len > 3 || (len > 1 && text[0] == '0')) {
        return -1;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        kid = kid * 10 + (text[i] - '0');
    }
    return kid <= UINT8_MAX ? kid : -1;
}

static int key_line(struct key_source *source, const char *text, size_t len,
                    struct token_keys *keys)
{
    const char *comment = memchr(text, '#', len);
    const char *end = comment != NULL ? comment : text + len;
    size_t kid_len, secret_len;
    struct token_key *key;
    int kid;

    text += span_blank(text, (size_t)(end - text));
    if (text == end) {
        return 0;
    }
    kid_len = span_word(text, (size_t)(end - text));
    kid = kid_parse(text, kid_len);
    if (kid < 0) {
        return key_error(source, "a line must be `KID HEX64`, KID a number from 0 to 255");
    }
    if (keys->count == TOKEN_KEYS_MAX) {
        return key_error(source, "more than %d keys; remove the ones that no link uses any more",
                         TOKEN_KEYS_MAX);
    }
    for (unsigned i = 0; i < keys->count; i++) {
        if (keys->key[i].kid == kid) {
            return key_error(source, "key %d is given twice", kid);
        }
    }
    key = &keys->key[keys->count];
    text += kid_len;
    text += span_blank(text, (size_t)(end - text));
    secret_len = span_word(text, (size_t)(end - text));
    if (secret_len != 2 * sizeof(key->secret) || hex_parse(text, secret_len, key->secret) != 0) {
        return key_error(source, "key %d must have exactly 64 hex digits (32 bytes)", kid);
    }
    text += secret_len;
    if (span_blank(text, (size_t)(end - text)) != (size_t)(end - text)) {
        return key_error(source, "text after key %d; a comment starts with #", kid);
    }
    key->kid = (uint8_t)kid;
    keys->count++;
    return 0;
}

static int keys_prepare(struct token_keys *keys, struct key_source *source)
{
    source->line = 0;
    if (keys->count == 0) {
        return key_error(source, "no key; add a line `1 HEX64` (openssl rand -hex 32)");
    }
    keys->mac = calloc(keys->count, sizeof(*keys->mac));
    if (keys->mac == NULL) {
        return key_error(source, "out of memory");
    }
    for (unsigned i = 0; i < keys->count; i++) {
        mac_prepare(&keys->mac[i], keys->key[i].secret);
    }
    return 0;
}

int token_keys_parse(const char *text, size_t len, const char *name, struct token_keys *keys,
                     char *err, size_t err_size)
{
    struct key_source source = {.name = name, .err = err, .err_size = err_size};
    const char *end = text + len;

    memset(keys, 0, sizeof(*keys));
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *line_end = newline != NULL ? newline : end;

        source.line++;
        if (key_line(&source, text, (size_t)(line_end - text), keys) != 0) {
            token_keys_free(keys);
            return -1;
        }
        text = newline != NULL ? newline + 1 : end;
    }
    if (keys_prepare(keys, &source) != 0) {
        token_keys_free(keys);
        return -1;
    }
    return 0;
}

int token_keys_load(const char *path, struct token_keys *keys, char *err, size_t err_size)
{
    struct key_source source = {.name = path, .err = err, .err_size = err_size};
    char why[160];
    char *text;
    size_t len;
    int rc;

    memset(keys, 0, sizeof(*keys));
    if (file_read(path, FILE_SECRET, TOKEN_KEY_FILE_BYTES_MAX, &text, &len, why, sizeof(why)) !=
        0) {
        return key_error(&source, "%s", why);
    }
    rc = token_keys_parse(text, len, path, keys, err, err_size);
    file_wipe(text, len);
    return rc;
}

void token_keys_free(struct token_keys *keys)
{
    if (keys->mac != NULL) {
        OPENSSL_cleanse(keys->mac, keys->count * sizeof(*keys->mac));
        free(keys->mac);
    }
    OPENSSL_cleanse(keys, sizeof(*keys));
}
