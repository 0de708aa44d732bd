/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <pthread.h>

#include "base/list.h"
#include "media/engine.h"
#include "media/latency.h"

/*
 * An encoder that several sending links of a node use together, because all of them want the same packets: settings and
 * channel map are equal, and none has a gain of its own. Every packet is made once and goes out on the path of each.
 *
 * Who joins later begins in the middle, with the packets that are made then. Who leaves does not fade, as that would be heard by
 * the others; the last one does. So the receiving ends have to fade by themselves, as those of rocd do.
 *
 * Life cycle: share_create and share_ref (core) → share_open (worker) → links begin, tick and leave (media thread) → share_unref
 * (worker), which closes the encoder with the last.
 * Threads: as said. `n_joined` and what it was created with are the core's.
 */
struct share {
    _Atomic unsigned n_refs;
    struct codec_settings settings;
    uint32_t n_map;
    int map[ENGINE_CHANNELS_MAX];
    uint64_t counted; /* the core's mark of the last count of encoders */
    size_t n_joined;  /* links that are neither leaving nor broken; 0: nobody may join any more */
    // workers
    pthread_mutex_t lock;
    struct codec_encoder *encoder; // owned; nullptr: not opened
    // media thread
    struct list members;         // struct link_send::in_share
    bool begun;                  // has been given frames, and nobody has faded them out since
    struct latency_send latency; // of the encoder; not its pings
    float peaks[ENGINE_CHANNELS_MAX];
};

/* `node_rate_hz`: of the frames. With one reference and one link that has joined; nullptr: out of memory. */
struct share *share_create(const struct engine_link_config *config, uint32_t node_rate_hz);
/* May a link of this configuration join? */
bool share_fits(const struct share *share, const struct engine_link_config *config);
struct share *share_ref(struct share *share);
/* Accepts nullptr. */
void share_unref(struct share *share);
/* The encoder, which is opened for the first that asks. */
enum err share_open(struct share *share, struct codec *codec, struct codec_frame_format format,
                    struct codec_encoder **ret, struct err_info *reterr);
