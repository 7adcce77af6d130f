/* Owns the meaning of Stripe's replies: objects, errors, and what may have happened. Sends nothing.
 */
#include "stripe_reply.h"

#include <ctype.h>
#include <string.h>

#include "stripe_amount.h"

#define LOG_AREA "gateway"
#include "../base/log.h"

/* A wrong key does not heal by itself: do not ask again at once. */
#define RETRY_CONFIGURATION_MS 30000

/* The payer-facing word for an error object (`last_payment_error`, or a 402 reply). */
static const char *decline_reason(const json_t *error)
{
    static const char *const told[] = {"insufficient_funds", "expired_card", "incorrect_cvc",
                                       "processing_error", NULL};
    const char *code = json_get_text(error, "code");
    const char *decline_code = json_get_text(error, "decline_code");

    if (code == NULL) {
        return "card_declined";
    }
    for (size_t i = 0; told[i] != NULL; i++) {
        if (strcmp(code, told[i]) == 0 ||
            (decline_code != NULL && strcmp(decline_code, told[i]) == 0)) {
            return told[i];
        }
    }
    if (strcmp(code, "invalid_cvc") == 0) {
        return "incorrect_cvc";
    }
    if (strcmp(code, "authentication_required") == 0 ||
        strcmp(code, "payment_intent_authentication_failure") == 0 ||
        strcmp(code, "payment_intent_action_required") == 0) {
        return "authentication_failed";
    }
    return "card_declined";
}

static void card_read(const json_t *card, struct gateway_result *result)
{
    if (json_get_text(card, "last4") != NULL) {
        result->card_brand = json_get_text(card, "brand");
        result->card_last4 = json_get_text(card, "last4");
    }
}

/* Amount and currency; false if they are no amount that we can book. */
static bool money_read(const json_t *object, const char *field, struct stripe_result *out)
{
    const char *currency = json_get_text(object, "currency");
    int64_t amount;

    if (currency == NULL || strlen(currency) != 3 || !json_get_int(object, field, &amount)) {
        return false;
    }
    for (int i = 0; i < 3; i++) {
        out->currency[i] = (char)toupper((unsigned char)currency[i]);
    }
    out->currency[3] = '\0';
    out->result.currency = out->currency;
    return stripe_amount_from(out->currency, amount, &out->result.amount_minor);
}

static void created_read(const json_t *object, struct gateway_result *result)
{
    int64_t created = 0;

    if (json_get_int(object, "created", &created)) {
        result->created_ms = created * 1000;
    }
}

/* A field that is an id or, expanded, the object with it. */
static const char *id_read(const json_t *object, const char *field)
{
    const json_t *value = json_object_get(object, field);

    return json_is_object(value) ? json_get_text(value, "id") : json_string_value(value);
}

static void intent_status_read(const json_t *object, const char *status,
                               struct gateway_result *result)
{
    const json_t *error = json_object_get(object, "last_payment_error");

    if (strcmp(status, "succeeded") == 0) {
        result->outcome = GATEWAY_SUCCEEDED;
    } else if (strcmp(status, "requires_action") == 0) {
        const json_t *action = json_object_get(object, "next_action");

        result->outcome = GATEWAY_ACTION_REQUIRED;
        result->action_url = json_get_text(json_object_get(action, "redirect_to_url"), "url");
    } else if (strcmp(status, "canceled") == 0) {
        result->outcome = GATEWAY_CANCELED;
        result->reason = json_get_text(object, "cancellation_reason");
    } else if (strcmp(status, "requires_payment_method") == 0 && json_is_object(error)) {
        result->outcome = GATEWAY_DECLINED;
        result->reason = decline_reason(error);
        card_read(json_object_get(json_object_get(error, "payment_method"), "card"), result);
    } else if (strcmp(status, "processing") == 0 || strcmp(status, "requires_capture") == 0 ||
               strcmp(status, "requires_confirmation") == 0 ||
               strcmp(status, "requires_payment_method") == 0) {
        result->outcome = GATEWAY_PROCESSING;
    } else {
        result->outcome = GATEWAY_UNKNOWN;
    }
}

void stripe_intent_read(const json_t *object, struct stripe_result *out)
{
    struct gateway_result *result = &out->result;
    const char *status = json_get_text(object, "status"), *kind = json_get_text(object, "object");
    const json_t *charge = json_object_get(object, "latest_charge");

    memset(out, 0, sizeof(*out));
    result->outcome = GATEWAY_UNKNOWN;
    result->id = json_get_text(object, "id");
    if (kind == NULL || strcmp(kind, "payment_intent") != 0 || result->id == NULL ||
        status == NULL) {
        return;
    }
    result->attempt = json_get_text(json_object_get(object, "metadata"), "attempt");
    result->charge_id = id_read(object, "latest_charge");
    card_read(json_object_get(json_object_get(charge, "payment_method_details"), "card"), result);
    created_read(object, result);
    intent_status_read(object, status, result);
    if (!money_read(object, result->outcome == GATEWAY_SUCCEEDED ? "amount_received" : "amount",
                    out) &&
        result->outcome == GATEWAY_SUCCEEDED) {
        log_error("payment intent %s has an amount that cannot be booked", result->id);
        result->outcome = GATEWAY_UNKNOWN;
    }
}

