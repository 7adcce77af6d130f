/*
 * Message files: any bytes are read or refused with a reason that names the file; what is read can
 * be found, and compiles into a page or is refused; no value's markup ever gets through.
 */
#include "fuzz.h"

#include "../../worker/core/messages.h"
#include "../../worker/core/template.h"

#define KEY_BYTES_MAX 200

static const char *const names[] = {"a", "b_2"};
static const struct template_value values[] = {{"<x>\"'&", 6}, {"<y>", 3}};

static void render(const struct template *t)
{
    size_t size = template_size(t, values);
    char *out = malloc(size + 1);

    CHECK(out != NULL);
    CHECK(template_write(t, values, out) == size);
    out[size] = '\0';
    CHECK(strstr(out, "<x>") == NULL && strstr(out, "<y>") == NULL);
    free(out);
}

static void say(struct messages *m, const char *tag, const struct message *message,
                const char *address)
{
    char page[KEY_BYTES_MAX + 16], err[200] = "";
    struct template *t;
    int n = snprintf(page, sizeof(page), "{{%s %.*s %s}}", tag, (int)message->key_len, message->key,
                     address);

    CHECK(n > 0 && (size_t)n < sizeof(page));
    t = template_compile(page, (size_t)n, "p", names, 2, m, err, sizeof(err));
    CHECK((t == NULL) == (err[0] != '\0'));
    if (t != NULL) {
        render(t);
        template_free(t);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char err[200] = "";
    struct messages *m = messages_parse((const char *)data, size, "f", err, sizeof(err));
    const struct message *unused, *found;

    CHECK((m == NULL) == (err[0] != '\0'));
    if (m == NULL) {
        CHECK(strncmp(err, "f:", 2) == 0);
        return 0;
    }
    CHECK(messages_check(m, m, err, sizeof(err)) == 0);
    while ((unused = messages_unused(m, "")) != NULL) {
        found = messages_find(m, unused->key, unused->key_len);
        CHECK(found == unused && found->used && found->len > 0);
        CHECK(memchr(found->text, '\n', found->len) == NULL);
        if (found->key_len <= KEY_BYTES_MAX) {
            say(m, "t", found, "");
            say(m, "t", found, "b_2");
            say(m, "text", found, "");
        }
    }
    messages_free(m);
    return 0;
}
