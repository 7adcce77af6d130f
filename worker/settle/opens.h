/* Openings, from the `open` streams into PostgreSQL: the earliest time wins. */
#ifndef PAYLINK_SETTLE_OPENS_H
#define PAYLINK_SETTLE_OPENS_H

#include "../outbox/keep.h"

/* `options` says who asks where; what is kept is said here. */
struct keep *opens_new(struct loop *loop, struct keep_options options);

#endif
