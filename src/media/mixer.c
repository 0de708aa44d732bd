/* SPDX-License-Identifier: MPL-2.0 */
#include "media/mixer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "media/meter.h"

/* Up to here (-1 dBFS) a sample is left alone even in a tick that clips. */
constexpr float KNEE = 0.891f;

bool mixer_init(struct mixer *mixer, size_t n_max, size_t n_channels) {
    *mixer = (struct mixer){.n_max = n_max, .n_channels = n_channels};
    mixer->frames = calloc(n_max * n_channels, sizeof *mixer->frames);
    mixer->only_peaks = calloc(n_channels, sizeof *mixer->only_peaks);
    return mixer->frames && mixer->only_peaks;
}

void mixer_finish(struct mixer *mixer) {
    free(mixer->frames);
    free(mixer->only_peaks);
    mixer->frames = mixer->only_peaks = nullptr;
}

void mixer_begin(struct mixer *mixer, size_t n) {
    mixer->n = n < mixer->n_max ? n : mixer->n_max;
    mixer->n_inputs = 0;
    mixer->only = nullptr;
}

void mixer_add(struct mixer *mixer, const float *frames, const float *peaks) {
    size_t n_samples = mixer->n * mixer->n_channels;
    switch (mixer->n_inputs++) {
    case 0:
        mixer->only = frames;
        memcpy(mixer->only_peaks, peaks, mixer->n_channels * sizeof *peaks);
        break;
    case 1:
        for (size_t i = 0; i < n_samples; i++)
            mixer->frames[i] = mixer->only[i] + frames[i];
        mixer->only = nullptr;
        break;
    default:
        for (size_t i = 0; i < n_samples; i++)
            mixer->frames[i] += frames[i];
        break;
    }
}

static bool clips(const float *peaks, size_t n_channels) {
    for (size_t c = 0; c < n_channels; c++)
        if (peaks[c] > 1)
            return true;
    return false;
}

static float bend(float x) {
    float size = fabsf(x);
    if (size <= KNEE)
        return x;
    return copysignf(KNEE + (1 - KNEE) * tanhf((size - KNEE) / (1 - KNEE)), x);
}

const float *mixer_end(struct mixer *mixer, float *ret_peaks) {
    size_t n_samples = mixer->n * mixer->n_channels;
    if (mixer->n_inputs == 0)
        memset(mixer->frames, 0, n_samples * sizeof *mixer->frames);
    const float *sum = mixer->only ? mixer->only : mixer->frames;
    if (mixer->only)
        memcpy(ret_peaks, mixer->only_peaks, mixer->n_channels * sizeof *ret_peaks);
    else
        meter_peaks(ret_peaks, sum, mixer->n, mixer->n_channels);
    if (!clips(ret_peaks, mixer->n_channels))
        return sum;
    for (size_t i = 0; i < n_samples; i++)
        mixer->frames[i] = bend(sum[i]);
    meter_peaks(ret_peaks, mixer->frames, mixer->n, mixer->n_channels);
    return mixer->frames;
}
