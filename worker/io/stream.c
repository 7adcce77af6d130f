/*
 * Consumer-group reading of one kind of stream over all shards. Knows keys, groups, deliveries and
 * dead letters; not what an entry means.
 */
#include "stream.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_AREA "stream"
#include "../base/log.h"
#include "../base/mem.h"
#include "../core/encoding.h"

#define GROUP        "worker"
#define BLOCK_MS     5000
#define RETRY_MS     200
#define CLAIM_MS_MIN 250
#define CLAIM_COUNT  100
#define KEY_SIZE     64
#define ID_SIZE      44
#define BUCKETS      1024

struct stream {
    struct loop *loop;
    char *kind, *consumer;
    int64_t claim_idle_ms;
    size_t room;
    struct redis *redis;  /* borrowed */
    struct redis *reader; /* own, blocking */
    stream_fn fn;
    void *ctx;
    bool stopped, paused, reading;
    bool replaying;                       /* own unacknowledged entries first */
    char cursor[STREAM_SHARDS][ID_SIZE];  /* of the replay; "" when a shard is through */
    char claimed[STREAM_SHARDS][ID_SIZE]; /* how far the taking over has come */
    struct stream_entry *out[BUCKETS];    /* given out, by shard and id */
    size_t out_count;
    size_t acks; /* not answered yet */
    struct loop_timer *retry, *claim;
};

static void read_next(struct stream *s);

static void key_write(const struct stream *s, unsigned shard, const char *name, char out[KEY_SIZE])
{
    snprintf(out, KEY_SIZE, "paylink:{%02x}:%s", shard, name != NULL ? name : s->kind);
}

/* FNV-1a */
static struct stream_entry **bucket_of(struct stream *s, unsigned shard, const char *id)
{
    uint32_t hash = 2166136261U ^ shard;

    for (; *id != '\0'; id++)
        hash = (hash ^ (unsigned char)*id) * 16777619U;
    return &s->out[(hash ^ hash >> 16) % BUCKETS];
}

static void entry_add(struct stream *s, struct stream_entry *entry)
{
    struct stream_entry **bucket = bucket_of(s, entry->shard, entry->id);

    entry->next = *bucket;
    entry->at = bucket;
    if (entry->next != NULL)
        entry->next->at = &entry->next;
    *bucket = entry;
    s->out_count++;
}

static void entry_delete(struct stream_entry *entry)
{
    for (size_t i = 0; i < entry->count; i++) {
        free(entry->field[i].name);
        free(entry->field[i].value);
    }
    free(entry);
}

static void entry_free(struct stream *s, struct stream_entry *entry)
{
    *entry->at = entry->next;
    if (entry->next != NULL)
        entry->next->at = entry->at;
    s->out_count--;
    entry_delete(entry);
}

static bool entry_is_out(struct stream *s, unsigned shard, const char *id)
{
    for (const struct stream_entry *e = *bucket_of(s, shard, id); e != NULL; e = e->next) {
        if (e->shard == shard && strcmp(e->id, id) == 0)
            return true;
    }
    return false;
}

static void on_acknowledged(void *arg, const struct redisReply *reply)
{
    struct stream *s = arg;

    (void)reply; /* lost or refused: delivered again */
    s->acks--;
}

static void acknowledge(struct stream *s, unsigned shard, const char *const *ids, size_t n)
{
    static const char *const verbs[] = {"XACK", "XDEL"};
    char key[KEY_SIZE];

    key_write(s, shard, NULL, key);
    for (size_t v = 0; v < 2; v++) {
        struct redis_args *args = redis_args_new();

        redis_args_text(args, verbs[v]);
        redis_args_text(args, key);
        if (v == 0)
            redis_args_text(args, GROUP);
        for (size_t i = 0; i < n; i++)
            redis_args_text(args, ids[i]);
        if (redis_send_take(s->redis, args, on_acknowledged, s) != RESULT_OK)
            return; /* delivered again */
        s->acks++;
    }
}

/* An entry of a reply, [id, [name, value, …]]; NULL for what is out already or was deleted. */
static struct stream_entry *entry_read(struct stream *s, unsigned shard, const redisReply *r)
{
    const redisReply *fields;
    struct stream_entry *entry;
    const char *id;

