/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdint.h>

/*
 * Seeded numbers for the simulator: splitmix64 (Steele, Lea, Flood 2014). The same seed gives the same run.
 */
static inline uint64_t sim_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* 0 … max - 1; 0 for max ≤ 0 */
static inline int64_t sim_random_below(uint64_t *state, int64_t max) {
    return max > 0 ? (int64_t)(sim_random(state) % (uint64_t)max) : 0;
}

/* true in n of 1000 cases */
static inline bool sim_chance(uint64_t *state, int permille) {
    return sim_random_below(state, 1000) < permille;
}
