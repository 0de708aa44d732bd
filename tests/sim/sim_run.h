/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdint.h>

/*
 * One simulated run: a site of peers, commanders that make, change and remove streams through any of them, and faults of
 * all kinds meanwhile; then quiet, and then everything must be as it should be. docs/internals/simulator.md tells what is
 * thrown at the peers and what is checked.
 */
struct sim_settings {
    int n_peers;
    uint64_t seed;
    bool is_traced;
    const char *broken; /* name of a way to break the reconciler, nullptr: none; see sim_broken_names() */
};

struct sim_result {
    bool is_violated;
    char violation[512]; /* what did not hold */
    uint64_t steps, faults, writes, acknowledged, refused, unanswered, streams_wanted;
};

void sim_run(const struct sim_settings *settings, struct sim_result *ret);
/* Ended by nullptr. */
const char *const *sim_broken_names(void);
