
/*
 * Waiting for news: the subscription to what the worker publishes, and the
 * requests that wait for a link or an attempt.  A message only says "look
 * again"; a timer says the same every second, should a message get lost.
 */


#include "ngx_http_paylink.h"


#define NGX_HTTP_PAYLINK_BUCKETS       256
#define NGX_HTTP_PAYLINK_RECHECK       1000


typedef struct {
    ngx_http_paylink_conn_t         conn[NGX_HTTP_PAYLINK_SITES];
    ngx_queue_t                     waiters[NGX_HTTP_PAYLINK_BUCKETS];
} ngx_http_paylink_events_t;


static void ngx_http_paylink_events_ready(ngx_http_paylink_conn_t *conn);
static void ngx_http_paylink_events_lost(ngx_http_paylink_conn_t *conn);
static void ngx_http_paylink_events_named(redisAsyncContext *ac, void *reply,
    void *data);
static void ngx_http_paylink_events_message(redisAsyncContext *ac,
    void *reply, void *data);
static void ngx_http_paylink_events_parse(u_char *p, size_t len);
static void ngx_http_paylink_events_wake(const u_char *id);
static void ngx_http_paylink_wait_wake(ngx_http_paylink_ctx_t *ctx);
static void ngx_http_paylink_wait_timer(ngx_event_t *ev);


static ngx_http_paylink_events_t  ngx_http_paylink_events;


#define ngx_http_paylink_bucket(id)                                           \
    (&ngx_http_paylink_events.waiters[(id)[15] % NGX_HTTP_PAYLINK_BUCKETS])


void
ngx_http_paylink_events_init(ngx_cycle_t *cycle,
    ngx_http_paylink_main_conf_t *pmcf)
{
    ngx_uint_t                  i;
    ngx_http_paylink_conn_t    *conn;
    ngx_http_paylink_events_t  *events;

    events = &ngx_http_paylink_events;

    ngx_memzero(events, sizeof(ngx_http_paylink_events_t));

    for (i = 0; i < NGX_HTTP_PAYLINK_BUCKETS; i++) {
        ngx_queue_init(&events->waiters[i]);
    }

    for (i = 0; i < NGX_HTTP_PAYLINK_SITES; i++) {

        if (pmcf->redis[i].name.len == 0) {
            continue;
        }

        conn = &events->conn[i];

        conn->site = i;
        conn->server = &pmcf->redis[i];
        conn->log = cycle->log;
        conn->name = "events";
        conn->ready = ngx_http_paylink_events_ready;
        conn->lost = ngx_http_paylink_events_lost;

        ngx_http_paylink_events_open(i);
    }
}


void
ngx_http_paylink_events_exit(void)
{
    ngx_http_paylink_events_close(NGX_HTTP_PAYLINK_PRIMARY);
    ngx_http_paylink_events_close(NGX_HTTP_PAYLINK_REPLICA);
}


/* the primary is listened to while no replica is to be trusted */

void
ngx_http_paylink_events_open(ngx_http_paylink_site_e site)
{
    ngx_http_paylink_events.conn[site].closing = 0;
    ngx_http_paylink_conn_open(&ngx_http_paylink_events.conn[site]);
}


void
ngx_http_paylink_events_close(ngx_http_paylink_site_e site)
{
    ngx_http_paylink_conn_close(&ngx_http_paylink_events.conn[site]);
}


/* its number first: a connection that listens cannot ask for it any more */

static void
ngx_http_paylink_events_ready(ngx_http_paylink_conn_t *conn)
{
    ngx_str_t  *command;

    command = ngx_http_paylink_command_client_id();

    if (redisAsyncFormattedCommand(conn->ac, ngx_http_paylink_events_named,
                                   conn, (char *) command->data, command->len)
        != REDIS_OK)
    {
        conn->broken = 1;
        return;
    }

    command = ngx_http_paylink_command_subscribe();

    if (redisAsyncFormattedCommand(conn->ac, ngx_http_paylink_events_message,
                                   conn, (char *) command->data, command->len)
        != REDIS_OK)
    {
        conn->broken = 1;
    }
}


