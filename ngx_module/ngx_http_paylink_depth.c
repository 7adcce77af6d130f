
/*
 * How much waits for the worker: one process asks Redis for the lengths of the
 * streams every few seconds.  Entries leave a stream when they are dealt with.
 */


#include "ngx_http_paylink.h"


#define NGX_HTTP_PAYLINK_DEPTH_INTERVAL  5000


typedef struct {
    ngx_event_t                     timer;
    ngx_uint_t                      owed;       /* replies */
    ngx_atomic_uint_t               sums[NGX_HTTP_PAYLINK_STREAMS];
    unsigned                        failed:1;
} ngx_http_paylink_depth_t;


static void ngx_http_paylink_depth_timer(ngx_event_t *ev);
static void ngx_http_paylink_depth_ask(ngx_uint_t stream, ngx_uint_t shard);
static void ngx_http_paylink_depth_reply(void *data, redisReply *reply);


static ngx_http_paylink_depth_t  ngx_http_paylink_depth;


void
ngx_http_paylink_depth_init(ngx_cycle_t *cycle)
{
    ngx_event_t  *ev;

    ngx_memzero(&ngx_http_paylink_depth, sizeof(ngx_http_paylink_depth_t));

    if (ngx_process == NGX_PROCESS_WORKER && ngx_worker != 0) {
        return;
    }

    ev = &ngx_http_paylink_depth.timer;

    ev->handler = ngx_http_paylink_depth_timer;
    ev->data = &ngx_http_paylink_depth;
    ev->log = cycle->log;
    ev->cancelable = 1;

    ngx_add_timer(ev, 1);
}


static void
ngx_http_paylink_depth_timer(ngx_event_t *ev)
{
    ngx_uint_t                 stream, shard;
    ngx_http_paylink_depth_t  *depth;

    depth = ev->data;

    ngx_add_timer(ev, NGX_HTTP_PAYLINK_DEPTH_INTERVAL);

    if (ngx_exiting || depth->owed
        || !ngx_http_paylink_redis_up(NGX_HTTP_PAYLINK_PRIMARY))
    {
        return;
    }

    ngx_memzero(depth->sums, sizeof(depth->sums));
    depth->failed = 0;

    for (stream = 0; stream < NGX_HTTP_PAYLINK_STREAMS; stream++) {
        for (shard = 0; shard < NGX_HTTP_PAYLINK_SHARDS; shard++) {
            ngx_http_paylink_depth_ask(stream, shard);
        }
    }
}


static void
ngx_http_paylink_depth_ask(ngx_uint_t stream, ngx_uint_t shard)
{
    ngx_str_t                 *command;
    ngx_http_paylink_depth_t  *depth;

    depth = &ngx_http_paylink_depth;

    command = ngx_http_paylink_command_depth(stream, shard);

    if (ngx_http_paylink_redis_ask(NGX_HTTP_PAYLINK_PRIMARY, command,
                                   ngx_http_paylink_depth_reply,
                                   &depth->sums[stream])
        == NULL)
    {
        depth->failed = 1;
        return;
    }

    depth->owed++;
}


static void
ngx_http_paylink_depth_reply(void *data, redisReply *reply)
{
    ngx_uint_t                 stream;
    ngx_atomic_uint_t         *sum;
    ngx_http_paylink_depth_t  *depth;

    sum = data;
    depth = &ngx_http_paylink_depth;

    if (reply && reply->type == REDIS_REPLY_INTEGER) {
        *sum += reply->integer;

    } else {
        depth->failed = 1;
    }

    if (--depth->owed || depth->failed) {
        return;
    }

    for (stream = 0; stream < NGX_HTTP_PAYLINK_STREAMS; stream++) {
        ngx_http_paylink_gauge_depth(stream, depth->sums[stream]);
    }
}
