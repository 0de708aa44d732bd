/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "transport/codec.h"
#include "transport/gate.h"

/*
 * Encoder → lossy, late network → gate → decoder, on virtual time: nothing sleeps, and the same seed gives the same sound
 * to the bit. The sound is noise around half of full scale: every zero is a lost sample, and each stretch of it is like
 * itself at one place only.
 *
 * Life cycle: link_sim_run → look at the result → link_sim_finish.  Threads: one.
 */
constexpr int64_t LINK_SIM_PAUSE_NS = 100'000'000;

struct link_sim {
    struct codec_settings settings;
    uint32_t frame_rate_hz; /* of both ends; 0: the wire's */
    double seconds;
    double loss; /* share of all packets: 0.05 */
    double jitter_ms;
    double drift_ppm; /* the sender's clock runs faster */
    uint64_t seed;
    int64_t tick_ns;     /* 0: 5 ms */
    double restart_at_s; /* the sender ends and begins anew after LINK_SIM_PAUSE_NS; 0: never */
};

struct link_sim_result {
    float *sound;    /* owned: everything the decoder gave, interleaved */
    size_t n_frames; /* of it */
    size_t first;    /* frame that is not silent; n_frames: there is none */
    size_t n_lost;   /* silent frames after it */

    uint64_t sent, dropped;                                                /* source packets */
    uint64_t rejected, lost, repaired, reordered, late, missing, sessions; /* as the gate has it; rejected: both ways */
    uint64_t feedback;                                                     /* RTCP packets that came back */
    bool encoder_connected, decoder_connected;                             /* as libroc has it, at the end */
    int64_t end_to_end_ns;
    size_t heap_settled, heap_end; /* bytes in use half way and at the end */
};

/* The sample of that place, as it goes over the wire. */
int16_t link_sim_sample(uint64_t position, uint32_t channel);

void link_sim_run(struct codec *codec, const struct link_sim *sim, struct link_sim_result *ret);
void link_sim_finish(struct link_sim_result *result);

/* Where in what was sent the sound at frame `at` comes from, by sixteen samples of it; UINT64_MAX: from nowhere. */
uint64_t link_sim_position(const struct link_sim_result *result, uint32_t n_channels, size_t at);
