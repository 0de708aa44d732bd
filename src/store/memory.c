/* SPDX-License-Identifier: MPL-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/delivery.h"
#include "store/job.h"

/*
 * The store in memory: changes take effect at once and are "durable" as long as the store is open. Callbacks come
 * through the loop as with the real one. Enough for tests, so lists are searched one by one.
 */
struct object {
    struct list_link link;
    enum store_kind kind;
    char *uid; /* owned, as is json */
    int64_t generation;
    char *json;
    size_t len;
};

struct store_memory {
    struct store store;  /* first member */
    struct list objects; // struct object::link, owned, oldest first
    struct delivery *delivery;
    enum err fail_next; /* ERR_OK: do not */
};

static void object_free(struct object *o) {
    if (!o)
        return;
    free(o->uid);
    free(o->json);
    free(o);
}

static struct object *find(struct store_memory *s, enum store_kind kind, const char *uid) {
    struct object *o;
    list_for_each(o, &s->objects, link) if (o->kind == kind && !strcmp(o->uid, uid)) return o;
    return nullptr;
}

static bool put(struct store_memory *s, const struct store_job *job) {
    char *json = strndup(job->json, job->len);
    struct object *o = find(s, job->kind, job->uid);
    if (json && !o && (o = calloc(1, sizeof *o))) {
        o->kind = job->kind;
        o->uid = strdup(job->uid);
        list_append(&s->objects, &o->link);
    }
    if (!json || !o || !o->uid) {
        free(json);
        return false;
    }
    free(o->json);
    o->json = json;
    o->len = job->len;
    o->generation = job->generation;
    return true;
}

static void carry_out(struct store_memory *s, struct store_job *job) {
    struct object *o = find(s, job->kind, job->uid);
    switch (job->op) {
    case STORE_JOB_PUT:
        if (!put(s, job))
            job->result = err_set(&job->info, ERR_NO_MEMORY, "the change could not be stored: out of memory");
        return;
    case STORE_JOB_REMOVE:
        if (o) {
            list_remove(&o->link);
            object_free(o);
        }
        return;
    case STORE_JOB_GET:
        if (o && (job->found = strndup(o->json, o->len))) {
            job->len = o->len;
            job->generation = o->generation;
        }
        return;
    }
}

static void submit(struct store_memory *s, struct store_job *job) {
    if (job->op != STORE_JOB_GET && s->fail_next != ERR_OK) {
        job->result =
            err_set(&job->info, s->fail_next, "the change could not be stored: the test asked for this failure");
        s->fail_next = ERR_OK;
    } else {
        carry_out(s, job);
    }
    struct list done;
    list_init(&done);
    list_append(&done, &job->link);
    delivery_add(s->delivery, &done, false);
}

static void memory_put(struct store *store, enum store_kind kind, const char *uid, int64_t generation, const char *json,
                       size_t len, store_done_fn done, void *arg) {
    struct store_job *job = store_job_create(STORE_JOB_PUT, kind, uid, json, len);
    if (!job)
        return;
    job->generation = generation;
    job->done = done;
    job->arg = arg;
    submit((struct store_memory *)store, job);
}

static void memory_remove(struct store *store, enum store_kind kind, const char *uid, store_done_fn done, void *arg) {
    struct store_job *job = store_job_create(STORE_JOB_REMOVE, kind, uid, "", 0);
    if (!job)
        return;
    job->done = done;
    job->arg = arg;
    submit((struct store_memory *)store, job);
}

static void memory_get(struct store *store, enum store_kind kind, const char *uid, store_read_fn done, void *arg) {
    struct store_job *job = store_job_create(STORE_JOB_GET, kind, uid, "", 0);
    if (!job)
        return;
    job->read = done;
    job->arg = arg;
    submit((struct store_memory *)store, job);
}

static enum err memory_load(struct store *store, store_each_fn each, void *arg, struct err_info *) {
    struct store_memory *s = (struct store_memory *)store;
    for (int kind = 0; kind < STORE_N_KINDS; kind++) {
        struct object *o;
        list_for_each(o, &s->objects, link) if (o->kind == (enum store_kind)kind)
            each(arg, o->kind, o->uid, o->generation, o->json, o->len);
    }
    return ERR_OK;
}

static void memory_flush(struct store *store) {
    delivery_drain(((struct store_memory *)store)->delivery);
}

static void memory_close(struct store *store) {
    struct store_memory *s = (struct store_memory *)store;
    if (!s)
        return;
    delivery_close(s->delivery);
    struct object *o;
    list_for_each_safe(o, &s->objects, link) {
        list_remove(&o->link);
        object_free(o);
    }
    free(s);
}

enum err store_memory_open(struct loop *loop, struct store **ret, struct err_info *reterr) {
    static const struct store_ops OPS = {
        .load = memory_load,
        .put = memory_put,
        .remove = memory_remove,
        .get = memory_get,
        .flush = memory_flush,
        .close = memory_close,
    };
    _cleanup_(freep) struct store_memory *s = calloc(1, sizeof *s);
    if (!s || !(s->delivery = delivery_create(loop)))
        return err_set(reterr, ERR_NO_MEMORY, "the store could not be opened: out of memory");
    s->store.ops = &OPS;
    list_init(&s->objects);
    *ret = &TAKE_PTR(s)->store;
    return ERR_OK;
}

void store_memory_fail_next(struct store *store, enum err code) {
    ((struct store_memory *)store)->fail_next = code;
}
