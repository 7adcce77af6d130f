/*
 * Amounts and dates in the words of a locale, by ICU. The only file that includes ICU; it must not
 * know pages or Redis. Opened formatters are kept: opening one costs 1000 times its use.
 */
#include "locale.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/uchar.h>
#include <unicode/udat.h>
#include <unicode/udatpg.h>
#include <unicode/uloc.h>
#include <unicode/umsg.h>
#include <unicode/unum.h>
#include <unicode/ustring.h>

#include "../base/clock.h"
#include "../core/money.h"

#define SLOTS             32 /* merchants of one worker share few locales */
#define LOCALE_BYTES_MAX  40
#define OUTPUT_UNITS_MAX  128 /* UTF-16 */
#define MESSAGE_UNITS_MAX 512
#define MS_PER_DAY        INT64_C(86400000)

enum slot_kind { SLOT_FREE, SLOT_MONEY, SLOT_DATE, SLOT_TIME };

/* `handle` NULL: this locale is known to be unknown. */
struct slot {
    enum slot_kind kind;
    char locale[LOCALE_BYTES_MAX];
    char currency[4];
    void *handle; /* UNumberFormat for SLOT_MONEY, else UDateFormat */
};

static struct slot slots[SLOTS];
static unsigned slot_next;

static void slot_close(struct slot *slot)
{
    if (slot->handle != NULL && slot->kind == SLOT_MONEY) {
        unum_close(slot->handle);
    } else if (slot->handle != NULL) {
        udat_close(slot->handle);
    }
    memset(slot, 0, sizeof(*slot));
}

/* ICU would answer for an unknown language with whatever the process's own locale is. */
static bool locale_known(const char *tag, char id[ULOC_FULLNAME_CAPACITY])
{
    UErrorCode status = U_ZERO_ERROR;
    int32_t parsed = 0;
    char language[ULOC_LANG_CAPACITY];

    uloc_forLanguageTag(tag, id, ULOC_FULLNAME_CAPACITY, &parsed, &status);
    if (U_FAILURE(status) || parsed != (int32_t)strlen(tag)) {
        return false;
    }
    uloc_getLanguage(id, language, sizeof(language), &status);
    if (U_FAILURE(status) || language[0] == '\0') {
        return false;
    }
    for (int32_t i = 0, n = uloc_countAvailable(); i < n; i++) {
        const char *available = uloc_getAvailable(i);
        size_t len = strlen(language);
        if (strncmp(available, language, len) == 0 &&
            (available[len] == '\0' || available[len] == '_')) {
            return true;
        }
    }
    return false;
}

static UNumberFormat *open_money(const char *id, const char *currency)
{
    UErrorCode status = U_ZERO_ERROR;
    UChar code[3];
    int exponent = money_exponent(currency, 3);
    UNumberFormat *format = unum_open(UNUM_CURRENCY, NULL, 0, id, NULL, &status);

    if (U_FAILURE(status)) {
        return NULL;
    }
    for (int i = 0; i < 3; i++) {
        code[i] = (UChar)currency[i];
    }
    unum_setTextAttribute(format, UNUM_CURRENCY_CODE, code, 3, &status);
    /* CLDR shows some currencies without their minor units; the books have them. */
    unum_setAttribute(format, UNUM_FRACTION_DIGITS, exponent);
    if (U_FAILURE(status)) {
        unum_close(format);
        return NULL;
    }
    return format;
}

static UDateFormat *open_pattern(const char *id, enum slot_kind kind)
{
    static const UChar utc[] = u"UTC";
    UErrorCode status = U_ZERO_ERROR;
    UChar pattern[OUTPUT_UNITS_MAX];
    const UChar *skeleton = kind == SLOT_TIME ? u"yMMMdjmz" : u"yMMMd";
    UDateTimePatternGenerator *generator = udatpg_open(id, &status);

    if (U_FAILURE(status)) {
        return NULL;
    }
    int32_t len =
        udatpg_getBestPattern(generator, skeleton, -1, pattern, OUTPUT_UNITS_MAX, &status);
    udatpg_close(generator);
    if (U_FAILURE(status)) {
        return NULL;
    }
    UDateFormat *format = udat_open(UDAT_PATTERN, UDAT_PATTERN, id, utc, 3, pattern, len, &status);
    if (U_FAILURE(status)) {
        return NULL;
    }
    return format;
}

