
/*
 * What operators watch: counters in shared memory, over all workers and across
 * reloads, shown in the text format of Prometheus.  Knows no link.
 */


#include "ngx_http_paylink.h"

#include <time.h>


#define NGX_HTTP_PAYLINK_ZONE_SIZE     (16 * ngx_pagesize)
#define NGX_HTTP_PAYLINK_METRICS_SIZE  16384

#define NGX_HTTP_PAYLINK_CLASSES       4
#define NGX_HTTP_PAYLINK_LATENCIES     12

#define NGX_HTTP_PAYLINK_DEPTH_VALID   30


/*
 * Gauges are kept for each process, so that one that crashes takes its own
 * along: the next one in its slot starts from zero.
 */

typedef struct {
    ngx_atomic_t                    waiting;
    ngx_atomic_t                    viewers;
    ngx_atomic_t                    replica;
} ngx_http_paylink_gauges_t;


typedef struct {
    size_t          size;               /* of this structure */
    ngx_atomic_t    requests[NGX_HTTP_PAYLINK_ROUTES]
                            [NGX_HTTP_PAYLINK_CLASSES];
    ngx_atomic_t    pages[NGX_HTTP_PAYLINK_PAGES];
    ngx_atomic_t    counts[NGX_HTTP_PAYLINK_COUNTS];
    ngx_atomic_t    latency[NGX_HTTP_PAYLINK_LATENCIES];
    ngx_atomic_t    latency_us;
    ngx_atomic_t    depth[NGX_HTTP_PAYLINK_STREAMS];
    ngx_atomic_t    depth_at;           /* seconds; 0: never known */
    ngx_http_paylink_gauges_t  gauges[NGX_MAX_PROCESSES];
} ngx_http_paylink_metrics_t;


typedef struct {
    const char                     *name;
    const char                     *labels;     /* or "" */
    const char                     *help;       /* NULL: of the one before */
} ngx_http_paylink_metric_t;


static ngx_int_t ngx_http_paylink_metrics_zone(ngx_shm_zone_t *zone,
    void *data);
static ngx_int_t ngx_http_paylink_metrics_handler(ngx_http_request_t *r);
static u_char *ngx_http_paylink_metrics_text(u_char *p, u_char *last);
static u_char *ngx_http_paylink_metrics_head(u_char *p, u_char *last,
    const char *name, const char *type, const char *help);
static u_char *ngx_http_paylink_metrics_latency(u_char *p, u_char *last);
static u_char *ngx_http_paylink_metrics_gauges(u_char *p, u_char *last);
static u_char *ngx_http_paylink_metrics_depth(u_char *p, u_char *last);


static ngx_http_paylink_metrics_t  *ngx_http_paylink_metrics;

static const char  *ngx_http_paylink_routes[NGX_HTTP_PAYLINK_ROUTES] = {
    "other", "page", "open", "pay", "renew", "renewed", "result", "events",
    "button", "receipt", "static", "probe"
};

static const char  *ngx_http_paylink_streams[NGX_HTTP_PAYLINK_STREAMS] = {
    "submit", "open", "want", "renew", "dead"
};

static const char  *ngx_http_paylink_classes[NGX_HTTP_PAYLINK_CLASSES] = {
    "2xx", "3xx", "4xx", "5xx"
};

/* upper bounds, us; the last one has none */

static ngx_uint_t  ngx_http_paylink_latencies[NGX_HTTP_PAYLINK_LATENCIES] = {
    250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000,
    0
};

static const char  *ngx_http_paylink_latency_names[NGX_HTTP_PAYLINK_LATENCIES]
    = {
    "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05",
    "0.1", "0.25", "0.5", "+Inf"
};

