/* Owns reading whole files; knows nothing of what is in them. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

/* The bytes read, at most `size`, or -1 with errno. */
static ssize_t read_up_to(int fd, char *buffer, size_t size)
{
    size_t got = 0;

    while (got < size) {
        ssize_t n = read(fd, buffer + got, size - got);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -1;
        }
        if (n == 0) {
            break;
        }
        got += (size_t)n;
    }
    return (ssize_t)got;
}

static int check(int fd, enum file_kind kind, size_t size_max, size_t *size, char *err,
                 size_t err_size)
{
    struct stat st;

    if (fstat(fd, &st) != 0) {
        snprintf(err, err_size, "cannot be examined: %s", strerror(errno));
        return -1;
    }
    if (!S_ISREG(st.st_mode)) {
        snprintf(err, err_size, "is not a regular file");
        return -1;
    }
    if (kind == FILE_SECRET && (st.st_mode & 07) != 0) {
        snprintf(err, err_size, "may be accessed by others (mode %04o); run chmod o= on it",
                 (unsigned)(st.st_mode & 07777));
        return -1;
    }
    if ((size_t)st.st_size > size_max) {
        snprintf(err, err_size, "is larger than %zu bytes", size_max);
        return -1;
    }
    *size = (size_t)st.st_size;
    return 0;
}

/* Checks and reads through one descriptor: the file that was checked is the one that is read. */
static int read_checked(int fd, enum file_kind kind, size_t size_max, char **out, size_t *len,
                        char *err, size_t err_size)
{
    size_t size;
    ssize_t got;
    char *buffer;

    if (check(fd, kind, size_max, &size, err, err_size) != 0) {
        return -1;
    }
    buffer = malloc(size + 1);
    if (buffer == NULL) {
        snprintf(err, err_size, "does not fit into memory");
        return -1;
    }
    got = read_up_to(fd, buffer, size + 1);
    if (got < 0) {
        snprintf(err, err_size, "cannot be read: %s", strerror(errno));
        free(buffer);
        return -1;
    }
    if ((size_t)got > size) {
        snprintf(err, err_size, "grew while it was read; try again");
        file_wipe(buffer, size + 1);
        return -1;
    }
    buffer[got] = '\0';
    *out = buffer;
    *len = (size_t)got;
    return 0;
}

int file_read(const char *path, enum file_kind kind, size_t size_max, char **out, size_t *len,
              char *err, size_t err_size)
{
    /* O_NONBLOCK: a FIFO in the place of the file is refused, not waited for. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int rc;

    if (fd < 0) {
        snprintf(err, err_size, "cannot be opened: %s", strerror(errno));
        return -1;
    }
    rc = read_checked(fd, kind, size_max, out, len, err, err_size);
    close(fd);
    return rc;
}

void file_wipe(char *content, size_t len)
{
    if (content != NULL) {
        OPENSSL_cleanse(content, len);
        free(content);
    }
}
