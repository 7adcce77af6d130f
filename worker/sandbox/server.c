/* Owns the listening socket, libmicrohttpd and the group commit; knows nothing of requests'
 * meaning. */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../base/mem.h"
#include "exchange.h"

#define LOG_AREA "sandbox"
#include "../base/log.h"

#define TURNS_MAX 8 /* before other events of the loop get their chance */
/* libmicrohttpd clears all of it after every request: a third of the time with 96 KiB. */
#define CONNECTION_MEMORY_BYTES (16 * 1024)

struct server {
    struct MHD_Daemon *daemon;
    struct loop *loop;
    struct loop_watch *watch;
    struct loop_timer *timer;
    struct route_table *table;
    struct exchange *waiting;            /* suspended until the next sync */
    struct exchange *sleeping;           /* suspended by a fault's delay */
    struct idempotency_running *running; /* requests with a key that are being worked on */
    bool stopping;
};

/* A fault's delay is over. */
static void exchange_wake(void *ctx)
{
    struct exchange *ex = ctx, **at = &ex->server->sleeping;

    while (*at != ex) {
        at = &(*at)->next;
    }
    *at = ex->next;
    ex->next = NULL;
    loop_timer_disarm(ex->timer);
    MHD_resume_connection(ex->connection);
    loop_timer_arm(ex->server->timer, 0);
    /* The daemon does not wake its epoll descriptor for this: without a turn of ours the reply
     * would wait for the next request. */
    loop_timer_arm(ex->server->timer, 0);
}

static void exchange_sleep(struct server *server, struct exchange *ex, enum exchange_stage stage)
{
    ex->stage = stage;
    if (ex->timer == NULL) {
        ex->timer = loop_timer_new(server->loop, exchange_wake, ex);
    }
    loop_timer_arm(ex->timer, ex->fault.delay_ms);
    ex->server = server;
    ex->next = server->sleeping;
    server->sleeping = ex;
    MHD_suspend_connection(ex->connection);
}

/* True if a fault makes the exchange wait first. */
static bool delay_before(const struct exchange *ex)
{
    return ex->fault.delay_ms > 0 &&
           (ex->fault.kind == FAULT_DELAY || ex->fault.kind == FAULT_DROP_BEFORE ||
            ex->fault.kind == FAULT_STATUS);
}

static bool delay_after(const struct exchange *ex)
{
    return ex->fault.delay_ms > 0 &&
           (ex->fault.kind == FAULT_DELAY_AFTER || ex->fault.kind == FAULT_DROP_AFTER ||
            ex->fault.kind == FAULT_STATUS_AFTER);
}

/* Moves the exchange as far as it goes now. */
static enum MHD_Result exchange_step(struct server *server, struct exchange *ex)
{
    const struct charge_log *log = server->table->store->log;

    if (ex->stage == EXCHANGE_READING) {
        exchange_begin(ex, server->table, &server->running);
        if (delay_before(ex) && !server->stopping) {
            exchange_sleep(server, ex, EXCHANGE_DELAYED);
            return MHD_YES;
        }
        ex->stage = EXCHANGE_DELAYED;
    }
    if (ex->stage == EXCHANGE_DELAYED) {
        exchange_work(ex, server->table, &server->running);
        /* Whatever this reply tells, also of another request's change, must be on disk first. */
        if (charge_log_dirty(log)) {
            ex->next = server->waiting;
            server->waiting = ex;
            MHD_suspend_connection(ex->connection);
            return MHD_YES;
        }
    }
    if (ex->stage == EXCHANGE_WORKED && delay_after(ex) && !server->stopping) {
        exchange_sleep(server, ex, EXCHANGE_HELD);
        return MHD_YES;
    }
    ex->stage = EXCHANGE_READY;
    return exchange_reply(ex, log);
}

static void *on_uri(void *cls, const char *uri, struct MHD_Connection *connection)
{
    (void)cls;
    (void)connection;
    return exchange_new(uri);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **con_cls)
{
    struct exchange *ex = *con_cls;

    (void)url;
    (void)version;
    if (ex->connection == NULL) {
        ex->connection = connection;
        ex->call.method = strcmp(method, MHD_HTTP_METHOD_HEAD) == 0 ? MHD_HTTP_METHOD_GET : method;
        return MHD_YES;
    }
    if (*upload_size > 0) {
        if (ex->body.len + *upload_size > SERVER_BODY_BYTES_MAX) {
            ex->too_large = true;
        } else {
            writer_bytes(&ex->body, upload, *upload_size);
        }
        *upload_size = 0;
        return MHD_YES;
    }
    return exchange_step(cls, ex);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                         enum MHD_RequestTerminationCode code)
{
    struct server *server = cls;

    (void)connection;
    (void)code;
    if (*con_cls != NULL) {
        exchange_free(*con_cls, &server->running);
        *con_cls = NULL;
    }
}

