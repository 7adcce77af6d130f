/* Accept-Language: any bytes give a language that the header names, or none. */
#include "fuzz.h"

#include <strings.h>

#include "../../worker/core/language.h"

static const char *const languages[] = {"en", "zh", "zh-Hant"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *header = malloc(size + 1);
    int chosen;

    CHECK(header != NULL);
    memcpy(header, data, size);
    chosen = language_choose(header, size, languages, 3);
    CHECK(chosen >= -1 && chosen < 3);
    if (chosen >= 0) {
        size_t len = strlen(languages[chosen]), at = 0;

        while (at + len <= size && strncasecmp(header + at, languages[chosen], len) != 0)
            at++;
        CHECK(at + len <= size);
    }
    free(header);
    return 0;
}
