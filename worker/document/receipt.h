/* A receipt as a PDF of A4 pages: what was paid, by whom, to whom. All its texts are ready, in the
 * reader's words; amounts are texts too. */
#ifndef PAYLINK_DOCUMENT_RECEIPT_H
#define PAYLINK_DOCUMENT_RECEIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/result.h"
#include "colour.h"

#define RECEIPT_FACTS_MAX 6

struct receipt_fact {
    const char *label, *value;
};

struct receipt_row {
    bool invoice;       /* else a line of the invoice above it */
    const char *text;   /* the invoice's number, or the line's description */
    const char *detail; /* "2 × $19.95", or NULL */
    const char *amount; /* or NULL */
};

struct receipt {
    const char *language; /* BCP 47 */
    const char *heading, *number, *merchant;
    int64_t paid_at_ms;
    struct colour accent;
    struct receipt_fact facts[RECEIPT_FACTS_MAX]; /* up to the first without a label */
    struct receipt_fact total;
    const char *invoice_label, *amount_label; /* of the rows */
    const struct receipt_row *rows;
    size_t row_count;
};

/* The same receipt gives the same bytes. The caller frees them. RESULT_REJECTED: it would have more
 * than `max`. */
enum result receipt_draw(const struct receipt *receipt, size_t max, uint8_t **out, size_t *len,
                         struct error *err) MUST_CHECK;

#endif
