
/*
 * Style sheet, script and the like: read and compressed at configuration time,
 * served from memory under names that change with their content.
 */


#include "ngx_http_paylink.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <zlib.h>


#define NGX_HTTP_PAYLINK_ASSET_MAX    (1024 * 1024)
#define NGX_HTTP_PAYLINK_ASSETS_MAX   32
#define NGX_HTTP_PAYLINK_ASSET_HASH   8

/* 32K of history, and the frame of gzip instead of that of zlib */

#define NGX_HTTP_PAYLINK_GZIP_WINDOW  (MAX_WBITS + 16)


typedef struct {
    ngx_str_t                       ext;
    ngx_str_t                       type;
} ngx_http_paylink_type_t;


static char *ngx_http_paylink_asset_load(ngx_conf_t *cf,
    ngx_http_paylink_main_conf_t *pmcf, ngx_str_t *dir, ngx_dir_t *d);
static ngx_int_t ngx_http_paylink_asset_type(ngx_conf_t *cf,
    ngx_http_paylink_asset_t *asset, ngx_str_t *file, u_char *ext);
static ngx_int_t ngx_http_paylink_asset_read(ngx_conf_t *cf, ngx_str_t *path,
    ngx_str_t *body);
static ngx_int_t ngx_http_paylink_asset_name(ngx_conf_t *cf,
    ngx_http_paylink_asset_t *asset, u_char *name, u_char *ext);
static ngx_int_t ngx_http_paylink_asset_integrity(ngx_conf_t *cf,
    ngx_http_paylink_asset_t *asset);
static ngx_int_t ngx_http_paylink_asset_gzip(ngx_conf_t *cf,
    ngx_http_paylink_asset_t *asset);
static ngx_int_t ngx_http_paylink_asset_send(ngx_http_request_t *r,
    ngx_http_paylink_asset_t *asset);
static ngx_uint_t ngx_http_paylink_accepts_gzip(ngx_http_request_t *r);


static ngx_http_paylink_type_t  ngx_http_paylink_types[] = {
    { ngx_string("css"), ngx_string("text/css; charset=utf-8") },
    { ngx_string("js"), ngx_string("text/javascript; charset=utf-8") },
    { ngx_string("svg"), ngx_string("image/svg+xml") },
    { ngx_string("png"), ngx_string("image/png") },
    { ngx_string("ico"), ngx_string("image/x-icon") },
    { ngx_string("woff2"), ngx_string("font/woff2") },
    { ngx_string("txt"), ngx_string("text/plain; charset=utf-8") },
    { ngx_null_string, ngx_null_string }
};


