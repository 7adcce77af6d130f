/* What the edge prints, made from snapshots and sent to Redis. Knows no SQL and no HTML. */
#include "publish.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LOG_AREA "publish"
#include "../base/failpoint.h"
#include "../base/log.h"
#include "../base/mem.h"
#include "../core/encoding.h"
#include "../core/money.h"
#include "../core/record.h"
#include "../core/token.h"
#include "../io/locale.h"

#define LINK_TTL_MS     (INT64_C(30) * 24 * 3600 * 1000)
#define ATTEMPT_TTL_MS  (INT64_C(7) * 24 * 3600 * 1000)
#define ABSENT_TTL_MS   (INT64_C(60) * 1000) /* a tombstone only spares the database a flood */
#define DOCUMENT_TTL_MS (INT64_C(10) * 60 * 1000)
#define TEXT_SIZE       256
#define ROW_FIELDS      6
#define LINK_HEX_SIZE   (2 * TOKEN_ID_SIZE)

struct publication {
    const struct publisher *publisher;
    publish_fn fn;
    void *ctx;
    size_t waiting; /* replies, and one for the sending itself */
    bool failed;
};

static void one_less(struct publication *p)
{
    if (--p->waiting > 0)
        return;
    p->fn(p->ctx, !p->failed);
    free(p);
}

static void on_published(void *arg, const struct redisReply *reply)
{
    struct publication *p = arg;

    const char *error = reply != NULL ? redis_reply_error(reply) : NULL;

    if (reply == NULL || error != NULL)
        p->failed = true;
    if (error != NULL) {
        log_error("Redis refused a publication: %s", error);
        if (strstr(error, "Function not found") != NULL)
            library_load(p->publisher->library, p->publisher->redis);
    }
    one_less(p);
}

/* --- fields -------------------------------------------------------------------------------------
 */

static void put_text(struct redis_args *args, const char *name, const char *value)
{
    if (value == NULL || value[0] == '\0')
        return;
    redis_args_text(args, name);
    redis_args_text(args, value);
}

static void put_int(struct redis_args *args, const json_t *snapshot, const char *name)
{
    int64_t value;

    if (!json_get_int(snapshot, name, &value))
        return;
    redis_args_text(args, name);
    redis_args_int(args, value);
}

/* What is not in the snapshot is "". */
static const char *money_write(const json_t *snapshot, const char *name, char out[TEXT_SIZE])
{
    int64_t amount_minor;

    out[0] = '\0';
    if (json_get_int(snapshot, name, &amount_minor))
        locale_money(json_get_text(snapshot, "lang"), json_get_text(snapshot, "currency"),
                     amount_minor, out, TEXT_SIZE);
    return out;
}

/* How amounts are written (core/money.h), for those that the edge makes. */
static const char *style_write(const json_t *snapshot, char out[TEXT_SIZE])
{
    locale_money_style(json_get_text(snapshot, "lang"), json_get_text(snapshot, "currency"), out,
                       TEXT_SIZE);
    return out;
}

static const char *time_write(const json_t *snapshot, const char *name, char out[TEXT_SIZE])
{
    int64_t wall_ms;

    out[0] = '\0';
    if (json_get_int(snapshot, name, &wall_ms))
        locale_time(json_get_text(snapshot, "lang"), wall_ms, out, TEXT_SIZE);
    return out;
}

static const char *date_write(const json_t *object, const char *lang, char out[TEXT_SIZE])
{
    const char *date = json_get_text(object, "due_date");

    out[0] = '\0';
    if (date != NULL)
        locale_date(lang, date, out, TEXT_SIZE);
    return out;
}

static const char *title_write(const struct publisher *publisher, const json_t *snapshot,
                               char out[TEXT_SIZE])
{
    const json_t *numbers = json_object_get(snapshot, "numbers");
    const char *first = json_string_value(json_array_get(numbers, 0));

    out[0] = '\0';
    if (first != NULL)
        words_write(publisher->words, json_get_text(snapshot, "lang"), WORD_TITLE,
                    (int64_t)json_array_size(numbers), first, out, TEXT_SIZE);
    return out;
}

static struct record_field field_of(const char *text)
{
    return (struct record_field){text != NULL ? text : "", text != NULL ? strlen(text) : 0};
}

