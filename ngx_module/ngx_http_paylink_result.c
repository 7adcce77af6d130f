
/*
 * The page of an attempt: waits for what became of it, for a while, then says
 * what is known.  Works by plain reloading, too.
 */


#include "ngx_http_paylink.h"


/* a payer who has yet to go to the bank must not wait for the way there */

#define NGX_HTTP_PAYLINK_ACTION_WAIT   1500


enum {
    NGX_HTTP_PAYLINK_S_NONE = 0,
    NGX_HTTP_PAYLINK_S_MISSING,
    NGX_HTTP_PAYLINK_S_RECEIVED,
    NGX_HTTP_PAYLINK_S_CHARGING,
    NGX_HTTP_PAYLINK_S_UNKNOWN,
    NGX_HTTP_PAYLINK_S_ACTION,
    NGX_HTTP_PAYLINK_S_FINAL
};


typedef struct {
    ngx_str_t                       name;
    ngx_uint_t                      state;
} ngx_http_paylink_state_t;


static ngx_int_t ngx_http_paylink_result_read(ngx_http_request_t *r);
static ngx_int_t ngx_http_paylink_result_reply(ngx_http_request_t *r,
    redisReply *reply);
static ngx_int_t ngx_http_paylink_result_failed(ngx_http_request_t *r);
static ngx_uint_t ngx_http_paylink_result_state(struct template_value *value);
static ngx_int_t ngx_http_paylink_result_pending(ngx_http_paylink_ctx_t *ctx,
    ngx_uint_t state);
static ngx_int_t ngx_http_paylink_result_page(ngx_http_request_t *r,
    struct template_value *values, ngx_uint_t state);


static ngx_http_paylink_state_t  ngx_http_paylink_states[] = {
    { ngx_string("received"), NGX_HTTP_PAYLINK_S_RECEIVED },
    { ngx_string("charging"), NGX_HTTP_PAYLINK_S_CHARGING },
    { ngx_string("unknown"), NGX_HTTP_PAYLINK_S_UNKNOWN },
    { ngx_string("action_required"), NGX_HTTP_PAYLINK_S_ACTION },
    { ngx_string("declined"), NGX_HTTP_PAYLINK_S_FINAL },
    { ngx_string("refused"), NGX_HTTP_PAYLINK_S_FINAL },
    { ngx_string("captured"), NGX_HTTP_PAYLINK_S_FINAL },
    { ngx_string("absent"), NGX_HTTP_PAYLINK_S_FINAL },
    { ngx_null_string, NGX_HTTP_PAYLINK_S_NONE }
};


ngx_int_t
ngx_http_paylink_result(ngx_http_request_t *r)
{
    ngx_int_t                     rc;
    ngx_http_paylink_ctx_t       *ctx;
    ngx_http_paylink_loc_conf_t  *plcf;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);
    plcf = ngx_http_get_module_loc_conf(r, ngx_http_paylink_module);

    /* before the first look, so that no news can slip through between */

    ngx_http_paylink_wait_start(ctx, ctx->attempt.uuid, plcf->result_wait,
                                ngx_http_paylink_result_read);

    rc = ngx_http_paylink_result_read(r);

    if (rc == NGX_HTTP_PAYLINK_WAIT && ngx_http_paylink_hold(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return rc;
}


static ngx_int_t
ngx_http_paylink_result_read(ngx_http_request_t *r)
{
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    /* of the primary, whoever tells of news: ctx->site is zero */

    if (ngx_http_paylink_redis_read(r, ngx_http_paylink_command_attempt(ctx),
                                    ngx_http_paylink_result_reply)
        != NGX_OK)
    {
        return ngx_http_paylink_result_failed(r);
    }

    return NGX_HTTP_PAYLINK_WAIT;
}


static ngx_int_t
ngx_http_paylink_result_reply(ngx_http_request_t *r, redisReply *reply)
{
    ngx_int_t                   rc;
    ngx_str_t                  *link;
    ngx_uint_t                  state;
    struct template_value       values[NGX_HTTP_PAYLINK_VALUES];
    ngx_http_paylink_ctx_t     *ctx;
    ngx_http_paylink_judged_t   judged;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    ngx_http_paylink_page_values(r, values);

    rc = ngx_http_paylink_attempt_values(reply, values, &judged);
    link = &judged.field[NGX_HTTP_PAYLINK_F_LINK];

    if (rc == NGX_ERROR) {
        return ngx_http_paylink_result_failed(r);
    }

    ctx->answered = 1;

    if (rc == NGX_DECLINED) {
        state = NGX_HTTP_PAYLINK_S_MISSING;

    } else {
        state = ngx_http_paylink_result_state(
                                           &values[NGX_HTTP_PAYLINK_V_STATE]);

        if (state == NGX_HTTP_PAYLINK_S_NONE
            || link->len != NGX_HTTP_PAYLINK_HEX
            || ngx_memcmp(link->data, ctx->link_hex, link->len) != 0)
        {
            ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                          "paylink: attempt in redis is damaged");
            return ngx_http_paylink_busy(r);
        }
    }

    /*
     * at every look: redis drops a want that follows another closely, so
     * that of a payer coming back from the bank may have been the dropped one
     */

    if (state == NGX_HTTP_PAYLINK_S_MISSING
        || state == NGX_HTTP_PAYLINK_S_ACTION)
    {
        ngx_http_paylink_redis_tell(
            ngx_http_paylink_command_want(ctx->link.id, ctx->link_hex,
                                          ctx->attempt_hex));
    }

    if (ngx_http_paylink_result_pending(ctx, state) == NGX_OK
        && ngx_http_paylink_wait_more(ctx) == NGX_OK)
    {
        return NGX_HTTP_PAYLINK_WAIT;
    }

    if (state == NGX_HTTP_PAYLINK_S_MISSING) {
        return ngx_http_paylink_busy(r);
    }

    ngx_http_paylink_replica_told(ctx->link.id);
    ngx_http_paylink_language_attempt(r, values, &judged);

    return ngx_http_paylink_result_page(r, values, state);
}


