/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/clock.h"
#include "transport/path.h"

/*
 * Two machines and the way between them, on virtual time: each has a clock of its own, which is ahead of the true one and
 * goes faster or slower; what is sent arrives when it is due, stamped by the clock of the machine it comes to.
 *
 * Life cycle: far_machine_init, far_path_open → … → both ends closed by their engines. Threads: one.
 */
struct far_machine {
    struct clock clock; /* first member */
    const struct clock *truth;
    double ppm;
    int64_t ahead_ns, wall_ahead_ns;
};

void far_machine_init(struct far_machine *machine, const struct clock *truth, double ppm, int64_t ahead_ns);
/* The true time of a time of the machine's. */
int64_t far_machine_true_ns(const struct far_machine *machine, int64_t ns);

/* What becomes of packets on the way. */
struct far_way {
    int64_t delay_ns, jitter_ns; /* the jitter is even, from 0 to this */
    double loss;                 /* 0 … 1, of all packets */
    bool blackout;
    bool no_pings; /* as between peers of before */
    uint64_t random;
    uint64_t n_pings, n_lost;
};

/* The ways may be changed while packets are on them; borrowed. */
void far_path_open(struct far_machine *sender, struct far_machine *receiver, struct far_way *there,
                   struct far_way *back, struct path **ret_sender, struct path **ret_receiver);
