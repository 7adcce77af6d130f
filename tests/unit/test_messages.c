/* Message files: what they hold, which are refused with their line, and how messages get into
 * pages. */
#include "support.h"

#include "../../worker/core/messages.h"
#include "../../worker/core/template.h"

static const char *const names[] = {"who", "where"};
static const struct template_value values[] = {{"A & B", 5}, {"/p/\"x\"", 6}};
static char err[256];

static struct messages *parse(const char *text)
{
    return messages_parse(text, strlen(text), "xx.txt", err, sizeof(err));
}

static void refused(const char *text, const char *says)
{
    assert_null(parse(text));
    assert_string_equal(err, says);
}

static void prints_as(const char *name, const char *file, const char *page, const char *expected)
{
    struct messages *m = parse(file);
    struct template *t;
    char *out;
    size_t size;

    assert_non_null(m);
    t = template_compile(page, strlen(page), name, names, 2, m, err, sizeof(err));
    messages_free(m);
    if (t == NULL) {
        fail_msg("%s", err);
        return;
    }
    size = template_size(t, values);
    out = calloc(1, size + 1);
    assert_non_null(out);
    assert_int_equal(template_write(t, values, out), size);
    assert_string_equal(out, expected);
    free(out);
    template_free(t);
}

static void prints(const char *file, const char *page, const char *expected)
{
    prints_as("t.html", file, page, expected);
}

static void page_refused(const char *file, const char *page, const char *says)
{
    struct messages *m = parse(file);

    assert_non_null(m);
    assert_null(template_compile(page, strlen(page), "t.html", names, 2, m, err, sizeof(err)));
    assert_string_equal(err, says);
    messages_free(m);
}

static void lines_are_keys_and_texts(void **state)
{
    struct messages *m = parse("# a comment\r\n\n  one =  Eins = 1 \r\ntwo_2=\xd7\x91");
    const struct message *one, *two;

    (void)state;
    assert_non_null(m);
    one = messages_find(m, "one", 3);
    two = messages_find(m, "two_2", 5);
    assert_non_null(one);
    assert_non_null(two);
    assert_int_equal(one->len, strlen("Eins = 1"));
    assert_memory_equal(one->text, "Eins = 1", one->len);
    assert_int_equal(one->line, 3);
    assert_int_equal(two->len, 2);
    assert_null(messages_find(m, "on", 2));
    messages_free(m);
}

static void odd_files_are_refused_with_their_line(void **state)
{
    (void)state;
    refused("a = 1\nb\n", "xx.txt:2: a line is `key = text` or starts with #");
    refused("A = 1", "xx.txt:1: a key is small letters, digits and _ only");
    refused("1a = 1", "xx.txt:1: a key is small letters, digits and _ only");
    refused(" = 1", "xx.txt:1: a key is small letters, digits and _ only");
    refused("\na = \n", "xx.txt:2: \"a\" has no text");
    refused("a = 1\n\na = 2", "xx.txt:3: \"a\" stands on line 1 already");
    refused("a = \xff", "xx.txt: is not text: it has a NUL or invalid UTF-8");
    assert_null(messages_parse("a = \0", 5, "xx.txt", err, sizeof(err)));
    assert_null(messages_load("/nonexistent", "xx.txt", err, sizeof(err)));
    assert_non_null(strstr(err, "/nonexistent/xx.txt cannot be opened"));
}

static void files_are_limited(void **state)
{
    char *text = calloc(1, MESSAGES_FILE_BYTES_MAX + 2);
    size_t at = 0;

    (void)state;
    assert_non_null(text);
    memset(text, '#', MESSAGES_FILE_BYTES_MAX + 1);
    refused(text, "xx.txt: is larger than 262144 bytes");
    for (int i = 0; i <= MESSAGES_MAX; i++) {
        at += (size_t)sprintf(text + at, "k%d = x\n", i);
    }
    refused(text, "xx.txt:1025: more than 1024 messages");
    free(text);
}

static void a_message_that_nothing_says_is_found(void **state)
{
    struct messages *m = parse("a = 1\nb = 2\n");
    const struct message *unused;

    (void)state;
    assert_non_null(m);
    messages_find(m, "a", 1);
    unused = messages_unused(m, "");
    assert_non_null(unused);
    assert_int_equal(unused->line, 2);
    messages_find(m, "b", 1);
    assert_null(messages_unused(m, ""));
    messages_free(m);
}

static void checked(const char *reference, const char *text, const char *says)
{
    struct messages *of = parse(reference), *m = parse(text);

    assert_non_null(of);
    assert_non_null(m);
    err[0] = '\0';
    assert_int_equal(messages_check(m, of, err, sizeof(err)), says[0] == '\0' ? 0 : -1);
    assert_string_equal(err, says);
    messages_free(m);
    messages_free(of);
}

