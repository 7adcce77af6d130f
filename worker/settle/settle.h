/*
 * The pipeline of a payment: stream entries → registered attempts → gateway calls → booked →
 * published → acknowledged. Each step is safe to repeat; the acknowledgement comes last.
 */
#ifndef PAYLINK_SETTLE_SETTLE_H
#define PAYLINK_SETTLE_SETTLE_H

#include "../base/settings.h"
#include "../core/token.h"
#include "../gateway/gateway.h"
#include "../io/loop.h"
#include "../io/pg.h"
#include "../io/redis.h"
#include "../outbox/outbox.h"

struct settle;

struct settle_options {
    const struct settings *settings;
    const struct token_keys *keys; /* for the payer's way back from 3-D Secure */
    struct pg *pg;                 /* all of these are borrowed */
    struct redis *redis;
    struct redis_options connection; /* for the stream's own connection */
    struct gateway *gateway;
    struct outbox *outbox;
    loop_fn on_idle; /* after settle_stop(), when nothing is in flight any more */
    void *ctx;
};

struct settle *settle_new(struct loop *loop, const struct settle_options *options);
/* Takes nothing new; what is in flight is finished. */
void settle_stop(struct settle *s);
/* True when nothing is in flight and Redis has taken every acknowledgement. */
bool settle_flushed(const struct settle *s);
void settle_free(struct settle *s);

/*
 * Books what the gateway says of one attempt, as one element of attempt_settle()'s batch. NULL when
 * it says nothing that could be booked (ask again later).
 */
json_t *settle_fact(const char *attempt, const struct gateway_result *result);

#endif
