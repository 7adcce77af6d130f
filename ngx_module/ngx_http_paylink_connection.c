
/*
 * One connection of hiredis on nginx's event loop: connecting, AUTH, losing
 * it, connecting again.  hiredis owns the descriptor; this file must not close
 * it, and knows nothing of requests.
 */


#include "ngx_http_paylink.h"


#define NGX_HTTP_PAYLINK_DOWN          0
#define NGX_HTTP_PAYLINK_CONNECTING    1
#define NGX_HTTP_PAYLINK_READY         2

#define NGX_HTTP_PAYLINK_BACKOFF_MIN   50
#define NGX_HTTP_PAYLINK_BACKOFF_MAX   2000


static ngx_int_t ngx_http_paylink_conn_attach(ngx_http_paylink_conn_t *conn,
    redisAsyncContext *ac);
static ngx_int_t ngx_http_paylink_conn_auth(ngx_http_paylink_conn_t *conn);
static void ngx_http_paylink_conn_state(ngx_http_paylink_conn_t *conn,
    ngx_uint_t state);
static void ngx_http_paylink_conn_backoff(ngx_http_paylink_conn_t *conn);
static void ngx_http_paylink_conn_timer(ngx_event_t *ev);
static void ngx_http_paylink_conn_read(ngx_event_t *rev);
static void ngx_http_paylink_conn_write(ngx_event_t *wev);
static void ngx_http_paylink_conn_check(ngx_http_paylink_conn_t *conn);
static void ngx_http_paylink_conn_connected(const redisAsyncContext *ac,
    int status);
static void ngx_http_paylink_conn_authenticated(redisAsyncContext *ac,
    void *reply, void *data);
static void ngx_http_paylink_conn_add_read(void *data);
static void ngx_http_paylink_conn_del_read(void *data);
static void ngx_http_paylink_conn_add_write(void *data);
static void ngx_http_paylink_conn_del_write(void *data);
static void ngx_http_paylink_conn_cleanup(void *data);


void
ngx_http_paylink_conn_open(ngx_http_paylink_conn_t *conn)
{
    redisAsyncContext          *ac;
    ngx_http_paylink_server_t  *server;

    server = conn->server;

    conn->timer.handler = ngx_http_paylink_conn_timer;
    conn->timer.data = conn;
    conn->timer.log = conn->log;
    conn->timer.cancelable = 1;

    ac = server->path ? redisAsyncConnectUnix(server->path)
                      : redisAsyncConnect(server->ip, server->port);

    if (ac == NULL) {
        ngx_log_error(NGX_LOG_ALERT, conn->log, 0,
                      "paylink: no memory for a connection to redis");
        ngx_http_paylink_conn_backoff(conn);
        return;
    }

    if (ac->err) {
        ngx_log_error(NGX_LOG_ERR, conn->log, 0,
                      "paylink: connecting to redis %V for %s failed: %s",
                      &server->name, conn->name, ac->errstr);
        redisAsyncFree(ac);
        ngx_http_paylink_conn_backoff(conn);
        return;
    }

    if (ngx_http_paylink_conn_attach(conn, ac) != NGX_OK) {
        redisAsyncFree(ac);
        ngx_http_paylink_conn_backoff(conn);
        return;
    }

    /* from here on whatever frees the context comes by our cleanup */

    ngx_http_paylink_conn_state(conn, NGX_HTTP_PAYLINK_CONNECTING);

    if (conn->init) {
        conn->init(ac);
    }

    (void) redisAsyncSetConnectCallback(ac, ngx_http_paylink_conn_connected);

    if (ngx_http_paylink_conn_auth(conn) != NGX_OK) {
        conn->broken = 1;
    }

    ngx_http_paylink_conn_check(conn);
}


static ngx_int_t
ngx_http_paylink_conn_attach(ngx_http_paylink_conn_t *conn,
    redisAsyncContext *ac)
{
    ngx_connection_t  *c;

    c = ngx_get_connection(ac->c.fd, conn->log);
    if (c == NULL) {
        return NGX_ERROR;
    }

    c->data = conn;
    c->log_error = NGX_ERROR_ERR;
    c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);

    c->read->handler = ngx_http_paylink_conn_read;
    c->read->log = conn->log;
    c->write->handler = ngx_http_paylink_conn_write;
    c->write->log = conn->log;

    if (conn->server->path == NULL) {
        (void) redisEnableKeepAlive(&ac->c);
    }

    ac->data = conn;
    ac->ev.data = conn;
    ac->ev.addRead = ngx_http_paylink_conn_add_read;
    ac->ev.delRead = ngx_http_paylink_conn_del_read;
    ac->ev.addWrite = ngx_http_paylink_conn_add_write;
    ac->ev.delWrite = ngx_http_paylink_conn_del_write;
    ac->ev.cleanup = ngx_http_paylink_conn_cleanup;

    conn->ac = ac;
    conn->connection = c;
    conn->writing = 0;
    conn->broken = 0;

    return NGX_OK;
}


