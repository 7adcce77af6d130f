/* Page templates: what they print, what they escape, and that every odd one is refused with its
 * line. */
#include "support.h"

#include "../../worker/core/record.h"
#include "../../worker/core/template.h"

enum { TITLE, STATE, NOTE, HTML, ROWS, NAME_COUNT };
static const char *const names[NAME_COUNT] = {"title", "state", "note2", "html_x", "rows"};
static struct template_value values[NAME_COUNT];
static uint8_t rows[256];

static void set(int name, const char *text)
{
    values[name].data = text;
    values[name].len = text != NULL ? strlen(text) : 0;
}

static size_t row_add(size_t at, const char *a, const char *b)
{
    struct record_field fields[2] = {{a, strlen(a)}, {b, strlen(b)}};

    assert_true(record_row_size(fields, 2) <= sizeof(rows) - at);
    return at + record_row_write(fields, 2, rows + at);
}

static int values_reset(void **state)
{
    size_t len;

    (void)state;
    set(TITLE, "Invoice <1> & \"2\" 'x'");
    set(STATE, "paid");
    set(NOTE, NULL);
    set(HTML, "<b>&amp;</b>");
    len = row_add(0, "INV-1", "10 <€>");
    len = row_add(len, "INV-2", "");
    values[ROWS].data = (const char *)rows;
    values[ROWS].len = len;
    return 0;
}

static void prints(struct template *t, const char *err, const char *expected)
{
    size_t size, written;
    char *out;

    if (t == NULL) {
        fail_msg("%s", err);
        return;
    }
    size = template_size(t, values);
    out = malloc(size + 1); /* the sanitizer sees a byte too much */
    assert_non_null(out);
    written = template_write(t, values, out);
    assert_int_equal(written, size);
    out[written] = '\0';
    assert_string_equal(out, expected);
    assert_int_equal(size, strlen(expected));
    free(out);
    template_free(t);
}

static void renders(const char *text, const char *expected)
{
    char err[200] = "";

    prints(
        template_compile(text, strlen(text), "t.html", names, NAME_COUNT, NULL, err, sizeof(err)),
        err, expected);
}

static void refused_bytes(const char *text, size_t len, const char *message)
{
    char err[200] = "";

    assert_null(template_compile(text, len, "t.html", names, NAME_COUNT, NULL, err, sizeof(err)));
    assert_string_equal(err, message);
}

static void refused(const char *text, const char *message)
{
    refused_bytes(text, strlen(text), message);
}

static void text_stays_as_it_is(void **state)
{
    (void)state;
    renders("", "");
    renders("a { b } c }} {d{ €\r\n\tx", "a { b } c }} {d{ €\r\n\tx");
    renders("{", "{");
}

static void values_are_escaped(void **state)
{
    (void)state;
    renders("<i>{{title}}</i>", "<i>Invoice &lt;1&gt; &amp; &quot;2&quot; &#39;x&#39;</i>");
    renders("{{ state }}{{\tstate\t}}{{state}}", "paidpaidpaid");
    renders("[{{note2}}]", "[]");
}

static void raw_values_are_not(void **state)
{
    (void)state;
    renders("{{&html_x}}{{& html_x }}{{&note2}}", "<b>&amp;</b><b>&amp;</b>");
}

static void values_are_binary_safe(void **state)
{
    static const char text[] = "a\0<";
    char out[6], err[100];
    struct template *t =
        template_compile("{{title}}", 9, "t", names, NAME_COUNT, NULL, err, sizeof(err));

    (void)state;
    assert_non_null(t);
    values[TITLE].data = text;
    values[TITLE].len = 3;
    assert_int_equal(template_size(t, values), 6);
    assert_int_equal(template_write(t, values, out), 6);
    assert_memory_equal(out, "a\0&lt;", 6);
    template_free(t);
}

static void conditions_choose(void **state)
{
    (void)state;
    renders("{{#if state}}yes{{/if}}", "yes");
    renders("{{#if note2}}yes{{/if}}", "");
    renders("{{#if note2}}yes{{else}}no{{/if}}", "no");
    renders("{{#if state}}yes{{else}}no{{/if}}", "yes");
    renders("{{#if state=paid}}yes{{else}}no{{/if}}", "yes");
    renders("{{#if state=pai}}yes{{else}}no{{/if}}", "no");
    renders("{{#if state=paidx}}yes{{else}}no{{/if}}", "no");
    renders("{{#if note2=paid}}yes{{else}}no{{/if}}", "no");
    renders("{{#if state=A.b_c-9}}yes{{/if}}", "");
    renders("{{#if state}}{{else}}{{/if}}x", "x");
}

