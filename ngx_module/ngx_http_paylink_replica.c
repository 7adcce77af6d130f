
/*
 * A replica of Redis beside the edge: whether it is good enough to be read
 * from, and which links are not to be read from it because the payer was told
 * something newer.  All that writes goes to the primary, whoever is read from.
 *
 * The replica is good as long as our markers, published on the primary, come
 * back by it: then the connection between the two is there, what it shows is
 * no older than the last marker, and there is no need to ask it how it is.
 */


#include "ngx_http_paylink.h"


#define NGX_HTTP_PAYLINK_REPLICA_PAUSE     1000
#define NGX_HTTP_PAYLINK_REPLICA_BUCKETS   4096
#define NGX_HTTP_PAYLINK_REPLICA_ZONE                                         \
    (NGX_HTTP_PAYLINK_REPLICA_BUCKETS * sizeof(ngx_atomic_t)                  \
     + 8 * ngx_pagesize)


typedef struct {
    ngx_http_paylink_server_t      *server;     /* NULL: there is none */
    ngx_event_t                     tick;
    ngx_msec_t                      left;       /* when it was given up */
    ngx_log_t                      *log;
    unsigned                        up:1;       /* reads go to it */
} ngx_http_paylink_replica_t;


static ngx_int_t ngx_http_paylink_replica_zone(ngx_shm_zone_t *zone,
    void *data);
static void ngx_http_paylink_replica_tick(ngx_event_t *ev);


static ngx_http_paylink_replica_t  ngx_http_paylink_replica;

/* when a link was written, us, by a hash of its id: of all processes */

static ngx_atomic_t               *ngx_http_paylink_replica_written;


/* ids are random */

#define ngx_http_paylink_replica_slot(id)                                     \
    (&ngx_http_paylink_replica_written[((id)[10] << 8 | (id)[11])             \
                                       % NGX_HTTP_PAYLINK_REPLICA_BUCKETS])


/* the replica lets in whom the primary lets in */

ngx_int_t
ngx_http_paylink_replica_init(ngx_conf_t *cf,
    ngx_http_paylink_main_conf_t *pmcf)
{
    ngx_str_t                   name;
    ngx_shm_zone_t             *zone;
    ngx_http_paylink_server_t  *primary, *replica;

    primary = &pmcf->redis[NGX_HTTP_PAYLINK_PRIMARY];
    replica = &pmcf->redis[NGX_HTTP_PAYLINK_REPLICA];

    if (replica->name.len == 0) {
        return NGX_OK;
    }

    if (replica->name.len == primary->name.len
        && ngx_strncmp(replica->name.data, primary->name.data,
                       primary->name.len)
           == 0)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"paylink_redis_replica\" is the address of "
                      "\"paylink_redis\" itself: \"%V\"", &replica->name);
        return NGX_ERROR;
    }

    replica->user = primary->user;
    replica->password = primary->password;
    replica->timeout = primary->timeout;
    replica->connect_timeout = primary->connect_timeout;

    ngx_str_set(&name, "paylink_replica");

    zone = ngx_shared_memory_add(cf, &name, NGX_HTTP_PAYLINK_REPLICA_ZONE,
                                 &ngx_http_paylink_module);
    if (zone == NULL) {
        return NGX_ERROR;
    }

    zone->init = ngx_http_paylink_replica_zone;
    zone->data = cf->cycle;

    return NGX_OK;
}


static ngx_int_t
ngx_http_paylink_replica_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_slab_pool_t  *shpool;

    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    if (data == NULL && !zone->shm.exists) {
        shpool->data = ngx_slab_calloc(shpool,
                                       NGX_HTTP_PAYLINK_REPLICA_BUCKETS
                                       * sizeof(ngx_atomic_t));
    }

    ngx_http_paylink_replica_written = shpool->data;

    return shpool->data ? NGX_OK : NGX_ERROR;
}


void
ngx_http_paylink_replica_start(ngx_cycle_t *cycle,
    ngx_http_paylink_main_conf_t *pmcf)
{
    ngx_http_paylink_replica_t  *replica;

    replica = &ngx_http_paylink_replica;

    ngx_memzero(replica, sizeof(ngx_http_paylink_replica_t));

    if (pmcf->redis[NGX_HTTP_PAYLINK_REPLICA].name.len == 0) {
        return;
    }

    replica->server = &pmcf->redis[NGX_HTTP_PAYLINK_REPLICA];
    replica->left = ngx_current_msec - NGX_HTTP_PAYLINK_REPLICA_PAUSE;
    replica->log = cycle->log;

    replica->tick.handler = ngx_http_paylink_replica_tick;
    replica->tick.data = replica;
    replica->tick.log = cycle->log;
    replica->tick.cancelable = 1;

    ngx_add_timer(&replica->tick, NGX_HTTP_PAYLINK_MARKER_GAP);
}


/* before the connections are closed: none of them is to take its place */

