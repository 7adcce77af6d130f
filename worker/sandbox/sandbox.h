/*
 * `paylink sandbox`: a payment gateway of our own with the part of the Stripe API that Paylink
 * uses, for development and tests. Remembers everything in a charge log; moves no money.
 */
#ifndef PAYLINK_SANDBOX_SANDBOX_H
#define PAYLINK_SANDBOX_SANDBOX_H

#include "../base/settings.h"

/* Runs until SIGTERM or SIGINT. Returns the exit status: 0, 1 (cannot start), 2 (usage). */
int sandbox_command(const struct settings *s, int argc, char **argv);

#endif
