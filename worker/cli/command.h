/*
 * One command of `paylink`: its table entry, and what a running one works with.
 *
 * Answers: with --json one JSON document on stdout, else a table or a list for people. A failure is
 * a sentence on stderr and, with --json, {"error": {"code", "message"}} on stdout.
 */
#ifndef PAYLINK_CLI_COMMAND_H
#define PAYLINK_CLI_COMMAND_H

#include <stdbool.h>

#include "../base/settings.h"
#include "../io/json.h"
#include "args.h"
#include "view.h"

enum exit_status {
    EXIT_OK = 0,
    EXIT_REFUSED = 1,     /* a business error; verify found something */
    EXIT_USAGE = 2,       /* wrong command line */
    EXIT_UNREACHABLE = 3, /* PostgreSQL, Redis or the gateway: try again */
    EXIT_CONFIGURATION = 4
};

#define COMMAND_NO_SETTINGS 1u /* works without --config; settings are loaded if it is given */
#define COMMAND_PROCESS     2u /* runs until it is stopped, and logs as the settings say */

struct call;

struct command {
    const char *noun; /* NULL ends a table */
    const char *verb; /* NULL: the noun alone is the command */
    const char *summary;
    const char *about; /* more lines of help; may be NULL */
    const struct arg_option *options;
    const char *example;           /* what follows `paylink --config FILE` */
    int (*run)(struct call *call); /* returns an exit_status */
    unsigned flags;
};

/* One run. */
struct call {
    const struct command *command;
    const struct args *args;
    const struct settings *settings; /* NULL only with COMMAND_NO_SETTINGS */
    bool json;
    int argc; /* the words behind the command's name, without --config FILE */
    char **argv;
    struct pg *pg; /* opened by the first call_sql() */
};

/* Runs `command` with the words behind its name. `config`: what stood before it, may be NULL;
 * `json`: --json stands anywhere. */
int command_run(const struct command *command, const char *config, bool json, int argc,
                char **argv);

/* Prints the failure and returns its exit status. */
int call_failed(const struct call *call, enum result r, const struct error *err);
/* The same before there is a call: wrong words on the command line. */
int command_usage_failed(bool json, const char *help, const struct error *err);

/* `function` as in io/pg.h. *out is set with RESULT_OK only. */
enum result call_sql(struct call *call, const char *function, const char *const *params, int n,
                     json_t **out, struct error *err) MUST_CHECK;

/* Asks, prints the answer, returns the exit status. An answer of SQL null is "not found". */
int call_object(struct call *call, const char *function, const char *const *params, int n,
                const struct view *view);
int call_list(struct call *call, const char *function, const char *const *params, int n,
              const struct view *view);

/* The same with a filter: the options named by `by` (NULL ends it), where given, under their own
 * names. The function takes (merchant, filter), or (filter) alone when `merchant` is NULL. */
int call_list_by(struct call *call, const char *function, const char *merchant,
                 const char *const *by, const struct view *view);

/* Prints a value that is already there, as JSON or through `view`. */
void call_print_object(const struct call *call, const json_t *object, const struct view *view);
void call_print_list(const struct call *call, const json_t *array, const struct view *view);

/* Adds option `name` under `key` if it was given. */
void call_put_text(const struct call *call, json_t *object, const char *key, const char *name);
void call_put_number(const struct call *call, json_t *object, const char *key, const char *name);
/* The compact text of `value`, which is released; the caller frees. */
char *call_json_take(json_t *value);

#endif
