/* Owns the choice of a language. Knows nothing of messages and pages. */
#include "language.h"

#include <string.h>
#include <strings.h>

#define QUALITY_MAX 1000

/* Of what the header lists, between commas. */
struct range {
    const char *tag;
    size_t len;
    int quality; /* thousandths; -1: cannot be read */
};

int language_find(const char *tag, size_t len, const char *const *languages, size_t count)
{
    size_t best_len = 0;
    int best = -1;

    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(languages[i]);

        if (n > best_len && len >= n && (len == n || tag[n] == '-') &&
            strncasecmp(tag, languages[i], n) == 0) {
            best = (int)i;
            best_len = n;
        }
    }
    return best;
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    return at;
}

static size_t without_blanks(const char *at, const char *end)
{
    while (end > at && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return (size_t)(end - at);
}

/* "0.8": at most three digits behind the point. */
static int quality_read(const char *at, size_t len)
{
    int quality, unit = QUALITY_MAX / 10;

    if (len == 0 || len > 5 || at[0] < '0' || at[0] > '1' || (len > 1 && at[1] != '.'))
        return -1;
    quality = (at[0] - '0') * QUALITY_MAX;
    for (size_t i = 2; i < len; i++, unit /= 10) {
        if (at[i] < '0' || at[i] > '9')
            return -1;
        quality += (at[i] - '0') * unit;
    }
    return quality <= QUALITY_MAX ? quality : -1;
}

/* "de-CH" or "de-CH;q=0.8" */
static struct range range_read(const char *at, const char *end)
{
    const char *semicolon = memchr(at, ';', (size_t)(end - at));
    struct range range = {.quality = QUALITY_MAX};

    range.tag = skip_blanks(at, end);
    range.len = without_blanks(range.tag, semicolon != NULL ? semicolon : end);
    if (semicolon != NULL) {
        const char *q = skip_blanks(semicolon + 1, end);
        size_t len = without_blanks(q, end);

        range.quality = len > 2 && (q[0] == 'q' || q[0] == 'Q') && q[1] == '='
                            ? quality_read(q + 2, len - 2)
                            : -1;
    }
    return range;
}

int language_choose(const char *header, size_t len, const char *const *languages, size_t count)
{
    const char *at = header,
               *end = header + (len < LANGUAGE_HEADER_MAX ? len : LANGUAGE_HEADER_MAX);
    int best = -1, best_quality = 0;

    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma != NULL ? comma : end;
        struct range range;

        /* the last one may have been cut */
        if (comma == NULL && len > LANGUAGE_HEADER_MAX)
            break;
        range = range_read(at, stop);
        if (range.quality > best_quality) {
            int found = language_find(range.tag, range.len, languages, count);

            if (found >= 0) {
                best = found;
                best_quality = range.quality;
            }
        }
        at = stop < end ? stop + 1 : end;
    }
    return best;
}

bool language_right_to_left(const char *tag, size_t len)
{
    static const char *const all[] = {"ar", "fa", "he", "ur"};

    return language_find(tag, len, all, sizeof all / sizeof *all) >= 0;
}
