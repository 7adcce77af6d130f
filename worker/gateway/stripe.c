/* Owns the requests to the Stripe API; knows no ledger, no attempt's history, no time-outs but its
 * own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"
#include "../core/encoding.h"
#include "../io/http.h"
#include "gateway.h"
#include "stripe_amount.h"
#include "stripe_reply.h"

#define LOG_AREA "gateway"
#include "../base/log.h"

/* The shapes that stripe_reply.c reads. */
#define STRIPE_VERSION        "2022-11-15"
#define METADATA_BYTES_MAX    500
#define DESCRIPTION_BYTES_MAX 1000
#define LIST_PAGE_SIZE        100
#define LIST_PAGES_MAX        100000

struct gateway {
    struct loop *loop;
    struct http *http;
    char *url;
    const char *secret_key;
    int64_t timeout_ms;
    struct refusal *refusals; /* callbacks that are due */
    bool closing;
};

/* A request on its way. */
struct pending {
    enum stripe_call call;
    gateway_fn fn;
    void *ctx;
};

/* A call that is refused here, without a request; told from a timer, never from inside. */
struct refusal {
    struct refusal *next;
    struct gateway *gateway;
    struct loop_timer *timer;
    enum gateway_outcome outcome;
    gateway_fn fn;
    void *ctx;
};

struct listing {
    struct gateway *gateway;
    const char *path; /* "/v1/refunds" */
    const char *expand;
    void (*read)(const json_t *object, struct stripe_result *out);
    int64_t since_s;
    int64_t pages;
    char *last; /* id of the last object seen, or NULL */
    gateway_fn fn;
    gateway_list_done_fn done;
    void *ctx;
};

struct gateway *gateway_new(struct loop *loop, const struct gateway_options *options)
{
    struct gateway *g = mem_alloc(sizeof(*g));

    g->loop = loop;
    g->http = http_new(loop, options->connections);
    g->url = mem_strdup(options->url);
    g->secret_key = options->secret_key;
    g->timeout_ms = options->timeout_ms;
    return g;
}

static void refusal_end(struct refusal *refusal)
{
    struct gateway_result result = {
        .outcome = refusal->outcome,
        .reason = refusal->outcome == GATEWAY_DECLINED ? "invalid_request" : NULL,
    };

    refusal->fn(refusal->ctx, &result);
    loop_timer_free(refusal->timer);
    free(refusal);
}

static void on_refusal(void *arg)
{
    struct refusal *refusal = arg, **at = &refusal->gateway->refusals;

    while (*at != refusal) {
        at = &(*at)->next;
    }
    *at = refusal->next;
    refusal_end(refusal);
}

static void refuse(struct gateway *g, enum gateway_outcome outcome, gateway_fn fn, void *ctx)
{
    struct refusal *refusal = mem_alloc(sizeof(*refusal));

    refusal->gateway = g;
    refusal->outcome = outcome;
    refusal->fn = fn;
    refusal->ctx = ctx;
    refusal->timer = loop_timer_new(g->loop, on_refusal, refusal);
    refusal->next = g->refusals;
    g->refusals = refusal;
    loop_timer_arm(refusal->timer, 0);
}

void gateway_free(struct gateway *g)
{
    struct refusal *refusal;

    if (g == NULL) {
        return;
    }
    g->closing = true;
    http_free(g->http);
    while ((refusal = g->refusals) != NULL) {
        g->refusals = refusal->next;
        refusal_end(refusal);
    }
    free(g->url);
    free(g);
}

/* `request` says what is special about it: method, body, keys, limits. */
static void send(struct gateway *g, struct http_request request, const char *path, http_fn fn,
                 void *ctx)
{
    char *url = mem_printf("%s%s", g->url, path);

    request.url = url;
    request.bearer = g->secret_key;
    request.api_version = STRIPE_VERSION;
    request.timeout_ms = g->timeout_ms;
    http_send(g->http, &request, fn, ctx);
    free(url);
}

static void on_reply(void *arg, const struct http_reply *reply)
{
    struct pending *pending = arg;
    struct stripe_result result;

    stripe_result_read(pending->call, reply, &result);
    pending->fn(pending->ctx, &result.result);
    stripe_result_free(&result);
    free(pending);
}

