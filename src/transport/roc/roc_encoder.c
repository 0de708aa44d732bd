/* SPDX-License-Identifier: MPL-2.0 */
#include "transport/roc/roc_priv.h"

#include <roc/sender_encoder.h>

#include <stdlib.h>
#include <string.h>

#include "transport/rtp.h"

/* libroc's sender without its sockets: frames in, packets out. */

struct roc_encoder {
    struct codec_encoder encoder;
    struct roc_codec *codec; /* borrowed */
    roc_sender_encoder *roc;
    struct codec_settings settings;
    size_t frame_size; /* bytes of one frame: all its channels */
    uint8_t ssrc[4];   /* of what it sends, as it is on the wire; zeros: nothing yet */
    atomic_bool failed;
};

static struct roc_encoder *encoder_of(struct codec_encoder *base) {
    return container_of(base, struct roc_encoder, encoder);
}

static bool has_failed(struct roc_encoder *encoder) {
    return atomic_load_explicit(&encoder->failed, memory_order_acquire);
}

static enum err fail(struct roc_encoder *encoder) {
    atomic_store_explicit(&encoder->failed, true, memory_order_release);
    return ERR_UNAVAILABLE;
}

static enum err encoder_push_frames(struct codec_encoder *base, const float *frames, size_t n) {
    struct roc_encoder *encoder = encoder_of(base);
    if (has_failed(encoder))
        return ERR_UNAVAILABLE;
    if (n == 0)
        return ERR_OK;
    /* libroc only reads them; its frame type has no const. */
    roc_frame frame = {(void *)(uintptr_t)frames, n * encoder->frame_size};
    return roc_sender_encoder_push_frame(encoder->roc, &frame) == 0 ? ERR_OK : fail(encoder);
}

static size_t encoder_pop_packet(struct codec_encoder *base, enum media_iface iface, uint8_t *packet) {
    struct roc_encoder *encoder = encoder_of(base);
    struct roc_iface roc;
    if (has_failed(encoder) || !roc_iface_of(&encoder->settings, iface, &roc))
        return 0;
    roc_packet p = {packet, PACKET_MAX};
    if (roc_sender_encoder_pop_packet(encoder->roc, roc.iface, &p) != 0)
        return 0;
    if (iface == MEDIA_SOURCE && p.bytes_size >= RTP_HEADER_SIZE)
        memcpy(encoder->ssrc, packet + 8, sizeof encoder->ssrc); /* RFC 3550 5.1 */
    return p.bytes_size;
}

/* RTCP of somebody who has our SSRC. libroc 0.4 would take another one (RFC 3550 8.2) and then drop all its own packets. */
static bool is_collision(const struct roc_encoder *encoder, const uint8_t *packet, size_t len) {
    return len >= 8 && memcmp(packet + 4, encoder->ssrc, sizeof encoder->ssrc) == 0;
}

static enum err encoder_push_feedback(struct codec_encoder *base, const uint8_t *packet, size_t len) {
    struct roc_encoder *encoder = encoder_of(base);
    if (has_failed(encoder))
        return ERR_UNAVAILABLE;
    if (!encoder->settings.control || len == 0 || is_collision(encoder, packet, len))
        return ERR_OK;
    roc_packet p = {(void *)(uintptr_t)packet, len};
    return roc_sender_encoder_push_feedback_packet(encoder->roc, ROC_INTERFACE_AUDIO_CONTROL, &p) == 0 ? ERR_OK
                                                                                                       : fail(encoder);
}

static enum err encoder_query(struct codec_encoder *base, struct codec_query *ret) {
    struct roc_encoder *encoder = encoder_of(base);
    roc_codec_drain_log(encoder->codec);
    if (has_failed(encoder))
        return ERR_UNAVAILABLE;
    roc_sender_metrics metrics = {};
    roc_connection_metrics connection = {};
    if (roc_sender_encoder_query(encoder->roc, &metrics, &connection) != 0)
        return fail(encoder);
    *ret = (struct codec_query){
        .connected = metrics.connection_count > 0,
        .end_to_end_ns = (int64_t)connection.e2e_latency,
    };
    return ERR_OK;
}

static void encoder_close(struct codec_encoder *base) {
    if (!base)
        return;
    struct roc_encoder *encoder = encoder_of(base);
    if (encoder->roc)
        (void)!roc_sender_encoder_close(encoder->roc);
    roc_codec_drain_log(encoder->codec);
    free(encoder);
}

static const struct codec_encoder_ops encoder_ops = {
    .push_frames = encoder_push_frames,
    .pop_packet = encoder_pop_packet,
    .push_feedback = encoder_push_feedback,
    .query = encoder_query,
    .close = encoder_close,
};

enum err roc_encoder_open(struct codec *codec, const struct codec_settings *settings,
                          struct codec_frame_format frame_format, struct codec_encoder **ret, struct err_info *reterr) {
    enum err err = roc_codec_check(settings, frame_format, reterr);
    if (err != ERR_OK)
        return err;
    struct roc_encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder)
        return err_set(reterr, ERR_NO_MEMORY, "no memory for an encoder");
    *encoder = (struct roc_encoder){
        .encoder = {&encoder_ops},
        .codec = roc_codec_of(codec),
        .settings = *settings,
        .frame_size = frame_format.n_channels * sizeof(float),
    };
    bool fec = settings->fec != CODEC_FEC_NONE;
    roc_sender_config config = {
        .frame_encoding = roc_media_encoding_of(frame_format.rate_hz, frame_format.n_channels),
        .packet_encoding = (roc_packet_encoding)settings->payload_type,
        .packet_length = (unsigned long long)settings->packet_length_ns,
        .fec_encoding = roc_fec_of(settings->fec),
        .fec_block_source_packets = fec ? settings->fec_source_packets : 0,
        .fec_block_repair_packets = fec ? settings->fec_repair_packets : 0,
        .clock_source = ROC_CLOCK_SOURCE_EXTERNAL,
        .latency_tuner_profile = ROC_LATENCY_TUNER_PROFILE_INTACT, /* the receiver tunes */
        .resampler_backend = ROC_RESAMPLER_BACKEND_SPEEX,
        .resampler_profile = roc_resampler_of(settings->resampler),
    };
    bool ok = roc_sender_encoder_open(encoder->codec->context, &config, &encoder->roc) == 0;
    if (!ok)
        encoder->roc = nullptr;
    for (enum media_iface i = 0; ok && i < MEDIA_N_IFACES; i++) {
        struct roc_iface roc;
        if (roc_iface_of(settings, i, &roc))
            ok = roc_sender_encoder_activate(encoder->roc, roc.iface, roc.proto) == 0;
    }
    if (!ok) {
        encoder_close(&encoder->encoder);
        return err_set(reterr, ERR_UNAVAILABLE, "libroc refuses an encoder for these settings (see its log lines)");
    }
    *ret = &encoder->encoder;
    return ERR_OK;
}
