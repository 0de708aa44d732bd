/* SPDX-License-Identifier: MPL-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "audio/builtin/builtin.h"
#include "audio/spec.h"

/*
 * Signals that rocd makes itself. All are functions of the frame number, so that the same spec gives the same samples
 * however they are asked for:
 *   sine     phase 0 at frame 0; continuous whatever the sizes of the reads
 *   impulse  one sample at frame 0 and then every `interval_ms`, to measure latency
 *   noise    white, uniform, seeded; each channel its own
 *   silence
 * `level_dbfs` is the peak.
 */

struct tone {
    struct audio_stream stream; /* first member */
    struct endpoint_tone spec;
    float peak;
    double phase;               /* sine: of the next frame, in cycles, [0, 1) */
    uint64_t interval_frames;   /* impulse */
    uint64_t frames_to_impulse; /* impulse: from the next frame */
    uint64_t seed;              /* noise */
};

/* A sine is turned on by one complex multiplication a frame and set right from the exact phase once a block, so that
 * neither time nor rounding errors add up. */
constexpr size_t TONE_BLOCK = 256;

static void tone_sine(struct tone *tone, float *frames, size_t n) {
    const uint32_t n_channels = tone->stream.format.n_channels;
    const double step = tone->spec.frequency_hz / tone->stream.format.rate_hz; /* cycles per frame */
    const double turn_re = cos(2 * M_PI * step), turn_im = sin(2 * M_PI * step);
    for (size_t done = 0; done < n;) {
        size_t block = n - done < TONE_BLOCK ? n - done : TONE_BLOCK;
        double re = cos(2 * M_PI * tone->phase), im = sin(2 * M_PI * tone->phase);
        for (size_t i = 0; i < block; i++) {
            float sample = (float)im * tone->peak;
            for (uint32_t c = 0; c < n_channels; c++)
                *frames++ = sample;
            double next_re = re * turn_re - im * turn_im;
            im = re * turn_im + im * turn_re;
            re = next_re;
        }
        tone->phase += (double)block * step;
        tone->phase -= floor(tone->phase);
        done += block;
    }
}

static void tone_impulse(struct tone *tone, float *frames, size_t n) {
    const uint32_t n_channels = tone->stream.format.n_channels;
    memset(frames, 0, n * n_channels * sizeof *frames);
    while (tone->frames_to_impulse < n) {
        for (uint32_t c = 0; c < n_channels; c++)
            frames[tone->frames_to_impulse * n_channels + c] = tone->peak;
        tone->frames_to_impulse += tone->interval_frames;
    }
    tone->frames_to_impulse -= n;
}

static void tone_noise(struct tone *tone, float *frames, size_t n) {
    uint64_t x = tone->seed;
    for (size_t i = 0; i < n * tone->stream.format.n_channels; i++) {
        x ^= x >> 12; /* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators" (2016) */
        x ^= x << 25;
        x ^= x >> 27;
        int32_t value = (int32_t)((x * 0x2545F4914F6CDD1Dull) >> 32);
        frames[i] = (float)value * (1.0f / 2147483648.0f) * tone->peak;
    }
    tone->seed = x;
}

static size_t tone_read(struct audio_stream *stream, float *frames, size_t n) {
    struct tone *tone = (struct tone *)stream;
    switch (tone->spec.waveform) {
    case TONE_WAVEFORM_SINE:
        tone_sine(tone, frames, n);
        break;
    case TONE_WAVEFORM_IMPULSE:
        tone_impulse(tone, frames, n);
        break;
    case TONE_WAVEFORM_NOISE:
        tone_noise(tone, frames, n);
        break;
    case TONE_WAVEFORM_SILENCE:
        memset(frames, 0, n * stream->format.n_channels * sizeof *frames);
        break;
    }
    return n;
}

static enum audio_state tone_state(const struct audio_stream *) {
    return AUDIO_RUNNING;
}

static void tone_close(struct audio_stream *stream) {
    free(stream);
}

static const struct audio_stream_ops tone_ops = {.read = tone_read, .state = tone_state, .close = tone_close};

static void tone_spec(const struct endpoint_spec *spec, struct endpoint_tone *ret) {
    if (spec->has_tone == PRESENCE_VALUE)
        *ret = spec->tone;
    else
        endpoint_tone_defaults(ret);
}

static enum err tone_check(const struct endpoint_spec *spec, struct err_info *reterr) {
    enum err e = audio_spec_check_members(spec, reterr);
    if (e)
        return e;
    struct endpoint_tone tone;
    tone_spec(spec, &tone);
    if (tone.waveform == TONE_WAVEFORM_SINE && tone.frequency_hz * 2 >= spec->rate_hz)
        return err_set_at(reterr, ERR_INVALID, "/tone/frequency_hz",
                          "%g Hz does not fit an endpoint of %d frames per second: stay below %d Hz", tone.frequency_hz,
                          (int)spec->rate_hz, (int)spec->rate_hz / 2);
    return ERR_OK;
}

static enum audio_direction tone_direction(const struct endpoint_spec *) {
    return AUDIO_INPUT;
}

static enum err tone_open(struct audio_driver_state *, const struct audio_host *, const struct audio_endpoint *endpoint,
                          struct audio_stream **ret, struct err_info *reterr) {
    const struct endpoint_spec *spec = endpoint->spec;
    struct tone *tone = calloc(1, sizeof *tone);
    if (!tone)
        return err_set(reterr, ERR_NO_MEMORY, "no memory for a tone endpoint");
    tone->stream = (struct audio_stream){&tone_ops, audio_spec_format(spec), AUDIO_CLOCK_TICKED};
    tone_spec(spec, &tone->spec);
    tone->peak = tone->spec.level_dbfs <= -120 ? 0 : (float)pow(10, tone->spec.level_dbfs / 20);
    tone->interval_frames = (uint64_t)llround(tone->spec.interval_ms * spec->rate_hz / 1000);
    if (tone->interval_frames == 0)
        tone->interval_frames = 1;
    tone->seed = 0x9E3779B97F4A7C15ull; /* any but 0 */
    *ret = &tone->stream;
    return ERR_OK;
}

const struct audio_driver audio_driver_tone = {
    .name = "tone",
    .summary = "makes sine, impulses, noise or silence",
    .kinds = 1u << ENDPOINT_KIND_TONE,
    .check = tone_check,
    .direction = tone_direction,
    .open = tone_open,
};
