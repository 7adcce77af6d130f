/*
 * Redis: one pipelined async connection on the event loop. Only redis.c includes hiredis.
 * Reconnects by itself (back-off 50 ms … 2 s with jitter).
 */
#ifndef PAYLINK_IO_REDIS_H
#define PAYLINK_IO_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/result.h"
#include "loop.h"

struct redis;
struct redisReply;

struct redis_arg {
    const char *data;
    size_t len;
};

/*
 * Called exactly once for every command: with the reply (valid during the call only), or with
 * NULL when the connection was lost or the deadline passed before it came (the command may have
 * run).
 */
typedef void (*redis_fn)(void *ctx, const struct redisReply *reply);

/* The text of an error reply, NULL for any other reply. */
const char *redis_reply_error(const struct redisReply *reply);

struct redis_options {
    const char *socket;   /* unix socket path */
    const char *user;     /* NULL: default user, no AUTH */
    const char *password; /* NULL: no AUTH */
    int64_t timeout_ms;   /* deadline of a command; 0: none (blocking reads) */
    loop_fn on_ready;     /* each time the connection is usable (after AUTH); may be NULL */
    void *ctx;
};

/* Option strings are copied. Starts connecting. */
struct redis *redis_new(struct loop *loop, const struct redis_options *options);
/* Pending callbacks get NULL first. */
void redis_free(struct redis *redis);
bool redis_ready(const struct redis *redis);

/* RESULT_RETRY when not connected: then `fn` is NOT called. `fn` may be NULL (reply ignored). */
enum result redis_command(struct redis *redis, const struct redis_arg *args, size_t n, redis_fn fn,
                          void *ctx) MUST_CHECK;

/* Growing argument list; the bytes are copied into it. */
struct redis_args;
struct redis_args *redis_args_new(void);
void redis_args_text(struct redis_args *a, const char *text);
void redis_args_bytes(struct redis_args *a, const void *data, size_t len);
void redis_args_int(struct redis_args *a, int64_t value);
void redis_args_free(struct redis_args *a);
/* Sends it and frees it in any case. */
enum result redis_send_take(struct redis *redis, struct redis_args *a, redis_fn fn,
                            void *ctx) MUST_CHECK;

#endif
