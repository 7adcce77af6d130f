/* Owns allocation for the worker; the core, which nginx loads too, must not use it. */
#include "mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

static void *checked(void *memory, size_t size)
{
    if (memory == NULL) {
        fatal("out of memory: %zu bytes were refused", size);
    }
    return memory;
}

void *mem_alloc(size_t size)
{
    return checked(calloc(1, size > 0 ? size : 1), size);
}

void *mem_realloc(void *old, size_t size)
{
    return checked(realloc(old, size > 0 ? size : 1), size);
}

char *mem_strdup(const char *s)
{
    return s != NULL ? mem_strndup(s, strlen(s)) : NULL;
}

char *mem_strndup(const char *s, size_t len)
{
    char *copy;

    if (s == NULL) {
        return NULL;
    }
    len = strnlen(s, len);
    copy = mem_alloc(len + 1);
    memcpy(copy, s, len);
    return copy;
}

char *mem_printf(const char *fmt, ...)
{
    va_list ap;
    char *text;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0) {
        fatal("out of memory while formatting \"%s\"", fmt);
    }
    return text;
}
