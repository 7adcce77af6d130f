/*
 * Page templates: compiled once, rendered by copying. No logic beyond what a page needs.
 *
 *   {{name}}                         the value, HTML-escaped (& < > " ')
 *   {{&name}}                        the value as it is (only for values made by us)
 *   {{#if name}}…{{else}}…{{/if}}    true when the value is not empty
 *   {{#if name=word}}…{{/if}}        true when the value equals `word` ([A-Za-z0-9_.-]+)
 *   {{#each name}}…{{/each}}         for every row of a record (core/record.h); no nesting of each
 *   {{.0}} {{.1}} …                  inside it: the row's fields, escaped; {{#if .1}} works too
 *   {{> file}}                       another template from the same folder (depth <= 8)
 *   {{t key}} {{t key name}}         a message (core/messages.h) as HTML; `name` is where its link
 * goes
 *   {{text key}}                     a message as plain text, for titles and attributes
 *   {{! comment}}
 *
 * In a message {name} is a value, escaped and, in HTML, kept apart by <bdi>; {name:time} is one for
 * <time>; **strong**; [the words of the link]. Everything else stands for itself. Plain text has
 * values only. Messages cost nothing at rendering: they are compiled into the page.
 *
 * A template whose file is named .txt is text and not HTML: nothing is escaped in it.
 *
 * Names are [a-z][a-z0-9_]*. Unknown names, unclosed sections and anything else odd are errors that
 * name file and line. A section closes in the file that opens it. Rows end at a damaged row.
 * A tag that prints nothing itself (every one but values and messages) and stands alone on
 * its line is dropped with the line.
 */
#ifndef PAYLINK_CORE_TEMPLATE_H
#define PAYLINK_CORE_TEMPLATE_H

#include <stddef.h>
#include <stdint.h>

#define TEMPLATE_FILE_BYTES_MAX 1048576 /* one file, before includes */
#define TEMPLATE_TEXT_BYTES_MAX 4194304 /* constant text of one template */
#define TEMPLATE_OPS_MAX        65536
#define TEMPLATE_DEPTH_MAX      8  /* files inside files */
#define TEMPLATE_SECTIONS_MAX   32 /* sections inside sections */
#define TEMPLATE_NAMES_MAX      1024

struct messages;
struct template; /* immutable after compiling; may be shared by any number of renderings */

struct template_value {
    const char *data; /* NULL is the same as empty */
    size_t len;
};

/* Compiles `dir`/`file`. `names[i]` is the name of values[i] at rendering. `messages` may be NULL
 * and may be freed afterwards. NULL on error with a sentence in `err`. The caller frees with
 * template_free(). */
struct template *template_load(const char *dir, const char *file, const char *const *names,
                               size_t name_count, struct messages *messages, char *err,
                               size_t err_size);
/* The same from memory; partials are refused. For tests and fuzzing. */
struct template *template_compile(const char *text, size_t len, const char *file,
                                  const char *const *names, size_t name_count,
                                  struct messages *messages, char *err, size_t err_size);
void template_free(struct template *t);

/* Exact size of the output in bytes, then the output itself: two passes, no allocation.
 * template_write() needs template_size() bytes of room and returns what it wrote. */
size_t template_size(const struct template *t, const struct template_value *values);
size_t template_write(const struct template *t, const struct template_value *values, char *out);

#endif
