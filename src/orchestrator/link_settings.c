/* SPDX-License-Identifier: MPL-2.0 */
#include "orchestrator/link_settings.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "media/profile.h"

/* The map stands where wire and endpoint meet: at the sender if there is one, else at the receiver. */
static enum err check_channel_map(const struct stream_settings *settings, const struct stream_sides *sides,
                                  uint32_t wire_channels, struct err_info *reterr) {
    if (settings->has_channel_map != PRESENCE_VALUE)
        return ERR_OK;
    if (sides->source.is_endpoint && settings->n_channel_map != wire_channels)
        return err_set_at(
            reterr, ERR_INVALID, "/settings/channel_map",
            "channel_map has %u entries and the encoding %s has %u channels: want one entry for each of them",
            (unsigned)settings->n_channel_map, settings->encoding, (unsigned)wire_channels);
    for (uint32_t i = 0; !sides->source.is_endpoint && i < settings->n_channel_map; i++)
        if (settings->channel_map[i] >= (int32_t)wire_channels)
            return err_set_at(reterr, ERR_INVALID, "/settings/channel_map",
                              "channel_map names channel %d and the encoding %s has %u, counted from 0",
                              (int)settings->channel_map[i], settings->encoding, (unsigned)wire_channels);
    return ERR_OK;
}

static bool is_internal(const struct stream_sides *sides) {
    return stream_side_is_here(&sides->source) && stream_side_is_here(&sides->destination);
}

static struct stream_settings settings_of_link(const struct stream_spec *spec, bool internal) {
    struct stream_settings settings = spec->settings;
    if (internal) {
        settings.fec = FEC_CODE_NONE;
        settings.has_fec_block_source_packets = settings.has_fec_block_repair_packets = PRESENCE_ABSENT;
    }
    return settings;
}

enum err link_settings_derive(const struct stream_spec *spec, const struct stream_sides *sides,
                              struct codec_settings *ret, struct err_info *reterr) {
    bool internal = is_internal(sides);
    bool between_peers = sides->source.is_remote || sides->destination.is_remote;
    struct stream_settings settings = settings_of_link(spec, internal);
    struct codec_settings derived;
    enum err err = profile_derive(&settings, &derived, reterr);
    if (!err)
        err = check_channel_map(&settings, sides, derived.wire_channels, reterr);
    if (err)
        return err;
    const struct stream_side *external = sides->source.is_endpoint ? &sides->destination : &sides->source;
    derived.control = internal || between_peers || external->has_uri[URI_CONTROL];
    *ret = derived;
    return ERR_OK;
}

void link_settings_bounds(const struct stream_spec *spec, const struct stream_sides *sides, int64_t *ret_min_ns,
                          int64_t *ret_max_ns) {
    struct stream_settings settings = settings_of_link(spec, is_internal(sides));
    struct profile_latency latency = {};
    (void)profile_latency(&settings, &latency, nullptr);
    *ret_min_ns = latency.min_ms * NS_PER_MS;
    *ret_max_ns = latency.max_ms * NS_PER_MS;
}

static_assert(ENGINE_MEMBER_MAX >= LIMIT_HOST && ENGINE_MEMBER_MAX >= UID_SIZE);

/* Where a source listens says nothing about who sends. */
static const char *sender_of(const struct stream_spec *spec) {
    const struct external_connection *external = &spec->source.external;
    return external->n_allowed_sources == 1 ? external->allowed_sources[0] : "";
}

void link_settings_member(const struct stream_spec *spec, const struct stream_side *far, bool far_is_source,
                          const char *self_uid, char ret[static ENGINE_MEMBER_MAX + 1]) {
    const char *member = far->uri[URI_MEDIA].host;
    if (spec->settings.has_member == PRESENCE_VALUE)
        member = spec->settings.member;
    else if (far->is_endpoint)
        member = far->is_remote ? far->endpoint.peer_uid : self_uid;
    else if (far_is_source)
        member = sender_of(spec);
    snprintf(ret, ENGINE_MEMBER_MAX + 1, "%s", member);
}