static void
ngx_http_paylink_events_lost(ngx_http_paylink_conn_t *conn)
{
    ngx_http_paylink_marker_lost(conn->site);

    if (conn->site == NGX_HTTP_PAYLINK_REPLICA) {
        ngx_http_paylink_replica_away();
    }

    ngx_http_paylink_cache_listener(conn->site, 0);
    ngx_http_paylink_cache_lost(conn->site);
}


static void
ngx_http_paylink_events_named(redisAsyncContext *ac, void *reply, void *data)
{
    redisReply               *id;
    ngx_http_paylink_conn_t  *conn;

    conn = data;
    id = reply;

    if (id && id->type == REDIS_REPLY_INTEGER) {
        ngx_http_paylink_cache_listener(conn->site, id->integer);
    }
}


static void
ngx_http_paylink_events_message(redisAsyncContext *ac, void *reply, void *data)
{
    char                     *channel;
    redisReply               *message, *news;
    ngx_http_paylink_conn_t  *conn;

    conn = data;
    message = reply;

    if (message == NULL || conn->closing) {
        return;
    }

    if (message->type == REDIS_REPLY_ARRAY && message->elements == 3
        && message->element[2]->type == REDIS_REPLY_INTEGER
        && message->element[2]->integer == NGX_HTTP_PAYLINK_CHANNELS)
    {
        /* subscribed to the last channel: from now on nothing is missed */
        ngx_http_paylink_watch_stale();
        return;
    }

    if (message->type != REDIS_REPLY_ARRAY || message->elements != 3
        || message->element[0]->type != REDIS_REPLY_STRING
        || ngx_strcmp(message->element[0]->str, "message") != 0
        || message->element[1]->type != REDIS_REPLY_STRING)
    {
        return;
    }

    channel = message->element[1]->str;
    news = message->element[2];

    if (ngx_strcmp(channel, "__redis__:invalidate") == 0) {
        ngx_http_paylink_cache_changed(news);
        return;
    }

    if (news->type != REDIS_REPLY_STRING) {
        return;
    }

    if (ngx_strncmp(channel, "paylink:marks:", 14) == 0) {
        ngx_http_paylink_marker_back(conn->site, (u_char *) news->str,
                                     news->len);
        return;
    }

    ngx_http_paylink_events_parse((u_char *) news->str, news->len);
}


/*
 * "link HH VERSION STATE", "attempt AA STATE", "brand HH TYPE" and
 * "document HH TYPE"; that an attempt is on its way is no news for those who wait for its end.
 */

static void
ngx_http_paylink_events_parse(u_char *p, size_t len)
{
    size_t   skip;
    u_char   id[TOKEN_ID_SIZE];
    u_char  *state;

    if (len > 5 && ngx_strncmp(p, "link ", 5) == 0) {
        skip = 5;

    } else if (len > 8 && ngx_strncmp(p, "attempt ", 8) == 0) {
        skip = 8;

    } else if (len > 6 && ngx_strncmp(p, "brand ", 6) == 0) {
        skip = 6;

    } else if (len > 9 && ngx_strncmp(p, "document ", 9) == 0) {
        skip = 9;

    } else {
        return;
    }

    if (len < skip + NGX_HTTP_PAYLINK_HEX + 1
        || hex_parse((char *) p + skip, NGX_HTTP_PAYLINK_HEX, id) != 0)
    {
        return;
    }

    state = p + skip + NGX_HTTP_PAYLINK_HEX + 1;
    len -= skip + NGX_HTTP_PAYLINK_HEX + 1;

    if (skip == 8
        && ((len == 8 && ngx_strncmp(state, "received", 8) == 0)
            || (len == 8 && ngx_strncmp(state, "charging", 8) == 0)))
    {
        return;
    }

    ngx_http_paylink_events_wake(id);

    if (skip == 5) {
        ngx_http_paylink_watch_news(id);
    }
}


/*
 * A request that is woken may end, and with it others of its connection:
 * take them from a list of their own, one at a time.
 */

