/*
 * Makes reserved refunds at the gateway, each once. While the gateway remembers idempotency keys a
 * refund without an answer is sent again under the same key. What the gateway has accepted, and
 * what is older than its memory, is looked for in its list instead: there the same key would only
 * repeat the old answer, or refund a second time.
 */
#include "refund.h"

#include <stdio.h>
#include <stdlib.h>

#include "../base/failpoint.h"
#define LOG_AREA "refund"
#include "../base/log.h"
#include "../base/mem.h"
#include "booking.h"

#define AWAY_MAX      50
#define POLL_MS       1000
#define KEY_AGE_MS    (INT64_C(23) * 3600 * 1000) /* the gateway's keys live for 24 h */
#define LIST_SLACK_MS (INT64_C(5) * 60 * 1000)    /* clocks of the gateway and ours */

struct refund {
    const struct settings *settings;
    struct pg *pg;
    struct gateway *gateway;
    struct booking *booking;
    struct loop_timer *poll;
    size_t away;
    bool stopping;
    bool released;  /* what this worker had claimed before it was started */
    json_t *sought; /* key → what was claimed: looked for in the list under way; NULL: no list */
};

struct order {
    struct refund *r;
    char *key;
};

/* Without an answer it stays pending: SQL says when it is claimed again. */
static const char *outcome_word(enum gateway_outcome outcome)
{
    switch (outcome) {
    case GATEWAY_SUCCEEDED:
        return "succeeded";
    case GATEWAY_PROCESSING:
    case GATEWAY_ACTION_REQUIRED:
    case GATEWAY_RETRY:
    case GATEWAY_UNKNOWN:
        return "pending";
    case GATEWAY_DECLINED:
    case GATEWAY_CANCELED:
    case GATEWAY_ABSENT:
        return "failed";
    }
    return "pending";
}

static void note(struct refund *r, const char *key, const struct gateway_result *result)
{
    json_t *fact = json_object();

    if (result->outcome == GATEWAY_RETRY || result->outcome == GATEWAY_UNKNOWN)
        log_warn("refund %s: %s, asked again", key, gateway_outcome_name(result->outcome));
    json_put_text(fact, "refund", key);
    json_put_text(fact, "outcome", outcome_word(result->outcome));
    json_put_text(fact, "gateway_ref", result->id);
    json_put_text(fact, "reason", result->reason);
    booking_add_take(r->booking, fact);
}

static void on_refunded(void *arg, const struct gateway_result *result)
{
    struct order *order = arg;
    struct refund *r = order->r;

    FAILPOINT("refund.after_gateway");
    note(r, order->key, result);
    free(order->key);
    free(order);
    r->away--;
}

static void send_refund(struct refund *r, const json_t *claimed)
{
    const char *key = json_get_text(claimed, "refund"),
               *ref = json_get_text(claimed, "gateway_ref");
    const char *currency = json_get_text(claimed, "currency");
    struct order *order;
    int64_t amount_minor;

    if (key == NULL || ref == NULL || currency == NULL ||
        !json_get_int(claimed, "amount_minor", &amount_minor))
        fatal("refund_claim() gave an incomplete refund");
    order = mem_alloc(sizeof *order);
    order->r = r;
    order->key = mem_strdup(key);
    r->away++;
    FAILPOINT("refund.before_gateway");
    gateway_refund(r->gateway, ref, amount_minor, currency, key, on_refunded, order);
}

/* --- by list -------------------------------------------------------------------------------- */

static bool is_sought(const json_t *claimed)
{
    int64_t age_ms = 0;

    (void)json_get_int(claimed, "age_ms", &age_ms);
    return json_get_text(claimed, "refund_ref") != NULL || age_ms >= KEY_AGE_MS;
}

static void on_listed(void *arg, const struct gateway_result *result)
{
    struct refund *r = arg;

    if (result->attempt == NULL || json_object_get(r->sought, result->attempt) == NULL)
        return;
    note(r, result->attempt, result);
    json_object_del(r->sought, result->attempt);
}

