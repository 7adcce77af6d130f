/* Which endpoint a request is for. */
#ifndef PAYLINK_SANDBOX_ROUTE_H
#define PAYLINK_SANDBOX_ROUTE_H

#include "call.h"
#include "events.h"
#include "faults.h"
#include "pages.h"
#include "store.h"

struct route_table {
    struct store *store;
    struct events *events;
    struct faults faults;
    struct pages *pages;
    const char *secret_key;
};

/* True for the Stripe-compatible API (which wants a key), false for pages and /sandbox/. */
bool route_is_api(const struct call *call);
/* Checks `authorization` (the header, or NULL) for an API request; false after replying 401. */
bool route_authorized(const struct route_table *table, struct call *call,
                      const char *authorization);
/* Does the work and makes the reply. */
void route_call(struct route_table *table, struct call *call);

#endif