static void conditions_nest(void **state)
{
    (void)state;
    renders("{{#if state}}a{{#if note2}}b{{else}}c{{#if state=paid}}d{{/if}}e{{/if}}f{{else}}g"
            "{{/if}}h",
            "acdefh");
    renders("{{#if note2}}a{{else}}b{{/if}}{{#if note2}}{{else}}c{{/if}}d", "bcd");
}

/* Text after a section must not be merged into the branch before it. */
static void text_behind_a_branch_belongs_to_nobody(void **state)
{
    (void)state;
    renders("{{#if note2}}a{{/if}}b", "b");
    renders("{{#if state}}a{{else}}b{{/if}}c", "ac");
    renders("{{#if note2}}a{{/if}}{{! x }}b{{! y }}c", "bc");
    renders("{{#each rows}}x{{/each}}y", "xxy");
}

static void rows_repeat(void **state)
{
    (void)state;
    renders("{{#each rows}}{{.0}}={{.1}};{{/each}}", "INV-1=10 &lt;€&gt;;INV-2=;");
    renders("{{#each rows}}{{#if .1}}{{.1}}{{else}}none{{/if}},{{/each}}", "10 &lt;€&gt;,none,");
    renders("{{#each rows}}{{#if .0=INV-2}}{{state}}{{/if}}{{/each}}", "paid");
    renders("[{{#each rows}}{{.2}}{{.15}}{{/each}}]", "[]");
    renders("{{#each note2}}x{{/each}}", "");
    renders("{{#each rows}}{{.0}}{{/each}}{{#each rows}}{{.1}}{{/each}}", "INV-1INV-210 &lt;€&gt;");
    renders("{{#if state}}{{#each rows}}-{{/each}}{{/if}}", "--");
}

static void rows_end_at_damage(void **state)
{
    (void)state;
    values[ROWS].len -= 1;
    renders("{{#each rows}}{{.0}};{{/each}}end", "INV-1;end");
    values[ROWS].len = 3;
    renders("{{#each rows}}{{.0}};{{/each}}end", "end");
}

static void comments_print_nothing(void **state)
{
    (void)state;
    renders("a{{! {{ title }}b", "ab");
    renders("a{{!}}b", "ab");
    renders("a{{! two\n lines }}b", "ab");
}

static void a_line_with_a_tag_alone_is_dropped(void **state)
{
    (void)state;
    renders("a\n  {{#if state}}  \nb\n\t{{/if}}\nc\n", "a\nb\nc\n");
    renders("{{#each rows}}\n<td>{{.0}}</td>\n{{/each}}\n", "<td>INV-1</td>\n<td>INV-2</td>\n");
    renders("a\r\n{{#if state}}\r\nb\r\n{{/if}}\r\n", "a\r\nb\r\n");
    renders("{{! x }}\na", "a");
    renders("a\n{{! x\ny }}\nb", "a\nb");
    renders("a\n  {{#if state}}b{{/if}}\n", "a\n  b\n");
    renders("a\n  {{#if state}}  {{/if}}\nb", "a\n    \nb");
    renders("a\n{{#if state}}\n{{else}}\n{{/if}}", "a\n");
    renders("a {{! x }}\nb", "a \nb");
}

static void a_line_with_a_value_alone_is_kept(void **state)
{
    (void)state;
    renders("a\n {{state}} \nb", "a\n paid \nb");
    renders("{{&state}}\n", "paid\n");
    renders("{{#each rows}}\n{{.0}}\n{{/each}}", "INV-1\nINV-2\n");
}

static void wrong_sections_are_refused(void **state)
{
    (void)state;
    refused("\n{{#if state}}\n", "t.html:2: {{#if}} is not closed");
    refused("{{#if state}}\n{{else}}", "t.html:1: {{#if}} is not closed");
    refused("\n\n{{#each rows}}x", "t.html:3: {{#each}} is not closed");
    refused("a\n{{/if}}", "t.html:2: {{/if}} without its {{#if}}");
    refused("{{/each}}", "t.html:1: {{/each}} without its {{#each}}");
    refused("{{else}}", "t.html:1: {{else}} without its {{#if}}");
    refused("{{#if state}}{{else}}{{else}}{{/if}}", "t.html:1: {{else}} without its {{#if}}");
    refused("{{#each rows}}{{else}}{{/each}}", "t.html:1: {{else}} without its {{#if}}");
    refused("{{#if state}}\n{{/each}}", "t.html:2: {{/each}} closes the {{#if}} of line 1");
    refused("{{#each rows}}\n{{/if}}", "t.html:2: {{/if}} closes the {{#each}} of line 1");
    refused("{{#each rows}}{{#each rows}}", "t.html:1: {{#each}} inside {{#each}}");
}

