/* SPDX-License-Identifier: MPL-2.0 */
#include "transport/roc/roc_priv.h"

#include <roc/log.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

/*
 * One roc_context: memory pools and the map of encodings. Its two threads idle, since no libroc socket is ever opened.
 *
 * libroc has one log handler per process and calls it on whatever thread speaks, media threads included, one call at a
 * time under a lock of its own. So the handler only copies the line into the ring of the codec that owns the log (the
 * oldest one); the line is written when a core or worker thread comes by. The list of codecs below is the only mutable
 * global of this folder, and exists because libroc's handler is one.
 */

struct log_line {
    roc_log_level level;
    char module[24];
    char text[228];
};

constexpr size_t LOG_LINES = 64;

static struct {
    pthread_mutex_t lock;
    struct list codecs; // struct roc_codec::link, the first owns the log
} log_owners = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .codecs = {{&log_owners.codecs.head, &log_owners.codecs.head}},
};

static const struct {
    roc_fec_encoding fec;
    roc_protocol source, repair;
} fec_table[] = {
    [CODEC_FEC_NONE] = {ROC_FEC_ENCODING_DISABLE, ROC_PROTO_RTP, (roc_protocol)0},
    [CODEC_FEC_RS8M] = {ROC_FEC_ENCODING_RS8M, ROC_PROTO_RTP_RS8M_SOURCE, ROC_PROTO_RS8M_REPAIR},
    [CODEC_FEC_LDPC] = {ROC_FEC_ENCODING_LDPC_STAIRCASE, ROC_PROTO_RTP_LDPC_SOURCE, ROC_PROTO_LDPC_REPAIR},
};

static const roc_resampler_profile resampler_table[] = {
    [CODEC_RESAMPLER_LOW] = ROC_RESAMPLER_PROFILE_LOW,
    [CODEC_RESAMPLER_MEDIUM] = ROC_RESAMPLER_PROFILE_MEDIUM,
    [CODEC_RESAMPLER_HIGH] = ROC_RESAMPLER_PROFILE_HIGH,
};

bool roc_iface_of(const struct codec_settings *settings, enum media_iface iface, struct roc_iface *ret) {
    switch (iface) {
    case MEDIA_SOURCE:
        *ret = (struct roc_iface){ROC_INTERFACE_AUDIO_SOURCE, fec_table[settings->fec].source};
        return true;
    case MEDIA_REPAIR:
        *ret = (struct roc_iface){ROC_INTERFACE_AUDIO_REPAIR, fec_table[settings->fec].repair};
        return settings->fec != CODEC_FEC_NONE;
    case MEDIA_CONTROL:
        *ret = (struct roc_iface){ROC_INTERFACE_AUDIO_CONTROL, ROC_PROTO_RTCP};
        return settings->control;
    case MEDIA_N_IFACES:
        break;
    }
    return false;
}

roc_fec_encoding roc_fec_of(enum codec_fec fec) {
    return fec_table[fec].fec;
}

roc_resampler_profile roc_resampler_of(enum codec_resampler resampler) {
    return resampler_table[resampler];
}

roc_media_encoding roc_media_encoding_of(uint32_t rate_hz, uint32_t n_channels) {
    return (roc_media_encoding){
        .rate = rate_hz,
        .format = ROC_FORMAT_PCM_FLOAT32,
        .channels = n_channels == 1   ? ROC_CHANNEL_LAYOUT_MONO
                    : n_channels == 2 ? ROC_CHANNEL_LAYOUT_STEREO
                                      : ROC_CHANNEL_LAYOUT_MULTITRACK,
        .tracks = n_channels > 2 ? n_channels : 0,
    };
}

static bool knows_encoding(const struct codec_settings *settings) {
    size_t n;
    const struct codec_encoding *table = codec_encodings(&n);
    for (size_t i = 0; i < n; i++)
        if (table[i].payload_type == settings->payload_type && table[i].rate_hz == settings->wire_rate_hz &&
            table[i].n_channels == settings->wire_channels)
            return true;
    return false;
}

