
/*
 * "renew": asks for a new link in place of an expired one, to be mailed to the
 * address on file.  Whatever Redis thinks of it, the payer is told the same.
 */


#include "ngx_http_paylink.h"


static ngx_int_t ngx_http_paylink_renew_send(ngx_http_request_t *r);
static ngx_int_t ngx_http_paylink_renew_reply(ngx_http_request_t *r,
    redisReply *reply);


ngx_int_t
ngx_http_paylink_renew(ngx_http_request_t *r)
{
    return ngx_http_paylink_post(r, 1, ngx_http_paylink_renew_send);
}


static ngx_int_t
ngx_http_paylink_renew_send(ngx_http_request_t *r)
{
    ngx_str_t               *command;
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    command = ngx_http_paylink_command_renew(ctx,
                                  &ngx_http_paylink_language_default(r)->tag);

    if (ngx_http_paylink_redis_send(r, command, ngx_http_paylink_renew_reply)
        == NGX_OK)
    {
        return NGX_HTTP_PAYLINK_WAIT;
    }

    return ngx_http_paylink_renew_reply(r, NULL);
}


static ngx_int_t
ngx_http_paylink_renew_reply(ngx_http_request_t *r, redisReply *reply)
{
    ngx_http_paylink_ctx_t  *ctx;
    struct template_value    url;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements < 1
        || reply->element[0]->type != REDIS_REPLY_STRING)
    {
        return (ngx_http_paylink_wait_more(ctx) == NGX_OK)
               ? NGX_HTTP_PAYLINK_WAIT : ngx_http_paylink_busy(r);
    }

    if (ngx_http_paylink_says(reply, "missing")) {
        return ngx_http_paylink_hydrate(r, ngx_http_paylink_renew_send);
    }

    if (ngx_http_paylink_says(reply, "absent")) {
        return ngx_http_paylink_unknown(r);
    }

    if (ngx_http_paylink_page_below(r, &url, "/renewed") != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_paylink_see_other(r, url.data, url.len);
}
