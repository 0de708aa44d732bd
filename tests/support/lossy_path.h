/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/clock.h"
#include "transport/path.h"

/*
 * A receiving end of a path with a bad network in front of it, on a clock of the test's, seeded: the same seed loses the
 * same packets. Each interface draws from a generator of its own, because the number of RTCP packets depends on the wall
 * clock and must not shift the losses of the sound.
 *
 * Life cycle: lossy_path_open_take → … → closed by the engine; the knobs may be turned until then.
 * Threads: one (stepped tests).
 */
struct lossy_path {
    struct path path;   /* first member */
    struct path *inner; /* owned */
    const struct clock *clock;
    double loss; /* 0 … 1 */
    int64_t delay_ns, jitter_ns;
    bool blackout;                    /* everything is lost */
    uint32_t time_shift;              /* added to the RTP timestamps of source packets: the sender's clock has jumped */
    uint16_t seq_shift;               /* and to their sequence numbers */
    bool in_order;                    /* later packets wait for those before them, as on most real networks */
    int64_t held_until_ns;            /* until then nothing comes; then all at once */
    uint64_t rng[MEDIA_N_IFACES + 1]; /* and of the pings */
    uint64_t n_lost;                  /* source packets */
    struct lossy_packet *queue;       /* owned */
    size_t n_queued;
    uint64_t next_seq;
    int64_t last_due_ns;
};

struct lossy_path *lossy_path_open_take(struct path *inner, const struct clock *clock, double loss, uint64_t seed);
