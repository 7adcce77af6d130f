/* Owns filling an error; knows nothing of who shows it. */
#include "result.h"

#include <stdarg.h>
#include <stdio.h>

enum result error_set(struct error *err, enum result r, const char *code, const char *fmt, ...)
{
    va_list ap;

    if (err != NULL) {
        snprintf(err->code, sizeof(err->code), "%s", code);
        va_start(ap, fmt);
        vsnprintf(err->text, sizeof(err->text), fmt, ap);
        va_end(ap);
    }
    return r;
}
