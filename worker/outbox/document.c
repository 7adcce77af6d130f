/* Owns the queue of documents and puts receipts into words. Knows neither layouts nor Redis. */
#include "document.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_AREA "document"
#include "../base/log.h"
#include "../base/mem.h"
#include "../core/encoding.h"
#include "../core/language.h"
#include "../document/button.h"
#include "../document/receipt.h"
#include "../io/canvas.h"
#include "../io/locale.h"

#define QUEUE_MAX 32
#define BYTES_MAX (256 * 1024)
#define LINES_MAX "200" /* of a receipt, then it has invoices alone */
#define TEXT_SIZE 256
#define ACCENT    ((struct colour){0x0b, 0x66, 0x55}) /* that of paylink.css */

struct documents {
    struct pg *pg;
    const struct publisher *publisher;
    struct loop_timer *timer;
    struct stream *stream;
    struct stream_entry *queue[QUEUE_MAX]; /* the first is on its way */
    size_t count;
};

/* --- receipts -----------------------------------------------------------------------------------
 */

/* The texts that a receipt points to while it is drawn. */
struct content {
    char total[TEXT_SIZE], paid_at[TEXT_SIZE], method[TEXT_SIZE];
    struct receipt_row *rows;
    char **texts; /* of the rows, made here */
    size_t row_count, text_count;
};

static const char *keep_money(struct content *c, const char *lang, const char *currency,
                              const json_t *object, const char *name, int64_t times)
{
    char text[TEXT_SIZE];
    int64_t amount_minor = 0;

    (void)json_get_int(object, name, &amount_minor);
    locale_money(lang, currency, amount_minor, text, sizeof text);
    c->texts[c->text_count] =
        times > 0 ? mem_printf("%lld × %s", (long long)times, text) : mem_strdup(text);
    return c->texts[c->text_count++];
}

/* A single line of one piece costs what its invoice does: that is not said twice. */
static void line_add(struct content *c, const char *lang, const char *currency, const json_t *line,
                     bool single)
{
    struct receipt_row *row = &c->rows[c->row_count++];
    int64_t quantity = 1;

    (void)json_get_int(line, "quantity", &quantity);
    row->text = json_get_text(line, "description");
    if (quantity != 1)
        row->detail = keep_money(c, lang, currency, line, "unit_minor", quantity);
    if (quantity != 1 || !single)
        row->amount = keep_money(c, lang, currency, line, "total_minor", 0);
}

static void rows_fill(struct content *c, const char *lang, const char *currency,
                      const json_t *invoices)
{
    size_t room = json_array_size(invoices), i, j;
    json_t *invoice, *line;

    json_array_foreach (invoices, i, invoice) {
        room += json_array_size(json_object_get(invoice, "lines"));
    }
    c->rows = mem_alloc((room + 1) * sizeof *c->rows);
    c->texts = mem_alloc((2 * room + 1) * sizeof *c->texts);
    json_array_foreach (invoices, i, invoice) {
        const json_t *lines = json_object_get(invoice, "lines");
        struct receipt_row *row = &c->rows[c->row_count++];

        row->invoice = true;
        row->text = json_get_text(invoice, "number");
        row->amount = keep_money(c, lang, currency, invoice, "total_minor", 0);
        json_array_foreach (lines, j, line) {
            line_add(c, lang, currency, line, json_array_size(lines) == 1);
        }
    }
}

static void content_free(struct content *c)
{
    for (size_t i = 0; i < c->text_count; i++)
        free(c->texts[i]);
    free(c->texts);
    free(c->rows);
}

static void method_write(const struct words *words, const char *lang, const json_t *snapshot,
                         char out[TEXT_SIZE])
{
    const char *method = json_get_text(snapshot, "paid_method"), *label;
    char key[TEXT_SIZE];

    out[0] = '\0';
    if (publish_card(snapshot, out, TEXT_SIZE) || method == NULL)
        return;
    snprintf(key, sizeof key, "method_%s", method);
    label = words_label(words, lang, key);
    snprintf(out, TEXT_SIZE, "%s", label != NULL ? label : method);
}

