/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/loop.h"

/*
 * The loop on virtual time, for tests and the simulator: nothing sleeps, work runs on the calling thread, and the
 * same calls give the same order every time.
 *
 * Life cycle: init → loop_sim_run_until() / loop_sim_settle() → finish.
 * Threads: one.
 */
struct loop_sim_job {
    loop_fn fn;
    void *arg;
};

struct loop_sim {
    struct loop loop; /* first member: a loop_sim is a loop */
    struct clock_virtual clock;
    struct loop_sim_job *jobs; // Private state: FIFO ring
    int head, n_jobs, cap_jobs;
};

void loop_sim_init(struct loop_sim *sim);
void loop_sim_finish(struct loop_sim *sim);
/* Runs posted jobs and what they post, without moving time. */
void loop_sim_settle(struct loop_sim *sim);
/* Moves time from timer to timer up to `until_ns`, settling in between. */
void loop_sim_run_until(struct loop_sim *sim, int64_t until_ns);
