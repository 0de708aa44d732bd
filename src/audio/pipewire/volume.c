/* SPDX-License-Identifier: MPL-2.0 */
#include <math.h>
#include <string.h>

#include <spa/param/props.h>
#include <spa/param/route.h>
#include <spa/pod/builder.h>
#include <spa/pod/iter.h>
#include <spa/pod/parser.h>

#include "audio/pipewire/pipewire_priv.h"

/*
 * The volume of a device lives in one of two places. Where its card has a route for it (a jack, a built-in loudspeaker), it
 * is the route's: all mixers show that one, and it is kept for each of them. Otherwise it is the node's own. To set the
 * node's where there is a route would be heard, and shown by nobody.
 *
 * PipeWire stores linear amplitudes for each channel; people are shown the cube root of the loudest (1 is 0 dB), and setting
 * it keeps the balance between the channels. A suspended device takes a new volume, says nothing of it, and gives the old one
 * when it is asked: so what was sent stands beside what was seen, until the device runs or says something else.
 *
 * The volume of a virtual device of ours is set and seen at its stream, where it is at once. To set it by way of the server
 * would not only be slower: the server would ask us, and take nothing more from us until we have answered.
 */

constexpr double VOLUME_MAX = 1.5;
constexpr uint32_t CHANNELS_UNKNOWN = 2;
constexpr int INSIST_MAX = 20;

enum volume_home { HOME_UNKNOWN, HOME_NODE, HOME_ROUTE };

/* ---- reading ---- */

void volume_read(struct volume *volume, const struct spa_pod *props) {
    const struct spa_pod_prop *mute = spa_pod_find_prop(props, nullptr, SPA_PROP_mute);
    const struct spa_pod_prop *linear = spa_pod_find_prop(props, nullptr, SPA_PROP_channelVolumes);
    if (mute && spa_pod_get_bool(&mute->value, &volume->is_muted) >= 0)
        volume->is_known = true;
    if (linear) {
        volume->n = spa_pod_copy_array(&linear->value, SPA_TYPE_Float, volume->linear, VOLUME_CHANNELS_MAX);
        volume->is_known = true;
    }
}

void volume_read_route(struct graph_card *card, const struct spa_pod *route) {
    int32_t index, device;
    struct spa_pod *props = nullptr;
    if (spa_pod_parse_object(route, SPA_TYPE_OBJECT_ParamRoute, nullptr, SPA_PARAM_ROUTE_index, SPA_POD_Int(&index),
                             SPA_PARAM_ROUTE_device, SPA_POD_Int(&device), SPA_PARAM_ROUTE_props,
                             SPA_POD_OPT_Pod(&props)) < 0)
        return;
    size_t i = 0;
    while (i < card->n_routes && card->routes[i].device != device)
        i++;
    if (i == CARD_ROUTES_MAX)
        return;
    if (i == card->n_routes || card->routes[i].index != index)
        card->routes[i] = (struct card_route){.index = index, .device = device};
    if (i == card->n_routes)
        card->n_routes++;
    if (props)
        volume_read(&card->routes[i].volume, props);
}

static enum volume_home home_of(const struct graph_node *node, struct graph_card **ret_card,
                                struct card_route **ret_route) {
    if (node->card_id < 0 || node->card_device < 0)
        return node->has_asked ? HOME_NODE : HOME_UNKNOWN;
    struct graph_card *card = graph_find_card(node->pw, node->card_id);
    if (card && card->has_info && !card->has_route)
        return HOME_NODE;
    for (size_t i = 0; card && i < card->n_routes; i++)
        if (card->routes[i].device == node->card_device) {
            *ret_card = card;
            *ret_route = &card->routes[i];
            return HOME_ROUTE;
        }
    return graph_node_is_settled(node) ? HOME_NODE : HOME_UNKNOWN;
}

