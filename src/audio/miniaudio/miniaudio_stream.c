/* SPDX-License-Identifier: MPL-2.0 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/miniaudio/miniaudio_priv.h"
#include "audio/spec.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "os/thread.h"

/*
 * An endpoint in use, as a media thread sees it: one end of the ring whose other end is the thread of the device.
 */

/* A device without a clock (ALSA's "null", "file" upon it) takes sound as fast as a processor can give it. */
constexpr int64_t PACE_NS = 2 * NS_PER_S; /* what it is measured over */
constexpr uint64_t PACE_MAX = 4;          /* times its rate; a device that catches up with its buffer is below */

/* ALSA devices that are unplugged, or were suspended, leave miniaudio's thread in a loop: it complains and tries again,
 * without a pause. */
constexpr unsigned WARNINGS_MAX = 8; /* without a callback in between */
constexpr int WARNING_PAUSE_MS = 20;

/* ---- the thread of the device ---- */

static void on_data(ma_device *device, void *out, const void *in, ma_uint32 n_frames) {
    struct miniaudio_stream *s = device->pUserData;
    if (s->ring.direction == AUDIO_INPUT && in)
        device_ring_take(&s->ring, in, n_frames);
    else if (s->ring.direction == AUDIO_OUTPUT && out)
        device_ring_give(&s->ring, out, n_frames);
    device_ring_moved(&s->ring, n_frames);
}

static void lose(struct miniaudio_stream *s, enum miniaudio_loss loss) {
    int none = LOSS_NONE;
    (void)atomic_compare_exchange_strong(&s->loss, &none, (int)loss);
}

/* The first is called before the first callback, on the thread that will make them. */
static void on_notification(const ma_device_notification *notification) {
    struct miniaudio_stream *s = notification->pDevice->pUserData;
    if (notification->type == ma_device_notification_type_started) {
        backend_hush(s->context);
        if (s->wants_realtime)
            (void)thread_become_realtime();
        atomic_store_explicit(&s->context->is_live, true, memory_order_release);
    } else if (notification->type == ma_device_notification_type_stopped && !atomic_load(&s->is_closing)) {
        lose(s, LOSS_STOPPED);
    }
}

/* No sound is at stake any more when this thread is made to wait: the device does not move. */
static void on_trouble(void *arg, const char *) {
    struct miniaudio_stream *s = arg;
    uint64_t n = atomic_load_explicit(&s->ring.n_callbacks, memory_order_relaxed);
    s->n_warnings = n == s->warned_at ? s->n_warnings + 1 : 1;
    s->warned_at = n;
    if (s->n_warnings < WARNINGS_MAX)
        return;
    lose(s, LOSS_TROUBLE);
    (void)poll(nullptr, 0, WARNING_PAUSE_MS);
}

/* ---- media thread ---- */

/* Of callbacks of different lengths the longest one counts. */
static uint32_t portion(struct miniaudio_stream *s) {
    uint32_t seen = atomic_load_explicit(&s->ring.portion_frames, memory_order_relaxed);
    if (seen > s->most_frames)
        s->most_frames = seen;
    return s->most_frames > s->period_frames ? s->most_frames : s->period_frames;
}

static void watch_pace(struct miniaudio_stream *s, int64_t now_ns) {
    uint64_t n_frames = atomic_load_explicit(&s->ring.n_frames, memory_order_relaxed);
    if (s->pace_ns != 0 && now_ns - s->pace_ns < PACE_NS)
        return;
    uint64_t most = (uint64_t)(now_ns - s->pace_ns) / NS_PER_MS * s->stream.format.rate_hz / 1000 * PACE_MAX;
    if (s->pace_ns != 0 && n_frames - s->pace_frames > most)
        lose(s, LOSS_RUNAWAY);
    s->pace_ns = now_ns;
    s->pace_frames = n_frames;
}

static ptrdiff_t stream_due(struct audio_stream *stream) {
    struct miniaudio_stream *s = (struct miniaudio_stream *)stream;
    watch_pace(s, clock_now_ns(s->end.clock));
    return device_end_due(&s->end, portion(s));
}

static bool stream_call_when_moving(struct audio_stream *stream, const struct audio_call *call) {
    return device_end_call_when_moving(&((struct miniaudio_stream *)stream)->end, call);
}

static size_t stream_read(struct audio_stream *stream, float *frames, size_t n) {
    return device_end_read(&((struct miniaudio_stream *)stream)->end, frames, n);
}

static size_t stream_write(struct audio_stream *stream, const float *frames, size_t n) {
    return device_end_write(&((struct miniaudio_stream *)stream)->end, frames, n);
}

/* ---- any thread ---- */

/* The buffer of an output is full after a period was written, and one period short of it before the next: half a period
 * less in the middle. Sound of an input waits for the rest of its period, in the middle half of it. */
static int64_t stream_latency_ns(const struct audio_stream *stream) {
    const struct miniaudio_stream *s = (const struct miniaudio_stream *)stream;
    if (atomic_load_explicit(&s->ring.n_callbacks, memory_order_relaxed) == 0)
        return -1;
    int64_t n_frames = (int64_t)ring_readable(&s->ring.ring) + s->period_frames / 2;
    if (s->ring.direction == AUDIO_OUTPUT)
        n_frames += (int64_t)s->device_frames - s->period_frames;
    return n_frames * NS_PER_S / stream->format.rate_hz;
}

/* Callbacks may get it in parts. */
static uint32_t stream_period_frames(const struct audio_stream *stream) {
    return ((const struct miniaudio_stream *)stream)->period_frames;
}

