/* Asks the gateway about attempts. What follows from an answer is decided by attempt_settle(). */
#include "reconcile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#define LOG_AREA "reconcile"
#include "../base/log.h"
#include "../base/mem.h"
#include "../core/encoding.h"
#include "../core/token.h"
#include "booking.h"
#include "settle.h"

#define ASKING_MAX    100
#define TICK_MS       250
#define SWEEP_FIRST   10 /* the first comes after this part of the usual time */
#define SWEEP_BACK_MS (INT64_C(60) * 60 * 1000)
#define LIST_SLACK_MS (INT64_C(5) * 60 * 1000) /* clocks of the gateway and ours */

struct reconcile {
    const struct settings *settings;
    char *delays; /* JSON array, ms */
    struct pg *pg;
    struct gateway *gateway;
    struct booking *booking;
    struct loop_timer *tick, *sweep;
    size_t asking; /* calls under way */
    bool listing, stopping;
    json_t *unseen; /* attempt uuid → true: asked for by the list under way, not found yet */
    json_t *wanted; /* the same, for the next list */
    int64_t wanted_since_ms;
};

/* One attempt at the gateway by its own id. */
struct inquiry {
    struct reconcile *r;
    char *attempt;
    char *gateway_ref;
    bool abandoned; /* the payer had his time */
};

static void inquiry_free(struct inquiry *q)
{
    q->r->asking--;
    free(q->attempt);
    free(q->gateway_ref);
    free(q);
}

static void on_answer(void *arg, const struct gateway_result *result)
{
    struct inquiry *q = arg;
    struct reconcile *r = q->r;

    /* Asking can fail too; that says nothing about the attempt. */
    if (result->outcome != GATEWAY_UNKNOWN && result->outcome != GATEWAY_RETRY &&
        result->outcome != GATEWAY_PROCESSING) {
        log_info("attempt %s: %s", q->attempt, gateway_outcome_name(result->outcome));
        booking_add_take(r->booking, settle_fact(q->attempt, result));
    }
    inquiry_free(q);
}

static void on_canceled(void *arg, const struct gateway_result *result)
{
    struct inquiry *q = arg;

    if (result->outcome == GATEWAY_CANCELED) {
        struct gateway_result abandoned = *result;

        abandoned.reason = "abandoned";
        on_answer(q, &abandoned);
    } else if (result->outcome == GATEWAY_SUCCEEDED) {
        on_answer(q, result);
    } else { /* too late to cancel, or no answer: what is it now? */
        q->abandoned = false;
        gateway_retrieve(q->r->gateway, q->gateway_ref, on_answer, q);
    }
}

/* The payer had his time: cancelled, unless he was quicker. */
static void on_waiting(void *arg, const struct gateway_result *result)
{
    struct inquiry *q = arg;

    if (q->abandoned && result->outcome == GATEWAY_ACTION_REQUIRED)
        gateway_cancel(q->r->gateway, q->gateway_ref, on_canceled, q);
    else
        on_answer(q, result);
}

static void ask(struct reconcile *r, const json_t *due, const char *attempt, const char *ref)
{
    struct inquiry *q = mem_alloc(sizeof *q);
    const char *state = json_get_text(due, "state");
    int64_t age_ms = 0;

    (void)json_get_int(due, "age_ms", &age_ms);
    q->r = r;
    q->attempt = mem_strdup(attempt);
    q->gateway_ref = mem_strdup(ref);
    q->abandoned = state != NULL && strcmp(state, "action_required") == 0 &&
                   age_ms >= r->settings->worker_action_timeout_ms;
    r->asking++;
    gateway_retrieve(r->gateway, ref, on_waiting, q);
}

/* --- by list -------------------------------------------------------------------------------------
 */

static void on_listed(void *arg, const struct gateway_result *result)
{
    struct reconcile *r = arg;
    uint8_t uuid[16];
    bool asked;

    if (result->attempt == NULL || uuid_parse(result->attempt, strlen(result->attempt), uuid) != 0)
        return; /* not one of ours */
    asked = json_object_get(r->unseen, result->attempt) != NULL;
    if (asked)
        json_object_del(r->unseen, result->attempt);
    /* What SQL has booked already changes nothing. */
    if (asked || result->outcome == GATEWAY_SUCCEEDED)
        booking_add_take(r->booking, settle_fact(result->attempt, result));
}

