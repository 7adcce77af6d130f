/*
 * Redis: one pipelined async connection on the event loop, with deadlines and reconnection. The
 * only file that includes hiredis.
 *
 * A command is an `op` with two owners: hiredis (until its callback) and the list of waiting ops
 * (until its caller was told). The caller is told once: by the reply, the deadline or the loss.
 */
#include "redis.h"

#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#define LOG_AREA "redis"
#include "../base/log.h"
#include "../base/mem.h"

#define BACKOFF_MS_MIN 50
#define BACKOFF_MS_MAX 2000
#define CONNECT_MS_MAX 2000

struct op {
    struct op *next, *prev;
    struct redis *redis;
    redis_fn fn;
    void *ctx;
    int64_t deadline_ms; /* monotonic; 0: none */
};

struct redis {
    struct loop *loop;
    char *socket, *user, *password;
    int64_t timeout_ms;
    loop_fn on_ready;
    void *ctx;
    redisAsyncContext *ac;
    bool ready, closing;
    int64_t backoff_ms;
    struct op waiting;           /* list head; deadlines ascend along it */
    struct loop_timer *deadline; /* of the oldest waiting op, or of the connect */
    struct loop_timer *reconnect;
};

static void connect_start(void *arg);

static void op_unlink(struct op *op)
{
    op->prev->next = op->next;
    op->next->prev = op->prev;
    op->next = op->prev = NULL;
}

/* Tells the caller, once. The op lives on until hiredis is done with it. */
static void op_tell(struct op *op, const redisReply *reply)
{
    redis_fn fn = op->fn;

    op_unlink(op);
    op->fn = NULL;
    if (fn != NULL)
        fn(op->ctx, reply);
}

static void on_reply(redisAsyncContext *ac, void *r, void *arg)
{
    struct op *op = arg;

    (void)ac;
    if (op->next != NULL)
        op_tell(op, r);
    free(op);
}

static void deadline_arm(struct redis *redis)
{
    struct op *first = redis->waiting.next;
    int64_t left_ms;

    if (first == &redis->waiting || first->deadline_ms == 0) {
        loop_timer_disarm(redis->deadline);
        return;
    }
    left_ms = first->deadline_ms - clock_monotonic_ms();
    loop_timer_arm(redis->deadline, left_ms > 0 ? left_ms : 0);
}

/* Gives the connection up; hiredis answers every pending callback with NULL. */
static void drop(struct redis *redis)
{
    redisAsyncContext *ac = redis->ac;

    redis->ready = false;
    redis->ac = NULL;
    if (ac != NULL)
        redisAsyncFree(ac);
}

static void reconnect_later(struct redis *redis)
{
    int64_t jitter_ms = random() % (redis->backoff_ms / 2 + 1);

    redis->ready = false;
    loop_timer_disarm(redis->deadline);
    if (redis->closing)
        return;
    loop_timer_arm(redis->reconnect, redis->backoff_ms + jitter_ms);
    redis->backoff_ms *= 2;
    if (redis->backoff_ms > BACKOFF_MS_MAX)
        redis->backoff_ms = BACKOFF_MS_MAX;
}

/* A server that has not answered in time is not trusted with later replies either. */
static void on_deadline(void *arg)
{
    struct redis *redis = arg;
    struct op *first = redis->waiting.next;

    if (redis->ready && (first == &redis->waiting || first->deadline_ms == 0 ||
                         first->deadline_ms > clock_monotonic_ms())) {
        deadline_arm(redis);
        return;
    }
    log_warn("%s has not answered in time", redis->socket);
    drop(redis);
    reconnect_later(redis);
}

static void on_disconnect(const redisAsyncContext *ac, int status)
{
    struct redis *redis = ac->data;

    if (redis->ac != ac)
        return; /* dropped by us */
    log_warn("connection to %s lost%s%s", redis->socket, status == REDIS_OK ? "" : ": ",
             status == REDIS_OK ? "" : ac->errstr);
    redis->ac = NULL; /* hiredis frees it after this callback */
    reconnect_later(redis);
}

static void ready(struct redis *redis)
{
    redis->ready = true;
    redis->backoff_ms = BACKOFF_MS_MIN;
    deadline_arm(redis);
    log_info("connected to %s", redis->socket);
    if (redis->on_ready != NULL)
        redis->on_ready(redis->ctx);
}

static void on_auth(redisAsyncContext *ac, void *r, void *arg)
{
    struct redis *redis = arg;
    const redisReply *reply = r;

    if (redis->ac != ac)
        return;
    if (reply == NULL)
        return; /* on_disconnect follows */
    if (reply->type == REDIS_REPLY_ERROR) {
        log_error("user %s is not let in at %s: check its password file", redis->user,
                  redis->socket);
        drop(redis);
        reconnect_later(redis);
        return;
    }
    ready(redis);
}

