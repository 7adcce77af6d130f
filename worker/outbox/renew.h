/* New links that payers ask for, from the `renew` streams into PostgreSQL: the old link's successor
 * and the mail that brings it are made there. */
#ifndef PAYLINK_OUTBOX_RENEW_H
#define PAYLINK_OUTBOX_RENEW_H

#include "../core/token.h"
#include "keep.h"

/* `options` says who asks where; what is kept is said here. `keys` are borrowed. */
struct keep *renew_new(struct loop *loop, struct keep_options options,
                       const struct token_keys *keys);

#endif
