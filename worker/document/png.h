/*
 * Logos: PNG files of strangers, checked and reduced to what a picture needs.
 *
 * Kept are IHDR, PLTE, tRNS, IDAT and IEND, with checksums verified; texts, profiles, dates and
 * animations are left out. The compressed picture itself is not opened.
 */
#ifndef PAYLINK_DOCUMENT_PNG_H
#define PAYLINK_DOCUMENT_PNG_H

#include <stddef.h>
#include <stdint.h>

#define PNG_BYTES_MAX  65536
#define PNG_PIXELS_MAX 512 /* width and height, each */

struct png_size {
    uint32_t width, height;
};

/* NULL with *size and *out_size, or a sentence that says what is wrong. `out` has room for
 * PNG_BYTES_MAX bytes. */
const char *png_reduce(const uint8_t *in, size_t in_size, uint8_t *out, size_t *out_size,
                       struct png_size *size);

#endif
