/* JSON answers for people. Must not know commands. */
#include "view.h"

#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/mem.h"
#include "../core/money.h"
#include "table.h"

#define TIME_TEXT_SIZE 32

static char *money_text(const json_t *object, int64_t amount_minor, const char *currency_of_parent)
{
    const char *currency = json_get_text(object, "currency");
    char plain[64];

    currency = currency == NULL ? currency_of_parent : currency;
    if (currency == NULL || money_format_plain(amount_minor, currency, plain, sizeof(plain)) < 0) {
        return mem_printf("%lld (minor units)", (long long)amount_minor);
    }
    return mem_printf("%s %s", plain, currency);
}

/* "2026-01-31T10:00:00.123+00:00" -> "2026-01-31 10:00:00 UTC"; another offset is left as it is. */
static char *time_text(const json_t *value)
{
    char text[TIME_TEXT_SIZE];

    if (json_is_integer(value)) {
        clock_iso((int64_t)json_integer_value(value), text);
    } else {
        const char *given = json_string_value(value);
        size_t len = strlen(given);
        bool utc = len > 19 &&
                   (given[len - 1] == 'Z' || (len > 25 && strcmp(given + len - 6, "+00:00") == 0) ||
                    (len == 25 && strcmp(given + 19, "+00:00") == 0));
        if (!utc || given[10] != 'T') {
            return mem_strdup(given);
        }
        memcpy(text, given, 19);
    }
    text[10] = ' ';
    return mem_printf("%.19s UTC", text);
}

static char *list_text(const json_t *array)
{
    char *joined = mem_strdup("");
    size_t i;
    json_t *item;

    json_array_foreach (array, i, item) {
        char *word = json_is_string(item) ? mem_strdup(json_string_value(item)) : json_text(item);
        char *longer = mem_printf("%s%s%s", joined, i == 0 ? "" : ", ", word);
        free(word);
        free(joined);
        joined = longer;
    }
    return joined;
}

/* NULL when there is nothing to show. The caller frees. */
static char *field_text(const json_t *object, const struct view_field *field, const char *currency)
{
    const json_t *value = json_object_get(object, field->key);

    if (value == NULL || json_is_null(value)) {
        return NULL;
    }
    if (field->kind == VIEW_MONEY && json_is_integer(value)) {
        return money_text(object, (int64_t)json_integer_value(value), currency);
    }
    if (field->kind == VIEW_TIME && (json_is_string(value) || json_is_integer(value))) {
        return time_text(value);
    }
    if (field->kind == VIEW_YES && json_is_boolean(value)) {
        return mem_strdup(json_is_true(value) ? "yes" : "no");
    }
    if (json_is_array(value)) {
        return json_array_size(value) == 0 ? NULL : list_text(value);
    }
    if (!json_is_string(value)) {
        return json_text(value);
    }
    return *json_string_value(value) == '\0' ? NULL : mem_strdup(json_string_value(value));
}

static void print_table(const json_t *array, const struct view_field *columns, const char *currency,
                        FILE *out)
{
    const char *titles[TABLE_COLUMNS_MAX];
    bool right[TABLE_COLUMNS_MAX];
    size_t n = 0, i;
    json_t *row;

    for (; n < TABLE_COLUMNS_MAX && columns[n].title != NULL; n++) {
        titles[n] = columns[n].title;
        right[n] = columns[n].kind == VIEW_MONEY || columns[n].kind == VIEW_NUMBER;
    }
    struct table *table = table_new(n, titles, right);
    json_array_foreach (array, i, row) {
        char *cells[TABLE_COLUMNS_MAX];
        for (size_t c = 0; c < n; c++) {
            cells[c] = field_text(row, &columns[c], currency);
        }
        table_add(table, (const char *const *)cells);
        for (size_t c = 0; c < n; c++) {
            free(cells[c]);
        }
    }
    table_print(table, out);
    table_free(table);
}

void view_print_object(const json_t *object, const struct view *view, FILE *out)
{
    size_t width = 0;

    for (const struct view_field *f = view->object; f->title != NULL; f++) {
        size_t w = f->kind == VIEW_TABLE ? 0 : table_width(f->title);
        width = w > width ? w : width;
    }
    for (const struct view_field *f = view->object; f->title != NULL; f++) {
        if (f->kind == VIEW_TABLE) {
            continue;
        }
        char *text = field_text(object, f, NULL);
        if (text != NULL || !f->optional) {
            fprintf(out, "%s%*s  %s\n", f->title, (int)(width - table_width(f->title)), "",
                    text == NULL ? "–" : text);
        }
        free(text);
    }
    for (const struct view_field *f = view->object; f->title != NULL; f++) {
        const json_t *rows = json_object_get(object, f->key);
        if (f->kind == VIEW_TABLE && json_array_size(rows) > 0) {
            fprintf(out, "\n%s\n", f->title);
            print_table(rows, f->rows, json_get_text(object, "currency"), out);
        }
    }
}

void view_print_list(const json_t *array, const struct view *view, FILE *out)
{
    if (json_array_size(array) == 0) {
        fprintf(out, "%s\n", view->none);
        return;
    }
    print_table(array, view->columns, NULL, out);
}
