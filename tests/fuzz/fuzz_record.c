/*
 * Rows in one value: rows that are read, written again, are the same bytes;
 * rows made of any fields read back as they were.
 */
#include "fuzz.h"

#include "../../worker/core/record.h"

static void any_value(const uint8_t *data, size_t size)
{
    struct record_field fields[RECORD_FIELDS_MAX];
    struct record_reader reader;
    uint8_t *out = (uint8_t *)exact_copy(data, size);
    unsigned count = 0, first = 0, rows = 0;
    size_t len = 0;
    int rc;

    record_reader_init(&reader, data, size);
    while ((rc = record_next(&reader, fields, &count)) == 1) {
        size_t row = record_row_size(fields, count);

        first = rows == 0 ? count : first;
        rows++;
        CHECK(count == first && count >= 1 && count <= RECORD_FIELDS_MAX);
        CHECK(row > 0 && row <= size - len);
        CHECK(record_row_write(fields, count, out + len) == row);
        CHECK(memcmp(out + len, data + len, row) == 0);
        len += row;
    }
    CHECK(rows <= RECORD_ROWS_MAX);
    CHECK(rc == -1 ? len < size : rc == 0 && len == size);
    CHECK(record_next(&reader, fields, &count) == rc);
    free(out);
}

#define ROWS_MADE 8

static void any_rows(struct input *in)
{
    struct record_field made[ROWS_MADE][RECORD_FIELDS_MAX], read[RECORD_FIELDS_MAX];
    unsigned count = input_byte(in) % RECORD_FIELDS_MAX + 1, rows = input_byte(in) % ROWS_MADE;
    struct record_reader reader;
    unsigned read_count;
    uint8_t *value;
    size_t size = 0, len = 0;

    for (unsigned r = 0; r < rows; r++) {
        for (unsigned f = 0; f < count; f++) {
            made[r][f].len = input_slice(in, &made[r][f].data, 255);
        }
        size += record_row_size(made[r], count);
    }
    value = malloc(size > 0 ? size : 1);
    CHECK(value != NULL);
    for (unsigned r = 0; r < rows; r++) {
        len += record_row_write(made[r], count, value + len);
    }
    CHECK(len == size);
    record_reader_init(&reader, value, size);
    for (unsigned r = 0; r < rows; r++) {
        CHECK(record_next(&reader, read, &read_count) == 1);
        CHECK(read_count == count);
        for (unsigned f = 0; f < count; f++) {
            CHECK(read[f].len == made[r][f].len);
            CHECK(memcmp(read[f].data, made[r][f].data, read[f].len) == 0);
        }
    }
    CHECK(record_next(&reader, read, &read_count) == 0);
    free(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    uint8_t *value;

    if (input_byte(&in) % 2 == 0) {
        any_rows(&in);
        return 0;
    }
    value = (uint8_t *)exact_copy(in.at, in.left);
    any_value(value, in.left);
    free(value);
    return 0;
}
