/*
 * One kind of Redis stream (submit, open, want), read by a consumer group over all shards, each
 * entry at least once: own unacknowledged entries first, then new ones; entries of consumers that
 * died are taken over. Knows the keys of the streams, not what the entries mean.
 *
 * What is out is kept from others by a heartbeat, which also forgets earlier deliveries: only
 * entries that take their worker down with them are counted as poison, not those that wait for a
 * gateway or a database.
 */
#ifndef PAYLINK_IO_STREAM_H
#define PAYLINK_IO_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop.h"
#include "redis.h"

#define STREAM_SHARDS         16
#define STREAM_DELIVERIES_MAX 10 /* then an entry is taken for poison */

struct stream;

struct stream_field {
    char *name, *value;
    size_t value_len;
};

struct stream_entry {
    struct stream_entry *next, **at; /* among those that the stream has given out */
    unsigned shard;
    char id[44];
    int64_t deliveries; /* 1: the first time; asked for only when delivered again */
    size_t count;
    struct stream_field field[];
};

/* The entries belong to the receiver until stream_ack(), stream_dead() or stream_release(). */
typedef void (*stream_fn)(void *ctx, struct stream_entry **entries, size_t n);

struct stream_options {
    const char *kind; /* "submit": keys paylink:{NN}:submit, dead letters in paylink:{NN}:dead */
    const char *consumer; /* unique among living workers, the same after a restart */
    int64_t claim_idle_ms;
    size_t room;         /* entries given out and not yet given back, before reading stops */
    struct redis *redis; /* borrowed: acknowledges and takes over */
    struct redis_options connection; /* for the blocking reads, made by the stream */
    stream_fn fn;
    void *ctx;
};

struct stream *stream_new(struct loop *loop, const struct stream_options *options);
/* Entries that are still out must be released first. */
void stream_free(struct stream *stream);

/* No further reads; what is out stays out. */
void stream_stop(struct stream *stream);
/* True when Redis has answered every acknowledgement. */
bool stream_flushed(const struct stream *stream);
/* While paused nothing is given out, as when the database is away. */
void stream_pause(struct stream *stream, bool paused);
size_t stream_out(const struct stream *stream);

/* Value of a field, NULL if the entry has none. NUL-terminated; may contain NULs. */
const struct stream_field *stream_field(const struct stream_entry *entry, const char *name);
/* The same, or NULL if it is missing or contains a NUL. */
const char *stream_text(const struct stream_entry *entry, const char *name);

/* XACK and XDEL; frees the entries. Lost with the connection, they are delivered again. */
void stream_ack(struct stream *stream, struct stream_entry **entries, size_t n);
/* Moves the entry to the dead letters, with the reason, and frees it. */
void stream_dead(struct stream *stream, struct stream_entry *entry, const char *why);
/* Frees the entry without acknowledging: it comes back after claim_idle_ms, here or elsewhere. */
void stream_release(struct stream *stream, struct stream_entry *entry);

#endif
