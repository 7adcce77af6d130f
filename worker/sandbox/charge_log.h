/*
 * The charge log: an append-only file of JSON lines, one for each thing that happened at the
 * gateway. It is the sandbox's memory over restarts and the oracle of the fault tests: no reply
 * tells of anything that is not in it, on disk.
 */
#ifndef PAYLINK_SANDBOX_CHARGE_LOG_H
#define PAYLINK_SANDBOX_CHARGE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/result.h"
#include "writer.h"

#define CHARGE_LOG_LINE_BYTES_MAX (1024 * 1024)

struct charge_log;

/* One whole line, without its newline. Anything but RESULT_OK makes it a damaged line. */
typedef enum result (*charge_log_fn)(void *ctx, const char *line, size_t len, struct error *err);

/*
 * Opens (creates) DIR/charges.log, takes it for this process alone, and gives every line to `fn`.
 * A torn last line (never synced, so never told) is cut off and reported in the log;
 * any other damage is an error that names the line.
 */
enum result charge_log_open(const char *dir, charge_log_fn fn, void *ctx, struct charge_log **out,
                            struct error *err) MUST_CHECK;
void charge_log_close(struct charge_log *log);

/* Lines are written here, each with its newline; they are nowhere until charge_log_sync(). */
struct writer *charge_log_lines(struct charge_log *log);
bool charge_log_dirty(const struct charge_log *log);
/* One write and one fdatasync for all lines so far. A disk that fails is fatal: nothing is told. */
void charge_log_sync(struct charge_log *log);

/* The file and its synced length, for reading. */
int charge_log_fd(const struct charge_log *log);
int64_t charge_log_size(const struct charge_log *log);

#endif
