/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/list.h"
#include "store/store.h"

/*
 * One request to a store on its way: queued, worked on, delivered. One allocation holds it and its strings.
 *
 * Ownership: whoever has it in a list; store_job_free() by whoever delivers it.
 * Threads: handed from the core to the worker and back, touched by one of them at a time.
 */
enum store_job_op { STORE_JOB_PUT, STORE_JOB_REMOVE, STORE_JOB_GET };

struct store_job {
    struct list_link link;
    enum store_job_op op;
    enum store_kind kind;
    const char *uid;
    int64_t generation; /* given by PUT, found by GET */
    const char *json;   /* given by PUT */
    size_t len;
    char *found; /* owned; by GET, nullptr: no such object */
    union {
        store_done_fn done; /* PUT, REMOVE; may be nullptr */
        store_read_fn read; /* GET */
    };
    void *arg;
    enum err result;
    struct err_info info; /* filled when result is not ERR_OK */
};

/* nullptr: out of memory. */
struct store_job *store_job_create(enum store_job_op op, enum store_kind kind, const char *uid, const char *json,
                                   size_t len);
void store_job_free(struct store_job *job);
/* Calls the callback. */
void store_job_call(struct store_job *job);
/* "endpoint": the word in the database and in messages */
const char *store_kind_name(enum store_kind kind);
