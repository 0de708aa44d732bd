/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <uv.h>

#include "base/loop_uv.h"

struct counter {
    struct loop *loop;
    struct loop_timer timer;
    int n;
};

static void count(void *arg) {
    ((struct counter *)arg)->n++;
}

static void stop(void *arg) {
    loop_uv_stop(arg);
}

static void the_queue_has_an_end(void **) {
    struct loop_uv *uv;
    assert_int_equal(loop_uv_create(&uv, nullptr), ERR_OK);
    struct loop *loop = loop_uv_loop(uv);
    struct counter c = {.loop = loop};
    for (int i = 0; i < LOOP_POSTED_MAX - 1; i++)
        assert_int_equal(loop_post(loop, count, &c), ERR_OK);
    assert_int_equal(loop_post(loop, stop, uv), ERR_OK);
    assert_int_equal(loop_post(loop, count, &c), ERR_LIMIT);
    loop_uv_run(uv);
    assert_int_equal(c.n, LOOP_POSTED_MAX - 1);
    assert_int_equal(loop_post(loop, count, &c), ERR_OK);
    loop_uv_destroy(uv); /* what was posted is run before the end */
    assert_int_equal(c.n, LOOP_POSTED_MAX);
    loop_uv_destroy(nullptr);
}

static void a_stop_before_the_start_counts(void **) {
    struct loop_uv *uv;
    assert_int_equal(loop_uv_create(&uv, nullptr), ERR_OK);
    loop_uv_stop(uv);
    loop_uv_run(uv); /* returns at once */
    struct counter c = {.loop = loop_uv_loop(uv), .timer = {.fire = stop, .arg = uv}};
    loop_timer_start(c.loop, &c.timer, 3 * NS_PER_MS);
    int64_t due = loop_now_ns(c.loop) + 3 * NS_PER_MS;
    loop_uv_run(uv); /* and the stop is used up */
    assert_true(loop_now_ns(c.loop) >= due - NS_PER_MS);
    loop_uv_destroy(uv);
}

static void slow_work(void *arg) {
    pthread_barrier_wait(arg);
}

static void work_done(void *arg) {
    *(bool *)((char *)arg + sizeof(pthread_barrier_t)) = true;
}

static void *release(void *arg) {
    pthread_barrier_wait(arg);
    return nullptr;
}

static void the_end_waits_for_work_under_way(void **) {
    struct {
        pthread_barrier_t barrier;
        bool done;
    } w = {};
    pthread_barrier_init(&w.barrier, nullptr, 2);
    struct loop_uv *uv;
    pthread_t thread;
    assert_int_equal(loop_uv_create(&uv, nullptr), ERR_OK);
    assert_int_equal(loop_work(loop_uv_loop(uv), slow_work, work_done, &w), ERR_OK);
    assert_int_equal(pthread_create(&thread, nullptr, release, &w.barrier), 0);
    loop_uv_destroy(uv);
    assert_true(w.done);
    pthread_join(thread, nullptr);
    pthread_barrier_destroy(&w.barrier);
}

static void on_closed(uv_handle_t *handle) {
    struct counter *c = handle->data;
    c->n += loop_post(c->loop, count, c) == ERR_UNAVAILABLE;
}

static void nothing_is_taken_after_the_end(void **) {
    struct loop_uv *uv;
    assert_int_equal(loop_uv_create(&uv, nullptr), ERR_OK);
    struct counter c = {.loop = loop_uv_loop(uv)};
    uv_idle_t idle = {.data = &c};
    assert_int_equal(uv_idle_init(loop_uv_handle(uv), &idle), 0);
    uv_close((uv_handle_t *)&idle, on_closed); /* is called from within destroy */
    loop_uv_destroy(uv);
    assert_int_equal(c.n, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_queue_has_an_end),
        cmocka_unit_test(a_stop_before_the_start_counts),
        cmocka_unit_test(the_end_waits_for_work_under_way),
        cmocka_unit_test(nothing_is_taken_after_the_end),
    };
    return cmocka_run_group_tests_name("loop-uv", tests, nullptr, nullptr);
}