/* goes out first, whatever is queued before the connection is there */

static ngx_int_t
ngx_http_paylink_conn_auth(ngx_http_paylink_conn_t *conn)
{
    int                         rc;
    ngx_http_paylink_server_t  *server;

    server = conn->server;

    if (server->password.len == 0) {
        return NGX_OK;
    }

    if (server->user.len) {
        rc = redisAsyncCommand(conn->ac, ngx_http_paylink_conn_authenticated,
                               conn, "AUTH %b %b",
                               server->user.data, server->user.len,
                               server->password.data, server->password.len);

    } else {
        rc = redisAsyncCommand(conn->ac, ngx_http_paylink_conn_authenticated,
                               conn, "AUTH %b", server->password.data,
                               server->password.len);
    }

    return (rc == REDIS_OK) ? NGX_OK : NGX_ERROR;
}


/* the only mover of conn->state */

static void
ngx_http_paylink_conn_state(ngx_http_paylink_conn_t *conn, ngx_uint_t state)
{
    conn->state = state;

    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    switch (state) {

    case NGX_HTTP_PAYLINK_CONNECTING:
        ngx_add_timer(&conn->timer, conn->server->connect_timeout);
        break;

    case NGX_HTTP_PAYLINK_READY:
        conn->failures = 0;

        ngx_http_paylink_count(NGX_HTTP_PAYLINK_REDIS_CONNECT);

        ngx_log_error(NGX_LOG_INFO, conn->log, 0,
                      "paylink: connected to redis %V for %s",
                      &conn->server->name, conn->name);

        if (conn->ready) {
            conn->ready(conn);
        }

        break;

    default: /* NGX_HTTP_PAYLINK_DOWN */
        ngx_http_paylink_conn_backoff(conn);
    }
}


static void
ngx_http_paylink_conn_backoff(ngx_http_paylink_conn_t *conn)
{
    ngx_msec_t  delay;

    if (conn->closing) {
        return;
    }

    delay = NGX_HTTP_PAYLINK_BACKOFF_MIN << ngx_min(conn->failures, 8);
    delay = ngx_min(delay, NGX_HTTP_PAYLINK_BACKOFF_MAX);

    conn->failures++;

    ngx_add_timer(&conn->timer, delay / 2 + (ngx_msec_t) ngx_random() % delay);
}


static void
ngx_http_paylink_conn_timer(ngx_event_t *ev)
{
    ngx_http_paylink_conn_t  *conn;

    conn = ev->data;

    if (conn->state == NGX_HTTP_PAYLINK_DOWN) {
        ngx_http_paylink_conn_open(conn);
        return;
    }

    ngx_log_error(NGX_LOG_ERR, conn->log, 0,
                  "paylink: connecting to redis %V for %s timed out",
                  &conn->server->name, conn->name);

    ngx_http_paylink_conn_drop(conn);
}


/* never from inside a callback of hiredis */

void
ngx_http_paylink_conn_drop(ngx_http_paylink_conn_t *conn)
{
    if (conn->ac) {
        redisAsyncFree(conn->ac);
    }
}


void
ngx_http_paylink_conn_close(ngx_http_paylink_conn_t *conn)
{
    conn->closing = 1;

    ngx_http_paylink_conn_drop(conn);

    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }
}


ngx_uint_t
ngx_http_paylink_conn_ready(ngx_http_paylink_conn_t *conn)
{
    return conn->state == NGX_HTTP_PAYLINK_READY;
}


static void
ngx_http_paylink_conn_read(ngx_event_t *rev)
{
    ngx_connection_t         *c;
    ngx_http_paylink_conn_t  *conn;

    c = rev->data;
    conn = c->data;

    redisAsyncHandleRead(conn->ac);

    ngx_http_paylink_conn_check(conn);
}


static void
ngx_http_paylink_conn_write(ngx_event_t *wev)
{
    ngx_connection_t         *c;
    ngx_http_paylink_conn_t  *conn;

    c = wev->data;
    conn = c->data;

    conn->writing = 1;

    redisAsyncHandleWrite(conn->ac);

    conn->writing = 0;

    ngx_http_paylink_conn_check(conn);
}


/* the context may be gone by now: then conn->ac is NULL */

