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
    struct node *node = calloc(1, sizeof *node);
    if (!node)
        return err_set(reterr, ERR_NO_MEMORY, "out of memory: the endpoint cannot be used");
    node->owner = owner;
    node->direction = direction;
    node->clock = clock;
    node->n_max = node_frames_max(format.rate_hz, tick_ns);
    list_init(&node->sends);
    list_init(&node->receives);
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
    delay_destroy(node->delay);
    free(node->frames);
    free(node);
}

void node_add_send(struct node *node, struct link_send *link, int64_t now_ns) {
    link->begin_ns = now_ns + link->start_delay_ns;
    list_append(&node->sends, &link->in_node);
    if (link->share)
        list_append(&link->share->members, &link->in_share);
}

void node_add_receive(struct node *node, struct link_receive *link) {
    list_append(&node->receives, &link->in_node);
}

void node_set_delay_take(struct node *node, struct delay *delay) {
    node->delay = delay;
}

void node_was_late(struct node *node, int64_t late_ns, bool whole_ticks) {
    if (!node->started)
        return;
    if (whole_ticks)
        tick_count(&node->late_ticks, 1);
    if (late_ns > atomic_load_explicit(&node->worst_late_ns, memory_order_relaxed))
        atomic_store_explicit(&node->worst_late_ns, late_ns, memory_order_relaxed);
    if (late_ns > atomic_load_explicit(&node->late_ns, memory_order_relaxed))
        atomic_store_explicit(&node->late_ns, late_ns, memory_order_relaxed);
}

/* ---- clock ---- */

static bool has_own_clock(const struct node *node) {
    return node->stream->clock == AUDIO_CLOCK_DEVICE;
}

static void start_clock(struct node *node, int64_t now_ns) {
    node->started = true;
    node->start_ns = node->covered_ns = now_ns;
    int64_t since_ns = clock_now_ns(node->clock) - now_ns;
    atomic_store_explicit(&node->started_wall_ns, clock_wall_ns(node->clock) - since_ns, memory_order_relaxed);
}

static void start_if_due(struct node *node, const struct tick *tick) {
    if (node->started)
        return;
    if (node->direction != AUDIO_INPUT) {
        start_clock(node, tick->now_ns);
        return;
    }
    struct link_send *link;
    list_for_each(link, &node->sends, in_node) if (tick->now_ns >= link->begin_ns) {
        start_clock(node, tick->now_ns);
        return;
    }
}

/* What a tick moves: first what nobody plays or has recorded, then what the stream gives or takes. */
struct portion {
    size_t n_void, n_real;
};

static struct portion by_the_system(const struct node *node, int64_t now_ns) {
    int64_t due = frames_in(now_ns - node->start_ns, node->stream->format.rate_hz) - node->moved;
    if (due < 0)
        return (struct portion){};
    return (struct portion){.n_real = (size_t)due < node->n_max ? (size_t)due : node->n_max};
}

/* Of a device that says for ages that it wants nothing, and then that it stands still, no more than this is made up for. */
constexpr int64_t UNCOVERED_MAX_NS = NS_PER_S;

/* The frames of the time that no device has covered. Parts of a frame stay for the next time. */
static size_t uncovered(struct node *node, int64_t now_ns) {
    uint32_t rate_hz = node->stream->format.rate_hz;
    if (now_ns - node->covered_ns > UNCOVERED_MAX_NS)
        node->covered_ns = now_ns - UNCOVERED_MAX_NS;
    int64_t n = frames_in(now_ns - node->covered_ns, rate_hz);
    if (n <= 0)
        return 0;
    node->covered_ns += n / rate_hz * NS_PER_S + n % rate_hz * NS_PER_S / rate_hz;
    return (size_t)n;
}

/* A device that takes large portions says for a long time that it wants nothing: only after more than a portion has it run
 * dry while we stood still. */
static bool has_run_dry(const struct node *node, const struct tick *tick) {
    return node->direction == AUDIO_OUTPUT && tick->n_behind > 0 &&
           tick->now_ns - node->covered_ns > node->portion_ns + 2 * tick->length_ns;
}