    if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 ||
        r->element[0]->type != REDIS_REPLY_STRING || r->element[0]->len >= (int)sizeof entry->id)
        return NULL;
    id = r->element[0]->str;
    fields = r->element[1];
    if (fields->type != REDIS_REPLY_ARRAY) { /* deleted, but still in our list */
        acknowledge(s, shard, &id, 1);
        return NULL;
    }
    if (entry_is_out(s, shard, id))
        return NULL;
    entry = mem_alloc(sizeof *entry + fields->elements / 2 * sizeof entry->field[0]);
    entry->shard = shard;
    entry->deliveries = 1;
    snprintf(entry->id, sizeof entry->id, "%s", id);
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        const redisReply *name = fields->element[i], *value = fields->element[i + 1];
        struct stream_field *field = &entry->field[entry->count++];

        field->name = mem_strndup(name->str, (size_t)name->len);
        field->value = mem_alloc((size_t)value->len + 1);
        memcpy(field->value, value->str, (size_t)value->len);
        field->value_len = (size_t)value->len;
    }
    entry_add(s, entry);
    return entry;
}

/* --- delivered again -------------------------------------------------------------------------- */

struct question {
    struct stream *stream;
    struct stream_entry *entry;
};

/* XPENDING key group id id 1 -> [[id, consumer, idle, deliveries]] */
static void on_deliveries(void *arg, const struct redisReply *reply)
{
    struct question *q = arg;
    struct stream *s = q->stream;
    struct stream_entry *entry = q->entry;

    free(q);
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY || reply->elements != 1 ||
        reply->element[0]->type != REDIS_REPLY_ARRAY || reply->element[0]->elements != 4 ||
        s->stopped) {
        stream_release(s, entry);
        return;
    }
    entry->deliveries = reply->element[0]->element[3]->integer;
    if (entry->deliveries > STREAM_DELIVERIES_MAX)
        stream_dead(s, entry, "delivered too often");
    else
        s->fn(s->ctx, &entry, 1);
}

static void deliver_again(struct stream *s, struct redis *redis, struct stream_entry *entry)
{
    struct redis_args *args = redis_args_new();
    struct question *q = mem_alloc(sizeof *q);
    char key[KEY_SIZE];

    q->stream = s;
    q->entry = entry;
    key_write(s, entry->shard, NULL, key);
    redis_args_text(args, "XPENDING");
    redis_args_text(args, key);
    redis_args_text(args, GROUP);
    redis_args_text(args, entry->id);
    redis_args_text(args, entry->id);
    redis_args_text(args, "1");
    if (redis_send_take(redis, args, on_deliveries, q) != RESULT_OK) {
        free(q);
        stream_release(s, entry);
    }
}

/* --- reading -----------------------------------------------------------------------------------
 */

/* paylink:{NN}:… */
static bool shard_of_key(const redisReply *key, unsigned *shard)
{
    static const char prefix[] = "paylink:{";
    uint8_t byte;

    if (key->type != REDIS_REPLY_STRING || strncmp(key->str, prefix, sizeof prefix - 1) != 0 ||
        key->len < (int)sizeof prefix + 1 || hex_parse(key->str + sizeof prefix - 1, 2, &byte) != 0)
        return false;
    *shard = byte;
    return byte < STREAM_SHARDS;
}

/* The entries of one shard; while replaying, also moves the shard's cursor. */
static size_t shard_read(struct stream *s, unsigned shard, const redisReply *list,
                         struct stream_entry **fresh)
{
    size_t n = 0;

    if (s->replaying && list->elements == 0)
        s->cursor[shard][0] = '\0';
    for (size_t i = 0; i < list->elements; i++) {
        const redisReply *r = list->element[i];
        struct stream_entry *entry = entry_read(s, shard, r);

        if (s->replaying && r->type == REDIS_REPLY_ARRAY && r->elements == 2)
            snprintf(s->cursor[shard], sizeof s->cursor[shard], "%s", r->element[0]->str);
        if (entry == NULL)
            continue;
        if (s->replaying)
            deliver_again(s, s->reader, entry);
        else
            fresh[n++] = entry;
    }
    return n;
}

static void replay_check(struct stream *s)
{
    for (unsigned shard = 0; shard < STREAM_SHARDS; shard++) {
        if (s->cursor[shard][0] != '\0')
            return;
    }
    s->replaying = false;
}

