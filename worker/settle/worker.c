/* `paylink worker`: builds the roles, wires them together, and ends them in order. */
#include "worker.h"

#include <stdlib.h>
#include <string.h>

#define LOG_AREA "worker"
#include "../base/log.h"
#include "../base/mem.h"
#include "../outbox/hydrate.h"
#include "../outbox/mail.h"
#include "../outbox/outbox.h"
#include "../outbox/renew.h"
#include "opens.h"
#include "reconcile.h"
#include "refund.h"
#include "settle.h"

#define REDIS_TIMEOUT_MS 5000
#define STOP_MS_MAX      8000 /* then what is in flight is left to the next worker */
#define STOP_TICK_MS     10

struct worker {
    const struct settings *settings;
    struct token_keys keys;
    char *gateway_secret, *redis_password, *mail_password;
    struct library *library;
    struct words *words;
    struct translated *letters; /* NULL: no mail is sent */
    struct publisher publisher;
    struct loop *loop;
    struct pg *pg;
    struct redis *redis;
    struct gateway *gateway;
    struct outbox *outbox;
    struct hydrate *hydrate;
    struct keep *opens, *renew;
    struct settle *settle;
    struct reconcile *reconcile;
    struct refund *refund;
    struct mail *mail; /* NULL: none is sent */
    struct loop_timer *deadline, *flushing;
};

static void on_redis_ready(void *arg)
{
    struct worker *w = arg;

    library_load(w->library, w->redis);
    if (w->outbox != NULL)
        outbox_kick(w->outbox);
}

static void on_notify(void *arg)
{
    struct worker *w = arg;

    refund_kick(w->refund);
    if (w->mail != NULL)
        mail_kick(w->mail);
}

static void on_payer_back(void *arg)
{
    struct worker *w = arg;

    reconcile_kick(w->reconcile);
}

/* Booked: the answers are published and the acknowledgements taken before it is over. */
static void on_flushing(void *arg)
{
    struct worker *w = arg;

    if (settle_flushed(w->settle) && !outbox_busy(w->outbox) &&
        (w->mail == NULL || mail_idle(w->mail)))
        loop_stop(w->loop);
    else
        loop_timer_arm(w->flushing, STOP_TICK_MS);
}

static void on_idle(void *arg)
{
    on_flushing(arg);
}

static void on_deadline(void *arg)
{
    struct worker *w = arg;

    log_warn("still in flight, left to the next worker");
    loop_stop(w->loop);
}

static void on_stop(void *arg)
{
    struct worker *w = arg;

    log_info("stopping: what is in flight is finished first");
    loop_timer_arm(w->deadline, STOP_MS_MAX);
    hydrate_stop(w->hydrate);
    keep_stop(w->opens);
    keep_stop(w->renew);
    refund_stop(w->refund);
    if (w->mail != NULL)
        mail_stop(w->mail);
    reconcile_stop(w->reconcile);
    settle_stop(w->settle);
}

static enum result read_mail_files(struct worker *w, struct error *err)
{
    const struct settings *s = w->settings;

    if (s->mail_url == NULL)
        return RESULT_OK;
    if (s->mail_password_file != NULL &&
        secret_load(s->mail_password_file, &w->mail_password, err) != RESULT_OK)
        return RESULT_FATAL;
    return letters_load(s->mail_dir, &w->letters, err);
}

/* Everything that can be wrong with the configuration is said before anything is started. */
static bool read_files(struct worker *w)
{
    const struct settings *s = w->settings;
    struct error err;
    char text[256];

    if (token_keys_load(s->key_file, &w->keys, text, sizeof text) != 0) {
        log_error("%s", text);
        return false;
    }
    if (secret_load(s->gateway_secret_key_file, &w->gateway_secret, &err) != RESULT_OK ||
        (s->redis_password_file != NULL && s->redis_password_file[0] != '\0' &&
         secret_load(s->redis_password_file, &w->redis_password, &err) != RESULT_OK) ||
        library_read(s->redis_functions_file, &w->library, &err) != RESULT_OK ||
        words_load(s->pages_dir, &w->words, &err) != RESULT_OK ||
        read_mail_files(w, &err) != RESULT_OK) {
        log_error("%s", err.text);
        return false;
    }
    return true;
}

