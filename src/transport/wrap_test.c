/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/clock.h"
#include "support/roc_packets.h"
#include "transport/codec.h"
#include "transport/gate.h"
#include "transport/rtp.h"

/*
 * The numbers on the wire are small and begin anywhere: sooner or later each of them starts again at 0, in every stream.
 * libroc itself says how: encoders are opened until one is about to wrap, and its packets go through the gate into a
 * decoder.
 */

constexpr size_t FRAMES = 240; /* 5 ms, a packet */
constexpr size_t N_CHANNELS = 2;
constexpr size_t PACKETS_BEFORE = 18 * 8;
constexpr size_t PACKETS = 3 * PACKETS_BEFORE;
constexpr int ENCODERS_MAX = 1'000'000;

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

/* Each kind of number: how many packets are left until it wraps. */
static uint32_t until_seq_wraps(const struct rtp_source *source) {
    return 0x10000 - source->seq;
}

static uint32_t until_block_wraps(const struct rtp_source *source) {
    uint32_t sbn = source->fec.sbn;
    return (0x10000 - sbn) * source->fec.k - source->fec.esi;
}

struct stream {
    struct codec_encoder *encoder;
    struct codec_decoder *decoder;
    struct gate *gate;
    int64_t now_ns;
    size_t n_heard, n_silent;
};

static void through(struct stream *s, enum media_iface iface, struct packet *packet, size_t len) {
    packet->iface = iface;
    packet->len = (uint16_t)len;
    if (gate_check(s->gate, packet, s->now_ns) != GATE_DROP)
        assert_int_equal(s->decoder->ops->push_packet(s->decoder, iface, packet->data, len), ERR_OK);
}

/* One tick: a packet's worth of a constant, and what comes out. Returns whether a source packet came. */
static bool step(struct stream *s, struct rtp_source *ret_source, enum codec_fec fec) {
    float frames[FRAMES * N_CHANNELS];
    struct packet packet = {};
    bool any = false;
    for (size_t i = 0; i < FRAMES * N_CHANNELS; i++)
        frames[i] = 0.5f;
    assert_int_equal(s->encoder->ops->push_frames(s->encoder, frames, FRAMES), ERR_OK);
    for (enum media_iface iface = 0; iface < MEDIA_N_IFACES; iface++)
        for (size_t len; (len = s->encoder->ops->pop_packet(s->encoder, iface, packet.data)) > 0;) {
            if (iface == MEDIA_SOURCE && rtp_parse_source(packet.data, len, fec, ret_source))
                any = true;
            if (s->gate)
                through(s, iface, &packet, len);
        }
    s->now_ns += 5 * NS_PER_MS;
    if (!s->decoder)
        return any;
    assert_int_equal(s->decoder->ops->pop_frames(s->decoder, frames, FRAMES), ERR_OK);
    for (size_t i = 0; i < FRAMES * N_CHANNELS; i += N_CHANNELS)
        if (frames[i] != 0)
            s->n_heard++;
        else if (s->n_heard)
            s->n_silent++;
    return any;
}

static void opens_near(struct codec *codec, const struct codec_settings *settings,
                       uint32_t (*until)(const struct rtp_source *), struct stream *s) {
    struct codec_frame_format format = {.rate_hz = 48000, .n_channels = N_CHANNELS};
    for (int i = 0; i < ENCODERS_MAX; i++) {
        struct rtp_source source;
        *s = (struct stream){.now_ns = NS_PER_S};
        assert_int_equal(codec->ops->open_encoder(codec, settings, format, &s->encoder, nullptr), ERR_OK);
        assert_true(step(s, &source, settings->fec));
        if (until(&source) < PACKETS_BEFORE)
            return;
        s->encoder->ops->close(s->encoder);
    }
    fail_msg("not one of %d encoders began near the end of its numbers", ENCODERS_MAX);
}

static void wraps(struct codec *codec, enum codec_fec fec, uint32_t (*until)(const struct rtp_source *)) {
    struct codec_settings settings = roc_packets_settings(fec);
    struct codec_frame_format format = {.rate_hz = 48000, .n_channels = N_CHANNELS};
    struct stream s;
    opens_near(codec, &settings, until, &s);
    s.gate = gate_create(&(struct gate_config){.settings = settings, .trusted_path = true});
    assert_non_null(s.gate);
    assert_int_equal(codec->ops->open_decoder(codec, &settings, format, &s.decoder, nullptr), ERR_OK);
    struct rtp_source source;
    uint32_t left = 0, least = UINT32_MAX, after = 0;
    for (size_t i = 0; i < PACKETS; i++) {
        assert_true(step(&s, &source, fec));
        left = until(&source);
        least = left < least ? left : least;
        after += left > PACKETS_BEFORE;
    }
    assert_int_equal(least, 1);          /* it came to the last number … */
    assert_true(after > PACKETS_BEFORE); /* … and went on */
    const struct gate_counters *counters = gate_counters(s.gate);
    assert_int_equal(counters->rejected + counters->lost + counters->late + counters->duplicate, 0);
    assert_int_equal(counters->sessions, 1);
    assert_true(s.n_heard > FRAMES * PACKETS_BEFORE);
    assert_int_equal(s.n_silent, 0);
    s.encoder->ops->close(s.encoder);
    s.decoder->ops->close(s.decoder);
    gate_destroy(s.gate);
}

static void sequence_numbers_wrap(void **state) {
    wraps(*state, CODEC_FEC_NONE, until_seq_wraps);
    wraps(*state, CODEC_FEC_RS8M, until_seq_wraps);
}

static void block_numbers_wrap(void **state) {
    wraps(*state, CODEC_FEC_RS8M, until_block_wraps);
    wraps(*state, CODEC_FEC_LDPC, until_block_wraps);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sequence_numbers_wrap, setup, teardown),
        cmocka_unit_test_setup_teardown(block_numbers_wrap, setup, teardown),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
