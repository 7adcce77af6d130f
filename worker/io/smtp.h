/* Hands finished mails to a mail server: libcurl's SMTP on the event loop. */
#ifndef PAYLINK_IO_SMTP_H
#define PAYLINK_IO_SMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop.h"

struct smtp;

struct smtp_options {
    const char *url;             /* smtp(s)://host[:port] */
    const char *from;            /* sender of the envelope; its domain is said to the server */
    const char *user, *password; /* NULL: none */
    bool starttls; /* nothing goes to an smtp:// server before the connection is encrypted */
    int64_t connections, timeout_ms;
};

enum smtp_outcome {
    SMTP_SENT,   /* the server has taken the mail over */
    SMTP_RETRY,  /* not reached, or not now (4xx), or it does not let us in */
    SMTP_REFUSED /* never (5xx) */
};

/* `answer` is the last line of the server, or what is wrong with the connection. */
typedef void (*smtp_fn)(void *ctx, enum smtp_outcome outcome, const char *answer);

/* The options' strings are borrowed. */
struct smtp *smtp_new(struct loop *loop, const struct smtp_options *options);
void smtp_free(struct smtp *smtp); /* mails on their way get SMTP_RETRY */
/* `mail` is taken. `fn` is called exactly once, never from inside smtp_send(). `to` is an address
 * that a header may contain. */
void smtp_send_take(struct smtp *smtp, const char *to, char *mail, size_t len, smtp_fn fn,
                    void *ctx);

#endif
