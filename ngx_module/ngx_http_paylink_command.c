
/*
 * The words of Redis that the edge uses: keys, commands, and the fields of
 * their replies.  Every command stands ready in a buffer of its own and is
 * copied by hiredis at once; only ids are written into it.
 */


#include "ngx_http_paylink.h"


#define NGX_HTTP_PAYLINK_COMMAND_SIZE   2048
#define NGX_HTTP_PAYLINK_HOUR           3600000

#define ngx_http_paylink_value(name, value)                                   \
    { ngx_string(name), NGX_HTTP_PAYLINK_V_##value }

/* behind those that are shown */

#define ngx_http_paylink_judge(name, value)                                   \
    { ngx_string(name), NGX_HTTP_PAYLINK_VALUES + NGX_HTTP_PAYLINK_F_##value }

#define ngx_http_paylink_shard(id)                                            \
    ((id)[0] % NGX_HTTP_PAYLINK_SHARDS)


typedef struct {
    ngx_str_t                       name;
    ngx_uint_t                      value;
} ngx_http_paylink_field_t;


/* an HMGET with room for the shard and the id */

typedef struct {
    const char                     *kind;
    const ngx_http_paylink_field_t *fields;
    ngx_uint_t                      nfields;
    ngx_str_t                       text;
    u_char                         *shard;
    u_char                         *id;
    u_char                         *last;       /* its last field */
    u_char                          buf[NGX_HTTP_PAYLINK_COMMAND_SIZE];
} ngx_http_paylink_read_t;


static void ngx_http_paylink_read_init(ngx_http_paylink_read_t *read);
static ngx_str_t *ngx_http_paylink_read_text(ngx_http_paylink_read_t *read,
    const u_char *link, const u_char *hex);
static u_char *ngx_http_paylink_arg(u_char *p, const void *data, size_t len);
static u_char *ngx_http_paylink_arg_number(u_char *p, ngx_uint_t number);
static u_char *ngx_http_paylink_key(u_char *p, const u_char *id,
    const char *kind, const u_char *hex);
static ngx_str_t *ngx_http_paylink_call(u_char *end);
static u_char *ngx_http_paylink_submit_keys(u_char *p,
    ngx_http_paylink_ctx_t *ctx);
static u_char *ngx_http_paylink_submit_args(u_char *p,
    ngx_http_paylink_ctx_t *ctx);
static ngx_int_t ngx_http_paylink_reply_values(ngx_http_paylink_read_t *read,
    redisReply *reply, struct template_value *values,
    ngx_http_paylink_judged_t *judged);


static const ngx_http_paylink_field_t  ngx_http_paylink_link_fields[] = {

    ngx_http_paylink_value("state", STATE),
    ngx_http_paylink_value("version", VERSION),
    ngx_http_paylink_value("opened_ms", OPENED),
    ngx_http_paylink_judge("expires_ms", EXPIRES),
    ngx_http_paylink_judge("ceiling_ms", CEILING),
    ngx_http_paylink_judge("paying_ms", PAYING),
    ngx_http_paylink_value("due_minor", DUE_MINOR),
    ngx_http_paylink_value("currency", CURRENCY),
    ngx_http_paylink_value("due_text", DUE_TEXT),
    ngx_http_paylink_value("merchant", MERCHANT),
    ngx_http_paylink_value("customer", CUSTOMER),
    ngx_http_paylink_value("title", TITLE),
    ngx_http_paylink_value("due_date", DUE_DATE),
    ngx_http_paylink_value("rows", ROWS),
    ngx_http_paylink_value("paid_text", PAID_TEXT),
    ngx_http_paylink_value("paid_at_text", PAID_AT_TEXT),
    ngx_http_paylink_value("paid_method", PAID_METHOD),
    ngx_http_paylink_value("receipt_number", RECEIPT_NUMBER),
    ngx_http_paylink_judge("lang", LANG),
    ngx_http_paylink_judge("lang_set", LANG_SET),
    ngx_http_paylink_judge("choose", CHOOSE),
    ngx_http_paylink_judge("partial_min_minor", PARTIAL_MIN),
    ngx_http_paylink_judge("money", MONEY),
    ngx_http_paylink_value("account", ACCOUNT),
    ngx_http_paylink_value("brand_css", BRAND_CSS),
    ngx_http_paylink_value("brand_integrity", BRAND_INTEGRITY),
    ngx_http_paylink_value("brand_logo", BRAND_LOGO),
    ngx_http_paylink_value("email_masked", EMAIL),

    /* the last one: its name says which language, see command_link() */

    ngx_http_paylink_judge("text", TEXT)
};


static const ngx_http_paylink_field_t  ngx_http_paylink_attempt_fields[] = {

    ngx_http_paylink_value("state", STATE),
    ngx_http_paylink_judge("link", LINK),
    ngx_http_paylink_value("amount_text", AMOUNT_TEXT),
    ngx_http_paylink_value("reason", REASON),
    ngx_http_paylink_value("action_url", ACTION_URL),
    ngx_http_paylink_value("receipt_number", RECEIPT_NUMBER),
    ngx_http_paylink_value("paid_at_text", PAID_AT_TEXT),
    ngx_http_paylink_value("card", CARD),
    ngx_http_paylink_value("merchant", MERCHANT),
    ngx_http_paylink_value("title", TITLE),
    ngx_http_paylink_value("overpaid_text", OVERPAID_TEXT),
    ngx_http_paylink_value("left_text", LEFT_TEXT),
    ngx_http_paylink_judge("lang", LANG),
    ngx_http_paylink_value("brand_css", BRAND_CSS),
    ngx_http_paylink_value("brand_integrity", BRAND_INTEGRITY),
    ngx_http_paylink_value("brand_logo", BRAND_LOGO)
};


static const ngx_http_paylink_field_t  ngx_http_paylink_kept_fields[] = {

    ngx_http_paylink_judge("type", TYPE),
    ngx_http_paylink_judge("body", BODY)
};


static ngx_http_paylink_read_t  ngx_http_paylink_read_link = {
    "link", ngx_http_paylink_link_fields,
    sizeof(ngx_http_paylink_link_fields) / sizeof(ngx_http_paylink_field_t),
    ngx_null_string, NULL, NULL, NULL, { 0 }
};


static ngx_http_paylink_read_t  ngx_http_paylink_read_attempt = {
    "attempt", ngx_http_paylink_attempt_fields,
    sizeof(ngx_http_paylink_attempt_fields) / sizeof(ngx_http_paylink_field_t),
    ngx_null_string, NULL, NULL, NULL, { 0 }
};


static ngx_http_paylink_read_t  ngx_http_paylink_read_brand = {
    "brand", ngx_http_paylink_kept_fields,
    sizeof(ngx_http_paylink_kept_fields) / sizeof(ngx_http_paylink_field_t),
    ngx_null_string, NULL, NULL, NULL, { 0 }
};


static ngx_http_paylink_read_t  ngx_http_paylink_read_document = {
    "document", ngx_http_paylink_kept_fields,
    sizeof(ngx_http_paylink_kept_fields) / sizeof(ngx_http_paylink_field_t),
    ngx_null_string, NULL, NULL, NULL, { 0 }
};


/* the channel of this worker's markers: 16 random digits at its end */

static u_char     ngx_http_paylink_marks[] = "paylink:marks:0000000000000000";

static u_char     ngx_http_paylink_call_buf[NGX_HTTP_PAYLINK_COMMAND_SIZE];
static ngx_str_t  ngx_http_paylink_call_text;
static ngx_str_t  ngx_http_paylink_time = ngx_string("*1\r\n$4\r\nTIME\r\n");


void
ngx_http_paylink_command_init(void)
{
    ngx_http_paylink_read_init(&ngx_http_paylink_read_link);
    ngx_http_paylink_read_init(&ngx_http_paylink_read_attempt);
    ngx_http_paylink_read_init(&ngx_http_paylink_read_brand);
    ngx_http_paylink_read_init(&ngx_http_paylink_read_document);

    (void) ngx_sprintf(ngx_http_paylink_marks + sizeof("paylink:marks:") - 1,
                       "%08xi%08xi", (ngx_int_t) (ngx_random() & 0xffffffff),
                       (ngx_int_t) ngx_pid);
}


static void
ngx_http_paylink_read_init(ngx_http_paylink_read_t *read)
{
    u_char      *p;
    size_t       len;
    ngx_uint_t   i;

    len = sizeof("paylink:{NN}::") - 1 + ngx_strlen(read->kind)
          + NGX_HTTP_PAYLINK_HEX;

    p = ngx_sprintf(read->buf, "*%ui\r\n$5\r\nHMGET\r\n$%uz\r\npaylink:{",
                    read->nfields + 2, len);

    read->shard = p;
    p = ngx_sprintf(p, "00}:%s:", read->kind);

    read->id = p;
    p += NGX_HTTP_PAYLINK_HEX;

    *p++ = CR; *p++ = LF;

    for (i = 0; i < read->nfields; i++) {
        read->last = p;
        p = ngx_http_paylink_arg(p, read->fields[i].name.data,
                                 read->fields[i].name.len);
    }

    read->text.data = read->buf;
    read->text.len = p - read->buf;
}


static ngx_str_t *
ngx_http_paylink_read_text(ngx_http_paylink_read_t *read, const u_char *link,
    const u_char *hex)
{
    static u_char  digits[] = "0123456789abcdef";

    /* at most 16 shards: the first digit stays zero */

    read->shard[1] = digits[ngx_http_paylink_shard(link)];
    ngx_memcpy(read->id, hex, NGX_HTTP_PAYLINK_HEX);

    return &read->text;
}


/* with the texts in a language, or without */

ngx_str_t *
ngx_http_paylink_command_link(const u_char *id, const u_char *hex,
    ngx_str_t *texts)
{
    ngx_str_t                *text;
    ngx_http_paylink_read_t  *read;

    static ngx_str_t  none = ngx_string("text");

    read = &ngx_http_paylink_read_link;

    text = ngx_http_paylink_read_text(read, id, hex);

    if (texts == NULL) {
        texts = &none;
    }

    text->len = ngx_http_paylink_arg(read->last, texts->data, texts->len)
                - text->data;

    return text;
}


ngx_str_t *
ngx_http_paylink_command_attempt(ngx_http_paylink_ctx_t *ctx)
{
    return ngx_http_paylink_read_text(&ngx_http_paylink_read_attempt,
                                      ctx->link.id, ctx->attempt_hex);
}


ngx_str_t *
ngx_http_paylink_command_brand(ngx_http_paylink_ctx_t *ctx)
{
    return ngx_http_paylink_read_text(&ngx_http_paylink_read_brand,
                                      ctx->link.id, ctx->link_hex);
}


ngx_str_t *
ngx_http_paylink_command_depth(ngx_http_paylink_stream_e stream,
    ngx_uint_t shard)
{
    u_char  *p, id;

    id = (u_char) shard;

    p = ngx_sprintf(ngx_http_paylink_call_buf, "*2\r\n$4\r\nXLEN\r\n");
    p = ngx_http_paylink_key(p, &id, ngx_http_paylink_stream_name(stream),
                             NULL);

    return ngx_http_paylink_call(p);
}


ngx_str_t *
ngx_http_paylink_command_document(ngx_http_paylink_document_t *document)
{
    return ngx_http_paylink_read_text(&ngx_http_paylink_read_document,
                                      document->id, document->hex);
}


ngx_str_t *
ngx_http_paylink_command_time(void)
{
    return &ngx_http_paylink_time;
}


static u_char *
ngx_http_paylink_arg(u_char *p, const void *data, size_t len)
{
    p = ngx_sprintf(p, "$%uz\r\n", len);

    if (len) {
        p = ngx_cpymem(p, data, len);
    }

    *p++ = CR; *p++ = LF;

    return p;
}


static u_char *
ngx_http_paylink_arg_number(u_char *p, ngx_uint_t number)
{
    u_char  text[NGX_INT_T_LEN];

    return ngx_http_paylink_arg(p, text,
                                ngx_sprintf(text, "%ui", number) - text);
}


/* hex is NULL for what a shard has one of */

static u_char *
ngx_http_paylink_key(u_char *p, const u_char *id, const char *kind,
    const u_char *hex)
{
    u_char  *last;
    u_char   key[128];

    last = ngx_sprintf(key, "paylink:{%02xi}:%s",
                       (ngx_int_t) ngx_http_paylink_shard(id), kind);

    if (hex) {
        *last++ = ':';
        last = ngx_cpymem(last, hex, NGX_HTTP_PAYLINK_HEX);
    }

    return ngx_http_paylink_arg(p, key, last - key);
}


/* hiredis looks for the end of SUBSCRIBE as that of a string */

static ngx_str_t *
ngx_http_paylink_call(u_char *end)
{
    *end = '\0';

    ngx_http_paylink_call_text.data = ngx_http_paylink_call_buf;
    ngx_http_paylink_call_text.len = end - ngx_http_paylink_call_buf;

    return &ngx_http_paylink_call_text;
}


ngx_str_t *
ngx_http_paylink_command_open(ngx_http_paylink_ctx_t *ctx, const char *source)
{
    u_char  *p;

    p = ngx_sprintf(ngx_http_paylink_call_buf,
                    "*7\r\n$5\r\nFCALL\r\n$12\r\npaylink_open\r\n$1\r\n2\r\n");

    p = ngx_http_paylink_key(p, ctx->link.id, "link", ctx->link_hex);
    p = ngx_http_paylink_key(p, ctx->link.id, "open", NULL);
    p = ngx_http_paylink_arg(p, ctx->link_hex, NGX_HTTP_PAYLINK_HEX);
    p = ngx_http_paylink_arg(p, source, ngx_strlen(source));

    return ngx_http_paylink_call(p);
}


/* the keys of a submission that both of its functions look at */

static u_char *
ngx_http_paylink_submit_keys(u_char *p, ngx_http_paylink_ctx_t *ctx)
{
    p = ngx_http_paylink_key(p, ctx->link.id, "link", ctx->link_hex);
    p = ngx_http_paylink_key(p, ctx->link.id, "attempt", ctx->attempt_hex);

    return ngx_http_paylink_key(p, ctx->link.id, "guard", ctx->link_hex);
}


static u_char *
ngx_http_paylink_submit_args(u_char *p, ngx_http_paylink_ctx_t *ctx)
{
    p = ngx_http_paylink_arg(p, ctx->link_hex, NGX_HTTP_PAYLINK_HEX);
    p = ngx_http_paylink_arg(p, ctx->attempt_hex, NGX_HTTP_PAYLINK_HEX);
    p = ngx_http_paylink_arg(p, ctx->version.data, ctx->version.len);
    p = ngx_http_paylink_arg(p, ctx->amount_minor.data, ctx->amount_minor.len);
    p = ngx_http_paylink_arg(p, ctx->payment_method.data,
                             ctx->payment_method.len);
    p = ngx_http_paylink_arg(p, ctx->chosen.data, ctx->chosen.len);
    p = ngx_http_paylink_arg_number(p, ctx->guard->declines);

    return ngx_http_paylink_arg_number(p, ctx->guard->cards);
}


ngx_str_t *
ngx_http_paylink_command_check(ngx_http_paylink_ctx_t *ctx)
{
    u_char  *p;

    p = ngx_sprintf(ngx_http_paylink_call_buf,
                    "*14\r\n$5\r\nFCALL\r\n$13\r\npaylink_check\r\n"
                    "$1\r\n3\r\n");

    p = ngx_http_paylink_submit_keys(p, ctx);
    p = ngx_http_paylink_submit_args(p, ctx);

    return ngx_http_paylink_call(p);
}


ngx_str_t *
ngx_http_paylink_command_velocity(ngx_http_paylink_ctx_t *ctx)
{
    u_char  *p;

    p = ngx_sprintf(ngx_http_paylink_call_buf,
                    "*7\r\n$5\r\nFCALL\r\n$16\r\npaylink_velocity\r\n"
                    "$1\r\n1\r\n");

    p = ngx_http_paylink_key(p, ctx->client, "client", ctx->client_hex);
    p = ngx_http_paylink_arg(p, ctx->attempt_hex, NGX_HTTP_PAYLINK_HEX);
    p = ngx_http_paylink_arg_number(p, ctx->guard->rate);
    p = ngx_http_paylink_arg_number(p, NGX_HTTP_PAYLINK_HOUR);

    return ngx_http_paylink_call(p);
}


ngx_str_t *
ngx_http_paylink_command_submit(ngx_http_paylink_ctx_t *ctx,
    ngx_str_t *language)
{
    u_char  *p;

    p = ngx_sprintf(ngx_http_paylink_call_buf,
                    "*18\r\n$5\r\nFCALL\r\n$14\r\npaylink_submit\r\n"
                    "$1\r\n5\r\n");

    p = ngx_http_paylink_submit_keys(p, ctx);
    p = ngx_http_paylink_key(p, ctx->link.id, "submit", NULL);
    p = ngx_http_paylink_key(p, ctx->link.id, "open", NULL);
    p = ngx_http_paylink_submit_args(p, ctx);
    p = ngx_http_paylink_arg(p, ctx->client_hex,
                             ctx->client_named ? NGX_HTTP_PAYLINK_HEX : 0);
    p = ngx_http_paylink_arg(p, language->data, language->len);

    return ngx_http_paylink_call(p);
}


ngx_str_t *
ngx_http_paylink_command_renew(ngx_http_paylink_ctx_t *ctx,
    ngx_str_t *language)
{
    u_char  *p;

    p = ngx_sprintf(ngx_http_paylink_call_buf,
                    "*8\r\n$5\r\nFCALL\r\n$13\r\npaylink_renew\r\n"
                    "$1\r\n3\r\n");

    p = ngx_http_paylink_key(p, ctx->link.id, "link", ctx->link_hex);
    p = ngx_http_paylink_key(p, ctx->link.id, "renew", NULL);
    p = ngx_http_paylink_key(p, ctx->link.id, "renewed", ctx->link_hex);
    p = ngx_http_paylink_arg(p, ctx->link_hex, NGX_HTTP_PAYLINK_HEX);
    p = ngx_http_paylink_arg(p, language->data, language->len);

    return ngx_http_paylink_call(p);
}


/* the attempt is NULL where the link itself is wanted */

ngx_str_t *
ngx_http_paylink_command_want(const u_char *link, const u_char *link_hex,
    const u_char *attempt_hex)
{
    u_char  *p;

    p = ngx_sprintf(ngx_http_paylink_call_buf,
                    "*8\r\n$5\r\nFCALL\r\n$12\r\npaylink_want\r\n$1\r\n2\r\n");

    p = ngx_http_paylink_key(p, link, "wanted",
                             attempt_hex ? attempt_hex : link_hex);
    p = ngx_http_paylink_key(p, link, "want", NULL);
    p = attempt_hex ? ngx_http_paylink_arg(p, "attempt", 7)
                    : ngx_http_paylink_arg(p, "link", 4);
    p = ngx_http_paylink_arg(p, link_hex, NGX_HTTP_PAYLINK_HEX);
    p = ngx_http_paylink_arg(p, attempt_hex,
                             attempt_hex ? NGX_HTTP_PAYLINK_HEX : 0);

    return ngx_http_paylink_call(p);
}


/* anybody can ask for a brand: one mark for all of a shard bounds the wants */

ngx_str_t *
ngx_http_paylink_command_want_brand(ngx_http_paylink_ctx_t *ctx)
{
    u_char  *p;

    p = ngx_sprintf(ngx_http_paylink_call_buf,
                    "*8\r\n$5\r\nFCALL\r\n$12\r\npaylink_want\r\n$1\r\n2\r\n");

    p = ngx_http_paylink_key(p, ctx->link.id, "wanted:brand", NULL);
    p = ngx_http_paylink_key(p, ctx->link.id, "want", NULL);
    p = ngx_http_paylink_arg(p, "brand", 5);
    p = ngx_http_paylink_arg(p, ctx->link_hex, NGX_HTTP_PAYLINK_HEX);
    p = ngx_http_paylink_arg(p, NULL, 0);

    return ngx_http_paylink_call(p);
}


ngx_str_t *
ngx_http_paylink_command_want_document(ngx_http_paylink_document_t *document)
{
    u_char  *p;

    p = ngx_sprintf(ngx_http_paylink_call_buf,
                    "*8\r\n$5\r\nFCALL\r\n$12\r\npaylink_want\r\n$1\r\n2\r\n");

    p = ngx_http_paylink_key(p, document->id, "wanted", document->hex);
    p = ngx_http_paylink_key(p, document->id, "want", NULL);
    p = ngx_http_paylink_arg(p, "document", 8);
    p = ngx_http_paylink_arg(p, document->hex, NGX_HTTP_PAYLINK_HEX);
    p = ngx_http_paylink_arg(p, document->words.data, document->words.len);

    return ngx_http_paylink_call(p);
}


/* a want of an older version must not keep that of this one from the worker */

ngx_str_t *
ngx_http_paylink_command_want_text(ngx_http_paylink_ctx_t *ctx,
    ngx_str_t *language, struct template_value *version)
{
    u_char  *p, mark[sizeof("wanted::") + LANGUAGE_BYTES_MAX + NGX_INT64_LEN];

    (void) ngx_snprintf(mark, sizeof(mark), "wanted:%V:%*s%Z", language,
                        ngx_min(version->len, NGX_INT64_LEN), version->data);

    p = ngx_sprintf(ngx_http_paylink_call_buf,
                    "*8\r\n$5\r\nFCALL\r\n$12\r\npaylink_want\r\n$1\r\n2\r\n");

    p = ngx_http_paylink_key(p, ctx->link.id, (char *) mark, ctx->link_hex);
    p = ngx_http_paylink_key(p, ctx->link.id, "want", NULL);
    p = ngx_http_paylink_arg(p, "text", 4);
    p = ngx_http_paylink_arg(p, ctx->link_hex, NGX_HTTP_PAYLINK_HEX);
    p = ngx_http_paylink_arg(p, language->data, language->len);

    return ngx_http_paylink_call(p);
}


ngx_str_t *
ngx_http_paylink_command_client_id(void)
{
    static ngx_str_t  command =
                        ngx_string("*2\r\n$6\r\nCLIENT\r\n$2\r\nID\r\n");

    return &command;
}


ngx_str_t *
ngx_http_paylink_command_tracking(long long listener)
{
    u_char  *p, id[NGX_INT64_LEN];

    p = ngx_sprintf(ngx_http_paylink_call_buf,
                    "*5\r\n$6\r\nCLIENT\r\n$8\r\nTRACKING\r\n$2\r\nON\r\n"
                    "$8\r\nREDIRECT\r\n");

    p = ngx_http_paylink_arg(p, id,
                             ngx_sprintf(id, "%L", (int64_t) listener) - id);

    return ngx_http_paylink_call(p);
}


/* to nobody but the worker that sends it */

ngx_str_t *
ngx_http_paylink_command_marker(ngx_uint_t mark)
{
    u_char  *p;

    p = ngx_sprintf(ngx_http_paylink_call_buf, "*3\r\n$7\r\nPUBLISH\r\n");

    p = ngx_http_paylink_arg(p, ngx_http_paylink_marks,
                             sizeof(ngx_http_paylink_marks) - 1);
    p = ngx_http_paylink_arg_number(p, mark);

    return ngx_http_paylink_call(p);
}


/* one channel a shard, that of the markers, and what Redis tells of keys */

ngx_str_t *
ngx_http_paylink_command_subscribe(void)
{
    u_char      *p;
    ngx_uint_t   i;

    p = ngx_sprintf(ngx_http_paylink_call_buf, "*%d\r\n$9\r\nSUBSCRIBE\r\n",
                    NGX_HTTP_PAYLINK_CHANNELS + 1);

    for (i = 0; i < NGX_HTTP_PAYLINK_SHARDS; i++) {
        p = ngx_sprintf(p, "$19\r\npaylink:{%02xi}:events\r\n",
                        (ngx_int_t) i);
    }

    p = ngx_http_paylink_arg(p, ngx_http_paylink_marks,
                             sizeof(ngx_http_paylink_marks) - 1);
    p = ngx_http_paylink_arg(p, "__redis__:invalidate", 20);

    return ngx_http_paylink_call(p);
}


/*
 * NGX_OK; NGX_DECLINED: Redis has no such record; NGX_ERROR: no reply, or none
 * that can be read.  Values point into the reply.
 */

static ngx_int_t
ngx_http_paylink_reply_values(ngx_http_paylink_read_t *read,
    redisReply *reply, struct template_value *values,
    ngx_http_paylink_judged_t *judged)
{
    ngx_str_t   *s;
    redisReply  *field;
    ngx_uint_t   i, value;

    ngx_memzero(judged, sizeof(ngx_http_paylink_judged_t));

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements != read->nfields)
    {
        return NGX_ERROR;
    }

    if (reply->element[0]->type == REDIS_REPLY_NIL) {
        return NGX_DECLINED;
    }

    for (i = 0; i < read->nfields; i++) {
        field = reply->element[i];
        value = read->fields[i].value;

        if (field->type != REDIS_REPLY_STRING) {
            continue;
        }

        if (value < NGX_HTTP_PAYLINK_VALUES) {
            values[value].data = field->str;
            values[value].len = field->len;
            continue;
        }

        s = &judged->field[value - NGX_HTTP_PAYLINK_VALUES];
        s->data = (u_char *) field->str;
        s->len = field->len;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_paylink_link_values(redisReply *reply, struct template_value *values,
    ngx_http_paylink_judged_t *judged)
{
    return ngx_http_paylink_reply_values(&ngx_http_paylink_read_link, reply,
                                         values, judged);
}


ngx_int_t
ngx_http_paylink_kept_values(redisReply *reply,
    ngx_http_paylink_judged_t *judged)
{
    return ngx_http_paylink_reply_values(&ngx_http_paylink_read_brand, reply,
                                         NULL, judged);
}


ngx_int_t
ngx_http_paylink_attempt_values(redisReply *reply,
    struct template_value *values, ngx_http_paylink_judged_t *judged)
{
    return ngx_http_paylink_reply_values(&ngx_http_paylink_read_attempt,
                                         reply, values, judged);
}
