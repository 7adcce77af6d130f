/*
 * An accent colour that anybody can read, from any colour a merchant likes.
 *
 * Contrast is WCAG 2's: (L1 + 0.05) / (L2 + 0.05) of relative luminances. Everything is integer
 * arithmetic, rounded to the safe side, so that the same colour gives the same bytes everywhere.
 */
#ifndef PAYLINK_DOCUMENT_COLOUR_H
#define PAYLINK_DOCUMENT_COLOUR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COLOUR_TEXT_SIZE 7 /* "#0b6655", no NUL */

struct colour {
    uint8_t red, green, blue;
};

/* What a page needs of an accent, on one ground. Text in `accent` or `deep` on any ground of the
 * pages, and text in `on` upon either of them, has a contrast of at least 4.5:1. */
struct colour_scheme {
    struct colour accent, deep, on;
};

/* "#0b6655", either case; false for anything else. */
bool colour_parse(const char *text, size_t len, struct colour *out);
void colour_format(struct colour colour, char out[COLOUR_TEXT_SIZE + 1]);

/* Relative luminance, 0 to 10^10. */
uint64_t colour_luminance(struct colour colour);

/* The accent, darkened or lightened no more than its ground demands. */
struct colour_scheme colour_scheme_light(struct colour accent);
struct colour_scheme colour_scheme_dark(struct colour accent);

#endif
