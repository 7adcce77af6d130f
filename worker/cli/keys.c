/* paylink keys and settings: the files an installation starts from. Must not know the database. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/mem.h"
#include "../core/token.h"
#include "commands.h"

#define KEY_LINE_SIZE 80 /* "255 " and 64 digits, newline */

static const struct view_field keys_fields[] = {
    {.title = "file", .key = "file"},
    {.title = "mints with key", .key = "kid", .kind = VIEW_NUMBER},
    {.title = "still accepts key", .key = "previous_kid", .kind = VIEW_NUMBER},
    {0},
};
static const struct view keys_view = {"no keys", keys_fields, keys_fields};

/* --file, else the settings' key file. */
static enum result keys_path(const struct call *call, const char **path, struct error *err)
{
    *path = args_text(call->args, "file");
    if (*path == NULL && call->settings != NULL) {
        *path = call->settings->key_file;
    }
    if (*path == NULL) {
        return error_set(err, RESULT_REJECTED, "usage",
                         "Which file? Give --file, or --config with a key file in it.");
    }
    return RESULT_OK;
}

static void key_line(const struct token_key *key, char out[KEY_LINE_SIZE])
{
    char hex[2 * sizeof(key->secret) + 1] = "";

    hex_format(key->secret, sizeof(key->secret), hex);
    snprintf(out, KEY_LINE_SIZE, "%u %s\n", (unsigned)key->kid, hex);
    OPENSSL_cleanse(hex, sizeof(hex));
}

/* Writes a new file of `keys`; it must not exist. */
static enum result file_write(const char *path, const struct token_key *keys, unsigned count,
                              mode_t mode, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool good = fd >= 0 && fchmod(fd, mode) == 0;

    for (unsigned i = 0; good && i < count; i++) {
        char line[KEY_LINE_SIZE];
        key_line(&keys[i], line);
        good = write(fd, line, strlen(line)) == (ssize_t)strlen(line);
        OPENSSL_cleanse(line, sizeof(line));
    }
    good = good && fsync(fd) == 0;
    if (good) {
        close(fd);
        return RESULT_OK;
    }
    enum result r = error_set(err, errno == EEXIST ? RESULT_REJECTED : RESULT_FATAL,
                              errno == EEXIST ? "exists" : "configuration",
                              "%s cannot be written: %s.", path, strerror(errno));
    if (fd >= 0) {
        close(fd);
        unlink(path);
    }
    return r;
}

static enum result key_make(struct token_key *key, uint8_t kid, struct error *err)
{
    key->kid = kid;
    if (RAND_bytes(key->secret, sizeof(key->secret)) != 1) {
        return error_set(err, RESULT_FATAL, "random", "The system gives no random bytes.");
    }
    return RESULT_OK;
}

static void print_keys(const struct call *call, const char *path, const struct token_key *keys,
                       unsigned count)
{
    json_t *report = json_object();

    json_put_text(report, "file", path);
    json_put_int(report, "kid", keys[0].kid);
    if (count > 1) {
        json_put_int(report, "previous_kid", keys[1].kid);
    } else {
        json_object_set_new(report, "previous_kid", json_null());
    }
    call_print_object(call, report, &keys_view);
    json_decref(report);
}

static int keys_create(struct call *call)
{
    const char *path;
    struct error err;
    struct token_key key;
    enum result r = keys_path(call, &path, &err);

    if (r != RESULT_OK) {
        return command_usage_failed(call->json, "paylink keys create --help", &err);
    }
    r = key_make(&key, 1, &err);
    if (r == RESULT_OK) {
        r = file_write(path, &key, 1, 0600, &err);
    }
    OPENSSL_cleanse(key.secret, sizeof(key.secret));
    if (r != RESULT_OK) {
        return call_failed(call, r, &err);
    }
    print_keys(call, path, &key, 1);
    return EXIT_OK;
}

/* Replaces the file in one step, with its owner and mode: a reader sees the old keys or the new. */
static enum result file_replace(const char *path, const struct token_key *keys, unsigned count,
                                struct error *err)
{
    struct stat st;
    char *fresh = mem_printf("%s.new", path);
    enum result r = RESULT_OK;