static void unknown_names_are_refused(void **state)
{
    (void)state;
    refused("ok\n{{titel}}", "t.html:2: unknown name \"titel\"");
    refused("{{&x}}", "t.html:1: unknown name \"x\"");
    refused("{{#if x}}", "t.html:1: unknown name \"x\"");
    refused("{{#if x=paid}}", "t.html:1: unknown name \"x\"");
    refused("{{#each x}}", "t.html:1: unknown name \"x\"");
    refused("{{titl}}", "t.html:1: unknown name \"titl\"");
    refused("{{title2}}", "t.html:1: unknown name \"title2\"");
}

static void odd_tags_are_refused(void **state)
{
    (void)state;
    refused("{{}}", "t.html:1: {{}} is no tag");
    refused("{{ }}", "t.html:1: {{}} is no tag");
    refused("{{Title}}", "t.html:1: {{Title}} is no tag");
    refused("{{2a}}", "t.html:1: {{2a}} is no tag");
    refused("{{#if}}", "t.html:1: {{}} is no tag");
    refused("{{#if =x}}", "t.html:1: {{}} is no tag");
    refused("{{&}}", "t.html:1: {{}} is no tag");
    refused("{{{title}}}", "t.html:1: {{{title}} is no tag");
    refused("{{#unless x}}", "t.html:1: {{#unless x}} is no tag");
    refused("{{#ifx}}", "t.html:1: {{#ifx}} is no tag");
    refused("{{/unless}}", "t.html:1: {{/unless}} is no tag");
    refused("{{title state}}",
            "t.html:1: \"title state\" is no name: small letters, digits and _ only");
    refused("{{title\n}}", "t.html:1: \"title?\" is no name: small letters, digits and _ only");
    refused("{{tiTle}}", "t.html:1: \"tiTle\" is no name: small letters, digits and _ only");
    refused("{{#if state=}}",
            "t.html:1: {{#if state=}}: what follows = must be letters, digits, _ . or -");
    refused("{{#if state=a b}}",
            "t.html:1: {{#if state=a b}}: what follows = must be letters, digits, _ . or -");
    refused("{{aaaaaaaaaabbbbbbbbbbccccccccccddddddddddX}}",
            "t.html:1: \"aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd...\" is no name: small letters, "
            "digits and _ only");
    refused("x\n{{title", "t.html:2: a tag that opens with {{ is not closed with }}");
    refused("x\n{{title}\n}", "t.html:2: a tag that opens with {{ is not closed with }}");
    refused("{{", "t.html:1: a tag that opens with {{ is not closed with }}");
    refused("{{ title }}{{!", "t.html:1: a tag that opens with {{ is not closed with }}");
}

static void odd_row_fields_are_refused(void **state)
{
    (void)state;
    refused("{{.0}}", "t.html:1: {{.0}} stands outside {{#each}}");
    refused("{{#each rows}}{{/each}}\n{{.0}}", "t.html:2: {{.0}} stands outside {{#each}}");
    refused("{{#if .0}}", "t.html:1: {{.0}} stands outside {{#each}}");
    refused("{{#each rows}}{{.16}}",
            "t.html:1: {{.16}} is no field of a row: they are {{.0}} to {{.15}}");
    refused("{{#each rows}}{{.}}",
            "t.html:1: {{.}} is no field of a row: they are {{.0}} to {{.15}}");
    refused("{{#each rows}}{{.01}}", "t.html:1: {{.01}} is no field of a row");
    refused("{{#each rows}}{{.100}}", "t.html:1: {{.100}} is no field of a row");
    refused("{{#each rows}}{{.a}}", "t.html:1: {{.a}} is no field of a row");
    refused("{{#each rows}}{{&.0}}", "t.html:1: {{&.0}}: fields of a row are always escaped");
    renders("{{#each rows}}{{.15}}{{/each}}", "");
}

static void binary_templates_are_refused(void **state)
{
    (void)state;
    refused_bytes("a\0b", 3, "t.html: is not text: it has a NUL or invalid UTF-8");
    refused("a\xff", "t.html: is not text: it has a NUL or invalid UTF-8");
}

