
/*
 * What goes out with every answer: security headers in fixed sets, made at
 * configuration time, then the body.
 */


#include "ngx_http_paylink.h"


/* r->headers_out.headers has room for 20 in its first part */

#define NGX_HTTP_PAYLINK_HEADERS_MAX   12

#define NGX_HTTP_PAYLINK_CSP                                                  \
    "default-src 'none'; style-src 'self'; img-src 'self'; "                  \
    "script-src 'self'; connect-src 'self'; form-action 'self'; "             \
    "base-uri 'none'; object-src 'none'; frame-ancestors 'none'"


typedef struct {
    ngx_str_t                       key;
    ngx_str_t                       value;
} ngx_http_paylink_header_t;


static ngx_int_t ngx_http_paylink_headers_add(ngx_conf_t *cf,
    ngx_array_t *set, ngx_str_t *key, ngx_str_t *value);
static ngx_str_t *ngx_http_paylink_headers_embedded(ngx_uint_t set,
    ngx_http_paylink_header_t *h);
static ngx_int_t ngx_http_paylink_headers_gateway(ngx_conf_t *cf,
    ngx_http_paylink_main_conf_t *pmcf);
static ngx_int_t ngx_http_paylink_headers_preload(ngx_conf_t *cf,
    ngx_http_paylink_main_conf_t *pmcf);
static ngx_int_t ngx_http_paylink_headers_push(ngx_http_request_t *r,
    ngx_http_paylink_headers_e headers);


static ngx_http_paylink_header_t  ngx_http_paylink_headers_all[] = {

    { ngx_string("Strict-Transport-Security"),
      ngx_string("max-age=63072000; includeSubDomains; preload") },

    { ngx_string("X-Content-Type-Options"), ngx_string("nosniff") },

    { ngx_string("Referrer-Policy"), ngx_string("no-referrer") },

    { ngx_string("Cross-Origin-Resource-Policy"), ngx_string("same-origin") },

    { ngx_string("Cross-Origin-Opener-Policy"),
      ngx_string("same-origin-allow-popups") },

    { ngx_string("X-Robots-Tag"), ngx_string("noindex, nofollow") },

    { ngx_null_string, ngx_null_string }
};


static ngx_http_paylink_header_t  ngx_http_paylink_headers_page[] = {

    { ngx_string("Cache-Control"), ngx_string("no-store, private") },

    { ngx_string("CDN-Cache-Control"), ngx_string("no-store") },

    { ngx_null_string, ngx_null_string }
};


static ngx_http_paylink_header_t  ngx_http_paylink_headers_asset[] = {

    { ngx_string("Cache-Control"),
      ngx_string("public, max-age=31536000, immutable") },

    { ngx_null_string, ngx_null_string }
};


/* shown by other sites and in mails */

static ngx_http_paylink_header_t  ngx_http_paylink_headers_button[] = {

    { ngx_string("Cache-Control"), ngx_string("public, max-age=86400") },

    { ngx_null_string, ngx_null_string }
};


static ngx_http_paylink_header_t  ngx_http_paylink_headers_live_button[] = {

    { ngx_string("Cache-Control"), ngx_string("public, max-age=60") },

    { ngx_null_string, ngx_null_string }
};


static ngx_http_paylink_header_t
    *ngx_http_paylink_headers_own[NGX_HTTP_PAYLINK_HEADERS_SETS] =
{
    ngx_http_paylink_headers_page,
    ngx_http_paylink_headers_page,
    ngx_http_paylink_headers_asset,
    ngx_http_paylink_headers_button,
    ngx_http_paylink_headers_live_button
};


static ngx_str_t  ngx_http_paylink_csp_key =
    ngx_string("Content-Security-Policy");
static ngx_str_t  ngx_http_paylink_permissions_key =
    ngx_string("Permissions-Policy");


