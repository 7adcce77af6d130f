/* Owns the syntax: turns a file and what it includes into a program. Knows nothing of rendering. */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encoding.h"
#include "file.h"
#include "messages.h"
#include "record.h"
#include "template.h"
#include "template_program.h"

#define NO_OP           UINT32_MAX
#define PATH_BYTES_MAX  4096
#define SHOWN_BYTES_MAX 40

/* An open {{#if}} or {{#each}}. */
struct section {
    bool is_each;
    unsigned line;
    uint32_t op;      /* TEMPLATE_IF or TEMPLATE_EACH */
    uint32_t else_op; /* the TEMPLATE_JUMP that ends the first branch, or NO_OP */
};

struct compiler {
    struct program program;
    const char *dir; /* NULL: from memory */
    const char *const *names;
    size_t name_count;
    struct messages *messages; /* or NULL */
    bool bare;                 /* text, not HTML: nothing is escaped */
    struct section section[TEMPLATE_SECTIONS_MAX];
    unsigned section_count;
    unsigned depth;
    bool in_each;
    char *err;
    size_t err_size;
};

/* One file being read. */
struct source {
    const char *file;
    const char *at, *end;
    unsigned line;
};

/* {{tag}}, without braces and the blanks inside them. */
struct tag {
    const char *text;
    size_t len;
};

static int compile_file(struct compiler *c, const char *file, const struct source *from);

static int __attribute__((format(printf, 3, 4)))
fail(struct compiler *c, const struct source *s, const char *fmt, ...)
{
    va_list ap;
    int n;

    n = s->line == 0 ? snprintf(c->err, c->err_size, "%s: ", s->file)
                     : snprintf(c->err, c->err_size, "%s:%u: ", s->file, s->line);
    if (n >= 0 && (size_t)n < c->err_size) {
        va_start(ap, fmt);
        vsnprintf(c->err + n, c->err_size - (size_t)n, fmt, ap);
        va_end(ap);
    }
    return -1;
}

/* A tag may hold anything: what a message shows of it is short and printable. */
static const char *shown(struct tag tag, char out[SHOWN_BYTES_MAX + 4])
{
    size_t n = tag.len < SHOWN_BYTES_MAX ? tag.len : SHOWN_BYTES_MAX;

    for (size_t i = 0; i < n; i++) {
        char c = tag.text[i];

        out[i] = '?';
        if (c >= ' ' && c <= '~') {
            out[i] = c;
        }
    }
    memcpy(out + n, n < tag.len ? "..." : "\0\0\0", 4);
    return out;
}

static int emit(struct compiler *c, const struct source *s, struct template_op op)
{
    const char *problem = program_op(&c->program, op);

    return problem != NULL ? fail(c, s, "%s", problem) : 0;
}

static int emit_text(struct compiler *c, const struct source *s, const char *data, size_t len)
{
    const char *problem = program_text(&c->program, data, len);

    return problem != NULL ? fail(c, s, "%s", problem) : 0;
}

static bool tag_is(struct tag tag, const char *text)
{
    return tag.len == strlen(text) && memcmp(tag.text, text, tag.len) == 0;
}

static bool is_blank(char ch)
{
    return ch == ' ' || ch == '\t';
}

static bool is_digit(char ch)
{
    return ch >= '0' && ch <= '9';
}

static bool is_lower(char ch)
{
    return ch >= 'a' && ch <= 'z';
}

/* [A-Za-z0-9_.-]+: what a condition compares with, and how files are named. */
static bool is_word(struct tag tag)
{
    for (size_t i = 0; i < tag.len; i++) {
        char ch = tag.text[i];

        if (!is_digit(ch) && !is_lower(ch) && !(ch >= 'A' && ch <= 'Z') && ch != '_' && ch != '.' &&
            ch != '-') {
            return false;
        }
    }
    return tag.len > 0;
}

static struct tag trim(struct tag tag)
{
    while (tag.len > 0 && is_blank(tag.text[0])) {
        tag.text++;
        tag.len--;
    }
    while (tag.len > 0 && is_blank(tag.text[tag.len - 1])) {
        tag.len--;
    }
    return tag;
}

