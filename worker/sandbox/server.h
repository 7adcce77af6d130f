/*
 * HTTP for the sandbox: libmicrohttpd on the event loop, one thread. Replies that tell of a change
 * wait for the charge log's next sync; one sync serves all requests of a turn of the loop.
 */
#ifndef PAYLINK_SANDBOX_SERVER_H
#define PAYLINK_SANDBOX_SERVER_H

#include "../base/result.h"
#include "../io/loop.h"
#include "route.h"

#define SERVER_CONNECTIONS_MAX 4096
#define SERVER_BODY_BYTES_MAX  (64 * 1024)
#define SERVER_IDLE_SECONDS    120

struct server;

/* `listen` is "ADDRESS:PORT" ("[ADDRESS]:PORT" for IPv6); `table` is borrowed. */
enum result server_new(struct loop *loop, const char *listen, struct route_table *table,
                       struct server **out, struct error *err) MUST_CHECK;
void server_free(struct server *server);

#endif
