
/*
 * What changes something: "open" and "pay".  Nothing of a body is ever logged
 * or kept; Redis alone decides what is accepted.
 */


#include "ngx_http_paylink.h"


static ngx_uint_t ngx_http_paylink_cross_site(ngx_http_request_t *r);
static ngx_uint_t ngx_http_paylink_is_form(ngx_http_request_t *r);
static void ngx_http_paylink_body_timer(ngx_event_t *ev);
static void ngx_http_paylink_body(ngx_http_request_t *r);
static ngx_int_t ngx_http_paylink_open_send(ngx_http_request_t *r);
static ngx_int_t ngx_http_paylink_open_reply(ngx_http_request_t *r,
    redisReply *reply);
static ngx_int_t ngx_http_paylink_pay_body(ngx_http_request_t *r);
static ngx_int_t ngx_http_paylink_body_copy(ngx_http_request_t *r,
    ngx_str_t *body);
static const char *ngx_http_paylink_pay_form(ngx_http_request_t *r,
    ngx_uint_t *status);
static ngx_int_t ngx_http_paylink_pay_fields(ngx_http_request_t *r,
    struct form *form);
static ngx_int_t ngx_http_paylink_pay_chosen(ngx_http_paylink_ctx_t *ctx,
    const struct form_field *field);
static ngx_int_t ngx_http_paylink_pay_send(ngx_http_request_t *r);
static ngx_int_t ngx_http_paylink_pay_checked(ngx_http_request_t *r,
    redisReply *reply);
static ngx_int_t ngx_http_paylink_pay_counted(ngx_http_request_t *r,
    redisReply *reply);
static ngx_int_t ngx_http_paylink_pay_submit(ngx_http_request_t *r);
static ngx_int_t ngx_http_paylink_ask(ngx_http_request_t *r,
    ngx_str_t *command, ngx_http_paylink_reply_pt handler);
static ngx_int_t ngx_http_paylink_pay_reply(ngx_http_request_t *r,
    redisReply *reply);
static ngx_int_t ngx_http_paylink_pay_accepted(ngx_http_request_t *r);


ngx_int_t
ngx_http_paylink_open(ngx_http_request_t *r)
{
    return ngx_http_paylink_post(r, 0, ngx_http_paylink_open_send);
}


ngx_int_t
ngx_http_paylink_pay(ngx_http_request_t *r)
{
    return ngx_http_paylink_post(r, 1, ngx_http_paylink_pay_body);
}


/*
 * Refuses by the header alone what can be, then reads the body: the handler
 * may wait, and what it returns ends the request.
 */

ngx_int_t
ngx_http_paylink_post(ngx_http_request_t *r, ngx_uint_t form,
    ngx_http_paylink_resume_pt handler)
{
    ngx_int_t                rc;
    ngx_http_paylink_ctx_t  *ctx;

    if (ngx_http_paylink_cross_site(r)) {
        return ngx_http_paylink_problem(r, NGX_HTTP_FORBIDDEN, "cross_site");
    }

    if (r->headers_in.chunked
        || (form && r->headers_in.content_length_n == -1))
    {
        return ngx_http_paylink_problem(r, NGX_HTTP_LENGTH_REQUIRED, "length");
    }

    if (r->headers_in.content_length_n > NGX_HTTP_PAYLINK_BODY_MAX) {
        return ngx_http_paylink_problem(r, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                        "too_large");
    }

    if (form && !ngx_http_paylink_is_form(r)) {
        return ngx_http_paylink_problem(r, NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                                        "content_type");
    }

    /* a limit for the whole body; nginx's own is for each piece of it */

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    ctx->timer.handler = ngx_http_paylink_body_timer;
    ctx->timer.data = ctx;
    ctx->timer.log = r->connection->log;

    ngx_add_timer(&ctx->timer, NGX_HTTP_PAYLINK_BODY_TIMEOUT);

    r->request_body_in_single_buf = 1;
    r->request_body_in_file_only = 0;

    ctx->resume = handler;

    rc = ngx_http_read_client_request_body(r, ngx_http_paylink_body);

    return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
}


static ngx_uint_t
ngx_http_paylink_cross_site(ngx_http_request_t *r)
{
    ngx_str_t  *site;

    site = ngx_http_paylink_header_in(r, "Sec-Fetch-Site");

    return site && site->len == sizeof("cross-site") - 1
           && ngx_strncasecmp(site->data, (u_char *) "cross-site", site->len)
              == 0;
}


