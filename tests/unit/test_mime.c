/* The form of a mail: headers that nothing gets into, words in any script, bodies that survive
 * every mail server. */
#include "support.h"

#include "../../worker/document/mime.h"

static struct mime_mail mail;
static char *out;
static size_t out_len;
static struct error err;

static int reset(void **state)
{
    (void)state;
    mail = (struct mime_mail){.from_name = "Harbour Tools",
                              .from = "pay@pay.example",
                              .to_name = "Ada Byron",
                              .to = "ada@example.com",
                              .subject = "Receipt",
                              .id = "0192-7",
                              .lang = "en",
                              .text = "Hello\n",
                              .html = "<p>Hello</p>\n",
                              .wall_ms = 1795750890000};
    out = NULL;
    return 0;
}

static void written(void)
{
    if (mime_write(&mail, &out, &out_len, &err) != RESULT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(strlen(out), out_len);
    for (const char *c = out; *c != '\0'; c++) {
        assert_true((*c >= ' ' && *c <= '~') || *c == '\r' || *c == '\n' || *c == '\t');
        assert_true(*c != '\n' || c[-1] == '\r');
        assert_true(*c != '\r' || c[1] == '\n');
    }
}

static void has(const char *text)
{
    written();
    if (strstr(out, text) == NULL)
        fail_msg("no \"%s\" in:\n%s", text, out);
    free(out);
}

static void refused(const char *code)
{
    assert_int_equal(mime_write(&mail, &out, &out_len, &err), RESULT_REJECTED);
    assert_string_equal(err.code, code);
}

static void a_whole_mail(void **state)
{
    (void)state;
    mail.reply_to = "till@example.com";
    written();
    assert_string_equal(out,
                        "From: \"Harbour Tools\"\r\n <pay@pay.example>\r\n"
                        "To: \"Ada Byron\"\r\n <ada@example.com>\r\n"
                        "Reply-To: <till@example.com>\r\n"
                        "Subject: Receipt\r\n"
                        "Date: Fri, 27 Nov 2026 03:41:30 +0000\r\n"
                        "Message-ID: <0192-7@pay.example>\r\n"
                        "Content-Language: en\r\n"
                        "Auto-Submitted: auto-generated\r\n"
                        "MIME-Version: 1.0\r\n"
                        "Content-Type: multipart/alternative;\r\n boundary=\"=_0192-7\"\r\n\r\n"
                        "--=_0192-7\r\nContent-Type: text/plain; charset=utf-8\r\n"
                        "Content-Transfer-Encoding: quoted-printable\r\n\r\nHello\r\n\r\n"
                        "--=_0192-7\r\nContent-Type: text/html; charset=utf-8\r\n"
                        "Content-Transfer-Encoding: quoted-printable\r\n\r\n<p>Hello</p>\r\n\r\n"
                        "--=_0192-7--\r\n");
    free(out);
}

static void nothing_gets_into_a_header(void **state)
{
    static const char *const bad[] = {
        "a\rb",       "a\nb",     "a\r\nBcc: x@evil.example", "a\tb",         "\x01",     "a\x7f",
        "a\xc2\x85z", "\xc2\x80", "a\xe2\x80\xa8z",           "\xe2\x80\xa9", "\xff\xfe", "a\xc3"};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char **fields[] = {&mail.from_name, &mail.to_name, &mail.subject, &mail.id,
                                 &mail.lang};

        for (size_t j = 0; j < sizeof fields / sizeof fields[0]; j++) {
            reset(state);
            *fields[j] = bad[i];
            refused("header");
        }
    }
    reset(state);
    mail.subject = NULL;
    refused("header");
}

static void addresses_are_addresses(void **state)
{
    static const char *const bad[] = {
        "",      "ada",     "@example.com", "ada@",  "a@b@c",     "a b@c",
        "<a@b>", "a@b>",    "a@b,c@d",      "a;b@c", "a\"@b",     "a\\@b",
        "(a)@b", "a@[::1]", "a@b\r\nX: y",  "a@b\n", "\xc3\xa4@b"};
    char longest[300];

    memset(longest, 'a', sizeof longest);
    strcpy(longest + sizeof longest - 3, "@b");
    for (size_t i = 0; i <= sizeof bad / sizeof bad[0]; i++) {
        const char **fields[] = {&mail.from, &mail.to, &mail.reply_to};

        for (size_t j = 0; j < sizeof fields / sizeof fields[0]; j++) {
            reset(state);
            *fields[j] = i < sizeof bad / sizeof bad[0] ? bad[i] : longest;
            refused("address");
        }
    }
    reset(state);
    mail.to = NULL;
    refused("address");
}

static void names_are_quoted_or_encoded(void **state)
{
    (void)state;
    mail.from_name = "A \"B\" \\ <c@d>, e";
    has("From: \"A \\\"B\\\" \\\\ <c@d>, e\"\r\n <pay@pay.example>\r\n");
    mail.from_name = "H\xc3\xa4"
                     "fen";
    has("From: =?UTF-8?B?SMOkZmVu?=\r\n <pay@pay.example>\r\n");
    mail.subject = "=?UTF-8?B?ZXZpbA==?=";
    has("Subject: =?UTF-8?B?PT9VVEYtOD9CP1pYWnBiQT09Pz0=?=\r\n");
}

static void long_words_fold_between_characters(void **state)
{
    char subject[3 * 100 + 1] = "";
    size_t words = 0;

    (void)state;
    for (size_t i = 0; i < 100; i++)
        memcpy(subject + 3 * i, "\xe2\x82\xac", 4);
    subject[0] = 'a'; /* no character ends where a word is full */
    memmove(subject + 1, subject + 3, strlen(subject + 3) + 1);
    mail.subject = subject;
    written();
    for (const char *at = strstr(out, "Subject: "); (at = strstr(at, "=?UTF-8?B?")) != NULL;
         words++) {
        at += strcspn(at, "\r");
        assert_true(strcspn(at - 72, "\r") <= 75);
    }
    assert_int_equal(words, 7);
    free(out);
}

static void bodies_are_quoted_printable(void **state)
{
    char line[200];

    (void)state;
    mail.text = "1 = 2 \xe2\x82\xac \n\t\n.\nend ";
    has("\r\n\r\n1 =3D 2 =E2=82=AC=20\r\n=09\r\n.\r\nend=20\r\n--=_");
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    mail.text = line;
    written();
    for (const char *at = strstr(out, "xxx"); *at == 'x'; at += strcspn(at, "\n") + 1)
        assert_true(strcspn(at, "\r") <= 76);
    free(out);
    mail.text = "a\xff";
    refused("body");
    reset(state);
    mail.html = "a\xff";
    refused("body");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_whole_mail, reset),
        cmocka_unit_test_setup(nothing_gets_into_a_header, reset),
        cmocka_unit_test_setup(addresses_are_addresses, reset),
        cmocka_unit_test_setup(names_are_quoted_or_encoded, reset),
        cmocka_unit_test_setup(long_words_fold_between_characters, reset),
        cmocka_unit_test_setup(bodies_are_quoted_printable, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
