/*
 * Links, results and documents that the edge asks for because Redis does not have them (any more):
 * the `want` streams, answered from PostgreSQL.
 */
#ifndef PAYLINK_OUTBOX_HYDRATE_H
#define PAYLINK_OUTBOX_HYDRATE_H

#include "../base/settings.h"
#include "../io/loop.h"
#include "../io/redis.h"
#include "publish.h"

struct hydrate;

struct hydrate_options {
    const struct settings *settings;
    const struct publisher *publisher; /* borrowed */
    struct redis_options connection;   /* for the stream's own connection */
    loop_fn on_payer_back;             /* an attempt that waits for its payer was asked for */
    void *ctx;
};

struct hydrate *hydrate_new(struct loop *loop, const struct hydrate_options *options);
void hydrate_stop(struct hydrate *h); /* takes nothing new */
void hydrate_free(struct hydrate *h);

#endif
