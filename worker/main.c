/* paylink: finds the command and runs it. The only file that knows all of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "cli/commands.h"
#include "cli/help.h"
#include "cli/value.h"
#include "outbox/rebuild.h"
#include "sandbox/sandbox.h"
#include "settle/worker.h"

#ifndef PAYLINK_VERSION
#define PAYLINK_VERSION "0.1.0"
#endif

#define VERBS_MAX 16

static int run_worker(struct call *call)
{
    return worker_command(call->settings, call->argc, call->argv);
}

static int run_sandbox(struct call *call)
{
    return sandbox_command(call->settings, call->argc, call->argv);
}

static int run_rebuild(struct call *call)
{
    return rebuild_command(call->settings, call->argc, call->argv);
}

static const struct arg_option no_options[] = {{0}};

static const struct command worker_commands[] = {
    {.noun = "worker",
     .summary = "the process that charges, books and publishes",
     .about = "Reads submits from Redis, asks the gateway, books the results in PostgreSQL and "
              "publishes them; fills Redis with links that it is asked for; resolves unknown "
              "results; executes refunds; mails new links and receipts. Stops on SIGTERM once what "
              "it has begun is done. Any number may run, each under its own worker.name.",
     .options = no_options,
     .example = "worker",
     .run = run_worker,
     .flags = COMMAND_PROCESS},
    {0},
};

static const struct command sandbox_commands[] = {
    {.noun = "sandbox",
     .summary = "a gateway for trying out: the Stripe API, test cards, no money",
     .about = "Listens on sandbox.listen, keeps its charge log in sandbox.data_dir. Faults are "
              "switched on at run time under /sandbox/faults.",
     .options = no_options,
     .example = "sandbox",
     .run = run_sandbox,
     .flags = COMMAND_PROCESS},
    {0},
};

static const struct command rebuild_commands[] = {
    {.noun = "rebuild",
     .summary = "fill Redis with all links from PostgreSQL",
     .about =
         "For a Redis that lost its data; safe at any time, also while payers are paying: what "
         "Redis has in a newer version stays. Not needed after a restart of Redis, and links "
         "come back one by one without it as they are asked for.",
     .options = no_options,
     .example = "rebuild",
     .run = run_rebuild},
    {0},
};

/* In the order of the help. */
static const struct command *const nouns[] = {
    merchant_commands, customer_commands, invoice_commands,
    link_commands,     payment_commands,  credit_commands,
    refund_commands,   ledger_commands,   attempt_commands,
    mail_commands,     worker_commands,   sandbox_commands,
    migrate_commands,  rebuild_commands,  verify_commands,
    keys_commands,     settings_commands, NULL,
};

#define NOUN_COUNT (sizeof(nouns) / sizeof(nouns[0]) - 1)

/* Keys and card tokens pass through memory: no core dump, no ptrace by other processes of the user.
 */
static void harden(void)
{
    struct rlimit none = {0, 0};

    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
}

static const struct command *find_noun(const char *name)
{
    for (size_t i = 0; i < NOUN_COUNT; i++) {
        if (strcmp(nouns[i]->noun, name) == 0) {
            return nouns[i];
        }
    }
    return NULL;
}

static const struct command *find_verb(const struct command *commands, const char *name)
{
    for (const struct command *c = commands; c->noun != NULL; c++) {
        if (c->verb != NULL && strcmp(c->verb, name) == 0) {
            return c;
        }
    }
    return NULL;
}

/* "there is no command “invioce”; did you mean “invoice”?" */
static int unknown(bool json, const char *word, const char *const *known, const char *help)
{
    struct error err;
    char quoted[VALUE_QUOTE_SIZE];
    const char *nearest = args_nearest(word, known);

    error_set(&err, RESULT_REJECTED, "usage", "there is no command “%s”%s%s%s.",
              value_quote(word, quoted), nearest == NULL ? "" : "; did you mean “",
              nearest == NULL ? "" : nearest, nearest == NULL ? "" : "”?");
    return command_usage_failed(json, help, &err);
}

