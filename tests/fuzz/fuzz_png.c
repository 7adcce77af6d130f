/* Logos: whatever the bytes, what is kept is a smaller or equal PNG that is kept again as it is. */
#include "fuzz.h"

#include "../../worker/document/png.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t once[PNG_BYTES_MAX], twice[PNG_BYTES_MAX];
    uint8_t *in = (uint8_t *)exact_copy(data, size);
    struct png_size first, second;
    size_t n = 0, again = 0;

    if (png_reduce(in, size, once, &n, &first) == NULL) {
        CHECK(n <= size && first.width >= 1 && first.width <= PNG_PIXELS_MAX);
        CHECK(first.height >= 1 && first.height <= PNG_PIXELS_MAX);
        CHECK(png_reduce(once, n, twice, &again, &second) == NULL);
        CHECK(again == n && memcmp(once, twice, n) == 0);
    }
    free(in);
    return 0;
}
