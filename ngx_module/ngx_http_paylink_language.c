
/*
 * Languages: for each message file a set of compiled pages, and which of them
 * a request gets.  Nothing is translated while a page is made.
 */


#include "ngx_http_paylink.h"


#define NGX_HTTP_PAYLINK_ERROR_SIZE      512
#define NGX_HTTP_PAYLINK_LANGUAGES_MAX   64

/* said by the worker, not by a page */

#define NGX_HTTP_PAYLINK_WORKER_KEYS     "worker_"


static void ngx_http_paylink_language_cleanup(void *data);
static ngx_int_t ngx_http_paylink_language_files(ngx_conf_t *cf,
    ngx_http_paylink_main_conf_t *pmcf);
static ngx_int_t ngx_http_paylink_language_add(ngx_conf_t *cf,
    ngx_http_paylink_main_conf_t *pmcf, ngx_str_t *path);
static struct messages *ngx_http_paylink_language_load(ngx_conf_t *cf,
    ngx_http_paylink_main_conf_t *pmcf, ngx_http_paylink_language_t *language,
    struct messages *english);
static ngx_int_t ngx_http_paylink_language_compile(ngx_conf_t *cf,
    ngx_http_paylink_main_conf_t *pmcf, ngx_http_paylink_language_t *language,
    struct messages *messages);
static ngx_int_t ngx_http_paylink_language_render(ngx_conf_t *cf,
    struct template *page, struct template_value *values, ngx_str_t *text);
static ngx_int_t ngx_http_paylink_language_texts(
    struct template_value *values, ngx_http_paylink_judged_t *judged);


/* the first of them is English: what all are measured by */

char *
ngx_http_paylink_languages_init(ngx_conf_t *cf,
    ngx_http_paylink_main_conf_t *pmcf)
{
    char                         *rc;
    ngx_uint_t                    i;
    struct messages              *english, *messages;
    ngx_pool_cleanup_t           *cln;
    ngx_http_paylink_language_t  *language;

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_CONF_ERROR;
    }

    cln->handler = ngx_http_paylink_language_cleanup;
    cln->data = pmcf;

    if (ngx_http_paylink_language_files(cf, pmcf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    language = pmcf->languages;

    english = ngx_http_paylink_language_load(cf, pmcf, language, NULL);
    if (english == NULL) {
        return NGX_CONF_ERROR;
    }

    rc = NGX_CONF_ERROR;

    if (ngx_http_paylink_language_compile(cf, pmcf, language, english)
        != NGX_OK)
    {
        goto done;
    }

    for (i = 1; i < pmcf->nlanguages; i++) {
        language = &pmcf->languages[i];

        messages = ngx_http_paylink_language_load(cf, pmcf, language, english);
        if (messages == NULL) {
            goto done;
        }

        if (ngx_http_paylink_language_compile(cf, pmcf, language, messages)
            != NGX_OK)
        {
            messages_free(messages);
            goto done;
        }

        messages_free(messages);
    }

    rc = NGX_CONF_OK;

done:

    messages_free(english);

    return rc;
}


static void
ngx_http_paylink_language_cleanup(void *data)
{
    ngx_http_paylink_main_conf_t  *pmcf = data;

    ngx_uint_t  i, page;

    for (i = 0; i < pmcf->nlanguages; i++) {
        for (page = 0; page < NGX_HTTP_PAYLINK_PAGES; page++) {
            template_free(pmcf->languages[i].page[page]);
            pmcf->languages[i].page[page] = NULL;
        }
    }
}


/* messages/TAG.txt */

static ngx_int_t
ngx_http_paylink_language_files(ngx_conf_t *cf,
    ngx_http_paylink_main_conf_t *pmcf)
{
    ngx_int_t   rc;
    ngx_str_t   path, pattern;
    ngx_glob_t  gl;

    pmcf->languages = ngx_pcalloc(cf->pool, NGX_HTTP_PAYLINK_LANGUAGES_MAX
                                        * sizeof(ngx_http_paylink_language_t));
    pmcf->tags = ngx_pcalloc(cf->pool, NGX_HTTP_PAYLINK_LANGUAGES_MAX
                                       * sizeof(char *));
    pattern.len = pmcf->pages_dir.len + sizeof("/messages/*.txt") - 1;
    pattern.data = ngx_pnalloc(cf->pool, pattern.len + 1);

    if (pmcf->languages == NULL || pmcf->tags == NULL || pattern.data == NULL)
    {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(pattern.data, "%V/messages/*.txt%Z", &pmcf->pages_dir);

    ngx_str_set(&path, "en.txt");

    if (ngx_http_paylink_language_add(cf, pmcf, &path) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_memzero(&gl, sizeof(ngx_glob_t));

    gl.pattern = pattern.data;
    gl.log = cf->log;
    gl.test = 1;

    if (ngx_open_glob(&gl) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_glob_n " \"%V\" failed", &pattern);
        return NGX_ERROR;
    }

    do {
        rc = ngx_read_glob(&gl, &path);

    } while (rc == NGX_OK
             && (rc = ngx_http_paylink_language_add(cf, pmcf, &path))
                == NGX_OK);

    ngx_close_glob(&gl);

    return (rc == NGX_DONE) ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_paylink_language_add(ngx_conf_t *cf,
    ngx_http_paylink_main_conf_t *pmcf, ngx_str_t *path)
{
    u_char                       *p;
    ngx_str_t                     tag;
    ngx_http_paylink_language_t  *language;

    p = path->data + path->len;

    while (p > path->data && p[-1] != '/') {
        p--;
    }

    tag.data = p;
    tag.len = path->data + path->len - p - (sizeof(".txt") - 1);

    if (pmcf->nlanguages && tag.len == 2
        && ngx_strncmp(tag.data, "en", 2) == 0)
    {
        return NGX_OK;
    }

    if (tag.len == 0 || tag.len > LANGUAGE_BYTES_MAX
        || pmcf->nlanguages == NGX_HTTP_PAYLINK_LANGUAGES_MAX)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "page messages: \"%V\" is no language, or one too "
                           "many", path);
        return NGX_ERROR;
    }

    p = ngx_pnalloc(cf->pool, sizeof("messages/.txt") - 1 + sizeof("text:") - 1
                              + 2 * tag.len + 2 + tag.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    language = &pmcf->languages[pmcf->nlanguages];

    language->tag.data = p;
    language->tag.len = tag.len;
    p = ngx_sprintf(p, "%V%Z", &tag);

    language->field.data = p;
    p = ngx_sprintf(p, "text:%V", &tag);
    language->field.len = p - language->field.data;

    language->file = p;
    (void) ngx_sprintf(p, "messages/%V.txt%Z", &tag);

    pmcf->tags[pmcf->nlanguages++] = (char *) language->tag.data;

    return NGX_OK;
}


static struct messages *
ngx_http_paylink_language_load(ngx_conf_t *cf,
    ngx_http_paylink_main_conf_t *pmcf, ngx_http_paylink_language_t *language,
    struct messages *english)
{
    char              err[NGX_HTTP_PAYLINK_ERROR_SIZE];
    struct messages  *messages;

    messages = messages_load((char *) pmcf->pages_dir.data,
                             (char *) language->file, err, sizeof(err));

    if (messages == NULL
        || (english
            && messages_check(messages, english, err, sizeof(err)) != 0))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "page messages: %s", err);
        messages_free(messages);
        return NULL;
    }

    return messages;
}


