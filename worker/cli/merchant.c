/* paylink merchant and customer: who collects, and who pays. Must not know invoices. */
#include <stdlib.h>
#include <string.h>

#include "../core/money.h"
#include "commands.h"
#include "look.h"

#define LOCALE_OPTION                                                                              \
    {                                                                                              \
        .name = "locale", .kind = ARG_LOCALE, .unit = "TAG",                                       \
        .help = "Language and region of pages and amounts (BCP 47), for instance de-CH."           \
    }

static const struct view_field merchant_fields[] = {
    {.title = "id", .key = "id"},
    {.title = "name", .key = "name"},
    {.title = "currency", .key = "currency"},
    {.title = "when paid elsewhere", .key = "when_paid_elsewhere"},
    {.title = "locale", .key = "locale"},
    {.title = "link ceiling, days", .key = "link_ceiling_days", .kind = VIEW_NUMBER},
    {.title = "gateway account", .key = "gateway_account", .optional = true},
    {.title = "accent", .key = "accent", .optional = true},
    {.title = "logo", .key = "logo", .optional = true},
    {.title = "partial payments from",
     .key = "partial_min_minor",
     .kind = VIEW_NUMBER,
     .optional = true},
    {.title = "reply to", .key = "reply_to", .optional = true},
    {.title = "created", .key = "created_at", .kind = VIEW_TIME},
    {0},
};

static const struct view_field merchant_columns[] = {
    {.title = "id", .key = "id"},
    {.title = "name", .key = "name"},
    {.title = "currency", .key = "currency"},
    {.title = "when paid elsewhere", .key = "when_paid_elsewhere"},
    {.title = "locale", .key = "locale"},
    {0},
};

static const struct view merchant_view = {"no merchants", merchant_fields, merchant_columns};

static const struct view_field customer_fields[] = {
    {.title = "id", .key = "id"},
    {.title = "merchant", .key = "merchant"},
    {.title = "name", .key = "name"},
    {.title = "e-mail", .key = "email"},
    {.title = "locale", .key = "locale"},
    {.title = "unapplied", .key = "unapplied_minor", .kind = VIEW_MONEY, .optional = true},
    {.title = "created", .key = "created_at", .kind = VIEW_TIME},
    {0},
};

static const struct view_field customer_columns[] = {
    {.title = "id", .key = "id"},
    {.title = "name", .key = "name"},
    {.title = "e-mail", .key = "email"},
    {.title = "locale", .key = "locale"},
    {0},
};

static const struct view customer_view = {"no customers", customer_fields, customer_columns};

static void put_switch(const struct call *call, json_t *settings, const char *key, const char *name)
{
    if (args_given(call->args, name)) {
        json_put_bool(settings, key, strcmp(args_text(call->args, name), "on") == 0);
    }
}

static json_t *merchant_settings(const struct call *call)
{
    json_t *settings = json_object();

    call_put_text(call, settings, "when_paid_elsewhere", "when-paid-elsewhere");
    call_put_text(call, settings, "locale", "locale");
    call_put_number(call, settings, "link_ceiling_days", "link-ceiling-days");
    call_put_text(call, settings, "gateway_account", "gateway-account");
    put_switch(call, settings, "links_on", "links");
    put_switch(call, settings, "choose_invoices", "choose-invoices");
    put_switch(call, settings, "receipt_mail", "receipt-mail");
    if (args_given(call->args, "reply-to")) {
        const char *address = args_text(call->args, "reply-to");
        json_put_text(settings, "reply_to", strcmp(address, "none") == 0 ? NULL : address);
    }
    if (args_given(call->args, "partial-min-minor")) {
        call_put_number(call, settings, "partial_min_minor", "partial-min-minor");
        if (args_number(call->args, "partial-min-minor", 0) == 0) {
            json_put_text(settings, "partial_min_minor", NULL);
        }
    }
    return settings;
}

static int merchant_create(struct call *call)
{
    json_t *object = merchant_settings(call);
    struct error err;

    if (look_put(call, object, &err) != RESULT_OK) {
        json_decref(object);
        return call_failed(call, RESULT_REJECTED, &err);
    }
    if (!args_given(call->args, "gateway-account") &&
        call->settings->gateway_publishable_key != NULL) {
        json_put_text(object, "gateway_account", call->settings->gateway_publishable_key);
    }
    char *settings = call_json_take(object);
    const char *params[] = {args_text(call->args, "name"), args_text(call->args, "currency"),
                            settings};
    int status = call_object(call, "paylink.merchant_create", params, 3, &merchant_view);

    free(settings);
    return status;
}

