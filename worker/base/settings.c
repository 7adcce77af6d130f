/* Owns the settings file: the table of keys, its checks and its messages. Knows no other library.
 */
#include "settings.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ini.h>

#include "../core/file.h"
#include "mem.h"
#include "settings_value.h"

#define SETTINGS_BYTES_MAX 65536

struct key {
    const char *section, *name;
    struct value_type type;
    bool required;
    const char *standard; /* default; with `required`: what the example shows; NULL: absent */
    size_t offset;        /* of the char * or int64_t in struct settings */
    const char *help;
};

#define AT(field) offsetof(struct settings, field)
#define TEXT(section, name, kind, standard, field, help)                                           \
    {                                                                                              \
        section, name, {kind, 0, 0}, false, standard, AT(field), help                              \
    }
#define REQUIRED(section, name, kind, example, field, help)                                        \
    {                                                                                              \
        section, name, {kind, 0, 0}, true, example, AT(field), help                                \
    }
#define NUMBER(section, name, standard, min, max, field, help)                                     \
    {                                                                                              \
        section, name, {VALUE_NUMBER, min, max}, false, standard, AT(field), help                  \
    }
#define NUMBERS(section, name, standard, min, max, field, help)                                    \
    {                                                                                              \
        section, name, {VALUE_NUMBERS, min, max}, false, standard, AT(field), help                 \
    }

