/* Owns the growing program of a template and its limits. Knows nothing of syntax. */
#include "template_program.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "template.h"

static const char out_of_memory[] = "out of memory";

static const char *append(struct program *p, const char *data, size_t len, uint32_t *offset)
{
    struct template *t = p->t;

    if (len > TEMPLATE_TEXT_BYTES_MAX - t->text_len) {
        return "the template with its files is larger than 4 MiB";
    }
    if (t->text_len + len > p->text_size) {
        size_t size = 2 * (t->text_len + len);
        char *text = realloc(t->text, size);

        if (text == NULL) {
            return out_of_memory;
        }
        t->text = text;
        p->text_size = size;
    }
    memcpy(t->text + t->text_len, data, len);
    *offset = (uint32_t)t->text_len;
    t->text_len += len;
    return NULL;
}

const char *program_op(struct program *p, struct template_op op)
{
    struct template *t = p->t;

    if (t->op_count == TEMPLATE_OPS_MAX) {
        return "the template with its files has more than 65536 parts";
    }
    if (t->op_count == p->ops_size) {
        size_t size = p->ops_size > 0 ? 2 * p->ops_size : 64;
        struct template_op *ops = realloc(t->ops, size * sizeof(*ops));

        if (ops == NULL) {
            return out_of_memory;
        }
        t->ops = ops;
        p->ops_size = size;
    }
    t->ops[t->op_count++] = op;
    return NULL;
}

const char *program_text(struct program *p, const char *data, size_t len)
{
    struct template_op op = {.kind = TEMPLATE_TEXT, .len = (uint32_t)len};
    const char *problem;

    if (len == 0) {
        return NULL;
    }
    problem = append(p, data, len, &op.offset);
    if (problem != NULL) {
        return problem;
    }
    if (p->t->op_count > p->landing) {
        struct template_op *last = &p->t->ops[p->t->op_count - 1];

        if (last->kind == TEMPLATE_TEXT) {
            assert(last->offset + last->len == op.offset);
            last->len += op.len;
            return NULL;
        }
    }
    return program_op(p, op);
}

const char *program_word(struct program *p, const char *word, size_t len, struct template_op *op)
{
    op->len = (uint32_t)len;
    return append(p, word, len, &op->offset);
}

uint32_t program_land(struct program *p)
{
    p->landing = p->t->op_count;
    return (uint32_t)p->landing;
}
