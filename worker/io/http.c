/*
 * HTTP client on libcurl.
 *
 * A transfer waits in the queue, runs in an easy handle, or has ended and waits for its turn to be
 * told: callbacks run from a timer, never from inside http_send() or libcurl.
 */
#include "http.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../base/clock.h"
#define LOG_AREA "http"
#include "../base/log.h"
#include "../base/mem.h"
#include "multi.h"

#define CONNECT_TIMEOUT_MS 3000L
#define IDLE_HANDLES_MAX   1024

struct transfer {
    struct transfer *next;
    struct http *http;
    http_fn fn;
    void *ctx;
    CURL *easy;
    struct curl_slist *headers;
    char *method, *url, *body, *bearer, *idempotency_key, *api_version;
    int64_t timeout_ms, start_before_ms;
    char *reply;
    size_t reply_len, reply_room;
    bool too_large;
    enum http_outcome outcome;
    int status;
    int64_t retry_after_ms;
    char failure[CURL_ERROR_SIZE];
};

struct transfer_list {
    struct transfer *first, **last;
};

struct http {
    struct multi *multi;
    struct loop_timer *tell;
    int64_t running, running_max;
    struct transfer *active; /* running ones, for http_free() */
    struct transfer_list queue, ended;
    CURL *idle[IDLE_HANDLES_MAX];
    size_t idle_count;
};

static void list_init(struct transfer_list *list)
{
    list->first = NULL;
    list->last = &list->first;
}

static void list_append(struct transfer_list *list, struct transfer *t)
{
    t->next = NULL;
    *list->last = t;
    list->last = &t->next;
}

static struct transfer *list_shift(struct transfer_list *list)
{
    struct transfer *t = list->first;

    if (t != NULL) {
        list->first = t->next;
        if (list->first == NULL)
            list->last = &list->first;
    }
    return t;
}

static void active_remove(struct http *http, struct transfer *t)
{
    struct transfer **at = &http->active;

    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
}

static void secret_wipe(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
}

static void transfer_free(struct transfer *t)
{
    free(t->method);
    free(t->url);
    free(t->body);
    secret_wipe(t->bearer);
    free(t->idempotency_key);
    free(t->api_version);
    free(t->reply);
    curl_slist_free_all(t->headers);
    free(t);
}

static void transfer_end(struct transfer *t, enum http_outcome outcome)
{
    t->outcome = outcome;
    list_append(&t->http->ended, t);
    loop_timer_arm(t->http->tell, 0);
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    size_t len = size * count;

    if (len > HTTP_REPLY_BYTES_MAX - t->reply_len) {
        t->too_large = true;
        return 0;
    }
    if (t->reply_len + len + 1 > t->reply_room) {
        t->reply_room = (t->reply_len + len + 1) * 2;
        t->reply = mem_realloc(t->reply, t->reply_room);
    }
    memcpy(t->reply + t->reply_len, data, len);
    t->reply_len += len;
    return len;
}

static void header_line(struct transfer *t, const char *line)
{
    struct curl_slist *list = curl_slist_append(t->headers, line);

    if (list == NULL)
        fatal("out of memory");
    t->headers = list;
}

static void header_add(struct transfer *t, const char *name, const char *value)
{
    char *line = mem_printf("%s: %s", name, value);

    header_line(t, line);
    secret_wipe(line);
}

static CURL *handle_take(struct http *http)
{
    CURL *easy;

    if (http->idle_count > 0)
        return http->idle[--http->idle_count];
    easy = curl_easy_init();
    if (easy == NULL)
        fatal("out of memory");
    return easy;
}

static void handle_give(struct http *http, CURL *easy)
{
    if (http->idle_count == IDLE_HANDLES_MAX) {
        curl_easy_cleanup(easy);
        return;
    }
    curl_easy_reset(easy);
    http->idle[http->idle_count++] = easy;
}

static void transfer_start(struct http *http, struct transfer *t)
{
    CURL *easy = handle_take(http);

    t->easy = easy;
    header_add(t, "Expect", "");
    if (t->bearer != NULL) {
        char *value = mem_printf("Bearer %s", t->bearer);

        header_add(t, "Authorization", value);
        secret_wipe(value);
    }
    if (t->idempotency_key != NULL)
        header_add(t, "Idempotency-Key", t->idempotency_key);
    if (t->api_version != NULL)
        header_add(t, "Stripe-Version", t->api_version);
    curl_easy_setopt(easy, CURLOPT_URL, t->url);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->failure);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     t->timeout_ms < CONNECT_TIMEOUT_MS ? (long)t->timeout_ms : CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)t->timeout_ms);
    if (strcmp(t->method, "POST") == 0) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(t->body));
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, t->body);
    }
    t->next = http->active;
    http->active = t;
    http->running++;
    multi_add(http->multi, easy);
}

static void queue_run(struct http *http)
{
    struct transfer *t;

    while (http->running < http->running_max && (t = list_shift(&http->queue)) != NULL) {
        if (t->start_before_ms == 0 || clock_monotonic_ms() < t->start_before_ms) {
            transfer_start(http, t);
            continue;
        }
        snprintf(t->failure, sizeof t->failure, "waited too long for a free connection");
        transfer_end(t, HTTP_NOT_SENT);
    }
}

/* Takes the transfer out of libcurl. */
static void transfer_detach(struct transfer *t)
{
    struct http *http = t->http;

    multi_remove(http->multi, t->easy);
    handle_give(http, t->easy);
    t->easy = NULL;
    curl_slist_free_all(t->headers);
    t->headers = NULL;
    active_remove(http, t);
    http->running--;
}

