/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "melody.h"

/* rocd-melody: makes the tune of the demo, and looks what became of it. Without options worth a parser. */

static const char USAGE[] =
    "usage: rocd-melody make FILE.wav     write the tune: 8 s of stereo at 48 kHz, to be looped\n"
    "       rocd-melody check FILE       how much of it is in a recording, as JSON\n"
    "\n"
    "exit status: 0, 1: the recording is not of the tune, 2: wrong use or a file that fails\n";

static int complain(const char *file, const char *why) {
    fprintf(stderr, "rocd-melody: %s: %s\n", file, why);
    return 2;
}

static int make(const char *path) {
    static float tune[MELODY_FRAMES * MELODY_CHANNELS];
    melody_make(tune);
    SF_INFO info = {
        .samplerate = MELODY_RATE_HZ, .channels = MELODY_CHANNELS, .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16};
    SNDFILE *file = sf_open(path, SFM_WRITE, &info);
    if (!file)
        return complain(path, sf_strerror(nullptr));
    bool ok = sf_writef_float(file, tune, (sf_count_t)MELODY_FRAMES) == (sf_count_t)MELODY_FRAMES;
    return sf_close(file) == 0 && ok ? 0 : complain(path, "could not be written whole: is there room on the disk?");
}

static void print(const struct melody_report *r) {
    constexpr double RATE = MELODY_RATE_HZ;
    printf("{\"sound_s\": %.3f, \"silence_before_s\": %.3f, \"windows\": %zu, \"good\": %zu, \"jumps\": %zu,\n"
           " \"holes\": %zu, \"hole_frames\": %zu, \"longest_hole_ms\": %.1f, \"longest_at_s\": %.3f,\n"
           " \"likeness_min\": %.4f, \"likeness_mean\": %.4f, \"recorded_frame\": %zu, \"melody_frame\": %zu}\n",
           (double)r->sound_frames / RATE, (double)r->first_frame / RATE, r->n_windows, r->n_good, r->n_jumps,
           r->n_holes, r->hole_frames, (double)r->longest_hole * 1000 / RATE, (double)r->longest_at / RATE,
           r->likeness_min, r->likeness_mean, r->recorded_frame, r->melody_frame);
}

static int check(const char *path) {
    static float tune[MELODY_FRAMES * MELODY_CHANNELS];
    SF_INFO info = {};
    SNDFILE *file = sf_open(path, SFM_READ, &info);
    if (!file)
        return complain(path, sf_strerror(nullptr));
    if (info.samplerate != (int)MELODY_RATE_HZ || info.channels != (int)MELODY_CHANNELS) {
        sf_close(file);
        return complain(path, "only stereo at 48 kHz can be compared with the tune");
    }
    float *frames = calloc((size_t)info.frames + 1, MELODY_CHANNELS * sizeof *frames);
    if (!frames) {
        sf_close(file);
        return complain(path, "is too long for the memory of this machine");
    }
    sf_count_t n = sf_readf_float(file, frames, info.frames);
    sf_close(file);

    melody_make(tune);
    struct melody_report report;
    melody_check(tune, frames, (size_t)(n > 0 ? n : 0), &report);
    free(frames);
    print(&report);
    return report.n_good ? 0 : 1;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "make") == 0)
        return make(argv[2]);
    if (argc == 3 && strcmp(argv[1], "check") == 0)
        return check(argv[2]);
    fputs(USAGE, argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
    return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
}
