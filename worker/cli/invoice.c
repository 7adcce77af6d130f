/* paylink invoice: what is owed. Must not know links or payments. */
#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"
#include "../core/money.h"
#include "commands.h"
#include "value.h"

#define LINES_MAX 1000

static const struct view_field line_columns[] = {
    {.title = "description", .key = "description"},
    {.title = "quantity", .key = "quantity", .kind = VIEW_NUMBER},
    {.title = "unit", .key = "unit_minor", .kind = VIEW_MONEY},
    {.title = "amount", .key = "total_minor", .kind = VIEW_MONEY},
    {0},
};

static const struct view_field invoice_fields[] = {
    {.title = "id", .key = "id"},
    {.title = "number", .key = "number"},
    {.title = "state", .key = "state"},
    {.title = "merchant", .key = "merchant"},
    {.title = "customer", .key = "customer"},
    {.title = "revision", .key = "revision", .kind = VIEW_NUMBER},
    {.title = "total", .key = "total_minor", .kind = VIEW_MONEY},
    {.title = "paid", .key = "paid_minor", .kind = VIEW_MONEY},
    {.title = "due", .key = "due_minor", .kind = VIEW_MONEY},
    {.title = "due date", .key = "due_date"},
    {.title = "created", .key = "created_at", .kind = VIEW_TIME},
    {.title = "void since", .key = "voided_at", .kind = VIEW_TIME, .optional = true},
    {.title = "void because", .key = "void_reason", .optional = true},
    {.title = "lines", .key = "lines", .kind = VIEW_TABLE, .rows = line_columns},
    {0},
};

static const struct view_field invoice_columns[] = {
    {.title = "id", .key = "id"},
    {.title = "number", .key = "number"},
    {.title = "state", .key = "state"},
    {.title = "total", .key = "total_minor", .kind = VIEW_MONEY},
    {.title = "paid", .key = "paid_minor", .kind = VIEW_MONEY},
    {.title = "due", .key = "due_minor", .kind = VIEW_MONEY},
    {.title = "due date", .key = "due_date"},
    {0},
};

static const struct view invoice_view = {"no invoices", invoice_fields, invoice_columns};

/* The `--line` options as [{description, quantity, unit_minor}], their sum within bounds. */
static enum result invoice_lines(const struct call *call, json_t **out, struct error *err)
{
    json_t *lines = json_array();
    size_t n = args_count(call->args, "line");
    int64_t total_minor = 0;

