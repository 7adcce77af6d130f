/* Options of a command line, parsed by table. Must not know what commands do with them. */
#include "args.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"
#include "value.h"

#define ARGS_VALUES_MAX 2000 /* `--line` of the longest invoice, with room */

struct args_value {
    const struct arg_option *option;
    const char *text;
};

struct args {
    const struct arg_option *options;
    bool help;
    const char *config;
    size_t count;
    struct args_value *values;
};

static bool word_in(const char *words, const char *word, size_t len)
{
    for (const char *at = words; at != NULL && *at != '\0';) {
        size_t n = strcspn(at, " ");
        if (n == len && memcmp(at, word, n) == 0) {
            return true;
        }
        at += n + (at[n] == ' ' ? 1 : 0);
    }
    return false;
}

static const struct arg_option *option_find(const struct arg_option *options, const char *name,
                                            size_t len)
{
    for (const struct arg_option *o = options; o->name != NULL; o++) {
        if ((strlen(o->name) == len && memcmp(o->name, name, len) == 0) ||
            word_in(o->aliases, name, len)) {
            return o;
        }
    }
    return NULL;
}

/* The next ARG_POSITIONAL option that still takes a value. */
static const struct arg_option *option_positional(const struct args *args)
{
    for (const struct arg_option *o = args->options; o->name != NULL; o++) {
        if ((o->flags & ARG_POSITIONAL) != 0 &&
            ((o->flags & ARG_REPEATED) != 0 || !args_given(args, o->name))) {
            return o;
        }
    }
    return NULL;
}

/* Edit distance of two short words, where exchanging neighbours counts one. */
static unsigned distance(const char *a, const char *b)
{
    enum { LEN_MAX = 31 };
    unsigned row[3][LEN_MAX + 1];
    size_t a_len = strlen(a), b_len = strlen(b);

    if (a_len > LEN_MAX || b_len > LEN_MAX) {
        return LEN_MAX;
    }
    for (size_t j = 0; j <= b_len; j++) {
        row[0][j] = (unsigned)j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        unsigned *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            unsigned best = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            best = last[j] + 1 < best ? last[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best) {
                best = before[j - 2] + 1;
            }
            now[j] = best;
        }
    }
    return row[a_len % 3][b_len];
}

const char *args_nearest(const char *word, const char *const *known)
{
    const char *nearest = NULL;
    unsigned best = strlen(word) < 5 ? 2 : 3; /* nearer than this */

    for (; *known != NULL; known++) {
        unsigned d = distance(word, *known);
        if (d < best) {
            best = d;
            nearest = *known;
        }
    }
    return nearest;
}

static enum result unknown_option(const struct args *args, const char *name, struct error *err)
{
    enum { KNOWN_MAX = 32 };
    const char *known[KNOWN_MAX] = {"json", "help", "config"};
    size_t n = 3;
    char quoted[VALUE_QUOTE_SIZE];

    for (const struct arg_option *o = args->options; o->name != NULL && n < KNOWN_MAX - 1; o++) {
        known[n++] = o->name;
    }
    known[n] = NULL;
    const char *nearest = args_nearest(name, known);
    if (nearest != NULL) {
        return error_set(err, RESULT_REJECTED, "usage", "unknown option --%s; did you mean --%s?",
                         value_quote(name, quoted), nearest);
    }
    return error_set(err, RESULT_REJECTED, "usage", "unknown option --%s.",
                     value_quote(name, quoted));
}

static enum result keep(struct args *args, const struct arg_option *option, const char *name,
                        char *value, struct error *err)
{
    if ((option->flags & ARG_REPEATED) == 0 && args_given(args, option->name)) {
        return error_set(err, RESULT_REJECTED, "usage", "--%s is given twice.", option->name);
    }
    if (args->count == ARGS_VALUES_MAX) {
        return error_set(err, RESULT_REJECTED, "usage", "more than %d values.", ARGS_VALUES_MAX);
    }
    if (value != NULL) {
        enum result r = value_check(option, name, value, err);
        if (r != RESULT_OK) {
            return r;
        }
    }
    args->values = mem_realloc(args->values, (args->count + 1) * sizeof(*args->values));
    args->values[args->count++] = (struct args_value){option, value};
    return RESULT_OK;
}

