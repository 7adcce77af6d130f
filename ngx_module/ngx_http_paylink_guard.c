
/*
 * The card-testing guard: the directive, whom it counts, how long a form is
 * held, and what is said to those who are refused.  What is counted, and how,
 * is Redis' (config/redis/paylink.lua).
 */


#include "ngx_http_paylink.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>


#define NGX_HTTP_PAYLINK_GUARD_DECLINES   5
#define NGX_HTTP_PAYLINK_GUARD_CARDS      3
#define NGX_HTTP_PAYLINK_GUARD_RATE       10
#define NGX_HTTP_PAYLINK_GUARD_DELAY      2000

/* what Redis counts for a link or an address, and how long a form is held */

#define NGX_HTTP_PAYLINK_GUARD_MAX        1000
#define NGX_HTTP_PAYLINK_GUARD_DELAY_MAX  10000


static char *ngx_http_paylink_guard_parameter(ngx_conf_t *cf,
    ngx_str_t *parameter, ngx_http_paylink_guard_conf_t *guard);
static ngx_int_t ngx_http_paylink_guard_count(ngx_str_t *value);
static ngx_int_t ngx_http_paylink_guard_rate(ngx_str_t *value);
static char *ngx_http_paylink_guard_except(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_paylink_guard_conf_t *guard);
static void ngx_http_paylink_guard_limits(ngx_http_paylink_guard_conf_t *guard,
    ngx_uint_t on);
static ngx_int_t ngx_http_paylink_guard_client(ngx_http_request_t *r);
static ngx_int_t ngx_http_paylink_guard_refuse(ngx_http_request_t *r,
    ngx_http_paylink_count_e count, const char *problem, redisReply *reply,
    size_t n);


static ngx_http_paylink_guard_conf_t  ngx_http_paylink_guard_off;


void
ngx_http_paylink_guard_create(ngx_http_paylink_guard_conf_t *guard)
{
    guard->declines = NGX_CONF_UNSET_UINT;
    guard->cards = NGX_CONF_UNSET_UINT;
    guard->rate = NGX_CONF_UNSET_UINT;
    guard->delay = NGX_CONF_UNSET_MSEC;
    guard->except = NGX_CONF_UNSET_PTR;
}


void
ngx_http_paylink_guard_merge(ngx_http_paylink_guard_conf_t *conf,
    ngx_http_paylink_guard_conf_t *prev)
{
    ngx_conf_merge_uint_value(conf->declines, prev->declines,
                              NGX_HTTP_PAYLINK_GUARD_DECLINES);
    ngx_conf_merge_uint_value(conf->cards, prev->cards,
                              NGX_HTTP_PAYLINK_GUARD_CARDS);
    ngx_conf_merge_uint_value(conf->rate, prev->rate,
                              NGX_HTTP_PAYLINK_GUARD_RATE);
    ngx_conf_merge_msec_value(conf->delay, prev->delay,
                              NGX_HTTP_PAYLINK_GUARD_DELAY);
    ngx_conf_merge_ptr_value(conf->except, prev->except, NULL);
    ngx_conf_merge_str_value(conf->challenge, prev->challenge, "");
}


char *
ngx_http_paylink_guard_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_paylink_loc_conf_t *plcf = conf;

    char                           *rv;
    ngx_str_t                      *value;
    ngx_uint_t                      i;
    ngx_http_paylink_guard_conf_t  *guard;

    guard = &plcf->guard;

    if (guard->set) {
        return "is duplicate";
    }

    guard->set = 1;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (i == 1 && ngx_strcmp(value[i].data, "on") == 0) {
            ngx_http_paylink_guard_limits(guard, 1);
            continue;
        }

        if (i == 1 && ngx_strcmp(value[i].data, "off") == 0) {
            ngx_http_paylink_guard_limits(guard, 0);
            continue;
        }

        rv = ngx_http_paylink_guard_parameter(cf, &value[i], guard);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    return NGX_CONF_OK;
}


static void
ngx_http_paylink_guard_limits(ngx_http_paylink_guard_conf_t *guard,
    ngx_uint_t on)
{
    guard->declines = on ? NGX_HTTP_PAYLINK_GUARD_DECLINES : 0;
    guard->cards = on ? NGX_HTTP_PAYLINK_GUARD_CARDS : 0;
    guard->rate = on ? NGX_HTTP_PAYLINK_GUARD_RATE : 0;
    guard->delay = on ? NGX_HTTP_PAYLINK_GUARD_DELAY : 0;
}


/* what is not given is that of the level above */

