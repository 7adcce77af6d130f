
/*
 * The live page: server-sent events that say what a link is by now, to viewers
 * who share a watch and its text.  An event only says state and version: what
 * is to be shown, and in which language, is the page's business.
 */


#include "ngx_http_paylink.h"


#define NGX_HTTP_PAYLINK_LIVE_TOTAL     10000
#define NGX_HTTP_PAYLINK_LIVE_PER_LINK  100

#define NGX_HTTP_PAYLINK_LIVE_TICK      1000
#define NGX_HTTP_PAYLINK_LIVE_HEARTBEAT 20000

/* a browser that has lost its edge comes back after 1 to 4 seconds */

#define NGX_HTTP_PAYLINK_LIVE_RETRY     1000
#define NGX_HTTP_PAYLINK_LIVE_SPREAD    3000


struct ngx_http_paylink_viewer_s {
    ngx_queue_t                     queue;      /* of its watch */
    ngx_queue_t                     beat;       /* the next to be due first */
    ngx_msec_t                      due;
    ngx_http_request_t             *request;
    ngx_http_paylink_watch_t       *watch;
    ngx_http_paylink_news_t        *sent;
    ngx_str_t                      *resume;     /* the id it has seen last */
    ngx_buf_t                       buf;
    ngx_chain_t                     chain;
    unsigned                        busy:1;     /* the client is slow */
};


typedef struct {
    ngx_queue_t                     beats;
    ngx_event_t                     tick;
    ngx_uint_t                      viewers;
    ngx_http_paylink_live_conf_t   *conf;
} ngx_http_paylink_live_t;


static ngx_int_t ngx_http_paylink_live_start(ngx_http_request_t *r,
    ngx_http_paylink_viewer_t *viewer);
static ngx_int_t ngx_http_paylink_live_full(ngx_http_request_t *r);
static ngx_int_t ngx_http_paylink_viewer_news(
    ngx_http_paylink_viewer_t *viewer);
static ngx_int_t ngx_http_paylink_viewer_send(
    ngx_http_paylink_viewer_t *viewer, u_char *text, size_t len);
static ngx_int_t ngx_http_paylink_viewer_flush(
    ngx_http_paylink_viewer_t *viewer, ngx_chain_t *chain);
static void ngx_http_paylink_viewer_writer(ngx_http_request_t *r);
static void ngx_http_paylink_viewer_end(ngx_http_paylink_viewer_t *viewer,
    ngx_int_t rc);
static void ngx_http_paylink_live_tick(ngx_event_t *ev);
static void ngx_http_paylink_live_beat(ngx_http_paylink_viewer_t *viewer);


static ngx_http_paylink_live_t  ngx_http_paylink_live_state;

static u_char  ngx_http_paylink_live_comment[] = ":\n\n";


void
ngx_http_paylink_live_init(ngx_cycle_t *cycle,
    ngx_http_paylink_main_conf_t *pmcf)
{
    ngx_http_paylink_live_t  *live;

    live = &ngx_http_paylink_live_state;

    ngx_memzero(live, sizeof(ngx_http_paylink_live_t));

    ngx_queue_init(&live->beats);

    live->conf = &pmcf->live;

    /* not cancelable: it ends the viewers of a worker that has to go */

    live->tick.handler = ngx_http_paylink_live_tick;
    live->tick.data = live;
    live->tick.log = cycle->log;
}


void
ngx_http_paylink_live_exit(void)
{
    if (ngx_http_paylink_live_state.tick.timer_set) {
        ngx_del_timer(&ngx_http_paylink_live_state.tick);
    }
}


/* "paylink_live off | [total=N] [per_link=N] [heartbeat=TIME]" */

