/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/published.h"
#include "media/tick.h"
#include "transport/ping.h"

/*
 * How long sound takes from its capture to the air, by no wall clock.
 *
 * The sending end knows when each frame was captured, and so the sound of each RTP timestamp, by its own monotonic clock; it
 * says so in its pings. The receiving end learns from the same pings how its own clock and that one differ (transport/ping.h).
 * Its decoder tells which timestamp it plays (codec_query), its node when that is heard. The difference is the latency.
 * Both ends send pings only over paths that carry them.
 *
 * Life cycle: zeros, init → … Threads: the media thread, but for latency_receive_read() and struct latency_median, which are
 * the core's.
 */

/* Of frames: when the last of them ended at the source, and how long ago that was when they could be encoded. */
struct captured {
    int64_t at_ns, source_ns;
};

struct latency_send {
    struct captured captured; /* of the frames that come next; the node's to set */
    // Private state
    uint32_t node_rate_hz, wire_rate_hz, packet_samples;
    int64_t n_frames, n_samples; /* given to the encoder; in packets that came out of it */
    /* When frame 0 was captured. Frames of a device are seen some time after they came, more or less, so the least of the
     * last one to two seconds counts. */
    int64_t zero_ns, zero_before_ns, zero_until_ns;
    bool known;
    int64_t packet_ns; /* the first sample of the last packet was captured then … */
    uint32_t rtp;      /* … and has this timestamp */
    struct ping_exchange pings;
};

void latency_send_init(struct latency_send *latency, const struct codec_settings *settings, uint32_t node_rate_hz);
/* n frames go to the encoder. */
void latency_send_frames(struct latency_send *latency, size_t n);
/* A source packet came out of it. */
void latency_send_packet(struct latency_send *latency, const uint8_t *packet, size_t len);
/* Knows from now on what another one knows of the same packets, which go over a path of its own, with pings of its own. */
void latency_send_follow(struct latency_send *latency, const struct latency_send *other);
/* Sends a ping when it is time. Uses the tick's first packet. */
void latency_send_ping(struct latency_send *latency, struct path *path, const struct tick *tick);
void latency_send_take_ping(struct latency_send *latency, const struct packet *packet, const struct tick *tick);

struct latency_receive {
    struct published known; /* for the core */
    // Private state
    struct ping_exchange pings;
};

/* Sends a ping when it is time, where the sending end has begun with it. */
void latency_receive_ping(struct latency_receive *latency, struct path *path, const struct tick *tick);
void latency_receive_take_ping(struct latency_receive *latency, const struct path *path, const struct packet *packet,
                               const struct tick *tick);

/* What pings have told lately. */
struct latency_known {
    int64_t captured_ns; /* by our clock: when the sound of `rtp` was captured */
    uint32_t rtp;
    int64_t source_ns;     /* of that the time in the source's device */
    int64_t network_ns;    /* one way, to us */
    int64_t round_trip_ns; /* the shortest lately */
    uint64_t n_jumps;      /* of the clocks against each other */
};
bool latency_receive_read(const struct latency_receive *latency, int64_t now_ns, struct latency_known *ret);

/* The sound of an RTP timestamp, and so much later: how long ago was it captured when it is heard at `heard_ns`? -1: absurd. */
int64_t latency_of(const struct latency_known *known, uint32_t rtp, int64_t after_rtp_ns, uint32_t wire_rate_hz,
                   int64_t heard_ns);

/* Single readings are off where a thread was held up in the middle: the one in the middle of the last few is not. */
constexpr size_t LATENCY_READINGS = 5;
struct latency_median {
    int64_t readings[LATENCY_READINGS];
    size_t n, next;
};
int64_t latency_median_add(struct latency_median *median, int64_t reading);
