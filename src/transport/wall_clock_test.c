/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "support/heap.h"
#include "support/roc_packets.h"
#include "transport/codec.h"

/*
 * libroc goes by the wall clock, which somebody may set: a small box without a battery does so after every start. The sound
 * must not care. Here the clock is ours: this program's clock_gettime() is the one that libroc is linked to.
 */

static _Atomic int64_t wall_offset_ns;

[[gnu::visibility("default")]] int clock_gettime(clockid_t id, struct timespec *ret) {
    long result = syscall(SYS_clock_gettime, id, ret);
    int64_t offset_ns = id == CLOCK_REALTIME ? wall_offset_ns : 0;
    if (result == 0 && offset_ns != 0) {
        int64_t ns = ret->tv_sec * NS_PER_S + ret->tv_nsec + offset_ns;
        *ret = (struct timespec){.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
    }
    return (int)result;
}

constexpr size_t FRAMES = 240; /* 5 ms, a packet */
constexpr size_t N_CHANNELS = 2;
constexpr size_t TICKS_PER_S = 200;

struct line {
    struct codec_encoder *encoder;
    struct codec_decoder *decoder;
    size_t n_heard, n_silent; /* since the sound began */
};

static int setup(void **state) {
    struct codec *codec;
    wall_offset_ns = 0;
    assert_int_equal(roc_codec_create((struct log){}, &codec, nullptr), ERR_OK);
    *state = codec;
    return 0;
}

static int teardown(void **state) {
    struct codec *codec = *state;
    codec->ops->close(codec);
    return 0;
}

static void feed_back(struct line *line) {
    uint8_t packet[PACKET_MAX];
    for (size_t len; (len = line->decoder->ops->pop_feedback(line->decoder, packet)) > 0;)
        assert_int_equal(line->encoder->ops->push_feedback(line->encoder, packet, len), ERR_OK);
}

static void line_run(struct line *line, size_t n_ticks, int64_t step_ns) {
    uint8_t packet[PACKET_MAX];
    for (size_t tick = 0; tick < n_ticks; tick++) {
        float frames[FRAMES * N_CHANNELS];
        for (size_t i = 0; i < FRAMES * N_CHANNELS; i++)
            frames[i] = 0.5f;
        assert_int_equal(line->encoder->ops->push_frames(line->encoder, frames, FRAMES), ERR_OK);
        for (enum media_iface iface = 0; iface < MEDIA_N_IFACES; iface++)
            for (size_t len; (len = line->encoder->ops->pop_packet(line->encoder, iface, packet)) > 0;)
                assert_int_equal(line->decoder->ops->push_packet(line->decoder, iface, packet, len), ERR_OK);
        wall_offset_ns += step_ns;
        assert_int_equal(line->decoder->ops->pop_frames(line->decoder, frames, FRAMES), ERR_OK);
        feed_back(line);
        for (size_t i = 0; i < FRAMES * N_CHANNELS; i += N_CHANNELS)
            if (frames[i] != 0)
                line->n_heard++;
            else if (line->n_heard)
                line->n_silent++;
    }
}

static void with_line(struct codec *codec, bool control, void (*check)(struct line *line)) {
    struct codec_settings settings = roc_packets_settings(CODEC_FEC_RS8M);
    settings.control = control;
    struct codec_frame_format format = {.rate_hz = 48'000, .n_channels = N_CHANNELS};
    struct line line = {};
    assert_int_equal(codec->ops->open_encoder(codec, &settings, format, &line.encoder, nullptr), ERR_OK);
    assert_int_equal(codec->ops->open_decoder(codec, &settings, format, &line.decoder, nullptr), ERR_OK);
    line_run(&line, 2 * TICKS_PER_S, 0);
    assert_true(line.n_heard > 48'000);
    check(&line);
    line.encoder->ops->close(line.encoder);
    line.decoder->ops->close(line.decoder);
}

static void check_steps(struct line *line) {
    static const int64_t steps_s[] = {3600, -3600, 6, -6, 365 * 24 * 3600, 0, -365 * 24 * 3600};
    for (size_t i = 0; i < sizeof steps_s / sizeof steps_s[0]; i++) {
        for (int again = 0; again < 3; again++) {
            line_run(line, 1, steps_s[i] * NS_PER_S);
            line_run(line, 2 * TICKS_PER_S + 67, 0);
            if (line->n_silent > 0)
                fail_msg("%zu frames are silent after the clock was set by %lld s", line->n_silent,
                         (long long)steps_s[i]);
        }
    }
}

static void a_clock_that_is_set_is_not_heard(void **state) {
    with_line(*state, true, check_steps);
    with_line(*state, false, check_steps);
}

/* As when sound is slower than life: on virtual time under a sanitizer. */
static void check_fast(struct line *line) {
    static const int64_t tick_ns[] = {100 * NS_PER_MS, NS_PER_S, 10 * NS_PER_S};
    for (size_t i = 0; i < sizeof tick_ns / sizeof tick_ns[0]; i++) {
        line_run(line, 10 * TICKS_PER_S, tick_ns[i]);
        if (line->n_silent > 0)
            fail_msg("%zu frames are silent when the clock moves by %lld ms a tick", line->n_silent,
                     (long long)(tick_ns[i] / NS_PER_MS));
    }
}

static void a_clock_that_runs_is_not_heard(void **state) {
    with_line(*state, true, check_fast);
}

/* RTCP comes by the wall clock, and where nobody asked for it nobody fetches it: minutes of it in a moment. */
static void check_heap(struct line *line) {
    line_run(line, 5 * TICKS_PER_S, 200 * NS_PER_MS);
    size_t before = heap_in_use();
    line_run(line, 20 * TICKS_PER_S, 200 * NS_PER_MS);
    assert_in_range(heap_in_use(), 0, before + 64 * 1024);
}

static void reports_that_nobody_wants_are_not_kept(void **state) {
    with_line(*state, false, check_heap);
    with_line(*state, true, check_heap);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_clock_that_is_set_is_not_heard, setup, teardown),
        cmocka_unit_test_setup_teardown(a_clock_that_runs_is_not_heard, setup, teardown),
        cmocka_unit_test_setup_teardown(reports_that_nobody_wants_are_not_kept, setup, teardown),
    };
    return cmocka_run_group_tests_name("transport-wall-clock", tests, nullptr, nullptr);
}
