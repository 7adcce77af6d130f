/* Owns the life of a payment intent: parameters, states, and what a confirmation does. Knows no
 * HTTP. */
#include "intents.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"
#include "list.h"
#include "render.h"

#define METADATA_KEYS_MAX        50
#define METADATA_KEY_CHARS_MAX   40
#define METADATA_VALUE_BYTES_MAX 500
#define DESCRIPTION_BYTES_MAX    1000
#define URL_BYTES_MAX            2048

struct confirmation {
    bool off_session;
    bool refuse_action; /* error_on_requires_action */
};

static bool metadata_valid(struct call *call)
{
    size_t count = 0, len;

    for (size_t i = 0; i < call->form.count; i++) {
        const char *key = params_key(&call->form.item[i], "metadata", &len);
        const char *value = call->form.item[i].value;

        if (key == NULL) {
            continue;
        }
        if (++count > METADATA_KEYS_MAX) {
            call_error(call, 400, TYPE_INVALID, NULL, "metadata",
                       "You can have up to %d metadata keys.", METADATA_KEYS_MAX);
            return false;
        }
        if (len > METADATA_KEY_CHARS_MAX) {
            call_error(call, 400, TYPE_INVALID, NULL, "metadata",
                       "Metadata keys can have up to %d characters.", METADATA_KEY_CHARS_MAX);
            return false;
        }
        if (strlen(value) > METADATA_VALUE_BYTES_MAX) {
            call_error(call, 400, TYPE_INVALID, NULL, "metadata",
                       "Metadata values can have up to %d characters, but you passed in a value "
                       "that is %zu characters.",
                       METADATA_VALUE_BYTES_MAX, strlen(value));
            return false;
        }
    }
    return true;
}

static bool amount_read(struct call *call, const struct currency *currency, int64_t *amount)
{
    const char *text = params_get(&call->form, "amount");

    if (text == NULL) {
        call_error(call, 400, TYPE_INVALID, "parameter_missing", "amount",
                   "Missing required param: amount.");
    } else if (!params_int(text, amount)) {
        call_error(call, 400, TYPE_INVALID, "parameter_invalid_integer", "amount",
                   "Invalid integer: %.100s", text);
    } else if (*amount < 1) {
        call_error(call, 400, TYPE_INVALID, "parameter_invalid_integer", "amount",
                   "This value must be greater than or equal to 1.");
    } else if (*amount < currency->least) {
        call_error(call, 400, TYPE_INVALID, "amount_too_small", "amount",
                   "Amount must be at least %s %s", currency->least_text, currency->code);
    } else if (*amount > CARD_AMOUNT_MAX) {
        call_error(call, 400, TYPE_INVALID, "amount_too_large", "amount",
                   "Amount must be no more than %s %s",
                   currency->digits == 0   ? "99,999,999"
                   : currency->digits == 2 ? "999,999.99"
                                           : "99,999.999",
                   currency->code);
    } else if (currency->digits == 3 && *amount % 10 != 0) {
        call_error(call, 400, TYPE_INVALID, "parameter_invalid_integer", "amount",
                   "Amount must be a multiple of 10 in %s", currency->code);
    } else {
        return true;
    }
    return false;
}

static const struct currency *currency_read(struct call *call)
{
    const char *text = params_get(&call->form, "currency");
    const struct currency *currency;
    char code[4] = "";

    if (text == NULL) {
        call_error(call, 400, TYPE_INVALID, "parameter_missing", "currency",
                   "Missing required param: currency.");
        return NULL;
    }
    for (size_t i = 0; strlen(text) == 3 && i < 3; i++) {
        code[i] = (char)tolower((unsigned char)text[i]);
    }
    currency = currency_find(code);
    if (currency == NULL) {
        call_error(call, 400, TYPE_INVALID, NULL, "currency",
                   "Invalid currency: %.20s. Stripe currently supports these currencies: %s", text,
                   currency_names());
    }
    return currency;
}

