/* paylink ledger and attempt: what the books say, and what happened to a submit. Changes nothing.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../base/mem.h"
#include "../core/money.h"
#include "commands.h"
#include "link_ref.h"
#include "table.h"

#define JOURNALS_MAX 100000

static const struct view_field balance_columns[] = {
    {.title = "merchant", .key = "merchant"},
    {.title = "account", .key = "kind"},
    {.title = "customer", .key = "customer"},
    {.title = "balance", .key = "balance_minor", .kind = VIEW_MONEY},
    {0},
};
static const struct view balance_view = {"nothing was ever booked", balance_columns,
                                         balance_columns};

static const struct view_field attempt_fields[] = {
    {.title = "attempt", .key = "attempt"},
    {.title = "state", .key = "state"},
    {.title = "reason", .key = "reason", .optional = true},
    {.title = "merchant", .key = "merchant"},
    {.title = "link", .key = "link"},
    {.title = "version", .key = "version", .kind = VIEW_NUMBER},
    {.title = "amount", .key = "amount_minor", .kind = VIEW_MONEY},
    {.title = "captured", .key = "captured_minor", .kind = VIEW_MONEY, .optional = true},
    {.title = "gateway reference", .key = "gateway_ref", .optional = true},
    {.title = "card", .key = "card_brand", .optional = true},
    {.title = "last four", .key = "card_last4", .optional = true},
    {.title = "needs attention", .key = "attention", .optional = true},
    {.title = "next check", .key = "next_check_at", .kind = VIEW_TIME, .optional = true},
    {.title = "submitted", .key = "submitted_at", .kind = VIEW_TIME, .optional = true},
    {.title = "created", .key = "created_at", .kind = VIEW_TIME},
    {.title = "settled", .key = "settled_at", .kind = VIEW_TIME, .optional = true},
    {.title = "history",
     .key = "events",
     .kind = VIEW_TABLE,
     .rows = (const struct view_field[]){{.title = "at", .key = "at", .kind = VIEW_TIME},
                                         {.title = "state", .key = "state"},
                                         {.title = "worker", .key = "worker"},
                                         {.title = "note", .key = "note"},
                                         {0}}},
    {0},
};
static const struct view_field attempt_columns[] = {
    {.title = "attempt", .key = "attempt"},
    {.title = "state", .key = "state"},
    {.title = "reason", .key = "reason"},
    {.title = "amount", .key = "amount_minor", .kind = VIEW_MONEY},
    {.title = "version", .key = "version", .kind = VIEW_NUMBER},
    {.title = "created", .key = "created_at", .kind = VIEW_TIME},
    {0},
};
static const struct view attempt_view = {"no attempts", attempt_fields, attempt_columns};

static int ledger_balances(struct call *call)
{
    const char *params[] = {args_text(call->args, "merchant")};

    return call_list(call, "paylink.ledger_balances", params, 1, &balance_view);
}

/* Debit and credit stand in columns of their own, as books are read. */
static void add_entry(struct table *table, const json_t *journal, const json_t *entry, bool first)
{
    int64_t amount_minor = 0;
    char plain[64] = "?";
    const char *currency = json_get_text(entry, "currency");

    json_get_int(entry, "amount_minor", &amount_minor);
    if (currency != NULL) {
        money_format_plain(amount_minor < 0 ? -amount_minor : amount_minor, currency, plain,
                           sizeof(plain));
    }
    char *money = mem_printf("%s %s", plain, currency == NULL ? "" : currency);
    const char *cells[] = {
        first ? json_get_text(journal, "posted_at") : "",
        first ? json_get_text(journal, "kind") : "",
        first ? json_get_text(journal, "document") : "",
        json_get_text(entry, "kind"),
        amount_minor >= 0 ? money : "",
        amount_minor < 0 ? money : "",
    };
    table_add(table, cells);
    free(money);
}

static void print_journals(const json_t *journals)
{
    static const char *const titles[] = {"posted",  "journal", "document",
                                         "account", "debit",   "credit"};
    static const bool right[] = {false, false, false, false, true, true};
    struct table *table = table_new(6, titles, right);
    size_t i, k;
    json_t *journal, *entry;

    json_array_foreach (journals, i, journal) {
        json_array_foreach (json_object_get(journal, "entries"), k, entry) {
            add_entry(table, journal, entry, k == 0);
        }
    }
    if (table_rows(table) == 0) {
        puts("nothing was ever booked");
    } else {
        table_print(table, stdout);
    }
    table_free(table);
}

