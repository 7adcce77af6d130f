/* paylink payment and credit: money that came in, and what it was applied to. Must not know links.
 */
#include <stdlib.h>
#include <string.h>

#include "commands.h"

static const struct view_field allocation_columns[] = {
    {.title = "invoice", .key = "invoice"},
    {.title = "amount", .key = "amount_minor", .kind = VIEW_MONEY},
    {0},
};

static const struct view_field payment_fields[] = {
    {.title = "id", .key = "id"},
    {.title = "method", .key = "method"},
    {.title = "merchant", .key = "merchant"},
    {.title = "customer", .key = "customer"},
    {.title = "amount", .key = "amount_minor", .kind = VIEW_MONEY},
    {.title = "applied", .key = "applied_minor", .kind = VIEW_MONEY},
    {.title = "unapplied", .key = "unapplied_minor", .kind = VIEW_MONEY},
    {.title = "refunded", .key = "refunded_minor", .kind = VIEW_MONEY},
    {.title = "refundable", .key = "refundable_minor", .kind = VIEW_MONEY},
    {.title = "attempt", .key = "attempt", .optional = true},
    {.title = "gateway reference", .key = "gateway_ref", .optional = true},
    {.title = "receipt number", .key = "receipt_number", .optional = true},
    {.title = "key", .key = "key", .optional = true},
    {.title = "note", .key = "note", .optional = true},
    {.title = "created", .key = "created_at", .kind = VIEW_TIME},
    {.title = "applied to", .key = "allocations", .kind = VIEW_TABLE, .rows = allocation_columns},
    {0},
};

static const struct view_field payment_columns[] = {
    {.title = "id", .key = "id"},
    {.title = "method", .key = "method"},
    {.title = "amount", .key = "amount_minor", .kind = VIEW_MONEY},
    {.title = "applied", .key = "applied_minor", .kind = VIEW_MONEY},
    {.title = "unapplied", .key = "unapplied_minor", .kind = VIEW_MONEY},
    {.title = "refunded", .key = "refunded_minor", .kind = VIEW_MONEY},
    {.title = "created", .key = "created_at", .kind = VIEW_TIME},
    {0},
};

static const struct view payment_view = {"no payments", payment_fields, payment_columns};

static const struct view_field credit_fields[] = {
    {.title = "id", .key = "id"},
    {.title = "kind", .key = "kind"},
    {.title = "customer", .key = "customer"},
    {.title = "amount", .key = "amount_minor", .kind = VIEW_MONEY},
    {.title = "applied", .key = "applied_minor", .kind = VIEW_MONEY},
    {.title = "unapplied", .key = "unapplied_minor", .kind = VIEW_MONEY},
    {.title = "note", .key = "note", .optional = true},
    {.title = "created", .key = "created_at", .kind = VIEW_TIME},
    {.title = "applied to", .key = "allocations", .kind = VIEW_TABLE, .rows = allocation_columns},
    {0},
};

static const struct view credit_view = {"no credits", credit_fields, credit_fields};

static int payment_list(struct call *call)
{
    static const char *const by[] = {"invoice", "customer", "merchant", NULL};
    struct error err;

    for (size_t i = 0; by[i] != NULL; i++) {
        if (args_given(call->args, by[i])) {
            return call_list_by(call, "paylink.payment_list", NULL, by, &payment_view);
        }
    }
    error_set(&err, RESULT_REJECTED, "usage",
              "Whose payments? Give --invoice, --customer or --merchant.");
    return command_usage_failed(call->json, "paylink payment list --help", &err);
}

static int payment_show(struct call *call)
{
    const char *params[] = {args_text(call->args, "payment")};

    return call_object(call, "paylink.payment_show", params, 1, &payment_view);
}

/* An invoice has one currency for ever: naming another one is a mistake to be told before booking.
 */
static enum result check_currency(struct call *call, struct error *err)
{
    const char *invoice = args_text(call->args, "invoice");
    const char *currency = args_text(call->args, "currency");
    json_t *object = NULL;

    if (currency == NULL) {
        return RESULT_OK;
    }
    enum result r = call_sql(call, "paylink.invoice_show", &invoice, 1, &object, err);
    if (r == RESULT_OK) {
        const char *invoiced = json_get_text(object, "currency");
        if (invoiced == NULL || strcmp(invoiced, currency) != 0) {
            r = error_set(err, RESULT_REJECTED, "currency_mismatch",
                          "The invoice is in %s: a payment in %s cannot be recorded for it.",
                          invoiced == NULL ? "another currency" : invoiced, currency);
        }
        json_decref(object);
    }
    return r;
}

