/* A pay button as a picture, the twin of config/pages/button.svg: what it says and how it looks is
 * told by the edge in one line. */
#ifndef PAYLINK_DOCUMENT_BUTTON_H
#define PAYLINK_DOCUMENT_BUTTON_H

#include <stddef.h>
#include <stdint.h>

#include "../base/result.h"

/* "LANGUAGE SCALE WIDTH HEIGHT FONT_SIZE #GROUND #INK LABEL" → a PNG; the caller frees the bytes.
 * RESULT_REJECTED for anything else, and if it would have more than `max`. */
enum result button_draw(const char *text, size_t max, uint8_t **out, size_t *len,
                        struct error *err) MUST_CHECK;

#endif
