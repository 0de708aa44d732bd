/* SPDX-License-Identifier: MPL-2.0 */
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/list.h"
#include "base/loop.h"
#include "store/database.h"
#include "store/delivery.h"
#include "store/job.h"
#include "store/sqlite_priv.h"
#include "store/state_dir.h"

/*
 * The store on SQLite. The core thread queues jobs; one worker thread takes all that wait and makes one transaction of
 * them (group commit: while the disk syncs one batch, the next gathers), then hands them back through the loop. A GET
 * splits the batch, since it must see what is durable and nothing else.
 */

/* More than this at once is one client's flood: refused, so that memory stays bounded. */
constexpr int STORE_QUEUE_MAX = 16384;

struct store_sqlite {
    struct store store;        /* first member */
    struct database *database; /* of the worker, or of the core while the worker is not busy */
    struct delivery *delivery;
    int lock_fd;
    pthread_t worker;
    bool started;
    pthread_mutex_t lock; /* queue, n_queued, busy, stopping */
    pthread_cond_t changed;
    struct list queue; // struct store_job::link, owned
    int n_queued;
    bool busy; /* somebody is in the database: the worker, or the core that loads */
    bool stopping;
};

/* ---- worker ---- */

/* Moves the first job and those that can go with it: all changes up to the next GET, or one GET. */
static void take_batch(struct list *from, struct list *batch) {
    struct store_job *first = list_first(from, struct store_job, link), *job;
    while ((job = list_first(from, struct store_job, link))) {
        if (job != first && (job->op == STORE_JOB_GET || first->op == STORE_JOB_GET))
            return;
        list_remove(&job->link);
        list_append(batch, &job->link);
    }
}

static void run_batch(struct store_sqlite *s, struct list *batch) {
    struct store_job *first = list_first(batch, struct store_job, link);
    if (first->op == STORE_JOB_GET)
        database_read(s->database, first);
    else
        database_write(s->database, batch);
}

static void *worker_main(void *arg) {
    struct store_sqlite *s = arg;
    struct list batch;
    list_init(&batch);
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (s->busy || (list_empty(&s->queue) && !s->stopping))
            pthread_cond_wait(&s->changed, &s->lock);
        if (list_empty(&s->queue))
            break;
        take_batch(&s->queue, &batch);
        s->n_queued -= (int)list_count(&batch);
        s->busy = true;
        pthread_mutex_unlock(&s->lock);
        run_batch(s, &batch);
        delivery_add(s->delivery, &batch, true);
        pthread_mutex_lock(&s->lock);
        s->busy = false;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    return nullptr;
}

/* Signals are the business of the program's main thread. */
static int start_worker(struct store_sqlite *s) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&s->worker, nullptr, worker_main, s);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (!error)
        pthread_setname_np(s->worker, "rocd-store");
    s->started = !error;
    return error;
}

/* ---- core ---- */

