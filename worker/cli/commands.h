/* The commands of each noun; every table ends with noun NULL. */
#ifndef PAYLINK_CLI_COMMANDS_H
#define PAYLINK_CLI_COMMANDS_H

#include "command.h"

extern const struct command merchant_commands[];
extern const struct command customer_commands[];
extern const struct command invoice_commands[];
extern const struct command link_commands[];
extern const struct command payment_commands[];
extern const struct command credit_commands[];
extern const struct command refund_commands[];
extern const struct command ledger_commands[];
extern const struct command attempt_commands[];
extern const struct command mail_commands[];
extern const struct command keys_commands[];
extern const struct command settings_commands[];
extern const struct command migrate_commands[];
extern const struct command verify_commands[];

#endif
