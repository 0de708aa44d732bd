/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "media/adapt.h"

/*
 * How evenly sound packets come: for each window of time the mean of how long they were on their way, a high quantile of
 * it, and the longest run of packets that were missing. The origin of "on their way" is unknown, as the clocks of both ends
 * are; it is the same for all packets of a session.
 *
 * Times are those of the ticks that take the packets, since that is when the decoder gets them. The quantile leaves out so
 * many of the latest packets as FEC makes up for anyhow.
 *
 * Life cycle: arrivals_init → arrivals_packet, arrivals_window …   Threads: one (media thread).
 */
constexpr size_t ARRIVALS_LATEST = 8;
constexpr int64_t ARRIVALS_WINDOW_NS = 500'000'000;

struct arrivals {
    uint32_t rate_hz; /* of the time on the packets */
    uint32_t one_of;  /* one packet of so many may be late */
    // Private state
    bool known;
    uint16_t seq;
    uint32_t timestamp;
    int64_t samples; /* the same without an end */
    int64_t begin_ns;
    int64_t first_ns, sum_ns; /* transit of the window's first packet; of all, less that */
    uint32_t n, n_burst;
    int64_t latest_ns[ARRIVALS_LATEST]; /* transits, the longest first */
};

void arrivals_init(struct arrivals *arrivals, uint32_t rate_hz, bool has_fec);
/* Another sender, or it has jumped. */
void arrivals_new_session(struct arrivals *arrivals);
void arrivals_packet(struct arrivals *arrivals, uint16_t seq, uint32_t timestamp, int64_t now_ns);
/* Once a tick; true: a window is over, and its figures are in *ret (packets, transit, burst, length; the rest is 0). */
bool arrivals_window(struct arrivals *arrivals, int64_t now_ns, struct adapt_window *ret);
