/* Checks of command line values: amounts, dates, ids, text. Must not know commands or SQL. */
#include "value.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "../core/form.h"
#include "../core/money.h"
#include "../core/token.h"

#define LINK_HEX_SIZE (2 * TOKEN_ID_SIZE)

const char *value_quote(const char *text, char out[VALUE_QUOTE_SIZE])
{
    size_t len = strlen(text), n = 0;
    bool printable = utf8_valid(text, len);

    while (n < len && n < 60) {
        unsigned char c = (unsigned char)text[n];
        bool shown = c >= 0x20 && c != 0x7f && (c < 0x80 || printable);
        out[n] = '?';
        if (shown) {
            out[n] = text[n];
        }
        n++;
    }
    if (n < len) {
        while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80) {
            n--; /* never cut inside a character */
        }
        memcpy(out + n, "…", sizeof("…"));
    } else {
        out[n] = '\0';
    }
    return out;
}

bool value_integer(const char *text, size_t len, int64_t min, int64_t max, int64_t *out)
{
    int64_t number;

    if (!money_parse_minor(text, len, &number) || number < min || number > max) {
        return false;
    }
    *out = number;
    return true;
}

static enum result check_money(const char *name, const char *value, struct error *err)
{
    int64_t amount_minor;
    char quoted[VALUE_QUOTE_SIZE];

    if (value_integer(value, strlen(value), 1, MONEY_MINOR_MAX, &amount_minor)) {
        return RESULT_OK;
    }
    return error_set(
        err, RESULT_REJECTED, "invalid_amount",
        "--%s “%s” is not an amount: write a whole number of the currency's minor units, "
        "1 to %lld, without sign, point or spaces (12.50 USD is 1250).",
        name, value_quote(value, quoted), (long long)MONEY_MINOR_MAX);
}

static enum result check_number(const struct arg_option *option, const char *name,
                                const char *value, struct error *err)
{
    int64_t number;
    char quoted[VALUE_QUOTE_SIZE];

    if (value_integer(value, strlen(value), option->min, option->max, &number)) {
        return RESULT_OK;
    }
    return error_set(err, RESULT_REJECTED, "invalid_number",
                     "--%s “%s” is not a whole number from %lld to %lld.", name,
                     value_quote(value, quoted), (long long)option->min, (long long)option->max);
}

static int digits(const char *text, int n)
{
    int number = 0;

    for (int i = 0; i < n; i++) {
        number = 10 * number + (text[i] - '0');
    }
    return number;
}

static enum result check_date(const char *name, const char *value, struct error *err)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool shape = strlen(value) == 10;
    char quoted[VALUE_QUOTE_SIZE];

    for (int i = 0; shape && i < 10; i++) {
        shape = (i == 4 || i == 7) ? value[i] == '-' : isdigit((unsigned char)value[i]) != 0;
    }
    if (shape) {
        int year = digits(value, 4), month = digits(value + 5, 2), day = digits(value + 8, 2);
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        if (year >= 1900 && month >= 1 && month <= 12 && day >= 1 &&
            day <= days[month - 1] + (month == 2 && leap ? 1 : 0)) {
            return RESULT_OK;
        }
    }
    return error_set(
        err, RESULT_REJECTED, "invalid_date",
        "--%s “%s” is not a date: write YYYY-MM-DD, from 1900 on, for instance 2026-01-31.", name,
        value_quote(value, quoted));
}

static enum result check_uuid(const char *name, char *value, struct error *err)
{
    uint8_t uuid[16];
    char quoted[VALUE_QUOTE_SIZE];

    for (char *c = value; *c != '\0'; c++) {
        if (*c >= 'A' && *c <= 'F') {
            *c = (char)(*c | 0x20);
        }
    }
    if (uuid_parse(value, strlen(value), uuid) != 0) {
        return error_set(
            err, RESULT_REJECTED, "invalid_id",
            "--%s “%s” is not an id: ids look like 018f3c4e-7d2a-7b61-9c55-2f1d0e9ab340.", name,
            value_quote(value, quoted));
    }
    return RESULT_OK;
}

static enum result check_currency(const char *name, const char *value, struct error *err)
{
    char quoted[VALUE_QUOTE_SIZE];

    if (money_exponent(value, strlen(value)) >= 0) {
        return RESULT_OK;
    }
    return error_set(
        err, RESULT_REJECTED, "unknown_currency",
        "--%s “%s” is not a currency: write its ISO 4217 code in capitals, for instance USD.", name,
        value_quote(value, quoted));
}

