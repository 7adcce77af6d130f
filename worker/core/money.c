/* Owns checked arithmetic and text of amounts; knows currencies, but no invoice. */
#include "money.h"

#include <stdlib.h>
#include <string.h>

struct currency {
    char code[4];
    int8_t exponent;
};

/*
 * ISO 4217, list one (current currencies and funds), amendments up to January 2026 (BGN is gone,
 * XCG and ZWG are in). Codes without a minor unit (metals, XDR, XTS …) are no money for us.
 * Sorted.
 */
static const struct currency currencies[] = {
    {"AED", 2}, {"AFN", 2}, {"ALL", 2}, {"AMD", 2}, {"AOA", 2}, {"ARS", 2}, {"AUD", 2}, {"AWG", 2},
    {"AZN", 2}, {"BAM", 2}, {"BBD", 2}, {"BDT", 2}, {"BHD", 3}, {"BIF", 0}, {"BMD", 2}, {"BND", 2},
    {"BOB", 2}, {"BOV", 2}, {"BRL", 2}, {"BSD", 2}, {"BTN", 2}, {"BWP", 2}, {"BYN", 2}, {"BZD", 2},
    {"CAD", 2}, {"CDF", 2}, {"CHE", 2}, {"CHF", 2}, {"CHW", 2}, {"CLF", 4}, {"CLP", 0}, {"CNY", 2},
    {"COP", 2}, {"COU", 2}, {"CRC", 2}, {"CUP", 2}, {"CVE", 2}, {"CZK", 2}, {"DJF", 0}, {"DKK", 2},
    {"DOP", 2}, {"DZD", 2}, {"EGP", 2}, {"ERN", 2}, {"ETB", 2}, {"EUR", 2}, {"FJD", 2}, {"FKP", 2},
    {"GBP", 2}, {"GEL", 2}, {"GHS", 2}, {"GIP", 2}, {"GMD", 2}, {"GNF", 0}, {"GTQ", 2}, {"GYD", 2},
    {"HKD", 2}, {"HNL", 2}, {"HTG", 2}, {"HUF", 2}, {"IDR", 2}, {"ILS", 2}, {"INR", 2}, {"IQD", 3},
    {"IRR", 2}, {"ISK", 0}, {"JMD", 2}, {"JOD", 3}, {"JPY", 0}, {"KES", 2}, {"KGS", 2}, {"KHR", 2},
    {"KMF", 0}, {"KPW", 2}, {"KRW", 0}, {"KWD", 3}, {"KYD", 2}, {"KZT", 2}, {"LAK", 2}, {"LBP", 2},
    {"LKR", 2}, {"LRD", 2}, {"LSL", 2}, {"LYD", 3}, {"MAD", 2}, {"MDL", 2}, {"MGA", 2}, {"MKD", 2},
    {"MMK", 2}, {"MNT", 2}, {"MOP", 2}, {"MRU", 2}, {"MUR", 2}, {"MVR", 2}, {"MWK", 2}, {"MXN", 2},
    {"MXV", 2}, {"MYR", 2}, {"MZN", 2}, {"NAD", 2}, {"NGN", 2}, {"NIO", 2}, {"NOK", 2}, {"NPR", 2},
    {"NZD", 2}, {"OMR", 3}, {"PAB", 2}, {"PEN", 2}, {"PGK", 2}, {"PHP", 2}, {"PKR", 2}, {"PLN", 2},
    {"PYG", 0}, {"QAR", 2}, {"RON", 2}, {"RSD", 2}, {"RUB", 2}, {"RWF", 0}, {"SAR", 2}, {"SBD", 2},
    {"SCR", 2}, {"SDG", 2}, {"SEK", 2}, {"SGD", 2}, {"SHP", 2}, {"SLE", 2}, {"SOS", 2}, {"SRD", 2},
    {"SSP", 2}, {"STN", 2}, {"SVC", 2}, {"SYP", 2}, {"SZL", 2}, {"THB", 2}, {"TJS", 2}, {"TMT", 2},
    {"TND", 3}, {"TOP", 2}, {"TRY", 2}, {"TTD", 2}, {"TWD", 2}, {"TZS", 2}, {"UAH", 2}, {"UGX", 0},
    {"USD", 2}, {"USN", 2}, {"UYI", 0}, {"UYU", 2}, {"UYW", 4}, {"UZS", 2}, {"VED", 2}, {"VES", 2},
    {"VND", 0}, {"VUV", 0}, {"WST", 2}, {"XAD", 2}, {"XAF", 0}, {"XCD", 2}, {"XCG", 2}, {"XOF", 0},
    {"XPF", 0}, {"YER", 2}, {"ZAR", 2}, {"ZMW", 2}, {"ZWG", 2},
};

#define CURRENCY_COUNT (sizeof(currencies) / sizeof(currencies[0]))

static int currency_compare(const void *code, const void *entry)
{
    return memcmp(code, ((const struct currency *)entry)->code, 3);
}

int money_exponent(const char *code, size_t len)
{
    const struct currency *found;

    if (len != 3) {
        return -1;
    }
    found = bsearch(code, currencies, CURRENCY_COUNT, sizeof(currencies[0]), currency_compare);
    return found != NULL ? found->exponent : -1;
}

static bool in_range(int64_t amount_minor)
{
    return amount_minor >= -MONEY_MINOR_MAX && amount_minor <= MONEY_MINOR_MAX;
}

bool money_add(int64_t a, int64_t b, int64_t *out)
{
    int64_t sum;

    if (__builtin_add_overflow(a, b, &sum) || !in_range(sum)) {
        return false;
    }
    *out = sum;
    return true;
}

