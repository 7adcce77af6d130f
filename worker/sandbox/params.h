/*
 * Form-encoded parameters as Stripe's clients send them: `metadata[order]=1`, `expand[]=x`,
 * `expand[0]=x`, in bodies and query strings.
 */
#ifndef PAYLINK_SANDBOX_PARAMS_H
#define PAYLINK_SANDBOX_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PARAMS_MAX 128

struct param {
    const char *name; /* decoded, NUL-terminated, e.g. "card[number]"; no NUL inside */
    const char *value;
};

struct params {
    size_t count;
    struct param item[PARAMS_MAX];
};

/* Decodes `text` in place (text[len] must be writable); *params points into it. NULL, or a sentence
 * about what is wrong. */
const char *params_parse(char *text, size_t len, struct params *params);

/* The value of the last parameter of that name; NULL: not given. */
const char *params_get(const struct params *params, const char *name);

/*
 * The first parameter that `known` does not list, or NULL. An entry is a whole name; `name[]`
 * allows a list of values (`name[]`, `name[0]`), `name[*]` any one key in the brackets.
 * The list ends with NULL.
 */
const struct param *params_unknown(const struct params *params, const char *const *known);

/* For name "metadata" and parameter "metadata[order]": "order", with its length; else NULL. */
const char *params_key(const struct param *param, const char *name, size_t *len);

/* True when a list parameter (`expand[]`, `expand[3]`) holds the value. */
bool params_list_has(const struct params *params, const char *name, const char *value);

/* A decimal integer, optional minus, at most 18 digits. */
bool params_int(const char *text, int64_t *out);

/*
 * A digest of all parameters, whatever their order, as 32 hex digits and a NUL. Of a card number
 * only the last four digits enter it, and of a card verification code nothing: it is written to
 * disk.
 */
void params_digest(const struct params *params, char out[33]);

#endif