static int ledger_journals(struct call *call)
{
    static const char *const by[] = {"merchant", "invoice", "payment", "credit"};
    json_t *object = json_object(), *journals = NULL;
    struct error err;

    for (size_t i = 0; i < sizeof(by) / sizeof(*by); i++) {
        call_put_text(call, object, by[i], by[i]);
    }
    call_put_number(call, object, "limit", "limit");
    char *filter = call_json_take(object);
    const char *params[] = {filter};
    enum result r = call_sql(call, "paylink.ledger_journals", params, 1, &journals, &err);
    free(filter);
    if (r != RESULT_OK) {
        return call_failed(call, r, &err);
    }
    if (call->json) {
        call_print_list(call, journals, &balance_view);
    } else {
        print_journals(journals);
    }
    json_decref(journals);
    return EXIT_OK;
}

static int attempt_list(struct call *call)
{
    json_t *object = json_object();
    char hex[LINK_HEX_SIZE + 1];
    struct error err;

    call_put_text(call, object, "invoice", "invoice");
    call_put_text(call, object, "state", "state");
    if (args_given(call->args, "link")) {
        enum result r = link_hex(call, "link", hex, &err);
        if (r != RESULT_OK) {
            json_decref(object);
            return call_failed(call, r, &err);
        }
        json_put_text(object, "link", hex);
    }
    if (json_object_size(object) == 0) {
        json_decref(object);
        error_set(&err, RESULT_REJECTED, "usage",
                  "Which attempts? Give --invoice, --link or --state.");
        return command_usage_failed(call->json, "paylink attempt list --help", &err);
    }
    char *filter = call_json_take(object);
    const char *params[] = {filter};
    int status = call_list(call, "paylink.attempt_list", params, 1, &attempt_view);
    free(filter);
    return status;
}

static int attempt_show(struct call *call)
{
    const char *params[] = {args_text(call->args, "attempt")};

    return call_object(call, "paylink.attempt_show", params, 1, &attempt_view);
}

static const struct arg_option balances_options[] = {
    OPTION_ID("merchant", ARG_POSITIONAL, "Only this merchant's accounts (all)."),
    {0},
};
static const struct arg_option journals_options[] = {
    OPTION_ID("merchant", 0, "Only this merchant's."),
    OPTION_ID("invoice", 0, "Only those of this invoice."),
    OPTION_ID("payment", 0, "Only those of this payment and its refunds."),
    OPTION_ID("credit", 0, "Only those of this credit."),
    {.name = "limit",
     .kind = ARG_NUMBER,
     .unit = "COUNT",
     .min = 1,
     .max = JOURNALS_MAX,
     .help = "The newest so many journals, 1 to 100000 (1000)."},
    {0},
};

const struct command ledger_commands[] = {
    {.noun = "ledger",
     .verb = "balances",
     .summary = "the balance of every account",
     .about =
         "A debit is positive, a credit negative. Per merchant and currency the balances sum to "
         "zero.",
     .options = balances_options,
     .example = "ledger balances --merchant ID",
     .run = ledger_balances},
    {.noun = "ledger",
     .verb = "journals",
     .summary = "every event in the books, entry by entry",
     .options = journals_options,
     .example = "ledger journals --invoice ID",
     .run = ledger_journals},
    {0},
};

static const struct arg_option list_options[] = {
    OPTION_ID("invoice", 0, "Attempts to pay this invoice, through any link."),
    {.name = "link", .kind = ARG_LINK, .unit = "LINK", .help = "Attempts through this link."},
    {.name = "state",
     .kind = ARG_CHOICE,
     .unit = "STATE",
     .choices = "charging|action_required|unknown|captured|declined|refused",
     .help = "Only these: charging|action_required|unknown|captured|declined|refused."},
    {0},
};
static const struct arg_option show_options[] = {
    OPTION_SUBJECT("attempt", "The attempt."),
    {0},
};

const struct command attempt_commands[] = {
    {.noun = "attempt",
     .verb = "list",
     .summary = "what payers submitted",
     .options = list_options,
     .example = "attempt list --invoice ID",
     .run = attempt_list},
    {.noun = "attempt",
     .verb = "show",
     .summary = "one attempt and its history",
     .options = show_options,
     .example = "attempt show --attempt ID",
     .run = attempt_show},
    {0},
};
