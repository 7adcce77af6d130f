
/*
 * Commands to Redis: one pipelined connection to the primary and one to its
 * replica, a deadline for each command that somebody waits for, and the
 * primary's clock.  Does not know what the commands mean.
 *
 * An op has two owners.  hiredis holds it until the reply has come or the
 * connection is lost; whoever waits holds it until the reply, its deadline or
 * its own end, whichever comes first.
 */


#include "ngx_http_paylink.h"


#define NGX_HTTP_PAYLINK_OPS_MAX         16384
#define NGX_HTTP_PAYLINK_STALL           5000
#define NGX_HTTP_PAYLINK_CLOCK_VALID     1000
#define NGX_HTTP_PAYLINK_CLOCK_JUMP      100


typedef struct ngx_http_paylink_redis_s  ngx_http_paylink_redis_t;


struct ngx_http_paylink_op_s {
    ngx_queue_t                     queue;      /* while somebody waits */
    ngx_http_paylink_op_pt          handler;    /* NULL: nobody waits */
    void                           *data;
    ngx_msec_t                      deadline;
    uint64_t                        sent_us;
    ngx_http_paylink_redis_t       *redis;
    ngx_http_paylink_op_t          *next;       /* in the free list */
};


struct ngx_http_paylink_redis_s {
    ngx_http_paylink_conn_t         conn;
    ngx_queue_t                     ops;        /* the oldest first */
    ngx_http_paylink_op_t          *free;
    ngx_uint_t                      unanswered;
    ngx_msec_t                      progress;   /* of the last reply */
    ngx_event_t                     timer;      /* deadline of the oldest */
    time_t                          reported;

    int64_t                         clock;      /* Redis' less ours, ms */
    ngx_msec_t                      clock_at;
    int64_t                         clock_wall;
    unsigned                        clock_set:1;
    unsigned                        clock_asked:1;
};


static ngx_http_paylink_op_t *ngx_http_paylink_op_alloc(
    ngx_http_paylink_redis_t *redis, ngx_http_paylink_op_pt handler,
    void *data);
static void ngx_http_paylink_op_free(ngx_http_paylink_op_t *op);
static void ngx_http_paylink_redis_reply(redisAsyncContext *ac, void *reply,
    void *data);
static void ngx_http_paylink_redis_ready(ngx_http_paylink_conn_t *conn);
static void ngx_http_paylink_redis_lost(ngx_http_paylink_conn_t *conn);
static void ngx_http_paylink_redis_told(redisAsyncContext *ac, void *reply,
    void *data);
static void ngx_http_paylink_redis_timer(ngx_event_t *ev);
static void ngx_http_paylink_redis_expire(ngx_http_paylink_op_t *op);
static void ngx_http_paylink_redis_resume(void *data, redisReply *reply);
static void ngx_http_paylink_redis_answered(ngx_http_paylink_redis_t *redis,
    redisReply *reply);
static void ngx_http_paylink_redis_waiting(void);
static ngx_int_t ngx_http_paylink_redis_post(ngx_http_request_t *r,
    ngx_http_paylink_site_e site, ngx_str_t *command,
    ngx_http_paylink_reply_pt handler);
static void ngx_http_paylink_clock_reply(redisAsyncContext *ac, void *reply,
    void *data);
static int64_t ngx_http_paylink_clock_wall(void);


static ngx_http_paylink_redis_t
    ngx_http_paylink_redis[NGX_HTTP_PAYLINK_SITES];


