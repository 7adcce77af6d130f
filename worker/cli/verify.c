/* paylink verify: do the books agree with themselves, and with the gateway? Changes nothing. */
#include <stdio.h>
#include <stdlib.h>

#include "../io/pg.h"
#include "commands.h"
#include "verify_gateway.h"

#define PATIENCE_S_DEFAULT 5
#define PATIENCE_S_MAX     600
#define VERIFY_TIMEOUT_MS  3600000 /* every entry is added up again */

static const struct view_field check_columns[] = {
    {.title = "check", .key = "check"},
    {.title = "verdict", .key = "verdict"},
    {.title = "detail", .key = "detail"},
    {0},
};
static const struct view check_view = {"nothing to check", check_columns, check_columns};

static bool all_good(const json_t *checks)
{
    size_t i;
    json_t *check;

    json_array_foreach (checks, i, check) {
        if (!json_get_bool(check, "ok")) {
            return false;
        }
    }
    return true;
}

/* One word for people: "look" is a backlog or something unusual, not an error. */
static void add_verdicts(json_t *checks)
{
    size_t i;
    json_t *check;

    json_array_foreach (checks, i, check) {
        json_put_text(check, "verdict",
                      !json_get_bool(check, "ok")       ? "WRONG"
                      : json_get_bool(check, "warning") ? "look"
                                                        : "good");
    }
}

static int verify_run(struct call *call)
{
    json_t *checks = NULL, *more = NULL;
    struct error err;

    call->pg = pg_new(call->settings->pg_conninfo, "paylink verify", VERIFY_TIMEOUT_MS);
    enum result r = call_sql(call, "paylink.verify", NULL, 0, &checks, &err);
    if (r != RESULT_OK) {
        return call_failed(call, r, &err);
    }
    bool books_good = all_good(checks);
    enum result compared = RESULT_OK;
    if (!args_given(call->args, "no-gateway")) {
        struct verify_gateway_options options = {
            .patience_ms = args_number(call->args, "patience", PATIENCE_S_DEFAULT) * 1000,
            .ours_only = args_given(call->args, "ours-only"),
        };
        compared = verify_gateway(call, &options, &more, &err);
        if (compared == RESULT_OK) {
            json_array_extend(checks, more);
        } else {
            json_t *check = json_object();
            json_put_text(check, "check", "gateway");
            json_put_bool(check, "ok", false);
            json_put_bool(check, "warning", false);
            json_put_text(check, "detail", err.text);
            json_array_append_new(checks, check);
        }
        json_decref(more);
    }
    bool good = all_good(checks);
    if (call->json) {
        json_t *report = json_object();
        json_put_bool(report, "ok", good);
        json_object_set(report, "checks", checks);
        call_print_object(call, report, &check_view);
        json_decref(report);
    } else {
        add_verdicts(checks);
        call_print_list(call, checks, &check_view);
        puts(good ? "\nall good" : "\nsomething is wrong: see what is WRONG above");
    }
    json_decref(checks);
    if (compared != RESULT_OK) {
        fprintf(stderr, "paylink: %s\n", err.text);
        return !books_good                ? EXIT_REFUSED
               : compared == RESULT_RETRY ? EXIT_UNREACHABLE
                                          : EXIT_CONFIGURATION;
    }
    return good ? EXIT_OK : EXIT_REFUSED;
}

static const struct arg_option verify_options[] = {
    {.name = "no-gateway", .kind = ARG_FLAG, .help = "Do not compare with the gateway."},
    {.name = "ours-only",
     .kind = ARG_FLAG,
     .help = "Leave out what was done at the gateway without Paylink's metadata, by other users of "
             "the same account."},
    {.name = "patience",
     .kind = ARG_NUMBER,
     .unit = "SECONDS",
     .min = 0,
     .max = PATIENCE_S_MAX,
     .help = "How long a difference with the gateway may last before it counts, 0 to 600 seconds "
             "(5): payments may be on their way."},
    {0},
};

const struct command verify_commands[] = {
    {.noun = "verify",
     .summary = "recompute every invariant, and compare with the gateway",
     .about =
         "In PostgreSQL: every journal balances, every total is the sum of its parts, no refund "
         "exceeds its payment, and so on. At the gateway: every capture and refund there is "
         "booked here with its amount, and the other way round. Exit status 1 if anything "
         "differs.",
     .options = verify_options,
     .example = "verify",
     .run = verify_run},
    {0},
};
