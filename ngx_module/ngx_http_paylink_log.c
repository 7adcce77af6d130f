
/*
 * Logs without tokens.  Whatever nginx writes, in whatever phase and at
 * whatever level, passes a writer that strikes out tokens; the request line
 * is struck out before it reaches an access log.
 */


#include "ngx_http_paylink.h"

#include <openssl/sha.h>


/*
 * A token has 44 characters of base64url, an attempt 48.  What is cut off at
 * the end of a line that is full may be the beginning of one.
 */

#define NGX_HTTP_PAYLINK_SECRET_MIN   40
#define NGX_HTTP_PAYLINK_CUT_MIN      8
#define NGX_HTTP_PAYLINK_HASH         16


typedef struct {
    ngx_log_t                      *log;
    ngx_log_writer_pt               writer;     /* NULL: its file */
    void                           *data;
} ngx_http_paylink_guard_t;


static void ngx_http_paylink_log_writer(ngx_log_t *log, ngx_uint_t level,
    u_char *buf, size_t len);
static void ngx_http_paylink_log_unguard(void *data);
static ngx_uint_t ngx_http_paylink_strike(u_char *p, size_t len, size_t cut);
static size_t ngx_http_paylink_secret_char(u_char *p, u_char *last);
static ngx_int_t ngx_http_paylink_log_handler(ngx_http_request_t *r);
static void ngx_http_paylink_strike_copy(ngx_http_request_t *r,
    ngx_str_t *text);
