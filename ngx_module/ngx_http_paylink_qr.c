
/*
 * A payable link as a QR code, "/p/TOKEN/qr.svg" and ".png": made of the
 * token alone, Redis is not asked.
 */


#include "ngx_http_paylink.h"

#include <qrencode.h>
#include <zlib.h>


#define NGX_HTTP_PAYLINK_QR_URL_MAX   512

/* modules of white around it, and pixels of a module */

#define NGX_HTTP_PAYLINK_QR_QUIET     4
#define NGX_HTTP_PAYLINK_QR_SCALE     8

/* "M", two numbers, "h", "v1h-", "z" */

#define NGX_HTTP_PAYLINK_QR_RUN       (5 * NGX_INT_T_LEN)


static ngx_int_t ngx_http_paylink_qr(ngx_http_request_t *r, ngx_uint_t png);
static ngx_int_t ngx_http_paylink_qr_draw_svg(ngx_http_request_t *r,
    QRcode *code, ngx_str_t *body);
static ngx_int_t ngx_http_paylink_qr_draw_png(ngx_http_request_t *r,
    QRcode *code, ngx_str_t *body);
static void ngx_http_paylink_qr_rows(QRcode *code, u_char *p, size_t line);
static u_char *ngx_http_paylink_qr_chunk(u_char *p, const char *type,
    size_t len);
static u_char *ngx_http_paylink_qr_uint(u_char *p, uint32_t n);


#define ngx_http_paylink_qr_dark(code, x, y)                                  \
    ((code)->data[(y) * (code)->width + (x)] & 1)


ngx_int_t
ngx_http_paylink_qr_svg(ngx_http_request_t *r)
{
    return ngx_http_paylink_qr(r, 0);
}


ngx_int_t
ngx_http_paylink_qr_png(ngx_http_request_t *r)
{
    return ngx_http_paylink_qr(r, 1);
}


static ngx_int_t
ngx_http_paylink_qr(ngx_http_request_t *r, ngx_uint_t png)
{
    QRcode                        *code;
    u_char                         url[NGX_HTTP_PAYLINK_QR_URL_MAX], *p;
    ngx_int_t                      rc;
    ngx_str_t                      body;
    ngx_http_paylink_ctx_t        *ctx;
    ngx_http_paylink_main_conf_t  *pmcf;

    static ngx_str_t  svg_type = ngx_string("image/svg+xml");
    static ngx_str_t  png_type = ngx_string("image/png");

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);
    pmcf = ngx_http_get_module_main_conf(r, ngx_http_paylink_module);

    p = ngx_snprintf(url, sizeof(url), "%V%V", &pmcf->base.url,
                     &ctx->token_path);

    code = QRcode_encodeData(p - url, url, 0, QR_ECLEVEL_M);
    if (code == NULL) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, ngx_errno,
                      "paylink: no QR code of %z bytes", p - url);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = png ? ngx_http_paylink_qr_draw_png(r, code, &body)
             : ngx_http_paylink_qr_draw_svg(r, code, &body);

    QRcode_free(code);

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;

    return ngx_http_paylink_send(r, NGX_HTTP_PAYLINK_HEADERS_PAGE,
                                 png ? &png_type : &svg_type, &body);
}