static void start_io(struct worker *w, struct redis_options *connection)
{
    const struct settings *s = w->settings;
    struct gateway_options gateway = {
        .url = s->gateway_url,
        .secret_key = w->gateway_secret,
        .connections = s->gateway_connections,
        .timeout_ms = s->gateway_timeout_ms,
    };

    *connection = (struct redis_options){
        .socket = s->redis_socket,
        .user = s->redis_user,
        .password = w->redis_password,
        .timeout_ms = REDIS_TIMEOUT_MS,
        .on_ready = on_redis_ready,
        .ctx = w,
    };
    w->loop = loop_new();
    w->pg = pg_new(s->pg_conninfo, "paylink settle", s->pg_statement_timeout_ms);
    w->redis = redis_new(w->loop, connection);
    w->publisher = (struct publisher){w->redis, w->library, w->words, s->mail_url != NULL};
    w->gateway = gateway_new(w->loop, &gateway);
    w->deadline = loop_timer_new(w->loop, on_deadline, w);
    w->flushing = loop_timer_new(w->loop, on_flushing, w);
}

static void start_roles(struct worker *w, const struct redis_options *connection)
{
    const struct settings *s = w->settings;
    struct keep_options keep = {
        .settings = s, .pg = w->pg, .redis = w->redis, .connection = *connection};

    w->outbox = outbox_new(w->loop, &(struct outbox_options){s, &w->publisher, on_notify, w});
    w->hydrate = hydrate_new(
        w->loop, &(struct hydrate_options){s, &w->publisher, *connection, on_payer_back, w});
    w->opens = opens_new(w->loop, keep);
    w->renew = renew_new(w->loop, keep, &w->keys);
    w->reconcile =
        reconcile_new(w->loop, &(struct reconcile_options){s, w->pg, w->gateway, w->outbox});
    w->refund = refund_new(w->loop, &(struct refund_options){s, w->pg, w->gateway, w->outbox});
    w->settle = settle_new(w->loop, &(struct settle_options){.settings = s,
                                                             .keys = &w->keys,
                                                             .pg = w->pg,
                                                             .redis = w->redis,
                                                             .connection = *connection,
                                                             .gateway = w->gateway,
                                                             .outbox = w->outbox,
                                                             .on_idle = on_idle,
                                                             .ctx = w});
    if (w->letters != NULL)
        w->mail = mail_new(w->loop, &(struct mail_options){s, w->mail_password, &w->keys, w->words,
                                                           w->letters, w->pg});
}

/* Those who may still be called back go last. */
static void stop_all(struct worker *w)
{
    gateway_free(w->gateway);
    redis_free(w->redis);
    settle_free(w->settle);
    mail_free(w->mail);
    refund_free(w->refund);
    reconcile_free(w->reconcile);
    keep_free(w->opens);
    keep_free(w->renew);
    hydrate_free(w->hydrate);
    outbox_free(w->outbox);
    pg_free(w->pg);
    loop_timer_free(w->deadline);
    loop_timer_free(w->flushing);
    loop_free(w->loop);
}

static void forget(struct worker *w)
{
    token_keys_free(&w->keys);
    secret_free(w->gateway_secret);
    secret_free(w->redis_password);
    secret_free(w->mail_password);
    library_free(w->library);
    words_free(w->words);
    translated_free(w->letters);
}

int worker_command(const struct settings *s, int argc, char **argv)
{
    struct worker w = {.settings = s};
    struct redis_options connection;

    (void)argv;
    if (argc > 0) {
        log_error("worker takes no arguments");
        return 2;
    }
    if (!read_files(&w)) {
        forget(&w);
        return 4;
    }
    start_io(&w, &connection);
    start_roles(&w, &connection);
    log_info("worker %s started", s->worker_name);
    loop_run(w.loop, on_stop, &w);
    stop_all(&w);
    forget(&w);
    log_info("worker %s ended", s->worker_name);
    return 0;
}
