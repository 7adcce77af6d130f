/*
 * What Paylink asks of a payment gateway. One implementation today: stripe.c, which speaks the
 * Stripe API to Stripe itself or to `paylink sandbox`.
 *
 * Outcomes are facts, never guesses: UNKNOWN means that the gateway may have acted.
 *
 * How replies become outcomes (https://docs.stripe.com/api/errors, .../error-low-level):
 *   no connection, 409, 429                  RETRY
 *   401, 403                                 RETRY, and an error in the log: the key is wrong
 *   no whole reply, 5xx, anything odd        UNKNOWN
 *   400 because the idempotency key was used with other parameters
 *                                            UNKNOWN: the earlier request may have charged
 *   402                                      DECLINED
 *   other 400, 404 of a charge or refund     DECLINED, reason invalid_request, and an error in the
 * log 404 of a retrieve or cancel              ABSENT A retrieve that brings no answer gives
 * UNKNOWN, whatever the cause: nothing new is known. An idempotency key lives 24 hours at the
 * gateway. Older charges and refunds must not be asked for again: look at retrieve and the lists
 * instead.
 */
#ifndef PAYLINK_GATEWAY_GATEWAY_H
#define PAYLINK_GATEWAY_GATEWAY_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/result.h"
#include "../io/http.h"
#include "../io/loop.h"

struct gateway;

enum gateway_outcome {
    GATEWAY_SUCCEEDED,       /* captured, refunded */
    GATEWAY_ACTION_REQUIRED, /* 3-D Secure: send the payer to action_url */
    GATEWAY_PROCESSING,      /* accepted, the result comes later: ask again */
    GATEWAY_DECLINED,        /* final: `reason` says why */
    GATEWAY_CANCELED,        /* final: will never capture */
    GATEWAY_RETRY,   /* certainly nothing happened (no connection, 429, 409): same key again */
    GATEWAY_UNKNOWN, /* may have happened: ask, never charge again */
    GATEWAY_ABSENT   /* the gateway knows no such object */
};

const char *gateway_outcome_name(enum gateway_outcome outcome);

/* All strings are borrowed during the callback; NULL when not given. */
struct gateway_result {
    enum gateway_outcome outcome;
    const char *id;        /* payment intent pi_…, refund re_… */
    const char *charge_id; /* ch_… */
    int64_t amount_minor;  /* captured or refunded */
    const char *currency;  /* upper case */
    const char *reason;    /* stable word: card_declined, insufficient_funds, expired_card,
                              incorrect_cvc, processing_error, authentication_failed;
                              invalid_request; of a refund: charge_already_refunded or the
                              gateway's failure_reason. Lost, stolen and suspicious cards are
                              card_declined: payers are not to be told more */
    const char *action_url;
    const char *card_brand; /* "visa" */
    const char *card_last4;
    const char *attempt; /* metadata[attempt]: our attempt uuid as text */
    int64_t retry_after_ms;
    int64_t created_ms;
};

typedef void (*gateway_fn)(void *ctx, const struct gateway_result *result);

struct gateway_charge {
    const char *attempt;  /* uuid text: idempotency key and metadata[attempt] */
    const char *link;     /* hex link id: metadata[link] */
    const char *merchant; /* uuid text: metadata[merchant] */
    const char *payment_method;
    int64_t amount_minor;
    const char *currency;       /* upper case */
    const char *description;    /* may be NULL, as what follows and link and merchant */
    const char *receipt_number; /* invoice numbers: metadata[invoices] */
    const char *return_url;
    int64_t
        start_before_ms; /* clock_monotonic_ms(): not sent after this, RETRY then; 0: any time */
};

struct gateway_options {
    const char *url;        /* API base, no trailing slash; copied */
    const char *secret_key; /* borrowed for the gateway's life */
    int64_t connections;
    int64_t timeout_ms;
};

/* gateway_free(): every call that still runs gets its callback first. */
struct gateway *gateway_new(struct loop *loop, const struct gateway_options *options);
void gateway_free(struct gateway *g);

/* Each calls `fn` exactly once, never from inside. */
void gateway_charge(struct gateway *g, const struct gateway_charge *charge, gateway_fn fn,
                    void *ctx);
void gateway_retrieve(struct gateway *g, const char *intent_id, gateway_fn fn, void *ctx);
void gateway_cancel(struct gateway *g, const char *intent_id, gateway_fn fn, void *ctx);
/* `refund_key` is the caller's id: metadata[refund], and with "refund-" before it the idempotency
 * key. */
void gateway_refund(struct gateway *g, const char *intent_id, int64_t amount_minor,
                    const char *currency, const char *refund_key, gateway_fn fn, void *ctx);

/*
 * Lists payment intents created at or after `since_ms`, newest first, page by page: `fn` for each
 * one (never with UNKNOWN: objects that cannot be read are left out and logged), then `done(ctx,
 * complete)`; complete = false when a page failed.
 */
typedef void (*gateway_list_done_fn)(void *ctx, bool complete);
void gateway_list(struct gateway *g, int64_t since_ms, gateway_fn fn, gateway_list_done_fn done,
                  void *ctx);
/* The same for refunds: result->id is re_…, result->attempt is metadata[refund]. */
void gateway_list_refunds(struct gateway *g, int64_t since_ms, gateway_fn fn,
                          gateway_list_done_fn done, void *ctx);

#endif
