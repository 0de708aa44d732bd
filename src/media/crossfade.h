/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "transport/codec.h"
#include "transport/path.h"

/*
 * The change from one decoder to another that plays the same packets at another latency.
 *
 * The second decoder is fed beside the first until it plays without holes, then its sound is faded in over the other. Both
 * play the same sound at different places. When the latency grows, the listener hears the difference twice; when it
 * shrinks, he misses it. That cannot be avoided by a change that is to be quick (to bend it away inaudibly takes minutes); what
 * can be avoided is that he hears a seam:
 *   - The fade waits for a good moment for a while: a quiet one, or one in which both sound alike.
 *   - Its curves keep the loudness, whether the two are alike (a tone in phase: their amplitudes add up) or not (music:
 *     their powers do): the usual quarter sine and cosine, divided by the root of 1 + 2 r sin cos, where r is how
 *     alike they are, measured as normalised correlation just before the fade.
 *
 * It begins with the first packet of a FEC block, as a decoder repairs only blocks that it has seen from there on; and as
 * nothing is repaired while a queue fills for the first time, it waits one latency longer where packets are lost.
 *
 * Life cycle: crossfade_init (worker) → (crossfade_begin → crossfade_feed, crossfade_mix … → crossfade_take)* →
 * crossfade_finish. Threads: media thread, but for the first and last. Ownership: owns the second decoder from begin to take.
 */
struct crossfade {
    struct codec_decoder *decoder; /* owned; nullptr: nothing is under way */
    // Private state
    enum codec_fec fec;
    int64_t target_ns;
    bool raises; /* the latency: there is trouble, so no long wait */
    bool fed;
    uint32_t first_sbn;
    int64_t fed_ns, sounds_ns, ready_ns; /* since when; 0: not yet */
    bool has_losses;
    double power_old, power_new, power_both; /* sums over the last pieces, however long each was */
    double n_measured;                       /* samples in them */
    size_t position, length;                 /* frames of the fade; length 0: it has not begun */
    double alike;
    float *frames; /* owned */
    size_t n_max;
};

enum crossfade_state {
    CROSSFADE_UNDER_WAY,
    CROSSFADE_DONE,     /* only the second is heard now: take it, and let the first go */
    CROSSFADE_GIVEN_UP, /* it does not play, or refuses to work: take it and let it go */
};

/* n_max: frames in a tick at most. */
bool crossfade_init(struct crossfade *fade, size_t n_max, const struct codec_settings *settings);
void crossfade_finish(struct crossfade *fade);

/* `raises`: the new target is the greater one. */
void crossfade_begin(struct crossfade *fade, struct codec_decoder *decoder, int64_t target_ns, bool raises);
/* A packet that the first decoder gets, too. */
void crossfade_feed(struct crossfade *fade, const struct packet *packet, int64_t now_ns);
/* n frames from the first decoder; what is to be heard takes their place. `has_losses`: packets are missing now. */
enum crossfade_state crossfade_mix(struct crossfade *fade, float *frames, size_t n, size_t n_channels, uint32_t rate_hz,
                                   bool has_losses, int64_t now_ns);
struct codec_decoder *crossfade_take(struct crossfade *fade);