/* `text` n times, then `tail`; the caller frees. */
static char *repeat(const char *text, size_t n, const char *tail)
{
    size_t len = strlen(text);
    char *out = malloc(n * len + strlen(tail) + 1);

    assert_non_null(out);
    for (size_t i = 0; i < n; i++) {
        memcpy(out + i * len, text, len);
    }
    strcpy(out + n * len, tail);
    return out;
}

static void sections_are_limited(void **state)
{
    char *deep = repeat("{{#if state}}", TEMPLATE_SECTIONS_MAX, "");
    char *closed = repeat("{{/if}}", TEMPLATE_SECTIONS_MAX, "");
    char both[2048];

    (void)state;
    snprintf(both, sizeof(both), "%sx%s", deep, closed);
    renders(both, "x");
    snprintf(both, sizeof(both), "%s{{#if state}}", deep);
    refused(both, "t.html:1: more than 32 sections inside each other");
    free(deep);
    free(closed);
}

static void parts_are_limited(void **state)
{
    char *most = repeat("{{note2}}", TEMPLATE_OPS_MAX, "");
    char *more = repeat("{{note2}}", TEMPLATE_OPS_MAX, "x");

    (void)state;
    renders(most, "");
    refused(more, "t.html:1: the template with its files has more than 65536 parts");
    free(most);
    free(more);
}

static void one_file_is_limited(void **state)
{
    char *most = repeat("x", TEMPLATE_FILE_BYTES_MAX, "");
    char *more = repeat("x", TEMPLATE_FILE_BYTES_MAX + 1, "");

    (void)state;
    renders(most, most);
    refused(more, "t.html: is larger than 1048576 bytes");
    free(most);
    free(more);
}

static void names_are_limited(void **state)
{
    static const char *many[TEMPLATE_NAMES_MAX + 1];
    char err[100];

    (void)state;
    for (size_t i = 0; i <= TEMPLATE_NAMES_MAX; i++) {
        many[i] = "x";
    }
    assert_null(template_compile("", 0, "t", many, TEMPLATE_NAMES_MAX + 1, NULL, err, sizeof(err)));
    assert_string_equal(err, "t: more than 1024 names");
}

static void messages_are_cut_to_their_buffer(void **state)
{
    char err[4] = "xxx";

    (void)state;
    assert_null(template_compile("{{", 2, "t.html", names, NAME_COUNT, NULL, err, sizeof(err)));
    assert_string_equal(err, "t.h");
}

static void file_renders(const char *file, const char *expected)
{
    char err[300] = "";

    prints(template_load(folder, file, names, NAME_COUNT, NULL, err, sizeof(err)), err, expected);
}

/* `message` may hold one %s, for the folder. */
static void file_refused(const char *file, const char *message)
{
    char err[300] = "", expected[300];
    const char *at = strstr(message, "%s");

    assert_null(template_load(folder, file, names, NAME_COUNT, NULL, err, sizeof(err)));
    if (at != NULL) {
        snprintf(expected, sizeof(expected), "%.*s%s%s", (int)(at - message), message, folder,
                 at + 2);
        message = expected;
    }
    assert_string_equal(err, message);
}

static void files_include_files(void **state)
{
    (void)state;
    file_text("head.html", "<h1>{{state}}</h1>\n");
    file_text("row.html", "{{.0}},");
    file_text("t.html", "{{> head.html}}\n  {{>head.html}}\n{{#each rows}}{{> row.html}}{{/each}}"
                        "({{> head.html }})");
    file_renders("t.html", "<h1>paid</h1>\n<h1>paid</h1>\nINV-1,INV-2,(<h1>paid</h1>\n)");
}

static void errors_in_included_files_name_them(void **state)
{
    (void)state;
    file_text("t.html", "\n{{> part.html}}\n");
    file_refused("t.html", "t.html:2: %s/part.html cannot be opened: No such file or directory");
    file_text("part.html", "\n\n{{nope}}");
    file_refused("t.html", "part.html:3: unknown name \"nope\"");
    file_text("part.html", "{{#if state}}");
    file_refused("t.html", "part.html:1: {{#if}} is not closed");
    file_text("part.html", "\xff");
    file_refused("t.html", "part.html: is not text: it has a NUL or invalid UTF-8");
    file_refused("none.html",
                 "none.html: %s/none.html cannot be opened: No such file or directory");
    assert_int_equal(mkdir(path_of("dir"), 0700), 0);
    file_refused("dir", "dir: %s/dir is not a regular file");
}

