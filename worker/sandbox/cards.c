/* Owns the tables of test cards, declines and currencies; knows nothing of requests or storage. */
#include "cards.h"

#include <string.h>

#define SOON "Try again in a little bit."

static const struct decline declines[] = {
    {"generic_decline", "card_declined", "generic_decline", "Your card was declined.",
     "declined_by_network"},
    {"insufficient_funds", "card_declined", "insufficient_funds",
     "Your card has insufficient funds.", "declined_by_network"},
    {"lost_card", "card_declined", "lost_card", "Your card was declined.", "declined_by_network"},
    {"stolen_card", "card_declined", "stolen_card", "Your card was declined.",
     "declined_by_network"},
    {"fraudulent", "card_declined", "fraudulent", "Your card was declined.", "not_sent_to_network"},
    {"card_velocity_exceeded", "card_declined", "card_velocity_exceeded",
     "Your card was declined for making repeated attempts too frequently or exceeding its amount "
     "limit.",
     "declined_by_network"},
    {"expired_card", "expired_card", "expired_card", "Your card has expired.",
     "declined_by_network"},
    {"incorrect_cvc", "incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect.",
     "declined_by_network"},
    {"processing_error", "processing_error", "processing_error",
     "An error occurred while processing your card. " SOON, "declined_by_network"},
    {"authentication_required", "authentication_required", "authentication_required",
     "Your card was declined. This transaction requires authentication.", "declined_by_network"},
    {"payment_intent_authentication_failure", "payment_intent_authentication_failure", NULL,
     "The provided PaymentMethod has failed authentication. You can provide payment_method_data or "
     "a new PaymentMethod to attempt to fulfill this PaymentIntent again.",
     NULL},
};

enum { GENERIC, FUNDS, LOST, STOLEN, FRAUD, VELOCITY, EXPIRED, CVC, PROCESSING };

#define SUCCEEDS(token, number, brand, funding)                                                    \
    {                                                                                              \
        token, number, brand, funding, NULL, false, CARD_REFUND_SUCCEEDS                           \
    }
#define DECLINES(token, number, why)                                                               \
    {                                                                                              \
        token, number, "visa", "credit", &declines[why], false, CARD_REFUND_SUCCEEDS               \
    }

static const struct card cards[] = {
    SUCCEEDS("pm_card_visa", "4242424242424242", "visa", "credit"),
    SUCCEEDS("pm_card_visa_debit", "4000056655665556", "visa", "debit"),
    SUCCEEDS("pm_card_mastercard", "5555555555554444", "mastercard", "credit"),
    SUCCEEDS("pm_card_mastercard_debit", "5200828282828210", "mastercard", "debit"),
    SUCCEEDS("pm_card_mastercard_prepaid", "5105105105105100", "mastercard", "prepaid"),
    SUCCEEDS("pm_card_amex", "378282246310005", "amex", "credit"),
    SUCCEEDS("pm_card_discover", "6011111111111117", "discover", "credit"),
    SUCCEEDS("pm_card_diners", "3056930009020004", "diners", "credit"),
    SUCCEEDS("pm_card_jcb", "3566002020360505", "jcb", "credit"),
    SUCCEEDS("pm_card_unionpay", "6200000000000005", "unionpay", "credit"),
    DECLINES("pm_card_visa_chargeDeclined", "4000000000000002", GENERIC),
    DECLINES("pm_card_visa_chargeDeclinedInsufficientFunds", "4000000000009995", FUNDS),
    DECLINES("pm_card_visa_chargeDeclinedLostCard", "4000000000009987", LOST),
    DECLINES("pm_card_visa_chargeDeclinedStolenCard", "4000000000009979", STOLEN),
    DECLINES("pm_card_chargeDeclinedFraudulent", "4100000000000019", FRAUD),
    DECLINES("pm_card_visa_chargeDeclinedVelocityLimitExceeded", "4000000000006975", VELOCITY),
    DECLINES("pm_card_chargeDeclinedExpiredCard", "4000000000000069", EXPIRED),
    DECLINES("pm_card_chargeDeclinedIncorrectCvc", "4000000000000127", CVC),
    DECLINES("pm_card_chargeDeclinedProcessingError", "4000000000000119", PROCESSING),
    {"pm_card_authenticationRequired", "4000002760003184", "visa", "credit", NULL, true,
     CARD_REFUND_SUCCEEDS},
    {"pm_card_threeDSecure2Required", "4000000000003220", "visa", "credit", NULL, true,
     CARD_REFUND_SUCCEEDS},
    {"pm_card_threeDSecureRequired", "4000000000003063", "visa", "credit", NULL, true,
     CARD_REFUND_SUCCEEDS},
    {"pm_card_threeDSecureRequiredChargeDeclined", "4000008400001629", "visa", "credit",
     &declines[GENERIC], true, CARD_REFUND_SUCCEEDS},
    {"pm_card_authenticationRequiredChargeDeclinedInsufficientFunds", "4000008260003178", "visa",
     "credit", &declines[FUNDS], true, CARD_REFUND_SUCCEEDS},
    {"pm_card_pendingRefund", "4000000000007726", "visa", "credit", NULL, false,
     CARD_REFUND_SUCCEEDS_LATER},
    {"pm_card_refundFail", "4000000000005126", "visa", "credit", NULL, false,
     CARD_REFUND_FAILS_LATER},
};

