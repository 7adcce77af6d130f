/* Finds and reads message files. Knows nothing of what they are for. */
#include "languages.h"

#include <glob.h>
#include <stdio.h>
#include <string.h>

#define PATH_BYTES_MAX 4096
#define TEXT_BYTES_MAX 512
#define SUFFIX_LEN     (sizeof ".txt" - 1)
#define ENGLISH        "en.txt"

static enum result wrong(struct error *err, const char *why)
{
    return error_set(err, RESULT_FATAL, "configuration", "message file %s", why);
}

static enum result load(const char *dir, const char *file, struct messages **out, struct error *err)
{
    char text[TEXT_BYTES_MAX];

    *out = messages_load(dir, file, text, sizeof text);
    return *out != NULL ? RESULT_OK : wrong(err, text);
}

static enum result read_one(const char *dir, const char *file, const struct messages *english,
                            language_fn fn, void *ctx, struct error *err)
{
    size_t len = strlen(file) - SUFFIX_LEN;
    char tag[LANGUAGE_BYTES_MAX + 1], text[TEXT_BYTES_MAX];
    struct messages *messages;
    enum result result;

    if (len == 0 || len > LANGUAGE_BYTES_MAX)
        return error_set(err, RESULT_FATAL, "configuration", "message file %s/%s: is no language",
                         dir, file);
    (void)snprintf(tag, sizeof tag, "%.*s", (int)len, file);
    result = load(dir, file, &messages, err);
    if (result != RESULT_OK)
        return result;
    if (messages_check(messages, english, text, sizeof text) != 0)
        result = wrong(err, text);
    else
        result = fn(ctx, tag, messages, err);
    messages_free(messages);
    return result;
}

static enum result read_others(const char *dir, const glob_t *found, const struct messages *english,
                               language_fn fn, void *ctx, struct error *err)
{
    enum result result = RESULT_OK;

    if (found->gl_pathc > LANGUAGES_MAX)
        return error_set(err, RESULT_FATAL, "configuration", "%s: more than %d message files", dir,
                         LANGUAGES_MAX);
    for (size_t i = 0; i < found->gl_pathc && result == RESULT_OK; i++) {
        const char *file = strrchr(found->gl_pathv[i], '/') + 1;

        if (strcmp(file, ENGLISH) != 0)
            result = read_one(dir, file, english, fn, ctx, err);
    }
    return result;
}

enum result languages_read(const char *pages_dir, language_fn fn, void *ctx, struct error *err)
{
    char dir[PATH_BYTES_MAX], pattern[PATH_BYTES_MAX];
    struct messages *english;
    glob_t found = {0};
    enum result result;

    if (snprintf(pattern, sizeof pattern, "%s/messages/*.txt", pages_dir) >= (int)sizeof pattern)
        return error_set(err, RESULT_FATAL, "configuration", "the path of %s is too long",
                         pages_dir);
    (void)snprintf(dir, sizeof dir, "%.*s", (int)(strlen(pattern) - strlen("/*.txt")), pattern);
    result = load(dir, ENGLISH, &english, err);
    if (result != RESULT_OK)
        return result;
    result = fn(ctx, "en", english, err);
    if (result == RESULT_OK && glob(pattern, 0, NULL, &found) == 0)
        result = read_others(dir, &found, english, fn, ctx, err);
    globfree(&found);
    messages_free(english);
    return result;
}