static size_t row_write(const json_t *row, const char *lang, const char *currency, uint8_t *out)
{
    char due_date[TEXT_SIZE], total[TEXT_SIZE], due[TEXT_SIZE], plain[TEXT_SIZE];
    struct record_field fields[ROW_FIELDS];
    int64_t total_minor = 0, due_minor = 0;

    (void)json_get_int(row, "total_minor", &total_minor);
    (void)json_get_int(row, "due_minor", &due_minor);
    date_write(row, lang, due_date);
    locale_money(lang, currency, total_minor, total, sizeof total);
    locale_money(lang, currency, due_minor, due, sizeof due);
    fields[0] = field_of(json_get_text(row, "number"));
    fields[1] = field_of(json_get_text(row, "description"));
    fields[2] = field_of(due_date);
    fields[3] = field_of(total_minor != due_minor || due_minor == 0 ? total : "");
    fields[4] = field_of(due);
    (void)snprintf(plain, sizeof plain, "%lld", (long long)due_minor);
    fields[5] = field_of(plain);
    return out == NULL ? record_row_size(fields, ROW_FIELDS)
                       : record_row_write(fields, ROW_FIELDS, out);
}

/* The table behind a first row of texts, if there is one. The caller frees. */
static uint8_t *rows_write(const json_t *snapshot, const struct record_field *texts, size_t *len)
{
    const json_t *rows = json_object_get(snapshot, "rows");
    const char *lang = json_get_text(snapshot, "lang");
    const char *currency = json_get_text(snapshot, "currency");
    size_t size = texts != NULL ? record_row_size(texts, ROW_FIELDS) : 0, at = 0, i;
    uint8_t *value;
    json_t *row;

    json_array_foreach (rows, i, row) {
        size += row_write(row, lang, currency, NULL);
    }
    value = mem_alloc(size + 1);
    if (texts != NULL)
        at = record_row_write(texts, ROW_FIELDS, value);
    json_array_foreach (rows, i, row) {
        at += row_write(row, lang, currency, value + at);
    }
    *len = at;
    return value;
}

static void put_rows(struct redis_args *args, const json_t *snapshot)
{
    size_t len;
    uint8_t *value = rows_write(snapshot, NULL, &len);

    if (len > 0) {
        redis_args_text(args, "rows");
        redis_args_bytes(args, value, len);
    }
    free(value);
}

/* "6000,0,2500" */
static void put_dues(struct redis_args *args, const json_t *link)
{
    const json_t *rows = json_object_get(link, "rows");
    size_t size = json_array_size(rows) * (MONEY_MINOR_DIGITS + 2) + 1, len = 0, i;
    char *dues = mem_alloc(size);
    json_t *row;

    json_array_foreach (rows, i, row) {
        int64_t due_minor = 0;

        (void)json_get_int(row, "due_minor", &due_minor);
        len += (size_t)snprintf(dues + len, size - len, "%s%lld", i > 0 ? "," : "",
                                (long long)due_minor);
    }
    put_text(args, "dues", dues);
    free(dues);
}

bool publish_card(const json_t *snapshot, char *out, size_t size)
{
    const char *brand = json_get_text(snapshot, "card_brand");
    const char *last4 = json_get_text(snapshot, "card_last4");

    if (brand == NULL || last4 == NULL || brand[0] == '\0')
        return false;
    snprintf(out, size, "%c%s •••• %s",
             brand[0] >= 'a' && brand[0] <= 'z' ? brand[0] - 'a' + 'A' : brand[0], brand + 1,
             last4);
    return true;
}

static bool put_card(struct redis_args *args, const json_t *snapshot, const char *name)
{
    char text[TEXT_SIZE];

    if (!publish_card(snapshot, text, sizeof text))
        return false;
    put_text(args, name, text);
    return true;
}

/* --- commands -----------------------------------------------------------------------------------
 */

/* The first byte of the link's id says the shard. */
static bool shard_of(const char *link, unsigned *shard)
{
    uint8_t id[TOKEN_ID_SIZE];

    if (link == NULL || strlen(link) != LINK_HEX_SIZE || hex_parse(link, LINK_HEX_SIZE, id) != 0)
        return false;
    *shard = id[0] % 16;
    return true;
}

static void put_key(struct redis_args *args, unsigned shard, const char *object, const char *id)
{
    char key[TEXT_SIZE];

    snprintf(key, sizeof key, "paylink:{%02x}:%s:%s", shard, object, id);
    redis_args_text(args, key);
}

static void send_take(struct publication *p, struct redis_args *args)
{
    p->waiting++;
    if (redis_send_take(p->publisher->redis, args, on_published, p) != RESULT_OK) {
        p->failed = true;
        p->waiting--;
    }
}

/* Only where payers may pay a part: the edge then writes amounts of its own. */
static void put_choice(struct redis_args *args, const json_t *link)
{
    char text[TEXT_SIZE];
    bool choose = json_get_bool(link, "choose");
    int64_t partial_min;
    bool partial = json_get_int(link, "partial_min_minor", &partial_min);

    if (!choose && !partial)
        return;
    put_text(args, "choose", choose ? "1" : "");
    put_int(args, link, "partial_min_minor");
    put_text(args, "money", style_write(link, text));
    put_dues(args, link);
}

