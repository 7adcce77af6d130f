/*
 * Allocation that cannot fail: a process that is out of memory ends (systemd
 * restarts it, and every step it was in is safe to repeat).
 */
#ifndef PAYLINK_BASE_MEM_H
#define PAYLINK_BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size); /* zeroed; the caller frees with free() */
void *mem_realloc(void *old, size_t size);
char *mem_strdup(const char *s); /* NULL stays NULL */
char *mem_strndup(const char *s, size_t len);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
