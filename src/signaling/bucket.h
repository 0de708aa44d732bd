/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * A token bucket: `rate` things a second, `burst` at once. It is full when it is first used.
 *
 * Life cycle: zeroed. Threads: one owner.
 */
struct bucket {
    int64_t debt_ns; /* time until it is full again */
    int64_t at_ns;   /* when that was reckoned; 0: never */
};

static inline bool bucket_take(struct bucket *bucket, int64_t now_ns, int64_t rate, int64_t burst) {
    int64_t each_ns = 1'000'000'000 / rate;
    int64_t passed_ns = bucket->at_ns ? now_ns - bucket->at_ns : 0;
    bucket->debt_ns = bucket->debt_ns > passed_ns ? bucket->debt_ns - passed_ns : 0;
    bucket->at_ns = now_ns;
    if (bucket->debt_ns + each_ns > burst * each_ns)
        return false;
    bucket->debt_ns += each_ns;
    return true;
}
