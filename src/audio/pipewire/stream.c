/* SPDX-License-Identifier: MPL-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/pipewire/pipewire.h"
#include "audio/pipewire/pipewire_priv.h"
#include "audio/spec.h"
#include "base/clock.h"

/*
 * An endpoint in use, as a media thread sees it: one end of the ring whose other end is PipeWire's data thread. The device
 * sets the pace. Whether it runs shows in the counter of its callbacks.
 *
 * An output's ring is filled up to one callback, one tick of a media thread and a little more: less would run dry, more would
 * be latency. An input's ring is emptied at each tick; what has gathered while the media thread was kept away is dropped, once,
 * so that latency does not grow.
 */

constexpr uint32_t TICK_MS = 5; /* of media threads */
constexpr uint32_t MARGIN_MS = 1;
constexpr int64_t STILL_NS = 200 * NS_PER_MS;
constexpr uint32_t STILL_QUANTA = 4;

struct pipewire_stream {
    struct audio_stream stream; /* first member */
    struct pipewire *pw;
    struct line *line; /* counted */
    struct device_rt *rt;
    const struct clock *clock;
    uint64_t n_seen; /* media thread: callbacks, when they last had gone on */
    int64_t seen_ns;
    bool is_running;
    _Atomic uint64_t n_dropped; /* times that too much had gathered */
};

static uint32_t frames_of_ms(const struct pipewire_stream *s, uint32_t ms) {
    return s->stream.format.rate_hz * ms / 1000;
}

static uint32_t quantum(const struct pipewire_stream *s) {
    return atomic_load_explicit(&s->rt->quantum_frames, memory_order_relaxed);
}

/* Has the callback run lately? Both are as old as the last time somebody asked. */
static bool is_running(struct pipewire_stream *s) {
    uint64_t n = atomic_load_explicit(&s->rt->n_callbacks, memory_order_acquire);
    int64_t now_ns = clock_now_ns(s->clock);
    if (n != s->n_seen) {
        s->n_seen = n;
        s->seen_ns = now_ns;
        s->is_running = true;
    } else if (s->is_running) {
        int64_t pause_ns = (int64_t)quantum(s) * STILL_QUANTA * NS_PER_S / s->stream.format.rate_hz;
        s->is_running = now_ns - s->seen_ns < (pause_ns > STILL_NS ? pause_ns : STILL_NS);
        if (!s->is_running && s->rt->direction == AUDIO_OUTPUT) /* it would be heard when the device runs again */
            atomic_store_explicit(&s->rt->drop_stale, true, memory_order_release);
    }
    return s->is_running;
}

static ptrdiff_t due_output(struct pipewire_stream *s) {
    if (atomic_load_explicit(&s->rt->drop_stale, memory_order_acquire))
        return 0; /* until the next callback has done it */
    size_t wanted = quantum(s) + frames_of_ms(s, TICK_MS + MARGIN_MS);
    size_t there = ring_readable(&s->rt->ring);
    return there < wanted ? (ptrdiff_t)(wanted - there) : 0;
}

static ptrdiff_t due_input(struct pipewire_stream *s) {
    size_t there = ring_readable(&s->rt->ring);
    size_t usual = quantum(s) + frames_of_ms(s, 2 * TICK_MS);
    if (there > 2 * usual) {
        ring_skip(&s->rt->ring, there - usual);
        atomic_fetch_add_explicit(&s->n_dropped, 1, memory_order_relaxed);
        there = usual;
    }
    return (ptrdiff_t)there;
}

static ptrdiff_t stream_due(struct audio_stream *stream) {
    struct pipewire_stream *s = (struct pipewire_stream *)stream;
    if (!is_running(s))
        return AUDIO_STANDS_STILL;
    return s->rt->direction == AUDIO_OUTPUT ? due_output(s) : due_input(s);
}

static size_t stream_read(struct audio_stream *stream, float *frames, size_t n) {
    struct pipewire_stream *s = (struct pipewire_stream *)stream;
    size_t got = ring_read(&s->rt->ring, frames, n);
    size_t n_channels = stream->format.n_channels;
    memset(frames + got * n_channels, 0, (n - got) * n_channels * sizeof *frames);
    return got;
}

static size_t stream_write(struct audio_stream *stream, const float *frames, size_t n) {
    return ring_write(&((struct pipewire_stream *)stream)->rt->ring, frames, n);
}

static int64_t stream_latency_ns(const struct audio_stream *stream) {
    const struct pipewire_stream *s = (const struct pipewire_stream *)stream;
    return device_rt_latency_ns(s->rt, clock_now_ns(s->clock));
}

static uint64_t stream_xruns(const struct audio_stream *stream) {
    const struct pipewire_stream *s = (const struct pipewire_stream *)stream;
    return atomic_load_explicit(&s->rt->n_xruns, memory_order_relaxed) +
           atomic_load_explicit(&s->n_dropped, memory_order_relaxed);
}

static enum audio_state stream_state(const struct audio_stream *stream) {
    return ((const struct pipewire_stream *)stream)->line->has_failed ? AUDIO_FAILED : AUDIO_RUNNING;
}

static void stream_failure(const struct audio_stream *stream, struct err_info *ret) {
    *ret = ((const struct pipewire_stream *)stream)->line->failure;
}

