/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/err.h"
#include "base/id.h"
#include "base/list.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/map.h"
#include "orchestrator/orchestrator.h"
#include "store/store.h"

/*
 * Writes on their way to the store. Memory has changed already when a write begins; what is here makes sure that the
 * writer is told when it is durable, and that memory follows the store where it is not: once the last write of an object
 * has ended and it failed, the object is read back and handed to `read_back`, and only then do the failed writers hear.
 *
 * Life cycle: writes_init → write_create, write_put/write_remove … → writes_finish (nothing may be pending).
 * Threads: core.
 */

/* What the store holds of the object now; json is nullptr: nothing. */
typedef void (*writes_read_back_fn)(void *arg, enum store_kind kind, const char *uid, const char *json, size_t len,
                                    int64_t generation);

struct writes {
    struct log log;
    struct store *store;
    struct loop *loop;
    writes_read_back_fn read_back;
    void *arg;
    struct map tracks; // by "kind/uid": struct write_track, owned
    struct list all;   // struct write_track::link
    size_t n_pending;  /* writes and reads the store has not answered */
    enum err failing;  /* of the last write; ERR_OK: the store works */
    struct err_info failure;
    struct loop_timer retry; /* of reads that failed too */
};

struct write;

void writes_init(struct writes *writes, struct log log, struct loop *loop, struct store *store,
                 writes_read_back_fn read_back, void *arg);
void writes_finish(struct writes *writes);

/* Allocates all that a write needs, before memory is changed. nullptr: out of memory. */
struct write *write_create(struct writes *writes, enum store_kind kind, const char *uid, orchestrator_done_fn done,
                           void *arg);
/* For one that was not begun. Accepts nullptr. */
void write_cancel(struct write *write);
/* Begin, and own the write. */
void write_put(struct write *write, int64_t generation, const char *json, size_t len);
void write_remove(struct write *write);
