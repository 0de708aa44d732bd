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
#include "support/roc_packets.h"
#include "transport/codec.h"
#include "transport/gate.h"
#include "transport/rtp.h"

/*
 * What a decoder says of its place in the sound, beside impulses that it plays, on virtual time. The wall clock, which libroc
 * goes by, runs meanwhile as it likes: a second of sound takes some milliseconds of it.
 */

constexpr double TOLERANCE_MS = 0.35; /* the figure takes its end of the frame from a wall clock that runs meanwhile */
constexpr double RESAMPLED_TOLERANCE_MS = 1; /* the delay of a filter between rates is an estimate */

struct line {
    struct codec_settings settings;
    uint32_t send_rate, play_rate;
    size_t n_send, n_play; /* frames a tick */
    struct codec_encoder *encoder;
    struct codec_decoder *decoder;
    int64_t n_sent, n_played;
    bool has_first;
    uint32_t first_rtp;
    int64_t ntp_offset_ns; /* of the wall clock that the sender is made to have; 0: what it says is thrown away */
    int64_t now_ns;
    float sound[2 * 4096];
    double peak_s;       /* where in what was played the last impulse was */
    float peak;          /* … and how high */
    unsigned n_feedback; /* reports that came back */
    uint8_t feedback[PACKET_MAX];
    size_t feedback_len;
};

static int setup(void **state) {
    struct codec *codec;
    assert_int_equal(roc_codec_create((struct log){}, &codec, nullptr), ERR_OK);
    *state = codec;
    return 0;
}

static int teardown(void **state) {
    struct codec *codec = *state;
    codec->ops->close(codec);
    return 0;
}

static struct codec_settings settings_for(enum codec_resampler resampler, enum codec_latency_profile profile) {
    struct codec_settings s = roc_packets_settings(CODEC_FEC_RS8M);
    const struct codec_encoding *encoding = codec_encoding_by_name("l16/48000/2");
    s.wire_rate_hz = 48'000;
    s.wire_channels = 2;
    s.payload_type = encoding->payload_type;
    s.target_latency_ns = 150 * NS_PER_MS;
    s.resampler = resampler;
    s.latency_profile = profile;
    return s;
}

static struct line *line_open(struct codec *codec, const struct codec_settings *settings, uint32_t send_rate,
                              uint32_t play_rate, int64_t tick_ns) {
    struct line *line = calloc(1, sizeof *line);
    *line = (struct line){.settings = *settings, .send_rate = send_rate, .play_rate = play_rate};
    line->n_send = (size_t)(tick_ns * send_rate / NS_PER_S);
    line->n_play = (size_t)(tick_ns * play_rate / NS_PER_S);
    struct codec_frame_format format = {send_rate, settings->wire_channels};
    assert_int_equal(codec->ops->open_encoder(codec, settings, format, &line->encoder, nullptr), ERR_OK);
    format.rate_hz = play_rate;
    assert_int_equal(codec->ops->open_decoder(codec, settings, format, &line->decoder, nullptr), ERR_OK);
    return line;
}

static void line_close(struct line *line) {
    line->encoder->ops->close(line->encoder);
    line->decoder->ops->close(line->decoder);
    free(line);
}

/* One full frame at the beginning of every second; the others are quiet, but not silent. */
static void line_send(struct line *line, float *frames) {
    for (size_t i = 0; i < line->n_send; i++, line->n_sent++)
        frames[2 * i] = frames[2 * i + 1] = line->n_sent % line->send_rate == 0 ? 0.9f : 0.01f;
    assert_int_equal(line->encoder->ops->push_frames(line->encoder, frames, line->n_send), ERR_OK);
}

