/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "media/adapt.h"

/*
 * The policy by tables: a network for some time, and what the target is then.
 */

constexpr int64_t WINDOW_NS = NS_PER_S / 2;

static const struct adapt_config FEC = {
    .start_ns = 100 * NS_PER_MS,
    .min_ns = 100 * NS_PER_MS,
    .max_ns = 500 * NS_PER_MS,
    .packet_ns = 5 * NS_PER_MS,
    .block_ns = 90 * NS_PER_MS,
    .repair_ns = 50 * NS_PER_MS,
};

/* So many milliseconds are the latest packets behind the mean. */
static struct adapt_window window_of(double spread_ms) {
    return (struct adapt_window){
        .length_ns = WINDOW_NS,
        .n_packets = 100,
        .transit_ns = 7'000'000'000,
        .transit_high_ns = 7'000'000'000 + (int64_t)(spread_ms * NS_PER_MS),
    };
}

struct world {
    struct adapt adapt;
    int n_changes;
    enum adapt_cause cause; /* of the last change */
};

static void begin(struct world *world, const struct adapt_config *config) {
    *world = (struct world){};
    adapt_init(&world->adapt, config);
}

/* Every decision is carried out at once. */
static void pass(struct world *world, const struct adapt_window *window, double seconds) {
    for (int i = 0; i < seconds * NS_PER_S / WINDOW_NS; i++) {
        struct adapt_decision d = adapt_decide(&world->adapt, window);
        assert_in_range(d.target_ns, world->adapt.config.min_ns, world->adapt.config.max_ns);
        if (d.cause == ADAPT_STAY) {
            assert_int_equal(d.target_ns, world->adapt.target_ns);
            continue;
        }
        assert_int_not_equal(d.target_ns, world->adapt.target_ns);
        world->cause = d.cause;
        world->n_changes++;
        adapt_changed(&world->adapt, d.target_ns);
    }
}

static int target_ms(const struct world *world) {
    return (int)(world->adapt.target_ns / NS_PER_MS);
}

static void one_window_says_how_much_is_needed(void **) {
    static const struct {
        double spread_ms;
        uint32_t n_lost, n_late;
        int target_ms;
        enum adapt_cause cause;
    } CASES[] = {
        {0, 0, 0, 100, ADAPT_STAY},
        {80, 0, 0, 100, ADAPT_STAY},   /* nothing is lost: all of the queue is for jitter */
        {95, 0, 0, 120, ADAPT_JITTER}, /* 95, a packet, a margin */
        {5, 5, 0, 100, ADAPT_STAY},    /* lost, and there is room for a block */
        {20, 5, 0, 120, ADAPT_LOSS},   /* a block and the jitter of its packets */
        {120, 5, 2, 250, ADAPT_LATE},  /* late ones are the better reason */
        {300, 0, 0, 400, ADAPT_JITTER},
        {3000, 0, 9, 500, ADAPT_LATE}, /* the ceiling */
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct world world;
        begin(&world, &FEC);
        struct adapt_window w = window_of(CASES[i].spread_ms);
        w.n_lost = CASES[i].n_lost;
        w.n_late = CASES[i].n_late;
        pass(&world, &w, 0.5);
        assert_int_equal(target_ms(&world), CASES[i].target_ms);
        assert_int_equal(world.cause, CASES[i].cause);
    }
}

static void a_device_that_takes_much_at_once_needs_so_much(void **) {
    static const struct {
        double portion_ms, spread_ms;
        int target_ms;
        enum adapt_cause cause;
    } CASES[] = {
        {5.3, 0, 100, ADAPT_STAY},     {85.3, 0, 100, ADAPT_STAY},      {85.3, 20, 120, ADAPT_DEVICE},
        {170.7, 0, 200, ADAPT_DEVICE}, {170.7, 115, 300, ADAPT_JITTER},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct world world;
        begin(&world, &FEC);
        struct adapt_window w = window_of(CASES[i].spread_ms);
        w.portion_ns = (int64_t)(CASES[i].portion_ms * NS_PER_MS);
        pass(&world, &w, 0.5);
        assert_int_equal(target_ms(&world), CASES[i].target_ms);
        assert_int_equal(world.cause, CASES[i].cause);
        pass(&world, &w, 600);
        assert_in_range(world.n_changes, 0, 1);
    }
}

