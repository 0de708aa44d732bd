/* SPDX-License-Identifier: MPL-2.0 */
#include "transport/codec.h"

#include <stdio.h>
#include <string.h>

/* 10 and 11 are fixed by RFC 3551; the others are ours, and both ends must know them. Append only. */
static const struct codec_encoding encodings[] = {
    {"l16/44100/2", 44100, 2, 10},  {"l16/44100/1", 44100, 1, 11},  {"l16/48000/2", 48000, 2, 96},
    {"l16/48000/1", 48000, 1, 97},  {"l16/96000/2", 96000, 2, 98},  {"l16/96000/1", 96000, 1, 99},
    {"l16/32000/2", 32000, 2, 100}, {"l16/32000/1", 32000, 1, 101}, {"l16/16000/2", 16000, 2, 102},
    {"l16/16000/1", 16000, 1, 103}, {"l16/8000/2", 8000, 2, 104},   {"l16/8000/1", 8000, 1, 105},
    {"l16/48000/3", 48000, 3, 106}, {"l16/48000/4", 48000, 4, 107}, {"l16/48000/5", 48000, 5, 108},
    {"l16/48000/6", 48000, 6, 109}, {"l16/48000/8", 48000, 8, 110}, {"l16/48000/16", 48000, 16, 111},
    {"l16/44100/4", 44100, 4, 112}, {"l16/44100/6", 44100, 6, 113}, {"l16/44100/8", 44100, 8, 114},
    {"l16/96000/4", 96000, 4, 115}, {"l16/96000/6", 96000, 6, 116}, {"l16/96000/8", 96000, 8, 117},
};

const struct codec_encoding *codec_encodings(size_t *ret_n) {
    *ret_n = sizeof encodings / sizeof encodings[0];
    return encodings;
}

const struct codec_encoding *codec_encoding_by_name(const char *name) {
    for (size_t i = 0; i < sizeof encodings / sizeof encodings[0]; i++)
        if (strcmp(encodings[i].name, name) == 0)
            return &encodings[i];
    return nullptr;
}

size_t codec_packet_samples(const struct codec_settings *settings) {
    return (size_t)((settings->packet_length_ns * settings->wire_rate_hz + 500'000'000) / 1'000'000'000);
}

size_t codec_payload_bytes(const struct codec_settings *settings) {
    return codec_packet_samples(settings) * settings->wire_channels * 2;
}

int64_t codec_resampler_ns(const struct codec_settings *settings, uint32_t frame_rate_hz) {
    /* Half the length of Speex's filters at the qualities that libroc's profiles stand for, in frames of what comes out.
     * Without tuning, and at one rate, there is none. */
    static const int64_t frames[] = {
        [CODEC_RESAMPLER_LOW] = 8, [CODEC_RESAMPLER_MEDIUM] = 40, [CODEC_RESAMPLER_HIGH] = 128};
    if (settings->latency_profile == CODEC_LATENCY_INTACT && settings->wire_rate_hz == frame_rate_hz)
        return 0;
    return frames[settings->resampler] * 1'000'000'000 / frame_rate_hz;
}
