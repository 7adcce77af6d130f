/* Owns the message files: lines of keys and texts. Knows nothing of what stands in a text. */
#include "messages.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encoding.h"
#include "file.h"

#define PATH_BYTES_MAX 4096
#define SHOWN_KEY_MAX  40

struct messages {
    const char *file;
    char *content; /* keys and texts point into it */
    size_t count;
    struct message message[MESSAGES_MAX];
};

struct span {
    const char *at;
    size_t len;
};

static int __attribute__((format(printf, 5, 6)))
fail(const struct messages *m, unsigned line, char *err, size_t err_size, const char *fmt, ...)
{
    va_list ap;
    int n;

    n = line == 0 ? snprintf(err, err_size, "%s: ", m->file)
                  : snprintf(err, err_size, "%s:%u: ", m->file, line);
    if (n >= 0 && (size_t)n < err_size) {
        va_start(ap, fmt);
        vsnprintf(err + n, err_size - (size_t)n, fmt, ap);
        va_end(ap);
    }
    return -1;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct span trim(struct span s)
{
    while (s.len > 0 && is_blank(s.at[0])) {
        s.at++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.at[s.len - 1])) {
        s.len--;
    }
    return s;
}

static bool is_key(struct span key)
{
    for (size_t i = 0; i < key.len; i++) {
        char c = key.at[i];
        bool small = c >= 'a' && c <= 'z';

        if (!small && (i == 0 || (c != '_' && (c < '0' || c > '9')))) {
            return false;
        }
    }
    return key.len > 0;
}

static const struct message *find(const struct messages *m, struct span key)
{
    for (size_t i = 0; i < m->count; i++) {
        if (m->message[i].key_len == key.len && memcmp(m->message[i].key, key.at, key.len) == 0) {
            return &m->message[i];
        }
    }
    return NULL;
}

static int parse_line(struct messages *m, struct span s, unsigned line, char *err, size_t err_size)
{
    struct span key, text;
    const struct message *twin;
    const char *equals;

    s = trim(s);
    if (s.len == 0 || s.at[0] == '#') {
        return 0;
    }
    equals = memchr(s.at, '=', s.len);
    if (equals == NULL) {
        return fail(m, line, err, err_size, "a line is `key = text` or starts with #");
    }
    key = trim((struct span){s.at, (size_t)(equals - s.at)});
    text = trim((struct span){equals + 1, s.len - (size_t)(equals + 1 - s.at)});
    if (!is_key(key)) {
        return fail(m, line, err, err_size, "a key is small letters, digits and _ only");
    }
    if (text.len == 0) {
        return fail(m, line, err, err_size, "\"%.*s\" has no text",
                    (int)(key.len < SHOWN_KEY_MAX ? key.len : SHOWN_KEY_MAX), key.at);
    }
    twin = find(m, key);
    if (twin != NULL) {
        return fail(m, line, err, err_size, "\"%.*s\" stands on line %u already",
                    (int)(key.len < SHOWN_KEY_MAX ? key.len : SHOWN_KEY_MAX), key.at, twin->line);
    }
    if (m->count == MESSAGES_MAX) {
        return fail(m, line, err, err_size, "more than %d messages", MESSAGES_MAX);
    }
    m->message[m->count++] = (struct message){
        .key = key.at, .key_len = key.len, .text = text.at, .len = text.len, .line = line};
    return 0;
}

static int parse(struct messages *m, size_t len, char *err, size_t err_size)
{
    const char *at = m->content, *end = m->content + len;

    if (memchr(at, '\0', len) != NULL || !utf8_valid(at, len)) {
        return fail(m, 0, err, err_size, "is not text: it has a NUL or invalid UTF-8");
    }
    for (unsigned line = 1; at < end; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));

        if (stop == NULL) {
            stop = end;
        }
        if (parse_line(m, (struct span){at, (size_t)(stop - at)}, line, err, err_size) != 0) {
            return -1;
        }
        at = stop < end ? stop + 1 : end;
    }
    return 0;
}

/* Owns `content` from here on. */
static struct messages *messages_take(char *content, size_t len, const char *file, char *err,
                                      size_t err_size)
{
    struct messages *m = calloc(1, sizeof(*m));

    if (m == NULL) {
        free(content);
        snprintf(err, err_size, "%s: out of memory", file);
        return NULL;
    }
    m->file = file;
    m->content = content;
    if (parse(m, len, err, err_size) != 0) {
        messages_free(m);
        return NULL;
    }
    return m;
}

struct messages *messages_load(const char *dir, const char *file, char *err, size_t err_size)
{
    char path[PATH_BYTES_MAX], why[160];
    char *content;
    size_t len;
    int n;

    n = snprintf(path, sizeof(path), "%s/%s", dir, file);
    if (n < 0 || (size_t)n >= sizeof(path)) {
        snprintf(err, err_size, "%s: its path is too long", file);
        return NULL;
    }
    if (file_read(path, FILE_PUBLIC, MESSAGES_FILE_BYTES_MAX, &content, &len, why, sizeof(why)) !=
        0) {
        snprintf(err, err_size, "%s %s", path, why);
        return NULL;
    }
    return messages_take(content, len, file, err, err_size);
}

