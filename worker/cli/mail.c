/* paylink mail: what was mailed to customers, and what the mail server said. Sends nothing. */
#include "commands.h"

static const struct view_field mail_columns[] = {
    {.title = "id", .key = "id"},
    {.title = "kind", .key = "kind"},
    {.title = "state", .key = "state"},
    {.title = "e-mail", .key = "email"},
    {.title = "tries", .key = "tries", .kind = VIEW_NUMBER},
    {.title = "created", .key = "created_at", .kind = VIEW_TIME},
    {.title = "answer", .key = "answer", .optional = true},
    {0},
};

static const struct view mail_view = {"no mails", mail_columns, mail_columns};

static int mail_list(struct call *call)
{
    static const char *const by[] = {"merchant", "customer", "state", NULL};

    return call_list_by(call, "paylink.mail_list", NULL, by, &mail_view);
}

static const struct arg_option list_options[] = {
    OPTION_ID("merchant", 0, "Only this merchant's."),
    OPTION_ID("customer", 0, "Only this customer's."),
    OPTION_CHOICE("state", "waiting|sent|failed|dropped", "Only these."),
    {0},
};

const struct command mail_commands[] = {
    {.noun = "mail",
     .verb = "list",
     .summary = "mail to customers: new links and receipts",
     .about = "State is one of waiting (also after a failure of the moment: it is tried again for "
              "72 hours), sent, failed (refused by the mail server for good, or too old) and "
              "dropped (a new link for what was paid meanwhile). The answer is the mail server's.",
     .options = list_options,
     .example = "mail list --state failed",
     .run = mail_list},
    {0},
};