static ngx_uint_t
ngx_http_paylink_is_form(ngx_http_request_t *r)
{
    u_char           *p, *last;
    size_t            len;
    ngx_table_elt_t  *type;

    static u_char  form[] = "application/x-www-form-urlencoded";

    type = r->headers_in.content_type;
    len = sizeof(form) - 1;

    if (type == NULL || type->value.len < len
        || ngx_strncasecmp(type->value.data, form, len) != 0)
    {
        return 0;
    }

    last = type->value.data + type->value.len;

    for (p = type->value.data + len; p < last; p++) {
        if (*p == ';') {
            return 1;
        }

        if (*p != ' ' && *p != '\t') {
            return 0;
        }
    }

    return 1;
}


static void
ngx_http_paylink_body_timer(ngx_event_t *ev)
{
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ev->data;

    ngx_log_error(NGX_LOG_INFO, ev->log, NGX_ETIMEDOUT,
                  "paylink: client timed out sending a body");

    ctx->request->connection->timedout = 1;

    ngx_http_paylink_continue(ctx->request, NGX_HTTP_REQUEST_TIME_OUT);
}


static void
ngx_http_paylink_body(ngx_http_request_t *r)
{
    ngx_int_t                rc;
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    if (ctx->timer.timer_set) {
        ngx_del_timer(&ctx->timer);
    }

    rc = ctx->resume(r);

    if (rc == NGX_HTTP_PAYLINK_WAIT && ngx_http_paylink_hold(r) != NGX_OK) {
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_paylink_finish(r, rc);
}


static ngx_int_t
ngx_http_paylink_open_send(ngx_http_request_t *r)
{
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    return ngx_http_paylink_ask(r,
                                ngx_http_paylink_command_open(ctx, "human"),
                                ngx_http_paylink_open_reply);
}


/* whatever the link is by now, its page will say it */

static ngx_int_t
ngx_http_paylink_open_reply(ngx_http_request_t *r, redisReply *reply)
{
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    ngx_http_paylink_replica_told(ctx->link.id);

    if (!ngx_http_paylink_answered(reply)) {
        return (ngx_http_paylink_wait_more(ctx) == NGX_OK)
               ? NGX_HTTP_PAYLINK_WAIT : ngx_http_paylink_busy(r);
    }

    if (ngx_http_paylink_says(reply, "missing")) {
        return ngx_http_paylink_hydrate(r, ngx_http_paylink_open_send);
    }

    if (ngx_http_paylink_says(reply, "absent")) {
        return ngx_http_paylink_unknown(r);
    }

    if (ngx_http_paylink_says(reply, "opened")) {
        ngx_http_paylink_count(NGX_HTTP_PAYLINK_OPENED);
    }

    r->headers_out.status = NGX_HTTP_NO_CONTENT;

    return ngx_http_paylink_send(r, NGX_HTTP_PAYLINK_HEADERS_PAGE, NULL, NULL);
}


static ngx_int_t
ngx_http_paylink_pay_body(ngx_http_request_t *r)
{
    ngx_uint_t   status;
    const char  *problem;

    problem = ngx_http_paylink_pay_form(r, &status);

    if (problem) {
        return ngx_http_paylink_problem(r, status, problem);
    }

    if (ngx_http_paylink_guard(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_paylink_guard_hold(r, ngx_http_paylink_pay_send);
}


/* form_parse() decodes in place: what nginx holds stays as it came */

static ngx_int_t
ngx_http_paylink_body_copy(ngx_http_request_t *r, ngx_str_t *body)
{
    u_char       *p;
    size_t        len;
    ngx_chain_t  *cl;

    len = 0;

    if (r->request_body == NULL) {
        return NGX_ERROR;
    }

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        if (cl->buf->in_file) {
            return NGX_ERROR;
        }

        len += cl->buf->last - cl->buf->pos;
    }

    p = ngx_pnalloc(r->pool, len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    body->data = p;
    body->len = len;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        if (cl->buf->last > cl->buf->pos) {
            p = ngx_cpymem(p, cl->buf->pos, cl->buf->last - cl->buf->pos);
        }
    }

    return NGX_OK;
}


/* NULL: ctx has what is to be submitted; else the word for the problem */

static const char *
ngx_http_paylink_pay_form(ngx_http_request_t *r, ngx_uint_t *status)
{
    size_t        i;
    ngx_str_t     body;
    struct form   form;

    if (ngx_http_paylink_body_copy(r, &body) != NGX_OK) {
        *status = NGX_HTTP_INTERNAL_SERVER_ERROR;
        return "form";
    }

    *status = NGX_HTTP_BAD_REQUEST;

    if (form_parse((char *) body.data, body.len, &form) != FORM_OK) {
        return "form";
    }

    for (i = 0; i < form.count; i++) {
        if (card_number_like(form.field[i].name, form.field[i].name_len)
            || card_number_like(form.field[i].value, form.field[i].value_len))
        {
            return "card_number";
        }
    }

    if (ngx_http_paylink_pay_fields(r, &form) != NGX_OK) {
        return "form";
    }

    return NULL;
}


/*
 * Exactly these fields, "invoices" only where some were chosen; the attempt is
 * ours, for this link and version.
 */

static ngx_int_t
ngx_http_paylink_pay_fields(ngx_http_request_t *r, struct form *form)
{
    size_t                         i;
    u_char                         ch;
    int64_t                        version, amount_minor;
    const struct form_field       *a, *v, *m, *pm, *chosen;
    ngx_http_paylink_ctx_t        *ctx;
    ngx_http_paylink_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_paylink_module);
    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    a = form_get(form, "attempt");
    v = form_get(form, "version");
    m = form_get(form, "amount_minor");
    pm = form_get(form, "payment_method");
    chosen = form_get(form, "invoices");

    if (form->count != (chosen ? 5u : 4u) || a == NULL || v == NULL || m == NULL || pm == NULL
        || pm->value_len == 0 || pm->value_len > NGX_HTTP_PAYLINK_METHOD_MAX)
    {
        return NGX_DECLINED;
    }

    for (i = 0; i < pm->value_len; i++) {
        ch = pm->value[i];

        if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
              || (ch >= '0' && ch <= '9') || ch == '_' || ch == '-'))
        {
            return NGX_DECLINED;
        }
    }

    if (attempt_verify(&pmcf->keys, &ctx->link, a->value, a->value_len,
                       &ctx->attempt)
        != 0
        || !money_parse_minor(v->value, v->value_len, &version)
        || version != ctx->attempt.version
        || !money_parse_minor(m->value, m->value_len, &amount_minor)
        || amount_minor == 0)
    {
        return NGX_DECLINED;
    }

    ctx->attempt_text.data = (u_char *) a->value;
    ctx->attempt_text.len = a->value_len;
    ctx->version.data = (u_char *) v->value;
    ctx->version.len = v->value_len;
    ctx->amount_minor.data = (u_char *) m->value;
    ctx->amount_minor.len = m->value_len;
    ctx->payment_method.data = (u_char *) pm->value;
    ctx->payment_method.len = pm->value_len;

    hex_format(ctx->attempt.uuid, sizeof(ctx->attempt.uuid),
               (char *) ctx->attempt_hex);

    return chosen ? ngx_http_paylink_pay_chosen(ctx, chosen) : NGX_OK;
}


