/* Compares the gateway's captures and refunds with the booked ones. Must not change either. */
#include "verify_gateway.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../base/clock.h"
#include "../base/mem.h"
#include "../base/secret.h"
#include "../gateway/gateway.h"
#include "../io/loop.h"

#define DETAILS_MAX    5 /* differences that are spelt out */
#define ROUND_PAUSE_MS 500
#define PAGE_ROWS      5000
#define PAGE_ROWS_TEXT "5000"

/* Both lists as they come in: objects by the gateway's id. */
struct lists {
    struct loop *loop;
    struct gateway *gateway;
    json_t *captures; /* pi_… -> {amount_minor, currency, ours} */
    json_t *refunds;  /* re_… -> {amount_minor, currency, ours} */
    bool ours_only;
    bool complete;
};

/* One comparison on its way to a line of the report. */
struct report {
    const char *check;
    int64_t agreed;
    json_t *differences; /* the gateway's id -> what is wrong, in the order of discovery */
};

static void report_difference_take(struct report *report, const char *id, char *text)
{
    json_put_text(report->differences, id, text);
    free(text);
}

/* Only what differed in the last round too still counts. */
static void report_persisting(struct report *report, const json_t *before)
{
    const char *id;
    void *next;
    json_t *text;

    json_object_foreach_safe(report->differences, next, id, text)
    {
        if (json_object_get(before, id) == NULL) {
            json_object_del(report->differences, id);
        }
    }
}

static json_t *report_line(const struct report *report)
{
    size_t differences = json_object_size(report->differences), told = 0;
    char *text = differences == 0
                     ? mem_printf("%lld agree", (long long)report->agreed)
                     : mem_printf("%zu differ, %lld agree", differences, (long long)report->agreed);
    const char *id;
    json_t *difference;

    json_object_foreach (report->differences, id, difference) {
        bool more = told++ == DETAILS_MAX;
        char *longer = mem_printf("%s; %s", text, more ? "…" : json_string_value(difference));
        free(text);
        text = longer;
        if (more) {
            break;
        }
    }
    json_t *check = json_object();
    json_put_text(check, "check", report->check);
    json_put_bool(check, "ok", differences == 0);
    json_put_bool(check, "warning", false);
    json_put_text(check, "detail", text);
    free(text);
    return check;
}

/* Keeps what succeeded there. `ours` is our attempt or refund key, "" if it has none. */
static void keep(const struct lists *lists, json_t *list, const struct gateway_result *result)
{
    if (result->outcome != GATEWAY_SUCCEEDED || result->id == NULL ||
        (result->attempt == NULL && lists->ours_only)) {
        return;
    }
    json_t *object = json_object();
    json_put_int(object, "amount_minor", result->amount_minor);
    json_put_text(object, "currency", result->currency == NULL ? "" : result->currency);
    json_put_text(object, "ours", result->attempt == NULL ? "" : result->attempt);
    json_object_set_new(list, result->id, object);
}

static void on_capture(void *ctx, const struct gateway_result *result)
{
    const struct lists *lists = ctx;

    keep(lists, lists->captures, result);
}

static void on_refund(void *ctx, const struct gateway_result *result)
{
    const struct lists *lists = ctx;

    keep(lists, lists->refunds, result);
}

static void on_refunds_done(void *ctx, bool complete)
{
    struct lists *lists = ctx;

    lists->complete = complete;
    loop_stop(lists->loop);
}

static void on_captures_done(void *ctx, bool complete)
{
    struct lists *lists = ctx;

    if (complete) {
        gateway_list_refunds(lists->gateway, 0, on_refund, on_refunds_done, lists);
    } else {
        loop_stop(lists->loop);
    }
}

static void on_stop(void *ctx)
{
    loop_stop(((struct lists *)ctx)->loop);
}

static enum result lists_read(const struct call *call, struct lists *lists, struct error *err)
{
    char *secret = NULL;
    enum result r = secret_load(call->settings->gateway_secret_key_file, &secret, err);

    if (r != RESULT_OK) {
        return r;
    }
    struct gateway_options options = {
        .url = call->settings->gateway_url,
        .secret_key = secret,
        .connections = 1,
        .timeout_ms = call->settings->gateway_timeout_ms,
    };
    lists->loop = loop_new();
    lists->gateway = gateway_new(lists->loop, &options);
    gateway_list(lists->gateway, 0, on_capture, on_captures_done, lists);
    loop_run(lists->loop, on_stop, lists);
    gateway_free(lists->gateway);
    loop_free(lists->loop);
    secret_free(secret);
    if (!lists->complete) {
        return error_set(err, RESULT_RETRY, "gateway_unreachable",
                         "The gateway at %s did not give its whole list: try again.",
                         call->settings->gateway_url);
    }
    return RESULT_OK;
}

