/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdint.h>

#include "media/engine.h"

/*
 * Peaks for people. The engine gives the peak since it was last asked and forgets it; several readers (status, GET,
 * meters) ask at their own pace, so every answer goes through one of these, which hold what each reader is due.
 */
constexpr double LEVEL_FLOOR_DBFS = -120;
constexpr int64_t LEVEL_HOLD_NS = 300'000'000;

struct level {
    uint32_t n_channels;
    int64_t window_ns;                                            /* when `now` began */
    double now[ENGINE_CHANNELS_MAX], before[ENGINE_CHANNELS_MAX]; /* peaks of this window and of the one before */
    double meter[ENGINE_CHANNELS_MAX];                            /* since the last meter event */
};

void level_clear(struct level *level);
void level_add(struct level *level, uint32_t n_channels, const float *dbfs, int64_t now_ns);
/* Of the last LEVEL_HOLD_NS or twice that. Returns how many channels. */
uint32_t level_show(const struct level *level, double *ret, uint32_t max);
/* Since the call before. */
uint32_t level_take_meter(struct level *level, double *ret, uint32_t max);
