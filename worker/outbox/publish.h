/*
 * Snapshots of links and attempts, as link_snapshot() and attempt_snapshot() of sql/ give them,
 * made into what the edge prints (amounts and dates in the payer's locale) and sent to Redis.
 */
#ifndef PAYLINK_OUTBOX_PUBLISH_H
#define PAYLINK_OUTBOX_PUBLISH_H

#include <stdbool.h>

#include "../document/words.h"
#include "../io/json.h"
#include "../io/redis.h"
#include "library.h"

/* What it takes to publish; all borrowed. */
struct publisher {
    struct redis *redis;
    struct library *library;
    const struct words *words;
    bool mail; /* new links can be mailed: the masked address is published */
};

typedef void (*publish_fn)(void *ctx, bool ok);

/* Arrays of snapshots; each may be NULL. */
struct publish_set {
    const json_t *links, *attempts, *brands; /* link_snapshot(), attempt_snapshot(), … */
    const json_t *texts; /* link_snapshot() of links that say it in one more language: `lang` */
};

/*
 * The arrays are borrowed. `fn` is called exactly once, when
 * every reply is there; ok means that Redis has it all (a newer version may have won). It may be
 * called from inside when there is nothing to send or Redis is away.
 */
void publish_send(const struct publisher *publisher, const struct publish_set *set, publish_fn fn,
                  void *ctx);

/* What Redis keeps for a while, named by what it shows; see document.h. */
struct document {
    uint8_t name[16];
    const char *type; /* "pdf", "png" */
    uint8_t *body;
    size_t len;
};

/* The document is borrowed; `fn` as with publish_send(). */
void publish_document(const struct publisher *publisher, const struct document *document,
                      publish_fn fn, void *ctx);

/* "Visa •••• 4242"; false when the snapshot tells of no card. */
bool publish_card(const json_t *snapshot, char *out, size_t size);

#endif
