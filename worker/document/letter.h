/*
 * Letters: templates (core/template.h) with their words in the languages that there are. Of each a
 * text, whose first line is the subject, and an HTML page that says the same.
 */
#ifndef PAYLINK_DOCUMENT_LETTER_H
#define PAYLINK_DOCUMENT_LETTER_H

#include "../base/result.h"
#include "../core/template.h"
#include "../io/translated.h"

enum letter {
    LETTER_RENEW,  /* renew.txt, renew.html: a new link */
    LETTER_RECEIPT /* receipt.txt, receipt.html */
};

enum letter_value {
    LETTER_LANG,
    LETTER_DIR,
    LETTER_TITLE,
    LETTER_CUSTOMER,
    LETTER_MERCHANT,
    LETTER_DUE_TEXT,
    LETTER_AMOUNT_TEXT,
    LETTER_RECEIPT_NUMBER,
    LETTER_PAID_AT_TEXT,
    LETTER_CARD,
    LETTER_URL,
    LETTER_DAY, /* not empty: the link lives 24 hours after opening */
    LETTER_VALUES
};

struct letter_text {
    char *subject, *text, *html;
};

/* Reads and compiles all of `dir`. RESULT_FATAL with a sentence that names the file. The caller
 * frees with translated_free(). */
enum result letters_load(const char *dir, struct translated **out, struct error *err) MUST_CHECK;

/* In a language of `letters`. LETTER_LANG and LETTER_DIR are filled in here. The caller frees with
 * letter_text_free(). */
void letter_write(const struct translated *letters, size_t language, enum letter letter,
                  struct template_value values[LETTER_VALUES], struct letter_text *out);
void letter_text_free(struct letter_text *text);

#endif