static void link_fields(const struct publisher *publisher, struct redis_args *args,
                        const json_t *link)
{
    static const char *const texts[] = {"currency",  "merchant", "customer",  "receipt_number",
                                        "lang",      "account",  "brand_css", "brand_integrity",
                                        "brand_logo"};
    static const char *const numbers[] = {"opened_ms", "expires_ms", "ceiling_ms",   "lifetime_ms",
                                          "due_minor", "paid_minor", "overpay_minor"};
    char text[TEXT_SIZE];

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        put_text(args, texts[i], json_get_text(link, texts[i]));
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        put_int(args, link, numbers[i]);
    if (!put_card(args, link, "paid_method"))
        put_text(args, "paid_method", json_get_text(link, "paid_method"));
    put_text(args, "overpay", json_get_bool(link, "overpay") ? "1" : "0");
    put_text(args, "lang_set", json_get_bool(link, "lang_set") ? "1" : "");
    put_text(args, "title", title_write(publisher, link, text));
    put_text(args, "due_text", money_write(link, "due_minor", text));
    put_text(args, "paid_text", money_write(link, "paid_minor", text));
    put_text(args, "paid_at_text", time_write(link, "paid_at_ms", text));
    put_text(args, "due_date", date_write(link, json_get_text(link, "lang"), text));
    if (publisher->mail && strcmp(json_get_text(link, "state"), "active") == 0)
        put_text(args, "email_masked", json_get_text(link, "email_masked"));
    put_rows(args, link);
    put_choice(args, link);
}

static void send_link(struct publication *p, const json_t *link)
{
    const char *id = json_get_text(link, "link");
    const char *state = json_get_text(link, "state");
    struct redis_args *args;
    int64_t version;
    unsigned shard;

    if (!shard_of(id, &shard) || state == NULL || !json_get_int(link, "version", &version)) {
        log_error("link_snapshot() gave something that is no link");
        return;
    }
    args = redis_args_new();
    redis_args_text(args, "FCALL");
    redis_args_text(args, "paylink_publish");
    redis_args_text(args, "1");
    put_key(args, shard, "link", id);
    redis_args_text(args, id);
    redis_args_int(args, version);
    redis_args_int(args, strcmp(state, "absent") == 0 ? ABSENT_TTL_MS : LINK_TTL_MS);
    redis_args_text(args, "state");
    redis_args_text(args, state);
    link_fields(p->publisher, args, link);
    send_take(p, args);
}

/* A row of texts, then those of the table; see ngx_http_paylink_language.c. */
static void send_text(struct publication *p, const json_t *link)
{
    const char *id = json_get_text(link, "link"), *lang = json_get_text(link, "lang");
    char title[TEXT_SIZE], due[TEXT_SIZE], due_date[TEXT_SIZE], paid[TEXT_SIZE], paid_at[TEXT_SIZE];
    char money[TEXT_SIZE];
    struct record_field texts[ROW_FIELDS];
    struct redis_args *args;
    int64_t version;
    uint8_t *value;
    unsigned shard;
    size_t len;

    if (!shard_of(id, &shard) || lang == NULL || !json_get_int(link, "version", &version))
        return;
    texts[0] = field_of(title_write(p->publisher, link, title));
    texts[1] = field_of(money_write(link, "due_minor", due));
    texts[2] = field_of(date_write(link, lang, due_date));
    texts[3] = field_of(money_write(link, "paid_minor", paid));
    texts[4] = field_of(time_write(link, "paid_at_ms", paid_at));
    texts[5] = field_of(style_write(link, money));
    value = rows_write(link, texts, &len);
    args = redis_args_new();
    redis_args_text(args, "FCALL");
    redis_args_text(args, "paylink_text");
    redis_args_text(args, "1");
    put_key(args, shard, "link", id);
    redis_args_text(args, id);
    redis_args_int(args, version);
    redis_args_text(args, lang);
    redis_args_bytes(args, value, len);
    send_take(p, args);
    free(value);
}

static void attempt_fields(const struct publisher *publisher, struct redis_args *args,
                           const json_t *attempt)
{
    static const char *const texts[] = {"reason",    "action_url",      "receipt_number",
                                        "merchant",  "currency",        "lang",
                                        "brand_css", "brand_integrity", "brand_logo"};
    char text[TEXT_SIZE];
    int64_t overpaid_minor, left_minor;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        put_text(args, texts[i], json_get_text(attempt, texts[i]));
    put_text(args, "link", json_get_text(attempt, "link"));
    put_int(args, attempt, "version");
    put_int(args, attempt, "amount_minor");
    put_text(args, "title", title_write(publisher, attempt, text));
    put_text(args, "amount_text", money_write(attempt, "amount_minor", text));
    if (json_get_int(attempt, "overpaid_minor", &overpaid_minor) && overpaid_minor > 0)
        put_text(args, "overpaid_text", money_write(attempt, "overpaid_minor", text));
    if (json_get_int(attempt, "left_minor", &left_minor) && left_minor > 0)
        put_text(args, "left_text", money_write(attempt, "left_minor", text));
    put_text(args, "paid_at_text", time_write(attempt, "paid_at_ms", text));
    (void)put_card(args, attempt, "card");
}