static void on_connect(const redisAsyncContext *ac, int status)
{
    struct redis *redis = ac->data;

    if (redis->ac != ac)
        return;
    if (status != REDIS_OK) {
        log_warn("%s cannot be reached: %s", redis->socket, ac->errstr);
        redis->ac = NULL;
        reconnect_later(redis);
        return;
    }
    if (redis->user == NULL) {
        ready(redis);
        return;
    }
    if (redisAsyncCommand(redis->ac, on_auth, redis, "AUTH %s %s", redis->user,
                          redis->password != NULL ? redis->password : "") != REDIS_OK) {
        drop(redis);
        reconnect_later(redis);
    }
}

static void connect_start(void *arg)
{
    struct redis *redis = arg;
    redisAsyncContext *ac = redisAsyncConnectUnix(redis->socket);

    if (ac == NULL)
        fatal("out of memory");
    if (ac->err != 0) {
        log_warn("%s cannot be reached: %s", redis->socket, ac->errstr);
        redisAsyncFree(ac);
        reconnect_later(redis);
        return;
    }
    ac->data = redis;
    if (redisLibeventAttach(ac, loop_base(redis->loop)) != REDIS_OK)
        fatal("the connection to Redis could not be watched");
    redisAsyncSetDisconnectCallback(ac, on_disconnect);
    redis->ac = ac;
    loop_timer_arm(redis->deadline, CONNECT_MS_MAX);
    redisAsyncSetConnectCallback(ac, on_connect);
}

static char *copy_or_null(const char *text)
{
    return text == NULL || text[0] == '\0' ? NULL : mem_strdup(text);
}

struct redis *redis_new(struct loop *loop, const struct redis_options *options)
{
    struct redis *redis = mem_alloc(sizeof *redis);

    redis->loop = loop;
    redis->socket = mem_strdup(options->socket);
    redis->user = copy_or_null(options->user);
    redis->password = copy_or_null(options->password);
    redis->timeout_ms = options->timeout_ms;
    redis->on_ready = options->on_ready;
    redis->ctx = options->ctx;
    redis->backoff_ms = BACKOFF_MS_MIN;
    redis->waiting.next = redis->waiting.prev = &redis->waiting;
    redis->deadline = loop_timer_new(loop, on_deadline, redis);
    redis->reconnect = loop_timer_new(loop, connect_start, redis);
    connect_start(redis);
    return redis;
}

void redis_free(struct redis *redis)
{
    if (redis == NULL)
        return;
    redis->closing = true;
    drop(redis);
    loop_timer_free(redis->deadline);
    loop_timer_free(redis->reconnect);
    free(redis->socket);
    free(redis->user);
    if (redis->password != NULL)
        explicit_bzero(redis->password, strlen(redis->password));
    free(redis->password);
    free(redis);
}

bool redis_ready(const struct redis *redis)
{
    return redis->ready;
}

enum result redis_command(struct redis *redis, const struct redis_arg *args, size_t n, redis_fn fn,
                          void *ctx)
{
    const char **data;
    size_t *lens;
    struct op *op;
    int status;

    if (!redis->ready)
        return RESULT_RETRY;
    data = mem_alloc(n * sizeof *data);
    lens = mem_alloc(n * sizeof *lens);
    for (size_t i = 0; i < n; i++) {
        data[i] = args[i].data;
        lens[i] = args[i].len;
    }
    op = mem_alloc(sizeof *op);
    op->redis = redis;
    op->fn = fn;
    op->ctx = ctx;
    op->deadline_ms = redis->timeout_ms > 0 ? clock_monotonic_ms() + redis->timeout_ms : 0;
    op->prev = redis->waiting.prev;
    op->next = &redis->waiting;
    op->prev->next = op->next->prev = op;
    status = redisAsyncCommandArgv(redis->ac, on_reply, op, (int)n, data, lens);
    free(data);
    free(lens);
    if (status != REDIS_OK) { /* no callback will come */
        op_unlink(op);
        free(op);
        return RESULT_RETRY;
    }
    if (op->prev == &redis->waiting)
        deadline_arm(redis);
    return RESULT_OK;
}

const char *redis_reply_error(const struct redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR ? reply->str : NULL;
}

struct redis_args {
    struct redis_arg *arg;
    size_t count, room;
};

struct redis_args *redis_args_new(void)
{
    return mem_alloc(sizeof(struct redis_args));
}

void redis_args_bytes(struct redis_args *a, const void *data, size_t len)
{
    char *copy = mem_alloc(len + 1);

    if (len > 0)
        memcpy(copy, data, len);
    if (a->count == a->room) {
        a->room = a->room > 0 ? a->room * 2 : 16;
        a->arg = mem_realloc(a->arg, a->room * sizeof *a->arg);
    }
    a->arg[a->count++] = (struct redis_arg){copy, len};
}

void redis_args_text(struct redis_args *a, const char *text)
{
    redis_args_bytes(a, text, strlen(text));
}

void redis_args_int(struct redis_args *a, int64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%lld", (long long)value);
    redis_args_text(a, text);
}

void redis_args_free(struct redis_args *a)
{
    for (size_t i = 0; i < a->count; i++)
        free((char *)a->arg[i].data);
    free(a->arg);
    free(a);
}

enum result redis_send_take(struct redis *redis, struct redis_args *a, redis_fn fn, void *ctx)
{
    enum result result = redis_command(redis, a->arg, a->count, fn, ctx);

    redis_args_free(a);
    return result;
}
