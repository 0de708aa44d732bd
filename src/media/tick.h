/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdint.h>

#include "media/notice.h"
#include "transport/path.h"

struct audio_call;
struct clock;

/*
 * What a media thread hands to its nodes and links in each tick.
 */

/* Packets moved at once; the scratch space is the thread's, links have none of their own. */
constexpr size_t TICK_PACKETS = 64;

/* The last time a media thread of this engine came late, for the ledgers. Written by the threads, read by all of them;
 * two that are late at once tell the same story. */
struct stall_board {
    _Atomic int64_t end_ns, length_ns;
};

struct tick {
    int64_t now_ns;         /* on the thread's grid of ticks */
    int64_t length_ns;      /* of a tick */
    unsigned n_behind;      /* ticks that still have to be caught up after this one; normally 0 */
    struct packet *packets; /* scratch, TICK_PACKETS of them */
    struct notices *notices;
    const struct stall_board *stalls;
    const struct audio_call *wake; /* of the thread, for a device that stands still */
    const struct clock *clock;     /* what time it really is; nullptr: now_ns */
};

/* Counters with one writer, read by others. */
static inline void tick_count(_Atomic uint64_t *counter, uint64_t n) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}
