/* Aligned text tables. Must not know where the cells come from. */
#include "table.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"

struct table {
    size_t columns, rows;
    const char *titles[TABLE_COLUMNS_MAX];
    bool right[TABLE_COLUMNS_MAX];
    size_t width[TABLE_COLUMNS_MAX];
    char **cells; /* rows * columns */
};

struct range {
    uint32_t first, last;
};

/* Characters that take no column of their own, and those that take two (Unicode 15, coarse). */
static const struct range ranges_zero[] = {
    {0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd}, {0x0610, 0x061a}, {0x064b, 0x065f},
    {0x200b, 0x200f}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xe0100, 0xe01ef},
};
static const struct range ranges_wide[] = {
    {0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},   {0xac00, 0xd7a3},
    {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},
    {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1faff}, {0x20000, 0x3fffd},
};

static bool in_ranges(uint32_t c, const struct range *ranges, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (c >= ranges[i].first && c <= ranges[i].last) {
            return true;
        }
    }
    return false;
}

/* Decodes valid UTF-8; a stray byte counts as one character. */
static size_t decode(const char *text, uint32_t *c)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc0 ? 2 : 1;

    *c = n == 1 ? s[0] : s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return i;
        }
        *c = *c << 6 | (s[i] & 0x3fu);
    }
    return n;
}

size_t table_width(const char *text)
{
    size_t width = 0;

    while (*text != '\0') {
        uint32_t c;
        text += decode(text, &c);
        if (in_ranges(c, ranges_wide, sizeof(ranges_wide) / sizeof(*ranges_wide))) {
            width += 2;
        } else if (!in_ranges(c, ranges_zero, sizeof(ranges_zero) / sizeof(*ranges_zero))) {
            width += 1;
        }
    }
    return width;
}

struct table *table_new(size_t columns, const char *const *titles, const bool *right)
{
    assert(columns > 0 && columns <= TABLE_COLUMNS_MAX);
    struct table *table = mem_alloc(sizeof(*table));

    table->columns = columns;
    for (size_t i = 0; i < columns; i++) {
        table->titles[i] = titles[i];
        table->right[i] = right[i];
        table->width[i] = table_width(titles[i]);
    }
    return table;
}

void table_free(struct table *table)
{
    if (table == NULL) {
        return;
    }
    for (size_t i = 0; i < table->rows * table->columns; i++) {
        free(table->cells[i]);
    }
    free(table->cells);
    free(table);
}

void table_add(struct table *table, const char *const *cells)
{
    size_t used = table->rows * table->columns;

    if ((table->rows & (table->rows - 1)) == 0) { /* room doubles at every power of two */
        size_t room = table->rows == 0 ? 1 : table->rows * 2;
        table->cells = mem_realloc(table->cells, room * table->columns * sizeof(*table->cells));
    }
    for (size_t i = 0; i < table->columns; i++) {
        char *cell = mem_strdup(cells[i] == NULL ? "–" : cells[i]);
        for (char *c = cell; *c != '\0'; c++) {
            if ((unsigned char)*c < 0x20 || *c == 0x7f) {
                *c = '?';
            }
        }
        size_t width = table_width(cell);
        table->width[i] = width > table->width[i] ? width : table->width[i];
        table->cells[used + i] = cell;
    }
    table->rows++;
}

size_t table_rows(const struct table *table)
{
    return table->rows;
}

static void print_cell(const struct table *table, size_t column, const char *text, FILE *out)
{
    size_t width = table_width(text);
    size_t pad = table->width[column] - width;
    bool last = column + 1 == table->columns;

    if (table->right[column]) {
        fprintf(out, "%*s%s", (int)pad, "", text);
    } else {
        fprintf(out, "%s%*s", text, last ? 0 : (int)pad, "");
    }
    fputs(last ? "\n" : "  ", out);
}

void table_print(const struct table *table, FILE *out)
{
    for (size_t i = 0; i < table->columns; i++) {
        print_cell(table, i, table->titles[i], out);
    }
    for (size_t i = 0; i < table->columns; i++) {
        for (size_t n = 0; n < table->width[i]; n++) {
            fputs("─", out);
        }
        fputs(i + 1 == table->columns ? "\n" : "  ", out);
    }
    for (size_t row = 0; row < table->rows; row++) {
        for (size_t i = 0; i < table->columns; i++) {
            print_cell(table, i, table->cells[row * table->columns + i], out);
        }
    }
}
