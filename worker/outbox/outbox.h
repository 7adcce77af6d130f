/*
 * What PostgreSQL wants published: rows of the outbox, claimed, sent to Redis, then marked as done.
 * Woken by NOTIFY, by outbox_kick() after a booking, and by a timer for what a dead worker left.
 */
#ifndef PAYLINK_OUTBOX_OUTBOX_H
#define PAYLINK_OUTBOX_OUTBOX_H

#include "../base/settings.h"
#include "../io/loop.h"
#include "../io/pg.h"
#include "../io/redis.h"
#include "publish.h"

struct outbox;

struct outbox_options {
    const struct settings *settings;
    const struct publisher *publisher; /* borrowed */
    loop_fn on_notify;                 /* any notification of PostgreSQL: refunds may wait too */
    void *ctx;
};

struct outbox *outbox_new(struct loop *loop, const struct outbox_options *options);
void outbox_free(struct outbox *outbox);

/* Publishes at once, or a moment later, together with what comes until then. */
void outbox_kick(struct outbox *outbox);
void outbox_hint(struct outbox *outbox);
/* True while something waits to be published, as far as is known. */
bool outbox_busy(const struct outbox *outbox);

#endif
