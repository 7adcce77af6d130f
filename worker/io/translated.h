/*
 * Templates of a folder, each in every language that has messages there (`messages/TAG.txt`,
 * languages.h). Languages are numbered from 0: English.
 */
#ifndef PAYLINK_IO_TRANSLATED_H
#define PAYLINK_IO_TRANSLATED_H

#include "../base/result.h"
#include "../core/template.h"

struct translated;

/* `files` and `names` (template.h) are borrowed until the call ends. Every message has to be said
 * by a template. RESULT_FATAL with file and line. */
enum result translated_load(const char *dir, const char *const *files, size_t file_count,
                            const char *const *names, size_t name_count, struct translated **out,
                            struct error *err) MUST_CHECK;
void translated_free(struct translated *t);

/* The language of a tag, or English; `tag` may be NULL. */
size_t translated_find(const struct translated *t, const char *tag);
/* The same by an Accept-Language header. */
size_t translated_choose(const struct translated *t, const char *header);
const char *translated_tag(const struct translated *t, size_t language);
/* "ltr" or "rtl" */
const char *translated_direction(const struct translated *t, size_t language);
const struct template *translated_page(const struct translated *t, size_t language, size_t file);

#endif