static int unknown_noun(bool json, const char *word)
{
    const char *known[NOUN_COUNT + 1] = {NULL};

    for (size_t i = 0; i < NOUN_COUNT; i++) {
        known[i] = nouns[i]->noun;
    }
    return unknown(json, word, known, "paylink --help");
}

static int unknown_verb(bool json, const struct command *commands, const char *word)
{
    const char *known[VERBS_MAX] = {NULL};
    char help[64];

    for (size_t i = 0; i < VERBS_MAX - 1 && commands[i].noun != NULL; i++) {
        known[i] = commands[i].verb;
    }
    snprintf(help, sizeof(help), "paylink %s --help", commands->noun);
    return unknown(json, word, known, help);
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

/* The words from the command's name on. */
static int dispatch(const char *config, bool json, int argc, char **argv)
{
    const struct command *commands = find_noun(argv[0]);

    if (commands == NULL) {
        return unknown_noun(json, argv[0]);
    }
    if (commands->verb == NULL) {
        return command_run(commands, config, json, argc - 1, argv + 1);
    }
    if (argc < 2) {
        help_noun(commands, stderr);
        return EXIT_USAGE;
    }
    if (is_help(argv[1])) {
        help_noun(commands, stdout);
        return EXIT_OK;
    }
    const struct command *command = find_verb(commands, argv[1]);
    if (command == NULL) {
        return unknown_verb(json, commands, argv[1]);
    }
    return command_run(command, config, json, argc - 2, argv + 2);
}

/* `paylink help [COMMAND [SUBCOMMAND]]` */
static int help_words(int argc, char **argv)
{
    const struct command *commands = argc > 0 ? find_noun(argv[0]) : NULL;

    if (argc == 0) {
        help_program(nouns, stdout);
        return EXIT_OK;
    }
    if (commands == NULL) {
        return unknown_noun(false, argv[0]);
    }
    if (commands->verb == NULL) {
        help_command(commands, stdout);
        return EXIT_OK;
    }
    if (argc == 1) {
        help_noun(commands, stdout);
        return EXIT_OK;
    }
    const struct command *command = find_verb(commands, argv[1]);
    if (command == NULL) {
        return unknown_verb(false, commands, argv[1]);
    }
    help_command(command, stdout);
    return EXIT_OK;
}

/* An option in front of the command: 1 or 2 words taken, 0: no option of ours. --json counts
 * anywhere. */
static int global_option(char **argv, const char **config, struct error *err)
{
    if (strcmp(argv[0], "--json") == 0) {
        return 1;
    }
    if (strncmp(argv[0], "--config=", 9) == 0) {
        *config = argv[0] + 9;
        return 1;
    }
    if (strcmp(argv[0], "--config") == 0 && argv[1] != NULL) {
        *config = argv[1];
        return 2;
    }
    if (strcmp(argv[0], "--config") == 0) {
        error_set(err, RESULT_REJECTED, "usage", "--config needs a file.");
    } else {
        char quoted[VALUE_QUOTE_SIZE];
        error_set(err, RESULT_REJECTED, "usage", "unknown option %s in front of the command.",
                  value_quote(argv[0], quoted));
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *config = getenv("PAYLINK_CONFIG");
    bool json = false;
    int at = 1;

    harden();
    for (int i = 1; i < argc; i++) { /* anywhere: also a command that does not exist is told so */
        json = json || strcmp(argv[i], "--json") == 0;
    }
    while (at < argc && argv[at][0] == '-') {
        struct error err;
        if (is_help(argv[at])) {
            help_program(nouns, stdout);
            return EXIT_OK;
        }
        if (strcmp(argv[at], "--version") == 0) {
            puts("paylink " PAYLINK_VERSION);
            return EXIT_OK;
        }
        int taken = global_option(argv + at, &config, &err);
        if (taken == 0) {
            return command_usage_failed(json, "paylink --help", &err);
        }
        at += taken;
    }
    if (at == argc) {
        help_program(nouns, stderr);
        return EXIT_USAGE;
    }
    if (is_help(argv[at])) {
        return help_words(argc - at - 1, argv + at + 1);
    }
    return dispatch(config, json, argc - at, argv + at);
}