/* clang-format off */
/* Alphabetical by section, then by key. */
static const struct key keys[] = {
    REQUIRED("edge", "base_url", VALUE_URL, "https://pay.example", base_url,
             "where payers reach the edge, no trailing slash"),
    TEXT("edge", "pages_dir", VALUE_PATH, "/usr/share/paylink/pages", pages_dir,
         "the payers' pages, as in paylink_pages: what the worker says is in their messages, too"),
    NUMBER("gateway", "connections", "32", 1, 1024, gateway_connections,
           "concurrent requests to the gateway"),
    TEXT("gateway", "publishable_key", VALUE_TEXT, NULL, gateway_publishable_key,
         "the gateway account's public key, given to new merchants that name none"),
    REQUIRED("gateway", "secret_key_file", VALUE_PATH, "/etc/paylink/gateway-secret-key",
             gateway_secret_key_file, "API secret of the gateway account; mode 0600"),
    NUMBER("gateway", "timeout_ms", "20000", 100, 120000, gateway_timeout_ms,
           "limit of one request to the gateway"),
    REQUIRED("gateway", "url", VALUE_URL, "https://api.stripe.com", gateway_url,
             "the gateway's API, no trailing slash"),
    REQUIRED("keys", "file", VALUE_PATH, "/etc/paylink/link-keys", key_file,
             "token keys, one `KID HEX64` a line; mode 0640 or stricter"),
    TEXT("log", "level", VALUE_LEVEL, "info", log_level, "events below it are not written"),
    NUMBER("mail", "connections", "4", 1, 64, mail_connections, "mails sent at the same time"),
    TEXT("mail", "dir", VALUE_PATH, "/usr/share/paylink/mail", mail_dir,
         "templates of mail, and the words in them"),
    TEXT("mail", "from", VALUE_EMAIL, NULL, mail_from,
         "the address that mail comes from, under the merchant's name; needed with url"),
    TEXT("mail", "password_file", VALUE_PATH, NULL, mail_password_file,
         "password of the user, one line; mode 0600"),
    NUMBER("mail", "retry_ms", "60000", 1, 14400000, mail_retry_ms,
           "wait after a first failure; doubles with each, up to 4 hours, for 72 hours"),
    TEXT("mail", "starttls", VALUE_SWITCH, "on", mail_starttls,
         "on: nothing goes to an smtp:// server before the connection is encrypted"),
    NUMBER("mail", "timeout_ms", "60000", 1000, 600000, mail_timeout_ms, "limit of one mail"),
    TEXT("mail", "url", VALUE_MAIL, NULL, mail_url,
         "the mail server, for trying out a folder; without it no mail is sent or offered"),
    TEXT("mail", "user", VALUE_TEXT, NULL, mail_user, "for the mail server"),
    REQUIRED("postgres", "conninfo", VALUE_TEXT, "host=/run/postgresql dbname=paylink user=paylink",
             pg_conninfo, "libpq connection string; may go on in indented lines"),
    NUMBER("postgres", "statement_timeout_ms", "15000", 100, 600000, pg_statement_timeout_ms,
           "limit of one statement"),
    REQUIRED("redis", "functions_file", VALUE_PATH, "/usr/share/paylink/paylink.lua",
             redis_functions_file, "the function library that the worker loads into Redis"),
    TEXT("redis", "password_file", VALUE_PATH, NULL, redis_password_file,
         "password of the user, one line; mode 0600"),
    REQUIRED("redis", "socket", VALUE_PATH, "/run/redis/redis.sock", redis_socket,
             "unix socket of Redis"),
    TEXT("redis", "user", VALUE_NAME, NULL, redis_user, "ACL user"),
    TEXT("sandbox", "data_dir", VALUE_PATH, "/var/lib/paylink/sandbox", sandbox_data_dir,
         "charge log and state of `paylink sandbox`"),
    TEXT("sandbox", "listen", VALUE_LISTEN, "127.0.0.1:8090", sandbox_listen,
         "where `paylink sandbox` listens"),
    TEXT("sandbox", "pages_dir", VALUE_PATH, "/usr/share/paylink/pages/sandbox", sandbox_pages_dir,
         "templates and files of the sandbox's own pages"),
    TEXT("sandbox", "public_url", VALUE_URL, "http://127.0.0.1:8090", sandbox_public_url,
         "how browsers reach the sandbox, no trailing slash"),
    TEXT("sandbox", "webhook_secret_file", VALUE_PATH, NULL, sandbox_webhook_secret_file,
         "signs the sandbox's events, one line; mode 0600"),
    TEXT("sandbox", "webhook_url", VALUE_URL, NULL, sandbox_webhook_url,
         "where the sandbox delivers its events"),
    NUMBER("worker", "action_timeout_ms", "1800000", 1000, 86400000, worker_action_timeout_ms,
           "an authentication that the payer left is cancelled after this"),
    NUMBER("worker", "batch_max", "100", 1, 1000, worker_batch_max,
           "stream entries in one batch"),
    NUMBERS("worker", "check_delays_ms",
            "5000,30000,120000,600000,1800000,7200000,21600000,86400000,259200000",
            1, 259200000, worker_check_delays_ms,
            "when to ask the gateway for an unknown result; ascending"),
    NUMBER("worker", "claim_idle_ms", "60000", 200, 3600000, worker_claim_idle_ms,
           "entries of other workers older than this are taken over; above gateway.timeout_ms"),
    NUMBER("worker", "lease_ms", "45000", 200, 3600000, worker_lease_ms,
           "how long an attempt belongs to its worker; above gateway.timeout_ms"),
    TEXT("worker", "name", VALUE_NAME, "worker-1", worker_name,
         "unique among running workers, the same after a restart"),
    NUMBER("worker", "sweep_ms", "300000", 1000, 86400000, worker_sweep_ms,
           "how often the gateway's list is compared with the books; first after a tenth of it"),
};
/* clang-format on */

#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

/* The file while inih goes through it. */
struct reading {
    const char *path;
    const char *at, *end; /* what is still to be read */
    unsigned line;        /* the number of the line that inih looks at */
    bool indented;        /* whether that line continues the value before it */
    bool failed;          /* *err is filled; nothing more is read */
    bool seen[KEY_COUNT];
    struct settings *out;
    struct error *err;
};

/* Fills the error with file and line, or with the file alone once its end is reached. */
static void __attribute__((format(printf, 3, 4)))
fail(struct reading *r, const char *code, const char *fmt, ...)
{
    char text[sizeof(r->err->text)];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (r->line > 0) {
        error_set(r->err, RESULT_FATAL, code, "%s:%u: %s", r->path, r->line, text);
    } else {
        error_set(r->err, RESULT_FATAL, code, "%s: %s", r->path, text);
    }
    r->failed = true;
}

static char **text_of(struct settings *s, const struct key *key)
{
    return (char **)(void *)((char *)s + key->offset);
}

static int64_t *number_of(struct settings *s, const struct key *key)
{
    return (int64_t *)(void *)((char *)s + key->offset);
}

static void store(struct settings *s, const struct key *key, const char *value)
{
    if (key->type.kind == VALUE_NUMBER) {
        *number_of(s, key) = value_number(value);
    } else {
        free(*text_of(s, key));
        *text_of(s, key) = mem_strdup(value);
    }
}

