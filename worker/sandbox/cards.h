/*
 * The published test cards and what happens with each, after https://docs.stripe.com/testing.
 * Only these cards exist here: a real card's number is refused and kept nowhere.
 */
#ifndef PAYLINK_SANDBOX_CARDS_H
#define PAYLINK_SANDBOX_CARDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Why a confirmation fails, in Stripe's words. */
struct decline {
    const char *name; /* stable: decline code, or the error code where there is none */
    const char *code;
    const char *decline_code; /* NULL: none */
    const char *message;
    const char *network_status; /* of the charge's outcome; NULL: no charge is made */
};

/* By name or by code; NULL: there is none. */
const struct decline *decline_find(const char *name);

enum card_refund {
    CARD_REFUND_SUCCEEDS,
    CARD_REFUND_SUCCEEDS_LATER, /* pending first */
    CARD_REFUND_FAILS_LATER     /* succeeded first */
};

struct card {
    const char *token; /* "pm_card_visa" */
    const char *number;
    const char *brand;
    const char *funding;
    const struct decline *decline; /* NULL: the charge succeeds */
    bool authentication;           /* 3-D Secure comes first */
    enum card_refund refund;
};

const struct card *card_by_token(const char *token);
const struct card *card_by_number(const char *digits);
size_t card_count(void);
const struct card *card_at(size_t i);
const char *card_last4(const struct card *card);
/* As people write it: "Visa". */
const char *card_brand_name(const struct card *card);
/* 16 characters, the same for the same card everywhere. */
void card_fingerprint(const struct card *card, char out[17]);

/* What the gateway accepts of a currency (lower case), in its smallest unit. */
struct currency {
    const char *code;
    int digits;    /* after the point, in Stripe's units */
    int64_t least; /* smallest charge */
    const char *least_text;
};

const struct currency *currency_find(const char *code);
/* "usd, aed, afn, …" */
const char *currency_names(void);

#define CARD_AMOUNT_MAX INT64_C(99999999)

#endif