static ngx_http_paylink_metric_t
    ngx_http_paylink_counters[NGX_HTTP_PAYLINK_COUNTS] =
{
    { "paylink_opens_total", "",
      "Links whose clock was started by a human." },

    { "paylink_submits_total", "{outcome=\"accepted\"}",
      "Submissions by what Redis said of them." },
    { "paylink_submits_total", "{outcome=\"duplicate\"}", NULL },
    { "paylink_submits_total", "{outcome=\"stale\"}", NULL },
    { "paylink_submits_total", "{outcome=\"refused\"}", NULL },
    { "paylink_submits_total", "{outcome=\"failed\"}", NULL },

    { "paylink_redis_errors_total", "", "Error replies of Redis." },
    { "paylink_redis_timeouts_total", "",
      "Commands that Redis did not answer in time." },
    { "paylink_redis_connects_total", "", "Connections made to Redis." },

    { "paylink_redis_reads_total", "{source=\"primary\"}",
      "Records read from Redis, by who was asked." },
    { "paylink_redis_reads_total", "{source=\"replica\"}", NULL },

    { "paylink_cache_total", "{result=\"hit\"}",
      "Links looked up in the cache of a worker." },
    { "paylink_cache_total", "{result=\"miss\"}", NULL },

    { "paylink_guard_total", "{kind=\"declines\"}",
      "Submissions that the card-testing guard refused or held." },
    { "paylink_guard_total", "{kind=\"cards\"}", NULL },
    { "paylink_guard_total", "{kind=\"address\"}", NULL },
    { "paylink_guard_total", "{kind=\"held\"}", NULL }
};


/* the zone, whatever location shows it */

ngx_int_t
ngx_http_paylink_metrics_init(ngx_conf_t *cf)
{
    ngx_str_t        name;
    ngx_shm_zone_t  *zone;

    ngx_str_set(&name, "paylink_metrics");

    zone = ngx_shared_memory_add(cf, &name, NGX_HTTP_PAYLINK_ZONE_SIZE,
                                 &ngx_http_paylink_module);
    if (zone == NULL) {
        return NGX_ERROR;
    }

    zone->init = ngx_http_paylink_metrics_zone;
    zone->data = cf->cycle;

    return NGX_OK;
}


static ngx_int_t
ngx_http_paylink_metrics_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_slab_pool_t  *shpool;

    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    if (data || zone->shm.exists) {

        /* the counters go on over a reload, unless that of a newer module */

        ngx_http_paylink_metrics = shpool->data;

        if (ngx_http_paylink_metrics->size
            == sizeof(ngx_http_paylink_metrics_t))
        {
            return NGX_OK;
        }
    }

    ngx_http_paylink_metrics = ngx_slab_calloc(shpool,
                                          sizeof(ngx_http_paylink_metrics_t));
    if (ngx_http_paylink_metrics == NULL) {
        return NGX_ERROR;
    }

    ngx_http_paylink_metrics->size = sizeof(ngx_http_paylink_metrics_t);
    shpool->data = ngx_http_paylink_metrics;

    return NGX_OK;
}


/* in a process that serves: its slot may have been another's */

void
ngx_http_paylink_metrics_start(void)
{
    ngx_memzero(&ngx_http_paylink_metrics->gauges[ngx_process_slot],
                sizeof(ngx_http_paylink_gauges_t));
}


char *
ngx_http_paylink_metrics_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                 *value;
    ngx_http_core_loc_conf_t  *clcf;

    value = cf->args->elts;

    if (ngx_strcasecmp(value[1].data, (u_char *) "off") == 0) {
        return NGX_CONF_OK;
    }

    if (ngx_strcasecmp(value[1].data, (u_char *) "on") != 0) {
        return "must be \"on\" or \"off\"";
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_paylink_metrics_handler;

    return NGX_CONF_OK;
}


const char *
ngx_http_paylink_route_name(ngx_http_paylink_route_e route)
{
    return ngx_http_paylink_routes[route];
}


void
ngx_http_paylink_count(ngx_http_paylink_count_e count)
{
    (void) ngx_atomic_fetch_add(&ngx_http_paylink_metrics->counts[count], 1);
}


void
ngx_http_paylink_count_page(ngx_uint_t page)
{
    (void) ngx_atomic_fetch_add(&ngx_http_paylink_metrics->pages[page], 1);
}