static bool section_known(const char *section, size_t len)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (strlen(keys[i].section) == len && memcmp(keys[i].section, section, len) == 0) {
            return true;
        }
    }
    return false;
}

/* "a, b, c": the sections, or the keys of one section. */
static const char *list(const char *section, char *out, size_t size)
{
    const char *before = "";
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < KEY_COUNT && len < size; i++) {
        const char *item = section != NULL ? keys[i].name : keys[i].section;

        if (section != NULL ? strcmp(keys[i].section, section) != 0 : strcmp(item, before) == 0) {
            continue;
        }
        len += (size_t)snprintf(out + len, size - len, "%s%s", len > 0 ? ", " : "", item);
        before = item;
    }
    return out;
}

static const struct key *key_find(const char *section, const char *name)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (strcmp(keys[i].section, section) == 0 && strcmp(keys[i].name, name) == 0) {
            return &keys[i];
        }
    }
    return NULL;
}

/* An indented line that goes on with a text. */
static void continue_value(struct reading *r, const struct key *key, const char *value)
{
    char **text = text_of(r->out, key);
    const char *comment;
    char *joined;
    int len;

    if (key->type.kind != VALUE_TEXT || !r->seen[key - keys]) {
        fail(r, "settings_syntax",
             "a line that starts with a blank continues the one before it, "
             "which [%s] %s does not allow; start in the first column",
             key->section, key->name);
        return;
    }
    /* inih takes the comment off the first line of a value only. */
    comment = strstr(value, " ;");
    len = comment != NULL ? (int)(comment - value) : (int)strlen(value);
    joined = mem_printf("%s %.*s", *text, len, value);
    free(*text);
    *text = joined;
}

/* inih's handler. What it returns is not used: r->failed stops the reader. */
static int on_value(void *user, const char *section, const char *name, const char *value)
{
    struct reading *r = user;
    const struct key *key = key_find(section, name);
    char allowed[200];

    if (key == NULL) {
        fail(r, "settings_unknown_key", "unknown key \"%s\" in [%s]; its keys are: %s", name,
             section, list(section, allowed, sizeof(allowed)));
    } else if (r->indented) {
        continue_value(r, key, value);
    } else if (r->seen[key - keys]) {
        fail(r, "settings_duplicate", "[%s] %s is given twice", section, name);
    } else if (value[0] == '\0') {
        fail(r, "settings_value", "[%s] %s is empty; remove the line for the default", section,
             name);
    } else if (!value_valid(&key->type, value)) {
        fail(r, "settings_value", "[%s] %s must be %s", section, name,
             value_allowed(&key->type, allowed, sizeof(allowed)));
    } else {
        r->seen[key - keys] = true;
        store(r->out, key, value);
    }
    return 1;
}

/* Checks that inih does not make: it never reports an empty section, cuts long lines and long
 * names, and takes a NUL for the end of a line. */
static void check_line(struct reading *r, const char *line, size_t len, size_t len_max)
{
    const char *text = line + strspn(line, " \t");
    char allowed[200];
    size_t section_len;

    if (len > len_max) {
        fail(r, "settings_syntax", "the line is longer than %zu bytes", len_max);
        return;
    }
    for (size_t i = 0; i < len; i++) {
        if (((unsigned char)line[i] < ' ' && strchr("\t\r\n", line[i]) == NULL) ||
            line[i] == '\0' || line[i] == 0x7f) {
            fail(r, "settings_syntax", "the line contains a control character");
            return;
        }
    }
    if (text[0] != '[') {
        return;
    }
    section_len = strcspn(text + 1, "]\n");
    if (text > line) {
        fail(r, "settings_syntax", "a [section] starts in the first column");
    } else if (text[1 + section_len] == ']' && !section_known(text + 1, section_len)) {
        fail(r, "settings_unknown_section", "unknown section [%.*s]; the sections are: %s",
             (int)section_len, text + 1, list(NULL, allowed, sizeof(allowed)));
    }
}