static void *slot_handle(enum slot_kind kind, const char *locale, const char *currency)
{
    char id[ULOC_FULLNAME_CAPACITY];

    if (locale == NULL || *locale == '\0' || strlen(locale) >= LOCALE_BYTES_MAX) {
        return NULL;
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        if (slots[i].kind == kind && strcmp(slots[i].locale, locale) == 0 &&
            strcmp(slots[i].currency, currency) == 0) {
            return slots[i].handle;
        }
    }
    struct slot *slot = &slots[slot_next];
    slot_next = (slot_next + 1) % SLOTS;
    slot_close(slot);
    slot->kind = kind;
    memcpy(slot->locale, locale, strlen(locale) + 1);
    memcpy(slot->currency, currency, strlen(currency) + 1);
    if (locale_known(locale, id)) {
        slot->handle =
            kind == SLOT_MONEY ? (void *)open_money(id, currency) : (void *)open_pattern(id, kind);
    }
    return slot->handle;
}

/* -1 if it does not fit: nobody is shown half an amount. */
static int32_t to_utf8(const UChar *text, int32_t len, char *out, size_t out_size)
{
    UErrorCode status = U_ZERO_ERROR;
    int32_t written = 0;

    u_strToUTF8(out, (int32_t)out_size, &written, text, len, &status);
    return U_FAILURE(status) || (size_t)written >= out_size ? -1 : written;
}

static size_t copy_text(const char *text, char *out, size_t out_size)
{
    int n = snprintf(out, out_size, "%s", text);

    return n < 0 ? 0 : (size_t)n < out_size ? (size_t)n : out_size - 1;
}

size_t locale_money(const char *locale, const char *currency, int64_t amount_minor, char *out,
                    size_t out_size)
{
    char plain[64], fallback[80];
    UChar text[OUTPUT_UNITS_MAX];
    UErrorCode status = U_ZERO_ERROR;
    int plain_len = money_format_plain(amount_minor, currency, plain, sizeof(plain));

    if (plain_len < 0) {
        snprintf(fallback, sizeof(fallback), "%lld %.8s", (long long)amount_minor, currency);
        return copy_text(fallback, out, out_size);
    }
    UNumberFormat *format = slot_handle(SLOT_MONEY, locale, currency);
    if (format != NULL) {
        int32_t len =
            unum_formatDecimal(format, plain, plain_len, text, OUTPUT_UNITS_MAX, NULL, &status);
        int32_t written = U_FAILURE(status) ? -1 : to_utf8(text, len, out, out_size);
        if (written >= 0) {
            return (size_t)written;
        }
    }
    snprintf(fallback, sizeof(fallback), "%s %s", plain, currency);
    return copy_text(fallback, out, out_size);
}

/* Appends a field and the separator behind it. */
static bool style_put(const UChar *text, int32_t len, char *out, size_t out_size, size_t *at)
{
    int32_t written = to_utf8(text, len, out + *at, out_size - *at);

    if (written < 0 || *at + (size_t)written + 1 >= out_size) {
        return false;
    }
    *at += (size_t)written;
    out[(*at)++] = MONEY_STYLE_SEPARATOR;
    out[*at] = '\0';
    return true;
}

/* What stands around the digits of an amount: affixes of the pattern lack the blank beside a code.
 */
static bool style_affixes(UNumberFormat *format, char *out, size_t out_size, size_t *at)
{
    UErrorCode status = U_ZERO_ERROR;
    UChar text[OUTPUT_UNITS_MAX];
    int32_t len = unum_format(format, 8, text, OUTPUT_UNITS_MAX, NULL, &status);
    int32_t first = 0, end = len;

    if (U_FAILURE(status)) {
        return false;
    }
    while (first < len && !u_isdigit(text[first])) {
        first++;
    }
    while (end > first && !u_isdigit(text[end - 1])) {
        end--;
    }
    return first < end && style_put(text, first, out, out_size, at) &&
           style_put(text + end, len - end, out, out_size, at);
}

