/* Owns the text form of changes in the charge log; knows nothing of files, requests or replies. */
#include "line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"
#include "../io/json.h"

static void write_metadata(struct writer *w, const struct metadata *metadata)
{
    writer_raw(w, ",\"metadata\":{");
    for (size_t i = 0; i < metadata->count; i++) {
        if (i > 0) {
            writer_raw(w, ",");
        }
        writer_text(w, metadata->item[i].name);
        writer_raw(w, ":");
        writer_text(w, metadata->item[i].value);
    }
    writer_raw(w, "}");
}

static void write_head(struct writer *w, int64_t seq, int64_t at_ms, const char *type)
{
    writer_raw(w, "{\"seq\":");
    writer_int(w, seq);
    writer_put_int(w, "at_ms", at_ms);
    writer_raw(w, ",\"type\":\"");
    writer_raw(w, type);
    writer_raw(w, "\"");
}

static void write_reply(struct writer *w, const struct saved_reply *reply)
{
    if (reply != NULL) {
        writer_raw(w, ",\"reply\":{\"key\":");
        writer_text(w, reply->key);
        writer_put_text(w, "path", reply->path);
        writer_put_text(w, "digest", reply->digest);
        writer_put_int(w, "status", reply->status);
        writer_put_int(w, "expand", reply->expand);
        writer_raw(w, "}");
    }
    writer_raw(w, "}\n");
}

void line_write_store(struct writer *w, const struct store *store)
{
    write_head(w, store->seq, store->now_ms, "store");
    writer_put_text(w, "account", store->account);
    writer_raw(w, "}\n");
}

void line_write_reply(struct writer *w, int64_t seq, const struct saved_reply *reply)
{
    write_head(w, seq, reply->at_ms, "reply");
    writer_put_text(w, "request", reply->request);
    writer_put_text(w, "body", reply->body);
    write_reply(w, reply);
}

void line_write_delivered(struct writer *w, int64_t seq, int64_t at_ms, size_t event)
{
    write_head(w, seq, at_ms, "webhook");
    writer_put_int(w, "event", (int64_t)event);
    writer_raw(w, "}\n");
}

static void write_method(struct writer *w, const struct change *change)
{
    const struct method *method = change->method;

    write_head(w, change->seq, change->at_ms, "method");
    writer_put_text(w, "request", change->request);
    writer_put_text(w, "method", method->id);
    writer_put_text(w, "card", method->card->token);
    writer_put_int(w, "exp_month", method->exp_month);
    writer_put_int(w, "exp_year", method->exp_year);
    writer_put_bool(w, "cvc_given", method->cvc_given);
    if (method->name != NULL) {
        writer_put_text(w, "name", method->name);
    }
}

static void write_optional(struct writer *w, const char *name, const char *text)
{
    if (text != NULL) {
        writer_put_text(w, name, text);
    }
}

static void write_method_ref(struct writer *w, const char *name, const struct method *method,
                             int number)
{
    if (method != NULL) {
        writer_put_text(w, name, method->id[0] != '\0' ? method->id : method->card->token);
        if (number != 0) {
            writer_printf(w, ",\"%s_number\":%d", name, number);
        }
    }
}

static void write_intent(struct writer *w, const struct change *change)
{
    const struct intent *intent = change->intent;
    const struct intent_state *state = &change->state;
    char id[ID_SIZE];

    write_head(w, change->seq, change->at_ms,
               state->status == INTENT_SUCCEEDED ? "charge" : "intent");
    writer_put_text(w, "request", change->request);
    intent_id(intent, id);
    writer_put_text(w, "payment_intent", id);
    writer_put_text(w, "status", intent_status_name(state->status));
    if (state->charge != NULL) {
        charge_id(state->charge, id);
        writer_put_text(w, "charge", id);
        if (state->charge->authenticated) {
            writer_put_bool(w, "authenticated", true);
        }
    }
    writer_put_int(w, "amount", intent->amount);
    writer_put_text(w, "currency", intent->currency);
    write_method_ref(w, "method", state->method, state->method_number);
    write_method_ref(w, "failed_method", state->failed_method, state->failed_method_number);
    write_optional(w, "failure", state->failure != NULL ? state->failure->name : NULL);
    write_optional(w, "cancel_reason", state->cancel_reason);
    write_optional(w, "return_url", state->return_url);
    write_metadata(w, intent->metadata);
    if (change->created) {
        writer_put_bool(w, "new", true);
        writer_put_text(w, "secret", intent->secret);
        writer_put_bool(w, "automatic_methods", intent->automatic_methods);
        write_optional(w, "description", intent->description);
        write_optional(w, "receipt_email", intent->receipt_email);
        write_optional(w, "descriptor", intent->descriptor);
        write_optional(w, "descriptor_suffix", intent->descriptor_suffix);
    }
}

