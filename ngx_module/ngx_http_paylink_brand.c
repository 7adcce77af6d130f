
/*
 * Style sheets and logos of merchants: named by their content, so that they
 * never change and anybody may cache them.  Redis holds them, the worker
 * brings back what Redis has lost.
 */


#include "ngx_http_paylink.h"


static ngx_int_t ngx_http_paylink_brand_read(ngx_http_request_t *r);
static ngx_int_t ngx_http_paylink_brand_reply(ngx_http_request_t *r,
    redisReply *reply);
static ngx_int_t ngx_http_paylink_brand_missing(ngx_http_request_t *r);
static ngx_int_t ngx_http_paylink_brand_wait(ngx_http_request_t *r);


static ngx_str_t  ngx_http_paylink_brand_css =
    ngx_string("text/css; charset=utf-8");
static ngx_str_t  ngx_http_paylink_brand_png = ngx_string("image/png");


/* "HH.css" or "HH.png" */

ngx_int_t
ngx_http_paylink_brand(ngx_http_request_t *r, ngx_str_t *name)
{
    u_char                   hex[NGX_HTTP_PAYLINK_HEX];
    ngx_int_t                rc;
    ngx_str_t                none;
    struct token_link        brand;
    ngx_http_paylink_ctx_t  *ctx;

    ngx_memzero(&brand, sizeof(struct token_link));

    if (name->len != NGX_HTTP_PAYLINK_HEX + 4
        || hex_parse((char *) name->data, NGX_HTTP_PAYLINK_HEX, brand.id) != 0
        || (ngx_strncmp(name->data + NGX_HTTP_PAYLINK_HEX, ".css", 4) != 0
            && ngx_strncmp(name->data + NGX_HTTP_PAYLINK_HEX, ".png", 4) != 0))
    {
        return ngx_http_paylink_unknown(r);
    }

    /* one address for one thing: no capitals */

    hex_format(brand.id, TOKEN_ID_SIZE, (char *) hex);

    if (ngx_memcmp(hex, name->data, NGX_HTTP_PAYLINK_HEX) != 0) {
        return ngx_http_paylink_unknown(r);
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_http_paylink_not_allowed(r, "GET, HEAD");
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    ngx_str_null(&none);

    if (ngx_http_paylink_link_ctx(r, &brand, &none, name) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);
    ctx->route = NGX_HTTP_PAYLINK_ROUTE_STATIC;

    rc = ngx_http_paylink_brand_read(r);

    if (rc == NGX_HTTP_PAYLINK_WAIT && ngx_http_paylink_hold(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return rc;
}


static ngx_int_t
ngx_http_paylink_brand_read(ngx_http_request_t *r)
{
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    ctx->site = ctx->primary ? NGX_HTTP_PAYLINK_PRIMARY
                             : ngx_http_paylink_replica_site(ctx->link.id);

    if (ngx_http_paylink_redis_read(r, ngx_http_paylink_command_brand(ctx),
                                    ngx_http_paylink_brand_reply)
        != NGX_OK)
    {
        return ngx_http_paylink_brand_reply(r, NULL);
    }

    return NGX_HTTP_PAYLINK_WAIT;
}


static ngx_int_t
ngx_http_paylink_brand_reply(ngx_http_request_t *r, redisReply *reply)
{
    ngx_int_t                   rc;
    ngx_str_t                  *type, *found, body;
    ngx_http_paylink_ctx_t     *ctx;
    ngx_http_paylink_judged_t   judged;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    if (ngx_http_paylink_replica_failed(ctx->site, reply)) {
        ctx->primary = 1;
        return ngx_http_paylink_brand_read(r);
    }

    rc = ngx_http_paylink_kept_values(reply, &judged);

    if (rc == NGX_ERROR) {
        return ngx_http_paylink_brand_wait(r);
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_paylink_brand_missing(r);
    }

    type = (ctx->args.data[NGX_HTTP_PAYLINK_HEX + 1] == 'c')
           ? &ngx_http_paylink_brand_css : &ngx_http_paylink_brand_png;

    /* "css", "png", or "absent": the worker does not know it, either */

    found = &judged.field[NGX_HTTP_PAYLINK_F_TYPE];

    if (found->len != 3
        || ngx_strncmp(found->data, ctx->args.data + NGX_HTTP_PAYLINK_HEX + 1,
                       3)
           != 0)
    {
        return ngx_http_paylink_unknown(r);
    }

    body = judged.field[NGX_HTTP_PAYLINK_F_BODY];

    body.data = ngx_pstrdup(r->pool, &body);
    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;

    return ngx_http_paylink_send(r, NGX_HTTP_PAYLINK_HEADERS_ASSET, type,
                                 &body);
}


/* at every look: redis drops a want that follows another one closely */

static ngx_int_t
ngx_http_paylink_brand_missing(ngx_http_request_t *r)
{
    ngx_http_paylink_ctx_t       *ctx;
    ngx_http_paylink_loc_conf_t  *plcf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);
    plcf = ngx_http_get_module_loc_conf(r, ngx_http_paylink_module);

    ngx_http_paylink_wait_start(ctx, ctx->link.id, plcf->hydrate_wait,
                                ngx_http_paylink_brand_read);
    ngx_http_paylink_redis_tell(ngx_http_paylink_command_want_brand(ctx));

    return ngx_http_paylink_brand_wait(r);
}


static ngx_int_t
ngx_http_paylink_brand_wait(ngx_http_request_t *r)
{
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    return (ngx_http_paylink_wait_more(ctx) == NGX_OK)
           ? NGX_HTTP_PAYLINK_WAIT : ngx_http_paylink_busy(r);
}