/* One `--name`, `--name VALUE` or `--name=VALUE` at argv[*i]; moves *i over what it took. */
static enum result parse_option(struct args *args, int argc, char **argv, int *i, struct error *err)
{
    static const struct arg_option config = {.name = "config", .kind = ARG_PATH};
    char *name = argv[*i] + 2;
    size_t name_len = strcspn(name, "=");
    char *value = name[name_len] == '=' ? name + name_len + 1 : NULL;
    char plain[64];

    if (name_len == 0 || name_len >= sizeof(plain)) {
        return unknown_option(args, name, err);
    }
    memcpy(plain, name, name_len);
    plain[name_len] = '\0';

    const struct arg_option *option =
        strcmp(plain, "config") == 0 ? &config : option_find(args->options, plain, name_len);
    bool json = option == NULL && strcmp(plain, "json") == 0;
    if (option == NULL && !json) {
        return unknown_option(args, plain, err);
    }
    if (json || option->kind == ARG_FLAG) {
        if (value != NULL) {
            return error_set(err, RESULT_REJECTED, "usage", "--%s takes no value.", plain);
        }
        return json ? RESULT_OK : keep(args, option, plain, NULL, err);
    }
    if (value == NULL) {
        if (*i + 1 >= argc || strncmp(argv[*i + 1], "--", 2) == 0) {
            return error_set(
                err, RESULT_REJECTED, "usage",
                "--%s needs a value (a value that begins with two dashes: --%s=VALUE).", plain,
                plain);
        }
        value = argv[++*i];
    }
    if (option == &config) {
        args->config = value;
        return value_check(option, plain, value, err);
    }
    return keep(args, option, plain, value, err);
}

static enum result parse_words(struct args *args, int argc, char **argv, struct error *err)
{
    for (int i = 0; i < argc; i++) {
        enum result r;
        if (strncmp(argv[i], "--", 2) == 0) {
            r = parse_option(args, argc, argv, &i, err);
        } else {
            const struct arg_option *option = option_positional(args);
            if (option == NULL) {
                char quoted[VALUE_QUOTE_SIZE];
                return error_set(err, RESULT_REJECTED, "usage", "“%s” is one word too many.",
                                 value_quote(argv[i], quoted));
            }
            r = keep(args, option, option->name, argv[i], err);
        }
        if (r != RESULT_OK) {
            return r;
        }
    }
    return RESULT_OK;
}

enum result args_parse(const struct arg_option *options, int argc, char **argv, struct args **out,
                       struct error *err)
{
    struct args *args = mem_alloc(sizeof(*args));
    args->options = options;

    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            args->help = true;
            *out = args;
            return RESULT_OK;
        }
    }
    enum result r = parse_words(args, argc, argv, err);
    if (r != RESULT_OK) {
        args_free(args);
        return r;
    }
    *out = args;
    return RESULT_OK;
}

void args_free(struct args *args)
{
    if (args != NULL) {
        free(args->values);
        free(args);
    }
}

bool args_help(const struct args *args)
{
    return args->help;
}

const char *args_config(const struct args *args)
{
    return args->config;
}

enum result args_complete(const struct args *args, struct error *err)
{
    for (const struct arg_option *o = args->options; o->name != NULL; o++) {
        if ((o->flags & ARG_REQUIRED) != 0 && !args_given(args, o->name)) {
            return error_set(err, RESULT_REJECTED, "usage", "--%s %s is missing: %s", o->name,
                             o->unit, o->help);
        }
    }
    return RESULT_OK;
}

size_t args_count(const struct args *args, const char *name)
{
    const struct arg_option *option = option_find(args->options, name, strlen(name));
    size_t n = 0;

    assert(option != NULL && strcmp(option->name, name) == 0);
    for (size_t i = 0; i < args->count; i++) {
        n += args->values[i].option == option;
    }
    return n;
}

bool args_given(const struct args *args, const char *name)
{
    return args_count(args, name) > 0;
}

const char *args_at(const struct args *args, const char *name, size_t nth)
{
    const struct arg_option *option = option_find(args->options, name, strlen(name));

    for (size_t i = 0; i < args->count; i++) {
        if (args->values[i].option == option && nth-- == 0) {
            return args->values[i].text;
        }
    }
    return NULL;
}

const char *args_text(const struct args *args, const char *name)
{
    return args_given(args, name) ? args_at(args, name, 0) : NULL;
}

int64_t args_number(const struct args *args, const char *name, int64_t otherwise)
{
    const char *text = args_text(args, name);

    return text == NULL ? otherwise : (int64_t)strtoll(text, NULL, 10);
}