static struct portion by_the_device(struct node *node, const struct tick *tick) {
    ptrdiff_t due = node->stream->ops->due(node->stream);
    bool stands_still = due < 0;
    atomic_store_explicit(&node->stands_still, stands_still, memory_order_relaxed);
    node->will_call = false;
    if (due > 0) {
        node->portion_ns = (int64_t)due * NS_PER_S / node->stream->format.rate_hz;
        /* what was captured is from before now, what will be played is for the time after */
        node->covered_ns = tick->now_ns + (node->direction == AUDIO_OUTPUT ? node->portion_ns : 0);
        return (struct portion){.n_real = (size_t)due};
    }
    if (stands_still && node->direction == AUDIO_INPUT && !node->stream->never_idle) {
        node->covered_ns = tick->now_ns;
        const struct audio_stream_ops *ops = node->stream->ops;
        node->will_call = ops->call_when_moving && ops->call_when_moving(node->stream, tick->wake);
        return (struct portion){};
    }
    if (stands_still || has_run_dry(node, tick))
        return (struct portion){.n_void = uncovered(node, tick->now_ns)};
    return (struct portion){};
}

/* A source nobody listens to yet must not fill its ring. */
static void drain(struct node *node) {
    ptrdiff_t due = has_own_clock(node) ? node->stream->ops->due(node->stream) : 0;
    for (size_t left = due > 0 ? (size_t)due : 0; left > 0;) {
        size_t n = left < node->n_max ? left : node->n_max;
        node->stream->ops->read(node->stream, node->frames, n);
        left -= n;
    }
}

void node_skip(struct node *node, int64_t from_ns, int64_t skipped_ns, int64_t now_ns) {
    if (!node->started)
        return;
    uint32_t rate_hz = node->stream->format.rate_hz;
    /* frames keep their place in time: frame 0 would have been that much later */
    node->start_ns += skipped_ns;
    node->covered_ns += skipped_ns;
    atomic_store_explicit(&node->started_wall_ns,
                          atomic_load_explicit(&node->started_wall_ns, memory_order_relaxed) + skipped_ns,
                          memory_order_relaxed);
    struct link_receive *link;
    list_for_each(link, &node->receives, in_node)
        link_receive_skip(link, (uint64_t)frames_in(skipped_ns, rate_hz), from_ns, now_ns);
}

/* ---- links that leave ---- */

/* Where no frames move there is nothing to fade. */
constexpr int64_t FADE_MAX_NS = NS_PER_S / 2;

static bool may_go(const struct node *node, const struct tick *tick, bool faded, int64_t leaving_ns) {
    return faded || !node->started || atomic_load_explicit(&node->stands_still, memory_order_relaxed) ||
           tick->now_ns - leaving_ns > FADE_MAX_NS;
}

static void let_go_send(struct link_send *link, const struct tick *tick, struct poller *poller) {
    list_remove(&link->in_node);
    if (link->share)
        list_remove(&link->in_share);
    path_unwatch(link->path, poller);
    notices_put(tick->notices, NOTICE_LINK_GONE, link->owner, nullptr);
}

static void let_go_receive(struct link_receive *link, const struct tick *tick, struct poller *poller) {
    list_remove(&link->in_node);
    path_unwatch(link->path, poller);
    notices_put(tick->notices, NOTICE_LINK_GONE, link->owner, nullptr);
}

static void let_go(struct node *node, const struct tick *tick, struct poller *poller) {
    struct link_send *send;
    list_for_each_safe(send, &node->sends, in_node) {
        bool over =
            send->faded || tick->now_ns < send->begin_ns || atomic_load_explicit(&send->failed, memory_order_relaxed);
        if (send->leaving && may_go(node, tick, over, send->leaving_ns))
            let_go_send(send, tick, poller);
    }
    struct link_receive *receive;
    list_for_each_safe(receive, &node->receives, in_node) {
        bool over = receive->faded || atomic_load_explicit(&receive->failed, memory_order_relaxed);
        if (receive->leaving && may_go(node, tick, over, receive->leaving_ns))
            let_go_receive(receive, tick, poller);
    }
}

