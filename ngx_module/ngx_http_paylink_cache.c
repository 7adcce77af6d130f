
/*
 * Links as Redis has told them to this worker, kept as long as Redis says that
 * they hold: it tells the connection of events which keys have changed (client
 * tracking).  Nothing of the cache is shown unless a marker has just come
 * back: what was changed before it is known.
 */


#include "ngx_http_paylink.h"


#define NGX_HTTP_PAYLINK_CACHE_BUCKETS   8192
#define NGX_HTTP_PAYLINK_CACHE_SIZE      (8 * 1024 * 1024)


/* followed by what the reply consists of */

typedef struct {
    ngx_queue_t                     queue;      /* of its bucket */
    ngx_queue_t                     lru;        /* the newest first */
    size_t                          size;
    u_char                          id[TOKEN_ID_SIZE];
    ngx_int_t                       language;   /* of the texts in it */
    redisReply                     *reply;
} ngx_http_paylink_cached_t;


typedef struct {
    ngx_queue_t                     links[NGX_HTTP_PAYLINK_CACHE_BUCKETS];
    ngx_uint_t                      changes[NGX_HTTP_PAYLINK_CACHE_BUCKETS];
    ngx_queue_t                     lru;
    size_t                          used;
    size_t                          max;
    ngx_log_t                      *log;

    ngx_http_paylink_site_e         site;       /* whose links they are */
    long long                       listener[NGX_HTTP_PAYLINK_SITES];
    ngx_uint_t                      since;      /* a marker: to be trusted */
    unsigned                        tracking:1; /* Redis tells of changes */
} ngx_http_paylink_cache_t;


static void ngx_http_paylink_cache_track(void);
static void ngx_http_paylink_cache_tracked(redisAsyncContext *ac, void *reply,
    void *data);
static ngx_http_paylink_cached_t *ngx_http_paylink_cache_find(
    const u_char *id);
static void ngx_http_paylink_cache_drop(ngx_http_paylink_cached_t *link);
static size_t ngx_http_paylink_cache_size(redisReply *reply);
static redisReply *ngx_http_paylink_cache_copy(u_char *p, redisReply *reply);
static ngx_uint_t ngx_http_paylink_cache_key(redisReply *key, u_char *id);


static ngx_http_paylink_cache_t  ngx_http_paylink_cache;


/* ids are random */

#define ngx_http_paylink_cache_hash(id)                                       \
    (((id)[12] << 8 | (id)[13]) % NGX_HTTP_PAYLINK_CACHE_BUCKETS)


/* "paylink_cache off | SIZE" */

char *
ngx_http_paylink_cache_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_paylink_main_conf_t *pmcf = conf;

    ssize_t     size;
    ngx_str_t  *value;

    if (pmcf->cache != NGX_CONF_UNSET_SIZE) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        pmcf->cache = 0;
        return NGX_CONF_OK;
    }

    size = ngx_parse_size(&value[1]);

    if (size < 65536) {
        return "needs a size of at least 64k, or \"off\"";
    }

    pmcf->cache = size;

    return NGX_CONF_OK;
}


void
ngx_http_paylink_cache_default(ngx_http_paylink_main_conf_t *pmcf)
{
    ngx_conf_init_size_value(pmcf->cache, NGX_HTTP_PAYLINK_CACHE_SIZE);
}


void
ngx_http_paylink_cache_init(ngx_cycle_t *cycle,
    ngx_http_paylink_main_conf_t *pmcf)
{
    ngx_uint_t                 i;
    ngx_http_paylink_cache_t  *cache;

    cache = &ngx_http_paylink_cache;

    ngx_memzero(cache, sizeof(ngx_http_paylink_cache_t));

    for (i = 0; i < NGX_HTTP_PAYLINK_CACHE_BUCKETS; i++) {
        ngx_queue_init(&cache->links[i]);
    }

    ngx_queue_init(&cache->lru);

    cache->max = pmcf->cache;
    cache->log = cycle->log;
}


/* everything: nobody knows what has changed */

void
ngx_http_paylink_cache_clear(void)
{
    ngx_uint_t                 i;
    ngx_queue_t               *q;
    ngx_http_paylink_cache_t  *cache;

    cache = &ngx_http_paylink_cache;

    while (!ngx_queue_empty(&cache->lru)) {
        q = ngx_queue_head(&cache->lru);
        ngx_http_paylink_cache_drop(ngx_queue_data(q,
                                              ngx_http_paylink_cached_t, lru));
    }

    /* replies on their way may be old, too */

    for (i = 0; i < NGX_HTTP_PAYLINK_CACHE_BUCKETS; i++) {
        cache->changes[i]++;
    }
}