char *
ngx_http_paylink_assets_init(ngx_conf_t *cf,
    ngx_http_paylink_main_conf_t *pmcf)
{
    char       *rv;
    u_char     *p;
    ngx_dir_t   dir;
    ngx_str_t   path;

    if (ngx_array_init(&pmcf->assets, cf->pool, NGX_HTTP_PAYLINK_ASSETS_MAX,
                       sizeof(ngx_http_paylink_asset_t))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    path.len = pmcf->pages_dir.len + sizeof("/static") - 1;
    path.data = ngx_pnalloc(cf->pool, path.len + 1);
    if (path.data == NULL) {
        return NGX_CONF_ERROR;
    }

    p = ngx_sprintf(path.data, "%V/static", &pmcf->pages_dir);
    *p = '\0';

    if (ngx_open_dir(&path, &dir) == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_dir_n " \"%V\" failed", &path);
        return NGX_CONF_ERROR;
    }

    rv = ngx_http_paylink_asset_load(cf, pmcf, &path, &dir);

    if (ngx_close_dir(&dir) == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, ngx_errno,
                           ngx_close_dir_n " \"%V\" failed", &path);
    }

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (pmcf->css == NULL || pmcf->js == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must have paylink.css and paylink.js",
                           &path);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_paylink_asset_load(ngx_conf_t *cf,
    ngx_http_paylink_main_conf_t *pmcf, ngx_str_t *dir, ngx_dir_t *d)
{
    u_char                    *name, *ext;
    ngx_str_t                  file;
    ngx_http_paylink_asset_t  *asset;

    while (ngx_read_dir(d) == NGX_OK) {

        name = ngx_de_name(d);
        ext = (u_char *) strrchr((char *) name, '.');

        if (name[0] == '.') {
            continue;
        }

        if (pmcf->assets.nelts == NGX_HTTP_PAYLINK_ASSETS_MAX) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" has more than %d files", dir,
                               NGX_HTTP_PAYLINK_ASSETS_MAX);
            return NGX_CONF_ERROR;
        }

        /* never moves: the array has room for all */

        asset = ngx_array_push(&pmcf->assets);
        if (asset == NULL) {
            return NGX_CONF_ERROR;
        }

        file.len = dir->len + 1 + ngx_de_namelen(d);
        file.data = ngx_pnalloc(cf->pool, file.len + 1);
        if (file.data == NULL) {
            return NGX_CONF_ERROR;
        }

        *ngx_sprintf(file.data, "%V/%s", dir, name) = '\0';

        if (ngx_http_paylink_asset_type(cf, asset, &file, ext) != NGX_OK
            || ngx_http_paylink_asset_read(cf, &file, &asset->body) != NGX_OK
            || ngx_http_paylink_asset_name(cf, asset, name, ext) != NGX_OK
            || ngx_http_paylink_asset_integrity(cf, asset) != NGX_OK
            || ngx_http_paylink_asset_gzip(cf, asset) != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }

        if (ngx_strcmp(name, "paylink.css") == 0) {
            pmcf->css = asset;

        } else if (ngx_strcmp(name, "paylink.js") == 0) {
            pmcf->js = asset;

        } else if (ngx_strcmp(name, "icon.svg") == 0) {
            pmcf->icon = asset;
        }
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_paylink_asset_type(ngx_conf_t *cf, ngx_http_paylink_asset_t *asset,
    ngx_str_t *file, u_char *ext)
{
    ngx_http_paylink_type_t  *type;

    for (type = ngx_http_paylink_types; type->ext.len; type++) {
        if (ext && ngx_strcmp(ext + 1, type->ext.data) == 0) {
            asset->type = type->type;
            return NGX_OK;
        }
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" is of no known type",
                       file);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_paylink_asset_read(ngx_conf_t *cf, ngx_str_t *path, ngx_str_t *body)
{
    off_t       size;
    ssize_t     n;
    ngx_int_t   rc;
    ngx_file_t  file;

    rc = NGX_ERROR;

    ngx_memzero(&file, sizeof(ngx_file_t));

    file.name = *path;
    file.log = cf->log;
    file.fd = ngx_open_file(path->data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                            NGX_FILE_OPEN, 0);

    if (file.fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", path);
        return NGX_ERROR;
    }

    if (ngx_fd_info(file.fd, &file.info) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_fd_info_n " \"%V\" failed", path);
        goto done;
    }

    size = ngx_file_size(&file.info);

    if (!ngx_is_file(&file.info) || size > NGX_HTTP_PAYLINK_ASSET_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is not a file of at most %d bytes", path,
                           NGX_HTTP_PAYLINK_ASSET_MAX);
        goto done;
    }

    body->len = (size_t) size;
    body->data = ngx_pnalloc(cf->pool, body->len + 1);

    if (body->data == NULL) {
        goto done;
    }

    n = ngx_read_file(&file, body->data, body->len, 0);

    if (n == NGX_ERROR || (size_t) n != body->len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" could not be read as a whole", path);
        goto done;
    }

    rc = NGX_OK;

done:

    if (ngx_close_file(file.fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", path);
    }

    return rc;
}


static ngx_int_t
ngx_http_paylink_asset_name(ngx_conf_t *cf, ngx_http_paylink_asset_t *asset,
    u_char *name, u_char *ext)
{
    u_char  *p;
    u_char   hash[SHA256_DIGEST_LENGTH];

    SHA256(asset->body.data, asset->body.len, hash);

    p = ngx_pnalloc(cf->pool, sizeof("/static/.") - 1 + ngx_strlen(name)
                              + 2 * NGX_HTTP_PAYLINK_ASSET_HASH);
    if (p == NULL) {
        return NGX_ERROR;
    }

    asset->path.data = p;

    p = ngx_sprintf(p, "/static/%*s.", ext - name, name);
    p = ngx_hex_dump(p, hash, NGX_HTTP_PAYLINK_ASSET_HASH);
    p = ngx_sprintf(p, "%s", ext);

    asset->path.len = p - asset->path.data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_paylink_asset_integrity(ngx_conf_t *cf,
    ngx_http_paylink_asset_t *asset)
{
    u_char     *p;
    u_char      digest[SHA384_DIGEST_LENGTH];
    ngx_str_t   src, dst;

    SHA384(asset->body.data, asset->body.len, digest);

    src.data = digest;
    src.len = SHA384_DIGEST_LENGTH;

    p = ngx_pnalloc(cf->pool, sizeof("sha384-") - 1
                              + ngx_base64_encoded_length(src.len));
    if (p == NULL) {
        return NGX_ERROR;
    }

    asset->integrity.data = p;

    dst.data = ngx_cpymem(p, "sha384-", sizeof("sha384-") - 1);
    ngx_encode_base64(&dst, &src);

    asset->integrity.len = dst.data + dst.len - p;

    return NGX_OK;
}


/* an asset that is compressed by its nature stays as it is */

static ngx_int_t
ngx_http_paylink_asset_gzip(ngx_conf_t *cf, ngx_http_paylink_asset_t *asset)
{
    int        rc;
    z_stream   z;

    ngx_memzero(&z, sizeof(z_stream));

    if (deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED,
                     NGX_HTTP_PAYLINK_GZIP_WINDOW, MAX_MEM_LEVEL,
                     Z_DEFAULT_STRATEGY)
        != Z_OK)
    {
        return NGX_ERROR;
    }

    asset->gzip.data = ngx_pnalloc(cf->pool, asset->body.len + 1);

    if (asset->gzip.data == NULL) {
        (void) deflateEnd(&z);
        return NGX_ERROR;
    }

    z.next_in = asset->body.data;
    z.avail_in = (uInt) asset->body.len;
    z.next_out = asset->gzip.data;
    z.avail_out = (uInt) asset->body.len;

    rc = deflate(&z, Z_FINISH);

    asset->gzip.len = (rc == Z_STREAM_END) ? z.total_out : 0;

    (void) deflateEnd(&z);

    return NGX_OK;
}


