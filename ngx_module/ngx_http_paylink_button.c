
/*
 * Pay buttons for partners' sites and mails: an image that names a link and
 * cannot pay it.  Its address says how it looks and what it tells.  Redis is
 * asked for what is told of the link, and for pictures: those that are made of
 * pixels the worker draws.
 */


#include "ngx_http_paylink.h"


#define NGX_HTTP_PAYLINK_LOOK_MAX     512
#define NGX_HTTP_PAYLINK_SCALE_MAX    3

/* "#rrggbb #rrggbb", and the end of the line, in front of the words */

#define NGX_HTTP_PAYLINK_COLOUR       (sizeof("#rrggbb") - 1)
#define NGX_HTTP_PAYLINK_COLOURS      (2 * (NGX_HTTP_PAYLINK_COLOUR + 1))

/* widths of a character, in thousandths of the size of its font */

#define NGX_HTTP_PAYLINK_EM_LATIN     620
#define NGX_HTTP_PAYLINK_EM_WIDE      1060


typedef struct {
    ngx_str_t                       name;
    ngx_uint_t                      height;
    ngx_uint_t                      font;
} ngx_http_paylink_button_size_t;


struct ngx_http_paylink_button_s {
    ngx_http_paylink_button_size_t *size;
    ngx_int_t                       language;   /* -1: the link's own */
    ngx_uint_t                      scale;
    unsigned                        png:1;
    unsigned                        dark:1;
    unsigned                        amount:1;
    unsigned                        state:1;
};


static ngx_int_t ngx_http_paylink_button_args(ngx_http_request_t *r,
    ngx_str_t *args, ngx_http_paylink_button_t *button);
static ngx_int_t ngx_http_paylink_button_arg(ngx_http_request_t *r,
    ngx_str_t *name, ngx_str_t *value, ngx_http_paylink_button_t *button);
static ngx_int_t ngx_http_paylink_button_link(ngx_http_request_t *r,
    struct template_value *values, ngx_http_paylink_judged_t *judged);
static ngx_int_t ngx_http_paylink_button_send(ngx_http_request_t *r,
    struct template_value *values);
static ngx_int_t ngx_http_paylink_button_look(ngx_http_request_t *r,
    ngx_http_paylink_language_t *language, struct template_value *values);
static ngx_int_t ngx_http_paylink_button_svg(ngx_http_request_t *r,
    ngx_http_paylink_language_t *language, struct template_value *values);
static ngx_int_t ngx_http_paylink_button_png(ngx_http_request_t *r,
    ngx_http_paylink_language_t *language, struct template_value *values);
static ngx_http_paylink_headers_e ngx_http_paylink_button_headers(
    ngx_http_paylink_button_t *button);
static ngx_uint_t ngx_http_paylink_button_width(ngx_str_t *label,
    ngx_uint_t font);


static ngx_http_paylink_button_size_t  ngx_http_paylink_button_sizes[] = {
    { ngx_string("s"), 32, 14 },
    { ngx_string("m"), 44, 17 },
    { ngx_string("l"), 56, 20 }
};


/* "BUTTON.svg" or "BUTTON.png" */