static void write_refund(struct writer *w, const struct change *change)
{
    const struct refund *refund = change->refund;
    const struct intent *intent = refund->charge->intent;
    char id[ID_SIZE];

    write_head(w, change->seq, change->at_ms, change->created ? "refund" : "refund_update");
    writer_put_text(w, "request", change->request);
    refund_id(refund, id);
    writer_put_text(w, "refund", id);
    charge_id(refund->charge, id);
    writer_put_text(w, "charge", id);
    intent_id(intent, id);
    writer_put_text(w, "payment_intent", id);
    writer_put_text(w, "status", refund_status_name(change->refund_status));
    writer_put_int(w, "amount", refund->amount);
    writer_put_text(w, "currency", intent->currency);
    writer_put_int(w, "charge_refunded", change->refunded_minor);
    write_metadata(w, refund->metadata);
    if (change->created) {
        writer_put_bool(w, "new", true);
        write_optional(w, "reason", refund->reason);
        write_optional(w, "then", refund->later ? refund_status_name(refund->then) : NULL);
    }
}

void line_write_change(struct writer *w, const struct change *change,
                       const struct saved_reply *reply)
{
    switch (change->kind) {
    case CHANGE_METHOD:
        write_method(w, change);
        break;
    case CHANGE_INTENT:
        write_intent(w, change);
        break;
    case CHANGE_REFUND:
        write_refund(w, change);
        break;
    }
    write_reply(w, reply);
}

static char *copy_text(const json_t *json, const char *name)
{
    return mem_strdup(json_get_text(json, name));
}

static struct metadata *read_metadata(const json_t *json)
{
    json_t *object = json_object_get(json, "metadata"), *value;
    struct params *params = mem_alloc(sizeof(*params));
    struct metadata *metadata;
    const char *key;

    json_object_foreach (object, key, value) {
        if (params->count < PARAMS_MAX && json_is_string(value)) {
            params->item[params->count].name = mem_printf("metadata[%s]", key);
            params->item[params->count++].value = json_string_value(value);
        }
    }
    metadata = metadata_new(params);
    for (size_t i = 0; i < params->count; i++) {
        free((char *)params->item[i].name);
    }
    free(params);
    return metadata;
}

static struct saved_reply *read_reply(const json_t *json)
{
    const json_t *from = json_object_get(json, "reply");
    const char *request = json_get_text(json, "request"), *digest = json_get_text(from, "digest");
    struct saved_reply *reply;
    int64_t status = 0, expand = 0;

    if (json_get_text(from, "key") == NULL || json_get_text(from, "path") == NULL ||
        digest == NULL || request == NULL || !json_get_int(from, "status", &status) ||
        !json_get_int(from, "expand", &expand)) {
        return NULL;
    }
    reply = mem_alloc(sizeof(*reply));
    reply->key = copy_text(from, "key");
    reply->path = copy_text(from, "path");
    snprintf(reply->digest, sizeof(reply->digest), "%s", digest);
    snprintf(reply->request, sizeof(reply->request), "%s", request);
    reply->status = (int)status;
    reply->expand = (unsigned)expand;
    return reply;
}

static enum result read_method(struct store *store, const json_t *json, struct change *change,
                               struct error *err)
{
    const char *id = json_get_text(json, "method"), *card = json_get_text(json, "card");
    int64_t exp_month = 0, exp_year = 0;
    struct method *method;

    (void)store;
    if (id == NULL || strlen(id) != ID_SIZE - 1 || card == NULL || card_by_token(card) == NULL ||
        !json_get_int(json, "exp_month", &exp_month) ||
        !json_get_int(json, "exp_year", &exp_year)) {
        return error_set(err, RESULT_FATAL, "line", "damaged payment method");
    }
    method = mem_alloc(sizeof(*method));
    memcpy(method->id, id, ID_SIZE);
    method->card = card_by_token(card);
    method->exp_month = (int)exp_month;
    method->exp_year = (int)exp_year;
    method->cvc_given = json_get_bool(json, "cvc_given");
    method->name = copy_text(json, "name");
    change->kind = CHANGE_METHOD;
    change->method = method;
    change->created = true;
    return RESULT_OK;
}

