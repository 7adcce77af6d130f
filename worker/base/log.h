/*
 * One line per event on stderr: `2026-01-31T10:00:00.000Z level area: message`.
 * Never give it a token, a query string, a body, a key or card data.
 */
#ifndef PAYLINK_BASE_LOG_H
#define PAYLINK_BASE_LOG_H

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

/* Events below `level` are dropped. `program` (borrowed for ever) stands in every line. */
void log_init(const char *program, enum log_level level);

void log_write(enum log_level level, const char *area, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(...) log_write(LOG_LEVEL_DEBUG, LOG_AREA, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, LOG_AREA, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, LOG_AREA, __VA_ARGS__)
#define log_error(...) log_write(LOG_LEVEL_ERROR, LOG_AREA, __VA_ARGS__)

/* For start-up errors and broken invariants only: logs, then exits with status 1. */
void fatal(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
