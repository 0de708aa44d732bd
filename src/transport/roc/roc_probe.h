/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/published.h"
#include "transport/codec.h"

/*
 * Where a decoder is in the sound, which libroc does not tell. What it tells is an end-to-end latency: its wall clock less the
 * time of capture of what it gives out, which it takes from the sender reports (RFC 3550, 6.4.1) it has seen. So it gets
 * sender reports of ours, which say of an RTP timestamp a time that we have chosen, and the latency says which timestamp is
 * being played, to a fraction of a sample, whatever any clock in the world shows.
 *
 * What the sender really reports goes no further than here: it is remembered for the latency by the wall clocks of both, which
 * is all that is to be had of senders that know no pings. In the reports that go back to the sender our times are replaced by
 * those that it would have been told.
 *
 * The wall clock of this machine may be set: only its value while frames are popped counts, and a time in the reports that it
 * has moved too far away from is chosen anew.
 *
 * libroc ends the session of a sender that it has reports of, ours, when none has come for five seconds by the wall clock. That
 * may be set forward by an hour between two packets, so its age is looked at before each frame.
 *
 * Life cycle: roc_probe_init() → … Threads: the media thread, but for roc_probe_begin_read() and roc_probe_end_read().
 */
struct roc_probe {
    uint32_t rate_hz;    /* of the wire */
    uint32_t frame_rate; /* of the frames */
    int64_t resampler_ns;
    bool is_set;
    uint32_t ssrc;
    uint32_t rtp;      /* of the newest report of ours */
    int64_t wall_ns;   /* … and the time that it says */
    int64_t told_ns;   /* the wall clock when libroc got it */
    size_t n_unsure;   /* frames to be popped until all that is played has a time by the newest choice */
    bool has_peer;     /* the sender has reported */
    int64_t ahead_ns;  /* what it says of a timestamp, less what we say of it */
    uint32_t peer_lsr; /* as the sender wants to have it back (RFC 3550, 6.4.1) */
    int64_t peer_wall_ns;
    struct published popped;
};

void roc_probe_init(struct roc_probe *probe, const struct codec_settings *settings, uint32_t frame_rate_hz);

constexpr size_t ROC_PROBE_REPORT_SIZE = 44;
/* A source packet goes to libroc: a report to be sent after it, or 0. `wall_ns` is the wall clock now. */
size_t roc_probe_report(struct roc_probe *probe, const uint8_t *packet, size_t len, int64_t wall_ns,
                        uint8_t ret_report[static ROC_PROBE_REPORT_SIZE]);
/* Frames are about to be popped: the last report once more, if it has become old by the wall clock, or 0. */
size_t roc_probe_repeat(struct roc_probe *probe, int64_t wall_ns, uint8_t ret_report[static ROC_PROBE_REPORT_SIZE]);
/* RTCP of the sender, which has passed the gate. */
void roc_probe_take_control(struct roc_probe *probe, const uint8_t *packet, size_t len, int64_t wall_ns);
/* RTCP of libroc, on its way to the sender. */
void roc_probe_mend_feedback(struct roc_probe *probe, uint8_t *packet, size_t len, int64_t wall_ns);

/* Around popping n frames. `now_ns` is handed back with them. */
void roc_probe_before_pop(struct roc_probe *probe);
void roc_probe_after_pop(struct roc_probe *probe, size_t n, int64_t now_ns, int64_t wall_ns);

/* Any thread: before and after libroc is asked for the latency. false: it has popped meanwhile; ask again. */
struct roc_probe_reading {
    uint32_t turn;
    int64_t values[PUBLISHED_MAX];
};
bool roc_probe_begin_read(const struct roc_probe *probe, struct roc_probe_reading *reading);
bool roc_probe_end_read(const struct roc_probe *probe, const struct roc_probe_reading *reading, int64_t latency_ns,
                        struct codec_query *ret);
