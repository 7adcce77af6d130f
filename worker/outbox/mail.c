/* Claims mails, fills in letters and keeps what the mail server said. What is mailed, when and to
 * whom is decided by SQL. */
#include "mail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/clock.h"
#define LOG_AREA "mail"
#include "../base/failpoint.h"
#include "../base/log.h"
#include "../base/mem.h"
#include "../core/encoding.h"
#include "../document/mime.h"
#include "../io/json.h"
#include "../io/locale.h"
#include "../io/smtp.h"
#include "publish.h"

#define POLL_MS        1000
#define GATHER_MS      20
#define LEASE_SLACK_MS 30000 /* beyond the time that the mail server gets */
#define TEXT_SIZE      256
#define FILE_SCHEME    "file://"
#define DAY_MS         (INT64_C(24) * 3600 * 1000)

struct mail {
    struct mail_options options;
    struct smtp *smtp;
    const char *folder; /* in place of a mail server; or NULL */
    struct loop_timer *poll;
    int64_t away;    /* mails on their way */
    json_t *settled; /* outcomes that are not in the books yet */
    bool kicked, stopping;
};

/* One mail on its way. */
struct sending {
    struct mail *m;
    json_t *facts;
};

/* What a letter says, while it is written. */
struct content {
    char title[TEXT_SIZE], due[TEXT_SIZE], amount[TEXT_SIZE], paid_at[TEXT_SIZE], card[TEXT_SIZE];
    char *url;
};

/* --- letters ------------------------------------------------------------------------------------
 */

static struct template_value value_of(const char *text)
{
    return (struct template_value){text, text != NULL ? strlen(text) : 0};
}

/* NULL when the key of its token is not in use any more. */
static char *url_of(const struct mail *m, const json_t *facts)
{
    const char *hex = json_get_text(facts, "link");
    char token[TOKEN_TEXT_SIZE + 1] = "";
    struct token_link link;
    int64_t kid;

    if (hex == NULL || strlen(hex) != 2 * TOKEN_ID_SIZE ||
        hex_parse(hex, 2 * TOKEN_ID_SIZE, link.id) != 0 || !json_get_int(facts, "kid", &kid) ||
        kid < 0 || kid > UINT8_MAX)
        return NULL;
    link.kid = (uint8_t)kid;
    if (token_mint(m->options.keys, &link, token) != 0)
        return NULL;
    return mem_printf("%s/p/%s", m->options.settings->base_url, token);
}

static void money(const json_t *facts, const char *language, const char *name, char out[TEXT_SIZE])
{
    int64_t amount_minor;

    out[0] = '\0';
    if (json_get_int(facts, name, &amount_minor))
        locale_money(language, json_get_text(facts, "currency"), amount_minor, out, TEXT_SIZE);
}

/* In the words of the letter's language: no reader gets two in one mail. */
static void content_fill(const struct mail *m, const json_t *facts, const char *language,
                         struct content *c)
{
    const json_t *numbers = json_object_get(facts, "numbers");
    const char *first = json_string_value(json_array_get(numbers, 0));
    int64_t paid_at_ms;

    memset(c, 0, sizeof *c);
    words_write(m->options.words, language, WORD_TITLE, (int64_t)json_array_size(numbers),
                first != NULL ? first : "", c->title, sizeof c->title);
    money(facts, language, "due_minor", c->due);
    money(facts, language, "amount_minor", c->amount);
    if (json_get_int(facts, "paid_at_ms", &paid_at_ms))
        locale_time(language, paid_at_ms, c->paid_at, sizeof c->paid_at);
    (void)publish_card(facts, c->card, sizeof c->card);
    c->url = url_of(m, facts);
}

static void letter_fill(const struct mail *m, const json_t *facts, size_t language,
                        struct letter_text *out)
{
    bool renew = strcmp(json_get_text(facts, "kind"), "renew") == 0;
    bool shows_receipt = strcmp(json_get_text(facts, "state"), "paid") == 0;
    struct template_value values[LETTER_VALUES] = {{NULL, 0}};
    int64_t lifetime_ms = 0;
    struct content c;