static int merchant_show(struct call *call)
{
    const char *params[] = {args_text(call->args, "merchant")};

    return call_object(call, "paylink.merchant_show", params, 1, &merchant_view);
}

static int merchant_list(struct call *call)
{
    return call_list(call, "paylink.merchant_list", NULL, 0, &merchant_view);
}

static int merchant_change(struct call *call)
{
    json_t *settings = merchant_settings(call);
    struct error err;

    if (look_put(call, settings, &err) != RESULT_OK) {
        json_decref(settings);
        return call_failed(call, RESULT_REJECTED, &err);
    }
    call_put_text(call, settings, "name", "name");
    call_put_text(call, settings, "currency", "currency");
    if (json_object_size(settings) == 0) {
        json_decref(settings);
        error_set(&err, RESULT_REJECTED, "nothing_to_change", "Nothing to change: give a setting.");
        return call_failed(call, RESULT_REJECTED, &err);
    }
    char *text = call_json_take(settings);
    const char *params[] = {args_text(call->args, "merchant"), text};
    int status = call_object(call, "paylink.merchant_change", params, 2, &merchant_view);

    free(text);
    return status;
}

static int customer_create(struct call *call)
{
    json_t *object = json_object();

    call_put_text(call, object, "locale", "locale");
    char *settings = call_json_take(object);
    const char *params[] = {args_text(call->args, "merchant"), args_text(call->args, "name"),
                            args_text(call->args, "email"), settings};
    int status = call_object(call, "paylink.customer_create", params, 4, &customer_view);
    free(settings);
    return status;
}

static int customer_show(struct call *call)
{
    const char *params[] = {args_text(call->args, "customer")};

    return call_object(call, "paylink.customer_show", params, 1, &customer_view);
}

static int customer_list(struct call *call)
{
    const char *params[] = {args_text(call->args, "merchant")};

    return call_list(call, "paylink.customer_list", params, 1, &customer_view);
}

#define WHEN_PAID_ELSEWHERE                                                                        \
    {                                                                                              \
        .name = "when-paid-elsewhere", .kind = ARG_CHOICE, .unit = "refuse|overpayment",           \
        .choices = "refuse|overpayment",                                                           \
        .help = "What a link does whose invoice was paid through another channel: `refuse` never " \
                "charges (the default), `overpayment` charges and keeps the money as the "         \
                "customer's unapplied balance."                                                    \
    }
#define LINK_CEILING_DAYS                                                                          \
    {                                                                                              \
        .name = "link-ceiling-days", .kind = ARG_NUMBER, .unit = "DAYS", .min = 1, .max = 3660,    \
        .help = "How long a link lives that nobody ever opens, 1 to 3660 days (180)."              \
    }
#define GATEWAY_ACCOUNT                                                                              \
    {                                                                                                \
        .name = "gateway-account", .kind = ARG_KEY, .unit = "PK",                                    \
        .help = "The gateway's publishable key of this merchant, pk_…; without it the one in the " \
                "settings."                                                                          \
    }
#define ACCENT                                                                                     \
    {                                                                                              \
        .name = "accent", .kind = ARG_TEXT, .unit = "#RRGGBB", .max = 16,                          \
        .help =                                                                                    \
            "The colour of buttons and links on pages, such as #0b6655: darkened or lightened "    \
            "until it can be read; `none`: the pages' own."                                        \
    }
#define LOGO                                                                                       \
    {                                                                                              \
        .name = "logo", .kind = ARG_PATH, .unit = "FILE.png",                                      \
        .help = "A PNG of at most 64 KiB and 512 by 512 pixels, shown beside the name on pages; "  \
                "`none`: the first letter of the name."                                            \
    }
#define LINKS                                                                                      \
    OPTION_CHOICE("links", "on|off",                                                               \
                  "`off`: every link says that it is switched off, and takes no payment, until "   \
                  "they are `on` again.")
#define CHOOSE_INVOICES                                                                            \
    OPTION_CHOICE("choose-invoices", "on|off",                                                     \
                  "`on`: payers may choose which invoices of a link they pay.")
#define PARTIAL_MIN                                                                                \
    {                                                                                              \
        .name = "partial-min-minor", .kind = ARG_NUMBER, .unit = "MINOR", .max = MONEY_MINOR_MAX,  \
        .help = "Payers may pay less than is due, from this on, in minor units; 0: all or "        \
                "nothing."                                                                         \
    }
#define RECEIPT_MAIL                                                                               \
    OPTION_CHOICE("receipt-mail", "on|off",                                                        \
                  "`off`: who pays through a link gets no receipt by mail.")
