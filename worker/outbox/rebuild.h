/* `paylink rebuild`: fills Redis from PostgreSQL, opening times included. */
#ifndef PAYLINK_OUTBOX_REBUILD_H
#define PAYLINK_OUTBOX_REBUILD_H

#include "../base/settings.h"

/* The exit status. `argv` holds what follows the command's name: nothing, or --json. */
int rebuild_command(const struct settings *s, int argc, char **argv);

#endif