void
ngx_http_paylink_redis_init(ngx_cycle_t *cycle,
    ngx_http_paylink_main_conf_t *pmcf)
{
    ngx_uint_t                 site;
    ngx_http_paylink_redis_t  *redis;

    ngx_memzero(ngx_http_paylink_redis, sizeof(ngx_http_paylink_redis));

    for (site = 0; site < NGX_HTTP_PAYLINK_SITES; site++) {

        redis = &ngx_http_paylink_redis[site];

        ngx_queue_init(&redis->ops);

        if (pmcf->redis[site].name.len == 0) {
            continue;
        }

        redis->timer.handler = ngx_http_paylink_redis_timer;
        redis->timer.data = redis;
        redis->timer.log = cycle->log;
        redis->timer.cancelable = 1;

        redis->conn.site = site;
        redis->conn.server = &pmcf->redis[site];
        redis->conn.log = cycle->log;
        redis->conn.name = "commands";
        redis->conn.ready = ngx_http_paylink_redis_ready;
        redis->conn.lost = ngx_http_paylink_redis_lost;

        /* there is one pool for replies, and half a reply may lie in it */

        if (site == NGX_HTTP_PAYLINK_PRIMARY) {
            redis->conn.init = ngx_http_paylink_reply_arena;
        }

        ngx_http_paylink_conn_open(&redis->conn);
    }
}


void
ngx_http_paylink_redis_exit(void)
{
    ngx_uint_t                 site;
    ngx_http_paylink_op_t     *op;
    ngx_http_paylink_redis_t  *redis;

    for (site = 0; site < NGX_HTTP_PAYLINK_SITES; site++) {

        redis = &ngx_http_paylink_redis[site];

        ngx_http_paylink_conn_close(&redis->conn);

        if (redis->timer.timer_set) {
            ngx_del_timer(&redis->timer);
        }

        while (redis->free) {
            op = redis->free;
            redis->free = op->next;
            ngx_free(op);
        }
    }

    ngx_http_paylink_reply_release();
}


/* connected, and not behind with its answers */

ngx_uint_t
ngx_http_paylink_redis_up(ngx_http_paylink_site_e site)
{
    ngx_http_paylink_redis_t  *redis;

    redis = &ngx_http_paylink_redis[site];

    return ngx_http_paylink_conn_ready(&redis->conn)
           && (redis->unanswered == 0
               || ngx_current_msec - redis->progress
                  < redis->conn.server->timeout);
}


/*
 * The handler will be called once, with NULL if no reply comes in time, unless
 * the op is forgotten before.  NULL: Redis cannot be asked.
 */

ngx_http_paylink_op_t *
ngx_http_paylink_redis_ask(ngx_http_paylink_site_e site, ngx_str_t *command,
    ngx_http_paylink_op_pt handler, void *data)
{
    ngx_http_paylink_op_t     *op;
    ngx_http_paylink_redis_t  *redis;

    redis = &ngx_http_paylink_redis[site];

    if (redis->conn.ac == NULL
        || redis->unanswered >= NGX_HTTP_PAYLINK_OPS_MAX)
    {
        return NULL;
    }

    op = ngx_http_paylink_op_alloc(redis, handler, data);
    if (op == NULL) {
        return NULL;
    }

    if (redisAsyncFormattedCommand(redis->conn.ac,
                                   ngx_http_paylink_redis_reply, op,
                                   (char *) command->data, command->len)
        != REDIS_OK)
    {
        ngx_http_paylink_op_free(op);
        return NULL;
    }

    if (redis->unanswered++ == 0) {
        redis->progress = ngx_current_msec;
    }

    ngx_http_paylink_redis_waiting();

    ngx_queue_insert_tail(&redis->ops, &op->queue);

    /* armed for the oldest, it arms itself for the others */

    redis->timer.cancelable = 0;

    if (!redis->timer.timer_set) {
        ngx_add_timer(&redis->timer, redis->conn.server->timeout);
    }

    return op;
}


void
ngx_http_paylink_redis_forget(ngx_http_paylink_op_t *op)
{
    ngx_queue_remove(&op->queue);
    op->handler = NULL;
}


/*
 * NGX_OK: the handler will be called once, unless the request detaches or ends
 * before.  NGX_DECLINED: Redis cannot be asked, the handler is never called.
 */

