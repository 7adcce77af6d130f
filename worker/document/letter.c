/* Owns the templates of letters. Knows nothing of who gets them, or how. */
#include "letter.h"

#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"

#define FILES 4

static const char *const files[FILES] = {"renew.txt", "renew.html", "receipt.txt", "receipt.html"};

static const char *const names[LETTER_VALUES] = {
    "lang",           "dir",          "title", "customer", "merchant", "due_text", "amount_text",
    "receipt_number", "paid_at_text", "card",  "url",      "day"};

enum result letters_load(const char *dir, struct translated **out, struct error *err)
{
    return translated_load(dir, files, FILES, names, LETTER_VALUES, out, err);
}

static char *render(const struct template *page, const struct template_value *values)
{
    size_t size = template_size(page, values);
    char *out = mem_alloc(size + 1);

    (void)template_write(page, values, out);
    return out;
}

void letter_write(const struct translated *letters, size_t language, enum letter letter,
                  struct template_value values[LETTER_VALUES], struct letter_text *out)
{
    const char *tag = translated_tag(letters, language);
    size_t subject_len;
    char *text;

    values[LETTER_LANG] = (struct template_value){tag, strlen(tag)};
    values[LETTER_DIR] = (struct template_value){translated_direction(letters, language), 3};
    text = render(translated_page(letters, language, 2 * letter), values);
    subject_len = strcspn(text, "\n");
    out->subject = mem_strndup(text, subject_len);
    out->text = mem_strdup(text + subject_len + strspn(text + subject_len, "\n"));
    out->html = render(translated_page(letters, language, 2 * letter + 1), values);
    free(text);
}

void letter_text_free(struct letter_text *text)
{
    free(text->subject);
    free(text->text);
    free(text->html);
}