static void short_queues_without_fec(void **) {
    struct world world;
    begin(&world,
          &(struct adapt_config){
              .start_ns = 10 * NS_PER_MS, .min_ns = 5 * NS_PER_MS, .max_ns = 100 * NS_PER_MS, .packet_ns = NS_PER_MS});
    struct adapt_window quiet = window_of(0), uneven = window_of(20);
    quiet.n_packets = uneven.n_packets = 500;
    uneven.n_lost = 3; /* nothing brings them back: no reason to wait for them */
    pass(&world, &quiet, 600);
    assert_in_range(target_ms(&world), 5, 8);
    pass(&world, &uneven, 1);
    assert_int_equal(target_ms(&world), 30);
    assert_int_equal(world.cause, ADAPT_JITTER);
}

static void it_rises_at_once_and_falls_slowly(void **) {
    struct world world;
    begin(&world, &FEC);
    struct adapt_window quiet = window_of(2), uneven = window_of(230);
    pass(&world, &quiet, 60);
    assert_int_equal(world.n_changes, 0);
    pass(&world, &uneven, 0.5);
    assert_int_equal(target_ms(&world), 250);
    pass(&world, &quiet, 119);
    assert_int_equal(target_ms(&world), 250);
    pass(&world, &quiet, 2);
    assert_int_equal(target_ms(&world), 150); /* two rungs */
    assert_int_equal(world.cause, ADAPT_CALM);
    pass(&world, &quiet, 120);
    assert_int_equal(target_ms(&world), 100);
    assert_int_equal(world.n_changes, 1 + 2);
    struct adapt_window less = window_of(150);
    pass(&world, &uneven, 0.5);
    pass(&world, &less, 1000);
    assert_int_equal(target_ms(&world), 200); /* one: two would be too little */
}

/* A gap every so often: the price of forgetting it is paid ever more rarely. */
static void trouble_that_returns_is_remembered(void **) {
    static const struct {
        double every_s;
        int most_changes;
    } CASES[] = {{5, 1}, {20, 1}, {45, 1}, {100, 9}, {240, 15}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct world world;
        begin(&world, &FEC);
        struct adapt_window quiet = window_of(2), gap = window_of(180);
        for (double t = 0; t < 3600; t += CASES[i].every_s) {
            pass(&world, &gap, 0.5);
            pass(&world, &quiet, CASES[i].every_s - 0.5);
        }
        if (world.n_changes > CASES[i].most_changes)
            fail_msg("%d changes in an hour with a gap every %g s", world.n_changes, CASES[i].every_s);
    }
}

/* At the border of a rung it does not flutter. */
static void no_steady_network_makes_it_oscillate(void **) {
    for (double spread_ms = 0; spread_ms < 500; spread_ms += 0.5) {
        for (uint32_t n_lost = 0; n_lost < 2; n_lost++) {
            struct world world;
            begin(&world, &FEC);
            struct adapt_window w = window_of(spread_ms);
            w.n_lost = n_lost;
            pass(&world, &w, 3600);
            assert_true(world.n_changes <= 1);
        }
    }
}

/* Noise on all figures, seeded: few changes in an hour, never outside the bounds. */
static void noise_does_not_make_it_nervous(void **) {
    uint64_t x = 88172645463325252U;
    struct world world;
    begin(&world, &FEC);
    for (int i = 0; i < 7200; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        struct adapt_window w = window_of(30 + (double)(x % 120));
        w.n_lost = (uint32_t)(x >> 20) % 3;
        w.jitter_ns = (int64_t)(x >> 30) % (20 * NS_PER_MS);
        pass(&world, &w, 0.5);
    }
    assert_in_range(world.n_changes, 1, 4);
    assert_in_range(target_ms(&world), 250, 300);
}

