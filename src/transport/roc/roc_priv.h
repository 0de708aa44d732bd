/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <roc/config.h>
#include <roc/context.h>
#include <roc/version.h>

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/ring.h"
#include "transport/codec.h"

/* What the files of this folder share. */

/* libroc changes enum values and struct layouts with every minor version: read the new headers, then this folder. */
static_assert(ROC_VERSION >= ROC_VERSION_CODE(0, 4, 0) && ROC_VERSION < ROC_VERSION_CODE(0, 5, 0),
              "rocd is written against libroc 0.4");

struct roc_codec {
    struct codec codec;
    struct log log;
    roc_context *context;
    struct list_link link; /* in the list of codecs that may own libroc's log */
    struct ring lines;     /* struct log_line: libroc's threads → whoever drains */
    pthread_mutex_t drain; /* one drainer at a time */
    _Atomic uint64_t n_lost_lines;
};

static inline struct roc_codec *roc_codec_of(struct codec *codec) {
    return container_of(codec, struct roc_codec, codec);
}

/* How libroc calls an interface under each FEC code. */
struct roc_iface {
    roc_interface iface;
    roc_protocol proto;
};
/* false: this interface is not in use with these settings. */
bool roc_iface_of(const struct codec_settings *settings, enum media_iface iface, struct roc_iface *ret);
roc_fec_encoding roc_fec_of(enum codec_fec fec);
roc_resampler_profile roc_resampler_of(enum codec_resampler resampler);

/* Refuses what libroc would take and then not do. */
enum err roc_codec_check(const struct codec_settings *settings, struct codec_frame_format format,
                         struct err_info *reterr);
roc_media_encoding roc_media_encoding_of(uint32_t rate_hz, uint32_t n_channels);

/* Writes what libroc has said since. Not from media threads. */
void roc_codec_drain_log(struct roc_codec *codec);

enum err roc_encoder_open(struct codec *codec, const struct codec_settings *settings,
                          struct codec_frame_format frame_format, struct codec_encoder **ret, struct err_info *reterr);
enum err roc_decoder_open(struct codec *codec, const struct codec_settings *settings,
                          struct codec_frame_format frame_format, struct codec_decoder **ret, struct err_info *reterr);