enum err roc_codec_check(const struct codec_settings *settings, struct codec_frame_format format,
                         struct err_info *reterr) {
    if (!knows_encoding(settings))
        return err_set(reterr, ERR_UNSUPPORTED, "no wire encoding with payload type %u is l16/%u/%u",
                       settings->payload_type, settings->wire_rate_hz, settings->wire_channels);
    if (format.n_channels != settings->wire_channels)
        return err_set(reterr, ERR_INVALID, "the link has %u channels where the wire has %u; map them before the codec",
                       format.n_channels, settings->wire_channels);
    if (format.rate_hz < 4000 || format.rate_hz > 384'000)
        return err_set(reterr, ERR_UNSUPPORTED, "a rate of %u Hz is outside 4000 to 384000 Hz", format.rate_hz);
    size_t payload = codec_payload_bytes(settings);
    if (payload == 0 || payload > CODEC_PAYLOAD_MAX)
        return err_set(reterr, ERR_INVALID, "a packet of %.3f ms has %zu bytes of sound; 1 sample to %zu bytes fit",
                       (double)settings->packet_length_ns / 1e6, payload, CODEC_PAYLOAD_MAX);
    if (settings->fec != CODEC_FEC_NONE && (settings->fec_source_packets == 0 || settings->fec_repair_packets == 0 ||
                                            settings->fec_source_packets + settings->fec_repair_packets > 255))
        return err_set(reterr, ERR_INVALID, "a FEC block of %u + %u packets is outside 1 + 1 to 255 in all",
                       settings->fec_source_packets, settings->fec_repair_packets);
    if (settings->target_latency_ns <= 0)
        return err_set(reterr, ERR_INVALID, "the target latency is not positive");
    return ERR_OK;
}

/* ---- the log ---- */

static void on_log(const roc_log_message *message, void *argument) {
    struct roc_codec *codec = argument;
    struct log_line line = {.level = message->level};
    snprintf(line.module, sizeof line.module, "%s", message->module ? message->module : "");
    snprintf(line.text, sizeof line.text, "%s", message->text ? message->text : "");
    if (ring_write(&codec->lines, &line, 1) == 0)
        atomic_fetch_add_explicit(&codec->n_lost_lines, 1, memory_order_relaxed);
}

static roc_log_level wanted_level(struct log log) {
    int level = log.sink ? atomic_load_explicit(&log.sink->level, memory_order_relaxed) : LOG_LEVEL_ERROR;
    return level >= LOG_LEVEL_TRACE   ? ROC_LOG_DEBUG
           : level >= LOG_LEVEL_DEBUG ? ROC_LOG_NOTE
           : level >= LOG_LEVEL_WARN  ? ROC_LOG_ERROR
                                      : ROC_LOG_NONE;
}

/* Called with log_owners.lock held. */
static void assign_log(void) {
    struct roc_codec *owner = list_first(&log_owners.codecs, struct roc_codec, link);
    if (!owner) {
        /* libroc's own handler would write to stderr again. */
        roc_log_set_level(ROC_LOG_NONE);
        roc_log_set_handler(nullptr, nullptr);
        return;
    }
    roc_log_set_handler(on_log, owner);
    roc_log_set_level(wanted_level(owner->log));
}

void roc_codec_drain_log(struct roc_codec *codec) {
    pthread_mutex_lock(&codec->drain);
    struct log_line line;
    while (ring_read(&codec->lines, &line, 1) == 1)
        log_emit(codec->log,
                 line.level == ROC_LOG_ERROR   ? LOG_LEVEL_WARN
                 : line.level == ROC_LOG_DEBUG ? LOG_LEVEL_TRACE
                                               : LOG_LEVEL_DEBUG,
                 "libroc", (const struct log_field[]){LOG_STR("module", line.module), LOG_STR("text", line.text)}, 2);
    uint64_t n_lost = atomic_exchange_explicit(&codec->n_lost_lines, 0, memory_order_relaxed);
    if (n_lost > 0)
        log_debug(codec->log, "libroc said more than is shown", LOG_UINT("lines", n_lost));
    pthread_mutex_unlock(&codec->drain);
    /* The level may have been changed while we run. */
    pthread_mutex_lock(&log_owners.lock);
    if (list_first(&log_owners.codecs, struct roc_codec, link) == codec)
        roc_log_set_level(wanted_level(codec->log));
    pthread_mutex_unlock(&log_owners.lock);
}

/* ---- life ---- */

static void codec_close(struct codec *base) {
    if (!base)
        return;
    struct roc_codec *codec = roc_codec_of(base);
    /* Fails only while encoders or decoders are open, which is a fault of the owner; the memory is then kept. */
    bool closed = !codec->context || roc_context_close(codec->context) == 0;
    pthread_mutex_lock(&log_owners.lock);
    list_remove(&codec->link);
    assign_log(); /* libroc does not call with the old argument once this has returned */
    pthread_mutex_unlock(&log_owners.lock);
    roc_codec_drain_log(codec);
    if (!closed) {
        log_error(codec->log, "libroc context closed while encoders or decoders are open");
        return;
    }
    ring_finish(&codec->lines);
    pthread_mutex_destroy(&codec->drain);
    free(codec);
}

static const struct codec_ops codec_ops = {
    .open_encoder = roc_encoder_open,
    .open_decoder = roc_decoder_open,
    .close = codec_close,
};

static enum err register_encodings(struct roc_codec *codec, struct err_info *reterr) {
    size_t n;
    const struct codec_encoding *table = codec_encodings(&n);
    for (size_t i = 0; i < n; i++) {
        if (table[i].payload_type < 96)
            continue; /* built in */
        roc_media_encoding encoding = roc_media_encoding_of(table[i].rate_hz, table[i].n_channels);
        if (roc_context_register_encoding(codec->context, (int)table[i].payload_type, &encoding) != 0)
            return err_set(reterr, ERR_INTERNAL, "libroc %s refuses the encoding %s", roc_codec_version(),
                           table[i].name);
    }
    return ERR_OK;
}

enum err roc_codec_create(struct log log, struct codec **ret, struct err_info *reterr) {
    roc_version version;
    roc_version_load(&version);
    if (version.major != ROC_VERSION_MAJOR || version.minor != ROC_VERSION_MINOR)
        return err_set(reterr, ERR_UNSUPPORTED, "libroc %u.%u is loaded, but rocd was built for %d.%d; rebuild it",
                       version.major, version.minor, ROC_VERSION_MAJOR, ROC_VERSION_MINOR);
    struct roc_codec *codec = alloc_aligned(struct roc_codec);
    if (!codec || !ring_init(&codec->lines, sizeof(struct log_line), LOG_LINES)) {
        free(codec);
        return err_set(reterr, ERR_NO_MEMORY, "no memory for the codec");
    }
    codec->codec.ops = &codec_ops;
    codec->log = log;
    pthread_mutex_init(&codec->drain, nullptr);
    pthread_mutex_lock(&log_owners.lock);
    list_append(&log_owners.codecs, &codec->link);
    assign_log();
    pthread_mutex_unlock(&log_owners.lock);
    /* Zeros are libroc's defaults: packets up to 2048, frames up to 4096 bytes. */
    enum err err = ERR_OK;
    if (roc_context_open(&(roc_context_config){}, &codec->context) != 0) {
        codec->context = nullptr;
        err =
            err_set(reterr, ERR_INTERNAL, "libroc could not open its context (out of threads, descriptors or memory)");
    }
    if (err == ERR_OK)
        err = register_encodings(codec, reterr);
    if (err != ERR_OK) {
        codec_close(&codec->codec);
        return err;
    }
    *ret = &codec->codec;
    return ERR_OK;
}

const char *roc_codec_version(void) {
    /* The compile check pins major and minor, the start check that the loaded library agrees. */
    static const char *const patches[] = {"0.4.0", "0.4.1", "0.4.2", "0.4.3", "0.4.4", "0.4.5"};
    roc_version version;
    roc_version_load(&version);
    return version.patch < sizeof patches / sizeof patches[0] ? patches[version.patch] : "0.4";
}
