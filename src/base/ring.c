/* SPDX-License-Identifier: MPL-2.0 */
#include "base/ring.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

bool ring_init(struct ring *ring, size_t item_size, size_t capacity) {
    size_t cap = 1;
    while (cap < capacity)
        cap *= 2;
    *ring = (struct ring){.item_size = item_size, .capacity = cap};
    ring->items = calloc(cap, item_size);
    return ring->items != nullptr;
}

void ring_finish(struct ring *ring) {
    if (!ring)
        return;
    free(ring->items);
    ring->items = nullptr;
}

size_t ring_readable(const struct ring *ring) {
    return atomic_load_explicit(&ring->write_pos, memory_order_acquire) -
           atomic_load_explicit(&ring->read_pos, memory_order_acquire);
}

size_t ring_writable(const struct ring *ring) {
    return ring->capacity - ring_readable(ring);
}

static size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Up to the wrap, then the rest from the start. */
static char *slot(const struct ring *ring, size_t pos, size_t n, size_t *ret_first) {
    size_t at = pos & (ring->capacity - 1);
    *ret_first = min_size(n, ring->capacity - at);
    return ring->items + at * ring->item_size;
}

size_t ring_write(struct ring *ring, const void *items, size_t n) {
    size_t pos = atomic_load_explicit(&ring->write_pos, memory_order_relaxed);
    n = min_size(n, ring_writable(ring));
    size_t first;
    char *to = slot(ring, pos, n, &first);
    memcpy(to, items, first * ring->item_size);
    memcpy(ring->items, (const char *)items + first * ring->item_size, (n - first) * ring->item_size);
    atomic_store_explicit(&ring->write_pos, pos + n, memory_order_release);
    return n;
}

size_t ring_read(struct ring *ring, void *items, size_t n) {
    size_t pos = atomic_load_explicit(&ring->read_pos, memory_order_relaxed);
    n = min_size(n, ring_readable(ring));
    size_t first;
    const char *from = slot(ring, pos, n, &first);
    memcpy(items, from, first * ring->item_size);
    memcpy((char *)items + first * ring->item_size, ring->items, (n - first) * ring->item_size);
    atomic_store_explicit(&ring->read_pos, pos + n, memory_order_release);
    return n;
}

size_t ring_skip(struct ring *ring, size_t n) {
    size_t pos = atomic_load_explicit(&ring->read_pos, memory_order_relaxed);
    n = min_size(n, ring_readable(ring));
    atomic_store_explicit(&ring->read_pos, pos + n, memory_order_release);
    return n;
}
