/* What a reply of the Stripe API means. */
#ifndef PAYLINK_GATEWAY_STRIPE_REPLY_H
#define PAYLINK_GATEWAY_STRIPE_REPLY_H

#include "../io/http.h"
#include "../io/json.h"
#include "gateway.h"

enum stripe_call { STRIPE_CHARGE, STRIPE_RETRIEVE, STRIPE_CANCEL, STRIPE_REFUND };

/* A result, and what its strings point into. */
struct stripe_result {
    struct gateway_result result;
    json_t *json; /* stripe_result_free() */
    char currency[4];
};

void stripe_result_read(enum stripe_call call, const struct http_reply *reply,
                        struct stripe_result *out);
void stripe_result_free(struct stripe_result *result);

/* One object of a list; `result->json` stays NULL, strings are borrowed from `object`. */
void stripe_intent_read(const json_t *object, struct stripe_result *out);
void stripe_refund_read(const json_t *object, struct stripe_result *out);

#endif