/* Other names under which Stripe publishes the same card. */
static const struct {
    const char *token, *same_as;
} aliases[] = {
    {"pm_card_chargeDeclined", "pm_card_visa_chargeDeclined"},
    {"pm_card_chargeDeclinedInsufficientFunds", "pm_card_visa_chargeDeclinedInsufficientFunds"},
    {"pm_card_chargeDeclinedLostCard", "pm_card_visa_chargeDeclinedLostCard"},
    {"pm_card_chargeDeclinedStolenCard", "pm_card_visa_chargeDeclinedStolenCard"},
    {"pm_card_visa_chargeDeclinedExpiredCard", "pm_card_chargeDeclinedExpiredCard"},
    {"pm_card_visa_chargeDeclinedFraudulent", "pm_card_chargeDeclinedFraudulent"},
    {"pm_card_visa_chargeDeclinedIncorrectCvc", "pm_card_chargeDeclinedIncorrectCvc"},
    {"pm_card_visa_chargeDeclinedProcessingError", "pm_card_chargeDeclinedProcessingError"},
    {"pm_card_us", "pm_card_visa"},
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

const struct decline *decline_find(const char *name)
{
    for (size_t i = 0; i < COUNT(declines); i++) {
        if (strcmp(declines[i].name, name) == 0) {
            return &declines[i];
        }
    }
    for (size_t i = 0; i < COUNT(declines); i++) {
        if (strcmp(declines[i].code, name) == 0) {
            return &declines[i];
        }
    }
    return NULL;
}

const struct card *card_by_token(const char *token)
{
    for (size_t i = 0; i < COUNT(cards); i++) {
        if (strcmp(cards[i].token, token) == 0) {
            return &cards[i];
        }
    }
    for (size_t i = 0; i < COUNT(aliases); i++) {
        if (strcmp(aliases[i].token, token) == 0) {
            return card_by_token(aliases[i].same_as);
        }
    }
    return NULL;
}

const struct card *card_by_number(const char *digits)
{
    for (size_t i = 0; i < COUNT(cards); i++) {
        if (strcmp(cards[i].number, digits) == 0) {
            return &cards[i];
        }
    }
    return NULL;
}

size_t card_count(void)
{
    return COUNT(cards);
}

const struct card *card_at(size_t i)
{
    return &cards[i];
}

const char *card_last4(const struct card *card)
{
    return card->number + strlen(card->number) - 4;
}

const char *card_brand_name(const struct card *card)
{
    static const struct {
        const char *brand, *name;
    } names[] = {
        {"visa", "Visa"},         {"mastercard", "Mastercard"}, {"amex", "American Express"},
        {"discover", "Discover"}, {"diners", "Diners Club"},    {"jcb", "JCB"},
        {"unionpay", "UnionPay"},
    };

    for (size_t i = 0; i < COUNT(names); i++) {
        if (strcmp(names[i].brand, card->brand) == 0) {
            return names[i].name;
        }
    }
    return card->brand;
}

void card_fingerprint(const struct card *card, char out[17])
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    uint64_t hash = UINT64_C(14695981039346656037);

    for (const char *p = card->token; *p != '\0'; p++) {
        hash = (hash ^ (uint8_t)*p) * UINT64_C(1099511628211);
    }
    for (int i = 0; i < 16; i++) {
        hash = hash * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        out[i] = alphabet[(hash >> 33) % 62];
    }
    out[16] = '\0';
}

#define HALF(code)                                                                                 \
    {                                                                                              \
        code, 2, 50, "0.50"                                                                        \
    }
#define ZERO(code)                                                                                 \
    {                                                                                              \
        code, 0, 1, "1"                                                                            \
    }
#define THREE(code)                                                                                \
    {                                                                                              \
        code, 3, 10, "0.010"                                                                       \
    }
#define LEAST(c, d, n, t)                                                                          \
    {                                                                                              \
        c, d, n, t                                                                                 \
    }

/* Minimum amounts after https://docs.stripe.com/currencies; where Stripe names none, the smallest
 * amount that it can represent. ISK and UGX have two digits there, MGA none, whatever ISO 4217
 * says. */
