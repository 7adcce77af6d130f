/* Events: what each change looks like to webhooks and to GET /v1/events. */
#ifndef PAYLINK_SANDBOX_EVENTS_H
#define PAYLINK_SANDBOX_EVENTS_H

#include "call.h"
#include "store.h"

#define EVENT_ID_SIZE 40

struct event {
    const struct change *change;
    const char *type; /* constant, "payment_intent.succeeded" */
};

struct events {
    struct store *store;
    struct event *items; /* in order; an event's number is its place here */
    size_t count, size;
};

/* With the events of all changes so far. */
struct events *events_new(struct store *store);
void events_free(struct events *events);
/* Adds the events of a change. */
void events_add(struct events *events, const struct change *change);

void event_id(const struct events *events, size_t number, char out[EVENT_ID_SIZE]);
void event_render(struct writer *w, const struct events *events, size_t number);

void events_list(struct call *call, struct events *events);
void events_retrieve(struct call *call, struct events *events, const char *id);

#endif