static char *
ngx_http_paylink_guard_parameter(ngx_conf_t *cf, ngx_str_t *parameter,
    ngx_http_paylink_guard_conf_t *guard)
{
    ngx_int_t   n;
    ngx_str_t   value;

    value.data = (u_char *) ngx_strchr(parameter->data, '=');
    value.data = value.data ? value.data + 1
                            : parameter->data + parameter->len;
    value.len = parameter->data + parameter->len - value.data;

    if (ngx_strncmp(parameter->data, "declines=", 9) == 0) {
        n = ngx_http_paylink_guard_count(&value);
        guard->declines = n;

    } else if (ngx_strncmp(parameter->data, "cards=", 6) == 0) {
        n = ngx_http_paylink_guard_count(&value);
        guard->cards = n;

    } else if (ngx_strncmp(parameter->data, "rate=", 5) == 0) {
        n = ngx_http_paylink_guard_rate(&value);
        guard->rate = n;

    } else if (ngx_strncmp(parameter->data, "delay=", 6) == 0) {
        n = ngx_strcmp(value.data, "off") ? ngx_parse_time(&value, 0) : 0;
        n = (n <= NGX_HTTP_PAYLINK_GUARD_DELAY_MAX) ? n : NGX_ERROR;
        guard->delay = n;

    } else if (ngx_strncmp(parameter->data, "challenge=", 10) == 0) {
        n = (value.len > 1 && value.data[0] == '@') ? NGX_OK : NGX_ERROR;
        guard->challenge = value;

    } else if (ngx_strncmp(parameter->data, "except=", 7) == 0) {
        return ngx_http_paylink_guard_except(cf, &value, guard);

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                           parameter);
        return NGX_CONF_ERROR;
    }

    if (n == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid value \"%V\"",
                           parameter);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_paylink_guard_count(ngx_str_t *value)
{
    ngx_int_t  n;

    if (value->len == 3 && ngx_strncmp(value->data, "off", 3) == 0) {
        return 0;
    }

    n = ngx_atoi(value->data, value->len);

    return (n <= NGX_HTTP_PAYLINK_GUARD_MAX) ? n : NGX_ERROR;
}


/* "10/h" */

static ngx_int_t
ngx_http_paylink_guard_rate(ngx_str_t *value)
{
    ngx_str_t  number;

    number = *value;

    if (number.len > 2 && ngx_strcmp(value->data + value->len - 2, "/h") == 0)
    {
        number.len -= 2;
        return ngx_http_paylink_guard_count(&number);
    }

    return (ngx_http_paylink_guard_count(&number) == 0) ? 0 : NGX_ERROR;
}


static char *
ngx_http_paylink_guard_except(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_paylink_guard_conf_t *guard)
{
    ngx_int_t    rc;
    ngx_cidr_t  *cidr;

    if (guard->except == NGX_CONF_UNSET_PTR) {
        guard->except = ngx_array_create(cf->pool, 2, sizeof(ngx_cidr_t));
        if (guard->except == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    cidr = ngx_array_push(guard->except);
    if (cidr == NULL) {
        return NGX_CONF_ERROR;
    }

    rc = ngx_ptocidr(value, cidr);

    if (rc == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid address \"%V\"",
                           value);
        return NGX_CONF_ERROR;
    }

    if (rc == NGX_DONE) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "low address bits of \"%V\" are meaningless",
                           value);
    }

    return NGX_CONF_OK;
}


/* who is asking: the limits that hold, and in ctx the client's name */

ngx_int_t
ngx_http_paylink_guard(ngx_http_request_t *r)
{
    ngx_http_paylink_ctx_t       *ctx;
    ngx_http_paylink_loc_conf_t  *plcf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);
    plcf = ngx_http_get_module_loc_conf(r, ngx_http_paylink_module);

    ctx->guard = &plcf->guard;

    if (plcf->guard.except
        && ngx_cidr_match(r->connection->sockaddr, plcf->guard.except)
           == NGX_OK)
    {
        ctx->guard = &ngx_http_paylink_guard_off;
    }

    return ngx_http_paylink_guard_client(r);
}


/*
 * An opaque name for the client's address, IPv6 by its /64: equal for equal
 * clients, but nobody without the key can tell the address.  A client without
 * one, on a unix socket, has no name.
 */

static ngx_int_t
ngx_http_paylink_guard_client(ngx_http_request_t *r)
{
    u_char                        *p, *address;
    size_t                         len;
    unsigned                       n;
    u_char                         mac[EVP_MAX_MD_SIZE];
    u_char                         label[64];
    struct sockaddr               *sa;
    ngx_http_paylink_ctx_t        *ctx;
    ngx_http_paylink_main_conf_t  *pmcf;

    sa = r->connection->sockaddr;

    switch (sa->sa_family) {

#if (NGX_HAVE_INET6)
    case AF_INET6:
        address = ((struct sockaddr_in6 *) sa)->sin6_addr.s6_addr;
        len = 8;

        if (IN6_IS_ADDR_V4MAPPED((struct in6_addr *) address)) {
            address += 12;
            len = 4;
        }

        break;
#endif

    case AF_INET:
        address = (u_char *) &((struct sockaddr_in *) sa)->sin_addr;
        len = 4;
        break;

    default:
        return NGX_OK;
    }

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_paylink_module);

    p = ngx_cpymem(label, "paylink client v1", sizeof("paylink client v1"));
    p = ngx_cpymem(p, address, len);

    if (HMAC(EVP_sha256(), pmcf->keys.key[0].secret,
             sizeof(pmcf->keys.key[0].secret), label, p - label, mac, &n)
        == NULL)
    {
        return NGX_ERROR;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    ngx_memcpy(ctx->client, mac, TOKEN_ID_SIZE);
    hex_format(ctx->client, TOKEN_ID_SIZE, (char *) ctx->client_hex);
    ctx->client_named = 1;

    return NGX_OK;
}


