/* The settings file: defaults, every kind of value, and errors that name file and line. */
#include "support.h"

#include "../../worker/base/settings.h"

/* Everything that is required, on 15 lines. */
#define REQUIRED                                                                                   \
    "[edge]\n"                                                                                     \
    "base_url = https://pay.example\n"                                                             \
    "[gateway]\n"                                                                                  \
    "secret_key_file = /k/gateway\n"                                                               \
    "url = http://127.0.0.1:8090\n"                                                                \
    "[keys]\n"                                                                                     \
    "file = /k/links\n"                                                                            \
    "[postgres]\n"                                                                                 \
    "conninfo = host=/tmp dbname=p\n"                                                              \
    "[redis]\n"                                                                                    \
    "functions_file = paylink.lua\n"                                                               \
    "socket = /run/redis.sock\n"                                                                   \
    "[sandbox]\n"                                                                                  \
    "[log]\n"                                                                                      \
    "[worker]\n"

static struct settings settings;

static void loads(const char *text)
{
    struct error err = {.text = ""};

    if (settings_load(file_text("c", text), &settings, &err) != RESULT_OK) {
        fail_msg("%s", err.text);
    }
}

static void load_fails(const char *path, const char *code, const char *text)
{
    static const struct settings empty;
    struct error err = {.code = ""};
    char expected[600];

    memset(&settings, 0xaa, sizeof(settings));
    assert_int_equal(settings_load(path, &settings, &err), RESULT_FATAL);
    snprintf(expected, sizeof(expected), "%s%s", path, text);
    assert_string_equal(err.text, expected);
    assert_string_equal(err.code, code);
    assert_memory_equal(&settings, &empty, sizeof(settings));
    assert_int_equal(settings_load(path, &settings, NULL), RESULT_FATAL);
}

static void refused(const char *content, const char *code, const char *text)
{
    load_fails(file_text("c", content), code, text);
}

static void required_keys_are_enough(void **state)
{
    (void)state;
    loads(REQUIRED);
    assert_string_equal(settings.base_url, "https://pay.example");
    assert_null(settings.gateway_publishable_key);
    assert_string_equal(settings.gateway_secret_key_file, "/k/gateway");
    assert_string_equal(settings.gateway_url, "http://127.0.0.1:8090");
    assert_int_equal(settings.gateway_connections, 32);
    assert_int_equal(settings.gateway_timeout_ms, 20000);
    assert_string_equal(settings.key_file, "/k/links");
    assert_string_equal(settings.log_level, "info");
    assert_string_equal(settings.pg_conninfo, "host=/tmp dbname=p");
    assert_int_equal(settings.pg_statement_timeout_ms, 15000);
    assert_string_equal(settings.redis_functions_file, "paylink.lua");
    assert_null(settings.redis_password_file);
    assert_string_equal(settings.redis_socket, "/run/redis.sock");
    assert_null(settings.redis_user);
    assert_string_equal(settings.sandbox_data_dir, "/var/lib/paylink/sandbox");
    assert_string_equal(settings.sandbox_listen, "127.0.0.1:8090");
    assert_string_equal(settings.sandbox_pages_dir, "/usr/share/paylink/pages/sandbox");
    assert_string_equal(settings.sandbox_public_url, "http://127.0.0.1:8090");
    assert_null(settings.sandbox_webhook_secret_file);
    assert_null(settings.sandbox_webhook_url);
    assert_int_equal(settings.worker_batch_max, 100);
    assert_int_equal(settings.worker_claim_idle_ms, 60000);
    assert_int_equal(settings.worker_lease_ms, 45000);
    assert_string_equal(settings.worker_name, "worker-1");
    assert_string_equal(settings.worker_check_delays_ms,
                        "5000,30000,120000,600000,1800000,7200000,21600000,86400000,259200000");
    assert_int_equal(settings.worker_action_timeout_ms, 1800000);
    settings_free(&settings);
    assert_null(settings.base_url);
}

