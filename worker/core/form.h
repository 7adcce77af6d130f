/*
 * application/x-www-form-urlencoded, strictly: the bodies that the edge and the sandbox accept.
 */
#ifndef PAYLINK_CORE_FORM_H
#define PAYLINK_CORE_FORM_H

#include <stdbool.h>
#include <stddef.h>

#include "encoding.h"

#define FORM_BYTES_MAX  8192
#define FORM_FIELDS_MAX 20

struct form_field {
    const char *name; /* decoded, points into the caller's buffer */
    size_t name_len;
    const char *value;
    size_t value_len;
};

struct form {
    size_t count;
    struct form_field field[FORM_FIELDS_MAX];
};

enum form_status {
    FORM_OK = 0,
    FORM_TOO_LARGE,
    FORM_TOO_MANY_FIELDS,
    FORM_BAD_ESCAPE, /* '%' not followed by two hex digits */
    FORM_BAD_TEXT,   /* NUL or another control character, or invalid UTF-8, after decoding */
    FORM_DUPLICATE_FIELD,
    FORM_EMPTY_NAME
};

/* Decodes `body` in place (it is modified) and fills *form, which points into it. */
enum form_status form_parse(char *body, size_t len, struct form *form);
const char *form_status_text(enum form_status status); /* a sentence for people */

/* NULL if there is no such field. */
const struct form_field *form_get(const struct form *form, const char *name);

/*
 * True if `text` contains something that looks like a card number (SECURITY: refused, not logged):
 * whole groups of digits, joined by single spaces or dashes, together 13 to 19 digits that pass the
 * Luhn check. Further groups may stand before and after it ("4242 4242 4242 4242 12 26 123").
 */
bool card_number_like(const char *text, size_t len);

#endif