static void
ngx_http_paylink_events_wake(const u_char *id)
{
    ngx_queue_t             *q, *next, *bucket, woken;
    ngx_http_paylink_ctx_t  *ctx;

    bucket = ngx_http_paylink_bucket(id);

    ngx_queue_init(&woken);

    for (q = ngx_queue_head(bucket);
         q != ngx_queue_sentinel(bucket);
         q = next)
    {
        next = ngx_queue_next(q);
        ctx = ngx_queue_data(q, ngx_http_paylink_ctx_t, waiter);

        if (ngx_memcmp(ctx->awaited, id, TOKEN_ID_SIZE) == 0) {
            ngx_queue_remove(q);
            ngx_queue_insert_tail(&woken, q);
        }
    }

    while (!ngx_queue_empty(&woken)) {
        q = ngx_queue_head(&woken);
        ctx = ngx_queue_data(q, ngx_http_paylink_ctx_t, waiter);

        ngx_queue_remove(q);
        ngx_queue_insert_tail(bucket, q);

        ngx_http_paylink_wait_wake(ctx);
    }
}


/* the id must live as long as the request */

void
ngx_http_paylink_wait_start(ngx_http_paylink_ctx_t *ctx, const u_char *id,
    ngx_msec_t timeout, ngx_http_paylink_resume_pt resume)
{
    if (ctx->waiting) {
        return;
    }

    ctx->waiting = 1;
    ctx->awaited = id;
    ctx->deadline = ngx_current_msec + timeout;
    ctx->resume = resume;

    ngx_queue_insert_tail(ngx_http_paylink_bucket(id), &ctx->waiter);
}


/* NGX_OK: ctx->resume will be called; NGX_DECLINED: waited long enough */

ngx_int_t
ngx_http_paylink_wait_more(ngx_http_paylink_ctx_t *ctx)
{
    ngx_msec_int_t  left;

    if (!ctx->waiting) {
        return NGX_DECLINED;
    }

    left = (ngx_msec_int_t) (ctx->deadline - ngx_current_msec);

    if (left <= 0) {
        return NGX_DECLINED;
    }

    if (ctx->again) {
        left = 0;
    }

    ctx->again = 0;

    ngx_http_paylink_wait_time(ctx, ngx_min(left, NGX_HTTP_PAYLINK_RECHECK),
                               ctx->resume);

    return NGX_OK;
}


/* for the time alone, or in the meantime */

void
ngx_http_paylink_wait_time(ngx_http_paylink_ctx_t *ctx, ngx_msec_t time,
    ngx_http_paylink_resume_pt resume)
{
    ctx->resume = resume;

    ctx->timer.handler = ngx_http_paylink_wait_timer;
    ctx->timer.data = ctx;
    ctx->timer.log = ctx->request->connection->log;

    ngx_add_timer(&ctx->timer, time);
}


void
ngx_http_paylink_wait_limit(ngx_http_paylink_ctx_t *ctx, ngx_msec_t timeout)
{
    ngx_msec_t  deadline;

    deadline = ngx_current_msec + timeout;

    if ((ngx_msec_int_t) (ctx->deadline - deadline) > 0) {
        ctx->deadline = deadline;
    }
}


void
ngx_http_paylink_wait_stop(ngx_http_paylink_ctx_t *ctx)
{
    if (ctx->waiting) {
        ctx->waiting = 0;
        ngx_queue_remove(&ctx->waiter);
    }

    if (ctx->timer.timer_set) {
        ngx_del_timer(&ctx->timer);
    }
}


static void
ngx_http_paylink_wait_wake(ngx_http_paylink_ctx_t *ctx)
{
    if (ctx->op) {
        /* the reply on its way may be older than the message */
        ctx->again = 1;
        return;
    }

    if (ctx->timer.timer_set) {
        ngx_del_timer(&ctx->timer);
    }

    ngx_http_paylink_continue(ctx->request, ctx->resume(ctx->request));
}


static void
ngx_http_paylink_wait_timer(ngx_event_t *ev)
{
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ev->data;

    ngx_http_paylink_continue(ctx->request, ctx->resume(ctx->request));
}
