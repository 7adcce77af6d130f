/*
 * What the worker says in the languages of payers: messages of the pages' message files
 * (core/messages.h), in ICU's message format with {0} a number and {1} a text.
 */
#ifndef PAYLINK_DOCUMENT_WORDS_H
#define PAYLINK_DOCUMENT_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "../base/result.h"

enum word {
    WORD_TITLE, /* "Invoice INV-1", "3 invoices": how many, the number of the first */
    WORDS
};

struct words;

/* Reads `pages_dir`/messages/TAG.txt, all of them. RESULT_FATAL with a sentence that names the
 * file. The caller frees with words_free(). */
enum result words_load(const char *pages_dir, struct words **out, struct error *err) MUST_CHECK;
void words_free(struct words *words);

/* The language in which somebody with this locale reads: the tag of a file, or NULL. */
const char *words_language(const struct words *words, const char *locale);

/* A message without values, one of those in words.c; NULL for any other key. */
const char *words_label(const struct words *words, const char *locale, const char *key);

/* The word in the language of `locale`, English if there is none, NUL-terminated. Returns the
 * length. */
size_t words_write(const struct words *words, const char *locale, enum word word, int64_t number,
                   const char *text, char *out, size_t out_size);

#endif