static void what_latency_cannot_help_changes_nothing(void **) {
    struct world world;
    begin(&world, &FEC);
    /* a break of the network: no packets, and then holes that are its doing */
    struct adapt_window quiet = window_of(2), nothing = {.length_ns = WINDOW_NS}, after = window_of(2);
    after.hole_ns = 300 * NS_PER_MS;
    after.n_lost = 60;
    after.n_burst = 60;
    pass(&world, &quiet, 10);
    pass(&world, &nothing, 3);
    pass(&world, &after, 0.5);
    pass(&world, &quiet, 10);
    assert_int_equal(world.n_changes, 0);
    /* bursts longer than a block repairs */
    after.n_burst = 11;
    after.n_lost = 11;
    pass(&world, &after, 60);
    assert_int_equal(world.n_changes, 0);
}

static void holes_that_nothing_explains_are_tried_one_rung_at_a_time(void **) {
    struct world world;
    begin(&world, &FEC);
    struct adapt_window w = window_of(3);
    w.n_lost = 4;
    w.n_burst = 2;
    w.hole_ns = 20 * NS_PER_MS;
    pass(&world, &w, 6);
    assert_int_equal(target_ms(&world), 120);
    assert_int_equal(world.cause, ADAPT_GLITCHES);
    pass(&world, &w, 4);
    assert_int_equal(target_ms(&world), 120);
    pass(&world, &w, 600);
    assert_int_equal(target_ms(&world), 150); /* there is room by now, and it does not help */
    w.n_late = 1;
    pass(&world, &w, 600);
    assert_int_equal(target_ms(&world), 500);
}

static void drift_is_no_jitter(void **) {
    for (int ppm = -300; ppm <= 300; ppm += 100) {
        struct world world;
        begin(&world, &FEC);
        struct adapt_window w = window_of(2);
        for (int i = 0; i < 7200; i++) {
            w.transit_ns += WINDOW_NS * ppm / 1'000'000;
            w.transit_high_ns += WINDOW_NS * ppm / 1'000'000;
            pass(&world, &w, 0.5);
        }
        assert_int_equal(world.n_changes, 0);
    }
}

static void another_sender_has_another_clock(void **) {
    struct world world;
    begin(&world, &FEC);
    struct adapt_window w = window_of(2);
    pass(&world, &w, 10);
    w.transit_ns += 1000 * NS_PER_S;
    w.transit_high_ns += 1000 * NS_PER_S;
    adapt_new_session(&world.adapt);
    pass(&world, &w, 10);
    assert_int_equal(world.n_changes, 0);
}

static void causes_have_words(void **) {
    for (enum adapt_cause cause = ADAPT_STAY; cause <= ADAPT_CALM; cause++)
        assert_true(strlen(adapt_cause_name(cause)) > 2 && strlen(adapt_cause_text(cause)) > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_window_says_how_much_is_needed),
        cmocka_unit_test(a_device_that_takes_much_at_once_needs_so_much),
        cmocka_unit_test(short_queues_without_fec),
        cmocka_unit_test(it_rises_at_once_and_falls_slowly),
        cmocka_unit_test(trouble_that_returns_is_remembered),
        cmocka_unit_test(no_steady_network_makes_it_oscillate),
        cmocka_unit_test(noise_does_not_make_it_nervous),
        cmocka_unit_test(what_latency_cannot_help_changes_nothing),
        cmocka_unit_test(holes_that_nothing_explains_are_tried_one_rung_at_a_time),
        cmocka_unit_test(drift_is_no_jitter),
        cmocka_unit_test(another_sender_has_another_clock),
        cmocka_unit_test(causes_have_words),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
