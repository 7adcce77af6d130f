
/*
 * Watches: links that somebody looks at.  A watch reads its link once for each
 * piece of news, whatever the number of viewers, and makes the event that all
 * of them get.  Does not know how it reaches them.
 */


#include "ngx_http_paylink.h"


#define NGX_HTTP_PAYLINK_WATCH_BUCKETS   4096


typedef struct {
    ngx_queue_t                     buckets[NGX_HTTP_PAYLINK_WATCH_BUCKETS];
    ngx_queue_t                     stale;      /* to be read again */
    ngx_log_t                      *log;
} ngx_http_paylink_watches_t;


static void ngx_http_paylink_watch_reply(void *data, redisReply *reply);
static void ngx_http_paylink_watch_retry(ngx_http_paylink_watch_t *watch);
static void ngx_http_paylink_watch_end(ngx_http_paylink_watch_t *watch,
    int64_t end);
static void ngx_http_paylink_watch_timer(ngx_event_t *ev);
static void ngx_http_paylink_watch_tell(ngx_http_paylink_watch_t *watch,
    struct template_value *values, ngx_uint_t paying);


static ngx_http_paylink_watches_t  ngx_http_paylink_watches;


#define ngx_http_paylink_watch_bucket(id)                                     \
    (&ngx_http_paylink_watches.buckets[((id)[14] << 8 | (id)[15])             \
                                       % NGX_HTTP_PAYLINK_WATCH_BUCKETS])


void
ngx_http_paylink_watch_init(ngx_cycle_t *cycle)
{
    ngx_uint_t                   i;
    ngx_http_paylink_watches_t  *watches;

    watches = &ngx_http_paylink_watches;

    for (i = 0; i < NGX_HTTP_PAYLINK_WATCH_BUCKETS; i++) {
        ngx_queue_init(&watches->buckets[i]);
    }

    ngx_queue_init(&watches->stale);

    watches->log = cycle->log;
}


ngx_http_paylink_watch_t *
ngx_http_paylink_watch_find(const u_char *id)
{
    ngx_queue_t               *q, *bucket;
    ngx_http_paylink_watch_t  *watch;

    bucket = ngx_http_paylink_watch_bucket(id);

    for (q = ngx_queue_head(bucket);
         q != ngx_queue_sentinel(bucket);
         q = ngx_queue_next(q))
    {
        watch = ngx_queue_data(q, ngx_http_paylink_watch_t, queue);

        if (ngx_memcmp(watch->id, id, TOKEN_ID_SIZE) == 0) {
            return watch;
        }
    }

    return NULL;
}


ngx_http_paylink_watch_t *
ngx_http_paylink_watch_create(ngx_http_paylink_ctx_t *ctx)
{
    ngx_http_paylink_watch_t  *watch;

    watch = ngx_calloc(sizeof(ngx_http_paylink_watch_t),
                       ngx_http_paylink_watches.log);
    if (watch == NULL) {
        return NULL;
    }

    ngx_memcpy(watch->id, ctx->link.id, TOKEN_ID_SIZE);
    ngx_memcpy(watch->hex, ctx->link_hex, NGX_HTTP_PAYLINK_HEX);

    watch->timer.handler = ngx_http_paylink_watch_timer;
    watch->timer.data = watch;
    watch->timer.log = ngx_http_paylink_watches.log;
    watch->timer.cancelable = 1;

    ngx_queue_init(&watch->viewers);
    ngx_queue_insert_tail(ngx_http_paylink_watch_bucket(watch->id),
                          &watch->queue);

    return watch;
}


void
ngx_http_paylink_watch_free(ngx_http_paylink_watch_t *watch)
{
    if (watch->op) {
        ngx_http_paylink_redis_forget(watch->op);
    }

    if (watch->is_stale) {
        ngx_queue_remove(&watch->stale);
    }

    if (watch->timer.timer_set) {
        ngx_del_timer(&watch->timer);
    }

    ngx_queue_remove(&watch->queue);
    ngx_http_paylink_news_release(watch->news);

    ngx_free(watch);
}


/* something has happened to the link */

void
ngx_http_paylink_watch_news(const u_char *id)
{
    ngx_http_paylink_watch_t  *watch;

    watch = ngx_http_paylink_watch_find(id);

    if (watch) {
        ngx_http_paylink_watch_read(watch);
    }
}


/* what could not be read before */

void
ngx_http_paylink_watch_again(void)
{
    ngx_queue_t  *q, stale;

    ngx_queue_init(&stale);

    if (!ngx_queue_empty(&ngx_http_paylink_watches.stale)) {
        q = ngx_queue_head(&ngx_http_paylink_watches.stale);
        ngx_queue_split(&ngx_http_paylink_watches.stale, q, &stale);
    }

    while (!ngx_queue_empty(&stale)) {
        q = ngx_queue_head(&stale);
        ngx_http_paylink_watch_read(ngx_queue_data(q, ngx_http_paylink_watch_t,
                                                   stale));
    }
}


/* the subscription was away: nobody knows what has happened */

void
ngx_http_paylink_watch_stale(void)
{
    ngx_uint_t    i;
    ngx_queue_t  *q, *bucket;

    for (i = 0; i < NGX_HTTP_PAYLINK_WATCH_BUCKETS; i++) {

        bucket = &ngx_http_paylink_watches.buckets[i];

        for (q = ngx_queue_head(bucket);
             q != ngx_queue_sentinel(bucket);
             q = ngx_queue_next(q))
        {
            ngx_http_paylink_watch_retry(
                ngx_queue_data(q, ngx_http_paylink_watch_t, queue));
        }
    }
}


