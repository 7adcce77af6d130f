/* For the fuzz targets: a check that stays in every build, and exact copies of the input. */
#ifndef PAYLINK_TESTS_FUZZ_FUZZ_H
#define PAYLINK_TESTS_FUZZ_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);              \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An allocation of exactly `size` bytes, so that the sanitizer sees a read beyond; free() it. */
static inline char *exact_copy(const void *data, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);

    CHECK(copy != NULL);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    return copy;
}

/* The next bytes of the input, in order; short inputs give zeros. */
struct input {
    const uint8_t *at;
    size_t left;
};

static inline uint8_t input_byte(struct input *in)
{
    if (in->left == 0) {
        return 0;
    }
    in->left--;
    return *in->at++;
}

static inline void input_bytes(struct input *in, void *out, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        ((uint8_t *)out)[i] = input_byte(in);
    }
}

/* At most `size_max` bytes, as many as the next input byte says. */
static inline size_t input_slice(struct input *in, const char **out, size_t size_max)
{
    size_t size = input_byte(in);

    size = size < size_max ? size : size_max;
    size = size < in->left ? size : in->left;
    *out = (const char *)in->at;
    in->at += size;
    in->left -= size;
    return size;
}

#endif
