/* SPDX-License-Identifier: MPL-2.0 */
#include "sim/sim_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "sim/sim_random.h"

enum sim_op { SIM_PUT, SIM_REMOVE, SIM_GET };

struct sim_job {
    struct list_link link;
    enum sim_op op;
    struct sim_object object; /* json owned */
    store_done_fn done;
    store_read_fn read;
    void *arg;
};

struct sim_store {
    struct store store; /* first member */
    struct sim_disk *disk;
    struct loop *loop;
    struct list waiting; /* struct sim_job::link: for the next commit */
    struct list durable; /* committed, not yet answered */
    struct loop_timer commit, answer;
};

static struct sim_object *find(struct sim_disk *disk, enum store_kind kind, const char *uid) {
    for (size_t i = 0; i < SIM_DISK_OBJECTS; i++)
        if (disk->objects[i].kind == kind && strcmp(disk->objects[i].uid, uid) == 0)
            return &disk->objects[i];
    return nullptr;
}

const struct sim_object *sim_disk_find(const struct sim_disk *disk, enum store_kind kind, const char *uid) {
    return find((struct sim_disk *)(uintptr_t)disk, kind, uid);
}

static struct sim_object *place(struct sim_disk *disk, enum store_kind kind, const char *uid) {
    struct sim_object *object = find(disk, kind, uid);
    for (size_t i = 0; !object && i < SIM_DISK_OBJECTS; i++)
        if (!*disk->objects[i].uid)
            object = &disk->objects[i];
    if (!object) {
        fprintf(stderr, "the simulated disk is full\n");
        abort();
    }
    return object;
}

static void write_to_disk(struct sim_disk *disk, struct sim_job *job) {
    if (job->op == SIM_GET)
        return;
    if (job->op == SIM_REMOVE) {
        struct sim_object *object = find(disk, job->object.kind, job->object.uid);
        if (object) {
            free(object->json);
            *object = (struct sim_object){};
        }
        return;
    }
    struct sim_object *object = place(disk, job->object.kind, job->object.uid);
    uint64_t order = *object->uid ? object->order : ++disk->next_order;
    free(object->json);
    *object = job->object;
    object->order = order;
    job->object.json = nullptr;
}

static void answer_job(struct sim_store *s, struct sim_job *job) {
    if (job->op == SIM_GET) {
        const struct sim_object *found = find(s->disk, job->object.kind, job->object.uid);
        job->read(job->arg, ERR_OK, found ? found->json : nullptr, found ? found->len : 0,
                  found ? found->generation : 0);
    } else if (job->done) {
        job->done(job->arg, ERR_OK, nullptr);
    }
}

static void job_free(struct sim_job *job) {
    free(job->object.json);
    free(job);
}

static void on_answer(void *arg) {
    struct sim_store *s = arg;
    struct sim_job *job;
    list_for_each_safe(job, &s->durable, link) {
        list_remove(&job->link);
        answer_job(s, job);
        job_free(job);
    }
}

static void commit(struct sim_store *s) {
    struct sim_job *job;
    list_for_each_safe(job, &s->waiting, link) {
        list_remove(&job->link);
        write_to_disk(s->disk, job);
        list_append(&s->durable, &job->link);
    }
    s->disk->n_commits++;
}