void
ngx_http_paylink_watch_read(ngx_http_paylink_watch_t *watch)
{
    if (watch->is_stale) {
        watch->is_stale = 0;
        ngx_queue_remove(&watch->stale);
    }

    if (watch->op) {
        /* the reply on its way may be older than the news */
        watch->again = 1;
        return;
    }

    watch->again = 0;

    (void) ngx_http_paylink_clock_check();

    watch->site = watch->primary ? NGX_HTTP_PAYLINK_PRIMARY
                                 : ngx_http_paylink_replica_site(watch->id);

    ngx_http_paylink_count(NGX_HTTP_PAYLINK_READ + watch->site);

    watch->op = ngx_http_paylink_redis_ask(watch->site,
                    ngx_http_paylink_command_link(watch->id, watch->hex, NULL),
                    ngx_http_paylink_watch_reply, watch);

    if (watch->op == NULL) {
        ngx_http_paylink_watch_retry(watch);
    }
}


/* with the next tick */

static void
ngx_http_paylink_watch_retry(ngx_http_paylink_watch_t *watch)
{
    if (!watch->is_stale) {
        watch->is_stale = 1;
        ngx_queue_insert_tail(&ngx_http_paylink_watches.stale,
                              &watch->stale);
    }
}


static void
ngx_http_paylink_watch_reply(void *data, redisReply *reply)
{
    int64_t                     end, paying;
    ngx_int_t                   rc;
    struct template_value       values[NGX_HTTP_PAYLINK_VALUES], *state;
    ngx_http_paylink_watch_t   *watch;
    ngx_http_paylink_judged_t   judged;

    watch = data;
    watch->op = NULL;
    watch->primary = 0;

    if (ngx_http_paylink_replica_failed(watch->site, reply)) {
        watch->primary = 1;
        ngx_http_paylink_watch_read(watch);
        return;
    }

    ngx_memzero(values, sizeof(values));

    rc = ngx_http_paylink_link_values(reply, values, &judged);

    if (rc != NGX_OK || watch->again) {

        if (rc == NGX_DECLINED) {
            ngx_http_paylink_redis_tell(
                ngx_http_paylink_command_want(watch->id, watch->hex, NULL));
        }

        ngx_http_paylink_watch_retry(watch);
        return;
    }

    state = &values[NGX_HTTP_PAYLINK_V_STATE];
    paying = 0;

    if (ngx_http_paylink_is(state, "active")) {

        end = ngx_http_paylink_view_end(values, &judged);

        if (end > 0 && ngx_http_paylink_clock_ms() >= end) {
            ngx_http_paylink_set(values, STATE, "expired",
                                 sizeof("expired") - 1);

        } else {
            paying = ngx_http_paylink_view_paying(&judged);

            ngx_http_paylink_watch_end(watch, (paying && (end <= 0
                                                          || paying < end))
                                              ? paying : end);
        }
    }

    ngx_http_paylink_watch_tell(watch, values, paying != 0);
}


/* looks again at the end of a time; timers are no longer than a day */

static void
ngx_http_paylink_watch_end(ngx_http_paylink_watch_t *watch, int64_t end)
{
    int64_t  left;

    if (watch->timer.timer_set) {
        ngx_del_timer(&watch->timer);
    }

    if (end <= 0) {
        return;
    }

    left = end - ngx_http_paylink_clock_ms() + 1;

    ngx_add_timer(&watch->timer, (ngx_msec_t) ngx_min(left, 86400000));
}


static void
ngx_http_paylink_watch_timer(ngx_event_t *ev)
{
    ngx_http_paylink_watch_read(ev->data);
}


/*
 * The id of an event is all that it says: a viewer that comes back with it
 * has missed nothing.
 */

static void
ngx_http_paylink_watch_tell(ngx_http_paylink_watch_t *watch,
    struct template_value *values, ngx_uint_t paying)
{
    u_char                   *p, *last;
    struct template_value    *state, *version;
    ngx_http_paylink_news_t  *news;

    state = &values[NGX_HTTP_PAYLINK_V_STATE];
    version = &values[NGX_HTTP_PAYLINK_V_VERSION];

    news = ngx_alloc(sizeof(ngx_http_paylink_news_t),
                     ngx_http_paylink_watches.log);
    if (news == NULL) {
        ngx_http_paylink_watch_retry(watch);
        return;
    }

    /* words and digits of ours: nothing in them needs to be escaped */

    last = news->text + NGX_HTTP_PAYLINK_NEWS_SIZE;

    p = ngx_cpymem(news->text, "event: link\nid: ", 16);
    news->id.data = p;

    p = ngx_slprintf(p, last, "%*s-%*s-%ui",
                     ngx_min(version->len, 20), version->data,
                     ngx_min(state->len, 20), state->data, paying);
    news->id.len = p - news->id.data;

    p = ngx_slprintf(p, last, "\ndata: {\"state\":\"%*s\",\"version\":%*s,"
                     "\"paying\":%s}\n\n",
                     ngx_min(state->len, 20), state->data,
                     ngx_min(version->len, 20), version->data,
                     paying ? "true" : "false");

    news->len = p - news->text;
    news->last = !ngx_http_paylink_is(state, "active");
    news->refs = 1;

    if (watch->news && watch->news->len == news->len
        && ngx_memcmp(watch->news->text, news->text, news->len) == 0)
    {
        ngx_free(news);
        return;
    }

    ngx_http_paylink_news_release(watch->news);
    watch->news = news;

    ngx_http_paylink_live_tell(watch);
}


void
ngx_http_paylink_news_release(ngx_http_paylink_news_t *news)
{
    if (news && --news->refs == 0) {
        ngx_free(news);
    }
}