static ngx_int_t ngx_http_paylink_link_hash(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_paylink_route_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_paylink_redis_time(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


static ngx_http_variable_t  ngx_http_paylink_vars[] = {

    { ngx_string("paylink_link_hash"), NULL, ngx_http_paylink_link_hash, 0,
      0, 0 },

    { ngx_string("paylink_route"), NULL, ngx_http_paylink_route_variable, 0,
      0, 0 },

    { ngx_string("paylink_redis_time"), NULL, ngx_http_paylink_redis_time, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_paylink_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_paylink_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_paylink_log_init(ngx_conf_t *cf)
{
    ngx_array_t                *handlers;
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    handlers = &cmcf->phases[NGX_HTTP_LOG_PHASE].handlers;

    if (ngx_array_push(handlers) == NULL) {
        return NGX_ERROR;
    }

    /* before those who write */

    h = handlers->elts;
    ngx_memmove(h + 1, h,
                (handlers->nelts - 1) * sizeof(ngx_http_handler_pt));

    *h = ngx_http_paylink_log_handler;

    return ngx_http_paylink_log_guard(cf, &cf->cycle->new_log);
}


/*
 * Connections and listening sockets inherit the writer with the log.  It goes
 * with the configuration: the module may be unloaded then, yet nginx logs on.
 */

ngx_int_t
ngx_http_paylink_log_guard(ngx_conf_t *cf, ngx_log_t *log)
{
    ngx_pool_cleanup_t        *cln;
    ngx_http_paylink_guard_t  *guard;

    for ( /* void */ ; log; log = log->next) {

        if (log->writer == ngx_http_paylink_log_writer) {
            continue;
        }

        cln = ngx_pool_cleanup_add(cf->pool, sizeof(ngx_http_paylink_guard_t));
        if (cln == NULL) {
            return NGX_ERROR;
        }

        guard = cln->data;
        guard->log = log;
        guard->writer = log->writer;
        guard->data = log->wdata;

        cln->handler = ngx_http_paylink_log_unguard;

        log->writer = ngx_http_paylink_log_writer;
        log->wdata = guard;
    }

    return NGX_OK;
}


static void
ngx_http_paylink_log_unguard(void *data)
{
    ngx_http_paylink_guard_t  *guard = data;

    guard->log->writer = guard->writer;
    guard->log->wdata = guard->data;
}


/* as the end of ngx_log_error_core() */

static void
ngx_http_paylink_log_writer(ngx_log_t *log, ngx_uint_t level, u_char *buf,
    size_t len)
{
    ssize_t                    n;
    ngx_log_t                  inner;
    ngx_http_paylink_guard_t  *guard;

    if (len <= NGX_LINEFEED_SIZE) {
        return;
    }

    /* buf is ngx_log_error_core()'s own, and the same for all logs */

    (void) ngx_http_paylink_strike(buf, len - NGX_LINEFEED_SIZE,
                                   (len >= NGX_MAX_ERROR_STR - 1)
                                   ? NGX_HTTP_PAYLINK_CUT_MIN
                                   : NGX_HTTP_PAYLINK_SECRET_MIN);

    guard = log->wdata;

    if (guard->writer) {
        inner = *log;
        inner.writer = guard->writer;
        inner.wdata = guard->data;

        guard->writer(&inner, level, buf, len);
        return;
    }

    if (log->file == NULL || ngx_time() == log->disk_full_time) {
        return;
    }

    if (log->file->fd == ngx_stderr && ngx_use_stderr
        && level <= NGX_LOG_WARN)
    {
        /* while nginx starts it tells stderr itself */
        return;
    }

    n = ngx_write_fd(log->file->fd, buf, len);

    if (n == -1 && ngx_errno == NGX_ENOSPC) {
        log->disk_full_time = ngx_time();
    }
}


/*
 * Replaces whatever is long enough to be a token, percent-encoded characters
 * included, and the arguments behind it; the length stays.  True if there was
 * any.
 */

static ngx_uint_t
ngx_http_paylink_strike(u_char *p, size_t len, size_t cut)
{
    u_char      *last, *start;
    size_t       n, size;
    ngx_uint_t   secret, found;

    last = p + len;
    secret = 0;
    found = 0;

    while (p < last) {

        start = p;

        for (n = 0; p < last; n++) {
            size = ngx_http_paylink_secret_char(p, last);

            if (size == 0) {
                break;
            }

            p += size;
        }

        if (n >= NGX_HTTP_PAYLINK_SECRET_MIN || (p == last && n >= cut)) {
            ngx_memset(start, '-', p - start);
            secret = 1;
            found = 1;
        }

        if (p == last) {
            break;
        }

        if (*p == '%' && last - p > 2) {
            /* an encoded separator: its digits belong to no token */
            p += 3;
            continue;
        }

        if (*p == '?' && secret) {
            for (p++; p < last && *p != ' ' && *p != '"'; p++) {
                *p = '-';
            }

            continue;
        }

        if (*p == ' ' || *p == '"') {
            secret = 0;
        }

        p++;
    }

    return found;
}


/* the size of the character of base64url at p, 0 if it is another */

static size_t
ngx_http_paylink_secret_char(u_char *p, u_char *last)
{
    u_char     ch;
    size_t     size;
    ngx_int_t  n;

    ch = *p;
    size = 1;

    if (ch == '%' && last - p > 2) {
        n = ngx_hextoi(p + 1, 2);

        if (n == NGX_ERROR) {
            return 0;
        }

        ch = (u_char) n;
        size = 3;
    }

    return ((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
            || (ch >= '0' && ch <= '9') || ch == '-' || ch == '_')
           ? size : 0;
}


/*
 * The last that happens to a request.  Usually all of its texts lie in the
 * request line.
 */

static ngx_int_t
ngx_http_paylink_log_handler(ngx_http_request_t *r)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (clcf->handler == ngx_http_paylink_handler) {
        ngx_http_paylink_count_request(ngx_http_paylink_route_of(r),
                                       r->headers_out.status);
    }

    if (ngx_http_paylink_strike(r->request_line.data, r->request_line.len,
                                NGX_HTTP_PAYLINK_SECRET_MIN)
        && r->args.len)
    {
        /* what came from the gateway with the payer */
        ngx_str_set(&r->args, "-");
    }

    ngx_http_paylink_strike_copy(r, &r->unparsed_uri);
    ngx_http_paylink_strike_copy(r, &r->uri);
    ngx_http_paylink_strike_copy(r, &r->args);

    if (r->headers_in.referer) {
        ngx_http_paylink_strike_copy(r, &r->headers_in.referer->value);
    }

    return NGX_OK;
}


/* outside of the request line a text may belong to the configuration */

static void
ngx_http_paylink_strike_copy(ngx_http_request_t *r, ngx_str_t *text)
{
    u_char  *p;

    if (text->len < NGX_HTTP_PAYLINK_SECRET_MIN
        || (text->data >= r->request_line.data
            && text->data < r->request_line.data + r->request_line.len))
    {
        return;
    }

    p = ngx_pnalloc(r->pool, text->len);
    if (p == NULL) {
        text->len = 0;
        return;
    }

    ngx_memcpy(p, text->data, text->len);
    (void) ngx_http_paylink_strike(p, text->len, NGX_HTTP_PAYLINK_SECRET_MIN);

    text->data = p;
}


/* tells links apart in logs, opens none: the id is random, and not signed */

static ngx_int_t
ngx_http_paylink_link_hash(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    u_char                   hash[SHA256_DIGEST_LENGTH];
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->data = ngx_pnalloc(r->pool, NGX_HTTP_PAYLINK_HASH);
    if (v->data == NULL) {
        return NGX_ERROR;
    }

    SHA256(ctx->link.id, TOKEN_ID_SIZE, hash);
    hex_format(hash, NGX_HTTP_PAYLINK_HASH / 2, (char *) v->data);

    v->len = NGX_HTTP_PAYLINK_HASH;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_paylink_route_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    const char  *name;

    name = ngx_http_paylink_route_name(ngx_http_paylink_route_of(r));

    v->data = (u_char *) name;
    v->len = ngx_strlen(name);
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


/* seconds that the request has waited for Redis, as $request_time */

static ngx_int_t
ngx_http_paylink_redis_time(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                  *p;
    uint64_t                 us;
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_TIME_T_LEN + sizeof(".000000"));
    if (p == NULL) {
        return NGX_ERROR;
    }

    us = ctx->redis_us;

    v->len = ngx_sprintf(p, "%uL.%06uL", us / 1000000, us % 1000000) - p;
    v->data = p;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}
