/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Bounded ring between one producer thread and one consumer thread: items of one size, no lock, no allocation after
 * init, no system call. It carries audio frames (item = one frame) between a device callback and a media thread, and
 * commands and notices between the core and media threads.
 *
 * Life cycle: ring_init() / ring_finish() while neither side runs.
 * Threads: ring_write*() the producer only, ring_read*() the consumer only; ring_readable/writable from either side
 * tell at least what the caller itself may rely on.
 */
struct ring {
    char *items; /* owned */
    size_t item_size;
    size_t capacity;                      /* items, a power of two */
    alignas(64) _Atomic size_t write_pos; /* only ever grows; wraps by masking */
    alignas(64) _Atomic size_t read_pos;
};

/* Room for at least `capacity` items. false: out of memory. */
[[nodiscard]] bool ring_init(struct ring *ring, size_t item_size, size_t capacity);
void ring_finish(struct ring *ring);

size_t ring_readable(const struct ring *ring);
size_t ring_writable(const struct ring *ring);
/* Copies as many of n items as fit (or are there) and tells how many. */
size_t ring_write(struct ring *ring, const void *items, size_t n);
size_t ring_read(struct ring *ring, void *items, size_t n);
/* Consumer: drops up to n items. */
size_t ring_skip(struct ring *ring, size_t n);
