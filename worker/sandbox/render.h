/* Stripe's objects as JSON, in the shape of API version 2022-11-15. */
#ifndef PAYLINK_SANDBOX_RENDER_H
#define PAYLINK_SANDBOX_RENDER_H

#include "call.h"
#include "store.h"
#include "writer.h"

#define RENDER_API_VERSION "2022-11-15"

/* `state` may be an earlier one; `refunded_minor` belongs to its charge. */
void render_intent(struct writer *w, const struct store *store, const struct intent *intent,
                   const struct intent_state *state, int64_t refunded_minor, unsigned expand);
void render_charge(struct writer *w, const struct store *store, const struct charge *charge,
                   int64_t refunded_minor, unsigned expand);
void render_refund(struct writer *w, const struct store *store, const struct refund *refund,
                   enum refund_status status, unsigned expand);
/* `intent` and `number` name a built-in method; `intent` may be NULL for others. */
void render_method(struct writer *w, const struct intent *intent, const struct method *method,
                   int number);

/* The reply that a change gave: the object, or for a failed confirmation (402) the error with it.
 */
void render_change_reply(struct call *call, const struct store *store, const struct change *change,
                         int status, unsigned expand);

#endif
