/* SPDX-License-Identifier: MPL-2.0 */
#include "transport/roc/roc_priv.h"

#include <roc/receiver_decoder.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "transport/roc/roc_probe.h"

/*
 * libroc's receiver without its sockets: packets in, frames out. Only packets that passed the gate may come here. Its RTCP is
 * always in use, for reports of ours (roc_probe.h).
 */

struct roc_decoder {
    struct codec_decoder decoder;
    struct roc_codec *codec; /* borrowed */
    roc_receiver_decoder *roc;
    struct codec_settings settings;
    size_t frame_size; /* bytes of one frame: all its channels */
    struct roc_probe probe;
    atomic_bool failed;
};

static const roc_latency_tuner_profile latency_table[] = {
    [CODEC_LATENCY_INTACT] = ROC_LATENCY_TUNER_PROFILE_INTACT,
    [CODEC_LATENCY_RESPONSIVE] = ROC_LATENCY_TUNER_PROFILE_RESPONSIVE,
    [CODEC_LATENCY_GRADUAL] = ROC_LATENCY_TUNER_PROFILE_GRADUAL,
};

static struct roc_decoder *decoder_of(struct codec_decoder *base) {
    return container_of(base, struct roc_decoder, decoder);
}

static bool has_failed(struct roc_decoder *decoder) {
    return atomic_load_explicit(&decoder->failed, memory_order_acquire);
}

/* Frames of a slower clock are, for libroc, fewer of them in a second: what it has to correct begins there. */
static uint32_t rate_by_sender_hz(struct codec_frame_format format) {
    return (uint32_t)llround((double)format.rate_hz / (1 + format.sender_ppm * 1e-6));
}

static enum err fail(struct roc_decoder *decoder) {
    atomic_store_explicit(&decoder->failed, true, memory_order_release);
    return ERR_UNAVAILABLE;
}

/* libroc goes by the wall clock, and no other will do to understand what it says. */
static int64_t wall_now_ns(void) {
    return clock_wall_ns(clock_system());
}

static enum err push(struct roc_decoder *decoder, roc_interface iface, const uint8_t *packet, size_t len) {
    roc_packet p = {(void *)(uintptr_t)packet, len};
    return roc_receiver_decoder_push_packet(decoder->roc, iface, &p) == 0 ? ERR_OK : fail(decoder);
}

static enum err decoder_push_packet(struct codec_decoder *base, enum media_iface iface, const uint8_t *packet,
                                    size_t len) {
    struct roc_decoder *decoder = decoder_of(base);
    struct roc_iface roc;
    if (has_failed(decoder))
        return ERR_UNAVAILABLE;
    if (len == 0 || len > PACKET_MAX || !roc_iface_of(&decoder->settings, iface, &roc))
        return ERR_OK; /* an interface that is not in use: nobody waits for it */
    if (iface == MEDIA_CONTROL) {
        roc_probe_take_control(&decoder->probe, packet, len, wall_now_ns());
        return ERR_OK;
    }
    enum err err = push(decoder, roc.iface, packet, len);
    uint8_t report[ROC_PROBE_REPORT_SIZE];
    if (err == ERR_OK && iface == MEDIA_SOURCE &&
        roc_probe_report(&decoder->probe, packet, len, wall_now_ns(), report) > 0)
        err = push(decoder, ROC_INTERFACE_AUDIO_CONTROL, report, sizeof report);
    return err;
}

static size_t decoder_pop_feedback(struct codec_decoder *base, uint8_t *packet) {
    struct roc_decoder *decoder = decoder_of(base);
    if (has_failed(decoder) || !decoder->settings.control)
        return 0;
    roc_packet p = {packet, PACKET_MAX};
    if (roc_receiver_decoder_pop_feedback_packet(decoder->roc, ROC_INTERFACE_AUDIO_CONTROL, &p) != 0)
        return 0;
    roc_probe_mend_feedback(&decoder->probe, packet, p.bytes_size, wall_now_ns());
    return p.bytes_size;
}

/* Nobody wants it, but libroc keeps it until it is fetched. */
static void drop_feedback(struct roc_decoder *decoder) {
    uint8_t packet[PACKET_MAX];
    roc_packet p = {packet, sizeof packet};
    while (roc_receiver_decoder_pop_feedback_packet(decoder->roc, ROC_INTERFACE_AUDIO_CONTROL, &p) == 0)
        p.bytes_size = sizeof packet;
}

static void repeat_report(struct roc_decoder *decoder) {
    uint8_t report[ROC_PROBE_REPORT_SIZE];
    if (roc_probe_repeat(&decoder->probe, wall_now_ns(), report) > 0)
        (void)push(decoder, ROC_INTERFACE_AUDIO_CONTROL, report, sizeof report);
}