/* `.N` */
static int row_operand(struct compiler *c, const struct source *s, struct tag tag,
                       struct template_op *op)
{
    char text[SHOWN_BYTES_MAX + 4];
    unsigned index = 0;

    if (!c->in_each) {
        return fail(c, s, "{{%s}} stands outside {{#each}}", shown(tag, text));
    }
    for (size_t i = 1; i < tag.len; i++) {
        if (!is_digit(tag.text[i]) || tag.len > 3 ||
            (i == 1 && tag.len > 2 && tag.text[1] == '0')) {
            return fail(c, s, "{{%s}} is no field of a row", shown(tag, text));
        }
        index = index * 10 + (unsigned)(tag.text[i] - '0');
    }
    if (tag.len < 2 || index >= RECORD_FIELDS_MAX) {
        return fail(c, s, "{{%s}} is no field of a row: they are {{.0}} to {{.%d}}",
                    shown(tag, text), RECORD_FIELDS_MAX - 1);
    }
    op->of_row = 1;
    op->index = (uint16_t)index;
    return 0;
}

static int name_operand(struct compiler *c, const struct source *s, struct tag tag,
                        struct template_op *op)
{
    char text[SHOWN_BYTES_MAX + 4];

    for (size_t i = 0; i < c->name_count; i++) {
        if (tag_is(tag, c->names[i])) {
            op->of_row = 0;
            op->index = (uint16_t)i;
            return 0;
        }
    }
    return fail(c, s, "unknown name \"%s\"", shown(tag, text));
}

static int operand(struct compiler *c, const struct source *s, struct tag tag,
                   struct template_op *op)
{
    char text[SHOWN_BYTES_MAX + 4];

    if (tag.len > 0 && tag.text[0] == '.') {
        return row_operand(c, s, tag, op);
    }
    if (tag.len == 0 || !is_lower(tag.text[0])) {
        return fail(c, s, "{{%s}} is no tag", shown(tag, text));
    }
    for (size_t i = 0; i < tag.len; i++) {
        if (!is_lower(tag.text[i]) && !is_digit(tag.text[i]) && tag.text[i] != '_') {
            return fail(c, s, "\"%s\" is no name: small letters, digits and _ only",
                        shown(tag, text));
        }
    }
    return name_operand(c, s, tag, op);
}

static int section_open(struct compiler *c, const struct source *s, bool is_each,
                        struct template_op op)
{
    struct section *section;

    if (c->section_count == TEMPLATE_SECTIONS_MAX) {
        return fail(c, s, "more than %d sections inside each other", TEMPLATE_SECTIONS_MAX);
    }
    section = &c->section[c->section_count];
    section->is_each = is_each;
    section->line = s->line;
    section->op = (uint32_t)c->program.t->op_count;
    section->else_op = NO_OP;
    if (emit(c, s, op) != 0) {
        return -1;
    }
    c->section_count++;
    program_land(&c->program);
    return 0;
}

static int tag_if(struct compiler *c, const struct source *s, struct tag tag)
{
    struct template_op op = {.kind = TEMPLATE_IF};
    const char *equals = memchr(tag.text, '=', tag.len);
    char text[SHOWN_BYTES_MAX + 4];
    const char *problem;

    if (equals != NULL) {
        struct tag word = {equals + 1, tag.len - (size_t)(equals + 1 - tag.text)};

        if (!is_word(word)) {
            return fail(c, s, "{{#if %s}}: what follows = must be letters, digits, _ . or -",
                        shown(tag, text));
        }
        problem = program_word(&c->program, word.text, word.len, &op);
        if (problem != NULL) {
            return fail(c, s, "%s", problem);
        }
        tag.len = (size_t)(equals - tag.text);
    }
    if (operand(c, s, tag, &op) != 0) {
        return -1;
    }
    return section_open(c, s, false, op);
}

static int tag_each(struct compiler *c, const struct source *s, struct tag tag)
{
    struct template_op op = {.kind = TEMPLATE_EACH};

    if (c->in_each) {
        return fail(c, s, "{{#each}} inside {{#each}}");
    }
    if (operand(c, s, tag, &op) != 0 || section_open(c, s, true, op) != 0) {
        return -1;
    }
    c->in_each = true;
    return 0;
}

