/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * How much faster the sender's clock is than that of who takes the frames: the time on the packets against the frames that
 * were played meanwhile, as a line through the means of quarters of a second.
 *
 * Below 30 ms libroc's tuning corrects a drift only by what its queue is away from the target: a sample for each part per
 * million, 12.5 ms for 600. A queue of 10 ms has not got them: it runs empty, or so full that libroc begins anew, which
 * forgets what it had learnt; and so on for ever. A decoder that is told the drift from the start has next to nothing
 * left to correct.
 *
 * A device moves whole quanta. Where they are as long as a tick, or some of them are, drift does not show for a long time,
 * and then as a step. So the line is not believed before it is longer than one step could make it, nor if it would not rise
 * without its steepest part: of several steps one is left out, and the others still go its way. Nor is what may be chance,
 * by how far the points are from the line.
 *
 * Life cycle: drift_init → drift_packet, drift_played, drift_tick …   Threads: one (media thread).
 */
constexpr size_t DRIFT_POINTS_MAX = 240; /* a minute of them */

struct drift {
    uint32_t frame_rate_hz, wire_rate_hz;
    int64_t packet_ns;
    // Private state
    int64_t known_ppm; /* which the decoder corrects already */
    bool has_packets, begun;
    uint32_t timestamp;      /* the newest on a packet */
    int64_t samples, frames; /* of packets, and played, since the window began */
    size_t n_now, n_step;    /* frames: since the last tick; the least in a tick of this window, 0: none yet */
    int64_t last_packet_ns, point_ns;
    double sum; /* of the point that is under way: seconds by which packets are ahead of what was played */
    size_t n_sum, n;
    float points[DRIFT_POINTS_MAX]; /* such means, a quarter of a second apart */
};

void drift_init(struct drift *drift, uint32_t frame_rate_hz, uint32_t wire_rate_hz, int64_t packet_ns);
/* From here on anew: another sender, or time that was not played. What the decoder corrects stays. */
void drift_restart(struct drift *drift);
/* The decoder in use corrects this much. */
void drift_corrected(struct drift *drift, int64_t ppm);
void drift_packet(struct drift *drift, uint32_t timestamp, int64_t now_ns);
void drift_played(struct drift *drift, size_t n_frames);
/* Once a tick, after its packets. True: the decoder should correct *ret_ppm instead; then all begins anew. */
bool drift_tick(struct drift *drift, int64_t now_ns, int64_t *ret_ppm);