static void another_language_says_the_same(void **state)
{
    static const char plural[] = "a = {0, plural, one {Invoice {1}} other {# invoices}}";

    (void)state;
    checked("a = {who}, **now** [b] {.1}", "a = {.1} [x] **y** {who} {who}", "");
    checked(plural, "a = {0, plural, other {Faturas: # ({1})}}", "");
    checked(plural, "a = {0, plural, other {# faturas}}", "xx.txt:1: \"a\" has lost {1}");
    checked("a = 1\nb = 2", "a = 1", "xx.txt: \"b\" is missing");
    checked("a = 1", "a = 1\nb = 2", "xx.txt:2: \"b\" is a message of no page");
    checked("a = {who}", "a = {where}", "xx.txt:1: \"a\" has lost {who}");
    checked("a = {who}", "a = {who} {where}", "xx.txt:1: \"a\" has no {where} elsewhere");
    checked("a = {who:time}", "a = {who}", "xx.txt:1: \"a\" has lost {who:time}");
    checked("a = **x**", "a = x", "xx.txt:1: \"a\" has not as many * as elsewhere");
    checked("a = [x]", "a = x]", "xx.txt:1: \"a\" has not as many [ as elsewhere");
}

static void messages_of_another_program_are_not_missed(void **state)
{
    struct messages *m = parse("other_a = 1\nother_ = 2");

    (void)state;
    assert_non_null(m);
    assert_int_equal(messages_unused(m, "other_")->line, 2);
    assert_int_equal(messages_unused(m, "")->line, 1);
    messages_free(m);
}

static void messages_become_html(void **state)
{
    (void)state;
    prints("a = Pay <{who}>, please & \"now\"", "<p>{{t a}}</p>",
           "<p>Pay &lt;<bdi>A &amp; B</bdi>&gt;, please &amp; &quot;now&quot;</p>");
    prints("a = **Not charged.** 2 * 3", "{{t a}}", "<b>Not charged.</b> 2 * 3");
    prints("a = until {who:time}.", "{{t a}}",
           "until <time datetime=\"A &amp; B\">A &amp; B</time>.");
    prints("a = See [the **receipt**].", "{{t a where}}",
           "See <a href=\"/p/&quot;x&quot;\" rel=\"noreferrer\">the <b>receipt</b></a>.");
}

static void messages_become_plain_text(void **state)
{
    (void)state;
    prints("a = Pay {who} \"now\"", "<title>{{text a}}</title>",
           "<title>Pay A &amp; B &quot;now&quot;</title>");
    page_refused("a = **x**", "{{text a}}", "xx.txt:1: a title or attribute has no **");
    page_refused("a = {who:time}", "{{text a}}",
                 "xx.txt:1: a title or attribute has no {name:time}");
    page_refused("a = [x]", "{{text a where}}", "xx.txt:1: a link, [ ], where the page has none");
}

static void a_text_file_escapes_nothing(void **state)
{
    (void)state;
    prints_as("t.txt", "a = <{who}> & \"",
              "{{text a}} {{t a}} {{who}} {{&who}}{{#if who=x}}!{{/if}}",
              "<A & B> & \" <A & B> & \" A & B A & B");
    prints_as("t.txtx", "a = <{who}>", "{{text a}}", "&lt;A &amp; B&gt;");
}

static void what_a_page_cannot_say_is_refused(void **state)
{
    static const char one_link[] =
        "xx.txt:1: [ and ] are for the one link of a message, outside of **";

    (void)state;
    page_refused("a = 1", "\n{{t b}}", "t.html:2: there is no message \"b\"");
    page_refused("a = 1", "{{t a nowhere}}", "t.html:1: unknown name \"nowhere\"");
    page_refused("\na = {whom}", "{{t a}}", "xx.txt:2: unknown name \"whom\"");
    page_refused("a = {who", "{{t a}}", "xx.txt:1: { without }");
    page_refused("a = who}", "{{t a}}", "xx.txt:1: } without {");
    page_refused("a = **x", "{{t a}}", "xx.txt:1: ** is not closed");
    page_refused("a = [x", "{{t a where}}", "xx.txt:1: [ is not closed");
    page_refused("a = x", "{{t a where}}",
                 "xx.txt:1: the page puts a link here: its words need [ and ]");
    page_refused("a = [x]", "{{t a}}", "xx.txt:1: a link, [ ], where the page has none");
    page_refused("a = [x] [y]", "{{t a where}}", one_link);
    page_refused("a = [x**y]**", "{{t a where}}", one_link);
    page_refused("a = x]", "{{t a where}}", one_link);
    page_refused("a = {.0}", "{{t a}}", "xx.txt:1: {{.0}} stands outside {{#each}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_keys_and_texts),
        cmocka_unit_test(odd_files_are_refused_with_their_line),
        cmocka_unit_test(files_are_limited),
        cmocka_unit_test(a_message_that_nothing_says_is_found),
        cmocka_unit_test(another_language_says_the_same),
        cmocka_unit_test(messages_of_another_program_are_not_missed),
        cmocka_unit_test(messages_become_html),
        cmocka_unit_test(messages_become_plain_text),
        cmocka_unit_test(a_text_file_escapes_nothing),
        cmocka_unit_test(what_a_page_cannot_say_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
