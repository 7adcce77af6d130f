/*
 * The settle pipeline. Moves submissions through register, gateway, book and acknowledge; every
 * decision about money is SQL's.
 *
 * A job is in exactly one place: FRESH (to be registered), AWAY (at the gateway, a count), RESTING
 * (the gateway took nothing: registered anew later), FACTS (its result waits to be booked), DONE
 * (to be acknowledged).
 */
#include "settle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#define LOG_AREA "settle"
#include "../base/failpoint.h"
#include "../base/log.h"
#include "../base/mem.h"
#include "../core/encoding.h"
#include "../core/form.h"
#include "../core/money.h"
#include "../io/stream.h"

#define DATABASE_RETRY_MS    500
#define GATEWAY_RETRY_MS_MIN 200
#define GATEWAY_RETRY_MS_MAX 10000
#define REST_TICK_MS         100
#define GATHER_MS            8 /* under load results wait this long for others to be booked with */
#define IN_FLIGHT_BATCHES    4
#define URL_SIZE             1024

struct job {
    struct job *next;
    struct settle *settle;
    struct stream_entry *entry;
    char attempt[UUID_TEXT_SIZE + 1];
    struct token_link link;
    struct token_attempt minted;
    json_t *fact;            /* what is to be booked */
    int64_t start_before_ms; /* monotonic: when its charge must have left */
    int64_t backoff_ms, rest_until_ms;
};

struct job_list {
    struct job *first, **last;
    size_t count;
};

struct settle {
    struct loop *loop;
    const struct settings *settings;
    const struct token_keys *keys;
    struct pg *pg;
    struct stream *stream;
    struct gateway *gateway;
    struct outbox *outbox;
    loop_fn on_idle;
    void *ctx;
    struct job_list fresh, resting, facts;
    size_t jobs; /* all that exist */
    size_t away, away_max;
    struct loop_timer *soon, *rest;
    int64_t soon_at_ms;  /* monotonic; 0: not armed */
    bool database_known; /* it has answered at least once */
    bool gateway_away;
    bool stopping;
};

static void list_init(struct job_list *list)
{
    list->first = NULL;
    list->last = &list->first;
    list->count = 0;
}

static void list_append(struct job_list *list, struct job *job)
{
    job->next = NULL;
    *list->last = job;
    list->last = &job->next;
    list->count++;
}

static struct job *list_shift(struct job_list *list)
{
    struct job *job = list->first;

    if (job == NULL)
        return NULL;
    list->first = job->next;
    if (list->first == NULL)
        list->last = &list->first;
    list->count--;
    return job;
}

static void idle_check(struct settle *s)
{
    if (s->stopping && s->jobs == 0 && s->on_idle != NULL) {
        loop_fn on_idle = s->on_idle;

        s->on_idle = NULL;
        on_idle(s->ctx);
    }
}

/* The entry has been given back to the stream already. */
static void job_free(struct job *job)
{
    job->settle->jobs--;
    json_decref(job->fact);
    free(job);
}

static void job_release(struct job *job)
{
    struct settle *s = job->settle;

    stream_release(s->stream, job->entry);
    job_free(job);
    idle_check(s);
}

/* Within `delay_ms`; an earlier turn stays. */
static void soon(struct settle *s, int64_t delay_ms)
{
    int64_t at_ms = clock_monotonic_ms() + delay_ms;

    if (s->soon_at_ms != 0 && s->soon_at_ms <= at_ms)
        return;
    s->soon_at_ms = at_ms;
    loop_timer_arm(s->soon, delay_ms);
}

/* Batches are cheap and payers impatient: results wait for company only while it is on its way. */
static void soon_together(struct settle *s)
{
    bool enough = s->away == 0 || s->facts.count >= (size_t)s->settings->worker_batch_max;

    soon(s, enough ? 0 : GATHER_MS);
}

static void tell(struct settle *s)
{
    if (s->away == 0 && s->facts.first == NULL)
        outbox_kick(s->outbox);
    else
        outbox_hint(s->outbox);
}

/* Acknowledges all jobs of the list. */
static void finish(struct settle *s, struct job_list *done)
{
    struct stream_entry **entries;
    struct job *job;
    size_t n = 0;

    if (done->count == 0)
        return;
    FAILPOINT("settle.before_ack");
    entries = mem_alloc(done->count * sizeof(struct stream_entry *));
    while ((job = list_shift(done)) != NULL) {
        entries[n++] = job->entry;
        job_free(job);
    }
    stream_ack(s->stream, entries, n);
    free(entries);
    idle_check(s);
}

