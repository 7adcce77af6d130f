/* One HTTP request on its way: read, maybe delayed by a fault, worked on, synced, answered. */
#ifndef PAYLINK_SANDBOX_EXCHANGE_H
#define PAYLINK_SANDBOX_EXCHANGE_H

#include <microhttpd.h>

#include "../io/loop.h"
#include "call.h"
#include "faults.h"
#include "idempotency.h"
#include "route.h"

enum exchange_stage {
    EXCHANGE_READING,
    EXCHANGE_DELAYED, /* by a fault, before the work */
    EXCHANGE_WORKED,  /* the reply is made, but may not be told yet */
    EXCHANGE_HELD,    /* by a fault, after the work */
    EXCHANGE_READY
};

struct server;

struct server;

struct exchange {
    struct call call;
    struct MHD_Connection *connection; /* NULL until its headers are read */
    struct exchange *next;             /* in one of the server's lists */
    enum exchange_stage stage;
    bool too_large;
    bool drop; /* close the connection instead of replying */
    char *uri;
    struct writer body;
    struct fault fault;
    struct idempotency_running running;
    struct loop_timer *timer; /* of a fault's delay */
    struct server *server;    /* set while it is delayed */
};

struct exchange *exchange_new(const char *uri);
/* `running` is the server's list of requests with an idempotency key. */
void exchange_free(struct exchange *ex, struct idempotency_running **running);

/* Once the request is whole: parses it, checks the key, takes a fault. The reply may be made then.
 */
void exchange_begin(struct exchange *ex, struct route_table *table,
                    struct idempotency_running **running);
/* The work itself, unless a reply or a drop is already certain. */
void exchange_work(struct exchange *ex, struct route_table *table,
                   struct idempotency_running **running);
/* Queues the reply; MHD_NO closes the connection. */
enum MHD_Result exchange_reply(struct exchange *ex, const struct charge_log *log);

#endif
