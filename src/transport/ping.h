/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "transport/clock_offset.h"

/*
 * Pings between the two ends of a link: what time it is over there, how long the way is, and when the sound was captured.
 *
 * Both ends send them, now and then. Each tells the time of its own monotonic clock and gives back the time of the last one
 * that it had, with how long it has had it, so the other end knows four times: when its own was sent (t1) and came (t2), when
 * the answer was sent (t3) and came (t4), t1 and t4 by its own clock. The round trip is (t4 − t1) − (t3 − t2), and the other
 * clock is ((t2 − t1) + (t3 − t4)) / 2 ahead if the way there is as long as the way back (as RFC 5905, 8). Nobody's wall clock
 * has a part in it.
 *
 * The payload of a sealed datagram of kind ping, big endian:
 *   format (1)      1. Anything else, or another length, is passed over: a later one would have another
 *   flags (1)       1: there is an echo, 2: there is a capture. What there is not is zeros
 *   sent (8)        the sender's monotonic clock, ns, when this was sent; below 2^61, as all times here
 *   echo (8)        `sent` of the newest ping that the sender has had from the other end
 *   held (4)        … and how long ago it came, ns
 *   captured (8)    by that clock: when the sound of `rtp` was captured. The sending end of the sound only
 *   rtp (4)         an RTP timestamp of the sound
 *   source (4)      ns between the capture of a frame and the moment in which it could be encoded
 * Peers of before do not answer: they throw away what is in a ping.
 *
 * Threads: one owner.
 */
constexpr size_t PING_SIZE = 38;
constexpr int64_t PING_TIME_MAX_NS = (int64_t)1 << 61;

struct ping {
    int64_t sent_ns;
    bool has_echo, has_capture;
    int64_t echo_ns;
    uint32_t held_ns;
    int64_t captured_ns;
    uint32_t rtp, source_ns;
};

/* Times outside the range are not told. */
void ping_write(const struct ping *ping, uint8_t ret_payload[static PING_SIZE]);
/* false: it is none. */
bool ping_read(const uint8_t *payload, size_t len, struct ping *ret);

/* ---- the exchange: one end of it ---- */

struct ping_exchange {
    struct clock_offset clock; /* the other end's */
    int64_t one_way_ns;        /* from there to here, smoothed; 0 until the clock is known */
    // Private state
    bool has_other;
    int64_t other_sent_ns, other_came_ns; /* the newest of the other end */
    int64_t next_ns;
    unsigned n_sent, n_unanswered;
};

/* Has the other end sent any? */
bool ping_exchange_has_other(const struct ping_exchange *exchange);
/* Time for another? Often at first, until the clocks are known; then four a second; one in five seconds where nobody answers. */
bool ping_exchange_is_due(const struct ping_exchange *exchange, int64_t now_ns);
/* What is to be sent now; the caller adds the capture. */
struct ping ping_exchange_next(struct ping_exchange *exchange, int64_t now_ns);
/* One of the other end, and when it came. */
void ping_exchange_take(struct ping_exchange *exchange, const struct ping *ping, int64_t came_ns);
