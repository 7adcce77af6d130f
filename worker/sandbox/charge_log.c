/* Owns the file of the charge log and its durability; knows nothing of what the lines say. */
#include "charge_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/failpoint.h"
#include "../base/mem.h"

#define LOG_AREA "charge_log"
#include "../base/log.h"

#define READ_BYTES (256 * 1024)

struct charge_log {
    int fd;
    char *path;
    int64_t size; /* synced */
    struct writer lines;
};

/* What replay holds of the file: `data` begins at offset `start`. */
struct replay {
    charge_log_fn fn;
    void *ctx;
    char *data;
    size_t len;
    int64_t start;
    int64_t line;
};

/* Consumes the whole lines in the buffer. */
static enum result replay_lines(struct replay *replay, struct error *err)
{
    char *at = replay->data, *end = replay->data + replay->len, *newline;

    while ((newline = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        enum result r = replay->fn(replay->ctx, at, (size_t)(newline - at), err);

        if (r != RESULT_OK) {
            replay->start += at - replay->data;
            replay->len = (size_t)(end - at);
            memmove(replay->data, at, replay->len);
            return r;
        }
        replay->line++;
        at = newline + 1;
    }
    replay->start += at - replay->data;
    replay->len = (size_t)(end - at);
    memmove(replay->data, at, replay->len);
    return replay->len <= CHARGE_LOG_LINE_BYTES_MAX
               ? RESULT_OK
               : error_set(err, RESULT_FATAL, "charge_log_damaged", "a line is too long");
}

static enum result replay_file(struct charge_log *log, struct replay *replay, struct error *err)
{
    size_t room = CHARGE_LOG_LINE_BYTES_MAX + READ_BYTES;
    enum result r = RESULT_OK;
    ssize_t got;

    replay->data = mem_alloc(room);
    while ((got = read(log->fd, replay->data + replay->len, READ_BYTES)) > 0) {
        replay->len += (size_t)got;
        r = replay_lines(replay, err);
        if (r != RESULT_OK) {
            break;
        }
    }
    if (got < 0) {
        r = error_set(err, RESULT_FATAL, "charge_log_unreadable", "%s: %s", log->path,
                      strerror(errno));
    }
    return r;
}

/* True if the damaged line that stopped the replay is the last one of the file. */
static bool damage_at_end(const struct charge_log *log, const struct replay *replay, off_t size)
{
    const char *newline = memchr(replay->data, '\n', replay->len);

    (void)log;
    return newline != NULL && replay->start + (newline + 1 - replay->data) == size;
}

static enum result log_replay(struct charge_log *log, charge_log_fn fn, void *ctx,
                              struct error *err)
{
    struct replay replay = {.fn = fn, .ctx = ctx};
    struct error cause = {"", ""};
    struct stat st;
    enum result r = replay_file(log, &replay, &cause);

    if (fstat(log->fd, &st) != 0) {
        st.st_size = 0;
    }
    if (r != RESULT_OK && !damage_at_end(log, &replay, st.st_size)) {
        error_set(err, r, "charge_log_damaged", "%s, line %lld: %.300s", log->path,
                  (long long)replay.line + 1, cause.text);
        free(replay.data);
        return RESULT_FATAL;
    }
    free(replay.data);
    if (replay.start < st.st_size) {
        log_warn("%s: cut off %lld bytes of a torn last line (line %lld)", log->path,
                 (long long)(st.st_size - replay.start), (long long)replay.line + 1);
        if (ftruncate(log->fd, replay.start) != 0) {
            return error_set(err, RESULT_FATAL, "charge_log_unwritable", "%s: %s", log->path,
                             strerror(errno));
        }
    }
    /* A process that died before its sync left lines that are not on disk yet; now they count. */
    if (fdatasync(log->fd) != 0) {
        return error_set(err, RESULT_FATAL, "charge_log_unwritable", "%s: %s", log->path,
                         strerror(errno));
    }
    log->size = replay.start;
    return RESULT_OK;
}

static enum result log_open_file(struct charge_log *log, const char *dir, struct error *err)
{
    int folder;

    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        return error_set(err, RESULT_FATAL, "data_dir", "sandbox_data_dir %s: %s", dir,
                         strerror(errno));
    }
    log->fd = open(log->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log->fd < 0) {
        return error_set(err, RESULT_FATAL, "charge_log_unwritable", "%s: %s", log->path,
                         strerror(errno));
    }
    if (flock(log->fd, LOCK_EX | LOCK_NB) != 0) {
        return error_set(err, RESULT_FATAL, "charge_log_busy",
                         "%s belongs to another running sandbox", log->path);
    }
    /* The name of a new file is durable only once its folder is. */
    folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || fsync(folder) != 0) {
        error_set(err, RESULT_FATAL, "data_dir", "sandbox_data_dir %s: %s", dir, strerror(errno));
        if (folder >= 0) {
            close(folder);
        }
        return RESULT_FATAL;
    }
    close(folder);
    return RESULT_OK;
}

enum result charge_log_open(const char *dir, charge_log_fn fn, void *ctx, struct charge_log **out,
                            struct error *err)
{
    struct charge_log *log = mem_alloc(sizeof(*log));
    enum result r;

    log->fd = -1;
    log->path = mem_printf("%s/charges.log", dir);
    r = log_open_file(log, dir, err);
    if (r == RESULT_OK) {
        r = log_replay(log, fn, ctx, err);
    }
    if (r != RESULT_OK) {
        charge_log_close(log);
        return r;
    }
    *out = log;
    return RESULT_OK;
}

void charge_log_close(struct charge_log *log)
{
    if (log == NULL) {
        return;
    }
    if (log->fd >= 0) {
        close(log->fd);
    }
    writer_free(&log->lines);
    free(log->path);
    free(log);
}

struct writer *charge_log_lines(struct charge_log *log)
{
    return &log->lines;
}

bool charge_log_dirty(const struct charge_log *log)
{
    return log->lines.len > 0;
}

void charge_log_sync(struct charge_log *log)
{
    size_t done = 0;

    FAILPOINT("sandbox.before_sync");
    while (done < log->lines.len) {
        ssize_t n = write(log->fd, log->lines.data + done, log->lines.len - done);

        if (n < 0 && errno != EINTR) {
            fatal("%s: %s", log->path, strerror(errno));
        }
        done += n > 0 ? (size_t)n : 0;
    }
    if (done > 0 && fdatasync(log->fd) != 0) {
        fatal("%s: %s", log->path, strerror(errno));
    }
    FAILPOINT("sandbox.after_sync");
    log->size += (int64_t)done;
    log->lines.len = 0;
}

int charge_log_fd(const struct charge_log *log)
{
    return log->fd;
}

int64_t charge_log_size(const struct charge_log *log)
{
    return log->size;
}
