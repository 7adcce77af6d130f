/*
 * The sandbox gateway below HTTP: a script of requests against a fresh store. Every reply is
 * well-formed, money never comes back more than once, and the log of what happened gives the same
 * store again.
 *
 * One request a line: VERB PATH[?QUERY] [BODY]. VERB: G, P, D; K is a POST with an idempotency key.
 * In path and body %i %c %r %m stand for the newest intent, charge, refund and method.
 */
#include "fuzz.h"

#include <unistd.h>

#include "../../worker/base/log.h"
#include "../../worker/base/mem.h"
#include "../../worker/core/encoding.h"
#include "../../worker/io/json.h"
#include "../../worker/sandbox/idempotency.h"
#include "../../worker/sandbox/line.h"
#include "../../worker/sandbox/refunds.h"
#include "../../worker/sandbox/render.h"
#include "../../worker/sandbox/route.h"

#define LINES_MAX 64

static char *folder;
static struct pages *pages;

static void clean(void)
{
    char *path = mem_printf("%s/charges.log", folder);

    unlink(path);
    rmdir(folder);
    free(path);
}

static void start(void)
{
    static char name[] = "/dev/shm/fuzz_sandbox.XXXXXX", edge[] = "http://127.0.0.1:8080";
    static char dir[] = "config/pages/sandbox";
    struct settings settings = {.base_url = edge, .sandbox_pages_dir = dir};
    struct error err;

    if (folder != NULL) {
        return;
    }
    log_init("fuzz_sandbox", LOG_LEVEL_ERROR);
    folder = mkdtemp(name);
    CHECK(folder != NULL);
    atexit(clean);
    CHECK(pages_load(&settings, &pages, &err) == RESULT_OK);
}

static struct store *store_new(void)
{
    char *path = mem_printf("%s/charges.log", folder);
    struct store *store;
    struct error err;

    unlink(path);
    free(path);
    CHECK(store_open(folder, &store, &err) == RESULT_OK);
    store->public_url = "http://127.0.0.1:8090";
    return store;
}

static void name_newest(const struct store *store, char what, char out[ID_SIZE])
{
    const struct id_list *list = what == 'r'   ? &store->refund_list
                                 : what == 'm' ? &store->method_list
                                               : &store->intent_list;
    const void *newest = list->count > 0 ? list->items[list->count - 1] : NULL;

    snprintf(out, ID_SIZE, "none");
    if (newest == NULL) {
        return;
    }
    if (what == 'i') {
        intent_id(newest, out);
    } else if (what == 'r') {
        refund_id(newest, out);
    } else if (what == 'm') {
        memcpy(out, ((const struct method *)newest)->id, ID_SIZE);
    } else if (((const struct intent *)newest)->state.charge != NULL) {
        charge_id(((const struct intent *)newest)->state.charge, out);
    }
}

static void expand_names(const struct store *store, const char *text, size_t len,
                         struct writer *out)
{
    for (size_t i = 0; i < len; i++) {
        char id[ID_SIZE];

        if (text[i] == '%' && i + 1 < len && strchr("icrm", text[i + 1]) != NULL) {
            name_newest(store, text[++i], id);
            writer_raw(out, id);
        } else {
            writer_bytes(out, &text[i], 1);
        }
    }
    writer_bytes(out, "", 0);
}

/* As exchange.c does it, without HTTP. */
static void run_call(struct route_table *table, char verb, char *path, char *body)
{
    struct call *call = mem_alloc(sizeof(*call));
    struct idempotency_running *running = NULL, entry = {NULL, NULL};
    char *query = strchr(path, '?');

    call->method = verb == 'G' ? "GET" : verb == 'D' ? "DELETE" : "POST";
    call->path = path;
    memcpy(call->request, "req_00000000000000", REQUEST_ID_SIZE);
    if (query != NULL) {
        *query++ = '\0';
    }
    if ((query == NULL || params_parse(query, strlen(query), &call->query) == NULL) &&
        params_parse(body, strlen(body), &call->form) == NULL) {
        if (verb == 'K') {
            idempotency_begin(call, table->store, "key", &running, &entry);
        }
        call->fault = faults_take(&table->faults, call).decline;
        if (call->status == 0) {
            route_call(table, call);
        }
        CHECK(call->status >= 200 && call->status < 500);
        if (call->content_type == NULL) {
            json_t *json = json_parse(call->reply.data, call->reply.len);

            CHECK(json_is_object(json));
            CHECK((call->status >= 400) == json_is_object(json_object_get(json, "error")));
            json_decref(json);
        } else if (call->reply.len > 0) {
            CHECK(utf8_valid(call->reply.data, call->reply.len));
        }
        CHECK(call->location == NULL || strpbrk(call->location, "\r\n ") == NULL);
        CHECK(call->content_security == NULL || strpbrk(call->content_security, "\r\n") == NULL);
    }
    idempotency_end(&running, &entry);
    saved_reply_free(call->save);
    writer_free(&call->reply);
    free(call->location);
    free(call->content_security);
    free(call);
}

