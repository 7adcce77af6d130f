/* Help texts, made from the command tables. Must not run anything. */
#include "help.h"

#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"

#define HELP_COLUMNS 96

static const char exit_text[] =
    "Exit status:\n"
    "  0  done\n"
    "  1  refused: the books or the rules say no (for verify: something was found)\n"
    "  2  wrong usage\n"
    "  3  PostgreSQL, Redis or the gateway cannot be reached: try again\n"
    "  4  wrong configuration\n";

/* Prints `text` from column `indent` on, wrapped between words; continues at the same column. */
static void print_wrapped(const char *text, size_t indent, FILE *out)
{
    size_t column = indent;
    bool first = true;

    while (*text != '\0') {
        size_t n = strcspn(text, " \n");
        if (!first && column + 1 + n > HELP_COLUMNS) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
            first = true;
        }
        fprintf(out, "%s%.*s", first ? "" : " ", (int)n, text);
        column += n + (first ? 0 : 1);
        first = false;
        text += n;
        if (*text == '\n') {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
            first = true;
        }
        text += *text == '\0' ? 0 : 1;
    }
    fputc('\n', out);
}

static void print_names(const struct command *command, FILE *out)
{
    fprintf(out, "paylink %s%s%s", command->noun, command->verb == NULL ? "" : " ",
            command->verb == NULL ? "" : command->verb);
}

/* `--invoice ID`, in brackets when it may be left out, with dots when it may be repeated. */
static char *option_usage(const struct arg_option *o)
{
    bool required = (o->flags & ARG_REQUIRED) != 0;

    return mem_printf("%s--%s%s%s%s%s", required ? "" : "[", o->name, o->unit == NULL ? "" : " ",
                      o->unit == NULL ? "" : o->unit, required ? "" : "]",
                      (o->flags & ARG_REPEATED) != 0 ? " …" : "");
}

static void print_usage(const struct command *command, FILE *out)
{
    size_t column, indent;
    bool bare = (command->flags & COMMAND_NO_SETTINGS) != 0;

    indent = (size_t)fprintf(out, "Usage: paylink %s%s%s%s", bare ? "" : "--config FILE ",
                             command->noun, command->verb == NULL ? "" : " ",
                             command->verb == NULL ? "" : command->verb);
    column = indent;
    for (const struct arg_option *o = command->options;; o++) {
        if (o->name == NULL && (command->flags & COMMAND_PROCESS) != 0) {
            break;
        }
        char *usage = o->name == NULL ? mem_strdup("[--json]") : option_usage(o);
        if (column + 1 + strlen(usage) > HELP_COLUMNS) {
            fprintf(out, "\n%*s", 10, "");
            column = 10;
        }
        column += (size_t)fprintf(out, " %s", usage);
        free(usage);
        if (o->name == NULL) {
            break;
        }
    }
    fputs("\n\n", out);
}

static void print_option(const char *head, const char *text, size_t width, FILE *out)
{
    if (strlen(head) > width) {
        fprintf(out, "  %s\n  %*s", head, (int)width + 2, "");
    } else {
        fprintf(out, "  %-*s  ", (int)width, head);
    }
    print_wrapped(text, width + 4, out);
}

static void print_options(const struct command *command, FILE *out)
{
    enum { WIDTH = 26 };
    bool settings = (command->flags & COMMAND_NO_SETTINGS) == 0;

    fputs("Options:\n", out);
    for (const struct arg_option *o = command->options; o->name != NULL; o++) {
        char *head = mem_printf("--%s%s%s", o->name, o->unit == NULL ? "" : " ",
                                o->unit == NULL ? "" : o->unit);
        char *text = mem_printf(
            "%s%s%s%s", o->help, (o->flags & ARG_REQUIRED) != 0 ? " Required." : "",
            (o->flags & ARG_REPEATED) != 0 ? " May be repeated." : "",
            (o->flags & ARG_POSITIONAL) != 0 ? " The option's name may be left out." : "");
        print_option(head, text, WIDTH, out);
        free(head);
        free(text);
    }
    if ((command->flags & COMMAND_PROCESS) == 0) {
        print_option(
            "--json",
            "One JSON document on standard output, also for failures: {\"error\": {\"code\", "
            "\"message\"}}.",
            WIDTH, out);
    }
    print_option("--config FILE",
                 settings
                     ? "The settings file (or the environment variable PAYLINK_CONFIG). Required."
                     : "The settings file (or the environment variable PAYLINK_CONFIG).",
                 WIDTH, out);
    print_option("--help", "This text.", WIDTH, out);
    fputc('\n', out);
}

void help_command(const struct command *command, FILE *out)
{
    print_names(command, out);
    fprintf(out, ": %s\n\n", command->summary);
    print_usage(command, out);
    if (command->about != NULL) {
        print_wrapped(command->about, 0, out);
        fputc('\n', out);
    }
    print_options(command, out);
    fprintf(out, "Example:\n  paylink %s%s\n\n",
            (command->flags & COMMAND_NO_SETTINGS) != 0 ? "" : "--config run/paylink.ini ",
            command->example);
    fputs(exit_text, out);
}

void help_noun(const struct command *verbs, FILE *out)
{
    fprintf(out,
            "paylink %s\n\nUsage: paylink --config FILE %s COMMAND [options] [--json]\n\n"
            "Commands:\n",
            verbs->noun, verbs->noun);
    for (const struct command *c = verbs; c->noun != NULL; c++) {
        fprintf(out, "  %-10s  %s\n", c->verb, c->summary);
    }
    fprintf(out, "\nExample:\n  paylink --config run/paylink.ini %s\n\n", verbs->example);
    fprintf(out, "`paylink %s COMMAND --help` tells more.\n\n", verbs->noun);
    fputs(exit_text, out);
}

void help_program(const struct command *const *nouns, FILE *out)
{
    fputs("paylink: payment links and invoice collection\n\n"
          "Usage: paylink --config FILE COMMAND [SUBCOMMAND] [options] [--json]\n\n"
          "Commands:\n",
          out);
    for (; *nouns != NULL; nouns++) {
        const struct command *c = *nouns;
        if (c->verb == NULL) {
            fprintf(out, "  %-10s  %s\n", c->noun, c->summary);
            continue;
        }
        fprintf(out, "  %-10s  ", c->noun);
        for (; c->noun != NULL; c++) {
            fprintf(out, "%s%s", c == *nouns ? "" : " · ", c->verb);
        }
        fputc('\n', out);
    }
    fputs(
        "\nAmounts are whole numbers of the currency's minor unit: 12.50 USD is 1250, 1250 JPY is "
        "1250.\n"
        "`paylink COMMAND --help` and `paylink COMMAND SUBCOMMAND --help` tell more;\n"
        "`paylink --version` says which build this is.\n\n"
        "Example:\n"
        "  paylink --config run/paylink.ini invoice list --merchant MERCHANT --state open\n\n",
        out);
    fputs(exit_text, out);
}
