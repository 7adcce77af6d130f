
/*
 * Documents that the worker makes when they are asked for: receipts, and
 * buttons as pictures.  Redis holds each for a while, under the hash of the
 * words that say what it shows, so that none is ever out of date; one that is
 * missing is wanted and awaited like a link that is lost.
 */


#include "ngx_http_paylink.h"


#define NGX_HTTP_PAYLINK_WORDS_MAX    1280


static ngx_int_t ngx_http_paylink_receipt_link(ngx_http_request_t *r,
    struct template_value *values, ngx_http_paylink_judged_t *judged);
static ngx_int_t ngx_http_paylink_receipt_name(ngx_http_request_t *r,
    struct template_value *number, ngx_str_t *disposition);
static ngx_int_t ngx_http_paylink_document_read(ngx_http_request_t *r);
static ngx_int_t ngx_http_paylink_document_reply(ngx_http_request_t *r,
    redisReply *reply);
static ngx_int_t ngx_http_paylink_document_missing(ngx_http_request_t *r);
static ngx_int_t ngx_http_paylink_document_wait(ngx_http_request_t *r);


/* "/p/TOKEN/receipt.pdf" */

ngx_int_t
ngx_http_paylink_receipt(ngx_http_request_t *r)
{
    ngx_int_t                rc;
    ngx_http_paylink_ctx_t  *ctx;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);
    ctx->show = ngx_http_paylink_receipt_link;

    rc = ngx_http_paylink_link_read(r);

    if (rc == NGX_HTTP_PAYLINK_WAIT && ngx_http_paylink_hold(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return rc;
}


/* the words are those of receipt_words() in worker/outbox/document.c */

static ngx_int_t
ngx_http_paylink_receipt_link(ngx_http_request_t *r,
    struct template_value *values, ngx_http_paylink_judged_t *judged)
{
    u_char                        *p;
    ngx_str_t                     *tag;
    struct template_value         *version, *brand, *merchant;
    ngx_http_paylink_ctx_t        *ctx;
    ngx_http_paylink_document_t    document;
    ngx_http_paylink_main_conf_t  *pmcf;

    u_char            words[NGX_HTTP_PAYLINK_WORDS_MAX];
    static ngx_str_t  type = ngx_string("application/pdf");

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);
    pmcf = ngx_http_get_module_main_conf(r, ngx_http_paylink_module);

    if (!ngx_http_paylink_is(&values[NGX_HTTP_PAYLINK_V_STATE], "paid")) {
        return ngx_http_paylink_unknown(r);
    }

    /* the worker has all languages: there are no texts to wait for */

    if (ngx_http_paylink_language_link(r, values, judged) != NGX_OK) {
        ngx_http_paylink_language_set(values,
                                      &pmcf->languages[ctx->language].tag);
    }

    tag = &ngx_http_paylink_language_page(pmcf, values)->tag;
    version = &values[NGX_HTTP_PAYLINK_V_VERSION];
    brand = &values[NGX_HTTP_PAYLINK_V_BRAND_CSS];
    merchant = &values[NGX_HTTP_PAYLINK_V_MERCHANT];

    p = ngx_snprintf(words, sizeof(words), "receipt %*s %*s %V %*s %*s",
                     (size_t) NGX_HTTP_PAYLINK_HEX, ctx->link_hex,
                     version->len, version->data, tag, brand->len, brand->data,
                     merchant->len, merchant->data);

    ngx_memzero(&document, sizeof(ngx_http_paylink_document_t));

    document.words.data = words;
    document.words.len = p - words;
    document.type = &type;
    document.headers = NGX_HTTP_PAYLINK_HEADERS_PAGE;

    /* a newer link has another receipt */

    document.resume = ngx_http_paylink_link_read;

    if (ngx_http_paylink_receipt_name(r,
                                   &values[NGX_HTTP_PAYLINK_V_RECEIPT_NUMBER],
                                   &document.disposition)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_paylink_document(r, &document);
}


/* letters, digits and hyphens of its number are safe in a name */

static ngx_int_t
ngx_http_paylink_receipt_name(ngx_http_request_t *r,
    struct template_value *number, ngx_str_t *disposition)
{
    u_char  *p, ch;
    size_t   i;

    static const char  head[] = "inline; filename=\"receipt-";
    static const char  tail[] = ".pdf\"";

    p = ngx_pnalloc(r->pool, sizeof(head) + number->len + sizeof(tail));
    if (p == NULL) {
        return NGX_ERROR;
    }

    disposition->data = p;

    p = ngx_cpymem(p, head, sizeof(head) - 1);

    for (i = 0; i < number->len; i++) {
        ch = number->data[i];

        if ((ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9')
            || ch == '-')
        {
            *p++ = ch;
        }
    }

    p = ngx_cpymem(p, tail, sizeof(tail) - 1);

    disposition->len = p - disposition->data;

    return NGX_OK;
}


/*
 * Sends what the words say, or waits for it.  The document is copied, its
 * words are, too.  Without `resume` it is looked for again as it is.
 */

ngx_int_t
ngx_http_paylink_document(ngx_http_request_t *r,
    ngx_http_paylink_document_t *document)
{
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    if (document->words.len >= NGX_HTTP_PAYLINK_WORDS_MAX) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "paylink: a document of too many words");
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->document = ngx_palloc(r->pool, sizeof(ngx_http_paylink_document_t));
    if (ctx->document == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    *ctx->document = *document;
    document = ctx->document;

    document->words.data = ngx_pstrdup(r->pool, &document->words);
    if (document->words.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    content_name(document->words.data, document->words.len, document->id);
    hex_format(document->id, TOKEN_ID_SIZE, (char *) document->hex);

    if (document->resume == NULL) {
        document->resume = ngx_http_paylink_document_read;
    }

    return ngx_http_paylink_document_read(r);
}


static ngx_int_t
ngx_http_paylink_document_read(ngx_http_request_t *r)
{
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    ctx->site = ctx->primary ? NGX_HTTP_PAYLINK_PRIMARY
                             : ngx_http_paylink_replica_site(ctx->document->id);

    if (ngx_http_paylink_redis_read(r,
                             ngx_http_paylink_command_document(ctx->document),
                             ngx_http_paylink_document_reply)
        != NGX_OK)
    {
        return ngx_http_paylink_document_reply(r, NULL);
    }

    return NGX_HTTP_PAYLINK_WAIT;
}


static ngx_int_t
ngx_http_paylink_document_reply(ngx_http_request_t *r, redisReply *reply)
{
    ngx_int_t                     rc;
    ngx_str_t                     body;
    ngx_http_paylink_ctx_t       *ctx;
    ngx_http_paylink_judged_t     judged;
    ngx_http_paylink_document_t  *document;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);
    document = ctx->document;

    if (ngx_http_paylink_replica_failed(ctx->site, reply)) {
        ctx->primary = 1;
        return ngx_http_paylink_document_read(r);
    }

    rc = ngx_http_paylink_kept_values(reply, &judged);

    if (rc == NGX_DECLINED) {
        return ngx_http_paylink_document_missing(r);
    }

    if (rc == NGX_ERROR) {
        return ngx_http_paylink_document_wait(r);
    }

    body = judged.field[NGX_HTTP_PAYLINK_F_BODY];

    body.data = ngx_pstrdup(r->pool, &body);
    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (document->disposition.len
        && ngx_http_paylink_add_header(r, "Content-Disposition",
                                       (char *) document->disposition.data,
                                       document->disposition.len)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;

    return ngx_http_paylink_send(r, document->headers, document->type, &body);
}


/* at every look: redis drops a want that follows another one closely */

static ngx_int_t
ngx_http_paylink_document_missing(ngx_http_request_t *r)
{
    ngx_http_paylink_ctx_t       *ctx;
    ngx_http_paylink_loc_conf_t  *plcf;
    ngx_http_paylink_document_t  *document;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);
    plcf = ngx_http_get_module_loc_conf(r, ngx_http_paylink_module);

    document = ctx->document;

    /* the link may have been waited for before, or another version of it */

    if (ctx->waiting
        && ngx_memcmp(ctx->awaited, document->id, TOKEN_ID_SIZE) != 0)
    {
        ngx_http_paylink_wait_stop(ctx);
    }

    ngx_http_paylink_wait_start(ctx, document->id, plcf->hydrate_wait,
                                document->resume);
    ngx_http_paylink_redis_tell(
                             ngx_http_paylink_command_want_document(document));

    return ngx_http_paylink_document_wait(r);
}


static ngx_int_t
ngx_http_paylink_document_wait(ngx_http_request_t *r)
{
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    return (ngx_http_paylink_wait_more(ctx) == NGX_OK)
           ? NGX_HTTP_PAYLINK_WAIT : ngx_http_paylink_busy(r);
}
