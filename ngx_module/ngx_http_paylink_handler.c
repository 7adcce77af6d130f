
/*
 * Routes: which address and method means what, exactly as it came over the
 * wire.  Also the beginning and the end of a request that waits.
 */


#include "ngx_http_paylink.h"


#define NGX_HTTP_PAYLINK_READS   (NGX_HTTP_GET|NGX_HTTP_HEAD)


/* what may stand behind "/p/TOKEN" */

typedef struct {
    ngx_str_t                       name;
    ngx_http_paylink_route_e        route;
    ngx_uint_t                      methods;
    const char                     *allow;
    ngx_int_t                     (*handler)(ngx_http_request_t *r);
} ngx_http_paylink_link_route_t;


static ngx_int_t ngx_http_paylink_route(ngx_http_request_t *r);
static ngx_int_t ngx_http_paylink_link(ngx_http_request_t *r, ngx_str_t *path,
    ngx_str_t *args);
static ngx_int_t ngx_http_paylink_attempt(ngx_http_request_t *r,
    ngx_str_t *text);
static void ngx_http_paylink_cleanup(void *data);
static ngx_int_t ngx_http_paylink_health(ngx_http_request_t *r);
static ngx_int_t ngx_http_paylink_ready(ngx_http_request_t *r);
static ngx_int_t ngx_http_paylink_probe(ngx_http_request_t *r,
    const char *text);
static ngx_int_t ngx_http_paylink_error(ngx_http_request_t *r);


static const ngx_http_paylink_link_route_t  ngx_http_paylink_link_routes[] = {

    { ngx_string(""), NGX_HTTP_PAYLINK_ROUTE_PAGE,
      NGX_HTTP_PAYLINK_READS, "GET, HEAD", ngx_http_paylink_view },

    { ngx_string("/open"), NGX_HTTP_PAYLINK_ROUTE_OPEN,
      NGX_HTTP_POST, "POST", ngx_http_paylink_open },

    { ngx_string("/pay"), NGX_HTTP_PAYLINK_ROUTE_PAY,
      NGX_HTTP_POST, "POST", ngx_http_paylink_pay },

    { ngx_string("/renew"), NGX_HTTP_PAYLINK_ROUTE_RENEW,
      NGX_HTTP_POST, "POST", ngx_http_paylink_renew },

    { ngx_string("/renewed"), NGX_HTTP_PAYLINK_ROUTE_RENEWED,
      NGX_HTTP_PAYLINK_READS, "GET, HEAD", ngx_http_paylink_view },

    { ngx_string("/events"), NGX_HTTP_PAYLINK_ROUTE_EVENTS,
      NGX_HTTP_GET, "GET", ngx_http_paylink_live },

    { ngx_string("/receipt.pdf"), NGX_HTTP_PAYLINK_ROUTE_RECEIPT,
      NGX_HTTP_PAYLINK_READS, "GET, HEAD", ngx_http_paylink_receipt },

    { ngx_string("/qr.svg"), NGX_HTTP_PAYLINK_ROUTE_BUTTON,
      NGX_HTTP_PAYLINK_READS, "GET, HEAD", ngx_http_paylink_qr_svg },

    { ngx_string("/qr.png"), NGX_HTTP_PAYLINK_ROUTE_BUTTON,
      NGX_HTTP_PAYLINK_READS, "GET, HEAD", ngx_http_paylink_qr_png },

    { ngx_null_string, NGX_HTTP_PAYLINK_ROUTE_OTHER, 0, NULL, NULL }
};


