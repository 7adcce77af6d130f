/* Owns the shape of Stripe's objects in replies and events; decides nothing. */
#include "render.h"

#include <stdio.h>
#include <string.h>

static void render_metadata(struct writer *w, const struct metadata *metadata)
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

static void render_head(struct writer *w, const char *id, const char *object)
{
    writer_raw(w, "{\"id\":");
    writer_text(w, id);
    writer_put_text(w, "object", object);
}

static void render_billing(struct writer *w, const struct method *method)
{
    writer_raw(w, ",\"billing_details\":{\"address\":{\"city\":null,\"country\":null,"
                  "\"line1\":null,\"line2\":null,\"postal_code\":null,\"state\":null},"
                  "\"email\":null,\"name\":");
    writer_text(w, method->name);
    writer_raw(w, ",\"phone\":null}");
}

/* What a method and a charge say alike about a card, after an opened object's first member. */
static void render_card(struct writer *w, const struct method *method)
{
    const struct card *card = method->card;
    char fingerprint[17];

    card_fingerprint(card, fingerprint);
    writer_raw(w, "\"brand\":");
    writer_text(w, card->brand);
    writer_raw(w, ",\"checks\":{\"address_line1_check\":null,\"address_postal_code_check\":null,"
                  "\"cvc_check\":");
    writer_text(w, method->cvc_given ? "pass" : NULL);
    writer_raw(w, "},\"country\":\"US\"");
    writer_put_int(w, "exp_month", method->exp_month);
    writer_put_int(w, "exp_year", method->exp_year);
    writer_put_text(w, "fingerprint", fingerprint);
    writer_put_text(w, "funding", card->funding);
    writer_put_text(w, "last4", card_last4(card));
}

void render_method(struct writer *w, const struct intent *intent, const struct method *method,
                   int number)
{
    char id[ID_SIZE];

    if (intent == NULL && method->id[0] == '\0') {
        render_head(w, method->card->token, "payment_method");
    } else {
        method_id(intent, method, number, id);
        render_head(w, id, "payment_method");
    }
    render_billing(w, method);
    writer_raw(w, ",\"card\":{");
    render_card(w, method);
    writer_raw(w, ",\"generated_from\":null,\"networks\":{\"available\":[");
    writer_text(w, method->card->brand);
    writer_raw(w, "],\"preferred\":null},\"three_d_secure_usage\":{\"supported\":true},"
                  "\"wallet\":null}");
    writer_put_int(w, "created",
                   method->created != 0 ? method->created
                   : intent != NULL     ? intent->created
                                        : 0);
    writer_raw(w, ",\"customer\":null,\"livemode\":false,\"metadata\":{},\"type\":\"card\"}");
}

static void render_method_ref(struct writer *w, const char *name, const struct intent *intent,
                              const struct method *method, int number, unsigned expand)
{
    char id[ID_SIZE];

    if (method == NULL) {
        writer_put_text(w, name, NULL);
    } else if (expand & EXPAND_METHOD) {
        writer_printf(w, ",\"%s\":", name);
        render_method(w, intent, method, number);
    } else {
        method_id(intent, method, number, id);
        writer_put_text(w, name, id);
    }
}

static void render_outcome(struct writer *w, const struct decline *decline)
{
    writer_raw(w, ",\"outcome\":{\"network_status\":");
    if (decline == NULL) {
        writer_raw(w, "\"approved_by_network\",\"reason\":null,\"risk_level\":\"normal\","
                      "\"risk_score\":10,\"seller_message\":\"Payment complete.\","
                      "\"type\":\"authorized\"}");
        return;
    }
    writer_text(w, decline->network_status);
    writer_put_text(w, "reason", decline->name);
    writer_raw(w, ",\"risk_level\":\"normal\",\"risk_score\":30,"
                  "\"seller_message\":\"The bank did not return any further details with this "
                  "decline.\",\"type\":\"issuer_declined\"}");
}

static void render_charge_details(struct writer *w, const struct charge *charge)
{
    writer_raw(w, ",\"payment_method_details\":{\"card\":{");
    render_card(w, charge->method);
    writer_raw(w, ",\"installments\":null,\"mandate\":null");
    writer_put_text(w, "network", charge->method->card->brand);
    writer_raw(w, charge->authenticated
                      ? ",\"three_d_secure\":{\"authentication_flow\":\"challenge\","
                        "\"result\":\"authenticated\",\"result_reason\":null,\"version\":\"2.2.0\"}"
                      : ",\"three_d_secure\":null");
    writer_raw(w, ",\"wallet\":null},\"type\":\"card\"}");
}