/* The form parameters whose only supported values are listed. */
static bool fixed_valid(struct call *call)
{
    static const struct {
        const char *name, *values[3];
    } fixed[] = {
        {"capture_method", {"automatic", "automatic_async", NULL}},
        {"confirmation_method", {"automatic", NULL, NULL}},
        {"automatic_payment_methods[allow_redirects]", {"always", "never", NULL}},
        {"payment_method_options[card][request_three_d_secure]", {"automatic", "any", NULL}},
    };

    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        const char *value = params_get(&call->form, fixed[i].name);
        const char *const *allowed = fixed[i].values;

        while (value != NULL && *allowed != NULL && strcmp(*allowed, value) != 0) {
            allowed++;
        }
        if (value != NULL && *allowed == NULL) {
            call_error(call, 400, TYPE_INVALID, NULL, fixed[i].name,
                       "Invalid %s: the sandbox supports only %s.", fixed[i].name,
                       fixed[i].values[0]);
            return false;
        }
    }
    return true;
}

static bool types_valid(struct call *call)
{
    size_t len;

    for (size_t i = 0; i < call->form.count; i++) {
        if (params_key(&call->form.item[i], "payment_method_types", &len) != NULL &&
            strcmp(call->form.item[i].value, "card") != 0) {
            call_error(call, 400, TYPE_INVALID, "payment_intent_invalid_parameter",
                       "payment_method_types",
                       "The payment method type \"%.50s\" is invalid: the sandbox supports card.",
                       call->form.item[i].value);
            return false;
        }
    }
    return true;
}

static bool text_valid(struct call *call, const char *name, size_t bytes_max)
{
    const char *value = params_get(&call->form, name);

    if (value != NULL && strlen(value) > bytes_max) {
        call_error(call, 400, TYPE_INVALID, NULL, name,
                   "Invalid string: it must be at most %zu characters.", bytes_max);
        return false;
    }
    return true;
}

static bool return_url_read(struct call *call, struct store *store, struct intent_state *state)
{
    const char *url = params_get(&call->form, "return_url");

    if (url == NULL) {
        return true;
    }
    if ((strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0) ||
        strlen(url) > URL_BYTES_MAX) {
        call_error(call, 400, TYPE_INVALID, "url_invalid", "return_url", "Not a valid URL");
        return false;
    }
    state->return_url = store_keep(store, mem_strdup(url));
    return true;
}

/* Puts the method that the parameters name, if any, into the state. */
static bool method_read(struct call *call, struct store *store, struct intent_state *state)
{
    const char *id = params_get(&call->form, "payment_method");
    const struct method *method;
    const struct intent *owner;
    int number;

    if (id == NULL) {
        return true;
    }
    method = store_method(store, id, &owner, &number);
    if (method == NULL) {
        call_missing(call, 400, "PaymentMethod", "payment_method", id);
        return false;
    }
    if (method->used || (owner != NULL && owner->state.status == INTENT_SUCCEEDED)) {
        call_error(call, 400, TYPE_INVALID, NULL, "payment_method",
                   "The provided PaymentMethod was previously used with a PaymentIntent without "
                   "Customer attachment, shared with a connected account without Customer "
                   "attachment, or was detached from a Customer. It may not be used again. To use "
                   "a PaymentMethod multiple times, you must attach it to a Customer first.");
        return false;
    }
    state->method = method;
    state->method_number = state->charge != NULL ? state->charge->number + 1 : 1;
    return true;
}

static bool confirmation_read(struct call *call, struct confirmation *confirmation)
{
    const char *off_session = params_get(&call->form, "off_session");

    memset(confirmation, 0, sizeof(*confirmation));
    if (off_session != NULL &&
        (strcmp(off_session, "one_off") == 0 || strcmp(off_session, "recurring") == 0)) {
        confirmation->off_session = true;
    } else if (!call_bool(call, "off_session", &confirmation->off_session)) {
        return false;
    }
    return call_bool(call, "error_on_requires_action", &confirmation->refuse_action);
}

static void state_decline(struct intent *intent, struct intent_state *state,
                          const struct decline *decline, bool authenticated)
{
    if (decline->network_status != NULL) {
        state->charge = charge_new(intent, state, decline, authenticated);
    }
    state->failure = decline;
    state->failed_method = state->method;
    state->failed_method_number = state->method_number;
    state->method = NULL;
    state->method_number = 0;
    state->status = INTENT_REQUIRES_PAYMENT_METHOD;
}