void
ngx_http_paylink_count_request(ngx_http_paylink_route_e route,
    ngx_uint_t status)
{
    ngx_uint_t  i;

    i = status / 100;
    i = (i < 2) ? 0 : ngx_min(i - 2, NGX_HTTP_PAYLINK_CLASSES - 1);

    (void) ngx_atomic_fetch_add(
                         &ngx_http_paylink_metrics->requests[route][i], 1);
}


void
ngx_http_paylink_count_latency(uint64_t us)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_PAYLINK_LATENCIES - 1; i++) {
        if (us <= ngx_http_paylink_latencies[i]) {
            break;
        }
    }

    (void) ngx_atomic_fetch_add(&ngx_http_paylink_metrics->latency[i], 1);
    (void) ngx_atomic_fetch_add(&ngx_http_paylink_metrics->latency_us, us);
}


void
ngx_http_paylink_gauge_waiting(ngx_uint_t n)
{
    ngx_http_paylink_metrics->gauges[ngx_process_slot].waiting = n;
}


void
ngx_http_paylink_gauge_viewers(ngx_uint_t n)
{
    ngx_http_paylink_metrics->gauges[ngx_process_slot].viewers = n;
}


void
ngx_http_paylink_gauge_depth(ngx_http_paylink_stream_e stream, ngx_uint_t n)
{
    ngx_http_paylink_metrics->depth[stream] = n;
    ngx_http_paylink_metrics->depth_at = ngx_time();
}


const char *
ngx_http_paylink_stream_name(ngx_http_paylink_stream_e stream)
{
    return ngx_http_paylink_streams[stream];
}


void
ngx_http_paylink_gauge_replica(ngx_uint_t up)
{
    ngx_http_paylink_metrics->gauges[ngx_process_slot].replica = up;
}