void render_charge(struct writer *w, const struct store *store, const struct charge *charge,
                   int64_t refunded_minor, unsigned expand)
{
    const struct intent *intent = charge->intent;
    const struct decline *decline = charge->decline;
    char id[ID_SIZE], owner[ID_SIZE];
    bool paid = decline == NULL;

    charge_id(charge, id);
    intent_id(intent, owner);
    render_head(w, id, "charge");
    writer_put_int(w, "amount", intent->amount);
    writer_put_int(w, "amount_captured", paid ? intent->amount : 0);
    writer_put_int(w, "amount_refunded", refunded_minor);
    writer_raw(w, ",\"application\":null,\"application_fee\":null,\"application_fee_amount\":null,"
                  "\"balance_transaction\":null");
    render_billing(w, charge->method);
    writer_raw(w, ",\"calculated_statement_descriptor\":\"PAYLINK SANDBOX\"");
    writer_put_bool(w, "captured", paid);
    writer_put_int(w, "created", charge->created);
    writer_put_text(w, "currency", intent->currency);
    writer_raw(w, ",\"customer\":null");
    writer_put_text(w, "description", intent->description);
    writer_raw(w, ",\"disputed\":false,\"failure_balance_transaction\":null");
    writer_put_text(w, "failure_code", decline != NULL ? decline->code : NULL);
    writer_put_text(w, "failure_message", decline != NULL ? decline->message : NULL);
    writer_raw(w, ",\"fraud_details\":{},\"invoice\":null,\"livemode\":false");
    render_metadata(w, intent->metadata);
    writer_raw(w, ",\"on_behalf_of\":null");
    render_outcome(w, decline);
    writer_put_bool(w, "paid", paid);
    if (expand & EXPAND_INTENT) {
        writer_raw(w, ",\"payment_intent\":");
        render_intent(w, store, intent, &intent->state, 0, 0);
    } else {
        writer_put_text(w, "payment_intent", owner);
    }
    method_id(intent, charge->method, charge->number, id);
    writer_put_text(w, "payment_method", id);
    render_charge_details(w, charge);
    writer_put_text(w, "receipt_email", intent->receipt_email);
    writer_raw(w, ",\"receipt_number\":null,\"receipt_url\":null");
    writer_put_bool(w, "refunded", paid && refunded_minor == intent->amount);
    writer_raw(w, ",\"review\":null,\"shipping\":null,\"source_transfer\":null");
    writer_put_text(w, "statement_descriptor", intent->descriptor);
    writer_put_text(w, "statement_descriptor_suffix", intent->descriptor_suffix);
    writer_put_text(w, "status", paid ? "succeeded" : "failed");
    writer_raw(w, ",\"transfer_data\":null,\"transfer_group\":null}");
}

/* The members that an error reply and last_payment_error share, after the first one. */
static void render_failure(struct writer *w, const struct intent *intent,
                           const struct intent_state *state)
{
    const struct decline *failure = state->failure;
    char id[ID_SIZE];

    writer_put_text(w, "code", failure->code);
    if (failure->decline_code != NULL) {
        writer_put_text(w, "decline_code", failure->decline_code);
    }
    if (state->charge != NULL && failure->network_status != NULL) {
        charge_id(state->charge, id);
        writer_put_text(w, "charge", id);
    }
    writer_raw(w, ",\"doc_url\":\"https://stripe.com/docs/error-codes\"");
    writer_put_text(w, "message", failure->message);
    if (state->failed_method != NULL) {
        writer_raw(w, ",\"payment_method\":");
        render_method(w, intent, state->failed_method, state->failed_method_number);
    }
}

static const char *failure_type(const struct decline *failure)
{
    return failure->network_status != NULL ? TYPE_CARD : TYPE_INVALID;
}

static void render_next_action(struct writer *w, const struct store *store,
                               const struct intent_state *state, const char *id)
{
    if (state->status != INTENT_REQUIRES_ACTION) {
        writer_raw(w, ",\"next_action\":null");
        return;
    }
    if (state->return_url == NULL) {
        writer_printf(w,
                      ",\"next_action\":{\"type\":\"use_stripe_sdk\",\"use_stripe_sdk\":{"
                      "\"type\":\"three_d_secure_redirect\",\"stripe_js\":\"%s/authenticate/%s\"}}",
                      store->public_url, id);
        return;
    }
    writer_raw(w, ",\"next_action\":{\"redirect_to_url\":{\"return_url\":");
    writer_text(w, state->return_url);
    writer_printf(w, ",\"url\":\"%s/authenticate/%s\"},\"type\":\"redirect_to_url\"}",
                  store->public_url, id);
}

static void render_latest_charge(struct writer *w, const struct store *store,
                                 const struct intent_state *state, int64_t refunded_minor,
                                 unsigned expand)
{
    char id[ID_SIZE];

    if (state->charge == NULL) {
        writer_put_text(w, "latest_charge", NULL);
    } else if (expand & EXPAND_CHARGE) {
        writer_raw(w, ",\"latest_charge\":");
        render_charge(w, store, state->charge, refunded_minor, 0);
    } else {
        charge_id(state->charge, id);
        writer_put_text(w, "latest_charge", id);
    }
}