    if (stat(path, &st) != 0) {
        r = error_set(err, RESULT_FATAL, "configuration", "%s: %s.", path, strerror(errno));
    } else {
        r = file_write(fresh, keys, count, st.st_mode & 07777, err);
    }
    if (r == RESULT_OK &&
        ((geteuid() == 0 && chown(fresh, st.st_uid, st.st_gid) != 0) || rename(fresh, path) != 0)) {
        r = error_set(err, RESULT_FATAL, "configuration", "%s cannot be replaced: %s.", path,
                      strerror(errno));
        unlink(fresh);
    }
    free(fresh);
    return r;
}

static int keys_rotate(struct call *call)
{
    const char *path;
    char why[256];
    struct error err;
    struct token_keys old;
    struct token_key keys[2];
    enum result r = keys_path(call, &path, &err);

    if (r != RESULT_OK) {
        return command_usage_failed(call->json, "paylink keys rotate --help", &err);
    }
    if (token_keys_load(path, &old, why, sizeof(why)) != 0) {
        error_set(&err, RESULT_FATAL, "configuration", "%s", why);
        return call_failed(call, RESULT_FATAL, &err);
    }
    uint8_t kid = old.key[0].kid;
    do {
        kid++; /* wraps at 255 */
    } while (kid == old.key[0].kid || (old.count > 1 && kid == old.key[1].kid));
    r = key_make(&keys[0], kid, &err);
    keys[1] = old.key[0];
    token_keys_free(&old);
    if (r == RESULT_OK) {
        r = file_replace(path, keys, 2, &err);
    }
    OPENSSL_cleanse(keys[0].secret, sizeof(keys[0].secret));
    OPENSSL_cleanse(keys[1].secret, sizeof(keys[1].secret));
    if (r != RESULT_OK) {
        return call_failed(call, r, &err);
    }
    print_keys(call, path, keys, 2);
    return EXIT_OK;
}

static int settings_example(struct call *call)
{
    (void)call;
    settings_print_example();
    return EXIT_OK;
}

static int settings_check(struct call *call)
{
    static const struct view_field fields[] = {{.title = "settings", .key = "settings"}, {0}};
    static const struct view view = {"", fields, fields};
    json_t *report = json_object();

    json_put_text(report, "settings", "good");
    call_print_object(call, report, &view);
    json_decref(report);
    return EXIT_OK;
}

static const struct arg_option file_options[] = {
    {.name = "file",
     .kind = ARG_PATH,
     .flags = ARG_POSITIONAL,
     .unit = "FILE",
     .help = "The key file (the one that the settings name)."},
    {0},
};
static const struct arg_option no_options[] = {{0}};

const struct command keys_commands[] = {
    {.noun = "keys",
     .verb = "create",
     .summary = "a new key file for link tokens",
     .about = "The file is readable by its owner only (mode 0600) and must not exist. The edge and "
              "the worker read it; whoever has it can forge links.",
     .options = file_options,
     .example = "keys create --file /etc/paylink/link-keys",
     .run = keys_create,
     .flags = COMMAND_NO_SETTINGS},
    {.noun = "keys",
     .verb = "rotate",
     .summary = "a new key for new links; the last one stays valid",
     .about = "Links made with the key before the last stop working. Reload the edge (nginx -s "
              "reload) before new links are sent; restart the worker.",
     .options = file_options,
     .example = "keys rotate --file /etc/paylink/link-keys",
     .run = keys_rotate,
     .flags = COMMAND_NO_SETTINGS},
    {0},
};

const struct command settings_commands[] = {
    {.noun = "settings",
     .verb = "example",
     .summary = "a settings file with every key, its default and what it means",
     .options = no_options,
     .example = "settings example > paylink.ini",
     .run = settings_example,
     .flags = COMMAND_NO_SETTINGS},
    {.noun = "settings",
     .verb = "check",
     .summary = "is the settings file complete and right?",
     .options = no_options,
     .example = "settings check",
     .run = settings_check},
    {0},
};
