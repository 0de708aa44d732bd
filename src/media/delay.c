/* SPDX-License-Identifier: MPL-2.0 */
#include "media/delay.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* A change of delay puts two pieces of the sound beside each other that do not fit: 20 ms of cross-fade hide that. */
constexpr uint32_t FADES_PER_S = 50;

struct delay *delay_create(int64_t most_ns, uint32_t rate_hz, size_t n_channels, size_t n_max) {
    struct delay *delay = calloc(1, sizeof *delay);
    if (!delay)
        return nullptr;
    delay->n_most = (size_t)(most_ns / NS_PER_MS * rate_hz / 1000) + 1;
    delay->n_capacity = delay->n_most + n_max;
    delay->n_channels = n_channels;
    delay->n_fade = rate_hz > FADES_PER_S ? rate_hz / FADES_PER_S : 1;
    delay->frames = calloc(delay->n_capacity * n_channels, sizeof *delay->frames);
    delay->out = calloc(n_max * n_channels, sizeof *delay->out);
    if (!delay->frames || !delay->out) {
        delay_destroy(delay);
        return nullptr;
    }
    return delay;
}

void delay_destroy(struct delay *delay) {
    if (!delay)
        return;
    free(delay->frames);
    free(delay->out);
    free(delay);
}

void delay_set(struct delay *delay, size_t n_frames) {
    atomic_store_explicit(&delay->n_wanted, n_frames < delay->n_most ? n_frames : delay->n_most, memory_order_relaxed);
}

static void put(struct delay *delay, const float *frames, size_t n) {
    for (size_t done = 0; done < n;) {
        size_t at = (size_t)(delay->written % (int64_t)delay->n_capacity);
        size_t piece = delay->n_capacity - at < n - done ? delay->n_capacity - at : n - done;
        memcpy(delay->frames + at * delay->n_channels, frames + done * delay->n_channels,
               piece * delay->n_channels * sizeof *frames);
        delay->written += (int64_t)piece;
        done += piece;
    }
}

/* How loud frame `index` of the line is: nothing was there before frame 0, and what came then may have been the middle of
 * a sound. Without delay the sound does not begin, it goes on. */
static float presence(const struct delay *delay, int64_t index, size_t n_delay) {
    if (n_delay == 0)
        return 1;
    if (index < 0)
        return 0;
    return index < (int64_t)delay->n_fade ? (float)index / (float)delay->n_fade : 1;
}

static void add(struct delay *delay, size_t i, int64_t index, size_t n_delay, float gain) {
    gain *= presence(delay, index - (int64_t)n_delay, n_delay);
    if (gain <= 0)
        return;
    size_t at = (size_t)((index - (int64_t)n_delay) % (int64_t)delay->n_capacity);
    const float *from = delay->frames + at * delay->n_channels;
    float *to = delay->out + i * delay->n_channels;
    for (size_t c = 0; c < delay->n_channels; c++)
        to[c] += gain * from[c];
}

const float *delay_run(struct delay *delay, const float *frames, size_t n) {
    int64_t first = delay->written;
    put(delay, frames, n);
    size_t n_wanted = atomic_load_explicit(&delay->n_wanted, memory_order_relaxed);
    if (delay->n_left == 0 && n_wanted != delay->n_now) {
        delay->n_from = delay->n_now;
        delay->n_now = n_wanted;
        delay->n_left = delay->n_fade;
    }
    if (delay->n_left == 0 && delay->n_now == 0)
        return frames;
    memset(delay->out, 0, n * delay->n_channels * sizeof *delay->out);
    for (size_t i = 0; i < n; i++) {
        float old = 0;
        if (delay->n_left > 0)
            old = (float)--delay->n_left / (float)delay->n_fade;
        add(delay, i, first + (int64_t)i, delay->n_now, 1 - old);
        if (old > 0)
            add(delay, i, first + (int64_t)i, delay->n_from, old);
    }
    return delay->out;
}