/* Durable now, and known to be a little later: a crash may come between. */
static void on_commit(void *arg) {
    struct sim_store *s = arg;
    commit(s);
    if (!s->answer.armed)
        loop_timer_start(s->loop, &s->answer, sim_random_below(&s->disk->random, 500'000));
}

static void submit(struct store *store, enum sim_op op, enum store_kind kind, const char *uid, int64_t generation,
                   const char *json, size_t len, store_done_fn done, store_read_fn read, void *arg) {
    struct sim_store *s = (struct sim_store *)store;
    struct sim_job *job = calloc(1, sizeof *job);
    *job = (struct sim_job){.op = op, .done = done, .read = read, .arg = arg};
    job->object = (struct sim_object){.kind = kind, .generation = generation, .len = len};
    snprintf(job->object.uid, sizeof job->object.uid, "%s", uid);
    if (json) {
        job->object.json = malloc(len + 1);
        memcpy(job->object.json, json, len);
        job->object.json[len] = 0;
    }
    list_append(&s->waiting, &job->link);
    if (!s->commit.armed)
        loop_timer_start(s->loop, &s->commit, sim_random_below(&s->disk->random, s->disk->slow_ns));
}

static void sim_put(struct store *store, enum store_kind kind, const char *uid, int64_t generation, const char *json,
                    size_t len, store_done_fn done, void *arg) {
    submit(store, SIM_PUT, kind, uid, generation, json, len, done, nullptr, arg);
}

static void sim_remove(struct store *store, enum store_kind kind, const char *uid, store_done_fn done, void *arg) {
    submit(store, SIM_REMOVE, kind, uid, 0, nullptr, 0, done, nullptr, arg);
}

static void sim_get(struct store *store, enum store_kind kind, const char *uid, store_read_fn read, void *arg) {
    submit(store, SIM_GET, kind, uid, 0, nullptr, 0, nullptr, read, arg);
}

static enum err sim_load(struct store *store, store_each_fn each, void *arg, struct err_info *) {
    struct sim_store *s = (struct sim_store *)store;
    for (int kind = 0; kind < STORE_N_KINDS; kind++) {
        for (uint64_t order = 1; order <= s->disk->next_order; order++)
            for (size_t i = 0; i < SIM_DISK_OBJECTS; i++) {
                const struct sim_object *o = &s->disk->objects[i];
                if (*o->uid && o->kind == (enum store_kind)kind && o->order == order)
                    each(arg, o->kind, o->uid, o->generation, o->json, o->len);
            }
    }
    return ERR_OK;
}

static void sim_flush(struct store *store) {
    struct sim_store *s = (struct sim_store *)store;
    while (!list_empty(&s->waiting) || !list_empty(&s->durable)) {
        commit(s);
        on_answer(s);
    }
}

/* Nobody is there any more to hear it, but whoever waits has memory of its own to free. */
static void fail_job(struct sim_job *job) {
    struct err_info info = {};
    (void)err_set(&info, ERR_UNAVAILABLE, "the instance has crashed");
    if (job->op == SIM_GET)
        job->read(job->arg, ERR_UNAVAILABLE, nullptr, 0, 0);
    else if (job->done)
        job->done(job->arg, ERR_UNAVAILABLE, &info);
}

void sim_store_fail_all(struct store *store) {
    struct sim_store *s = (struct sim_store *)store;
    struct list *const lists[] = {&s->waiting, &s->durable};
    for (size_t i = 0; i < 2; i++)
        while (!list_empty(lists[i])) {
            struct sim_job *job = list_first(lists[i], struct sim_job, link);
            list_remove(&job->link);
            fail_job(job);
            job_free(job);
        }
}

static void finish(struct sim_store *s) {
    loop_timer_stop(s->loop, &s->commit);
    loop_timer_stop(s->loop, &s->answer);
    struct list *const lists[] = {&s->waiting, &s->durable};
    for (size_t i = 0; i < 2; i++) {
        struct sim_job *job;
        list_for_each_safe(job, lists[i], link) {
            list_remove(&job->link);
            job_free(job);
        }
    }
    free(s);
}

static void sim_close(struct store *store) {
    if (!store)
        return;
    commit((struct sim_store *)store);
    finish((struct sim_store *)store);
}

void sim_store_crash(struct store *store) {
    finish((struct sim_store *)store);
}

struct store *sim_store_open(struct sim_disk *disk, struct loop *loop) {
    static const struct store_ops OPS = {
        .load = sim_load, .put = sim_put, .remove = sim_remove, .get = sim_get, .flush = sim_flush, .close = sim_close};
    struct sim_store *s = calloc(1, sizeof *s);
    s->store.ops = &OPS;
    s->disk = disk;
    s->loop = loop;
    list_init(&s->waiting);
    list_init(&s->durable);
    s->commit = (struct loop_timer){.fire = on_commit, .arg = s};
    s->answer = (struct loop_timer){.fire = on_answer, .arg = s};
    return &s->store;
}

void sim_disk_init(struct sim_disk *disk, uint64_t seed) {
    *disk = (struct sim_disk){.slow_ns = 20'000'000, .random = seed};
}

void sim_disk_finish(struct sim_disk *disk) {
    for (size_t i = 0; i < SIM_DISK_OBJECTS; i++)
        free(disk->objects[i].json);
    *disk = (struct sim_disk){};
}