/* Tries the state's method. Returns the status of the reply. */
static int state_charge(struct intent *intent, struct intent_state *state,
                        const struct confirmation *confirmation, bool authenticated,
                        const struct decline *fault)
{
    const struct card *card = state->method->card;
    const struct decline *decline = fault != NULL ? fault : card->decline;

    if (card->authentication && !authenticated) {
        if (!confirmation->off_session && !confirmation->refuse_action) {
            state->status = INTENT_REQUIRES_ACTION;
            state->failure = NULL;
            state->failed_method = NULL;
            return 200;
        }
        decline = decline_find("authentication_required");
    }
    if (decline != NULL) {
        state_decline(intent, state, decline, authenticated);
        return 402;
    }
    state->charge = charge_new(intent, state, NULL, authenticated);
    state->failure = NULL;
    state->failed_method = NULL;
    state->status = INTENT_SUCCEEDED;
    return 200;
}

static void intent_apply(struct call *call, struct store *store, struct intent *intent,
                         const struct intent_state *state, bool created, int status,
                         unsigned expand)
{
    struct change change = {
        .kind = CHANGE_INTENT, .created = created, .intent = intent, .state = *state};

    memcpy(change.request, call->request, sizeof(change.request));
    render_change_reply(call, store,
                        store_apply(store, &change, call_save_take(call, status, expand)), status,
                        expand);
}

static struct intent *intent_new(struct call *call, const struct currency *currency, int64_t amount,
                                 bool automatic_methods)
{
    struct intent *intent = mem_alloc(sizeof(*intent));

    intent_new_id(intent);
    intent->amount = amount;
    memcpy(intent->currency, currency->code, sizeof(intent->currency));
    intent->automatic_methods = automatic_methods;
    intent->metadata = metadata_new(&call->form);
    intent->description = mem_strdup(params_get(&call->form, "description"));
    intent->receipt_email = mem_strdup(params_get(&call->form, "receipt_email"));
    intent->descriptor = mem_strdup(params_get(&call->form, "statement_descriptor"));
    intent->descriptor_suffix = mem_strdup(params_get(&call->form, "statement_descriptor_suffix"));
    return intent;
}

static const char *const create_known[] = {"amount",
                                           "currency",
                                           "payment_method",
                                           "confirm",
                                           "description",
                                           "metadata",
                                           "metadata[*]",
                                           "return_url",
                                           "receipt_email",
                                           "statement_descriptor",
                                           "statement_descriptor_suffix",
                                           "payment_method_types[]",
                                           "automatic_payment_methods[enabled]",
                                           "automatic_payment_methods[allow_redirects]",
                                           "capture_method",
                                           "confirmation_method",
                                           "off_session",
                                           "error_on_requires_action",
                                           "use_stripe_sdk",
                                           "payment_method_options[card][request_three_d_secure]",
                                           "expand[]",
                                           NULL};

/* Checks that need nothing but the parameters. */
static bool create_valid(struct call *call)
{
    return call_known(call, &call->form, create_known) && metadata_valid(call) &&
           fixed_valid(call) && types_valid(call) &&
           text_valid(call, "description", DESCRIPTION_BYTES_MAX) &&
           text_valid(call, "receipt_email", 512) && text_valid(call, "statement_descriptor", 22) &&
           text_valid(call, "statement_descriptor_suffix", 22);
}

static void reply_no_method(struct call *call)
{
    call_error(call, 400, TYPE_INVALID, "payment_intent_unexpected_state", NULL,
               "You cannot confirm this PaymentIntent because it's missing a payment method. You "
               "can either update the PaymentIntent with a payment method and then confirm it "
               "again, or confirm it again directly with a payment method.");
}

