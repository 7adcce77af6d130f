/*
 * The one result type of the worker. Whether a failure may be tried again is
 * decided where it is born, never guessed further up.
 */
#ifndef PAYLINK_BASE_RESULT_H
#define PAYLINK_BASE_RESULT_H

enum result {
    RESULT_OK = 0,
    RESULT_RETRY,    /* nothing was decided; the same call may succeed later */
    RESULT_REJECTED, /* the input is wrong; the same call fails again */
    RESULT_FATAL     /* this process cannot go on: configuration, memory, broken invariant */
};

#define MUST_CHECK __attribute__((warn_unused_result))

/*
 * What a person is told. `code` is stable and machine-readable (snake_case),
 * `text` is one sentence: what is wrong, where, and what to do about it.
 */
struct error {
    char code[48];
    char text[464];
};

/* Fills *err (which may be NULL) and returns `r`, so that callers can `return error_set(…)`. */
enum result error_set(struct error *err, enum result r, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