/* --- 1: what came from the stream ----------------------------------------------------------------
 */

static bool hex16(const struct stream_entry *entry, const char *name, uint8_t out[16])
{
    const char *text = stream_text(entry, name);

    return text != NULL && strlen(text) == 32 && hex_parse(text, 32, out) == 0;
}

static bool number(const struct stream_entry *entry, const char *name, int64_t *out)
{
    const char *text = stream_text(entry, name);

    return text != NULL && money_parse_minor(text, strlen(text), out);
}

/* NULL for an entry that no edge writes. */
static struct job *job_read(struct settle *s, struct stream_entry *entry)
{
    struct token_link link = {0};
    struct token_attempt minted = {0};
    const char *method = stream_text(entry, "payment_method");
    int64_t version, amount_minor, at_ms;
    struct job *job;

    if (!hex16(entry, "attempt", minted.uuid) || !hex16(entry, "link", link.id) ||
        !number(entry, "version", &version) || version < 1 || version > UINT32_MAX ||
        !number(entry, "amount_minor", &amount_minor) || amount_minor < 1 ||
        !number(entry, "at_ms", &at_ms) || method == NULL || method[0] == '\0' ||
        !utf8_valid(method, strlen(method)))
        return NULL;
    job = mem_alloc(sizeof *job);
    job->settle = s;
    job->entry = entry;
    job->link = link;
    minted.version = (uint32_t)version;
    job->minted = minted;
    uuid_format(minted.uuid, job->attempt);
    s->jobs++;
    return job;
}

static void on_entries(void *arg, struct stream_entry **entries, size_t n)
{
    struct settle *s = arg;

    for (size_t i = 0; i < n; i++) {
        struct job *job = job_read(s, entries[i]);

        if (job == NULL)
            stream_dead(s->stream, entries[i], "is no submission");
        else
            list_append(&s->fresh, job);
    }
    soon(s, 0);
}

/* --- 2: registered: charge, or the reason why not
 * -------------------------------------------------- */

static void put_number(json_t *object, const struct stream_entry *entry, const char *name)
{
    int64_t value;

    if (number(entry, name, &value))
        json_put_int(object, name, value);
}

/* "1,3"; what is no list of positions is refused by attempt_register(). */
static void put_chosen(json_t *object, const char *chosen)
{
    json_t *positions;

    if (chosen == NULL || chosen[0] == '\0')
        return;
    positions = json_array();
    while (chosen != NULL) {
        json_array_append_new(positions, json_integer(strtol(chosen, NULL, 10)));
        chosen = strchr(chosen, ',');
        if (chosen != NULL)
            chosen++;
    }
    json_object_set_new(object, "chosen", positions);
}

static json_t *submission(const struct job *job)
{
    json_t *object = json_object();
    char link[33] = "";
    const char *overpay = stream_text(job->entry, "overpay");

    hex_format(job->link.id, TOKEN_ID_SIZE, link);
    json_put_text(object, "attempt", job->attempt);
    json_put_text(object, "link", link);
    json_put_text(object, "payment_method", stream_text(job->entry, "payment_method"));
    put_number(object, job->entry, "version");
    put_number(object, job->entry, "amount_minor");
    put_number(object, job->entry, "at_ms");
    put_number(object, job->entry, "opened_ms");
    json_put_text(object, "lang", stream_text(job->entry, "lang"));
    put_chosen(object, stream_text(job->entry, "chosen"));
    json_put_bool(object, "overpay", overpay != NULL && strcmp(overpay, "1") == 0);
    return object;
}

static void charge(struct job *job, const json_t *decision);

static void decide(struct job *job, const json_t *decision, struct job_list *done)
{
    const char *action = json_get_text(decision, "action");

    if (action == NULL)
        fatal("attempt_register() gave no action");
    if (strcmp(action, "charge") == 0)
        charge(job, decision);
    else if (strcmp(action, "held") == 0)
        job_release(job); /* another worker has it; it comes back if that one dies */
    else
        list_append(done, job);
}

static enum result register_batch(struct settle *s, struct job **jobs, size_t n, json_t **decisions)
{
    char lease_ms[24];
    json_t *batch = json_array();
    const char *params[3] = {s->settings->worker_name, lease_ms, NULL};
    /* A charge must be over before its lease lapses: later, others may have judged it. */
    int64_t start_before_ms =
        clock_monotonic_ms() + s->settings->worker_lease_ms - s->settings->gateway_timeout_ms;
    struct error err;
    enum result result;
    char *text;

