/* paylink link: the secret address under which a customer pays. Must not know Redis or pages. */
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"
#include "../core/token.h"
#include "commands.h"
#include "link_ref.h"

#define LIFETIME_S_MAX 86400 /* no link lives longer than 24 hours after its opening */

static const struct view_field link_fields[] = {
    {.title = "id", .key = "id"},
    {.title = "url", .key = "url", .optional = true},
    {.title = "token", .key = "token", .optional = true},
    {.title = "state", .key = "state"},
    {.title = "merchant", .key = "merchant"},
    {.title = "customer", .key = "customer"},
    {.title = "due", .key = "due_minor", .kind = VIEW_MONEY},
    {.title = "version", .key = "version", .kind = VIEW_NUMBER},
    {.title = "opened", .key = "opened_at", .kind = VIEW_TIME},
    {.title = "expires", .key = "expires_at", .kind = VIEW_TIME},
    {.title = "dies unopened", .key = "ceiling_at", .kind = VIEW_TIME},
    {.title = "closed", .key = "closed_at", .kind = VIEW_TIME, .optional = true},
    {.title = "closed because", .key = "closed_reason", .optional = true},
    {.title = "replaced by", .key = "replaced_by", .optional = true},
    {.title = "invoices", .key = "invoices", .kind = VIEW_LIST},
    {0},
};

static const struct view_field link_columns[] = {
    {.title = "id", .key = "id"},
    {.title = "state", .key = "state"},
    {.title = "due", .key = "due_minor", .kind = VIEW_MONEY},
    {.title = "version", .key = "version", .kind = VIEW_NUMBER},
    {.title = "opened", .key = "opened_at", .kind = VIEW_TIME},
    {.title = "expires", .key = "expires_at", .kind = VIEW_TIME},
    {0},
};

static const struct view link_view = {"no links", link_fields, link_columns};

static const struct view_field button_fields[] = {
    {.title = "button", .key = "button_url"},
    {.title = "button as PNG", .key = "button_png_url"},
    {.title = "QR code", .key = "qr_url"},
    {.title = "HTML", .key = "html"},
    {0},
};

static const struct view button_view = {"no button", button_fields, button_fields};

static int link_create(struct call *call)
{
    struct token_keys keys;
    struct error err;
    uint8_t id[TOKEN_ID_SIZE];
    char hex[LINK_HEX_SIZE + 1] = "";
    enum result r = link_keys(call, &keys, &err);

    if (r != RESULT_OK) {
        return call_failed(call, r, &err);
    }
    if (RAND_bytes(id, sizeof(id)) != 1) {
        token_keys_free(&keys);
        error_set(&err, RESULT_FATAL, "random", "The system gives no random bytes.");
        return call_failed(call, RESULT_FATAL, &err);
    }
    hex_format(id, sizeof(id), hex);
    json_t *ids = json_array(), *options = json_object(), *object = NULL;
    for (size_t i = 0; i < args_count(call->args, "invoice"); i++) {
        json_array_append_new(ids, json_string(args_at(call->args, "invoice", i)));
    }
    call_put_number(call, options, "lifetime_s", "lifetime");
    char *ids_text = call_json_take(ids), *options_text = call_json_take(options);
    char *kid = mem_printf("%u", (unsigned)keys.key[0].kid);
    const char *params[] = {args_text(call->args, "merchant"), ids_text, hex, kid, options_text};

    r = call_sql(call, "paylink.link_create", params, 5, &object, &err);
    if (r == RESULT_OK) {
        link_add_token(call, &keys, object);
        call_print_object(call, object, &link_view);
        json_decref(object);
    }
    free(ids_text);
    free(options_text);
    free(kid);
    token_keys_free(&keys);
    return r == RESULT_OK ? EXIT_OK : call_failed(call, r, &err);
}

/* What a function of the link's id and perhaps one more text gives, with the link's address. On
 * RESULT_OK the caller frees keys and object. */
static enum result link_call(struct call *call, const char *function, const char *more, int n,
                             struct token_keys *keys, json_t **object, struct error *err)
{
    char hex[LINK_HEX_SIZE + 1];
    enum result r = link_keys(call, keys, err);

    if (r != RESULT_OK) {
        return r;
    }
    r = link_hex(call, "link", hex, err);
    if (r == RESULT_OK) {
        const char *params[] = {hex, more};
        r = call_sql(call, function, params, n, object, err);
    }
    if (r == RESULT_OK && *object == NULL) {
        r = error_set(err, RESULT_REJECTED, "not_found", "There is no such link.");
    }
    if (r == RESULT_OK) {
        link_add_token(call, keys, *object);
    } else {
        token_keys_free(keys);
    }
    return r;
}

