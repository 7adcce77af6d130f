/* Time for the worker: milliseconds, wall clock and monotonic. */
#ifndef PAYLINK_BASE_CLOCK_H
#define PAYLINK_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

int64_t clock_wall_ms(void);      /* since the epoch; may jump */
int64_t clock_monotonic_ms(void); /* for intervals */

#define CLOCK_ISO_SIZE 25 /* "2026-01-31T10:00:00.000Z" and the NUL */
void clock_iso(int64_t wall_ms, char out[CLOCK_ISO_SIZE]);

#endif
