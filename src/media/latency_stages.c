/* SPDX-License-Identifier: MPL-2.0 */
#include "media/latency_stages.h"

static int64_t take(int64_t *left_ns, int64_t wanted_ns) {
    int64_t taken_ns = wanted_ns < 0 ? 0 : wanted_ns < *left_ns ? wanted_ns : *left_ns;
    *left_ns -= taken_ns;
    return taken_ns;
}

void latency_stages(const struct latency_parts *parts, const struct codec_settings *settings,
                    struct latency_stages *ret) {
    int64_t left_ns = parts->end_to_end_ns > 0 ? parts->end_to_end_ns : 0;
    bool fec = settings->fec != CODEC_FEC_NONE && settings->fec_source_packets > 0;
    *ret = (struct latency_stages){};
    ret->ns[LATENCY_CAPTURE] = take(&left_ns, parts->capture_ns);
    ret->ns[LATENCY_PLAYBACK] = take(&left_ns, parts->playback_ns);
    ret->ns[LATENCY_NETWORK] = take(&left_ns, parts->network_ns);
    ret->ns[LATENCY_RESAMPLER] = take(&left_ns, codec_resampler_ns(settings, parts->frame_rate_hz));
    ret->ns[LATENCY_ENCODE] = take(&left_ns, settings->packet_length_ns);
    /* the first packet of a block waits for all the others */
    if (fec)
        ret->ns[LATENCY_FEC_BLOCK] = take(&left_ns, (settings->fec_source_packets - 1) * settings->packet_length_ns);
    ret->ns[LATENCY_JITTER_BUFFER] = left_ns;
}

bool latency_stage_is_measured(enum latency_stage stage) {
    return stage == LATENCY_CAPTURE || stage == LATENCY_NETWORK || stage == LATENCY_JITTER_BUFFER ||
           stage == LATENCY_PLAYBACK;
}