static void every_key_can_be_set(void **state)
{
    (void)state;
    loads("; comment\n# comment\n\n"
          "[worker]\nname = w-2.a_B\nlease_ms=2000 ; milliseconds\nclaim_idle_ms:3000\n"
          "check_delays_ms = 100,200\nbatch_max=1000\naction_timeout_ms=1000\n"
          "[sandbox]\nwebhook_url = http://h:1/hook\nwebhook_secret_file = /k/w\n"
          "public_url = https://s.example/x\npages_dir = p\nlisten = [::1]:65535\ndata_dir = d\n"
          "[redis]\nuser = worker\npassword_file = /k/r\nsocket = s\nfunctions_file = f\n"
          "[postgres]\nstatement_timeout_ms = 100\nconninfo = host=/tmp ; the first part\n"
          "\tdbname=p ; the second\n  user=u\n\n"
          "[mail]\nurl = smtps://m:465\nfrom = pay@m.example\nuser = u\npassword_file = /k/m\n"
          "starttls = off\ntimeout_ms = 1000\nretry_ms = 1\nconnections = 64\ndir = m\n"
          "[log]\nlevel = debug\n[keys]\nfile = k\n"
          "[gateway]\npublishable_key = pk_1\nurl = https://g\ntimeout_ms = 1999\nsecret_key_file "
          "= g\nconnections = 1024\n"
          "[edge]\r\nbase_url = http://e:8080\r\n");
    assert_string_equal(settings.worker_name, "w-2.a_B");
    assert_int_equal(settings.worker_lease_ms, 2000);
    assert_int_equal(settings.worker_claim_idle_ms, 3000);
    assert_string_equal(settings.worker_check_delays_ms, "100,200");
    assert_int_equal(settings.worker_batch_max, 1000);
    assert_int_equal(settings.worker_action_timeout_ms, 1000);
    assert_string_equal(settings.sandbox_webhook_url, "http://h:1/hook");
    assert_string_equal(settings.sandbox_webhook_secret_file, "/k/w");
    assert_string_equal(settings.sandbox_public_url, "https://s.example/x");
    assert_string_equal(settings.sandbox_pages_dir, "p");
    assert_string_equal(settings.sandbox_listen, "[::1]:65535");
    assert_string_equal(settings.sandbox_data_dir, "d");
    assert_string_equal(settings.redis_user, "worker");
    assert_string_equal(settings.redis_password_file, "/k/r");
    assert_string_equal(settings.redis_socket, "s");
    assert_string_equal(settings.redis_functions_file, "f");
    assert_int_equal(settings.pg_statement_timeout_ms, 100);
    assert_string_equal(settings.pg_conninfo, "host=/tmp dbname=p user=u");
    assert_string_equal(settings.mail_url, "smtps://m:465");
    assert_string_equal(settings.mail_from, "pay@m.example");
    assert_string_equal(settings.mail_user, "u");
    assert_string_equal(settings.mail_password_file, "/k/m");
    assert_string_equal(settings.mail_starttls, "off");
    assert_string_equal(settings.mail_dir, "m");
    assert_int_equal(settings.mail_timeout_ms, 1000);
    assert_int_equal(settings.mail_retry_ms, 1);
    assert_int_equal(settings.mail_connections, 64);
    assert_string_equal(settings.log_level, "debug");
    assert_string_equal(settings.key_file, "k");
    assert_string_equal(settings.gateway_url, "https://g");
    assert_int_equal(settings.gateway_timeout_ms, 1999);
    assert_string_equal(settings.gateway_publishable_key, "pk_1");
    assert_string_equal(settings.gateway_secret_key_file, "g");
    assert_int_equal(settings.gateway_connections, 1024);
    assert_string_equal(settings.base_url, "http://e:8080");
    settings_free(&settings);
}

static void missing_keys_are_all_named(void **state)
{
    (void)state;
    refused("", "settings_missing",
            ": missing: [edge] base_url, [gateway] secret_key_file, [gateway] url, [keys] file, "
            "[postgres] conninfo, [redis] functions_file, [redis] socket");
    refused("[keys]\nfile = k\n[edge]\nbase_url = http://e\n[gateway]\nurl = http://g\n"
            "secret_key_file = s\n[redis]\nsocket = s\nfunctions_file = f\n",
            "settings_missing", ": missing: [postgres] conninfo");
}