/* "1,3": positions, ascending */

static ngx_int_t
ngx_http_paylink_pay_chosen(ngx_http_paylink_ctx_t *ctx,
    const struct form_field *field)
{
    u_char     *p, *last, *end;
    ngx_int_t   i, before;

    p = (u_char *) field->value;
    last = p + field->value_len;

    for (before = 0; /* void */ ; before = i) {

        end = ngx_strlchr(p, last, ',');
        if (end == NULL) {
            end = last;
        }

        i = (*p == '0' || end - p > 3) ? NGX_ERROR : ngx_atoi(p, end - p);

        if (i <= before || i > NGX_HTTP_PAYLINK_INVOICES) {
            return NGX_DECLINED;
        }

        if (end == last) {
            break;
        }

        p = end + 1;
    }

    ctx->chosen.data = (u_char *) field->value;
    ctx->chosen.len = field->value_len;

    return NGX_OK;
}


/*
 * Attempts that Redis would accept are counted for their address, in its own
 * slot, before they are submitted: a duplicate, or what the link does not take
 * anyway, is none.
 */

static ngx_int_t
ngx_http_paylink_pay_send(ngx_http_request_t *r)
{
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    if (!ngx_http_paylink_guard_counts(ctx)) {
        return ngx_http_paylink_pay_submit(r);
    }

    return ngx_http_paylink_ask(r, ngx_http_paylink_command_check(ctx),
                                ngx_http_paylink_pay_checked);
}