static ngx_int_t
ngx_http_paylink_result_failed(ngx_http_request_t *r)
{
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    if (ctx->answered && ngx_http_paylink_wait_more(ctx) == NGX_OK) {
        return NGX_HTTP_PAYLINK_WAIT;
    }

    return ngx_http_paylink_busy(r);
}


static ngx_uint_t
ngx_http_paylink_result_state(struct template_value *value)
{
    ngx_http_paylink_state_t  *s;

    for (s = ngx_http_paylink_states; s->name.len; s++) {
        if (s->name.len == value->len
            && ngx_memcmp(s->name.data, value->data, value->len) == 0)
        {
            break;
        }
    }

    return s->state;
}


/* NGX_OK: there is no news yet, go on waiting */

static ngx_int_t
ngx_http_paylink_result_pending(ngx_http_paylink_ctx_t *ctx, ngx_uint_t state)
{
    ngx_uint_t  first;

    if (ctx->first_state == NGX_HTTP_PAYLINK_S_NONE) {
        ctx->first_state = state;

        if (state == NGX_HTTP_PAYLINK_S_ACTION && ctx->args.len == 0) {
            ngx_http_paylink_wait_limit(ctx, NGX_HTTP_PAYLINK_ACTION_WAIT);
        }
    }

    first = ctx->first_state;

    switch (state) {

    case NGX_HTTP_PAYLINK_S_MISSING:
    case NGX_HTTP_PAYLINK_S_RECEIVED:
    case NGX_HTTP_PAYLINK_S_CHARGING:
        return NGX_OK;

    case NGX_HTTP_PAYLINK_S_UNKNOWN:
    case NGX_HTTP_PAYLINK_S_ACTION:
        return (first == state) ? NGX_OK : NGX_DECLINED;

    default:
        return NGX_DECLINED;
    }
}


static ngx_int_t
ngx_http_paylink_result_page(ngx_http_request_t *r,
    struct template_value *values, ngx_uint_t state)
{
    ngx_str_t                url;
    struct template_value   *action;
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    if (ngx_http_paylink_result_url(r, &url) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_paylink_set(values, RESULT_URL, url.data, url.len);
    ngx_http_paylink_set(values, RETRY_URL, url.data, url.len);

    action = &values[NGX_HTTP_PAYLINK_V_ACTION_URL];

    if (action->len
        && (action->len < 8
            || (ngx_strncmp(action->data, "https://", 8) != 0
                && ngx_strncmp(action->data, "http://", 7) != 0)))
    {
        action->len = 0;
    }

    /*
     * Who came back from the bank is called by an address with arguments;
     * anybody else must be left to read and to press the button.
     */

    if ((state != NGX_HTTP_PAYLINK_S_FINAL
         && state != NGX_HTTP_PAYLINK_S_ACTION)
        || (state == NGX_HTTP_PAYLINK_S_ACTION && ctx->args.len))
    {
        ngx_http_paylink_set(values, REFRESH, "1", 1);
    }

    return ngx_http_paylink_page(r, NGX_HTTP_PAYLINK_RESULT, NGX_HTTP_OK,
                                 values);
}
