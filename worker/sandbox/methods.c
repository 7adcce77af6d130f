/* Owns making payment methods from what a card form gives; knows nothing of intents or pages. */
#include "methods.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../base/mem.h"
#include "render.h"

#define CARD_DIGITS_MIN 12
#define CARD_DIGITS_MAX 19

/* Strips spaces and dashes. False unless 12 to 19 digits remain. */
static bool card_digits(const char *text, char out[CARD_DIGITS_MAX + 1])
{
    size_t n = 0;

    for (; *text != '\0'; text++) {
        if (*text >= '0' && *text <= '9') {
            if (n == CARD_DIGITS_MAX) {
                return false;
            }
            out[n++] = *text;
        } else if (*text != ' ' && *text != '-') {
            return false;
        }
    }
    out[n] = '\0';
    return n >= CARD_DIGITS_MIN;
}

static bool luhn_valid(const char *digits)
{
    size_t len = strlen(digits);
    int sum = 0;

    for (size_t i = 0; i < len; i++) {
        int d = digits[len - 1 - i] - '0';

        if (i % 2 == 1) {
            d = d * 2 > 9 ? d * 2 - 9 : d * 2;
        }
        sum += d;
    }
    return sum % 10 == 0;
}

static bool expiry_valid(const struct card_entry *entry, int64_t now_ms, int *month, int *year,
                         struct card_problem *problem)
{
    time_t now = (time_t)(now_ms / 1000);
    int64_t m, y;
    struct tm tm;

    gmtime_r(&now, &tm);
    if (entry->exp_month == NULL || !params_int(entry->exp_month, &m) || m < 1 || m > 12) {
        *problem = (struct card_problem){"invalid_expiry_month", "exp_month", NULL,
                                         "Your card's expiration month is invalid."};
        return false;
    }
    y = entry->exp_year != NULL && params_int(entry->exp_year, &y) ? y : -1;
    y = y >= 0 && y < 100 ? y + 2000 : y;
    if (y < tm.tm_year + 1900 || y > tm.tm_year + 1900 + 50) {
        *problem = (struct card_problem){"invalid_expiry_year", "exp_year", NULL,
                                         "Your card's expiration year is invalid."};
        return false;
    }
    if (y == tm.tm_year + 1900 && m < tm.tm_mon + 1) {
        *problem = (struct card_problem){"invalid_expiry_month", "exp_month", NULL,
                                         "Your card's expiration month is invalid."};
        return false;
    }
    *month = (int)m;
    *year = (int)y;
    return true;
}

static bool cvc_valid(const char *cvc)
{
    size_t len = strspn(cvc, "0123456789");

    return cvc[len] == '\0' && (len == 3 || len == 4);
}

static const struct card *card_of(const struct card_entry *entry, struct card_problem *problem)
{
    char digits[CARD_DIGITS_MAX + 1] = "";
    const struct card *card = NULL;

    if (entry->number == NULL || !card_digits(entry->number, digits)) {
        *problem = (struct card_problem){"invalid_number", "number", NULL,
                                         "The card number is not a valid credit card number."};
    } else if (!luhn_valid(digits)) {
        *problem = (struct card_problem){"incorrect_number", "number", NULL,
                                         "Your card number is incorrect."};
    } else if ((card = card_by_number(digits)) == NULL) {
        *problem = (struct card_problem){
            "card_declined", "number", "test_mode_live_card",
            "Your card was declined. Your request was in test mode, but used a non test card. For "
            "a "
            "list of valid test cards, visit: https://stripe.com/docs/testing."};
    }
    explicit_bzero(digits, sizeof(digits));
    return card;
}

struct method *method_from_card(const struct card_entry *entry, int64_t now_ms,
                                struct card_problem *problem)
{
    const struct card *card = card_of(entry, problem);
    struct method *method;
    int month, year;