static ngx_int_t
ngx_http_paylink_pay_checked(ngx_http_request_t *r, redisReply *reply)
{
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    if (!ngx_http_paylink_answered(reply)
        || !ngx_http_paylink_says(reply, "acceptable"))
    {
        return ngx_http_paylink_pay_reply(r, reply);
    }

    return ngx_http_paylink_ask(r, ngx_http_paylink_command_velocity(ctx),
                                ngx_http_paylink_pay_counted);
}


static ngx_int_t
ngx_http_paylink_pay_counted(ngx_http_request_t *r, redisReply *reply)
{
    if (!ngx_http_paylink_answered(reply)) {
        return ngx_http_paylink_pay_reply(r, NULL);
    }

    if (ngx_http_paylink_says(reply, "full")) {
        return ngx_http_paylink_guard_address(r, reply);
    }

    return ngx_http_paylink_pay_submit(r);
}


static ngx_int_t
ngx_http_paylink_pay_submit(ngx_http_request_t *r)
{
    ngx_str_t               *command;
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    command = ngx_http_paylink_command_submit(ctx,
                                 &ngx_http_paylink_language_default(r)->tag);

    return ngx_http_paylink_ask(r, command, ngx_http_paylink_pay_reply);
}


static ngx_int_t
ngx_http_paylink_ask(ngx_http_request_t *r, ngx_str_t *command,
    ngx_http_paylink_reply_pt handler)
{
    if (ngx_http_paylink_redis_send(r, command, handler) == NGX_OK) {
        return NGX_HTTP_PAYLINK_WAIT;
    }

    return handler(r, NULL);
}


static ngx_int_t
ngx_http_paylink_pay_reply(ngx_http_request_t *r, redisReply *reply)
{
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    ngx_http_paylink_replica_told(ctx->link.id);

    if (!ngx_http_paylink_answered(reply)) {
        /* it may have been accepted: the page leads to its result */
        ngx_http_paylink_count(NGX_HTTP_PAYLINK_FAILED);
        return ngx_http_paylink_busy(r);
    }

    if (ngx_http_paylink_says(reply, "accepted")) {
        ngx_http_paylink_count(NGX_HTTP_PAYLINK_ACCEPTED);
        return ngx_http_paylink_pay_accepted(r);
    }

    if (ngx_http_paylink_says(reply, "duplicate")) {
        ngx_http_paylink_count(NGX_HTTP_PAYLINK_DUPLICATE);
        return ngx_http_paylink_pay_accepted(r);
    }

    if (ngx_http_paylink_says(reply, "missing")) {
        return ngx_http_paylink_hydrate(r, ngx_http_paylink_pay_send);
    }

    if (ngx_http_paylink_says(reply, "absent")) {
        return ngx_http_paylink_unknown(r);
    }

    if (ngx_http_paylink_says(reply, "declines")
        || ngx_http_paylink_says(reply, "cards"))
    {
        return ngx_http_paylink_guard_link(r, reply);
    }

    /* refused, nothing is charged: what the link is worth now */

    ngx_http_paylink_wait_stop(ctx);

    ctx->wanted = 0;
    ctx->refused = 1;
    ctx->attempt_text.len = 0;

    if (ngx_http_paylink_says(reply, "stale")
        || ngx_http_paylink_says(reply, "amount"))
    {
        ctx->stale = 1;
    }

    ngx_http_paylink_count(ctx->stale ? NGX_HTTP_PAYLINK_STALE
                                      : NGX_HTTP_PAYLINK_REFUSED);

    return ngx_http_paylink_view(r);
}


static ngx_int_t
ngx_http_paylink_pay_accepted(ngx_http_request_t *r)
{
    ngx_str_t  url;

    if (ngx_http_paylink_result_url(r, &url) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_paylink_see_other(r, (char *) url.data, url.len);
}


/* relative, so that it holds behind any proxy */

ngx_int_t
ngx_http_paylink_see_other(ngx_http_request_t *r, const char *url, size_t len)
{
    if (ngx_http_paylink_add_header(r, "Location", url, len) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_SEE_OTHER;

    return ngx_http_paylink_send(r, NGX_HTTP_PAYLINK_HEADERS_PAGE, NULL, NULL);
}
