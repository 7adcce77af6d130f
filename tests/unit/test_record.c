/* Rows in one value: what is written reads back; a damaged value is noticed and stays damaged. */
#include "support.h"

#include "../../worker/core/record.h"

#define FIELD(text)                                                                                \
    {                                                                                              \
        (text), sizeof(text) - 1                                                                   \
    }

static int first_row(const void *value, size_t len, unsigned *count)
{
    struct record_field fields[RECORD_FIELDS_MAX];
    struct record_reader reader;

    record_reader_init(&reader, value, len);
    return record_next(&reader, fields, count);
}

static void rows_have_the_documented_bytes(void **state)
{
    static const struct record_field row[] = {FIELD("INV-1"), {NULL, 0}, FIELD("a\0b")};
    static const char expected[] = "\x03\x00\x05INV-1\x00\x00\x00\x03"
                                   "a\0b";
    uint8_t out[sizeof(expected) - 1];

    (void)state;
    assert_int_equal(record_row_size(row, 3), sizeof(out));
    assert_int_equal(record_row_write(row, 3, out), sizeof(out));
    assert_memory_equal(out, expected, sizeof(out));
}

static void rows_read_back(void **state)
{
    static const char value[] = "\x02\x00\x01"
                                "a\x00\x00\x02\x00\x02"
                                "bc\x00\x01"
                                "d";
    struct record_field fields[RECORD_FIELDS_MAX];
    struct record_reader reader;
    unsigned count = 0;

    (void)state;
    record_reader_init(&reader, value, sizeof(value) - 1);
    assert_int_equal(record_next(&reader, fields, &count), 1);
    assert_int_equal(count, 2);
    assert_int_equal(fields[0].len, 1);
    assert_memory_equal(fields[0].data, "a", 1);
    assert_int_equal(fields[1].len, 0);
    assert_int_equal(record_next(&reader, fields, &count), 1);
    assert_int_equal(fields[0].len, 2);
    assert_memory_equal(fields[0].data, "bc", 2);
    assert_ptr_equal(fields[1].data, value + sizeof(value) - 2);
    assert_int_equal(record_next(&reader, fields, &count), 0);
    assert_int_equal(record_next(&reader, fields, &count), 0);
}

static void an_empty_value_has_no_rows(void **state)
{
    unsigned count = 7;

    (void)state;
    assert_int_equal(first_row("", 0, &count), 0);
    assert_int_equal(first_row(NULL, 0, &count), 0);
    assert_int_equal(count, 7);
}

static void the_longest_row_fits(void **state)
{
    static char data[RECORD_FIELD_BYTES_MAX + 1];
    struct record_field row[RECORD_FIELDS_MAX + 1], fields[RECORD_FIELDS_MAX];
    struct record_reader reader;
    unsigned count;
    uint8_t *out;
    size_t size;

    (void)state;
    memset(data, 'x', sizeof(data));
    for (unsigned i = 0; i <= RECORD_FIELDS_MAX; i++) {
        row[i].data = data;
        row[i].len = RECORD_FIELD_BYTES_MAX;
    }
    size = record_row_size(row, RECORD_FIELDS_MAX);
    assert_int_equal(size, 1 + RECORD_FIELDS_MAX * (2 + RECORD_FIELD_BYTES_MAX));
    out = malloc(size);
    assert_non_null(out);
    assert_int_equal(record_row_write(row, RECORD_FIELDS_MAX, out), size);
    record_reader_init(&reader, out, size);
    assert_int_equal(record_next(&reader, fields, &count), 1);
    assert_int_equal(count, RECORD_FIELDS_MAX);
    assert_int_equal(fields[RECORD_FIELDS_MAX - 1].len, RECORD_FIELD_BYTES_MAX);
    free(out);

    assert_int_equal(record_row_size(row, RECORD_FIELDS_MAX + 1), 0);
    assert_int_equal(record_row_size(row, 0), 0);
    row[3].len = RECORD_FIELD_BYTES_MAX + 1;
    assert_int_equal(record_row_size(row, RECORD_FIELDS_MAX), 0);
}

static void every_cut_of_a_row_is_damage(void **state)
{
    static const char value[] = "\x02\x00\x01"
                                "a\x00\x02"
                                "bc";

    (void)state;
    for (size_t len = 1; len < sizeof(value) - 1; len++) {
        unsigned count = 7;
        char *cut = malloc(len); /* exact, so that the sanitizer sees a read beyond */

        assert_non_null(cut);
        memcpy(cut, value, len);
        assert_int_equal(first_row(cut, len, &count), -1);
        assert_int_equal(count, 7);
        free(cut);
    }
}

static void impossible_field_counts_are_damage(void **state)
{
    char value[1 + 2 * (RECORD_FIELDS_MAX + 1)] = {0};
    unsigned count;

    (void)state;
    value[0] = RECORD_FIELDS_MAX;
    assert_int_equal(first_row(value, 1 + 2 * RECORD_FIELDS_MAX, &count), 1);
    value[0] = RECORD_FIELDS_MAX + 1;
    assert_int_equal(first_row(value, sizeof(value), &count), -1);
    value[0] = 0;
    assert_int_equal(first_row(value, sizeof(value), &count), -1);
}

static void a_row_of_another_width_is_damage_for_good(void **state)
{
    static const char value[] = "\x01\x00\x00\x02\x00\x00\x00\x00\x01\x00\x00";
    struct record_field fields[RECORD_FIELDS_MAX];
    struct record_reader reader;
    unsigned count;

    (void)state;
    record_reader_init(&reader, value, sizeof(value) - 1);
    assert_int_equal(record_next(&reader, fields, &count), 1);
    assert_int_equal(record_next(&reader, fields, &count), -1);
    assert_int_equal(record_next(&reader, fields, &count), -1);
}

static void more_rows_than_the_limit_are_damage(void **state)
{
    static char value[3 * (RECORD_ROWS_MAX + 1)];
    struct record_field fields[RECORD_FIELDS_MAX];
    struct record_reader reader;
    unsigned count;

    (void)state;
    for (size_t i = 0; i < sizeof(value); i += 3) {
        value[i] = 1;
    }
    record_reader_init(&reader, value, sizeof(value) - 3);
    for (unsigned i = 0; i < RECORD_ROWS_MAX; i++) {
        assert_int_equal(record_next(&reader, fields, &count), 1);
    }
    assert_int_equal(record_next(&reader, fields, &count), 0);
    record_reader_init(&reader, value, sizeof(value));
    for (unsigned i = 0; i < RECORD_ROWS_MAX; i++) {
        assert_int_equal(record_next(&reader, fields, &count), 1);
    }
    assert_int_equal(record_next(&reader, fields, &count), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_have_the_documented_bytes),
        cmocka_unit_test(rows_read_back),
        cmocka_unit_test(an_empty_value_has_no_rows),
        cmocka_unit_test(the_longest_row_fits),
        cmocka_unit_test(every_cut_of_a_row_is_damage),
        cmocka_unit_test(impossible_field_counts_are_damage),
        cmocka_unit_test(a_row_of_another_width_is_damage_for_good),
        cmocka_unit_test(more_rows_than_the_limit_are_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
