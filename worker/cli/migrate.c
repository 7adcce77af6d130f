/* paylink migrate: brings the schema to what this program expects. Must not know any table but its
 * own. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/mem.h"
#include "../core/file.h"
#include "../core/form.h"
#include "../core/token.h"
#include "../io/pg.h"
#include "commands.h"
#include "value.h"

#define SCRIPT_BYTES_MAX   (4 * 1024 * 1024)
#define FILES_MAX          1000
#define MIGRATE_TIMEOUT_MS 3600000 /* rewriting a big table takes its time */

/* One migration at a time in a database; the lock goes with the connection. */
static const char lock_sql[] =
    "SET lock_timeout = '60s'; "
    "SELECT pg_advisory_lock(hashtextextended('paylink.migrate.run', 0)); "
    "SET lock_timeout = 0";

static const struct view_field migrate_fields[] = {
    {.title = "schema version", .key = "version", .kind = VIEW_NUMBER},
    {.title = "files unchanged", .key = "unchanged", .kind = VIEW_NUMBER},
    {0},
};
static const struct view migrate_view = {"nothing", migrate_fields, migrate_fields};

/* Where the executable's own sql/ is: beside build/, or where packages put it. The caller frees. */
static char *default_sql_dir(void)
{
    static const char *const places[] = {"../sql", "../../sql", "../share/paylink/sql"};
    char exe[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

    if (len <= 0) {
        return NULL;
    }
    exe[len] = '\0';
    char *slash = strrchr(exe, '/');
    if (slash == NULL) {
        return NULL;
    }
    *slash = '\0';
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
        char *dir = mem_printf("%s/%s", exe, places[i]);
        char *roles = mem_printf("%s/roles.sql", dir);
        bool there = access(roles, R_OK) == 0;
        free(roles);
        if (there) {
            return dir;
        }
        free(dir);
    }
    return NULL;
}

/* The caller frees *out in any case. */
static enum result script_read(const char *dir, const char *name, char **out, size_t *len,
                               struct error *err)
{
    char why[256];
    char *path = mem_printf("%s/%s", dir, name);
    enum result r = RESULT_OK;

    if (file_read(path, FILE_PUBLIC, SCRIPT_BYTES_MAX, out, len, why, sizeof(why)) != 0) {
        r = error_set(err, RESULT_FATAL, "configuration", "%s %s.", path, why);
    } else if (!utf8_valid(*out, *len) || strlen(*out) != *len) {
        r = error_set(err, RESULT_FATAL, "configuration", "%s is not UTF-8 text.", path);
    }
    free(path);
    return r;
}

static int is_script(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return len > 4 && strcmp(entry->d_name + len - 4, ".sql") == 0;
}

/* `migrations/0001_ground.sql` -> 1; anything else there is an error. */
static enum result version_of(const char *file, int64_t *version, struct error *err)
{
    char quoted[VALUE_QUOTE_SIZE];

    for (int i = 0; i < 4; i++) {
        if (file[i] < '0' || file[i] > '9') {
            *version = 0;
            return error_set(err, RESULT_FATAL, "configuration",
                             "migrations/%s is not named NNNN_what.sql.",
                             value_quote(file, quoted));
        }
    }
    *version = strtol(file, NULL, 10);
    if (file[4] != '_' || *version == 0) {
        return error_set(err, RESULT_FATAL, "configuration",
                         "migrations/%s is not named NNNN_what.sql.", value_quote(file, quoted));
    }
    return RESULT_OK;
}

static enum result step_add(json_t *steps, const char *dir, const char *folder, const char *file,
                            struct error *err)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    char checksum[2 * SHA256_DIGEST_LENGTH + 1] = "";
    char *script = NULL;
    size_t len = 0;
    int64_t version = 0;
    enum result r = RESULT_OK;

    if (strcmp(folder, "migrations") == 0) {
        r = version_of(file, &version, err);
    }
    if (r != RESULT_OK) {
        return r;
    }
    char *name = mem_printf("%s/%s", folder, file);
    r = script_read(dir, name, &script, &len, err);
    if (r == RESULT_OK) {
        SHA256((const unsigned char *)script, len, digest);
        hex_format(digest, sizeof(digest), checksum);
        json_t *step = json_object();
        json_put_text(step, "name", name);
        if (version > 0) {
            json_put_int(step, "version", version);
        }
        json_put_text(step, "checksum", checksum);
        json_put_text(step, "script", script);
        json_array_append_new(steps, step);
    }
    free(script);
    free(name);
    return r;
}

