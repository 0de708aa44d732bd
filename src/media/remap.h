/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "media/engine.h"

/*
 * Which channel of the wire is which channel of the node.
 *
 * Without a map: mono goes to all channels, stereo to mono is the average, otherwise the first min(N, M) channels pass
 * and the rest is silent. With a map, entry w names the node's channel of wire channel w, -1 none; wire channels
 * beyond the map have none. Where two wire channels go to one node channel they are summed.
 *
 * Life cycle: remap_init → remap_run. Threads: none; plain data.
 */
struct remap_term {
    uint8_t from, to;
    float gain;
};

struct remap {
    uint8_t n_from, n_to;
    uint8_t n_terms;
    bool identity; /* nothing to do: frames may be used as they are */
    struct remap_term terms[ENGINE_CHANNELS_MAX];
};

struct remap_config {
    uint32_t node_channels, wire_channels;
    bool to_node; /* receiving */
    uint32_t n_map;
    const int *map;
};

/* ERR_INVALID: more channels than there can be, or a map that names a channel that is not there. */
enum err remap_init(struct remap *remap, const struct remap_config *config, struct err_info *reterr);
/* `out` must not be `in`. */
void remap_run(const struct remap *remap, float *out, const float *in, size_t n);