ngx_int_t
ngx_http_paylink_button(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *args)
{
    ngx_int_t                      rc;
    ngx_str_t                      path;
    struct token_link              link;
    struct template_value          values[NGX_HTTP_PAYLINK_VALUES];
    ngx_http_paylink_ctx_t        *ctx;
    ngx_http_paylink_button_t     *button;
    ngx_http_paylink_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_paylink_module);

    if (name->len != TOKEN_TEXT_SIZE + 4
        || (ngx_strncmp(name->data + TOKEN_TEXT_SIZE, ".svg", 4) != 0
            && ngx_strncmp(name->data + TOKEN_TEXT_SIZE, ".png", 4) != 0)
        || button_verify(&pmcf->keys, (char *) name->data, TOKEN_TEXT_SIZE,
                         &link)
           != 0)
    {
        return ngx_http_paylink_unknown(r);
    }

    ngx_str_null(&path);

    if (ngx_http_paylink_link_ctx(r, &link, &path, args) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);
    ctx->route = NGX_HTTP_PAYLINK_ROUTE_BUTTON;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_http_paylink_not_allowed(r, "GET, HEAD");
    }

    button = ngx_pcalloc(r->pool, sizeof(ngx_http_paylink_button_t));
    if (button == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    button->png = (name->data[TOKEN_TEXT_SIZE + 1] == 'p');

    if (ngx_http_paylink_button_args(r, args, button) != NGX_OK) {
        return ngx_http_paylink_problem(r, NGX_HTTP_BAD_REQUEST, "form");
    }

    ctx->button = button;
    ctx->language = button->language;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    if (!button->amount && !button->state) {
        ngx_http_paylink_page_values(r, values);
        rc = ngx_http_paylink_button_send(r, values);

    } else {
        ctx->show = ngx_http_paylink_button_link;
        rc = ngx_http_paylink_link_read(r);
    }

    if (rc == NGX_HTTP_PAYLINK_WAIT && ngx_http_paylink_hold(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return rc;
}


/* nothing unknown, so that nobody fills caches with one picture */

static ngx_int_t
ngx_http_paylink_button_args(ngx_http_request_t *r, ngx_str_t *args,
    ngx_http_paylink_button_t *button)
{
    u_char     *equals;
    ngx_str_t   rest, arg, value;

    button->size = &ngx_http_paylink_button_sizes[1];
    button->language = -1;
    button->scale = 1;

    rest = *args;

    while (ngx_http_paylink_next_arg(&rest, &arg) == NGX_OK) {

        equals = ngx_strlchr(arg.data, arg.data + arg.len, '=');
        if (equals == NULL) {
            return NGX_DECLINED;
        }

        value.data = equals + 1;
        value.len = arg.data + arg.len - value.data;
        arg.len = equals - arg.data;

        if (ngx_http_paylink_button_arg(r, &arg, &value, button) != NGX_OK) {
            return NGX_DECLINED;
        }
    }

    return (args->len && args->data[args->len - 1] == '&') ? NGX_DECLINED
                                                           : NGX_OK;
}


static ngx_int_t
ngx_http_paylink_button_arg(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *value, ngx_http_paylink_button_t *button)
{
    ngx_uint_t                       i;
    ngx_http_paylink_main_conf_t    *pmcf;
    ngx_http_paylink_button_size_t  *size;

    if (ngx_http_paylink_equals(name, "amount")) {
        button->amount = 1;
        return ngx_http_paylink_equals(value, "1") ? NGX_OK : NGX_DECLINED;
    }

    if (ngx_http_paylink_equals(name, "state")) {
        button->state = 1;
        return ngx_http_paylink_equals(value, "1") ? NGX_OK : NGX_DECLINED;
    }

    if (ngx_http_paylink_equals(name, "theme")) {
        button->dark = ngx_http_paylink_equals(value, "dark");
        return (button->dark || ngx_http_paylink_equals(value, "light"))
               ? NGX_OK : NGX_DECLINED;
    }

    if (ngx_http_paylink_equals(name, "lang")) {
        pmcf = ngx_http_get_module_main_conf(r, ngx_http_paylink_module);

        button->language = language_find((char *) value->data, value->len,
                                         pmcf->tags, pmcf->nlanguages);

        return (button->language >= 0
                && pmcf->languages[button->language].tag.len == value->len)
               ? NGX_OK : NGX_DECLINED;
    }

    if (ngx_http_paylink_equals(name, "scale") && button->png) {
        button->scale = (value->len == 1) ? value->data[0] - '0' : 0;
        return (button->scale >= 1
                && button->scale <= NGX_HTTP_PAYLINK_SCALE_MAX)
               ? NGX_OK : NGX_DECLINED;
    }

    if (!ngx_http_paylink_equals(name, "size")) {
        return NGX_DECLINED;
    }

    for (i = 0; i < 3; i++) {
        size = &ngx_http_paylink_button_sizes[i];

        if (size->name.len == value->len
            && ngx_strncmp(size->name.data, value->data, value->len) == 0)
        {
            button->size = size;
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


/* what was not asked for is not told, and who is paid is never told */

static ngx_int_t
ngx_http_paylink_button_link(ngx_http_request_t *r,
    struct template_value *values, ngx_http_paylink_judged_t *judged)
{
    int64_t                        end;
    ngx_uint_t                     open;
    struct template_value         *state;
    ngx_http_paylink_ctx_t        *ctx;
    ngx_http_paylink_button_t     *button;
    ngx_http_paylink_main_conf_t  *pmcf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);
    pmcf = ngx_http_get_module_main_conf(r, ngx_http_paylink_module);

    button = ctx->button;
    state = &values[NGX_HTTP_PAYLINK_V_STATE];

    /* without an amount there is no text to wait for */

    if (!button->amount) {
        (void) ngx_http_paylink_language_link(r, values, judged);

    } else if (ngx_http_paylink_link_texts(r, values, judged)
               == NGX_HTTP_PAYLINK_WAIT)
    {
        return NGX_HTTP_PAYLINK_WAIT;
    }

    /* the customer's own setting is for pages: words as they are asked for */

    if (button->language >= 0) {
        ngx_http_paylink_language_set(values,
                                 &pmcf->languages[button->language].tag);
    }

    open = 0;

    if (ngx_http_paylink_is(state, "active")) {
        end = ngx_http_paylink_view_end(values, judged);
        open = (end == 0 || ngx_http_paylink_clock_ms() < end);
    }

    if (!open && !ngx_http_paylink_is(state, "paid")) {
        ngx_http_paylink_set(values, STATE, "closed", sizeof("closed") - 1);
    }

    if (!button->state) {
        state->len = 0;
    }

    if (button->amount && open) {
        ngx_http_paylink_set(values, AMOUNT, "1", 1);
    }

    return ngx_http_paylink_button_send(r, values);
}


static ngx_int_t
ngx_http_paylink_button_send(ngx_http_request_t *r,
    struct template_value *values)
{
    ngx_http_paylink_ctx_t        *ctx;
    ngx_http_paylink_language_t   *language;
    ngx_http_paylink_main_conf_t  *pmcf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);
    pmcf = ngx_http_get_module_main_conf(r, ngx_http_paylink_module);

    language = ngx_http_paylink_language_page(pmcf, values);

    if (ngx_http_paylink_button_look(r, language, values) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ctx->button->png ? ngx_http_paylink_button_png(r, language, values)
                            : ngx_http_paylink_button_svg(r, language, values);
}


/* what it says and its colours, and so how large it is */

static ngx_int_t
ngx_http_paylink_button_look(ngx_http_request_t *r,
    ngx_http_paylink_language_t *language, struct template_value *values)
{
    u_char                     *p;
    ngx_str_t                   look, label;
    struct template            *template;
    ngx_http_paylink_ctx_t     *ctx;
    ngx_http_paylink_button_t  *button;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);
    button = ctx->button;

    ngx_http_paylink_set(values, THEME, "dark", button->dark ? 4 : 0);

    template = language->page[NGX_HTTP_PAYLINK_BUTTON_LOOK];

    look.len = template_size(template, values);
    p = ngx_pnalloc(r->pool, look.len + 3 * NGX_INT_T_LEN);

    if (p == NULL || look.len > NGX_HTTP_PAYLINK_LOOK_MAX
        || look.len <= NGX_HTTP_PAYLINK_COLOURS)
    {
        return NGX_ERROR;
    }

    look.data = p;
    p += template_write(template, values, (char *) p);

    label.data = look.data + NGX_HTTP_PAYLINK_COLOURS;
    label.len = look.len - NGX_HTTP_PAYLINK_COLOURS;

    while (label.len && label.data[label.len - 1] == LF) {
        label.len--;
    }

    ngx_http_paylink_set(values, GROUND, look.data, NGX_HTTP_PAYLINK_COLOUR);
    ngx_http_paylink_set(values, INK,
                         look.data + NGX_HTTP_PAYLINK_COLOUR + 1,
                         NGX_HTTP_PAYLINK_COLOUR);
    ngx_http_paylink_set(values, LABEL, label.data, label.len);
    ngx_http_paylink_set(values, WIDTH, p,
              ngx_sprintf(p, "%ui",
                          ngx_http_paylink_button_width(&label,
                                                        button->size->font)
                          + button->size->height)
              - p);
    p += NGX_INT_T_LEN;
    ngx_http_paylink_set(values, HEIGHT, p,
                         ngx_sprintf(p, "%ui", button->size->height) - p);
    p += NGX_INT_T_LEN;
    ngx_http_paylink_set(values, FONT_SIZE, p,
                         ngx_sprintf(p, "%ui", button->size->font) - p);

    return NGX_OK;
}


static ngx_int_t
ngx_http_paylink_button_svg(ngx_http_request_t *r,
    ngx_http_paylink_language_t *language, struct template_value *values)
{
    ngx_str_t                body;
    struct template         *template;
    ngx_http_paylink_ctx_t  *ctx;

    static ngx_str_t  type = ngx_string("image/svg+xml");

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    template = language->page[NGX_HTTP_PAYLINK_BUTTON];

    body.len = template_size(template, values);
    body.data = ngx_pnalloc(r->pool, body.len);

    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    (void) template_write(template, values, (char *) body.data);

    r->headers_out.status = NGX_HTTP_OK;

    return ngx_http_paylink_send(r,
                                 ngx_http_paylink_button_headers(ctx->button),
                                 &type, &body);
}


/* the words are those of worker/document/button.h: no link is named in them */

static ngx_int_t
ngx_http_paylink_button_png(ngx_http_request_t *r,
    ngx_http_paylink_language_t *language, struct template_value *values)
{
    u_char                        *p;
    ngx_uint_t                     i;
    struct template_value         *value;
    ngx_http_paylink_ctx_t        *ctx;
    ngx_http_paylink_document_t    document;

    u_char                   words[2 * NGX_HTTP_PAYLINK_LOOK_MAX];
    static ngx_str_t         type = ngx_string("image/png");
    static const ngx_uint_t  told[] = {
        NGX_HTTP_PAYLINK_V_WIDTH,
        NGX_HTTP_PAYLINK_V_HEIGHT,
        NGX_HTTP_PAYLINK_V_FONT_SIZE,
        NGX_HTTP_PAYLINK_V_GROUND,
        NGX_HTTP_PAYLINK_V_INK,
        NGX_HTTP_PAYLINK_V_LABEL
    };

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    p = ngx_sprintf(words, "button %V %ui", &language->tag,
                    ctx->button->scale);

    for (i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        value = &values[told[i]];

        *p++ = ' ';
        p = ngx_cpymem(p, value->data, value->len);
    }

    ngx_memzero(&document, sizeof(ngx_http_paylink_document_t));

    document.words.data = words;
    document.words.len = p - words;
    document.type = &type;
    document.headers = ngx_http_paylink_button_headers(ctx->button);

    return ngx_http_paylink_document(r, &document);
}


static ngx_http_paylink_headers_e
ngx_http_paylink_button_headers(ngx_http_paylink_button_t *button)
{
    return (button->amount || button->state)
           ? NGX_HTTP_PAYLINK_HEADERS_LIVE_BUTTON
           : NGX_HTTP_PAYLINK_HEADERS_BUTTON;
}


/* of fonts that nobody here has: rather too wide than cut */

static ngx_uint_t
ngx_http_paylink_button_width(ngx_str_t *label, ngx_uint_t font)
{
    size_t      i;
    ngx_uint_t  width;

    width = 0;

    for (i = 0; i < label->len; i++) {

        if (label->data[i] >= 0xe3) {
            width += NGX_HTTP_PAYLINK_EM_WIDE;

        } else if (label->data[i] < 0x80 || label->data[i] >= 0xc0) {
            width += NGX_HTTP_PAYLINK_EM_LATIN;
        }
    }

    return (width * font + 999) / 1000;
}
