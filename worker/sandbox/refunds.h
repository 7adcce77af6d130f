/* Refunds of charges: whole or in part, never more than was captured; and the results that come
 * later. */
#ifndef PAYLINK_SANDBOX_REFUNDS_H
#define PAYLINK_SANDBOX_REFUNDS_H

#include "call.h"
#include "store.h"

#define REFUND_LATER_MS 2000

void refunds_create(struct call *call, struct store *store);
void refunds_retrieve(struct call *call, struct store *store, const char *id);
void refunds_list(struct call *call, struct store *store);

/* Gives the refunds of the cards that answer late their second result, REFUND_LATER_MS after the
 * first. Returns how many still wait. */
size_t refunds_settle_later(struct store *store);

#endif
