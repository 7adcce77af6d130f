/* Owns rendering: runs a compiled template. Knows nothing of syntax, files or HTTP. */
#include "template.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"
#include "template_program.h"

struct run {
    const struct template *t;
    const struct template_value *values;
    struct record_reader rows;
    struct record_field row[RECORD_FIELDS_MAX];
    unsigned row_fields;
};

static struct template_value operand(const struct run *run, const struct template_op *op)
{
    struct template_value value = {NULL, 0};

    if (!op->of_row) {
        value = run->values[op->index];
    } else if (op->index < run->row_fields) {
        value.data = run->row[op->index].data;
        value.len = run->row[op->index].len;
    }
    if (value.data == NULL) {
        value.len = 0;
    }
    return value;
}

/* Bytes that a character grows by when it is escaped in HTML text and quoted attributes. */
static const uint8_t growth[256] = {['&'] = 4, ['<'] = 3, ['>'] = 3, ['"'] = 5, ['\''] = 4};

static struct template_value entity(char c)
{
    switch (c) {
    case '&':
        return (struct template_value){"&amp;", 5};
    case '<':
        return (struct template_value){"&lt;", 4};
    case '>':
        return (struct template_value){"&gt;", 4};
    case '"':
        return (struct template_value){"&quot;", 6};
    default:
        return (struct template_value){"&#39;", 5};
    }
}

static size_t escaped_size(struct template_value value)
{
    size_t size = value.len;

    for (size_t i = 0; i < value.len; i++) {
        size += growth[(uint8_t)value.data[i]];
    }
    return size;
}

static char *escaped_write(struct template_value value, char *out)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.data[i];

        if (growth[(uint8_t)c] == 0) {
            *out++ = c;
        } else {
            struct template_value as = entity(c);

            memcpy(out, as.data, as.len);
            out += as.len;
        }
    }
    return out;
}

static int condition(const struct run *run, const struct template_op *op)
{
    struct template_value value = operand(run, op);

    if (op->len == 0) {
        return value.len > 0;
    }
    return value.len == op->len && memcmp(value.data, run->t->text + op->offset, op->len) == 0;
}

/* The next operation after one that prints nothing. */
static size_t control(struct run *run, size_t pc)
{
    const struct template_op *op = &run->t->ops[pc];
    struct template_value value;

    switch (op->kind) {
    case TEMPLATE_IF:
        return condition(run, op) ? pc + 1 : op->target;
    case TEMPLATE_JUMP:
        return op->target;
    case TEMPLATE_EACH:
        value = operand(run, op);
        record_reader_init(&run->rows, value.data, value.len);
        return op->target;
    case TEMPLATE_NEXT:
        if (record_next(&run->rows, run->row, &run->row_fields) == 1) {
            return op->target;
        }
        run->row_fields = 0;
        return pc + 1;
    default:
        assert(!"an operation that prints");
        return run->t->op_count;
    }
}

size_t template_size(const struct template *t, const struct template_value *values)
{
    struct run run = {.t = t, .values = values};
    size_t size = 0;
    size_t pc = 0;

    while (pc < t->op_count) {
        const struct template_op *op = &t->ops[pc];

        switch (op->kind) {
        case TEMPLATE_TEXT:
            size += op->len;
            pc++;
            break;
        case TEMPLATE_VALUE:
            size += escaped_size(operand(&run, op));
            pc++;
            break;
        case TEMPLATE_RAW:
            size += operand(&run, op).len;
            pc++;
            break;
        default:
            pc = control(&run, pc);
        }
    }
    return size;
}

static char *copy(char *out, const char *data, size_t len)
{
    if (len > 0) {
        memcpy(out, data, len);
    }
    return out + len;
}

size_t template_write(const struct template *t, const struct template_value *values, char *out)
{
    struct run run = {.t = t, .values = values};
    struct template_value value;
    char *start = out;
    size_t pc = 0;

    while (pc < t->op_count) {
        const struct template_op *op = &t->ops[pc];

        switch (op->kind) {
        case TEMPLATE_TEXT:
            out = copy(out, t->text + op->offset, op->len);
            pc++;
            break;
        case TEMPLATE_VALUE:
            out = escaped_write(operand(&run, op), out);
            pc++;
            break;
        case TEMPLATE_RAW:
            value = operand(&run, op);
            out = copy(out, value.data, value.len);
            pc++;
            break;
        default:
            pc = control(&run, pc);
        }
    }
    return (size_t)(out - start);
}

void template_free(struct template *t)
{
    if (t != NULL) {
        free(t->ops);
        free(t->text);
        free(t);
    }
}
