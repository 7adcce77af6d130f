/* Message files of a folder, a language each: English first, then those that say the same. */
#ifndef PAYLINK_IO_LANGUAGES_H
#define PAYLINK_IO_LANGUAGES_H

#include "../base/result.h"
#include "../core/language.h"
#include "../core/messages.h"

#define LANGUAGES_MAX 64

/* The messages live as long as the call. */
typedef enum result (*language_fn)(void *ctx, const char *tag, struct messages *messages,
                                   struct error *err);

/* Calls `fn` for each `dir`/messages/TAG.txt, at most LANGUAGES_MAX. RESULT_FATAL with a sentence
 * that names the file, also when there is no English one. */
enum result languages_read(const char *dir, language_fn fn, void *ctx,
                           struct error *err) MUST_CHECK;

#endif
