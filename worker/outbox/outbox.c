/* Drains the outbox into Redis. Knows nothing of gateways and of what the rows mean. */
#include "outbox.h"

#include <stdio.h>
#include <stdlib.h>

#include "../base/clock.h"
#define LOG_AREA "outbox"
#include "../base/failpoint.h"
#include "../base/log.h"
#include "../base/mem.h"
#include "publish.h"

#define LEASE_MS   6000 /* what a dead worker had claimed is published by another after this */
#define CLAIM_MAX  "500"
#define CLAIM_FULL 400 /* as many links and attempts: others may wait */
#define POLL_MS    1000
#define RETRY_MS   500
#define GATHER_MS  10

struct outbox {
    struct loop *loop;
    struct pg *pg; /* own: it also listens */
    const struct publisher *publisher;
    const char *worker;
    loop_fn on_notify;
    void *ctx;
    struct loop_timer *soon, *poll;
    struct loop_watch *watch;
    int watched_fd;
    bool publishing, again;
    bool kicked;              /* there may be rows */
    bool more;                /* the last claim was a full one */
    json_t *claimed;          /* {ids, links, attempts}: the rows on their way, or NULL */
    int64_t claimed_until_ms; /* monotonic */
};

static void on_socket(void *arg, int fd, bool readable, bool writable);

/* The connection may be another one after any call. */
static void watch_again(struct outbox *o)
{
    int fd = pg_socket(o->pg);

    if (fd == o->watched_fd)
        return;
    loop_watch_free(o->watch);
    o->watch = fd >= 0 ? loop_watch_new(o->loop, fd, true, false, on_socket, o) : NULL;
    o->watched_fd = fd;
}

static enum result call(struct outbox *o, const char *function, const char *const *params, int n,
                        json_t **out)
{
    struct error err;
    enum result result;

    /* Reconnecting may give the same number to another socket. */
    result = pg_call(o->pg, function, params, n, out, &err);
    if (result != RESULT_OK) {
        loop_watch_free(o->watch);
        o->watch = NULL;
        o->watched_fd = -1;
        log_warn("%s", err.text);
    }
    watch_again(o);
    if (pg_notified(o->pg))
        o->again = true;
    return result;
}

static json_t *snapshots(struct outbox *o, const char *function, const json_t *ids, bool *ok)
{
    const char *params[1];
    json_t *found = NULL;
    char *text;

    if (json_array_size(ids) == 0)
        return NULL;
    text = json_text(ids);
    params[0] = text;
    if (call(o, function, params, 1, &found) != RESULT_OK)
        *ok = false;
    free(text);
    return found;
}

static void forget(struct outbox *o)
{
    json_decref(o->claimed);
    o->claimed = NULL;
}

static void on_published(void *arg, bool ok)
{
    struct outbox *o = arg;
    const char *params[1];
    char *ids;

    o->publishing = false;
    if (ok) {
        FAILPOINT("outbox.before_done");
        ids = json_text(json_object_get(o->claimed, "ids"));
        params[0] = ids;
        (void)!call(o, "paylink.outbox_done", params, 1,
                    NULL); /* published again if this is lost */
        free(ids);
        forget(o);
    }
    if (!ok)
        loop_timer_arm(o->soon, RETRY_MS);
    else if (o->again || o->more)
        loop_timer_arm(o->soon, o->more ? 0 : GATHER_MS);
    else
        o->kicked = false;
}

static void publish(struct outbox *o)
{
    json_t *links, *attempts;
    bool ok = true;

    links = snapshots(o, "paylink.link_snapshot", json_object_get(o->claimed, "links"), &ok);
    attempts =
        snapshots(o, "paylink.attempt_snapshot", json_object_get(o->claimed, "attempts"), &ok);
    o->publishing = true;
    if (ok)
        publish_send(o->publisher, &(struct publish_set){.links = links, .attempts = attempts},
                     on_published, o);
    else
        on_published(o, false);
    json_decref(links);
    json_decref(attempts);
}

