/*
 * Templates: any text compiles or is refused with a message; what compiles renders into exactly the
 * size it announced, the same each time, and never lets a value's markup through unless asked to.
 */
#include "fuzz.h"

#include "../../worker/core/record.h"
#include "../../worker/core/template.h"

enum { A, B, ROWS, NAME_COUNT };
static const char *const names[NAME_COUNT] = {"a", "b_2", "rows"};

static char *render(const struct template *t, const struct template_value *values, size_t *size)
{
    char *out;

    *size = template_size(t, values);
    if (*size > 8 * 1024 * 1024) {
        return NULL; /* many rows times many tags: nothing new, and slow */
    }
    out = malloc(*size > 0 ? *size : 1);
    CHECK(out != NULL);
    CHECK(template_write(t, values, out) == *size);
    return out;
}

/* Text without tags is printed as it stands. */
static void check_plain(const char *text, size_t len, const char *out, size_t size)
{
    for (size_t i = 0; i + 1 < len; i++) {
        if (text[i] == '{' && text[i + 1] == '{') {
            return;
        }
    }
    CHECK(size == len && memcmp(out, text, len) == 0);
}

/* No '<' in the text and no raw value: then whatever the values are, none in the page. */
static void check_escaping(const char *text, size_t len, const char *out, size_t size)
{
    if (memchr(text, '<', len) != NULL || memchr(text, '&', len) != NULL) {
        return;
    }
    CHECK(memchr(out, '<', size) == NULL);
    CHECK(memchr(text, '"', len) != NULL || memchr(out, '"', size) == NULL);
    CHECK(memchr(text, '\'', len) != NULL || memchr(out, '\'', size) == NULL);
}

static void check_rendering(const struct template *t, const char *text, size_t len,
                            const struct template_value *values)
{
    size_t size, size_again;
    char *out = render(t, values, &size), *again;

    if (out == NULL) {
        return;
    }
    again = render(t, values, &size_again);
    CHECK(again != NULL && size == size_again && memcmp(out, again, size) == 0);
    check_plain(text, len, out, size);
    check_escaping(text, len, out, size);
    free(out);
    free(again);
}

static struct template *compile(const char *text, size_t len)
{
    char err[200] = "";
    struct template *t =
        template_compile(text, len, "f", names, NAME_COUNT, NULL, err, sizeof(err));

    CHECK(t != NULL || (strncmp(err, "f:", 2) == 0 && strlen(err) > 4));
    return t;
}

static size_t section_tag(const char *text, size_t len)
{
    static const char *const tags[] = {"{{/if}}", "{{/each}}", "{{else}}"};

    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(tags[i]);

        if (n <= len && memcmp(text, tags[i], n) == 0) {
            return n;
        }
    }
    return 0;
}

/*
 * An empty value behind the end of each branch changes nothing in the page, but much in the
 * program: no text is merged there. The text is put on one line with something around it, because a
 * tag that stands alone on its line takes the line with it.
 */
static void check_branch_ends(const char *text, size_t len, const struct template_value *values)
{
    char *line = malloc(len + 2), *spread = malloc(3 * len + 2);
    struct template_value with_empty[NAME_COUNT];
    struct template *a, *b = NULL;
    size_t n = 0, size_a, size_b;

    CHECK(line != NULL && spread != NULL);
    line[0] = line[len + 1] = 'x';
    for (size_t i = 0; i < len; i++) {
        line[i + 1] = text[i];
        if (text[i] == '\n') {
            line[i + 1] = '.';
        }
    }
    for (size_t i = 0; i < len + 2;) {
        size_t tag = section_tag(line + i, len + 2 - i);

        memcpy(spread + n, line + i, tag > 0 ? tag : 1);
        n += tag > 0 ? tag : 1;
        i += tag > 0 ? tag : 1;
        if (tag > 0) {
            memcpy(spread + n, "{{b_2}}", 7);
            n += 7;
        }
    }
    memcpy(with_empty, values, sizeof(with_empty));
    with_empty[B] = (struct template_value){NULL, 0};
    a = compile(line, len + 2);
    if (a != NULL) {
        char *out_a = render(a, with_empty, &size_a), *out_b;

        b = compile(spread, n);
        CHECK(b != NULL);
        out_b = render(b, with_empty, &size_b);
        CHECK(size_a == size_b);
        CHECK(out_a == NULL || memcmp(out_a, out_b, size_a) == 0);
        free(out_a);
        free(out_b);
    }
    template_free(a);
    template_free(b);
    free(line);
    free(spread);
}

/* Three rows of two fields that need escaping, or the input itself, which is mostly damaged. */
static size_t make_rows(struct input *in, uint8_t *out, size_t out_size)
{
    static const struct record_field row[2] = {{"<\"&'>", 5}, {"", 0}};
    const char *raw;
    size_t len = 0;

    if (input_byte(in) % 2 == 0) {
        for (int i = 0; i < 3; i++) {
            len += record_row_write(row, 2, out + len);
        }
        return len;
    }
    len = input_slice(in, &raw, out_size);
    if (len > 0) {
        memcpy(out, raw, len);
    }
    return len;
}

/* Values come first: a length and bytes each; the rest is the template. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct template_value values[NAME_COUNT] = {{0}};
    struct template *t;
    uint8_t rows[256];
    char *text;

    values[A].len = input_slice(&in, &values[A].data, 255);
    values[B].len = input_slice(&in, &values[B].data, 255);
    values[ROWS].len = make_rows(&in, rows, sizeof(rows));
    values[ROWS].data = (const char *)rows;
    text = exact_copy(in.at, in.left);
    check_branch_ends(text, in.left, values);
    t = compile(text, in.left);
    if (t != NULL) {
        check_rendering(t, text, in.left, values);
        values[A] = (struct template_value){NULL, 0};
        check_rendering(t, text, in.left, values);
        template_free(t);
    }
    free(text);
    return 0;
}
