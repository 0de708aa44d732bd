/* SPDX-License-Identifier: MPL-2.0 */
#include "media/share.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct share *share_create(const struct engine_link_config *config, uint32_t node_rate_hz) {
    struct share *share = calloc(1, sizeof *share);
    if (!share)
        return nullptr;
    atomic_init(&share->n_refs, 1);
    share->settings = config->settings;
    share->n_map = config->n_map;
    memcpy(share->map, config->map, sizeof share->map);
    share->n_joined = 1;
    latency_send_init(&share->latency, &config->settings, node_rate_hz);
    pthread_mutex_init(&share->lock, nullptr);
    list_init(&share->members);
    return share;
}

/* What the receiver alone does with its packets may differ. */
static bool makes_same_packets(const struct codec_settings *a, const struct codec_settings *b) {
    return a->wire_rate_hz == b->wire_rate_hz && a->wire_channels == b->wire_channels &&
           a->payload_type == b->payload_type && a->fec == b->fec && a->fec_source_packets == b->fec_source_packets &&
           a->fec_repair_packets == b->fec_repair_packets && a->packet_length_ns == b->packet_length_ns &&
           a->resampler == b->resampler && a->control == b->control;
}

bool share_fits(const struct share *share, const struct engine_link_config *config) {
    return share->n_joined > 0 && makes_same_packets(&share->settings, &config->settings) &&
           share->n_map == config->n_map && memcmp(share->map, config->map, config->n_map * sizeof *config->map) == 0;
}

struct share *share_ref(struct share *share) {
    atomic_fetch_add_explicit(&share->n_refs, 1, memory_order_relaxed);
    return share;
}

void share_unref(struct share *share) {
    if (!share || atomic_fetch_sub_explicit(&share->n_refs, 1, memory_order_acq_rel) > 1)
        return;
    if (share->encoder)
        share->encoder->ops->close(share->encoder);
    pthread_mutex_destroy(&share->lock);
    free(share);
}

enum err share_open(struct share *share, struct codec *codec, struct codec_frame_format format,
                    struct codec_encoder **ret, struct err_info *reterr) {
    enum err e = ERR_OK;
    pthread_mutex_lock(&share->lock);
    if (!share->encoder)
        e = codec->ops->open_encoder(codec, &share->settings, format, &share->encoder, reterr);
    *ret = share->encoder;
    pthread_mutex_unlock(&share->lock);
    return e;
}