static char style_digit(const UNumberFormat *format, UNumberFormatAttribute attribute, int least)
{
    int32_t value = unum_getAttribute(format, attribute);

    return (char)('0' + (value < least || value > 9 ? least : value));
}

size_t locale_money_style(const char *locale, const char *currency, char *out, size_t out_size)
{
    static const UNumberFormatSymbol symbols[] = {UNUM_MONETARY_SEPARATOR_SYMBOL,
                                                  UNUM_MONETARY_GROUPING_SEPARATOR_SYMBOL,
                                                  UNUM_ZERO_DIGIT_SYMBOL};
    UNumberFormat *format = slot_handle(SLOT_MONEY, locale, currency);
    UErrorCode status = U_ZERO_ERROR;
    UChar text[OUTPUT_UNITS_MAX];
    size_t at = 0;
    bool ok;

    out[0] = '\0';
    ok = format != NULL && style_affixes(format, out, out_size, &at);
    for (size_t i = 0; ok && i < sizeof(symbols) / sizeof(symbols[0]); i++) {
        int32_t len = unum_getSymbol(format, symbols[i], text, OUTPUT_UNITS_MAX, &status);

        ok = U_SUCCESS(status) && style_put(text, len, out, out_size, &at);
    }
    if (!ok || out_size - at < 6) {
        out[0] = '\0';
        return 0;
    }
    return at + (size_t)snprintf(out + at, out_size - at, "%c%c%c%c%c",
                                 style_digit(format, UNUM_GROUPING_SIZE, 0), MONEY_STYLE_SEPARATOR,
                                 style_digit(format, UNUM_SECONDARY_GROUPING_SIZE, 0),
                                 MONEY_STYLE_SEPARATOR,
                                 style_digit(format, UNUM_MINIMUM_GROUPING_DIGITS, 1));
}

/* Days since 1970-01-01 in the Gregorian calendar (Howard Hinnant, days_from_civil). */
static int64_t days_from_civil(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    unsigned of_era = (unsigned)(year - era * 400);
    unsigned of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return era * 146097 + (int64_t)(of_era * 365 + of_era / 4 - of_era / 100 + of_year) - 719468;
}

static bool parse_date(const char *iso, int64_t *wall_ms)
{
    unsigned part[3] = {0, 0, 0}; /* year, month, day */
    int n = 0;

    if (strlen(iso) != 10 || iso[4] != '-' || iso[7] != '-') {
        return false;
    }
    for (int i = 0; i < 10; i++) {
        if (i == 4 || i == 7) {
            n++;
        } else if (iso[i] >= '0' && iso[i] <= '9') {
            part[n] = 10 * part[n] + (unsigned)(iso[i] - '0');
        } else {
            return false;
        }
    }
    if (part[1] < 1 || part[1] > 12 || part[2] < 1 || part[2] > 31) {
        return false;
    }
    *wall_ms = days_from_civil(part[0], part[1], part[2]) * MS_PER_DAY;
    return true;
}

static size_t format_date(enum slot_kind kind, const char *locale, int64_t wall_ms,
                          const char *fallback, char *out, size_t out_size)
{
    UChar text[OUTPUT_UNITS_MAX];
    UErrorCode status = U_ZERO_ERROR;
    UDateFormat *format = slot_handle(kind, locale, "");

    if (format != NULL) {
        int32_t len = udat_format(format, (UDate)wall_ms, text, OUTPUT_UNITS_MAX, NULL, &status);
        int32_t written = U_FAILURE(status) ? -1 : to_utf8(text, len, out, out_size);
        if (written >= 0) {
            return (size_t)written;
        }
    }
    return copy_text(fallback, out, out_size);
}

size_t locale_date(const char *locale, const char *iso_date, char *out, size_t out_size)
{
    int64_t wall_ms;

    if (!parse_date(iso_date, &wall_ms)) {
        return copy_text(iso_date, out, out_size);
    }
    return format_date(SLOT_DATE, locale, wall_ms, iso_date, out, out_size);
}