char *
ngx_http_paylink_live_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_paylink_main_conf_t *pmcf = conf;

    ngx_int_t    n;
    ngx_str_t   *value, s;
    ngx_uint_t   i, *slot;

    if (pmcf->live.total != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        pmcf->live.total = 0;
        pmcf->live.per_link = 0;
        return NGX_CONF_OK;
    }

    ngx_http_paylink_live_default(pmcf);

    for (i = 1; i < cf->args->nelts; i++) {

        s.data = (u_char *) ngx_strchr(value[i].data, '=');
        s.data = s.data ? s.data + 1 : value[i].data + value[i].len;
        s.len = value[i].data + value[i].len - s.data;

        if (ngx_strncmp(value[i].data, "total=", 6) == 0) {
            n = ngx_atoi(s.data, s.len);
            slot = &pmcf->live.total;

        } else if (ngx_strncmp(value[i].data, "per_link=", 9) == 0) {
            n = ngx_atoi(s.data, s.len);
            slot = &pmcf->live.per_link;

        } else if (ngx_strncmp(value[i].data, "heartbeat=", 10) == 0) {
            n = ngx_parse_time(&s, 0);
            slot = &pmcf->live.heartbeat;

        } else {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        if (n < 1) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid value \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        *slot = n;
    }

    return NGX_CONF_OK;
}


void
ngx_http_paylink_live_default(ngx_http_paylink_main_conf_t *pmcf)
{
    ngx_conf_init_uint_value(pmcf->live.total, NGX_HTTP_PAYLINK_LIVE_TOTAL);
    ngx_conf_init_uint_value(pmcf->live.per_link,
                             NGX_HTTP_PAYLINK_LIVE_PER_LINK);
    ngx_conf_init_uint_value(pmcf->live.heartbeat,
                             NGX_HTTP_PAYLINK_LIVE_HEARTBEAT);
}


