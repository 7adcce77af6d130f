/* Owns the time of this machine; knows nothing of Redis' time, which alone judges links. */
#include "clock.h"

#include <stdio.h>
#include <time.h>

/* Years 0000 to 9999, so that the text always has the same length. */
#define WALL_MS_MIN INT64_C(-62167219200000)
#define WALL_MS_MAX INT64_C(253402300799999)

static int64_t read_ms(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_wall_ms(void)
{
    return read_ms(CLOCK_REALTIME);
}

int64_t clock_monotonic_ms(void)
{
    return read_ms(CLOCK_MONOTONIC);
}

void clock_iso(int64_t wall_ms, char out[CLOCK_ISO_SIZE])
{
    struct tm tm = {0};
    time_t seconds;
    size_t len;
    int ms;

    if (wall_ms < WALL_MS_MIN) {
        wall_ms = WALL_MS_MIN;
    } else if (wall_ms > WALL_MS_MAX) {
        wall_ms = WALL_MS_MAX;
    }
    ms = (int)(wall_ms % 1000);
    if (ms < 0) {
        ms += 1000;
    }
    seconds = (time_t)((wall_ms - ms) / 1000);
    gmtime_r(&seconds, &tm);
    len = (size_t)snprintf(out, CLOCK_ISO_SIZE, "%04u", ((unsigned)tm.tm_year + 1900) % 10000);
    len += strftime(out + len, CLOCK_ISO_SIZE - len, "-%m-%dT%H:%M:%S", &tm);
    snprintf(out + len, CLOCK_ISO_SIZE - len, ".%03uZ", (unsigned)ms % 1000);
}
