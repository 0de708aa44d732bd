/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/err.h"
#include "transport/codec.h"

struct stream_settings; /* generated: model_gen.h */

/*
 * From a stream's settings to what the codec is told: encoding, packet length, FEC block, latency; and the refusal of
 * what cannot work, with the nearest value that can. A pure function; the figures come from measurements of libroc
 * 0.4 (docs/internals/latency.md).
 *
 * Threads: any.
 */

/* What `auto` may choose from, or one latency that was asked for (then all three are the same). */
struct profile_latency {
    bool adapts;
    int32_t start_ms, min_ms, max_ms;
};
enum err profile_latency(const struct stream_settings *settings, struct profile_latency *ret, struct err_info *reterr);

/* Packets and FEC blocks are those of the *least* latency that the stream may have: so every other that auto may choose
 * needs nothing but another decoder. */
enum err profile_derive(const struct stream_settings *settings, struct codec_settings *ret, struct err_info *reterr);

/* Where auto begins, and its floor unless one is given. */
constexpr int64_t PROFILE_DEFAULT_LATENCY_MS = 100;
/* Its ceiling unless one is given: a conversation over more is none. */
constexpr int64_t PROFILE_CEILING_MS = 500;
