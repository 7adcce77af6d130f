/* Owns the row codec of one Redis value; knows nothing of what the fields mean. */
#include "record.h"

#include <assert.h>
#include <string.h>

void record_reader_init(struct record_reader *r, const void *value, size_t len)
{
    r->at = value;
    r->end = len > 0 ? r->at + len : r->at;
    r->rows = 0;
    r->count = 0;
}

int record_next(struct record_reader *r, struct record_field fields[RECORD_FIELDS_MAX],
                unsigned *count)
{
    const uint8_t *at = r->at;
    unsigned n;

    if (at == r->end) {
        return 0;
    }
    n = *at++;
    if (n == 0 || n > RECORD_FIELDS_MAX || r->rows == RECORD_ROWS_MAX ||
        (r->rows > 0 && n != r->count)) {
        return -1;
    }
    for (unsigned i = 0; i < n; i++) {
        size_t len;

        if (r->end - at < 2) {
            return -1;
        }
        len = (size_t)at[0] << 8 | at[1];
        at += 2;
        if ((size_t)(r->end - at) < len) {
            return -1;
        }
        fields[i].data = (const char *)at;
        fields[i].len = len;
        at += len;
    }
    r->at = at;
    r->rows++;
    r->count = n;
    *count = n;
    return 1;
}

size_t record_row_size(const struct record_field *fields, unsigned count)
{
    size_t size = 1;

    if (count == 0 || count > RECORD_FIELDS_MAX) {
        return 0;
    }
    for (unsigned i = 0; i < count; i++) {
        if (fields[i].len > RECORD_FIELD_BYTES_MAX) {
            return 0;
        }
        size += 2 + fields[i].len;
    }
    return size;
}

size_t record_row_write(const struct record_field *fields, unsigned count, uint8_t *out)
{
    uint8_t *at = out;

    assert(record_row_size(fields, count) > 0);
    *at++ = (uint8_t)count;
    for (unsigned i = 0; i < count; i++) {
        *at++ = (uint8_t)(fields[i].len >> 8);
        *at++ = (uint8_t)fields[i].len;
        if (fields[i].len > 0) {
            memcpy(at, fields[i].data, fields[i].len);
        }
        at += fields[i].len;
    }
    return (size_t)(at - out);
}
