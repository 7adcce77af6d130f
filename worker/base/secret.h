/* Secrets from files: passwords, API keys, signing keys. */
#ifndef PAYLINK_BASE_SECRET_H
#define PAYLINK_BASE_SECRET_H

#include "result.h"

#define SECRET_BYTES_MAX 4096

/*
 * A secret: the first line of `path`, without the newline. Refused when the file can be read by
 * others (mode & 07), is larger than SECRET_BYTES_MAX, or its first line is empty or has a control
 * character. *out: wipe and free with secret_free().
 */
enum result secret_load(const char *path, char **out, struct error *err) MUST_CHECK;
void secret_free(char *secret); /* NULL is fine */

#endif
