/*
 * Bytes as text: hex, base64url, UUIDs, and the check that text is UTF-8. Names made of content.
 */
#ifndef PAYLINK_CORE_ENCODING_H
#define PAYLINK_CORE_ENCODING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void hex_format(const uint8_t *bytes, size_t n, char *out); /* 2n characters, lower case, no NUL */
/* 0 and len / 2 bytes, or -1: odd length, or anything but hex digits (either case). */
int hex_parse(const char *text, size_t len, uint8_t *out);

/* base64url without padding; `out` takes 4 characters for every 3 bytes; n must be a multiple of 3.
 */
void base64url_format(const uint8_t *bytes, size_t n, char *out);
/* 0 and len / 4 * 3 bytes; -1 if len is no multiple of 4 or on a character outside the alphabet. */
int base64url_parse(const char *text, size_t len, uint8_t *out);

/* A new UUIDv7 (RFC 9562, 5.7) for `wall_ms`. `random10` are 10 random bytes. */
void uuid7_make(uint8_t out[16], int64_t wall_ms, const uint8_t random10[10]);
int64_t uuid7_time_ms(const uint8_t uuid[16]);

#define UUID_TEXT_SIZE 36 /* no NUL: "018f…-…" lower case */
void uuid_format(const uint8_t uuid[16], char *out);
/* Any UUID version, canonical text only: 8-4-4-4-12 lower-case digits. 0 or -1. */
int uuid_parse(const char *text, size_t len, uint8_t out[16]);

/* The first 16 bytes of the SHA-256. */
void content_name(const void *bytes, size_t len, uint8_t out[16]);

/* True for valid UTF-8 (no surrogates, no overlong forms, at most U+10FFFF). */
bool utf8_valid(const char *text, size_t len);

#endif