/*
 * Whether the server can have acted. Only failures before the first byte went out are certain; a
 * kept-alive connection that breaks while sending is not.
 */
static enum http_outcome outcome_of(CURL *easy, CURLcode code)
{
    long sent_bytes = 0;

    switch (code) {
    case CURLE_OK:
        return HTTP_REPLIED;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return HTTP_NOT_SENT;
    case CURLE_OPERATION_TIMEDOUT:
        curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &sent_bytes);
        return sent_bytes == 0 ? HTTP_NOT_SENT : HTTP_UNKNOWN;
    default:
        return HTTP_UNKNOWN;
    }
}

static void on_done(void *owner, CURLcode code)
{
    struct transfer *t = owner;
    struct http *http = t->http;
    enum http_outcome outcome = outcome_of(t->easy, code);
    curl_off_t retry_after_s = 0;
    long status = 0;

    if (outcome == HTTP_REPLIED) {
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
        t->status = (int)status;
        t->retry_after_ms = (int64_t)retry_after_s * 1000;
    } else if (t->too_large) {
        snprintf(t->failure, sizeof t->failure, "the reply is larger than %d bytes",
                 HTTP_REPLY_BYTES_MAX);
    } else if (t->failure[0] == '\0') {
        snprintf(t->failure, sizeof t->failure, "%s", curl_easy_strerror(code));
    }
    transfer_detach(t);
    transfer_end(t, outcome);
    queue_run(http);
}

static void transfer_tell(struct transfer *t)
{
    struct http_reply reply = {
        .outcome = t->outcome,
        .status = t->status,
        .body = t->reply != NULL ? t->reply : "",
        .body_len = t->reply_len,
        .retry_after_ms = t->retry_after_ms,
        .failure = t->outcome == HTTP_REPLIED ? NULL : t->failure,
    };

    if (t->reply != NULL)
        t->reply[t->reply_len] = '\0';
    t->fn(t->ctx, &reply);
    transfer_free(t);
}

static void on_tell(void *arg)
{
    struct http *http = arg;
    struct transfer *t;

    while ((t = list_shift(&http->ended)) != NULL)
        transfer_tell(t);
}

struct http *http_new(struct loop *loop, int64_t connections_max)
{
    struct http *http = mem_alloc(sizeof *http);

    http->multi = multi_new(loop, connections_max, on_done);
    http->running_max = connections_max;
    list_init(&http->queue);
    list_init(&http->ended);
    http->tell = loop_timer_new(loop, on_tell, http);
    return http;
}

void http_free(struct http *http)
{
    struct transfer *t;

    if (http == NULL)
        return;
    while ((t = http->active) != NULL) {
        snprintf(t->failure, sizeof t->failure, "given up at shutdown");
        transfer_detach(t);
        transfer_end(t, HTTP_UNKNOWN);
    }
    while ((t = list_shift(&http->queue)) != NULL)
        transfer_end(t, HTTP_NOT_SENT);
    on_tell(http);
    while (http->idle_count > 0)
        curl_easy_cleanup(http->idle[--http->idle_count]);
    multi_free(http->multi);
    loop_timer_free(http->tell);
    free(http);
}

void http_send(struct http *http, const struct http_request *request, http_fn fn, void *ctx)
{
    struct transfer *t = mem_alloc(sizeof *t);

    t->http = http;
    t->fn = fn;
    t->ctx = ctx;
    t->method = mem_strdup(request->method);
    t->url = mem_strdup(request->url);
    t->body = mem_strdup(request->body != NULL ? request->body : "");
    t->bearer = mem_strdup(request->bearer);
    t->idempotency_key = mem_strdup(request->idempotency_key);
    t->api_version = mem_strdup(request->api_version);
    t->timeout_ms = request->timeout_ms;
    t->start_before_ms = request->start_before_ms;
    for (size_t i = 0; request->headers != NULL && request->headers[i] != NULL; i++)
        header_line(t, request->headers[i]);
    list_append(&http->queue, t);
    queue_run(http);
}

struct http_form {
    char *text;
    size_t len, room;
};

struct http_form *http_form_new(void)
{
    struct http_form *form = mem_alloc(sizeof *form);

    form->room = 512;
    form->text = mem_alloc(form->room);
    return form;
}

static void form_char(struct http_form *form, char c)
{
    if (form->len + 2 > form->room) {
        form->room *= 2;
        form->text = mem_realloc(form->text, form->room);
    }
    form->text[form->len++] = c;
    form->text[form->len] = '\0';
}

static void form_encoded(struct http_form *form, const char *text)
{
    static const char hex[] = "0123456789ABCDEF";

    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            strchr("-_.~[]", c) != NULL) {
            form_char(form, (char)c);
            continue;
        }
        form_char(form, '%');
        form_char(form, hex[c >> 4]);
        form_char(form, hex[c & 15]);
    }
}

void http_form_add(struct http_form *form, const char *name, const char *value)
{
    if (form->len > 0)
        form_char(form, '&');
    form_encoded(form, name);
    form_char(form, '=');
    form_encoded(form, value);
}

void http_form_add_int(struct http_form *form, const char *name, int64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%lld", (long long)value);
    http_form_add(form, name, text);
}

const char *http_form_text(const struct http_form *form)
{
    return form->text;
}

void http_form_free(struct http_form *form)
{
    if (form == NULL)
        return;
    free(form->text);
    free(form);
}
