/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "support/link_sim.h"
#include "support/roc_packets.h"
#include "transport/codec.h"

/*
 * libroc behind the codec's interface, on virtual time: what comes out is what went in, when it was asked for. The losses
 * are seeded, so a run is always the same.
 */

static int setup(void **state) {
    struct codec *codec;
    struct err_info info;
    if (roc_codec_create((struct log){}, &codec, &info) != ERR_OK)
        fail_msg("%s", info.message);
    *state = codec;
    return 0;
}

static int teardown(void **state) {
    struct codec *codec = *state;
    codec->ops->close(codec);
    return 0;
}

static struct codec_settings settings_for(enum codec_fec fec, const char *encoding_name, int64_t target_ms) {
    struct codec_settings s = roc_packets_settings(fec);
    const struct codec_encoding *encoding = codec_encoding_by_name(encoding_name);
    assert_non_null(encoding);
    s.wire_rate_hz = encoding->rate_hz;
    s.wire_channels = encoding->n_channels;
    s.payload_type = encoding->payload_type;
    s.target_latency_ns = target_ms * NS_PER_MS;
    return s;
}

/* From that frame on the sound is what was sent, one sample after the other; returns how late it is, in frames. */
static size_t assert_same(const struct link_sim_result *r, uint32_t n_channels, size_t from, size_t at_least) {
    assert_true(r->first < r->n_frames);
    assert_true(r->n_frames >= from + at_least);
    uint64_t position = link_sim_position(r, n_channels, from);
    assert_true(position != UINT64_MAX);
    for (size_t i = from; i < r->n_frames; i++)
        for (uint32_t c = 0; c < n_channels; c++) {
            long want = link_sim_sample(position + i - from, c);
            long got = lrintf(r->sound[i * n_channels + c] * 32768);
            if (got != want)
                fail_msg("channel %u of frame %zu is %ld, not %ld; the sound begins at frame %zu", c, i, got, want,
                         r->first);
        }
    return from - (size_t)position;
}

/* The profile `intact` plays each sample as it was sent, `target` after it was sent, but for the packet it came in. */
static void every_sample_comes_through(void **state) {
    static const char *const encodings[] = {"l16/44100/2", "l16/48000/2", "l16/48000/1", "l16/48000/4", "l16/48000/16"};
    for (enum codec_fec fec = CODEC_FEC_NONE; fec <= CODEC_FEC_LDPC; fec++)
        for (size_t i = 0; i < sizeof encodings / sizeof encodings[0]; i++) {
            struct link_sim sim = {.settings = settings_for(fec, encodings[i], 150), .seconds = 5};
            while (codec_payload_bytes(&sim.settings) > CODEC_PAYLOAD_MAX)
                sim.settings.packet_length_ns /= 2;
            struct link_sim_result r;
            link_sim_run(*state, &sim, &r);
            uint32_t rate = sim.settings.wire_rate_hz;
            size_t late = assert_same(&r, sim.settings.wire_channels, r.first, 4 * rate);
            assert_in_range(late * 1000 / rate, 150 - 10, 150 + 5);
            assert_int_equal(r.rejected + r.lost + r.late + r.reordered, 0);
            assert_int_equal(r.sessions, 1);
            link_sim_finish(&r);
        }
}

static void the_latency_is_what_was_asked_for(void **state) {
    static const struct {
        int64_t target_ms;
        int64_t packet_ns, tick_ns;
        uint32_t source, repair;
    } cases[] = {
        {20, 2'500'000, 2'500'000, 4, 3},
        {50, 2'500'000, 5'000'000, 10, 5},
        {100, 5'000'000, 5'000'000, 18, 10},
        {500, 5'000'000, 5'000'000, 18, 10},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct link_sim sim = {.settings = settings_for(CODEC_FEC_RS8M, "l16/48000/2", cases[i].target_ms),
                               .seconds = 3,
                               .tick_ns = cases[i].tick_ns};
        sim.settings.packet_length_ns = cases[i].packet_ns;
        sim.settings.fec_source_packets = cases[i].source;
        sim.settings.fec_repair_packets = cases[i].repair;
        struct link_sim_result r;
        link_sim_run(*state, &sim, &r);
        int64_t late_ns = (int64_t)assert_same(&r, 2, r.first, 2 * 48000) * NS_PER_S / 48000;
        int64_t error_ns = late_ns - cases[i].target_ms * NS_PER_MS;
        if (llabs(error_ns) > 2 * cases[i].packet_ns)
            fail_msg("asked for %lld ms, got %.2f", (long long)cases[i].target_ms, (double)late_ns / 1e6);
        link_sim_finish(&r);
    }
}