/* ---- sound ---- */

static void read_source(struct node *node, size_t n, bool is_real, float *ret_peaks) {
    size_t n_channels = node->stream->format.n_channels;
    if (n > 0 && is_real)
        node->stream->ops->read(node->stream, node->frames, n);
    else
        memset(node->frames, 0, n * n_channels * sizeof *node->frames);
    meter_peaks(ret_peaks, node->frames, n, n_channels);
}

static const float *mix_receives(struct node *node, const struct tick *tick, size_t n, float *ret_peaks) {
    mixer_begin(&node->mixer, n);
    struct link_receive *link;
    list_for_each(link, &node->receives, in_node) {
        link->out = link_receive_pop(link, tick, n, link->out_peaks);
        if (link->out)
            mixer_add(&node->mixer, link->out, link->out_peaks);
    }
    return mixer_end(&node->mixer, ret_peaks);
}

static int64_t device_latency_ns(const struct node *node) {
    const struct audio_stream_ops *ops = node->stream->ops;
    int64_t latency_ns = ops->latency_ns ? ops->latency_ns(node->stream) : 0;
    return latency_ns > 0 ? latency_ns : 0;
}

static void write_sink(struct node *node, const struct tick *tick, const float *frames, size_t n, bool is_real) {
    if (node->delay)
        frames = delay_run(node->delay, frames, n);
    if (!is_real)
        return;
    node->stream->ops->write(node->stream, frames, n);
    int64_t late_ns = has_own_clock(node) ? clock_now_ns(node->clock) - tick->now_ns : 0;
    atomic_store_explicit(&node->playback_ns, late_ns + device_latency_ns(node), memory_order_relaxed);
}

/* Of the n frames that move now. By the system's clock they have their places in time, whenever they are read. */
static struct captured captured_now(const struct node *node, size_t n, bool is_real) {
    if (has_own_clock(node)) {
        int64_t latency_ns = is_real ? device_latency_ns(node) : 0;
        return (struct captured){.at_ns = clock_now_ns(node->clock) - latency_ns, .source_ns = latency_ns};
    }
    int64_t frames = node->moved + (int64_t)n;
    uint32_t rate_hz = node->stream->format.rate_hz;
    return (struct captured){.at_ns =
                                 node->start_ns + frames / rate_hz * NS_PER_S + frames % rate_hz * NS_PER_S / rate_hz};
}

/* ---- a bus that leaves members out ---- */

static bool is_heard(const struct node *node, const char *member) {
    const struct link_receive *link;
    list_for_each(link, &node->receives, in_node) if (link->out && strcmp(link->member, member) == 0) return true;
    return false;
}

/* Summed anew, without them: what is taken away from a sum again leaves rounding errors behind. */
static void mix_without(struct node *node, struct link_send *send, size_t n) {
    mixer_begin(&send->mixer, n);
    const struct link_receive *link;
    list_for_each(link, &node->receives, in_node) if (link->out && strcmp(link->member, send->member) != 0)
        mixer_add(&send->mixer, link->out, link->out_peaks);
    send->mixed = mixer_end(&send->mixer, send->mixed_peaks);
}

/* One mix for each member, however many links go to it. */
static bool take_mix_of_its_member(const struct node *node, struct link_send *send) {
    const struct link_send *other;
    list_for_each(other, &node->sends, in_node) {
        if (other == send)
            return false;
        if (strcmp(other->member, send->member) != 0)
            continue;
        send->mixed = other->mixed;
        memcpy(send->mixed_peaks, other->mixed_peaks, sizeof send->mixed_peaks);
        return true;
    }
    return false;
}

static void choose_mix(struct node *node, struct link_send *send, const float *all, const float *peaks, size_t n) {
    if (take_mix_of_its_member(node, send))
        return;
    if (send->mixer.frames && is_heard(node, send->member)) {
        mix_without(node, send, n);
        return;
    }
    send->mixed = all;
    memcpy(send->mixed_peaks, peaks, sizeof send->mixed_peaks);
}