static void facts_fill(const struct words *words, const json_t *snapshot, const struct content *c,
                       struct receipt *r)
{
    const struct {
        const char *key, *value;
    } of[RECEIPT_FACTS_MAX] = {{"fact_receipt_number", r->number},
                               {"fact_date", c->paid_at},
                               {"fact_paid_to", r->merchant},
                               {"fact_customer", json_get_text(snapshot, "customer")},
                               {"fact_paid_by", c->method}};
    size_t n = 0;

    for (size_t i = 0; i < RECEIPT_FACTS_MAX; i++) {
        if (of[i].value != NULL && of[i].value[0] != '\0')
            r->facts[n++] =
                (struct receipt_fact){words_label(words, r->language, of[i].key), of[i].value};
    }
}

/* As publish.c words a page: in the link's own locale if that speaks the language. */
static enum result receipt_make(const struct words *words, const char *tag, const json_t *snapshot,
                                uint8_t **out, size_t *len, struct error *err)
{
    const char *own = json_get_text(snapshot, "lang"), *spoken = words_language(words, own);
    const char *lang = spoken != NULL && strcmp(spoken, tag) == 0 ? own : tag;
    const char *currency = json_get_text(snapshot, "currency");
    const char *accent = json_get_text(snapshot, "accent");
    const char *number = json_get_text(snapshot, "receipt_number");
    struct receipt r = {.language = lang,
                        .heading = words_label(words, lang, "worker_receipt"),
                        .number = number != NULL ? number : "",
                        .merchant = json_get_text(snapshot, "merchant"),
                        .accent = ACCENT,
                        .total = {.label = words_label(words, lang, "fact_amount")},
                        .invoice_label = words_label(words, lang, "row_invoice"),
                        .amount_label = words_label(words, lang, "row_amount")};
    struct content c = {.row_count = 0};
    int64_t paid_minor = 0;
    enum result result;

    if (accent != NULL)
        (void)colour_parse(accent, strlen(accent), &r.accent);
    (void)json_get_int(snapshot, "paid_minor", &paid_minor);
    locale_money(lang, currency, paid_minor, c.total, sizeof c.total);
    if (json_get_int(snapshot, "paid_at_ms", &r.paid_at_ms))
        locale_time(lang, r.paid_at_ms, c.paid_at, sizeof c.paid_at);
    method_write(words, lang, snapshot, c.method);
    facts_fill(words, snapshot, &c, &r);
    rows_fill(&c, lang, currency, json_object_get(snapshot, "invoices"));
    r.total.value = c.total;
    r.rows = c.rows;
    r.row_count = c.row_count;
    result = receipt_draw(&r, BYTES_MAX, out, len, err);
    content_free(&c);
    return result;
}

/* What it shows may be newer than what was asked for; it is named by what it shows. */
static char *receipt_words(const json_t *snapshot, const char *tag)
{
    const char *brand = json_get_text(snapshot, "brand_css");
    int64_t version = 0;

    (void)json_get_int(snapshot, "version", &version);
    return mem_printf("receipt %s %lld %s %s %s", json_get_text(snapshot, "link"),
                      (long long)version, tag, brand != NULL ? brand : "",
                      json_get_text(snapshot, "merchant"));
}

/* "LINK VERSION TAG …" */
static bool receipt_read(const char *text, char link[2 * 16 + 1], char tag[LANGUAGE_BYTES_MAX + 1])
{
    size_t len = strcspn(text, " ");
    const char *at = text + len;
    uint8_t id[16];

    if (len != 32 || hex_parse(text, len, id) != 0 || *at != ' ')
        return false;
    at += 1 + strcspn(at + 1, " ");
    if (*at != ' ')
        return false;
    at++;
    snprintf(link, 2 * 16 + 1, "%.32s", text);
    snprintf(tag, LANGUAGE_BYTES_MAX + 1, "%.*s", (int)strcspn(at, " "), at);
    return true;
}

