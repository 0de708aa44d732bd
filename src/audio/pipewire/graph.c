/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <spa/utils/json.h>

#include "audio/pipewire/pipewire_priv.h"

/*
 * What the server has, as far as it concerns us: sinks and sources, the cards they belong to (a card may hold their volume),
 * and which of them the system has chosen. Ids are used again at once when an object goes, so what lasts is the name.
 */

constexpr int64_t LOOK_AGAIN_NS = NS_PER_S;

static const char *const DEFAULT_KEYS[] = {[AUDIO_INPUT] = "default.input", [AUDIO_OUTPUT] = "default.output"};
static const char *const DEFAULT_TITLES[] = {[AUDIO_INPUT] = "Default input", [AUDIO_OUTPUT] = "Default output"};
static const char *const DEFAULT_METADATA[] = {
    [AUDIO_INPUT] = "default.audio.source", [AUDIO_OUTPUT] = "default.audio.sink"};

bool graph_is_default_name(const char *key, enum audio_direction *ret) {
    for (int d = AUDIO_INPUT; d <= AUDIO_OUTPUT; d++)
        if (strcmp(key, DEFAULT_KEYS[d]) == 0) {
            *ret = (enum audio_direction)d;
            return true;
        }
    return false;
}

struct graph_node *graph_find(const struct pipewire *pw, const char *key) {
    return map_get(&pw->node_keys, key);
}

struct graph_node *graph_default_node(const struct pipewire *pw, enum audio_direction direction) {
    return pw->default_names[direction][0] ? graph_find(pw, pw->default_names[direction]) : nullptr;
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

/* ---- the system's choice ---- */

/* {"name":"…"} */
static void read_name(const char *json, char *ret, size_t size) {
    struct spa_json it[2];
    char key[64];
    memset(ret, 0, size);
    if (!json)
        return;
    spa_json_init(&it[0], json, strlen(json));
    if (spa_json_enter_object(&it[0], &it[1]) <= 0)
        return;
    while (spa_json_get_string(&it[1], key, sizeof key) > 0) {
        if (strcmp(key, "name") == 0) {
            if (spa_json_get_string(&it[1], ret, (int)size) <= 0)
                memset(ret, 0, size);
            return;
        }
        const char *value;
        if (spa_json_next(&it[1], &value) <= 0)
            return;
    }
}

static int on_metadata(void *arg, uint32_t subject, const char *key, const char *, const char *value) {
    struct pipewire *pw = arg;
    if (subject != PW_ID_CORE)
        return 0;
    for (int d = AUDIO_INPUT; d <= AUDIO_OUTPUT; d++)
        if (!key || strcmp(key, DEFAULT_METADATA[d]) == 0) {
            struct graph_node *before = graph_default_node(pw, (enum audio_direction)d);
            read_name(key ? value : nullptr, pw->default_names[d], sizeof pw->default_names[d]);
            struct graph_node *after = graph_default_node(pw, (enum audio_direction)d);
            if (before)
                graph_node_tell(before);
            if (after)
                graph_node_tell(after);
        }
    graph_tell_defaults(pw);
    return 0;
}

static const struct pw_metadata_events METADATA_EVENTS = {.version = PW_VERSION_METADATA_EVENTS,
                                                          .property = on_metadata};

static void forget_metadata(struct pipewire *pw) {
    if (!pw->metadata)
        return;
    spa_hook_remove(&pw->metadata_hook);
    spa_hook_remove(&pw->metadata_proxy_hook);
    pw_proxy_destroy(pw->metadata);
    pw->metadata = nullptr;
    memset(pw->default_names, 0, sizeof pw->default_names);
}

/* Without a session manager nothing is connected to anything: all devices are told of anew. */
static void on_metadata_removed(void *arg) {
    forget_metadata(arg);
    graph_tell_all(arg);
}

static const struct pw_proxy_events METADATA_PROXY_EVENTS = {.version = PW_VERSION_PROXY_EVENTS,
                                                             .removed = on_metadata_removed};

static void metadata_add(struct pipewire *pw, uint32_t id) {
    pw->metadata = pw_registry_bind(pw->registry, id, PW_TYPE_INTERFACE_Metadata, PW_VERSION_METADATA, 0);
    if (!pw->metadata)
        return;
    pw_metadata_add_listener((struct pw_metadata *)pw->metadata, &pw->metadata_hook, &METADATA_EVENTS, pw);
    pw_proxy_add_listener(pw->metadata, &pw->metadata_proxy_hook, &METADATA_PROXY_EVENTS, pw);
    graph_tell_all(pw);
}

enum err graph_no_session(const struct pipewire *pw, struct err_info *ret) {
    if (pw->metadata)
        return ERR_OK;
    return err_set(ret, ERR_UNAVAILABLE,
                   "PipeWire runs without a session manager, so no sound can flow: start WirePlumber");
}

static void default_describe(const struct pipewire *pw, enum audio_direction direction, struct news_device *ret) {
    memset(ret, 0, sizeof *ret);
    copy_text(ret->system_name, sizeof ret->system_name, DEFAULT_KEYS[direction]);
    copy_text(ret->display_name, sizeof ret->display_name, DEFAULT_TITLES[direction]);
    ret->kind = ENDPOINT_KIND_DEFAULT;
    ret->direction = direction;
    ret->is_default = true;
    const struct graph_node *node = graph_default_node(pw, direction);
    if (node) {
        ret->format = node->format;
        ret->has_volume = volume_of(node, &ret->volume, &ret->is_muted);
    }
    /* A default input may be what a loudspeaker plays: that is the system's choice where there is no microphone. */
    if (graph_no_session(pw, &ret->failure) == ERR_OK && !pw->default_names[direction][0])
        (void)err_set(&ret->failure, ERR_NOT_FOUND, "this desktop has no %s at present: connect one",
                      direction == AUDIO_INPUT ? "microphone" : "loudspeaker");
}

void graph_tell_defaults(struct pipewire *pw) {
    for (int d = AUDIO_INPUT; d <= AUDIO_OUTPUT; d++) {
        struct news_device now;
        if (!pw->is_watched || !pw->is_listed)
            continue;
        default_describe(pw, (enum audio_direction)d, &now);
        if (pw->is_default_told[d] && memcmp(&now, &pw->default_told[d], sizeof now) == 0)
            continue;
        pw->default_told[d] = now;
        pw->is_default_told[d] = true;
        news_say_device(pw->news, &now);
    }
}

void graph_tell_all(struct pipewire *pw) {
    struct graph_node *node;
    struct line *line;
    list_for_each(node, &pw->nodes, link) graph_node_tell(node);
    list_for_each(line, &pw->lines, link) if (line->kind == LINE_VIRTUAL) virtual_tell(line);
    graph_tell_defaults(pw);
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
    } else if (strcmp(type, PW_TYPE_INTERFACE_Metadata) == 0 && !pw->metadata) {
        const char *name = props ? spa_dict_lookup(props, PW_KEY_METADATA_NAME) : nullptr;
        if (name && strcmp(name, "default") == 0)
            metadata_add(pw, id);
    }
}