    if (n > LINES_MAX) {
        json_decref(lines);
        return error_set(err, RESULT_REJECTED, "too_many_lines", "An invoice has at most %d lines.",
                         LINES_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        struct value_line line;
        int64_t amount_minor;
        enum result r = value_line("line", args_at(call->args, "line", i), &line, err);
        if (r == RESULT_OK && (!money_mul(line.quantity, line.unit_minor, &amount_minor) ||
                               !money_add(total_minor, amount_minor, &total_minor))) {
            r = error_set(err, RESULT_REJECTED, "invalid_amount",
                          "The lines add up to more than %lld minor units, the largest amount.",
                          (long long)MONEY_MINOR_MAX);
        }
        if (r != RESULT_OK) {
            json_decref(lines);
            return r;
        }
        char *description = mem_strndup(line.description, line.description_len);
        json_t *object = json_object();
        json_put_text(object, "description", description);
        json_put_int(object, "quantity", line.quantity);
        json_put_int(object, "unit_minor", line.unit_minor);
        json_array_append_new(lines, object);
        free(description);
    }
    *out = lines;
    return RESULT_OK;
}

static int invoice_create(struct call *call)
{
    json_t *lines = NULL;
    struct error err;
    enum result r = invoice_lines(call, &lines, &err);

    if (r != RESULT_OK) {
        return call_failed(call, r, &err);
    }
    char *lines_text = call_json_take(lines);
    const char *params[] = {
        args_text(call->args, "merchant"),
        args_text(call->args, "customer"),
        args_text(call->args, "number"),
        args_text(call->args, "currency"),
        lines_text,
        args_text(call->args, "due"),
    };
    int status = call_object(call, "paylink.invoice_create", params, 6, &invoice_view);
    free(lines_text);
    return status;
}

static int invoice_show(struct call *call)
{
    const char *params[] = {args_text(call->args, "invoice")};

    return call_object(call, "paylink.invoice_show", params, 1, &invoice_view);
}

static int invoice_list(struct call *call)
{
    static const char *const by[] = {"customer", "state", NULL};

    return call_list_by(call, "paylink.invoice_list", args_text(call->args, "merchant"), by,
                        &invoice_view);
}

static int invoice_change(struct call *call)
{
    json_t *changes = json_object(), *lines = NULL;
    struct error err;
    enum result r = RESULT_OK;

    if (args_given(call->args, "line")) {
        r = invoice_lines(call, &lines, &err);
    } else if (!args_given(call->args, "due") && !args_given(call->args, "no-due")) {
        r = error_set(&err, RESULT_REJECTED, "nothing_to_change",
                      "Nothing to change: give --line, --due or --no-due.");
    }
    if (r != RESULT_OK) {
        json_decref(changes);
        return call_failed(call, r, &err);
    }
    if (lines != NULL) {
        json_object_set_new(changes, "lines", lines);
    }
    call_put_text(call, changes, "due", "due");
    if (args_given(call->args, "no-due")) {
        json_put_text(changes, "due", NULL);
    }
    char *text = call_json_take(changes);
    const char *params[] = {args_text(call->args, "invoice"), text};
    int status = call_object(call, "paylink.invoice_change", params, 2, &invoice_view);
    free(text);
    return status;
}

static int invoice_void(struct call *call)
{
    const char *params[] = {args_text(call->args, "invoice"), args_text(call->args, "reason")};

    return call_object(call, "paylink.invoice_void", params, 2, &invoice_view);
}

#define INVOICE_ID OPTION_SUBJECT("invoice", "The invoice.")
#define LINE_OPTION(needed)                                                                        \
    {                                                                                              \
        .name = "line", .kind = ARG_LINE, .flags = (needed) | ARG_REPEATED,                        \
        .unit = "DESC:QTY:UNIT_MINOR",                                                             \
        .help = "A line: description (it may contain colons), quantity (1 to 1000000) and price "  \
                "of one in minor units."                                                           \
    }
#define DUE_OPTION                                                                                 \
    {                                                                                              \
        .name = "due", .aliases = "due-date", .kind = ARG_DATE, .unit = "DATE",                    \
        .help = "The day until which payment is asked for, YYYY-MM-DD."                            \
    }

static const struct arg_option create_options[] = {
    OPTION_ID("merchant", ARG_REQUIRED, "The merchant that is owed."),
    OPTION_ID("customer", ARG_REQUIRED, "The customer that owes."),
    {.name = "number",
     .kind = ARG_TEXT,
     .flags = ARG_REQUIRED,
     .unit = "TEXT",
     .max = 64,
     .help = "The invoice's number, unique for the merchant, at most 64 characters."},
    {.name = "currency",
     .kind = ARG_CURRENCY,
     .flags = ARG_REQUIRED,
     .unit = "CODE",
     .help = "ISO 4217, for instance USD."},
    LINE_OPTION(ARG_REQUIRED),
    DUE_OPTION,
    {0},
};
static const struct arg_option show_options[] = {INVOICE_ID, {0}};
static const struct arg_option list_options[] = {
    OPTION_ID("merchant", ARG_REQUIRED | ARG_POSITIONAL, "The merchant whose invoices are listed."),
    OPTION_ID("customer", 0, "Only this customer's."),
    OPTION_CHOICE("state", "open|paid|void", "Only these."),
    {0},
};
static const struct arg_option change_options[] = {
    INVOICE_ID, LINE_OPTION(0),
    DUE_OPTION, {.name = "no-due", .kind = ARG_FLAG, .help = "Take the due date away."},
    {0},
};
static const struct arg_option void_options[] = {
    INVOICE_ID,
    {.name = "reason", .kind = ARG_TEXT, .unit = "TEXT", .help = "Why, for the books."},
    {0},
};

const struct command invoice_commands[] = {
    {.noun = "invoice",
     .verb = "create",
     .summary = "a new invoice with its lines",
     .about = "The total is the sum of quantity times unit price. It is booked at once: the "
              "customer's receivable against revenue.",
     .options = create_options,
     .example = "invoice create --merchant ID --customer ID --number INV-1 --currency USD --line "
                "\"Lathe service:1:12500\" --line \"Oil, 5 l:2:1995\" --due 2026-12-31",
     .run = invoice_create},
    {.noun = "invoice",
     .verb = "show",
     .summary = "one invoice: what is due, what is paid, its lines",
     .options = show_options,
     .example = "invoice show --invoice ID",
     .run = invoice_show},
    {.noun = "invoice",
     .verb = "list",
     .summary = "a merchant's invoices",
     .options = list_options,
     .example = "invoice list --merchant ID --state open",
     .run = invoice_list},
    {.noun = "invoice",
     .verb = "change",
     .summary = "a new revision: other lines or another due date",
     .about = "The given lines replace all earlier ones. Links of the invoice show the new total "
              "at once; a page that still shows the old one is refused and never charged.",
     .options = change_options,
     .example = "invoice change --invoice ID --line \"Lathe service:1:11000\"",
     .run = invoice_change},
    {.noun = "invoice",
     .verb = "void",
     .summary = "an invoice that is no longer owed",
     .about = "What is unpaid is taken back in the ledger, and its links stop working. What was "
              "paid stays booked and can be refunded.",
     .options = void_options,
     .example = "invoice void --invoice ID --reason \"ordered twice\"",
     .run = invoice_void},
    {0},
};
