/* Books facts in batches. What follows from one is decided by SQL. */
#include "booking.h"

#include <stdlib.h>

#include "../base/failpoint.h"
#define LOG_AREA "booking"
#include "../base/log.h"
#include "../base/mem.h"

#define BATCH_MAX 100
#define FACTS_MAX 2000 /* while the database is away; the gateway is asked for the others again */

struct booking {
    struct booking_options options;
    struct loop_timer *soon;
    json_t *facts;
};

static enum result send_batch(struct booking *b, const json_t *facts, struct error *err)
{
    char *text = json_text(facts);
    const char *params[3] = {b->options.worker, text, b->options.receipts};
    int from = b->options.worker == NULL ? 1 : 0, to = b->options.receipts == NULL ? 2 : 3;
    enum result result;

    result = pg_call(b->options.pg, b->options.function, params + from, to - from, NULL, err);
    free(text);
    return result;
}

/* As of an attempt that SQL has never heard of. */
static void send_apart(struct booking *b)
{
    json_t *kept = json_array(), *fact;
    size_t i;

    json_array_foreach (b->facts, i, fact) {
        json_t *one = json_array();
        struct error err;
        enum result result;

        json_array_append(one, fact);
        result = send_batch(b, one, &err);
        if (result == RESULT_RETRY)
            json_array_append(kept, fact);
        else if (result != RESULT_OK)
            log_error("%s %s cannot be booked: %s", b->options.subject,
                      json_get_text(fact, b->options.subject), err.text);
        json_decref(one);
    }
    json_decref(b->facts);
    b->facts = kept;
}

void booking_retry(struct booking *b)
{
    enum result result;
    struct error err;

    if (json_array_size(b->facts) == 0)
        return;
    FAILPOINT(b->options.failpoint);
    result = send_batch(b, b->facts, &err);
    if (result == RESULT_OK)
        json_array_clear(b->facts);
    else if (result == RESULT_REJECTED)
        send_apart(b);
    else
        log_warn("%s: %s", b->options.function, err.text);
    if (json_array_size(b->facts) > FACTS_MAX)
        json_array_clear(b->facts);
    outbox_kick(b->options.outbox);
}

static void on_soon(void *arg)
{
    booking_retry(arg);
}

void booking_add_take(struct booking *b, json_t *fact)
{
    if (fact == NULL)
        return;
    json_array_append_new(b->facts, fact);
    if (json_array_size(b->facts) == BATCH_MAX)
        booking_retry(b);
    else
        loop_timer_arm(b->soon, 0);
}

struct booking *booking_new(struct loop *loop, const struct booking_options *options)
{
    struct booking *b = mem_alloc(sizeof *b);

    b->options = *options;
    b->facts = json_array();
    b->soon = loop_timer_new(loop, on_soon, b);
    return b;
}

void booking_free(struct booking *b)
{
    if (b == NULL)
        return;
    loop_timer_free(b->soon);
    json_decref(b->facts);
    free(b);
}
