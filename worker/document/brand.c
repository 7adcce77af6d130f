/* The style sheet of a merchant. Knows the names of paylink.css that an accent changes. */
#include "brand.h"

#include <stdio.h>

static size_t scheme_write(const struct colour_scheme *scheme, char *out, size_t size)
{
    char accent[COLOUR_TEXT_SIZE + 1], deep[COLOUR_TEXT_SIZE + 1], on[COLOUR_TEXT_SIZE + 1];

    colour_format(scheme->accent, accent);
    colour_format(scheme->deep, deep);
    colour_format(scheme->on, on);
    return (size_t)snprintf(out, size, ":root{--accent:%s;--accent-deep:%s;--on-accent:%s}", accent,
                            deep, on);
}

size_t brand_sheet(struct colour accent, char out[BRAND_SHEET_SIZE])
{
    struct colour_scheme light = colour_scheme_light(accent), dark = colour_scheme_dark(accent);
    size_t n = scheme_write(&light, out, BRAND_SHEET_SIZE);

    n += (size_t)snprintf(out + n, BRAND_SHEET_SIZE - n,
                          "@media screen and (prefers-color-scheme:dark){");
    n += scheme_write(&dark, out + n, BRAND_SHEET_SIZE - n);
    n += (size_t)snprintf(out + n, BRAND_SHEET_SIZE - n, "}\n");
    return n;
}