static void put32(uint8_t *p, uint32_t value) {
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* As a sender of that clock would have said it. */
static void set_ntp(const struct line *line, uint8_t *report) {
    int64_t ns = clock_wall_ns(clock_system()) + line->ntp_offset_ns;
    put32(report + 8, (uint32_t)(ns / NS_PER_S + 2'208'988'800));
    put32(report + 12, (uint32_t)(((uint64_t)(ns % NS_PER_S) << 32) / (uint64_t)NS_PER_S));
}

static void line_carry(struct line *line) {
    uint8_t packet[PACKET_MAX];
    struct rtp_source source;
    for (enum media_iface iface = MEDIA_SOURCE; iface < MEDIA_N_IFACES; iface++)
        for (size_t len; (len = line->encoder->ops->pop_packet(line->encoder, iface, packet)) > 0;) {
            if (iface == MEDIA_SOURCE && !line->has_first) {
                assert_true(rtp_parse_source(packet, len, line->settings.fec, &source));
                line->first_rtp = source.timestamp;
                line->has_first = true;
            }
            if (iface == MEDIA_CONTROL && line->ntp_offset_ns == 0)
                continue;
            if (iface == MEDIA_CONTROL)
                set_ntp(line, packet);
            assert_int_equal(line->decoder->ops->push_packet(line->decoder, iface, packet, len), ERR_OK);
        }
}

static void line_play(struct line *line) {
    line->decoder->now_ns = line->now_ns;
    assert_int_equal(line->decoder->ops->pop_frames(line->decoder, line->sound, line->n_play), ERR_OK);
    for (size_t i = 0; i < line->n_play; i++, line->n_played++) {
        bool is_same = line->peak > 0 && (double)line->n_played / line->play_rate - line->peak_s < 0.5;
        if (line->sound[2 * i] < 0.2f || (is_same && line->sound[2 * i] < line->peak))
            continue;
        line->peak = line->sound[2 * i];
        line->peak_s = (double)line->n_played / line->play_rate;
    }
    uint8_t packet[PACKET_MAX];
    for (size_t len; (len = line->decoder->ops->pop_feedback(line->decoder, packet)) > 0; line->n_feedback++) {
        memcpy(line->feedback, packet, len);
        line->feedback_len = len;
    }
}

static void line_run(struct line *line, double seconds, int64_t tick_ns) {
    float frames[2 * 4096];
    for (int64_t end_ns = line->now_ns + (int64_t)(seconds * 1e9); line->now_ns < end_ns;) {
        line->now_ns += tick_ns;
        line_send(line, frames);
        line_carry(line);
        line_play(line);
    }
}

/* Between what was sent last and what was played last, as the decoder has it; a preempted moment counts as none. */
static double told_ms(struct line *line, int64_t tick_ns) {
    struct codec_query query;
    double least = (double)INFINITY;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(line->decoder->ops->query(line->decoder, &query), ERR_OK);
        assert_true(query.connected && query.has_position);
        assert_int_equal(query.popped_ns, line->now_ns);
        double played_s = (double)(int32_t)(query.rtp - line->first_rtp) / line->settings.wire_rate_hz +
                          (double)query.after_rtp_ns * 1e-9;
        double late_ms = 1e3 * ((double)line->n_sent / line->send_rate - played_s);
        least = fmin(least, late_ms);
        line_run(line, 5e-9 * (double)tick_ns, tick_ns);
    }
    return least;
}

static void assert_told(struct codec *codec, const struct codec_settings *settings, uint32_t send_rate,
                        uint32_t play_rate, int64_t tick_ns) {
    struct line *line = line_open(codec, settings, send_rate, play_rate, tick_ns);
    line_run(line, 10, tick_ns);
    double told = told_ms(line, tick_ns);
    double heard = 1e3 * (line->peak_s - floor(line->peak_s));
    if (fabs(told - heard) > (play_rate == 48'000 ? TOLERANCE_MS : RESAMPLED_TOLERANCE_MS))
        fail_msg("resampler %d, profile %d, %u Hz to %u Hz, ticks of %.1f ms: told %.3f ms, heard %.3f ms",
                 settings->resampler, settings->latency_profile, send_rate, play_rate, (double)tick_ns / 1e6, told,
                 heard);
    line_close(line);
}

static void the_place_is_that_of_an_impulse(void **state) {
    static const enum codec_resampler resamplers[] = {CODEC_RESAMPLER_LOW, CODEC_RESAMPLER_MEDIUM,
                                                      CODEC_RESAMPLER_HIGH};
    for (size_t i = 0; i < 3; i++) {
        struct codec_settings settings = settings_for(resamplers[i], CODEC_LATENCY_GRADUAL);
        assert_told(*state, &settings, 48'000, 48'000, 5 * NS_PER_MS);
        assert_told(*state, &settings, 48'000, 48'000, 64 * NS_PER_MS / 3); /* 1024 frames */
    }
    struct codec_settings settings = settings_for(CODEC_RESAMPLER_MEDIUM, CODEC_LATENCY_INTACT);
    assert_told(*state, &settings, 48'000, 48'000, 5 * NS_PER_MS);
    assert_told(*state, &settings, 48'000, 48'000, NS_PER_MS);
    settings.latency_profile = CODEC_LATENCY_GRADUAL;
    assert_told(*state, &settings, 44'100, 48'000, 10 * NS_PER_MS);
    assert_told(*state, &settings, 48'000, 44'100, 10 * NS_PER_MS);
    assert_told(*state, &settings, 48'000, 96'000, 5 * NS_PER_MS);
    assert_told(*state, &settings, 48'000, 16'000, 5 * NS_PER_MS);
}

/* Minutes of sound in seconds of the wall clock: the time that libroc is told is chosen anew, again and again. */
static void the_place_stays_true(void **state) {
    struct codec_settings settings = settings_for(CODEC_RESAMPLER_LOW, CODEC_LATENCY_GRADUAL);
    struct line *line = line_open(*state, &settings, 48'000, 48'000, 5 * NS_PER_MS);
    unsigned n_known = 0;
    for (int i = 0; i < 200; i++) {
        line_run(line, 1.03, 5 * NS_PER_MS);
        struct codec_query query;
        assert_int_equal(line->decoder->ops->query(line->decoder, &query), ERR_OK);
        if (!query.has_position)
            continue;
        n_known++;
        double played_s = (double)(int32_t)(query.rtp - line->first_rtp) / 48'000.0 + (double)query.after_rtp_ns * 1e-9;
        double late_ms = 1e3 * ((double)line->n_sent / 48'000.0 - played_s);
        if (late_ms < 135 || late_ms > 165)
            fail_msg("after %d s the sound is said to be %.3f ms late", i, late_ms);
    }
    assert_in_range(n_known, 150, 200);
    line_close(line);
}

static uint32_t get32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Until the sender has reported and has had a report of it; libroc's reports go by the wall clock. */
static void run_until_reported(struct line *line, unsigned n) {
    int64_t deadline_ns = clock_now_ns(clock_system()) + 30 * NS_PER_S;
    for (unsigned end = line->n_feedback + n; line->n_feedback < end;) {
        assert_true(clock_now_ns(clock_system()) < deadline_ns);
        line_run(line, 0.2, 5 * NS_PER_MS);
    }
}

/* The end-to-end latency by the clocks of both ends; and what the sender is told is about its own reports. */
static void senders_are_told_of_their_own_reports(void **state) {
    struct codec_settings settings = settings_for(CODEC_RESAMPLER_LOW, CODEC_LATENCY_GRADUAL);
    struct line *line = line_open(*state, &settings, 48'000, 48'000, 5 * NS_PER_MS);
    struct codec_query query;
    run_until_reported(line, 3);
    assert_true(gate_rtcp_is_sound(line->feedback, line->feedback_len));
    assert_int_equal(get32(line->feedback + 24), 0); /* no sender report has come */
    assert_int_equal(line->decoder->ops->query(line->decoder, &query), ERR_OK);
    assert_int_equal(query.end_to_end_ns, 0);

    line->ntp_offset_ns = -1000 * NS_PER_S;
    run_until_reported(line, 6);
    assert_true(gate_rtcp_is_sound(line->feedback, line->feedback_len));
    uint32_t lsr = get32(line->feedback + 24), dlsr = get32(line->feedback + 28);
    /* the middle of the NTP time: seconds in 16 bits and as many of their fraction */
    int64_t said_s = (clock_wall_ns(clock_system()) + line->ntp_offset_ns) / NS_PER_S + 2'208'988'800;
    assert_in_range((uint16_t)((uint32_t)said_s - (lsr >> 16)), 0, 60);
    assert_in_range(dlsr, 0, 60 << 16);
    /* the sender's clock stands as good as still beside the sound: how far it is behind is all that can be asserted */
    do
        line_run(line, 0.3, 5 * NS_PER_MS);
    while (line->decoder->ops->query(line->decoder, &query) == ERR_OK && !query.has_position);
    assert_true(query.end_to_end_ns == 0 || query.end_to_end_ns < 2000 * NS_PER_S);
    line_close(line);
}

static void without_rtcp_the_place_is_known_all_the_same(void **state) {
    struct codec_settings settings = settings_for(CODEC_RESAMPLER_LOW, CODEC_LATENCY_GRADUAL);
    settings.control = false;
    struct line *line = line_open(*state, &settings, 48'000, 48'000, 5 * NS_PER_MS);
    line_run(line, 5, 5 * NS_PER_MS);
    double told = told_ms(line, 5 * NS_PER_MS);
    assert_true(told > 130 && told < 165);
    assert_int_equal(line->n_feedback, 0);
    line_close(line);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_place_is_that_of_an_impulse),
        TEST(the_place_stays_true),
        TEST(senders_are_told_of_their_own_reports),
        TEST(without_rtcp_the_place_is_known_all_the_same),
    };
    return cmocka_run_group_tests_name("transport-codec-position", tests, nullptr, nullptr);
}
