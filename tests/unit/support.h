/* For the unit tests: files in a private folder, and children whose end and stderr are seen. */
#ifndef PAYLINK_TESTS_UNIT_SUPPORT_H
#define PAYLINK_TESTS_UNIT_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SUPPORT_PATH_MAX 256

/* A folder of its own for each test: setup/teardown for cmocka_unit_test_setup_teardown(). */
static char folder[64];

static inline int folder_make(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/paylink-unit-XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static inline int folder_remove(void **state)
{
    char command[SUPPORT_PATH_MAX];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command); /* NOLINT(cert-env33-c): a fixed command on our own folder */
}

/* folder/name; valid until the next call. */
static inline const char *path_of(const char *name)
{
    static char path[SUPPORT_PATH_MAX];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static inline const char *file_write(const char *name, const void *content, size_t len,
                                     unsigned mode)
{
    const char *path = path_of(name);
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
    return path;
}

static inline const char *file_text(const char *name, const char *text)
{
    return file_write(name, text, strlen(text), 0600);
}

/* A child's wait status and what it wrote to stderr, cut at size - 1. */
static inline int child_run(void (*body)(const void *), const void *argument, char *out,
                            size_t size)
{
    int ends[2], status;
    size_t got = 0;
    ssize_t n;
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        body(argument);
        _exit(0);
    }
    close(ends[1]);
    while ((n = read(ends[0], out + got, size - 1 - got)) > 0) {
        got += (size_t)n;
    }
    out[got] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

#endif