static int link_ask(struct call *call, const char *function, const char *more, int n)
{
    struct token_keys keys;
    struct error err;
    json_t *object = NULL;
    enum result r = link_call(call, function, more, n, &keys, &object, &err);

    if (r != RESULT_OK) {
        return call_failed(call, r, &err);
    }
    call_print_object(call, object, &link_view);
    json_decref(object);
    token_keys_free(&keys);
    return EXIT_OK;
}

static int link_show(struct call *call)
{
    return link_ask(call, "paylink.link_show", NULL, 1);
}

/* "?size=l&amount=1", as the options say; "" without any. The caller frees. */
static char *button_query(const struct call *call, bool png, const char *separator)
{
    static const struct {
        const char *option, *argument, *value;
        bool png_only;
    } of[] = {{"size", "size", NULL, false},     {"theme", "theme", NULL, false},
              {"language", "lang", NULL, false}, {"amount", "amount", "1", false},
              {"state", "state", "1", false},    {"scale", "scale", NULL, true}};
    char *query = mem_strdup("");

    for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
        if (args_given(call->args, of[i].option) && (png || !of[i].png_only)) {
            char *longer =
                mem_printf("%s%s%s=%s", query, *query == '\0' ? "?" : separator, of[i].argument,
                           of[i].value != NULL ? of[i].value : args_text(call->args, of[i].option));

            free(query);
            query = longer;
        }
    }
    return query;
}

static char *button_url(const struct call *call, const char *button, bool png,
                        const char *separator)
{
    char *query = button_query(call, png, separator);
    char *url =
        mem_printf("%s/b/%s.%s%s", call->settings->base_url, button, png ? "png" : "svg", query);

    free(query);
    return url;
}

/* A picture of more pixels is shown as large as the others. */
static char *button_html(const struct call *call, const char *button, const char *pay)
{
    const char *image = args_text(call->args, "image"), *size = args_text(call->args, "size");
    bool png = image != NULL && strcmp(image, "png") == 0;
    char *url = button_url(call, button, png, "&amp;");
    const char *height = size == NULL ? "44" : size[0] == 's' ? "32" : size[0] == 'm' ? "44" : "56";
    char *html =
        mem_printf("<a href=\"%s\" rel=\"noreferrer\"><img src=\"%s\"%s%s%s alt=\"Pay\"></a>", pay,
                   url, png ? " height=\"" : "", png ? height : "", png ? "\"" : "");

    free(url);
    return html;
}

static void put_take(json_t *object, const char *key, char *text)
{
    json_put_text(object, key, text);
    free(text);
}

/* The link's button and QR code, and HTML that shows the one and leads to the other; NULL when the
 * link's key is gone. */
static json_t *button_json(const struct call *call, const struct token_keys *keys,
                           const json_t *object)
{
    const char *id = json_get_text(object, "id"), *pay = json_get_text(object, "url");
    char button[TOKEN_TEXT_SIZE + 1] = "";
    struct token_link link = {0};
    json_t *answer;
    int64_t kid = 0;

    if (pay == NULL || !json_get_int(object, "kid", &kid) ||
        hex_parse(id, LINK_HEX_SIZE, link.id) != 0) {
        return NULL;
    }
    link.kid = (uint8_t)kid;
    if (button_mint(keys, &link, button) != 0) {
        return NULL;
    }
    answer = json_object();
    put_take(answer, "button_url", button_url(call, button, false, "&"));
    put_take(answer, "button_png_url", button_url(call, button, true, "&"));
    put_take(answer, "qr_url", mem_printf("%s/qr.svg", pay));
    put_take(answer, "html", button_html(call, button, pay));
    return answer;
}

static int link_button(struct call *call)
{
    struct token_keys keys;
    struct error err;
    json_t *object = NULL, *answer;
    enum result r = link_call(call, "paylink.link_show", NULL, 1, &keys, &object, &err);

    if (r != RESULT_OK) {
        return call_failed(call, r, &err);
    }
    answer = button_json(call, &keys, object);
    json_decref(object);
    token_keys_free(&keys);
    if (answer == NULL) {
        r = error_set(&err, RESULT_REJECTED, "key_gone",
                      "The link's key was rotated out: make a new link.");
        return call_failed(call, r, &err);
    }
    call_print_object(call, answer, &button_view);
    json_decref(answer);
    return EXIT_OK;
}

static int link_revoke(struct call *call)
{
    return link_ask(call, "paylink.link_revoke", args_text(call->args, "reason"), 2);
}

static int link_list(struct call *call)
{
    static const char *const by[] = {"customer", "invoice", "state", NULL};

    return call_list_by(call, "paylink.link_list", args_text(call->args, "merchant"), by,
                        &link_view);
}