/* The innermost section, if it was opened by this file. */
static struct section *section_top(struct compiler *c, unsigned floor)
{
    return c->section_count > floor ? &c->section[c->section_count - 1] : NULL;
}

static int tag_else(struct compiler *c, const struct source *s, unsigned floor)
{
    struct section *section = section_top(c, floor);
    struct template_op op = {.kind = TEMPLATE_JUMP};

    if (section == NULL || section->is_each || section->else_op != NO_OP) {
        return fail(c, s, "{{else}} without its {{#if}}");
    }
    section->else_op = (uint32_t)c->program.t->op_count;
    if (emit(c, s, op) != 0) {
        return -1;
    }
    c->program.t->ops[section->op].target = program_land(&c->program);
    return 0;
}

static int tag_close(struct compiler *c, const struct source *s, bool is_each, unsigned floor)
{
    struct section *section = section_top(c, floor);
    const char *word = is_each ? "each" : "if";
    struct template_op next = {.kind = TEMPLATE_NEXT};
    uint32_t patch;

    if (section == NULL) {
        return fail(c, s, "{{/%s}} without its {{#%s}}", word, word);
    }
    if (section->is_each != is_each) {
        return fail(c, s, "{{/%s}} closes the {{#%s}} of line %u", word,
                    section->is_each ? "each" : "if", section->line);
    }
    c->section_count--;
    if (!is_each) {
        patch = section->else_op != NO_OP ? section->else_op : section->op;
        c->program.t->ops[patch].target = program_land(&c->program);
        return 0;
    }
    c->in_each = false;
    c->program.t->ops[section->op].target = (uint32_t)c->program.t->op_count;
    next.target = section->op + 1;
    if (emit(c, s, next) != 0) {
        return -1;
    }
    program_land(&c->program);
    return 0;
}

static int tag_include(struct compiler *c, const struct source *s, struct tag tag)
{
    char file[256], text[SHOWN_BYTES_MAX + 4];

    if (c->dir == NULL) {
        return fail(c, s, "{{> %s}}: this template may not include files", shown(tag, text));
    }
    if (!is_word(tag) || tag.text[0] == '.' || tag.len >= sizeof(file)) {
        return fail(c, s, "{{> %s}}: a file name is letters, digits, _ . or -", shown(tag, text));
    }
    if (c->depth == TEMPLATE_DEPTH_MAX) {
        return fail(c, s, "{{> %s}}: files include each other more than %d deep", shown(tag, text),
                    TEMPLATE_DEPTH_MAX);
    }
    memcpy(file, tag.text, tag.len);
    file[tag.len] = '\0';
    return compile_file(c, file, s);
}

static int tag_value(struct compiler *c, const struct source *s, struct tag tag)
{
    struct template_op op = {.kind = c->bare ? TEMPLATE_RAW : TEMPLATE_VALUE};

    if (tag.len > 0 && tag.text[0] == '&') {
        char text[SHOWN_BYTES_MAX + 4];

        op.kind = TEMPLATE_RAW;
        tag.text++;
        tag.len--;
        tag = trim(tag);
        if (tag.len > 0 && tag.text[0] == '.') {
            return fail(c, s, "{{&%s}}: fields of a row are always escaped", shown(tag, text));
        }
    }
    return operand(c, s, tag, &op) != 0 ? -1 : emit(c, s, op);
}

/* A message that is being compiled. */
struct text {
    struct source place; /* the line of the message */
    bool plain;          /* no markup */
    bool strong, link;   /* open */
    bool has_address;
    bool linked;
    struct template_op address;
};

static int emit_string(struct compiler *c, const struct source *s, const char *text)
{
    return emit_text(c, s, text, strlen(text));
}

static int emit_escaped(struct compiler *c, const struct source *s, char ch)
{
    switch (c->bare ? '\0' : ch) {
    case '&':
        return emit_string(c, s, "&amp;");
    case '<':
        return emit_string(c, s, "&lt;");
    case '>':
        return emit_string(c, s, "&gt;");
    case '"':
        return emit_string(c, s, "&quot;");
    default:
        return emit_text(c, s, &ch, 1);
    }
}

