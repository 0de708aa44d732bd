/* SPDX-License-Identifier: MPL-2.0 */
#include "store/job.h"

#include <stdlib.h>
#include <string.h>

const char *store_kind_name(enum store_kind kind) {
    static const char *const NAMES[STORE_N_KINDS] = {
        [STORE_PEER] = "peer", [STORE_ENDPOINT] = "endpoint", [STORE_STREAM] = "stream"};
    return NAMES[kind];
}

struct store_job *store_job_create(enum store_job_op op, enum store_kind kind, const char *uid, const char *json,
                                   size_t len) {
    size_t uid_size = strlen(uid) + 1;
    size_t size;
    if (__builtin_add_overflow(sizeof(struct store_job) + uid_size + 1, len, &size))
        return nullptr;
    struct store_job *job = malloc(size);
    if (!job)
        return nullptr;
    char *strings = (char *)(job + 1);
    memcpy(strings, uid, uid_size);
    char *text = strings + uid_size;
    if (len)
        memcpy(text, json, len);
    text[len] = 0;
    *job = (struct store_job){.op = op, .kind = kind, .uid = strings, .json = text, .len = len};
    return job;
}

void store_job_free(struct store_job *job) {
    if (!job)
        return;
    free(job->found);
    free(job);
}

void store_job_call(struct store_job *job) {
    if (job->op == STORE_JOB_GET)
        job->read(job->arg, job->result, job->found, job->found ? job->len : 0, job->generation);
    else if (job->done)
        job->done(job->arg, job->result, job->result == ERR_OK ? nullptr : &job->info);
}