void stripe_refund_read(const json_t *object, struct stripe_result *out)
{
    struct gateway_result *result = &out->result;
    const char *status = json_get_text(object, "status"), *kind = json_get_text(object, "object");

    memset(out, 0, sizeof(*out));
    result->outcome = GATEWAY_UNKNOWN;
    result->id = json_get_text(object, "id");
    if (kind == NULL || strcmp(kind, "refund") != 0 || result->id == NULL || status == NULL) {
        return;
    }
    result->attempt = json_get_text(json_object_get(object, "metadata"), "refund");
    result->charge_id = id_read(object, "charge");
    created_read(object, result);
    if (!money_read(object, "amount", out)) {
        return;
    }
    if (strcmp(status, "succeeded") == 0) {
        result->outcome = GATEWAY_SUCCEEDED;
    } else if (strcmp(status, "pending") == 0 || strcmp(status, "requires_action") == 0) {
        result->outcome = GATEWAY_PROCESSING;
    } else if (strcmp(status, "failed") == 0) {
        result->outcome = GATEWAY_DECLINED;
        result->reason = json_get_text(object, "failure_reason");
        result->reason = result->reason != NULL ? result->reason : "refund_failed";
    } else if (strcmp(status, "canceled") == 0) {
        result->outcome = GATEWAY_CANCELED;
    }
}

static void object_read(enum stripe_call call, const json_t *object, struct stripe_result *out)
{
    json_t *json = out->json;

    if (call == STRIPE_REFUND) {
        stripe_refund_read(object, out);
    } else {
        stripe_intent_read(object, out);
    }
    out->json = json;
}

/* 400 and 404: the request was wrong, or too late. */
static void refusal_read(enum stripe_call call, int status, const json_t *error,
                         struct stripe_result *out)
{
    const char *type = json_get_text(error, "type"), *code = json_get_text(error, "code");
    const char *param = json_get_text(error, "param");
    const json_t *intent = json_object_get(error, "payment_intent");

    if (type != NULL && strcmp(type, "idempotency_error") == 0) {
        log_error("the gateway has seen this idempotency key with other parameters");
        return;
    }
    if (call == STRIPE_CANCEL && json_is_object(intent)) {
        /* Too late to cancel: the error shows how the intent ended instead. */
        object_read(STRIPE_RETRIEVE, intent, out);
        return;
    }
    if (status == 404 && (call == STRIPE_RETRIEVE || call == STRIPE_CANCEL)) {
        out->result.outcome = GATEWAY_ABSENT;
        return;
    }
    if (call == STRIPE_RETRIEVE || call == STRIPE_CANCEL) {
        return;
    }
    out->result.outcome = GATEWAY_DECLINED;
    out->result.reason = code != NULL && strcmp(code, "charge_already_refunded") == 0
                             ? "charge_already_refunded"
                             : "invalid_request";
    log_error("the gateway refuses a %s as invalid: status %d, code %s, parameter %s",
              call == STRIPE_REFUND ? "refund" : "charge", status, code != NULL ? code : "none",
              param != NULL ? param : "none");
}

static void decline_read(enum stripe_call call, const json_t *error, struct stripe_result *out)
{
    const json_t *intent = json_object_get(error, "payment_intent");

    if (call == STRIPE_RETRIEVE || call == STRIPE_CANCEL) {
        return;
    }
    if (json_is_object(intent)) {
        object_read(STRIPE_CHARGE, intent, out);
    }
    out->result.outcome = GATEWAY_DECLINED;
    out->result.reason = decline_reason(error);
    if (out->result.card_last4 == NULL) {
        card_read(json_object_get(json_object_get(error, "payment_method"), "card"), &out->result);
    }
}

static void status_read(enum stripe_call call, const struct http_reply *reply,
                        struct stripe_result *out)
{
    const json_t *error = json_object_get(out->json, "error");
    bool writes = call != STRIPE_RETRIEVE;

    if (reply->status >= 200 && reply->status < 300) {
        object_read(call, out->json, out);
    } else if (reply->status == 402 && json_is_object(error)) {
        decline_read(call, error, out);
    } else if ((reply->status == 400 || reply->status == 404) && json_is_object(error)) {
        refusal_read(call, reply->status, error, out);
    } else if (reply->status == 401 || reply->status == 403) {
        log_error("the gateway refuses our key (status %d): check gateway.secret_key_file",
                  reply->status);
        out->result.outcome = writes ? GATEWAY_RETRY : GATEWAY_UNKNOWN;
        out->result.retry_after_ms = RETRY_CONFIGURATION_MS;
    } else if (reply->status == 409 || reply->status == 429) {
        out->result.outcome = writes ? GATEWAY_RETRY : GATEWAY_UNKNOWN;
        out->result.retry_after_ms = reply->retry_after_ms;
    } else {
        log_warn("the gateway answers with status %d", reply->status);
    }
}

void stripe_result_read(enum stripe_call call, const struct http_reply *reply,
                        struct stripe_result *out)
{
    memset(out, 0, sizeof(*out));
    out->result.outcome = GATEWAY_UNKNOWN;
    if (reply->outcome == HTTP_REPLIED) {
        out->json = json_parse(reply->body, reply->body_len);
        status_read(call, reply, out);
        return;
    }
    log_warn("the gateway gave no answer: %s", reply->failure);
    if (reply->outcome == HTTP_NOT_SENT && call != STRIPE_RETRIEVE) {
        out->result.outcome = GATEWAY_RETRY;
    }
}

void stripe_result_free(struct stripe_result *result)
{
    json_decref(result->json);
    result->json = NULL;
}
