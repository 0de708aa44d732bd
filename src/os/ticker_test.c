/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "os/poller.h"
#include "os/thread.h"
#include "os/ticker.h"

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

static void ticker_wakes_in_time(void **) {
    struct ticker ticker;
    assert_int_equal(ticker_init(&ticker), 0);
    int64_t begin = now_ns();
    ticker_start(&ticker, begin + 2'000'000, 1'000'000);
    while (now_ns() < begin + 2'000'000)
        ticker_wait(&ticker);
    for (int i = 0; i < 5; i++) /* ends, because each period wakes */
        ticker_wait(&ticker);
    ticker_stop(&ticker);
    ticker_wake(&ticker);
    ticker_wait(&ticker); /* the wake of before counts */
    ticker_finish(&ticker);
}

struct sleeper {
    struct ticker ticker;
    atomic_bool stop;
    atomic_int n_wakes;
};

static void *sleeper_main(void *arg) {
    struct sleeper *s = arg;
    do {
        ticker_wait(&s->ticker); /* a wake from before counts as well */
        atomic_fetch_add(&s->n_wakes, 1);
    } while (!atomic_load(&s->stop));
    return nullptr;
}

static void ticker_can_be_woken_by_another_thread(void **) {
    struct sleeper *s = calloc(1, sizeof *s);
    struct thread thread = {};
    assert_int_equal(ticker_init(&s->ticker), 0);
    assert_int_equal(thread_start(&thread, "sleeper", sleeper_main, s), 0);
    ticker_wake(&s->ticker);
    atomic_store(&s->stop, true);
    ticker_wake(&s->ticker);
    thread_join(&thread);
    thread_join(&thread); /* harmless */
    assert_true(s->n_wakes >= 1);
    ticker_finish(&s->ticker);
    free(s);
}

static void poller_tells_who_is_ready(void **) {
    struct poller poller;
    assert_int_equal(poller_init(&poller), 0);
    int a = eventfd(0, EFD_NONBLOCK), b = eventfd(0, EFD_NONBLOCK);
    assert_int_equal(poller_add(&poller, a, &a), 0);
    assert_int_equal(poller_add(&poller, b, &b), 0);
    void *ready[4];
    assert_int_equal(poller_ask(&poller, ready, 4), 0);
    uint64_t one = 1;
    assert_int_equal(write(b, &one, sizeof one), sizeof one);
    assert_int_equal(poller_ask(&poller, ready, 4), 1);
    assert_ptr_equal(ready[0], &b);
    assert_int_equal(poller_ask(&poller, ready, 4), 1); /* until it is read */
    poller_remove(&poller, b);
    assert_int_equal(poller_ask(&poller, ready, 4), 0);
    assert_int_not_equal(poller_add(&poller, -1, nullptr), 0);
    close(a);
    close(b);
    poller_finish(&poller);
    poller_finish(&poller);
}

static void there_is_a_processor(void **) {
    assert_true(thread_n_processors() >= 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ticker_wakes_in_time),
        cmocka_unit_test(ticker_can_be_woken_by_another_thread),
        cmocka_unit_test(poller_tells_who_is_ready),
        cmocka_unit_test(there_is_a_processor),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