static int payment_record(struct call *call)
{
    struct error err;
    enum result r = check_currency(call, &err);

    if (r != RESULT_OK) {
        return call_failed(call, r, &err);
    }
    json_t *object = json_object();
    call_put_text(call, object, "key", "key");
    call_put_text(call, object, "note", "note");
    char *options = call_json_take(object);
    const char *params[] = {args_text(call->args, "invoice"), args_text(call->args, "method"),
                            args_text(call->args, "amount-minor"), options};
    int status = call_object(call, "paylink.payment_record", params, 4, &payment_view);
    free(options);
    return status;
}

static int credit_record(struct call *call)
{
    json_t *object = json_object();

    call_put_text(call, object, "currency", "currency");
    call_put_text(call, object, "kind", "kind");
    call_put_text(call, object, "invoice", "invoice");
    call_put_text(call, object, "key", "key");
    call_put_text(call, object, "note", "note");
    if (args_given(call->args, "no-apply")) {
        json_put_bool(object, "apply", false);
    }
    char *options = call_json_take(object);
    const char *params[] = {args_text(call->args, "customer"),
                            args_text(call->args, "amount-minor"), options};
    int status = call_object(call, "paylink.credit_record", params, 3, &credit_view);
    free(options);
    return status;
}

#define AMOUNT_OPTION                                                                              \
    {                                                                                              \
        .name = "amount-minor", .aliases = "amount", .kind = ARG_MONEY, .flags = ARG_REQUIRED,     \
        .unit = "MINOR", .help = "The amount in minor units: 12.50 USD is 1250."                   \
    }
#define KEY_OPTION                                                                                 \
    {                                                                                              \
        .name = "key", .kind = ARG_KEY, .unit = "KEY",                                             \
        .help = "A name of your choice that makes the command safe to repeat: with the same key "  \
                "nothing is booked twice."                                                         \
    }
#define CURRENCY_OPTION(what)                                                                      \
    {                                                                                              \
        .name = "currency", .kind = ARG_CURRENCY, .unit = "CODE", .help = (what)                   \
    }
#define NOTE_OPTION                                                                                \
    {                                                                                              \
        .name = "note", .kind = ARG_TEXT, .unit = "TEXT", .help = "A remark for the books."        \
    }

static const struct arg_option list_options[] = {
    OPTION_ID("invoice", 0, "Those applied to this invoice."),
    OPTION_ID("customer", 0, "Those of this customer."),
    OPTION_ID("merchant", 0, "All of this merchant."),
    {0},
};
static const struct arg_option show_options[] = {
    OPTION_SUBJECT("payment", "The payment."),
    {0},
};
static const struct arg_option record_options[] = {
    OPTION_ID("invoice", ARG_REQUIRED, "The invoice that was paid."),
    {.name = "method",
     .kind = ARG_CHOICE,
     .flags = ARG_REQUIRED,
     .unit = "METHOD",
     .choices = "cash|cheque|transfer|card_on_file_offline|other",
     .help = "How the money came: cash|cheque|transfer|card_on_file_offline|other."},
    AMOUNT_OPTION,
    CURRENCY_OPTION("Must be the invoice's; given, it is checked."),
    KEY_OPTION,
    NOTE_OPTION,
    {0},
};

const struct command payment_commands[] = {
    {.noun = "payment",
     .verb = "list",
     .summary = "payments of an invoice, a customer or a merchant",
     .options = list_options,
     .example = "payment list --invoice ID",
     .run = payment_list},
    {.noun = "payment",
     .verb = "show",
     .summary = "one payment, and what it was applied to",
     .options = show_options,
     .example = "payment show --payment ID",
     .run = payment_show},
    {.noun = "payment",
     .verb = "record",
     .summary = "money that came in cash, by cheque or by transfer",
     .about = "What exceeds the amount due stays the customer's unapplied balance and can be "
              "refunded.",
     .options = record_options,
     .example = "payment record --invoice ID --method cash --amount-minor 1250",
     .run = payment_record},
    {0},
};

static const struct arg_option credit_options[] = {
    OPTION_ID("customer", ARG_REQUIRED | ARG_POSITIONAL, "The customer who gets the credit."),
    AMOUNT_OPTION,
    CURRENCY_OPTION("The credit's currency (the merchant's own)."),
    OPTION_CHOICE(
        "kind", "credit|prepayment",
        "`credit` is granted (the default), `prepayment` is money that came to the bank."),
    OPTION_ID("invoice", 0, "Apply it to this invoice (default: the customer's oldest open ones)."),
    {.name = "no-apply",
     .kind = ARG_FLAG,
     .help = "Keep all of it as the customer's unapplied balance."},
    KEY_OPTION,
    NOTE_OPTION,
    {0},
};

const struct command credit_commands[] = {
    {.noun = "credit",
     .verb = "record",
     .summary = "a credit or a pre-payment of a customer",
     .about = "It lowers what is due at once, also on pages that payers have open. What no invoice "
              "takes stays the customer's unapplied balance.",
     .options = credit_options,
     .example = "credit record --customer ID --amount-minor 500",
     .run = credit_record},
    {0},
};