static void
ngx_http_paylink_conn_check(ngx_http_paylink_conn_t *conn)
{
    if (conn->broken) {
        ngx_http_paylink_conn_drop(conn);
    }
}


static void
ngx_http_paylink_conn_connected(const redisAsyncContext *ac, int status)
{
    ngx_http_paylink_conn_t  *conn;

    conn = ac->data;

    if (status == REDIS_OK && conn->server->password.len == 0) {
        ngx_http_paylink_conn_state(conn, NGX_HTTP_PAYLINK_READY);
    }
}


static void
ngx_http_paylink_conn_authenticated(redisAsyncContext *ac, void *reply,
    void *data)
{
    redisReply               *answer;
    ngx_http_paylink_conn_t  *conn;

    conn = data;
    answer = reply;

    if (answer == NULL) {
        return;
    }

    if (answer->type == REDIS_REPLY_STATUS) {
        ngx_http_paylink_conn_state(conn, NGX_HTTP_PAYLINK_READY);
        return;
    }

    ngx_log_error(NGX_LOG_ERR, conn->log, 0,
                  "paylink: redis %V refused user \"%V\": %s",
                  &conn->server->name, &conn->server->user,
                  answer->type == REDIS_REPLY_ERROR ? answer->str : "");

    conn->broken = 1;
}


/*
 * Level-triggered: hiredis reads at most 16K per event, so that an edge would
 * be lost with the rest of a long reply.
 */

static void
ngx_http_paylink_conn_add_read(void *data)
{
    ngx_event_t              *rev;
    ngx_http_paylink_conn_t  *conn;

    conn = data;
    rev = conn->connection->read;

    if (!rev->active
        && ngx_add_event(rev, NGX_READ_EVENT, NGX_LEVEL_EVENT) != NGX_OK)
    {
        conn->broken = 1;
    }
}


static void
ngx_http_paylink_conn_del_read(void *data)
{
    ngx_event_t              *rev;
    ngx_http_paylink_conn_t  *conn;

    conn = data;
    rev = conn->connection->read;

    if (rev->active && ngx_del_event(rev, NGX_READ_EVENT, 0) != NGX_OK) {
        conn->broken = 1;
    }
}


/*
 * The commands of one turn of the event loop share one write at its end.
 * The kernel is asked only when the socket does not take them all.
 */

static void
ngx_http_paylink_conn_add_write(void *data)
{
    ngx_event_t              *wev;
    ngx_http_paylink_conn_t  *conn;

    conn = data;
    wev = conn->connection->write;

    if (wev->active) {
        return;
    }

    if (conn->writing || !(conn->ac->c.flags & REDIS_CONNECTED)) {

        if (ngx_add_event(wev, NGX_WRITE_EVENT, NGX_LEVEL_EVENT) != NGX_OK) {
            conn->broken = 1;
        }

        return;
    }

    ngx_post_event(wev, &ngx_posted_events);
}


static void
ngx_http_paylink_conn_del_write(void *data)
{
    ngx_event_t              *wev;
    ngx_http_paylink_conn_t  *conn;

    conn = data;
    wev = conn->connection->write;

    if (wev->active && ngx_del_event(wev, NGX_WRITE_EVENT, 0) != NGX_OK) {
        conn->broken = 1;
    }
}


/* as ngx_close_connection(), but hiredis closes the descriptor after this */

static void
ngx_http_paylink_conn_cleanup(void *data)
{
    ngx_connection_t         *c;
    ngx_http_paylink_conn_t  *conn;

    conn = data;
    c = conn->connection;

    if (conn->ac->err && !conn->closing) {
        ngx_log_error(NGX_LOG_ERR, conn->log, 0,
                      "paylink: lost redis %V for %s: %s",
                      &conn->server->name, conn->name, conn->ac->errstr);
    }

    if (ngx_del_conn) {
        ngx_del_conn(c, NGX_CLOSE_EVENT);

    } else {
        if (c->read->active || c->read->disabled) {
            ngx_del_event(c->read, NGX_READ_EVENT, NGX_CLOSE_EVENT);
        }

        if (c->write->active || c->write->disabled) {
            ngx_del_event(c->write, NGX_WRITE_EVENT, NGX_CLOSE_EVENT);
        }
    }

    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }

    if (c->write->posted) {
        ngx_delete_posted_event(c->write);
    }

    c->read->closed = 1;
    c->write->closed = 1;

    ngx_free_connection(c);
    c->fd = (ngx_socket_t) -1;

    conn->ac = NULL;
    conn->connection = NULL;
    conn->broken = 0;

    if (conn->lost) {
        conn->lost(conn);
    }

    ngx_http_paylink_conn_state(conn, NGX_HTTP_PAYLINK_DOWN);
}
