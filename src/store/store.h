/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "base/log.h"

struct loop;

/*
 * The store vtable: what must survive. Objects are JSON texts by (kind, uid) with a generation. SQLite behind it for
 * real (store/sqlite.c: one writer on one worker thread, WAL, synchronous=FULL, group commit), memory in tests.
 *
 * Durable means: a callback with ERR_OK says that the change survives kill -9 and loss of power. Changes take effect in
 * the order of the calls. A failed change left nothing behind.
 *
 * Life cycle: open → load → … → flush → (objects that callbacks point to go away) → close.
 * Threads: core thread; callbacks on the core thread, never from inside the call (but for flush, and when there is no
 * memory to remember the call).
 */
enum store_kind { STORE_PEER, STORE_ENDPOINT, STORE_STREAM, STORE_N_KINDS };

struct store {
    const struct store_ops *ops;
};

/* info is nullptr on success */
typedef void (*store_done_fn)(void *arg, enum err result, const struct err_info *info);
/* json is nullptr: there is no such object; valid during the call only */
typedef void (*store_read_fn)(void *arg, enum err result, const char *json, size_t len, int64_t generation);
typedef void (*store_each_fn)(void *arg, enum store_kind kind, const char *uid, int64_t generation, const char *json,
                              size_t len);

struct store_ops {
    /* At start, before the loop runs: every object, by kind, oldest first. */
    enum err (*load)(struct store *store, store_each_fn each, void *arg, struct err_info *reterr);
    /* The strings are copied. */
    void (*put)(struct store *store, enum store_kind kind, const char *uid, int64_t generation, const char *json,
                size_t len, store_done_fn done, void *arg);
    void (*remove)(struct store *store, enum store_kind kind, const char *uid, store_done_fn done, void *arg);
    /* Reads back what is durable (after the changes before it). */
    void (*get)(struct store *store, enum store_kind kind, const char *uid, store_read_fn done, void *arg);
    /* Waits for what is under way and makes its callbacks before it returns. At the end, before their args go away. */
    void (*flush)(struct store *store);
    /* Makes durable what is under way, without calling back any more, and closes. */
    void (*close)(struct store *store); /* accepts nullptr */
};

/* Opens (makes) `state_dir`/rocd.db. ERR_BUSY: another rocd uses this directory; ERR_DENIED: not writable; ERR_STORAGE:
 * full; ERR_UNSUPPORTED: written by a newer rocd. The message says what to do. */
enum err store_sqlite_open(const char *state_dir, struct loop *loop, struct log log, struct store **ret,
                           struct err_info *reterr);

/* Memory, for tests: `store_memory_fail_next` makes the next change fail with that code. */
enum err store_memory_open(struct loop *loop, struct store **ret, struct err_info *reterr);
void store_memory_fail_next(struct store *store, enum err code);