ngx_int_t
ngx_http_paylink_asset(ngx_http_request_t *r, ngx_str_t *path)
{
    ngx_uint_t                     i;
    ngx_http_paylink_asset_t      *asset;
    ngx_http_paylink_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_paylink_module);

    asset = pmcf->assets.elts;

    for (i = 0; i < pmcf->assets.nelts; i++) {

        if (asset[i].path.len != path->len
            || ngx_memcmp(asset[i].path.data, path->data, path->len) != 0)
        {
            continue;
        }

        if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
            return ngx_http_paylink_not_allowed(r, "GET, HEAD");
        }

        return ngx_http_paylink_asset_send(r, &asset[i]);
    }

    return ngx_http_paylink_unknown(r);
}


static ngx_int_t
ngx_http_paylink_asset_send(ngx_http_request_t *r,
    ngx_http_paylink_asset_t *asset)
{
    ngx_str_t        *body;
    ngx_table_elt_t  *h;

    body = &asset->body;

    if (asset->gzip.len) {

        if (ngx_http_paylink_add_header(r, "Vary", "Accept-Encoding",
                                        sizeof("Accept-Encoding") - 1)
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        if (ngx_http_paylink_accepts_gzip(r)) {

            h = ngx_list_push(&r->headers_out.headers);
            if (h == NULL) {
                return NGX_HTTP_INTERNAL_SERVER_ERROR;
            }

            ngx_memzero(h, sizeof(ngx_table_elt_t));

            h->hash = 1;
            ngx_str_set(&h->key, "Content-Encoding");
            ngx_str_set(&h->value, "gzip");

            /* nginx's own filter leaves alone what is encoded */

            r->headers_out.content_encoding = h;

            body = &asset->gzip;
        }
    }

    r->headers_out.status = NGX_HTTP_OK;

    return ngx_http_paylink_send(r, NGX_HTTP_PAYLINK_HEADERS_ASSET,
                                 &asset->type, body);
}


/*
 * Not ngx_http_gzip_ok(): by default it refuses whatever came by a proxy, and
 * a CDN is one.
 */

static ngx_uint_t
ngx_http_paylink_accepts_gzip(ngx_http_request_t *r)
{
    u_char           *p, *last, *end;
    ngx_table_elt_t  *accept;

    accept = r->headers_in.accept_encoding;

    if (accept == NULL) {
        return 0;
    }

    last = accept->value.data + accept->value.len;

    for (p = accept->value.data; p < last; p = end + 1) {

        end = ngx_strlchr(p, last, ',');
        if (end == NULL) {
            end = last;
        }

        while (p < end && (*p == ' ' || *p == '\t')) {
            p++;
        }

        if (end - p < 4 || ngx_strncasecmp(p, (u_char *) "gzip", 4) != 0) {
            continue;
        }

        p += 4;

        if (p < end && *p != ';' && *p != ' ' && *p != '\t') {
            continue;
        }

        /* "q=0", "q=0.000": not wanted; any other digit: wanted */

        p = ngx_strlchr(p, end, '=');

        if (p == NULL) {
            return 1;
        }

        while (++p < end) {
            if (*p >= '1' && *p <= '9') {
                return 1;
            }
        }

        return 0;
    }

    return 0;
}
