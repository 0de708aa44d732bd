/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/loop_sim.h"

/* ---- timers, on virtual time ---- */

constexpr int N_TIMERS = 200;

struct many {
    struct loop_sim sim;
    struct entry {
        struct loop_timer timer;
        struct many *many;
        int64_t due_ns; /* what we think of it; 0: not armed */
        uint64_t seq;
    } entries[N_TIMERS];
    uint64_t seq;
    uint64_t seed;
    int n_fired;
};

static uint32_t draw(uint64_t *seed) {
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(*seed >> 33);
}

static void arm(struct many *m, struct entry *e, int64_t after_ns) {
    loop_timer_start(&m->sim.loop, &e->timer, after_ns);
    e->due_ns = loop_now_ns(&m->sim.loop) + (after_ns > 0 ? after_ns : 0);
    e->seq = ++m->seq;
}

/* Whoever fires must be the earliest of all that are armed, and fire when it is due. */
static void on_fire(void *arg) {
    struct entry *e = arg;
    struct many *m = e->many;
    assert_true(e->due_ns == loop_now_ns(&m->sim.loop));
    for (int i = 0; i < N_TIMERS; i++) {
        const struct entry *other = &m->entries[i];
        if (other != e && other->due_ns)
            assert_true(other->due_ns > e->due_ns || (other->due_ns == e->due_ns && other->seq > e->seq));
    }
    e->due_ns = 0;
    m->n_fired++;
    struct entry *any = &m->entries[draw(&m->seed) % N_TIMERS];
    switch (draw(&m->seed) % 4) {
    case 0: /* again, itself */
        arm(m, e, draw(&m->seed) % 50 + 1);
        break;
    case 1: /* another one, armed or not */
        arm(m, any, draw(&m->seed) % 50 + 1);
        break;
    case 2:
        loop_timer_stop(&m->sim.loop, &any->timer);
        any->due_ns = 0;
        break;
    default:
        break;
    }
}

static void timers_fire_in_order_whatever_is_done_to_them(void **) {
    struct many *m = calloc(1, sizeof *m);
    assert_non_null(m);
    loop_sim_init(&m->sim);
    m->seed = 1;
    for (int i = 0; i < N_TIMERS; i++) {
        struct entry *e = &m->entries[i];
        e->many = m;
        e->timer = (struct loop_timer){.fire = on_fire, .arg = e};
    }
    for (int step = 0; step < 20'000; step++) {
        struct entry *e = &m->entries[draw(&m->seed) % N_TIMERS];
        switch (draw(&m->seed) % 4) {
        case 0:
        case 1:
            arm(m, e, (int64_t)(draw(&m->seed) % 60));
            break;
        case 2:
            loop_timer_stop(&m->sim.loop, &e->timer);
            e->due_ns = 0;
            break;
        default:
            loop_sim_run_until(&m->sim, loop_now_ns(&m->sim.loop) + draw(&m->seed) % 5);
            break;
        }
        int64_t first = INT64_MAX;
        for (int i = 0; i < N_TIMERS; i++)
            if (m->entries[i].due_ns && m->entries[i].due_ns < first)
                first = m->entries[i].due_ns;
        assert_true(loop_next_due_ns(&m->sim.loop) == first);
    }
    assert_true(m->n_fired > 1000);
    loop_sim_finish(&m->sim);
    free(m);
}

struct counter {
    struct loop *loop;
    struct loop_timer timer;
    int n;
};

static void count(void *arg) {
    ((struct counter *)arg)->n++;
}

static void count_and_start(void *arg) {
    struct counter *c = arg;
    c->n++;
    loop_timer_start(c->loop, &c->timer, 0);
}

/* A timer that arms itself for now must not hold up everybody else: its turn is the next round. */
static void a_timer_does_not_fire_twice_in_one_round(void **) {
    struct loop_sim sim;
    loop_sim_init(&sim);
    struct counter c = {.loop = &sim.loop, .timer = {.fire = count_and_start, .arg = &c}};
    loop_timer_start(&sim.loop, &c.timer, -5); /* the past is now */
    loop_fire_due(&sim.loop);
    assert_int_equal(c.n, 1);
    loop_fire_due(&sim.loop);
    assert_int_equal(c.n, 2);
    loop_timer_stop(&sim.loop, &c.timer);
    loop_timer_stop(&sim.loop, &c.timer);
    loop_fire_due(&sim.loop);
    assert_int_equal(c.n, 2);
    loop_sim_finish(&sim);
}

/* ---- the simulated queue ---- */

struct order {
    struct loop *loop;
    uint32_t next, posted;
};

static void check_order(void *arg) {
    struct order *o = arg;
    o->next++;
    if (o->posted < 5000 && o->posted % 3 == 0) { /* posts while the queue is being emptied, so that it wraps */
        for (int i = 0; i < 4; i++)
            assert_int_equal(loop_post(o->loop, check_order, o), ERR_OK);
    }
    o->posted++;
}

static void on_work(void *arg) {
    ((struct counter *)arg)->n += 10;
}

static void the_simulated_queue_grows_and_has_an_end(void **) {
    struct loop_sim sim;
    loop_sim_init(&sim);
    struct order o = {.loop = &sim.loop};
    assert_int_equal(loop_post(&sim.loop, check_order, &o), ERR_OK);
    loop_sim_settle(&sim);
    assert_true(o.next > 5000 && o.next == o.posted);
    struct counter c = {};
    assert_int_equal(loop_work(&sim.loop, on_work, count, &c), ERR_OK);
    assert_int_equal(c.n, 10); /* at once, its end in the order of posting */
    loop_sim_settle(&sim);
    assert_int_equal(c.n, 11);
    for (int i = 0; i < LOOP_POSTED_MAX; i++)
        assert_int_equal(loop_post(&sim.loop, count, &c), ERR_OK);
    assert_int_equal(loop_post(&sim.loop, count, &c), ERR_LIMIT);
    loop_sim_settle(&sim);
    assert_int_equal(c.n, 11 + LOOP_POSTED_MAX);
    assert_int_equal(loop_post(&sim.loop, count, &c), ERR_OK);
    loop_sim_finish(&sim); /* what is left is dropped */
    assert_int_equal(c.n, 11 + LOOP_POSTED_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_in_order_whatever_is_done_to_them),
        cmocka_unit_test(a_timer_does_not_fire_twice_in_one_round),
        cmocka_unit_test(the_simulated_queue_grows_and_has_an_end),
    };
    return cmocka_run_group_tests_name("loop", tests, nullptr, nullptr);
}
