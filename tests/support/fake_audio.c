/* SPDX-License-Identifier: MPL-2.0 */
#include "support/fake_audio.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static size_t source_read(struct audio_stream *stream, float *frames, size_t n) {
    struct fake_source *source = (struct fake_source *)stream;
    uint32_t n_channels = stream->format.n_channels;
    for (size_t i = 0; i < n; i++, source->n_read++)
        for (uint32_t c = 0; c < n_channels; c++)
            frames[i * n_channels + c] = source->signal(source->n_read, c);
    return n;
}

static enum audio_state source_state(const struct audio_stream *stream) {
    const struct fake_source *source = (const struct fake_source *)stream;
    return (enum audio_state)atomic_load(&source->state);
}

static void source_close(struct audio_stream *stream) {
    if (stream)
        atomic_store(&((struct fake_source *)stream)->closed, true);
}

void fake_source_init(struct fake_source *source, uint32_t rate_hz, uint32_t n_channels, fake_signal signal) {
    static const struct audio_stream_ops OPS = {.read = source_read, .state = source_state, .close = source_close};
    *source = (struct fake_source){.stream = {.ops = &OPS, .format = {rate_hz, n_channels}}, .signal = signal};
}

static size_t sink_write(struct audio_stream *stream, const float *frames, size_t n) {
    struct fake_sink *sink = (struct fake_sink *)stream;
    size_t kept = n < sink->n_max - sink->n ? n : sink->n_max - sink->n;
    memcpy(sink->frames + sink->n * stream->format.n_channels, frames,
           kept * stream->format.n_channels * sizeof *frames);
    sink->n += kept;
    return kept;
}

static enum audio_state sink_state(const struct audio_stream *) {
    return AUDIO_RUNNING;
}

static void sink_close(struct audio_stream *stream) {
    if (stream)
        atomic_store(&((struct fake_sink *)stream)->closed, true);
}

void fake_sink_init(struct fake_sink *sink, uint32_t rate_hz, uint32_t n_channels, size_t n_max) {
    static const struct audio_stream_ops OPS = {.write = sink_write, .state = sink_state, .close = sink_close};
    *sink = (struct fake_sink){.stream = {.ops = &OPS, .format = {rate_hz, n_channels}}, .n_max = n_max};
    sink->frames = malloc(n_max * n_channels * sizeof *sink->frames);
}

void fake_sink_finish(struct fake_sink *sink) {
    free(sink->frames);
    sink->frames = nullptr;
}

float fake_steady(int64_t frame, uint32_t channel) {
    return 0.5f + 0.02f * sinf((float)(frame % 6283) * 0.05f + (float)channel);
}

float fake_impulses(int64_t frame, uint32_t) {
    return frame % 24000 == 0 ? 0.9f : 0;
}

float fake_silence(int64_t, uint32_t) {
    return 0;
}

float fake_square(int64_t frame, uint32_t) {
    return frame & 64 ? 0.25f : -0.25f;
}

size_t fake_sink_zeros(const struct fake_sink *sink, size_t from, size_t to, size_t min_run) {
    size_t zeros = 0, run = 0;
    for (size_t i = from; i <= to; i++) {
        if (i < to && i < sink->n && sink->frames[i * sink->stream.format.n_channels] == 0) {
            run++;
            continue;
        }
        if (run >= min_run)
            zeros += run;
        run = 0;
    }
    return zeros;
}

size_t fake_sink_find(const struct fake_sink *sink, size_t from, float level) {
    for (size_t i = from; i < sink->n; i++)
        if (fabsf(sink->frames[i * sink->stream.format.n_channels]) > level)
            return i;
    return sink->n;
}