/* links are read from there from now on */

void
ngx_http_paylink_cache_move(ngx_http_paylink_site_e site)
{
    ngx_http_paylink_cache.site = site;
    ngx_http_paylink_cache.tracking = 0;

    ngx_http_paylink_cache_clear();
    ngx_http_paylink_cache_track();
}


/* one of the two connections was lost */

void
ngx_http_paylink_cache_lost(ngx_http_paylink_site_e site)
{
    if (site == ngx_http_paylink_cache.site) {
        ngx_http_paylink_cache.tracking = 0;
        ngx_http_paylink_cache_clear();
    }
}


/* the connection of events is there, under this number, or lost: 0 */

void
ngx_http_paylink_cache_listener(ngx_http_paylink_site_e site, long long id)
{
    ngx_http_paylink_cache.listener[site] = id;

    ngx_http_paylink_cache_connected(site);
}


/* the connection of commands is there */

void
ngx_http_paylink_cache_connected(ngx_http_paylink_site_e site)
{
    if (site == ngx_http_paylink_cache.site) {
        ngx_http_paylink_cache_track();
    }
}


static void
ngx_http_paylink_cache_track(void)
{
    long long                 *listener;
    ngx_http_paylink_cache_t  *cache;

    cache = &ngx_http_paylink_cache;
    listener = &cache->listener[cache->site];

    if (cache->max && *listener) {
        ngx_http_paylink_redis_order(cache->site,
                                ngx_http_paylink_command_tracking(*listener),
                                ngx_http_paylink_cache_tracked, listener);
    }
}


static void
ngx_http_paylink_cache_tracked(redisAsyncContext *ac, void *reply, void *data)
{
    redisReply                *answer;
    ngx_http_paylink_cache_t  *cache;

    cache = &ngx_http_paylink_cache;
    answer = reply;

    if (answer == NULL || data != &cache->listener[cache->site]) {
        return;
    }

    if (answer->type != REDIS_REPLY_STATUS) {
        ngx_log_error(NGX_LOG_WARN, cache->log, 0,
                      "paylink: redis does not tell of changes, links are not "
                      "cached: %s",
                      answer->type == REDIS_REPLY_ERROR ? answer->str : "");
        return;
    }

    cache->tracking = 1;

    /* nobody told of changes of what was read before */

    ngx_http_paylink_cache_clear();
    cache->since = ngx_http_paylink_marker_send();
}


/* keys that have changed: an array, or nil for all of them */

void
ngx_http_paylink_cache_changed(redisReply *keys)
{
    u_char                      id[TOKEN_ID_SIZE];
    size_t                      i;
    ngx_http_paylink_cached_t  *link;

    if (keys->type != REDIS_REPLY_ARRAY) {
        ngx_http_paylink_cache_clear();
        return;
    }

    for (i = 0; i < keys->elements; i++) {

        if (!ngx_http_paylink_cache_key(keys->element[i], id)) {
            continue;
        }

        ngx_http_paylink_cache.changes[ngx_http_paylink_cache_hash(id)]++;

        link = ngx_http_paylink_cache_find(id);

        if (link) {
            ngx_http_paylink_cache_drop(link);
        }
    }
}


/* "paylink:{NN}:link:HH" */

static ngx_uint_t
ngx_http_paylink_cache_key(redisReply *key, u_char *id)
{
    size_t  skip;

    skip = sizeof("paylink:{NN}:link:") - 1;

    return key->type == REDIS_REPLY_STRING
           && (size_t) key->len == skip + NGX_HTTP_PAYLINK_HEX
           && ngx_strncmp(key->str + skip - 6, ":link:", 6) == 0
           && hex_parse(key->str + skip, NGX_HTTP_PAYLINK_HEX, id) == 0;
}


/*
 * The reply to an HMGET of the link, as if Redis had given it right now, or
 * NULL.  It lives until control returns to the event loop.
 */

redisReply *
ngx_http_paylink_cache_get(ngx_http_paylink_site_e site, const u_char *id,
    ngx_int_t language)
{
    ngx_http_paylink_cache_t   *cache;
    ngx_http_paylink_cached_t  *link;

    cache = &ngx_http_paylink_cache;

    if (!cache->tracking || site != cache->site) {
        return NULL;
    }

    ngx_http_paylink_marker_due();

    if (!ngx_http_paylink_marker_trust(site, cache->since)
        || ngx_http_paylink_clock_check() != NGX_OK)
    {
        return NULL;
    }

    link = ngx_http_paylink_cache_find(id);

    if (link == NULL || link->language != language) {
        return NULL;
    }

    ngx_queue_remove(&link->lru);
    ngx_queue_insert_head(&cache->lru, &link->lru);

    return link->reply;
}


