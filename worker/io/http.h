/*
 * HTTP client: libcurl on the event loop.
 * Connections are kept alive and shared; at most `connections_max` requests run at once, the rest
 * wait in a bounded queue in order.
 */
#ifndef PAYLINK_IO_HTTP_H
#define PAYLINK_IO_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "../base/result.h"
#include "loop.h"

struct http;

struct http_request {
    const char *method; /* "GET" or "POST" */
    const char *url;
    const char *bearer;          /* secret key: sent as Authorization: Bearer; NULL: none */
    const char *idempotency_key; /* NULL: none */
    const char *api_version;     /* Stripe-Version; NULL: none */
    const char *body;            /* form-encoded unless a header says otherwise; NULL: none */
    const char *const *headers;  /* further lines "Name: value", the last one NULL; NULL: none */
    int64_t timeout_ms;          /* whole request, waiting in the queue not counted */
    int64_t start_before_ms;     /* clock_monotonic_ms(): not sent after this; 0: at any time */
};

enum http_outcome {
    HTTP_REPLIED,  /* status and body are there */
    HTTP_NOT_SENT, /* no connection, or too late: the server cannot have acted */
    HTTP_UNKNOWN   /* sent, perhaps in part; no whole reply: the server may have acted */
};

struct http_reply {
    enum http_outcome outcome;
    int status;
    const char *body; /* NUL-terminated, valid during the callback; at most HTTP_REPLY_BYTES_MAX */
    size_t body_len;
    int64_t retry_after_ms; /* from Retry-After, 0: none */
    const char *failure;    /* what libcurl says when not HTTP_REPLIED */
};

#define HTTP_REPLY_BYTES_MAX (4 * 1024 * 1024)

typedef void (*http_fn)(void *ctx, const struct http_reply *reply);

struct http *http_new(struct loop *loop, int64_t connections_max);
void http_free(
    struct http *http); /* running requests get HTTP_UNKNOWN, waiting ones HTTP_NOT_SENT */
/* Strings are copied. `fn` is called exactly once, never from inside http_send(). */
void http_send(struct http *http, const struct http_request *request, http_fn fn, void *ctx);

/* Form body builder: percent-encodes names and values. */
struct http_form;
struct http_form *http_form_new(void);
void http_form_add(struct http_form *form, const char *name, const char *value);
void http_form_add_int(struct http_form *form, const char *name, int64_t value);
const char *http_form_text(const struct http_form *form);
void http_form_free(struct http_form *form);

#endif
