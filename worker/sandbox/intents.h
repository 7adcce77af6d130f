/* Payment intents: create, confirm, cancel, retrieve, list; and the charges that they make. */
#ifndef PAYLINK_SANDBOX_INTENTS_H
#define PAYLINK_SANDBOX_INTENTS_H

#include "call.h"
#include "store.h"

void intents_create(struct call *call, struct store *store);
void intents_confirm(struct call *call, struct store *store, const char *id);
void intents_cancel(struct call *call, struct store *store, const char *id);
void intents_retrieve(struct call *call, struct store *store, const char *id);
void intents_list(struct call *call, struct store *store);
void charges_retrieve(struct call *call, struct store *store, const char *id);

/* The payer's answer on the bank's page. False if the intent does not wait for one. */
bool intent_authenticate(struct store *store, struct intent *intent, bool complete,
                         const char *request);

#endif