static enum result check_email(const char *name, const char *value, struct error *err)
{
    size_t len = strlen(value);
    const char *at = strchr(value, '@');
    char quoted[VALUE_QUOTE_SIZE];
    bool good = len <= VALUE_EMAIL_BYTES_MAX && at != NULL && at != value && at - value <= 64 &&
                strchr(at + 1, '@') == NULL && utf8_valid(value, len);

    for (size_t i = 0; good && i < len; i++) {
        unsigned char c = (unsigned char)value[i];
        good = c > 0x20 && c != 0x7f && strchr("\"(),:;<>[\\]", c) == NULL;
    }
    if (good) {
        const char *domain = at + 1;
        good = *domain != '\0' && *domain != '.' && *domain != '-' && value[len - 1] != '.' &&
               value[len - 1] != '-' && strstr(value, "..") == NULL && *value != '.' &&
               at[-1] != '.';
    }
    if (good) {
        return RESULT_OK;
    }
    return error_set(
        err, RESULT_REJECTED, "invalid_email",
        "--%s “%s” is not an e-mail address: write one like ada@example.com, at most %d "
        "bytes.",
        name, value_quote(value, quoted), VALUE_EMAIL_BYTES_MAX);
}

/* language[-Script][-REGION], the subset of BCP 47 that chooses formats. */
static enum result check_locale(const char *name, const char *value, struct error *err)
{
    size_t len = strlen(value), part = 0, parts = 0;
    char quoted[VALUE_QUOTE_SIZE];
    bool good = len >= 2 && len <= 35;

    for (size_t i = 0; good && i <= len; i++) {
        if (value[i] == '-' || value[i] == '\0') {
            good = part >= 2 && part <= 8 && (parts > 0 || part <= 3);
            parts++;
            part = 0;
        } else {
            good =
                isalpha((unsigned char)value[i]) || (parts > 0 && isdigit((unsigned char)value[i]));
            part++;
        }
    }
    if (good) {
        return RESULT_OK;
    }
    return error_set(err, RESULT_REJECTED, "invalid_locale",
                     "--%s “%s” is not a locale: write a BCP 47 tag, for instance en-US or de-CH.",
                     name, value_quote(value, quoted));
}

/* What would change how the text around it reads: C1 controls, line separators, direction
 * overrides. */
static bool has_hidden_control(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        unsigned char c1 = i + 1 < len ? (unsigned char)text[i + 1] : 0;
        unsigned char c2 = i + 2 < len ? (unsigned char)text[i + 2] : 0;
        if (c < 0x20 || c == 0x7f || (c == 0xc2 && c1 < 0xa0)) {
            return true;
        }
        if (c == 0xe2 && c1 == 0x80 && c2 >= 0xa8 && c2 <= 0xae) {
            return true; /* U+2028 … U+202E */
        }
        if (c == 0xe2 && c1 == 0x81 && c2 >= 0xa6 && c2 <= 0xa9) {
            return true; /* U+2066 … U+2069 */
        }
    }
    return false;
}

static size_t characters(const char *text, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    }
    return n;
}

static enum result check_text(const char *name, const char *value, size_t len, size_t max,
                              struct error *err)
{
    if (strspn(value, " ") >= len) {
        return error_set(err, RESULT_REJECTED, "invalid_text", "--%s is empty.", name);
    }
    if (!utf8_valid(value, len)) {
        return error_set(err, RESULT_REJECTED, "invalid_text", "--%s is not valid UTF-8.", name);
    }
    if (characters(value, len) > max) {
        return error_set(err, RESULT_REJECTED, "text_too_long",
                         "--%s has %zu characters; at most %zu are allowed.", name,
                         characters(value, len), max);
    }
    if (has_hidden_control(value, len)) {
        return error_set(err, RESULT_REJECTED, "invalid_text",
                         "--%s contains a control character (a line break, a tab, a direction "
                         "override …): write one line of plain text.",
                         name);
    }
    if (card_number_like(value, len)) {
        return error_set(
            err, RESULT_REJECTED, "card_number",
            "--%s looks like it contains a card number: card data never enters Paylink.", name);
    }
    return RESULT_OK;
}

static enum result check_key(const char *name, const char *value, struct error *err)
{
    size_t len = strlen(value);
    char quoted[VALUE_QUOTE_SIZE];
    bool good = len >= 1 && len <= 64;

    for (size_t i = 0; good && i < len; i++) {
        good = isalnum((unsigned char)value[i]) || strchr("._:-", value[i]) != NULL;
    }
    if (good) {
        return RESULT_OK;
    }
    return error_set(
        err, RESULT_REJECTED, "invalid_key",
        "--%s “%s” is not a key: write 1 to 64 letters, digits and . _ : - of your choice.", name,
        value_quote(value, quoted));
}

