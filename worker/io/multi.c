/* Lets libcurl know what the loop sees. Knows nothing of what is transferred. */
#include "multi.h"

#include <stdlib.h>

#define LOG_AREA "multi"
#include "../base/log.h"
#include "../base/mem.h"

struct multi {
    struct loop *loop;
    CURLM *curl;
    struct loop_timer *timeout; /* libcurl's */
    multi_fn fn;
};

static void collect(struct multi *multi)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(multi->curl, &left)) != NULL) {
        CURLcode code = message->data.result;
        void *owner;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &owner);
        multi->fn(owner, code);
    }
}

static void act(struct multi *multi, curl_socket_t fd, int what)
{
    int running;

    curl_multi_socket_action(multi->curl, fd, what, &running);
    collect(multi);
}

static void on_timeout(void *arg)
{
    act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void on_socket_event(void *arg, int fd, bool readable, bool writable)
{
    act(arg, fd, (readable ? CURL_CSELECT_IN : 0) | (writable ? CURL_CSELECT_OUT : 0));
}

static int on_curl_timer(CURLM *curl, long timeout_ms, void *arg)
{
    struct multi *multi = arg;

    (void)curl;
    if (timeout_ms < 0)
        loop_timer_disarm(multi->timeout);
    else
        loop_timer_arm(multi->timeout, timeout_ms);
    return 0;
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_ctx)
{
    struct multi *multi = arg;
    struct loop_watch *watch = socket_ctx;

    (void)easy;
    loop_watch_free(watch);
    watch = NULL;
    if (what != CURL_POLL_REMOVE)
        watch = loop_watch_new(multi->loop, fd, (what & CURL_POLL_IN) != 0,
                               (what & CURL_POLL_OUT) != 0, on_socket_event, multi);
    curl_multi_assign(multi->curl, fd, watch);
    return 0;
}

struct multi *multi_new(struct loop *loop, int64_t connections_max, multi_fn fn)
{
    struct multi *multi = mem_alloc(sizeof *multi);

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        fatal("libcurl could not be initialised");
    multi->loop = loop;
    multi->fn = fn;
    multi->timeout = loop_timer_new(loop, on_timeout, multi);
    multi->curl = curl_multi_init();
    if (multi->curl == NULL)
        fatal("out of memory");
    curl_multi_setopt(multi->curl, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(multi->curl, CURLMOPT_SOCKETDATA, multi);
    curl_multi_setopt(multi->curl, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(multi->curl, CURLMOPT_TIMERDATA, multi);
    curl_multi_setopt(multi->curl, CURLMOPT_MAXCONNECTS, (long)connections_max);
    return multi;
}

void multi_free(struct multi *multi)
{
    if (multi == NULL)
        return;
    curl_multi_cleanup(multi->curl);
    loop_timer_free(multi->timeout);
    free(multi);
}

void multi_add(struct multi *multi, CURL *easy)
{
    if (curl_multi_add_handle(multi->curl, easy) != CURLM_OK)
        fatal("a request could not be started");
}

void multi_remove(struct multi *multi, CURL *easy)
{
    curl_multi_remove_handle(multi->curl, easy);
}