#define LINK_ID                                                                                    \
    {                                                                                              \
        .name = "link", .aliases = "id token url", .kind = ARG_LINK,                               \
        .flags = ARG_REQUIRED | ARG_POSITIONAL, .unit = "LINK",                                    \
        .help =                                                                                    \
            "The link: its id (32 hexadecimal digits), its token (44 characters) or its whole "    \
            "address."                                                                             \
    }

static const struct arg_option create_options[] = {
    OPTION_ID("merchant", ARG_REQUIRED, "The merchant that is owed."),
    {.name = "invoice",
     .kind = ARG_UUID,
     .flags = ARG_REQUIRED | ARG_REPEATED,
     .unit = "ID",
     .help =
         "An open invoice. Several of one customer and currency become one link for their total."},
    {.name = "lifetime",
     .kind = ARG_NUMBER,
     .unit = "SECONDS",
     .min = 1,
     .max = LIFETIME_S_MAX,
     .help =
         "How long the link lives once a person opened it, 1 to 86400 seconds (86400: 24 hours)."},
    {0},
};
static const struct arg_option show_options[] = {LINK_ID, {0}};
static const struct arg_option list_options[] = {
    OPTION_ID("merchant", ARG_REQUIRED | ARG_POSITIONAL, "The merchant whose links are listed."),
    OPTION_ID("customer", 0, "Only this customer's."),
    OPTION_ID("invoice", 0, "Only those that collect it."),
    {.name = "state",
     .kind = ARG_CHOICE,
     .unit = "STATE",
     .choices = "active|paid|expired|disabled|replaced|void|revoked",
     .help = "Only these: active|paid|expired|disabled|replaced|void|revoked."},
    {0},
};
static const struct arg_option button_options[] = {
    LINK_ID,
    OPTION_CHOICE("size", "s|m|l", "32, 44 or 56 pixels high; m if not given."),
    OPTION_CHOICE("theme", "light|dark", "For light or dark ground; light if not given."),
    {.name = "language",
     .kind = ARG_LOCALE,
     .unit = "TAG",
     .help = "A language of the pages, for instance de; the link's own if not given."},
    {.name = "amount", .kind = ARG_FLAG, .help = "The button says what is due."},
    {.name = "state", .kind = ARG_FLAG, .help = "The button says once it is paid or closed."},
    OPTION_CHOICE("image", "svg|png",
                  "What the HTML shows; png for mail programs that show no SVG. svg if not given."),
    OPTION_CHOICE("scale", "1|2|3", "Pixels of the PNG for each of its units; 1 if not given."),
    {0},
};
static const struct arg_option revoke_options[] = {
    LINK_ID,
    {.name = "reason", .kind = ARG_TEXT, .unit = "TEXT", .help = "Why, for the books."},
    {0},
};

const struct command link_commands[] = {
    {.noun = "link",
     .verb = "create",
     .summary = "the address under which one or several invoices are paid",
     .about =
         "The address is a secret: who has it sees the invoices. It has no clock until a person "
         "opens it; then it lives 24 hours, or --lifetime. A new link replaces older ones that "
         "share an invoice with it.",
     .options = create_options,
     .example = "link create --merchant ID --invoice ID --invoice ID",
     .run = link_create},
    {.noun = "link",
     .verb = "show",
     .summary = "state, opening and expiry of a link, and its address again",
     .about = "State is one of active, paid, expired, disabled, replaced, void, revoked. The "
              "address is made "
              "anew from the key file; it is missing when the link's key was rotated out.",
     .options = show_options,
     .example = "link show --link 3f1c9a0b5d7e42868b1c0d2e4f6a7b98",
     .run = link_show},
    {.noun = "link",
     .verb = "list",
     .summary = "a merchant's links, without their addresses",
     .options = list_options,
     .example = "link list --merchant ID --state active",
     .run = link_list},
    {.noun = "link",
     .verb = "button",
     .summary = "a pay button, a QR code, and HTML to copy",
     .about =
         "The button is an image that anybody may see, as SVG or PNG: its address cannot pay. The "
         "HTML and the "
         "QR code hold the link itself: they belong to its customer.",
     .options = button_options,
     .example = "link button --link 3f1c9a0b5d7e42868b1c0d2e4f6a7b98 --amount --state",
     .run = link_button},
    {.noun = "link",
     .verb = "revoke",
     .summary = "a link that must not work any more",
     .about = "Its page says that the link is closed. Its invoices stay open.",
     .options = revoke_options,
     .example = "link revoke --link ID --reason \"sent to the wrong address\"",
     .run = link_revoke},
    {0},
};
