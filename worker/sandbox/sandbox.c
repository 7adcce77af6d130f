/* Owns starting and stopping the sandbox: the order in which its parts come and go. */
#include "sandbox.h"

#include <stdio.h>
#include <string.h>

#include "../base/mem.h"
#include "../io/loop.h"
#include "events.h"
#include "refunds.h"
#include "route.h"
#include "server.h"
#include "store.h"
#include "webhooks.h"

#define LOG_AREA "sandbox"
#include "../base/log.h"

#define EXIT_STATUS_USAGE 2
#define EXIT_STATUS_START 4

struct sandbox {
    struct loop *loop;
    struct route_table table;
    struct server *server;
    struct webhooks *webhooks;  /* NULL: no URL */
    struct loop_timer *refunds; /* for results that come later */
    char *secret_key, *webhook_secret;
};

static void on_refunds(void *ctx)
{
    struct sandbox *sandbox = ctx;
    struct charge_log *log = sandbox->table.store->log;

    if (refunds_settle_later(sandbox->table.store) > 0) {
        loop_timer_arm(sandbox->refunds, REFUND_LATER_MS);
    }
    if (charge_log_dirty(log)) {
        charge_log_sync(log);
    }
}

static void on_change(void *ctx, const struct change *change)
{
    struct sandbox *sandbox = ctx;

    events_add(sandbox->table.events, change);
    if (sandbox->webhooks != NULL) {
        webhooks_wake(sandbox->webhooks);
    }
    if (change->kind == CHANGE_REFUND && change->refund->later) {
        loop_timer_arm(sandbox->refunds, REFUND_LATER_MS);
    }
}

static void on_stop(void *ctx)
{
    loop_stop(((struct sandbox *)ctx)->loop);
}

static enum result secrets_load(const struct settings *s, struct sandbox *sandbox,
                                struct error *err)
{
    enum result r = secret_load(s->gateway_secret_key_file, &sandbox->secret_key, err);

    if (r == RESULT_OK && s->sandbox_webhook_secret_file != NULL) {
        r = secret_load(s->sandbox_webhook_secret_file, &sandbox->webhook_secret, err);
    }
    sandbox->table.secret_key = sandbox->secret_key;
    return r;
}

static enum result sandbox_start(const struct settings *s, struct sandbox *sandbox,
                                 struct error *err)
{
    struct route_table *table = &sandbox->table;
    enum result r = secrets_load(s, sandbox, err);

    if (r == RESULT_OK) {
        r = pages_load(s, &table->pages, err);
    }
    if (r == RESULT_OK) {
        r = store_open(s->sandbox_data_dir, &table->store, err);
    }
    if (r != RESULT_OK) {
        return r;
    }
    table->store->public_url = s->sandbox_public_url;
    table->events = events_new(table->store);
    r = server_new(sandbox->loop, s->sandbox_listen, table, &sandbox->server, err);
    if (r != RESULT_OK) {
        return r;
    }
    sandbox->refunds = loop_timer_new(sandbox->loop, on_refunds, sandbox);
    loop_timer_arm(sandbox->refunds, REFUND_LATER_MS);
    if (s->sandbox_webhook_url != NULL) {
        sandbox->webhooks = webhooks_new(sandbox->loop, table->events, s->sandbox_webhook_url,
                                         sandbox->webhook_secret);
    }
    table->store->on_change = on_change;
    table->store->ctx = sandbox;
    return RESULT_OK;
}

static void sandbox_end(struct sandbox *sandbox)
{
    server_free(sandbox->server);
    webhooks_free(sandbox->webhooks);
    if (sandbox->refunds != NULL) {
        loop_timer_free(sandbox->refunds);
    }
    if (sandbox->table.store != NULL && charge_log_dirty(sandbox->table.store->log)) {
        charge_log_sync(sandbox->table.store->log);
    }
    events_free(sandbox->table.events);
    if (sandbox->table.store != NULL) {
        store_free(sandbox->table.store);
    }
    pages_free(sandbox->table.pages);
    secret_free(sandbox->secret_key);
    secret_free(sandbox->webhook_secret);
    loop_free(sandbox->loop);
}

int sandbox_command(const struct settings *s, int argc, char **argv)
{
    struct sandbox sandbox = {0};
    struct error err = {"", ""};

    if (argc > 0) {
        fprintf(stderr, "paylink sandbox: unexpected argument %s\n", argv[0]);
        return EXIT_STATUS_USAGE;
    }
    sandbox.loop = loop_new();
    if (sandbox_start(s, &sandbox, &err) != RESULT_OK) {
        log_error("%s", err.text);
        sandbox_end(&sandbox);
        return EXIT_STATUS_START;
    }
    log_info("listening on %s", s->sandbox_listen);
    loop_run(sandbox.loop, on_stop, &sandbox);
    log_info("stopping");
    sandbox_end(&sandbox);
    return 0;
}
