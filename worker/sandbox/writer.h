/*
 * A growing buffer of text, and JSON written into it piece by piece: for replies and log lines
 * whose shape is known, several times faster than building a tree first.
 */
#ifndef PAYLINK_SANDBOX_WRITER_H
#define PAYLINK_SANDBOX_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct writer {
    char *data; /* always NUL-terminated once something was written; free() it, or writer_take() */
    size_t len, size;
};

void writer_bytes(struct writer *w, const void *data, size_t len);
void writer_raw(struct writer *w, const char *text);
void writer_printf(struct writer *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void writer_int(struct writer *w, int64_t value);
/* A JSON string with its quotes; `text` must be UTF-8. NULL becomes null. */
void writer_text(struct writer *w, const char *text);
/* `,"name":` followed by the value; the object must not be empty before. */
void writer_put_text(struct writer *w, const char *name, const char *text);
void writer_put_int(struct writer *w, const char *name, int64_t value);
void writer_put_bool(struct writer *w, const char *name, bool value);

/* The buffer becomes the caller's (free()); the writer is empty again. Never NULL. */
char *writer_take(struct writer *w);
void writer_free(struct writer *w);

#endif