static void unknown_sections_are_refused_even_when_empty(void **state)
{
    (void)state;
    refused(REQUIRED "[smtp]\n", "settings_unknown_section",
            ":16: unknown section [smtp]; the sections are: edge, gateway, keys, log, mail, "
            "postgres, redis, sandbox, worker");
    refused("[edge]\n\n[]\n", "settings_unknown_section",
            ":3: unknown section []; the sections are: edge, gateway, keys, log, mail, postgres, "
            "redis, sandbox, worker");
    refused("[keys]\nfile=k\n [edge]\n", "settings_syntax",
            ":3: a [section] starts in the first column");
}

static void unknown_keys_are_refused(void **state)
{
    (void)state;
    refused("[keys]\n\npath = x\n", "settings_unknown_key",
            ":3: unknown key \"path\" in [keys]; its keys are: file");
    refused("[redis]\nport = 1\n", "settings_unknown_key",
            ":2: unknown key \"port\" in [redis]; its keys are: functions_file, password_file, "
            "socket, user");
    refused("base_url = http://e\n", "settings_unknown_key",
            ":1: unknown key \"base_url\" in []; its keys are: ");
}

static void keys_are_given_once_and_with_a_value(void **state)
{
    (void)state;
    refused("[keys]\nfile = a\nfile = b\n", "settings_duplicate", ":3: [keys] file is given twice");
    refused("[keys]\nfile = a\n[log]\n[keys]\nfile = a\n", "settings_duplicate",
            ":5: [keys] file is given twice");
    refused("[keys]\nfile =\n", "settings_value",
            ":2: [keys] file is empty; remove the line for the default");
    refused("[keys]\nfile = ; x\n", "settings_value",
            ":2: [keys] file is empty; remove the line for the default");
}

static void only_conninfo_goes_on_in_indented_lines(void **state)
{
    (void)state;
    refused("[redis]\nsocket = s\n  user = u\n", "settings_syntax",
            ":3: a line that starts with a blank continues the one before it, which [redis] socket "
            "does not allow; start in the first column");
    refused("[redis]\n socket = s\n", "settings_syntax",
            ":2: a line that starts with a blank continues the one before it, which [redis] socket "
            "does not allow; start in the first column");
    refused("[postgres]\n conninfo = s\n", "settings_syntax",
            ":2: a line that starts with a blank continues the one before it, which [postgres] "
            "conninfo does not allow; start in the first column");
}

static void lines_that_are_nothing_are_refused(void **state)
{
    char line[400];

    (void)state;
    refused("[keys]\nfile\n", "settings_syntax", ":2: neither [section] nor key = value");
    refused("[keys\nfile = a\n", "settings_syntax", ":1: neither [section] nor key = value");
    refused("[keys]\nfile\n[nope]\n", "settings_syntax", ":2: neither [section] nor key = value");
    refused("[nope]\nfile\n", "settings_unknown_section",
            ":1: unknown section [nope]; the sections are: edge, gateway, keys, log, mail, "
            "postgres, redis, sandbox, worker");
    refused("[keys]\nfile = a\x01\n", "settings_syntax",
            ":2: the line contains a control character");
    refused("[keys]\nfile = a\x7f\n", "settings_syntax",
            ":2: the line contains a control character");
    load_fails(file_write("c", "[keys]\nfile = a\0b\n", 18, 0600), "settings_syntax",
               ":2: the line contains a control character");
    memset(line, 'x', sizeof(line));
    memcpy(line, "[keys]\nfile = ", 14);
    line[sizeof(line) - 1] = '\0';
    refused(line, "settings_syntax", ":2: the line is longer than 199 bytes");
}

