/*
 * Text tables for people: columns as wide as their widest cell, in characters as a terminal shows
 * them. It must not know where the cells come from.
 */
#ifndef PAYLINK_CLI_TABLE_H
#define PAYLINK_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 12

struct table;

/* Titles are borrowed; `right[i]` aligns column i to the right. */
struct table *table_new(size_t columns, const char *const *titles, const bool *right);
void table_free(struct table *table);
/* Copies one row of cells; NULL is shown as "–". Control characters are shown as '?'. */
void table_add(struct table *table, const char *const *cells);
size_t table_rows(const struct table *table);
void table_print(const struct table *table, FILE *out);

/* Columns that `text` takes on a terminal. */
size_t table_width(const char *text);

#endif