ngx_int_t
ngx_http_paylink_redis_send(ngx_http_request_t *r, ngx_str_t *command,
    ngx_http_paylink_reply_pt handler)
{
    return ngx_http_paylink_redis_post(r, NGX_HTTP_PAYLINK_PRIMARY, command,
                                       handler);
}


/* the same for what changes nothing, of ctx->site */

ngx_int_t
ngx_http_paylink_redis_read(ngx_http_request_t *r, ngx_str_t *command,
    ngx_http_paylink_reply_pt handler)
{
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    ngx_http_paylink_count(NGX_HTTP_PAYLINK_READ + ctx->site);

    return ngx_http_paylink_redis_post(r, ctx->site, command, handler);
}


static ngx_int_t
ngx_http_paylink_redis_post(ngx_http_request_t *r,
    ngx_http_paylink_site_e site, ngx_str_t *command,
    ngx_http_paylink_reply_pt handler)
{
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    ctx->reply = handler;
    ctx->asked_us = ngx_http_paylink_monotonic_us();
    ctx->op = ngx_http_paylink_redis_ask(site, command,
                                         ngx_http_paylink_redis_resume, ctx);

    return ctx->op ? NGX_OK : NGX_DECLINED;
}


static void
ngx_http_paylink_redis_resume(void *data, redisReply *reply)
{
    ngx_http_request_t      *r;
    ngx_http_paylink_ctx_t  *ctx;

    ctx = data;
    ctx->op = NULL;
    ctx->redis_us += ngx_http_paylink_monotonic_us() - ctx->asked_us;

    r = ctx->request;

    ngx_http_paylink_continue(r, ctx->reply(r, reply));
}


void
ngx_http_paylink_redis_detach(ngx_http_paylink_ctx_t *ctx)
{
    if (ctx->op) {
        ngx_http_paylink_redis_forget(ctx->op);
        ctx->op = NULL;
    }
}


/* nobody waits for the reply */

void
ngx_http_paylink_redis_tell(ngx_str_t *command)
{
    ngx_http_paylink_redis_order(NGX_HTTP_PAYLINK_PRIMARY, command,
                                 ngx_http_paylink_redis_told, NULL);
}


/* a command about the connection itself */

void
ngx_http_paylink_redis_order(ngx_http_paylink_site_e site, ngx_str_t *command,
    redisCallbackFn *handler, void *data)
{
    ngx_http_paylink_redis_t  *redis;

    redis = &ngx_http_paylink_redis[site];

    if (redis->conn.ac) {
        (void) redisAsyncFormattedCommand(redis->conn.ac, handler, data,
                                          (char *) command->data,
                                          command->len);
    }
}


static void
ngx_http_paylink_redis_ready(ngx_http_paylink_conn_t *conn)
{
    ngx_http_paylink_cache_connected(conn->site);
}


static void
ngx_http_paylink_redis_lost(ngx_http_paylink_conn_t *conn)
{
    if (conn->site == NGX_HTTP_PAYLINK_REPLICA) {
        ngx_http_paylink_replica_away();
    }

    ngx_http_paylink_cache_lost(conn->site);
}


static ngx_http_paylink_op_t *
ngx_http_paylink_op_alloc(ngx_http_paylink_redis_t *redis,
    ngx_http_paylink_op_pt handler, void *data)
{
    ngx_http_paylink_op_t  *op;

    op = redis->free;

    if (op) {
        redis->free = op->next;

    } else {
        op = ngx_alloc(sizeof(ngx_http_paylink_op_t), ngx_cycle->log);
        if (op == NULL) {
            return NULL;
        }
    }

    op->redis = redis;
    op->handler = handler;
    op->data = data;
    op->sent_us = ngx_http_paylink_monotonic_us();
    op->deadline = ngx_current_msec + redis->conn.server->timeout;

    return op;
}


static void
ngx_http_paylink_op_free(ngx_http_paylink_op_t *op)
{
    op->next = op->redis->free;
    op->redis->free = op;
}


