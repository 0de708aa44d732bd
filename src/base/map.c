/* SPDX-License-Identifier: MPL-2.0 */
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"

/* FNV-1a, started from a secret seed and finished with a multiply-shift; the tables are small and bounded by
 * model/maxima.h, so the seed is what matters. */
static size_t hash(const struct map *map, const char *key) {
    uint64_t h = map->seed ^ 14695981039346656037ULL;
    for (; *key; key++)
        h = (h ^ (unsigned char)*key) * 1099511628211ULL;
    h ^= h >> 32;
    h *= 0x9E3779B97F4A7C15ULL;
    return (size_t)(h >> 16);
}

void map_finish(struct map *map) {
    if (!map)
        return;
    for (size_t i = 0; i < map->cap; i++)
        free(map->slots[i].key);
    free(map->slots);
    *map = (struct map){};
}

/* The slot of the key, or the free one where it would go. cap > n always holds. */
static struct map_slot *find(const struct map *map, const char *key) {
    size_t i = hash(map, key) & (map->cap - 1);
    while (map->slots[i].key && strcmp(map->slots[i].key, key) != 0)
        i = (i + 1) & (map->cap - 1);
    return &map->slots[i];
}

static bool grow(struct map *map) {
    struct map bigger = {.cap = map->cap ? map->cap * 2 : 16, .n = map->n, .seed = map->seed};
    if (!map->cap)
        crypto_random(&bigger.seed, sizeof bigger.seed);
    bigger.slots = calloc(bigger.cap, sizeof *bigger.slots);
    if (!bigger.slots)
        return false;
    for (size_t i = 0; i < map->cap; i++)
        if (map->slots[i].key)
            *find(&bigger, map->slots[i].key) = map->slots[i];
    free(map->slots);
    *map = bigger;
    return true;
}

bool map_put(struct map *map, const char *key, void *value) {
    if ((map->n + 1) * 4 > map->cap * 3 && !grow(map))
        return false;
    struct map_slot *slot = find(map, key);
    if (!slot->key) {
        slot->key = strdup(key);
        if (!slot->key)
            return false;
        map->n++;
    }
    slot->value = value;
    return true;
}

void *map_get(const struct map *map, const char *key) {
    return map->n ? find(map, key)->value : nullptr;
}

void *map_remove(struct map *map, const char *key) {
    if (!map->n)
        return nullptr;
    struct map_slot *slot = find(map, key);
    if (!slot->key)
        return nullptr;
    void *value = slot->value;
    free(slot->key);
    *slot = (struct map_slot){};
    map->n--;
    /* close the gap: what probed past it moves up */
    size_t hole = (size_t)(slot - map->slots);
    for (size_t i = (hole + 1) & (map->cap - 1); map->slots[i].key; i = (i + 1) & (map->cap - 1)) {
        size_t home = hash(map, map->slots[i].key) & (map->cap - 1);
        if (((i - home) & (map->cap - 1)) >= ((i - hole) & (map->cap - 1))) {
            map->slots[hole] = map->slots[i];
            map->slots[i] = (struct map_slot){};
            hole = i;
        }
    }
    return value;
}
