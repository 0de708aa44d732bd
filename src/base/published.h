/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A few numbers that belong together, written by one thread and read by others, of which nobody waits: a sequence lock. Who
 * reads while they are written gets none, and may ask again.
 *
 * Life cycle: zeros; nothing has been published then. Threads: published_begin() and published_end() the one writer;
 * published_read() any.
 */
constexpr size_t PUBLISHED_MAX = 8;

struct published {
    _Atomic uint32_t turn; /* odd while it is written */
    _Atomic int64_t values[PUBLISHED_MAX];
};

/* From here on until published_end() nothing can be read. */
static inline void published_begin(struct published *published) {
    uint32_t turn = atomic_load_explicit(&published->turn, memory_order_relaxed);
    atomic_store_explicit(&published->turn, turn + 1, memory_order_relaxed);
}

static inline void published_end(struct published *published, const int64_t *values, size_t n) {
    for (size_t i = 0; i < n && i < PUBLISHED_MAX; i++)
        atomic_store_explicit(&published->values[i], values[i], memory_order_release);
    uint32_t turn = atomic_load_explicit(&published->turn, memory_order_relaxed);
    atomic_store_explicit(&published->turn, turn + 1, memory_order_release);
}

static inline void published_write(struct published *published, const int64_t *values, size_t n) {
    published_begin(published);
    published_end(published, values, n);
}

/* Which edition these are, for published_is(); 0: there are none, or they are being written. */
static inline uint32_t published_read(const struct published *published, int64_t *ret_values, size_t n) {
    uint32_t turn = atomic_load_explicit(&published->turn, memory_order_acquire);
    if (turn % 2 != 0)
        return 0;
    for (size_t i = 0; i < n && i < PUBLISHED_MAX; i++)
        ret_values[i] = atomic_load_explicit(&published->values[i], memory_order_acquire);
    return atomic_load_explicit(&published->turn, memory_order_acquire) == turn ? turn : 0;
}

/* Is this still the newest edition? */
static inline bool published_is(const struct published *published, uint32_t turn) {
    return atomic_load_explicit(&published->turn, memory_order_acquire) == turn;
}