static void check_money(const struct store *store)
{
    for (size_t i = 0; i < store->intent_list.count; i++) {
        const struct intent *intent = store->intent_list.items[i];
        int captures = 0;

        for (const struct charge *c = intent->state.charge; c != NULL; c = c->previous) {
            int64_t back = 0;

            captures += c->decline == NULL;
            for (const struct refund *r = c->refunds; r != NULL; r = r->next) {
                back += r->status != REFUND_FAILED ? r->amount : 0;
            }
            CHECK(back == c->refunded_minor && back <= intent->amount && back >= 0);
            CHECK(c->decline == NULL || back == 0);
        }
        CHECK(captures == (intent->state.status == INTENT_SUCCEEDED));
    }
}

static void render_all(const struct store *store, struct writer *w)
{
    for (size_t i = 0; i < store->intent_list.count; i++) {
        const struct intent *intent = store->intent_list.items[i];

        render_intent(w, store, intent, &intent->state, 0, EXPAND_METHOD);
        for (const struct charge *c = intent->state.charge; c != NULL; c = c->previous) {
            render_charge(w, store, c, c->refunded_minor, EXPAND_INTENT);
        }
    }
    for (size_t i = 0; i < store->refund_list.count; i++) {
        const struct refund *refund = store->refund_list.items[i];

        render_refund(w, store, refund, refund->status, EXPAND_CHARGE);
    }
    for (size_t i = 0; i < store->method_list.count; i++) {
        render_method(w, NULL, store->method_list.items[i], 0);
    }
    writer_printf(w, "%lld %lld %zu", (long long)store->seq, (long long)store->captures,
                  store->replies.count);
}

/* The log read into an empty store gives the same objects. */
static void check_replay(const struct store *store)
{
    struct store *again = mem_alloc(sizeof(*again));
    struct writer left = {0}, right = {0};
    struct error err = {"", ""};
    const struct writer *lines = charge_log_lines(store->log);
    const char *at = lines->data, *end;

    again->builtin = mem_alloc(card_count() * sizeof(again->builtin[0]));
    for (size_t i = 0; i < card_count(); i++) {
        again->builtin[i] = store->builtin[i];
    }
    again->public_url = store->public_url;
    again->seq = 1;
    for (; at < lines->data + lines->len; at = end + 1) {
        end = strchr(at, '\n');
        CHECK(end != NULL);
        if (line_read(again, at, (size_t)(end - at), &err) != RESULT_OK) {
            fprintf(stderr, "%s: %.*s\n", err.text, (int)(end - at), at);
            abort();
        }
    }
    render_all(store, &left);
    render_all(again, &right);
    CHECK(left.len == right.len && memcmp(left.data, right.data, left.len) == 0);
    writer_free(&left);
    writer_free(&right);
    store_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct route_table table = {.secret_key = "sk"};
    const char *at = (const char *)data, *end = at + size;

    start();
    table.pages = pages;
    table.store = store_new();
    table.events = events_new(table.store);
    for (int line = 0; at < end && line < LINES_MAX; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        const char *path_end;
        struct writer path = {0}, body = {0};

        stop = stop != NULL ? stop : end;
        if (stop - at >= 3 && memchr(at, '\0', (size_t)(stop - at)) == NULL) {
            path_end = memchr(at + 2, ' ', (size_t)(stop - at - 2));
            path_end = path_end != NULL ? path_end : stop;
            expand_names(table.store, at + 2, (size_t)(path_end - at - 2), &path);
            if (path_end < stop) {
                expand_names(table.store, path_end + 1, (size_t)(stop - path_end - 1), &body);
            }
            writer_bytes(&body, "", 0);
            run_call(&table, *at, path.data, body.data);
            check_money(table.store);
        }
        writer_free(&path);
        writer_free(&body);
        at = stop + 1;
    }
    check_replay(table.store);
    charge_log_lines(table.store->log)->len = 0;
    events_free(table.events);
    store_free(table.store);
    return 0;
}