uint64_t
ngx_http_paylink_monotonic_us(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


static ngx_int_t
ngx_http_paylink_metrics_handler(ngx_http_request_t *r)
{
    ngx_str_t  body;

    static ngx_str_t  type =
                         ngx_string("text/plain; version=0.0.4; charset=utf-8");

    if (ngx_http_paylink_metrics == NULL) {
        /* no location is on */
        return NGX_HTTP_NOT_FOUND;
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_http_paylink_not_allowed(r, "GET, HEAD");
    }

    body.data = ngx_pnalloc(r->pool, NGX_HTTP_PAYLINK_METRICS_SIZE);
    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.len = ngx_http_paylink_metrics_text(body.data,
                                  body.data + NGX_HTTP_PAYLINK_METRICS_SIZE)
               - body.data;

    r->headers_out.status = NGX_HTTP_OK;

    return ngx_http_paylink_send(r, NGX_HTTP_PAYLINK_HEADERS_PAGE, &type,
                                 &body);
}


static u_char *
ngx_http_paylink_metrics_text(u_char *p, u_char *last)
{
    ngx_uint_t                   i, k;
    ngx_http_paylink_metric_t   *metric;
    ngx_http_paylink_metrics_t  *m;

    m = ngx_http_paylink_metrics;

    p = ngx_http_paylink_metrics_head(p, last, "paylink_requests_total",
                     "counter", "Requests by route and class of status.");

    for (i = 0; i < NGX_HTTP_PAYLINK_ROUTES; i++) {
        for (k = 0; k < NGX_HTTP_PAYLINK_CLASSES; k++) {
            p = ngx_slprintf(p, last, "paylink_requests_total{route=\"%s\","
                             "status=\"%s\"} %uA\n",
                             ngx_http_paylink_routes[i],
                             ngx_http_paylink_classes[k], m->requests[i][k]);
        }
    }

    p = ngx_http_paylink_metrics_head(p, last, "paylink_pages_total",
                     "counter", "Pages shown, by template.");

    for (i = 0; i < NGX_HTTP_PAYLINK_PAGES; i++) {
        p = ngx_slprintf(p, last, "paylink_pages_total{page=\"%s\"} %uA\n",
                         ngx_http_paylink_page_name(i), m->pages[i]);
    }

    for (i = 0; i < NGX_HTTP_PAYLINK_COUNTS; i++) {
        metric = &ngx_http_paylink_counters[i];

        if (metric->help) {
            p = ngx_http_paylink_metrics_head(p, last, metric->name,
                                              "counter", metric->help);
        }

        p = ngx_slprintf(p, last, "%s%s %uA\n", metric->name, metric->labels,
                         m->counts[i]);
    }

    p = ngx_http_paylink_metrics_latency(p, last);

    return ngx_http_paylink_metrics_gauges(p, last);
}


static u_char *
ngx_http_paylink_metrics_head(u_char *p, u_char *last, const char *name,
    const char *type, const char *help)
{
    return ngx_slprintf(p, last, "# HELP %s %s\n# TYPE %s %s\n", name, help,
                        name, type);
}


static u_char *
ngx_http_paylink_metrics_latency(u_char *p, u_char *last)
{
    uint64_t                     us;
    ngx_uint_t                   i;
    ngx_atomic_uint_t            sum;
    ngx_http_paylink_metrics_t  *m;

    m = ngx_http_paylink_metrics;

    p = ngx_http_paylink_metrics_head(p, last, "paylink_redis_seconds",
                     "histogram", "Time until Redis answered a command.");

    for (sum = 0, i = 0; i < NGX_HTTP_PAYLINK_LATENCIES; i++) {
        sum += m->latency[i];

        p = ngx_slprintf(p, last,
                         "paylink_redis_seconds_bucket{le=\"%s\"} %uA\n",
                         ngx_http_paylink_latency_names[i], sum);
    }

    us = m->latency_us;

    return ngx_slprintf(p, last, "paylink_redis_seconds_sum %uL.%06uL\n"
                        "paylink_redis_seconds_count %uA\n",
                        us / 1000000, us % 1000000, sum);
}


static u_char *
ngx_http_paylink_metrics_gauges(u_char *p, u_char *last)
{
    ngx_uint_t                  i;
    ngx_atomic_uint_t           waiting, viewers, replica;
    ngx_http_paylink_gauges_t  *gauges;

    gauges = ngx_http_paylink_metrics->gauges;

    waiting = 0;
    viewers = 0;
    replica = 0;

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {
        waiting += gauges[i].waiting;
        viewers += gauges[i].viewers;
        replica += gauges[i].replica;
    }

    p = ngx_http_paylink_metrics_head(p, last, "paylink_redis_waiting",
                     "gauge", "Commands that Redis has yet to answer.");
    p = ngx_slprintf(p, last, "paylink_redis_waiting %uA\n", waiting);

    p = ngx_http_paylink_metrics_head(p, last, "paylink_redis_replica_up",
                     "gauge", "Processes of nginx that read from the replica.");
    p = ngx_slprintf(p, last, "paylink_redis_replica_up %uA\n", replica);

    p = ngx_http_paylink_metrics_head(p, last, "paylink_live_viewers",
                     "gauge", "Open pages that follow their link.");

    p = ngx_slprintf(p, last, "paylink_live_viewers %uA\n", viewers);

    return ngx_http_paylink_metrics_depth(p, last);
}


/* what is not known is not shown */

static u_char *
ngx_http_paylink_metrics_depth(u_char *p, u_char *last)
{
    ngx_uint_t                   i;
    ngx_http_paylink_metrics_t  *m;

    m = ngx_http_paylink_metrics;

    if (m->depth_at + NGX_HTTP_PAYLINK_DEPTH_VALID
        < (ngx_atomic_uint_t) ngx_time())
    {
        return p;
    }

    p = ngx_http_paylink_metrics_head(p, last, "paylink_stream_entries",
                     "gauge", "Entries that wait for the worker, by stream; "
                     "dead: those it gave up on.");

    for (i = 0; i < NGX_HTTP_PAYLINK_STREAMS; i++) {
        p = ngx_slprintf(p, last,
                         "paylink_stream_entries{stream=\"%s\"} %uA\n",
                         ngx_http_paylink_streams[i], m->depth[i]);
    }

    return p;
}
