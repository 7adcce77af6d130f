/* Owns which events a change gives and their shape; knows nothing of delivering them. */
#include "events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"
#include "list.h"
#include "render.h"

static void event_add(struct events *events, const struct change *change, const char *type)
{
    if (events->count == events->size) {
        events->size = events->size == 0 ? 1024 : events->size * 2;
        events->items = mem_realloc(events->items, events->size * sizeof(events->items[0]));
    }
    events->items[events->count++] = (struct event){change, type};
}

static void add_intent(struct events *events, const struct change *change)
{
    const struct intent_state *state = &change->state;

    if (change->created) {
        event_add(events, change, "payment_intent.created");
    }
    switch (state->status) {
    case INTENT_SUCCEEDED:
        event_add(events, change, "charge.succeeded");
        event_add(events, change, "payment_intent.succeeded");
        break;
    case INTENT_CANCELED:
        event_add(events, change, "payment_intent.canceled");
        break;
    case INTENT_REQUIRES_ACTION:
        event_add(events, change, "payment_intent.requires_action");
        break;
    case INTENT_REQUIRES_PAYMENT_METHOD:
        if (state->failure != NULL && state->failure->network_status != NULL) {
            event_add(events, change, "charge.failed");
        }
        if (state->failure != NULL) {
            event_add(events, change, "payment_intent.payment_failed");
        }
        break;
    case INTENT_REQUIRES_CONFIRMATION:
        break;
    }
}

void events_add(struct events *events, const struct change *change)
{
    if (change->kind == CHANGE_INTENT) {
        add_intent(events, change);
    } else if (change->kind == CHANGE_REFUND && change->created) {
        event_add(events, change, "refund.created");
        if (change->refund_status != REFUND_FAILED) {
            event_add(events, change, "charge.refunded");
        }
    } else if (change->kind == CHANGE_REFUND) {
        event_add(events, change, "charge.refund.updated");
        event_add(events, change,
                  change->refund_status == REFUND_FAILED ? "refund.failed" : "refund.updated");
    }
}

struct events *events_new(struct store *store)
{
    struct events *events = mem_alloc(sizeof(*events));

    events->store = store;
    for (size_t i = 0; i < store->change_list.count; i++) {
        events_add(events, store->change_list.items[i]);
    }
    return events;
}

void events_free(struct events *events)
{
    if (events != NULL) {
        free(events->items);
        free(events);
    }
}

void event_id(const struct events *events, size_t number, char out[EVENT_ID_SIZE])
{
    snprintf(out, EVENT_ID_SIZE, "evt_1%s%012zu", events->store->account, number + 1);
}

static bool event_number(const struct events *events, const char *id, size_t *number)
{
    char again[EVENT_ID_SIZE];

    if (strlen(id) < 15) {
        return false;
    }
    *number = (size_t)strtoull(id + 15, NULL, 10) - 1;
    if (*number >= events->count) {
        return false;
    }
    event_id(events, *number, again);
    return strcmp(id, again) == 0;
}

static void render_object(struct writer *w, const struct events *events, const struct event *event)
{
    const struct change *change = event->change;
    const struct store *store = events->store;

    if (change->kind == CHANGE_REFUND) {
        if (strcmp(event->type, "charge.refunded") == 0) {
            render_charge(w, store, change->refund->charge, change->refunded_minor, 0);
        } else {
            render_refund(w, store, change->refund, change->refund_status, 0);
        }
    } else if (strncmp(event->type, "charge.", 7) == 0) {
        render_charge(w, store, change->state.charge, 0, 0);
    } else {
        render_intent(w, store, change->intent, &change->state, 0, 0);
    }
}

void event_render(struct writer *w, const struct events *events, size_t number)
{
    const struct event *event = &events->items[number];
    char id[EVENT_ID_SIZE];

    event_id(events, number, id);
    writer_raw(w, "{\"id\":");
    writer_text(w, id);
    writer_raw(w, ",\"object\":\"event\",\"api_version\":\"" RENDER_API_VERSION "\"");
    writer_put_int(w, "created", event->change->at_ms / 1000);
    writer_raw(w, ",\"data\":{\"object\":");
    render_object(w, events, event);
    writer_raw(w, "},\"livemode\":false,\"pending_webhooks\":0,\"request\":{\"id\":");
    writer_text(w, event->change->request);
    writer_put_text(w, "idempotency_key", event->change->idempotency_key);
    writer_raw(w, "}");
    writer_put_text(w, "type", event->type);
    writer_raw(w, "}");
}

/* `charge.*` matches every type of charges, as in Stripe's `type` parameter. */
static bool type_matches(const char *wanted, const char *type)
{
    size_t len = strlen(wanted);

    if (len >= 1 && wanted[len - 1] == '*') {
        return strncmp(wanted, type, len - 1) == 0;
    }
    return strcmp(wanted, type) == 0;
}

static bool event_match(const struct list *list, const void *item)
{
    const struct params *query = list->filter;
    const struct event *event = item;
    bool filtered = false;
    size_t len;

    for (size_t i = 0; i < query->count; i++) {
        if (strcmp(query->item[i].name, "type") == 0 ||
            params_key(&query->item[i], "types", &len) != NULL) {
            filtered = true;
            if (type_matches(query->item[i].value, event->type)) {
                return true;
            }
        }
    }
    return !filtered;
}

static const void *event_item(const void *ctx, size_t i)
{
    return &((const struct events *)ctx)->items[i];
}

static int64_t event_created(const void *item)
{
    return ((const struct event *)item)->change->at_ms / 1000;
}

static void event_list_render(struct writer *w, const struct list *list, const void *item)
{
    const struct events *events = list->ctx;

    event_render(w, events, (size_t)((const struct event *)item - events->items));
}

static bool event_position(const void *ctx, const char *id, size_t *position)
{
    return event_number(ctx, id, position);
}

void events_list(struct call *call, struct events *events)
{
    struct list list = {
        .url = "/v1/events",
        .what = "event",
        .known = {"type", "types[]"},
        .ctx = events,
        .count = events->count,
        .item = event_item,
        .created = event_created,
        .match = event_match,
        .render = event_list_render,
        .position = event_position,
        .filter = &call->query,
    };

    list_reply(call, &list);
}

void events_retrieve(struct call *call, struct events *events, const char *id)
{
    static const char *const known[] = {"expand[]", NULL};
    size_t number;

    if (!event_number(events, id, &number)) {
        call_missing(call, 404, "event", "id", id);
    } else if (call_known(call, &call->query, known)) {
        call->status = 200;
        event_render(&call->reply, events, number);
        writer_raw(&call->reply, "\n");
    }
}
