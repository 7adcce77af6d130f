/*
 * Lines of the charge log: a change as JSON, and back.
 *
 * {"seq":7,"at_ms":…,"type":T,"request":"req_…", …
 * ,"reply":{"key":…,"path":…,"digest":…,"status":…,"expand":…}} T  charge     money was captured:
 * payment_intent, charge, amount, currency, metadata, method, … intent     any other change of an
 * intent: payment_intent, status, amount, currency, metadata, and after a failed confirmation
 * `failure` (with `charge` if the card network was asked) refund     a new refund: refund,
 * payment_intent, charge, status, amount, currency, metadata refund_update  its later result: the
 * same method     a payment method: method, card (its published token), exp_month, exp_year reply
 * a refusal saved under an idempotency key: body webhook    an event was delivered: event (its
 * number) store      the first line: account A capture is exactly one line of type charge. No card
 * number and no code is in any line.
 */
#ifndef PAYLINK_SANDBOX_LINE_H
#define PAYLINK_SANDBOX_LINE_H

#include "store.h"
#include "writer.h"

void line_write_store(struct writer *w, const struct store *store);
void line_write_change(struct writer *w, const struct change *change,
                       const struct saved_reply *reply);
void line_write_reply(struct writer *w, int64_t seq, const struct saved_reply *reply);
void line_write_delivered(struct writer *w, int64_t seq, int64_t at_ms, size_t event);

/* Applies a line to the store. */
enum result line_read(struct store *store, const char *line, size_t len,
                      struct error *err) MUST_CHECK;

#endif
