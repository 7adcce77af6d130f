/* Owns the sandbox's web pages: who may frame them, what they show, where they lead. Knows no API.
 */
#include "pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"
#include "../core/money.h"
#include "../io/locale.h"
#include "../io/translated.h"
#include "intents.h"
#include "methods.h"
#include "page_files.h"

#define CONTENT_HTML         "text/html; charset=utf-8"
#define ACCOUNT_CHARS_MAX    128
#define RETURN_URL_BYTES_MAX 2048

enum page { PAGE_FIELDS, PAGE_HOSTED, PAGE_AUTHENTICATE, PAGE_MESSAGE, PAGE_COUNT };

static const char *const page_names[PAGE_COUNT] = {"fields.html", "hosted.html",
                                                   "authenticate.html", "message.html"};

enum value {
    LANG,
    DIR,
    CSS_URL,
    JS_URL,
    ACCOUNT,
    ORIGIN,
    RETURN_URL,
    ACTION,
    ERROR,
    FIELD,
    NUMBER,
    EXP_MONTH,
    EXP_YEAR,
    AMOUNT_TEXT,
    DESCRIPTION,
    BRAND,
    LAST4,
    VALUE_COUNT
};

static const char *const value_names[VALUE_COUNT] = {
    "lang",       "dir",         "css_url",     "js_url", "account", "origin",
    "return_url", "action",      "error",       "field",  "number",  "exp_month",
    "exp_year",   "amount_text", "description", "brand",  "last4",
};

struct pages {
    char *edge; /* the only origin that may frame the fields or be returned to */
    struct translated *templates;
    struct page_file css, js;
};

static void value_set(struct template_value *values, enum value which, const char *text)
{
    values[which].data = text;
    values[which].len = text != NULL ? strlen(text) : 0;
}

/* What the page that leads here speaks, or what the browser asks for. */
static size_t language_of(const struct pages *pages, const struct call *call)
{
    const char *tag = params_get(&call->query, "lang");

    if (tag == NULL) {
        tag = params_get(&call->form, "lang");
    }
    return tag != NULL ? translated_find(pages->templates, tag)
                       : translated_choose(pages->templates, call->accept_language);
}

static void page_reply(const struct pages *pages, struct call *call, enum page which, int status,
                       struct template_value *values)
{
    size_t language = language_of(pages, call), len;
    const struct template *page = translated_page(pages->templates, language, which);
    char *text;

    value_set(values, LANG, translated_tag(pages->templates, language));
    value_set(values, DIR, translated_direction(pages->templates, language));
    value_set(values, CSS_URL, pages->css.path);
    value_set(values, JS_URL, pages->js.path);
    len = template_size(page, values);
    text = mem_alloc(len + 1);
    writer_bytes(&call->reply, text, template_write(page, values, text));
    free(text);
    call->status = status;
    call->content_type = CONTENT_HTML;
    if (call->content_security == NULL) {
        call->content_security = mem_strdup("default-src 'none'; style-src 'self'; base-uri "
                                            "'none'; form-action 'none'; frame-ancestors 'none'");
    }
}

static void message_reply(const struct pages *pages, struct call *call, int status,
                          const char *error, const char *return_url)
{
    struct template_value values[VALUE_COUNT] = {{NULL, 0}};

    value_set(values, ERROR, error);
    value_set(values, RETURN_URL, return_url);
    page_reply(pages, call, PAGE_MESSAGE, status, values);
}

