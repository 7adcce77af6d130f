/*
 * A whole small file in memory: keys, templates, secrets.
 */
#ifndef PAYLINK_CORE_FILE_H
#define PAYLINK_CORE_FILE_H

#include <stddef.h>

enum file_kind {
    FILE_PUBLIC,
    FILE_SECRET /* refused when others may access it (mode & 07); wipe with file_wipe() */
};

/*
 * Reads the regular file `path` of at most `size_max` bytes. 0: *out has *len bytes and a NUL
 * behind them; the caller frees with free() or file_wipe(). -1: `err` says what is wrong, to
 * stand behind the path: "cannot be opened: No such file or directory".
 */
int file_read(const char *path, enum file_kind kind, size_t size_max, char **out, size_t *len,
              char *err, size_t err_size);
void file_wipe(char *content, size_t len); /* overwrites, then frees */

#endif
