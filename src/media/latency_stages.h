/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "transport/codec.h"

/*
 * Where the latency of a stream goes, stage by stage in the order of the sound's way. What is measured is taken first, then
 * what follows from the settings; what is left is the jitter buffer. So the sum is the latency, whatever the parts say.
 * Pure.
 */
enum latency_stage {
    LATENCY_CAPTURE,       /* from the air to where it could be encoded; measured */
    LATENCY_ENCODE,        /* until the packet is full; computed */
    LATENCY_FEC_BLOCK,     /* waits so that the rest of its block can come and repair it; computed */
    LATENCY_NETWORK,       /* one way; measured */
    LATENCY_JITTER_BUFFER, /* waits so that uneven packets do no harm; measured, as it is what is left */
    LATENCY_RESAMPLER,     /* half its filter; computed */
    LATENCY_PLAYBACK,      /* from where it was decoded to the air; measured */
    LATENCY_N_STAGES,
};

struct latency_stages {
    int64_t ns[LATENCY_N_STAGES];
};

struct latency_parts { /* negative ones count as 0 */
    int64_t end_to_end_ns, capture_ns, network_ns, playback_ns;
    uint32_t frame_rate_hz; /* of the destination */
};
void latency_stages(const struct latency_parts *parts, const struct codec_settings *settings,
                    struct latency_stages *ret);
bool latency_stage_is_measured(enum latency_stage stage);
