/* SPDX-License-Identifier: MPL-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <spa/param/audio/format-utils.h>

#include "audio/pipewire/pipewire_priv.h"

/*
 * One sink or source. The registry tells little of it; it is bound, and told of to the core when the server has answered
 * what was asked of it at first. What a card's owner answers (WirePlumber, for real ones) may come later still.
 */

constexpr size_t SAME_NAME_MAX = 99;

static const struct {
    const char *media_class;
    enum audio_direction direction;
} CLASSES[] = {
    {"Audio/Sink", AUDIO_OUTPUT},
    {"Audio/Duplex", AUDIO_OUTPUT},
    {"Audio/Source", AUDIO_INPUT},
    {"Audio/Source/Virtual", AUDIO_INPUT},
};

/* ---- telling ---- */

static bool is_default(const struct graph_node *node) {
    return strcmp(node->pw->defaults[node->direction].node_name, node->key) == 0;
}

static void describe(const struct graph_node *node, struct news_device *ret) {
    memset(ret, 0, sizeof *ret);
    memcpy(ret->system_name, node->key, sizeof ret->system_name);
    memcpy(ret->display_name, node->description, sizeof ret->display_name);
    ret->kind = ENDPOINT_KIND_DEVICE;
    ret->direction = node->direction;
    ret->format = node->format;
    ret->is_default = is_default(node);
    ret->has_volume = volume_of(node, &ret->volume, &ret->is_muted);
    (void)defaults_no_session(node->pw, &ret->failure);
}

void graph_node_tell(struct graph_node *node) {
    struct news_device now;
    if (!node->pw->is_watched || !node->pw->is_listed || !node->is_ready)
        return;
    if (node->is_ours) {
        struct line *line = virtual_of_node(node);
        if (line)
            virtual_tell(line);
        return;
    }
    describe(node, &now);
    if (node->is_told && memcmp(&now, &node->told, sizeof now) == 0)
        return;
    node->told = now;
    node->is_told = true;
    news_say_device(node->pw->news, &now);
    if (is_default(node))
        defaults_tell(node->pw);
}

bool graph_node_is_settled(const struct graph_node *node) {
    constexpr int LOOKS = 3;
    return node->n_looks >= LOOKS;
}

/* It was there before us, and the session manager had done with it: one that has just come chooses a default after it has put
 * back what it remembers. */
static bool is_old(const struct graph_node *node) {
    return !node->pw->is_listed && node->pw->defaults[node->direction].node_name[0];
}

void graph_node_is_ready(struct graph_node *node) {
    list_remove(&node->waiting_link);
    node->is_ready = true;
    node->is_old = is_old(node);
    graph_look_again(node->pw);
    graph_node_tell(node);
}

/* ---- what the server says of it ---- */

/* The name the core knows it by. PipeWire lets two nodes have one name. */
static bool take_key(struct graph_node *node) {
    struct pipewire *pw = node->pw;
    memcpy(node->key, node->name, sizeof node->key);
    for (size_t i = 2; map_get(&pw->node_keys, node->key) && i <= SAME_NAME_MAX; i++)
        if (snprintf(node->key, sizeof node->key, "%.240s.%zu", node->name, i) < 0)
            break;
    if (!map_get(&pw->node_keys, node->key) && map_put(&pw->node_keys, node->key, node))
        return true;
    memset(node->key, 0, sizeof node->key);
    return false;
}

static int64_t number(const struct spa_dict *props, const char *key) {
    const char *text = spa_dict_lookup(props, key);
    uint32_t value;
    return spa_atou32(text, &value, 10) ? (int64_t)value : -1;
}

static void read_props(struct graph_node *node, const struct spa_dict *props) {
    static const char *const NAMES[] = {PW_KEY_NODE_DESCRIPTION, PW_KEY_NODE_NICK, PW_KEY_NODE_NAME};
    const char *text = nullptr;
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES && (!text || !text[0]); i++)
        text = spa_dict_lookup(props, NAMES[i]);
    copy_text(node->description, sizeof node->description, text);
    node->card_id = number(props, PW_KEY_DEVICE_ID);
    node->card_device = number(props, "card.profile.device");
    const char *instance = spa_dict_lookup(props, "rocd.instance");
    node->is_ours = instance && strcmp(instance, node->pw->instance) == 0;
}

/* Asks once: a subscription for the volume, the formats, and an answer that comes after both. */
static void ask(struct graph_node *node) {
    struct pw_node *proxy = (struct pw_node *)node->proxy;
    node->has_asked = true;
    pw_node_subscribe_params(proxy, (uint32_t[]){SPA_PARAM_Props}, 1);
    pw_node_enum_params(proxy, 0, SPA_PARAM_EnumFormat, 0, UINT32_MAX, nullptr);
    node->ready_seq = connection_sync(node->pw);
    list_append(&node->pw->graph_waiting, &node->waiting_link);
}

/* The session manager gives a node its ports, and in doing so forgets its volume. */
static void ports_changed(struct graph_node *node, uint32_t n_ports) {
    struct line *line = virtual_of_node(node);
    if (line && n_ports > node->n_ports)
        virtual_restore_volume(line);
    node->n_ports = n_ports;
}

