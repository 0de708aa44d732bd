/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "transport/ping.h"

/* ---- on the wire ---- */

static const struct ping FULL = {
    .sent_ns = 0x0102030405060708,
    .has_echo = true,
    .echo_ns = 0x1112131415161718,
    .held_ns = 0x21222324,
    .has_capture = true,
    .captured_ns = 0x0132333435363738,
    .rtp = 0x41424344,
    .source_ns = 0x51525354,
};

/* The bytes of docs/protocol.md. */
static void a_ping_has_these_bytes(void **) {
    static const uint8_t bytes[PING_SIZE] = {1,    3,    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
                                             0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x21, 0x22,
                                             0x23, 0x24, 0x01, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38,
                                             0x41, 0x42, 0x43, 0x44, 0x51, 0x52, 0x53, 0x54};
    uint8_t written[PING_SIZE];
    struct ping read;
    ping_write(&FULL, written);
    assert_memory_equal(written, bytes, sizeof bytes);
    assert_true(ping_read(bytes, sizeof bytes, &read));
    assert_memory_equal(&read, &FULL, sizeof read);
}

static void what_is_no_ping_is_refused(void **) {
    uint8_t good[PING_SIZE], bytes[PING_SIZE + 1] = {};
    struct ping read;
    ping_write(&FULL, good);
    memcpy(bytes, good, sizeof good);
    for (size_t len = 0; len <= sizeof bytes; len++)
        assert_int_equal(ping_read(bytes, len, &read), len == PING_SIZE);
    bytes[0] = 2; /* a later format */
    assert_false(ping_read(bytes, PING_SIZE, &read));
    bytes[0] = 1;
    for (unsigned flags = 0; flags < 256; flags++) { /* what no flag tells of is zeros, and there are no other flags */
        bytes[1] = (uint8_t)flags;
        assert_int_equal(ping_read(bytes, PING_SIZE, &read), flags == 3);
    }
    static const size_t times[] = {2, 10, 22};
    for (size_t i = 0; i < 3; i++) {
        memcpy(bytes, good, sizeof good);
        bytes[times[i]] = 0x1f;
        assert_true(ping_read(bytes, PING_SIZE, &read));
        bytes[times[i]] = 0x20;
        assert_false(ping_read(bytes, PING_SIZE, &read));
    }
}

static void times_out_of_range_are_not_told(void **) {
    struct ping ping = FULL, read;
    uint8_t bytes[PING_SIZE];
    ping.echo_ns = -1;
    ping.captured_ns = PING_TIME_MAX_NS;
    ping_write(&ping, bytes);
    assert_true(ping_read(bytes, sizeof bytes, &read));
    assert_false(read.has_echo || read.has_capture);
}

/* ---- the clock ---- */

static uint32_t seed;

static int64_t draw(int64_t below) {
    seed = seed * 1664525 + 1013904223;
    return (int64_t)(((uint64_t)seed * (uint64_t)below) >> 32);
}

/* The other clock at a time of ours. */
static int64_t theirs(int64_t ns, int64_t ahead_ns, double ppm) {
    return ns + ahead_ns + (int64_t)((double)ns * ppm * 1e-6);
}

static void assert_near(int64_t a, int64_t b, int64_t by, const char *what) {
    if (llabs(a - b) > by)
        fail_msg("%s: %.3f ms off", what, (double)(a - b) * 1e-6);
}

static void the_line_is_true(const char *what, int64_t ahead_ns, double ppm, int64_t jitter_ns, int64_t true_to_ns) {
    struct clock_offset offset = {};
    seed = 7;
    assert_false(clock_offset_is_known(&offset, 0));
    for (int64_t now_ns = 0; now_ns < 600 * NS_PER_S; now_ns += 250 * NS_PER_MS) {
        int64_t there_ns = draw(jitter_ns + 1), back_ns = draw(jitter_ns + 1);
        int64_t true_ns = theirs(now_ns, ahead_ns, ppm) - now_ns;
        clock_offset_add(&offset, now_ns, true_ns + (there_ns - back_ns) / 2, there_ns + back_ns);
        if (now_ns >= 8 * NS_PER_S)
            assert_near(clock_offset_at(&offset, now_ns), true_ns, true_to_ns, what);
    }
    assert_int_equal(offset.n_jumps, 0);
    assert_true(clock_offset_is_known(&offset, 600 * NS_PER_S));
    assert_false(clock_offset_is_known(&offset, 700 * NS_PER_S));
}

