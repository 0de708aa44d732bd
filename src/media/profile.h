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
/* `fec_from_uri`: for external Roc URIs the scheme decides; it must agree with the settings where both are explicit. */
enum err profile_derive(const struct stream_settings *settings, struct codec_settings *ret, struct err_info *reterr);

/* The default target when a stream says null (auto). */
constexpr int64_t PROFILE_DEFAULT_LATENCY_MS = 100;