static struct pending *pending_new(enum stripe_call call, gateway_fn fn, void *ctx)
{
    struct pending *pending = mem_alloc(sizeof(*pending));

    *pending = (struct pending){call, fn, ctx};
    return pending;
}

/* Adds at most `bytes_max` bytes of `text`, whole characters only; nothing for NULL or "". */
static void form_add_text(struct http_form *form, const char *name, const char *text,
                          size_t bytes_max)
{
    char *part;
    size_t len;

    if (text == NULL || text[0] == '\0') {
        return;
    }
    len = strnlen(text, bytes_max);
    while (len > 0 && !utf8_valid(text, len)) {
        len--;
    }
    part = mem_strndup(text, len);
    http_form_add(form, name, part);
    free(part);
}

/* The currency as Stripe wants it. False: no three capital letters. */
static bool currency_lower(const char *currency, char out[4])
{
    for (int i = 0; i < 3; i++) {
        if (currency[i] < 'A' || currency[i] > 'Z') {
            return false;
        }
        out[i] = (char)(currency[i] + 32);
    }
    out[3] = '\0';
    return currency[3] == '\0';
}

void gateway_charge(struct gateway *g, const struct gateway_charge *charge, gateway_fn fn,
                    void *ctx)
{
    struct http_form *form;
    char currency[4];
    int64_t amount;

    if (!currency_lower(charge->currency, currency) ||
        !stripe_amount_to(charge->currency, charge->amount_minor, &amount)) {
        log_error("attempt %s: %lld %s cannot be charged at this gateway", charge->attempt,
                  (long long)charge->amount_minor, charge->currency);
        refuse(g, GATEWAY_DECLINED, fn, ctx);
        return;
    }
    form = http_form_new();
    http_form_add_int(form, "amount", amount);
    http_form_add(form, "currency", currency);
    http_form_add(form, "payment_method", charge->payment_method);
    http_form_add(form, "payment_method_types[0]", "card");
    http_form_add(form, "confirm", "true");
    form_add_text(form, "return_url", charge->return_url, SIZE_MAX);
    form_add_text(form, "description", charge->description, DESCRIPTION_BYTES_MAX);
    http_form_add(form, "metadata[attempt]", charge->attempt);
    form_add_text(form, "metadata[link]", charge->link, METADATA_BYTES_MAX);
    form_add_text(form, "metadata[merchant]", charge->merchant, METADATA_BYTES_MAX);
    form_add_text(form, "metadata[invoices]", charge->receipt_number, METADATA_BYTES_MAX);
    http_form_add(form, "expand[0]", "latest_charge");
    send(g,
         (struct http_request){.method = "POST",
                               .body = http_form_text(form),
                               .idempotency_key = charge->attempt,
                               .start_before_ms = charge->start_before_ms},
         "/v1/payment_intents", on_reply, pending_new(STRIPE_CHARGE, fn, ctx));
    http_form_free(form);
}

/* Ids come from the gateway, through the database: still nothing else may reach a URL. */
static bool id_valid(const char *id)
{
    size_t len = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

    return len > 0 && len <= 255 && id[len] == '\0';
}

void gateway_retrieve(struct gateway *g, const char *intent_id, gateway_fn fn, void *ctx)
{
    char *path;

    if (!id_valid(intent_id)) {
        refuse(g, GATEWAY_ABSENT, fn, ctx);
        return;
    }
    path = mem_printf("/v1/payment_intents/%s?expand%%5B0%%5D=latest_charge", intent_id);
    send(g, (struct http_request){.method = "GET"}, path, on_reply,
         pending_new(STRIPE_RETRIEVE, fn, ctx));
    free(path);
}

void gateway_cancel(struct gateway *g, const char *intent_id, gateway_fn fn, void *ctx)
{
    char *path;

    if (!id_valid(intent_id)) {
        refuse(g, GATEWAY_ABSENT, fn, ctx);
        return;
    }
    /* No idempotency key: a second cancel tells how the intent stands then, a replay would not. */
    path = mem_printf("/v1/payment_intents/%s/cancel", intent_id);
    send(g,
         (struct http_request){.method = "POST",
                               .body = "cancellation_reason=abandoned&expand%5B0%5D=latest_charge"},
         path, on_reply, pending_new(STRIPE_CANCEL, fn, ctx));
    free(path);
}

