/*
 * Messages: what a page says in one language, one line each, for a translator to edit.
 *
 *   # a comment
 *   key = text
 *
 * Keys are [a-z][a-z0-9_]*, each of them once. Blanks around key and text do not count; the text
 * is one line of UTF-8 and not empty. What may stand in a text: core/template.h.
 */
#ifndef PAYLINK_CORE_MESSAGES_H
#define PAYLINK_CORE_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>

#define MESSAGES_FILE_BYTES_MAX 262144
#define MESSAGES_MAX            1024

struct message {
    const char *key;
    size_t key_len;
    const char *text;
    size_t len;
    unsigned line;
    bool used; /* messages_find() has handed it out */
};

struct messages;

/* Reads `dir`/`file`. NULL on error, with a sentence in `err` that names file and line. The caller
 * frees with messages_free(). */
struct messages *messages_load(const char *dir, const char *file, char *err, size_t err_size);
/* The same from memory; `text` is copied, `file` is borrowed for as long as the messages live. */
struct messages *messages_parse(const char *text, size_t len, const char *file, char *err,
                                size_t err_size);
void messages_free(struct messages *m);

/* The file's name, as given, for errors. */
const char *messages_file(const struct messages *m);

/* NULL if there is none; what is found counts as used. */
const struct message *messages_find(struct messages *m, const char *key, size_t len);

/* The first message that nothing has asked for, or NULL: a key that was misspelt or forgotten.
 * Keys that begin with `others` are said by another program; "" if there is none. */
const struct message *messages_unused(const struct messages *m, const char *others);

/* Whether every message of `m` keeps the values, the marks of strong words and the link of the one
 * with its key in `reference`, and none is missing. 0, or -1 with a sentence in `err` that names
 * file and line. */
int messages_check(const struct messages *m, const struct messages *reference, char *err,
                   size_t err_size);

#endif