static enum result check_choice(const struct arg_option *option, const char *name,
                                const char *value, struct error *err)
{
    size_t len = strlen(value);
    char quoted[VALUE_QUOTE_SIZE];

    for (const char *at = option->choices; len > 0 && *at != '\0';) {
        size_t n = strcspn(at, "|");
        if (n == len && memcmp(at, value, n) == 0) {
            return RESULT_OK;
        }
        at += n + (at[n] == '|' ? 1 : 0);
    }
    return error_set(err, RESULT_REJECTED, "invalid_choice", "--%s “%s” is not one of: %s.", name,
                     value_quote(value, quoted), option->choices);
}

const char *value_link_name(const char *text, size_t *len)
{
    const char *slash = strstr(text, "/p/");

    if (slash != NULL) {
        text = slash + 3;
    }
    *len = strcspn(text, "?#/");
    return text;
}

static enum result check_link(const char *name, const char *value, struct error *err)
{
    size_t len;
    const char *link = value_link_name(value, &len);
    uint8_t bytes[TOKEN_TEXT_SIZE];

    if (len == LINK_HEX_SIZE && link == value && hex_parse(link, len, bytes) == 0) {
        return RESULT_OK;
    }
    if (len == TOKEN_TEXT_SIZE && base64url_parse(link, len, bytes) == 0) {
        return RESULT_OK;
    }
    /* The value is not repeated: a mistyped token is still most of a token. */
    return error_set(err, RESULT_REJECTED, "invalid_id",
                     "--%s is not a link: write its id (32 hexadecimal digits), its token (44 "
                     "characters), or its whole address.",
                     name);
}

enum result value_line(const char *name, const char *text, struct value_line *out,
                       struct error *err)
{
    char quoted[VALUE_QUOTE_SIZE];
    const char *unit = strrchr(text, ':');
    const char *quantity = unit == NULL ? NULL : memrchr(text, ':', (size_t)(unit - text));
    int64_t total_minor;

    if (quantity == NULL) {
        return error_set(err, RESULT_REJECTED, "invalid_line",
                         "--%s “%s” is not a line: write DESC:QTY:UNIT_MINOR, for instance "
                         "\"Oil, 5 l:2:1995\".",
                         name, value_quote(text, quoted));
    }
    if (!value_integer(quantity + 1, (size_t)(unit - quantity - 1), 1, VALUE_QUANTITY_MAX,
                       &out->quantity)) {
        return error_set(err, RESULT_REJECTED, "invalid_quantity",
                         "--%s “%s”: the quantity must be a whole number from 1 to %lld.", name,
                         value_quote(text, quoted), (long long)VALUE_QUANTITY_MAX);
    }
    if (!money_parse_minor(unit + 1, strlen(unit + 1), &out->unit_minor) ||
        !money_mul(out->quantity, out->unit_minor, &total_minor)) {
        return error_set(err, RESULT_REJECTED, "invalid_amount",
                         "--%s “%s”: the unit price must be a whole number of minor units without "
                         "sign or point, and the line's total at most %lld.",
                         name, value_quote(text, quoted), (long long)MONEY_MINOR_MAX);
    }
    out->description = text;
    out->description_len = (size_t)(quantity - text);
    return check_text(name, text, out->description_len, VALUE_TEXT_MAX, err);
}

enum result value_check(const struct arg_option *option, const char *name, char *value,
                        struct error *err)
{
    struct value_line line;

    switch (option->kind) {
    case ARG_TEXT:
        return check_text(name, value, strlen(value),
                          option->max > 0 ? (size_t)option->max : VALUE_TEXT_MAX, err);
    case ARG_KEY:
        return check_key(name, value, err);
    case ARG_MONEY:
        return check_money(name, value, err);
    case ARG_NUMBER:
        return check_number(option, name, value, err);
    case ARG_DATE:
        return check_date(name, value, err);
    case ARG_UUID:
        return check_uuid(name, value, err);
    case ARG_CURRENCY:
        return check_currency(name, value, err);
    case ARG_EMAIL:
        return check_email(name, value, err);
    case ARG_LOCALE:
        return check_locale(name, value, err);
    case ARG_CHOICE:
        return check_choice(option, name, value, err);
    case ARG_LINE:
        return value_line(name, value, &line, err);
    case ARG_LINK:
        return check_link(name, value, err);
    case ARG_PATH:
        if (*value == '\0') {
            return error_set(err, RESULT_REJECTED, "usage", "--%s is empty.", name);
        }
        return RESULT_OK;
    case ARG_FLAG:
        break;
    }
    return RESULT_OK;
}