static void shards_read(struct stream *s, const redisReply *reply)
{
    struct stream_entry **fresh;
    size_t total = 0, n = 0;
    unsigned shard;

    for (size_t i = 0; i < reply->elements; i++) {
        if (reply->element[i]->type == REDIS_REPLY_ARRAY && reply->element[i]->elements == 2)
            total += reply->element[i]->element[1]->elements;
    }
    fresh = mem_alloc((total + 1) * sizeof(struct stream_entry *));
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *r = reply->element[i];

        if (r->type == REDIS_REPLY_ARRAY && r->elements == 2 && shard_of_key(r->element[0], &shard))
            n += shard_read(s, shard, r->element[1], fresh + n);
    }
    if (s->replaying)
        replay_check(s);
    if (n > 0)
        s->fn(s->ctx, fresh, n);
    free(fresh);
}

static void groups_create(struct stream *s)
{
    char key[KEY_SIZE];

    for (unsigned shard = 0; shard < STREAM_SHARDS; shard++) {
        struct redis_args *args = redis_args_new();

        key_write(s, shard, NULL, key);
        redis_args_text(args, "XGROUP");
        redis_args_text(args, "CREATE");
        redis_args_text(args, key);
        redis_args_text(args, GROUP);
        redis_args_text(args, "0");
        redis_args_text(args, "MKSTREAM");
        if (redis_send_take(s->reader, args, NULL, NULL) != RESULT_OK)
            return; /* the reconnect begins anew */
    }
}

static void replay_start(struct stream *s)
{
    s->replaying = true;
    for (unsigned shard = 0; shard < STREAM_SHARDS; shard++)
        snprintf(s->cursor[shard], sizeof s->cursor[shard], "0");
}

static void on_read(void *arg, const struct redisReply *reply)
{
    struct stream *s = arg;

    s->reading = false;
    if (reply == NULL || s->stopped)
        return; /* on_reader_ready() goes on */
    if (reply->type == REDIS_REPLY_ERROR) {
        /* UNBLOCKED: the key vanished while we waited on it */
        if (strncmp(reply->str, "NOGROUP", 7) == 0 || strncmp(reply->str, "UNBLOCKED", 9) == 0) {
            log_warn("the groups of %s are gone, Redis was emptied: made anew", s->kind);
            groups_create(s);
        } else {
            log_error("%s: %s", s->kind, reply->str);
        }
        loop_timer_arm(s->retry, RETRY_MS);
        return;
    }
    if (reply->type == REDIS_REPLY_ARRAY)
        shards_read(s, reply);
    read_next(s);
}

static void read_args_shards(struct stream *s, struct redis_args *args)
{
    char key[KEY_SIZE];

    redis_args_text(args, "STREAMS");
    for (unsigned shard = 0; shard < STREAM_SHARDS; shard++) {
        if (s->replaying && s->cursor[shard][0] == '\0')
            continue;
        key_write(s, shard, NULL, key);
        redis_args_text(args, key);
    }
    for (unsigned shard = 0; shard < STREAM_SHARDS; shard++) {
        if (!s->replaying)
            redis_args_text(args, ">");
        else if (s->cursor[shard][0] != '\0')
            redis_args_text(args, s->cursor[shard]);
    }
}

/* COUNT is per shard: a quarter of the room fills it well and overshoots it four times at most. */
static void read_next(struct stream *s)
{
    struct redis_args *args;
    size_t count;

    if (s->reading || s->stopped || s->paused || s->out_count >= s->room || !redis_ready(s->reader))
        return;
    count = (s->room - s->out_count + 3) / 4;
    args = redis_args_new();
    redis_args_text(args, "XREADGROUP");
    redis_args_text(args, "GROUP");
    redis_args_text(args, GROUP);
    redis_args_text(args, s->consumer);
    redis_args_text(args, "COUNT");
    redis_args_int(args, (int64_t)count);
    if (!s->replaying) {
        redis_args_text(args, "BLOCK");
        redis_args_int(args, BLOCK_MS);
    }
    read_args_shards(s, args);
    s->reading = redis_send_take(s->reader, args, on_read, s) == RESULT_OK;
}