static void submit(struct store_sqlite *s, struct store_job *job) {
    pthread_mutex_lock(&s->lock);
    bool full = s->n_queued >= STORE_QUEUE_MAX;
    if (!full) {
        list_append(&s->queue, &job->link);
        s->n_queued++;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    if (!full)
        return;
    job->result =
        err_set(&job->info, ERR_LIMIT, "%d changes wait for the disk already (STORE_QUEUE_MAX): try again in a moment",
                STORE_QUEUE_MAX);
    struct list refused;
    list_init(&refused);
    list_append(&refused, &job->link);
    delivery_add(s->delivery, &refused, false);
}

static void submit_change(struct store *store, enum store_job_op op, enum store_kind kind, const char *uid,
                          int64_t generation, const char *json, size_t len, store_done_fn done, void *arg) {
    struct store_job *job = store_job_create(op, kind, uid, json, len);
    if (!job) {
        struct err_info info;
        if (done)
            done(arg, err_set(&info, ERR_NO_MEMORY, "the change could not be stored: out of memory"), &info);
        return;
    }
    job->generation = generation;
    job->done = done;
    job->arg = arg;
    submit((struct store_sqlite *)store, job);
}

static void sqlite_put(struct store *store, enum store_kind kind, const char *uid, int64_t generation, const char *json,
                       size_t len, store_done_fn done, void *arg) {
    submit_change(store, STORE_JOB_PUT, kind, uid, generation, json, len, done, arg);
}

static void sqlite_remove(struct store *store, enum store_kind kind, const char *uid, store_done_fn done, void *arg) {
    submit_change(store, STORE_JOB_REMOVE, kind, uid, 0, "", 0, done, arg);
}

static void sqlite_get(struct store *store, enum store_kind kind, const char *uid, store_read_fn done, void *arg) {
    struct store_job *job = store_job_create(STORE_JOB_GET, kind, uid, "", 0);
    if (!job) {
        done(arg, ERR_NO_MEMORY, nullptr, 0, 0);
        return;
    }
    job->read = done;
    job->arg = arg;
    submit((struct store_sqlite *)store, job);
}

/* Until the worker has nothing left; the lock is held. */
static void wait_until_idle(struct store_sqlite *s) {
    while (s->busy || !list_empty(&s->queue))
        pthread_cond_wait(&s->changed, &s->lock);
}

static void sqlite_flush(struct store *store) {
    struct store_sqlite *s = (struct store_sqlite *)store;
    pthread_mutex_lock(&s->lock);
    wait_until_idle(s);
    pthread_mutex_unlock(&s->lock);
    delivery_drain(s->delivery);
}

static enum err sqlite_load(struct store *store, store_each_fn each, void *arg, struct err_info *reterr) {
    struct store_sqlite *s = (struct store_sqlite *)store;
    pthread_mutex_lock(&s->lock);
    wait_until_idle(s);
    s->busy = true;
    pthread_mutex_unlock(&s->lock);
    enum err e = database_load(s->database, each, arg, reterr);
    pthread_mutex_lock(&s->lock);
    s->busy = false;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return e;
}

static void sqlite_close(struct store *store) {
    struct store_sqlite *s = (struct store_sqlite *)store;
    if (!s)
        return;
    if (s->started) {
        pthread_mutex_lock(&s->lock);
        s->stopping = true;
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->worker, nullptr);
    }
    delivery_close(s->delivery);
    database_close(s->database);
    if (s->lock_fd >= 0)
        close(s->lock_fd); /* last: the directory is free when nothing touches it any more */
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static enum err open_parts(struct store_sqlite *s, const char *state_dir, const char *vfs, struct loop *loop,
                           struct err_info *reterr) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/rocd.db", state_dir) >= (int)sizeof path)
        return err_set(reterr, ERR_INVALID, "the path of the state directory is too long: give a shorter one");
    enum err e = state_dir_make(state_dir, reterr);
    if (e == ERR_OK)
        e = state_dir_lock(state_dir, &s->lock_fd, reterr);
    if (e == ERR_OK)
        e = database_open(path, vfs, &s->database, reterr);
    if (e != ERR_OK)
        return e;
    state_dir_sync(state_dir);
    s->delivery = delivery_create(loop);
    if (!s->delivery)
        return err_set(reterr, ERR_NO_MEMORY, "the store could not be opened: out of memory");
    int error = start_worker(s);
    return error ? err_set_errno(reterr, error, "the thread of the store could not be started") : ERR_OK;
}

enum err store_sqlite_open_vfs(const char *state_dir, const char *vfs, struct loop *loop, struct log log,
                               struct store **ret, struct err_info *reterr) {
    static const struct store_ops OPS = {
        .load = sqlite_load,
        .put = sqlite_put,
        .remove = sqlite_remove,
        .get = sqlite_get,
        .flush = sqlite_flush,
        .close = sqlite_close,
    };
    struct store_sqlite *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(reterr, ERR_NO_MEMORY, "the store could not be opened: out of memory");
    s->store.ops = &OPS;
    s->lock_fd = -1;
    list_init(&s->queue);
    pthread_mutex_init(&s->lock, nullptr);
    pthread_cond_init(&s->changed, nullptr);
    enum err e = open_parts(s, state_dir, vfs, loop, reterr);
    if (e != ERR_OK) {
        sqlite_close(&s->store);
        return e;
    }
    log_debug(log, "store opened", LOG_STR("state_dir", state_dir), LOG_INT("version", DATABASE_VERSION));
    *ret = &s->store;
    return ERR_OK;
}

enum err store_sqlite_open(const char *state_dir, struct loop *loop, struct log log, struct store **ret,
                           struct err_info *reterr) {
    return store_sqlite_open_vfs(state_dir, nullptr, loop, log, ret, reterr);
}
