
/*
 * Pages: templates compiled at configuration time, the values that all of
 * them share, and the pages that say no.  What a link is worth is told by the
 * callers.
 */


#include "ngx_http_paylink.h"


static ngx_int_t ngx_http_paylink_page_gateway(ngx_http_request_t *r,
    struct template_value *values);
static ngx_int_t ngx_http_paylink_page_escape(ngx_http_request_t *r,
    ngx_str_t *text, ngx_str_t *escaped);
static ngx_int_t ngx_http_paylink_page_url(ngx_http_request_t *r,
    struct template_value *value, ngx_str_t *parts, ngx_uint_t n);


static const char  *ngx_http_paylink_page_files[NGX_HTTP_PAYLINK_PAGES] = {
    "pay.html",
    "paid.html",
    "expired.html",
    "renewed.html",
    "closed.html",
    "unknown.html",
    "busy.html",
    "result.html",
    "problem.html",
    "maintenance.html",
    "button.svg",
    "button.txt"
};


static const char  *ngx_http_paylink_page_names[NGX_HTTP_PAYLINK_VALUES] = {
    "state",
    "version",
    "attempt",
    "due_minor",
    "due_text",
    "currency",
    "merchant",
    "customer",
    "title",
    "due_date",
    "rows",
    "opened",
    "expires_text",
    "lang",
    "dir",
    "token_path",
    "pay_url",
    "open_url",
    "result_url",
    "gateway_url",
    "fields_url",
    "hosted_url",
    "account",
    "payment_method",
    "css_url",
    "css_integrity",
    "js_url",
    "js_integrity",
    "icon_url",
    "problem",
    "reason",
    "amount_text",
    "action_url",
    "receipt_number",
    "paid_text",
    "paid_at_text",
    "paid_method",
    "card",
    "overpaid_text",
    "stale",
    "retry_url",
    "refresh",
    "brand_css",
    "brand_integrity",
    "brand_logo",
    "events_url",
    "paying",
    "page_url",
    "choose",
    "partial",
    "chosen",
    "amount_typed",
    "least_text",
    "most_text",
    "choice_problem",
    "left_text",
    "amount",
    "label",
    "width",
    "height",
    "font_size",
    "theme",
    "ground",
    "ink",
    "email",
    "renew_url"
};


static ngx_str_t  ngx_http_paylink_html =
    ngx_string("text/html; charset=utf-8");


ngx_int_t
ngx_http_paylink_page_load(ngx_http_paylink_main_conf_t *pmcf, ngx_uint_t page,
    struct messages *messages, struct template **template, char *err,
    size_t size)
{
    *template = template_load((char *) pmcf->pages_dir.data,
                              ngx_http_paylink_page_files[page],
                              ngx_http_paylink_page_names,
                              NGX_HTTP_PAYLINK_VALUES, messages, err, size);

    return *template ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_http_paylink_page(ngx_http_request_t *r, ngx_uint_t page,
    ngx_uint_t status, struct template_value *values)
{
    ngx_str_t                      body;
    struct template               *template;
    ngx_http_paylink_headers_e     headers;
    ngx_http_paylink_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_paylink_module);

    template = ngx_http_paylink_language_page(pmcf, values)->page[page];

    body.len = template_size(template, values);
    body.data = ngx_pnalloc(r->pool, body.len);

    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    (void) template_write(template, values, (char *) body.data);

    ngx_http_paylink_count_page(page);

    headers = (page == NGX_HTTP_PAYLINK_PAY) ? NGX_HTTP_PAYLINK_HEADERS_PAY
                                             : NGX_HTTP_PAYLINK_HEADERS_PAGE;

    r->headers_out.status = status;

    return ngx_http_paylink_send(r, headers, &ngx_http_paylink_html, &body);
}


void
ngx_http_paylink_page_conf_values(ngx_http_paylink_main_conf_t *pmcf,
    struct template_value *values)
{
    ngx_http_paylink_asset_t  *css, *js;

    css = pmcf->css;
    js = pmcf->js;

    ngx_http_paylink_set(values, CSS_URL, css->path.data, css->path.len);
    ngx_http_paylink_set(values, CSS_INTEGRITY, css->integrity.data,
                         css->integrity.len);
    ngx_http_paylink_set(values, JS_URL, js->path.data, js->path.len);
    ngx_http_paylink_set(values, JS_INTEGRITY, js->integrity.data,
                         js->integrity.len);
    ngx_http_paylink_set(values, GATEWAY_URL, pmcf->gateway.url.data,
                         pmcf->gateway.url.len);

    if (pmcf->icon) {
        ngx_http_paylink_set(values, ICON_URL, pmcf->icon->path.data,
                             pmcf->icon->path.len);
    }
}


/* the template's file without ".html" */