void gateway_refund(struct gateway *g, const char *intent_id, int64_t amount_minor,
                    const char *currency, const char *refund_key, gateway_fn fn, void *ctx)
{
    struct http_form *form;
    char *key;
    int64_t amount;

    if (!stripe_amount_to(currency, amount_minor, &amount)) {
        log_error("refund %s: %lld %s cannot be refunded at this gateway", refund_key,
                  (long long)amount_minor, currency);
        refuse(g, GATEWAY_DECLINED, fn, ctx);
        return;
    }
    form = http_form_new();
    key = mem_printf("refund-%s", refund_key);
    http_form_add(form, "payment_intent", intent_id);
    http_form_add_int(form, "amount", amount);
    http_form_add(form, "metadata[refund]", refund_key);
    send(g,
         (struct http_request){
             .method = "POST", .body = http_form_text(form), .idempotency_key = key},
         "/v1/refunds", on_reply, pending_new(STRIPE_REFUND, fn, ctx));
    http_form_free(form);
    free(key);
}

static void list_page(struct listing *listing);

static void list_end(struct listing *listing, bool complete)
{
    listing->done(listing->ctx, complete);
    free(listing->last);
    free(listing);
}

/* Tells every object of the page. False if it is not a list. */
static bool list_tell(struct listing *listing, const json_t *json)
{
    const json_t *data = json_object_get(json, "data");
    const char *last = NULL;

    if (!json_is_array(data)) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(data); i++) {
        struct stripe_result result;

        listing->read(json_array_get(data, i), &result);
        last = result.result.id != NULL ? result.result.id : last;
        if (result.result.outcome != GATEWAY_UNKNOWN) {
            listing->fn(listing->ctx, &result.result);
        } else {
            log_warn("an object in the list %s could not be read", listing->path);
        }
    }
    if (last != NULL) {
        free(listing->last);
        listing->last = mem_strdup(last);
    }
    return true;
}

static void on_list(void *arg, const struct http_reply *reply)
{
    struct listing *listing = arg;
    json_t *json = NULL;
    bool good, more;

    if (reply->outcome == HTTP_REPLIED && reply->status == 200) {
        json = json_parse(reply->body, reply->body_len);
    } else {
        log_warn("a list of the gateway could not be read: %s %d",
                 reply->failure != NULL ? reply->failure : "status", reply->status);
    }
    good = json != NULL && list_tell(listing, json);
    more = good && json_get_bool(json, "has_more") && listing->last != NULL;
    json_decref(json);
    if (more && !listing->gateway->closing && ++listing->pages < LIST_PAGES_MAX) {
        list_page(listing);
    } else {
        list_end(listing, good && !more);
    }
}

static void list_page(struct listing *listing)
{
    char *path = mem_printf("%s?limit=%d&created%%5Bgte%%5D=%lld%s%s%s", listing->path,
                            LIST_PAGE_SIZE, (long long)listing->since_s, listing->expand,
                            listing->last != NULL ? "&starting_after=" : "",
                            listing->last != NULL ? listing->last : "");

    send(listing->gateway, (struct http_request){.method = "GET"}, path, on_list, listing);
    free(path);
}

static void list_start(struct gateway *g, const struct listing *start)
{
    struct listing *listing = mem_alloc(sizeof(*listing));

    *listing = *start;
    listing->gateway = g;
    list_page(listing);
}

void gateway_list(struct gateway *g, int64_t since_ms, gateway_fn fn, gateway_list_done_fn done,
                  void *ctx)
{
    list_start(g, &(struct listing){.path = "/v1/payment_intents",
                                    .expand = "&expand%5B0%5D=data.latest_charge",
                                    .read = stripe_intent_read,
                                    .since_s = since_ms / 1000,
                                    .fn = fn,
                                    .done = done,
                                    .ctx = ctx});
}

void gateway_list_refunds(struct gateway *g, int64_t since_ms, gateway_fn fn,
                          gateway_list_done_fn done, void *ctx)
{
    list_start(g, &(struct listing){.path = "/v1/refunds",
                                    .expand = "",
                                    .read = stripe_refund_read,
                                    .since_s = since_ms / 1000,
                                    .fn = fn,
                                    .done = done,
                                    .ctx = ctx});
}
