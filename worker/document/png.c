/* The container of PNG, chunk by chunk (ISO/IEC 15948). Must not trust a byte of it. */
#include "png.h"

#include <stdbool.h>
#include <string.h>

#define SIGNATURE_SIZE 8
#define HEADER_SIZE    13
#define CHUNK_EXTRA    12 /* length, type, checksum */

struct png_chunk {
    const uint8_t *start, *type, *data;
    uint32_t size;
};

static const uint8_t signature[SIGNATURE_SIZE] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

static uint32_t number_read(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t checksum(const uint8_t *p, size_t n)
{
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0xedb88320 & (0 - (crc & 1)));
    }
    return ~crc;
}

static bool chunk_read(const uint8_t *p, size_t left, struct png_chunk *chunk)
{
    if (left < CHUNK_EXTRA)
        return false;
    chunk->start = p;
    chunk->size = number_read(p);
    chunk->type = p + 4;
    chunk->data = p + 8;
    if (chunk->size > left - CHUNK_EXTRA)
        return false;
    return checksum(chunk->type, (size_t)chunk->size + 4) == number_read(chunk->data + chunk->size);
}

static bool is(const struct png_chunk *chunk, const char *type)
{
    return memcmp(chunk->type, type, 4) == 0;
}

static const char *header_check(const struct png_chunk *chunk, struct png_size *size)
{
    static const uint8_t depths[7] = {0x1f, 0, 0x18, 0x0f, 0x18, 0, 0x18}; /* bit n: 2^n bits */
    uint8_t depth, kind;
    bool known = false;

    if (!is(chunk, "IHDR") || chunk->size != HEADER_SIZE)
        return "The PNG does not begin with a header.";
    size->width = number_read(chunk->data);
    size->height = number_read(chunk->data + 4);
    depth = chunk->data[8];
    kind = chunk->data[9];
    if (size->width == 0 || size->height == 0 || size->width > PNG_PIXELS_MAX ||
        size->height > PNG_PIXELS_MAX)
        return "A logo has at most 512 by 512 pixels.";
    for (unsigned n = 0; n < 5 && kind < sizeof depths; n++)
        known = known || ((depths[kind] >> n & 1) != 0 && depth == 1u << n);
    if (!known || chunk->data[10] != 0 || chunk->data[11] != 0 || chunk->data[12] > 1)
        return "The PNG is of a kind that the standard does not have.";
    return NULL;
}

const char *png_reduce(const uint8_t *in, size_t in_size, uint8_t *out, size_t *out_size,
                       struct png_size *size)
{
    struct png_chunk chunk;
    size_t at = SIGNATURE_SIZE, n = SIGNATURE_SIZE;
    bool picture = false, first = true;
    const char *wrong;

    if (in_size > PNG_BYTES_MAX)
        return "A logo has at most 64 KiB.";
    if (in_size < SIGNATURE_SIZE || memcmp(in, signature, SIGNATURE_SIZE) != 0)
        return "A logo is a PNG file; other kinds, SVG among them, have to be exported as PNG.";
    memcpy(out, in, SIGNATURE_SIZE);
    for (;; first = false) {
        if (!chunk_read(in + at, in_size - at, &chunk))
            return "The PNG is damaged or incomplete.";
        wrong = first ? header_check(&chunk, size) : NULL;
        if (wrong != NULL)
            return wrong;
        at += (size_t)chunk.size + CHUNK_EXTRA;
        picture = picture || is(&chunk, "IDAT");
        if (is(&chunk, "IHDR") || is(&chunk, "PLTE") || is(&chunk, "tRNS") || is(&chunk, "IDAT") ||
            is(&chunk, "IEND")) {
            memcpy(out + n, chunk.start, (size_t)chunk.size + CHUNK_EXTRA);
            n += (size_t)chunk.size + CHUNK_EXTRA;
        } else if ((chunk.type[0] & 0x20) == 0) {
            return "The PNG has a part that is needed and that nobody knows.";
        }
        if (is(&chunk, "IEND"))
            break;
    }
    if (!picture)
        return "There is no picture in the PNG.";
    *out_size = n;
    return NULL;
}
