/*
 * Delivery of events to `sandbox_webhook_url`, signed as Stripe does
 * (https://docs.stripe.com/webhooks#verify-manually), repeated until a 2xx reply or 72 hours have
 * passed. What was delivered is in the charge log, so that a restart goes on with the rest.
 */
#ifndef PAYLINK_SANDBOX_WEBHOOKS_H
#define PAYLINK_SANDBOX_WEBHOOKS_H

#include "../io/loop.h"
#include "events.h"

#define WEBHOOK_RUNNING_MAX 8
#define WEBHOOK_WAITING_MAX 100000
#define WEBHOOK_TIMEOUT_MS  10000
#define WEBHOOK_KEPT_MS     (INT64_C(72) * 3600 * 1000)

struct webhooks;

/* `url` and `secret` are borrowed; `secret` may be NULL: then events are not signed. Events that
 * are not marked as delivered in the log and are young enough are sent at once. */
struct webhooks *webhooks_new(struct loop *loop, struct events *events, const char *url,
                              const char *secret);
void webhooks_free(struct webhooks *webhooks);
/* Tells that there are new events. */
void webhooks_wake(struct webhooks *webhooks);

/* `t=…,v1=…` for a body; `out` gets at most 128 characters. */
#define WEBHOOK_SIGNATURE_SIZE 128
void webhook_signature(const char *secret, int64_t at_seconds, const char *body, size_t len,
                       char out[WEBHOOK_SIGNATURE_SIZE]);

#endif
