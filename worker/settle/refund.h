/* Refunds that PostgreSQL has reserved: made at the gateway with the caller's key, then booked. */
#ifndef PAYLINK_SETTLE_REFUND_H
#define PAYLINK_SETTLE_REFUND_H

#include "../base/settings.h"
#include "../gateway/gateway.h"
#include "../io/loop.h"
#include "../io/pg.h"
#include "../outbox/outbox.h"

struct refund;

struct refund_options {
    const struct settings *settings;
    struct pg *pg; /* all borrowed */
    struct gateway *gateway;
    struct outbox *outbox;
};

struct refund *refund_new(struct loop *loop, const struct refund_options *options);
/* Looks for reserved refunds at once. */
void refund_kick(struct refund *r);
void refund_stop(struct refund *r);
/* After gateway_free(). */
void refund_free(struct refund *r);

#endif
