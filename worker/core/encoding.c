/* Owns the text forms of bytes; knows nothing of what the bytes mean. */
#include "encoding.h"

#include <assert.h>
#include <openssl/sha.h>
#include <string.h>

static const char hex_digits[] = "0123456789abcdef";

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

void hex_format(const uint8_t *bytes, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = hex_digits[bytes[i] >> 4];
        out[2 * i + 1] = hex_digits[bytes[i] & 15];
    }
}

int hex_parse(const char *text, size_t len, uint8_t *out)
{
    if (len % 2 != 0) {
        return -1;
    }
    for (size_t i = 0; i < len / 2; i++) {
        int high = hex_value(text[2 * i]);
        int low = hex_value(text[2 * i + 1]);

        if (high < 0 || low < 0) {
            return -1;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

static const char base64url_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void base64url_format(const uint8_t *bytes, size_t n, char *out)
{
    assert(n % 3 == 0);
    for (size_t i = 0; i + 3 <= n; i += 3) {
        uint32_t group = (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];

        *out++ = base64url_digits[group >> 18];
        *out++ = base64url_digits[group >> 12 & 63];
        *out++ = base64url_digits[group >> 6 & 63];
        *out++ = base64url_digits[group & 63];
    }
}

/* 0..63, or 64 for a character outside the alphabet. */
static const uint8_t base64url_values[256] = {
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, /* control characters */
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, /* control characters */
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 62, 64, 64, /* '-' */
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 64, 64, 64, 64, 64, 64, /* 0..9 */
    64, 0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, /* A..O */
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 64, 64, 64, 64, 63, /* P..Z '_' */
    64, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, /* a..o */
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 64, 64, 64, 64, 64, /* p..z */
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, /* not ASCII from here on */
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
};

int base64url_parse(const char *text, size_t len, uint8_t *out)
{
    if (len % 4 != 0) {
        return -1;
    }
    for (size_t i = 0; i < len; i += 4) {
        uint32_t a = base64url_values[(uint8_t)text[i]];
        uint32_t b = base64url_values[(uint8_t)text[i + 1]];
        uint32_t c = base64url_values[(uint8_t)text[i + 2]];
        uint32_t d = base64url_values[(uint8_t)text[i + 3]];
        uint32_t group = a << 18 | b << 12 | c << 6 | d;

        if ((a | b | c | d) & 64) {
            return -1;
        }
        *out++ = (uint8_t)(group >> 16);
        *out++ = (uint8_t)(group >> 8);
        *out++ = (uint8_t)group;
    }
    return 0;
}

void uuid7_make(uint8_t out[16], int64_t wall_ms, const uint8_t random10[10])
{
    uint64_t ms = wall_ms > 0 ? (uint64_t)wall_ms : 0;

    for (int i = 0; i < 6; i++) {
        out[i] = (uint8_t)(ms >> (40 - 8 * i));
    }
    memcpy(out + 6, random10, 10);
    out[6] = (uint8_t)(0x70 | (out[6] & 0x0f));
    out[8] = (uint8_t)(0x80 | (out[8] & 0x3f));
}

int64_t uuid7_time_ms(const uint8_t uuid[16])
{
    int64_t ms = 0;

    for (int i = 0; i < 6; i++) {
        ms = ms << 8 | uuid[i];
    }
    return ms;
}

/* Bytes before each dash of 8-4-4-4-12, then the end. */
static const uint8_t uuid_group_end[] = {4, 6, 8, 10, 16};

void uuid_format(const uint8_t uuid[16], char *out)
{
    size_t at = 0;

    for (size_t g = 0; g < sizeof(uuid_group_end); g++) {
        size_t n = uuid_group_end[g] - at;

        hex_format(uuid + at, n, out);
        out += 2 * n;
        at += n;
        if (at < 16) {
            *out++ = '-';
        }
    }
}

int uuid_parse(const char *text, size_t len, uint8_t out[16])
{
    char canonical[UUID_TEXT_SIZE];
    uint8_t bytes[16];
    size_t at = 0;

    if (len != UUID_TEXT_SIZE) {
        return -1;
    }
    for (size_t g = 0; g < sizeof(uuid_group_end); g++) {
        size_t n = uuid_group_end[g] - at;

        if (hex_parse(text + 2 * at + g, 2 * n, bytes + at) != 0) {
            return -1;
        }
        at += n;
    }
    uuid_format(bytes, canonical);
    if (memcmp(text, canonical, UUID_TEXT_SIZE) != 0) {
        return -1;
    }
    memcpy(out, bytes, 16);
    return 0;
}

/* Length of the sequence at `s` (RFC 3629, table 3-7 of Unicode), 0 if it is not well-formed. */
static size_t utf8_sequence(const uint8_t *s, size_t left)
{
    uint8_t low = 0x80, high = 0xbf;
    size_t n;

    if (s[0] < 0x80) {
        return 1;
    }
    if (s[0] >= 0xc2 && s[0] <= 0xdf) {
        n = 2;
    } else if (s[0] >= 0xe0 && s[0] <= 0xef) {
        n = 3;
        low = s[0] == 0xe0 ? 0xa0 : low;   /* overlong */
        high = s[0] == 0xed ? 0x9f : high; /* surrogates */
    } else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        n = 4;
        low = s[0] == 0xf0 ? 0x90 : low;   /* overlong */
        high = s[0] == 0xf4 ? 0x8f : high; /* above U+10FFFF */
    } else {
        return 0;
    }
    if (left < n || s[1] < low || s[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return n;
}

bool utf8_valid(const char *text, size_t len)
{
    const uint8_t *s = (const uint8_t *)text;

    while (len > 0) {
        size_t n = utf8_sequence(s, len);

        if (n == 0) {
            return false;
        }
        s += n;
        len -= n;
    }
    return true;
}

void content_name(const void *bytes, size_t len, uint8_t out[16])
{
    uint8_t digest[SHA256_DIGEST_LENGTH];

    SHA256(bytes, len, digest);
    memcpy(out, digest, 16);
}
