
/*
 * The page of a link, judged by Redis' clock.  Changes nothing, unless
 * "paylink_open view" makes the first GET the opening.
 */


#include "ngx_http_paylink.h"

#include <openssl/rand.h>


#define NGX_HTTP_PAYLINK_DAY          86400000
#define NGX_HTTP_PAYLINK_PAYING_MAX   600000
#define NGX_HTTP_PAYLINK_RANDOM       10
#define NGX_HTTP_PAYLINK_RANDOMS      64

#define NGX_HTTP_PAYLINK_TIME_SIZE    (sizeof("2026-01-31T10:00:00Z") - 1)


static ngx_int_t ngx_http_paylink_view_link(ngx_http_request_t *r,
    struct template_value *values, ngx_http_paylink_judged_t *judged);
static ngx_int_t ngx_http_paylink_view_closed(ngx_http_request_t *r,
    struct template_value *values);
static ngx_int_t ngx_http_paylink_view_active(ngx_http_request_t *r,
    struct template_value *values, ngx_http_paylink_judged_t *judged);
static ngx_int_t ngx_http_paylink_view_open(ngx_http_request_t *r);
static ngx_int_t ngx_http_paylink_view_opened(ngx_http_request_t *r,
    redisReply *reply);
static ngx_int_t ngx_http_paylink_view_pay(ngx_http_request_t *r,
    struct template_value *values, ngx_http_paylink_judged_t *judged,
    int64_t end);
static ngx_int_t ngx_http_paylink_view_attempt(ngx_http_request_t *r,
    struct template_value *values);
static int64_t ngx_http_paylink_view_rendered(ngx_http_request_t *r);
static ngx_int_t ngx_http_paylink_random(u_char *p);
static void ngx_http_paylink_view_method(ngx_http_paylink_ctx_t *ctx,
    struct template_value *values);


/* also the answer to a submission that was refused */

ngx_int_t
ngx_http_paylink_view(ngx_http_request_t *r)
{
    ngx_int_t                rc;
    ngx_http_paylink_ctx_t  *ctx;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);
    ctx->show = ngx_http_paylink_view_link;

    rc = ngx_http_paylink_link_read(r);

    if (rc == NGX_HTTP_PAYLINK_WAIT && ngx_http_paylink_hold(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return rc;
}


static ngx_int_t
ngx_http_paylink_view_link(ngx_http_request_t *r,
    struct template_value *values, ngx_http_paylink_judged_t *judged)
{
    struct template_value   *state;
    ngx_http_paylink_ctx_t  *ctx;

    if (ngx_http_paylink_link_texts(r, values, judged)
        == NGX_HTTP_PAYLINK_WAIT)
    {
        return NGX_HTTP_PAYLINK_WAIT;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);
    state = &values[NGX_HTTP_PAYLINK_V_STATE];

    /* says nothing of the link's state, and so not whether a mail is sent */

    if (ctx->route == NGX_HTTP_PAYLINK_ROUTE_RENEWED) {
        return ngx_http_paylink_page(r, NGX_HTTP_PAYLINK_RENEWED, NGX_HTTP_OK,
                                     values);
    }

    if (ngx_http_paylink_is(state, "active")) {
        return ngx_http_paylink_view_active(r, values, judged);
    }

    return ngx_http_paylink_view_closed(r, values);
}


static ngx_int_t
ngx_http_paylink_view_closed(ngx_http_request_t *r,
    struct template_value *values)
{
    ngx_uint_t               page, status;
    struct template_value   *state;
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);
    state = &values[NGX_HTTP_PAYLINK_V_STATE];

    if (ngx_http_paylink_is(state, "paid")) {
        page = NGX_HTTP_PAYLINK_PAID;
        status = ctx->refused ? NGX_HTTP_CONFLICT : NGX_HTTP_OK;

    } else if (ngx_http_paylink_is(state, "disabled")) {
        page = NGX_HTTP_PAYLINK_CLOSED;
        status = NGX_HTTP_FORBIDDEN;

    } else if (ngx_http_paylink_is(state, "replaced")
               || ngx_http_paylink_is(state, "void")
               || ngx_http_paylink_is(state, "revoked"))
    {
        page = NGX_HTTP_PAYLINK_CLOSED;
        status = NGX_HTTP_GONE;

    } else {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "paylink: link in redis has state \"%*s\"",
                      ngx_min(state->len, 64), state->data);
        return ngx_http_paylink_busy(r);
    }

    if (ctx->refused) {
        values[NGX_HTTP_PAYLINK_V_REASON] = *state;
    }

    return ngx_http_paylink_page(r, page, status, values);
}


static ngx_int_t
ngx_http_paylink_view_active(ngx_http_request_t *r,
    struct template_value *values, ngx_http_paylink_judged_t *judged)
{
    int64_t                       end;
    ngx_http_paylink_ctx_t       *ctx;
    ngx_http_paylink_loc_conf_t  *plcf;

    end = ngx_http_paylink_view_end(values, judged);

