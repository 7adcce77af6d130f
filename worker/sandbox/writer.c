/* Owns the growing text buffer and JSON's quoting rules; knows nothing of what is written. */
#include "writer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"

#define WRITER_SIZE_MIN 1024

static char *writer_room(struct writer *w, size_t len)
{
    if (w->size - w->len < len + 1) {
        size_t size = w->size == 0 ? WRITER_SIZE_MIN : w->size * 2;

        while (size - w->len < len + 1) {
            size *= 2;
        }
        w->data = mem_realloc(w->data, size);
        w->size = size;
    }
    return w->data + w->len;
}

void writer_bytes(struct writer *w, const void *data, size_t len)
{
    char *at = writer_room(w, len);

    if (len > 0) {
        memcpy(at, data, len);
    }
    at[len] = '\0';
    w->len += len;
}

void writer_raw(struct writer *w, const char *text)
{
    writer_bytes(w, text, strlen(text));
}

void writer_printf(struct writer *w, const char *fmt, ...)
{
    va_list args, again;
    int len;

    va_start(args, fmt);
    va_copy(again, args);
    len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len >= 0) {
        vsnprintf(writer_room(w, (size_t)len), (size_t)len + 1, fmt, again);
        w->len += (size_t)len;
    }
    va_end(again);
}

void writer_int(struct writer *w, int64_t value)
{
    char digits[24];
    char *at = digits + sizeof(digits);
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0) {
        *--at = '-';
    }
    writer_bytes(w, at, (size_t)(digits + sizeof(digits) - at));
}

static void writer_escape(struct writer *w, unsigned char c)
{
    if (c == '"' || c == '\\') {
        char pair[2] = {'\\', (char)c};

        writer_bytes(w, pair, 2);
    } else if (c == '\n') {
        writer_bytes(w, "\\n", 2);
    } else {
        writer_printf(w, "\\u%04x", c);
    }
}

void writer_text(struct writer *w, const char *text)
{
    const char *start;

    if (text == NULL) {
        writer_bytes(w, "null", 4);
        return;
    }
    writer_bytes(w, "\"", 1);
    for (start = text; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < 0x20 || c == '"' || c == '\\' || c == 0x7f) {
            writer_bytes(w, start, (size_t)(text - start));
            writer_escape(w, c);
            start = text + 1;
        }
    }
    writer_bytes(w, start, (size_t)(text - start));
    writer_bytes(w, "\"", 1);
}

static void writer_name(struct writer *w, const char *name)
{
    writer_bytes(w, ",\"", 2);
    writer_raw(w, name);
    writer_bytes(w, "\":", 2);
}

void writer_put_text(struct writer *w, const char *name, const char *text)
{
    writer_name(w, name);
    writer_text(w, text);
}

void writer_put_int(struct writer *w, const char *name, int64_t value)
{
    writer_name(w, name);
    writer_int(w, value);
}

void writer_put_bool(struct writer *w, const char *name, bool value)
{
    writer_name(w, name);
    writer_raw(w, value ? "true" : "false");
}

char *writer_take(struct writer *w)
{
    char *data;

    writer_room(w, 0);
    data = w->data;
    data[w->len] = '\0';
    memset(w, 0, sizeof(*w));
    return data;
}

void writer_free(struct writer *w)
{
    free(w->data);
    memset(w, 0, sizeof(*w));
}