#define REPLY_TO                                                                                   \
    {                                                                                              \
        .name = "reply-to", .kind = ARG_TEXT, .unit = "ADDRESS", .max = 254,                       \
        .help = "Where answers to its mail go; `none`: to the sender's address."                   \
    }
#define MERCHANT_ID OPTION_SUBJECT("merchant", "The merchant.")

#define NAME_OPTION(needed)                                                                        \
    {                                                                                              \
        .name = "name", .kind = ARG_TEXT, .flags = (needed), .unit = "TEXT", .max = 200,           \
        .help = "The name that payers see, at most 200 characters."                                \
    }
#define CURRENCY_OPTION(needed)                                                                    \
    {                                                                                              \
        .name = "currency", .kind = ARG_CURRENCY, .flags = (needed), .unit = "CODE",               \
        .help = "The merchant's own currency, ISO 4217, for instance USD."                         \
    }

static const struct arg_option merchant_create_options[] = {
    NAME_OPTION(ARG_REQUIRED),
    CURRENCY_OPTION(ARG_REQUIRED),
    WHEN_PAID_ELSEWHERE,
    LOCALE_OPTION,
    LINK_CEILING_DAYS,
    GATEWAY_ACCOUNT,
    ACCENT,
    LOGO,
    LINKS,
    CHOOSE_INVOICES,
    PARTIAL_MIN,
    RECEIPT_MAIL,
    REPLY_TO,
    {0},
};
static const struct arg_option merchant_show_options[] = {MERCHANT_ID, {0}};
static const struct arg_option no_options[] = {{0}};
static const struct arg_option merchant_change_options[] = {
    MERCHANT_ID,
    NAME_OPTION(0),
    CURRENCY_OPTION(0),
    WHEN_PAID_ELSEWHERE,
    LOCALE_OPTION,
    LINK_CEILING_DAYS,
    GATEWAY_ACCOUNT,
    ACCENT,
    LOGO,
    LINKS,
    CHOOSE_INVOICES,
    PARTIAL_MIN,
    RECEIPT_MAIL,
    REPLY_TO,
    {0},
};

const struct command merchant_commands[] = {
    {.noun = "merchant",
     .verb = "create",
     .summary = "a new merchant, with an empty ledger",
     .options = merchant_create_options,
     .example = "merchant create --name \"Harbour Tools\" --currency USD",
     .run = merchant_create},
    {.noun = "merchant",
     .verb = "show",
     .summary = "one merchant and its settings",
     .options = merchant_show_options,
     .example = "merchant show 018f3c4e-7d2a-7b61-9c55-2f1d0e9ab340",
     .run = merchant_show},
    {.noun = "merchant",
     .verb = "list",
     .summary = "all merchants",
     .options = no_options,
     .example = "merchant list",
     .run = merchant_list},
    {.noun = "merchant",
     .verb = "change",
     .summary = "other settings for a merchant",
     .about = "Only what is given changes. It counts for every submit from now on, also through "
              "links that are already out.",
     .options = merchant_change_options,
     .example = "merchant change --merchant ID --when-paid-elsewhere overpayment",
     .run = merchant_change},
    {0},
};

static const struct arg_option customer_create_options[] = {
    OPTION_ID("merchant", ARG_REQUIRED, "The merchant whose customer this is."),
    {.name = "name",
     .kind = ARG_TEXT,
     .flags = ARG_REQUIRED,
     .unit = "TEXT",
     .max = 200,
     .help = "A person's or a company's name, at most 200 characters."},
    {.name = "email",
     .kind = ARG_EMAIL,
     .flags = ARG_REQUIRED,
     .unit = "ADDRESS",
     .help = "Where links and receipts go."},
    LOCALE_OPTION,
    {0},
};
static const struct arg_option customer_show_options[] = {
    OPTION_SUBJECT("customer", "The customer."),
    {0},
};
static const struct arg_option customer_list_options[] = {
    OPTION_ID("merchant", ARG_REQUIRED | ARG_POSITIONAL,
              "The merchant whose customers are listed."),
    {0},
};

const struct command customer_commands[] = {
    {.noun = "customer",
     .verb = "create",
     .summary = "a new customer of a merchant",
     .options = customer_create_options,
     .example = "customer create --merchant ID --name \"Ada Byron\" --email ada@example.com",
     .run = customer_create},
    {.noun = "customer",
     .verb = "show",
     .summary = "one customer",
     .options = customer_show_options,
     .example = "customer show --customer ID",
     .run = customer_show},
    {.noun = "customer",
     .verb = "list",
     .summary = "a merchant's customers",
     .options = customer_list_options,
     .example = "customer list --merchant ID",
     .run = customer_list},
    {0},
};
