/* Log lines, fatal ends, errors, allocation that cannot fail, and times as text. */
#include <errno.h>
#include <time.h>

#include "support.h"

#define LOG_AREA "unit"
#include "../../worker/base/clock.h"
#include "../../worker/base/log.h"
#include "../../worker/base/mem.h"
#include "../../worker/base/result.h"

/* Asking for too much must return NULL, as without the sanitizer. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static char out[16384];

/* Cuts the time, which differs, and the process id out of one line; returns the rest. */
static char *line_rest(char *line, const char *level_program)
{
    size_t len = strlen(level_program);
    char *at;

    assert_int_equal(strspn(line, "0123456789-T:.Z"), CLOCK_ISO_SIZE - 1);
    at = line + CLOCK_ISO_SIZE - 1;
    assert_memory_equal(at, level_program, len);
    assert_int_equal(at[len], '[');
    at += len + 1;
    at += strspn(at, "0123456789");
    assert_memory_equal(at, "] ", 2);
    return at + 2;
}

static void write_levels(const void *level)
{
    log_init("paylink worker", *(const enum log_level *)level);
    log_debug("d %d", 1);
    log_info("i %s", "x");
    log_warn("w");
    log_error("e");
}

static void lines_below_the_level_are_dropped(void **state)
{
    static const char *const expected[] = {" debug paylink worker", " info paylink worker",
                                           " warn paylink worker", " error paylink worker"};
    static const char *const messages[] = {"unit: d 1\n", "unit: i x\n", "unit: w\n", "unit: e\n"};

    (void)state;
    for (int level = LOG_LEVEL_DEBUG; level <= LOG_LEVEL_ERROR; level++) {
        char *at = out;

        assert_int_equal(child_run(write_levels, &level, out, sizeof(out)), 0);
        for (int i = level; i <= LOG_LEVEL_ERROR; i++) {
            at = line_rest(at, expected[i]);
            assert_memory_equal(at, messages[i], strlen(messages[i]));
            at += strlen(messages[i]);
        }
        assert_string_equal(at, "");
    }
}

static void write_message(const void *message)
{
    log_info("%s", (const char *)message);
}

static void logs(const char *message, const char *expected)
{
    assert_int_equal(child_run(write_message, message, out, sizeof(out)), 0);
    assert_string_equal(line_rest(out, " info paylink"), expected);
}

static void a_message_cannot_forge_a_line(void **state)
{
    (void)state;
    logs("a\nb\r\x1b[31m\x7f\t", "unit: a\\x0ab\\x0d\\x1b[31m\\x7f\\x09\n");
    logs("Café %s %n", "unit: Café %s %n\n");
}

static void long_messages_are_cut(void **state)
{
    char message[3000], expected[3100];

    (void)state;
    memset(message, 'x', sizeof(message));
    message[2047] = '\0';
    snprintf(expected, sizeof(expected), "unit: %s\n", message);
    logs(message, expected);
    message[2047] = 'x';
    message[2999] = '\0';
    snprintf(expected, sizeof(expected), "unit: %.2044s...\n", message);
    logs(message, expected);
    memset(message, '\n', 2999);
    assert_int_equal(child_run(write_message, message, out, sizeof(out)), 0);
    assert_int_equal(strlen(line_rest(out, " info paylink")), 6 + 4 * 2044 + 3 + 1);
}

static void write_keeps_errno(const void *unused)
{
    (void)unused;
    errno = 7;
    log_info("x");
    close(STDERR_FILENO);
    log_info("into a closed descriptor");
    _exit(errno == 7 ? 0 : 1);
}

static void logging_keeps_errno(void **state)
{
    (void)state;
    assert_int_equal(child_run(write_keeps_errno, NULL, out, sizeof(out)), 0);
}

static void end_fatally(const void *unused)
{
    (void)unused;
    log_init("paylink", LOG_LEVEL_ERROR);
    fatal("no %s", "way");
}