/* inih's reader: the next line of the memory, as fgets() would give it; NULL ends the parsing. */
static char *next_line(char *out, int size, void *user)
{
    struct reading *r = user;
    const char *newline;
    size_t len;

    if (r->failed || r->at == r->end) {
        return NULL;
    }
    newline = memchr(r->at, '\n', (size_t)(r->end - r->at));
    len = (size_t)((newline != NULL ? newline + 1 : r->end) - r->at);
    r->line++;
    check_line(r, r->at, len, (size_t)size - 1);
    if (r->failed) {
        return NULL;
    }
    memcpy(out, r->at, len);
    out[len] = '\0';
    r->indented = out[0] == ' ' || out[0] == '\t';
    r->at += len;
    return out;
}

static void check_required(struct reading *r)
{
    char missing[300] = "";
    size_t len = 0;

    for (size_t i = 0; i < KEY_COUNT && len < sizeof(missing); i++) {
        if (keys[i].required && !r->seen[i]) {
            len += (size_t)snprintf(missing + len, sizeof(missing) - len, "%s[%s] %s",
                                    len > 0 ? ", " : "", keys[i].section, keys[i].name);
        }
    }
    if (len > 0) {
        fail(r, "settings_missing", "missing: %s", missing);
    }
}

/* A lease that ends while its gateway call may still succeed would let two workers charge. */
static void check_relations(struct reading *r)
{
    const struct settings *s = r->out;

    if (s->worker_lease_ms <= s->gateway_timeout_ms) {
        fail(r, "settings_value",
             "[worker] lease_ms (%" PRId64 ") must be above [gateway] timeout_ms (%" PRId64 ")",
             s->worker_lease_ms, s->gateway_timeout_ms);
    } else if (s->worker_claim_idle_ms <= s->gateway_timeout_ms) {
        fail(r, "settings_value",
             "[worker] claim_idle_ms (%" PRId64 ") must be above [gateway] timeout_ms (%" PRId64
             ")",
             s->worker_claim_idle_ms, s->gateway_timeout_ms);
    } else if (s->mail_url != NULL && s->mail_from == NULL) {
        fail(r, "settings_missing", "missing: [mail] from, which [mail] url needs");
    }
}

static void read_all(struct reading *r)
{
    int syntax_line;

    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (!keys[i].required && keys[i].standard != NULL) {
            store(r->out, &keys[i], keys[i].standard);
        }
    }
    syntax_line = ini_parse_stream(next_line, r, on_value, r);
    if (syntax_line > 0 && (!r->failed || (unsigned)syntax_line < r->line)) {
        r->line = (unsigned)syntax_line;
        fail(r, "settings_syntax", "neither [section] nor key = value");
    }
    r->line = 0;
    if (!r->failed) {
        check_required(r);
    }
    if (!r->failed) {
        check_relations(r);
    }
}

enum result settings_load(const char *path, struct settings *out, struct error *err)
{
    struct error ignored = {.code = ""};
    struct reading r = {.path = path, .out = out, .err = err != NULL ? err : &ignored};
    char why[160];
    char *text;
    size_t len;

    memset(out, 0, sizeof(*out));
    if (file_read(path, FILE_PUBLIC, SETTINGS_BYTES_MAX, &text, &len, why, sizeof(why)) != 0) {
        return error_set(err, RESULT_FATAL, "settings_unreadable", "%s %s", path, why);
    }
    r.at = text;
    r.end = text + len;
    read_all(&r);
    free(text);
    if (r.failed) {
        settings_free(out);
        return RESULT_FATAL;
    }
    return RESULT_OK;
}

void settings_free(struct settings *s)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (keys[i].type.kind != VALUE_NUMBER) {
            free(*text_of(s, &keys[i]));
        }
    }
    memset(s, 0, sizeof(*s));
}

void settings_print_example(void)
{
    const char *section = "";

    printf("# Settings of Paylink. A line `#key = …` shows the default; without a value, none.\n"
           "# A comment after a value starts with a blank and a semicolon.\n");
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const struct key *key = &keys[i];
        char allowed[200];

        if (strcmp(key->section, section) != 0) {
            section = key->section;
            printf("\n[%s]\n", section);
        }
        printf("# %s%s\n", key->required ? "Required: " : "", key->help);
        printf("# (%s)\n", value_allowed(&key->type, allowed, sizeof(allowed)));
        printf("%s%s =%s%s\n", key->required ? "" : "#", key->name,
               key->standard != NULL ? " " : "", key->standard != NULL ? key->standard : "");
    }
}