/* Adds the .sql files of one folder in the order of their names. */
static enum result steps_add(json_t *steps, const char *dir, const char *folder, struct error *err)
{
    struct dirent **entries = NULL;
    char *path = mem_printf("%s/%s", dir, folder);
    int n = scandir(path, &entries, is_script, alphasort);
    enum result r = RESULT_OK;

    if (n < 0 || n > FILES_MAX) {
        r = error_set(err, RESULT_FATAL, "configuration", "%s cannot be read: %s.", path,
                      n < 0 ? strerror(errno) : "too many files");
    }
    for (int i = 0; i < n; i++) {
        if (r == RESULT_OK) {
            r = step_add(steps, dir, folder, entries[i]->d_name, err);
        }
        free(entries[i]);
    }
    free(entries);
    free(path);
    return r;
}

static enum result run_file(struct pg *pg, const char *dir, const char *name, struct error *err)
{
    char *script = NULL;
    size_t len = 0;
    enum result r = script_read(dir, name, &script, &len, err);

    if (r == RESULT_OK) {
        r = pg_run_script(pg, script, err);
    }
    free(script);
    return r;
}

static enum result migrate(struct pg *pg, const char *dir, json_t **out, struct error *err)
{
    static const char *const folders[] = {"migrations", "functions", "views"};
    static const char *const ground[] = {"roles.sql", "migrate.sql"};
    json_t *steps = json_array();
    enum result r = RESULT_OK;

    for (size_t i = 0; r == RESULT_OK && i < sizeof(folders) / sizeof(*folders); i++) {
        r = steps_add(steps, dir, folders[i], err);
    }
    char *text = call_json_take(steps);
    const char *params[] = {text};
    if (r == RESULT_OK) {
        r = pg_run_script(pg, lock_sql, err);
    }
    for (size_t i = 0; r == RESULT_OK && i < sizeof(ground) / sizeof(*ground); i++) {
        r = run_file(pg, dir, ground[i], err);
    }
    if (r == RESULT_OK) {
        r = pg_call(pg, "paylink.migration_apply", params, 1, out, err);
    }
    free(text);
    return r;
}

static int migrate_run(struct call *call)
{
    const char *given = args_text(call->args, "sql-dir");
    char *dir = given == NULL ? default_sql_dir() : mem_strdup(given);
    json_t *report = NULL;
    struct error err;

    if (dir == NULL) {
        error_set(&err, RESULT_FATAL, "configuration",
                  "The folder sql/ is not beside this program: name it with --sql-dir.");
        return call_failed(call, RESULT_FATAL, &err);
    }
    struct pg *pg = pg_new(call->settings->pg_conninfo, "paylink migrate", MIGRATE_TIMEOUT_MS);
    enum result r = migrate(pg, dir, &report, &err);
    pg_free(pg);
    free(dir);
    if (r != RESULT_OK) {
        return call_failed(call, r, &err);
    }
    if (!call->json) {
        size_t i;
        json_t *name;
        json_array_foreach (json_object_get(report, "applied"), i, name) {
            printf("applied  %s\n", json_string_value(name));
        }
    }
    call_print_object(call, report, &migrate_view);
    json_decref(report);
    return EXIT_OK;
}

static const struct arg_option migrate_options[] = {
    {.name = "sql-dir",
     .kind = ARG_PATH,
     .unit = "DIR",
     .help =
         "The folder with roles.sql, migrations/, functions/ and views/ (the one that came with "
         "this program)."},
    {0},
};

const struct command migrate_commands[] = {
    {.noun = "migrate",
     .summary = "bring the database's schema to this program's version",
     .about = "Applies roles.sql, then new migrations in order, then functions and views that "
              "changed, all in one transaction: after a failure nothing has changed. Migrations "
              "only go forward; one that was edited after it had been applied is an error. Safe to "
              "run again and at the same time as another one. The first run needs a login that may "
              "create roles and owns the database.",
     .options = migrate_options,
     .example = "migrate",
     .run = migrate_run},
    {0},
};