static uint64_t stream_xruns(const struct audio_stream *stream) {
    return device_end_xruns(&((const struct miniaudio_stream *)stream)->end);
}

static enum audio_state stream_state(const struct audio_stream *stream) {
    return atomic_load(&((const struct miniaudio_stream *)stream)->loss) == LOSS_NONE ? AUDIO_RUNNING : AUDIO_FAILED;
}

static void stream_failure(const struct audio_stream *stream, struct err_info *ret) {
    const struct miniaudio_stream *s = (const struct miniaudio_stream *)stream;
    switch ((enum miniaudio_loss)atomic_load(&s->loss)) {
    case LOSS_NONE:
        *ret = (struct err_info){};
        return;
    case LOSS_STOPPED:
        (void)err_set(ret, ERR_NOT_FOUND, "'%s' has stopped by itself: was it unplugged?", s->system_name);
        return;
    case LOSS_TROUBLE:
        (void)err_set(ret, ERR_NOT_FOUND, "'%s' does not answer any more: it was unplugged, or the computer slept",
                      s->system_name);
        return;
    case LOSS_RUNAWAY:
        (void)err_set(ret, ERR_UNSUPPORTED,
                      "'%s' moves sound more than %d times as fast as it is played: it is no device but a PCM of type "
                      "null or file, which cannot be streamed to or from",
                      s->system_name, (int)PACE_MAX);
        return;
    }
}

static void stream_close(struct audio_stream *stream) {
    struct miniaudio_stream *s = (struct miniaudio_stream *)stream;
    if (!s)
        return;
    atomic_store(&s->is_closing, true);
    if (s->has_device) {
        (void)ma_device_stop(&s->device); /* wakes its thread where it waits for the device; to end it would not */
        ma_device_uninit(&s->device);
    }
    backend_close(s->context);
    device_end_finish(&s->end);
    device_ring_finish(&s->ring);
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

/* ---- opening ---- */

/* miniaudio would resample, badly: rocd's streams adapt to the endpoint instead. */
static enum err check_format(const struct miniaudio_stream *s, const struct audio_format *got,
                             struct err_info *reterr) {
    const struct audio_format *wanted = &s->stream.format;
    if (got->rate_hz == wanted->rate_hz && got->n_channels == wanted->n_channels)
        return ERR_OK;
    bool is_rate = got->rate_hz != wanted->rate_hz;
    return err_set_at(reterr, ERR_UNSUPPORTED, is_rate ? "/rate_hz" : "/channels",
                      "'%s' cannot do %u Hz with %u channels; the nearest that it can do is %u Hz with %u: set rate_hz "
                      "and channels of the endpoint",
                      s->system_name, wanted->rate_hz, wanted->n_channels, got->rate_hz, got->n_channels);
}

static enum err open_device(struct miniaudio_stream *s, ma_device_id *id, int64_t period_ns, struct err_info *reterr) {
    ma_device_config config = backend_config(s->ring.direction, id, s->stream.format);
    if (period_ns > 0)
        config.periodSizeInFrames = (ma_uint32)(period_ns * s->stream.format.rate_hz / NS_PER_S);
    config.dataCallback = on_data;
    config.notificationCallback = on_notification;
    config.pUserData = s;
    struct audio_format format;
    enum err e = backend_open_device(s->context, &config, s->system_name, &s->device, &format, reterr);
    if (e != ERR_OK)
        return e;
    s->has_device = true;
    e = check_format(s, &format, reterr);
    if (e != ERR_OK)
        return e;
    if (s->ring.direction == AUDIO_INPUT) {
        s->period_frames = s->device.capture.internalPeriodSizeInFrames;
        s->device_frames = s->period_frames * s->device.capture.internalPeriods;
    } else {
        s->period_frames = s->device.playback.internalPeriodSizeInFrames;
        s->device_frames = s->period_frames * s->device.playback.internalPeriods;
    }
    ma_result result = ma_device_start(&s->device);
    return result == MA_SUCCESS ? ERR_OK : backend_error(s->context, result, s->system_name, reterr);
}

enum err miniaudio_stream_open(const struct backend *backend, const struct audio_host *host,
                               const struct audio_endpoint *endpoint, struct audio_stream **ret,
                               struct err_info *reterr) {
    const struct endpoint_spec *spec = endpoint->spec;
    enum audio_direction direction;
    bool is_default;
    ma_device_id id = {};
    if (!backend_parse(backend, spec->device.system_name, &direction, &is_default, &id))
        return err_set(reterr, ERR_NOT_FOUND, "'%s' is no name of a device of %s", spec->device.system_name,
                       backend->title);
    struct miniaudio_stream *s = alloc_aligned(struct miniaudio_stream);
    if (!s || !device_ring_init(&s->ring, direction, audio_spec_format(spec))) {
        free(s);
        return err_set(reterr, ERR_NO_MEMORY, "no memory for a stream of %s", backend->title);
    }
    s->stream = (struct audio_stream){&STREAM_OPS, audio_spec_format(spec), AUDIO_CLOCK_DEVICE};
    device_end_begin(&s->end, &s->ring, host->clock);
    s->wants_realtime = host->realtime;
    snprintf(s->system_name, sizeof s->system_name, "%s", spec->device.system_name);
    enum err e = backend_open(backend, &s->context, reterr);
    if (e == ERR_OK) {
        s->context->on_trouble = on_trouble;
        s->context->arg = s;
        e = open_device(s, is_default ? nullptr : &id, endpoint->period_ns, reterr);
    }
    if (e != ERR_OK) {
        stream_close(&s->stream);
        return e;
    }
    *ret = &s->stream;
    return ERR_OK;
}