static void stream_close(struct audio_stream *stream) {
    struct pipewire_stream *s = (struct pipewire_stream *)stream;
    if (!s)
        return;
    pw_thread_loop_lock(s->pw->thread);
    atomic_store_explicit(&s->rt->is_open, false, memory_order_release);
    s->line->is_open = false;
    if (s->line->kind == LINE_VIRTUAL)
        line_set_period(s->line, 0);
    line_unref(s->line);
    pw_thread_loop_unlock(s->pw->thread);
    free(s);
}

static const struct audio_stream_ops STREAM_OPS = {
    .read = stream_read,
    .write = stream_write,
    .due = stream_due,
    .latency_ns = stream_latency_ns,
    .xruns = stream_xruns,
    .state = stream_state,
    .failure = stream_failure,
    .close = stream_close,
};

/* ---- opening; with the loop's lock ---- */

static enum err open_virtual(struct pipewire *pw, const char *uid, struct line **ret, struct err_info *reterr) {
    struct line *line = virtual_find(pw, uid);
    if (!line)
        return err_set(reterr, ERR_NOT_FOUND, "this virtual device is not there: is it disabled?");
    if (line->has_failed) {
        if (reterr)
            *reterr = line->failure;
        return line->failure.code;
    }
    if (line->is_open)
        return err_set(reterr, ERR_BUSY, "this virtual device is already in use by this rocd");
    /* what has gathered in its ring, if anything, is of the stream before; no callback touches it while it is not open */
    ring_skip(&line->rt.ring, ring_readable(&line->rt.ring));
    line->n_refs++;
    *ret = line;
    return ERR_OK;
}

static enum err open_device(struct pipewire *pw, const struct audio_endpoint *endpoint, struct line **ret,
                            struct err_info *reterr) {
    const struct endpoint_spec *spec = endpoint->spec;
    const char *name = spec->device.system_name;
    enum audio_direction direction = audio_driver_pipewire.direction(spec);
    bool is_default = spec->kind == ENDPOINT_KIND_DEFAULT;
    if (!pw->is_listed)
        return err_set(reterr, ERR_UNAVAILABLE, "%s",
                       pw->driver_failure.code ? pw->driver_failure.message : "PipeWire has not answered yet");
    const struct graph_node *node = graph_find(pw, name);
    if (!is_default && !node)
        return err_set(reterr, ERR_NOT_FOUND, "there is no device '%s' at present: it waits to be connected", name);
    if (!is_default && node->direction != direction)
        return err_set(reterr, ERR_INVALID, "'%s' is an %s", name, direction == AUDIO_INPUT ? "output" : "input");
    struct line *line = line_create(pw, is_default ? LINE_DEFAULT : LINE_DEVICE, direction, audio_spec_format(spec));
    if (!line)
        return err_set(reterr, ERR_NO_MEMORY, "no memory for a stream of PipeWire");
    if (!is_default && strcmp(node->name, node->key) == 0)
        copy_text(line->target, sizeof line->target, node->name);
    else if (!is_default)
        snprintf(line->target, sizeof line->target, "%" PRIu64, node->serial); /* another node has its name, too */
    if (endpoint->period_ns > 0)
        line->period_ns = endpoint->period_ns;
    line_connect(line);
    if (line->has_failed) {
        enum err e = line->failure.code;
        if (reterr)
            *reterr = line->failure;
        line_unref(line);
        return e;
    }
    *ret = line;
    return ERR_OK;
}

enum err pipewire_open(struct audio_driver_state *state, const struct audio_host *host,
                       const struct audio_endpoint *endpoint, struct audio_stream **ret, struct err_info *reterr) {
    struct pipewire *pw = (struct pipewire *)state;
    const struct endpoint_spec *spec = endpoint->spec;
    struct pipewire_stream *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(reterr, ERR_NO_MEMORY, "no memory for a stream of PipeWire");
    pw_thread_loop_lock(pw->thread);
    pipewire_run_commands(pw); /* what the core wanted before it wanted this */
    bool is_found = spec->kind == ENDPOINT_KIND_DEVICE || spec->kind == ENDPOINT_KIND_DEFAULT;
    enum err e =
        is_found ? open_device(pw, endpoint, &s->line, reterr) : open_virtual(pw, endpoint->uid, &s->line, reterr);
    if (e == ERR_OK) {
        s->line->is_open = true;
        copy_text(s->line->opened_uid, sizeof s->line->opened_uid, endpoint->uid);
        if (s->line->kind == LINE_VIRTUAL)
            line_set_period(s->line, endpoint->period_ns);
        s->pw = pw;
        s->rt = &s->line->rt;
        s->clock = host->clock;
        s->n_seen = atomic_load_explicit(&s->rt->n_callbacks, memory_order_acquire);
        s->stream = (struct audio_stream){
            .ops = &STREAM_OPS,
            .format = s->line->format,
            .clock = AUDIO_CLOCK_DEVICE,
            .never_idle = spec->has_virtual == PRESENCE_VALUE && spec->virtual.idle == VIRTUAL_IDLE_ALWAYS,
        };
        atomic_store_explicit(&s->rt->is_open, true, memory_order_release);
    }
    pw_thread_loop_unlock(pw->thread);
    if (e != ERR_OK) {
        free(s);
        return e;
    }
    *ret = &s->stream;
    return ERR_OK;
}
