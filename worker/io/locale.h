/* Amounts and dates as people of a locale write them (ICU; only locale.c includes it). */
#ifndef PAYLINK_IO_LOCALE_H
#define PAYLINK_IO_LOCALE_H

#include <stddef.h>
#include <stdint.h>

/* UTF-8 into `out`, NUL-terminated, e.g. "$1,234.50", "1.234,50 €", "¥1,235". Falls back to
 * "1234.50 USD" if the locale is unknown. Exact for every int64_t. Returns the length. */
size_t locale_money(const char *locale, const char *currency, int64_t amount_minor, char *out,
                    size_t out_size);
/* How amounts of this currency are written, for money_write_style() (core/money.h); "" if the
 * locale is unknown or it does not fit. Returns the length. */
size_t locale_money_style(const char *locale, const char *currency, char *out, size_t out_size);
/* "Jan 31, 2026" from "2026-01-31"; an unreadable date is copied. */
size_t locale_date(const char *locale, const char *iso_date, char *out, size_t out_size);
/* "Jan 31, 2026, 10:00 AM UTC" */
size_t locale_time(const char *locale, int64_t wall_ms, char *out, size_t out_size);

/* A message in ICU's format, in which {0} is a number and {1} a text: "{0, plural, one {Invoice
 * {1}} other {# invoices}}". */
struct locale_message;

/* NULL if ICU cannot read it, or if it has other arguments than these: "{0, plural, …}",
 * "{0, selectordinal, …}" or "{0, number}", at least one of them, and "{1}". The caller frees. */
struct locale_message *locale_message_new(const char *locale, const char *text, size_t len);
void locale_message_free(struct locale_message *message);
/* NUL-terminated; the text alone if the message does not fit. Returns the length. */
size_t locale_message_write(const struct locale_message *message, int64_t number, const char *text,
                            char *out, size_t out_size);

#endif