    for (size_t i = 0; i < n; i++) {
        json_array_append_new(batch, submission(jobs[i]));
        jobs[i]->start_before_ms = start_before_ms;
    }
    snprintf(lease_ms, sizeof lease_ms, "%lld", (long long)s->settings->worker_lease_ms);
    text = json_text(batch);
    params[2] = text;
    FAILPOINT("settle.before_register");
    result = pg_call(s->pg, "paylink.attempt_register", params, 3, decisions, &err);
    FAILPOINT("settle.after_register");
    free(text);
    json_decref(batch);
    if (result != RESULT_OK)
        log_warn("registering: %s", err.text);
    if (result == RESULT_OK && json_array_size(*decisions) != n)
        fatal("attempt_register() answered %zu of %zu attempts", json_array_size(*decisions), n);
    return result;
}

/* A batch with an entry that SQL rejects is taken apart, so that one holds up no others. */
static void rejected(struct settle *s, struct job **jobs, size_t n)
{
    struct job_list none;

    list_init(&none);
    for (size_t i = 0; i < n; i++) {
        json_t *decisions = NULL;
        enum result result = register_batch(s, &jobs[i], 1, &decisions);

        if (result == RESULT_OK) {
            decide(jobs[i], json_array_get(decisions, 0), &none);
            finish(s, &none);
        } else if (result == RESULT_REJECTED) {
            stream_dead(s->stream, jobs[i]->entry, "was rejected by the database");
            job_free(jobs[i]);
        } else {
            list_append(&s->fresh, jobs[i]);
        }
        json_decref(decisions);
    }
}

/* How many may be registered now: what waited long for a connection would outlive its lease. */
static size_t register_room(const struct settle *s)
{
    size_t batch = (size_t)s->settings->worker_batch_max;
    size_t room = s->away < s->away_max ? s->away_max - s->away : 0;

    if (room > batch)
        room = batch;
    /* Many at once are cheaper than one at a time, as long as others are still away. */
    return room < s->fresh.count && room < batch / 2 ? 0 : room;
}

/* False when the database is away. */
static bool register_some(struct settle *s)
{
    size_t max = register_room(s), n = 0;
    struct job **jobs;
    struct job_list done;
    json_t *decisions = NULL;
    enum result result;

    if (max == 0)
        return true;
    jobs = mem_alloc(max * sizeof(struct job *));
    list_init(&done);
    while (n < max && s->fresh.first != NULL)
        jobs[n++] = list_shift(&s->fresh);
    result = register_batch(s, jobs, n, &decisions);
    for (size_t i = 0; i < n && result == RESULT_OK; i++)
        decide(jobs[i], json_array_get(decisions, i), &done);
    if (result == RESULT_REJECTED)
        rejected(s, jobs, n);
    else if (result == RESULT_FATAL)
        fatal("the schema is not the one of this program: run `paylink migrate`");
    for (size_t i = 0; i < n && result == RESULT_RETRY; i++)
        list_append(&s->fresh, jobs[i]);
    json_decref(decisions);
    free(jobs);
    if (result == RESULT_OK)
        tell(s); /* refusals have answers too */
    finish(s, &done);
    return result != RESULT_RETRY;
}

/* --- 3: at the gateway
 * ----------------------------------------------------------------------------- */

/* Those who have rested are registered anew, which renews their lease. */
static void on_rest(void *arg)
{
    struct settle *s = arg;
    struct job_list all = s->resting;
    int64_t now_ms = clock_monotonic_ms();
    struct job *job;

    if (all.first == NULL)
        return;
    list_init(&s->resting);
    while ((job = list_shift(&all)) != NULL)
        list_append(job->rest_until_ms > now_ms ? &s->resting : &s->fresh, job);
    if (s->resting.first != NULL)
        loop_timer_arm(s->rest, REST_TICK_MS);
    if (s->fresh.first != NULL)
        soon(s, 0);
}

/* The gateway certainly did nothing. */
static void rest(struct job *job, int64_t retry_after_ms)
{
    struct settle *s = job->settle;

    if (s->stopping) {
        job_release(job); /* stays pending; the next worker sends it again */
        return;
    }
    job->backoff_ms = job->backoff_ms == 0 ? GATEWAY_RETRY_MS_MIN : job->backoff_ms * 2;
    if (job->backoff_ms > GATEWAY_RETRY_MS_MAX)
        job->backoff_ms = GATEWAY_RETRY_MS_MAX;
    if (retry_after_ms < job->backoff_ms)
        retry_after_ms = job->backoff_ms;
    job->rest_until_ms = clock_monotonic_ms() + retry_after_ms;
    if (s->resting.first == NULL)
        loop_timer_arm(s->rest, REST_TICK_MS);
    list_append(&s->resting, job);
}

