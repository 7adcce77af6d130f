
/*
 * Markers: messages of a process to itself, published on the primary.  One
 * that comes back by the events of a site says that all that was changed
 * before it was sent is known there, and told of: over the replication, too.
 */


#include "ngx_http_paylink.h"


/* one is sent when the last is older than the gap, and trusted so long */

#define NGX_HTTP_PAYLINK_MARKER_TRUST    800

/* as many may be on their way at once: the primary may be far */

#define NGX_HTTP_PAYLINK_MARKERS         8


typedef struct {
    ngx_msec_t                      msec;
    ngx_atomic_uint_t               us;
} ngx_http_paylink_marker_t;


typedef struct {
    ngx_http_paylink_marker_t       sent[NGX_HTTP_PAYLINK_MARKERS];
    ngx_uint_t                      number;     /* of the last one */
    ngx_uint_t                      back[NGX_HTTP_PAYLINK_SITES];
} ngx_http_paylink_markers_t;


static ngx_http_paylink_markers_t  ngx_http_paylink_markers;


#define ngx_http_paylink_marker(n)                                            \
    (&ngx_http_paylink_markers.sent[(n) % NGX_HTTP_PAYLINK_MARKERS])


ngx_uint_t
ngx_http_paylink_marker_send(void)
{
    ngx_uint_t                  n;
    ngx_http_paylink_marker_t  *marker;

    n = ++ngx_http_paylink_markers.number;

    marker = ngx_http_paylink_marker(n);
    marker->msec = ngx_current_msec;
    marker->us = (ngx_atomic_uint_t) ngx_http_paylink_monotonic_us();

    ngx_http_paylink_redis_tell(ngx_http_paylink_command_marker(n));

    return n;
}


void
ngx_http_paylink_marker_due(void)
{
    ngx_http_paylink_marker_t  *last;

    last = ngx_http_paylink_marker(ngx_http_paylink_markers.number);

    if (ngx_current_msec - last->msec >= NGX_HTTP_PAYLINK_MARKER_GAP) {
        (void) ngx_http_paylink_marker_send();
    }
}


void
ngx_http_paylink_marker_back(ngx_http_paylink_site_e site, u_char *p,
    size_t len)
{
    ngx_int_t                    n;
    ngx_http_paylink_markers_t  *markers;

    markers = &ngx_http_paylink_markers;

    n = ngx_atoi(p, len);

    if (n > (ngx_int_t) markers->back[site]
        && n <= (ngx_int_t) markers->number)
    {
        markers->back[site] = n;

        if (site == NGX_HTTP_PAYLINK_REPLICA) {
            ngx_http_paylink_replica_back();
        }
    }
}


/* the connection of events was lost, and with it what it would have told */

void
ngx_http_paylink_marker_lost(ngx_http_paylink_site_e site)
{
    ngx_http_paylink_markers.back[site] = 0;
}


/* whether one that is not older than this number came back, not long ago */

ngx_uint_t
ngx_http_paylink_marker_trust(ngx_http_paylink_site_e site, ngx_uint_t since)
{
    ngx_uint_t                   n;
    ngx_http_paylink_markers_t  *markers;

    markers = &ngx_http_paylink_markers;

    n = markers->back[site];

    return n && n >= since
           && markers->number - n < NGX_HTTP_PAYLINK_MARKERS
           && ngx_current_msec - ngx_http_paylink_marker(n)->msec
              < NGX_HTTP_PAYLINK_MARKER_TRUST;
}


/* whether the last one back, which is trusted, was sent after that */

ngx_uint_t
ngx_http_paylink_marker_after(ngx_http_paylink_site_e site,
    ngx_atomic_uint_t us)
{
    ngx_uint_t  n;

    n = ngx_http_paylink_markers.back[site];

    return (ngx_atomic_int_t) (ngx_http_paylink_marker(n)->us - us) > 0;
}