    content_fill(m, facts, translated_tag(m->options.letters, language), &c);
    (void)json_get_int(facts, "lifetime_ms", &lifetime_ms);
    values[LETTER_TITLE] = value_of(c.title);
    values[LETTER_CUSTOMER] = value_of(json_get_text(facts, "customer"));
    values[LETTER_MERCHANT] = value_of(json_get_text(facts, "merchant"));
    values[LETTER_DUE_TEXT] = value_of(c.due);
    values[LETTER_AMOUNT_TEXT] = value_of(c.amount);
    values[LETTER_RECEIPT_NUMBER] = value_of(json_get_text(facts, "receipt_number"));
    values[LETTER_PAID_AT_TEXT] = value_of(c.paid_at);
    values[LETTER_CARD] = value_of(c.card);
    values[LETTER_URL] = value_of(renew || shows_receipt ? c.url : NULL);
    values[LETTER_DAY] = value_of(lifetime_ms == DAY_MS ? "1" : NULL);
    letter_write(m->options.letters, language, renew ? LETTER_RENEW : LETTER_RECEIPT, values, out);
    free(c.url);
}

static enum result mail_write(const struct mail *m, const json_t *facts, char **out, size_t *len,
                              struct error *err)
{
    size_t language = translated_find(m->options.letters, json_get_text(facts, "lang"));
    struct letter_text text;
    struct mime_mail mail;
    enum result result;

    letter_fill(m, facts, language, &text);
    mail = (struct mime_mail){
        .from_name = json_get_text(facts, "merchant"),
        .from = m->options.settings->mail_from,
        .to_name = json_get_text(facts, "customer"),
        .to = json_get_text(facts, "email"),
        .reply_to = json_get_text(facts, "reply_to"),
        .subject = text.subject,
        .id = json_get_text(facts, "mail"),
        .lang = translated_tag(m->options.letters, language),
        .text = text.text,
        .html = text.html,
        .wall_ms = clock_wall_ms(),
    };
    result = mime_write(&mail, out, len, err);
    letter_text_free(&text);
    return result;
}

/* --- sending ------------------------------------------------------------------------------------
 */

static void settle(struct mail *m, const json_t *facts, const char *outcome, const char *answer)
{
    json_t *object = json_object();

    json_put_text(object, "merchant_id", json_get_text(facts, "merchant_id"));
    json_put_text(object, "mail", json_get_text(facts, "mail"));
    json_put_text(object, "outcome", outcome);
    json_put_text(object, "answer", answer);
    json_array_append_new(m->settled, object);
    loop_timer_arm(m->poll, 0);
}

static void on_answer(void *arg, enum smtp_outcome outcome, const char *answer)
{
    static const char *const outcomes[] = {"sent", "retry", "failed"};
    struct sending *s = arg;
    const char *id = json_get_text(s->facts, "mail");

    FAILPOINT("mail.after_send");
    if (outcome == SMTP_SENT)
        log_info("mail %s is sent", id);
    else /* what the server says may name the customer: it stands in the books, not in a log */
        log_warn("mail %s: the mail server %s", id,
                 outcome == SMTP_RETRY ? "does not take it now" : "refuses it");
    s->m->away--;
    settle(s->m, s->facts, outcomes[outcome], answer);
    json_decref(s->facts);
    free(s);
}

/* For trying out: NAME.eml, which mail programs open. */
static enum result drop(const char *folder, const char *id, const char *mail, size_t len,
                        struct error *err)
{
    char *path = mem_printf("%s/%s.eml", folder, id);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool written = fd >= 0 && write(fd, mail, len) == (ssize_t)len;