static void send_attempt(struct publication *p, const json_t *attempt)
{
    const char *id = json_get_text(attempt, "attempt");
    const char *link = json_get_text(attempt, "link");
    const char *state = json_get_text(attempt, "state");
    char hex[2 * 16 + 1] = "";
    struct redis_args *args;
    uint8_t uuid[16];
    unsigned shard;

    if (id == NULL || uuid_parse(id, strlen(id), uuid) != 0 || !shard_of(link, &shard) ||
        state == NULL) {
        log_error("attempt_snapshot() gave something that is no attempt");
        return;
    }
    hex_format(uuid, sizeof uuid, hex);
    args = redis_args_new();
    redis_args_text(args, "FCALL");
    redis_args_text(args, "paylink_answer");
    redis_args_text(args, "3");
    put_key(args, shard, "attempt", hex);
    put_key(args, shard, "link", link);
    put_key(args, shard, "guard", link);
    redis_args_text(args, hex);
    redis_args_text(args, link);
    redis_args_text(args, state);
    redis_args_int(args, strcmp(state, "absent") == 0 ? ABSENT_TTL_MS : ATTEMPT_TTL_MS);
    attempt_fields(p->publisher, args, attempt);
    send_take(p, args);
}

/* Type and bytes, under a name made of them or of what they show. */
static void send_kept(struct publication *p, unsigned shard, const char *object, const char *name,
                      const char *type, const uint8_t *body, size_t len, int64_t ttl_ms)
{
    struct redis_args *args = redis_args_new();

    redis_args_text(args, "FCALL");
    redis_args_text(args, "paylink_keep");
    redis_args_text(args, "1");
    put_key(args, shard, object, name);
    redis_args_text(args, object);
    redis_args_text(args, name);
    redis_args_text(args, type);
    redis_args_bytes(args, body, len);
    redis_args_int(args, ttl_ms);
    send_take(p, args);
}

static void send_brand(struct publication *p, const json_t *brand)
{
    const char *id = json_get_text(brand, "brand"), *type = json_get_text(brand, "type");
    const char *hex = json_get_text(brand, "body");
    size_t hex_len = hex != NULL ? strlen(hex) : 0;
    uint8_t *body = mem_alloc(hex_len / 2 + 1);
    unsigned shard;

    if (!shard_of(id, &shard) || type == NULL || hex_parse(hex, hex_len, body) != 0)
        log_error("brand_snapshot() gave something that is no brand");
    else
        send_kept(p, shard, "brand", id, type, body, hex_len / 2,
                  strcmp(type, "absent") == 0 ? ABSENT_TTL_MS : LINK_TTL_MS);
    free(body);
}

static struct publication *publication_new(const struct publisher *publisher, publish_fn fn,
                                           void *ctx)
{
    struct publication *p = mem_alloc(sizeof *p);

    p->publisher = publisher;
    p->fn = fn;
    p->ctx = ctx;
    p->waiting = 1;
    return p;
}

void publish_document(const struct publisher *publisher, const struct document *document,
                      publish_fn fn, void *ctx)
{
    struct publication *p = publication_new(publisher, fn, ctx);
    char name[2 * sizeof document->name + 1] = "";

    hex_format(document->name, sizeof document->name, name);
    send_kept(p, document->name[0] % 16, "document", name, document->type, document->body,
              document->len, DOCUMENT_TTL_MS);
    one_less(p);
}

void publish_send(const struct publisher *publisher, const struct publish_set *set, publish_fn fn,
                  void *ctx)
{
    struct publication *p = publication_new(publisher, fn, ctx);
    json_t *snapshot;
    size_t i;

    FAILPOINT("outbox.before_publish");
    json_array_foreach (set->links, i, snapshot) {
        send_link(p, snapshot);
    }
    json_array_foreach (set->texts, i, snapshot) {
        send_text(p, snapshot);
    }
    json_array_foreach (set->attempts, i, snapshot) {
        send_attempt(p, snapshot);
    }
    json_array_foreach (set->brands, i, snapshot) {
        send_brand(p, snapshot);
    }
    one_less(p);
}
