/* Whole files: what is read, and why others are refused. */
#include <fcntl.h>

#include "support.h"

#include "../../worker/base/secret.h"
#include "../../worker/core/file.h"

static void read_fails(const char *path, enum file_kind kind, size_t size_max, const char *message)
{
    char err[100] = "";
    char *out = NULL;
    size_t len = 7;

    assert_int_equal(file_read(path, kind, size_max, &out, &len, err, sizeof(err)), -1);
    assert_string_equal(err, message);
    assert_null(out);
    assert_int_equal(len, 7);
}

static void contents_come_with_a_nul_behind(void **state)
{
    static const char content[] = "a\0b\n";
    char err[100];
    char *out;
    size_t len;

    (void)state;
    assert_int_equal(
        file_read(file_write("f", content, 4, 0644), FILE_PUBLIC, 4, &out, &len, err, sizeof(err)),
        0);
    assert_int_equal(len, 4);
    assert_memory_equal(out, content, 5);
    free(out);
    assert_int_equal(file_read(file_text("f", ""), FILE_SECRET, 0, &out, &len, err, sizeof(err)),
                     0);
    assert_int_equal(len, 0);
    assert_int_equal(out[0], '\0');
    file_wipe(out, len);
    file_wipe(NULL, 0);
}

static void files_are_refused_with_a_reason(void **state)
{
    (void)state;
    read_fails(path_of("absent"), FILE_PUBLIC, 9, "cannot be opened: No such file or directory");
    read_fails(folder, FILE_PUBLIC, 9, "is not a regular file");
    read_fails(file_text("f", "12345"), FILE_PUBLIC, 4, "is larger than 4 bytes");
    read_fails(file_write("f", "1", 1, 0601), FILE_SECRET, 4,
               "may be accessed by others (mode 0601); run chmod o= on it");
}

/* Opening a FIFO without a writer would wait for ever. */
static void a_fifo_is_refused_at_once(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    read_fails(path_of("fifo"), FILE_PUBLIC, 9, "is not a regular file");
}

/* Files of /proc say that they are empty and then are not, as if they grew meanwhile. */
static void a_file_that_grows_is_refused(void **state)
{
    (void)state;
    read_fails("/proc/self/status", FILE_PUBLIC, 100000, "grew while it was read; try again");
}

static void a_file_that_cannot_be_read_is_refused(void **state)
{
    (void)state;
    /* Reading our own memory at address 0 is an input/output error. */
    read_fails("/proc/self/mem", FILE_PUBLIC, 9, "cannot be read: Input/output error");
}

static void secret_is(const char *content, const char *expected)
{
    struct error err;
    char *secret;

    assert_int_equal(secret_load(file_text("s", content), &secret, &err), RESULT_OK);
    assert_string_equal(secret, expected);
    secret_free(secret);
}

static void secret_fails(const char *path, const char *code, const char *text)
{
    struct error err = {.code = ""};
    char expected[400];
    char *secret = (char *)path;

    assert_int_equal(secret_load(path, &secret, &err), RESULT_FATAL);
    assert_null(secret);
    assert_string_equal(err.code, code);
    snprintf(expected, sizeof(expected), "%s%s", path, text);
    assert_string_equal(err.text, expected);
    assert_int_equal(secret_load(path, &secret, NULL), RESULT_FATAL);
}

static void a_secret_is_the_first_line(void **state)
{
    (void)state;
    secret_is("sk_test_1\n", "sk_test_1");
    secret_is("sk_test_1", "sk_test_1");
    secret_is(" with blanks \nrest\n", " with blanks ");
    secret_free(NULL);
}

static void bad_secrets_are_refused_without_showing_them(void **state)
{
    static char big[SECRET_BYTES_MAX + 1];

    (void)state;
    secret_fails(path_of("absent"), "secret_unreadable",
                 " cannot be opened: No such file or directory");
    secret_fails(file_write("s", "x\n", 2, 0644), "secret_unreadable",
                 " may be accessed by others (mode 0644); run chmod o= on it");
    memset(big, 'x', sizeof(big));
    secret_fails(file_write("s", big, sizeof(big), 0600), "secret_unreadable",
                 " is larger than 4096 bytes");
    secret_fails(file_text("s", ""), "secret_empty", ": the first line is empty");
    secret_fails(file_text("s", "\nx"), "secret_empty", ": the first line is empty");
    secret_fails(file_text("s", "sk\r\n"), "secret_malformed",
                 ": the first line contains a control character");
    secret_fails(file_text("s", "sk\x7f"), "secret_malformed",
                 ": the first line contains a control character");
    secret_fails(file_write("s", "s\0k", 3, 0600), "secret_malformed", " contains a NUL");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(contents_come_with_a_nul_behind),
        TEST(files_are_refused_with_a_reason),
        TEST(a_fifo_is_refused_at_once),
        TEST(a_file_that_grows_is_refused),
        TEST(a_file_that_cannot_be_read_is_refused),
        TEST(a_secret_is_the_first_line),
        TEST(bad_secrets_are_refused_without_showing_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
