/* Failpoints: each action, the N-th passage, and that a misspelt one ends the process. */
#include <signal.h>

#include "support.h"

#include "../../worker/base/clock.h"
#include "../../worker/base/failpoint.h"

static char out[4096];

/* Passes a, b, a, b, a; the exit status tells how many passages there were. */
static void pass(const void *spec)
{
    static const char *const names[] = {"t.a", "t.b", "t.a", "t.b", "t.a"};

    setenv("PAYLINK_FAILPOINT", spec, 1);
    for (int i = 0; i < 5; i++) {
        FAILPOINT(names[i]);
    }
    _exit(100);
}

static int status_of(const char *spec)
{
    return child_run(pass, spec, out, sizeof(out));
}

static void exits_with(const char *spec, int expected)
{
    int status = status_of(spec);

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), expected);
}

static void without_a_spec_nothing_happens(void **state)
{
    (void)state;
    exits_with("", 100);
    exits_with("t.c=kill", 100);
    exits_with("t=kill,t.aa=kill", 100);
    assert_string_equal(out, "");
}

static void kill_is_sigkill(void **state)
{
    int status = status_of("t.b=kill");

    (void)state;
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    assert_non_null(strstr(out, "failpoint: t.b acts\n"));
}

static void exit_has_its_status(void **state)
{
    (void)state;
    exits_with("t.a=exit:0", 0);
    exits_with("t.b=exit:255", 255);
    exits_with("t.b@2=exit:7,t.c=kill", 7);
    exits_with("t.a@3=exit:8", 8);
    exits_with("t.a@4=exit:8", 100);
    exits_with("t.b=exit:1,t.a@2=exit:2", 1);
    exits_with("t.b@2=exit:1,t.a@2=exit:2", 2);
}

static void sleep_waits_once_and_goes_on(void **state)
{
    int64_t start = clock_monotonic_ms();

    (void)state;
    exits_with("t.a=sleep:60", 100);
    assert_true(clock_monotonic_ms() - start >= 60);
    assert_ptr_equal(strstr(strstr(out, "acts") + 1, "acts"), NULL);
    exits_with("t.a=sleep:1,t.a@2=exit:9", 9);
}

static void stop_is_sigstop(void **state)
{
    int status;
    pid_t pid;

    (void)state;
    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        pass("t.a=stop");
    }
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(WSTOPSIG(status), SIGSTOP);
    assert_int_equal(kill(pid, SIGCONT), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 100);
}

static void misspelt_specs_end_the_process(void **state)
{
    static const char *const bad[] = {
        "t.a",
        "=kill",
        "t.a=",
        "t.a=die",
        "t.a=exit:",
        "t.a=exit:256",
        "t.a=exit:x",
        "t.a=sleep",
        "t.a=sleep:-1",
        "t.a=sleep:600001",
        "t.a@=kill",
        "t.a@0=kill",
        "t.a@x=kill",
        "t.a@1x=kill",
        "@1=kill",
        "t.c=kill,",
        ",",
        "t.a= kill",
        "t.a=exit:1 ",
        "t.a=kill;t.b=kill",
        "t.a=exit:99999999999999999999",
        ("a=kill,a=kill,a=kill,a=kill,a=kill,a=kill,a=kill,a=kill,a=kill,a=kill,a=kill,a=kill,"
         "a=kill,a=kill,a=kill,a=kill,a=kill"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        exits_with(bad[i], 1);
        assert_non_null(strstr(out, "fatal: PAYLINK_FAILPOINT"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_spec_nothing_happens),
        cmocka_unit_test(kill_is_sigkill),
        cmocka_unit_test(exit_has_its_status),
        cmocka_unit_test(sleep_waits_once_and_goes_on),
        cmocka_unit_test(stop_is_sigstop),
        cmocka_unit_test(misspelt_specs_end_the_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