static const struct method *read_method_ref(struct store *store, const json_t *json,
                                            const char *name, int *number)
{
    const char *id = json_get_text(json, name);
    const struct intent *owner;
    char number_name[32];
    int64_t value = 0;
    int ignored;

    snprintf(number_name, sizeof(number_name), "%s_number", name);
    json_get_int(json, number_name, &value);
    *number = (int)value;
    return id != NULL ? store_method(store, id, &owner, &ignored) : NULL;
}

static struct intent *read_new_intent(const json_t *json)
{
    const char *id = json_get_text(json, "payment_intent"), *secret = json_get_text(json, "secret");
    const char *currency = json_get_text(json, "currency");
    struct intent *intent;
    int64_t amount;

    if (id == NULL || strlen(id) != ID_SIZE - 1 || secret == NULL || currency == NULL ||
        strlen(currency) != 3 || !json_get_int(json, "amount", &amount)) {
        return NULL;
    }
    intent = mem_alloc(sizeof(*intent));
    memcpy(intent->core, id + 3, ID_CORE_LEN);
    snprintf(intent->secret, sizeof(intent->secret), "%s", secret);
    memcpy(intent->currency, currency, 4);
    intent->amount = amount;
    intent->automatic_methods = json_get_bool(json, "automatic_methods");
    intent->description = copy_text(json, "description");
    intent->receipt_email = copy_text(json, "receipt_email");
    intent->descriptor = copy_text(json, "descriptor");
    intent->descriptor_suffix = copy_text(json, "descriptor_suffix");
    intent->metadata = read_metadata(json);
    return intent;
}

