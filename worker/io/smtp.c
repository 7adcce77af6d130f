/* SMTP on libcurl. Knows nothing of what a mail says. */
#include "smtp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LOG_AREA "smtp"
#include "../base/log.h"
#include "../base/mem.h"
#include "multi.h"

#define CONNECT_TIMEOUT_MS 10000L
#define ANSWER_BYTES_MAX   400

struct delivery {
    struct delivery *next;
    struct smtp *smtp;
    smtp_fn fn;
    void *ctx;
    CURL *easy;
    struct curl_slist *to;
    char *mail;
    size_t len, sent;
    char answer[ANSWER_BYTES_MAX + 1]; /* the server's last line */
    char failure[CURL_ERROR_SIZE];
};

struct smtp {
    struct smtp_options options;
    char *url; /* its path is what we say who we are */
    struct multi *multi;
    struct delivery *active;
};

static size_t on_read(char *out, size_t size, size_t count, void *arg)
{
    struct delivery *d = arg;
    size_t room = size * count, left = d->len - d->sent;
    size_t n = left < room ? left : room;

    memcpy(out, d->mail + d->sent, n);
    d->sent += n;
    return n;
}

/* Every line that the server says, but its farewell; of what cannot be shown nothing is kept. */
static size_t on_line(char *line, size_t size, size_t count, void *arg)
{
    struct delivery *d = arg;
    size_t len = size * count, n = 0;

    if (len >= 3 && memcmp(line, "221", 3) == 0)
        return len;
    for (size_t i = 0; i < len && n < ANSWER_BYTES_MAX; i++) {
        if (line[i] >= ' ' && line[i] <= '~')
            d->answer[n++] = line[i];
    }
    d->answer[n] = '\0';
    return len;
}

static void active_remove(struct delivery *d)
{
    struct delivery **at = &d->smtp->active;

    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
}

static void delivery_free(struct delivery *d)
{
    multi_remove(d->smtp->multi, d->easy);
    curl_easy_cleanup(d->easy);
    curl_slist_free_all(d->to);
    free(d->mail);
    free(d);
}

/* Who may not come in, or finds no encryption, is not told anything about the mail. */
static enum smtp_outcome outcome_of(const struct delivery *d, CURLcode code)
{
    if (code == CURLE_OK)
        return SMTP_SENT;
    if (code == CURLE_LOGIN_DENIED || code == CURLE_USE_SSL_FAILED)
        return SMTP_RETRY;
    return d->answer[0] == '5' ? SMTP_REFUSED : SMTP_RETRY;
}

static void on_done(void *owner, CURLcode code)
{
    struct delivery *d = owner;
    enum smtp_outcome outcome = outcome_of(d, code);
    bool said = d->answer[0] != '\0' && (outcome != SMTP_RETRY || d->answer[0] == '4');

    if (d->failure[0] == '\0')
        snprintf(d->failure, sizeof d->failure, "%s", curl_easy_strerror(code));
    active_remove(d);
    d->fn(d->ctx, outcome, said ? d->answer : d->failure);
    delivery_free(d);
}

static void set_server(const struct smtp *smtp, CURL *easy)
{
    const struct smtp_options *o = &smtp->options;
    long timeout_ms = (long)o->timeout_ms;

    curl_easy_setopt(easy, CURLOPT_URL, smtp->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(easy, CURLOPT_USE_SSL,
                     o->starttls ? (long)CURLUSESSL_ALL : (long)CURLUSESSL_NONE);
    if (o->user != NULL) {
        curl_easy_setopt(easy, CURLOPT_USERNAME, o->user);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, o->password != NULL ? o->password : "");
    }
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     timeout_ms < CONNECT_TIMEOUT_MS ? timeout_ms : CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms);
}

struct smtp *smtp_new(struct loop *loop, const struct smtp_options *options)
{
    struct smtp *smtp = mem_alloc(sizeof *smtp);
    const char *at = strchr(options->from, '@');

    smtp->options = *options;
    smtp->url = mem_printf("%s/%s", options->url, at != NULL ? at + 1 : "");
    smtp->multi = multi_new(loop, options->connections, on_done);
    return smtp;
}

void smtp_free(struct smtp *smtp)
{
    struct delivery *d;

    if (smtp == NULL)
        return;
    while ((d = smtp->active) != NULL) {
        smtp->active = d->next;
        d->fn(d->ctx, SMTP_RETRY, "given up at shutdown");
        delivery_free(d);
    }
    multi_free(smtp->multi);
    free(smtp->url);
    free(smtp);
}

void smtp_send_take(struct smtp *smtp, const char *to, char *mail, size_t len, smtp_fn fn,
                    void *ctx)
{
    struct delivery *d = mem_alloc(sizeof *d);

    d->smtp = smtp;
    d->fn = fn;
    d->ctx = ctx;
    d->mail = mail;
    d->len = len;
    d->to = curl_slist_append(NULL, to);
    d->easy = curl_easy_init();
    if (d->to == NULL || d->easy == NULL)
        fatal("out of memory");
    set_server(smtp, d->easy);
    curl_easy_setopt(d->easy, CURLOPT_PRIVATE, d);
    curl_easy_setopt(d->easy, CURLOPT_ERRORBUFFER, d->failure);
    curl_easy_setopt(d->easy, CURLOPT_MAIL_FROM, smtp->options.from);
    curl_easy_setopt(d->easy, CURLOPT_MAIL_RCPT, d->to);
    curl_easy_setopt(d->easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(d->easy, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(d->easy, CURLOPT_READDATA, d);
    curl_easy_setopt(d->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)len);
    curl_easy_setopt(d->easy, CURLOPT_HEADERFUNCTION, on_line);
    curl_easy_setopt(d->easy, CURLOPT_HEADERDATA, d);
    d->next = smtp->active;
    smtp->active = d;
    multi_add(smtp->multi, d->easy);
}
