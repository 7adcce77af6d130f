/* Owns secrets in memory; knows nothing of what they open. */
#include "secret.h"

#include <string.h>

#include "../core/file.h"
#include "mem.h"

static enum result first_line(const char *path, const char *text, char **out, struct error *err)
{
    size_t len = strcspn(text, "\n");

    if (len == 0) {
        return error_set(err, RESULT_FATAL, "secret_empty", "%s: the first line is empty", path);
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f) {
            return error_set(err, RESULT_FATAL, "secret_malformed",
                             "%s: the first line contains a control character", path);
        }
    }
    *out = mem_strndup(text, len);
    return RESULT_OK;
}

enum result secret_load(const char *path, char **out, struct error *err)
{
    enum result result;
    char why[160];
    char *text;
    size_t len;

    *out = NULL;
    if (file_read(path, FILE_SECRET, SECRET_BYTES_MAX, &text, &len, why, sizeof(why)) != 0) {
        return error_set(err, RESULT_FATAL, "secret_unreadable", "%s %s", path, why);
    }
    if (memchr(text, '\0', len) != NULL) {
        result = error_set(err, RESULT_FATAL, "secret_malformed", "%s contains a NUL", path);
    } else {
        result = first_line(path, text, out, err);
    }
    file_wipe(text, len);
    return result;
}

void secret_free(char *secret)
{
    if (secret != NULL) {
        file_wipe(secret, strlen(secret));
    }
}