/*
 * A form that comes back sooner than a human can read it is held until its
 * time has come: autofill is no offence, and whoever is in a hurry gains
 * nothing.  The form's attempt says when it was rendered; another edge's clock
 * may differ, so nothing is held for longer than that.
 */

ngx_int_t
ngx_http_paylink_guard_hold(ngx_http_request_t *r,
    ngx_http_paylink_resume_pt resume)
{
    int64_t                  left;
    ngx_time_t              *tp;
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);
    tp = ngx_timeofday();

    left = uuid7_time_ms(ctx->attempt.uuid) + (int64_t) ctx->guard->delay
           - ((int64_t) tp->sec * 1000 + tp->msec);

    if (left <= 0) {
        return resume(r);
    }

    ngx_http_paylink_count(NGX_HTTP_PAYLINK_GUARD_HELD);

    ngx_http_paylink_wait_time(ctx,
                               (ngx_msec_t) ngx_min(left,
                                              (int64_t) ctx->guard->delay),
                               resume);

    return NGX_HTTP_PAYLINK_WAIT;
}


/* whose attempts are counted by their address */

ngx_uint_t
ngx_http_paylink_guard_counts(ngx_http_paylink_ctx_t *ctx)
{
    return ctx->guard->rate && ctx->client_named;
}


/* the link takes no more cards: what Redis said of the submission */

ngx_int_t
ngx_http_paylink_guard_link(ngx_http_request_t *r, redisReply *reply)
{
    ngx_http_paylink_count_e  count;

    count = ngx_http_paylink_says(reply, "cards")
            ? NGX_HTTP_PAYLINK_GUARD_BY_CARDS
            : NGX_HTTP_PAYLINK_GUARD_BY_DECLINES;

    return ngx_http_paylink_guard_refuse(r, count, "guard_link", reply, 3);
}


/* the address has had its attempts: what Redis said of it */

ngx_int_t
ngx_http_paylink_guard_address(ngx_http_request_t *r, redisReply *reply)
{
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    /* the location of the challenge may refuse it, too: not a second time */

    if (ctx->guard->challenge.len && !r->internal) {
        ngx_http_paylink_count(NGX_HTTP_PAYLINK_GUARD_BY_ADDRESS);
        return NGX_HTTP_PAYLINK_CHALLENGE;
    }

    return ngx_http_paylink_guard_refuse(r, NGX_HTTP_PAYLINK_GUARD_BY_ADDRESS,
                                         "guard_address", reply, 1);
}


/* the request starts again in a location that knows how to ask for more */

ngx_int_t
ngx_http_paylink_guard_challenge(ngx_http_request_t *r)
{
    ngx_http_paylink_loc_conf_t  *plcf;

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_paylink_module);

    return ngx_http_named_location(r, &plcf->guard.challenge);
}


/* nothing is charged; the reply ends with the time until there is room, ms */

static ngx_int_t
ngx_http_paylink_guard_refuse(ngx_http_request_t *r,
    ngx_http_paylink_count_e count, const char *problem, redisReply *reply,
    size_t n)
{
    u_char       *p;
    ngx_int_t     retry;
    ngx_uint_t    len;

    static time_t  logged;

    ngx_http_paylink_count(count);
    ngx_http_paylink_count(NGX_HTTP_PAYLINK_REFUSED);

    /* not in the request's own log, which adds the address */

    if (logged != ngx_time()) {
        logged = ngx_time();

        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "paylink: the guard refuses submits: %s", problem);
    }

    retry = NGX_ERROR;

    if (reply->elements > n && reply->element[n]->type == REDIS_REPLY_STRING) {
        retry = ngx_atoi((u_char *) reply->element[n]->str,
                         reply->element[n]->len);
    }

    p = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    len = ngx_sprintf(p, "%i", (ngx_max(retry, 0) + 999) / 1000) - p;

    if (ngx_http_paylink_add_header(r, "Retry-After", (char *) p, len)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_paylink_problem(r, NGX_HTTP_TOO_MANY_REQUESTS, problem);
}