void
ngx_http_paylink_replica_exit(void)
{
    ngx_http_paylink_replica.up = 0;
    ngx_http_paylink_gauge_replica(0);

    if (ngx_http_paylink_replica.tick.timer_set) {
        ngx_del_timer(&ngx_http_paylink_replica.tick);
    }
}


/* what a read has to know is known before it comes: no read waits for it */

static void
ngx_http_paylink_replica_tick(ngx_event_t *ev)
{
    if (!ngx_http_paylink_redis_up(NGX_HTTP_PAYLINK_REPLICA)
        || !ngx_http_paylink_marker_trust(NGX_HTTP_PAYLINK_REPLICA, 0))
    {
        ngx_http_paylink_replica_away();
    }

    (void) ngx_http_paylink_marker_send();
    ngx_http_paylink_clock_ask();

    ngx_add_timer(ev, NGX_HTTP_PAYLINK_MARKER_GAP);
}


/*
 * A marker has come back by the replica.  The last events may have been missed
 * by the one and not have come by the other: what is watched is read again.
 */

void
ngx_http_paylink_replica_back(void)
{
    ngx_http_paylink_replica_t  *replica;

    replica = &ngx_http_paylink_replica;

    if (replica->up
        || ngx_current_msec - replica->left < NGX_HTTP_PAYLINK_REPLICA_PAUSE
        || !ngx_http_paylink_redis_up(NGX_HTTP_PAYLINK_REPLICA)
        || !ngx_http_paylink_marker_trust(NGX_HTTP_PAYLINK_REPLICA, 0))
    {
        return;
    }

    replica->up = 1;

    ngx_http_paylink_gauge_replica(1);

    ngx_log_error(NGX_LOG_NOTICE, replica->log, 0,
                  "paylink: links are read from redis replica %V",
                  &replica->server->name);

    ngx_http_paylink_events_close(NGX_HTTP_PAYLINK_PRIMARY);
    ngx_http_paylink_cache_move(NGX_HTTP_PAYLINK_REPLICA);
    ngx_http_paylink_watch_stale();
}


/* it was lost, does not answer, or is behind the primary */

void
ngx_http_paylink_replica_away(void)
{
    ngx_http_paylink_replica_t  *replica;

    replica = &ngx_http_paylink_replica;

    if (!replica->up) {
        return;
    }

    replica->up = 0;
    replica->left = ngx_current_msec;

    ngx_http_paylink_gauge_replica(0);

    ngx_log_error(NGX_LOG_WARN, replica->log, 0,
                  "paylink: redis replica %V is away or behind, links are "
                  "read from the primary", &replica->server->name);

    ngx_http_paylink_events_open(NGX_HTTP_PAYLINK_PRIMARY);
    ngx_http_paylink_cache_move(NGX_HTTP_PAYLINK_PRIMARY);
}


/*
 * Whom to ask for a link.  With the clock in doubt that is the primary, whose
 * time comes before its answer.
 */

ngx_http_paylink_site_e
ngx_http_paylink_replica_site(const u_char *id)
{
    if (ngx_http_paylink_replica.up
        && ngx_http_paylink_marker_trust(NGX_HTTP_PAYLINK_REPLICA, 0)
        && ngx_http_paylink_marker_after(NGX_HTTP_PAYLINK_REPLICA,
                                         *ngx_http_paylink_replica_slot(id))
        && ngx_http_paylink_clock_check() == NGX_OK)
    {
        return NGX_HTTP_PAYLINK_REPLICA;
    }

    return NGX_HTTP_PAYLINK_PRIMARY;
}


/*
 * The payer was told what the primary said of the link: it is read from the
 * primary until a marker that was sent later has come back by the replica.
 */

void
ngx_http_paylink_replica_told(const u_char *id)
{
    ngx_atomic_t       *slot;
    ngx_atomic_uint_t   now, old;

    if (ngx_http_paylink_replica.server == NULL) {
        return;
    }

    slot = ngx_http_paylink_replica_slot(id);
    now = (ngx_atomic_uint_t) ngx_http_paylink_monotonic_us();

    do {
        old = *slot;
    } while ((ngx_atomic_int_t) (now - old) > 0
             && !ngx_atomic_cmp_set(slot, old, now));
}


/* what it did not say, or does not have, the primary may */

ngx_uint_t
ngx_http_paylink_replica_failed(ngx_http_paylink_site_e site,
    redisReply *reply)
{
    return site == NGX_HTTP_PAYLINK_REPLICA
           && (reply == NULL || reply->type != REDIS_REPLY_ARRAY
               || reply->elements == 0
               || reply->element[0]->type != REDIS_REPLY_STRING);
}


/* a line for probes */

const char *
ngx_http_paylink_replica_line(void)
{
    if (ngx_http_paylink_replica.server == NULL) {
        return "";
    }

    return ngx_http_paylink_replica.up ? "replica up\n" : "replica down\n";
}