static const struct currency currencies[] = {
    HALF("usd"),
    LEAST("aed", 2, 200, "2.00"),
    HALF("afn"),
    HALF("all"),
    HALF("amd"),
    HALF("ang"),
    HALF("aoa"),
    HALF("ars"),
    HALF("aud"),
    HALF("awg"),
    HALF("azn"),
    HALF("bam"),
    HALF("bbd"),
    HALF("bdt"),
    LEAST("bgn", 2, 100, "1.00"),
    THREE("bhd"),
    ZERO("bif"),
    HALF("bmd"),
    HALF("bnd"),
    HALF("bob"),
    HALF("brl"),
    HALF("bsd"),
    HALF("bwp"),
    HALF("byn"),
    HALF("bzd"),
    HALF("cad"),
    HALF("cdf"),
    HALF("chf"),
    ZERO("clp"),
    HALF("cny"),
    HALF("cop"),
    HALF("crc"),
    HALF("cve"),
    LEAST("czk", 2, 1500, "15.00"),
    ZERO("djf"),
    LEAST("dkk", 2, 250, "2.50"),
    HALF("dop"),
    HALF("dzd"),
    HALF("egp"),
    HALF("etb"),
    HALF("eur"),
    HALF("fjd"),
    HALF("fkp"),
    LEAST("gbp", 2, 30, "0.30"),
    HALF("gel"),
    HALF("gip"),
    HALF("gmd"),
    ZERO("gnf"),
    HALF("gtq"),
    HALF("gyd"),
    LEAST("hkd", 2, 400, "4.00"),
    HALF("hnl"),
    HALF("htg"),
    LEAST("huf", 2, 17500, "175.00"),
    HALF("idr"),
    HALF("ils"),
    HALF("inr"),
    HALF("isk"),
    HALF("jmd"),
    THREE("jod"),
    LEAST("jpy", 0, 50, "50"),
    HALF("kes"),
    HALF("kgs"),
    HALF("khr"),
    ZERO("kmf"),
    ZERO("krw"),
    THREE("kwd"),
    HALF("kyd"),
    HALF("kzt"),
    HALF("lak"),
    HALF("lbp"),
    HALF("lkr"),
    HALF("lrd"),
    HALF("lsl"),
    HALF("mad"),
    HALF("mdl"),
    ZERO("mga"),
    HALF("mkd"),
    HALF("mmk"),
    HALF("mnt"),
    HALF("mop"),
    HALF("mur"),
    HALF("mvr"),
    HALF("mwk"),
    LEAST("mxn", 2, 1000, "10.00"),
    LEAST("myr", 2, 200, "2.00"),
    HALF("mzn"),
    HALF("nad"),
    HALF("ngn"),
    HALF("nio"),
    LEAST("nok", 2, 300, "3.00"),
    HALF("npr"),
    HALF("nzd"),
    THREE("omr"),
    HALF("pab"),
    HALF("pen"),
    HALF("pgk"),
    HALF("php"),
    HALF("pkr"),
    LEAST("pln", 2, 200, "2.00"),
    ZERO("pyg"),
    HALF("qar"),
    LEAST("ron", 2, 200, "2.00"),
    HALF("rsd"),
    HALF("rub"),
    ZERO("rwf"),
    HALF("sar"),
    HALF("sbd"),
    HALF("scr"),
    LEAST("sek", 2, 300, "3.00"),
    HALF("sgd"),
    HALF("shp"),
    HALF("sle"),
    HALF("sos"),
    HALF("srd"),
    HALF("std"),
    HALF("szl"),
    LEAST("thb", 2, 1000, "10.00"),
    HALF("tjs"),
    THREE("tnd"),
    HALF("top"),
    HALF("try"),
    HALF("ttd"),
    HALF("twd"),
    HALF("tzs"),
    HALF("uah"),
    HALF("ugx"),
    HALF("uyu"),
    HALF("uzs"),
    ZERO("vnd"),
    ZERO("vuv"),
    HALF("wst"),
    ZERO("xaf"),
    HALF("xcd"),
    ZERO("xof"),
    ZERO("xpf"),
    HALF("yer"),
    HALF("zar"),
    HALF("zmw"),
};

const struct currency *currency_find(const char *code)
{
    for (size_t i = 0; i < COUNT(currencies); i++) {
        if (strcmp(currencies[i].code, code) == 0) {
            return &currencies[i];
        }
    }
    return NULL;
}

const char *currency_names(void)
{
    static char names[COUNT(currencies) * 5 + 1];

    if (names[0] == '\0') {
        char *at = names;

        for (size_t i = 0; i < COUNT(currencies); i++) {
            if (i > 0) {
                *at++ = ',';
                *at++ = ' ';
            }
            memcpy(at, currencies[i].code, 3);
            at += 3;
        }
    }
    return names;
}
