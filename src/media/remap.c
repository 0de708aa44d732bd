/* SPDX-License-Identifier: MPL-2.0 */
#include "media/remap.h"

#include <string.h>

static void add_term(struct remap *remap, uint32_t from, uint32_t to, float gain) {
    remap->terms[remap->n_terms++] = (struct remap_term){.from = (uint8_t)from, .to = (uint8_t)to, .gain = gain};
}

static void default_terms(struct remap *remap) {
    uint32_t from = remap->n_from, to = remap->n_to;
    if (from == 1) {
        for (uint32_t c = 0; c < to; c++)
            add_term(remap, 0, c, 1);
    } else if (from == 2 && to == 1) {
        add_term(remap, 0, 0, 0.5f);
        add_term(remap, 1, 0, 0.5f);
    } else {
        for (uint32_t c = 0; c < from && c < to; c++)
            add_term(remap, c, c, 1);
    }
}

static enum err map_terms(struct remap *remap, const struct remap_config *config, struct err_info *reterr) {
    if (config->n_map > config->wire_channels)
        return err_set(reterr, ERR_INVALID, "the channel map has %u entries, but the stream has %u channels",
                       config->n_map, config->wire_channels);
    for (uint32_t wire = 0; wire < config->n_map; wire++) {
        int node = config->map[wire];
        if (node < -1 || node >= (int)config->node_channels)
            return err_set(reterr, ERR_INVALID,
                           "the channel map sends channel %u to channel %d, but the endpoint has channels 0 to %u; "
                           "-1 stands for silence",
                           wire, node, config->node_channels - 1);
        if (node >= 0 && config->to_node)
            add_term(remap, wire, (uint32_t)node, 1);
        else if (node >= 0)
            add_term(remap, (uint32_t)node, wire, 1);
    }
    return ERR_OK;
}

static bool is_identity(const struct remap *remap) {
    if (remap->n_from != remap->n_to || remap->n_terms != remap->n_from)
        return false;
    for (uint8_t i = 0; i < remap->n_terms; i++)
        if (remap->terms[i].from != i || remap->terms[i].to != i || remap->terms[i].gain != 1)
            return false;
    return true;
}

enum err remap_init(struct remap *remap, const struct remap_config *config, struct err_info *reterr) {
    if (config->node_channels < 1 || config->node_channels > ENGINE_CHANNELS_MAX || config->wire_channels < 1 ||
        config->wire_channels > ENGINE_CHANNELS_MAX)
        return err_set(reterr, ERR_INVALID, "%u channels cannot be mapped to %u: each side may have 1 to %zu",
                       config->wire_channels, config->node_channels, ENGINE_CHANNELS_MAX);
    struct remap made = {
        .n_from = (uint8_t)(config->to_node ? config->wire_channels : config->node_channels),
        .n_to = (uint8_t)(config->to_node ? config->node_channels : config->wire_channels),
    };
    if (config->n_map == 0) {
        default_terms(&made);
    } else {
        enum err e = map_terms(&made, config, reterr);
        if (e != ERR_OK)
            return e;
    }
    made.identity = is_identity(&made);
    *remap = made;
    return ERR_OK;
}

void remap_run(const struct remap *remap, float *out, const float *in, size_t n) {
    memset(out, 0, n * remap->n_to * sizeof *out);
    for (uint8_t t = 0; t < remap->n_terms; t++) {
        struct remap_term term = remap->terms[t];
        const float *from = in + term.from;
        float *to = out + term.to;
        for (size_t i = 0; i < n; i++)
            to[i * remap->n_to] += from[i * remap->n_from] * term.gain;
    }
}
