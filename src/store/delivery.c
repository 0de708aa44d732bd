/* SPDX-License-Identifier: MPL-2.0 */
#include "store/delivery.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/loop.h"
#include "store/job.h"

struct delivery {
    struct loop *loop;
    pthread_mutex_t lock;
    struct list done; // struct store_job::link, owned
    bool posted;      /* on_posted is in the loop's queue and holds this object */
    bool closed;
};

struct delivery *delivery_create(struct loop *loop) {
    struct delivery *d = calloc(1, sizeof *d);
    if (!d)
        return nullptr;
    d->loop = loop;
    pthread_mutex_init(&d->lock, nullptr);
    list_init(&d->done);
    return d;
}

static void destroy(struct delivery *d) {
    pthread_mutex_destroy(&d->lock);
    free(d);
}

static void move_all(struct list *to, struct list *from) {
    while (!list_empty(from)) {
        struct list_link *link = from->head.next;
        list_remove(link);
        list_append(to, link);
    }
}

static void deliver(struct delivery *d) {
    struct list jobs;
    list_init(&jobs);
    pthread_mutex_lock(&d->lock);
    move_all(&jobs, &d->done);
    pthread_mutex_unlock(&d->lock);
    struct store_job *job;
    while ((job = list_first(&jobs, struct store_job, link))) {
        list_remove(&job->link);
        store_job_call(job);
        store_job_free(job);
    }
}

static void on_posted(void *arg) {
    struct delivery *d = arg;
    pthread_mutex_lock(&d->lock);
    d->posted = false;
    bool closed = d->closed;
    pthread_mutex_unlock(&d->lock);
    if (closed)
        destroy(d);
    else
        deliver(d);
}

void delivery_add(struct delivery *d, struct list *jobs, bool may_wait) {
    pthread_mutex_lock(&d->lock);
    move_all(&d->done, jobs);
    /* A full queue of the loop empties itself; one that was stopped never does, and delivery_close() cleans up. */
    while (!d->posted && !list_empty(&d->done)) {
        enum err e = loop_post(d->loop, on_posted, d);
        d->posted = e == ERR_OK;
        if (e == ERR_OK || e == ERR_UNAVAILABLE || !may_wait)
            break;
        pthread_mutex_unlock(&d->lock);
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, nullptr);
        pthread_mutex_lock(&d->lock);
    }
    pthread_mutex_unlock(&d->lock);
}

void delivery_drain(struct delivery *d) {
    deliver(d);
}

void delivery_close(struct delivery *d) {
    if (!d)
        return;
    struct list dropped;
    list_init(&dropped);
    pthread_mutex_lock(&d->lock);
    move_all(&dropped, &d->done);
    d->closed = true;
    bool posted = d->posted;
    pthread_mutex_unlock(&d->lock);
    struct store_job *job;
    while ((job = list_first(&dropped, struct store_job, link))) {
        list_remove(&job->link);
        store_job_free(job);
    }
    if (!posted)
        destroy(d);
}
