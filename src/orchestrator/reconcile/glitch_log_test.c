/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "orchestrator/reconcile/glitch_log.h"

constexpr int64_t MS = NS_PER_MS;

static void what_is_near_and_alike_is_one(void **) {
    struct glitch_log log = {};
    assert_null(glitch_log_at(&log, 0));
    glitch_log_add(&log, GLITCH_LATE, 1000 * MS, 10 * MS, 1);
    glitch_log_add(&log, GLITCH_LATE, 1259 * MS, 5 * MS, 1); /* 249 ms after its end */
    glitch_log_add(&log, GLITCH_LATE, 1514 * MS, 5 * MS, 1); /* 250 ms after it */
    glitch_log_add(&log, GLITCH_NETWORK_LOSS, 1515 * MS, 5 * MS, 1);
    glitch_log_add(&log, GLITCH_LATE, 1516 * MS, 5 * MS, 1); /* goes with the one before the other kind */
    assert_int_equal(log.n, 3);
    const struct glitch_entry *first = glitch_log_at(&log, 2);
    assert_int_equal(first->wall_ns, 1000 * MS);
    assert_int_equal(first->lost_ns, 15 * MS);
    assert_int_equal(first->pieces, 2);
    assert_int_equal(glitch_log_at(&log, 0)->kind, GLITCH_NETWORK_LOSS);
    assert_int_equal(glitch_log_at(&log, 1)->pieces, 2);
    assert_null(glitch_log_at(&log, 3));
    struct stream_glitch_counts counts;
    glitch_log_show_counts(&log, &counts);
    assert_int_equal(counts.late, 4);
    assert_int_equal(counts.network_loss, 1);
    assert_int_equal(counts.stall + counts.device_xrun + counts.sender_stopped + counts.clock_jump + counts.resync, 0);
}

static void a_clock_that_is_set_back_begins_a_new_one(void **) {
    struct glitch_log log = {};
    glitch_log_add(&log, GLITCH_STALL, 1000 * MS, 10 * MS, 1);
    glitch_log_add(&log, GLITCH_STALL, 500 * MS, 10 * MS, 1);
    assert_int_equal(log.n, 2);
}

/* Lost ones and late ones in turn, for a minute. */
static void a_bad_network_leaves_room_for_the_rest(void **) {
    struct glitch_log log = {};
    glitch_log_add(&log, GLITCH_STALL, 1000 * MS, 10 * MS, 1);
    for (int64_t i = 0; i < 300; i++) {
        glitch_log_add(&log, GLITCH_NETWORK_LOSS, (2000 + 200 * i) * MS, 5 * MS, 1);
        glitch_log_add(&log, GLITCH_LATE, (2100 + 200 * i) * MS, 5 * MS, 1);
    }
    assert_int_equal(log.n, 3);
    assert_int_equal(glitch_log_at(&log, 2)->kind, GLITCH_STALL);
    assert_int_equal(glitch_log_at(&log, 0)->pieces, 300);
    assert_int_equal(glitch_log_at(&log, 0)->lost_ns, 300 * 5 * MS);
}

static void the_last_ones_are_kept(void **) {
    struct glitch_log log = {};
    for (int64_t i = 0; i < 100; i++)
        glitch_log_add(&log, GLITCH_STALL, i * 1000 * MS, (i + 1) * MS, 1);
    assert_int_equal(log.n, GLITCH_LOG_MAX);
    for (size_t i = 0; i < GLITCH_LOG_MAX; i++)
        assert_int_equal(glitch_log_at(&log, i)->wall_ns, (int64_t)(99 - i) * 1000 * MS);
    assert_null(glitch_log_at(&log, GLITCH_LOG_MAX));
    assert_int_equal(log.pieces[GLITCH_STALL], 100);
}

static void each_kind_is_shown_by_its_name(void **) {
    static const char *const NAMES[GLITCH_N_KINDS] = {"network_loss",   "late",       "stall", "device_xrun",
                                                      "sender_stopped", "clock_jump", "resync"};
    for (enum glitch_kind kind = 0; kind < GLITCH_N_KINDS; kind++) {
        struct glitch_log log = {};
        struct stream_glitch shown;
        glitch_log_add(&log, kind, 1500 * MS, kind == GLITCH_DEVICE_XRUN ? 0 : 20 * MS, 3);
        glitch_log_show(glitch_log_at(&log, 0), &shown);
        assert_string_equal(glitch_cause_name(shown.cause), NAMES[kind]);
        assert_string_equal(shown.at, "1970-01-01T00:00:01.500Z");
        assert_int_equal(shown.has_lost_ms, kind == GLITCH_DEVICE_XRUN ? PRESENCE_NULL : PRESENCE_VALUE);
        assert_true(kind == GLITCH_DEVICE_XRUN || shown.lost_ms == 20.0);
        assert_int_equal(shown.pieces, 3);
        assert_true(shown.message[0] != '\0');
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_near_and_alike_is_one),
        cmocka_unit_test(a_clock_that_is_set_back_begins_a_new_one),
        cmocka_unit_test(a_bad_network_leaves_room_for_the_rest),
        cmocka_unit_test(the_last_ones_are_kept),
        cmocka_unit_test(each_kind_is_shown_by_its_name),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