const char *
ngx_http_paylink_page_name(ngx_uint_t page)
{
    static const char  *names[NGX_HTTP_PAYLINK_PAGES] = {
        "pay", "paid", "expired", "renewed", "closed", "unknown", "busy",
        "result", "problem", "maintenance", "button", "button_look"
    };

    return names[page];
}


/* for a start; to be called before values of Redis are filled in */

void
ngx_http_paylink_page_values(ngx_http_request_t *r,
    struct template_value *values)
{
    ngx_http_paylink_ctx_t        *ctx;
    ngx_http_paylink_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_paylink_module);
    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    ngx_memzero(values,
                NGX_HTTP_PAYLINK_VALUES * sizeof(struct template_value));
    ngx_http_paylink_page_conf_values(pmcf, values);
    ngx_http_paylink_language_set(values,
                                  &ngx_http_paylink_language_default(r)->tag);

    if (ctx) {
        ngx_http_paylink_set(values, TOKEN_PATH, ctx->token_path.data,
                             ctx->token_path.len);
    }
}


/* after the values of Redis: the addresses on a page to pay */

ngx_int_t
ngx_http_paylink_page_urls(ngx_http_request_t *r,
    struct template_value *values)
{
    ngx_http_paylink_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_paylink_module);

    if (ngx_http_paylink_page_below(r, &values[NGX_HTTP_PAYLINK_V_PAY_URL],
                                    "/pay")
        != NGX_OK
        || ngx_http_paylink_page_below(r,
                                       &values[NGX_HTTP_PAYLINK_V_OPEN_URL],
                                       "/open")
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (pmcf->live.per_link
        && ngx_http_paylink_page_below(r,
                                       &values[NGX_HTTP_PAYLINK_V_EVENTS_URL],
                                       "/events")
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_paylink_page_gateway(r, values);
}


/* the gateway's card fields for a frame, and its own page without a script */

static ngx_int_t
ngx_http_paylink_page_gateway(ngx_http_request_t *r,
    struct template_value *values)
{
    ngx_str_t                      account, query, lang, parts[9];
    ngx_http_paylink_ctx_t        *ctx;
    ngx_http_paylink_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_paylink_module);
    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    account.data = (u_char *) values[NGX_HTTP_PAYLINK_V_ACCOUNT].data;
    account.len = values[NGX_HTTP_PAYLINK_V_ACCOUNT].len;

    query.data = (u_char *) values[NGX_HTTP_PAYLINK_V_PAGE_URL].data
                 + ctx->token_path.len;
    query.len = values[NGX_HTTP_PAYLINK_V_PAGE_URL].len - ctx->token_path.len;

    lang.data = (u_char *) values[NGX_HTTP_PAYLINK_V_LANG].data;
    lang.len = values[NGX_HTTP_PAYLINK_V_LANG].len;

    if (ngx_http_paylink_page_escape(r, &account, &parts[2]) != NGX_OK
        || ngx_http_paylink_page_escape(r, &query, &parts[8]) != NGX_OK)
    {
        return NGX_ERROR;
    }

    parts[0] = pmcf->gateway.url;
    ngx_str_set(&parts[1], "/fields?account=");
    ngx_str_set(&parts[3], "&lang=");
    parts[4] = lang;
    ngx_str_set(&parts[5], "&origin=");
    parts[6] = pmcf->base.origin_escaped;

    if (ngx_http_paylink_page_url(r, &values[NGX_HTTP_PAYLINK_V_FIELDS_URL],
                                  parts, 7)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* back to "/p/TOKEN", escaped, and what was chosen there */

    ngx_str_set(&parts[1], "/hosted?account=");
    ngx_str_set(&parts[5], "&return_url=");
    parts[6] = pmcf->base.return_escaped;
    parts[7].data = ctx->token_path.data + sizeof("/p/") - 1;
    parts[7].len = ctx->token_path.len - (sizeof("/p/") - 1);

    return ngx_http_paylink_page_url(r, &values[NGX_HTTP_PAYLINK_V_HOSTED_URL],
                                     parts, 9);
}


/* an address below that of the link */

ngx_int_t
ngx_http_paylink_page_below(ngx_http_request_t *r,
    struct template_value *value, const char *name)
{
    ngx_str_t                parts[2];
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    parts[0] = ctx->token_path;
    parts[1].data = (u_char *) name;
    parts[1].len = ngx_strlen(name);

    return ngx_http_paylink_page_url(r, value, parts, 2);
}


/* as an argument of another address */

static ngx_int_t
ngx_http_paylink_page_escape(ngx_http_request_t *r, ngx_str_t *text,
    ngx_str_t *escaped)
{
    u_char     *p;
    uintptr_t   escape;

    *escaped = *text;

    escape = ngx_escape_uri(NULL, text->data, text->len,
                            NGX_ESCAPE_URI_COMPONENT);
    if (escape == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, text->len + 2 * escape);
    if (p == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_escape_uri(p, text->data, text->len, NGX_ESCAPE_URI_COMPONENT);

    escaped->data = p;
    escaped->len = text->len + 2 * escape;

    return NGX_OK;
}


static ngx_int_t
ngx_http_paylink_page_url(ngx_http_request_t *r, struct template_value *value,
    ngx_str_t *parts, ngx_uint_t n)
{
    u_char      *p;
    size_t       len;
    ngx_uint_t   i;

    len = 0;

    for (i = 0; i < n; i++) {
        len += parts[i].len;
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value->data = (char *) p;
    value->len = len;

    for (i = 0; i < n; i++) {
        if (parts[i].len) {
            p = ngx_cpymem(p, parts[i].data, parts[i].len);
        }
    }

    return NGX_OK;
}


/* malformed, forged and unknown alike: nothing of the request in it */

ngx_int_t
ngx_http_paylink_unknown(ngx_http_request_t *r)
{
    ngx_http_paylink_language_t  *language;

    language = ngx_http_paylink_language_default(r);

    ngx_http_paylink_count_page(NGX_HTTP_PAYLINK_UNKNOWN);

    r->headers_out.status = NGX_HTTP_NOT_FOUND;

    return ngx_http_paylink_send(r, NGX_HTTP_PAYLINK_HEADERS_PAGE,
                                 &ngx_http_paylink_html, &language->unknown);
}


/* nothing is asked of Redis, and no body is read */

ngx_int_t
ngx_http_paylink_maintained(ngx_http_request_t *r)
{
    ngx_http_paylink_language_t  *language;

    language = ngx_http_paylink_language_default(r);

    ngx_http_paylink_count_page(NGX_HTTP_PAYLINK_MAINTENANCE);

    if (ngx_http_paylink_add_header(r, "Retry-After", "60", 2) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_SERVICE_UNAVAILABLE;

    return ngx_http_paylink_send(r, NGX_HTTP_PAYLINK_HEADERS_PAGE,
                                 &ngx_http_paylink_html,
                                 &language->maintenance);
}


/*
 * Redis, or the worker behind it, does not answer in time.  Whoever has sent
 * a payment is shown the way to its result: it may have been accepted.
 */

ngx_int_t
ngx_http_paylink_busy(ngx_http_request_t *r)
{
    ngx_str_t                url;
    struct template_value    values[NGX_HTTP_PAYLINK_VALUES];
    ngx_http_paylink_ctx_t  *ctx;

    ngx_http_paylink_page_values(r, values);

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    if (ctx && ctx->attempt_text.len) {

        if (ngx_http_paylink_result_url(r, &url) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ngx_http_paylink_set(values, RESULT_URL, url.data, url.len);
        ngx_http_paylink_set(values, RETRY_URL, url.data, url.len);

    } else if (ctx) {
        ngx_http_paylink_set(values, RETRY_URL, ctx->token_path.data,
                             ctx->token_path.len);
    }

    if (ctx && (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        ngx_http_paylink_set(values, REFRESH, "1", 1);
    }

    if (ngx_http_paylink_add_header(r, "Retry-After", "2", 1) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_paylink_page(r, NGX_HTTP_PAYLINK_BUSY,
                                 NGX_HTTP_SERVICE_UNAVAILABLE, values);
}


/* "/p/TOKEN/a/ATTEMPT" */

ngx_int_t
ngx_http_paylink_result_url(ngx_http_request_t *r, ngx_str_t *url)
{
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    url->len = ctx->token_path.len + sizeof("/a/") - 1
               + ctx->attempt_text.len;

    url->data = ngx_pnalloc(r->pool, url->len);
    if (url->data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(url->data, "%V/a/%V", &ctx->token_path,
                       &ctx->attempt_text);

    return NGX_OK;
}


ngx_int_t
ngx_http_paylink_problem(ngx_http_request_t *r, ngx_uint_t status,
    const char *problem)
{
    struct template_value  values[NGX_HTTP_PAYLINK_VALUES];

    ngx_http_paylink_page_values(r, values);
    ngx_http_paylink_set(values, PROBLEM, problem, ngx_strlen(problem));

    if (status == NGX_HTTP_REQUEST_ENTITY_TOO_LARGE) {
        r->keepalive = 0;
    }

    return ngx_http_paylink_page(r, NGX_HTTP_PAYLINK_PROBLEM, status, values);
}


ngx_int_t
ngx_http_paylink_not_allowed(ngx_http_request_t *r, const char *allow)
{
    if (ngx_http_paylink_add_header(r, "Allow", allow, ngx_strlen(allow))
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_paylink_problem(r, NGX_HTTP_NOT_ALLOWED, "method");
}
