/*
 * libcurl's multi interface on the event loop, for http.c and smtp.c: the only files that include
 * libcurl.
 */
#ifndef PAYLINK_IO_MULTI_H
#define PAYLINK_IO_MULTI_H

#include <curl/curl.h>
#include <stdint.h>

#include "loop.h"

struct multi;

/* A transfer has ended; `owner` is its CURLOPT_PRIVATE. Called from the loop, never from inside
 * libcurl: multi_remove() and multi_add() are allowed. */
typedef void (*multi_fn)(void *owner, CURLcode code);

struct multi *multi_new(struct loop *loop, int64_t connections_max, multi_fn fn);
/* Every handle has to be removed before. */
void multi_free(struct multi *multi);

void multi_add(struct multi *multi, CURL *easy);
void multi_remove(struct multi *multi, CURL *easy);

#endif
