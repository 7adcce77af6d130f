/* `paylink worker`: one process, one loop, all roles. */
#ifndef PAYLINK_SETTLE_WORKER_H
#define PAYLINK_SETTLE_WORKER_H

#include "../base/settings.h"

/* Runs until SIGTERM; the exit status. `argv` holds what follows the command's name. */
int worker_command(const struct settings *s, int argc, char **argv);

#endif
