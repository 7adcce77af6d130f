/* Answers the edge's wants from PostgreSQL. Knows nothing of gateways. */
#include "hydrate.h"

#include <stdlib.h>
#include <string.h>

#define LOG_AREA "hydrate"
#include "../base/log.h"
#include "../base/mem.h"
#include "../core/encoding.h"
#include "../core/token.h"
#include "../io/pg.h"
#include "../io/stream.h"
#include "document.h"
#include "publish.h"

#define ROOM     200
#define RETRY_MS 250

struct hydrate {
    struct pg *pg;
    const struct publisher *publisher;
    struct stream *stream;
    struct documents *documents;
    struct loop_timer *retry;
    loop_fn on_payer_back;
    void *ctx;
};

/* Entries on their way together. */
struct wants {
    struct hydrate *h;
    struct stream_entry **entries;
    size_t n;
};

static bool hex_ok(const char *text)
{
    uint8_t bytes[16];

    return text != NULL && strlen(text) == 32 && hex_parse(text, 32, bytes) == 0;
}

/* What a batch of entries asks for. */
struct wanted {
    json_t *links, *attempts, *brands, *texts; /* ids */
    json_t *links_of;                          /* attempt → its link */
    json_t *langs;                             /* of texts, in the same order */
};

static struct wanted wanted_new(void)
{
    return (struct wanted){json_array(), json_array(),  json_array(),
                           json_array(), json_object(), json_array()};
}

static void wanted_free(const struct wanted *wanted)
{
    json_decref(wanted->links);
    json_decref(wanted->attempts);
    json_decref(wanted->brands);
    json_decref(wanted->texts);
    json_decref(wanted->links_of);
    json_decref(wanted->langs);
}

static bool wants_document(const struct stream_entry *entry)
{
    const char *kind = stream_text(entry, "kind");

    return kind != NULL && strcmp(kind, "document") == 0;
}

/* Adds what the entry asks for; false for an entry that asks for nothing. */
static bool want_read(const struct hydrate *h, const struct stream_entry *entry,
                      const struct wanted *wanted)
{
    const char *kind = stream_text(entry, "kind"), *link = stream_text(entry, "link");
    const char *of = stream_text(entry, "of");
    char uuid[UUID_TEXT_SIZE + 1] = "";
    uint8_t bytes[16];

    if (kind == NULL || !hex_ok(link))
        return false;
    if (strcmp(kind, "link") == 0 || strcmp(kind, "brand") == 0) {
        json_array_append_new(kind[0] == 'l' ? wanted->links : wanted->brands, json_string(link));
        return true;
    }
    if (strcmp(kind, "text") == 0 && of != NULL &&
        words_language(h->publisher->words, of) != NULL) {
        json_array_append_new(wanted->texts, json_string(link));
        json_array_append_new(wanted->langs, json_string(of));
        return true;
    }
    if (strcmp(kind, "attempt") != 0 || !hex_ok(of))
        return false;
    hex_parse(of, 32, bytes);
    uuid_format(bytes, uuid);
    json_array_append_new(wanted->attempts, json_string(uuid));
    json_put_text(wanted->links_of, uuid, link);
    return true;
}

static json_t *call(struct hydrate *h, const char *function, const json_t *ids, bool *ok)
{
    const char *params[1];
    struct error err;
    json_t *out = NULL;
    char *text;

    text = json_text(ids);
    params[0] = text;
    if (pg_call(h->pg, function, params, 1, &out, &err) != RESULT_OK) {
        log_warn("%s", err.text);
        *ok = false;
    }
    free(text);
    return out != NULL ? out : json_array();
}

static json_t *ask(struct hydrate *h, const char *function, const json_t *ids, bool *ok)
{
    return json_array_size(ids) == 0 ? json_array() : call(h, function, ids, ok);
}

/* An attempt that PostgreSQL does not know is answered too, on the link it was asked for. */
static void place_absent(json_t *found, const json_t *links_of)
{
    json_t *snapshot;
    size_t i;

    json_array_foreach (found, i, snapshot) {
        const char *attempt = json_get_text(snapshot, "attempt");

        if (attempt != NULL && json_get_text(snapshot, "link") == NULL)
            json_put_text(snapshot, "link", json_get_text(links_of, attempt));
    }
}

/* The snapshots in the languages that were asked for. */
static void place_langs(json_t *found, const json_t *langs)
{
    json_t *snapshot;
    size_t i;

    json_array_foreach (found, i, snapshot) {
        json_object_set(snapshot, "lang", json_array_get(langs, i));
    }
}