void intents_create(struct call *call, struct store *store)
{
    struct intent_state state = {.status = INTENT_REQUIRES_PAYMENT_METHOD};
    bool confirm = false, automatic = false;
    const struct currency *currency;
    struct confirmation confirmation;
    struct intent *intent;
    int64_t amount;
    unsigned expand;
    int status = 200;

    if (!create_valid(call) || (currency = currency_read(call)) == NULL ||
        !amount_read(call, currency, &amount) || !call_bool(call, "confirm", &confirm) ||
        !call_bool(call, "automatic_payment_methods[enabled]", &automatic) ||
        !confirmation_read(call, &confirmation) || !call_expand(call, &call->form, "", &expand) ||
        !method_read(call, store, &state)) {
        return;
    }
    if (!confirm && params_get(&call->form, "return_url") != NULL) {
        call_error(call, 400, TYPE_INVALID, NULL, "return_url",
                   "You cannot provide a `return_url` unless `confirm` is true.");
        return;
    }
    if (confirm && state.method == NULL) {
        reply_no_method(call);
        return;
    }
    if (!return_url_read(call, store, &state)) {
        return;
    }
    intent = intent_new(call, currency, amount, automatic);
    if (confirm) {
        status = state_charge(intent, &state, &confirmation, false, call->fault);
    } else if (state.method != NULL) {
        state.status = INTENT_REQUIRES_CONFIRMATION;
    }
    intent_apply(call, store, intent, &state, true, status, expand);
}

