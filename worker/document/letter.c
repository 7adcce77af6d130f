/* Owns the templates of letters. Knows nothing of who gets them, or how. */
#include "letter.h"

#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"
#include "../core/language.h"
#include "languages.h"

#define TEXT_BYTES_MAX 512
#define FILES          4

static const char *const files[FILES] = {"renew.txt", "renew.html", "receipt.txt", "receipt.html"};

static const char *const names[LETTER_VALUES] = {
    "lang",           "dir",          "title", "customer", "merchant", "due_text", "amount_text",
    "receipt_number", "paid_at_text", "card",  "url",      "day"};

struct language {
    char tag[LANGUAGE_BYTES_MAX + 1];
    struct template *page[FILES];
};

struct letters {
    const char *dir; /* while loading */
    struct language languages[LANGUAGES_MAX];
    const char *tags[LANGUAGES_MAX];
    size_t count;
};

static enum result add(void *ctx, const char *tag, struct messages *messages, struct error *err)
{
    struct letters *l = ctx;
    struct language *language = &l->languages[l->count];
    const struct message *unused;
    char text[TEXT_BYTES_MAX];

    memcpy(language->tag, tag, strlen(tag));
    l->tags[l->count++] = language->tag;
    for (size_t i = 0; i < FILES; i++) {
        language->page[i] =
            template_load(l->dir, files[i], names, LETTER_VALUES, messages, text, sizeof text);
        if (language->page[i] == NULL)
            return error_set(err, RESULT_FATAL, "configuration", "mail template %s", text);
    }
    unused = messages_unused(messages, "");
    if (unused != NULL)
        return error_set(err, RESULT_FATAL, "configuration",
                         "message file %s:%u: no letter says \"%.*s\"", messages_file(messages),
                         unused->line, (int)unused->key_len, unused->key);
    return RESULT_OK;
}

enum result letters_load(const char *dir, struct letters **out, struct error *err)
{
    struct letters *l = mem_alloc(sizeof *l);
    enum result result;

    l->dir = dir;
    result = languages_read(dir, add, l, err);
    if (result != RESULT_OK) {
        letters_free(l);
        return result;
    }
    *out = l;
    return RESULT_OK;
}

void letters_free(struct letters *l)
{
    if (l == NULL)
        return;
    for (size_t i = 0; i < l->count; i++) {
        for (size_t j = 0; j < FILES; j++)
            template_free(l->languages[i].page[j]);
    }
    free(l);
}

static size_t find(const struct letters *l, const char *locale)
{
    int i = locale == NULL ? -1 : language_find(locale, strlen(locale), l->tags, l->count);

    return i < 0 ? 0 : (size_t)i; /* English is the first */
}

const char *letters_language(const struct letters *l, const char *locale)
{
    return l->tags[find(l, locale)];
}

static char *render(const struct template *page, const struct template_value *values)
{
    size_t size = template_size(page, values);
    char *out = mem_alloc(size + 1);

    (void)template_write(page, values, out);
    return out;
}

void letter_write(const struct letters *l, const char *language, enum letter letter,
                  struct template_value values[LETTER_VALUES], struct letter_text *out)
{
    const struct language *in = &l->languages[find(l, language)];
    size_t subject_len;
    char *text;

    values[LETTER_LANG] = (struct template_value){in->tag, strlen(in->tag)};
    values[LETTER_DIR] = (struct template_value){
        language_right_to_left(in->tag, strlen(in->tag)) ? "rtl" : "ltr", 3};
    text = render(in->page[2 * letter], values);
    subject_len = strcspn(text, "\n");
    out->subject = mem_strndup(text, subject_len);
    out->text = mem_strdup(text + subject_len + strspn(text + subject_len, "\n"));
    out->html = render(in->page[2 * letter + 1], values);
    free(text);
}

void letter_text_free(struct letter_text *text)
{
    free(text->subject);
    free(text->text);
    free(text->html);
}