static void fatal_ends_with_status_1(void **state)
{
    int status;

    (void)state;
    status = child_run(end_fatally, NULL, out, sizeof(out));
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_string_equal(line_rest(out, " error paylink"), "fatal: no way\n");
}

static void alloc_too_much(const void *unused)
{
    (void)unused;
    free(mem_alloc(SIZE_MAX / 2));
}

static void realloc_too_much(const void *unused)
{
    (void)unused;
    free(mem_realloc(NULL, SIZE_MAX / 2));
}

static void out_of_memory_is_fatal(void **state)
{
    (void)state;
    assert_int_equal(WEXITSTATUS(child_run(alloc_too_much, NULL, out, sizeof(out))), 1);
    assert_non_null(strstr(out, "fatal: out of memory: 9223372036854775807 bytes were refused\n"));
    assert_int_equal(WEXITSTATUS(child_run(realloc_too_much, NULL, out, sizeof(out))), 1);
    assert_non_null(strstr(out, "fatal: out of memory"));
}

static void memory_is_zeroed_and_copied(void **state)
{
    static const char zeros[100];
    char *memory = mem_alloc(100);

    (void)state;
    assert_memory_equal(memory, zeros, 100);
    memory = mem_realloc(memory, 1000);
    assert_memory_equal(memory, zeros, 100);
    free(memory);
    free(mem_alloc(0));
    free(mem_realloc(NULL, 0));

    memory = mem_strdup("abc");
    assert_string_equal(memory, "abc");
    free(memory);
    memory = mem_strndup("abcdef", 3);
    assert_string_equal(memory, "abc");
    free(memory);
    memory = mem_strndup("ab", 100);
    assert_string_equal(memory, "ab");
    free(memory);
    assert_null(mem_strdup(NULL));
    assert_null(mem_strndup(NULL, 3));
    memory = mem_printf("%s-%d", "x", 5);
    assert_string_equal(memory, "x-5");
    free(memory);
}

static void errors_are_filled_and_cut(void **state)
{
    struct error err;
    char big[1000];

    (void)state;
    assert_int_equal(error_set(&err, RESULT_RETRY, "busy", "try %d", 2), RESULT_RETRY);
    assert_string_equal(err.code, "busy");
    assert_string_equal(err.text, "try 2");
    assert_int_equal(error_set(NULL, RESULT_FATAL, "x", "%d", 1), RESULT_FATAL);
    memset(big, 'x', sizeof(big));
    big[999] = '\0';
    assert_int_equal(error_set(&err, RESULT_REJECTED, big, "%s", big), RESULT_REJECTED);
    assert_int_equal(strlen(err.code), sizeof(err.code) - 1);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

static void times_are_written_in_utc(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1709210096789, "2024-02-29T12:34:56.789Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {-1000, "1969-12-31T23:59:59.000Z"},
        {INT64_C(253402300799999), "9999-12-31T23:59:59.999Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
        {INT64_C(-62167219200000), "0000-01-01T00:00:00.000Z"},
        {INT64_MIN, "0000-01-01T00:00:00.000Z"},
    };
    char text[CLOCK_ISO_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        clock_iso(cases[i].ms, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void clocks_run(void **state)
{
    int64_t wall = clock_wall_ms(), monotonic = clock_monotonic_ms();

    (void)state;
    assert_true(wall / 1000 - (int64_t)time(NULL) <= 1 && (int64_t)time(NULL) - wall / 1000 <= 1);
    usleep(2000);
    assert_true(clock_monotonic_ms() > monotonic);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_below_the_level_are_dropped),
        cmocka_unit_test(a_message_cannot_forge_a_line),
        cmocka_unit_test(long_messages_are_cut),
        cmocka_unit_test(logging_keeps_errno),
        cmocka_unit_test(fatal_ends_with_status_1),
        cmocka_unit_test(out_of_memory_is_fatal),
        cmocka_unit_test(memory_is_zeroed_and_copied),
        cmocka_unit_test(errors_are_filled_and_cut),
        cmocka_unit_test(times_are_written_in_utc),
        cmocka_unit_test(clocks_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
