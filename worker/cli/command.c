/* Runs a command: options, settings, database, answer. Must not know what any command means. */
#define LOG_AREA "cli"
#include "command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "../core/form.h"
#include "../io/pg.h"
#include "help.h"

static void print_json(const json_t *value)
{
    char *text = json_text(value);

    puts(text);
    free(text);
}

/* A message may quote bytes that are no text, and it may be cut inside a character. */
static void repair_text(char *text)
{
    size_t len = strlen(text);

    for (int i = 0; i < 3 && len > 0 && !utf8_valid(text, len); i++) {
        text[--len] = '\0';
    }
    for (char *c = text; !utf8_valid(text, len) && *c != '\0'; c++) {
        if ((unsigned char)*c >= 0x80) {
            *c = '?';
        }
    }
}

static void print_failure(bool json, const struct error *err)
{
    struct error told = *err;

    repair_text(told.text);
    fprintf(stderr, "paylink: %s\n", told.text);
    if (json) {
        json_t *error = json_object();
        json_t *document = json_object();
        json_put_text(error, "code", told.code);
        json_put_text(error, "message", told.text);
        json_object_set_new(document, "error", error);
        print_json(document);
        json_decref(document);
    }
}

int call_failed(const struct call *call, enum result r, const struct error *err)
{
    print_failure(call->json, err);
    return r == RESULT_RETRY   ? EXIT_UNREACHABLE
           : r == RESULT_FATAL ? EXIT_CONFIGURATION
                               : EXIT_REFUSED;
}

int command_usage_failed(bool json, const char *help, const struct error *err)
{
    print_failure(json, err);
    fprintf(stderr, "See `%s`.\n", help);
    return EXIT_USAGE;
}

static enum log_level level_of(const char *name)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};

    for (int i = 0; name != NULL && i < 4; i++) {
        if (strcmp(name, names[i]) == 0) {
            return (enum log_level)i;
        }
    }
    return LOG_LEVEL_WARN;
}

/* An operator's terminal shows what went wrong, not the life of the program. */
static void start_log(const struct settings *settings, bool process)
{
    enum log_level level = level_of(settings == NULL ? NULL : settings->log_level);

    log_init("paylink", process || level > LOG_LEVEL_WARN ? level : LOG_LEVEL_WARN);
}

static int run_with_settings(struct call *call, const char *config)
{
    struct settings settings;
    struct error err;

    if (config == NULL) {
        error_set(&err, RESULT_FATAL, "usage",
                  "--config FILE is missing: name the settings file, or set PAYLINK_CONFIG "
                  "(`paylink settings example` prints one).");
        print_failure(call->json, &err);
        return EXIT_USAGE;
    }
    if (settings_load(config, &settings, &err) != RESULT_OK) {
        print_failure(call->json, &err);
        return EXIT_CONFIGURATION;
    }
    call->settings = &settings;
    start_log(&settings, (call->command->flags & COMMAND_PROCESS) != 0);
    int status = call->command->run(call);
    pg_free(call->pg);
    call->settings = NULL;
    settings_free(&settings);
    return status;
}

/* Output that could not be written was not given. */
static int close_output(int status)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "paylink: the answer could not be written to standard output.\n");
        return status == EXIT_OK ? EXIT_UNREACHABLE : status;
    }
    return status;
}

/* Takes `--config FILE` out, which is nothing to a process that reads its own words. */
static int drop_config(int argc, char **argv)
{
    int kept = 0;

    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--config") == 0) {
            i++;
        } else if (strncmp(argv[i], "--config=", 9) != 0) {
            argv[kept++] = argv[i];
        }
    }
    return kept;
}

int command_run(const struct command *command, const char *config, bool json, int argc, char **argv)
{
    struct call call = {.command = command, .json = json, .argv = argv};
    struct args *args = NULL;
    struct error err;
    char help[96];
    int status;

    snprintf(help, sizeof(help), "paylink %s%s%s --help", command->noun,
             command->verb == NULL ? "" : " ", command->verb == NULL ? "" : command->verb);
    if (args_parse(command->options, argc, argv, &args, &err) != RESULT_OK) {
        return close_output(command_usage_failed(call.json, help, &err));
    }
    call.args = args;
    call.argc = drop_config(argc, argv);
    config = args_config(args) == NULL ? config : args_config(args);
    if (args_help(args)) {
        help_command(command, stdout);
        status = EXIT_OK;
    } else if (args_complete(args, &err) != RESULT_OK) {
        status = command_usage_failed(call.json, help, &err);
    } else if (config == NULL && (command->flags & COMMAND_NO_SETTINGS) != 0) {
        start_log(NULL, false);
        status = command->run(&call);
    } else {
        status = run_with_settings(&call, config);
    }
    args_free(args);
    return close_output(status);
}

enum result call_sql(struct call *call, const char *function, const char *const *params, int n,
                     json_t **out, struct error *err)
{
    if (call->pg == NULL) {
        call->pg = pg_new(call->settings->pg_conninfo, "paylink cli",
                          call->settings->pg_statement_timeout_ms);
    }
    enum result r = pg_call(call->pg, function, params, n, out, err);
    if (r == RESULT_FATAL) {
        struct error said = *err;
        error_set(err, r, said.code, "%.360s. Is the schema current? See `paylink migrate`.",
                  said.text);
    }
    return r;
}

void call_print_object(const struct call *call, const json_t *object, const struct view *view)
{
    if (call->json) {
        print_json(object);
    } else {
        view_print_object(object, view, stdout);
    }
}

void call_print_list(const struct call *call, const json_t *array, const struct view *view)
{
    if (call->json) {
        print_json(array);
    } else {
        view_print_list(array, view, stdout);
    }
}

int call_object(struct call *call, const char *function, const char *const *params, int n,
                const struct view *view)
{
    json_t *object = NULL;
    struct error err;
    enum result r = call_sql(call, function, params, n, &object, &err);

    if (r == RESULT_OK && object == NULL) {
        r = error_set(&err, RESULT_REJECTED, "not_found", "There is no such %s.",
                      call->command->noun);
    }
    if (r != RESULT_OK) {
        return call_failed(call, r, &err);
    }
    call_print_object(call, object, view);
    json_decref(object);
    return EXIT_OK;
}

int call_list(struct call *call, const char *function, const char *const *params, int n,
              const struct view *view)
{
    json_t *array = NULL;
    struct error err;
    enum result r = call_sql(call, function, params, n, &array, &err);

    if (r != RESULT_OK) {
        return call_failed(call, r, &err);
    }
    if (array == NULL) {
        array = json_array();
    }
    call_print_list(call, array, view);
    json_decref(array);
    return EXIT_OK;
}

int call_list_by(struct call *call, const char *function, const char *merchant,
                 const char *const *by, const struct view *view)
{
    json_t *object = json_object();

    for (; *by != NULL; by++) {
        call_put_text(call, object, *by, *by);
    }
    char *filter = call_json_take(object);
    const char *params[] = {merchant, filter};
    int status = merchant == NULL ? call_list(call, function, &params[1], 1, view)
                                  : call_list(call, function, params, 2, view);
    free(filter);
    return status;
}

void call_put_text(const struct call *call, json_t *object, const char *key, const char *name)
{
    if (args_given(call->args, name)) {
        json_put_text(object, key, args_text(call->args, name));
    }
}

void call_put_number(const struct call *call, json_t *object, const char *key, const char *name)
{
    if (args_given(call->args, name)) {
        json_put_int(object, key, args_number(call->args, name, 0));
    }
}

char *call_json_take(json_t *value)
{
    char *text = json_text(value);

    json_decref(value);
    return text;
}
