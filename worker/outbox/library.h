/* The function library of Redis (config/redis/paylink.lua): loaded by the worker, whole and
 * replacing. */
#ifndef PAYLINK_OUTBOX_LIBRARY_H
#define PAYLINK_OUTBOX_LIBRARY_H

#include "../base/result.h"
#include "../io/redis.h"

struct library;

/* Reads the file; *out is freed with library_free(). */
enum result library_read(const char *path, struct library **out, struct error *err) MUST_CHECK;
void library_free(struct library *library);

/* FUNCTION LOAD REPLACE, on every new connection and when a function turns out to be missing. */
void library_load(struct library *library, struct redis *redis);

#endif