/* True if rows were claimed. */
static bool claim(struct outbox *o)
{
    char lease_ms[16];
    const char *params[] = {o->worker, lease_ms, CLAIM_MAX};
    json_t *claimed = NULL;

    snprintf(lease_ms, sizeof lease_ms, "%d", LEASE_MS);
    o->claimed_until_ms = clock_monotonic_ms() + LEASE_MS;
    if (call(o, "paylink.outbox_claim", params, 3, &claimed) != RESULT_OK) {
        loop_timer_arm(o->soon, RETRY_MS);
        return false;
    }
    if (json_array_size(json_object_get(claimed, "ids")) > 0) {
        o->claimed = claimed;
        o->more = json_array_size(json_object_get(claimed, "links")) +
                      json_array_size(json_object_get(claimed, "attempts")) >=
                  CLAIM_FULL;
        return true;
    }
    json_decref(claimed);
    o->kicked = o->again;
    if (o->again)
        loop_timer_arm(o->soon, 0);
    return false;
}

static void drain(struct outbox *o)
{
    if (o->publishing) {
        o->again = true;
        return;
    }
    o->again = false;
    if (!redis_ready(o->publisher->redis)) {
        loop_timer_arm(o->soon, RETRY_MS);
        return;
    }
    /* What could not be published is tried again as long as it is ours. */
    if (o->claimed != NULL && clock_monotonic_ms() >= o->claimed_until_ms)
        forget(o);
    if (o->claimed != NULL || claim(o))
        publish(o);
}

static void on_soon(void *arg)
{
    drain(arg);
}

static void on_poll(void *arg)
{
    struct outbox *o = arg;

    loop_timer_arm(o->poll, POLL_MS);
    if (!o->publishing && o->claimed == NULL)
        drain(o);
}

static void on_socket(void *arg, int fd, bool readable, bool writable)
{
    struct outbox *o = arg;

    (void)fd;
    (void)readable;
    (void)writable;
    if (!pg_notified(o->pg)) {
        watch_again(o); /* the connection may have ended */
        return;
    }
    outbox_hint(o);
    if (o->on_notify != NULL)
        o->on_notify(o->ctx);
}

struct outbox *outbox_new(struct loop *loop, const struct outbox_options *options)
{
    struct outbox *o = mem_alloc(sizeof *o);

    o->loop = loop;
    o->pg = pg_new(options->settings->pg_conninfo, "paylink outbox",
                   options->settings->pg_statement_timeout_ms);
    pg_listen(o->pg, "paylink_outbox");
    pg_listen(o->pg, "paylink_refund");
    pg_listen(o->pg, "paylink_mail");
    o->publisher = options->publisher;
    o->worker = options->settings->worker_name;
    o->on_notify = options->on_notify;
    o->ctx = options->ctx;
    o->watched_fd = -1;
    o->soon = loop_timer_new(loop, on_soon, o);
    o->poll = loop_timer_new(loop, on_poll, o);
    loop_timer_arm(o->poll, 0);
    return o;
}

void outbox_free(struct outbox *o)
{
    if (o == NULL)
        return;
    loop_watch_free(o->watch);
    loop_timer_free(o->soon);
    loop_timer_free(o->poll);
    pg_free(o->pg);
    forget(o);
    free(o);
}

void outbox_kick(struct outbox *o)
{
    o->kicked = true;
    if (o->publishing)
        o->again = true;
    else
        loop_timer_arm(o->soon, 0);
}

void outbox_hint(struct outbox *o)
{
    if (o->publishing)
        o->again = true;
    else if (!o->kicked)
        loop_timer_arm(o->soon, GATHER_MS);
    o->kicked = true;
}

bool outbox_busy(const struct outbox *o)
{
    return o->kicked || o->publishing || o->claimed != NULL;
}