/* Said when it changes: a gateway that is down has one line, not one for every attempt. */
static void gateway_seen(struct settle *s, enum gateway_outcome outcome)
{
    bool away = outcome == GATEWAY_RETRY;

    if (away == s->gateway_away || outcome == GATEWAY_UNKNOWN)
        return;
    s->gateway_away = away;
    if (away)
        log_warn("the gateway takes nothing now: attempts wait and are sent again");
    else
        log_info("the gateway takes attempts again");
}

static void on_charged(void *arg, const struct gateway_result *result)
{
    struct job *job = arg;
    struct settle *s = job->settle;

    FAILPOINT("settle.after_gateway");
    s->away--;
    gateway_seen(s, result->outcome);
    if (s->fresh.first != NULL && register_room(s) > 0)
        soon(s, 0);
    job->fact = settle_fact(job->attempt, result);
    if (job->fact == NULL) {
        log_debug("attempt %s was not taken by the gateway", job->attempt);
        rest(job, result->retry_after_ms);
        return;
    }
    if (result->outcome == GATEWAY_UNKNOWN)
        log_warn("attempt %s: the result is unknown and will be asked for", job->attempt);
    list_append(&s->facts, job);
    soon_together(s);
}

/* Where the payer's browser goes after 3-D Secure: the page of the attempt. */
static void return_url(const struct job *job, const json_t *decision, char out[URL_SIZE])
{
    char token[TOKEN_TEXT_SIZE], attempt[ATTEMPT_TEXT_SIZE];
    struct token_link link = job->link;
    int64_t kid = 0;

    (void)json_get_int(decision, "kid", &kid);
    link.kid = (uint8_t)kid;
    if (token_mint(job->settle->keys, &link, token) != 0 ||
        attempt_mint(job->settle->keys, &link, &job->minted, attempt) != 0) {
        log_warn("attempt %s: key %lld of its link is no longer in the key file", job->attempt,
                 (long long)kid);
        snprintf(out, URL_SIZE, "%s/", job->settle->settings->base_url);
        return;
    }
    snprintf(out, URL_SIZE, "%s/p/%.*s/a/%.*s", job->settle->settings->base_url, TOKEN_TEXT_SIZE,
             token, ATTEMPT_TEXT_SIZE, attempt);
}

static void charge(struct job *job, const json_t *decision)
{
    struct settle *s = job->settle;
    char url[URL_SIZE];
    struct gateway_charge c = {
        .attempt = job->attempt,
        .link = json_get_text(decision, "link"),
        .merchant = json_get_text(decision, "merchant"),
        .payment_method = json_get_text(decision, "payment_method"),
        .currency = json_get_text(decision, "currency"),
        .description = json_get_text(decision, "description"),
        .receipt_number = json_get_text(decision, "numbers"),
        .return_url = url,
        .start_before_ms = job->start_before_ms,
    };

    if (!json_get_int(decision, "amount_minor", &c.amount_minor) || c.currency == NULL ||
        c.payment_method == NULL)
        fatal("attempt_register() gave an incomplete charge");
    return_url(job, decision, url);
    FAILPOINT("settle.before_gateway");
    s->away++;
    gateway_charge(s->gateway, &c, on_charged, job);
}

/* --- 4: booked
 * ------------------------------------------------------------------------------------- */

static enum result book_batch(struct settle *s, struct job **jobs, size_t n, struct error *err)
{
    json_t *batch = json_array();
    const char *params[3] = {s->settings->worker_name, NULL,
                             s->settings->mail_url != NULL ? "true" : "false"};
    enum result result;
    char *text;

    for (size_t i = 0; i < n; i++)
        json_array_append(batch, jobs[i]->fact);
    text = json_text(batch);
    params[1] = text;
    FAILPOINT("settle.before_book");
    result = pg_call(s->pg, "paylink.attempt_settle", params, 3, NULL, err);
    if (result == RESULT_OK)
        FAILPOINT("settle.after_book");
    free(text);
    json_decref(batch);
    return result;
}

/* One fact that SQL rejects must not hold up the others; it stays pending for an operator to see.
 */
static void book_apart(struct settle *s, struct job **jobs, size_t n, struct job_list *done)
{
    for (size_t i = 0; i < n; i++) {
        struct error err;
        enum result result = book_batch(s, &jobs[i], 1, &err);

        if (result == RESULT_OK) {
            list_append(done, jobs[i]);
        } else if (result == RESULT_RETRY) {
            list_append(&s->facts, jobs[i]);
        } else {
            log_error("attempt %s cannot be booked: %s", jobs[i]->attempt, err.text);
            job_release(jobs[i]);
        }
    }
}