static const struct volume *seen(const struct graph_node *node) {
    const struct line *line = virtual_of_node(node);
    if (line)
        return &line->volume;
    struct graph_card *card;
    struct card_route *route;
    switch (home_of(node, &card, &route)) {
    case HOME_ROUTE:
        return &route->volume;
    case HOME_NODE:
        return &node->props;
    case HOME_UNKNOWN:
        break;
    }
    return nullptr;
}

static float loudest(const struct volume *volume) {
    float max = 0;
    for (uint32_t i = 0; i < volume->n; i++)
        max = volume->linear[i] > max ? volume->linear[i] : max;
    return max;
}

/* To four digits: a volume that was set comes back as it was given, and not as the floats have it. */
static double cubic(double linear) {
    return round(cbrt(linear) * 1e4) / 1e4;
}

double volume_cubic(const struct volume *volume) {
    return volume->n > 0 ? cubic((double)loudest(volume)) : 1.0;
}

bool volume_of(const struct graph_node *node, double *ret_volume, bool *ret_is_muted) {
    const struct volume *volume = seen(node);
    if (!volume || (!volume->is_known && !node->sent.has_volume))
        return false;
    *ret_volume = volume_cubic(volume);
    *ret_is_muted = volume->is_muted;
    const struct volume_wish *wishes[] = {&node->sent, &node->wish};
    for (size_t i = 0; i < 2; i++) {
        if (wishes[i]->has_volume)
            *ret_volume = wishes[i]->volume;
        if (wishes[i]->has_muted)
            *ret_is_muted = wishes[i]->is_muted;
    }
    return true;
}

/* ---- setting ---- */

/* Brings the loudest of n channels to `cubic_volume`, and keeps the balance. */
static void set_linear(struct volume *volume, uint32_t n, double cubic_volume) {
    double to = cubic_volume < 0 ? 0 : cubic_volume > VOLUME_MAX ? VOLUME_MAX : cubic_volume;
    to = to * to * to;
    double from = volume->n == n ? (double)loudest(volume) : 0;
    for (uint32_t i = 0; i < n; i++)
        volume->linear[i] = (float)(from > 0 ? to * (double)volume->linear[i] / from : to);
    volume->n = n;
}

void volume_set(struct volume *volume, uint32_t n_channels, const struct volume_wish *wish) {
    if (wish->has_volume)
        set_linear(volume, n_channels, wish->volume);
    if (wish->has_muted)
        volume->is_muted = wish->is_muted;
    volume->is_known = true;
}

/* One value may stand for all channels. */
static uint32_t count_channels(const struct graph_node *node, const struct volume *now) {
    return now->n > 1 ? now->n : node->format.n_channels > 0 ? node->format.n_channels : CHANNELS_UNKNOWN;
}

static void build_props(struct spa_pod_builder *b, const struct graph_node *node, const struct volume *now,
                        uint32_t id) {
    const struct volume_wish *wish = &node->wish;
    struct spa_pod_frame frame;
    struct volume then = *now;
    volume_set(&then, count_channels(node, now), wish);
    spa_pod_builder_push_object(b, &frame, SPA_TYPE_OBJECT_Props, id);
    if (wish->has_volume) {
        spa_pod_builder_prop(b, SPA_PROP_channelVolumes, 0);
        spa_pod_builder_array(b, sizeof(float), SPA_TYPE_Float, then.n, then.linear);
    }
    if (wish->has_muted) {
        spa_pod_builder_prop(b, SPA_PROP_mute, 0);
        spa_pod_builder_bool(b, wish->is_muted);
    }
    spa_pod_builder_pop(b, &frame);
}