static void
ngx_http_paylink_redis_reply(redisAsyncContext *ac, void *reply, void *data)
{
    void                      *waiting;
    ngx_http_paylink_op_t     *op;
    ngx_http_paylink_op_pt     handler;
    ngx_http_paylink_redis_t  *redis;

    op = data;
    redis = op->redis;

    redis->unanswered--;
    redis->progress = ngx_current_msec;

    ngx_http_paylink_redis_waiting();

    if (reply) {
        ngx_http_paylink_count_latency(ngx_http_paylink_monotonic_us()
                                       - op->sent_us);
    }

    ngx_http_paylink_redis_answered(redis, reply);

    handler = op->handler;
    waiting = op->data;

    if (handler) {
        ngx_queue_remove(&op->queue);
    }

    ngx_http_paylink_op_free(op);

    if (ngx_queue_empty(&redis->ops)) {
        redis->timer.cancelable = 1;
    }

    if (handler && !redis->conn.closing) {
        handler(waiting, reply);
    }
}


static void
ngx_http_paylink_redis_told(redisAsyncContext *ac, void *reply, void *data)
{
    ngx_http_paylink_redis_answered(
                            &ngx_http_paylink_redis[NGX_HTTP_PAYLINK_PRIMARY],
                            reply);
}


/* what is wrong with Redis itself: at most one line a second */

static void
ngx_http_paylink_redis_answered(ngx_http_paylink_redis_t *redis,
    redisReply *reply)
{
    if (reply == NULL || reply->type != REDIS_REPLY_ERROR) {
        return;
    }

    ngx_http_paylink_count(NGX_HTTP_PAYLINK_REDIS_ERROR);

    if (redis->reported == ngx_time()) {
        return;
    }

    redis->reported = ngx_time();

    ngx_log_error(NGX_LOG_ERR, redis->conn.log, 0,
                  "paylink: redis %V answered: %s",
                  &redis->conn.server->name, reply->str);
}


static void
ngx_http_paylink_redis_waiting(void)
{
    ngx_http_paylink_gauge_waiting(
              ngx_http_paylink_redis[NGX_HTTP_PAYLINK_PRIMARY].unanswered
              + ngx_http_paylink_redis[NGX_HTTP_PAYLINK_REPLICA].unanswered);
}


static void
ngx_http_paylink_redis_timer(ngx_event_t *ev)
{
    ngx_queue_t               *q;
    ngx_msec_int_t             left;
    ngx_http_paylink_op_t     *op;
    ngx_http_paylink_redis_t  *redis;

    redis = ev->data;

    while (!ngx_queue_empty(&redis->ops)) {

        q = ngx_queue_head(&redis->ops);
        op = ngx_queue_data(q, ngx_http_paylink_op_t, queue);

        left = (ngx_msec_int_t) (op->deadline - ngx_current_msec);

        if (left > 0) {
            ngx_add_timer(ev, left);
            return;
        }

        ngx_http_paylink_redis_expire(op);
    }

    ev->cancelable = 1;

    if (redis->unanswered == 0) {
        return;
    }

    /* nobody waits any more, but Redis still owes answers */

    if (ngx_current_msec - redis->progress < NGX_HTTP_PAYLINK_STALL) {
        ngx_add_timer(ev, redis->conn.server->timeout);
        return;
    }

    ngx_log_error(NGX_LOG_ERR, redis->conn.log, 0,
                  "paylink: redis %V has not answered for %d ms, "
                  "connecting again", &redis->conn.server->name,
                  NGX_HTTP_PAYLINK_STALL);

    ngx_http_paylink_conn_drop(&redis->conn);
}


