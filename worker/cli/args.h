/*
 * The options of one command: a table says what it takes, parsing checks every value.
 *
 * `--name VALUE` and `--name=VALUE` are the same. A value that begins with two dashes needs the
 * second form. Words without dashes fill the ARG_POSITIONAL options in the table's order.
 */
#ifndef PAYLINK_CLI_ARGS_H
#define PAYLINK_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/result.h"

enum arg_kind {
    ARG_FLAG,     /* no value */
    ARG_TEXT,     /* UTF-8 for people, no control characters, at most `max` characters */
    ARG_KEY,      /* 1..64 of A-Z a-z 0-9 . _ : - */
    ARG_MONEY,    /* minor units, 1..MONEY_MINOR_MAX */
    ARG_NUMBER,   /* min..max */
    ARG_DATE,     /* YYYY-MM-DD that exists */
    ARG_UUID,     /* any case; handed on in lower case */
    ARG_CURRENCY, /* ISO 4217, capitals */
    ARG_EMAIL,
    ARG_LOCALE, /* BCP 47 */
    ARG_CHOICE, /* one word of `choices`, which are separated by '|' */
    ARG_LINE,   /* DESC:QTY:UNIT_MINOR, see value_line() */
    ARG_LINK,   /* 32 hex digits, a token, or an address that ends in /p/TOKEN */
    ARG_PATH
};

#define ARG_REQUIRED   1u
#define ARG_REPEATED   2u
#define ARG_POSITIONAL 4u

struct arg_option {
    const char *name;    /* without the dashes; NULL ends a table */
    const char *aliases; /* other names, separated by ' '; may be NULL */
    enum arg_kind kind;
    unsigned flags;
    const char *unit; /* what stands for the value in help: "ID"; NULL for a flag */
    const char *help;
    const char *choices; /* ARG_CHOICE */
    int64_t min, max;    /* ARG_NUMBER; max alone for ARG_TEXT */
};

/* Entries that many tables have. */
#define OPTION_ID(the_name, the_flags, the_help)                                                   \
    {                                                                                              \
        .name = (the_name), .kind = ARG_UUID, .flags = (the_flags), .unit = "ID",                  \
        .help = (the_help)                                                                         \
    }
#define OPTION_SUBJECT(the_name,                                                                   \
                       the_help) /* what a command is about: by name, as --id, or bare */          \
    {                                                                                              \
        .name = (the_name), .aliases = "id", .kind = ARG_UUID,                                     \
        .flags = ARG_REQUIRED | ARG_POSITIONAL, .unit = "ID", .help = (the_help)                   \
    }
#define OPTION_CHOICE(the_name, the_choices, the_help)                                             \
    {                                                                                              \
        .name = (the_name), .kind = ARG_CHOICE, .unit = (the_choices), .choices = (the_choices),   \
        .help = (the_help)                                                                         \
    }

struct args;

/*
 * RESULT_REJECTED names the option and what is allowed. `--help` and `-h` win over every mistake
 * behind them. Values are borrowed from argv. *out: args_free(), set with RESULT_OK only.
 */
enum result args_parse(const struct arg_option *options, int argc, char **argv, struct args **out,
                       struct error *err) MUST_CHECK;
void args_free(struct args *args);

/* Options that every command has; --json is accepted here and heeded by whoever prints. */
bool args_help(const struct args *args);
const char *args_config(const struct args *args); /* NULL when not given */

/* Is anything that the table requires missing? Separate, because --help needs nothing. */
enum result args_complete(const struct args *args, struct error *err) MUST_CHECK;

/* By the option's own name, whatever alias was used; asking for an unknown name is a bug. */
bool args_given(const struct args *args, const char *name);
size_t args_count(const struct args *args, const char *name);
const char *args_at(const struct args *args, const char *name, size_t i);
const char *args_text(const struct args *args, const char *name); /* NULL when not given */
int64_t args_number(const struct args *args, const char *name, int64_t otherwise);

/* The word of `known` (NULL ends it) that is closest to a mistyped `word`, NULL if none is near. */
const char *args_nearest(const char *word, const char *const *known);

#endif