static const struct spa_pod *build_route(struct spa_pod_builder *b, const struct graph_node *node,
                                         const struct card_route *route) {
    struct spa_pod_frame frame;
    spa_pod_builder_push_object(b, &frame, SPA_TYPE_OBJECT_ParamRoute, SPA_PARAM_Route);
    spa_pod_builder_prop(b, SPA_PARAM_ROUTE_index, 0);
    spa_pod_builder_int(b, route->index);
    spa_pod_builder_prop(b, SPA_PARAM_ROUTE_device, 0);
    spa_pod_builder_int(b, route->device);
    spa_pod_builder_prop(b, SPA_PARAM_ROUTE_props, 0);
    build_props(b, node, &route->volume, SPA_PARAM_Route);
    spa_pod_builder_prop(b, SPA_PARAM_ROUTE_save, 0); /* for the session manager: keep it for this route */
    spa_pod_builder_bool(b, true);
    return spa_pod_builder_pop(b, &frame);
}

static void merge(struct volume_wish *into, const struct volume_wish *wish) {
    if (wish->has_volume) {
        into->has_volume = true;
        into->volume = wish->volume;
    }
    if (wish->has_muted) {
        into->has_muted = true;
        into->is_muted = wish->is_muted;
    }
}

static void send_wish(struct graph_node *node) {
    struct graph_card *card;
    struct card_route *route;
    uint8_t room[2048];
    struct spa_pod_builder b = SPA_POD_BUILDER_INIT(room, sizeof room);
    if (!node->is_ready || (!node->wish.has_volume && !node->wish.has_muted))
        return;
    switch (home_of(node, &card, &route)) {
    case HOME_ROUTE:
        pw_device_set_param((struct pw_device *)card->proxy, SPA_PARAM_Route, 0, build_route(&b, node, route));
        break;
    case HOME_NODE:
        build_props(&b, node, &node->props, SPA_PARAM_Props);
        pw_node_set_param((struct pw_node *)node->proxy, SPA_PARAM_Props, 0, (const struct spa_pod *)room);
        break;
    case HOME_UNKNOWN:
        return;
    }
    merge(&node->sent, &node->wish);
    node->wish = (struct volume_wish){};
}

void volume_wish(struct graph_node *node, const struct volume_wish *wish) {
    struct line *line = virtual_of_node(node);
    if (node->is_ours) {
        if (line)
            virtual_set_volume(line, wish);
        return;
    }
    merge(&node->wish, wish);
    volume_changed(node, VOLUME_SOURCE_NONE);
}

static bool differs(const struct volume_wish *wish, double volume, bool is_muted) {
    return (wish->has_volume && fabs(volume - wish->volume) > 1e-3) || (wish->has_muted && is_muted != wish->is_muted);
}

/* The session manager sets what it remembers of a device some moments after it came, and would undo what was wished when it
 * came. */
static bool must_insist(struct graph_node *node) {
    return !node->is_old && !graph_node_is_settled(node) && node->n_insisted++ < INSIST_MAX;
}

void volume_insist(struct graph_node *node) {
    if (!node->is_running && !node->is_old && seen(node) == &node->props)
        merge(&node->wish, &node->sent);
}

/* What a device says while it is suspended may be the old value; a route always says what is. */
static bool is_news(const struct graph_node *node, double volume, bool is_muted) {
    struct graph_card *card;
    struct card_route *route;
    if (node->is_running || home_of(node, &card, &route) == HOME_ROUTE)
        return true;
    return (volume != node->seen_volume) || is_muted != node->is_seen_muted;
}

void volume_changed(struct graph_node *node, enum volume_source source) {
    const struct volume *now = seen(node);
    bool is_own = now == &node->props ? source == VOLUME_SOURCE_NODE : source == VOLUME_SOURCE_ROUTE;
    if (is_own && now && now->is_known) {
        double volume = volume_cubic(now);
        bool is_other = differs(&node->sent, volume, now->is_muted);
        if (is_other && must_insist(node))
            merge(&node->wish, &node->sent);
        else if (is_news(node, volume, now->is_muted) && (is_other || node->is_old || graph_node_is_settled(node)))
            node->sent = (struct volume_wish){};
        node->seen_volume = volume;
        node->is_seen_muted = now->is_muted;
    }
    send_wish(node);
    graph_node_tell(node);
}