/* A payer who comes back from 3-D Secure looks at the page: the gateway is asked at once. */
static void check_payers(struct hydrate *h, const json_t *found)
{
    json_t *ids = json_array(), *snapshot;
    bool ok = true;
    size_t i;

    json_array_foreach (found, i, snapshot) {
        const char *state = json_get_text(snapshot, "state");

        if (state != NULL && strcmp(state, "action_required") == 0)
            json_array_append(ids, json_object_get(snapshot, "attempt"));
    }
    if (json_array_size(ids) > 0) {
        json_decref(ask(h, "paylink.attempt_check_now", ids, &ok));
        if (ok)
            h->on_payer_back(h->ctx);
    }
    json_decref(ids);
}

static void wants_free(struct wants *w)
{
    free(w->entries);
    free(w);
}

static void on_published(void *arg, bool ok)
{
    struct wants *w = arg;

    if (ok) {
        stream_ack(w->h->stream, w->entries, w->n);
    } else {
        for (size_t i = 0; i < w->n; i++)
            stream_release(w->h->stream, w->entries[i]);
    }
    wants_free(w);
}

/* The database is away: the edge asks again by itself, so old wants need not be kept long. */
static void hold_up(struct hydrate *h)
{
    stream_pause(h->stream, true);
    loop_timer_arm(h->retry, RETRY_MS);
}

/* Nothing is read before the database has answered: what is read by workers that come and go
 * meanwhile would be taken for poison. */
static void on_retry(void *arg)
{
    struct hydrate *h = arg;
    json_t *none = json_array();
    bool ok = true;

    json_decref(call(h, "paylink.link_snapshot", none, &ok));
    json_decref(none);
    if (ok)
        stream_pause(h->stream, false);
    else
        hold_up(h);
}

static void on_wants(void *arg, struct stream_entry **entries, size_t n)
{
    struct hydrate *h = arg;
    struct wants *w = mem_alloc(sizeof *w);
    struct wanted wanted = wanted_new();
    json_t *links, *attempts, *brands, *texts;
    bool ok = true;

    w->h = h;
    w->entries = mem_alloc((n + 1) * sizeof(struct stream_entry *));
    for (size_t i = 0; i < n; i++) {
        if (wants_document(entries[i]))
            documents_take(h->documents, h->stream, entries[i]);
        else if (want_read(h, entries[i], &wanted))
            w->entries[w->n++] = entries[i];
        else
            stream_dead(h->stream, entries[i], "asks for nothing that exists");
    }
    links = ask(h, "paylink.link_snapshot", wanted.links, &ok);
    attempts = ask(h, "paylink.attempt_snapshot", wanted.attempts, &ok);
    brands = ask(h, "paylink.brand_snapshot", wanted.brands, &ok);
    texts = ask(h, "paylink.link_snapshot", wanted.texts, &ok);
    if (ok) {
        place_absent(attempts, wanted.links_of);
        place_langs(texts, wanted.langs);
        check_payers(h, attempts);
        publish_send(h->publisher, &(struct publish_set){links, attempts, brands, texts},
                     on_published, w);
    } else {
        hold_up(h);
        on_published(w, false);
    }
    wanted_free(&wanted);
    json_decref(links);
    json_decref(attempts);
    json_decref(brands);
    json_decref(texts);
}

struct hydrate *hydrate_new(struct loop *loop, const struct hydrate_options *options)
{
    struct hydrate *h = mem_alloc(sizeof *h);
    struct stream_options stream = {
        .kind = "want",
        .consumer = options->settings->worker_name,
        .claim_idle_ms = 5 * 1000, /* a want is cheap to answer twice */
        .room = ROOM,
        .redis = options->publisher->redis,
        .connection = options->connection,
        .fn = on_wants,
        .ctx = h,
    };

    h->pg = pg_new(options->settings->pg_conninfo, "paylink hydrate",
                   options->settings->pg_statement_timeout_ms);
    h->publisher = options->publisher;
    h->on_payer_back = options->on_payer_back;
    h->ctx = options->ctx;
    h->documents = documents_new(loop, h->pg, options->publisher);
    h->retry = loop_timer_new(loop, on_retry, h);
    h->stream = stream_new(loop, &stream);
    stream_pause(h->stream, true);
    loop_timer_arm(h->retry, 0);
    return h;
}

void hydrate_stop(struct hydrate *h)
{
    stream_stop(h->stream);
}

void hydrate_free(struct hydrate *h)
{
    if (h == NULL)
        return;
    documents_free(h->documents);
    stream_free(h->stream);
    loop_timer_free(h->retry);
    pg_free(h->pg);
    free(h);
}
