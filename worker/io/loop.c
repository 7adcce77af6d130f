/* The event loop: libevent's base, its timers, signals and watched descriptors. */
#include "loop.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "../base/log.h"
#include "../base/mem.h"

struct loop {
    struct event_base *base;
    loop_fn on_stop;
    void *stop_ctx;
    bool stopping;
};

struct loop_timer {
    struct event *event;
    loop_fn fn;
    void *ctx;
};

struct loop_watch {
    struct event *event;
    loop_io_fn fn;
    void *ctx;
};

struct loop *loop_new(void)
{
    struct loop *loop = mem_alloc(sizeof *loop);

    loop->base = event_base_new();
    if (loop->base == NULL)
        fatal("the event loop could not be created");
    signal(SIGPIPE, SIG_IGN);
    return loop;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    event_base_free(loop->base);
    free(loop);
}

struct event_base *loop_base(struct loop *loop)
{
    return loop->base;
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    struct loop *loop = arg;

    (void)what;
    if (loop->stopping || loop->on_stop == NULL)
        _exit(128 + (int)number);
    loop->stopping = true;
    loop->on_stop(loop->stop_ctx);
}

void loop_run(struct loop *loop, loop_fn on_stop, void *ctx)
{
    struct event *term = evsignal_new(loop->base, SIGTERM, on_signal, loop);
    struct event *intr = evsignal_new(loop->base, SIGINT, on_signal, loop);

    if (term == NULL || intr == NULL || event_add(term, NULL) != 0 || event_add(intr, NULL) != 0)
        fatal("signals could not be watched");
    loop->on_stop = on_stop;
    loop->stop_ctx = ctx;
    if (event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY) == -1)
        fatal("the event loop failed");
    event_free(term);
    event_free(intr);
}

void loop_stop(struct loop *loop)
{
    event_base_loopbreak(loop->base);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct loop_timer *timer = arg;

    (void)fd;
    (void)what;
    timer->fn(timer->ctx);
}

struct loop_timer *loop_timer_new(struct loop *loop, loop_fn fn, void *ctx)
{
    struct loop_timer *timer = mem_alloc(sizeof *timer);

    timer->fn = fn;
    timer->ctx = ctx;
    timer->event = evtimer_new(loop->base, on_timer, timer);
    if (timer->event == NULL)
        fatal("a timer could not be created");
    return timer;
}

void loop_timer_arm(struct loop_timer *timer, int64_t delay_ms)
{
    struct timeval delay = {.tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000};

    if (evtimer_add(timer->event, &delay) != 0)
        fatal("a timer could not be armed");
}

void loop_timer_disarm(struct loop_timer *timer)
{
    evtimer_del(timer->event);
}

void loop_timer_free(struct loop_timer *timer)
{
    if (timer == NULL)
        return;
    event_free(timer->event);
    free(timer);
}

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
    struct loop_watch *watch = arg;

    watch->fn(watch->ctx, (int)fd, (what & EV_READ) != 0, (what & EV_WRITE) != 0);
}

struct loop_watch *loop_watch_new(struct loop *loop, int fd, bool read, bool write, loop_io_fn fn,
                                  void *ctx)
{
    struct loop_watch *watch = mem_alloc(sizeof *watch);
    short what = (short)(EV_PERSIST | (read ? EV_READ : 0) | (write ? EV_WRITE : 0));

    watch->fn = fn;
    watch->ctx = ctx;
    watch->event = event_new(loop->base, fd, what, on_watch, watch);
    if (watch->event == NULL || event_add(watch->event, NULL) != 0)
        fatal("a descriptor could not be watched");
    return watch;
}

void loop_watch_free(struct loop_watch *watch)
{
    if (watch == NULL)
        return;
    event_free(watch->event);
    free(watch);
}