/* --- documents ----------------------------------------------------------------------------------
 */

/* On RESULT_OK the words that name it, or NULL: there is nothing to be shown. One that is too large
 * with its lines is made without. */
static enum result receipt_find(const struct documents *d, const char *text, char **words,
                                uint8_t **out, size_t *len, struct error *err)
{
    static const char *const line_limits[] = {LINES_MAX, "0"};
    char link[2 * 16 + 1] = "", tag[LANGUAGE_BYTES_MAX + 1] = "";
    enum result result = RESULT_REJECTED;

    if (!receipt_read(text, link, tag) || words_language(d->publisher->words, tag) == NULL)
        return error_set(err, RESULT_REJECTED, "receipt", "A receipt that cannot be read.");
    for (size_t i = 0; i < 2 && result == RESULT_REJECTED; i++) {
        const char *params[] = {link, line_limits[i]};
        json_t *snapshot = NULL;

        result = pg_call(d->pg, "paylink.receipt_snapshot", params, 2, &snapshot, err);
        if (result == RESULT_OK && json_is_object(snapshot)) {
            result = receipt_make(d->publisher->words, tag, snapshot, out, len, err);
            if (result == RESULT_OK)
                *words = receipt_words(snapshot, tag);
        }
        json_decref(snapshot);
    }
    return result;
}

static enum result document_make(const struct documents *d, const char *text, char **words,
                                 struct document *out, struct error *err)
{
    enum result result;

    if (strncmp(text, "receipt ", 8) == 0) {
        out->type = "pdf";
        return receipt_find(d, text + 8, words, &out->body, &out->len, err);
    }
    if (strncmp(text, "button ", 7) != 0)
        return error_set(err, RESULT_REJECTED, "document", "No document that there is.");
    out->type = "png";
    result = button_draw(text + 7, BYTES_MAX, &out->body, &out->len, err);
    if (result == RESULT_OK)
        *words = mem_strdup(text);
    return result;
}

static void first_done(struct documents *d)
{
    struct stream_entry *entry = d->queue[0];

    memmove(d->queue, d->queue + 1, --d->count * sizeof(struct stream_entry *));
    if (d->count > 0)
        loop_timer_arm(d->timer, 0);
    stream_ack(d->stream, &entry, 1);
}

static void on_published(void *arg, bool ok)
{
    struct documents *d = arg;

    (void)ok;
    first_done(d);
}

static void on_turn(void *arg)
{
    struct documents *d = arg;
    const char *text = stream_text(d->queue[0], "of");
    struct document document = {.body = NULL};
    struct error err;
    char *words = NULL;

    if (document_make(d, text != NULL ? text : "", &words, &document, &err) != RESULT_OK)
        log_warn("%s", err.text);
    if (words == NULL) {
        first_done(d);
        return;
    }
    content_name(words, strlen(words), document.name);
    publish_document(d->publisher, &document, on_published, d);
    free(document.body);
    free(words);
}

struct documents *documents_new(struct loop *loop, struct pg *pg, const struct publisher *publisher)
{
    struct documents *d = mem_alloc(sizeof *d);

    d->pg = pg;
    d->publisher = publisher;
    d->timer = loop_timer_new(loop, on_turn, d);
    return d;
}

void documents_take(struct documents *d, struct stream *stream, struct stream_entry *entry)
{
    d->stream = stream;
    if (d->count == QUEUE_MAX) {
        stream_ack(stream, &entry, 1);
        return;
    }
    d->queue[d->count++] = entry;
    if (d->count == 1)
        loop_timer_arm(d->timer, 0);
}

void documents_free(struct documents *d)
{
    for (size_t i = 0; i < d->count; i++)
        stream_release(d->stream, d->queue[i]);
    loop_timer_free(d->timer);
    free(d);
    canvas_forget();
}