static void a_clock_is_known_whatever_it_shows(void **) {
    the_line_is_true("the same clock", 0, 0, 0, 1000);
    the_line_is_true("hours ahead, 300 ppm", 5 * 3600 * NS_PER_S, 300, NS_PER_MS, NS_PER_MS / 2);
    the_line_is_true("hours behind, -300 ppm", -5 * 3600 * NS_PER_S, -300, 5 * NS_PER_MS, 2 * NS_PER_MS);
    the_line_is_true("years ahead, much jitter", (int64_t)1 << 60, 300, 20 * NS_PER_MS, 3 * NS_PER_MS);
}

static void a_jump_begins_anew(void **) {
    struct clock_offset offset = {};
    for (int64_t i = 0; i < 100; i++)
        clock_offset_add(&offset, i * 250 * NS_PER_MS, NS_PER_S, NS_PER_MS);
    int64_t now_ns = 25 * NS_PER_S;
    clock_offset_add(&offset, now_ns, 3 * NS_PER_S, NS_PER_MS); /* one is an accident */
    assert_near(clock_offset_at(&offset, now_ns), NS_PER_S, 1000, "one odd measurement");
    clock_offset_add(&offset, now_ns + 1, NS_PER_S, NS_PER_MS);
    for (int64_t i = 1; i <= 3; i++)
        clock_offset_add(&offset, now_ns + i * 250 * NS_PER_MS, 3 * NS_PER_S, NS_PER_MS);
    assert_int_equal(offset.n_jumps, 1);
    assert_near(clock_offset_at(&offset, now_ns + NS_PER_S), 3 * NS_PER_S, 1000, "after a jump");
    /* much round trip explains much */
    clock_offset_add(&offset, now_ns + 2 * NS_PER_S, 3 * NS_PER_S + 400 * NS_PER_MS, 800 * NS_PER_MS);
    assert_int_equal(offset.n_jumps, 1);
    /* a long pause says nothing about the clock */
    clock_offset_add(&offset, now_ns + 200 * NS_PER_S, 9 * NS_PER_S, NS_PER_MS);
    assert_int_equal(offset.n_jumps, 1);
    assert_near(clock_offset_at(&offset, now_ns + 200 * NS_PER_S), 9 * NS_PER_S, 1000, "after a pause");
}

/* ---- the exchange ---- */

constexpr int64_t AHEAD_NS = 3600 * NS_PER_S;

struct ends {
    struct ping_exchange a, b; /* b's clock is AHEAD_NS ahead */
    unsigned n_of_a, n_of_b;
};

/* Both send when it is due, and it takes 7 ms there and 7 ms back. */
static void exchange(struct ends *ends, int64_t from_ns, int64_t until_ns, bool b_answers) {
    constexpr int64_t WAY_NS = 7 * NS_PER_MS;
    for (int64_t now_ns = from_ns; now_ns < until_ns; now_ns += 5 * NS_PER_MS) {
        if (ping_exchange_is_due(&ends->a, now_ns)) {
            struct ping ping = ping_exchange_next(&ends->a, now_ns);
            ends->n_of_a++;
            if (b_answers)
                ping_exchange_take(&ends->b, &ping, now_ns + WAY_NS + AHEAD_NS);
        }
        int64_t then_ns = now_ns + 10 * NS_PER_MS;
        if (ping_exchange_has_other(&ends->b) && ping_exchange_is_due(&ends->b, then_ns + AHEAD_NS)) {
            struct ping ping = ping_exchange_next(&ends->b, then_ns + AHEAD_NS);
            ends->n_of_b++;
            ping_exchange_take(&ends->a, &ping, then_ns + WAY_NS);
        }
    }
}