static void on_retry(void *arg)
{
    read_next(arg);
}

static void on_reader_ready(void *arg)
{
    struct stream *s = arg;

    s->reading = false;
    groups_create(s);
    replay_start(s);
    read_next(s);
}

/* --- taking over -------------------------------------------------------------------------------
 */

struct claim {
    struct stream *stream;
    unsigned shard;
};

/* [cursor, [entry, …], [deleted id, …]] */
static void on_claimed(void *arg, const struct redisReply *reply)
{
    struct claim *claim = arg;
    struct stream *s = claim->stream;
    unsigned shard = claim->shard;
    const redisReply *list;

    free(claim);
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY || reply->elements < 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING || s->stopped)
        return;
    snprintf(s->claimed[shard], ID_SIZE, "%s", reply->element[0]->str);
    list = reply->element[1];
    for (size_t i = 0; i < list->elements; i++) {
        struct stream_entry *entry = entry_read(s, shard, list->element[i]);

        if (entry == NULL)
            continue;
        log_info("%s: entry %s taken over", s->kind, entry->id);
        deliver_again(s, s->redis, entry);
    }
}

static void claim_shard(struct stream *s, unsigned shard)
{
    struct redis_args *args = redis_args_new();
    struct claim *claim = mem_alloc(sizeof *claim);
    char key[KEY_SIZE];

    claim->stream = s;
    claim->shard = shard;
    key_write(s, shard, NULL, key);
    redis_args_text(args, "XAUTOCLAIM");
    redis_args_text(args, key);
    redis_args_text(args, GROUP);
    redis_args_text(args, s->consumer);
    redis_args_int(args, s->claim_idle_ms);
    redis_args_text(args, s->claimed[shard][0] != '\0' ? s->claimed[shard] : "0");
    redis_args_text(args, "COUNT");
    redis_args_int(args, CLAIM_COUNT);
    if (redis_send_take(s->redis, args, on_claimed, claim) != RESULT_OK)
        free(claim);
}

/* What was not touched for as long, by whomever it may belong to now, is claimed anew as ours. */
static void heartbeat_shard(struct stream *s, unsigned shard)
{
    struct redis_args *args = redis_args_new();
    char key[KEY_SIZE];
    size_t n = 0;

    key_write(s, shard, NULL, key);
    redis_args_text(args, "XCLAIM");
    redis_args_text(args, key);
    redis_args_text(args, GROUP);
    redis_args_text(args, s->consumer);
    redis_args_int(args, s->claim_idle_ms / 4);
    for (size_t i = 0; i < BUCKETS; i++) {
        for (const struct stream_entry *e = s->out[i]; e != NULL; e = e->next) {
            if (e->shard == shard) {
                redis_args_text(args, e->id);
                n++;
            }
        }
    }
    redis_args_text(args, "RETRYCOUNT");
    redis_args_text(args, "1");
    redis_args_text(args, "JUSTID");
    if (n == 0)
        redis_args_free(args);
    else
        (void)!redis_send_take(s->redis, args, NULL, NULL); /* the next one comes soon */
}

static void claim_arm(struct stream *s)
{
    int64_t delay_ms = s->claim_idle_ms / 4;

    loop_timer_arm(s->claim, delay_ms > CLAIM_MS_MIN ? delay_ms : CLAIM_MS_MIN);
}

static void on_claim(void *arg)
{
    struct stream *s = arg;

    if (s->stopped)
        return;
    for (unsigned shard = 0; s->out_count > 0 && shard < STREAM_SHARDS; shard++)
        heartbeat_shard(s, shard);
    if (!s->paused && s->out_count < s->room) {
        for (unsigned shard = 0; shard < STREAM_SHARDS; shard++)
            claim_shard(s, shard);
    }
    claim_arm(s);
}

/* --- what the owner calls -----------------------------------------------------------------------
 */

struct stream *stream_new(struct loop *loop, const struct stream_options *options)
{
    struct stream *s = mem_alloc(sizeof *s);
    struct redis_options connection = options->connection;