static ngx_int_t
ngx_http_paylink_qr_draw_svg(ngx_http_request_t *r, QRcode *code,
    ngx_str_t *body)
{
    int      x, y, n, size;
    u_char  *p;

    static const char  head[] =
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
        "shape-rendering=\"crispEdges\"><path fill=\"#fff\" "
        "d=\"M0 0h%dv%dH0z\"/><path d=\"";
    static const char  tail[] = "\"/></svg>\n";

    size = code->width + 2 * NGX_HTTP_PAYLINK_QR_QUIET;

    /* at most every other module of a row begins a run */

    p = ngx_pnalloc(r->pool, sizeof(head) + 4 * NGX_INT_T_LEN + sizeof(tail)
                             + code->width * (code->width + 1) / 2
                               * NGX_HTTP_PAYLINK_QR_RUN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    body->data = p;

    p = ngx_sprintf(p, head, size, size, size, size);

    for (y = 0; y < code->width; y++) {
        for (x = 0; x < code->width; x += n) {

            for (n = 0; x + n < code->width
                        && ngx_http_paylink_qr_dark(code, x + n, y); n++)
            {
                /* void */
            }

            if (n == 0) {
                n = 1;
                continue;
            }

            p = ngx_sprintf(p, "M%d %dh%dv1h-%dz",
                            x + NGX_HTTP_PAYLINK_QR_QUIET,
                            y + NGX_HTTP_PAYLINK_QR_QUIET, n, n);
        }
    }

    p = ngx_cpymem(p, tail, sizeof(tail) - 1);

    body->len = p - body->data;

    return NGX_OK;
}


/* one bit a pixel, see https://www.w3.org/TR/png/ */

static ngx_int_t
ngx_http_paylink_qr_draw_png(ngx_http_request_t *r, QRcode *code,
    ngx_str_t *body)
{
    int      size;
    size_t   line, len;
    uLongf   packed;
    u_char  *p, *rows;

    static const u_char  signature[] = {
        0x89, 'P', 'N', 'G', 0x0d, 0x0a, 0x1a, 0x0a
    };

    size = (code->width + 2 * NGX_HTTP_PAYLINK_QR_QUIET)
           * NGX_HTTP_PAYLINK_QR_SCALE;
    line = 1 + (size + 7) / 8;
    len = line * size;
    packed = compressBound(len);

    rows = ngx_palloc(r->pool, len);
    p = ngx_pnalloc(r->pool, sizeof(signature) + 3 * 12 + 13 + packed);

    if (rows == NULL || p == NULL) {
        return NGX_ERROR;
    }

    ngx_http_paylink_qr_rows(code, rows, line);

    body->data = p;

    p = ngx_cpymem(p, signature, sizeof(signature));

    p += 8;
    p = ngx_http_paylink_qr_uint(p, size);
    p = ngx_http_paylink_qr_uint(p, size);
    *p++ = 1;                               /* bit a pixel */
    ngx_memzero(p, 4);                      /* grey, and the only methods */
    p = ngx_http_paylink_qr_chunk(p + 4, "IHDR", 13);

    if (compress2(p + 8, &packed, rows, len, Z_BEST_SPEED) != Z_OK) {
        return NGX_ERROR;
    }

    p = ngx_http_paylink_qr_chunk(p + 8 + packed, "IDAT", packed);
    p = ngx_http_paylink_qr_chunk(p + 8, "IEND", 0);

    body->len = p - body->data;

    return NGX_OK;
}


static void
ngx_http_paylink_qr_rows(QRcode *code, u_char *p, size_t line)
{
    int  x, y, bit, from;

    /* white, with the filter "none" in front of each line */

    for (y = 0; y < (code->width + 2 * NGX_HTTP_PAYLINK_QR_QUIET)
                    * NGX_HTTP_PAYLINK_QR_SCALE; y++)
    {
        p[y * line] = 0;
        ngx_memset(p + y * line + 1, 0xff, line - 1);
    }

    p += NGX_HTTP_PAYLINK_QR_QUIET * NGX_HTTP_PAYLINK_QR_SCALE * line;

    for (y = 0; y < code->width * NGX_HTTP_PAYLINK_QR_SCALE; y++, p += line) {
        for (x = 0; x < code->width; x++) {

            if (!ngx_http_paylink_qr_dark(code, x,
                                          y / NGX_HTTP_PAYLINK_QR_SCALE))
            {
                continue;
            }

            from = (x + NGX_HTTP_PAYLINK_QR_QUIET) * NGX_HTTP_PAYLINK_QR_SCALE;

            for (bit = from; bit < from + NGX_HTTP_PAYLINK_QR_SCALE; bit++) {
                p[1 + bit / 8] &= ~(0x80 >> bit % 8);
            }
        }
    }
}


/* the len bytes before p are its data, with room for its head before them */

static u_char *
ngx_http_paylink_qr_chunk(u_char *p, const char *type, size_t len)
{
    u_char  *head;

    head = ngx_http_paylink_qr_uint(p - len - 8, len);
    ngx_memcpy(head, type, 4);

    return ngx_http_paylink_qr_uint(p, crc32(crc32(0, NULL, 0), head,
                                             len + 4));
}


static u_char *
ngx_http_paylink_qr_uint(u_char *p, uint32_t n)
{
    *p++ = (u_char) (n >> 24);
    *p++ = (u_char) (n >> 16);
    *p++ = (u_char) (n >> 8);
    *p++ = (u_char) n;

    return p;
}