    if (!written)
        error_set(err, RESULT_RETRY, "folder", "%s cannot be written: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    free(path);
    return written ? RESULT_OK : RESULT_RETRY;
}

static void send_one(struct mail *m, json_t *facts)
{
    struct sending *s;
    struct error err;
    size_t len;
    char *mail;

    if (mail_write(m, facts, &mail, &len, &err) != RESULT_OK) {
        log_error("mail %s: %s", json_get_text(facts, "mail"), err.text);
        settle(m, facts, "failed", err.text);
        return;
    }
    if (m->folder != NULL) {
        enum result result = drop(m->folder, json_get_text(facts, "mail"), mail, len, &err);

        settle(m, facts, result == RESULT_OK ? "sent" : "retry",
               result == RESULT_OK ? "written" : err.text);
        free(mail);
        return;
    }
    s = mem_alloc(sizeof *s);
    s->m = m;
    s->facts = json_incref(facts);
    m->away++;
    smtp_send_take(m->smtp, json_get_text(facts, "email"), mail, len, on_answer, s);
}

/* False while the database is away. */
static bool keep_settled(struct mail *m)
{
    char retry_ms[24];
    const char *params[2] = {retry_ms, NULL};
    struct error err;
    enum result result;
    char *text;

    if (json_array_size(m->settled) == 0)
        return true;
    snprintf(retry_ms, sizeof retry_ms, "%lld", (long long)m->options.settings->mail_retry_ms);
    text = json_text(m->settled);
    params[1] = text;
    result = pg_call(m->options.pg, "paylink.mail_settle", params, 2, NULL, &err);
    free(text);
    if (result == RESULT_RETRY) {
        log_warn("%s", err.text);
        return false;
    }
    if (result != RESULT_OK)
        log_error("what became of mails cannot be kept: %s", err.text);
    json_array_clear(m->settled);
    return true;
}

static void claim(struct mail *m)
{
    const struct settings *s = m->options.settings;
    int64_t lease = s->mail_timeout_ms + LEASE_SLACK_MS, room = s->mail_connections - m->away;
    char lease_ms[24], limit[24];
    const char *params[3] = {s->worker_name, lease_ms, limit};
    json_t *claimed = NULL, *facts;
    struct error err;
    size_t i;

    snprintf(lease_ms, sizeof lease_ms, "%lld", (long long)lease);
    snprintf(limit, sizeof limit, "%lld", (long long)room);
    if (pg_call(m->options.pg, "paylink.mail_claim", params, 3, &claimed, &err) != RESULT_OK) {
        log_debug("%s", err.text);
        return;
    }
    json_array_foreach (claimed, i, facts) {
        send_one(m, facts);
    }
    json_decref(claimed);
}

static void on_poll(void *arg)
{
    struct mail *m = arg;

    m->kicked = false;
    loop_timer_arm(m->poll, POLL_MS);
    if (keep_settled(m) && !m->stopping && m->away < m->options.settings->mail_connections)
        claim(m);
}

struct mail *mail_new(struct loop *loop, const struct mail_options *options)
{
    struct mail *m = mem_alloc(sizeof *m);
    const struct settings *s = options->settings;
    struct smtp_options smtp = {
        .url = s->mail_url,
        .from = s->mail_from,
        .user = s->mail_user,
        .password = options->password,
        .starttls = strcmp(s->mail_starttls, "on") == 0,
        .connections = s->mail_connections,
        .timeout_ms = s->mail_timeout_ms,
    };

    m->options = *options;
    m->settled = json_array();
    if (strncmp(s->mail_url, FILE_SCHEME, strlen(FILE_SCHEME)) == 0)
        m->folder = s->mail_url + strlen(FILE_SCHEME);
    m->smtp = smtp_new(loop, &smtp);
    m->poll = loop_timer_new(loop, on_poll, m);
    loop_timer_arm(m->poll, 0);
    return m;
}

void mail_kick(struct mail *m)
{
    if (!m->kicked && !m->stopping)
        loop_timer_arm(m->poll, GATHER_MS);
    m->kicked = true;
}

void mail_stop(struct mail *m)
{
    m->stopping = true;
}

bool mail_idle(const struct mail *m)
{
    return m->away == 0 && json_array_size(m->settled) == 0;
}

void mail_free(struct mail *m)
{
    if (m == NULL)
        return;
    smtp_free(m->smtp);
    loop_timer_free(m->poll);
    json_decref(m->settled);
    free(m);
}
