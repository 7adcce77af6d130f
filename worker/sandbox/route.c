/* Owns the table of endpoints and who may call them; knows no sockets. */
#include "route.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "../base/mem.h"
#include "intents.h"
#include "methods.h"
#include "refunds.h"

#define KEY_BYTES_MAX 512

bool route_is_api(const struct call *call)
{
    return strncmp(call->path, "/v1/", 4) == 0;
}

/* "Bearer KEY" or "Basic BASE64(KEY:)" as text in `out`; false if neither. */
static bool key_read(const char *authorization, char out[KEY_BYTES_MAX])
{
    unsigned char raw[KEY_BYTES_MAX];
    size_t len;
    int n;

    out[0] = '\0';
    if (authorization == NULL || strlen(authorization) >= KEY_BYTES_MAX) {
        return false;
    }
    if (strncasecmp(authorization, "Bearer ", 7) == 0) {
        snprintf(out, KEY_BYTES_MAX, "%s", authorization + 7);
        return out[0] != '\0';
    }
    if (strncasecmp(authorization, "Basic ", 6) != 0) {
        return false;
    }
    len = strlen(authorization + 6);
    n = EVP_DecodeBlock(raw, (const unsigned char *)authorization + 6, (int)len);
    if (n < 0) {
        return false;
    }
    raw[n] = '\0';
    snprintf(out, KEY_BYTES_MAX, "%s", (const char *)raw);
    out[strcspn(out, ":")] = '\0';
    return out[0] != '\0';
}

static bool key_equal(const char *key, const char *expected)
{
    size_t len = strlen(expected);

    return strlen(key) == len && CRYPTO_memcmp(key, expected, len) == 0;
}

bool route_authorized(const struct route_table *table, struct call *call, const char *authorization)
{
    char key[KEY_BYTES_MAX];
    bool known = key_read(authorization, key);
    bool secret = known && key_equal(key, table->secret_key);
    bool publishable = known && strncmp(key, "pk_", 3) == 0;
    size_t len = strlen(key);

    if (secret || (publishable && strcmp(call->path, "/v1/payment_methods") == 0)) {
        OPENSSL_cleanse(key, sizeof(key));
        return true;
    }
    if (!known) {
        call_error(call, 401, TYPE_INVALID, NULL, NULL,
                   "You did not provide an API key. You need to provide your API key in the "
                   "Authorization header, using Bearer auth (e.g. 'Authorization: Bearer "
                   "YOUR_SECRET_KEY').");
    } else if (publishable) {
        call_error(call, 401, TYPE_INVALID, "secret_key_required", NULL,
                   "This API call cannot be made with a publishable API key. Please use a secret "
                   "API key.");
    } else {
        call_error(call, 401, TYPE_INVALID, NULL, NULL, "Invalid API Key provided: %.8s****%s",
                   len > 16 ? key : "", len > 16 ? key + len - 4 : "");
    }
    OPENSSL_cleanse(key, sizeof(key));
    return false;
}

enum verb {
    COLLECTION, /* /v1/things */
    OBJECT,     /* /v1/things/ID */
    ACTION      /* /v1/things/ID/action */
};

struct endpoint {
    const char *method, *things;
    enum verb verb;
    const char *action;
    void (*run)(struct call *call, struct store *store);
    void (*run_id)(struct call *call, struct store *store, const char *id);
    void (*run_events)(struct call *call, struct events *events);
    void (*run_event)(struct call *call, struct events *events, const char *id);
};

static const struct endpoint endpoints[] = {
    {"POST", "payment_intents", COLLECTION, NULL, .run = intents_create},
    {"GET", "payment_intents", COLLECTION, NULL, .run = intents_list},
    {"GET", "payment_intents", OBJECT, NULL, .run_id = intents_retrieve},
    {"POST", "payment_intents", ACTION, "confirm", .run_id = intents_confirm},
    {"POST", "payment_intents", ACTION, "cancel", .run_id = intents_cancel},
    {"POST", "payment_methods", COLLECTION, NULL, .run = methods_create},
    {"GET", "payment_methods", OBJECT, NULL, .run_id = methods_retrieve},
    {"POST", "refunds", COLLECTION, NULL, .run = refunds_create},
    {"GET", "refunds", COLLECTION, NULL, .run = refunds_list},
    {"GET", "refunds", OBJECT, NULL, .run_id = refunds_retrieve},
    {"GET", "charges", OBJECT, NULL, .run_id = charges_retrieve},
    {"GET", "events", COLLECTION, NULL, .run_events = events_list},
    {"GET", "events", OBJECT, NULL, .run_event = events_retrieve},
};

static void api_unknown(struct call *call)
{
    call_error(call, 404, TYPE_INVALID, NULL, NULL,
               "Unrecognized request URL (%s: %.200s). This sandbox implements a part of the "
               "Stripe API.",
               call->method, call->path);
}

/* Splits "/v1/things/id/action" into its parts, in place. */
static bool path_split(char *path, char **things, char **id, char **action)
{
    char *rest = path + strlen("/v1/");

    *things = strsep(&rest, "/");
    *id = strsep(&rest, "/");
    *action = strsep(&rest, "/");
    return rest == NULL && (*id == NULL || **id != '\0') && (*action == NULL || **action != '\0');
}

static void api_call(struct route_table *table, struct call *call)
{
    char path[256], *things, *id, *action;
    enum verb verb;

    if (snprintf(path, sizeof(path), "%s", call->path) >= (int)sizeof(path) ||
        !path_split(path, &things, &id, &action)) {
        api_unknown(call);
        return;
    }
    verb = action != NULL ? ACTION : id != NULL ? OBJECT : COLLECTION;
    for (size_t i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++) {
        const struct endpoint *e = &endpoints[i];

        if (e->verb != verb || strcmp(e->method, call->method) != 0 ||
            strcmp(e->things, things) != 0 || (verb == ACTION && strcmp(e->action, action) != 0)) {
            continue;
        }
        if (e->run != NULL) {
            e->run(call, table->store);
        } else if (e->run_id != NULL) {
            e->run_id(call, table->store, id);
        } else if (e->run_events != NULL) {
            e->run_events(call, table->events);
        } else {
            e->run_event(call, table->events, id);
        }
        return;
    }
    api_unknown(call);
}

static void health(const struct store *store, struct call *call)
{
    call->status = 200;
    writer_printf(&call->reply,
                  "{\"status\":\"ok\",\"intents\":%zu,\"captures\":%lld,\"refunds\":%zu,"
                  "\"lines\":%lld}\n",
                  store->intent_list.count, (long long)store->captures, store->refund_list.count,
                  (long long)store->seq);
}

static void control_call(struct route_table *table, struct call *call)
{
    bool get = strcmp(call->method, "GET") == 0;

    if (strcmp(call->path, "/sandbox/faults") == 0) {
        faults_handle(call, &table->faults);
    } else if (strcmp(call->path, "/sandbox/log") == 0 && get) {
        call->status = 200;
        call->send_log = true;
        call->content_type = "application/x-ndjson";
    } else if (strcmp(call->path, "/sandbox/health") == 0 && get) {
        health(table->store, call);
    } else {
        call_error(call, 404, TYPE_INVALID, NULL, NULL, "There is no %s %.200s", call->method,
                   call->path);
    }
}

void route_call(struct route_table *table, struct call *call)
{
    if (route_is_api(call)) {
        api_call(table, call);
    } else if (!pages_handle(table->pages, table->store, call)) {
        control_call(table, call);
    }
}