static void sections_do_not_cross_files(void **state)
{
    (void)state;
    file_text("part.html", "{{/if}}");
    file_text("t.html", "{{#if state}}{{> part.html}}");
    file_refused("t.html", "part.html:1: {{/if}} without its {{#if}}");
    file_text("part.html", "{{else}}");
    file_refused("t.html", "part.html:1: {{else}} without its {{#if}}");
    file_text("part.html", "{{#each rows}}{{/each}}");
    file_text("t.html", "{{#each rows}}{{> part.html}}{{/each}}");
    file_refused("t.html", "part.html:1: {{#each}} inside {{#each}}");
}

static void includes_stay_in_the_folder(void **state)
{
    static const char *const bad[] = {"../t", "a/b", ".t", "..", "", "a b", "a\\b"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[64], message[128];

        snprintf(text, sizeof(text), "{{> %s}}", bad[i]);
        snprintf(message, sizeof(message),
                 "t.html:1: {{> %s}}: a file name is letters, digits, _ . or -", bad[i]);
        file_text("t.html", text);
        file_refused("t.html", message);
    }
    refused("{{> head.html}}", "t.html:1: {{> head.html}}: this template may not include files");
}

static void includes_are_limited_in_depth(void **state)
{
    (void)state;
    file_text("self.html", "x{{> self.html}}");
    file_refused("self.html",
                 "self.html:1: {{> self.html}}: files include each other more than 8 deep");
    for (int i = 1; i < TEMPLATE_DEPTH_MAX; i++) {
        char name[16], text[32];

        snprintf(name, sizeof(name), "%d", i);
        snprintf(text, sizeof(text), "%d{{> %d}}", i, i + 1);
        file_text(name, text);
    }
    file_text("8", "end");
    file_renders("1", "1234567end");
}

static void long_names_and_paths_are_refused(void **state)
{
    char *name = repeat("n", 256, "");
    char *dir = repeat("d", 4096, "");
    char text[300], err[300];

    (void)state;
    snprintf(text, sizeof(text), "{{> %s}}", name);
    file_text("t.html", text);
    file_refused("t.html", "t.html:1: {{> nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn...}}: a file "
                           "name is letters, digits, _ . or -");
    assert_null(template_load(dir, "t.html", names, NAME_COUNT, NULL, err, sizeof(err)));
    assert_string_equal(err, "t.html: the path of t.html is too long");
    free(name);
    free(dir);
}

/* Eight files that each include the next one ten times would be 10^7 copies. */
static void includes_are_limited_in_size(void **state)
{
    char *big = repeat("x", TEMPLATE_FILE_BYTES_MAX, "");
    char *five = repeat("{{> big}}\n", 5, "");

    (void)state;
    file_text("big", big);
    file_text("t.html", five);
    file_refused("t.html", "big:1: the template with its files is larger than 4 MiB");
    free(big);
    free(five);
}

static void freeing_nothing_is_fine(void **state)
{
    (void)state;
    template_free(NULL);
}

#define TEST(test)        cmocka_unit_test_setup(test, values_reset)
#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_and_values, folder_remove)

static int folder_and_values(void **state)
{
    return values_reset(state) == 0 ? folder_make(state) : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(text_stays_as_it_is),
        TEST(values_are_escaped),
        TEST(raw_values_are_not),
        TEST(values_are_binary_safe),
        TEST(conditions_choose),
        TEST(conditions_nest),
        TEST(text_behind_a_branch_belongs_to_nobody),
        TEST(rows_repeat),
        TEST(rows_end_at_damage),
        TEST(comments_print_nothing),
        TEST(a_line_with_a_tag_alone_is_dropped),
        TEST(a_line_with_a_value_alone_is_kept),
        TEST(wrong_sections_are_refused),
        TEST(unknown_names_are_refused),
        TEST(odd_tags_are_refused),
        TEST(odd_row_fields_are_refused),
        TEST(binary_templates_are_refused),
        TEST(sections_are_limited),
        TEST(parts_are_limited),
        TEST(one_file_is_limited),
        TEST(names_are_limited),
        TEST(messages_are_cut_to_their_buffer),
        WITH_FOLDER(files_include_files),
        WITH_FOLDER(errors_in_included_files_name_them),
        WITH_FOLDER(sections_do_not_cross_files),
        WITH_FOLDER(includes_stay_in_the_folder),
        WITH_FOLDER(includes_are_limited_in_depth),
        WITH_FOLDER(long_names_and_paths_are_refused),
        WITH_FOLDER(includes_are_limited_in_size),
        TEST(freeing_nothing_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