static void lines_and_names_may_be_as_long_as_documented(void **state)
{
    char line[199 + 1], name[64 + 2 + 1], text[sizeof(REQUIRED) + 400];

    (void)state;
    memset(line, 'd', sizeof(line) - 1);
    memcpy(line, "data_dir = ", 11);
    line[198] = '\n';
    line[199] = '\0';
    memset(name, 'n', sizeof(name));
    strcpy(name + 64, "\n");
    snprintf(text, sizeof(text), "%sname = %s[sandbox]\n%s", REQUIRED, name, line);
    loads(text);
    assert_int_equal(strlen(settings.worker_name), 64);
    assert_int_equal(strlen(settings.sandbox_data_dir), 198 - 11);
    settings_free(&settings);
    strcpy(name + 64, "n\n");
    snprintf(text, sizeof(text), "%sname = %s", REQUIRED, name);
    refused(text, "settings_value", ":16: [worker] name must be 1 to 64 of A-Z a-z 0-9 . _ -");
}

static void value_refused(const char *line, const char *allowed)
{
    char content[300], text[300];
    const char *key = strchr(line, ']') + 1;

    snprintf(content, sizeof(content), "%.*s\n%s\n", (int)(key - line), line, key);
    snprintf(text, sizeof(text), ":2: %.*s %.*s must be %s", (int)(key - line), line,
             (int)strcspn(key, "="), key, allowed);
    refused(content, "settings_value", text);
}

static void urls_are_checked(void **state)
{
    static const char *const bad[] = {
        "pay.example",        "ftp://pay.example", "https://",      "http://",     "https:///p",
        "https://:80",        "https://h/",        "https://h?x",   "https://h#x", "https://u@h",
        "https://h/<script>", "HTTPS://h",         "https://h/a b", "https://h\"", "https://h'",
        "https://h\\",        "https://h\xc3\xa9"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char line[100];

        snprintf(line, sizeof(line), "[edge]base_url=%s", bad[i]);
        value_refused(line, "http(s)://HOST[:PORT][/PATH] without a slash at the end");
    }
}

static void mail_servers_and_senders_are_checked(void **state)
{
    static const char *const urls[] = {"http://m",   "smtp://",     "smtp:/m",
                                       "smtpx://m",  "file://m",    "smtp://m/d",
                                       "smtp://u@m", "smtps://m:/", "smtp://:25"};
    static const char *const senders[] = {"pay",     "@m",        "pay@",
                                          "a@b@c",   "pay m@m.e", "<pay@m.e>",
                                          "p,q@m.e", "\"p\"@m.e", "p\xc3\xa4y@m.e"};
    char line[100];

    (void)state;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        snprintf(line, sizeof(line), "[mail]url=%s", urls[i]);
        value_refused(line, "smtp(s)://HOST[:PORT], or file:///FOLDER");
    }
    for (size_t i = 0; i < sizeof(senders) / sizeof(senders[0]); i++) {
        snprintf(line, sizeof(line), "[mail]from=%s", senders[i]);
        value_refused(line, "an e-mail address");
    }
    value_refused("[mail]starttls=yes", "on or off");
    refused(REQUIRED "[mail]\nurl = smtp://m\n", "settings_missing",
            ": missing: [mail] from, which [mail] url needs");
}

static void numbers_are_bounded(void **state)
{
    static const char *const bad[] = {"0",
                                      "1025",
                                      "-1",
                                      "+1",
                                      "1.5",
                                      "1e3",
                                      "0x1",
                                      "one",
                                      "1 2",
                                      "9999999999999999999999",
                                      "1000000000000000000"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char line[100];

        snprintf(line, sizeof(line), "[gateway]connections=%s", bad[i]);
        value_refused(line, "a whole number from 1 to 1024");
    }
}

static void timetables_ascend(void **state)
{
    static const char *const bad[] = {
        "0",
        "1,1",
        "2,1",
        "1,,2",
        ",1",
        "1,",
        "1, 2",
        "1;2",
        "a",
        "259200001",
        ("1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,"
         "24,25,26,27,28,29,30,31,32,33")};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char line[200];

        snprintf(line, sizeof(line), "[worker]check_delays_ms=%s", bad[i]);
        value_refused(line, "at most 32 ascending whole numbers from 1 to 259200000 with commas "
                            "between");
    }
    loads(REQUIRED "check_delays_ms = 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,"
                   "24,25,26,27,28,29,30,31,259200000\n");
    settings_free(&settings);
}

