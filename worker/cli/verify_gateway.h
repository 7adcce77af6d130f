/* The books against the gateway's own list of captures and refunds, both ways. */
#ifndef PAYLINK_CLI_VERIFY_GATEWAY_H
#define PAYLINK_CLI_VERIFY_GATEWAY_H

#include "command.h"

struct verify_gateway_options {
    int64_t patience_ms; /* a difference counts once it has lasted so long: payments may be on their
                            way */
    bool ours_only; /* captures and refunds without Paylink's metadata are none of our business */
};

/* *out: [{check, ok, warning, detail}] as paylink.verify() gives. RESULT_RETRY when the gateway's
 * list could not be read to its end. */
enum result verify_gateway(struct call *call, const struct verify_gateway_options *options,
                           json_t **out, struct error *err) MUST_CHECK;

#endif
