/*
 * Named places where a test may kill, stop or delay a process. They exist only in
 * builds with PAYLINK_FAILPOINTS (the sanitizer build that the tests run);
 * in a release build the macro is nothing.
 *
 * PAYLINK_FAILPOINT="settle.before_gateway=kill,settle.before_book=sleep:500"
 * Actions: kill (SIGKILL self), stop (SIGSTOP self), sleep:MS, exit:STATUS.
 * `name@N=action` acts on the N-th passage (default: the first; each acts once).
 */
#ifndef PAYLINK_BASE_FAILPOINT_H
#define PAYLINK_BASE_FAILPOINT_H

#ifdef PAYLINK_FAILPOINTS
void failpoint_pass(const char *name);
#define FAILPOINT(name) failpoint_pass(name)
#else
#define FAILPOINT(name) ((void)0)
#endif

#endif
