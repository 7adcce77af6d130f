/* Owns the rules of refunds; knows no HTTP and no intents beyond their charge. */
#include "refunds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"
#include "list.h"
#include "render.h"

/* "$12.34" for the currencies whose sign is known, else "12.34 xyz": as Stripe words it. */
static void amount_text(int64_t amount, const char *code, char *out, size_t size)
{
    static const struct {
        const char *code, *sign;
    } signs[] = {{"usd", "$"}, {"eur", "€"}, {"gbp", "£"}, {"jpy", "¥"}};
    const struct currency *currency = currency_find(code);
    int digits = currency != NULL ? currency->digits : 2;
    int64_t unit = digits == 0 ? 1 : digits == 2 ? 100 : 1000;
    const char *sign = NULL;
    char number[32];

    if (digits == 0) {
        snprintf(number, sizeof(number), "%lld", (long long)amount);
    } else {
        snprintf(number, sizeof(number), "%lld.%0*lld", (long long)(amount / unit), digits,
                 (long long)(amount % unit));
    }
    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
        sign = strcmp(signs[i].code, code) == 0 ? signs[i].sign : sign;
    }
    snprintf(out, size, sign != NULL ? "%s%s" : "%s%s %s", sign != NULL ? sign : "", number, code);
}

/* The charge that `charge` or `payment_intent` names; NULL after replying. */
static struct charge *charge_of(struct call *call, struct store *store)
{
    const char *charge_name = params_get(&call->form, "charge");
    const char *intent_name = params_get(&call->form, "payment_intent");
    struct charge *charge;
    struct intent *intent;

    if (charge_name == NULL && intent_name == NULL) {
        call_error(call, 400, TYPE_INVALID, NULL, NULL,
                   "One of the following params should be provided for this request: "
                   "payment_intent or charge.");
        return NULL;
    }
    if (charge_name != NULL) {
        charge = store_charge(store, charge_name);
        if (charge == NULL) {
            call_missing(call, 404, "charge", "charge", charge_name);
        }
        return charge;
    }
    intent = store_intent(store, intent_name);
    if (intent == NULL) {
        call_missing(call, 404, "payment_intent", "payment_intent", intent_name);
        return NULL;
    }
    if (intent->state.charge == NULL) {
        call_refuse(call, store, 400, NULL, "payment_intent",
                    "This PaymentIntent (%s) does not have a successful charge to refund.",
                    intent_name);
        return NULL;
    }
    return intent->state.charge;
}

static bool amount_valid(struct call *call, struct store *store, const struct charge *charge,
                         int64_t *amount)
{
    const char *text = params_get(&call->form, "amount"), *code = charge->intent->currency;
    int64_t left = charge->intent->amount - charge->refunded_minor;
    char wanted[48], rest[48], id[ID_SIZE];

    *amount = left;
    if (text != NULL && !params_int(text, amount)) {
        call_error(call, 400, TYPE_INVALID, "parameter_invalid_integer", "amount",
                   "Invalid integer: %.100s", text);
        return false;
    }
    if (text != NULL && *amount < 1) {
        call_error(call, 400, TYPE_INVALID, "parameter_invalid_integer", "amount",
                   "This value must be greater than or equal to 1.");
        return false;
    }
    charge_id(charge, id);
    if (left == 0) {
        call_refuse(call, store, 400, "charge_already_refunded", NULL,
                    "Charge %s has already been refunded.", id);
        return false;
    }
    if (*amount > left) {
        amount_text(*amount, code, wanted, sizeof(wanted));
        amount_text(left, code, rest, sizeof(rest));
        call_refuse(call, store, 400, NULL, "amount",
                    charge->refunded_minor > 0
                        ? "Refund amount (%s) is greater than unrefunded amount on charge (%s)"
                        : "Refund amount (%s) is greater than charge amount (%s)",
                    wanted, rest);
        return false;
    }
    return true;
}

static struct refund *refund_new(struct call *call, struct charge *charge, int64_t amount,
                                 enum refund_status *status)
{
    struct refund *refund = mem_alloc(sizeof(*refund));
    enum card_refund behaviour = charge->method->card->refund;

    refund_new_id(refund);
    refund->charge = charge;
    refund->amount = amount;
    refund->reason = refund_reason_find(params_get(&call->form, "reason"));
    refund->metadata = metadata_new(&call->form);
    *status = REFUND_SUCCEEDED;
    if (call->fault != NULL) {
        *status = REFUND_FAILED;
    } else if (behaviour == CARD_REFUND_SUCCEEDS_LATER) {
        *status = REFUND_PENDING;
        refund->later = true;
        refund->then = REFUND_SUCCEEDED;
    } else if (behaviour == CARD_REFUND_FAILS_LATER) {
        refund->later = true;
        refund->then = REFUND_FAILED;
    }
    return refund;
}

