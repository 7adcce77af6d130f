/*
 * Idempotency-Key, as Stripe's API reference describes it: the first request's result is kept for
 * 24 hours and given again; other parameters are an error; so is a request while the first still
 * runs. Refusals of the parameters themselves are not kept.
 */
#ifndef PAYLINK_SANDBOX_IDEMPOTENCY_H
#define PAYLINK_SANDBOX_IDEMPOTENCY_H

#include "call.h"
#include "store.h"

#define IDEMPOTENCY_KEY_CHARS_MAX 255
#define IDEMPOTENCY_KEPT_MS       (INT64_C(24) * 3600 * 1000)

/* A request with a key that is being worked on. */
struct idempotency_running {
    struct idempotency_running *next;
    const struct saved_reply *save; /* holds the key; NULL: not in the list */
};

/*
 * For a POST with `key`. True: go on, call->save is set and `entry` stands in the list until
 * idempotency_end(). False: the reply is made.
 */
bool idempotency_begin(struct call *call, struct store *store, const char *key,
                       struct idempotency_running **list, struct idempotency_running *entry);
void idempotency_end(struct idempotency_running **list, struct idempotency_running *entry);
void saved_reply_free(struct saved_reply *reply);

#endif
