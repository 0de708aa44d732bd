/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "media/profile.h"
#include "model_gen.h"

/*
 * What the codec is told for every target latency, and that it can work.
 */

static struct stream_settings settings_for(int32_t target_ms, enum fec_code fec) {
    struct stream_settings s;
    stream_settings_defaults(&s);
    s.has_target_latency_ms = PRESENCE_VALUE;
    s.target_latency_ms = target_ms;
    s.fec = fec;
    return s;
}

static struct codec_settings derive(const struct stream_settings *s) {
    struct codec_settings c = {};
    struct err_info info = {};
    if (profile_derive(s, &c, &info) != ERR_OK)
        fail_msg("target %d ms: %s", (int)s->target_latency_ms, info.message);
    return c;
}

static void refuse(const struct stream_settings *s, const char *pointer, const char *says) {
    struct codec_settings c;
    struct err_info info = {};
    assert_int_equal(profile_derive(s, &c, &info), ERR_INVALID);
    assert_string_equal(info.pointer, pointer);
    if (!strstr(info.message, says))
        fail_msg("'%s' does not say '%s'", info.message, says);
}

/* Of n things that each happen with this probability: more than `most` happen. */
static double more_than(int most, int n, double probability) {
    double sum = 0;
    for (int i = most + 1; i <= n; i++)
        sum += exp(lgamma(n + 1.0) - lgamma(i + 1.0) - lgamma(n - i + 1.0) + i * log(probability) +
                   (n - i) * log1p(-probability));
    return sum;
}

static void every_target_has_packets_and_a_block_that_fit(void **) {
    for (int32_t target_ms = 20; target_ms <= 2000; target_ms++) {
        struct stream_settings s = settings_for(target_ms, FEC_CODE_RS8M);
        struct codec_settings c = derive(&s);
        int64_t block_ns = c.fec_source_packets * c.packet_length_ns;
        assert_int_equal(c.target_latency_ns, target_ms * NS_PER_MS);
        assert_true(block_ns <= c.target_latency_ns - 10 * NS_PER_MS);
        assert_true(codec_payload_bytes(&c) <= CODEC_PAYLOAD_MAX);
        assert_int_equal(codec_packet_samples(&c) * NS_PER_S, c.packet_length_ns * 48000);
    }
    for (int32_t target_ms = 5; target_ms <= 2000; target_ms++) {
        struct stream_settings s = settings_for(target_ms, FEC_CODE_NONE);
        struct codec_settings c = derive(&s);
        assert_true(2 * c.packet_length_ns <= c.target_latency_ns);
        assert_int_equal(c.fec_source_packets + c.fec_repair_packets, 0);
    }
}

static void a_twentieth_of_the_packets_may_be_lost(void **) {
    for (int32_t target_ms = 20; target_ms <= 1000; target_ms++) {
        struct stream_settings s = settings_for(target_ms, FEC_CODE_RS8M);
        struct codec_settings c = derive(&s);
        double blocks_per_hour = 3600.0 * NS_PER_S / (double)(c.fec_source_packets * c.packet_length_ns);
        double beyond_repair =
            more_than((int)c.fec_repair_packets, (int)(c.fec_source_packets + c.fec_repair_packets), 0.05);
        assert_true(beyond_repair * blocks_per_hour < 0.1);
    }
}

static void ldpc_has_as_many_repair_packets_as_it_needs(void **) {
    for (int32_t target_ms = 50; target_ms <= 1000; target_ms += 10) {
        struct stream_settings s = settings_for(target_ms, FEC_CODE_LDPC);
        assert_true(derive(&s).fec_repair_packets >= 7);
    }
    struct stream_settings s = settings_for(100, FEC_CODE_LDPC);
    s.has_fec_block_source_packets = s.has_fec_block_repair_packets = PRESENCE_VALUE;
    s.fec_block_source_packets = 10;
    s.fec_block_repair_packets = 6;
    refuse(&s, "/settings/fec_block_repair_packets", "at least 7");
}

static void what_is_asked_for_is_taken_if_it_can_work(void **) {
    struct stream_settings s = settings_for(100, FEC_CODE_RS8M);
    s.has_packet_length_ms = s.has_fec_block_source_packets = s.has_fec_block_repair_packets = PRESENCE_VALUE;
    s.packet_length_ms = 2.5;
    s.fec_block_source_packets = 36;
    s.fec_block_repair_packets = 12;
    struct codec_settings c = derive(&s);
    assert_int_equal(c.packet_length_ns, 2'500'000);
    assert_int_equal(c.fec_source_packets, 36);
    assert_int_equal(c.fec_repair_packets, 12);

    s.fec_block_source_packets = 37; /* 92.5 ms: 100 ms have room for 90 */
    refuse(&s, "/settings/fec_block_source_packets", "at most 36 packets");
    s.fec_block_repair_packets = 220;
    refuse(&s, "/settings/fec_block_source_packets", "at most 255");
    s.has_fec_block_repair_packets = PRESENCE_NULL;
    refuse(&s, "/settings/fec_block_repair_packets", "belong together");
    s.packet_length_ms = 8; /* 1536 bytes */
    refuse(&s, "/settings/packet_length_ms", "7.2 ms is the most");
    s = settings_for(19, FEC_CODE_RS8M);
    refuse(&s, "/settings/target_latency_ms", "20 ms is the least");
    s = settings_for(49, FEC_CODE_LDPC);
    refuse(&s, "/settings/target_latency_ms", "use fec rs8m");
}

