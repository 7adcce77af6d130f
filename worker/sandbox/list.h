/* Lists as Stripe pages them: newest first, `limit`, `starting_after`, `ending_before`,
 * `created[…]`. */
#ifndef PAYLINK_SANDBOX_LIST_H
#define PAYLINK_SANDBOX_LIST_H

#include "call.h"

struct list {
    const char *url;
    const char *what;     /* for "No such …" */
    const char *known[4]; /* parameters besides the common ones */
    const void *ctx;
    size_t count; /* items 0 (oldest) to count - 1 */
    const void *(*item)(const void *ctx, size_t i);
    int64_t (*created)(const void *item);
    bool (*match)(const struct list *list, const void *item); /* NULL: all */
    void (*render)(struct writer *w, const struct list *list, const void *item);
    bool (*position)(const void *ctx, const char *id, size_t *position);
    const void *filter; /* for match() */
    unsigned expand;    /* set by list_reply() */
};

void list_reply(struct call *call, struct list *list);

#endif
