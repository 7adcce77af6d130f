/* Owns templates compiled once for each language. Knows nothing of what they show. */
#include "translated.h"

#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"
#include "languages.h"

#define TEXT_BYTES_MAX 512

struct language {
    char tag[LANGUAGE_BYTES_MAX + 1];
    struct template **page; /* as many as there are files */
};

struct translated {
    size_t file_count, count;
    struct language languages[LANGUAGES_MAX];
    const char *tags[LANGUAGES_MAX];
};

/* What stands in the folder. */
struct source {
    struct translated *t;
    const char *dir;
    const char *const *files, *const *names;
    size_t name_count;
};

static enum result add(void *ctx, const char *tag, struct messages *messages, struct error *err)
{
    const struct source *s = ctx;
    struct language *language = &s->t->languages[s->t->count];
    const struct message *unused;
    char text[TEXT_BYTES_MAX];

    memcpy(language->tag, tag, strlen(tag));
    language->page = mem_alloc(s->t->file_count * sizeof(struct template *));
    s->t->tags[s->t->count++] = language->tag;
    for (size_t i = 0; i < s->t->file_count; i++) {
        language->page[i] = template_load(s->dir, s->files[i], s->names, s->name_count, messages,
                                          text, sizeof text);
        if (language->page[i] == NULL)
            return error_set(err, RESULT_FATAL, "configuration", "template %s", text);
    }
    unused = messages_unused(messages, "");
    if (unused != NULL)
        return error_set(err, RESULT_FATAL, "configuration",
                         "message file %s:%u: no template says \"%.*s\"", messages_file(messages),
                         unused->line, (int)unused->key_len, unused->key);
    return RESULT_OK;
}

enum result translated_load(const char *dir, const char *const *files, size_t file_count,
                            const char *const *names, size_t name_count, struct translated **out,
                            struct error *err)
{
    struct translated *t = mem_alloc(sizeof *t);
    struct source source = {t, dir, files, names, name_count};
    enum result result;

    t->file_count = file_count;
    result = languages_read(dir, add, &source, err);
    if (result != RESULT_OK) {
        translated_free(t);
        return result;
    }
    *out = t;
    return RESULT_OK;
}

void translated_free(struct translated *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->count; i++) {
        for (size_t j = 0; j < t->file_count; j++)
            template_free(t->languages[i].page[j]);
        free(t->languages[i].page);
    }
    free(t);
}

size_t translated_find(const struct translated *t, const char *tag)
{
    int i = tag == NULL ? -1 : language_find(tag, strlen(tag), t->tags, t->count);

    return i < 0 ? 0 : (size_t)i;
}

size_t translated_choose(const struct translated *t, const char *header)
{
    int i = header == NULL ? -1 : language_choose(header, strlen(header), t->tags, t->count);

    return i < 0 ? 0 : (size_t)i;
}

const char *translated_tag(const struct translated *t, size_t language)
{
    return t->tags[language];
}

const char *translated_direction(const struct translated *t, size_t language)
{
    const char *tag = t->tags[language];

    return language_right_to_left(tag, strlen(tag)) ? "rtl" : "ltr";
}

const struct template *translated_page(const struct translated *t, size_t language, size_t file)
{
    return t->languages[language].page[file];
}