static void on_list_done(void *arg, bool complete)
{
    struct reconcile *r = arg;
    const char *attempt;
    json_t *value;

    r->listing = false;
    if (complete) {
        struct gateway_result absent = {.outcome = GATEWAY_ABSENT};

        /* The gateway has never heard of it; SQL waits until that is certain. */
        json_object_foreach (r->unseen, attempt, value) {
            booking_add_take(r->booking, settle_fact(attempt, &absent));
        }
    } else {
        log_warn("the gateway's list did not come whole, asked again later");
    }
    json_object_clear(r->unseen);
}

/* One list at a time; it also answers for those who wait for one. */
static void list_since(struct reconcile *r, int64_t since_ms)
{
    json_t *unseen = r->unseen;

    if (r->listing || r->stopping)
        return;
    r->listing = true;
    r->unseen = r->wanted;
    r->wanted = unseen;
    if (r->wanted_since_ms < since_ms)
        since_ms = r->wanted_since_ms;
    r->wanted_since_ms = INT64_MAX;
    gateway_list(r->gateway, since_ms > 0 ? since_ms : 0, on_listed, on_list_done, r);
}

/* --- when
 * ----------------------------------------------------------------------------------------- */

static void look(struct reconcile *r)
{
    char limit[8];
    const char *params[2] = {limit, r->delays};
    int64_t created_ms;
    json_t *due = NULL, *one;
    struct error err;
    size_t i;

    if (r->asking >= ASKING_MAX || r->stopping)
        return;
    snprintf(limit, sizeof limit, "%d", (int)(ASKING_MAX - r->asking));
    if (pg_call(r->pg, "paylink.attempt_checks_due", params, 2, &due, &err) != RESULT_OK) {
        log_debug("%s", err.text);
        return;
    }
    json_array_foreach (due, i, one) {
        const char *attempt = json_get_text(one, "attempt"),
                   *ref = json_get_text(one, "gateway_ref");

        if (attempt == NULL)
            continue;
        if (ref != NULL) {
            ask(r, one, attempt, ref);
            continue;
        }
        json_put_bool(r->wanted, attempt, true);
        if (json_get_int(one, "created_ms", &created_ms) &&
            created_ms - LIST_SLACK_MS < r->wanted_since_ms)
            r->wanted_since_ms = created_ms - LIST_SLACK_MS;
    }
    json_decref(due);
    if (json_object_size(r->wanted) > 0)
        list_since(r, INT64_MAX);
}

static void on_tick(void *arg)
{
    struct reconcile *r = arg;

    booking_retry(r->booking);
    look(r);
    if (!r->stopping)
        loop_timer_arm(r->tick, TICK_MS);
}

static void on_sweep(void *arg)
{
    struct reconcile *r = arg;

    if (r->stopping)
        return;
    list_since(r, clock_wall_ms() - SWEEP_BACK_MS);
    loop_timer_arm(r->sweep, r->settings->worker_sweep_ms);
}

struct reconcile *reconcile_new(struct loop *loop, const struct reconcile_options *options)
{
    struct reconcile *r = mem_alloc(sizeof *r);

    r->settings = options->settings;
    r->delays = mem_printf("[%s]", options->settings->worker_check_delays_ms);
    r->pg = options->pg;
    r->gateway = options->gateway;
    r->unseen = json_object();
    r->wanted = json_object();
    r->wanted_since_ms = INT64_MAX;
    r->booking =
        booking_new(loop, &(struct booking_options){
                              .pg = options->pg,
                              .outbox = options->outbox,
                              .function = "paylink.attempt_settle",
                              .worker = options->settings->worker_name,
                              .receipts = options->settings->mail_url != NULL ? "true" : "false",
                              .subject = "attempt",
                              .failpoint = "reconcile.before_book",
                          });
    r->tick = loop_timer_new(loop, on_tick, r);
    r->sweep = loop_timer_new(loop, on_sweep, r);
    loop_timer_arm(r->tick, TICK_MS);
    loop_timer_arm(r->sweep, r->settings->worker_sweep_ms / SWEEP_FIRST);
    return r;
}

void reconcile_kick(struct reconcile *r)
{
    if (!r->stopping)
        loop_timer_arm(r->tick, 0);
}

void reconcile_stop(struct reconcile *r)
{
    r->stopping = true;
    loop_timer_disarm(r->tick);
    loop_timer_disarm(r->sweep);
}

void reconcile_free(struct reconcile *r)
{
    if (r == NULL)
        return;
    loop_timer_free(r->tick);
    loop_timer_free(r->sweep);
    booking_free(r->booking);
    json_decref(r->unseen);
    json_decref(r->wanted);
    free(r->delays);
    free(r);
}
