/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/loop.h"
#include "store/store.h"

/*
 * A disk and the store on it, for instances that may crash at any moment. A change takes a while to become durable; what
 * was not durable when the instance crashed is lost, and what was durable but not yet answered is kept, as on a real disk.
 *
 * Life cycle: the disk outlives its instance: sim_disk_init → [sim_store_open → close or sim_store_crash]… →
 * sim_disk_finish. Threads: one.
 */
constexpr size_t SIM_DISK_OBJECTS = 256;

struct sim_object {
    enum store_kind kind;
    char uid[32]; /* "": free */
    int64_t generation;
    uint64_t order; /* of creation */
    char *json;     /* owned */
    size_t len;
};

struct sim_disk {
    struct sim_object objects[SIM_DISK_OBJECTS];
    uint64_t next_order;
    int64_t slow_ns; /* the longest a commit takes */
    uint64_t random; /* state */
    uint64_t n_commits;
};

void sim_disk_init(struct sim_disk *disk, uint64_t seed);
void sim_disk_finish(struct sim_disk *disk);
const struct sim_object *sim_disk_find(const struct sim_disk *disk, enum store_kind kind, const char *uid);

/* One store at a time on a disk. */
struct store *sim_store_open(struct sim_disk *disk, struct loop *loop);
/* The first half of a crash: what is under way is lost, and whoever waits is told, while he is still there. */
void sim_store_fail_all(struct store *store);
/* The second: without flushing, and without a callback. */
void sim_store_crash(struct store *store);