static void
ngx_http_paylink_redis_expire(ngx_http_paylink_op_t *op)
{
    void                      *waiting;
    ngx_http_paylink_op_pt     handler;
    ngx_http_paylink_redis_t  *redis;

    redis = op->redis;
    handler = op->handler;
    waiting = op->data;

    ngx_http_paylink_redis_forget(op);
    ngx_http_paylink_count(NGX_HTTP_PAYLINK_REDIS_TIMEOUT);

    if (redis->reported != ngx_time()) {
        redis->reported = ngx_time();

        ngx_log_error(NGX_LOG_WARN, redis->conn.log, 0,
                      "paylink: redis %V did not answer in time",
                      &redis->conn.server->name);
    }

    if (redis->conn.site == NGX_HTTP_PAYLINK_REPLICA) {
        ngx_http_paylink_replica_away();
    }

    handler(waiting, NULL);
}


/*
 * Redis' time alone decides when a link expires.  It is asked when the last
 * sample is older than a second, or our own clock was set; the answer comes
 * before that of the command behind it.  NGX_OK: there is no need to.
 */

ngx_int_t
ngx_http_paylink_clock_check(void)
{
    int64_t                    elapsed, wall;
    ngx_http_paylink_redis_t  *redis;

    redis = &ngx_http_paylink_redis[NGX_HTTP_PAYLINK_PRIMARY];

    if (redis->clock_set) {
        elapsed = ngx_current_msec - redis->clock_at;
        wall = ngx_http_paylink_clock_wall() - redis->clock_wall;

        if (elapsed < NGX_HTTP_PAYLINK_CLOCK_VALID
            && wall - elapsed < NGX_HTTP_PAYLINK_CLOCK_JUMP
            && elapsed - wall < NGX_HTTP_PAYLINK_CLOCK_JUMP)
        {
            return NGX_OK;
        }
    }

    ngx_http_paylink_clock_ask();

    return NGX_AGAIN;
}


void
ngx_http_paylink_clock_ask(void)
{
    ngx_str_t                 *command;
    ngx_http_paylink_redis_t  *redis;

    redis = &ngx_http_paylink_redis[NGX_HTTP_PAYLINK_PRIMARY];

    if (redis->conn.ac == NULL || redis->clock_asked) {
        return;
    }

    command = ngx_http_paylink_command_time();

    if (redisAsyncFormattedCommand(redis->conn.ac,
                                   ngx_http_paylink_clock_reply, NULL,
                                   (char *) command->data, command->len)
        == REDIS_OK)
    {
        redis->clock_asked = 1;
    }
}


int64_t
ngx_http_paylink_clock_ms(void)
{
    ngx_http_paylink_redis_t  *redis;

    redis = &ngx_http_paylink_redis[NGX_HTTP_PAYLINK_PRIMARY];

    if (!redis->clock_set) {
        return ngx_http_paylink_clock_wall();
    }

    return redis->clock + (int64_t) ngx_current_msec;
}


static void
ngx_http_paylink_clock_reply(redisAsyncContext *ac, void *reply, void *data)
{
    int64_t                    sec, usec;
    redisReply                *time;
    ngx_http_paylink_redis_t  *redis;

    redis = &ngx_http_paylink_redis[NGX_HTTP_PAYLINK_PRIMARY];
    redis->clock_asked = 0;

    time = reply;

    ngx_http_paylink_redis_answered(redis, time);

    if (time == NULL || time->type != REDIS_REPLY_ARRAY || time->elements != 2
        || time->element[0]->type != REDIS_REPLY_STRING
        || time->element[1]->type != REDIS_REPLY_STRING)
    {
        return;
    }

    sec = ngx_atoof((u_char *) time->element[0]->str, time->element[0]->len);
    usec = ngx_atoof((u_char *) time->element[1]->str, time->element[1]->len);

    if (sec == NGX_ERROR || usec == NGX_ERROR) {
        return;
    }

    redis->clock = sec * 1000 + usec / 1000 - (int64_t) ngx_current_msec;
    redis->clock_at = ngx_current_msec;
    redis->clock_wall = ngx_http_paylink_clock_wall();
    redis->clock_set = 1;
}


static int64_t
ngx_http_paylink_clock_wall(void)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (int64_t) tp->sec * 1000 + tp->msec;
}