void refunds_create(struct call *call, struct store *store)
{
    static const char *const known[] = {"charge",   "payment_intent", "amount",
                                        "reason",   "metadata",       "metadata[*]",
                                        "currency", "expand[]",       NULL};
    const char *reason = params_get(&call->form, "reason");
    struct change change = {.kind = CHANGE_REFUND, .created = true};
    struct charge *charge;
    char id[ID_SIZE];
    unsigned expand;
    int64_t amount;

    if (!call_known(call, &call->form, known) || !call_expand(call, &call->form, "", &expand)) {
        return;
    }
    if (reason != NULL && refund_reason_find(reason) == NULL) {
        call_error(call, 400, TYPE_INVALID, NULL, "reason",
                   "Invalid reason: must be one of duplicate, fraudulent, or "
                   "requested_by_customer");
        return;
    }
    charge = charge_of(call, store);
    if (charge == NULL) {
        return;
    }
    charge_id(charge, id);
    if (charge->decline != NULL) {
        call_refuse(call, store, 400, NULL, NULL, "Charge %s has failed and cannot be refunded.",
                    id);
        return;
    }
    if (!amount_valid(call, store, charge, &amount)) {
        return;
    }
    change.refund = refund_new(call, charge, amount, &change.refund_status);
    memcpy(change.request, call->request, sizeof(change.request));
    render_change_reply(call, store, store_apply(store, &change, call_save_take(call, 200, expand)),
                        200, expand);
}

size_t refunds_settle_later(struct store *store)
{
    int64_t now_ms = store_now_ms(store);
    size_t waiting = 0;

    /* Only recent refunds can wait: a few of the newest, not the whole list. */
    for (size_t i = store->refund_list.count; i-- > 0;) {
        struct refund *refund = store->refund_list.items[i];
        struct change change = {.kind = CHANGE_REFUND, .refund = refund};

        if (refund->later && now_ms >= (refund->created + 1) * 1000 + REFUND_LATER_MS) {
            change.refund_status = refund->then;
            memcpy(change.request, "req_", 4);
            store_random(change.request + 4, REQUEST_ID_SIZE - 5);
            store_apply(store, &change, NULL);
        }
        waiting += refund->later;
    }
    return waiting;
}

void refunds_retrieve(struct call *call, struct store *store, const char *id)
{
    static const char *const known[] = {"expand[]", NULL};
    struct refund *refund = store_refund(store, id);
    unsigned expand;

    if (refund == NULL) {
        call_missing(call, 404, "refund", "id", id);
        return;
    }
    if (!call_known(call, &call->query, known) || !call_expand(call, &call->query, "", &expand)) {
        return;
    }
    call->status = 200;
    render_refund(&call->reply, store, refund, refund->status, expand);
    writer_raw(&call->reply, "\n");
}

struct refund_filter {
    const struct intent *intent; /* or NULL */
    const struct charge *charge; /* or NULL */
};

static bool refund_match(const struct list *list, const void *item)
{
    const struct refund_filter *filter = list->filter;
    const struct charge *charge = ((const struct refund *)item)->charge;

    return (filter->intent == NULL || charge->intent == filter->intent) &&
           (filter->charge == NULL || charge == filter->charge);
}

static const void *refund_item(const void *ctx, size_t i)
{
    return ((const struct store *)ctx)->refund_list.items[i];
}

static int64_t refund_created(const void *item)
{
    return ((const struct refund *)item)->created;
}

static void refund_render(struct writer *w, const struct list *list, const void *item)
{
    const struct refund *refund = item;

    render_refund(w, list->ctx, refund, refund->status, list->expand);
}

static bool refund_position(const void *ctx, const char *id, size_t *position)
{
    struct refund *refund = store_refund(ctx, id);

    if (refund == NULL) {
        return false;
    }
    *position = refund->position;
    return true;
}

void refunds_list(struct call *call, struct store *store)
{
    const char *intent = params_get(&call->query, "payment_intent");
    const char *charge = params_get(&call->query, "charge");
    struct refund_filter filter = {
        .intent = intent != NULL ? store_intent(store, intent) : NULL,
        .charge = charge != NULL ? store_charge(store, charge) : NULL,
    };
    struct list list = {
        .url = "/v1/refunds",
        .what = "refund",
        .known = {"payment_intent", "charge"},
        .ctx = store,
        .count = store->refund_list.count,
        .item = refund_item,
        .created = refund_created,
        .match = refund_match,
        .render = refund_render,
        .position = refund_position,
        .filter = &filter,
    };

    if (intent != NULL && filter.intent == NULL) {
        call_missing(call, 404, "payment_intent", "payment_intent", intent);
    } else if (charge != NULL && filter.charge == NULL) {
        call_missing(call, 404, "charge", "charge", charge);
    } else {
        list_reply(call, &list);
    }
}
