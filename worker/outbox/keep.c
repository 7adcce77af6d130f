/* From a stream into SQL. Knows neither what the entries mean nor what follows from them. */
#include "keep.h"

#include <stdlib.h>

#define LOG_AREA "keep"
#include "../base/failpoint.h"
#include "../base/log.h"
#include "../base/mem.h"

#define ROOM     500
#define RETRY_MS 500

struct keep {
    struct keep_options options;
    struct stream *stream;
    struct loop_timer *retry;
    struct stream_entry **waiting; /* read, not yet in PostgreSQL */
    size_t count, room;
};

static enum result send_batch(struct keep *k, struct stream_entry **entries, size_t n,
                              struct error *err)
{
    json_t *batch = json_array();
    const char *params[1];
    enum result result;
    char *text;

    for (size_t i = 0; i < n; i++)
        json_array_append_new(batch, k->options.fn(k->options.ctx, entries[i]));
    text = json_text(batch);
    params[0] = text;
    result = pg_call(k->options.pg, k->options.function, params, 1, NULL, err);
    free(text);
    json_decref(batch);
    return result;
}

/* A batch with an entry that SQL rejects is taken apart. What the database misses waits on. */
static void keep_apart(struct keep *k)
{
    size_t left = 0;

    for (size_t i = 0; i < k->count; i++) {
        struct error err;
        enum result result = send_batch(k, &k->waiting[i], 1, &err);

        if (result == RESULT_OK)
            stream_ack(k->stream, &k->waiting[i], 1);
        else if (result == RESULT_REJECTED)
            stream_dead(k->stream, k->waiting[i], err.text);
        else
            k->waiting[left++] = k->waiting[i];
    }
    k->count = left;
}

static void pass_on(struct keep *k)
{
    struct error err;
    enum result result;

    if (k->count > 0)
        FAILPOINT(k->options.failpoint);
    result = send_batch(k, k->waiting, k->count, &err);
    if (result == RESULT_FATAL)
        fatal("%s: %s", k->options.function, err.text);
    if (result == RESULT_REJECTED)
        keep_apart(k);
    if (result == RESULT_RETRY)
        log_warn("%s: %s", k->options.function, err.text);
    if (result == RESULT_RETRY || (result == RESULT_REJECTED && k->count > 0)) {
        stream_pause(k->stream, true);
        loop_timer_arm(k->retry, RETRY_MS);
        return;
    }
    if (k->count > 0)
        stream_ack(k->stream, k->waiting, k->count);
    k->count = 0;
    stream_pause(k->stream, false);
}

static void on_retry(void *arg)
{
    struct keep *k = arg;

    pass_on(k);
}

static void on_entries(void *arg, struct stream_entry **entries, size_t n)
{
    struct keep *k = arg;

    if (k->count + n > k->room) {
        k->room = (k->count + n) * 2;
        k->waiting = mem_realloc(k->waiting, k->room * sizeof(struct stream_entry *));
    }
    for (size_t i = 0; i < n; i++) {
        json_t *object = k->options.fn(k->options.ctx, entries[i]);

        if (object != NULL)
            k->waiting[k->count++] = entries[i];
        else
            stream_dead(k->stream, entries[i], "is not what it should be");
        json_decref(object);
    }
    if (k->count > 0)
        loop_timer_arm(k->retry, 0);
}

struct keep *keep_new(struct loop *loop, const struct keep_options *options)
{
    struct keep *k = mem_alloc(sizeof *k);
    struct stream_options stream = {
        .kind = options->kind,
        .consumer = options->settings->worker_name,
        .claim_idle_ms = options->settings->worker_claim_idle_ms,
        .room = ROOM,
        .redis = options->redis,
        .connection = options->connection,
        .fn = on_entries,
        .ctx = k,
    };

    k->options = *options;
    k->retry = loop_timer_new(loop, on_retry, k);
    k->stream = stream_new(loop, &stream);
    stream_pause(k->stream, true); /* until the database has answered */
    loop_timer_arm(k->retry, 0);
    return k;
}

void keep_stop(struct keep *k)
{
    stream_stop(k->stream);
}

void keep_free(struct keep *k)
{
    if (k == NULL)
        return;
    stream_free(k->stream);
    loop_timer_free(k->retry);
    free(k->waiting);
    free(k);
}
