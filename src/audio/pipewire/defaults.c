/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <string.h>

#include <spa/utils/json.h>

#include "audio/pipewire/pipewire_priv.h"

/*
 * The system's choice of a loudspeaker and a microphone, and the two endpoints that follow it. The session manager says it in the
 * properties of an object called "default".
 *
 * A change of them may never be told: while any program that has come to ask for them waits for its answer, PipeWire tells of no
 * change to anybody who has had his (module-metadata, `pending`). So they are asked for anew a second after each thing that may
 * have changed them: defaults_look().
 */

static const char *const SYSTEM_NAMES[] = {[AUDIO_INPUT] = "default.input", [AUDIO_OUTPUT] = "default.output"};
static const char *const TITLES[] = {[AUDIO_INPUT] = "Default input", [AUDIO_OUTPUT] = "Default output"};
static const char *const PROPERTIES[] = {[AUDIO_INPUT] = "default.audio.source", [AUDIO_OUTPUT] = "default.audio.sink"};

bool defaults_find(const char *system_name, enum audio_direction *ret) {
    for (int d = AUDIO_INPUT; d <= AUDIO_OUTPUT; d++)
        if (strcmp(system_name, SYSTEM_NAMES[d]) == 0) {
            *ret = (enum audio_direction)d;
            return true;
        }
    return false;
}

struct graph_node *defaults_node(const struct pipewire *pw, enum audio_direction direction) {
    const char *name = pw->defaults[direction].node_name;
    return name[0] ? graph_find(pw, name) : nullptr;
}

enum err defaults_no_session(const struct pipewire *pw, struct err_info *ret) {
    if (pw->metadata)
        return ERR_OK;
    return err_set(ret, ERR_UNAVAILABLE,
                   "PipeWire runs without a session manager, so no sound can flow: start WirePlumber");
}

/* ---- telling ---- */

static void describe(const struct pipewire *pw, enum audio_direction direction, struct news_device *ret) {
    memset(ret, 0, sizeof *ret);
    copy_text(ret->system_name, sizeof ret->system_name, SYSTEM_NAMES[direction]);
    copy_text(ret->display_name, sizeof ret->display_name, TITLES[direction]);
    ret->kind = ENDPOINT_KIND_DEFAULT;
    ret->direction = direction;
    ret->is_default = true;
    const struct graph_node *node = defaults_node(pw, direction);
    if (node) {
        copy_text(ret->follows, sizeof ret->follows, node->key);
        ret->format = node->format;
        ret->has_volume = volume_of(node, &ret->volume, &ret->is_muted);
    }
    /* A default input may be what a loudspeaker plays: that is the system's choice where there is no microphone. */
    if (defaults_no_session(pw, &ret->failure) == ERR_OK && !pw->defaults[direction].node_name[0])
        (void)err_set(&ret->failure, ERR_NOT_FOUND, "this desktop has no %s at present: connect one",
                      direction == AUDIO_INPUT ? "microphone" : "loudspeaker");
}

void defaults_tell(struct pipewire *pw) {
    for (int d = AUDIO_INPUT; d <= AUDIO_OUTPUT; d++) {
        struct default_device *device = &pw->defaults[d];
        struct news_device now;
        if (!pw->is_watched || !pw->is_listed)
            continue;
        describe(pw, (enum audio_direction)d, &now);
        if (device->is_told && memcmp(&now, &device->told, sizeof now) == 0)
            continue;
        device->told = now;
        device->is_told = true;
        news_say_device(pw->news, &now);
    }
}

/* ---- what the session manager says ---- */

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

static void choose(struct pipewire *pw, enum audio_direction direction, const char *json) {
    struct default_device *device = &pw->defaults[direction];
    char name[sizeof device->node_name];
    device->is_said = true;
    read_name(json, name, sizeof name);
    if (strcmp(name, device->node_name) == 0)
        return;
    struct graph_node *before = defaults_node(pw, direction);
    memcpy(device->node_name, name, sizeof name);
    struct graph_node *after = defaults_node(pw, direction);
    if (before)
        graph_node_tell(before);
    if (after)
        graph_node_tell(after);
    defaults_tell(pw);
}

