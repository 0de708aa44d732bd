/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Where time comes from. No module reads a clock of its own: a `struct clock` is handed down, so that sound,
 * signaling and orchestration run on virtual time as they do on real time.
 *
 * `monotonic_ns` is for everything that waits or measures; `wall_ns` (nanoseconds since 1970, UTC) only for show
 * and for signed validity.
 *
 * Threads: clock_system() any thread; a virtual clock belongs to whoever steps it.
 */
struct clock {
    int64_t (*monotonic_ns)(const struct clock *clock);
    int64_t (*wall_ns)(const struct clock *clock);
};

constexpr int64_t NS_PER_S = 1'000'000'000;
constexpr int64_t NS_PER_MS = 1'000'000;

const struct clock *clock_system(void);

static inline int64_t clock_now_ns(const struct clock *clock) {
    return clock->monotonic_ns(clock);
}

static inline int64_t clock_wall_ns(const struct clock *clock) {
    return clock->wall_ns(clock);
}

/* "2026-03-01T12:00:00.123Z" (RFC 3339, UTC, milliseconds). */
constexpr size_t CLOCK_TEXT_SIZE = 32;
void clock_format(char text[static CLOCK_TEXT_SIZE], int64_t wall_ns);

/* A clock that stands still until it is told otherwise: tests and simulation. */
struct clock_virtual {
    struct clock clock; /* first member: a clock_virtual is a clock */
    int64_t now_ns;     /* monotonic; wall = now + wall_offset_ns */
    int64_t wall_offset_ns;
};
void clock_virtual_init(struct clock_virtual *virtual_clock, int64_t now_ns, int64_t wall_offset_ns);
