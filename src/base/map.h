/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Hash map from a short string to a pointer (open addressing, linear probing, tombstone-free deletion).
 * The hash is keyed per map, so that names chosen by a stranger cannot make it slow.
 *
 * Ownership: keys are copied; values are the caller's.
 * Life cycle: zero-initialise, map_finish(). Threads: one owner.
 */
struct map {
    struct map_slot *slots; // Private state
    size_t cap;
    size_t n;
    uint64_t seed;
};

struct map_slot {
    char *key; /* owned; nullptr = free */
    void *value;
};

void map_finish(struct map *map);
/* Replaces what was there. false: out of memory, and the map is as before. */
[[nodiscard]] bool map_put(struct map *map, const char *key, void *value);
void *map_get(const struct map *map, const char *key);
/* The value that was there, or nullptr. */
void *map_remove(struct map *map, const char *key);
