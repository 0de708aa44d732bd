/* SPDX-License-Identifier: MPL-2.0 */
#include "media/link_send.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "transport/gate.h"

/* After a stall, packets older than this are not sent: they could only be late, and would come as a burst. */
constexpr int64_t TOO_OLD_NS = 200 * NS_PER_MS;
/* Longer than the filter of any resampler at the receiver. */
constexpr int64_t RESAMPLER_NS = 5 * NS_PER_MS;
constexpr size_t FEEDBACK_PER_TICK_MAX = TICK_PACKETS;

enum err link_send_create(const struct link_send_config *config, void *owner, struct link_send **ret,
                          struct err_info *reterr) {
    struct link_send *link = calloc(1, sizeof *link);
    if (!link)
        return err_set(reterr, ERR_NO_MEMORY, "out of memory: the stream cannot be sent");
    struct remap_config remap = {
        .node_channels = config->node_channels,
        .wire_channels = config->settings.wire_channels,
        .n_map = config->n_map,
        .map = config->map,
    };
    enum err e = remap_init(&link->remap, &remap, reterr);
    if (e == ERR_OK) {
        link->n_max = config->n_max;
        link->frames = calloc(config->n_max * config->settings.wire_channels, sizeof *link->frames);
        bool mixes = config->mixes && config->member && *config->member;
        if (!link->frames || (mixes && !mixer_init(&link->mixer, config->n_max, config->node_channels)))
            e = err_set(reterr, ERR_NO_MEMORY, "out of memory: the stream cannot be sent");
    }
    struct codec_frame_format format = {.rate_hz = config->node_rate_hz, .n_channels = config->settings.wire_channels};
    if (e == ERR_OK)
        e = config->codec->ops->open_encoder(config->codec, &config->settings, format, &link->encoder, reterr);
    if (e != ERR_OK) {
        link_send_destroy(link);
        return e;
    }
    link->owner = owner;
    link->path = config->path;
    snprintf(link->member, sizeof link->member, "%s", config->member ? config->member : "");
    link->start_delay_ns = config->start_delay_ns;
    gain_init(&link->gain, config->gain_db, config->muted, config->node_rate_hz);
    latency_send_init(&link->latency, &config->settings, config->node_rate_hz);
    link->n_flush = (size_t)((config->settings.packet_length_ns + RESAMPLER_NS) * config->node_rate_hz / NS_PER_S) + 1;
    *ret = link;
    return ERR_OK;
}

void link_send_destroy(struct link_send *link) {
    if (!link)
        return;
    if (link->encoder)
        link->encoder->ops->close(link->encoder);
    if (link->path)
        link->path->ops->close(link->path);
    mixer_finish(&link->mixer);
    free(link->frames);
    free(link);
}

static void fail(struct link_send *link, const struct tick *tick) {
    atomic_store_explicit(&link->failed, true, memory_order_release);
    atomic_store_explicit(&link->playing, false, memory_order_relaxed);
    notices_put(tick->notices, NOTICE_LINK_FAILED, link->owner, nullptr);
}

static void take_feedback(struct link_send *link, const struct tick *tick) {
    size_t n = link->path->ops->receive(link->path, tick->packets, FEEDBACK_PER_TICK_MAX);
    for (size_t i = 0; i < n; i++) {
        const struct packet *packet = &tick->packets[i];
        if (packet->iface == MEDIA_PING)
            latency_send_take_ping(&link->latency, packet, tick);
        if (packet->iface != MEDIA_CONTROL || !gate_rtcp_is_sound(packet->data, packet->len))
            continue;
        if (link->encoder->ops->push_feedback(link->encoder, packet->data, packet->len) != ERR_OK) {
            fail(link, tick);
            return;
        }
    }
}

/* Sends what is in the scratch space, or forgets it where it comes too late. */
static void flush(struct link_send *link, const struct tick *tick, size_t n) {
    if (n == 0)
        return;
    if (tick->n_behind * tick->length_ns > TOO_OLD_NS) {
        tick_count(&link->skipped_packets, n);
        return;
    }
    link->path->ops->send(link->path, tick->packets, n);
    if (link->told_started)
        return;
    link->told_started = true;
    atomic_store_explicit(&link->started_ns, tick->now_ns, memory_order_relaxed);
    atomic_store_explicit(&link->playing, true, memory_order_relaxed);
    notices_put(tick->notices, NOTICE_LINK_STARTED, link->owner, nullptr);
}

static void send_packets(struct link_send *link, const struct tick *tick) {
    size_t n = 0;
    for (enum media_iface iface = 0; iface < MEDIA_N_IFACES; iface++)
        for (;;) {
            struct packet *packet = &tick->packets[n];
            size_t len = link->encoder->ops->pop_packet(link->encoder, iface, packet->data);
            if (len == 0)
                break;
            packet->iface = iface;
            packet->len = (uint16_t)len;
            if (iface == MEDIA_SOURCE)
                latency_send_packet(&link->latency, packet->data, len);
            if (++n == TICK_PACKETS) {
                flush(link, tick, n);
                n = 0;
            }
        }
    flush(link, tick, n);
}

/* The node's frames with this link's gain and channels; the node's own memory where nothing has to be done. */
static const float *shape(struct link_send *link, const float *frames, const float *peaks, size_t n) {
    size_t n_channels = link->remap.n_to;
    if (link->remap.identity && !link->leaving && gain_is_unity(&link->gain)) {
        meter_add(&link->meter, peaks, n_channels);
        return frames;
    }
    remap_run(&link->remap, link->frames, frames, n);
    if (link->leaving)
        gain_fade_out(&link->gain, link->frames, n, n_channels);
    else
        gain_run(&link->gain, link->frames, n, n_channels);
    float own_peaks[ENGINE_CHANNELS_MAX];
    meter_peaks(own_peaks, link->frames, n, n_channels);
    meter_add(&link->meter, own_peaks, n_channels);
    return link->frames;
}

/* Silence after the fade: it fills the packet that has the end of it, and pushes it through the resampler over there. */
static void follow_fade(struct link_send *link, size_t n) {
    link->faded = n >= link->n_flush;
    link->n_flush -= link->faded ? 0 : n;
}

void link_send_tick(struct link_send *link, const struct tick *tick, const float *frames, const float *peaks, size_t n,
                    bool in_the_middle) {
    if (atomic_load_explicit(&link->failed, memory_order_relaxed) || tick->now_ns < link->begin_ns)
        return;
    take_feedback(link, tick);
    if (atomic_load_explicit(&link->failed, memory_order_relaxed) || n == 0)
        return;
    if (!link->begun && in_the_middle)
        gain_begin_silent(&link->gain);
    link->begun = true;
    bool is_out = link->leaving && gain_is_out(&link->gain);
    latency_send_frames(&link->latency, n);
    const float *shaped = shape(link, frames, peaks, n);
    if (link->encoder->ops->push_frames(link->encoder, shaped, n) != ERR_OK) {
        fail(link, tick);
        return;
    }
    send_packets(link, tick);
    latency_send_ping(&link->latency, link->path, tick);
    if (is_out)
        follow_fade(link, n);
}

void link_send_leave(struct link_send *link, const struct tick *tick) {
    link->leaving = true;
    link->leaving_ns = tick->now_ns;
}
