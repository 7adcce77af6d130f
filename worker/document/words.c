/* Owns the worker's words. Knows nothing of what they are said about. */
#include "words.h"

#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"
#include "../io/locale.h"
#include "languages.h"

static const char *const keys[WORDS] = {"worker_title"};

struct language {
    char tag[LANGUAGE_BYTES_MAX + 1];
    struct locale_message *word[WORDS];
};

struct words {
    struct language languages[LANGUAGES_MAX];
    const char *tags[LANGUAGES_MAX];
    size_t count;
};

static enum result read_words(struct language *language, struct messages *messages,
                              struct error *err)
{
    for (size_t i = 0; i < WORDS; i++) {
        const struct message *message = messages_find(messages, keys[i], strlen(keys[i]));

        if (message == NULL)
            return error_set(err, RESULT_FATAL, "configuration", "message file %s: no \"%s\"",
                             messages_file(messages), keys[i]);
        language->word[i] = locale_message_new(language->tag, message->text, message->len);
        if (language->word[i] == NULL)
            return error_set(
                err, RESULT_FATAL, "configuration",
                "message file %s:%u: ICU cannot read \"%s\", {0} is missing or odd in it, or "
                "there is no such language",
                messages_file(messages), message->line, keys[i]);
    }
    return RESULT_OK;
}

static enum result add(void *ctx, const char *tag, struct messages *messages, struct error *err)
{
    struct words *w = ctx;
    struct language *language = &w->languages[w->count];

    memcpy(language->tag, tag, strlen(tag));
    w->tags[w->count++] = language->tag;
    return read_words(language, messages, err);
}

enum result words_load(const char *pages_dir, struct words **out, struct error *err)
{
    struct words *w = mem_alloc(sizeof *w);
    enum result result = languages_read(pages_dir, add, w, err);

    if (result != RESULT_OK) {
        words_free(w);
        return result;
    }
    *out = w;
    return RESULT_OK;
}

void words_free(struct words *w)
{
    if (w == NULL)
        return;
    for (size_t i = 0; i < w->count; i++) {
        for (size_t j = 0; j < WORDS; j++)
            locale_message_free(w->languages[i].word[j]);
    }
    free(w);
}

static int find(const struct words *w, const char *locale)
{
    return locale == NULL ? -1 : language_find(locale, strlen(locale), w->tags, w->count);
}

const char *words_language(const struct words *w, const char *locale)
{
    int i = find(w, locale);

    return i < 0 ? NULL : w->tags[i];
}

size_t words_write(const struct words *w, const char *locale, enum word word, int64_t number,
                   const char *text, char *out, size_t out_size)
{
    int i = find(w, locale);

    return locale_message_write(w->languages[i < 0 ? find(w, "en") : i].word[word], number, text,
                                out, out_size);
}
