/* Entries of one kind of stream into one SQL function, in batches: acknowledged once they are
 * committed, taken apart when SQL rejects one. Decides nothing. */
#ifndef PAYLINK_OUTBOX_KEEP_H
#define PAYLINK_OUTBOX_KEEP_H

#include "../base/settings.h"
#include "../io/json.h"
#include "../io/loop.h"
#include "../io/pg.h"
#include "../io/redis.h"
#include "../io/stream.h"

struct keep;

/* An element of the batch made of an entry, or NULL: it goes to the dead letters. */
typedef json_t *(*keep_fn)(void *ctx, const struct stream_entry *entry);

struct keep_options {
    const struct settings *settings;
    struct pg *pg;       /* borrowed */
    struct redis *redis; /* borrowed */
    struct redis_options connection;
    const char *kind;      /* of the stream */
    const char *function;  /* "paylink.…": takes the batch, idempotent by what it names */
    const char *failpoint; /* passed before every batch */
    keep_fn fn;            /* may be called again for the same entry */
    void *ctx;
};

struct keep *keep_new(struct loop *loop, const struct keep_options *options);
void keep_stop(struct keep *k);
void keep_free(struct keep *k);

#endif
