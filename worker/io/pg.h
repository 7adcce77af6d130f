/*
 * PostgreSQL: one connection, blocking calls with bounded time, functions called with bound
 * parameters only. Only pg.c includes libpq.
 *
 * Every SQL function that C calls takes scalars (passed as text) and returns one jsonb (or void):
 * the call is always `SELECT schema.function($1, …)`, built from a constant name and a count.
 */
#ifndef PAYLINK_IO_PG_H
#define PAYLINK_IO_PG_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/result.h"
#include "json.h"

struct pg;

/* Does not connect yet. `application` appears in pg_stat_activity. */
struct pg *pg_new(const char *conninfo, const char *application, int64_t statement_timeout_ms);
void pg_free(struct pg *pg);

/*
 * Calls the schema-qualified `function` ("paylink.attempt_register") with `n` text parameters
 * (NULL is SQL null) in a transaction of its own; (re)connects first when needed (bounded, 5 s).
 * *out (may be NULL) gets the jsonb result, or NULL for SQL null; json_decref() it.
 *
 * RESULT_OK        committed
 * RESULT_RETRY     connection trouble, deadlock, serialization, time-out: it may or may not have
 *                  committed; functions are idempotent by the caller's key, so call again
 * RESULT_REJECTED  the function said no: err->code is the MESSAGE's stable code (see below),
 * err->text the sentence RESULT_FATAL     the schema is not what this program expects (undefined
 * function, permission)
 *
 * Business refusals are raised in SQL with SQLSTATE 'PL001', MESSAGE = sentence, DETAIL = code.
 */
enum result pg_call(struct pg *pg, const char *function, const char *const *params, int n,
                    json_t **out, struct error *err) MUST_CHECK;

/* LISTEN on a constant channel name (four at most); re-established after a reconnect. */
void pg_listen(struct pg *pg, const char *channel);
/* The socket to watch for notifications, -1 while disconnected. */
int pg_socket(struct pg *pg);
/* True if at least one notification had arrived (all are consumed). Never blocks. */
bool pg_notified(struct pg *pg);

/* For `paylink migrate` alone: runs the text of a .sql file (several statements, no parameters). */
enum result pg_run_script(struct pg *pg, const char *sql, struct error *err) MUST_CHECK;

#endif
