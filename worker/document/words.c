/* Owns the worker's words. Knows nothing of what they are said about. */
#include "words.h"

#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"
#include "../io/languages.h"
#include "../io/locale.h"

static const char *const keys[WORDS] = {"worker_title"};

/* Of the pages, but for the first; none of them has a value. */
static const char *const labels[] = {
    "worker_receipt",   "fact_receipt_number", "fact_date",       "fact_paid_to",
    "fact_customer",    "fact_paid_by",        "fact_amount",     "row_invoice",
    "row_amount",       "method_card",         "method_other",    "method_card_on_file_offline",
    "method_cash",      "method_cheque",       "method_transfer", "method_credit",
    "method_prepayment"};

#define LABELS (sizeof labels / sizeof labels[0])

struct language {
    char tag[LANGUAGE_BYTES_MAX + 1];
    struct locale_message *word[WORDS];
    char *label[LABELS];
};

struct words {
    struct language languages[LANGUAGES_MAX];
    const char *tags[LANGUAGES_MAX];
    size_t count;
};

static enum result find_message(struct messages *messages, const char *key,
                                const struct message **out, struct error *err)
{
    *out = messages_find(messages, key, strlen(key));
    return *out != NULL ? RESULT_OK
                        : error_set(err, RESULT_FATAL, "configuration",
                                    "message file %s: no \"%s\"", messages_file(messages), key);
}

static enum result read_words(struct language *language, struct messages *messages,
                              struct error *err)
{
    const struct message *message;

    for (size_t i = 0; i < LABELS; i++) {
        if (find_message(messages, labels[i], &message, err) != RESULT_OK)
            return RESULT_FATAL;
        language->label[i] = mem_strndup(message->text, message->len);
    }
    for (size_t i = 0; i < WORDS; i++) {
        if (find_message(messages, keys[i], &message, err) != RESULT_OK)
            return RESULT_FATAL;
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
        for (size_t j = 0; j < LABELS; j++)
            free(w->languages[i].label[j]);
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

/* English if there is none. */
static const struct language *language_of(const struct words *w, const char *locale)
{
    int i = find(w, locale);

    return &w->languages[i < 0 ? find(w, "en") : i];
}

const char *words_label(const struct words *w, const char *locale, const char *key)
{
    const struct language *language = language_of(w, locale);

    for (size_t i = 0; i < LABELS; i++) {
        if (strcmp(labels[i], key) == 0)
            return language->label[i];
    }
    return NULL;
}

size_t words_write(const struct words *w, const char *locale, enum word word, int64_t number,
                   const char *text, char *out, size_t out_size)
{
    return locale_message_write(language_of(w, locale)->word[word], number, text, out, out_size);
}