    if (card == NULL || !expiry_valid(entry, now_ms, &month, &year, problem)) {
        return NULL;
    }
    if (entry->cvc != NULL && entry->cvc[0] != '\0' && !cvc_valid(entry->cvc)) {
        *problem = (struct card_problem){"invalid_cvc", "cvc", NULL,
                                         "Your card's security code is invalid."};
        return NULL;
    }
    method = mem_alloc(sizeof(*method));
    memcpy(method->id, "pm_", 3);
    store_random(method->id + 3, ID_CORE_LEN);
    memcpy(method->id + 3 + ID_CORE_LEN, "00", 3);
    method->card = card;
    method->exp_month = month;
    method->exp_year = year;
    method->cvc_given = entry->cvc != NULL && entry->cvc[0] != '\0';
    method->name = entry->name != NULL && entry->name[0] != '\0' ? mem_strdup(entry->name) : NULL;
    return method;
}

const struct change *method_save(struct store *store, struct method *method_take,
                                 const char *request, struct saved_reply *reply_take)
{
    struct change change = {.kind = CHANGE_METHOD, .created = true, .method = method_take};

    memcpy(change.request, request, sizeof(change.request));
    return store_apply(store, &change, reply_take);
}

static void reply_problem(struct call *call, const struct card_problem *problem)
{
    struct writer *w = &call->reply;

    call->status = 402;
    writer_raw(w, "{\"error\":{\"type\":\"card_error\"");
    writer_put_text(w, "code", problem->code);
    if (problem->decline_code != NULL) {
        writer_put_text(w, "decline_code", problem->decline_code);
    }
    writer_raw(w, ",\"doc_url\":\"https://stripe.com/docs/error-codes\"");
    writer_put_text(w, "message", problem->message);
    writer_put_text(w, "param", problem->param);
    writer_raw(w, "}}\n");
}

void methods_create(struct call *call, struct store *store)
{
    static const char *const known[] = {"type",
                                        "card[number]",
                                        "card[exp_month]",
                                        "card[exp_year]",
                                        "card[cvc]",
                                        "billing_details[name]",
                                        "billing_details[email]",
                                        "billing_details[phone]",
                                        "billing_details[address][city]",
                                        "billing_details[address][country]",
                                        "billing_details[address][line1]",
                                        "billing_details[address][line2]",
                                        "billing_details[address][postal_code]",
                                        "billing_details[address][state]",
                                        "metadata[*]",
                                        "allow_redisplay",
                                        "expand[]",
                                        NULL};
    const struct params *form = &call->form;
    const char *type = params_get(form, "type");
    struct card_entry entry = {
        .number = params_get(form, "card[number]"),
        .exp_month = params_get(form, "card[exp_month]"),
        .exp_year = params_get(form, "card[exp_year]"),
        .cvc = params_get(form, "card[cvc]"),
        .name = params_get(form, "billing_details[name]"),
    };
    struct card_problem problem;
    struct method *method;

    if (!call_known(call, form, known)) {
        return;
    }
    if (type == NULL || strcmp(type, "card") != 0) {
        call_error(call, 400, TYPE_INVALID, type == NULL ? "parameter_missing" : NULL, "type",
                   type == NULL ? "Missing required param: type." : "Invalid type: must be card.");
        return;
    }
    if (entry.number == NULL) {
        call_error(call, 400, TYPE_INVALID, "parameter_missing", "card[number]",
                   "Missing required param: card[number].");
        return;
    }
    method = method_from_card(&entry, store_now_ms(store), &problem);
    if (method == NULL) {
        reply_problem(call, &problem);
        return;
    }
    render_change_reply(call, store,
                        method_save(store, method, call->request, call_save_take(call, 200, 0)),
                        200, 0);
}

void methods_retrieve(struct call *call, struct store *store, const char *id)
{
    static const char *const known[] = {"expand[]", NULL};
    const struct intent *owner;
    const struct method *method;
    int number = 0;

    if (!call_known(call, &call->query, known)) {
        return;
    }
    method = store_method(store, id, &owner, &number);
    if (method == NULL) {
        call_missing(call, 404, "PaymentMethod", "payment_method", id);
        return;
    }
    call->status = 200;
    render_method(&call->reply, owner, method, number);
    writer_raw(&call->reply, "\n");
}