static ngx_int_t
ngx_http_paylink_language_compile(ngx_conf_t *cf,
    ngx_http_paylink_main_conf_t *pmcf, ngx_http_paylink_language_t *language,
    struct messages *messages)
{
    char                   err[NGX_HTTP_PAYLINK_ERROR_SIZE];
    ngx_uint_t             i;
    const struct message  *unused;

    for (i = 0; i < NGX_HTTP_PAYLINK_PAGES; i++) {

        if (ngx_http_paylink_page_load(pmcf, i, messages, &language->page[i],
                                       err, sizeof(err))
            != NGX_OK)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "page template: %s", err);
            return NGX_ERROR;
        }
    }

    unused = messages_unused(messages, NGX_HTTP_PAYLINK_WORKER_KEYS);

    if (unused) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "page messages: %s:%ui: no page says \"%*s\"",
                           language->file, (ngx_uint_t) unused->line,
                           unused->key_len, unused->key);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* once everything is configured: the pages that are the same for everyone */

ngx_int_t
ngx_http_paylink_languages_prepare(ngx_conf_t *cf,
    ngx_http_paylink_main_conf_t *pmcf)
{
    ngx_uint_t                    i;
    struct template_value         values[NGX_HTTP_PAYLINK_VALUES];
    ngx_http_paylink_language_t  *language;

    for (i = 0; i < pmcf->nlanguages; i++) {
        language = &pmcf->languages[i];

        ngx_memzero(values, sizeof(values));
        ngx_http_paylink_page_conf_values(pmcf, values);
        ngx_http_paylink_language_set(values, &language->tag);

        if (ngx_http_paylink_language_render(cf,
                                     language->page[NGX_HTTP_PAYLINK_UNKNOWN],
                                     values, &language->unknown)
            != NGX_OK
            || ngx_http_paylink_language_render(cf,
                                 language->page[NGX_HTTP_PAYLINK_MAINTENANCE],
                                 values, &language->maintenance)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_paylink_language_render(ngx_conf_t *cf, struct template *page,
    struct template_value *values, ngx_str_t *text)
{
    text->len = template_size(page, values);
    text->data = ngx_pnalloc(cf->pool, text->len);

    if (text->data == NULL) {
        return NGX_ERROR;
    }

    (void) template_write(page, values, (char *) text->data);

    return NGX_OK;
}


/* what the browser asks for, or -1 */

ngx_int_t
ngx_http_paylink_language_accepted(ngx_http_request_t *r)
{
    ngx_str_t                     *accept;
    ngx_http_paylink_main_conf_t  *pmcf;

    accept = ngx_http_paylink_header_in(r, "Accept-Language");

    if (accept == NULL) {
        return -1;
    }

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_paylink_module);

    return language_choose((char *) accept->data, accept->len, pmcf->tags,
                           pmcf->nlanguages);
}


/* for a page that knows no link */

ngx_http_paylink_language_t *
ngx_http_paylink_language_default(ngx_http_request_t *r)
{
    ngx_int_t                      i;
    ngx_http_paylink_ctx_t        *ctx;
    ngx_http_paylink_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_paylink_module);
    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    i = ctx ? ctx->language : ngx_http_paylink_language_accepted(r);

    return &pmcf->languages[i < 0 ? 0 : i];
}


/* the one in which a page with these values is written */

ngx_http_paylink_language_t *
ngx_http_paylink_language_page(ngx_http_paylink_main_conf_t *pmcf,
    struct template_value *values)
{
    ngx_int_t               i;
    struct template_value  *lang;

    lang = &values[NGX_HTTP_PAYLINK_V_LANG];

    i = language_find(lang->data, lang->len, pmcf->tags, pmcf->nlanguages);

    return &pmcf->languages[i < 0 ? 0 : i];
}


void
ngx_http_paylink_language_set(struct template_value *values, ngx_str_t *tag)
{
    const char  *dir;

    dir = language_right_to_left((char *) tag->data, tag->len) ? "rtl" : "ltr";

    ngx_http_paylink_set(values, LANG, tag->data, tag->len);
    ngx_http_paylink_set(values, DIR, dir, 3);
}


/*
 * The language of a link's page: what its customer has set, what the browser
 * asks for, what its merchant has set.  NGX_DECLINED: the texts of the link
 * are not there in this language; the values are set for a page without them.
 */

ngx_int_t
ngx_http_paylink_language_link(ngx_http_request_t *r,
    struct template_value *values, ngx_http_paylink_judged_t *judged)
{
    ngx_int_t                      own;
    ngx_str_t                     *lang;
    ngx_http_paylink_ctx_t        *ctx;
    ngx_http_paylink_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_paylink_module);
    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    lang = &judged->field[NGX_HTTP_PAYLINK_F_LANG];
    own = language_find((char *) lang->data, lang->len, pmcf->tags,
                        pmcf->nlanguages);

    if (own >= 0) {
        ngx_http_paylink_language_set(values, lang);
    }

    if (ctx->language < 0 || ctx->language == own
        || (own >= 0 && judged->field[NGX_HTTP_PAYLINK_F_LANG_SET].len))
    {
        return NGX_OK;
    }

    if (ngx_http_paylink_language_texts(values, judged) != NGX_OK) {
        return NGX_DECLINED;
    }

    ngx_http_paylink_language_set(values, &pmcf->languages[ctx->language].tag);

    return NGX_OK;
}


