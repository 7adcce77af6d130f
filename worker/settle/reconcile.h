/*
 * Attempts whose result is not known, or waits for the payer: asked for at the gateway on a
 * timetable, never guessed, never charged again. And a sweep of the gateway's own list, which finds
 * what no reply and no event ever told.
 */
#ifndef PAYLINK_SETTLE_RECONCILE_H
#define PAYLINK_SETTLE_RECONCILE_H

#include "../base/settings.h"
#include "../gateway/gateway.h"
#include "../io/loop.h"
#include "../io/pg.h"
#include "../outbox/outbox.h"

struct reconcile;

struct reconcile_options {
    const struct settings *settings;
    struct pg *pg; /* all borrowed */
    struct gateway *gateway;
    struct outbox *outbox;
};

struct reconcile *reconcile_new(struct loop *loop, const struct reconcile_options *options);
/* Looks for due attempts at once. */
void reconcile_kick(struct reconcile *r);
void reconcile_stop(struct reconcile *r);
/* After gateway_free(). */
void reconcile_free(struct reconcile *r);

#endif
