/* What the gateway says of an attempt, as attempt_settle() takes it. */
#include <string.h>

#include "settle.h"

/* NULL: no outcome that could be booked. */
static const char *outcome_word(const struct gateway_result *result)
{
    switch (result->outcome) {
    case GATEWAY_SUCCEEDED:
        return "captured";
    case GATEWAY_DECLINED:
    case GATEWAY_CANCELED:
        return "declined";
    case GATEWAY_ACTION_REQUIRED:
        return "action_required";
    case GATEWAY_UNKNOWN:
    case GATEWAY_PROCESSING:
        return "unknown";
    case GATEWAY_ABSENT:
        return "absent";
    case GATEWAY_RETRY:
        return NULL;
    }
    return NULL;
}

json_t *settle_fact(const char *attempt, const struct gateway_result *result)
{
    const char *word = outcome_word(result);
    json_t *fact;

    if (word == NULL)
        return NULL;
    fact = json_object();
    json_put_text(fact, "attempt", attempt);
    json_put_text(fact, "outcome", word);
    if (result->id != NULL)
        json_put_text(fact, "gateway_ref", result->id);
    if (result->charge_id != NULL)
        json_put_text(fact, "charge_ref", result->charge_id);
    if (result->outcome == GATEWAY_SUCCEEDED) {
        json_put_int(fact, "amount_minor", result->amount_minor);
        json_put_text(fact, "currency", result->currency);
    }
    if (result->reason != NULL)
        json_put_text(fact, "reason", result->reason);
    else if (result->outcome == GATEWAY_CANCELED)
        json_put_text(fact, "reason", "canceled");
    if (result->action_url != NULL)
        json_put_text(fact, "action_url", result->action_url);
    if (result->card_brand != NULL)
        json_put_text(fact, "card_brand", result->card_brand);
    if (result->card_last4 != NULL)
        json_put_text(fact, "card_last4", result->card_last4);
    return fact;
}
