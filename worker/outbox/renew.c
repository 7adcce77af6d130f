/* Makes renewals of the entries of the `renew` streams, each with an id for the new link. Knows
 * neither who is allowed one nor the customer's address. */
#include "renew.h"

#include <openssl/rand.h>
#include <string.h>

#define LOG_AREA "renew"
#include "../base/log.h"
#include "../core/encoding.h"
#include "../core/money.h"

static bool put_time(json_t *object, const char *name, const char *text)
{
    int64_t wall_ms;

    if (text == NULL || !money_parse_minor(text, strlen(text), &wall_ms))
        return false;
    json_put_int(object, name, wall_ms);
    return true;
}

static bool fill(json_t *object, const struct stream_entry *entry)
{
    const char *link = stream_text(entry, "link"), *opened = stream_text(entry, "opened_ms");
    const char *lang = stream_text(entry, "lang");
    uint8_t id[TOKEN_ID_SIZE];

    if (link == NULL || opened == NULL || lang == NULL || strlen(link) != 2 * sizeof id ||
        hex_parse(link, 2 * sizeof id, id) != 0)
        return false;
    json_put_text(object, "link", link);
    json_put_text(object, "lang", lang);
    return put_time(object, "at_ms", stream_text(entry, "at_ms")) &&
           (opened[0] == '\0' || put_time(object, "opened_ms", opened));
}

static json_t *renewal(void *ctx, const struct stream_entry *entry)
{
    const struct token_keys *keys = ctx;
    char successor[2 * TOKEN_ID_SIZE + 1] = "";
    uint8_t id[TOKEN_ID_SIZE];
    json_t *object = json_object();

    if (!fill(object, entry)) {
        json_decref(object);
        return NULL;
    }
    if (RAND_bytes(id, sizeof id) != 1)
        fatal("the system gives no random bytes");
    hex_format(id, sizeof id, successor);
    json_put_text(object, "successor", successor);
    json_put_int(object, "kid", keys->key[0].kid);
    return object;
}

struct keep *renew_new(struct loop *loop, struct keep_options options,
                       const struct token_keys *keys)
{
    options.kind = "renew";
    options.function = "paylink.link_renew";
    options.failpoint = "renew.before_keep";
    options.fn = renewal;
    options.ctx = (void *)keys;
    return keep_new(loop, &options);
}
