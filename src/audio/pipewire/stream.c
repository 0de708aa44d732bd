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
 * An endpoint in use, as a media thread sees it: one end of the ring whose other end is PipeWire's data thread.
 */

struct pipewire_stream {
    struct audio_stream stream; /* first member */
    struct pipewire *pw;
    struct line *line; /* counted */
    struct device_rt *rt;
    struct device_end end;
};

static ptrdiff_t stream_due(struct audio_stream *stream) {
    struct pipewire_stream *s = (struct pipewire_stream *)stream;
    return device_end_due(&s->end, atomic_load_explicit(&s->rt->ring.portion_frames, memory_order_relaxed));
}

static bool stream_call_when_moving(struct audio_stream *stream, const struct audio_call *call) {
    return device_end_call_when_moving(&((struct pipewire_stream *)stream)->end, call);
}

static size_t stream_read(struct audio_stream *stream, float *frames, size_t n) {
    return device_end_read(&((struct pipewire_stream *)stream)->end, frames, n);
}

static size_t stream_write(struct audio_stream *stream, const float *frames, size_t n) {
    return device_end_write(&((struct pipewire_stream *)stream)->end, frames, n);
}

static int64_t stream_latency_ns(const struct audio_stream *stream) {
    const struct pipewire_stream *s = (const struct pipewire_stream *)stream;
    return device_rt_latency_ns(s->rt, clock_now_ns(s->end.clock));
}

static uint64_t stream_xruns(const struct audio_stream *stream) {
    return device_end_xruns(&((const struct pipewire_stream *)stream)->end);
}

static uint32_t stream_period_frames(const struct audio_stream *stream) {
    const struct pipewire_stream *s = (const struct pipewire_stream *)stream;
    return atomic_load_explicit(&s->rt->ring.portion_frames, memory_order_relaxed);
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
    device_end_finish(&s->end); /* the callbacks of a virtual device go on */
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
    .call_when_moving = stream_call_when_moving,
    .latency_ns = stream_latency_ns,
    .xruns = stream_xruns,
    .period_frames = stream_period_frames,
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
    ring_skip(&line->rt.ring.ring, ring_readable(&line->rt.ring.ring));
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
        device_end_begin(&s->end, &s->rt->ring, host->clock);
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
