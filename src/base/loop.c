/* SPDX-License-Identifier: MPL-2.0 */
#include "base/loop.h"

#include <stdlib.h>

/*
 * Timers are a binary heap ordered by (due, sequence), so that both loops fire equal times in the same order. The heap
 * has its whole capacity from the start: arming a timer cannot fail.
 */

void loop_base_init(struct loop *loop, const struct loop_ops *ops, const struct clock *clock) {
    *loop = (struct loop){.ops = ops, .clock = clock};
    loop->timers = calloc(LOOP_TIMERS_MAX, sizeof *loop->timers);
}

void loop_base_finish(struct loop *loop) {
    free(loop->timers);
    loop->timers = nullptr;
    loop->n_timers = 0;
}

static bool earlier(const struct loop_timer *a, const struct loop_timer *b) {
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->seq < b->seq;
}

static void sift_up(struct loop *loop, int i) {
    while (i > 0) {
        int parent = (i - 1) / 2;
        if (!earlier(loop->timers[i], loop->timers[parent]))
            return;
        struct loop_timer *t = loop->timers[i];
        loop->timers[i] = loop->timers[parent];
        loop->timers[parent] = t;
        i = parent;
    }
}

static void sift_down(struct loop *loop, int i) {
    for (;;) {
        int least = i;
        for (int child = 2 * i + 1; child <= 2 * i + 2 && child < loop->n_timers; child++)
            if (earlier(loop->timers[child], loop->timers[least]))
                least = child;
        if (least == i)
            return;
        struct loop_timer *t = loop->timers[i];
        loop->timers[i] = loop->timers[least];
        loop->timers[least] = t;
        i = least;
    }
}

static void heap_remove(struct loop *loop, struct loop_timer *timer) {
    for (int i = 0; i < loop->n_timers; i++) {
        if (loop->timers[i] != timer)
            continue;
        loop->timers[i] = loop->timers[--loop->n_timers];
        if (i < loop->n_timers) {
            sift_up(loop, i);
            sift_down(loop, i);
        }
        break;
    }
    timer->armed = false;
}

void loop_timer_start(struct loop *loop, struct loop_timer *timer, int64_t after_ns) {
    if (timer->armed)
        heap_remove(loop, timer);
    if (loop->n_timers == LOOP_TIMERS_MAX)
        return; /* more timers than objects that own one: model/maxima.h keeps this out of reach */
    timer->due_ns = loop_now_ns(loop) + (after_ns > 0 ? after_ns : 0);
    timer->seq = ++loop->next_seq;
    timer->armed = true;
    loop->timers[loop->n_timers++] = timer;
    sift_up(loop, loop->n_timers - 1);
    loop->ops->timers_changed(loop);
}

void loop_timer_stop(struct loop *loop, struct loop_timer *timer) {
    if (!timer->armed)
        return;
    heap_remove(loop, timer);
    loop->ops->timers_changed(loop);
}

int64_t loop_next_due_ns(const struct loop *loop) {
    return loop->n_timers ? loop->timers[0]->due_ns : INT64_MAX;
}

void loop_fire_due(struct loop *loop) {
    int64_t now = loop_now_ns(loop);
    uint64_t last_seq = loop->next_seq;
    while (loop->n_timers && loop->timers[0]->due_ns <= now && loop->timers[0]->seq <= last_seq) {
        struct loop_timer *timer = loop->timers[0];
        heap_remove(loop, timer);
        timer->fire(timer->arg);
    }
    loop->ops->timers_changed(loop);
}
