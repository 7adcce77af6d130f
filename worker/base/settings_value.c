/* Owns what a value in the settings file may look like; knows no key. */
#include "settings_value.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_DIGITS_MAX 18
#define NUMBERS_MAX       32
#define NAME_BYTES_MAX    64
#define EMAIL_BYTES_MAX   254

static const char letters_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/* -1 if `text` is not 1 to 18 digits. */
static int64_t parse_digits(const char *text, size_t len)
{
    int64_t n = 0;

    if (len < 1 || len > NUMBER_DIGITS_MAX) {
        return -1;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        n = n * 10 + (text[i] - '0');
    }
    return n;
}

static bool number_valid(const char *text, size_t len, int64_t min, int64_t max)
{
    int64_t n = parse_digits(text, len);

    return n >= 0 && n >= min && n <= max;
}

static bool numbers_valid(const struct value_type *type, const char *text)
{
    int64_t above = type->min;

    for (unsigned count = 0; count < NUMBERS_MAX; count++) {
        size_t len = strcspn(text, ",");

        if (!number_valid(text, len, above, type->max)) {
            return false;
        }
        if (text[len] == '\0') {
            return true;
        }
        above = parse_digits(text, len) + 1;
        text += len + 1;
    }
    return false;
}

/* What stands behind `scheme`, which may end in an s, and "://"; NULL: it is another one. */
static const char *behind_scheme(const char *text, const char *scheme)
{
    size_t len = strlen(scheme);

    if (strncmp(text, scheme, len) != 0) {
        return NULL;
    }
    text += len + (text[len] == 's' ? 1 : 0);
    return strncmp(text, "://", 3) == 0 ? text + 3 : NULL;
}

static bool host_valid(const char *host)
{
    if (host == NULL || host[0] == '\0' || host[0] == '/' || host[0] == ':' ||
        host[strlen(host) - 1] == '/') {
        return false;
    }
    for (const char *c = host; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~' || strchr("?#@\"'<>\\^`{|}", *c) != NULL) {
            return false;
        }
    }
    return true;
}

/* One that goes into the header of a mail as it is. */
static bool email_valid(const char *text)
{
    const char *at = strchr(text, '@');

    for (const char *c = text; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~' || strchr("<>,;:\"\\()[]", *c) != NULL) {
            return false;
        }
    }
    return at != NULL && at != text && at[1] != '\0' && strchr(at + 1, '@') == NULL &&
           strlen(text) <= EMAIL_BYTES_MAX;
}

static bool listen_valid(const char *text)
{
    const char *colon = strrchr(text, ':');

    return colon != NULL && colon != text &&
           strspn(text, "0123456789abcdefABCDEF.:[]") == strlen(text) &&
           number_valid(colon + 1, strlen(colon + 1), 1, 65535);
}

static bool name_valid(const char *text)
{
    size_t len = strlen(text);

    for (size_t i = 0; i < len; i++) {
        if (strchr(letters_digits, text[i]) == NULL && strchr("._-", text[i]) == NULL) {
            return false;
        }
    }
    return len <= NAME_BYTES_MAX;
}

static bool level_valid(const char *text)
{
    return strcmp(text, "debug") == 0 || strcmp(text, "info") == 0 || strcmp(text, "warn") == 0 ||
           strcmp(text, "error") == 0;
}

bool value_valid(const struct value_type *type, const char *value)
{
    switch (type->kind) {
    case VALUE_TEXT:
    case VALUE_PATH:
        return true;
    case VALUE_URL:
        return host_valid(behind_scheme(value, "http"));
    case VALUE_MAIL:
        return strncmp(value, "file:///", 8) == 0 ||
               (host_valid(behind_scheme(value, "smtp")) && strchr(value + 8, '/') == NULL);
    case VALUE_EMAIL:
        return email_valid(value);
    case VALUE_LISTEN:
        return listen_valid(value);
    case VALUE_NAME:
        return name_valid(value);
    case VALUE_LEVEL:
        return level_valid(value);
    case VALUE_SWITCH:
        return strcmp(value, "on") == 0 || strcmp(value, "off") == 0;
    case VALUE_NUMBER:
        return number_valid(value, strlen(value), type->min, type->max);
    case VALUE_NUMBERS:
        return numbers_valid(type, value);
    }
    return false;
}

const char *value_allowed(const struct value_type *type, char *out, size_t size)
{
    switch (type->kind) {
    case VALUE_TEXT:
        return "a text";
    case VALUE_PATH:
        return "a path";
    case VALUE_URL:
        return "http(s)://HOST[:PORT][/PATH] without a slash at the end";
    case VALUE_MAIL:
        return "smtp(s)://HOST[:PORT], or file:///FOLDER";
    case VALUE_EMAIL:
        return "an e-mail address";
    case VALUE_LISTEN:
        return "ADDRESS:PORT with a numeric address";
    case VALUE_NAME:
        return "1 to 64 of A-Z a-z 0-9 . _ -";
    case VALUE_LEVEL:
        return "debug, info, warn or error";
    case VALUE_SWITCH:
        return "on or off";
    case VALUE_NUMBER:
        snprintf(out, size, "a whole number from %" PRId64 " to %" PRId64, type->min, type->max);
        return out;
    case VALUE_NUMBERS:
        snprintf(out, size,
                 "at most %d ascending whole numbers from %" PRId64 " to %" PRId64
                 " with commas between",
                 NUMBERS_MAX, type->min, type->max);
        return out;
    }
    return "something else";
}

int64_t value_number(const char *value)
{
    return parse_digits(value, strlen(value));
}
