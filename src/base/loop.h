/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"

/*
 * The core's event loop as everybody but http and a few adaptors sees it: now, timers, post, work.
 * Two implementations: libuv (loop_uv.h) and a simulated one on virtual time (loop_sim.h).
 *
 * Threads: everything is called on the loop's thread, except loop_post(), which any thread may call.
 * Ownership: a timer is memory of its user, who calls loop_timer_stop() before it goes away.
 */
struct loop;
struct loop_timer;

typedef void (*loop_fn)(void *arg);

struct loop_timer {
    loop_fn fire; /* called on the loop's thread; may re-arm or stop this or any other timer */
    void *arg;
    int64_t due_ns; // Private state
    bool armed;     // Private state
    uint64_t seq;   // Private state: equal times fire in the order of arming
};

struct loop_ops {
    void (*timers_changed)(struct loop *loop);
    enum err (*post)(struct loop *loop, loop_fn fn, void *arg);
    enum err (*work)(struct loop *loop, loop_fn work, loop_fn done, void *arg);
};

constexpr int LOOP_TIMERS_MAX = 4096;

struct loop {
    const struct loop_ops *ops;
    const struct clock *clock;
    struct loop_timer **timers; // Private state: heap by (due_ns, seq), n_timers of LOOP_TIMERS_MAX
    int n_timers;
    uint64_t next_seq;
};

static inline int64_t loop_now_ns(const struct loop *loop) {
    return clock_now_ns(loop->clock);
}

/* Arms (or re-arms) the timer for `after_ns` from now; never fires from inside this call. */
void loop_timer_start(struct loop *loop, struct loop_timer *timer, int64_t after_ns);
void loop_timer_stop(struct loop *loop, struct loop_timer *timer);

/* Runs fn(arg) on the loop's thread, in the order of posting. Any thread. ERR_LIMIT when the queue is full
 * (LOOP_POSTED_MAX), ERR_UNAVAILABLE after the loop has been stopped: the caller keeps what it wanted to hand over. */
constexpr int LOOP_POSTED_MAX = 65536;
static inline enum err loop_post(struct loop *loop, loop_fn fn, void *arg) {
    return loop->ops->post(loop, fn, arg);
}

/* Runs work(arg) on a worker thread, then done(arg) on the loop's thread. The simulated loop runs it at once. */
static inline enum err loop_work(struct loop *loop, loop_fn work, loop_fn done, void *arg) {
    return loop->ops->work(loop, work, done, arg);
}

/* For implementations. */
void loop_base_init(struct loop *loop, const struct loop_ops *ops, const struct clock *clock);
void loop_base_finish(struct loop *loop);
/* When the next timer is due, or INT64_MAX. */
int64_t loop_next_due_ns(const struct loop *loop);
/* Fires what is due now, at most those that were armed before the call. */
void loop_fire_due(struct loop *loop);
