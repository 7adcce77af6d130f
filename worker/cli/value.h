/*
 * Values of the command line: checked before anything is asked of a database. Each check answers
 * with a sentence that says what is allowed. It must not know which command asks.
 */
#ifndef PAYLINK_CLI_VALUE_H
#define PAYLINK_CLI_VALUE_H

#include <stddef.h>
#include <stdint.h>

#include "args.h"

#define VALUE_QUANTITY_MAX    INT64_C(1000000)
#define VALUE_TEXT_MAX        500 /* characters, when an option says nothing else */
#define VALUE_EMAIL_BYTES_MAX 254

/* Checks `value` for `option` (called `name` on the command line). May lower the case of ids in
 * place. */
enum result value_check(const struct arg_option *option, const char *name, char *value,
                        struct error *err) MUST_CHECK;

/* An invoice line, split from the right: the description may contain colons. */
struct value_line {
    const char *description; /* borrowed, not NUL-terminated */
    size_t description_len;
    int64_t quantity;
    int64_t unit_minor;
};
enum result value_line(const char *name, const char *text, struct value_line *out,
                       struct error *err) MUST_CHECK;

/* Strict decimal integer without sign or leading zero; false outside of min..max. */
bool value_integer(const char *text, size_t len, int64_t min, int64_t max, int64_t *out);

/* The part of a link reference that names it: 32 hex digits, or the token at the end of an address.
 */
const char *value_link_name(const char *text, size_t *len);

/* A printable copy for messages: control characters and invalid UTF-8 become '?', cut at 60 bytes.
 */
#define VALUE_QUOTE_SIZE 80
const char *value_quote(const char *text, char out[VALUE_QUOTE_SIZE]);

#endif
