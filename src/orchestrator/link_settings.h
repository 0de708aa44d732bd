/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "media/engine.h"
#include "model/stream_check.h"
#include "transport/codec.h"

/*
 * What the codecs of a stream's links are told: media/profile's answer to the settings, with what the sides add to it.
 * Packets within one peer go through memory, which loses none, so no repair packets are made for it.
 *
 * Pure. Errors point into the spec ("/settings/packet_length_ms"). Threads: any.
 */
enum err link_settings_derive(const struct stream_spec *spec, const struct stream_sides *sides,
                              struct codec_settings *ret, struct err_info *reterr);
/* Between which latencies the receiving end may choose; the same: there is no choice. Of settings that can be derived. */
void link_settings_bounds(const struct stream_spec *spec, const struct stream_sides *sides, int64_t *ret_min_ns,
                          int64_t *ret_max_ns);

/* Who is at the far end of a link, as a bus tells its members apart; "": nobody in particular. `far_is_source`: the link
 * receives. */
void link_settings_member(const struct stream_spec *spec, const struct stream_side *far, bool far_is_source,
                          const char *self_uid, char ret[static ENGINE_MEMBER_MAX + 1]);
