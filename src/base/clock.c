#include "base/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int64_t hf_clock_wall_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

uint64_t hf_clock_mono_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t hf_clock_mono_ms(void)
{
    return hf_clock_mono_ns() / 1000000u;
}

void hf_clock_sleep_us(uint64_t us)
{
    struct timespec ts = {.tv_sec = (time_t)(us / 1000000u),
                          .tv_nsec = (long)(us % 1000000u) * 1000};
    nanosleep(&ts, NULL);
}

/* The second of the last text on this thread is kept: a log writes many of one. */
static bool format_second(time_t sec, char out[24])
{
    static _Thread_local struct {
        time_t sec;
        char text[24];
    } last = {.text = ""};
    struct tm tm;
    if (last.text[0] == '\0' || last.sec != sec) {
        last.text[0] = '\0';
        if (gmtime_r(&sec, &tm) == NULL ||
            strftime(last.text, sizeof(last.text), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
            return false;
        last.sec = sec;
    }
    memcpy(out, last.text, sizeof(last.text));
    return true;
}

void hf_clock_format(int64_t wall_ms, char out[HF_TIME_TEXT])
{
    int64_t ms = wall_ms % 1000;
    if (ms < 0)
        ms += 1000;
    char day[24];
    if (!format_second((time_t)((wall_ms - ms) / 1000), day)) {
        snprintf(out, HF_TIME_TEXT, "out-of-range");
        return;
    }
    snprintf(out, HF_TIME_TEXT, "%s.%03dZ", day, (int)ms);
}