/* One booked document against the list; what was compared leaves the list. */
static void compare(struct report *report, json_t *list, const json_t *booked)
{
    const char *id = json_get_text(booked, "gateway_ref");
    const char *ours = json_get_text(booked, "id"); /* attempt or refund key */
    const char *currency = json_get_text(booked, "currency");
    const json_t *there = json_object_get(list, id);
    int64_t amount_minor = 0, amount_there_minor = 0;

    json_get_int(booked, "amount_minor", &amount_minor);
    if (there == NULL) {
        report_difference_take(
            report, id, mem_printf("%s (%s) is booked here and not done at the gateway", id, ours));
        return;
    }
    json_get_int(there, "amount_minor", &amount_there_minor);
    const char *currency_there = json_get_text(there, "currency");
    if (amount_minor != amount_there_minor || currency == NULL ||
        strcmp(currency, currency_there) != 0) {
        report_difference_take(report, id,
                               mem_printf("%s: %lld %s at the gateway, %lld %s booked here", id,
                                          (long long)amount_there_minor, currency_there,
                                          (long long)amount_minor,
                                          currency == NULL ? "?" : currency));
    } else if (strcmp(json_get_text(there, "ours"), ours) != 0) {
        report_difference_take(report, id,
                               mem_printf("%s belongs to “%s” at the gateway, to %s here", id,
                                          json_get_text(there, "ours"), ours));
    } else {
        report->agreed++;
    }
    json_object_del(list, id);
}

/* What is left was done there and is not booked here. */
static void compare_rest(struct report *report, json_t *list)
{
    const char *id;
    json_t *there;

    json_object_foreach (list, id, there) {
        const char *ours = json_get_text(there, "ours");
        int64_t amount_minor = 0;
        json_get_int(there, "amount_minor", &amount_minor);
        report_difference_take(
            report, id,
            mem_printf("%s (%s): %lld %s done at the gateway and not booked here", id,
                       *ours == '\0' ? "without Paylink's metadata" : ours, (long long)amount_minor,
                       json_get_text(there, "currency")));
    }
}

/* Goes through all pages of `function`. */
static enum result compare_all(struct call *call, const char *function, json_t *list,
                               struct report *report, struct error *err)
{
    json_t *page = NULL;
    size_t i, n;

    do {
        const json_t *last = json_array_get(page, json_array_size(page) - 1);
        const char *params[] = {json_get_text(last, "merchant"), json_get_text(last, "id"),
                                PAGE_ROWS_TEXT};
        json_t *next = NULL, *booked;
        enum result r = call_sql(call, function, params, 3, &next, err);
        json_decref(page);
        page = next;
        if (r != RESULT_OK) {
            return r;
        }
        json_array_foreach (page, i, booked) {
            compare(report, list, booked);
        }
        n = json_array_size(page);
    } while (n == PAGE_ROWS);
    json_decref(page);
    compare_rest(report, list);
    return RESULT_OK;
}

/* Reads both sides once and compares them. */
static enum result compare_once(struct call *call, bool ours_only, struct report *captures,
                                struct report *refunds, struct error *err)
{
    struct lists lists = {
        .captures = json_object(), .refunds = json_object(), .ours_only = ours_only};

    captures->agreed = refunds->agreed = 0;
    captures->differences = json_object();
    refunds->differences = json_object();
    /* The gateway first: whatever it lists may be in the books by the time that they are read. */
    enum result r = lists_read(call, &lists, err);
    if (r == RESULT_OK) {
        r = compare_all(call, "paylink.gateway_captures", lists.captures, captures, err);
    }
    if (r == RESULT_OK) {
        r = compare_all(call, "paylink.gateway_refunds", lists.refunds, refunds, err);
    }
    json_decref(lists.captures);
    json_decref(lists.refunds);
    return r;
}

enum result verify_gateway(struct call *call, const struct verify_gateway_options *options,
                           json_t **out, struct error *err)
{
    struct report captures = {.check = "captures_at_gateway"};
    struct report refunds = {.check = "refunds_at_gateway"};
    int64_t until_ms = clock_monotonic_ms() + options->patience_ms;
    enum result r = compare_once(call, options->ours_only, &captures, &refunds, err);

    while (r == RESULT_OK && clock_monotonic_ms() < until_ms &&
           json_object_size(captures.differences) + json_object_size(refunds.differences) > 0) {
        json_t *captures_before = captures.differences, *refunds_before = refunds.differences;
        nanosleep(&(struct timespec){.tv_nsec = ROUND_PAUSE_MS * 1000000L}, NULL);
        r = compare_once(call, options->ours_only, &captures, &refunds, err);
        report_persisting(&captures, captures_before);
        report_persisting(&refunds, refunds_before);
        json_decref(captures_before);
        json_decref(refunds_before);
    }
    if (r == RESULT_OK) {
        *out = json_array();
        json_array_append_new(*out, report_line(&captures));
        json_array_append_new(*out, report_line(&refunds));
    }
    json_decref(captures.differences);
    json_decref(refunds.differences);
    return r;
}
