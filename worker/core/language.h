/*
 * Languages of readers: BCP 47 tags and the Accept-Language header (RFC 9110, 12.5.4). A tag
 * matches the language that it is or that it begins with, up to a hyphen ("de-CH" matches "de"):
 * RFC 4647's lookup. No case is told apart.
 */
#ifndef PAYLINK_CORE_LANGUAGE_H
#define PAYLINK_CORE_LANGUAGE_H

#include <stdbool.h>
#include <stddef.h>

#define LANGUAGE_BYTES_MAX  16  /* a tag of ours */
#define LANGUAGE_HEADER_MAX 512 /* of a header, more is not looked at */

/* The index of the language in `languages` that the tag matches best, or -1. */
int language_find(const char *tag, size_t len, const char *const *languages, size_t count);

/* The index of the language that the header prefers: the highest quality, of several the first
 * named; what it excludes by q=0 is none. -1: it names none of them, or none that can be read. */
int language_choose(const char *header, size_t len, const char *const *languages, size_t count);

/* Whether what is written in it runs from right to left. */
bool language_right_to_left(const char *tag, size_t len);

#endif
