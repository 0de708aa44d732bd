/* SPDX-License-Identifier: MPL-2.0 */
#include "orchestrator/registry/tombstones.h"

#include <stdio.h>
#include <stdlib.h>

#include "model/maxima.h"

struct tombstone {
    struct list_link link;
    char uid[UID_SIZE];
    int64_t removed_ms;
};

static void drop(struct tombstones *tombstones, struct tombstone *tombstone) {
    map_remove(&tombstones->by_uid, tombstone->uid);
    list_remove(&tombstone->link);
    tombstones->n--;
    free(tombstone);
}

/* From the store, too. Where there is no memory for the write, a later purge does it. */
static void purge_one(struct tombstones *tombstones, struct tombstone *tombstone) {
    struct write *write = write_create(tombstones->writes, STORE_STREAM, tombstone->uid, nullptr, nullptr);
    if (!write)
        return;
    drop(tombstones, tombstone);
    write_remove(write);
}

static void on_purge(void *arg) {
    struct tombstones *tombstones = arg;
    int64_t oldest_ms = (clock_wall_ns(tombstones->loop->clock) - TOMBSTONES_KEPT_NS) / NS_PER_MS;
    struct tombstone *tombstone;
    list_for_each_safe(tombstone, &tombstones->all, link) {
        if (tombstone->removed_ms < oldest_ms)
            purge_one(tombstones, tombstone);
    }
    loop_timer_start(tombstones->loop, &tombstones->purge, TOMBSTONES_PURGE_NS);
}

void tombstones_init(struct tombstones *tombstones, struct loop *loop, struct writes *writes) {
    *tombstones = (struct tombstones){.loop = loop, .writes = writes};
    list_init(&tombstones->all);
    tombstones->purge = (struct loop_timer){.fire = on_purge, .arg = tombstones};
}

void tombstones_finish(struct tombstones *tombstones) {
    if (!tombstones->loop)
        return;
    loop_timer_stop(tombstones->loop, &tombstones->purge);
    while (!list_empty(&tombstones->all))
        drop(tombstones, list_first(&tombstones->all, struct tombstone, link));
    map_finish(&tombstones->by_uid);
}

void tombstones_start(struct tombstones *tombstones) {
    on_purge(tombstones);
}

bool tombstones_add(struct tombstones *tombstones, const char *uid, int64_t removed_ms) {
    struct tombstone *tombstone = map_get(&tombstones->by_uid, uid);
    if (tombstone) {
        tombstone->removed_ms = removed_ms;
        return true;
    }
    if (tombstones->n >= LIMIT_TOMBSTONES)
        purge_one(tombstones, list_first(&tombstones->all, struct tombstone, link));
    tombstone = calloc(1, sizeof *tombstone);
    if (!tombstone)
        return false;
    snprintf(tombstone->uid, sizeof tombstone->uid, "%s", uid);
    tombstone->removed_ms = removed_ms;
    if (!map_put(&tombstones->by_uid, uid, tombstone)) {
        free(tombstone);
        return false;
    }
    list_append(&tombstones->all, &tombstone->link);
    tombstones->n++;
    return true;
}

void tombstones_forget(struct tombstones *tombstones, const char *uid) {
    struct tombstone *tombstone = map_get(&tombstones->by_uid, uid);
    if (tombstone)
        drop(tombstones, tombstone);
}

bool tombstones_has(const struct tombstones *tombstones, const char *uid) {
    return map_get(&tombstones->by_uid, uid);
}