/* {name} and {name:time} */
static int text_value(struct compiler *c, const struct text *text, struct tag tag)
{
    static const char time_suffix[] = ":time";
    const struct source *s = &text->place;
    size_t suffix = sizeof(time_suffix) - 1;
    struct template_op op = {.kind = c->bare ? TEMPLATE_RAW : TEMPLATE_VALUE};
    bool is_time;

    is_time = tag.len > suffix && memcmp(tag.text + tag.len - suffix, time_suffix, suffix) == 0;
    if (is_time) {
        tag.len -= suffix;
    }
    if (operand(c, s, tag, &op) != 0) {
        return -1;
    }
    if (text->plain) {
        return is_time ? fail(c, s, "a title or attribute has no {name:time}") : emit(c, s, op);
    }
    if (is_time && (emit_string(c, s, "<time datetime=\"") != 0 || emit(c, s, op) != 0 ||
                    emit_string(c, s, "\">") != 0)) {
        return -1;
    }
    if (emit_string(c, s, is_time ? "" : "<bdi>") != 0 || emit(c, s, op) != 0) {
        return -1;
    }
    return emit_string(c, s, is_time ? "</time>" : "</bdi>");
}

static int text_strong(struct compiler *c, struct text *text)
{
    if (text->plain) {
        return fail(c, &text->place, "a title or attribute has no **");
    }
    text->strong = !text->strong;
    return emit_string(c, &text->place, text->strong ? "<b>" : "</b>");
}

/* Strong parts and links do not cross: a link opens and closes outside, or inside, of a strong
 * part. */
static int text_link(struct compiler *c, struct text *text, char ch)
{
    const struct source *s = &text->place;

    if (text->plain || !text->has_address) {
        return fail(c, s, "a link, [ ], where the page has none");
    }
    if ((ch == ']') != text->link || text->linked || text->strong) {
        return fail(c, s, "[ and ] are for the one link of a message, outside of **");
    }
    if (ch == ']') {
        text->link = false;
        text->linked = true;
        return emit_string(c, s, "</a>");
    }
    text->link = true;
    return emit_string(c, s, "<a href=\"") != 0 || emit(c, s, text->address) != 0
               ? -1
               : emit_string(c, s, "\" rel=\"noreferrer\">");
}

static int compile_message(struct compiler *c, struct text *text, const struct message *message)
{
    const char *at = message->text, *end = at + message->len;
    const struct source *s = &text->place;

    while (at < end) {
        int rc;

        if (*at == '{') {
            const char *close = memchr(at, '}', (size_t)(end - at));

            if (close == NULL) {
                return fail(c, s, "{ without }");
            }
            rc = text_value(c, text, (struct tag){at + 1, (size_t)(close - at - 1)});
            at = close;
        } else if (*at == '}') {
            return fail(c, s, "} without {");
        } else if (*at == '[' || *at == ']') {
            rc = text_link(c, text, *at);
        } else if (end - at >= 2 && at[0] == '*' && at[1] == '*') {
            rc = text_strong(c, text);
            at++;
        } else {
            rc = emit_escaped(c, s, *at);
        }
        if (rc != 0) {
            return -1;
        }
        at++;
    }
    if (text->strong || text->link) {
        return fail(c, s, "%s is not closed", text->strong ? "**" : "[");
    }
    if (text->has_address && !text->linked) {
        return fail(c, s, "the page puts a link here: its words need [ and ]");
    }
    return 0;
}