static void on_list_done(void *arg, bool complete)
{
    struct refund *r = arg;
    struct gateway_result unknown = {.outcome = GATEWAY_UNKNOWN};
    json_t *sought = r->sought, *claimed;
    const char *key;

    r->sought = NULL;
    json_object_foreach (sought, key, claimed) {
        /* Not in the whole list and never accepted: it was not made. */
        if (complete && !r->stopping && json_get_text(claimed, "refund_ref") == NULL)
            send_refund(r, claimed);
        else
            note(r, key, &unknown);
    }
    json_decref(sought);
}

/* --- when ----------------------------------------------------------------------------------- */

static void take(struct refund *r, const json_t *all)
{
    json_t *sought = json_object(), *claimed;
    int64_t since_ms = INT64_MAX, created_ms = 0;
    size_t i;

    json_array_foreach (all, i, claimed) {
        if (!is_sought(claimed)) {
            send_refund(r, claimed);
            continue;
        }
        (void)json_get_int(claimed, "created_ms", &created_ms);
        if (created_ms < since_ms)
            since_ms = created_ms;
        json_object_set(sought, json_get_text(claimed, "refund"), claimed);
    }
    if (json_object_size(sought) == 0) {
        json_decref(sought);
        return;
    }
    since_ms -= LIST_SLACK_MS;
    r->sought = sought;
    gateway_list_refunds(r->gateway, since_ms > 0 ? since_ms : 0, on_listed, on_list_done, r);
}

/* Claims of an earlier life would only lapse with their lease. */
static bool release(struct refund *r)
{
    const char *params[1] = {r->settings->worker_name};
    struct error err;

    if (!r->released) {
        r->released = pg_call(r->pg, "paylink.refund_release", params, 1, NULL, &err) == RESULT_OK;
        if (!r->released)
            log_debug("%s", err.text);
    }
    return r->released;
}

static void on_poll(void *arg)
{
    struct refund *r = arg;
    char lease_ms[24], limit[8];
    const char *params[3] = {r->settings->worker_name, lease_ms, limit};
    json_t *claimed = NULL;
    struct error err;

    if (r->stopping)
        return;
    loop_timer_arm(r->poll, POLL_MS);
    booking_retry(r->booking);
    if (r->sought != NULL || r->away >= AWAY_MAX || !release(r))
        return;
    snprintf(lease_ms, sizeof lease_ms, "%lld", (long long)r->settings->worker_lease_ms);
    snprintf(limit, sizeof limit, "%d", (int)(AWAY_MAX - r->away));
    if (pg_call(r->pg, "paylink.refund_claim", params, 3, &claimed, &err) != RESULT_OK) {
        log_debug("%s", err.text);
        return;
    }
    take(r, claimed);
    json_decref(claimed);
}

struct refund *refund_new(struct loop *loop, const struct refund_options *options)
{
    struct refund *r = mem_alloc(sizeof *r);

    r->settings = options->settings;
    r->pg = options->pg;
    r->gateway = options->gateway;
    r->poll = loop_timer_new(loop, on_poll, r);
    r->booking = booking_new(loop, &(struct booking_options){
                                       .pg = options->pg,
                                       .outbox = options->outbox,
                                       .function = "paylink.refund_settle",
                                       .subject = "refund",
                                       .failpoint = "refund.before_book",
                                   });
    loop_timer_arm(r->poll, 0);
    return r;
}

void refund_kick(struct refund *r)
{
    if (!r->stopping)
        loop_timer_arm(r->poll, 0);
}

void refund_stop(struct refund *r)
{
    r->stopping = true;
    loop_timer_disarm(r->poll);
}

void refund_free(struct refund *r)
{
    if (r == NULL)
        return;
    loop_timer_free(r->poll);
    booking_free(r->booking);
    json_decref(r->sought);
    free(r);
}
