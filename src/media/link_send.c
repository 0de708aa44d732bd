/* SPDX-License-Identifier: MPL-2.0 */
#include "media/link_send.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    if (e == ERR_OK && config->share)
        e = share_open(config->share, config->codec, format, &link->encoder, reterr);
    else if (e == ERR_OK)
        e = config->codec->ops->open_encoder(config->codec, &config->settings, format, &link->encoder, reterr);
    if (e != ERR_OK) {
        link_send_destroy(link);
        return e;
    }
    link->owner = owner;
    link->path = config->path;
    link->share = config->share;
    snprintf(link->member, sizeof link->member, "%s", config->member ? config->member : "");
    link->target_latency_ns = config->settings.target_latency_ns;
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
    if (link->share)
        share_unref(link->share);
    else if (link->encoder)
        link->encoder->ops->close(link->encoder);
    if (link->path)
        link->path->ops->close(link->path);
    mixer_finish(&link->mixer);
    free(link->frames);
    free(link);
}

static void fail_one(struct link_send *link, const struct tick *tick) {
    if (atomic_load_explicit(&link->failed, memory_order_relaxed))
        return;
    atomic_store_explicit(&link->failed, true, memory_order_release);
    atomic_store_explicit(&link->playing, false, memory_order_relaxed);
    notices_put(tick->notices, NOTICE_LINK_FAILED, link->owner, nullptr);
}

static void fail(struct link_send *link, const struct tick *tick) {
    if (!link->share) {
        fail_one(link, tick);
        return;
    }
    struct link_send *member;
    list_for_each(member, &link->share->members, in_share) fail_one(member, tick);
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

static void send_one(struct link_send *link, const struct tick *tick, size_t n) {
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

/* Has it begun, and not been told to go? Of a share, these get packets. */
static bool is_member(const struct link_send *link, const struct tick *tick) {
    return tick->now_ns >= link->begin_ns && !link->faded;
}

/* Sends what is in the scratch space, or forgets it where it comes too late. */
static void flush(struct link_send *link, const struct tick *tick, size_t n) {
    if (n == 0)
        return;
    if (!link->share) {
        send_one(link, tick, n);
        return;
    }
    struct link_send *member;
    list_for_each(member, &link->share->members, in_share) if (is_member(member, tick)) send_one(member, tick, n);
}

static void send_packets(struct link_send *link, const struct tick *tick, struct latency_send *latency) {
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
                latency_send_packet(latency, packet->data, len);
            if (++n == TICK_PACKETS) {
                flush(link, tick, n);
                n = 0;
            }
        }
    flush(link, tick, n);
}

/* The node's frames with this link's gain and channels; the node's own memory where nothing has to be done. */
static const float *shape(struct link_send *link, const float *frames, const float *peaks, size_t n, float *ret_peaks) {
    size_t n_channels = link->remap.n_to;
    if (link->remap.identity && !link->leaving && gain_is_unity(&link->gain)) {
        memcpy(ret_peaks, peaks, n_channels * sizeof *peaks);
        return frames;
    }
    remap_run(&link->remap, link->frames, frames, n);
    if (link->leaving)
        gain_fade_out(&link->gain, link->frames, n, n_channels);
    else
        gain_run(&link->gain, link->frames, n, n_channels);
    meter_peaks(ret_peaks, link->frames, n, n_channels);
    return link->frames;
}

/* Silence after the fade: it fills the packet that has the end of it, and pushes it through the resampler over there. */
static void follow_fade(struct link_send *link, size_t n) {
    link->faded = n >= link->n_flush;
    link->n_flush -= link->faded ? 0 : n;
}

/* The first of a share that does not leave works for all of them. As nobody has a gain of its own, the next goes on where it
 * ends. */
static const struct link_send *leader_of(const struct link_send *link, const struct tick *tick) {
    const struct link_send *member;
    if (!link->share)
        return link;
    list_for_each(member, &link->share->members, in_share) {
        if (is_member(member, tick) && !member->leaving)
            return member;
    }
    return link;
}

static void follow_leader(struct link_send *link, const struct tick *tick) {
    link->faded |= link->leaving;
    meter_add(&link->meter, link->share->peaks, link->remap.n_to);
    latency_send_follow(&link->latency, &link->share->latency);
    latency_send_ping(&link->latency, link->path, tick);
}

static void encode(struct link_send *link, const struct tick *tick, const float *frames, const float *peaks, size_t n,
                   bool in_the_middle) {
    struct share *share = link->share;
    struct latency_send *latency = share ? &share->latency : &link->latency;
    bool *begun = share ? &share->begun : &link->begun;
    float own_peaks[ENGINE_CHANNELS_MAX], *ret_peaks = share ? share->peaks : own_peaks;
    if (!*begun && in_the_middle && !link->leaving)
        gain_begin_silent(&link->gain);
    *begun |= !link->leaving;
    latency->captured = link->latency.captured;
    latency_send_frames(latency, n);
    const float *shaped = shape(link, frames, peaks, n, ret_peaks);
    meter_add(&link->meter, ret_peaks, link->remap.n_to);
    if (link->encoder->ops->push_frames(link->encoder, shaped, n) != ERR_OK) {
        fail(link, tick);
        return;
    }
    send_packets(link, tick, latency);
    if (share)
        latency_send_follow(&link->latency, latency);
    latency_send_ping(&link->latency, link->path, tick);
}

void link_send_tick(struct link_send *link, const struct tick *tick, const float *frames, const float *peaks, size_t n,
                    bool in_the_middle) {
    if (atomic_load_explicit(&link->failed, memory_order_relaxed) || tick->now_ns < link->begin_ns)
        return;
    take_feedback(link, tick);
    if (atomic_load_explicit(&link->failed, memory_order_relaxed) || n == 0)
        return;
    if (leader_of(link, tick) != link) {
        follow_leader(link, tick);
        return;
    }
    bool is_out = link->leaving && gain_is_out(&link->gain);
    encode(link, tick, frames, peaks, n, in_the_middle);
    if (is_out)
        follow_fade(link, n);
}

void link_send_leave(struct link_send *link, const struct tick *tick) {
    link->leaving = true;
    link->leaving_ns = tick->now_ns;
    if (!link->share)
        return;
    const struct link_send *other;
    list_for_each(other, &link->share->members, in_share) link->faded |= other != link && !other->leaving;
    link->share->begun &= link->faded; /* else it fades out what comes */
}