/* `key` or `key name` */
static int tag_message(struct compiler *c, const struct source *s, struct tag tag, bool plain)
{
    struct text text = {.plain = plain || c->bare, .address = {.kind = TEMPLATE_VALUE}};
    char key[SHOWN_BYTES_MAX + 4];
    const struct message *message;
    struct tag address = {tag.text, 0};

    for (size_t i = 0; i < tag.len; i++) {
        if (is_blank(tag.text[i])) {
            address = trim((struct tag){tag.text + i, tag.len - i});
            tag.len = i;
        }
    }
    if (address.len > 0) {
        if (operand(c, s, address, &text.address) != 0) {
            return -1;
        }
        text.has_address = true;
    }
    message = c->messages != NULL ? messages_find(c->messages, tag.text, tag.len) : NULL;
    if (message == NULL) {
        return fail(c, s, "there is no message \"%s\"", shown(tag, key));
    }
    text.place = (struct source){.file = messages_file(c->messages), .line = message->line};
    return compile_message(c, &text, message);
}

/* `word rest` -> true and the trimmed rest. */
static bool tag_starts(struct tag tag, const char *word, struct tag *rest)
{
    size_t len = strlen(word);

    if (tag.len < len || memcmp(tag.text, word, len) != 0) {
        return false;
    }
    rest->text = tag.text + len;
    rest->len = tag.len - len;
    if (len > 1 && rest->len > 0 && !is_blank(rest->text[0])) {
        return false;
    }
    *rest = trim(*rest);
    return true;
}

static int tag_compile(struct compiler *c, const struct source *s, struct tag tag, unsigned floor)
{
    struct tag rest;

    if (tag_starts(tag, "!", &rest)) {
        return 0;
    }
    if (tag_starts(tag, "#if", &rest)) {
        return tag_if(c, s, rest);
    }
    if (tag_starts(tag, "#each", &rest)) {
        return tag_each(c, s, rest);
    }
    if (tag_is(tag, "else")) {
        return tag_else(c, s, floor);
    }
    if (tag_is(tag, "/if")) {
        return tag_close(c, s, false, floor);
    }
    if (tag_is(tag, "/each")) {
        return tag_close(c, s, true, floor);
    }
    if (tag_starts(tag, ">", &rest)) {
        return tag_include(c, s, rest);
    }
    if (tag_starts(tag, "text", &rest) && rest.len > 0) {
        return tag_message(c, s, rest, true);
    }
    if (tag_is((struct tag){tag.text, tag.len < 2 ? tag.len : 2}, "t ")) {
        return tag_message(c, s, trim((struct tag){tag.text + 2, tag.len - 2}), false);
    }
    return tag_value(c, s, tag);
}

static bool prints_itself(struct tag tag)
{
    return !tag_is(tag, "else") && (tag.len == 0 || strchr("!#/>", tag.text[0]) == NULL);
}

static const char *find_pair(const char *at, const char *end, char ch)
{
    while (end - at >= 2) {
        at = memchr(at, ch, (size_t)(end - at - 1));
        if (at == NULL) {
            return NULL;
        }
        if (at[1] == ch) {
            return at;
        }
        at++;
    }
    return NULL;
}

static void count_lines(struct source *s, const char *to)
{
    for (; s->at < to; s->at++) {
        s->line += *s->at == '\n';
    }
}

/*
 * If only blanks surround the tag [open, *after) on its line, moves *text_end to the start of the
 * line and *after to the next line.
 */
static void drop_line(const char *start, const char *open, const struct source *s,
                      const char **text_end, const char **after)
{
    const char *before = open;
    const char *behind = *after;

    while (before > start && is_blank(before[-1])) {
        before--;
    }
    while (behind < s->end && is_blank(*behind)) {
        behind++;
    }
    if (s->end - behind >= 2 && behind[0] == '\r' && behind[1] == '\n') {
        behind++;
    }
    if ((before == start || before[-1] == '\n') && (behind == s->end || *behind == '\n')) {
        *text_end = before;
        *after = behind < s->end ? behind + 1 : behind;
    }
}