static void on_info(void *arg, const struct pw_node_info *info) {
    struct graph_node *node = arg;
    if (info->change_mask & PW_NODE_CHANGE_MASK_STATE)
        node->is_running = info->state == PW_NODE_STATE_RUNNING;
    if (info->change_mask & PW_NODE_CHANGE_MASK_PROPS && info->props)
        read_props(node, info->props);
    if (info->change_mask & (PW_NODE_CHANGE_MASK_INPUT_PORTS | PW_NODE_CHANGE_MASK_OUTPUT_PORTS))
        ports_changed(node, info->n_input_ports + info->n_output_ports);
    if (!node->has_asked)
        ask(node);
    else if (info->change_mask & PW_NODE_CHANGE_MASK_PARAMS && node->format.rate_hz == 0)
        pw_node_enum_params((struct pw_node *)node->proxy, 0, SPA_PARAM_EnumFormat, 0, UINT32_MAX, nullptr);
    volume_changed(node, VOLUME_SOURCE_NONE);
}

/* The value that a choice prefers; a range may be as wide as the numbers go. */
static uint32_t preferred(const struct spa_pod *format, uint32_t key, uint32_t min, uint32_t max) {
    const struct spa_pod_prop *prop = spa_pod_find_prop(format, nullptr, key);
    uint32_t n_values, choice;
    if (!prop)
        return 0;
    const struct spa_pod *values = spa_pod_get_values(&prop->value, &n_values, &choice);
    if (n_values == 0 || values->type != SPA_TYPE_Int || values->size < sizeof(int32_t))
        return 0;
    int32_t value;
    memcpy(&value, SPA_POD_BODY_CONST(values), sizeof value);
    return value < (int64_t)min ? 0 : (uint32_t)value > max ? max : (uint32_t)value;
}

static void on_param(void *arg, int, uint32_t id, uint32_t, uint32_t, const struct spa_pod *param) {
    struct graph_node *node = arg;
    if (!param)
        return;
    if (id == SPA_PARAM_Props) {
        volume_read(&node->props, param);
        volume_changed(node, VOLUME_SOURCE_NODE);
        return;
    }
    uint32_t type, subtype;
    if (id != SPA_PARAM_EnumFormat || node->format.rate_hz != 0 || spa_format_parse(param, &type, &subtype) < 0 ||
        type != SPA_MEDIA_TYPE_audio || subtype != SPA_MEDIA_SUBTYPE_raw)
        return;
    node->format.rate_hz = preferred(param, SPA_FORMAT_AUDIO_rate, 1000, 192'000);
    node->format.n_channels = preferred(param, SPA_FORMAT_AUDIO_channels, 1, VOLUME_CHANNELS_MAX);
    graph_node_tell(node);
}

static const struct pw_node_events NODE_EVENTS = {
    .version = PW_VERSION_NODE_EVENTS, .info = on_info, .param = on_param};

/* ---- life ---- */

static void on_removed(void *arg) {
    graph_node_remove(arg);
}

static const struct pw_proxy_events PROXY_EVENTS = {.version = PW_VERSION_PROXY_EVENTS, .removed = on_removed};

void graph_node_add(struct pipewire *pw, uint32_t id, const char *media_class, const struct spa_dict *props) {
    size_t c = 0;
    while (c < sizeof CLASSES / sizeof *CLASSES && strcmp(media_class, CLASSES[c].media_class) != 0)
        c++;
    const char *name = spa_dict_lookup(props, PW_KEY_NODE_NAME);
    if (c == sizeof CLASSES / sizeof *CLASSES)
        return;
    if (!name || !name[0] || strlen(name) >= NEWS_SYSTEM_NAME_SIZE) {
        log_debug(pw->log, "a device is left out: its name is empty or too long", LOG_UINT("object", id));
        return;
    }
    struct graph_node *node = calloc(1, sizeof *node);
    if (!node || !(node->proxy = pw_registry_bind(pw->registry, id, PW_TYPE_INTERFACE_Node, PW_VERSION_NODE, 0))) {
        free(node);
        return;
    }
    node->pw = pw;
    node->id = id;
    node->direction = CLASSES[c].direction;
    node->card_id = node->card_device = -1;
    copy_text(node->name, sizeof node->name, name);
    const char *serial = spa_dict_lookup(props, PW_KEY_OBJECT_SERIAL);
    if (!spa_atou64(serial, &node->serial, 10))
        node->serial = 0;
    list_append(&pw->nodes, &node->link);
    pw_proxy_add_listener(node->proxy, &node->proxy_hook, &PROXY_EVENTS, node);
    pw_node_add_listener((struct pw_node *)node->proxy, &node->node_hook, &NODE_EVENTS, node);
    if (!take_key(node)) {
        log_warn(pw->log, "a device is left out: too many have its name", LOG_STR("device", node->name));
        graph_node_remove(node);
    }
}

void graph_node_remove(struct graph_node *node) {
    struct pipewire *pw = node->pw;
    char name[NEWS_SYSTEM_NAME_SIZE];
    memcpy(name, node->name, sizeof name);
    list_remove(&node->link);
    list_remove(&node->waiting_link);
    if (node->key[0])
        (void)map_remove(&pw->node_keys, node->key);
    spa_hook_remove(&node->proxy_hook);
    spa_hook_remove(&node->node_hook);
    pw_proxy_destroy(node->proxy);
    if (node->is_told) {
        (void)err_set(&node->told.failure, ERR_NOT_FOUND, "%s",
                      pw->is_listed ? "the device was unplugged or removed" : "PipeWire has ended");
        news_say_gone(pw->news, &node->told);
    }
    free(node);
    graph_look_again(pw);
    virtual_on_name_free(pw, name);
    defaults_tell(pw);
}