struct messages *messages_parse(const char *text, size_t len, const char *file, char *err,
                                size_t err_size)
{
    char *content;

    if (len > MESSAGES_FILE_BYTES_MAX) {
        snprintf(err, err_size, "%s: is larger than %d bytes", file, MESSAGES_FILE_BYTES_MAX);
        return NULL;
    }
    content = malloc(len + 1);
    if (content == NULL) {
        snprintf(err, err_size, "%s: out of memory", file);
        return NULL;
    }
    if (len > 0) {
        memcpy(content, text, len);
    }
    content[len] = '\0';
    return messages_take(content, len, file, err, err_size);
}

void messages_free(struct messages *m)
{
    if (m != NULL) {
        free(m->content);
        free(m);
    }
}

const char *messages_file(const struct messages *m)
{
    return m->file;
}

const struct message *messages_find(struct messages *m, const char *key, size_t len)
{
    const struct message *message = find(m, (struct span){key, len});

    if (message != NULL) {
        m->message[message - m->message].used = true;
    }
    return message;
}

const struct message *messages_unused(const struct messages *m, const char *others)
{
    size_t others_len = strlen(others);

    for (size_t i = 0; i < m->count; i++) {
        const struct message *message = &m->message[i];
        bool other = others_len > 0 && message->key_len > others_len &&
                     memcmp(message->key, others, others_len) == 0;

        if (!message->used && !other) {
            return message;
        }
    }
    return NULL;
}

/* "{name", where a value begins: its length without the brace, 0 if none begins there. */
static size_t value_at(const struct message *message, size_t at)
{
    size_t i = at + 1;

    if (message->text[at] != '{') {
        return 0;
    }
    while (i < message->len &&
           (message->text[i] == '_' || message->text[i] == '.' || message->text[i] == ':' ||
            (message->text[i] >= '0' && message->text[i] <= '9') ||
            (message->text[i] >= 'a' && message->text[i] <= 'z'))) {
        i++;
    }
    return i < message->len && (message->text[i] == '}' || message->text[i] == ',') ? i - at - 1
                                                                                    : 0;
}

static bool has_value(const struct message *message, const char *name, size_t len)
{
    for (size_t at = 0; at < message->len; at++) {
        if (len > 0 && value_at(message, at) == len &&
            memcmp(message->text + at + 1, name, len) == 0) {
            return true;
        }
    }
    return false;
}

/* The first value of `a` that `b` does not have; its length is 0 if there is none. */
static struct span lost_value(const struct message *a, const struct message *b)
{
    for (size_t at = 0; at < a->len; at++) {
        size_t len = value_at(a, at);

        if (len > 0 && !has_value(b, a->text + at + 1, len)) {
            return (struct span){a->text + at + 1, len};
        }
    }
    return (struct span){NULL, 0};
}

static unsigned marks(const struct message *message, char mark)
{
    unsigned n = 0;

    for (size_t i = 0; i < message->len; i++) {
        n += message->text[i] == mark;
    }
    return n;
}

static int check(const struct messages *m, const struct message *message,
                 const struct message *twin, char *err, size_t err_size)
{
    int key_len = (int)(message->key_len < SHOWN_KEY_MAX ? message->key_len : SHOWN_KEY_MAX);
    struct span lost = lost_value(twin, message);

    if (lost.len > 0) {
        return fail(m, message->line, err, err_size, "\"%.*s\" has lost {%.*s}", key_len,
                    message->key, (int)(lost.len < SHOWN_KEY_MAX ? lost.len : SHOWN_KEY_MAX),
                    lost.at);
    }
    lost = lost_value(message, twin);
    if (lost.len > 0) {
        return fail(m, message->line, err, err_size, "\"%.*s\" has no {%.*s} elsewhere", key_len,
                    message->key, (int)(lost.len < SHOWN_KEY_MAX ? lost.len : SHOWN_KEY_MAX),
                    lost.at);
    }
    for (const char *mark = "*[]"; *mark != '\0'; mark++) {
        if (marks(message, *mark) != marks(twin, *mark)) {
            return fail(m, message->line, err, err_size, "\"%.*s\" has not as many %c as elsewhere",
                        key_len, message->key, *mark);
        }
    }
    return 0;
}

int messages_check(const struct messages *m, const struct messages *reference, char *err,
                   size_t err_size)
{
    for (size_t i = 0; i < reference->count; i++) {
        const struct message *twin = &reference->message[i];
        const struct message *message = find(m, (struct span){twin->key, twin->key_len});

        if (message == NULL) {
            return fail(m, 0, err, err_size, "\"%.*s\" is missing",
                        (int)(twin->key_len < SHOWN_KEY_MAX ? twin->key_len : SHOWN_KEY_MAX),
                        twin->key);
        }
        if (check(m, message, twin, err, err_size) != 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < m->count; i++) {
        const struct message *message = &m->message[i];

        if (find(reference, (struct span){message->key, message->key_len}) == NULL) {
            return fail(m, message->line, err, err_size, "\"%.*s\" is a message of no page",
                        (int)(message->key_len < SHOWN_KEY_MAX ? message->key_len : SHOWN_KEY_MAX),
                        message->key);
        }
    }
    return 0;
}