static bool account_valid(const char *account)
{
    size_t len;

    if (account == NULL || strncmp(account, "pk_", 3) != 0) {
        return false;
    }
    len = strspn(account, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return account[len] == '\0' && len > 3 && len <= ACCOUNT_CHARS_MAX;
}

/* The length of "scheme://host:port" at the start of an http URL, 0 if it is none or holds
 * characters that could break out of a header. */
static size_t origin_length(const char *url)
{
    size_t scheme = strncmp(url, "https://", 8) == 0 ? 8 : strncmp(url, "http://", 7) == 0 ? 7 : 0;
    size_t host = strspn(url + scheme, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789.-:[]");

    if (scheme == 0 || host == 0 ||
        (url[scheme + host] != '\0' && url[scheme + host] != '/' && url[scheme + host] != '?' &&
         url[scheme + host] != '#')) {
        return 0;
    }
    return scheme + host;
}

static bool url_clean(const char *url)
{
    for (const char *at = url; *at != '\0'; at++) {
        if ((unsigned char)*at <= 0x20 || (unsigned char)*at >= 0x7f ||
            strchr("\"<>\\^`{|}", *at)) {
            return false;
        }
    }
    return strlen(url) <= RETURN_URL_BYTES_MAX;
}

/* True for a URL of the edge. */
static bool return_url_valid(const struct pages *pages, const char *url)
{
    size_t len = url != NULL ? origin_length(url) : 0;

    return len > 0 && len == strlen(pages->edge) && strncmp(url, pages->edge, len) == 0 &&
           url_clean(url);
}

static char *url_with(const char *url, const char *query)
{
    const char *fragment = strchr(url, '#');
    int len = fragment != NULL ? (int)(fragment - url) : (int)strlen(url);

    return mem_printf("%.*s%c%s%s", len, url, memchr(url, '?', (size_t)len) != NULL ? '&' : '?',
                      query, fragment != NULL ? fragment : "");
}

static void form_security(struct call *call, const char *return_url)
{
    /* Browsers hold the redirect after a form against form-action too. */
    call->content_security =
        mem_printf("default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self' "
                   "%.*s; frame-ancestors 'none'",
                   (int)(return_url != NULL ? origin_length(return_url) : 0),
                   return_url != NULL ? return_url : "");
}

static void see_other(struct call *call, char *url_take)
{
    call->status = 303;
    call->location = url_take;
    call->content_type = CONTENT_HTML;
}

static void fields_page(struct pages *pages, struct call *call)
{
    struct template_value values[VALUE_COUNT] = {{NULL, 0}};
    const char *account = params_get(&call->query, "account");
    const char *origin = params_get(&call->query, "origin");

    if (!account_valid(account)) {
        message_reply(pages, call, 400, "account", NULL);
        return;
    }
    if (origin == NULL || strcmp(origin, pages->edge) != 0) {
        message_reply(pages, call, 403, "origin", NULL);
        return;
    }
    value_set(values, ACCOUNT, account);
    value_set(values, ORIGIN, origin);
    call->content_security = mem_printf(
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src "
        "'self'; base-uri 'none'; form-action 'none'; frame-ancestors %s",
        pages->edge);
    page_reply(pages, call, PAGE_FIELDS, 200, values);
}

static void hosted_show(struct pages *pages, struct call *call, const struct params *params,
                        const struct card_problem *problem)
{
    struct template_value values[VALUE_COUNT] = {{NULL, 0}};
    const char *number = params_get(params, "number");

    value_set(values, ACCOUNT, params_get(params, "account"));
    value_set(values, RETURN_URL, params_get(params, "return_url"));
    value_set(values, ACTION, "/hosted");
    if (problem != NULL) {
        value_set(values, ERROR, problem->code);
        value_set(values, FIELD, problem->param);
        value_set(values, EXP_MONTH, params_get(params, "exp_month"));
        value_set(values, EXP_YEAR, params_get(params, "exp_year"));
        value_set(values, NUMBER, number != NULL && card_by_number(number) != NULL ? number : NULL);
    }
    form_security(call, params_get(params, "return_url"));
    page_reply(pages, call, PAGE_HOSTED, problem != NULL ? 400 : 200, values);
}

static void hosted_post(struct pages *pages, struct store *store, struct call *call)
{
    struct card_entry entry = {
        .number = params_get(&call->form, "number"),
        .exp_month = params_get(&call->form, "exp_month"),
        .exp_year = params_get(&call->form, "exp_year"),
        .cvc = params_get(&call->form, "cvc"),
    };
    struct card_problem problem;
    struct method *method;
    char query[32 + ID_SIZE];

    if (entry.cvc == NULL || entry.cvc[0] == '\0') {
        problem = (struct card_problem){.code = "cvc_missing", .param = "cvc"};
        hosted_show(pages, call, &call->form, &problem);
        return;
    }
    method = method_from_card(&entry, store_now_ms(store), &problem);
    if (method == NULL) {
        hosted_show(pages, call, &call->form, &problem);
        return;
    }
    snprintf(query, sizeof(query), "payment_method=%s", method->id);
    method_save(store, method, call->request, NULL);
    see_other(call, url_with(params_get(&call->form, "return_url"), query));
}

static void hosted_page(struct pages *pages, struct store *store, struct call *call)
{
    bool post = strcmp(call->method, "POST") == 0;
    const struct params *params = post ? &call->form : &call->query;

    if (!return_url_valid(pages, params_get(params, "return_url"))) {
        message_reply(pages, call, 400, "return", NULL);
    } else if (!account_valid(params_get(params, "account"))) {
        message_reply(pages, call, 400, "account", params_get(params, "return_url"));
    } else if (post) {
        hosted_post(pages, store, call);
    } else {
        hosted_show(pages, call, params, NULL);
    }
}

static void intent_amount(const struct intent *intent, const char *lang, char *out, size_t size)
{
    const struct currency *currency = currency_find(intent->currency);
    char code[4];

    for (int i = 0; i < 4; i++) {
        code[i] = (char)(intent->currency[i] & ~0x20);
    }
    if (currency != NULL && money_exponent(code, 3) == currency->digits) {
        locale_money(lang, code, intent->amount, out, size);
    } else {
        snprintf(out, size, "%lld %s", (long long)intent->amount, code);
    }
}

static void authenticate_show(struct pages *pages, struct call *call, const struct intent *intent)
{
    struct template_value values[VALUE_COUNT] = {{NULL, 0}};
    const struct card *card = intent->state.method->card;
    char amount[64], action[64], id[ID_SIZE];

    intent_id(intent, id);
    intent_amount(intent, translated_tag(pages->templates, language_of(pages, call)), amount,
                  sizeof(amount));
    snprintf(action, sizeof(action), "/authenticate/%s", id);
    value_set(values, ACTION, action);
    value_set(values, AMOUNT_TEXT, amount);
    value_set(values, DESCRIPTION, intent->description);
    value_set(values, BRAND, card_brand_name(card));
    value_set(values, LAST4, card_last4(card));
    form_security(call, intent->state.return_url);
    page_reply(pages, call, PAGE_AUTHENTICATE, 200, values);
}

static void authenticate_return(struct pages *pages, struct call *call, const struct intent *intent)
{
    const char *url = intent->state.return_url;
    char query[80 + ID_SIZE], id[ID_SIZE];

    if (url == NULL || !url_clean(url)) {
        message_reply(pages, call, 200, "done", NULL);
        return;
    }
    intent_id(intent, id);
    snprintf(query, sizeof(query), "payment_intent=%s&redirect_status=%s", id,
             intent->state.status == INTENT_SUCCEEDED ? "succeeded" : "failed");
    see_other(call, url_with(url, query));
}

static void authenticate_page(struct pages *pages, struct store *store, struct call *call,
                              const char *id)
{
    const char *decision = params_get(&call->form, "decision");
    struct intent *intent = store_intent(store, id);

    if (intent == NULL) {
        message_reply(pages, call, 404, "nothing", NULL);
        return;
    }
    if (intent->state.status != INTENT_REQUIRES_ACTION) {
        if (strcmp(call->method, "POST") == 0) {
            authenticate_return(pages, call, intent); /* a double click */
        } else {
            message_reply(pages, call, 410, "over", intent->state.return_url);
        }
        return;
    }
    if (strcmp(call->method, "POST") != 0) {
        authenticate_show(pages, call, intent);
    } else if (decision == NULL ||
               (strcmp(decision, "complete") != 0 && strcmp(decision, "fail") != 0)) {
        message_reply(pages, call, 400, "choose", NULL);
    } else {
        intent_authenticate(store, intent, decision[0] == 'c', call->request);
        authenticate_return(pages, call, intent);
    }
}

static bool page_method(struct pages *pages, struct call *call, bool post)
{
    if (strcmp(call->method, "GET") == 0 || (post && strcmp(call->method, "POST") == 0)) {
        return true;
    }
    message_reply(pages, call, 405, "method", NULL);
    call->allow = post ? "GET, HEAD, POST" : "GET, HEAD";
    return false;
}

bool pages_handle(struct pages *pages, struct store *store, struct call *call)
{
    static const char authenticate[] = "/authenticate/";

    if (strcmp(call->path, "/fields") == 0) {
        if (page_method(pages, call, false)) {
            fields_page(pages, call);
        }
    } else if (strcmp(call->path, "/hosted") == 0) {
        if (page_method(pages, call, true)) {
            hosted_page(pages, store, call);
        }
    } else if (strncmp(call->path, authenticate, sizeof(authenticate) - 1) == 0) {
        if (page_method(pages, call, true)) {
            authenticate_page(pages, store, call, call->path + sizeof(authenticate) - 1);
        }
    } else if (strncmp(call->path, "/static/", 8) == 0) {
        if (page_method(pages, call, false) && !page_file_handle(&pages->css, call) &&
            !page_file_handle(&pages->js, call)) {
            message_reply(pages, call, 404, "nothing", NULL);
        }
    } else {
        return false;
    }
    return true;
}

enum result pages_load(const struct settings *settings, struct pages **out, struct error *err)
{
    const char *dir = settings->sandbox_pages_dir;
    struct pages *pages = mem_alloc(sizeof(*pages));

    pages->edge = mem_strndup(settings->base_url, origin_length(settings->base_url));
    if (translated_load(dir, page_names, PAGE_COUNT, value_names, VALUE_COUNT, &pages->templates,
                        err) != RESULT_OK ||
        page_file_load(dir, "sandbox.css", "text/css; charset=utf-8", &pages->css, err) !=
            RESULT_OK ||
        page_file_load(dir, "fields.js", "text/javascript; charset=utf-8", &pages->js, err) !=
            RESULT_OK) {
        pages_free(pages);
        return RESULT_FATAL;
    }
    *out = pages;
    return RESULT_OK;
}

void pages_free(struct pages *pages)
{
    if (pages == NULL) {
        return;
    }
    translated_free(pages->templates);
    page_file_free(&pages->css);
    page_file_free(&pages->js);
    free(pages->edge);
    free(pages);
}