void render_intent(struct writer *w, const struct store *store, const struct intent *intent,
                   const struct intent_state *state, int64_t refunded_minor, unsigned expand)
{
    char id[ID_SIZE];

    intent_id(intent, id);
    render_head(w, id, "payment_intent");
    writer_put_int(w, "amount", intent->amount);
    writer_raw(w, ",\"amount_capturable\":0,\"amount_details\":{\"tip\":{}}");
    writer_put_int(w, "amount_received", state->status == INTENT_SUCCEEDED ? intent->amount : 0);
    writer_raw(w, ",\"application\":null,\"application_fee_amount\":null");
    writer_raw(w, intent->automatic_methods ? ",\"automatic_payment_methods\":{\"enabled\":true}"
                                            : ",\"automatic_payment_methods\":null");
    if (state->canceled_at != 0) {
        writer_put_int(w, "canceled_at", state->canceled_at);
    } else {
        writer_put_text(w, "canceled_at", NULL);
    }
    writer_put_text(w, "cancellation_reason", state->cancel_reason);
    writer_printf(w, ",\"capture_method\":\"automatic\",\"client_secret\":\"%s_secret_%s\"", id,
                  intent->secret);
    writer_raw(w, ",\"confirmation_method\":\"automatic\"");
    writer_put_int(w, "created", intent->created);
    writer_put_text(w, "currency", intent->currency);
    writer_raw(w, ",\"customer\":null");
    writer_put_text(w, "description", intent->description);
    writer_raw(w, ",\"invoice\":null");
    if (state->failure != NULL) {
        writer_printf(w, ",\"last_payment_error\":{\"type\":\"%s\"", failure_type(state->failure));
        render_failure(w, intent, state);
        writer_raw(w, "}");
    } else {
        writer_put_text(w, "last_payment_error", NULL);
    }
    render_latest_charge(w, store, state, refunded_minor, expand);
    writer_raw(w, ",\"livemode\":false");
    render_metadata(w, intent->metadata);
    render_next_action(w, store, state, id);
    writer_raw(w, ",\"on_behalf_of\":null");
    render_method_ref(w, "payment_method", intent, state->method, state->method_number, expand);
    writer_raw(w, ",\"payment_method_options\":{\"card\":{\"installments\":null,"
                  "\"mandate_options\":null,\"network\":null,\"request_three_d_secure\":"
                  "\"automatic\"}},\"payment_method_types\":[\"card\"],\"processing\":null");
    writer_put_text(w, "receipt_email", intent->receipt_email);
    writer_raw(w, ",\"review\":null,\"setup_future_usage\":null,\"shipping\":null");
    writer_put_text(w, "statement_descriptor", intent->descriptor);
    writer_put_text(w, "statement_descriptor_suffix", intent->descriptor_suffix);
    writer_put_text(w, "status", intent_status_name(state->status));
    writer_raw(w, ",\"transfer_data\":null,\"transfer_group\":null}");
}

void render_refund(struct writer *w, const struct store *store, const struct refund *refund,
                   enum refund_status status, unsigned expand)
{
    const struct charge *charge = refund->charge;
    char id[ID_SIZE];

    refund_id(refund, id);
    render_head(w, id, "refund");
    writer_put_int(w, "amount", refund->amount);
    writer_raw(w, ",\"balance_transaction\":null");
    if (expand & EXPAND_CHARGE) {
        writer_raw(w, ",\"charge\":");
        render_charge(w, store, charge, charge->refunded_minor, 0);
    } else {
        charge_id(charge, id);
        writer_put_text(w, "charge", id);
    }
    writer_put_int(w, "created", refund->created);
    writer_put_text(w, "currency", charge->intent->currency);
    if (status == REFUND_FAILED) {
        writer_put_text(w, "failure_reason", "expired_or_canceled_card");
    }
    render_metadata(w, refund->metadata);
    if (expand & EXPAND_INTENT) {
        writer_raw(w, ",\"payment_intent\":");
        render_intent(w, store, charge->intent, &charge->intent->state, charge->refunded_minor, 0);
    } else {
        intent_id(charge->intent, id);
        writer_put_text(w, "payment_intent", id);
    }
    writer_put_text(w, "reason", refund->reason);
    writer_raw(w, ",\"receipt_number\":null,\"source_transfer_reversal\":null");
    writer_put_text(w, "status", refund_status_name(status));
    writer_raw(w, ",\"transfer_reversal\":null}");
}

void render_change_reply(struct call *call, const struct store *store, const struct change *change,
                         int status, unsigned expand)
{
    struct writer *w = &call->reply;
    const struct intent_state *state = &change->state;

    call->status = status;
    w->len = 0;
    if (change->kind == CHANGE_METHOD) {
        render_method(w, NULL, change->method, 0);
    } else if (change->kind == CHANGE_REFUND) {
        render_refund(w, store, change->refund, change->refund_status, expand);
    } else if (status < 400) {
        render_intent(w, store, change->intent, state, 0, expand);
    } else {
        writer_printf(w, "{\"error\":{\"type\":\"%s\"", failure_type(state->failure));
        render_failure(w, change->intent, state);
        writer_raw(w, ",\"payment_intent\":");
        render_intent(w, store, change->intent, state, 0, expand);
        writer_raw(w, "}}");
    }
    writer_raw(w, "\n");
}
