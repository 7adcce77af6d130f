/* The types of values in the settings file. For settings.c only. */
#ifndef PAYLINK_BASE_SETTINGS_VALUE_H
#define PAYLINK_BASE_SETTINGS_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum value_kind {
    VALUE_TEXT,
    VALUE_PATH,
    VALUE_URL,  /* http(s)://host[:port][/path], no trailing slash */
    VALUE_MAIL, /* smtp(s)://host[:port] or file:///folder */
    VALUE_EMAIL,
    VALUE_LISTEN, /* ADDRESS:PORT */
    VALUE_NAME,
    VALUE_LEVEL,
    VALUE_SWITCH, /* on | off */
    VALUE_NUMBER, /* min..max */
    VALUE_NUMBERS /* comma-separated, ascending, each min..max */
};

struct value_type {
    enum value_kind kind;
    int64_t min, max;
};

/* `value` is not empty. */
bool value_valid(const struct value_type *type, const char *value);
/* What stands behind "must be": "a whole number from 1 to 1024". Returns `out`. */
const char *value_allowed(const struct value_type *type, char *out, size_t size);
int64_t value_number(const char *value); /* of a valid VALUE_NUMBER */

#endif
