/* Makes openings of the entries of the `open` streams. Decides nothing. */
#include "opens.h"

#include <string.h>

#include "../core/encoding.h"
#include "../core/money.h"

static json_t *opening(void *ctx, const struct stream_entry *entry)
{
    const char *link = stream_text(entry, "link"), *opened = stream_text(entry, "opened_ms");
    uint8_t id[16];
    int64_t opened_ms;
    json_t *object;

    (void)ctx;
    if (link == NULL || opened == NULL || strlen(link) != 32 || hex_parse(link, 32, id) != 0 ||
        !money_parse_minor(opened, strlen(opened), &opened_ms))
        return NULL;
    object = json_object();
    json_put_text(object, "link", link);
    json_put_int(object, "opened_ms", opened_ms);
    return object;
}

struct keep *opens_new(struct loop *loop, struct keep_options options)
{
    options.kind = "open";
    options.function = "paylink.link_opened";
    options.failpoint = "opens.before_keep";
    options.fn = opening;
    return keep_new(loop, &options);
}