/* The block that a session begins with may be without its beginning; from then on every packet is given back. */
static void five_percent_of_all_packets_may_be_lost(void **state) {
    static const struct {
        double jitter_ms;
        int64_t target_ms;
    } cases[] = {{0, 200}, {20, 200}, {5, 110}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct link_sim sim = {.settings = settings_for(CODEC_FEC_RS8M, "l16/48000/2", cases[i].target_ms),
                               .seconds = 20,
                               .loss = 0.05,
                               .jitter_ms = cases[i].jitter_ms,
                               .seed = 4};
        struct link_sim_result r;
        link_sim_run(*state, &sim, &r);
        assert_same(&r, 2, r.first + 48000, 18 * 48000);
        assert_true(r.dropped > 100);
        /* The last ones have nothing after them that tells of them. */
        assert_in_range(r.lost, r.dropped - 3, r.dropped);
        assert_in_range(r.repaired, r.lost - 18, r.lost);
        assert_int_equal(r.rejected, 0);
        link_sim_finish(&r);
    }
}

/* LDPC is received without its repair packets (transport/gate.h says why). */
static void without_repair_a_lost_packet_is_a_hole(void **state) {
    for (enum codec_fec fec = CODEC_FEC_NONE; fec <= CODEC_FEC_LDPC; fec += CODEC_FEC_LDPC) {
        struct link_sim sim = {
            .settings = settings_for(fec, "l16/48000/2", 100), .seconds = 10, .loss = 0.05, .seed = 9};
        struct link_sim_result r;
        link_sim_run(*state, &sim, &r);
        assert_true(r.n_lost > 0);
        /* What is on its way at the end has not been heard yet. */
        assert_in_range(r.n_lost, (r.lost - 4) * 240, r.lost * 240);
        assert_int_equal(r.repaired, 0);
        assert_int_equal(r.missing, r.lost);
        link_sim_finish(&r);
    }
}

static void late_packets_within_the_latency_change_nothing(void **state) {
    struct link_sim sim = {
        .settings = settings_for(CODEC_FEC_RS8M, "l16/48000/2", 150), .seconds = 10, .jitter_ms = 40, .seed = 2};
    struct link_sim_result r;
    link_sim_run(*state, &sim, &r);
    assert_same(&r, 2, r.first, 9 * 48000);
    assert_true(r.reordered > 100);
    assert_int_equal(r.lost + r.late + r.rejected, 0);
    link_sim_finish(&r);
}

/* A new sender, a new decoder: the sound is back when the target latency has passed. */
static void a_restarted_sender_is_heard_again(void **state) {
    for (enum codec_fec fec = CODEC_FEC_NONE; fec <= CODEC_FEC_LDPC; fec++) {
        struct link_sim sim = {.settings = settings_for(fec, "l16/48000/2", 100), .seconds = 6, .restart_at_s = 3};
        struct link_sim_result r;
        link_sim_run(*state, &sim, &r);
        assert_int_equal(r.sessions, 2);
        assert_int_equal(r.rejected + r.lost, 0);
        assert_in_range(r.n_lost, 48000 / 20, 48000 / 4);
        size_t late = assert_same(&r, 2, r.n_frames - 2 * 48000, 2 * 48000);
        assert_in_range(late * 1000 / 48000, 100 - 10, 100 + 5);
        link_sim_finish(&r);
    }
}

static void the_same_seed_gives_the_same_sound(void **state) {
    struct link_sim sim = {.settings = settings_for(CODEC_FEC_RS8M, "l16/48000/2", 50),
                           .seconds = 5,
                           .loss = 0.2,
                           .jitter_ms = 20,
                           .seed = 3};
    sim.settings.latency_profile = CODEC_LATENCY_GRADUAL;
    struct link_sim_result a, b;
    link_sim_run(*state, &sim, &a);
    link_sim_run(*state, &sim, &b);
    assert_true(a.n_lost > 0);
    assert_int_equal(a.n_frames, b.n_frames);
    assert_memory_equal(a.sound, b.sound, a.n_frames * 2 * sizeof *a.sound);
    link_sim_finish(&a);
    link_sim_finish(&b);
}

