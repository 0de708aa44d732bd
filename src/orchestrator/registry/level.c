/* SPDX-License-Identifier: MPL-2.0 */
#include "orchestrator/registry/level.h"

static void reset(double *peaks) {
    for (size_t c = 0; c < ENGINE_CHANNELS_MAX; c++)
        peaks[c] = LEVEL_FLOOR_DBFS;
}

void level_clear(struct level *level) {
    *level = (struct level){};
    reset(level->now);
    reset(level->before);
    reset(level->meter);
}

void level_add(struct level *level, uint32_t n_channels, const float *dbfs, int64_t now_ns) {
    if (n_channels > ENGINE_CHANNELS_MAX)
        n_channels = ENGINE_CHANNELS_MAX;
    if (n_channels != level->n_channels) {
        level_clear(level);
        level->n_channels = n_channels;
        level->window_ns = now_ns;
    }
    if (now_ns - level->window_ns >= LEVEL_HOLD_NS) {
        for (size_t c = 0; c < ENGINE_CHANNELS_MAX; c++)
            level->before[c] = level->now[c];
        reset(level->now);
        level->window_ns = now_ns;
    }
    for (uint32_t c = 0; c < n_channels; c++) {
        double peak = (double)dbfs[c];
        if (!(peak > LEVEL_FLOOR_DBFS))
            peak = LEVEL_FLOOR_DBFS;
        if (peak > level->now[c])
            level->now[c] = peak;
        if (peak > level->meter[c])
            level->meter[c] = peak;
    }
}

uint32_t level_show(const struct level *level, double *ret, uint32_t max) {
    uint32_t n = level->n_channels < max ? level->n_channels : max;
    for (uint32_t c = 0; c < n; c++)
        ret[c] = level->now[c] > level->before[c] ? level->now[c] : level->before[c];
    return n;
}

uint32_t level_take_meter(struct level *level, double *ret, uint32_t max) {
    uint32_t n = level->n_channels < max ? level->n_channels : max;
    for (uint32_t c = 0; c < n; c++)
        ret[c] = level->meter[c];
    reset(level->meter);
    return n;
}
