/* SPDX-License-Identifier: MPL-2.0 */
#include <stdlib.h>
#include <string.h>

#include "audio/pipewire/pipewire_priv.h"

/*
 * What the server has, as far as it concerns us: sinks and sources, and the cards they belong to (a card may hold their
 * volume). Ids are used again at once when an object goes, so what lasts is the name.
 */

constexpr int64_t LOOK_AGAIN_NS = NS_PER_S;

struct graph_node *graph_find(const struct pipewire *pw, const char *key) {
    return map_get(&pw->node_keys, key);
}

/* ---- cards ---- */

struct graph_card *graph_find_card(const struct pipewire *pw, int64_t id) {
    struct graph_card *card;
    list_for_each(card, &pw->cards, link) if (card->id == id) return card;
    return nullptr;
}

static void card_changed(struct graph_card *card, enum volume_source source) {
    struct graph_node *node;
    list_for_each(node, &card->pw->nodes, link) if (node->card_id == card->id) volume_changed(node, source);
}

static void on_card_info(void *arg, const struct pw_device_info *info) {
    struct graph_card *card = arg;
    if (info->change_mask & PW_DEVICE_CHANGE_MASK_PARAMS) {
        card->has_route = false;
        for (uint32_t i = 0; i < info->n_params; i++)
            if (info->params[i].id == SPA_PARAM_Route && info->params[i].flags & SPA_PARAM_INFO_WRITE)
                card->has_route = true;
        if (card->has_route) /* a subscription leaves changes out that come fast upon one another */
            pw_device_enum_params((struct pw_device *)card->proxy, 0, SPA_PARAM_Route, 0, UINT32_MAX, nullptr);
    }
    card->has_info = true;
    card_changed(card, VOLUME_SOURCE_NONE);
}

static void on_card_param(void *arg, int, uint32_t id, uint32_t, uint32_t, const struct spa_pod *param) {
    struct graph_card *card = arg;
    if (id != SPA_PARAM_Route || !param)
        return;
    volume_read_route(card, param);
    card_changed(card, VOLUME_SOURCE_ROUTE);
}

static const struct pw_device_events CARD_EVENTS = {
    .version = PW_VERSION_DEVICE_EVENTS, .info = on_card_info, .param = on_card_param};

static void card_remove(struct graph_card *card) {
    list_remove(&card->link);
    spa_hook_remove(&card->proxy_hook);
    spa_hook_remove(&card->device_hook);
    pw_proxy_destroy(card->proxy);
    free(card);
}

static void on_card_removed(void *arg) {
    card_remove(arg);
}

static const struct pw_proxy_events CARD_PROXY_EVENTS = {.version = PW_VERSION_PROXY_EVENTS,
                                                         .removed = on_card_removed};

static void card_add(struct pipewire *pw, uint32_t id) {
    struct graph_card *card = calloc(1, sizeof *card);
    if (!card || !(card->proxy = pw_registry_bind(pw->registry, id, PW_TYPE_INTERFACE_Device, PW_VERSION_DEVICE, 0))) {
        free(card);
        return;
    }
    card->pw = pw;
    card->id = id;
    list_append(&pw->cards, &card->link);
    pw_proxy_add_listener(card->proxy, &card->proxy_hook, &CARD_PROXY_EVENTS, card);
    pw_device_add_listener((struct pw_device *)card->proxy, &card->device_hook, &CARD_EVENTS, card);
}

void graph_tell_all(struct pipewire *pw) {
    struct graph_node *node;
    struct line *line;
    list_for_each(node, &pw->nodes, link) graph_node_tell(node);
    list_for_each(line, &pw->lines, link) if (line->kind == LINE_VIRTUAL) virtual_tell(line);
    defaults_tell(pw);
}

/* ---- the registry ---- */

static void on_global(void *arg, uint32_t id, uint32_t, const char *type, uint32_t, const struct spa_dict *props) {
    struct pipewire *pw = arg;
    if (strcmp(type, PW_TYPE_INTERFACE_Node) == 0) {
        const char *media_class = props ? spa_dict_lookup(props, PW_KEY_MEDIA_CLASS) : nullptr;
        if (media_class)
            graph_node_add(pw, id, media_class, props);
    } else if (strcmp(type, PW_TYPE_INTERFACE_Device) == 0) {
        const char *media_class = props ? spa_dict_lookup(props, PW_KEY_MEDIA_CLASS) : nullptr;
        if (media_class && strcmp(media_class, "Audio/Device") == 0)
            card_add(pw, id);
    } else if (strcmp(type, PW_TYPE_INTERFACE_Metadata) == 0) {
        defaults_metadata_add(pw, id, props);
    } else if (strcmp(type, PW_TYPE_INTERFACE_Client) == 0) {
        graph_look_again(pw); /* for what the defaults lose when somebody asks for them */
    }
}

static const struct pw_registry_events REGISTRY_EVENTS = {.version = PW_VERSION_REGISTRY_EVENTS, .global = on_global};

void graph_on_done(struct pipewire *pw, int seq) {
    struct graph_node *node;
    while ((node = list_first(&pw->graph_waiting, struct graph_node, waiting_link)) && seq - node->ready_seq >= 0)
        graph_node_is_ready(node);
    defaults_on_done(pw, seq);
}

/* Nodes that have come lately are looked at again: a card of which no route has come by then has none, and the session manager
 * has put back the volumes that it remembers. */
static void on_look_timer(void *arg, uint64_t) {
    struct pipewire *pw = arg;
    struct graph_node *node;
    pw->is_look_timer_armed = false;
    defaults_look(pw);
    list_for_each(node, &pw->nodes, link) if (!graph_node_is_settled(node)) {
        volume_insist(node);
        node->n_looks++;
        volume_changed(node, VOLUME_SOURCE_NONE);
        graph_look_again(pw);
    }
}

void graph_look_again(struct pipewire *pw) {
    if (pw->is_look_timer_armed)
        return;
    pw->is_look_timer_armed = true;
    struct timespec after = {.tv_sec = LOOK_AGAIN_NS / NS_PER_S};
    pw_loop_update_timer(pw->loop, pw->look_timer, &after, nullptr, false);
}

void graph_start(struct pipewire *pw) {
    pw->registry = pw_core_get_registry(pw->core, PW_VERSION_REGISTRY, 0);
    if (pw->registry)
        pw_registry_add_listener(pw->registry, &pw->registry_hook, &REGISTRY_EVENTS, pw);
    pw->look_timer = pw_loop_add_timer(pw->loop, on_look_timer, pw);
    pw->is_look_timer_armed = false;
}

void graph_stop(struct pipewire *pw) {
    struct graph_node *node;
    struct graph_card *card;
    list_for_each_safe(node, &pw->nodes, link) graph_node_remove(node);
    list_for_each_safe(card, &pw->cards, link) card_remove(card);
    defaults_stop(pw);
    if (pw->look_timer)
        pw_loop_destroy_source(pw->loop, pw->look_timer);
    pw->look_timer = nullptr;
    if (pw->registry) {
        spa_hook_remove(&pw->registry_hook);
        pw_proxy_destroy((struct pw_proxy *)pw->registry);
    }
    pw->registry = nullptr;
}
