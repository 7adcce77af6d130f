/* Owns paging; knows nothing of what the items are. */
#include "list.h"

#include <string.h>

#define LIMIT_DEFAULT 10
#define LIMIT_MAX     100

struct window {
    int64_t limit;
    int64_t created_min, created_max;
    bool backwards;  /* ending_before: the page is the nearest newer items */
    size_t from, to; /* candidates: from <= i < to */
};

static bool limit_read(struct call *call, struct window *window)
{
    const char *text = params_get(&call->query, "limit");

    window->limit = LIMIT_DEFAULT;
    if (text == NULL) {
        return true;
    }
    if (!params_int(text, &window->limit)) {
        call_error(call, 400, TYPE_INVALID, "parameter_invalid_integer", "limit",
                   "Invalid integer: %.100s", text);
        return false;
    }
    if (window->limit < 1 || window->limit > LIMIT_MAX) {
        call_error(call, 400, TYPE_INVALID, "parameter_invalid_integer", "limit",
                   window->limit < 1 ? "This value must be greater than or equal to 1."
                                     : "This value must be less than or equal to 100.");
        return false;
    }
    return true;
}

static bool created_read(struct call *call, struct window *window)
{
    static const struct {
        const char *name;
        bool min, max;
        int64_t shift;
    } bounds[] = {
        {"created", true, true, 0},       {"created[gte]", true, false, 0},
        {"created[gt]", true, false, 1},  {"created[lte]", false, true, 0},
        {"created[lt]", false, true, -1},
    };

    window->created_min = INT64_MIN;
    window->created_max = INT64_MAX;
    for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
        const char *text = params_get(&call->query, bounds[i].name);
        int64_t value;

        if (text == NULL) {
            continue;
        }
        if (!params_int(text, &value)) {
            call_error(call, 400, TYPE_INVALID, "parameter_invalid_integer", bounds[i].name,
                       "Invalid integer: %.100s", text);
            return false;
        }
        value += bounds[i].shift;
        if (bounds[i].min && value > window->created_min) {
            window->created_min = value;
        }
        if (bounds[i].max && value < window->created_max) {
            window->created_max = value;
        }
    }
    return true;
}

static bool cursor_read(struct call *call, const struct list *list, struct window *window)
{
    const char *after = params_get(&call->query, "starting_after");
    const char *before = params_get(&call->query, "ending_before");
    size_t position;

    window->backwards = before != NULL;
    window->from = 0;
    window->to = list->count;
    if (after != NULL && before != NULL) {
        call_error(call, 400, TYPE_INVALID, NULL, "ending_before",
                   "You may only specify one of these parameters: starting_after, ending_before.");
        return false;
    }
    if (after == NULL && before == NULL) {
        return true;
    }
    if (!list->position(list->ctx, after != NULL ? after : before, &position)) {
        call_missing(call, 400, list->what, after != NULL ? "starting_after" : "ending_before",
                     after != NULL ? after : before);
        return false;
    }
    if (after != NULL) {
        window->to = position;
    } else {
        window->from = position + 1;
    }
    return true;
}

static bool window_match(const struct window *window, const struct list *list, const void *item)
{
    int64_t created = list->created(item);

    return created >= window->created_min && created <= window->created_max &&
           (list->match == NULL || list->match(list, item));
}

/* Collects up to limit + 1 positions; the one beyond the limit only says that there is more. */
static size_t window_collect(const struct window *window, const struct list *list, size_t *found)
{
    size_t count = 0;

    for (size_t i = window->from; i < window->to && count <= (size_t)window->limit; i++) {
        size_t at = window->backwards ? i : window->to - 1 - (i - window->from);
        const void *item = list->item(list->ctx, at);

        /* Time never runs backwards in the store: nothing older will match. */
        if (!window->backwards && list->created(item) < window->created_min) {
            break;
        }
        if (window_match(window, list, item)) {
            found[count++] = at;
        }
    }
    return count;
}

static bool list_known(struct call *call, const struct list *list)
{
    const char *known[20] = {"limit",       "starting_after", "ending_before",
                             "created",     "created[gt]",    "created[gte]",
                             "created[lt]", "created[lte]",   "expand[]"};
    size_t count = 9;

    for (size_t i = 0; i < 4 && list->known[i] != NULL; i++) {
        known[count++] = list->known[i];
    }
    return call_known(call, &call->query, known);
}

void list_reply(struct call *call, struct list *list)
{
    size_t found[LIMIT_MAX + 1], count;
    struct writer *w = &call->reply;
    struct window window;
    bool more;

    if (!list_known(call, list) || !limit_read(call, &window) || !created_read(call, &window) ||
        !cursor_read(call, list, &window) ||
        !call_expand(call, &call->query, "data.", &list->expand)) {
        return;
    }
    count = window_collect(&window, list, found);
    more = count > (size_t)window.limit;
    count -= more;
    call->status = 200;
    writer_raw(w, "{\"object\":\"list\"");
    writer_put_text(w, "url", list->url);
    writer_put_bool(w, "has_more", more);
    writer_raw(w, ",\"data\":[");
    for (size_t i = 0; i < count; i++) {
        size_t at = window.backwards ? found[count - 1 - i] : found[i];

        if (i > 0) {
            writer_raw(w, ",");
        }
        list->render(w, list, list->item(list->ctx, at));
    }
    writer_raw(w, "]}\n");
}
