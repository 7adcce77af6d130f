/* Owns the lines on stderr; knows nothing of what happened. */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

#define MESSAGE_BYTES_MAX 2048
/* Every byte of the message may become \xNN; time, level, program and area stand before it. */
#define LINE_BYTES_MAX (4 * MESSAGE_BYTES_MAX + 256)

static const char *log_program = "paylink";
static enum log_level log_level_min = LOG_LEVEL_INFO;

static const char *const level_names[] = {
    [LOG_LEVEL_DEBUG] = "debug",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_ERROR] = "error",
};

void log_init(const char *program, enum log_level level)
{
    log_program = program;
    log_level_min = level;
}

/* Copies `text` without what could end or forge a line. Returns the bytes written. */
static size_t escape(const char *text, char *out)
{
    static const char digits[] = "0123456789abcdef";
    char *at = out;

    for (; *text != '\0'; text++) {
        uint8_t c = (uint8_t)*text;

        if (c >= ' ' && c != 0x7f) {
            *at++ = (char)c;
        } else {
            *at++ = '\\';
            *at++ = 'x';
            *at++ = digits[c >> 4];
            *at++ = digits[c & 15];
        }
    }
    return (size_t)(at - out);
}

static void __attribute__((format(printf, 3, 0)))
write_line(enum log_level level, const char *area, const char *fmt, va_list ap)
{
    char message[MESSAGE_BYTES_MAX], line[LINE_BYTES_MAX], time[CLOCK_ISO_SIZE];
    size_t len, done = 0;
    int n;

    n = vsnprintf(message, sizeof(message), fmt, ap);
    if (n < 0) {
        snprintf(message, sizeof(message), "a message that cannot be formatted: %s", fmt);
    } else if ((size_t)n >= sizeof(message)) {
        memcpy(message + sizeof(message) - 4, "...", 4);
    }
    clock_iso(clock_wall_ms(), time);
    n = snprintf(line, 250, "%s %s %.64s[%ld] %.64s: ", time, level_names[level], log_program,
                 (long)getpid(), area);
    len = n > 0 ? (size_t)n : 0;
    len += escape(message, line + len);
    line[len++] = '\n';

    /* One write for the whole line: lines of several processes on one pipe stay whole. */
    while (done < len) {
        ssize_t written = write(STDERR_FILENO, line + done, len - done);

        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return;
        }
        done += (size_t)written;
    }
}

void log_write(enum log_level level, const char *area, const char *fmt, ...)
{
    int saved_errno = errno;
    va_list ap;

    if (level < log_level_min) {
        return;
    }
    va_start(ap, fmt);
    write_line(level, area, fmt, ap);
    va_end(ap);
    errno = saved_errno;
}

void fatal(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    write_line(LOG_LEVEL_ERROR, "fatal", fmt, ap);
    va_end(ap);
    exit(EXIT_FAILURE);
}
