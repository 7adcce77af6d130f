/*
 * One API request and its reply, as the endpoints see them: no sockets, no threads, no waiting.
 */
#ifndef PAYLINK_SANDBOX_CALL_H
#define PAYLINK_SANDBOX_CALL_H

#include <stdbool.h>
#include <stddef.h>

#include "params.h"
#include "store.h"
#include "writer.h"

/* Objects that the caller wants inside others instead of their ids (`expand[]`). */
enum {
    EXPAND_CHARGE = 1, /* latest_charge, charge */
    EXPAND_METHOD = 2, /* payment_method */
    EXPAND_INTENT = 4  /* payment_intent */
};

struct call {
    /* request */
    const char *method; /* "GET", "POST", "DELETE" */
    const char *path;   /* as sent: not decoded, no query */
    struct params query;
    struct params form;
    bool form_json; /* the body is JSON: `body`, and no form */
    const char *body;
    size_t body_len;
    const char *accept_language; /* the header, or NULL */
    char request[REQUEST_ID_SIZE];
    struct saved_reply *save;    /* with an Idempotency-Key: where the outcome goes, owned */
    const struct decline *fault; /* a fault switch: decline, whatever the card */

    /* reply */
    int status; /* 0: none yet */
    struct writer reply;
    const char *content_type;  /* constant; NULL: application/json */
    char *location;            /* for redirects, owned */
    char *content_security;    /* policy of a page, owned */
    bool immutable;            /* a static file that may be kept */
    bool send_log;             /* the reply is the charge log itself */
    const char *allow;         /* methods, with 405 */
    const char *replayed_from; /* request id of the first request with this key */
};

#define TYPE_INVALID     "invalid_request_error"
#define TYPE_CARD        "card_error"
#define TYPE_IDEMPOTENCY "idempotency_error"
#define TYPE_API         "api_error"

/* Replies with an error object. `code` and `param` may be NULL. */
void call_error(struct call *call, int status, const char *type, const char *code,
                const char *param, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* The same for a refusal that depends on the state of things: saved under the key, if any. */
void call_refuse(struct call *call, struct store *store, int status, const char *code,
                 const char *param, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* 404 (or 400 when it was named in a parameter): no object `what` with this id. */
void call_missing(struct call *call, int status, const char *what, const char *param,
                  const char *id);

/* False after replying 400 when a parameter is not in the list (see params_unknown). */
bool call_known(struct call *call, const struct params *params, const char *const *known);
/* False after replying 400: not a boolean ("true" or "false"). Absent: *out unchanged. */
bool call_bool(struct call *call, const char *name, bool *out);
/* False after replying 400: names something unknown. `*expand` gets EXPAND_… bits. In lists
 * (`prefix` "data.") the names start with it. */
bool call_expand(struct call *call, const struct params *params, const char *prefix,
                 unsigned *expand);

/* Gives the saved reply away, to store_apply(); NULL without a key. */
struct saved_reply *call_save_take(struct call *call, int status, unsigned expand);

#endif