static void both_ends_know_the_others_clock(void **) {
    struct ends ends = {};
    exchange(&ends, 0, NS_PER_S, true); /* soon */
    assert_true(clock_offset_is_known(&ends.a.clock, NS_PER_S));
    assert_true(clock_offset_is_known(&ends.b.clock, NS_PER_S + AHEAD_NS));
    exchange(&ends, NS_PER_S, 60 * NS_PER_S, true);
    assert_near(clock_offset_at(&ends.a.clock, 60 * NS_PER_S), AHEAD_NS, 100'000, "a");
    assert_near(clock_offset_at(&ends.b.clock, 60 * NS_PER_S + AHEAD_NS), -AHEAD_NS, 100'000, "b");
    assert_near(ends.a.one_way_ns, 7 * NS_PER_MS, 100'000, "the way");
    assert_near(clock_offset_round_trip_ns(&ends.b.clock), 14 * NS_PER_MS, 1000, "the round trip");
    assert_in_range(ends.n_of_a, 230, 260); /* four a second */
    assert_in_range(ends.n_of_b, 230, 260);
}

static void who_does_not_answer_is_asked_seldom(void **) {
    struct ends ends = {};
    exchange(&ends, 0, 10 * NS_PER_S, false);
    unsigned n = ends.n_of_a;
    assert_in_range(n, 35, 45);
    exchange(&ends, 10 * NS_PER_S, 60 * NS_PER_S, false);
    assert_in_range(ends.n_of_a - n, 9, 11);
    assert_false(clock_offset_is_known(&ends.a.clock, 60 * NS_PER_S));
    exchange(&ends, 60 * NS_PER_S, 90 * NS_PER_S, true); /* it has been updated, or was only busy */
    assert_near(clock_offset_at(&ends.a.clock, 90 * NS_PER_S), AHEAD_NS, 100'000, "late");
}

static void absurd_answers_tell_nothing(void **) {
    struct ping_exchange exchange = {};
    struct ping ping = {.sent_ns = 5, .has_echo = true};
    ping.echo_ns = PING_TIME_MAX_NS - 1; /* sent in the future */
    ping_exchange_take(&exchange, &ping, NS_PER_S);
    ping.echo_ns = 0; /* an hour ago */
    ping_exchange_take(&exchange, &ping, 3600 * NS_PER_S);
    ping.echo_ns = NS_PER_S; /* held for longer than it was away */
    ping.held_ns = UINT32_MAX;
    ping_exchange_take(&exchange, &ping, 2 * NS_PER_S);
    assert_false(clock_offset_is_known(&exchange.clock, 2 * NS_PER_S));
    ping.held_ns = 0;
    ping_exchange_take(&exchange, &ping, -5);
    assert_false(clock_offset_is_known(&exchange.clock, 0));
    ping.sent_ns = PING_TIME_MAX_NS - 1; /* this may be */
    ping_exchange_take(&exchange, &ping, NS_PER_S + 1);
    assert_true(clock_offset_is_known(&exchange.clock, NS_PER_S + 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ping_has_these_bytes),
        cmocka_unit_test(what_is_no_ping_is_refused),
        cmocka_unit_test(times_out_of_range_are_not_told),
        cmocka_unit_test(a_clock_is_known_whatever_it_shows),
        cmocka_unit_test(a_jump_begins_anew),
        cmocka_unit_test(both_ends_know_the_others_clock),
        cmocka_unit_test(who_does_not_answer_is_asked_seldom),
        cmocka_unit_test(absurd_answers_tell_nothing),
    };
    return cmocka_run_group_tests_name("transport-ping", tests, nullptr, nullptr);
}
