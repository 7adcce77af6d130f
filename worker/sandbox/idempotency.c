/* Owns the meaning of Idempotency-Key; knows nothing of what the requests do. */
#include "idempotency.h"

#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"
#include "../core/encoding.h"
#include "render.h"

void saved_reply_free(struct saved_reply *reply)
{
    if (reply != NULL) {
        free(reply->key);
        free(reply->path);
        free(reply->body);
        free(reply);
    }
}

static bool key_valid(struct call *call, const char *key)
{
    size_t len = strlen(key);

    if (len == 0 || len > IDEMPOTENCY_KEY_CHARS_MAX || !utf8_valid(key, len)) {
        call_error(call, 400, TYPE_INVALID, NULL, NULL,
                   "Idempotency-Key must be 1 to %d characters.", IDEMPOTENCY_KEY_CHARS_MAX);
        return false;
    }
    return true;
}

static void replay(struct call *call, struct store *store, const struct saved_reply *saved)
{
    call->replayed_from = saved->request;
    if (saved->change != NULL) {
        render_change_reply(call, store, saved->change, saved->status, saved->expand);
    } else {
        call->status = saved->status;
        writer_raw(&call->reply, saved->body);
    }
}

/* True if an earlier request with this key settles this one. */
static bool answered(struct call *call, struct store *store, const char *key, const char *digest)
{
    const struct saved_reply *saved = id_map_get(&store->replies, key);

    if (saved == NULL || store_now_ms(store) - saved->at_ms > IDEMPOTENCY_KEPT_MS) {
        return false;
    }
    if (strcmp(saved->path, call->path) != 0) {
        call_error(call, 400, TYPE_IDEMPOTENCY, NULL, NULL,
                   "Keys for idempotent requests can only be used for the same endpoint they were "
                   "first used for ('%s'). Try using a key other than '%s' if you meant to execute "
                   "a different request.",
                   saved->path, key);
    } else if (strcmp(saved->digest, digest) != 0) {
        call_error(call, 400, TYPE_IDEMPOTENCY, NULL, NULL,
                   "Keys for idempotent requests can only be used with the same parameters they "
                   "were first used with. Try using a key other than '%s' if you meant to execute "
                   "a different request.",
                   key);
    } else {
        replay(call, store, saved);
    }
    return true;
}

bool idempotency_begin(struct call *call, struct store *store, const char *key,
                       struct idempotency_running **list, struct idempotency_running *entry)
{
    struct saved_reply *save;
    char digest[33];

    if (!key_valid(call, key)) {
        return false;
    }
    params_digest(&call->form, digest);
    if (answered(call, store, key, digest)) {
        return false;
    }
    for (struct idempotency_running *other = *list; other != NULL; other = other->next) {
        if (strcmp(other->save->key, key) == 0) {
            call_error(call, 409, TYPE_IDEMPOTENCY, "idempotency_key_in_use", NULL,
                       "There is currently another in-progress request using this Idempotent Key "
                       "(that probably means you submitted twice, and the other request is still "
                       "going through): %s. Please try again later.",
                       key);
            return false;
        }
    }
    save = mem_alloc(sizeof(*save));
    save->key = mem_strdup(key);
    save->path = mem_strdup(call->path);
    memcpy(save->digest, digest, sizeof(save->digest));
    call->save = save;
    entry->save = save;
    entry->next = *list;
    *list = entry;
    return true;
}

void idempotency_end(struct idempotency_running **list, struct idempotency_running *entry)
{
    if (entry->save == NULL) {
        return;
    }
    while (*list != entry) {
        list = &(*list)->next;
    }
    *list = entry->next;
    entry->save = NULL;
}