/* to be given to ngx_http_paylink_cache_put() with the reply to come */

ngx_uint_t
ngx_http_paylink_cache_mark(const u_char *id)
{
    return ngx_http_paylink_cache.changes[ngx_http_paylink_cache_hash(id)];
}


/*
 * Not if the link has changed since: the reply may be from before.  Not from
 * elsewhere: nobody would tell of its changes.
 */

void
ngx_http_paylink_cache_put(ngx_http_paylink_site_e site, const u_char *id,
    ngx_int_t language, ngx_uint_t mark, redisReply *reply)
{
    size_t                      size;
    ngx_queue_t                *q;
    ngx_http_paylink_cache_t   *cache;
    ngx_http_paylink_cached_t  *link;

    cache = &ngx_http_paylink_cache;

    if (!cache->tracking || site != cache->site
        || mark != ngx_http_paylink_cache_mark(id)
        || reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements == 0
        || reply->element[0]->type != REDIS_REPLY_STRING)
    {
        return;
    }

    link = ngx_http_paylink_cache_find(id);

    if (link) {
        ngx_http_paylink_cache_drop(link);
    }

    size = sizeof(ngx_http_paylink_cached_t)
           + ngx_http_paylink_cache_size(reply);

    if (size > cache->max / 4) {
        return;
    }

    while (cache->used + size > cache->max) {
        q = ngx_queue_last(&cache->lru);
        ngx_http_paylink_cache_drop(ngx_queue_data(q,
                                              ngx_http_paylink_cached_t, lru));
    }

    link = ngx_alloc(size, cache->log);
    if (link == NULL) {
        return;
    }

    link->size = size;
    link->language = language;
    link->reply = ngx_http_paylink_cache_copy((u_char *) (link + 1), reply);
    ngx_memcpy(link->id, id, TOKEN_ID_SIZE);

    cache->used += size;

    ngx_queue_insert_head(&cache->links[ngx_http_paylink_cache_hash(id)],
                          &link->queue);
    ngx_queue_insert_head(&cache->lru, &link->lru);
}


static ngx_http_paylink_cached_t *
ngx_http_paylink_cache_find(const u_char *id)
{
    ngx_queue_t                *q, *bucket;
    ngx_http_paylink_cached_t  *link;

    bucket = &ngx_http_paylink_cache.links[ngx_http_paylink_cache_hash(id)];

    for (q = ngx_queue_head(bucket);
         q != ngx_queue_sentinel(bucket);
         q = ngx_queue_next(q))
    {
        link = ngx_queue_data(q, ngx_http_paylink_cached_t, queue);

        if (ngx_memcmp(link->id, id, TOKEN_ID_SIZE) == 0) {
            return link;
        }
    }

    return NULL;
}


static void
ngx_http_paylink_cache_drop(ngx_http_paylink_cached_t *link)
{
    ngx_http_paylink_cache.used -= link->size;

    ngx_queue_remove(&link->queue);
    ngx_queue_remove(&link->lru);

    ngx_free(link);
}


static size_t
ngx_http_paylink_cache_size(redisReply *reply)
{
    size_t  i, size;

    size = sizeof(redisReply)
           + reply->elements * (sizeof(redisReply *) + sizeof(redisReply));

    for (i = 0; i < reply->elements; i++) {
        if (reply->element[i]->type == REDIS_REPLY_STRING) {
            size += reply->element[i]->len + 1;
        }
    }

    return size;
}


/* strings and nils, in one piece; p has room for all of it */

static redisReply *
ngx_http_paylink_cache_copy(u_char *p, redisReply *reply)
{
    size_t       i;
    redisReply  *copy, *from, *to;

    copy = (redisReply *) p;
    to = copy + 1;

    ngx_memzero(copy, sizeof(redisReply) * (1 + reply->elements));

    copy->type = reply->type;
    copy->elements = reply->elements;
    copy->element = (redisReply **) (to + reply->elements);

    p = (u_char *) (copy->element + reply->elements);

    for (i = 0; i < reply->elements; i++, to++) {
        from = reply->element[i];
        copy->element[i] = to;
        to->type = REDIS_REPLY_NIL;

        if (from->type == REDIS_REPLY_STRING) {
            to->type = REDIS_REPLY_STRING;
            to->len = from->len;
            to->str = (char *) p;

            p = ngx_cpymem(p, from->str, from->len);
            *p++ = '\0';
        }
    }

    return copy;
}
