/*
 * Amounts: int64_t minor units of an ISO 4217 currency, checked, never floating point.
 */
#ifndef PAYLINK_CORE_MONEY_H
#define PAYLINK_CORE_MONEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The largest amount anywhere (Stripe's own limit is lower): leaves room for sums of 900 of them.
 */
#define MONEY_MINOR_MAX    INT64_C(9999999999999999)
#define MONEY_MINOR_DIGITS 16

/* Digits after the point of `code` (ISO 4217, three capital letters; JPY 0, USD 2, KWD 3), -1 if
 * unknown. */
int money_exponent(const char *code, size_t len);

/* Checked: false on overflow or beyond ±MONEY_MINOR_MAX; *out is untouched then. */
bool money_add(int64_t a, int64_t b, int64_t *out);
bool money_mul(int64_t a, int64_t b, int64_t *out);

/*
 * Strict decimal integer of minor units: [0-9]{1,16}, no sign, no leading zero (but "0"),
 * no spaces, at most MONEY_MINOR_MAX.
 */
bool money_parse_minor(const char *text, size_t len, int64_t *out);

/*
 * Plain decimal with the currency's digits, no grouping: 123450 USD -> "1234.50", then a NUL.
 * Returns the length, or -1 if it does not fit or the currency is unknown. Negative amounts get
 * '-'. MONEY_TEXT_SIZE bytes are always enough.
 */
#define MONEY_TEXT_SIZE 24
int money_format_plain(int64_t amount_minor, const char *currency, char *out, size_t out_size);

/*
 * What somebody has typed: digits, then perhaps a point or a comma and no more digits than the
 * exponent has ("50", "50.5", "50,50"); blanks around it do not count. Groups of digits are
 * refused: "1,234" may mean two amounts. 1..MONEY_MINOR_MAX minor units.
 */
bool money_parse_typed(const char *text, size_t len, int exponent, int64_t *out);

/*
 * How a locale writes amounts of a currency, for those who cannot ask ICU: prefix, suffix, point,
 * separator of groups, zero digit, size of the last group, size of the others, digits that there
 * must be before the last group; all UTF-8, separated by MONEY_STYLE_SEPARATOR.
 */
#define MONEY_STYLE_SEPARATOR '\x1f'
#define MONEY_STYLE_FIELDS    8

/* 123450 -> "1.234,50 €". Returns the length, without a NUL; 0 if the style cannot be read or the
 * text does not fit. The amount is not negative. */
size_t money_write_style(const char *style, size_t style_len, int64_t amount_minor, int exponent,
                         char *out, size_t out_size);

#endif
