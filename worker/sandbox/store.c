/* Owns the sandbox's objects, their ids and the one function that changes them; knows nothing of
 * HTTP. */
#include "store.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "../base/clock.h"
#include "../base/mem.h"
#include "line.h"

#define LOG_AREA "sandbox"
#include "../base/log.h"

static const char *const intent_statuses[] = {
    [INTENT_REQUIRES_PAYMENT_METHOD] = "requires_payment_method",
    [INTENT_REQUIRES_CONFIRMATION] = "requires_confirmation",
    [INTENT_REQUIRES_ACTION] = "requires_action",
    [INTENT_SUCCEEDED] = "succeeded",
    [INTENT_CANCELED] = "canceled",
};
static const char *const refund_statuses[] = {
    [REFUND_PENDING] = "pending",
    [REFUND_SUCCEEDED] = "succeeded",
    [REFUND_FAILED] = "failed",
};
static const char *const cancel_reasons[] = {"duplicate", "fraudulent", "requested_by_customer",
                                             "abandoned", NULL};
static const char *const refund_reasons[] = {"duplicate", "fraudulent", "requested_by_customer",
                                             NULL};

void store_random(char *out, size_t len)
{
    static const char alphabet[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    static uint8_t pool[4096];
    static size_t left;

    for (size_t i = 0; i < len;) {
        uint8_t byte;

        if (left == 0) {
            if (getrandom(pool, sizeof(pool), 0) != (ssize_t)sizeof(pool)) {
                continue;
            }
            left = sizeof(pool);
        }
        byte = pool[--left];
        if (byte < 62 * 4) {
            out[i++] = alphabet[byte % 62];
        }
    }
    out[len] = '\0';
}

int64_t store_now_ms(struct store *store)
{
    int64_t now = clock_wall_ms();

    return now > store->now_ms ? now : store->now_ms;
}

const char *store_keep(struct store *store, char *text_take)
{
    if (text_take != NULL) {
        id_list_add(&store->string_list, text_take);
    }
    return text_take;
}

const char *intent_status_name(enum intent_status status)
{
    return intent_statuses[status];
}

const char *refund_status_name(enum refund_status status)
{
    return refund_statuses[status];
}

static const char *constant_find(const char *const *list, const char *name)
{
    for (; name != NULL && *list != NULL; list++) {
        if (strcmp(*list, name) == 0) {
            return *list;
        }
    }
    return NULL;
}

const char *cancel_reason_find(const char *name)
{
    return constant_find(cancel_reasons, name);
}

const char *refund_reason_find(const char *name)
{
    return constant_find(refund_reasons, name);
}

struct metadata *metadata_new(const struct params *params)
{
    struct metadata *metadata;
    size_t count = 0, bytes = 0, len;
    char *text;

    for (size_t i = 0; i < params->count; i++) {
        if (params_key(&params->item[i], "metadata", &len) != NULL) {
            bytes += len + strlen(params->item[i].value) + 2;
            count++;
        }
    }
    metadata = mem_alloc(sizeof(*metadata) + count * sizeof(metadata->item[0]) + bytes);
    text = (char *)&metadata->item[count];
    for (size_t i = 0; i < params->count; i++) {
        const char *key = params_key(&params->item[i], "metadata", &len);

        if (key != NULL && params->item[i].value[0] != '\0') {
            metadata->item[metadata->count].name = text;
            memcpy(text, key, len);
            text += len + 1;
            metadata->item[metadata->count++].value = text;
            len = strlen(params->item[i].value);
            memcpy(text, params->item[i].value, len + 1);
            text += len + 1;
        }
    }
    return metadata;
}

const char *metadata_get(const struct metadata *metadata, const char *name)
{
    for (size_t i = 0; i < metadata->count; i++) {
        if (strcmp(metadata->item[i].name, name) == 0) {
            return metadata->item[i].value;
        }
    }
    return NULL;
}

static void id_make(char out[ID_SIZE], const char *prefix, const char *core, int number)
{
    memcpy(out, prefix, 3);
    memcpy(out + 3, core, ID_CORE_LEN);
    out[3 + ID_CORE_LEN] = (char)('0' + number / 10 % 10);
    out[4 + ID_CORE_LEN] = (char)('0' + number % 10);
    out[5 + ID_CORE_LEN] = '\0';
}

/* Splits an id; false if it is not one with this prefix. */
static bool id_split(const char *id, const char *prefix, char core[ID_CORE_LEN + 1], int *number)
{
    const char *digits;

    if (strlen(id) != ID_SIZE - 1 || strncmp(id, prefix, 3) != 0) {
        return false;
    }
    digits = id + 3 + ID_CORE_LEN;
    if (digits[0] < '0' || digits[0] > '9' || digits[1] < '0' || digits[1] > '9') {
        return false;
    }
    memcpy(core, id + 3, ID_CORE_LEN);
    core[ID_CORE_LEN] = '\0';
    *number = (digits[0] - '0') * 10 + digits[1] - '0';
    return true;
}

void intent_id(const struct intent *intent, char out[ID_SIZE])
{
    id_make(out, "pi_", intent->core, 0);
}

void charge_id(const struct charge *charge, char out[ID_SIZE])
{
    id_make(out, "ch_", charge->intent->core, charge->number);
}

void refund_id(const struct refund *refund, char out[ID_SIZE])
{
    id_make(out, "re_", refund->core, 0);
}

void method_id(const struct intent *intent, const struct method *method, int number,
               char out[ID_SIZE])
{
    if (method->id[0] != '\0') {
        memcpy(out, method->id, ID_SIZE);
    } else {
        id_make(out, "pm_", intent->core, number);
    }
}

void intent_new_id(struct intent *intent)
{
    store_random(intent->core, ID_CORE_LEN);
    store_random(intent->secret, sizeof(intent->secret) - 1);
}

void refund_new_id(struct refund *refund)
{
    store_random(refund->core, ID_CORE_LEN);
}

struct charge *charge_new(struct intent *intent, const struct intent_state *state,
                          const struct decline *decline, bool authenticated)
{
    struct charge *charge = mem_alloc(sizeof(*charge));

    charge->intent = intent;
    charge->previous = state->charge;
    charge->number = state->charge != NULL ? state->charge->number + 1 : 1;
    charge->method = state->method;
    charge->decline = decline;
    charge->authenticated = authenticated;
    return charge;
}

struct intent *store_intent(const struct store *store, const char *id)
{
    char core[ID_CORE_LEN + 1];
    int number;

    if (!id_split(id, "pi_", core, &number) || number != 0) {
        return NULL;
    }
    return id_map_get(&store->intents, core);
}

struct charge *store_charge(const struct store *store, const char *id)
{
    char core[ID_CORE_LEN + 1];
    struct intent *intent;
    struct charge *charge;
    int number;

    if (!id_split(id, "ch_", core, &number)) {
        return NULL;
    }
    intent = id_map_get(&store->intents, core);
    charge = intent != NULL ? intent->state.charge : NULL;
    while (charge != NULL && charge->number != number) {
        charge = charge->previous;
    }
    return charge;
}

struct refund *store_refund(const struct store *store, const char *id)
{
    char core[ID_CORE_LEN + 1];
    int number;

    if (!id_split(id, "re_", core, &number) || number != 0) {
        return NULL;
    }
    return id_map_get(&store->refunds, core);
}

const struct method *store_builtin(struct store *store, const char *token)
{
    const struct card *card = card_by_token(token);

    return card != NULL ? &store->builtin[card - card_at(0)] : NULL;
}

const struct method *store_method(struct store *store, const char *id, const struct intent **owner,
                                  int *number)
{
    char core[ID_CORE_LEN + 1];
    const struct method *method = store_builtin(store, id);
    struct intent *intent;
    struct charge *charge;

    *owner = NULL;
    if (method != NULL || !id_split(id, "pm_", core, number)) {
        return method;
    }
    method = id_map_get(&store->methods, core);
    intent = id_map_get(&store->intents, core);
    if (method != NULL || intent == NULL) {
        return *number == 0 || intent != NULL ? method : NULL;
    }
    *owner = intent;
    if (intent->state.method != NULL && intent->state.method_number == *number) {
        return intent->state.method;
    }
    charge = intent->state.charge;
    while (charge != NULL && charge->number != *number) {
        charge = charge->previous;
    }
    return charge != NULL && charge->method->id[0] == '\0' ? charge->method : NULL;
}

static void apply_method(struct store *store, struct change *change)
{
    char core[ID_CORE_LEN + 1];
    int number;

    change->method->created = change->at_ms / 1000;
    if (id_split(change->method->id, "pm_", core, &number)) {
        id_map_put(&store->methods, store_keep(store, mem_strdup(core)), change->method);
    }
    id_list_add(&store->method_list, change->method);
}

static void apply_intent(struct store *store, struct change *change)
{
    struct intent *intent = change->intent;
    struct charge *charge = change->state.charge;

    if (change->created) {
        intent->created = change->at_ms / 1000;
        intent->position = store->intent_list.count;
        id_map_put(&store->intents, intent->core, intent);
        id_list_add(&store->intent_list, intent);
    }
    if (charge != NULL && charge->created == 0) {
        charge->created = change->at_ms / 1000;
        store->captures += charge->decline == NULL;
        /* Whoever may charge twice with one method must attach it to a customer; here nobody can.
         */
        if (charge->decline == NULL && charge->method->id[0] != '\0') {
            ((struct method *)charge->method)->used = true;
        }
    }
    intent->state = change->state;
}

static void apply_refund(struct store *store, struct change *change)
{
    struct refund *refund = change->refund;
    struct charge *charge = refund->charge;
    bool held = !change->created && refund->status != REFUND_FAILED;
    bool holds = change->refund_status != REFUND_FAILED;

    if (change->created) {
        refund->created = change->at_ms / 1000;
        refund->position = store->refund_list.count;
        refund->next = charge->refunds;
        charge->refunds = refund;
        id_map_put(&store->refunds, refund->core, refund);
        id_list_add(&store->refund_list, refund);
    } else {
        refund->later = false;
    }
    charge->refunded_minor += ((int)holds - (int)held) * refund->amount;
    refund->status = change->refund_status;
    change->refunded_minor = charge->refunded_minor;
}

const struct change *store_replay(struct store *store, const struct change *change,
                                  struct saved_reply *reply_take)
{
    struct change *applied = mem_alloc(sizeof(*applied));

    *applied = *change;
    store->seq = applied->seq;
    store->now_ms = applied->at_ms;
    switch (applied->kind) {
    case CHANGE_METHOD:
        apply_method(store, applied);
        break;
    case CHANGE_INTENT:
        apply_intent(store, applied);
        break;
    case CHANGE_REFUND:
        apply_refund(store, applied);
        break;
    }
    id_list_add(&store->change_list, applied);
    if (reply_take != NULL) {
        reply_take->change = applied;
        store_replay_text(store, reply_take);
    }
    return applied;
}

void store_replay_text(struct store *store, struct saved_reply *reply_take)
{
    reply_take->at_ms = store->now_ms;
    id_map_put(&store->replies, reply_take->key, reply_take);
    id_list_add(&store->reply_list, reply_take);
}

const struct change *store_apply(struct store *store, const struct change *change,
                                 struct saved_reply *reply_take)
{
    struct change next = *change;
    const struct change *applied;

    next.seq = store->seq + 1;
    next.at_ms = store_now_ms(store);
    next.idempotency_key = reply_take != NULL ? reply_take->key : NULL;
    applied = store_replay(store, &next, reply_take);
    line_write_change(charge_log_lines(store->log), applied, reply_take);
    if (store->on_change != NULL) {
        store->on_change(store->ctx, applied);
    }
    return applied;
}

void store_save_text(struct store *store, struct saved_reply *reply_take)
{
    store->now_ms = store_now_ms(store);
    store_replay_text(store, reply_take);
    line_write_reply(charge_log_lines(store->log), ++store->seq, reply_take);
}

void store_replay_delivered(struct store *store, size_t event)
{
    if (event >= store->delivered_size) {
        size_t size = (event + 1) * 2;

        store->delivered = mem_realloc(store->delivered, size);
        memset(store->delivered + store->delivered_size, 0, size - store->delivered_size);
        store->delivered_size = size;
    }
    store->delivered[event] = 1;
}

void store_delivered(struct store *store, size_t event)
{
    store->now_ms = store_now_ms(store);
    store_replay_delivered(store, event);
    line_write_delivered(charge_log_lines(store->log), ++store->seq, store->now_ms, event);
}

bool store_was_delivered(const struct store *store, size_t event)
{
    return event < store->delivered_size && store->delivered[event] != 0;
}

static enum result store_line(void *ctx, const char *line, size_t len, struct error *err)
{
    return line_read(ctx, line, len, err);
}

enum result store_open(const char *dir, struct store **out, struct error *err)
{
    struct store *store = mem_alloc(sizeof(*store));
    enum result r;

    store->builtin = mem_alloc(card_count() * sizeof(store->builtin[0]));
    for (size_t i = 0; i < card_count(); i++) {
        store->builtin[i] = (struct method){.card = card_at(i), .exp_month = 12, .exp_year = 2034};
    }
    r = charge_log_open(dir, store_line, store, &store->log, err);
    if (r != RESULT_OK) {
        store_free(store);
        return r;
    }
    if (store->seq == 0) {
        store->seq = 1;
        store_random(store->account, sizeof(store->account) - 1);
        line_write_store(charge_log_lines(store->log), store);
        charge_log_sync(store->log);
    } else {
        log_info("replayed %lld lines: %zu intents, %lld captures, %zu refunds",
                 (long long)store->seq, store->intent_list.count, (long long)store->captures,
                 store->refund_list.count);
    }
    *out = store;
    return RESULT_OK;
}

static void intent_free(struct intent *intent)
{
    struct charge *charge = intent->state.charge;

    while (charge != NULL) {
        struct charge *previous = charge->previous;

        free(charge);
        charge = previous;
    }
    free(intent->metadata);
    free(intent->description);
    free(intent->receipt_email);
    free(intent->descriptor);
    free(intent->descriptor_suffix);
    free(intent);
}

static void list_free(struct id_list *list, void (*item_free)(void *))
{
    for (size_t i = 0; i < list->count; i++) {
        item_free(list->items[i]);
    }
    id_list_free(list);
}

static void free_intent(void *item)
{
    intent_free(item);
}

static void free_method(void *item)
{
    free(((struct method *)item)->name);
    free(item);
}

static void free_refund(void *item)
{
    free(((struct refund *)item)->metadata);
    free(item);
}

static void free_reply(void *item)
{
    struct saved_reply *reply = item;

    free(reply->key);
    free(reply->path);
    free(reply->body);
    free(reply);
}

void store_free(struct store *store)
{
    list_free(&store->method_list, free_method);
    list_free(&store->intent_list, free_intent);
    list_free(&store->refund_list, free_refund);
    list_free(&store->change_list, free);
    list_free(&store->reply_list, free_reply);
    list_free(&store->string_list, free);
    id_map_free(&store->methods);
    id_map_free(&store->intents);
    id_map_free(&store->refunds);
    id_map_free(&store->replies);
    charge_log_close(store->log);
    free(store->builtin);
    free(store->delivered);
    free(store);
}