bool money_mul(int64_t a, int64_t b, int64_t *out)
{
    int64_t product;

    if (__builtin_mul_overflow(a, b, &product) || !in_range(product)) {
        return false;
    }
    *out = product;
    return true;
}

bool money_parse_minor(const char *text, size_t len, int64_t *out)
{
    int64_t amount = 0;

    if (len < 1 || len > MONEY_MINOR_DIGITS || (len > 1 && text[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        amount = amount * 10 + (text[i] - '0');
    }
    *out = amount;
    return true;
}

int money_format_plain(int64_t amount_minor, const char *currency, char *out, size_t out_size)
{
    int exponent = money_exponent(currency, strlen(currency));
    uint64_t left = amount_minor < 0 ? 0 - (uint64_t)amount_minor : (uint64_t)amount_minor;
    char reversed[MONEY_TEXT_SIZE];
    int len = 0;

    if (exponent < 0) {
        return -1;
    }
    /* At least one digit stands before the point: 5 USD -> "0.05". */
    for (int digits = 0; digits <= exponent || left > 0; digits++) {
        if (digits == exponent && exponent > 0) {
            reversed[len++] = '.';
        }
        reversed[len++] = (char)('0' + left % 10);
        left /= 10;
    }
    if (amount_minor < 0) {
        reversed[len++] = '-';
    }
    if ((size_t)len >= out_size) {
        return -1;
    }
    for (int i = 0; i < len; i++) {
        out[i] = reversed[len - 1 - i];
    }
    out[len] = '\0';
    return len;
}

bool money_parse_typed(const char *text, size_t len, int exponent, int64_t *out)
{
    int64_t amount = 0;
    int behind = -1; /* digits behind the point; -1 before it */
    size_t digits = 0;

    while (len > 0 && (*text == ' ' || *text == '\t')) {
        text++;
        len--;
    }
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t')) {
        len--;
    }
    for (size_t i = 0; i < len; i++) {
        if ((text[i] == '.' || text[i] == ',') && behind < 0 && digits > 0 && exponent > 0) {
            behind = 0;
        } else if (text[i] >= '0' && text[i] <= '9' && behind < exponent &&
                   amount <= MONEY_MINOR_MAX / 10) {
            amount = amount * 10 + (text[i] - '0');
            digits++;
            behind += behind >= 0;
        } else {
            return false;
        }
    }
    if (digits == 0 || behind == 0) {
        return false;
    }
    for (int i = behind < 0 ? 0 : behind; i < exponent; i++) {
        if (amount > MONEY_MINOR_MAX / 10) {
            return false;
        }
        amount *= 10;
    }
    if (amount == 0 || amount > MONEY_MINOR_MAX) {
        return false;
    }
    *out = amount;
    return true;
}

struct piece {
    const char *at;
    size_t len;
};

static bool style_read(const char *style, size_t len, struct piece field[MONEY_STYLE_FIELDS])
{
    const char *at = style, *end = style + len;

    for (int i = 0; i < MONEY_STYLE_FIELDS; i++) {
        const char *stop = memchr(at, MONEY_STYLE_SEPARATOR, (size_t)(end - at));

        if ((stop == NULL) != (i == MONEY_STYLE_FIELDS - 1)) {
            return false;
        }
        field[i] = (struct piece){at, (size_t)((stop != NULL ? stop : end) - at)};
        at = stop != NULL ? stop + 1 : end;
    }
    for (int i = 5; i < MONEY_STYLE_FIELDS; i++) {
        if (field[i].len != 1 || field[i].at[0] < '0' || field[i].at[0] > '9') {
            return false;
        }
    }
    return field[4].len > 0;
}

/* Whether a separator stands in front of the last `digits` digits of a whole part. */
static bool group_ends(const struct piece field[MONEY_STYLE_FIELDS], int digits, int whole)
{
    int last = field[5].at[0] - '0', other = field[6].at[0] - '0', least = field[7].at[0] - '0';

    if (last == 0 || digits < last || whole < last + (least > 1 ? least : 1)) {
        return false;
    }
    return digits == last || (other > 0 ? (digits - last) % other == 0 : digits % last == 0);
}

struct writer {
    char *out;
    size_t size, len;
    bool full;
};

static void put(struct writer *w, struct piece piece)
{
    if (piece.len > w->size - w->len) {
        w->full = true;
        return;
    }
    if (piece.len > 0) {
        memcpy(w->out + w->len, piece.at, piece.len);
    }
    w->len += piece.len;
}

/* The digits of every script follow each other, so their last bytes do. */
static void put_digit(struct writer *w, struct piece zero, char digit)
{
    put(w, zero);
    if (!w->full) {
        w->out[w->len - 1] = (char)(w->out[w->len - 1] + (digit - '0'));
    }
}

size_t money_write_style(const char *style, size_t style_len, int64_t amount_minor, int exponent,
                         char *out, size_t out_size)
{
    struct piece field[MONEY_STYLE_FIELDS];
    struct writer w = {.out = out, .size = out_size};
    char digits[MONEY_TEXT_SIZE];
    int count = 0, whole;

    if (amount_minor < 0 || exponent < 0 || exponent > 4 || !style_read(style, style_len, field)) {
        return 0;
    }
    for (int64_t left = amount_minor; left > 0 || count <= exponent; left /= 10) {
        digits[count++] = (char)('0' + left % 10);
    }
    whole = count - exponent;
    put(&w, field[0]);
    for (int i = count - 1; i >= 0; i--) {
        put_digit(&w, field[4], digits[i]);
        if (i == exponent && i > 0) {
            put(&w, field[2]);
        } else if (i > exponent && group_ends(field, i - exponent, whole)) {
            put(&w, field[3]);
        }
    }
    put(&w, field[1]);
    return w.full ? 0 : w.len;
}
