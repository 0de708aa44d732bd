/* SPDX-License-Identifier: MPL-2.0 */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

#include "base/list.h"

static int64_t read_clock(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

static int64_t system_monotonic(const struct clock *) {
    return read_clock(CLOCK_MONOTONIC);
}

static int64_t system_wall(const struct clock *) {
    return read_clock(CLOCK_REALTIME);
}

const struct clock *clock_system(void) {
    static const struct clock SYSTEM = {.monotonic_ns = system_monotonic, .wall_ns = system_wall};
    return &SYSTEM;
}

static int64_t virtual_monotonic(const struct clock *clock) {
    return ((const struct clock_virtual *)clock)->now_ns;
}

static int64_t virtual_wall(const struct clock *clock) {
    const struct clock_virtual *v = (const struct clock_virtual *)clock;
    return v->now_ns + v->wall_offset_ns;
}

void clock_virtual_init(struct clock_virtual *virtual_clock, int64_t now_ns, int64_t wall_offset_ns) {
    *virtual_clock = (struct clock_virtual){
        .clock = {.monotonic_ns = virtual_monotonic, .wall_ns = virtual_wall},
        .now_ns = now_ns,
        .wall_offset_ns = wall_offset_ns,
    };
}

void clock_format(char text[static CLOCK_TEXT_SIZE], int64_t wall_ns) {
    time_t s = (time_t)(wall_ns / NS_PER_S);
    struct tm tm;
    gmtime_r(&s, &tm);
    snprintf(text, CLOCK_TEXT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
             tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(wall_ns / NS_PER_MS % 1000));
}
