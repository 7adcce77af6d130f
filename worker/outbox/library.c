/* Loads the function library into Redis. Knows nothing of what the functions do. */
#include "library.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_AREA "library"
#include "../base/log.h"
#include "../base/mem.h"

#define LIBRARY_BYTES_MAX (1024 * 1024)

struct library {
    char *text;
    size_t len;
};

enum result library_read(const char *path, struct library **out, struct error *err)
{
    struct library *library;
    FILE *file = fopen(path, "rb");

    if (file == NULL)
        return error_set(err, RESULT_FATAL, "configuration",
                         "the Redis functions cannot be read from %s: %s", path, strerror(errno));
    library = mem_alloc(sizeof *library);
    library->text = mem_alloc(LIBRARY_BYTES_MAX + 1);
    library->len = fread(library->text, 1, LIBRARY_BYTES_MAX + 1, file);
    (void)fclose(file);
    if (library->len == 0 || library->len > LIBRARY_BYTES_MAX) {
        library_free(library);
        return error_set(err, RESULT_FATAL, "configuration", "%s is empty or larger than %d bytes",
                         path, LIBRARY_BYTES_MAX);
    }
    *out = library;
    return RESULT_OK;
}

void library_free(struct library *library)
{
    if (library == NULL)
        return;
    free(library->text);
    free(library);
}

static void on_loaded(void *ctx, const struct redisReply *reply)
{
    (void)ctx;
    if (reply != NULL && redis_reply_error(reply) != NULL)
        log_error("the function library was not taken: %s", redis_reply_error(reply));
}

void library_load(struct library *library, struct redis *redis)
{
    struct redis_args *args = redis_args_new();

    redis_args_text(args, "FUNCTION");
    redis_args_text(args, "LOAD");
    redis_args_text(args, "REPLACE");
    redis_args_bytes(args, library->text, library->len);
    if (redis_send_take(redis, args, on_loaded, NULL) != RESULT_OK)
        log_debug("not connected: the library is loaded after the reconnect");
}
