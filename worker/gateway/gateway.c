/* Owns the names of outcomes; knows no gateway. */
#include "gateway.h"

const char *gateway_outcome_name(enum gateway_outcome outcome)
{
    static const char *const names[] = {
        [GATEWAY_SUCCEEDED] = "succeeded",   [GATEWAY_ACTION_REQUIRED] = "action_required",
        [GATEWAY_PROCESSING] = "processing", [GATEWAY_DECLINED] = "declined",
        [GATEWAY_CANCELED] = "canceled",     [GATEWAY_RETRY] = "retry",
        [GATEWAY_UNKNOWN] = "unknown",       [GATEWAY_ABSENT] = "absent",
    };

    return names[outcome];
}