static const struct pw_registry_events REGISTRY_EVENTS = {.version = PW_VERSION_REGISTRY_EVENTS, .global = on_global};

void graph_on_done(struct pipewire *pw, int seq) {
    struct graph_node *node;
    while ((node = list_first(&pw->graph_waiting, struct graph_node, waiting_link)) && seq - node->ready_seq >= 0)
        graph_node_is_ready(node);
}

/* Nodes that have come lately are looked at again: a card of which no route has come by then has none, and the session manager
 * has put back the volumes that it remembers. */
static void on_look_timer(void *arg, uint64_t) {
    struct pipewire *pw = arg;
    struct graph_node *node;
    pw->is_look_timer_armed = false;
    list_for_each(node, &pw->nodes, link) if (!graph_node_is_settled(node)) {
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
    forget_metadata(pw);
    for (int d = AUDIO_INPUT; d <= AUDIO_OUTPUT; d++) {
        if (pw->is_default_told[d])
            news_say_gone(pw->news, &pw->default_told[d]);
        pw->is_default_told[d] = false;
    }
    if (pw->look_timer)
        pw_loop_destroy_source(pw->loop, pw->look_timer);
    pw->look_timer = nullptr;
    if (pw->registry) {
        spa_hook_remove(&pw->registry_hook);
        pw_proxy_destroy((struct pw_proxy *)pw->registry);
    }
    pw->registry = nullptr;
}
