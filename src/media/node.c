/* SPDX-License-Identifier: MPL-2.0 */
#include "media/node.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "media/path_watch.h"

/* Frames that fit into a time, rounded down; in two steps, as the product overflows after two days. */
static int64_t frames_in(int64_t ns, uint32_t rate_hz) {
    return ns / NS_PER_S * rate_hz + ns % NS_PER_S * rate_hz / NS_PER_S;
}

size_t node_frames_max(uint32_t rate_hz, int64_t tick_ns) {
    return (size_t)frames_in(tick_ns, rate_hz) + 1;
}

enum err node_create(struct audio_stream *stream, enum audio_direction direction, int64_t tick_ns,
                     const struct clock *clock, void *owner, struct node **ret, struct err_info *reterr) {
    struct audio_format format = stream->format;
    if (format.n_channels < 1 || format.n_channels > ENGINE_CHANNELS_MAX || format.rate_hz < 1000 ||
        format.rate_hz > 768'000)
        return err_set(reterr, ERR_UNSUPPORTED,
                       "an endpoint with %u channels at %u Hz cannot be used: 1 to %zu channels at 1000 to 768000 Hz",
                       format.n_channels, format.rate_hz, ENGINE_CHANNELS_MAX);
    if (stream->clock != AUDIO_CLOCK_TICKED)
        return err_set(reterr, ERR_UNSUPPORTED, "endpoints with a clock of their own (devices) are not built yet");
    struct node *node = calloc(1, sizeof *node);
    if (!node)
        return err_set(reterr, ERR_NO_MEMORY, "out of memory: the endpoint cannot be used");
    node->owner = owner;
    node->direction = direction;
    node->clock = clock;
    node->n_max = node_frames_max(format.rate_hz, tick_ns);
    list_init(&node->links);
    bool made = true;
    if (direction == AUDIO_INPUT)
        made = (node->frames = calloc(node->n_max * format.n_channels, sizeof *node->frames)) != nullptr;
    else
        made = mixer_init(&node->mixer, node->n_max, format.n_channels);
    if (!made) {
        node_destroy(node);
        return err_set(reterr, ERR_NO_MEMORY, "out of memory: the endpoint cannot be used");
    }
    node->stream = stream;
    *ret = node;
    return ERR_OK;
}

void node_destroy(struct node *node) {
    if (!node)
        return;
    if (node->stream)
        node->stream->ops->close(node->stream);
    mixer_finish(&node->mixer);
    free(node->frames);
    free(node);
}

void node_add_send(struct node *node, struct link_send *link, int64_t now_ns) {
    link->begin_ns = now_ns + link->start_delay_ns;
    list_append(&node->links, &link->in_node);
}

void node_add_receive(struct node *node, struct link_receive *link) {
    list_append(&node->links, &link->in_node);
}

void node_was_late(struct node *node, int64_t late_ns, bool whole_ticks) {
    if (!node->started)
        return;
    if (whole_ticks)
        tick_count(&node->late_ticks, 1);
    if (late_ns > atomic_load_explicit(&node->worst_late_ns, memory_order_relaxed))
        atomic_store_explicit(&node->worst_late_ns, late_ns, memory_order_relaxed);
}

/* ---- clock ---- */

static void start_clock(struct node *node, int64_t now_ns) {
    node->started = true;
    node->start_ns = now_ns;
    int64_t since_ns = clock_now_ns(node->clock) - now_ns;
    atomic_store_explicit(&node->started_wall_ns, clock_wall_ns(node->clock) - since_ns, memory_order_relaxed);
}

static void start_if_due(struct node *node, const struct tick *tick) {
    if (node->started)
        return;
    if (node->direction == AUDIO_OUTPUT) {
        start_clock(node, tick->now_ns);
        return;
    }
    struct link_send *link;
    list_for_each(link, &node->links, in_node) if (tick->now_ns >= link->begin_ns) {
        start_clock(node, tick->now_ns);
        return;
    }
}

static size_t frames_due(struct node *node, int64_t now_ns) {
    int64_t due = frames_in(now_ns - node->start_ns, node->stream->format.rate_hz) - node->moved;
    if (due < 0)
        return 0;
    return (size_t)due < node->n_max ? (size_t)due : node->n_max;
}

void node_skip(struct node *node, int64_t skipped_ns) {
    if (!node->started)
        return;
    uint32_t rate_hz = node->stream->format.rate_hz;
    /* frames keep their place in time: frame 0 would have been that much later */
    node->start_ns += skipped_ns;
    atomic_store_explicit(&node->started_wall_ns,
                          atomic_load_explicit(&node->started_wall_ns, memory_order_relaxed) + skipped_ns,
                          memory_order_relaxed);
    if (node->direction == AUDIO_INPUT)
        return;
    struct link_receive *link;
    list_for_each(link, &node->links, in_node) link_receive_skip(link, (uint64_t)frames_in(skipped_ns, rate_hz));
}

/* ---- ticks ---- */

static void let_go_send(struct link_send *link, const struct tick *tick, struct poller *poller) {
    list_remove(&link->in_node);
    path_unwatch(link->path, poller);
    notices_put(tick->notices, NOTICE_LINK_GONE, link->owner, nullptr);
}

static void let_go_receive(struct link_receive *link, const struct tick *tick, struct poller *poller) {
    list_remove(&link->in_node);
    path_unwatch(link->path, poller);
    notices_put(tick->notices, NOTICE_LINK_GONE, link->owner, nullptr);
}

static void tick_source(struct node *node, const struct tick *tick, struct poller *poller, size_t n) {
    size_t n_channels = node->stream->format.n_channels;
    float peaks[ENGINE_CHANNELS_MAX] = {};
    if (n > 0) {
        node->stream->ops->read(node->stream, node->frames, n);
        meter_peaks(peaks, node->frames, n, n_channels);
        meter_add(&node->meter, peaks, n_channels);
    }
    struct link_send *link;
    list_for_each_safe(link, &node->links, in_node) {
        link_send_tick(link, tick, node->frames, peaks, n);
        if (link->leaving)
            let_go_send(link, tick, poller);
    }
}

static void tick_sink(struct node *node, const struct tick *tick, struct poller *poller, size_t n) {
    size_t n_channels = node->stream->format.n_channels;
    float peaks[ENGINE_CHANNELS_MAX];
    mixer_begin(&node->mixer, n);
    struct link_receive *link;
    list_for_each_safe(link, &node->links, in_node) {
        const float *frames = link_receive_tick(link, tick, n, peaks);
        if (frames)
            mixer_add(&node->mixer, frames, peaks);
    }
    if (n > 0) {
        const float *mixed = mixer_end(&node->mixer, peaks);
        meter_add(&node->meter, peaks, n_channels);
        node->stream->ops->write(node->stream, mixed, n);
    }
    /* only now: the mix may have used the link's memory */
    list_for_each_safe(link, &node->links, in_node) if (link->leaving) let_go_receive(link, tick, poller);
}

static void follow_stream(struct node *node, const struct tick *tick) {
    if (node->told_end)
        return;
    switch (node->stream->ops->state(node->stream)) {
    case AUDIO_RUNNING:
        return;
    case AUDIO_ENDED:
        notices_put(tick->notices, NOTICE_NODE_ENDED, node->owner, nullptr);
        break;
    case AUDIO_FAILED:
        notices_put(tick->notices, NOTICE_NODE_FAILED, node->owner, nullptr);
        break;
    }
    node->told_end = true;
}

void node_tick(struct node *node, const struct tick *tick, struct poller *poller) {
    start_if_due(node, tick);
    size_t n = node->started ? frames_due(node, tick->now_ns) : 0;
    if (node->direction == AUDIO_INPUT)
        tick_source(node, tick, poller, n);
    else
        tick_sink(node, tick, poller, n);
    node->moved += (int64_t)n;
    atomic_store_explicit(&node->frames_moved, node->moved, memory_order_relaxed);
    follow_stream(node, tick);
}
