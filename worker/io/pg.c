/*
 * PostgreSQL: one connection, functions with bound parameters, bounded time. The only file that
 * includes libpq; knows nothing of what the functions do.
 */
#include "pg.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#define LOG_AREA "pg"
#include "../base/log.h"
#include "../base/mem.h"

#define CONNECT_TIMEOUT_S "5"
#define REPLY_GRACE_MS                                                                             \
    5000 /* how long after its statement time-out the server may take to say so */
#define PARAMS_MAX          16
#define CHANNELS_MAX        4
#define STATEMENT_BYTES_MAX 256

struct pg {
    char *conninfo;
    char *application;
    char *options; /* session settings sent with the start-up packet */
    int64_t reply_timeout_ms;
    char *channel[CHANNELS_MAX];
    int channel_count;
    PGconn *conn;
};

struct pg *pg_new(const char *conninfo, const char *application, int64_t statement_timeout_ms)
{
    struct pg *pg = mem_alloc(sizeof *pg);

    pg->conninfo = mem_strdup(conninfo);
    pg->application = mem_strdup(application);
    pg->options = mem_printf("-c statement_timeout=%lld -c timezone=UTC -c datestyle=ISO",
                             (long long)statement_timeout_ms);
    pg->reply_timeout_ms = statement_timeout_ms + REPLY_GRACE_MS;
    return pg;
}

static void disconnect(struct pg *pg)
{
    PQfinish(pg->conn);
    pg->conn = NULL;
}

void pg_free(struct pg *pg)
{
    if (pg == NULL)
        return;
    disconnect(pg);
    free(pg->conninfo);
    free(pg->application);
    free(pg->options);
    while (pg->channel_count > 0)
        free(pg->channel[--pg->channel_count]);
    free(pg);
}

/* libpq's messages end with a newline and may have several lines; people get the first. */
static void copy_line(char *out, size_t size, const char *message)
{
    size_t len = strcspn(message, "\n");

    snprintf(out, size, "%.*s", (int)len, message);
}

static enum result lost(struct pg *pg, struct error *err, const char *what)
{
    char line[256];

    copy_line(line, sizeof line, pg->conn != NULL ? PQerrorMessage(pg->conn) : "");
    disconnect(pg);
    return error_set(err, RESULT_RETRY, "database_unreachable", "PostgreSQL %s%s%s", what,
                     line[0] != '\0' ? ": " : "", line);
}

static void ignore_notice(void *arg, const PGresult *res)
{
    (void)arg;
    (void)res;
}

/* Waits for the whole reply; NULL when the server stays silent beyond all time-outs. */
static PGresult *reply_wait(struct pg *pg)
{
    int64_t deadline_ms = clock_monotonic_ms() + pg->reply_timeout_ms;
    PGresult *last = NULL, *res;

    for (;;) {
        while (PQisBusy(pg->conn)) {
            struct pollfd fd = {.fd = PQsocket(pg->conn), .events = POLLIN};
            int64_t left_ms = deadline_ms - clock_monotonic_ms();

            if (left_ms <= 0 || poll(&fd, 1, (int)left_ms) < 0 || !PQconsumeInput(pg->conn)) {
                PQclear(last);
                return NULL;
            }
        }
        res = PQgetResult(pg->conn);
        if (res == NULL)
            return last;
        if (last != NULL && PQresultStatus(last) == PGRES_FATAL_ERROR) {
            PQclear(res); /* the first error of a script is the one that matters */
            continue;
        }
        PQclear(last);
        last = res;
    }
}

static enum result listen_on(struct pg *pg, const char *channel, struct error *err)
{
    char statement[STATEMENT_BYTES_MAX];
    PGresult *res;
    bool ok;

    snprintf(statement, sizeof statement, "LISTEN %s", channel);
    if (!PQsendQuery(pg->conn, statement))
        return lost(pg, err, "did not take LISTEN");
    res = reply_wait(pg);
    ok = res != NULL && PQresultStatus(res) == PGRES_COMMAND_OK;
    PQclear(res);
    return ok ? RESULT_OK : lost(pg, err, "did not answer LISTEN");
}

static enum result ensure_connected(struct pg *pg, struct error *err)
{
    /* The last word wins: conninfo itself is expanded first. */
    const char *keys[] = {"dbname", "application_name", "options", "connect_timeout", NULL};
    const char *values[] = {pg->conninfo, pg->application, pg->options, CONNECT_TIMEOUT_S, NULL};

    if (pg->conn != NULL && PQstatus(pg->conn) == CONNECTION_OK)
        return RESULT_OK;
    disconnect(pg);
    pg->conn = PQconnectdbParams(keys, values, 1);
    if (pg->conn == NULL || PQstatus(pg->conn) != CONNECTION_OK)
        return lost(pg, err, "cannot be reached");
    PQsetNoticeReceiver(pg->conn, ignore_notice, NULL);
    for (int i = 0; i < pg->channel_count; i++) {
        enum result result = listen_on(pg, pg->channel[i], err);

        if (result != RESULT_OK)
            return result;
    }
    return RESULT_OK;
}

static bool state_in_class(const char *sqlstate, const char *class)
{
    return strncmp(sqlstate, class, strlen(class)) == 0;
}