ngx_int_t
ngx_http_paylink_live(ngx_http_request_t *r)
{
    ngx_int_t                   rc;
    ngx_http_paylink_ctx_t     *ctx;
    ngx_http_paylink_live_t    *live;
    ngx_http_paylink_watch_t   *watch;
    ngx_http_paylink_viewer_t  *viewer;

    live = &ngx_http_paylink_live_state;

    if (live->conf->per_link == 0) {
        return ngx_http_paylink_unknown(r);
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    watch = ngx_http_paylink_watch_find(ctx->link.id);

    if (live->viewers >= live->conf->total || ngx_exiting
        || (watch && watch->count >= live->conf->per_link))
    {
        return ngx_http_paylink_live_full(r);
    }

    viewer = ngx_pcalloc(r->pool, sizeof(ngx_http_paylink_viewer_t));
    if (viewer == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (watch == NULL) {
        watch = ngx_http_paylink_watch_create(ctx);
        if (watch == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    viewer->request = r;
    viewer->watch = watch;
    viewer->resume = ngx_http_paylink_header_in(r, "Last-Event-ID");
    viewer->chain.buf = &viewer->buf;
    viewer->due = ngx_current_msec + live->conf->heartbeat;

    ngx_queue_insert_tail(&watch->viewers, &viewer->queue);
    ngx_queue_insert_tail(&live->beats, &viewer->beat);

    watch->count++;
    live->viewers++;
    ctx->viewer = viewer;

    ngx_http_paylink_gauge_viewers(live->viewers);

    if (!live->tick.timer_set) {
        ngx_add_timer(&live->tick, NGX_HTTP_PAYLINK_LIVE_TICK);
    }

    return ngx_http_paylink_live_start(r, viewer);
}


/* more would only take memory from those who pay: the page can be reloaded */

static ngx_int_t
ngx_http_paylink_live_full(ngx_http_request_t *r)
{
    if (ngx_http_paylink_add_header(r, "Retry-After", "30", 2) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_SERVICE_UNAVAILABLE;

    return ngx_http_paylink_send(r, NGX_HTTP_PAYLINK_HEADERS_PAGE, NULL, NULL);
}


static ngx_int_t
ngx_http_paylink_live_start(ngx_http_request_t *r,
    ngx_http_paylink_viewer_t *viewer)
{
    u_char     *p, *last;
    ngx_int_t   rc;

    static ngx_str_t  type = ngx_string("text/event-stream; charset=utf-8");

    if (ngx_http_paylink_add_header(r, "X-Accel-Buffering", "no", 2)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;

    rc = ngx_http_paylink_send_head(r, NGX_HTTP_PAYLINK_HEADERS_PAGE, &type,
                                    -1);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    p = ngx_pnalloc(r->pool, sizeof("retry: \n\n") + NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    last = ngx_sprintf(p, "retry: %ui\n\n",
                       NGX_HTTP_PAYLINK_LIVE_RETRY
                       + (ngx_uint_t) ngx_random()
                         % NGX_HTTP_PAYLINK_LIVE_SPREAD);

    if (ngx_http_paylink_viewer_send(viewer, p, last - p) == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (ngx_http_paylink_hold(r) != NGX_OK) {
        return NGX_ERROR;
    }

    r->write_event_handler = ngx_http_paylink_viewer_writer;

    if (viewer->watch->news == NULL) {
        ngx_http_paylink_watch_read(viewer->watch);
        return NGX_HTTP_PAYLINK_WAIT;
    }

    rc = ngx_http_paylink_viewer_news(viewer);

    switch (rc) {

    case NGX_AGAIN:
        return NGX_HTTP_PAYLINK_WAIT;

    case NGX_OK:
        return ngx_http_send_special(r, NGX_HTTP_LAST);

    default:
        return rc;
    }
}


/* by the end of the request, whatever the reason */

void
ngx_http_paylink_live_leave(ngx_http_paylink_ctx_t *ctx)
{
    ngx_http_paylink_watch_t   *watch;
    ngx_http_paylink_viewer_t  *viewer;

    viewer = ctx->viewer;

    if (viewer == NULL) {
        return;
    }

    ctx->viewer = NULL;
    watch = viewer->watch;

    ngx_queue_remove(&viewer->queue);
    ngx_queue_remove(&viewer->beat);

    ngx_http_paylink_news_release(viewer->sent);

    ngx_http_paylink_live_state.viewers--;
    ngx_http_paylink_gauge_viewers(ngx_http_paylink_live_state.viewers);

    if (--watch->count == 0) {
        ngx_http_paylink_watch_free(watch);
    }
}


/*
 * NGX_AGAIN: the viewer stays; NGX_OK: it has got the last of all news;
 * NGX_ERROR.  Of what a slow client has missed it only gets the newest.
 */

static ngx_int_t
ngx_http_paylink_viewer_news(ngx_http_paylink_viewer_t *viewer)
{
    ngx_int_t                 rc;
    ngx_http_paylink_news_t  *news;

    news = viewer->watch->news;

    if (viewer->busy || news == NULL || viewer->sent == news) {
        return NGX_AGAIN;
    }

    ngx_http_paylink_news_release(viewer->sent);

    viewer->sent = news;
    news->refs++;

    if (viewer->resume && viewer->resume->len == news->id.len
        && ngx_memcmp(viewer->resume->data, news->id.data, news->id.len) == 0
        && !news->last)
    {
        /* it has missed nothing; the last of all news is for who acts on it */
        viewer->resume = NULL;
        return NGX_AGAIN;
    }

    viewer->resume = NULL;

    rc = ngx_http_paylink_viewer_send(viewer, news->text, news->len);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    return (news->last && !viewer->busy) ? NGX_OK : NGX_AGAIN;
}


/* the text must live until the viewer is no longer busy */

static ngx_int_t
ngx_http_paylink_viewer_send(ngx_http_paylink_viewer_t *viewer, u_char *text,
    size_t len)
{
    ngx_buf_t  *b;

    b = &viewer->buf;

    ngx_memzero(b, sizeof(ngx_buf_t));

    b->pos = text;
    b->last = text + len;
    b->start = b->pos;
    b->end = b->last;
    b->memory = 1;
    b->flush = 1;

    viewer->chain.next = NULL;

    return ngx_http_paylink_viewer_flush(viewer, &viewer->chain);
}


static ngx_int_t
ngx_http_paylink_viewer_flush(ngx_http_paylink_viewer_t *viewer,
    ngx_chain_t *chain)
{
    ngx_event_t               *wev;
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    r = viewer->request;
    wev = r->connection->write;

    if (ngx_http_output_filter(r, chain) == NGX_ERROR) {
        return NGX_ERROR;
    }

    viewer->busy = (r->buffered || r->connection->buffered);

    if (!viewer->busy) {

        if (wev->timer_set) {
            ngx_del_timer(wev);
        }

        return NGX_OK;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (!wev->delayed && !wev->timer_set) {
        ngx_add_timer(wev, clcf->send_timeout);
    }

    return (ngx_handle_write_event(wev, clcf->send_lowat) == NGX_OK)
           ? NGX_OK : NGX_ERROR;
}


/* tells all viewers of a watch the news it has */

void
ngx_http_paylink_live_tell(ngx_http_paylink_watch_t *watch)
{
    ngx_queue_t                *q, told;
    ngx_http_paylink_viewer_t  *viewer;

    /* a viewer may end, and with the last one the watch: walk a copy */

    ngx_queue_init(&told);

    if (!ngx_queue_empty(&watch->viewers)) {
        q = ngx_queue_head(&watch->viewers);
        ngx_queue_split(&watch->viewers, q, &told);
    }

    while (!ngx_queue_empty(&told)) {
        q = ngx_queue_head(&told);
        viewer = ngx_queue_data(q, ngx_http_paylink_viewer_t, queue);

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&watch->viewers, q);

        ngx_http_paylink_viewer_end(viewer,
                                    ngx_http_paylink_viewer_news(viewer));
    }
}


/* a slow client takes more; inside of nginx's event handlers */

static void
ngx_http_paylink_viewer_writer(ngx_http_request_t *r)
{
    ngx_int_t                   rc;
    ngx_event_t                *wev;
    ngx_http_paylink_ctx_t     *ctx;
    ngx_http_paylink_viewer_t  *viewer;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);
    viewer = ctx->viewer;
    wev = r->connection->write;

    if (viewer == NULL || !viewer->busy) {
        return;
    }

    if (wev->timedout) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, NGX_ETIMEDOUT,
                      "paylink: a viewer took nothing in time");
        r->connection->timedout = 1;
        ngx_http_paylink_finish(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    rc = ngx_http_paylink_viewer_flush(viewer, NULL);

    if (rc == NGX_OK && !viewer->busy) {

        if (viewer->sent && viewer->sent->last) {
            ngx_http_paylink_finish(r,
                                    ngx_http_send_special(r, NGX_HTTP_LAST));
            return;
        }

        rc = ngx_http_paylink_viewer_news(viewer);

        if (rc == NGX_OK) {
            ngx_http_paylink_finish(r,
                                    ngx_http_send_special(r, NGX_HTTP_LAST));
            return;
        }
    }

    if (rc == NGX_ERROR) {
        ngx_http_paylink_finish(r, NGX_ERROR);
    }
}


/* what ngx_http_paylink_viewer_news() says, inside of our event handlers */

static void
ngx_http_paylink_viewer_end(ngx_http_paylink_viewer_t *viewer, ngx_int_t rc)
{
    ngx_http_request_t  *r;

    if (rc == NGX_AGAIN) {
        return;
    }

    r = viewer->request;

    if (rc == NGX_OK) {
        rc = ngx_http_send_special(r, NGX_HTTP_LAST);
    }

    ngx_http_paylink_continue(r, rc);
}


/* reads what is stale, sends heartbeats, ends all when the worker has to go */

static void
ngx_http_paylink_live_tick(ngx_event_t *ev)
{
    ngx_queue_t                *q;
    ngx_http_paylink_live_t    *live;
    ngx_http_paylink_viewer_t  *viewer;

    live = ev->data;

    ngx_http_paylink_watch_again();

    while (!ngx_queue_empty(&live->beats)) {

        q = ngx_queue_head(&live->beats);
        viewer = ngx_queue_data(q, ngx_http_paylink_viewer_t, beat);

        if (ngx_exiting) {
            ngx_http_paylink_viewer_end(viewer, viewer->busy ? NGX_ERROR
                                                             : NGX_OK);
            continue;
        }

        if ((ngx_msec_int_t) (viewer->due - ngx_current_msec) > 0) {
            break;
        }

        ngx_http_paylink_live_beat(viewer);
    }

    if (live->viewers) {
        ngx_add_timer(ev, NGX_HTTP_PAYLINK_LIVE_TICK);
    }
}


static void
ngx_http_paylink_live_beat(ngx_http_paylink_viewer_t *viewer)
{
    ngx_int_t                 rc;
    ngx_http_paylink_live_t  *live;

    live = &ngx_http_paylink_live_state;

    ngx_queue_remove(&viewer->beat);
    ngx_queue_insert_tail(&live->beats, &viewer->beat);

    viewer->due = ngx_current_msec + live->conf->heartbeat;

    if (viewer->busy) {
        return;
    }

    rc = ngx_http_paylink_viewer_send(viewer, ngx_http_paylink_live_comment,
                                 sizeof(ngx_http_paylink_live_comment) - 1);

    ngx_http_paylink_viewer_end(viewer, (rc == NGX_OK) ? NGX_AGAIN : rc);
}
