/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * How far another machine's monotonic clock is ahead of ours, from many measurements of which each is wrong by up to half of
 * its round trip.
 *
 * Of every two seconds the measurement with the shortest round trip is kept, for a minute: what was held up nowhere is
 * wrong by no more than the two ways differ. Through these goes a straight line, as two clocks never run at quite the same
 * rate; each weighs as much as its round trip is short. A line through few points is kept near level: crystals are within some
 * hundred ppm of each other.
 *
 * A clock that jumps (a machine was suspended: its monotonic clock stood still) is told by measurements that no round trip
 * explains. Three of them in a row begin everything anew.
 *
 * Pure: no clock of its own. Threads: one owner.
 */
constexpr size_t CLOCK_OFFSET_POINTS = 32;

struct clock_offset_point {
    int64_t at_ns, offset_ns, round_trip_ns;
};

struct clock_offset {
    uint64_t n_jumps;
    // Private state
    struct clock_offset_point points[CLOCK_OFFSET_POINTS];
    size_t n, newest;
    int64_t begin_ns;         /* of the newest point's two seconds */
    int64_t last_ns;          /* of the newest measurement */
    int64_t at_ns, offset_ns; /* a place on the line … */
    double ns_per_ns;         /* … and its slope */
    unsigned n_odd;
};

void clock_offset_add(struct clock_offset *offset, int64_t at_ns, int64_t offset_ns, int64_t round_trip_ns);
/* There are measurements, and not too old ones. */
bool clock_offset_is_known(const struct clock_offset *offset, int64_t now_ns);
/* Theirs less ours, at a time of ours. */
int64_t clock_offset_at(const struct clock_offset *offset, int64_t at_ns);
/* The shortest round trip of the last minute. */
int64_t clock_offset_round_trip_ns(const struct clock_offset *offset);
