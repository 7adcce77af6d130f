/*
 * Rows in one Redis value: the table of invoices on a page.
 *
 * value = row*;  row = field_count[1] field*;  field = length[2, big endian] bytes
 * Every row of a value has the same field count, 1..RECORD_FIELDS_MAX; at most
 * RECORD_ROWS_MAX rows. Binary-safe.
 */
#ifndef PAYLINK_CORE_RECORD_H
#define PAYLINK_CORE_RECORD_H

#include <stddef.h>
#include <stdint.h>

#define RECORD_FIELDS_MAX      16
#define RECORD_FIELD_BYTES_MAX 65535
#define RECORD_ROWS_MAX        1000

struct record_field {
    const char *data;
    size_t len;
};

struct record_reader {
    const uint8_t *at, *end;
    unsigned rows, count; /* read so far; fields of each */
};

void record_reader_init(struct record_reader *r, const void *value, size_t len);
/* 1: fills fields[0..*count); 0: end; -1: damaged, from now on. Fields point into the value. */
int record_next(struct record_reader *r, struct record_field fields[RECORD_FIELDS_MAX],
                unsigned *count);

/* Bytes that the row needs, 0 if a field is too long or there are none or too many. */
size_t record_row_size(const struct record_field *fields, unsigned count);
/* Writes the row; `out` has room for record_row_size(), which must not be 0. Returns the bytes
 * written. */
size_t record_row_write(const struct record_field *fields, unsigned count, uint8_t *out);

#endif
