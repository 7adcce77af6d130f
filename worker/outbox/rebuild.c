/*
 * Publishes every link that is not long over, page by page. Safe at any time: Redis keeps what is
 * newer, and links come back one by one without it too, when they are asked for.
 */
#include "rebuild.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_AREA "rebuild"
#include "../base/log.h"
#include "../base/mem.h"
#include "../io/loop.h"
#include "../io/pg.h"
#include "publish.h"

#define PAGE_LINKS       "500"
#define REDIS_TIMEOUT_MS 10000
#define CONNECT_MS_MAX   10000

enum { STATUS_OK = 0, STATUS_USAGE = 2, STATUS_UNREACHABLE = 3, STATUS_CONFIGURATION = 4 };

struct rebuild {
    struct loop *loop;
    struct pg *pg;
    struct publisher publisher;
    struct library *library;
    struct words *words;
    struct loop_timer *connecting, *next;
    char *after; /* the last id of the page before */
    int64_t links;
    bool started, progress;
    int status;
};

static void end(struct rebuild *r, int status)
{
    r->status = status;
    loop_stop(r->loop);
}

static void on_published(void *arg, bool ok)
{
    struct rebuild *r = arg;

    if (!ok) {
        log_error("Redis did not take all links; run the command again");
        end(r, STATUS_UNREACHABLE);
        return;
    }
    if (r->progress)
        (void)fprintf(stderr, "\r%lld links", (long long)r->links);
    loop_timer_arm(r->next, 0);
}

static bool call(struct rebuild *r, const char *function, const char *const *params, int n,
                 json_t **out)
{
    struct error err;

    if (pg_call(r->pg, function, params, n, out, &err) == RESULT_OK)
        return true;
    log_error("%s", err.text);
    end(r, STATUS_UNREACHABLE);
    return false;
}

static void on_next(void *arg)
{
    struct rebuild *r = arg;
    const char *page_params[2] = {r->after, PAGE_LINKS}, *params[1];
    json_t *ids = NULL, *links = NULL;
    size_t n;
    char *text;

    if (!call(r, "paylink.link_page", page_params, 2, &ids))
        return;
    n = json_array_size(ids);
    if (n == 0) {
        json_decref(ids);
        end(r, STATUS_OK);
        return;
    }
    text = json_text(ids);
    params[0] = text;
    if (call(r, "paylink.link_snapshot", params, 1, &links)) {
        free(r->after);
        r->after = mem_strdup(json_string_value(json_array_get(ids, n - 1)));
        r->links += (int64_t)n;
        publish_send(&r->publisher, &(struct publish_set){.links = links}, on_published, r);
    }
    free(text);
    json_decref(ids);
    json_decref(links);
}

static void on_ready(void *arg)
{
    struct rebuild *r = arg;

    library_load(r->library, r->publisher.redis);
    if (r->started)
        return;
    r->started = true;
    loop_timer_disarm(r->connecting);
    loop_timer_arm(r->next, 0);
}

static void on_connecting(void *arg)
{
    struct rebuild *r = arg;

    log_error("Redis cannot be reached; is it running?");
    end(r, STATUS_UNREACHABLE);
}

static void on_stop(void *arg)
{
    end(arg, STATUS_UNREACHABLE);
}

static void run(struct rebuild *r, const struct settings *s, const char *password)
{
    struct redis_options redis = {
        .socket = s->redis_socket,
        .user = s->redis_user,
        .password = password,
        .timeout_ms = REDIS_TIMEOUT_MS,
        .on_ready = on_ready,
        .ctx = r,
    };

    r->loop = loop_new();
    r->connecting = loop_timer_new(r->loop, on_connecting, r);
    r->next = loop_timer_new(r->loop, on_next, r);
    loop_timer_arm(r->connecting, CONNECT_MS_MAX);
    r->pg = pg_new(s->pg_conninfo, "paylink rebuild", s->pg_statement_timeout_ms);
    r->publisher =
        (struct publisher){redis_new(r->loop, &redis), r->library, r->words, s->mail_url != NULL};
    loop_run(r->loop, on_stop, r);
    redis_free(r->publisher.redis);
    pg_free(r->pg);
    loop_timer_free(r->connecting);
    loop_timer_free(r->next);
    loop_free(r->loop);
    free(r->after);
}

int rebuild_command(const struct settings *s, int argc, char **argv)
{
    struct rebuild r = {.progress = isatty(STDERR_FILENO) == 1};
    char *password = NULL;
    struct error err;
    bool json = false;

    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--json") != 0) {
            (void)fprintf(stderr, "paylink rebuild: there is no option %s\n", argv[i]);
            return STATUS_USAGE;
        }
        json = true;
    }
    if (library_read(s->redis_functions_file, &r.library, &err) != RESULT_OK ||
        words_load(s->pages_dir, &r.words, &err) != RESULT_OK ||
        (s->redis_password_file != NULL && s->redis_password_file[0] != '\0' &&
         secret_load(s->redis_password_file, &password, &err) != RESULT_OK)) {
        log_error("%s", err.text);
        library_free(r.library);
        words_free(r.words);
        return STATUS_CONFIGURATION;
    }
    run(&r, s, password);
    if (r.progress)
        (void)fputc('\n', stderr);
    if (r.status == STATUS_OK)
        printf(json ? "{\"links\":%lld}\n" : "%lld links published\n", (long long)r.links);
    library_free(r.library);
    words_free(r.words);
    secret_free(password);
    return r.status;
}