/* False when the database is away. */
static bool book_some(struct settle *s)
{
    size_t max = (size_t)s->settings->worker_batch_max, n = 0;
    struct job **jobs = mem_alloc(max * sizeof(struct job *));
    struct job_list done;
    struct error err;
    enum result result;

    list_init(&done);
    while (n < max && s->facts.first != NULL)
        jobs[n++] = list_shift(&s->facts);
    result = book_batch(s, jobs, n, &err);
    if (result == RESULT_REJECTED) {
        book_apart(s, jobs, n, &done);
    } else {
        for (size_t i = 0; i < n; i++)
            list_append(result == RESULT_OK ? &done : &s->facts, jobs[i]);
    }
    free(jobs);
    if (result == RESULT_RETRY)
        log_warn("booking: %s", err.text);
    else if (result == RESULT_FATAL)
        fatal("booking: %s", err.text);
    if (done.count > 0)
        tell(s);
    finish(s, &done);
    return result != RESULT_RETRY;
}

/* --- the turn
 * -------------------------------------------------------------------------------------- */

/*
 * Nothing is read before the database has answered: every delivery of an entry counts, and one that
 * was delivered too often is taken for poison.
 */
static bool database_ask(struct settle *s)
{
    const char *params[3] = {s->settings->worker_name, "1", "[]"};
    enum result result;
    struct error err;

    if (s->database_known)
        return true;
    result = pg_call(s->pg, "paylink.attempt_register", params, 3, NULL, &err);
    if (result == RESULT_RETRY)
        log_warn("%s", err.text);
    else if (result != RESULT_OK)
        fatal("%s; the schema is not the one of this program: run `paylink migrate`", err.text);
    s->database_known = result == RESULT_OK;
    return s->database_known;
}

static void on_soon(void *arg)
{
    struct settle *s = arg;
    bool up;

    s->soon_at_ms = 0;
    up = database_ask(s);
    if (up && s->facts.first != NULL)
        up = book_some(s);
    if (up && s->fresh.first != NULL)
        up = register_some(s);
    stream_pause(s->stream, !up);
    if (!up)
        soon(s, DATABASE_RETRY_MS);
    else if (s->facts.first != NULL || (s->fresh.first != NULL && register_room(s) > 0))
        soon(s, 0);
}

struct settle *settle_new(struct loop *loop, const struct settle_options *options)
{
    struct settle *s = mem_alloc(sizeof *s);
    struct stream_options stream = {
        .kind = "submit",
        .consumer = options->settings->worker_name,
        .claim_idle_ms = options->settings->worker_claim_idle_ms,
        .room = (size_t)options->settings->worker_batch_max * IN_FLIGHT_BATCHES,
        .redis = options->redis,
        .connection = options->connection,
        .fn = on_entries,
        .ctx = s,
    };

    s->loop = loop;
    s->settings = options->settings;
    s->keys = options->keys;
    s->pg = options->pg;
    s->gateway = options->gateway;
    s->outbox = options->outbox;
    s->on_idle = options->on_idle;
    s->ctx = options->ctx;
    list_init(&s->fresh);
    list_init(&s->resting);
    list_init(&s->facts);
    s->away_max =
        (size_t)(options->settings->gateway_connections + options->settings->worker_batch_max);
    s->soon = loop_timer_new(loop, on_soon, s);
    s->rest = loop_timer_new(loop, on_rest, s);
    s->stream = stream_new(loop, &stream);
    stream_pause(s->stream, true);
    soon(s, 0);
    return s;
}

void settle_stop(struct settle *s)
{
    struct job *job;

    s->stopping = true;
    stream_stop(s->stream);
    while ((job = list_shift(&s->fresh)) != NULL || (job = list_shift(&s->resting)) != NULL) {
        stream_release(s->stream, job->entry); /* the next worker registers it */
        job_free(job);
    }
    idle_check(s);
}

bool settle_flushed(const struct settle *s)
{
    return s->jobs == 0 && stream_flushed(s->stream);
}

void settle_free(struct settle *s)
{
    struct job *job;

    if (s == NULL)
        return;
    while ((job = list_shift(&s->fresh)) != NULL || (job = list_shift(&s->resting)) != NULL ||
           (job = list_shift(&s->facts)) != NULL)
        job_free(job);
    stream_free(s->stream);
    loop_timer_free(s->soon);
    loop_timer_free(s->rest);
    free(s);
}
