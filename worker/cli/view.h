/* JSON answers as people read them: a list of labels, or a table. Must not know commands. */
#ifndef PAYLINK_CLI_VIEW_H
#define PAYLINK_CLI_VIEW_H

#include <stdio.h>

#include "../io/json.h"

enum view_kind {
    VIEW_TEXT,
    VIEW_NUMBER,
    VIEW_MONEY, /* minor units in the object's "currency" */
    VIEW_TIME,  /* RFC 3339 or milliseconds since the epoch; shown in UTC, to the second */
    VIEW_YES,   /* boolean */
    VIEW_LIST,  /* array of words, joined by a comma */
    VIEW_TABLE  /* array of objects, shown as a table of its own below */
};

struct view_field {
    const char *title;
    const char *key;
    enum view_kind kind;
    const struct view_field *rows; /* VIEW_TABLE: the columns; ends with title NULL */
    bool optional;                 /* left out of a list of labels when it is not there */
};

struct view {
    const char *none;                /* what stands instead of an empty table: "no invoices" */
    const struct view_field *object; /* ends with title NULL */
    const struct view_field *columns;
};

void view_print_object(const json_t *object, const struct view *view, FILE *out);
void view_print_list(const json_t *array, const struct view *view, FILE *out);

#endif
