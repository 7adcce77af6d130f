/* paylink refund: money back, at most once per key. Must not know the gateway: the worker asks it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../base/clock.h"
#include "commands.h"

#define WAIT_S_DEFAULT   10
#define WAIT_S_MAX       300
#define POLL_FIRST_MS    20
#define POLL_INTERVAL_MS 250

static const struct view_field refund_fields[] = {
    {.title = "id", .key = "id"},
    {.title = "state", .key = "state"},
    {.title = "payment", .key = "payment"},
    {.title = "amount", .key = "amount_minor", .kind = VIEW_MONEY},
    {.title = "gateway reference", .key = "gateway_ref", .optional = true},
    {.title = "reason", .key = "reason", .optional = true},
    {.title = "created", .key = "created_at", .kind = VIEW_TIME},
    {.title = "settled", .key = "settled_at", .kind = VIEW_TIME, .optional = true},
    {0},
};

static const struct view_field refund_columns[] = {
    {.title = "id", .key = "id"},
    {.title = "state", .key = "state"},
    {.title = "payment", .key = "payment"},
    {.title = "amount", .key = "amount_minor", .kind = VIEW_MONEY},
    {.title = "created", .key = "created_at", .kind = VIEW_TIME},
    {0},
};

static const struct view refund_view = {"no refunds", refund_fields, refund_columns};

static bool state_is(const json_t *refund, const char *state)
{
    const char *is = json_get_text(refund, "state");

    return is != NULL && strcmp(is, state) == 0;
}

static void pause_ms(int64_t ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    nanosleep(&pause, NULL);
}

/* Replaces *refund by its later states until it is decided or the time is over. Trouble with the
 * database ends the wait: the refund itself is already on record. */
static void wait_decided(struct call *call, const char *key, int64_t wait_ms, json_t **refund)
{
    int64_t until_ms = clock_monotonic_ms() + wait_ms;
    int64_t interval_ms = POLL_FIRST_MS;

    while (state_is(*refund, "pending") && clock_monotonic_ms() < until_ms) {
        const char *params[] = {key};
        json_t *later = NULL;
        struct error err;
        pause_ms(interval_ms);
        interval_ms = interval_ms * 2 > POLL_INTERVAL_MS ? POLL_INTERVAL_MS : interval_ms * 2;
        if (call_sql(call, "paylink.refund_show", params, 1, &later, &err) != RESULT_OK) {
            fprintf(stderr, "paylink: %s\n", err.text);
            return;
        }
        if (later != NULL) {
            json_decref(*refund);
            *refund = later;
        }
    }
}

static int refund_create(struct call *call)
{
    const char *key = args_text(call->args, "id");
    const char *params[] = {args_text(call->args, "payment"), args_text(call->args, "amount-minor"),
                            key};
    json_t *refund = NULL;
    struct error err;
    enum result r = call_sql(call, "paylink.refund_create", params, 3, &refund, &err);
    int status = EXIT_OK;

    if (r != RESULT_OK) {
        return call_failed(call, r, &err);
    }
    if (!args_given(call->args, "no-wait")) {
        wait_decided(call, key, args_number(call->args, "wait", WAIT_S_DEFAULT) * 1000, &refund);
    }
    call_print_object(call, refund, &refund_view);
    if (state_is(refund, "pending")) {
        fprintf(
            stderr,
            "paylink: the refund is on record and waits for the worker; see `paylink refund show "
            "%s`.\n",
            key);
    } else if (state_is(refund, "failed")) {
        fprintf(stderr, "paylink: the gateway refused the refund; the amount can be refunded again "
                        "under another id.\n");
        status = EXIT_REFUSED;
    }
    json_decref(refund);
    return status;
}

static int refund_show(struct call *call)
{
    const char *params[] = {args_text(call->args, "refund")};

    return call_object(call, "paylink.refund_show", params, 1, &refund_view);
}

static int refund_list(struct call *call)
{
    static const char *const by[] = {"payment", "merchant", "state", NULL};

    return call_list_by(call, "paylink.refund_list", NULL, by, &refund_view);
}

static const struct arg_option create_options[] = {
    OPTION_ID("payment", ARG_REQUIRED, "The payment to refund, in whole or in part."),
    {.name = "amount-minor",
     .aliases = "amount",
     .kind = ARG_MONEY,
     .flags = ARG_REQUIRED,
     .unit = "MINOR",
     .help = "The amount in minor units of the payment's currency: 12.50 USD is 1250."},
    {.name = "id",
     .aliases = "key refund",
     .kind = ARG_KEY,
     .flags = ARG_REQUIRED,
     .unit = "KEY",
     .help =
         "A name of your choice for this refund, 1 to 64 of A-Z a-z 0-9 . _ : - ; the same name "
         "never refunds twice."},
    {.name = "no-wait", .kind = ARG_FLAG, .help = "Do not wait until the worker has executed it."},
    {.name = "wait",
     .kind = ARG_NUMBER,
     .unit = "SECONDS",
     .min = 0,
     .max = WAIT_S_MAX,
     .help = "How long to wait for the result, 0 to 300 seconds (10)."},
    {0},
};
static const struct arg_option show_options[] = {
    {.name = "refund",
     .aliases = "id key",
     .kind = ARG_KEY,
     .flags = ARG_REQUIRED | ARG_POSITIONAL,
     .unit = "KEY",
     .help = "The refund, by the name that it was given."},
    {0},
};
static const struct arg_option list_options[] = {
    OPTION_ID("payment", 0, "Only this payment's."),
    OPTION_ID("merchant", 0, "Only this merchant's."),
    OPTION_CHOICE("state", "pending|succeeded|failed", "Only these."),
    {0},
};

const struct command refund_commands[] = {
    {.noun = "refund",
     .verb = "create",
     .summary = "money back from a payment, in whole or in part",
     .about =
         "The amount is reserved at once; all refunds of a payment never exceed it. The worker "
         "asks the gateway; the command waits for the result and says what is true: succeeded, "
         "failed (exit status 1), or still pending. Cash and transfers are settled at once.",
     .options = create_options,
     .example = "refund create --payment ID --amount-minor 500 --id refund-1",
     .run = refund_create},
    {.noun = "refund",
     .verb = "show",
     .summary = "one refund",
     .options = show_options,
     .example = "refund show refund-1",
     .run = refund_show},
    {.noun = "refund",
     .verb = "list",
     .summary = "refunds of a payment or of a merchant",
     .options = list_options,
     .example = "refund list --payment ID",
     .run = refund_list},
    {0},
};
