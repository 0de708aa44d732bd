/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/loop_sim.h"
#include "orchestrator/registry/events.h"

struct fixture {
    struct loop_sim sim;
    struct events *events;
    unsigned n_wakes;
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    loop_sim_init(&f->sim);
    f->events = events_create(&f->sim.loop, 0xabcdef01);
    assert_non_null(f->events);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    events_destroy(f->events);
    loop_sim_finish(&f->sim);
    free(f);
    return 0;
}

static void append(struct fixture *f, enum event_type type, const char *peer, const char *object) {
    char *json = strdup("{}");
    assert_non_null(json);
    events_append_take(f->events, type, peer, object, json, 2);
}

static void on_wake(void *arg) {
    struct fixture *f = arg;
    f->n_wakes++;
}

static void turn(struct fixture *f) {
    loop_sim_run_until(&f->sim, loop_now_ns(&f->sim.loop));
}

static void test_numbers_grow_by_one(void **state) {
    struct fixture *f = *state;
    assert_int_equal(events_epoch(f->events), 0xabcdef01);
    assert_int_equal(events_last(f->events), 0);
    assert_null(events_get(f->events, 0));
    assert_null(events_get(f->events, 1));
    for (uint64_t n = 1; n <= 100; n++) {
        append(f, EVENT_STREAM_UPDATED, "p", "s");
        assert_int_equal(events_last(f->events), n);
        assert_int_equal(events_get(f->events, n)->number, n);
        assert_null(events_get(f->events, n + 1));
    }
    assert_int_equal(events_get(f->events, 1)->number, 1);
}

static void test_the_ring_forgets_the_oldest(void **state) {
    struct fixture *f = *state;
    for (size_t i = 0; i < EVENTS_RING + 10; i++)
        append(f, EVENT_STREAM_UPDATED, "p", "s");
    assert_null(events_get(f->events, 10));
    for (uint64_t n = 11; n <= EVENTS_RING + 10; n++)
        assert_int_equal(events_get(f->events, n)->number, n);
}

static void test_bytes_are_bounded_and_the_newest_stays(void **state) {
    struct fixture *f = *state;
    constexpr size_t PART = EVENTS_BYTES_MAX / 4;
    for (uint64_t n = 1; n <= 6; n++) {
        char *json = calloc(1, PART);
        assert_non_null(json);
        events_append_take(f->events, EVENT_STREAM_UPDATED, "p", "s", json, PART);
        assert_non_null(events_get(f->events, n));
        assert_true((events_get(f->events, n > 4 ? n - 3 : 1)) != nullptr);
        if (n > 4)
            assert_null(events_get(f->events, n - 4));
    }
    /* One that is larger than all may be is kept alone: somebody must be able to read it. */
    char *huge = calloc(1, EVENTS_BYTES_MAX + 1);
    assert_non_null(huge);
    events_append_take(f->events, EVENT_STREAM_UPDATED, "p", "s", huge, EVENTS_BYTES_MAX + 1);
    assert_non_null(events_get(f->events, 7));
    assert_null(events_get(f->events, 6));
}

static void test_a_gap_drops_all_before_it(void **state) {
    struct fixture *f = *state;
    append(f, EVENT_STREAM_ADDED, "p", "s");
    append(f, EVENT_STREAM_UPDATED, "p", "s");
    events_append_take(f->events, EVENT_STREAM_UPDATED, "p", "s", nullptr, 0);
    assert_int_equal(events_last(f->events), 3);
    for (uint64_t n = 1; n <= 3; n++)
        assert_null(events_get(f->events, n));
    append(f, EVENT_STREAM_UPDATED, "p", "s");
    assert_int_equal(events_get(f->events, 4)->number, 4);
    assert_null(events_get(f->events, 3));
}

static void test_one_wake_a_turn(void **state) {
    struct fixture *f = *state;
    append(f, EVENT_STREAM_ADDED, "p", "s");
    events_on_append(f->events, on_wake, f);
    turn(f);
    assert_int_equal(f->n_wakes, 0);
    for (int i = 0; i < 50; i++)
        append(f, EVENT_STREAM_UPDATED, "p", "s");
    assert_int_equal(f->n_wakes, 0); /* never from inside the call */
    turn(f);
    assert_int_equal(f->n_wakes, 1);
    append(f, EVENT_STREAM_UPDATED, "p", "s");
    turn(f);
    assert_int_equal(f->n_wakes, 2);
    append(f, EVENT_STREAM_UPDATED, "p", "s");
    events_on_append(f->events, nullptr, nullptr);
    turn(f);
    assert_int_equal(f->n_wakes, 2);
}

static void test_filters(void **state) {
    struct fixture *f = *state;
    static const struct {
        enum event_type type;
        const char *peer, *object;
        struct event_filter filter;
        bool matches;
    } CASES[] = {
        {EVENT_STREAM_ADDED, "p", "s", {}, true},
        {EVENT_METER, "p", "s", {}, false}, /* only when asked for */
        {EVENT_LOG, "p", "", {}, false},
        {EVENT_METER, "p", "s", {.types = 1u << EVENT_METER}, true},
        {EVENT_STREAM_ADDED, "p", "s", {.types = 1u << EVENT_METER}, false},
        {EVENT_STREAM_ADDED, "p", "s", {.peer_uid = "p"}, true},
        {EVENT_STREAM_ADDED, "p", "s", {.peer_uid = "q"}, false},
        {EVENT_STREAM_ADDED, "p", "s", {.stream_uid = "s"}, true},
        {EVENT_STREAM_ADDED, "p", "s", {.stream_uid = "t"}, false},
        {EVENT_ENDPOINT_ADDED, "p", "s", {.stream_uid = "s"}, false}, /* the uid of another kind of object */
        {EVENT_METER, "p", "s", {.types = 1u << EVENT_METER, .stream_uid = "s"}, true},
        {EVENT_PEER_UPDATED, "p", "p", {.peer_uid = "p"}, true},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        append(f, CASES[i].type, CASES[i].peer, CASES[i].object);
        const struct event *event = events_get(f->events, events_last(f->events));
        if (events_match(&CASES[i].filter, event) != CASES[i].matches)
            fail_msg("case %zu: %s", i, event_type_name(event->type));
    }
}

static void test_every_type_has_a_name(void **) {
    for (int i = 0; i < EVENT_N_TYPES; i++) {
        assert_non_null(event_type_name((enum event_type)i));
        for (int j = 0; j < i; j++)
            assert_string_not_equal(event_type_name((enum event_type)i), event_type_name((enum event_type)j));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_numbers_grow_by_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_ring_forgets_the_oldest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bytes_are_bounded_and_the_newest_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_gap_drops_all_before_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_wake_a_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_filters, set_up, tear_down),
        cmocka_unit_test(test_every_type_has_a_name),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