static bool read_status(const json_t *json, const char *(*name_of)(int), int count, int *out)
{
    const char *name = json_get_text(json, "status");

    for (int i = 0; name != NULL && i < count; i++) {
        if (strcmp(name, name_of(i)) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

static const char *intent_name(int i)
{
    return intent_status_name((enum intent_status)i);
}

static const char *refund_name(int i)
{
    return refund_status_name((enum refund_status)i);
}

/* The charge that the line speaks of: the latest one, or a new one made by this very change. */
static void read_charge(const json_t *json, struct change *change, const struct intent_state *old)
{
    struct intent_state *state = &change->state;
    const char *id = json_get_text(json, "charge");
    int64_t number = 0;

    if (id != NULL && strlen(id) == ID_SIZE - 1 && !params_int(id + 3 + ID_CORE_LEN, &number)) {
        number = 0;
    }
    state->charge = old->charge;
    if (number > (old->charge != NULL ? old->charge->number : 0)) {
        const struct decline *why = state->status == INTENT_SUCCEEDED ? NULL : state->failure;
        struct intent_state source = *state;

        if (why != NULL) {
            source.method = state->failed_method;
        }
        state->charge =
            charge_new(change->intent, &source, why, json_get_bool(json, "authenticated"));
    }
}

static enum result read_intent(struct store *store, const json_t *json, struct change *change,
                               struct error *err)
{
    const char *id = json_get_text(json, "payment_intent"),
               *failure = json_get_text(json, "failure");
    struct intent_state *state = &change->state;
    int status;

    change->kind = CHANGE_INTENT;
    change->created = json_get_bool(json, "new");
    if (!read_status(json, intent_name, INTENT_CANCELED + 1, &status)) {
        return error_set(err, RESULT_FATAL, "line", "damaged payment intent");
    }
    change->intent = change->created ? read_new_intent(json)
                     : id != NULL    ? store_intent(store, id)
                                     : NULL;
    if (change->intent == NULL) {
        return error_set(err, RESULT_FATAL, "line", "damaged or unknown payment intent");
    }
    state->status = (enum intent_status)status;
    state->method = read_method_ref(store, json, "method", &state->method_number);
    state->failed_method =
        read_method_ref(store, json, "failed_method", &state->failed_method_number);
    state->failure = failure != NULL ? decline_find(failure) : NULL;
    state->cancel_reason = cancel_reason_find(json_get_text(json, "cancel_reason"));
    state->canceled_at = status == INTENT_CANCELED ? change->at_ms / 1000 : 0;
    state->return_url = store_keep(store, copy_text(json, "return_url"));
    read_charge(json, change, &change->intent->state);
    return RESULT_OK;
}

static enum result read_refund(struct store *store, const json_t *json, struct change *change,
                               struct error *err)
{
    const char *id = json_get_text(json, "refund"), *charge = json_get_text(json, "charge");
    const char *then = json_get_text(json, "then");
    struct refund *refund = NULL;
    int64_t amount;
    int status;

    change->kind = CHANGE_REFUND;
    change->created = json_get_bool(json, "new");
    if (id == NULL || strlen(id) != ID_SIZE - 1 || charge == NULL ||
        store_charge(store, charge) == NULL || !json_get_int(json, "amount", &amount) ||
        !read_status(json, refund_name, REFUND_FAILED + 1, &status)) {
        return error_set(err, RESULT_FATAL, "line", "damaged refund");
    }
    if (change->created) {
        refund = mem_alloc(sizeof(*refund));
        memcpy(refund->core, id + 3, ID_CORE_LEN);
        refund->charge = store_charge(store, charge);
        refund->amount = amount;
        refund->reason = refund_reason_find(json_get_text(json, "reason"));
        refund->metadata = read_metadata(json);
        refund->later = then != NULL;
        for (int i = 0; then != NULL && i <= REFUND_FAILED; i++) {
            if (strcmp(then, refund_name(i)) == 0) {
                refund->then = (enum refund_status)i;
            }
        }
    } else {
        refund = store_refund(store, id);
    }
    if (refund == NULL) {
        return error_set(err, RESULT_FATAL, "line", "unknown refund");
    }
    change->refund = refund;
    change->refund_status = (enum refund_status)status;
    return RESULT_OK;
}

static enum result read_reply_line(struct store *store, const json_t *json, int64_t seq,
                                   int64_t at_ms, struct error *err)
{
    struct saved_reply *reply = read_reply(json);

    if (reply == NULL || json_get_text(json, "body") == NULL) {
        free(reply);
        return error_set(err, RESULT_FATAL, "line", "damaged reply");
    }
    reply->body = copy_text(json, "body");
    store->seq = seq;
    store->now_ms = at_ms;
    store_replay_text(store, reply);
    return RESULT_OK;
}

static enum result read_store(struct store *store, const json_t *json, struct error *err)
{
    const char *account = json_get_text(json, "account");

    if (account == NULL || strlen(account) != sizeof(store->account) - 1) {
        return error_set(err, RESULT_FATAL, "line", "damaged first line");
    }
    memcpy(store->account, account, sizeof(store->account));
    store->seq = 1;
    return RESULT_OK;
}

static enum result read_delivered(struct store *store, const json_t *json,
                                  const struct change *change, struct error *err)
{
    int64_t event;

    /* Every line gives at most three events. */
    if (!json_get_int(json, "event", &event) || event < 0 || event > change->seq * 3) {
        return error_set(err, RESULT_FATAL, "line", "damaged delivery");
    }
    store->seq = change->seq;
    store->now_ms = change->at_ms;
    store_replay_delivered(store, (size_t)event);
    return RESULT_OK;
}

static enum result read_change(struct store *store, const json_t *json, struct change *change,
                               struct error *err)
{
    const char *type = json_get_text(json, "type"), *request = json_get_text(json, "request");
    struct saved_reply *reply = NULL;
    enum result r;

    if (strcmp(type, "method") == 0) {
        r = read_method(store, json, change, err);
    } else if (strcmp(type, "charge") == 0 || strcmp(type, "intent") == 0) {
        r = read_intent(store, json, change, err);
    } else if (strcmp(type, "refund") == 0 || strcmp(type, "refund_update") == 0) {
        r = read_refund(store, json, change, err);
    } else {
        r = error_set(err, RESULT_FATAL, "line", "unknown type %.40s", type);
    }
    if (r == RESULT_OK) {
        snprintf(change->request, sizeof(change->request), "%s", request != NULL ? request : "");
        reply = read_reply(json);
        change->idempotency_key = reply != NULL ? reply->key : NULL;
        store_replay(store, change, reply);
    }
    return r;
}

enum result line_read(struct store *store, const char *line, size_t len, struct error *err)
{
    json_t *json = json_parse(line, len);
    const char *type = json_get_text(json, "type");
    struct change change = {0};
    enum result r;

    if (type == NULL || !json_get_int(json, "seq", &change.seq) ||
        !json_get_int(json, "at_ms", &change.at_ms) || change.seq != store->seq + 1) {
        r = error_set(err, RESULT_FATAL, "line", "not a line of a charge log, or out of order");
    } else if (strcmp(type, "store") == 0) {
        r = read_store(store, json, err);
    } else if (strcmp(type, "reply") == 0) {
        r = read_reply_line(store, json, change.seq, change.at_ms, err);
    } else if (strcmp(type, "webhook") == 0) {
        r = read_delivered(store, json, &change, err);
    } else {
        r = read_change(store, json, &change, err);
    }
    json_decref(json);
    return r;
}