    s->loop = loop;
    s->kind = mem_strdup(options->kind);
    s->consumer = mem_strdup(options->consumer);
    s->claim_idle_ms = options->claim_idle_ms;
    s->room = options->room;
    s->redis = options->redis;
    s->fn = options->fn;
    s->ctx = options->ctx;
    s->retry = loop_timer_new(loop, on_retry, s);
    s->claim = loop_timer_new(loop, on_claim, s);
    connection.timeout_ms = 2 * BLOCK_MS;
    connection.on_ready = on_reader_ready;
    connection.ctx = s;
    s->reader = redis_new(loop, &connection);
    claim_arm(s);
    return s;
}

void stream_free(struct stream *s)
{
    struct stream_entry *entry;

    if (s == NULL)
        return;
    s->stopped = true;
    redis_free(s->reader);
    for (size_t i = 0; i < BUCKETS; i++) {
        while ((entry = s->out[i]) != NULL) {
            s->out[i] = entry->next;
            entry_delete(entry);
        }
    }
    loop_timer_free(s->retry);
    loop_timer_free(s->claim);
    free(s->kind);
    free(s->consumer);
    free(s);
}

void stream_stop(struct stream *s)
{
    s->stopped = true;
    loop_timer_disarm(s->claim);
}

void stream_pause(struct stream *s, bool paused)
{
    s->paused = paused;
    read_next(s);
}

bool stream_flushed(const struct stream *s)
{
    return s->acks == 0;
}

size_t stream_out(const struct stream *s)
{
    return s->out_count;
}

const struct stream_field *stream_field(const struct stream_entry *entry, const char *name)
{
    for (size_t i = 0; i < entry->count; i++) {
        if (strcmp(entry->field[i].name, name) == 0)
            return &entry->field[i];
    }
    return NULL;
}

const char *stream_text(const struct stream_entry *entry, const char *name)
{
    const struct stream_field *field = stream_field(entry, name);

    if (field == NULL || strlen(field->value) != field->value_len)
        return NULL;
    return field->value;
}

void stream_ack(struct stream *s, struct stream_entry **entries, size_t n)
{
    const char **ids = mem_alloc((n + 1) * sizeof(const char *));

    for (unsigned shard = 0; shard < STREAM_SHARDS; shard++) {
        size_t count = 0;

        for (size_t i = 0; i < n; i++) {
            if (entries[i]->shard == shard)
                ids[count++] = entries[i]->id;
        }
        if (count > 0)
            acknowledge(s, shard, ids, count);
    }
    free(ids);
    for (size_t i = 0; i < n; i++)
        entry_free(s, entries[i]);
    read_next(s);
}

/* Only what lies among the dead letters may leave its stream. */
struct burial {
    struct stream *stream;
    unsigned shard;
    char id[ID_SIZE];
};

static void on_buried(void *arg, const struct redisReply *reply)
{
    struct burial *burial = arg;
    const char *id = burial->id;

    if (reply != NULL && reply->type == REDIS_REPLY_STRING)
        acknowledge(burial->stream, burial->shard, &id, 1);
    else
        log_error("%s: entry %s could not be set aside", burial->stream->kind, id);
    free(burial);
}

void stream_dead(struct stream *s, struct stream_entry *entry, const char *why)
{
    struct redis_args *args = redis_args_new();
    struct burial *burial = mem_alloc(sizeof *burial);
    char key[KEY_SIZE];

    burial->stream = s;
    burial->shard = entry->shard;
    snprintf(burial->id, sizeof burial->id, "%s", entry->id);
    log_error("%s: entry %s is set aside in the dead letters: %s", s->kind, entry->id, why);
    key_write(s, entry->shard, "dead", key);
    redis_args_text(args, "XADD");
    redis_args_text(args, key);
    redis_args_text(args, "*");
    redis_args_text(args, "stream_");
    redis_args_text(args, s->kind);
    redis_args_text(args, "id_");
    redis_args_text(args, entry->id);
    redis_args_text(args, "why_");
    redis_args_text(args, why);
    for (size_t i = 0; i < entry->count; i++) {
        redis_args_text(args, entry->field[i].name);
        redis_args_bytes(args, entry->field[i].value, entry->field[i].value_len);
    }
    if (redis_send_take(s->redis, args, on_buried, burial) != RESULT_OK)
        free(burial);
    entry_free(s, entry);
    read_next(s);
}

void stream_release(struct stream *s, struct stream_entry *entry)
{
    entry_free(s, entry);
    read_next(s);
}
