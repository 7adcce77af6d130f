/*
 * Fault switches, set at run time over /sandbox/faults, so that tests can make the gateway slow,
 * silent, broken or unwilling.
 *
 * POST (form or JSON), answers the new list:
 *   on        payment_intents | refunds | payment_methods | all        (default all)
 *   method    POST | GET | any: which requests                         (default POST)
 *   kind      delay         waits delay_ms, then does the work
 *             delay_after   does the work, waits delay_ms, then replies
 *             drop_before   closes the connection and does nothing
 *             drop_after    does the work, then closes the connection without a reply
 *             status        replies `status` and does nothing
 *             status_after  does the work, then replies `status`
 *             decline       declines (`code`: a decline code; for refunds: the refund fails)
 *   delay_ms  0 … 600000; with every kind but decline and status the wait before the drop or reply
 *   status    400 … 599                                                (default 500)
 *   code      for decline                                              (default generic_decline)
 *   count     how many requests it is for; 0: until it is removed      (default 0)
 *   match     only requests with a metadata value equal to this
 * GET answers the list, DELETE removes all.
 */
#ifndef PAYLINK_SANDBOX_FAULTS_H
#define PAYLINK_SANDBOX_FAULTS_H

#include "call.h"

#define FAULTS_MAX 32

enum fault_kind {
    FAULT_NONE,
    FAULT_DELAY,
    FAULT_DELAY_AFTER,
    FAULT_DROP_BEFORE,
    FAULT_DROP_AFTER,
    FAULT_STATUS,
    FAULT_STATUS_AFTER,
    FAULT_DECLINE
};

struct fault {
    enum fault_kind kind;
    char on[20], method[8], match[512];
    int64_t delay_ms, status, count, hits;
    const struct decline *decline;
};

struct faults {
    size_t count;
    struct fault item[FAULTS_MAX];
};

/* GET, POST, DELETE /sandbox/faults. */
void faults_handle(struct call *call, struct faults *faults);

/* The first switch that is for this request, counted as used; kind FAULT_NONE if there is none. */
struct fault faults_take(struct faults *faults, const struct call *call);

/* Replies `status` in Stripe's shape. */
void fault_reply(struct call *call, int64_t status);

#endif