/* that of the page on which it was made, unless its customer has set one */

void
ngx_http_paylink_language_attempt(ngx_http_request_t *r,
    struct template_value *values, ngx_http_paylink_judged_t *judged)
{
    ngx_str_t                     *lang;
    ngx_http_paylink_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_paylink_module);

    lang = &judged->field[NGX_HTTP_PAYLINK_F_LANG];

    if (language_find((char *) lang->data, lang->len, pmcf->tags,
                      pmcf->nlanguages)
        >= 0)
    {
        ngx_http_paylink_language_set(values, lang);
    }
}


/* a record (worker/outbox/publish.c): a row of texts, then those of the table */

static ngx_int_t
ngx_http_paylink_language_texts(struct template_value *values,
    ngx_http_paylink_judged_t *judged)
{
    ngx_str_t            *text;
    unsigned              count, i;
    struct record_field   fields[RECORD_FIELDS_MAX];
    struct record_reader  reader;

    static const ngx_uint_t  texts[] = {
        NGX_HTTP_PAYLINK_V_TITLE,
        NGX_HTTP_PAYLINK_V_DUE_TEXT,
        NGX_HTTP_PAYLINK_V_DUE_DATE,
        NGX_HTTP_PAYLINK_V_PAID_TEXT,
        NGX_HTTP_PAYLINK_V_PAID_AT_TEXT
    };

    text = &judged->field[NGX_HTTP_PAYLINK_F_TEXT];

    record_reader_init(&reader, text->data, text->len);

    if (record_next(&reader, fields, &count) != 1
        || count < sizeof(texts) / sizeof(texts[0]))
    {
        return NGX_DECLINED;
    }

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        values[texts[i]].data = fields[i].data;
        values[texts[i]].len = fields[i].len;
    }

    if (count > i) {
        judged->field[NGX_HTTP_PAYLINK_F_MONEY].data = (u_char *)
                                                       fields[i].data;
        judged->field[NGX_HTTP_PAYLINK_F_MONEY].len = fields[i].len;
    }

    values[NGX_HTTP_PAYLINK_V_ROWS].data = (const char *) reader.at;
    values[NGX_HTTP_PAYLINK_V_ROWS].len = reader.end - reader.at;

    return NGX_OK;
}