ngx_int_t
ngx_http_paylink_handler(ngx_http_request_t *r)
{
    ngx_int_t                rc;
    ngx_http_paylink_ctx_t  *ctx;

    if (r != r->main) {
        return NGX_HTTP_NOT_FOUND;
    }

    rc = ngx_http_paylink_route(r);

    if (rc == NGX_HTTP_PAYLINK_WAIT) {
        r->main->count++;
        return NGX_DONE;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    if (ctx && rc != NGX_DONE) {
        ngx_http_paylink_cleanup(ctx);
    }

    return rc;
}


/*
 * r->uri is decoded and cleaned up, which is a kindness to path tricks: only
 * r->unparsed_uri counts.  It is empty when nginx could not read the request.
 */

static ngx_int_t
ngx_http_paylink_route(ngx_http_request_t *r)
{
    u_char     *p;
    ngx_str_t   path, args;

    if (r->error_page) {
        return ngx_http_paylink_error(r);
    }

    path = r->unparsed_uri;
    ngx_str_null(&args);

    p = ngx_strlchr(path.data, path.data + path.len, '?');

    if (p) {
        args.data = p + 1;
        args.len = path.data + path.len - args.data;
        path.len = p - path.data;
    }

    if (ngx_http_paylink_in_maintenance(r)
        && !ngx_http_paylink_starts(&path, "/static/")
        && !ngx_http_paylink_equals(&path, "/healthz")
        && !ngx_http_paylink_equals(&path, "/readyz"))
    {
        return ngx_http_paylink_maintained(r);
    }

    if (ngx_http_paylink_starts(&path, "/p/")) {
        return ngx_http_paylink_link(r, &path, &args);
    }

    if (ngx_http_paylink_starts(&path, "/static/")) {
        return ngx_http_paylink_asset(r, &path);
    }

    if (ngx_http_paylink_starts(&path, "/b/")) {
        path.data += sizeof("/b/") - 1;
        path.len -= sizeof("/b/") - 1;

        return ngx_http_paylink_button(r, &path, &args);
    }

    if (ngx_http_paylink_starts(&path, "/brand/")) {
        path.data += sizeof("/brand/") - 1;
        path.len -= sizeof("/brand/") - 1;

        return ngx_http_paylink_brand(r, &path);
    }

    if (ngx_http_paylink_equals(&path, "/healthz")) {
        return (r->method & NGX_HTTP_PAYLINK_READS)
               ? ngx_http_paylink_health(r)
               : ngx_http_paylink_not_allowed(r, "GET, HEAD");
    }

    if (ngx_http_paylink_equals(&path, "/readyz")) {
        return (r->method & NGX_HTTP_PAYLINK_READS)
               ? ngx_http_paylink_ready(r)
               : ngx_http_paylink_not_allowed(r, "GET, HEAD");
    }

    return ngx_http_paylink_unknown(r);
}


static ngx_int_t
ngx_http_paylink_link(ngx_http_request_t *r, ngx_str_t *path, ngx_str_t *args)
{
    ngx_str_t                             rest;
    struct token_link                     link;
    ngx_http_paylink_ctx_t               *ctx;
    ngx_http_paylink_main_conf_t         *pmcf;
    const ngx_http_paylink_link_route_t  *route;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_paylink_module);

    rest.data = path->data + sizeof("/p/") - 1;
    rest.len = path->len - (sizeof("/p/") - 1);

    if (rest.len < TOKEN_TEXT_SIZE
        || token_verify(&pmcf->keys, (char *) rest.data, TOKEN_TEXT_SIZE,
                        &link)
           != 0)
    {
        return ngx_http_paylink_unknown(r);
    }

    if (ngx_http_paylink_link_ctx(r, &link, path, args) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rest.data += TOKEN_TEXT_SIZE;
    rest.len -= TOKEN_TEXT_SIZE;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    for (route = ngx_http_paylink_link_routes; route->handler; route++) {

        if (rest.len == route->name.len
            && ngx_memcmp(rest.data, route->name.data, rest.len) == 0)
        {
            ctx->route = route->route;

            return (r->method & route->methods)
                   ? route->handler(r)
                   : ngx_http_paylink_not_allowed(r, route->allow);
        }
    }

    if (ngx_http_paylink_starts(&rest, "/a/")) {
        ctx->route = NGX_HTTP_PAYLINK_ROUTE_RESULT;

        rest.data += sizeof("/a/") - 1;
        rest.len -= sizeof("/a/") - 1;

        return ngx_http_paylink_attempt(r, &rest);
    }

    return ngx_http_paylink_unknown(r);
}


/* the path begins with what is to lead back to: "/p/TOKEN", or nothing */

/* takes the next of "a=1&b=2", both parts of it; NGX_DONE: there is none */

ngx_int_t
ngx_http_paylink_next_arg(ngx_str_t *args, ngx_str_t *arg)
{
    u_char  *last, *end;

    if (args->len == 0) {
        return NGX_DONE;
    }

    last = args->data + args->len;

    end = ngx_strlchr(args->data, last, '&');
    if (end == NULL) {
        end = last;
    }

    arg->data = args->data;
    arg->len = end - args->data;

    args->data = (end == last) ? last : end + 1;
    args->len = last - args->data;

    return NGX_OK;
}


ngx_int_t
ngx_http_paylink_link_ctx(ngx_http_request_t *r, struct token_link *link,
    ngx_str_t *path, ngx_str_t *args)
{
    ngx_http_cleanup_t      *cln;
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_paylink_ctx_t));
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_paylink_cleanup;
    cln->data = ctx;

    ctx->request = r;
    ctx->link = *link;
    ctx->args = *args;
    ctx->language = ngx_http_paylink_language_accepted(r);
    ctx->token_path.data = path->data;
    ctx->token_path.len = ngx_min(path->len,
                                  sizeof("/p/") - 1 + TOKEN_TEXT_SIZE);

    hex_format(link->id, TOKEN_ID_SIZE, (char *) ctx->link_hex);

    ngx_http_set_ctx(r, ctx, ngx_http_paylink_module);

    return NGX_OK;
}


static ngx_int_t
ngx_http_paylink_attempt(ngx_http_request_t *r, ngx_str_t *text)
{
    ngx_http_paylink_ctx_t        *ctx;
    ngx_http_paylink_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_paylink_module);
    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    if (attempt_verify(&pmcf->keys, &ctx->link, (char *) text->data,
                       text->len, &ctx->attempt)
        != 0)
    {
        return ngx_http_paylink_unknown(r);
    }

    ctx->attempt_text = *text;
    hex_format(ctx->attempt.uuid, sizeof(ctx->attempt.uuid),
               (char *) ctx->attempt_hex);

    return (r->method & NGX_HTTP_PAYLINK_READS)
           ? ngx_http_paylink_result(r)
           : ngx_http_paylink_not_allowed(r, "GET, HEAD");
}