/* The path is compared as it was sent: "%2e" is not ".". */
static size_t on_unescape(void *cls, struct MHD_Connection *connection, char *text)
{
    (void)cls;
    (void)connection;
    return strlen(text);
}

static void server_commit(struct server *server)
{
    struct exchange *ex = server->waiting;

    if (charge_log_dirty(server->table->store->log)) {
        charge_log_sync(server->table->store->log);
    }
    server->waiting = NULL;
    while (ex != NULL) {
        struct exchange *next = ex->next;

        ex->next = NULL;
        MHD_resume_connection(ex->connection);
        ex = next;
    }
}

static void server_turn(struct server *server)
{
    MHD_UNSIGNED_LONG_LONG wait_ms;
    int turns = 0;

    do {
        MHD_run(server->daemon);
        if (server->waiting == NULL && !charge_log_dirty(server->table->store->log)) {
            break;
        }
        server_commit(server);
    } while (++turns < TURNS_MAX);
    if (turns == TURNS_MAX) {
        loop_timer_arm(server->timer, 0);
    } else if (MHD_get_timeout(server->daemon, &wait_ms) == MHD_YES) {
        loop_timer_arm(server->timer, (int64_t)wait_ms);
    } else {
        loop_timer_disarm(server->timer);
    }
}

static void on_timer(void *ctx)
{
    server_turn(ctx);
}

static void on_readable(void *ctx, int fd, bool readable, bool writable)
{
    (void)fd;
    (void)readable;
    (void)writable;
    server_turn(ctx);
}

static void __attribute__((format(printf, 2, 0)))
on_mhd_log(void *cls, const char *fmt, va_list args)
{
    char text[512];
    size_t len;

    (void)cls;
    vsnprintf(text, sizeof(text), fmt, args);
    len = strlen(text);
    if (len > 0 && text[len - 1] == '\n') {
        text[len - 1] = '\0';
    }
    log_debug("http: %s", text);
}

/* A listening socket of our own, so that a port in use is a clear message. */
static int socket_open(const char *listen_text, struct error *err)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
                             .ai_socktype = SOCK_STREAM};
    const char *colon = strrchr(listen_text, ':');
    struct addrinfo *found = NULL;
    char host[128];
    int fd = -1, on = 1;

    snprintf(host, sizeof(host), "%.*s", colon != NULL ? (int)(colon - listen_text) : 0,
             listen_text);
    if (host[0] == '[' && host[strlen(host) - 1] == ']') {
        host[strlen(host) - 1] = '\0';
        memmove(host, host + 1, strlen(host));
    }
    if (colon == NULL || getaddrinfo(host, colon + 1, &hints, &found) != 0) {
        error_set(err, RESULT_FATAL, "listen", "sandbox listen %s: not ADDRESS:PORT", listen_text);
        return -1;
    }
    fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, 1024) != 0) {
        error_set(err, RESULT_FATAL, "listen", "sandbox listen %s: %s", listen_text,
                  strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

enum result server_new(struct loop *loop, const char *listen_text, struct route_table *table,
                       struct server **out, struct error *err)
{
    struct server *server;
    const union MHD_DaemonInfo *info;
    int fd = socket_open(listen_text, err);

    if (fd < 0) {
        return RESULT_FATAL;
    }
    server = mem_alloc(sizeof(*server));
    server->loop = loop;
    server->table = table;
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request,
        server, MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)SERVER_CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY_BYTES,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)SERVER_IDLE_SECONDS, MHD_OPTION_STRICT_FOR_CLIENT,
        1, MHD_OPTION_URI_LOG_CALLBACK, on_uri, server, MHD_OPTION_UNESCAPE_CALLBACK, on_unescape,
        NULL, MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_END);
    info = server->daemon != NULL ? MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD)
                                  : NULL;
    if (info == NULL) {
        close(fd);
        free(server);
        return error_set(err, RESULT_FATAL, "listen", "the HTTP server does not start");
    }
    server->timer = loop_timer_new(loop, on_timer, server);
    server->watch = loop_watch_new(loop, info->epoll_fd, true, false, on_readable, server);
    *out = server;
    return RESULT_OK;
}

void server_free(struct server *server)
{
    if (server == NULL) {
        return;
    }
    /* No connection may be suspended when the daemon stops. */
    server->stopping = true;
    while (server->sleeping != NULL) {
        exchange_wake(server->sleeping);
    }
    do {
        server_commit(server);
        MHD_run(server->daemon);
    } while (server->waiting != NULL);
    loop_watch_free(server->watch);
    loop_timer_free(server->timer);
    MHD_stop_daemon(server->daemon);
    free(server);
}
