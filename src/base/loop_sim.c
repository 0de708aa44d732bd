/* SPDX-License-Identifier: MPL-2.0 */
#include "base/loop_sim.h"

#include <stdlib.h>

static void sim_timers_changed(struct loop *) {
}

static enum err sim_post(struct loop *loop, loop_fn fn, void *arg) {
    struct loop_sim *sim = (struct loop_sim *)loop;
    if (sim->n_jobs == LOOP_POSTED_MAX)
        return ERR_LIMIT;
    if (sim->n_jobs == sim->cap_jobs) {
        int cap = sim->cap_jobs ? sim->cap_jobs * 2 : 64;
        struct loop_sim_job *jobs = malloc((size_t)cap * sizeof *jobs);
        if (!jobs)
            return ERR_NO_MEMORY;
        for (int i = 0; i < sim->n_jobs; i++)
            jobs[i] = sim->jobs[(sim->head + i) % sim->cap_jobs];
        free(sim->jobs);
        sim->jobs = jobs;
        sim->head = 0;
        sim->cap_jobs = cap;
    }
    sim->jobs[(sim->head + sim->n_jobs++) % sim->cap_jobs] = (struct loop_sim_job){fn, arg};
    return ERR_OK;
}

static enum err sim_work(struct loop *loop, loop_fn work, loop_fn done, void *arg) {
    work(arg);
    return sim_post(loop, done, arg);
}

void loop_sim_init(struct loop_sim *sim) {
    static const struct loop_ops OPS = {.timers_changed = sim_timers_changed, .post = sim_post, .work = sim_work};
    *sim = (struct loop_sim){};
    /* starts at a second, so that "zero" never looks like a time; wall clock 2026-01-01 */
    clock_virtual_init(&sim->clock, NS_PER_S, 1767225600LL * NS_PER_S);
    loop_base_init(&sim->loop, &OPS, &sim->clock.clock);
}

void loop_sim_finish(struct loop_sim *sim) {
    loop_base_finish(&sim->loop);
    free(sim->jobs);
    *sim = (struct loop_sim){};
}

void loop_sim_settle(struct loop_sim *sim) {
    while (sim->n_jobs) {
        struct loop_sim_job job = sim->jobs[sim->head];
        sim->head = (sim->head + 1) % sim->cap_jobs;
        sim->n_jobs--;
        job.fn(job.arg);
    }
}

void loop_sim_run_until(struct loop_sim *sim, int64_t until_ns) {
    loop_sim_settle(sim);
    for (;;) {
        int64_t due = loop_next_due_ns(&sim->loop);
        if (due > until_ns)
            break;
        if (due > sim->clock.now_ns)
            sim->clock.now_ns = due;
        loop_fire_due(&sim->loop);
        loop_sim_settle(sim);
    }
    if (until_ns > sim->clock.now_ns)
        sim->clock.now_ns = until_ns;
}