/*
 * To be called before a request waits: its client may leave, may even have
 * left, and r->main->count protects from nothing then.
 */

ngx_int_t
ngx_http_paylink_hold(ngx_http_request_t *r)
{
    ngx_event_t  *rev;

    if (r->discard_body) {
        /* that handler notices, too */
        return NGX_OK;
    }

    rev = r->connection->read;

    if (rev->ready) {
        ngx_post_event(rev, &ngx_posted_events);

    } else if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    return NGX_OK;
}


/* the end of a request that has waited, inside of nginx's event handlers */

void
ngx_http_paylink_finish(ngx_http_request_t *r, ngx_int_t rc)
{
    if (rc == NGX_HTTP_PAYLINK_WAIT) {
        return;
    }

    ngx_http_paylink_cleanup(ngx_http_get_module_ctx(r,
                                                     ngx_http_paylink_module));

    if (rc == NGX_HTTP_PAYLINK_CHALLENGE) {
        rc = ngx_http_paylink_guard_challenge(r);
    }

    ngx_http_finalize_request(r, rc);
}


/* the same inside of our event handlers */

void
ngx_http_paylink_continue(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_connection_t  *c;

    if (rc == NGX_HTTP_PAYLINK_WAIT) {
        return;
    }

    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_http_paylink_finish(r, rc);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_paylink_cleanup(void *data)
{
    ngx_http_paylink_ctx_t  *ctx = data;

    ngx_http_paylink_redis_detach(ctx);
    ngx_http_paylink_wait_stop(ctx);
    ngx_http_paylink_live_leave(ctx);
}


/*
 * Says that the edge is alive.  Without Redis it still is, and tells payers
 * the truth: taking it out of service would help nobody.
 */

static ngx_int_t
ngx_http_paylink_health(ngx_http_request_t *r)
{
    r->headers_out.status = NGX_HTTP_OK;

    return ngx_http_paylink_probe(r,
                          ngx_http_paylink_redis_up(NGX_HTTP_PAYLINK_PRIMARY)
                          ? "ok\nredis up\n" : "ok\nredis down\n");
}


/*
 * Says whether payers can be served: for those who choose among edges.  What
 * is known of Redis is what its last answers were, so that probes cost none.
 */

static ngx_int_t
ngx_http_paylink_ready(ngx_http_request_t *r)
{
    if (ngx_http_paylink_redis_up(NGX_HTTP_PAYLINK_PRIMARY)) {
        r->headers_out.status = NGX_HTTP_OK;

        return ngx_http_paylink_probe(r, "ready\n");
    }

    r->headers_out.status = NGX_HTTP_SERVICE_UNAVAILABLE;

    if (ngx_http_paylink_add_header(r, "Retry-After", "2", 1) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_paylink_probe(r, "not ready: redis down\n");
}


/* a replica that is away is no reason to go elsewhere, but to be told */

static ngx_int_t
ngx_http_paylink_probe(ngx_http_request_t *r, const char *text)
{
    ngx_str_t    body;
    const char  *replica;

    static ngx_str_t  type = ngx_string("text/plain; charset=utf-8");

    replica = ngx_http_paylink_replica_line();

    body.data = ngx_pnalloc(r->pool, ngx_strlen(text) + ngx_strlen(replica));
    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.len = ngx_sprintf(body.data, "%s%s", text, replica) - body.data;

    return ngx_http_paylink_send(r, NGX_HTTP_PAYLINK_HEADERS_PAGE, &type,
                                 &body);
}


/* for those who count and log: what the request was for */

ngx_http_paylink_route_e
ngx_http_paylink_route_of(ngx_http_request_t *r)
{
    ngx_str_t               *uri;
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    if (ctx) {
        return ctx->route;
    }

    uri = &r->uri;

    if (ngx_http_paylink_starts(uri, "/static/")) {
        return NGX_HTTP_PAYLINK_ROUTE_STATIC;
    }

    if (ngx_http_paylink_equals(uri, "/healthz")
        || ngx_http_paylink_equals(uri, "/readyz"))
    {
        return NGX_HTTP_PAYLINK_ROUTE_PROBE;
    }

    return NGX_HTTP_PAYLINK_ROUTE_OTHER;
}


/* by error_page: what nginx itself refuses looks like the rest */

static ngx_int_t
ngx_http_paylink_error(ngx_http_request_t *r)
{
    switch (r->err_status) {

    case NGX_HTTP_NOT_FOUND:
        return ngx_http_paylink_unknown(r);

    case NGX_HTTP_NOT_ALLOWED:
        return ngx_http_paylink_problem(r, r->err_status, "method");

    case NGX_HTTP_REQUEST_ENTITY_TOO_LARGE:
        return ngx_http_paylink_problem(r, r->err_status, "too_large");

    default:
        return (r->err_status >= NGX_HTTP_INTERNAL_SERVER_ERROR)
               ? ngx_http_paylink_busy(r)
               : ngx_http_paylink_problem(r, r->err_status, "request");
    }
}
