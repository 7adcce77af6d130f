/*
 * What template_compile.c writes and template.c runs: a flat list of operations.
 * For the template files only.
 */
#ifndef PAYLINK_CORE_TEMPLATE_PROGRAM_H
#define PAYLINK_CORE_TEMPLATE_PROGRAM_H

#include <stddef.h>
#include <stdint.h>

enum template_op_kind {
    TEMPLATE_TEXT,  /* text[offset..+len) */
    TEMPLATE_VALUE, /* the operand, escaped */
    TEMPLATE_RAW,   /* the operand as it is */
    TEMPLATE_IF,    /* goes on when true (len > 0: equals text[offset..+len)), else to `target` */
    TEMPLATE_JUMP,  /* to `target` */
    TEMPLATE_EACH,  /* starts the rows of the operand, goes to its TEMPLATE_NEXT at `target` */
    TEMPLATE_NEXT   /* to `target` (the body) if there is a row, else goes on */
};

struct template_op {
    uint8_t kind;
    uint8_t of_row; /* operand: 0 = values[index], 1 = field `index` of the current row */
    uint16_t index;
    uint32_t target;
    uint32_t offset, len;
};

struct template
{
    struct template_op *ops;
    size_t op_count;
    char *text;
    size_t text_len;
};

/* A program that is being written; *t grows. */
struct program {
    struct template *t;
    size_t ops_size, text_size;
    size_t landing; /* something jumps to this operation: nothing merges into the one before it */
};

/* Each appends and returns NULL, or a sentence about the limit that was reached. */
const char *program_op(struct program *p, struct template_op op);
const char *program_text(struct program *p, const char *data, size_t len);
/* The word of a condition: sets op->offset and op->len; op is not appended. */
const char *program_word(struct program *p, const char *word, size_t len, struct template_op *op);

/* The number of the next operation, to jump to. */
uint32_t program_land(struct program *p);

#endif
