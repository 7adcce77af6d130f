/* Help texts, made from the command tables. Must not run anything. */
#ifndef PAYLINK_CLI_HELP_H
#define PAYLINK_CLI_HELP_H

#include <stdio.h>

#include "command.h"

/* One table per noun; a NULL ends the array. */
void help_program(const struct command *const *nouns, FILE *out);
void help_noun(const struct command *verbs, FILE *out);
void help_command(const struct command *command, FILE *out);

#endif