static int on_property(void *arg, uint32_t subject, const char *key, const char *, const char *value) {
    struct pipewire *pw = arg;
    if (subject != PW_ID_CORE)
        return 0;
    for (int d = AUDIO_INPUT; d <= AUDIO_OUTPUT; d++)
        if (!key || strcmp(key, PROPERTIES[d]) == 0)
            choose(pw, (enum audio_direction)d, key ? value : nullptr);
    if (!pw->is_asking_defaults) /* something has changed, and more may follow */
        graph_look_again(pw);
    return 0;
}

static const struct pw_metadata_events METADATA_EVENTS = {.version = PW_VERSION_METADATA_EVENTS,
                                                          .property = on_property};

static void release(struct pipewire *pw) {
    spa_hook_remove(&pw->metadata_hook);
    spa_hook_remove(&pw->metadata_proxy_hook);
    pw_proxy_destroy(pw->metadata);
    pw->metadata = nullptr;
    pw->is_asking_defaults = false;
}

static void forget(struct pipewire *pw) {
    if (!pw->metadata)
        return;
    release(pw);
    for (int d = AUDIO_INPUT; d <= AUDIO_OUTPUT; d++)
        memset(pw->defaults[d].node_name, 0, sizeof pw->defaults[d].node_name);
}

/* Without a session manager nothing is connected to anything: all devices are told of anew. */
static void on_removed(void *arg) {
    forget(arg);
    graph_tell_all(arg);
}

static const struct pw_proxy_events PROXY_EVENTS = {.version = PW_VERSION_PROXY_EVENTS, .removed = on_removed};

/* All properties are told to whoever comes, and before the server answers what it is asked afterwards. */
static void ask(struct pipewire *pw) {
    pw->metadata = pw_registry_bind(pw->registry, pw->metadata_id, PW_TYPE_INTERFACE_Metadata, PW_VERSION_METADATA, 0);
    if (!pw->metadata)
        return;
    pw_metadata_add_listener((struct pw_metadata *)pw->metadata, &pw->metadata_hook, &METADATA_EVENTS, pw);
    pw_proxy_add_listener(pw->metadata, &pw->metadata_proxy_hook, &PROXY_EVENTS, pw);
    for (int d = AUDIO_INPUT; d <= AUDIO_OUTPUT; d++)
        pw->defaults[d].is_said = false;
    pw->is_asking_defaults = true;
    pw->defaults_seq = connection_sync(pw);
}

void defaults_metadata_add(struct pipewire *pw, uint32_t id, const struct spa_dict *props) {
    const char *name = props ? spa_dict_lookup(props, PW_KEY_METADATA_NAME) : nullptr;
    if (pw->metadata || !name || strcmp(name, "default") != 0)
        return;
    pw->metadata_id = id;
    ask(pw);
    graph_tell_all(pw);
}

void defaults_look(struct pipewire *pw) {
    if (!pw->metadata || pw->is_asking_defaults)
        return;
    release(pw);
    ask(pw);
    if (!pw->metadata)
        forget(pw);
}

void defaults_on_done(struct pipewire *pw, int seq) {
    if (!pw->is_asking_defaults || seq - pw->defaults_seq < 0)
        return;
    pw->is_asking_defaults = false;
    for (int d = AUDIO_INPUT; d <= AUDIO_OUTPUT; d++)
        if (!pw->defaults[d].is_said)
            choose(pw, (enum audio_direction)d, nullptr);
}

void defaults_stop(struct pipewire *pw) {
    forget(pw);
    for (int d = AUDIO_INPUT; d <= AUDIO_OUTPUT; d++) {
        if (pw->defaults[d].is_told)
            news_say_gone(pw->news, &pw->defaults[d].told);
        pw->defaults[d].is_told = false;
    }
}
