/*
 * Amounts as Stripe counts them (https://docs.stripe.com/currencies#zero-decimal): for a few
 * currencies not in the minor unit of ISO 4217. Both ways exact, or refused.
 */
#ifndef PAYLINK_GATEWAY_STRIPE_AMOUNT_H
#define PAYLINK_GATEWAY_STRIPE_AMOUNT_H

#include <stdbool.h>
#include <stdint.h>

/* `currency` in upper case. False: unknown currency, or not a whole number of Stripe's units. */
bool stripe_amount_to(const char *currency, int64_t amount_minor, int64_t *out);
bool stripe_amount_from(const char *currency, int64_t amount, int64_t *out_minor);

#endif