static void bounds(struct stream_settings *s, int32_t min_ms, int32_t max_ms) {
    stream_settings_defaults(s);
    s->has_latency_min_ms = min_ms ? PRESENCE_VALUE : PRESENCE_NULL;
    s->has_latency_max_ms = max_ms ? PRESENCE_VALUE : PRESENCE_NULL;
    s->latency_min_ms = min_ms;
    s->latency_max_ms = max_ms;
}

static void auto_has_a_floor_a_ceiling_and_a_start_between_them(void **) {
    static const struct {
        int32_t min_ms, max_ms; /* 0: null */
        struct profile_latency want;
        double packet_ms;
    } CASES[] = {
        {0, 0, {true, 100, 100, 500}, 5},     {20, 0, {true, 100, 20, 500}, 2.5},
        {0, 60, {false, 60, 60, 60}, 2.5},    {30, 60, {true, 60, 30, 60}, 2.5},
        {800, 0, {false, 800, 800, 800}, 5},  {150, 1000, {true, 150, 150, 1000}, 5},
        {0, 5000, {true, 100, 100, 5000}, 5}, {80, 80, {false, 80, 80, 80}, 2.5},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct stream_settings s;
        struct profile_latency l;
        bounds(&s, CASES[i].min_ms, CASES[i].max_ms);
        assert_int_equal(profile_latency(&s, &l, nullptr), ERR_OK);
        assert_int_equal(l.adapts, CASES[i].want.adapts);
        assert_int_equal(l.start_ms, CASES[i].want.start_ms);
        assert_int_equal(l.min_ms, CASES[i].want.min_ms);
        assert_int_equal(l.max_ms, CASES[i].want.max_ms);
        /* what works at the floor is what is sent */
        struct codec_settings c = derive(&s);
        assert_int_equal(c.target_latency_ns, l.start_ms * NS_PER_MS);
        assert_int_equal(c.packet_length_ns, (int64_t)(CASES[i].packet_ms * NS_PER_MS));
        assert_true(c.fec_source_packets * c.packet_length_ns <= (l.min_ms - 10) * NS_PER_MS);
    }
    struct stream_settings s;
    bounds(&s, 300, 200);
    refuse(&s, "/settings/latency_min_ms", "200 is the most");
    bounds(&s, 10, 0);
    refuse(&s, "/settings/latency_min_ms", "20 ms is the least");
    bounds(&s, 0, 15);
    refuse(&s, "/settings/latency_max_ms", "20 ms is the least");
    /* a latency that was asked for has no bounds */
    bounds(&s, 300, 200);
    s.has_target_latency_ms = PRESENCE_VALUE;
    s.target_latency_ms = 50;
    struct profile_latency l;
    assert_int_equal(profile_latency(&s, &l, nullptr), ERR_OK);
    assert_false(l.adapts);
    assert_int_equal(l.start_ms, 50);
}

/* Every refusal names a value; that value is taken. */
static void the_nearest_value_that_works_is_named(void **) {
    struct stream_settings s = settings_for(100, FEC_CODE_RS8M);
    s.has_packet_length_ms = PRESENCE_VALUE;
    strcpy(s.encoding, "l16/44100/1");
    s.packet_length_ms = 10; /* 90 ms take nine of them: the block is a shorter one */
    assert_int_equal(derive(&s).fec_source_packets, 6);
    s.packet_length_ms = 15;
    assert_int_equal(derive(&s).fec_source_packets, 6);
    s.target_latency_ms = 60;
    refuse(&s, "/settings/packet_length_ms", "packets of 12.5 ms, a target of 70 ms");
    s.packet_length_ms = 12.5;
    assert_int_equal(derive(&s).fec_source_packets, 4);
    s.packet_length_ms = 15;
    s.target_latency_ms = 70;
    assert_int_equal(derive(&s).fec_source_packets, 4);
    s = settings_for(10, FEC_CODE_RS8M);
    refuse(&s, "/settings/target_latency_ms", "20 ms is the least, or use fec none");
    s.fec = FEC_CODE_NONE;
    assert_int_equal(derive(&s).packet_length_ns, 2 * NS_PER_MS);
    s.has_packet_length_ms = PRESENCE_VALUE;
    s.packet_length_ms = 6;
    refuse(&s, "/settings/packet_length_ms", "5 ms is the most");
    s.packet_length_ms = 5;
    assert_int_equal(derive(&s).packet_length_ns, 5 * NS_PER_MS);
}

static void encodings_that_are_wide_have_shorter_packets(void **) {
    struct stream_settings s = settings_for(200, FEC_CODE_RS8M);
    strcpy(s.encoding, "l16/48000/8");
    struct codec_settings c = derive(&s);
    assert_int_equal(c.packet_length_ns, 1'250'000);
    assert_true(codec_payload_bytes(&c) <= CODEC_PAYLOAD_MAX);
    strcpy(s.encoding, "opus/48000/2");
    struct err_info info = {};
    assert_int_equal(profile_derive(&s, &c, &info), ERR_UNSUPPORTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_target_has_packets_and_a_block_that_fit),
        cmocka_unit_test(a_twentieth_of_the_packets_may_be_lost),
        cmocka_unit_test(ldpc_has_as_many_repair_packets_as_it_needs),
        cmocka_unit_test(what_is_asked_for_is_taken_if_it_can_work),
        cmocka_unit_test(auto_has_a_floor_a_ceiling_and_a_start_between_them),
        cmocka_unit_test(the_nearest_value_that_works_is_named),
        cmocka_unit_test(encodings_that_are_wide_have_shorter_packets),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
