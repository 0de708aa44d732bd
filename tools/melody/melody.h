/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * A tune that can be looped, and that shows what became of it on its way.
 *
 * Four bars of four beats, eight seconds: a bed of chords that is never silent, so that every hole shows; a lead of
 * plucked notes that wanders between left and right; and on every other half beat a breath of noise that is like itself
 * at one place only, so that any piece of the tune says to the frame where in the tune it belongs.
 *
 * The same samples on every call. Frames are interleaved stereo floats, 48 kHz, full scale ±1.
 */
constexpr uint32_t MELODY_RATE_HZ = 48'000;
constexpr size_t MELODY_CHANNELS = 2;
constexpr size_t MELODY_FRAMES = 8 * MELODY_RATE_HZ;

/* Writes MELODY_FRAMES frames. */
void melody_make(float *ret_frames);

/* What is left of the tune in a recording of it, looped or not. */
struct melody_report {
    size_t sound_frames;                 /* from the first frame that is not silent to the last */
    size_t first_frame;                  /* of these, in the recording */
    size_t n_windows, n_good;            /* of MELODY_WINDOW frames each: looked at, and found to be the tune */
    size_t n_holes, hole_frames;         /* silence of a millisecond or more inside the sound */
    size_t longest_hole, longest_at;     /* frames; where it begins */
    size_t n_jumps;                      /* how often the tune went on somewhere else */
    double likeness_min, likeness_mean;  /* correlation of the good windows with the tune, 1: equal up to the volume */
    size_t recorded_frame, melody_frame; /* the same moment in both: of the last good window */
};
constexpr size_t MELODY_WINDOW = MELODY_RATE_HZ / 20;

/* `tune` is what melody_make wrote, `frames` the recording: n frames of stereo at the same rate. Some rate of drift is
 * allowed (2 %), as clock compensation makes it. A recording that is not of the tune has n_good 0. */
void melody_check(const float *tune, const float *frames, size_t n, struct melody_report *ret);
