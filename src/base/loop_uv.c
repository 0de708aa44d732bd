/* SPDX-License-Identifier: MPL-2.0 */
#include "base/loop_uv.h"

#include <pthread.h>
#include <stdlib.h>
#include <uv.h>

/*
 * One uv_timer serves the whole heap of timers, one uv_async the queue of posted jobs. uv_async coalesces, so the
 * whole queue is taken at each wake.
 */

struct job {
    loop_fn fn;
    void *arg;
};

struct loop_uv {
    struct loop loop; /* first member */
    uv_loop_t uv;
    uv_timer_t timer;
    uv_async_t wake;
    pthread_mutex_t lock; /* jobs, n_jobs, cap_jobs, closed */
    struct job *jobs;
    int n_jobs, cap_jobs;
    bool closed;
    _Atomic bool stopping;
    int works_under_way;
};

struct work {
    uv_work_t req;
    struct loop_uv *loop;
    loop_fn work, done;
    void *arg;
};

static void on_timer(uv_timer_t *handle) {
    struct loop_uv *l = handle->data;
    loop_fire_due(&l->loop);
}

static void uv_timers_changed(struct loop *loop) {
    struct loop_uv *l = (struct loop_uv *)loop;
    int64_t due = loop_next_due_ns(loop);
    if (due == INT64_MAX) {
        uv_timer_stop(&l->timer);
        return;
    }
    int64_t wait = due - loop_now_ns(loop);
    uv_update_time(&l->uv);
    uv_timer_start(&l->timer, on_timer, wait > 0 ? (uint64_t)((wait + NS_PER_MS - 1) / NS_PER_MS) : 0, 0);
}

static enum err uv_post(struct loop *loop, loop_fn fn, void *arg) {
    struct loop_uv *l = (struct loop_uv *)loop;
    enum err e = ERR_OK;
    pthread_mutex_lock(&l->lock);
    if (l->closed) {
        e = ERR_UNAVAILABLE;
    } else if (l->n_jobs == LOOP_POSTED_MAX) {
        e = ERR_LIMIT;
    } else if (l->n_jobs == l->cap_jobs) {
        int cap = l->cap_jobs ? l->cap_jobs * 2 : 64;
        struct job *jobs = realloc(l->jobs, (size_t)cap * sizeof *jobs);
        if (jobs) {
            l->jobs = jobs;
            l->cap_jobs = cap;
        } else {
            e = ERR_NO_MEMORY;
        }
    }
    if (e == ERR_OK) {
        l->jobs[l->n_jobs++] = (struct job){fn, arg};
        uv_async_send(&l->wake);
    }
    pthread_mutex_unlock(&l->lock);
    return e;
}

static void run_posted(struct loop_uv *l) {
    pthread_mutex_lock(&l->lock);
    struct job *jobs = l->jobs;
    int n = l->n_jobs;
    l->jobs = nullptr;
    l->n_jobs = l->cap_jobs = 0;
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < n; i++)
        jobs[i].fn(jobs[i].arg);
    free(jobs);
}

static void on_wake(uv_async_t *handle) {
    struct loop_uv *l = handle->data;
    run_posted(l);
    if (l->stopping)
        uv_stop(&l->uv);
}

static void on_work(uv_work_t *req) {
    struct work *w = req->data;
    w->work(w->arg);
}

static void on_work_done(uv_work_t *req, int) {
    struct work *w = req->data;
    w->loop->works_under_way--;
    w->done(w->arg);
    free(w);
}

static enum err uv_work(struct loop *loop, loop_fn work, loop_fn done, void *arg) {
    struct loop_uv *l = (struct loop_uv *)loop;
    struct work *w = calloc(1, sizeof *w);
    if (!w)
        return ERR_NO_MEMORY;
    *w = (struct work){.loop = l, .work = work, .done = done, .arg = arg};
    w->req.data = w;
    if (uv_queue_work(&l->uv, &w->req, on_work, on_work_done)) {
        free(w);
        return ERR_UNAVAILABLE;
    }
    l->works_under_way++;
    return ERR_OK;
}

enum err loop_uv_create(struct loop_uv **ret, struct err_info *reterr) {
    static const struct loop_ops OPS = {.timers_changed = uv_timers_changed, .post = uv_post, .work = uv_work};
    struct loop_uv *l = calloc(1, sizeof *l);
    if (!l)
        return err_set(reterr, ERR_NO_MEMORY, "out of memory: the event loop could not be made");
    loop_base_init(&l->loop, &OPS, clock_system());
    int r = uv_loop_init(&l->uv);
    if (r || !l->loop.timers) {
        loop_base_finish(&l->loop);
        free(l);
        return err_set(reterr, ERR_IO, "the event loop could not be made: %s", r ? uv_strerror(r) : "out of memory");
    }
    pthread_mutex_init(&l->lock, nullptr);
    uv_timer_init(&l->uv, &l->timer);
    uv_async_init(&l->uv, &l->wake, on_wake);
    l->timer.data = l->wake.data = l;
    *ret = l;
    return ERR_OK;
}

void loop_uv_destroy(struct loop_uv *l) {
    if (!l)
        return;
    /* work under way posts its `done` here; users have asked for nothing new */
    while (l->works_under_way)
        uv_run(&l->uv, UV_RUN_ONCE);
    run_posted(l);
    pthread_mutex_lock(&l->lock);
    l->closed = true;
    pthread_mutex_unlock(&l->lock);
    uv_close((uv_handle_t *)&l->timer, nullptr);
    uv_close((uv_handle_t *)&l->wake, nullptr);
    while (uv_run(&l->uv, UV_RUN_DEFAULT) != 0) {
    }
    uv_loop_close(&l->uv);
    pthread_mutex_destroy(&l->lock);
    loop_base_finish(&l->loop);
    free(l->jobs);
    free(l);
}

struct loop *loop_uv_loop(struct loop_uv *l) {
    return &l->loop;
}

uv_loop_t *loop_uv_handle(struct loop_uv *l) {
    return &l->uv;
}

void loop_uv_run(struct loop_uv *l) {
    while (!l->stopping)
        uv_run(&l->uv, UV_RUN_DEFAULT);
    l->stopping = false;
}

void loop_uv_stop(struct loop_uv *l) {
    l->stopping = true;
    uv_async_send(&l->wake);
}