static void other_values_are_checked(void **state)
{
    static const char *const levels[] = {"verbose", "INFO", "warning", "2"};
    static const char *const listens[] = {"8090",       ":8090",       "localhost:8090",
                                          "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536",
                                          "127.0.0.1:x"};
    static const char *const users[] = {"a b", "a/b", "a:b", "\xc3\xa9"};
    char line[200];

    (void)state;
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        snprintf(line, sizeof(line), "[log]level=%s", levels[i]);
        value_refused(line, "debug, info, warn or error");
    }
    for (size_t i = 0; i < sizeof(listens) / sizeof(listens[0]); i++) {
        snprintf(line, sizeof(line), "[sandbox]listen=%s", listens[i]);
        value_refused(line, "ADDRESS:PORT with a numeric address");
    }
    for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
        snprintf(line, sizeof(line), "[redis]user=%s", users[i]);
        value_refused(line, "1 to 64 of A-Z a-z 0-9 . _ -");
    }
}

static void a_lease_outlives_the_gateway_call(void **state)
{
    (void)state;
    refused(REQUIRED "lease_ms = 20000\n", "settings_value",
            ": [worker] lease_ms (20000) must be above [gateway] timeout_ms (20000)");
    refused(REQUIRED "claim_idle_ms = 20000\n", "settings_value",
            ": [worker] claim_idle_ms (20000) must be above [gateway] timeout_ms (20000)");
    loads(REQUIRED "claim_idle_ms = 20001\nlease_ms = 20001\n[log]\nlevel = error\n");
    assert_string_equal(settings.log_level, "error");
    settings_free(&settings);
}

static void unreadable_files_are_refused(void **state)
{
    static char big[65537];

    (void)state;
    load_fails(path_of("absent"), "settings_unreadable",
               " cannot be opened: No such file or directory");
    memset(big, '\n', sizeof(big));
    load_fails(file_write("c", big, sizeof(big), 0600), "settings_unreadable",
               " is larger than 65536 bytes");
}

static void print_example(const void *path)
{
    if (freopen(path, "w", stdout) == NULL) {
        _exit(9);
    }
    settings_print_example();
    fflush(stdout);
}

/* The example is a good file, and with its defaults uncommented it means the same. */
static void the_example_loads(void **state)
{
    char path[SUPPORT_PATH_MAX], command[3 * SUPPORT_PATH_MAX], err[100];
    struct settings all;
    struct error error = {.text = ""};

    (void)state;
    strcpy(path, path_of("example"));
    assert_int_equal(child_run(print_example, path, err, sizeof(err)), 0);
    if (settings_load(path, &settings, &error) != RESULT_OK) {
        fail_msg("%s", error.text);
    }
    snprintf(command, sizeof(command), "sed -i 's/^#\\([a-z]\\)/\\1/; / =$/d' '%s'", path);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): on our own folder */
    if (settings_load(path, &all, &error) != RESULT_OK) {
        fail_msg("%s", error.text);
    }
    assert_string_equal(all.sandbox_listen, settings.sandbox_listen);
    assert_string_equal(all.worker_check_delays_ms, settings.worker_check_delays_ms);
    assert_int_equal(all.worker_lease_ms, settings.worker_lease_ms);
    settings_free(&all);
    settings_free(&settings);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(required_keys_are_enough),
        TEST(every_key_can_be_set),
        TEST(missing_keys_are_all_named),
        TEST(unknown_sections_are_refused_even_when_empty),
        TEST(unknown_keys_are_refused),
        TEST(keys_are_given_once_and_with_a_value),
        TEST(only_conninfo_goes_on_in_indented_lines),
        TEST(lines_that_are_nothing_are_refused),
        TEST(lines_and_names_may_be_as_long_as_documented),
        TEST(urls_are_checked),
        TEST(mail_servers_and_senders_are_checked),
        TEST(numbers_are_bounded),
        TEST(timetables_ascend),
        TEST(other_values_are_checked),
        TEST(a_lease_outlives_the_gateway_call),
        TEST(unreadable_files_are_refused),
        TEST(the_example_loads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