static enum err decoder_pop_frames(struct codec_decoder *base, float *frames, size_t n) {
    struct roc_decoder *decoder = decoder_of(base);
    if (n == 0)
        return ERR_OK;
    roc_frame frame = {frames, n * decoder->frame_size};
    if (!has_failed(decoder))
        repeat_report(decoder);
    if (!has_failed(decoder)) {
        roc_probe_before_pop(&decoder->probe);
        bool works = roc_receiver_decoder_pop_frame(decoder->roc, &frame) == 0;
        roc_probe_after_pop(&decoder->probe, n, base->now_ns, wall_now_ns());
        if (works && !decoder->settings.control)
            drop_feedback(decoder);
        if (works)
            return ERR_OK;
    }
    memset(frames, 0, n * decoder->frame_size);
    return fail(decoder);
}

static enum err decoder_query(struct codec_decoder *base, struct codec_query *ret) {
    struct roc_decoder *decoder = decoder_of(base);
    roc_codec_drain_log(decoder->codec);
    *ret = (struct codec_query){};
    for (int i = 0; i < 3; i++) {
        if (has_failed(decoder))
            return ERR_UNAVAILABLE;
        struct roc_probe_reading reading;
        bool is_readable = roc_probe_begin_read(&decoder->probe, &reading);
        roc_receiver_metrics metrics = {};
        roc_connection_metrics connection = {};
        if (roc_receiver_decoder_query(decoder->roc, &metrics, &connection) != 0)
            return fail(decoder);
        ret->connected = metrics.connection_count > 0;
        if (is_readable &&
            roc_probe_end_read(&decoder->probe, &reading, ret->connected ? (int64_t)connection.e2e_latency : 0, ret))
            break;
    }
    return ERR_OK;
}

static void decoder_close(struct codec_decoder *base) {
    if (!base)
        return;
    struct roc_decoder *decoder = decoder_of(base);
    if (decoder->roc)
        (void)!roc_receiver_decoder_close(decoder->roc);
    roc_codec_drain_log(decoder->codec);
    free(decoder);
}

static const struct codec_decoder_ops decoder_ops = {
    .push_packet = decoder_push_packet,
    .pop_frames = decoder_pop_frames,
    .pop_feedback = decoder_pop_feedback,
    .query = decoder_query,
    .close = decoder_close,
};

enum err roc_decoder_open(struct codec *codec, const struct codec_settings *settings,
                          struct codec_frame_format frame_format, struct codec_decoder **ret, struct err_info *reterr) {
    enum err err = roc_codec_check(settings, frame_format, reterr);
    if (err != ERR_OK)
        return err;
    struct roc_decoder *decoder = calloc(1, sizeof *decoder);
    if (!decoder)
        return err_set(reterr, ERR_NO_MEMORY, "no memory for a decoder");
    *decoder = (struct roc_decoder){
        .decoder = {.ops = &decoder_ops},
        .codec = roc_codec_of(codec),
        .settings = *settings,
        .frame_size = frame_format.n_channels * sizeof(float),
    };
    roc_probe_init(&decoder->probe, settings, frame_format.rate_hz);
    /* libroc's default backend below 30 ms of latency is its built-in resampler, which is broken in 0.4 (wrong gain,
     * pops): it is always named here. */
    roc_receiver_config config = {
        .frame_encoding = roc_media_encoding_of(rate_by_sender_hz(frame_format), frame_format.n_channels),
        .clock_source = ROC_CLOCK_SOURCE_EXTERNAL,
        .latency_tuner_backend = ROC_LATENCY_TUNER_BACKEND_NIQ,
        .latency_tuner_profile = latency_table[settings->latency_profile],
        .resampler_backend = ROC_RESAMPLER_BACKEND_SPEEX,
        .resampler_profile = roc_resampler_of(settings->resampler),
        .target_latency = (unsigned long long)settings->target_latency_ns,
    };
    bool ok = roc_receiver_decoder_open(decoder->codec->context, &config, &decoder->roc) == 0;
    if (!ok)
        decoder->roc = nullptr;
    for (enum media_iface i = 0; ok && i < MEDIA_N_IFACES; i++) {
        struct roc_iface roc;
        if (i != MEDIA_CONTROL && roc_iface_of(settings, i, &roc))
            ok = roc_receiver_decoder_activate(decoder->roc, roc.iface, roc.proto) == 0;
    }
    if (ok)
        ok = roc_receiver_decoder_activate(decoder->roc, ROC_INTERFACE_AUDIO_CONTROL, ROC_PROTO_RTCP) == 0;
    if (!ok) {
        decoder_close(&decoder->decoder);
        return err_set(reterr, ERR_UNAVAILABLE, "libroc refuses a decoder for these settings (see its log lines)");
    }
    *ret = &decoder->decoder;
    return ERR_OK;
}
