/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/clock.h"
#include "media/drift.h"

/*
 * What is taken for drift: quanta of a sender and of a receiver, seen in ticks of 5 ms.
 */

constexpr int64_t TICK_NS = 5 * NS_PER_MS;
constexpr int64_t PACKET_FRAMES = 96;

struct ends {
    double sender_ppm, receiver_ppm;
    int64_t sender_quantum, receiver_quantum; /* frames */
    int64_t jitter_ns;                        /* of packets, from 0 */
};

static int64_t moved(int64_t now_ns, double ppm, int64_t quantum) {
    int64_t frames = (int64_t)((double)now_ns * 48e-6 * (1 + ppm * 1e-6));
    return frames / quantum * quantum;
}

/* For so long; the last that was told, and when. How often: counted. */
static int run(struct drift *drift, const struct ends *ends, int64_t *now_ns, int64_t s, int64_t *ret_ppm,
               int64_t *ret_ns) {
    int n_told = 0;
    int64_t played = moved(*now_ns, ends->receiver_ppm, ends->receiver_quantum);
    for (int64_t end_ns = *now_ns + s * NS_PER_S; *now_ns < end_ns; *now_ns += TICK_NS) {
        int64_t late_ns = ends->jitter_ns ? rand() % ends->jitter_ns : 0;
        int64_t sent = moved(*now_ns - late_ns, ends->sender_ppm, ends->sender_quantum) / PACKET_FRAMES * PACKET_FRAMES;
        drift_packet(drift, (uint32_t)sent - 1000, *now_ns);
        if (drift_tick(drift, *now_ns, ret_ppm)) {
            n_told++;
            *ret_ns = *now_ns;
            drift_corrected(drift, *ret_ppm);
        }
        int64_t frames = moved(*now_ns, ends->receiver_ppm, ends->receiver_quantum);
        drift_played(drift, (size_t)(frames - played));
        played = frames;
    }
    return n_told;
}

static struct drift fresh(void) {
    struct drift drift;
    drift_init(&drift, 48'000, 48'000, 2 * NS_PER_MS);
    return drift;
}

static void clocks_that_differ_are_found_in_time(void **) {
    static const struct {
        struct ends ends;
        int64_t within_s; /* the sooner the more they differ */
    } CASES[] = {
        {{300, -300, 128, 128, 0}, 10}, {{-300, 300, 128, 128, 0}, 10},   {{200, -200, 128, 128, 0}, 15},
        {{50, -50, 128, 128, 0}, 50},   {{-200, 200, 256, 128, 0}, 15},   {{300, -300, 64, 64, 0}, 12},
        {{0, 200, 1, 128, 0}, 25},      {{250, -250, 128, 128, 2e6}, 15}, {{1, 200, 128, 256, 1e6}, 45},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct drift drift = fresh();
        int64_t now_ns = NS_PER_S, ppm = 0, at_ns = 0;
        srand(7);
        assert_in_range(run(&drift, &CASES[i].ends, &now_ns, 600, &ppm, &at_ns), 1, 3);
        int64_t want = (int64_t)(CASES[i].ends.sender_ppm - CASES[i].ends.receiver_ppm);
        assert_in_range(ppm - want + 1000, 970, 1030);
        drift = fresh();
        now_ns = NS_PER_S;
        assert_in_range(run(&drift, &CASES[i].ends, &now_ns, CASES[i].within_s, &ppm, &at_ns), 1, 3);
    }
}

/* Nothing is made of chance, nor of the steps of quanta that are as long as a tick. */
static void what_is_no_drift_is_none(void **) {
    static const struct ends CASES[] = {
        {0, 0, 128, 128, 0},    {5, -5, 128, 128, 0},  {0, 0, 240, 240, 0}, {20, -20, 240, 240, 0},
        {0, 0, 128, 128, 20e6}, {10, 0, 64, 240, 8e6}, {0, 0, 256, 480, 0},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct drift drift = fresh();
        int64_t now_ns = NS_PER_S, ppm = 0, at_ns = 0;
        srand(3);
        int n_told = run(&drift, &CASES[i], &now_ns, 900, &ppm, &at_ns);
        if (n_told > 0)
            print_message("case %zu: %d times, last %lld ppm\n", i, n_told, (long long)ppm);
        assert_int_equal(n_told, 0);
    }
}

/* With quanta of a tick each there is nothing but steps of 5 ms, one in 12 to 25 s. */
static void steps_upon_steps_are_drift(void **) {
    static const struct ends CASES[] = {
        {200, -200, 240, 240, 0}, {-150, 150, 240, 240, 0}, {0, 300, 1, 240, 0}, {-200, 0, 240, 240, 1e6}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct drift drift = fresh();
        int64_t now_ns = NS_PER_S, ppm = 0, at_ns = 0;
        srand(5);
        assert_in_range(run(&drift, &CASES[i], &now_ns, 180, &ppm, &at_ns), 1, 3);
        int64_t want = (int64_t)(CASES[i].sender_ppm - CASES[i].receiver_ppm);
        assert_in_range(ppm - want + 1000, 920, 1080);
        assert_in_range(run(&drift, &CASES[i], &now_ns, 900, &ppm, &at_ns), 0, 3);
        assert_in_range(ppm - want + 1000, 920, 1080);
    }
}

/* Another path, a pause, another sender: the time on the packets jumps, and that is no drift either. */
static void jumps_are_no_drift(void **) {
    const struct ends ends = {0, 0, 128, 128, 0};
    struct drift drift = fresh();
    int64_t now_ns = NS_PER_S, ppm = 0, at_ns = 0;
    for (int i = 0; i < 30; i++) {
        assert_int_equal(run(&drift, &ends, &now_ns, 1 + i, &ppm, &at_ns), 0);
        now_ns += 150 * NS_PER_MS; /* a pause; what was played meanwhile is not told either */
    }
    assert_int_equal(run(&drift, &ends, &now_ns, 7, &ppm, &at_ns), 0);
    for (int64_t end_ns = now_ns + 7 * NS_PER_S; now_ns < end_ns; now_ns += TICK_NS) {
        uint32_t sent = (uint32_t)(moved(now_ns, 0, 128) / PACKET_FRAMES * PACKET_FRAMES) - 1000;
        drift_packet(&drift, sent + 960, now_ns); /* the way got 20 ms shorter at once */
        assert_false(drift_tick(&drift, now_ns, &ppm));
        drift_played(&drift, (size_t)(moved(now_ns + TICK_NS, 0, 128) - moved(now_ns, 0, 128)));
    }
}

static void what_is_known_stays_known(void **) {
    const struct ends ends = {300, -300, 128, 128, 0};
    struct drift drift = fresh();
    int64_t now_ns = NS_PER_S, ppm = 0, at_ns = 0;
    assert_in_range(run(&drift, &ends, &now_ns, 60, &ppm, &at_ns), 1, 2);
    drift_restart(&drift);
    assert_int_equal(run(&drift, &ends, &now_ns, 300, &ppm, &at_ns), 0);
    /* and when the clocks are others, that is found, too */
    const struct ends others = {0, 0, 128, 128, 0};
    drift_restart(&drift);
    assert_in_range(run(&drift, &others, &now_ns, 60, &ppm, &at_ns), 1, 2);
    assert_in_range(ppm + 1000, 970, 1030);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clocks_that_differ_are_found_in_time),
        cmocka_unit_test(what_is_no_drift_is_none),
        cmocka_unit_test(steps_upon_steps_are_drift),
        cmocka_unit_test(jumps_are_no_drift),
        cmocka_unit_test(what_is_known_stays_known),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
