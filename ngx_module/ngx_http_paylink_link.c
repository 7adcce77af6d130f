
/*
 * Reading a link, for whatever is shown of it: from the cache or by one HMGET,
 * from the worker if Redis has lost it, and in the reader's language.
 */


#include "ngx_http_paylink.h"


#define NGX_HTTP_PAYLINK_TEXT_WAIT    1500


static ngx_int_t ngx_http_paylink_link_answer(ngx_http_request_t *r,
    redisReply *reply);
static ngx_int_t ngx_http_paylink_link_reply(ngx_http_request_t *r,
    redisReply *reply);


/* ctx->show is called with what the link says, unless there is no such link */

ngx_int_t
ngx_http_paylink_link_read(ngx_http_request_t *r)
{
    ngx_str_t                     *command;
    redisReply                    *cached;
    ngx_http_paylink_ctx_t        *ctx;
    ngx_http_paylink_main_conf_t  *pmcf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    /* who has done something to the link, or misses it, wants the newest */

    if (ctx->refused || ctx->wanted || ctx->text_wanted || ctx->opened) {
        ctx->primary = 1;
    }

    ctx->site = NGX_HTTP_PAYLINK_PRIMARY;

    if (!ctx->primary) {
        ctx->site = ngx_http_paylink_replica_site(ctx->link.id);

        cached = ngx_http_paylink_cache_get(ctx->site, ctx->link.id,
                                            ctx->language);

        ngx_http_paylink_count(cached ? NGX_HTTP_PAYLINK_CACHE_HIT
                                      : NGX_HTTP_PAYLINK_CACHE_MISS);
        if (cached) {
            return ngx_http_paylink_link_reply(r, cached);
        }
    }

    (void) ngx_http_paylink_clock_check();

    ctx->cache_mark = ngx_http_paylink_cache_mark(ctx->link.id);

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_paylink_module);

    command = ngx_http_paylink_command_link(ctx->link.id, ctx->link_hex,
                                            ctx->language < 0 ? NULL
                                  : &pmcf->languages[ctx->language].field);

    if (ngx_http_paylink_redis_read(r, command, ngx_http_paylink_link_answer)
        != NGX_OK)
    {
        return ngx_http_paylink_link_answer(r, NULL);
    }

    return NGX_HTTP_PAYLINK_WAIT;
}


static ngx_int_t
ngx_http_paylink_link_answer(ngx_http_request_t *r, redisReply *reply)
{
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    if (ngx_http_paylink_replica_failed(ctx->site, reply)) {
        ctx->primary = 1;
        return ngx_http_paylink_link_read(r);
    }

    if (ctx->primary) {
        ngx_http_paylink_replica_told(ctx->link.id);
    }

    ngx_http_paylink_cache_put(ctx->site, ctx->link.id, ctx->language,
                               ctx->cache_mark, reply);

    return ngx_http_paylink_link_reply(r, reply);
}


static ngx_int_t
ngx_http_paylink_link_reply(ngx_http_request_t *r, redisReply *reply)
{
    ngx_int_t                   rc;
    struct template_value       values[NGX_HTTP_PAYLINK_VALUES];
    ngx_http_paylink_ctx_t     *ctx;
    ngx_http_paylink_judged_t   judged;

    ngx_http_paylink_page_values(r, values);

    rc = ngx_http_paylink_link_values(reply, values, &judged);

    if (rc == NGX_ERROR) {
        return ngx_http_paylink_link_failed(r);
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_paylink_hydrate(r, ngx_http_paylink_link_read);
    }

    if (ngx_http_paylink_is(&values[NGX_HTTP_PAYLINK_V_STATE], "absent")) {
        return ngx_http_paylink_unknown(r);
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    return ctx->show(r, values, &judged);
}


ngx_int_t
ngx_http_paylink_link_failed(ngx_http_request_t *r)
{
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    if (ngx_http_paylink_wait_more(ctx) == NGX_OK) {
        return NGX_HTTP_PAYLINK_WAIT;
    }

    return ngx_http_paylink_busy(r);
}


/*
 * Redis does not have the link: the worker may, wait for it and resume.  Asked
 * each time that the link is still not there: Redis takes one question in half
 * a second, and the one that it took before may have been answered before the
 * link was lost.
 */

ngx_int_t
ngx_http_paylink_hydrate(ngx_http_request_t *r,
    ngx_http_paylink_resume_pt resume)
{
    ngx_http_paylink_ctx_t       *ctx;
    ngx_http_paylink_loc_conf_t  *plcf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);
    plcf = ngx_http_get_module_loc_conf(r, ngx_http_paylink_module);

    if (!ctx->wanted) {
        ctx->wanted = 1;

        ngx_http_paylink_wait_start(ctx, ctx->link.id, plcf->hydrate_wait,
                                    resume);
    }

    ngx_http_paylink_redis_tell(
            ngx_http_paylink_command_want(ctx->link.id, ctx->link_hex, NULL));

    if (ngx_http_paylink_wait_more(ctx) == NGX_OK) {
        return NGX_HTTP_PAYLINK_WAIT;
    }

    return ngx_http_paylink_busy(r);
}


/*
 * Sets the language of the page and the texts of the link in it.  The worker
 * writes those that Redis does not have: NGX_HTTP_PAYLINK_WAIT.  NGX_OK: done,
 * or the worker has not written them soon enough.
 */

ngx_int_t
ngx_http_paylink_link_texts(ngx_http_request_t *r,
    struct template_value *values, ngx_http_paylink_judged_t *judged)
{
    ngx_str_t                     *language;
    ngx_http_paylink_ctx_t        *ctx;
    ngx_http_paylink_loc_conf_t   *plcf;
    ngx_http_paylink_main_conf_t  *pmcf;

    if (ngx_http_paylink_language_link(r, values, judged) == NGX_OK) {
        return NGX_OK;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);
    plcf = ngx_http_get_module_loc_conf(r, ngx_http_paylink_module);
    pmcf = ngx_http_get_module_main_conf(r, ngx_http_paylink_module);

    if (!ctx->text_wanted) {
        ctx->text_wanted = 1;

        ngx_http_paylink_wait_start(ctx, ctx->link.id, plcf->hydrate_wait,
                                    ngx_http_paylink_link_read);
        ngx_http_paylink_wait_limit(ctx, NGX_HTTP_PAYLINK_TEXT_WAIT);
    }

    language = &pmcf->languages[ctx->language].tag;

    ngx_http_paylink_redis_tell(
        ngx_http_paylink_command_want_text(ctx, language,
                                       &values[NGX_HTTP_PAYLINK_V_VERSION]));

    return (ngx_http_paylink_wait_more(ctx) == NGX_OK) ? NGX_HTTP_PAYLINK_WAIT
                                                       : NGX_OK;
}