    if (end == NGX_ERROR) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "paylink: link in redis has damaged times");
        return ngx_http_paylink_busy(r);
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    if (end && ngx_http_paylink_clock_ms() >= end) {
        ngx_http_paylink_set(values, STATE, "expired", sizeof("expired") - 1);

        if (ctx->refused) {
            values[NGX_HTTP_PAYLINK_V_REASON] =
                                            values[NGX_HTTP_PAYLINK_V_STATE];
        }

        if (ngx_http_paylink_page_below(r,
                                       &values[NGX_HTTP_PAYLINK_V_RENEW_URL],
                                       "/renew")
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return ngx_http_paylink_page(r, NGX_HTTP_PAYLINK_EXPIRED,
                                     NGX_HTTP_GONE, values);
    }

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_paylink_module);

    if (plcf->open == NGX_HTTP_PAYLINK_OPEN_VIEW
        && (r->method & NGX_HTTP_GET)
        && values[NGX_HTTP_PAYLINK_V_OPENED].len == 0
        && !ctx->opened)
    {
        return ngx_http_paylink_view_open(r);
    }

    if (ngx_http_paylink_view_paying(judged)) {
        ngx_http_paylink_set(values, PAYING, "1", 1);
    }

    return ngx_http_paylink_view_pay(r, values, judged, end);
}


/* ms since the epoch; 0: never; NGX_ERROR: cannot be read */

int64_t
ngx_http_paylink_view_end(struct template_value *values,
    ngx_http_paylink_judged_t *judged)
{
    int64_t                 end;
    ngx_str_t              *expires, *ceiling;
    struct template_value  *opened;

    opened = &values[NGX_HTTP_PAYLINK_V_OPENED];
    expires = &judged->field[NGX_HTTP_PAYLINK_F_EXPIRES];
    ceiling = &judged->field[NGX_HTTP_PAYLINK_F_CEILING];

    if (expires->len) {
        return ngx_atoof(expires->data, expires->len);
    }

    if (opened->len) {
        end = ngx_atoof((u_char *) opened->data, opened->len);

        return (end == NGX_ERROR) ? end : end + NGX_HTTP_PAYLINK_DAY;
    }

    return ceiling->len ? ngx_atoof(ceiling->data, ceiling->len) : 0;
}


/*
 * A submission is on its way, and not for so long that it must be lost: until
 * when that is to be believed, in ms since the epoch, or 0.
 */

int64_t
ngx_http_paylink_view_paying(ngx_http_paylink_judged_t *judged)
{
    int64_t     end;
    ngx_str_t  *paying;

    paying = &judged->field[NGX_HTTP_PAYLINK_F_PAYING];

    if (paying->len == 0) {
        return 0;
    }

    end = ngx_atoof(paying->data, paying->len);

    if (end == NGX_ERROR) {
        return 0;
    }

    end += NGX_HTTP_PAYLINK_PAYING_MAX;

    return (ngx_http_paylink_clock_ms() < end) ? end : 0;
}


static ngx_int_t
ngx_http_paylink_view_open(ngx_http_request_t *r)
{
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    ctx->opened = 1;

    if (ngx_http_paylink_redis_send(r,
                                    ngx_http_paylink_command_open(ctx, "view"),
                                    ngx_http_paylink_view_opened)
        != NGX_OK)
    {
        return ngx_http_paylink_link_failed(r);
    }

    return NGX_HTTP_PAYLINK_WAIT;
}


static ngx_int_t
ngx_http_paylink_view_opened(ngx_http_request_t *r, redisReply *reply)
{
    if (!ngx_http_paylink_answered(reply)) {
        return ngx_http_paylink_link_failed(r);
    }

    if (ngx_http_paylink_says(reply, "opened")) {
        ngx_http_paylink_count(NGX_HTTP_PAYLINK_OPENED);
    }

    return ngx_http_paylink_link_read(r);
}