static int compile_source(struct compiler *c, struct source *s)
{
    const char *start = s->at;
    unsigned floor = c->section_count;

    while (s->at < s->end) {
        const char *open = find_pair(s->at, s->end, '{');
        const char *close, *text_end, *after;
        struct tag tag;

        if (open == NULL) {
            open = s->end;
        }
        text_end = open;
        if (open == s->end) {
            if (emit_text(c, s, s->at, (size_t)(open - s->at)) != 0) {
                return -1;
            }
            break;
        }
        close = find_pair(open + 2, s->end, '}');
        if (close == NULL) {
            count_lines(s, open);
            return fail(c, s, "a tag that opens with {{ is not closed with }}");
        }
        after = close + 2;
        tag = trim((struct tag){open + 2, (size_t)(close - open - 2)});
        if (!prints_itself(tag)) {
            drop_line(start, open, s, &text_end, &after);
        }
        if (emit_text(c, s, s->at, (size_t)(text_end - s->at)) != 0) {
            return -1;
        }
        count_lines(s, open);
        if (tag_compile(c, s, tag, floor) != 0) {
            return -1;
        }
        count_lines(s, after);
    }
    if (c->section_count > floor) {
        s->line = c->section[c->section_count - 1].line;
        return fail(c, s, "{{#%s}} is not closed",
                    c->section[c->section_count - 1].is_each ? "each" : "if");
    }
    return 0;
}

/* `text` is what `file` contains. */
static int compile_text(struct compiler *c, const char *file, const char *text, size_t len)
{
    struct source s = {.file = file, .at = text, .end = text + len, .line = 0};

    if (memchr(text, '\0', len) != NULL || !utf8_valid(text, len)) {
        return fail(c, &s, "is not text: it has a NUL or invalid UTF-8");
    }
    s.line = 1;
    return compile_source(c, &s);
}

/* `from` includes it; it is the place of an error that concerns the file as a whole. */
static int compile_file(struct compiler *c, const char *file, const struct source *from)
{
    char path[PATH_BYTES_MAX], why[160];
    char *text;
    size_t len;
    int n, rc;

    n = snprintf(path, sizeof(path), "%s/%s", c->dir, file);
    if (n < 0 || (size_t)n >= sizeof(path)) {
        return fail(c, from, "the path of %s is too long", file);
    }
    if (file_read(path, FILE_PUBLIC, TEMPLATE_FILE_BYTES_MAX, &text, &len, why, sizeof(why)) != 0) {
        return fail(c, from, "%s %s", path, why);
    }
    c->depth++;
    rc = compile_text(c, file, text, len);
    c->depth--;
    free(text);
    return rc;
}

/* Without `text`, `file` is read from c->dir. Frees the program when it fails. */
static int compile(struct compiler *c, const char *file, const char *text, size_t len)
{
    struct source whole = {.file = file};
    size_t name_len = strlen(file);
    int rc;

    c->bare = name_len > 4 && strcmp(file + name_len - 4, ".txt") == 0;
    c->program.t = calloc(1, sizeof(*c->program.t));
    if (c->program.t == NULL) {
        return fail(c, &whole, "out of memory");
    }
    if (c->name_count > TEMPLATE_NAMES_MAX) {
        rc = fail(c, &whole, "more than %d names", TEMPLATE_NAMES_MAX);
    } else if (text == NULL) {
        rc = compile_file(c, file, &whole);
    } else if (len > TEMPLATE_FILE_BYTES_MAX) {
        rc = fail(c, &whole, "is larger than %d bytes", TEMPLATE_FILE_BYTES_MAX);
    } else {
        rc = compile_text(c, file, text, len);
    }
    if (rc != 0) {
        template_free(c->program.t);
    }
    return rc;
}

struct template *template_load(const char *dir, const char *file, const char *const *names,
                               size_t name_count, struct messages *messages, char *err,
                               size_t err_size)
{
    struct compiler c = {.dir = dir,
                         .names = names,
                         .name_count = name_count,
                         .messages = messages,
                         .err = err,
                         .err_size = err_size};

    return compile(&c, file, NULL, 0) == 0 ? c.program.t : NULL;
}

struct template *template_compile(const char *text, size_t len, const char *file,
                                  const char *const *names, size_t name_count,
                                  struct messages *messages, char *err, size_t err_size)
{
    struct compiler c = {.names = names,
                         .name_count = name_count,
                         .messages = messages,
                         .err = err,
                         .err_size = err_size};

    return compile(&c, file, len > 0 ? text : "", len) == 0 ? c.program.t : NULL;
}
