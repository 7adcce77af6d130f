/*
 * Replies of a gateway, whatever they are: read without harm, and nothing that says less than
 * "captured" is taken for a capture.
 */
#include "fuzz.h"

#include "../../worker/base/log.h"
#include "../../worker/core/encoding.h"
#include "../../worker/gateway/stripe_reply.h"

static const int statuses[] = {200, 201, 302, 400, 401, 402, 403, 404, 409, 429, 500, 503};

static void check_result(enum stripe_call call, const struct gateway_result *r, int status)
{
    CHECK(gateway_outcome_name(r->outcome) != NULL);
    if (r->outcome == GATEWAY_SUCCEEDED) {
        /* A cancel that came too late learns of the capture from its refusal. */
        CHECK(status < 300 || (call == STRIPE_CANCEL && (status == 400 || status == 404)));
        CHECK(r->id != NULL && r->currency != NULL && strlen(r->currency) == 3);
    }
    CHECK(r->outcome != GATEWAY_DECLINED || r->reason != NULL);
    CHECK(r->outcome != GATEWAY_ABSENT || call == STRIPE_RETRIEVE || call == STRIPE_CANCEL);
    CHECK(r->outcome != GATEWAY_RETRY || call != STRIPE_RETRIEVE);
    CHECK(r->id == NULL || utf8_valid(r->id, strlen(r->id)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    enum stripe_call call = (enum stripe_call)(input_byte(&in) % 4);
    struct http_reply reply = {
        .outcome = (enum http_outcome)(input_byte(&in) % 8 > 1 ? 0 : input_byte(&in) % 3),
        .failure = "fuzz",
    };
    struct stripe_result result;
    char *body;

    log_init("fuzz_stripe_reply", LOG_LEVEL_ERROR + 1);
    reply.status = statuses[input_byte(&in) % (sizeof(statuses) / sizeof(statuses[0]))];
    body = exact_copy(in.at, in.left);
    reply.body = body;
    reply.body_len = in.left;
    stripe_result_read(call, &reply, &result);
    check_result(call, &result.result, reply.outcome == HTTP_REPLIED ? reply.status : 0);
    stripe_result_free(&result);
    free(body);
    return 0;
}