static ngx_int_t
ngx_http_paylink_view_pay(ngx_http_request_t *r,
    struct template_value *values, ngx_http_paylink_judged_t *judged,
    int64_t end)
{
    u_char                  *p;
    ngx_tm_t                 tm;
    ngx_uint_t               status;
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    if (ngx_http_paylink_view_attempt(r, values) != NGX_OK) {
        return ngx_http_paylink_busy(r);
    }

    if (ngx_http_paylink_choice(r, values, judged) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_paylink_page_urls(r, values) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (end && values[NGX_HTTP_PAYLINK_V_OPENED].len) {

        p = ngx_pnalloc(r->pool, NGX_HTTP_PAYLINK_TIME_SIZE);
        if (p == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ngx_gmtime((time_t) (end / 1000), &tm);

        (void) ngx_sprintf(p, "%4d-%02d-%02dT%02d:%02d:%02dZ",
                           tm.ngx_tm_year, tm.ngx_tm_mon, tm.ngx_tm_mday,
                           tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec);

        ngx_http_paylink_set(values, EXPIRES_TEXT, p,
                             NGX_HTTP_PAYLINK_TIME_SIZE);
    }

    ngx_http_paylink_view_method(ctx, values);

    status = NGX_HTTP_OK;

    if (ctx->refused) {
        status = NGX_HTTP_CONFLICT;
    }

    if (ctx->stale) {
        ngx_http_paylink_set(values, STALE, "1", 1);
    }

    return ngx_http_paylink_page(r, NGX_HTTP_PAYLINK_PAY, status, values);
}


/* a new attempt, good for this link at this version only */

static ngx_int_t
ngx_http_paylink_view_attempt(ngx_http_request_t *r,
    struct template_value *values)
{
    char                          *p;
    u_char                         random[NGX_HTTP_PAYLINK_RANDOM];
    int64_t                        number;
    struct token_attempt           attempt;
    struct template_value         *version, *due;
    ngx_http_paylink_ctx_t        *ctx;
    ngx_http_paylink_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_paylink_module);
    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    version = &values[NGX_HTTP_PAYLINK_V_VERSION];
    due = &values[NGX_HTTP_PAYLINK_V_DUE_MINOR];

    if (!money_parse_minor(due->data, due->len, &number)
        || !money_parse_minor(version->data, version->len, &number)
        || number < 1 || number > NGX_MAX_UINT32_VALUE)
    {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "paylink: link in redis has a damaged amount");
        return NGX_ERROR;
    }

    if (ngx_http_paylink_random(random) != NGX_OK) {
        ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0,
                      "paylink: no random bytes");
        return NGX_ERROR;
    }

    p = ngx_pnalloc(r->pool, ATTEMPT_TEXT_SIZE);
    if (p == NULL) {
        return NGX_ERROR;
    }

    attempt.version = (uint32_t) number;
    uuid7_make(attempt.uuid, ngx_http_paylink_view_rendered(r), random);

    if (attempt_mint(&pmcf->keys, &ctx->link, &attempt, p) != 0) {
        return NGX_ERROR;
    }

    ngx_http_paylink_set(values, ATTEMPT, p, ATTEMPT_TEXT_SIZE);

    return NGX_OK;
}


/*
 * When the payer got the page, ms since the epoch.  A page that is brought up
 * to date names the attempt that it has: the guard's delay starts once.  Nobody
 * gains by that: the form with the older attempt would not be held either.
 */

static int64_t
ngx_http_paylink_view_rendered(ngx_http_request_t *r)
{
    ngx_str_t                     *text;
    ngx_time_t                    *tp;
    struct token_attempt           attempt;
    ngx_http_paylink_ctx_t        *ctx;
    ngx_http_paylink_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_paylink_module);
    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    text = ngx_http_paylink_header_in(r, "Paylink-Attempt");

    if (text
        && attempt_verify(&pmcf->keys, &ctx->link, (char *) text->data,
                          text->len, &attempt)
           == 0)
    {
        return uuid7_time_ms(attempt.uuid);
    }

    tp = ngx_timeofday();

    return (int64_t) tp->sec * 1000 + tp->msec;
}


/* asking for 10 bytes costs as much as asking for 640 */

static ngx_int_t
ngx_http_paylink_random(u_char *p)
{
    static u_char      bytes[NGX_HTTP_PAYLINK_RANDOM
                             * NGX_HTTP_PAYLINK_RANDOMS];
    static size_t      left;
    static ngx_pid_t   pid;

    if (pid != ngx_pid) {
        /* never what another process has, too */
        pid = ngx_pid;
        left = 0;
    }

    if (left == 0) {
        if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
            return NGX_ERROR;
        }

        left = sizeof(bytes);
    }

    left -= NGX_HTTP_PAYLINK_RANDOM;

    ngx_memcpy(p, bytes + left, NGX_HTTP_PAYLINK_RANDOM);

    return NGX_OK;
}


/*
 * "?payment_method=pm_…" is the way back from the gateway's own page.  Other
 * arguments, and this one if it looks odd or comes twice, mean nothing.
 */

static void
ngx_http_paylink_view_method(ngx_http_paylink_ctx_t *ctx,
    struct template_value *values)
{
    u_char      ch, *p, *value;
    size_t      len;
    ngx_str_t   args, arg;
    ngx_uint_t  found;

    args = ctx->args;

    found = 0;
    value = NULL;
    len = 0;

    while (ngx_http_paylink_next_arg(&args, &arg) == NGX_OK) {

        if (arg.len > 15 && ngx_http_paylink_starts(&arg, "payment_method=")) {
            value = arg.data + 15;
            len = arg.len - 15;
            found++;
        }
    }

    if (found != 1 || len > NGX_HTTP_PAYLINK_METHOD_MAX
        || card_number_like((char *) value, len))
    {
        return;
    }

    for (p = value; p < value + len; p++) {
        ch = *p;

        if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
              || (ch >= '0' && ch <= '9') || ch == '_' || ch == '-'))
        {
            return;
        }
    }

    ngx_http_paylink_set(values, PAYMENT_METHOD, value, len);
}
