/*
 * Facts on their way from the gateway into the books, in batches. One that SQL rejects does not
 * hold up the others; while the database is away they wait. Knows nothing of what they say.
 */
#ifndef PAYLINK_SETTLE_BOOKING_H
#define PAYLINK_SETTLE_BOOKING_H

#include "../io/loop.h"
#include "../io/pg.h"
#include "../outbox/outbox.h"

struct booking;

/* Everything is borrowed and outlives the booking. */
struct booking_options {
    struct pg *pg;
    struct outbox *outbox;
    const char *function;  /* "paylink.…": takes the batch, idempotent by what it names */
    const char *worker;    /* its first parameter; NULL: the batch is the only one */
    const char *receipts;  /* with worker: a third one behind the batch, "true" or "false" */
    const char *subject;   /* field of a fact that says what it is about, for logs */
    const char *failpoint; /* passed before every batch */
};

struct booking *booking_new(struct loop *loop, const struct booking_options *options);
/* Booked at the end of this turn of the loop. NULL: there is nothing to book. */
void booking_add_take(struct booking *b, json_t *fact);
/* Again what the database did not take before. */
void booking_retry(struct booking *b);
void booking_free(struct booking *b);

#endif
