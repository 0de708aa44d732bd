/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/sim_history.h"

/* The judge is judged: what may be left behind by writes that meet, are lost or are refused. */

static const char UID[] = "stream-stream-stream";

static void acknowledge(struct history_write *write, int64_t now) {
    write->is_acknowledged = true;
    write->answered = now;
}

static void test_nothing_written(void **) {
    struct history h = {};
    assert_true(history_allows(&h, UID, 0));
    assert_false(history_allows(&h, UID, 1));
}

static void test_one_after_the_other(void **) {
    struct history h = {};
    acknowledge(history_ask(&h, UID, 1, 10), 20);
    acknowledge(history_ask(&h, UID, 2, 30), 40);
    assert_true(history_allows(&h, UID, 2));
    assert_false(history_allows(&h, UID, 1));
    assert_false(history_allows(&h, UID, 0));
}

static void test_at_the_same_time(void **) {
    struct history h = {};
    struct history_write *first = history_ask(&h, UID, 1, 10);
    struct history_write *second = history_ask(&h, UID, 2, 15);
    acknowledge(first, 20);
    acknowledge(second, 25);
    assert_true(history_allows(&h, UID, 1));
    assert_true(history_allows(&h, UID, 2));
    assert_false(history_allows(&h, UID, 0));
}

static void test_without_an_answer(void **) {
    struct history h = {};
    history_ask(&h, UID, 1, 10);
    acknowledge(history_ask(&h, UID, 0, 30), 40);
    assert_true(history_allows(&h, UID, 1)); /* it may have come late */
    assert_true(history_allows(&h, UID, 0));
}

static void test_refused(void **) {
    struct history h = {};
    acknowledge(history_ask(&h, UID, 1, 10), 20);
    struct history_write *second = history_ask(&h, UID, 2, 30);
    second->is_refused = true;
    second->answered = 40;
    assert_true(history_allows(&h, UID, 1));
    assert_false(history_allows(&h, UID, 2));
    assert_false(history_allows(&h, "another-strea-mxxxxx", 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_written),  cmocka_unit_test(test_one_after_the_other),
        cmocka_unit_test(test_at_the_same_time), cmocka_unit_test(test_without_an_answer),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