/* A refusal because of the intent's status, with the intent in it as Stripe does. */
static void refuse_state(struct call *call, struct store *store, const struct intent *intent,
                         const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static void refuse_state(struct call *call, struct store *store, const struct intent *intent,
                         const char *fmt, ...)
{
    struct saved_reply *save = call_save_take(call, 400, 0);
    struct writer *w = &call->reply;
    char message[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    call->status = 400;
    writer_raw(w, "{\"error\":{\"code\":\"payment_intent_unexpected_state\",\"doc_url\":"
                  "\"https://stripe.com/docs/error-codes/payment-intent-unexpected-state\"");
    writer_put_text(w, "message", message);
    writer_raw(w, ",\"payment_intent\":");
    render_intent(w, store, intent, &intent->state, 0, 0);
    writer_raw(w, ",\"type\":\"invalid_request_error\"}}\n");
    if (save != NULL) {
        save->body = mem_strdup(w->data);
        store_save_text(store, save);
    }
}

static struct intent *intent_of(struct call *call, struct store *store, const char *id)
{
    struct intent *intent = store_intent(store, id);

    if (intent == NULL) {
        call_missing(call, 404, "payment_intent", "intent", id);
    }
    return intent;
}

static const char *const confirm_known[] = {
    "payment_method", "return_url",
    "off_session",    "error_on_requires_action",
    "use_stripe_sdk", "receipt_email",
    "capture_method", "payment_method_types[]",
    "client_secret",  "payment_method_options[card][request_three_d_secure]",
    "expand[]",       NULL};

void intents_confirm(struct call *call, struct store *store, const char *id)
{
    struct intent *intent = intent_of(call, store, id);
    struct confirmation confirmation;
    struct intent_state state;
    unsigned expand;
    int status;

    if (intent == NULL || !call_known(call, &call->form, confirm_known) || !fixed_valid(call) ||
        !types_valid(call) || !confirmation_read(call, &confirmation) ||
        !call_expand(call, &call->form, "", &expand)) {
        return;
    }
    state = intent->state;
    if (state.status == INTENT_SUCCEEDED) {
        refuse_state(call, store, intent,
                     "You cannot confirm this PaymentIntent because it has already succeeded after "
                     "being previously confirmed.");
        return;
    }
    if (state.status == INTENT_CANCELED ||
        (state.charge != NULL && state.charge->number >= ATTEMPTS_MAX)) {
        refuse_state(call, store, intent,
                     "You cannot confirm this PaymentIntent because it has a status of %s. Only a "
                     "PaymentIntent with one of the following statuses may be confirmed: "
                     "requires_payment_method, requires_confirmation, requires_action.",
                     intent_status_name(state.status));
        return;
    }
    if (!method_read(call, store, &state) || !return_url_read(call, store, &state)) {
        return;
    }
    if (state.method == NULL) {
        reply_no_method(call);
        return;
    }
    status = state_charge(intent, &state, &confirmation, false, call->fault);
    intent_apply(call, store, intent, &state, false, status, expand);
}

bool intent_authenticate(struct store *store, struct intent *intent, bool complete,
                         const char *request)
{
    struct change change = {.kind = CHANGE_INTENT, .intent = intent, .state = intent->state};
    struct confirmation confirmation = {false, false};

    if (intent->state.status != INTENT_REQUIRES_ACTION) {
        return false;
    }
    if (complete) {
        state_charge(intent, &change.state, &confirmation, true, NULL);
    } else {
        state_decline(intent, &change.state, decline_find("payment_intent_authentication_failure"),
                      false);
    }
    memcpy(change.request, request, sizeof(change.request));
    store_apply(store, &change, NULL);
    return true;
}

void intents_cancel(struct call *call, struct store *store, const char *id)
{
    static const char *const known[] = {"cancellation_reason", "expand[]", NULL};
    const char *reason = params_get(&call->form, "cancellation_reason");
    struct intent *intent = intent_of(call, store, id);
    struct intent_state state;
    unsigned expand;

    if (intent == NULL || !call_known(call, &call->form, known) ||
        !call_expand(call, &call->form, "", &expand)) {
        return;
    }
    if (reason != NULL && cancel_reason_find(reason) == NULL) {
        call_error(call, 400, TYPE_INVALID, NULL, "cancellation_reason",
                   "Invalid cancellation_reason: must be one of duplicate, fraudulent, "
                   "requested_by_customer, or abandoned");
        return;
    }
    state = intent->state;
    if (state.status == INTENT_SUCCEEDED || state.status == INTENT_CANCELED) {
        refuse_state(call, store, intent,
                     "You cannot cancel this PaymentIntent because it has a status of %s. Only a "
                     "PaymentIntent with one of the following statuses may be canceled: "
                     "requires_payment_method, requires_capture, requires_confirmation, "
                     "requires_action, processing.",
                     intent_status_name(state.status));
        return;
    }
    state.status = INTENT_CANCELED;
    state.canceled_at = store_now_ms(store) / 1000;
    state.cancel_reason = cancel_reason_find(reason);
    intent_apply(call, store, intent, &state, false, 200, expand);
}

void intents_retrieve(struct call *call, struct store *store, const char *id)
{
    static const char *const known[] = {"client_secret", "expand[]", NULL};
    struct intent *intent = intent_of(call, store, id);
    unsigned expand;

    if (intent == NULL || !call_known(call, &call->query, known) ||
        !call_expand(call, &call->query, "", &expand)) {
        return;
    }
    call->status = 200;
    render_intent(&call->reply, store, intent, &intent->state,
                  intent->state.charge != NULL ? intent->state.charge->refunded_minor : 0, expand);
    writer_raw(&call->reply, "\n");
}

void charges_retrieve(struct call *call, struct store *store, const char *id)
{
    static const char *const known[] = {"expand[]", NULL};
    struct charge *charge = store_charge(store, id);
    unsigned expand;

    if (charge == NULL) {
        call_missing(call, 404, "charge", "id", id);
        return;
    }
    if (!call_known(call, &call->query, known) || !call_expand(call, &call->query, "", &expand)) {
        return;
    }
    call->status = 200;
    render_charge(&call->reply, store, charge, charge->refunded_minor, expand);
    writer_raw(&call->reply, "\n");
}

static const void *intent_item(const void *ctx, size_t i)
{
    return ((const struct store *)ctx)->intent_list.items[i];
}

static int64_t intent_created(const void *item)
{
    return ((const struct intent *)item)->created;
}

static void intent_render(struct writer *w, const struct list *list, const void *item)
{
    const struct intent *intent = item;

    render_intent(w, list->ctx, intent, &intent->state,
                  intent->state.charge != NULL ? intent->state.charge->refunded_minor : 0,
                  list->expand);
}

static bool intent_position(const void *ctx, const char *id, size_t *position)
{
    struct intent *intent = store_intent(ctx, id);

    if (intent == NULL) {
        return false;
    }
    *position = intent->position;
    return true;
}

void intents_list(struct call *call, struct store *store)
{
    struct list list = {
        .url = "/v1/payment_intents",
        .what = "payment_intent",
        .known = {"customer"},
        .ctx = store,
        .count = store->intent_list.count,
        .item = intent_item,
        .created = intent_created,
        .render = intent_render,
        .position = intent_position,
    };
    const char *customer = params_get(&call->query, "customer");

    if (customer != NULL) {
        call_missing(call, 400, "customer", "customer", customer);
        return;
    }
    list_reply(call, &list);
}
