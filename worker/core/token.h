/*
 * Link tokens and attempts: what the edge can check without asking anybody.
 *
 * token   = base64url(kid[1] || id[16] || tag[16])                       44 characters
 *           tag = HMAC-SHA256(key[kid], "paylink link v1" || kid || id)[0..15]
 * button  = the same with "paylink button v1"
 * attempt = base64url(uuid[16] || version[4, big endian] || mac[16])     48 characters
 *           mac = HMAC-SHA256(key[kid], "paylink attempt v1" || kid || id || uuid ||
 * version)[0..15] uuid is a UUIDv7: it carries the time of rendering; kid and id are the link's.
 *
 * Both lengths are multiples of four, so the encoding is canonical by itself;
 * the alphabet is checked strictly. Comparisons are constant-time.
 *
 * Key file: one key a line, `KID HEX64` (KID 0..255 decimal; 32 bytes), `#` starts a comment.
 * The first key mints; one or two keys are live. Not readable by others (mode & 07).
 */
#ifndef PAYLINK_CORE_TOKEN_H
#define PAYLINK_CORE_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "encoding.h"

#define TOKEN_ID_SIZE            16
#define TOKEN_TEXT_SIZE          44 /* no NUL */
#define ATTEMPT_TEXT_SIZE        48 /* no NUL */
#define TOKEN_KEYS_MAX           2
#define TOKEN_KEY_FILE_BYTES_MAX 65536

struct token_key {
    uint8_t kid;
    uint8_t secret[32];
};

struct token_mac; /* inside token.c */

struct token_keys {
    unsigned count;
    struct token_key key[TOKEN_KEYS_MAX]; /* key[0] mints */
    struct token_mac *mac;                /* prepared HMAC states, one a key; owned */
};

struct token_link {
    uint8_t kid;
    uint8_t id[TOKEN_ID_SIZE];
};

struct token_attempt {
    uint8_t uuid[16];
    uint32_t version;
};

/*
 * 0, or -1 with a sentence in `err` that names the file and the line (never key material).
 * *keys is overwritten, not freed; after a failure it is empty and needs no token_keys_free().
 */
int token_keys_load(const char *path, struct token_keys *keys, char *err, size_t err_size);
/* The same from memory (tests, fuzzing); `name` stands for the path in messages. */
int token_keys_parse(const char *text, size_t len, const char *name, struct token_keys *keys,
                     char *err, size_t err_size);
void token_keys_free(struct token_keys *keys); /* wipes */

/* Writes exactly TOKEN_TEXT_SIZE characters. -1 if `kid` is not a live key. */
int token_mint(const struct token_keys *keys, const struct token_link *link, char *out);
/* 0 and *link for a good token; -1 for anything else. Does not read past text + len. */
int token_verify(const struct token_keys *keys, const char *text, size_t len,
                 struct token_link *link);

/* The same for a link's pay button, which anybody may see: it names the link and cannot pay. */
int button_mint(const struct token_keys *keys, const struct token_link *link, char *out);
int button_verify(const struct token_keys *keys, const char *text, size_t len,
                  struct token_link *link);

/* Writes exactly ATTEMPT_TEXT_SIZE characters. -1 if the link's kid is not a live key. */
int attempt_mint(const struct token_keys *keys, const struct token_link *link,
                 const struct token_attempt *attempt, char *out);
/* 0 and *attempt if it was minted for this very link; -1 for anything else. */
int attempt_verify(const struct token_keys *keys, const struct token_link *link, const char *text,
                   size_t len, struct token_attempt *attempt);

#endif
