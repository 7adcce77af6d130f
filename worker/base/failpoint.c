/* Owns the named places where tests break a process; knows nothing of what happens there. */
#include "failpoint.h"

#ifdef PAYLINK_FAILPOINTS

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_AREA "failpoint"
#include "log.h"
#include "mem.h"

#define FAILPOINTS_MAX 16
#define SLEEP_MS_MAX   600000

enum action { ACTION_KILL, ACTION_STOP, ACTION_SLEEP, ACTION_EXIT };

struct failpoint {
    char *name;
    enum action action;
    long argument; /* ACTION_SLEEP: milliseconds; ACTION_EXIT: status */
    long left;     /* passages until it acts */
};

static struct failpoint failpoints[FAILPOINTS_MAX];
static unsigned failpoint_count;
static pthread_once_t parsed = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* A decimal number, nothing else. */
static bool number(const char *text, long min, long max, long *out)
{
    char *end;

    errno = 0;
    *out = strtol(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *out >= min &&
           *out <= max;
}

static bool parse_action(const char *text, struct failpoint *point)
{
    if (strcmp(text, "kill") == 0) {
        point->action = ACTION_KILL;
        return true;
    }
    if (strcmp(text, "stop") == 0) {
        point->action = ACTION_STOP;
        return true;
    }
    if (strncmp(text, "sleep:", 6) == 0) {
        point->action = ACTION_SLEEP;
        return number(text + 6, 0, SLEEP_MS_MAX, &point->argument);
    }
    if (strncmp(text, "exit:", 5) == 0) {
        point->action = ACTION_EXIT;
        return number(text + 5, 0, 255, &point->argument);
    }
    return false;
}

/* name=action or name@N=action; `text` is modified. */
static bool parse_point(char *text, struct failpoint *point)
{
    char *equals = strchr(text, '=');
    char *at;

    if (equals == NULL) {
        return false;
    }
    *equals = '\0';
    at = strchr(text, '@');
    point->left = 1;
    if (at != NULL) {
        *at = '\0';
        if (!number(at + 1, 1, 1000000000, &point->left)) {
            return false;
        }
    }
    if (text[0] == '\0' || !parse_action(equals + 1, point)) {
        return false;
    }
    point->name = mem_strdup(text);
    return true;
}

/* A misspelt failpoint would make a test pass that shows nothing: it ends the process. */
static void parse_all(void)
{
    const char *spec = getenv("PAYLINK_FAILPOINT");
    char *copy, *rest, *item;

    if (spec == NULL || spec[0] == '\0') {
        return;
    }
    copy = mem_strdup(spec);
    rest = copy;
    while ((item = strsep(&rest, ",")) != NULL) {
        if (failpoint_count == FAILPOINTS_MAX) {
            fatal("PAYLINK_FAILPOINT has more than %d places", FAILPOINTS_MAX);
        }
        if (!parse_point(item, &failpoints[failpoint_count])) {
            fatal("PAYLINK_FAILPOINT \"%s\" is wrong at \"%s\": NAME[@N]=kill|stop|sleep:MS|exit:N",
                  spec, item);
        }
        failpoint_count++;
    }
    free(copy);
}

static void sleep_ms(long ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

static void act(const struct failpoint *point)
{
    log_warn("%s acts", point->name);
    switch (point->action) {
    case ACTION_KILL:
        kill(getpid(), SIGKILL);
        break;
    case ACTION_STOP:
        kill(getpid(), SIGSTOP);
        break;
    case ACTION_SLEEP:
        sleep_ms(point->argument);
        break;
    case ACTION_EXIT:
        _exit((int)point->argument);
    }
}

void failpoint_pass(const char *name)
{
    pthread_once(&parsed, parse_all);
    for (unsigned i = 0; i < failpoint_count; i++) {
        bool now;

        if (strcmp(failpoints[i].name, name) != 0) {
            continue;
        }
        pthread_mutex_lock(&lock);
        now = failpoints[i].left > 0 && --failpoints[i].left == 0;
        pthread_mutex_unlock(&lock);
        if (now) {
            act(&failpoints[i]);
        }
    }
}

#endif