ngx_int_t
ngx_http_paylink_headers_init(ngx_conf_t *cf,
    ngx_http_paylink_main_conf_t *pmcf)
{
    ngx_str_t                  *value;
    ngx_uint_t                  i;
    ngx_http_paylink_header_t  *h;

    for (i = 0; i < NGX_HTTP_PAYLINK_HEADERS_SETS; i++) {

        if (ngx_array_init(&pmcf->headers[i], cf->pool,
                           NGX_HTTP_PAYLINK_HEADERS_MAX,
                           sizeof(ngx_table_elt_t))
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        for (h = ngx_http_paylink_headers_own[i]; h->key.len; h++) {
            if (ngx_http_paylink_headers_add(cf, &pmcf->headers[i], &h->key,
                                             &h->value)
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }

        for (h = ngx_http_paylink_headers_all; h->key.len; h++) {

            value = ngx_http_paylink_headers_embedded(i, h);

            if (ngx_http_paylink_headers_add(cf, &pmcf->headers[i], &h->key,
                                             value)
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    if (ngx_http_paylink_headers_gateway(cf, pmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_paylink_headers_preload(cf, pmcf);
}


/* a button is there to be embedded by others */

static ngx_str_t *
ngx_http_paylink_headers_embedded(ngx_uint_t set, ngx_http_paylink_header_t *h)
{
    static ngx_str_t  cross_origin = ngx_string("cross-origin");

    if ((set == NGX_HTTP_PAYLINK_HEADERS_BUTTON
         || set == NGX_HTTP_PAYLINK_HEADERS_LIVE_BUTTON)
        && ngx_strcmp(h->key.data, "Cross-Origin-Resource-Policy") == 0)
    {
        return &cross_origin;
    }

    return &h->value;
}


/* a CDN makes early hints of it while the edge still asks Redis */

static ngx_int_t
ngx_http_paylink_headers_preload(ngx_conf_t *cf,
    ngx_http_paylink_main_conf_t *pmcf)
{
    size_t                     len;
    ngx_str_t                  link;
    ngx_array_t               *set;
    ngx_http_paylink_asset_t  *css, *js;

    static ngx_str_t  key = ngx_string("Link");

    css = pmcf->css;
    js = pmcf->js;

    len = sizeof("<>; rel=preload; as=style; integrity=\"\", "
                 "<>; rel=preload; as=script; integrity=\"\"")
          + css->path.len + css->integrity.len
          + js->path.len + js->integrity.len;

    link.data = ngx_pnalloc(cf->pool, len);
    if (link.data == NULL) {
        return NGX_ERROR;
    }

    link.len = ngx_sprintf(link.data,
                           "<%V>; rel=preload; as=style; integrity=\"%V\", "
                           "<%V>; rel=preload; as=script; integrity=\"%V\"",
                           &css->path, &css->integrity, &js->path,
                           &js->integrity)
               - link.data;

    set = &pmcf->headers[NGX_HTTP_PAYLINK_HEADERS_PAY];

    return ngx_http_paylink_headers_add(cf, set, &key, &link);
}


/* only the page to pay frames the gateway's fields and may ask for payment */

static ngx_int_t
ngx_http_paylink_headers_gateway(ngx_conf_t *cf,
    ngx_http_paylink_main_conf_t *pmcf)
{
    u_char      *p;
    ngx_str_t   *origin, *policy, csp, permissions;
    ngx_uint_t   i;

    static ngx_str_t  plain = ngx_string(NGX_HTTP_PAYLINK_CSP);

    origin = &pmcf->gateway.origin;

    p = ngx_pnalloc(cf->pool, sizeof(NGX_HTTP_PAYLINK_CSP "; frame-src ")
                              + origin->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    csp.data = p;
    csp.len = ngx_sprintf(p, NGX_HTTP_PAYLINK_CSP "; frame-src %V", origin)
              - p;

    p = ngx_pnalloc(cf->pool, sizeof("payment=(self \"\")") + origin->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    permissions.data = p;
    permissions.len = ngx_sprintf(p, "payment=(self \"%V\")", origin) - p;

    for (i = 0; i < NGX_HTTP_PAYLINK_HEADERS_SETS; i++) {

        policy = (i == NGX_HTTP_PAYLINK_HEADERS_PAY) ? &csp : &plain;

        if (ngx_http_paylink_headers_add(cf, &pmcf->headers[i],
                                         &ngx_http_paylink_csp_key, policy)
            != NGX_OK
            || ngx_http_paylink_headers_add(cf, &pmcf->headers[i],
                                            &ngx_http_paylink_permissions_key,
                                            &permissions)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_paylink_headers_add(ngx_conf_t *cf, ngx_array_t *set, ngx_str_t *key,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_array_push(set);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    h->key = *key;
    h->value = *value;

    h->lowcase_key = ngx_pnalloc(cf->pool, key->len);
    if (h->lowcase_key == NULL) {
        return NGX_ERROR;
    }

    ngx_strlow(h->lowcase_key, key->data, key->len);

    return NGX_OK;
}


/* the first header of the request with this name, or NULL */

ngx_str_t *
ngx_http_paylink_header_in(ngx_http_request_t *r, const char *key)
{
    size_t            len;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    len = ngx_strlen(key);

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return NULL;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len == len
            && ngx_strncasecmp(h[i].key.data, (u_char *) key, len) == 0)
        {
            return &h[i].value;
        }
    }
}


/* key and value are constants, or live as long as the request */

ngx_int_t
ngx_http_paylink_add_header(ngx_http_request_t *r, const char *key,
    const char *value, size_t len)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    h->key.data = (u_char *) key;
    h->key.len = ngx_strlen(key);
    h->value.data = (u_char *) value;
    h->value.len = len;

    return NGX_OK;
}


static ngx_int_t
ngx_http_paylink_headers_push(ngx_http_request_t *r,
    ngx_http_paylink_headers_e headers)
{
    ngx_uint_t                     i;
    ngx_array_t                   *set;
    ngx_table_elt_t               *h, *elts;
    ngx_http_paylink_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_paylink_module);

    set = &pmcf->headers[headers];
    elts = set->elts;

    for (i = 0; i < set->nelts; i++) {
        h = ngx_list_push(&r->headers_out.headers);
        if (h == NULL) {
            return NGX_ERROR;
        }

        *h = elts[i];
    }

#if (NGX_HTTP_GZIP)

    if (headers == NGX_HTTP_PAYLINK_HEADERS_PAGE
        || headers == NGX_HTTP_PAYLINK_HEADERS_PAY)
    {
        /* the length of a compressed page would tell of its secrets */
        r->gzip_tested = 1;
        r->gzip_ok = 0;
    }

#endif

    return NGX_OK;
}


/*
 * The head of an answer whose status is set; length is -1 where it is not
 * known.  As ngx_http_send_header().
 */

ngx_int_t
ngx_http_paylink_send_head(ngx_http_request_t *r,
    ngx_http_paylink_headers_e headers, ngx_str_t *type, off_t length)
{
    u_char  *p;

    if (ngx_http_paylink_headers_push(r, headers) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.content_length_n = length;

    if (type) {
        r->headers_out.content_type = *type;

        p = ngx_strlchr(type->data, type->data + type->len, ';');
        r->headers_out.content_type_len = p ? (size_t) (p - type->data)
                                            : type->len;
    }

    return ngx_http_send_header(r);
}


/* r->headers_out.status is set; body is NULL for an answer without one */

ngx_int_t
ngx_http_paylink_send(ngx_http_request_t *r,
    ngx_http_paylink_headers_e headers, ngx_str_t *type, ngx_str_t *body)
{
    ngx_buf_t    *b;
    ngx_int_t     rc;
    ngx_chain_t   out;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    if (body == NULL) {
        r->header_only = 1;

        return ngx_http_paylink_send_head(r, headers, NULL,
                        (r->headers_out.status == NGX_HTTP_NO_CONTENT)
                        ? r->headers_out.content_length_n : 0);
    }

    rc = ngx_http_paylink_send_head(r, headers, type, body->len);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = body->data;
    b->last = body->data + body->len;
    b->memory = body->len ? 1 : 0;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}
