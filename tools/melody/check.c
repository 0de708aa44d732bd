/* SPDX-License-Identifier: MPL-2.0 */
#include <math.h>

#include "melody.h"

/*
 * A window of the recording is laid over the tune at every place near the one expected, and where they are most alike
 * (normalised correlation over both channels) is where it belongs. The first place, and the place after a jump, is
 * searched in the whole tune with half a second of sound, thinned out; a frame is then found among its neighbours.
 */
constexpr float SILENCE = 2.0f / 32768;
constexpr size_t HOLE_FRAMES = MELODY_RATE_HZ / 1000;
constexpr size_t SEARCH_WINDOW = MELODY_RATE_HZ / 2;
constexpr size_t THIN = 6;          /* a thinned frame is the mean of as many; several to a period of the lead */
constexpr size_t NEAR = 48;         /* frames a window may lie away from where the last one said: 2 % */
constexpr double GOOD = 0.9;        /* likeness of a window that is the tune */
constexpr size_t LOST_WINDOWS = 10; /* after so many bad ones in a row, and as many again, the place is searched anew */

struct check {
    const float *tune, *frames;
    size_t n;
    float *thin_tune; /* mono */
    struct melody_report *report;
};

static bool is_silent(const float *frame) {
    return fabsf(frame[0]) <= SILENCE && fabsf(frame[1]) <= SILENCE;
}

/* n values of the recording against as many of the loop (of `length` values) from `at` on. */
static double likeness(const float *recorded, const float *loop, size_t length, size_t at, size_t n) {
    double product = 0, energy_a = 0, energy_b = 0;
    for (size_t i = 0, j = at % length; i < n; i++) {
        double a = (double)recorded[i], b = (double)loop[j];
        product += a * b, energy_a += a * a, energy_b += b * b;
        if (++j == length)
            j = 0;
    }
    return energy_a > 0 && energy_b > 0 ? product / sqrt(energy_a * energy_b) : 0;
}

static void thin_out(const float *frames, size_t n_thin, float *ret) {
    for (size_t i = 0; i < n_thin; i++) {
        float sum = 0;
        for (size_t k = 0; k < THIN * MELODY_CHANNELS; k++)
            sum += frames[i * THIN * MELODY_CHANNELS + k];
        ret[i] = sum;
    }
}

/* Where in the tune the window at `at` belongs, among the places from `first` to `last` (which may lie beyond its end). */
static double find_near(const struct check *check, size_t at, size_t n, size_t first, size_t last, size_t *ret_place) {
    double best = -1;
    for (size_t place = first; place <= last; place++) {
        double fits = likeness(check->frames + at * MELODY_CHANNELS, check->tune, MELODY_FRAMES * MELODY_CHANNELS,
                               place * MELODY_CHANNELS, n * MELODY_CHANNELS);
        if (fits > best) {
            best = fits;
            *ret_place = place % MELODY_FRAMES;
        }
    }
    return best;
}

/* The same in the whole tune. */
static double find_anywhere(const struct check *check, size_t at, size_t *ret_place) {
    constexpr size_t N_THIN = SEARCH_WINDOW / THIN;
    if (check->n - at < SEARCH_WINDOW)
        return -1;
    float window[N_THIN];
    thin_out(check->frames + at * MELODY_CHANNELS, N_THIN, window);
    double best = -1;
    size_t place = 0;
    for (size_t i = 0; i < MELODY_FRAMES / THIN; i++) {
        double fits = likeness(window, check->thin_tune, MELODY_FRAMES / THIN, i, N_THIN);
        if (fits > best) {
            best = fits;
            place = i * THIN;
        }
    }
    return find_near(check, at, MELODY_WINDOW, place + MELODY_FRAMES - THIN, place + MELODY_FRAMES + THIN, ret_place);
}

static void count_holes(const struct check *check) {
    struct melody_report *report = check->report;
    size_t run = 0;
    for (size_t i = report->first_frame; i < report->first_frame + report->sound_frames; i++) {
        if (is_silent(check->frames + i * MELODY_CHANNELS)) {
            run++;
            continue;
        }
        if (run >= HOLE_FRAMES) {
            report->n_holes++;
            report->hole_frames += run;
            if (run > report->longest_hole) {
                report->longest_hole = run;
                report->longest_at = i - run;
            }
        }
        run = 0;
    }
}

static void follow(const struct check *check) {
    struct melody_report *report = check->report;
    size_t end = report->first_frame + report->sound_frames;
    size_t place = 0, n_bad = LOST_WINDOWS;
    double sum = 0;
    report->likeness_min = 1;
    for (size_t at = report->first_frame; at + MELODY_WINDOW <= end; at += MELODY_WINDOW) {
        report->n_windows++;
        size_t found = place;
        /* The whole tune is much to search: not for every window of what may be other sound. */
        bool anywhere = n_bad >= LOST_WINDOWS && n_bad % LOST_WINDOWS == 0;
        double fits = anywhere ? find_anywhere(check, at, &found)
                               : find_near(check, at, MELODY_WINDOW, place + MELODY_FRAMES - NEAR,
                                           place + MELODY_FRAMES + NEAR, &found);
        if (fits < GOOD) {
            n_bad++;
            place = (place + MELODY_WINDOW) % MELODY_FRAMES;
            continue;
        }
        if (n_bad >= LOST_WINDOWS && report->n_good)
            report->n_jumps++;
        n_bad = 0;
        report->n_good++;
        report->recorded_frame = at;
        report->melody_frame = found;
        report->likeness_min = fmin(report->likeness_min, fits);
        sum += fits;
        place = (found + MELODY_WINDOW) % MELODY_FRAMES;
    }
    report->likeness_mean = report->n_good ? sum / (double)report->n_good : 0;
    if (!report->n_good)
        report->likeness_min = 0;
}

void melody_check(const float *tune, const float *frames, size_t n, struct melody_report *ret) {
    *ret = (struct melody_report){};
    size_t first = 0, end = n;
    while (first < n && is_silent(frames + first * MELODY_CHANNELS))
        first++;
    while (end > first && is_silent(frames + (end - 1) * MELODY_CHANNELS))
        end--;
    ret->first_frame = first;
    ret->sound_frames = end - first;

    float thin_tune[MELODY_FRAMES / THIN]; /* 256 KB */
    thin_out(tune, MELODY_FRAMES / THIN, thin_tune);
    struct check check = {.tune = tune, .frames = frames, .n = end, .thin_tune = thin_tune, .report = ret};
    count_holes(&check);
    follow(&check);
}