/* What kind of failure an error reply is: see pg.h. */
static enum result refused(struct pg *pg, const PGresult *res, const char *what, struct error *err)
{
    /* connection, rollback, resources, locks, operator, system, internal */
    static const char *const passing[] = {"08", "40", "53", "55", "57", "58", "XX"};
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL);

    if (state == NULL)
        return lost(pg, err, "closed the connection");
    if (message == NULL)
        message = "";
    if (strcmp(state, "PL001") == 0)
        return error_set(err, RESULT_REJECTED, detail != NULL ? detail : "refused", "%s", message);
    if (state_in_class(state, "22") || state_in_class(state, "23"))
        return error_set(err, RESULT_REJECTED, "invalid_value", "%s: %s", what, message);
    if (state_in_class(state, "P0"))
        return error_set(err, RESULT_REJECTED, "refused", "%s: %s", what, message);
    for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++) {
        if (state_in_class(state, passing[i]))
            return error_set(err, RESULT_RETRY, "database_busy", "PostgreSQL, %s: %s", what,
                             message);
    }
    /* A standby that took over our address: the next connection may find the primary. */
    if (state_in_class(state, "25")) {
        error_set(err, RESULT_RETRY, "database_busy", "PostgreSQL, %s: %s", what, message);
        disconnect(pg);
        return RESULT_RETRY;
    }
    return error_set(err, RESULT_FATAL, "database_error", "PostgreSQL, %s: %s (SQLSTATE %s)", what,
                     message, state);
}

static void statement_write(char *out, size_t size, const char *function, int n)
{
    int len = snprintf(out, size, "SELECT %s(", function);

    for (int i = 1; i <= n; i++)
        len += snprintf(out + len, size - (size_t)len, i == 1 ? "$%d" : ", $%d", i);
    len += snprintf(out + len, size - (size_t)len, ")");
    if ((size_t)len >= size)
        fatal("the name of the function %s is too long", function);
}

static enum result value_read(const PGresult *res, const char *function, json_t **out,
                              struct error *err)
{
    if (out == NULL)
        return RESULT_OK;
    *out = NULL;
    if (PQntuples(res) != 1 || PQnfields(res) != 1)
        return error_set(err, RESULT_FATAL, "database_error", "%s did not return one value",
                         function);
    if (PQgetisnull(res, 0, 0) || PQgetlength(res, 0, 0) == 0)
        return RESULT_OK;
    *out = json_parse(PQgetvalue(res, 0, 0), (size_t)PQgetlength(res, 0, 0));
    if (*out == NULL)
        return error_set(err, RESULT_FATAL, "database_error", "%s did not return JSON", function);
    return RESULT_OK;
}

enum result pg_call(struct pg *pg, const char *function, const char *const *params, int n,
                    json_t **out, struct error *err)
{
    char statement[STATEMENT_BYTES_MAX];
    enum result result;
    PGresult *res;

    if (out != NULL)
        *out = NULL;
    if (n < 0 || n > PARAMS_MAX)
        fatal("%s: too many parameters", function);
    result = ensure_connected(pg, err);
    if (result != RESULT_OK)
        return result;
    statement_write(statement, sizeof statement, function, n);
    if (!PQsendQueryParams(pg->conn, statement, n, NULL, params, NULL, NULL, 0))
        return lost(pg, err, "did not take a statement");
    res = reply_wait(pg);
    if (res == NULL)
        return lost(pg, err, "did not answer");
    if (PQresultStatus(res) == PGRES_TUPLES_OK)
        result = value_read(res, function, out, err);
    else
        result = refused(pg, res, function, err);
    PQclear(res);
    return result;
}

enum result pg_run_script(struct pg *pg, const char *sql, struct error *err)
{
    enum result result = ensure_connected(pg, err);
    PGresult *res;

    if (result != RESULT_OK)
        return result;
    if (!PQsendQuery(pg->conn, sql))
        return lost(pg, err, "did not take a script");
    res = reply_wait(pg);
    if (res == NULL)
        return lost(pg, err, "did not answer a script");
    switch (PQresultStatus(res)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY:
        result = RESULT_OK;
        break;
    default:
        result = refused(pg, res, "script", err);
    }
    PQclear(res);
    return result;
}

void pg_listen(struct pg *pg, const char *channel)
{
    struct error err;

    if (pg->channel_count == CHANNELS_MAX)
        fatal("too many channels to listen on");
    pg->channel[pg->channel_count++] = mem_strdup(channel);
    if (pg->conn != NULL && listen_on(pg, channel, &err) != RESULT_OK)
        log_warn("%s", err.text);
}

int pg_socket(struct pg *pg)
{
    return pg->conn != NULL ? PQsocket(pg->conn) : -1;
}

bool pg_notified(struct pg *pg)
{
    bool any = false;
    PGnotify *notify;

    if (pg->conn == NULL)
        return false;
    if (!PQconsumeInput(pg->conn)) {
        disconnect(pg);
        return false;
    }
    while ((notify = PQnotifies(pg->conn)) != NULL) {
        PQfreemem(notify);
        any = true;
    }
    return any;
}