/* A sender's clock that is 500 ppm fast fills 10 ms of the buffer in 20 s: `gradual` plays it faster, without a hole. */
static void clocks_that_differ_are_followed(void **state) {
    for (int sign = -1; sign <= 1; sign += 2) {
        struct link_sim sim = {
            .settings = settings_for(CODEC_FEC_RS8M, "l16/48000/2", 100), .seconds = 60, .drift_ppm = sign * 500};
        sim.settings.latency_profile = CODEC_LATENCY_GRADUAL;
        struct link_sim_result r;
        link_sim_run(*state, &sim, &r);
        assert_true(r.first < 48000 / 5);
        assert_int_equal(r.n_lost, 0);
        link_sim_finish(&r);
    }
}

static void endpoints_may_have_another_rate_than_the_wire(void **state) {
    static const uint32_t rates[] = {44100, 96000, 32000};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        struct link_sim sim = {
            .settings = settings_for(CODEC_FEC_RS8M, "l16/48000/2", 100), .seconds = 5, .frame_rate_hz = rates[i]};
        struct link_sim_result r;
        link_sim_run(*state, &sim, &r);
        assert_in_range(r.first * 1000 / rates[i], 80, 120);
        assert_int_equal(r.n_lost, 0);
        double sum = 0;
        for (size_t n = rates[i]; n < r.n_frames; n++)
            sum += (double)r.sound[2 * n];
        double mean = sum / (double)(r.n_frames - rates[i]);
        assert_true(fabs(mean - 0.5) < 0.005); /* the gain is one */
        link_sim_finish(&r);
    }
}

/* libroc's pools only grow: with packets that are lost, late and repaired they must stop to. */
static void memory_stays_what_it_is(void **state) {
    for (enum codec_fec fec = CODEC_FEC_NONE; fec <= CODEC_FEC_LDPC; fec++) {
        struct link_sim sim = {
            .settings = settings_for(fec, "l16/48000/2", 100), .seconds = 60, .loss = 0.05, .jitter_ms = 20, .seed = 5};
        sim.settings.latency_profile = CODEC_LATENCY_GRADUAL;
        struct link_sim_result r;
        link_sim_run(*state, &sim, &r);
        assert_true(r.heap_settled > 0);
        int64_t grown = (int64_t)r.heap_end - (int64_t)r.heap_settled;
        if (grown > 64 * 1024)
            fail_msg("%lld bytes more after another 30 s", (long long)grown);
        link_sim_finish(&r);
    }
}

static void both_ends_know_of_each_other(void **state) {
    struct link_sim sim = {.settings = settings_for(CODEC_FEC_RS8M, "l16/48000/2", 100), .seconds = 3};
    struct link_sim_result r;
    link_sim_run(*state, &sim, &r);
    assert_true(r.decoder_connected);
    link_sim_finish(&r);

    sim.settings.control = false;
    link_sim_run(*state, &sim, &r);
    assert_true(r.decoder_connected && !r.encoder_connected);
    assert_int_equal(r.feedback, 0);
    link_sim_finish(&r);
}

/* One such packet, by accident or on purpose, silenced a sender for good. */
static void feedback_with_our_own_ssrc_is_not_believed(void **state) {
    struct codec *codec = *state;
    struct codec_settings settings = settings_for(CODEC_FEC_NONE, "l16/48000/2", 100);
    struct codec_encoder *encoder;
    static float frames[2 * 240];
    static uint8_t packet[PACKET_MAX];
    assert_int_equal(
        codec->ops->open_encoder(codec, &settings, (struct codec_frame_format){48000, 2}, &encoder, nullptr), ERR_OK);
    int64_t deadline_ns = clock_now_ns(clock_system()) + 30 * NS_PER_S;
    for (unsigned n_reports = 0; n_reports < 3;) { /* libroc looks at the clock on the wall for them */
        assert_true(clock_now_ns(clock_system()) < deadline_ns);
        assert_int_equal(encoder->ops->push_frames(encoder, frames, 240), ERR_OK);
        assert_int_equal(encoder->ops->pop_packet(encoder, MEDIA_SOURCE, packet), 12 + 240 * 4);
        for (size_t len; (len = encoder->ops->pop_packet(encoder, MEDIA_CONTROL, packet)) > 0; n_reports++) {
            packet[38] ^= 1; /* in the CNAME */
            assert_true(gate_rtcp_is_sound(packet, len));
            assert_int_equal(encoder->ops->push_feedback(encoder, packet, len), ERR_OK);
        }
    }
    encoder->ops->close(encoder);
}

