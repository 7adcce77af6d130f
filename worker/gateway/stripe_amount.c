/* Owns the difference between Stripe's units of money and ISO 4217's; knows nothing else. */
#include "stripe_amount.h"

#include <string.h>

#include "../core/money.h"

static int stripe_digits(const char *currency)
{
    static const char zero[] = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF";
    static const char three[] = "BHD JOD KWD OMR TND";

    if (strstr(zero, currency) != NULL) {
        return 0;
    }
    return strstr(three, currency) != NULL ? 3 : 2;
}

static bool scale(int64_t amount, int from_digits, int to_digits, int64_t *out)
{
    for (; from_digits < to_digits; from_digits++) {
        if (!money_mul(amount, 10, &amount)) {
            return false;
        }
    }
    for (; from_digits > to_digits; from_digits--) {
        if (amount % 10 != 0) {
            return false;
        }
        amount /= 10;
    }
    *out = amount;
    return true;
}

bool stripe_amount_to(const char *currency, int64_t amount_minor, int64_t *out)
{
    int digits = strlen(currency) == 3 ? money_exponent(currency, 3) : -1;
    int64_t amount;

    if (digits < 0 || !scale(amount_minor, digits, stripe_digits(currency), &amount)) {
        return false;
    }
    /* Where there are three digits, Stripe wants the last one to be 0. */
    if (stripe_digits(currency) == 3 && amount % 10 != 0) {
        return false;
    }
    *out = amount;
    return true;
}

bool stripe_amount_from(const char *currency, int64_t amount, int64_t *out_minor)
{
    int digits = strlen(currency) == 3 ? money_exponent(currency, 3) : -1;

    return digits >= 0 && scale(amount, stripe_digits(currency), digits, out_minor);
}
