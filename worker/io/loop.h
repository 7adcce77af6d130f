/*
 * The event loop of a process: libevent, timers, signals. Only this file's
 * implementation and the other io/ files see libevent.
 */
#ifndef PAYLINK_IO_LOOP_H
#define PAYLINK_IO_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct loop;
struct loop_timer;

typedef void (*loop_fn)(void *ctx);
typedef void (*loop_io_fn)(void *ctx, int fd, bool readable, bool writable);

struct loop *loop_new(void);
void loop_free(struct loop *loop);
struct event_base *loop_base(struct loop *loop); /* borrowed, for io/ only */

/* Runs until loop_stop(). SIGTERM and SIGINT call `on_stop` (once; a second one exits at once). */
void loop_run(struct loop *loop, loop_fn on_stop, void *ctx);
void loop_stop(struct loop *loop);

/* One shot; arming again moves it. The timer is inert until armed. */
struct loop_timer *loop_timer_new(struct loop *loop, loop_fn fn, void *ctx);
void loop_timer_arm(struct loop_timer *timer, int64_t delay_ms);
void loop_timer_disarm(struct loop_timer *timer);
void loop_timer_free(struct loop_timer *timer);

/* Watches a borrowed descriptor until loop_watch_free(). */
struct loop_watch;
struct loop_watch *loop_watch_new(struct loop *loop, int fd, bool read, bool write, loop_io_fn fn,
                                  void *ctx);
void loop_watch_free(struct loop_watch *watch);

#endif
