/* Payment methods: tokens for the published test cards. Nothing of a card but its place in that
 * table, its expiry date and the holder's name is kept. */
#ifndef PAYLINK_SANDBOX_METHODS_H
#define PAYLINK_SANDBOX_METHODS_H

#include "call.h"
#include "store.h"

void methods_create(struct call *call, struct store *store);
void methods_retrieve(struct call *call, struct store *store, const char *id);

/* What a card form gives. Strings are borrowed; NULL or "": not given. */
struct card_entry {
    const char *number, *exp_month, *exp_year, *cvc, *name;
};

struct card_problem {
    const char *code, *param; /* param: number, exp_month, exp_year, cvc */
    const char *decline_code; /* or NULL */
    const char *message;
};

/* The new method, not yet in the store, or NULL with *problem. */
struct method *method_from_card(const struct card_entry *entry, int64_t now_ms,
                                struct card_problem *problem);
/* Puts it into the store. */
const struct change *method_save(struct store *store, struct method *method_take,
                                 const char *request, struct saved_reply *reply_take);

#endif