size_t locale_time(const char *locale, int64_t wall_ms, char *out, size_t out_size)
{
    char iso[CLOCK_ISO_SIZE];

    clock_iso(wall_ms, iso);
    return format_date(SLOT_TIME, locale, wall_ms, iso, out, out_size);
}

/* -1 for what does not fit or is no UTF-8. */
static int32_t to_utf16(const char *text, size_t len, UChar out[MESSAGE_UNITS_MAX])
{
    UErrorCode status = U_ZERO_ERROR;
    int32_t units = 0;

    u_strFromUTF8(out, MESSAGE_UNITS_MAX - 1, &units, text, (int32_t)len, &status);
    if (U_FAILURE(status)) {
        return -1;
    }
    out[units] = 0;
    return units;
}

/* What is said of the arguments of a message, as umsg_format() will read them. */
struct arguments {
    bool number; /* {0} is there, as a number */
    bool odd;    /* there is one that it would read from nowhere, or as what it is not */
};

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* One argument, behind its brace. ICU takes one without a type for a text, and "number, integer"
 * for an int32_t. */
static void argument_read(const char *text, struct arguments *out)
{
    bool first = begins_with(text, "0, plural,") || begins_with(text, "0, selectordinal,") ||
                 begins_with(text, "0, number}");

    out->number |= first;
    out->odd |= !first && !begins_with(text, "1}");
}

/* Braces open an argument in a text and a text in an argument, in turn. An apostrophe in front of
 * one quotes it, up to the next apostrophe; in front of a '#' it does only inside of a plural,
 * which nobody needs. */
static struct arguments arguments_read(const char *text)
{
    struct arguments found = {false, false};
    unsigned depth = 0;

    for (; *text != '\0'; text++) {
        if (begins_with(text, "''")) {
            text++;
        } else if (begins_with(text, "'{") || begins_with(text, "'}")) {
            text += 1 + strcspn(text + 1, "'");
            if (*text == '\0')
                break;
        } else if (begins_with(text, "'#") || begins_with(text, "'|")) {
            found.odd = true;
        } else if (*text == '{' && depth++ % 2 == 0) {
            argument_read(text + 1, &found);
        } else if (*text == '}' && depth > 0) {
            depth--;
        }
    }
    return found;
}

struct locale_message *locale_message_new(const char *locale, const char *text, size_t len)
{
    UChar pattern[MESSAGE_UNITS_MAX];
    UErrorCode status = U_ZERO_ERROR;
    char id[ULOC_FULLNAME_CAPACITY];
    int32_t units = len < MESSAGE_UNITS_MAX ? to_utf16(text, len, pattern) : -1;
    char copy[MESSAGE_UNITS_MAX];
    struct arguments arguments;
    UMessageFormat *format;

    if (units < 0 || !locale_known(locale, id)) {
        return NULL;
    }
    /* umsg_format() takes its arguments by position and type, as printf() does. */
    memcpy(copy, text, len);
    copy[len] = '\0';
    arguments = arguments_read(copy);
    if (!arguments.number || arguments.odd) {
        return NULL;
    }
    format = umsg_open(pattern, units, id, NULL, &status);
    if (U_FAILURE(status)) {
        umsg_close(format);
        return NULL;
    }
    return (struct locale_message *)format;
}

void locale_message_free(struct locale_message *message)
{
    if (message != NULL) {
        umsg_close((UMessageFormat *)message);
    }
}

size_t locale_message_write(const struct locale_message *message, int64_t number, const char *text,
                            char *out, size_t out_size)
{
    UChar argument[MESSAGE_UNITS_MAX], result[MESSAGE_UNITS_MAX];
    UErrorCode status = U_ZERO_ERROR;
    int32_t len, written = -1;

    if (strlen(text) < MESSAGE_UNITS_MAX && to_utf16(text, strlen(text), argument) >= 0) {
        len = umsg_format((const UMessageFormat *)message, result, MESSAGE_UNITS_MAX, &status,
                          (double)number, argument);
        written = U_FAILURE(status) ? -1 : to_utf8(result, len, out, out_size);
    }
    return written >= 0 ? (size_t)written : copy_text(text, out, out_size);
}
