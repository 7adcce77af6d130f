
/*
 * Replies of Redis in one pool: hiredis would allocate every field of a record
 * twice.  The shapes stay those of redisReply, hiredis itself looks into them.
 * Only for the connection that carries commands: one reply lives at a time.
 */


#include "ngx_http_paylink.h"


#define NGX_HTTP_PAYLINK_REPLY_POOL       16384
#define NGX_HTTP_PAYLINK_REPLY_MAX        (16 * 1024 * 1024)
#define NGX_HTTP_PAYLINK_ELEMENTS_MAX     1024


#if (HIREDIS_MAJOR >= 1)
typedef size_t  ngx_http_paylink_elements_t;
#else
typedef int     ngx_http_paylink_elements_t;
#endif


static redisReply *ngx_http_paylink_reply_create(const redisReadTask *task,
    int type, size_t extra);
static void *ngx_http_paylink_reply_string(const redisReadTask *task,
    char *str, size_t len);
static void *ngx_http_paylink_reply_array(const redisReadTask *task,
    ngx_http_paylink_elements_t elements);
static void *ngx_http_paylink_reply_integer(const redisReadTask *task,
    long long value);
static void *ngx_http_paylink_reply_nil(const redisReadTask *task);
#if (HIREDIS_MAJOR >= 1)
static void *ngx_http_paylink_reply_double(const redisReadTask *task,
    double value, char *str, size_t len);
static void *ngx_http_paylink_reply_bool(const redisReadTask *task, int value);
#endif
static void ngx_http_paylink_reply_free(void *reply);


static redisReplyObjectFunctions  ngx_http_paylink_reply_functions = {
    ngx_http_paylink_reply_string,         /* createString */
    ngx_http_paylink_reply_array,          /* createArray */
    ngx_http_paylink_reply_integer,        /* createInteger */
#if (HIREDIS_MAJOR >= 1)
    ngx_http_paylink_reply_double,         /* createDouble */
#endif
    ngx_http_paylink_reply_nil,            /* createNil */
#if (HIREDIS_MAJOR >= 1)
    ngx_http_paylink_reply_bool,           /* createBool */
#endif
    ngx_http_paylink_reply_free            /* freeObject */
};


static ngx_pool_t  *ngx_http_paylink_reply_pool;
static size_t       ngx_http_paylink_reply_bytes;


void
ngx_http_paylink_reply_arena(redisAsyncContext *ac)
{
    if (ngx_http_paylink_reply_pool == NULL) {
        ngx_http_paylink_reply_pool =
                  ngx_create_pool(NGX_HTTP_PAYLINK_REPLY_POOL, ngx_cycle->log);

        if (ngx_http_paylink_reply_pool == NULL) {
            /* hiredis' own functions do as well */
            return;
        }
    }

    ac->c.reader->fn = &ngx_http_paylink_reply_functions;
}


/* once hiredis is done with the last reply */

void
ngx_http_paylink_reply_release(void)
{
    if (ngx_http_paylink_reply_pool) {
        ngx_destroy_pool(ngx_http_paylink_reply_pool);
        ngx_http_paylink_reply_pool = NULL;
    }
}


/* NULL is "out of memory" to hiredis: it drops the connection */

static redisReply *
ngx_http_paylink_reply_create(const redisReadTask *task, int type,
    size_t extra)
{
    redisReply  *reply, *parent;

    if (extra > NGX_HTTP_PAYLINK_REPLY_MAX
        || ngx_http_paylink_reply_bytes > NGX_HTTP_PAYLINK_REPLY_MAX)
    {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "paylink: redis sent a reply of more than %ui bytes",
                      (ngx_uint_t) NGX_HTTP_PAYLINK_REPLY_MAX);
        return NULL;
    }

    reply = ngx_palloc(ngx_http_paylink_reply_pool,
                       sizeof(redisReply) + extra);
    if (reply == NULL) {
        return NULL;
    }

    ngx_memzero(reply, sizeof(redisReply));
    ngx_http_paylink_reply_bytes += sizeof(redisReply) + extra;

    reply->type = type;

    if (task->parent) {
        parent = task->parent->obj;
        parent->element[task->idx] = reply;
    }

    return reply;
}


static void *
ngx_http_paylink_reply_string(const redisReadTask *task, char *str, size_t len)
{
    redisReply  *reply;

    reply = ngx_http_paylink_reply_create(task, task->type, len + 1);
    if (reply == NULL) {
        return NULL;
    }

    reply->str = (char *) reply + sizeof(redisReply);
    reply->len = len;

    ngx_memcpy(reply->str, str, len);
    reply->str[len] = '\0';

    return reply;
}


static void *
ngx_http_paylink_reply_array(const redisReadTask *task,
    ngx_http_paylink_elements_t elements)
{
    size_t       size;
    redisReply  *reply;

    if (elements > NGX_HTTP_PAYLINK_ELEMENTS_MAX) {
        return NULL;
    }

    size = elements * sizeof(redisReply *);

    reply = ngx_http_paylink_reply_create(task, task->type, size);
    if (reply == NULL) {
        return NULL;
    }

    reply->element = (redisReply **) ((char *) reply + sizeof(redisReply));
    reply->elements = elements;

    ngx_memzero(reply->element, size);

    return reply;
}


static void *
ngx_http_paylink_reply_integer(const redisReadTask *task, long long value)
{
    redisReply  *reply;

    reply = ngx_http_paylink_reply_create(task, task->type, 0);
    if (reply == NULL) {
        return NULL;
    }

    reply->integer = value;

    return reply;
}


static void *
ngx_http_paylink_reply_nil(const redisReadTask *task)
{
    /* the task is one of a string or an array that is not there */

    return ngx_http_paylink_reply_create(task, REDIS_REPLY_NIL, 0);
}


#if (HIREDIS_MAJOR >= 1)

static void *
ngx_http_paylink_reply_double(const redisReadTask *task, double value,
    char *str, size_t len)
{
    redisReply  *reply;

    reply = ngx_http_paylink_reply_string(task, str, len);
    if (reply == NULL) {
        return NULL;
    }

    reply->dval = value;

    return reply;
}


static void *
ngx_http_paylink_reply_bool(const redisReadTask *task, int value)
{
    return ngx_http_paylink_reply_integer(task, value != 0);
}

#endif


static void
ngx_http_paylink_reply_free(void *reply)
{
    if (reply) {
        ngx_reset_pool(ngx_http_paylink_reply_pool);
        ngx_http_paylink_reply_bytes = 0;
    }
}