/* At most n_max frames, perhaps none. */
static void move(struct node *node, const struct tick *tick, size_t n, bool is_real) {
    const float *frames = node->frames;
    float peaks[ENGINE_CHANNELS_MAX] = {};
    if (node->direction == AUDIO_INPUT)
        read_source(node, n, is_real, peaks);
    else
        frames = mix_receives(node, tick, n, peaks);
    if (n > 0)
        meter_add(&node->meter, peaks, node->stream->format.n_channels);
    if (n > 0 && node->direction == AUDIO_OUTPUT)
        write_sink(node, tick, frames, n, is_real);
    struct captured captured = list_empty(&node->sends) ? (struct captured){} : captured_now(node, n, is_real);
    struct link_send *send;
    list_for_each(send, &node->sends, in_node) {
        send->latency.captured = captured;
        if (node->stream->mix_minus) {
            choose_mix(node, send, frames, peaks, n);
            link_send_tick(send, tick, send->mixed, send->mixed_peaks, n, node->moved > 0);
        } else {
            link_send_tick(send, tick, frames, peaks, n, node->moved > 0);
        }
    }
    node->moved += (int64_t)n;
}

static void move_all(struct node *node, const struct tick *tick, size_t n, bool is_real) {
    while (n > 0) {
        size_t piece = n < node->n_max ? n : node->n_max;
        move(node, tick, piece, is_real);
        n -= piece;
    }
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

int64_t node_period_ns(const struct node *node) {
    const struct audio_stream *stream = node->stream;
    return stream->ops->period_frames ? (int64_t)stream->ops->period_frames(stream) * NS_PER_S / stream->format.rate_hz
                                      : 0;
}

/* Feedback of receivers waits in its socket meanwhile. */
constexpr int64_t REST_UNTIL_CALLED_NS = 200 * NS_PER_MS;

int64_t node_rest_ns(const struct node *node) {
    constexpr int64_t PARTS_OF_LATENCY = 8;
    constexpr int64_t REST_MAX_NS = 20 * NS_PER_MS;
    constexpr int64_t REST_BETWEEN_PORTIONS_MAX_NS = 10 * NS_PER_MS;
    if (node->direction != AUDIO_INPUT || !node->started || !has_own_clock(node) || node->stream->never_idle)
        return 0;
    if (node->will_call)
        return REST_UNTIL_CALLED_NS;
    int64_t rest_ns = REST_MAX_NS;
    if (!atomic_load_explicit(&node->stands_still, memory_order_relaxed)) {
        rest_ns = node_period_ns(node);
        rest_ns = rest_ns < REST_BETWEEN_PORTIONS_MAX_NS ? rest_ns : REST_BETWEEN_PORTIONS_MAX_NS;
    }
    const struct link_send *link;
    list_for_each(link, &node->sends, in_node) {
        int64_t part_ns = link->target_latency_ns / PARTS_OF_LATENCY;
        rest_ns = part_ns < rest_ns ? part_ns : rest_ns;
    }
    return rest_ns;
}

void node_tick(struct node *node, const struct tick *tick, struct poller *poller) {
    start_if_due(node, tick);
    struct portion portion = {};
    if (!node->started)
        drain(node);
    else
        portion = has_own_clock(node) ? by_the_device(node, tick) : by_the_system(node, tick->now_ns);
    struct link_receive *receive;
    list_for_each(receive, &node->receives, in_node) link_receive_tick(receive, tick);
    if (portion.n_void + portion.n_real == 0)
        move(node, tick, 0, false); /* feedback comes all the same */
    move_all(node, tick, portion.n_void, false);
    move_all(node, tick, portion.n_real, true);
    atomic_store_explicit(&node->frames_moved, node->moved, memory_order_relaxed);
    let_go(node, tick, poller);
    follow_stream(node, tick);
}
