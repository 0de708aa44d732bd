/* SPDX-License-Identifier: MPL-2.0 */
#include <math.h>
#include <string.h>

#include "melody.h"

constexpr size_t BAR_FRAMES = MELODY_FRAMES / 4;
constexpr size_t HALF_BEAT_FRAMES = BAR_FRAMES / 8;
constexpr size_t FADE_FRAMES = MELODY_RATE_HZ / 5; /* from chord to chord */
constexpr size_t NOTE_FRAMES = MELODY_RATE_HZ;     /* a plucked note has died away by then */
constexpr size_t BREATH_FRAMES = MELODY_RATE_HZ / 12;
constexpr double BED_LEVEL = 0.035;
constexpr double LEAD_LEVEL = 0.16;
constexpr double BREATH_LEVEL = 0.025;

/* Notes as MIDI numbers: 69 is the A of 440 Hz; 0 is a rest. */
static const int CHORDS[4][4] = {
    {48, 55, 64, 67}, /* C */
    {43, 55, 59, 62}, /* G */
    {45, 57, 60, 64}, /* A minor */
    {41, 53, 57, 60}, /* F */
};
static const int LEAD[4][8] = {
    {76, 0, 79, 84, 0, 79, 76, 72},
    {74, 0, 79, 83, 0, 79, 74, 71},
    {72, 0, 76, 81, 0, 76, 72, 69},
    {69, 72, 77, 81, 79, 77, 76, 74},
};

static double hertz(int note) {
    return 440.0 * exp2((note - 69) / 12.0);
}

/* Adds to a frame of the loop; what rings beyond the end is heard at the beginning. */
static void add(float *frames, size_t at, double left, double right) {
    float *frame = frames + at % MELODY_FRAMES * MELODY_CHANNELS;
    frame[0] += (float)left;
    frame[1] += (float)right;
}

/* The chord of a bar, from the fade before its beginning to its end; the fades of two chords add up to one. */
static void add_chord(float *frames, size_t bar) {
    size_t begin = MELODY_FRAMES + bar * BAR_FRAMES - FADE_FRAMES;
    for (size_t i = 0; i < BAR_FRAMES + FADE_FRAMES; i++) {
        double fade_in = fmin((double)i / FADE_FRAMES, 1),
               fade_out = fmin((double)(BAR_FRAMES + FADE_FRAMES - i) / FADE_FRAMES, 1);
        double volume = BED_LEVEL * sin(fmin(fade_in, fade_out) * M_PI / 2);
        double t = (double)i / MELODY_RATE_HZ, left = 0, right = 0;
        for (size_t k = 0; k < 4; k++) {
            double f = hertz(CHORDS[bar][k]);
            left += sin(2 * M_PI * f * 0.999 * t) + 0.3 * sin(4 * M_PI * f * 0.999 * t);
            right += sin(2 * M_PI * f * 1.001 * t) + 0.3 * sin(4 * M_PI * f * 1.001 * t);
        }
        add(frames, begin + i, volume * left, volume * right);
    }
}

static void add_note(float *frames, size_t begin, double f, double pan) {
    for (size_t i = 0; i < NOTE_FRAMES; i++) {
        double t = (double)i / MELODY_RATE_HZ;
        double attack = fmin(t / 0.004, 1), release = fmin((double)(NOTE_FRAMES - i) / 2400, 1);
        double tone = 0;
        for (int harmonic = 1; harmonic <= 5; harmonic++)
            tone += sin(2 * M_PI * f * harmonic * t) * exp(-t * (3 + 3 * harmonic)) / harmonic;
        double volume = LEAD_LEVEL * attack * release * tone;
        add(frames, begin + i, volume * (1 - pan), volume * pan);
    }
}

/* Noise below some 4 kHz, which no resampler on the way takes away. */
static void add_breath(float *frames, size_t begin, uint64_t *seed) {
    double smooth[2] = {};
    for (size_t i = 0; i < BREATH_FRAMES; i++) {
        for (size_t c = 0; c < 2; c++) {
            *seed = *seed * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX generator */
            double white = (double)(*seed >> 11) / (double)(1ull << 52) - 1;
            smooth[c] += 0.4 * (white - smooth[c]);
        }
        double volume = BREATH_LEVEL * sin(M_PI * (double)i / BREATH_FRAMES);
        add(frames, begin + i, volume * smooth[0], volume * smooth[1]);
    }
}

void melody_make(float *ret_frames) {
    memset(ret_frames, 0, MELODY_FRAMES * MELODY_CHANNELS * sizeof *ret_frames);
    uint64_t seed = 4040;
    for (size_t bar = 0; bar < 4; bar++) {
        add_chord(ret_frames, bar);
        for (size_t half = 0; half < 8; half++) {
            size_t at = bar * BAR_FRAMES + half * HALF_BEAT_FRAMES;
            if (LEAD[bar][half])
                add_note(ret_frames, at, hertz(LEAD[bar][half]), 0.5 + 0.25 * sin((double)(bar * 8 + half)));
            if (half % 2)
                add_breath(ret_frames, at, &seed);
        }
    }
}