static void a_decoder_without_packets_is_silent(void **state) {
    struct codec *codec = *state;
    struct codec_settings settings = settings_for(CODEC_FEC_RS8M, "l16/48000/2", 100);
    struct codec_decoder *decoder;
    struct codec_query query;
    static float frames[2 * 240];
    assert_int_equal(
        codec->ops->open_decoder(codec, &settings, (struct codec_frame_format){48000, 2}, &decoder, nullptr), ERR_OK);
    for (int i = 0; i < 1000; i++) {
        memset(frames, 0x55, sizeof frames);
        assert_int_equal(decoder->ops->pop_frames(decoder, frames, 240), ERR_OK);
        for (size_t n = 0; n < 480; n++)
            assert_true(frames[n] == 0);
    }
    assert_int_equal(decoder->ops->query(decoder, &query), ERR_OK);
    assert_false(query.connected);
    const struct codec_decoder_ops *ops = decoder->ops;
    ops->close(decoder);
    ops->close(nullptr);
}

static void what_cannot_work_is_refused(void **state) {
    struct codec *codec = *state;
    struct codec_settings good = settings_for(CODEC_FEC_RS8M, "l16/48000/2", 100), bad;
    struct codec_encoder *encoder;
    struct codec_decoder *decoder;
    struct err_info info;
    struct codec_frame_format format = {48000, 2};
#define REFUSED(code, text) \
    do { \
        assert_int_equal(codec->ops->open_encoder(codec, &bad, format, &encoder, &info), code); \
        assert_non_null(strstr(info.message, text)); \
        assert_int_equal(codec->ops->open_decoder(codec, &bad, format, &decoder, &info), code); \
        assert_non_null(strstr(info.message, text)); \
    } while (0)
    bad = good, bad.payload_type = 10;
    REFUSED(ERR_UNSUPPORTED, "payload type 10");
    bad = good, bad.packet_length_ns = 20 * NS_PER_MS; /* libroc would take it and drop every packet */
    REFUSED(ERR_INVALID, "3840 bytes");
    bad = good, bad.packet_length_ns = 0;
    REFUSED(ERR_INVALID, "0 bytes");
    bad = good, bad.fec_repair_packets = 0;
    REFUSED(ERR_INVALID, "18 + 0");
    bad = good, bad.fec_source_packets = 250;
    REFUSED(ERR_INVALID, "250 + 10");
    bad = good, bad.target_latency_ns = 0;
    REFUSED(ERR_INVALID, "latency");
    bad = good, format.n_channels = 1;
    REFUSED(ERR_INVALID, "map them");
    bad = good, format = (struct codec_frame_format){1000, 2};
    REFUSED(ERR_UNSUPPORTED, "1000 Hz");
}

static void encodings_have_names_and_numbers_of_their_own(void **) {
    size_t n;
    const struct codec_encoding *e = codec_encodings(&n);
    assert_true(n > 2);
    for (size_t i = 0; i < n; i++) {
        assert_ptr_equal(codec_encoding_by_name(e[i].name), &e[i]);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(e[i].payload_type, e[j].payload_type);
    }
    assert_null(codec_encoding_by_name("l16/48000"));
    assert_int_equal(codec_encoding_by_name("l16/44100/2")->payload_type, 10); /* RFC 3551 */
    assert_int_equal(codec_encoding_by_name("l16/44100/1")->payload_type, 11);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(every_sample_comes_through),
        TEST(the_latency_is_what_was_asked_for),
        TEST(five_percent_of_all_packets_may_be_lost),
        TEST(without_repair_a_lost_packet_is_a_hole),
        TEST(late_packets_within_the_latency_change_nothing),
        TEST(a_restarted_sender_is_heard_again),
        TEST(the_same_seed_gives_the_same_sound),
        TEST(clocks_that_differ_are_followed),
        TEST(endpoints_may_have_another_rate_than_the_wire),
        TEST(memory_stays_what_it_is),
        TEST(both_ends_know_of_each_other),
        TEST(feedback_with_our_own_ssrc_is_not_believed),
        TEST(a_decoder_without_packets_is_silent),
        TEST(what_cannot_work_is_refused),
        TEST(encodings_have_names_and_numbers_of_their_own),
    };
    return cmocka_run_group_tests_name("transport-codec", tests, nullptr, nullptr);
}
