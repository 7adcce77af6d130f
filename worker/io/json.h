/*
 * JSON values: thin helpers over jansson (the only file that includes it is json.c and, for its
 * types, this header). Amounts are JSON integers (64 bit, exact).
 */
#ifndef PAYLINK_IO_JSON_H
#define PAYLINK_IO_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NULL when `text` is not one JSON value (strict, duplicates refused, depth bounded by jansson). */
json_t *json_parse(const char *text, size_t len);
/* Compact text; the caller frees. */
char *json_text(const json_t *value);

/* Borrowed string of object[key], or NULL when absent, null or not a string. */
const char *json_get_text(const json_t *object, const char *key);
/* False when absent, null or not an integer. */
bool json_get_int(const json_t *object, const char *key, int64_t *out);
bool json_get_bool(const json_t *object, const char *key); /* false when absent */

/* Sets a string, or null for NULL. Never fails on valid UTF-8. */
void json_put_text(json_t *object, const char *key, const char *text);
void json_put_int(json_t *object, const char *key, int64_t value);
void json_put_bool(json_t *object, const char *key, bool value);

#endif
