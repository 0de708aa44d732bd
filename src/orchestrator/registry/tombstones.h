/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/list.h"
#include "base/loop.h"
#include "base/map.h"
#include "orchestrator/registry/writes.h"

/*
 * The uids of streams that were removed in the last 24 hours, so that a request to make one that was sent before the
 * removal and comes after it does not bring it back. They are stored in the place of the stream they are of.
 *
 * Life cycle: tombstones_init → tombstones_add (also of what the store holds) → tombstones_start → … → tombstones_finish.
 * Threads: core.
 */
constexpr int64_t TOMBSTONES_KEPT_NS = 24 * 3600 * NS_PER_S;
constexpr int64_t TOMBSTONES_PURGE_NS = 3600 * NS_PER_S;

struct tombstones {
    struct loop *loop;
    struct writes *writes;
    struct map by_uid; // struct tombstone, owned
    struct list all;   // struct tombstone::link, in the order of adding
    size_t n;
    struct loop_timer purge;
};

void tombstones_init(struct tombstones *tombstones, struct loop *loop, struct writes *writes);
void tombstones_finish(struct tombstones *tombstones);
/* Removes what is too old, from the store too, now and every hour. Their age is that of the wall clock; one of the future
 * (the clock was wrong) counts as new until the clock has passed it by 24 hours. */
void tombstones_start(struct tombstones *tombstones);
/* false: out of memory. */
bool tombstones_add(struct tombstones *tombstones, const char *uid, int64_t removed_ms);
void tombstones_forget(struct tombstones *tombstones, const char *uid);
bool tombstones_has(const struct tombstones *tombstones, const char *uid);
