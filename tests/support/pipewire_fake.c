/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pipewire/extensions/metadata.h>
#include <pipewire/impl.h>
#include <pipewire/pipewire.h>
#include <spa/monitor/device.h>
#include <spa/monitor/utils.h>
#include <spa/param/audio/raw.h>
#include <spa/param/profile.h>
#include <spa/param/props.h>
#include <spa/param/route.h>
#include <spa/pod/builder.h>
#include <spa/pod/iter.h>
#include <spa/pod/parser.h>

/*
 * Hardware and programs that do not exist, for tests with a private PipeWire (support/pipewire.py):
 *   pipewire-fake card NAME    a sound card with two routes, loudspeaker and headphones, and one sink whose volume they hold, as
 *                              WirePlumber exports a real one; what is set is printed: "route 0 volume 0.125 0.125 mute 0"
 *   pipewire-fake crowd        devices by the hundred: "up N" makes N, "down" takes them away; each is answered by its line
 *   pipewire-fake properties   a program that sets properties of the session manager: it says "here" when it has asked
 *                              for them; "set KEY VALUE" is answered by its line once the server has it
 *   pipewire-fake session      a session manager that has just come: it has chosen nothing yet, and does nothing
 * It ends, and what it made is unplugged, when its standard input does.
 */

constexpr uint32_t N_CHANNELS = 2;
constexpr int CROWD_MAX = 4096;

struct route {
    const char *name, *title;
    float linear[N_CHANNELS];
    bool is_muted, is_kept;
};

struct fake {
    struct pw_main_loop *main_loop;
    struct pw_loop *loop;
    struct pw_core *core;
    const char *name;

    struct spa_device device; /* the card */
    struct spa_hook_list hooks;
    struct spa_device_info info;
    struct spa_param_info params[4];
    struct spa_dict_item items[6];
    struct spa_dict dict;
    int profile, active;
    struct route routes[2];
    struct pw_proxy *device_proxy, *node;
    struct spa_hook device_hook;

    struct pw_registry *registry;
    struct spa_hook registry_hook;
    struct pw_proxy *metadata;
    struct pw_impl_metadata *choices; /* of the session manager; the context ends it */

    struct pw_proxy *crowd[CROWD_MAX];
    int n_crowd;
    struct spa_hook core_hook;
    int sync_seq;
    char answer[64];

    char line[256];
    size_t len;
};

enum { PARAM_ENUM_PROFILE, PARAM_PROFILE, PARAM_ENUM_ROUTE, PARAM_ROUTE };

/* ---- the card: what it says ---- */

static struct spa_pod *build_profile(struct spa_pod_builder *b, uint32_t id, int i) {
    struct spa_pod_frame outer, classes;
    const int32_t devices[] = {0};
    spa_pod_builder_push_object(b, &outer, SPA_TYPE_OBJECT_ParamProfile, id);
    spa_pod_builder_add(b, SPA_PARAM_PROFILE_index, SPA_POD_Int(i), SPA_PARAM_PROFILE_name,
                        SPA_POD_String(i ? "output:stereo" : "off"), SPA_PARAM_PROFILE_description,
                        SPA_POD_String(i ? "Stereo Output" : "Off"), SPA_PARAM_PROFILE_priority, SPA_POD_Int(i * 100),
                        SPA_PARAM_PROFILE_available, SPA_POD_Id(SPA_PARAM_AVAILABILITY_yes), 0);
    spa_pod_builder_prop(b, SPA_PARAM_PROFILE_classes, 0); /* without it WirePlumber restores no routes */
    spa_pod_builder_push_struct(b, &classes);
    spa_pod_builder_add(b, SPA_POD_Int(i), nullptr);
    if (i)
        spa_pod_builder_add_struct(b, SPA_POD_String("Audio/Sink"), SPA_POD_Int(1),
                                   SPA_POD_String("card.profile.devices"),
                                   SPA_POD_Array(sizeof(int32_t), SPA_TYPE_Int, 1, devices));
    spa_pod_builder_pop(b, &classes);
    return spa_pod_builder_pop(b, &outer);
}

static struct spa_pod *build_route(const struct fake *f, struct spa_pod_builder *b, uint32_t id, int i) {
    static const uint32_t MAP[] = {SPA_AUDIO_CHANNEL_FL, SPA_AUDIO_CHANNEL_FR};
    static const int32_t PROFILES[] = {1}, DEVICES[] = {0};
    struct spa_pod_frame outer, props;
    const struct route *r = &f->routes[i];
    spa_pod_builder_push_object(b, &outer, SPA_TYPE_OBJECT_ParamRoute, id);
    spa_pod_builder_add(b, SPA_PARAM_ROUTE_index, SPA_POD_Int(i), SPA_PARAM_ROUTE_direction,
                        SPA_POD_Id(SPA_DIRECTION_OUTPUT), SPA_PARAM_ROUTE_name, SPA_POD_String(r->name),
                        SPA_PARAM_ROUTE_description, SPA_POD_String(r->title), SPA_PARAM_ROUTE_priority,
                        SPA_POD_Int(100 - i), SPA_PARAM_ROUTE_available,
                        SPA_POD_Id(i ? SPA_PARAM_AVAILABILITY_no : SPA_PARAM_AVAILABILITY_unknown),
                        SPA_PARAM_ROUTE_profiles, SPA_POD_Array(sizeof(int32_t), SPA_TYPE_Int, 1, PROFILES),
                        SPA_PARAM_ROUTE_devices, SPA_POD_Array(sizeof(int32_t), SPA_TYPE_Int, 1, DEVICES), 0);
    if (id == SPA_PARAM_Route) {
        spa_pod_builder_add(b, SPA_PARAM_ROUTE_device, SPA_POD_Int(0), SPA_PARAM_ROUTE_profile, SPA_POD_Int(1),
                            SPA_PARAM_ROUTE_save, SPA_POD_Bool(r->is_kept), 0);
        spa_pod_builder_prop(b, SPA_PARAM_ROUTE_props, 0);
        spa_pod_builder_push_object(b, &props, SPA_TYPE_OBJECT_Props, id);
        spa_pod_builder_add(b, SPA_PROP_mute, SPA_POD_Bool(r->is_muted), SPA_PROP_channelVolumes,
                            SPA_POD_Array(sizeof(float), SPA_TYPE_Float, N_CHANNELS, r->linear), SPA_PROP_channelMap,
                            SPA_POD_Array(sizeof(uint32_t), SPA_TYPE_Id, N_CHANNELS, MAP), 0);
        spa_pod_builder_pop(b, &props);
    }
    return spa_pod_builder_pop(b, &outer);
}

static struct spa_pod *build_param(const struct fake *f, struct spa_pod_builder *b, uint32_t id, uint32_t i) {
    if (id == SPA_PARAM_EnumProfile)
        return build_profile(b, id, (int)i);
    if (id == SPA_PARAM_EnumRoute)
        return build_route(f, b, id, (int)i);
    if (id == SPA_PARAM_Profile && i == 0)
        return build_profile(b, id, f->profile);
    if (id == SPA_PARAM_Route && i == 0 && f->profile)
        return build_route(f, b, id, f->active);
    return nullptr;
}

static int card_enum_params(void *object, int seq, uint32_t id, uint32_t start, uint32_t, const struct spa_pod *) {
    struct fake *f = object;
    for (uint32_t i = start; i < 2; i++) {
        uint8_t room[2048];
        struct spa_pod_builder b = SPA_POD_BUILDER_INIT(room, sizeof room);
        struct spa_result_device_params result = {
            .id = id, .index = i, .next = i + 1, .param = build_param(f, &b, id, i)};
        if (!result.param)
            break;
        spa_device_emit_result(&f->hooks, seq, 0, SPA_RESULT_TYPE_DEVICE_PARAMS, &result);
    }
    return 0;
}

static void card_changed(struct fake *f, int param) {
    f->info.change_mask = SPA_DEVICE_CHANGE_MASK_PARAMS;
    f->params[param].flags ^= SPA_PARAM_INFO_SERIAL;
    spa_device_emit_info(&f->hooks, &f->info);
}

/* ---- the card: what it is told ---- */

static void take_props(struct route *r, const struct spa_pod *props) {
    const struct spa_pod_prop *mute = spa_pod_find_prop(props, nullptr, SPA_PROP_mute);
    const struct spa_pod_prop *linear = spa_pod_find_prop(props, nullptr, SPA_PROP_channelVolumes);
    if (mute)
        spa_pod_get_bool(&mute->value, &r->is_muted);
    if (linear && spa_pod_copy_array(&linear->value, SPA_TYPE_Float, r->linear, N_CHANNELS) == 1)
        r->linear[1] = r->linear[0];
}

static int card_set_param(void *object, uint32_t id, uint32_t, const struct spa_pod *param) {
    struct fake *f = object;
    int32_t index = -1;
    bool is_kept = false;
    struct spa_pod *props = nullptr;
    if (id == SPA_PARAM_Profile && param) {
        spa_pod_parse_object(param, SPA_TYPE_OBJECT_ParamProfile, nullptr, SPA_PARAM_PROFILE_index,
                             SPA_POD_Int(&index));
        f->profile = index;
        card_changed(f, PARAM_PROFILE);
        card_changed(f, PARAM_ROUTE);
        return 0;
    }
    if (id != SPA_PARAM_Route || !param)
        return -ENOENT;
    spa_pod_parse_object(param, SPA_TYPE_OBJECT_ParamRoute, nullptr, SPA_PARAM_ROUTE_index, SPA_POD_Int(&index),
                         SPA_PARAM_ROUTE_save, SPA_POD_OPT_Bool(&is_kept), SPA_PARAM_ROUTE_props,
                         SPA_POD_OPT_Pod(&props));
    if (index < 0 || index > 1)
        return -EINVAL;
    struct route *r = &f->routes[index];
    f->active = index;
    r->is_kept = is_kept;
    if (props)
        take_props(r, props);
    printf("route %d volume %g %g mute %d\n", index, (double)r->linear[0], (double)r->linear[1], r->is_muted);
    fflush(stdout);
    card_changed(f, PARAM_ROUTE);
    return 0;
}

static int card_add_listener(void *object, struct spa_hook *listener, const struct spa_device_events *events,
                             void *data) {
    struct fake *f = object;
    struct spa_hook_list save;
    spa_hook_list_isolate(&f->hooks, &save, listener, events, data);
    f->info.change_mask = SPA_DEVICE_CHANGE_MASK_PROPS | SPA_DEVICE_CHANGE_MASK_PARAMS;
    spa_device_emit_info(&f->hooks, &f->info);
    spa_hook_list_join(&f->hooks, &save);
    return 0;
}

static int card_sync(void *object, int seq) {
    spa_device_emit_result(&((struct fake *)object)->hooks, seq, 0, 0, nullptr);
    return 0;
}

static const struct spa_device_methods CARD_METHODS = {.version = SPA_VERSION_DEVICE_METHODS,
                                                       .add_listener = card_add_listener,
                                                       .sync = card_sync,
                                                       .enum_params = card_enum_params,
                                                       .set_param = card_set_param};

/* ---- the card: its life ---- */

static void on_bound(void *arg, uint32_t id, const struct spa_dict *) {
    struct fake *f = arg;
    if (f->node)
        return;
    struct pw_properties *p =
        pw_properties_new("factory.name", "support.null-audio-sink", PW_KEY_NODE_DESCRIPTION, "Fake Card Stereo",
                          PW_KEY_MEDIA_CLASS, "Audio/Sink", "audio.position", "FL,FR", "card.profile.device", "0",
                          "device.routes", "2", "priority.session", "1009", nullptr);
    pw_properties_setf(p, PW_KEY_NODE_NAME, "alsa_output.%s.stereo", f->name);
    pw_properties_setf(p, PW_KEY_DEVICE_ID, "%u", id);
    f->node = pw_core_create_object(f->core, "adapter", PW_TYPE_INTERFACE_Node, PW_VERSION_NODE, &p->dict, 0);
    pw_properties_free(p);
}

static const struct pw_proxy_events DEVICE_EVENTS = {.version = PW_VERSION_PROXY_EVENTS, .bound_props = on_bound};

static bool start_card(struct fake *f) {
    static const uint32_t IDS[] = {SPA_PARAM_EnumProfile, SPA_PARAM_Profile, SPA_PARAM_EnumRoute, SPA_PARAM_Route};
    static char device_name[96];
    snprintf(device_name, sizeof device_name, "alsa_card.%s", f->name);
    f->profile = 1;
    f->routes[0] = (struct route){.name = "analog-output-speaker", .title = "Speaker", .linear = {0.064f, 0.064f}};
    f->routes[1] = (struct route){.name = "analog-output-headphones", .title = "Headphones", .linear = {0.3f, 0.3f}};
    f->items[0] = SPA_DICT_ITEM_INIT(PW_KEY_DEVICE_NAME, device_name);
    f->items[1] = SPA_DICT_ITEM_INIT(PW_KEY_DEVICE_DESCRIPTION, "Fake Card");
    f->items[2] = SPA_DICT_ITEM_INIT(PW_KEY_DEVICE_API, "alsa");
    f->items[3] = SPA_DICT_ITEM_INIT(PW_KEY_MEDIA_CLASS, "Audio/Device");
    f->dict = SPA_DICT_INIT(f->items, 4);
    for (int i = 0; i < 4; i++)
        f->params[i] = SPA_PARAM_INFO(IDS[i], i & 1 ? SPA_PARAM_INFO_READWRITE : SPA_PARAM_INFO_READ);
    f->info = SPA_DEVICE_INFO_INIT();
    f->info.props = &f->dict;
    f->info.params = f->params;
    f->info.n_params = 4;
    spa_hook_list_init(&f->hooks);
    f->device.iface = SPA_INTERFACE_INIT(SPA_TYPE_INTERFACE_Device, SPA_VERSION_DEVICE, &CARD_METHODS, f);
    f->device_proxy = pw_core_export(f->core, SPA_TYPE_INTERFACE_Device, &f->dict, &f->device, 0);
    if (f->device_proxy)
        pw_proxy_add_listener(f->device_proxy, &f->device_hook, &DEVICE_EVENTS, f);
    return f->device_proxy != nullptr;
}

/* ---- the crowd ---- */

/* Nodes that are called sinks and can do nothing: they cost the server little. */
static void crowd_up(struct fake *f, int n) {
    for (int i = 0; i < n && f->n_crowd < CROWD_MAX; i++) {
        struct pw_properties *p =
            pw_properties_new("factory.name", "support.node.driver", PW_KEY_MEDIA_CLASS, "Audio/Sink", nullptr);
        pw_properties_setf(p, PW_KEY_NODE_NAME, "crowd-%d", f->n_crowd);
        pw_properties_setf(p, PW_KEY_NODE_DESCRIPTION, "One of many, %d", f->n_crowd);
        f->crowd[f->n_crowd++] =
            pw_core_create_object(f->core, "spa-node-factory", PW_TYPE_INTERFACE_Node, PW_VERSION_NODE, &p->dict, 0);
        pw_properties_free(p);
    }
}

static void crowd_down(struct fake *f) {
    while (f->n_crowd > 0)
        pw_core_destroy(f->core, f->crowd[--f->n_crowd]);
}

static void on_done(void *arg, uint32_t, int seq) {
    struct fake *f = arg;
    if (seq == f->sync_seq && f->answer[0]) {
        printf("%s\n", f->answer);
        fflush(stdout);
    }
}

static const struct pw_core_events CORE_EVENTS = {.version = PW_VERSION_CORE_EVENTS, .done = on_done};

/* ---- properties ---- */

static void on_global(void *arg, uint32_t id, uint32_t, const char *type, uint32_t, const struct spa_dict *props) {
    struct fake *f = arg;
    const char *name = props ? spa_dict_lookup(props, PW_KEY_METADATA_NAME) : nullptr;
    if (strcmp(type, PW_TYPE_INTERFACE_Metadata) == 0 && name && strcmp(name, "default") == 0 && !f->metadata) {
        f->metadata = pw_registry_bind(f->registry, id, type, PW_VERSION_METADATA, 0);
        puts("here");
        fflush(stdout);
    }
}

static const struct pw_registry_events REGISTRY_EVENTS = {.version = PW_VERSION_REGISTRY_EVENTS, .global = on_global};

static bool start_properties(struct fake *f) {
    f->registry = pw_core_get_registry(f->core, PW_VERSION_REGISTRY, 0);
    if (f->registry)
        pw_registry_add_listener(f->registry, &f->registry_hook, &REGISTRY_EVENTS, f);
    return f->registry != nullptr;
}

static void set_property(struct fake *f, char *words) {
    char *value = strchr(words, ' ');
    if (!value || !f->metadata)
        return;
    *value++ = '\0';
    pw_metadata_set_property((struct pw_metadata *)f->metadata, PW_ID_CORE, words, "Spa:String:JSON", value);
}

/* ---- the session manager ---- */

static bool start_session(struct fake *f, struct pw_context *context) {
    f->choices = pw_context_create_metadata(context, "default", nullptr, 0);
    return f->choices && pw_core_export(f->core, PW_TYPE_INTERFACE_Metadata, nullptr,
                                        pw_impl_metadata_get_implementation(f->choices), 0);
}

/* ---- the program ---- */

static void run_line(struct fake *f) {
    if (strncmp(f->line, "up ", 3) == 0)
        crowd_up(f, (int)strtol(f->line + 3, nullptr, 10));
    else if (strcmp(f->line, "down") == 0)
        crowd_down(f);
    snprintf(f->answer, sizeof f->answer, "%.63s", f->line);
    if (strncmp(f->line, "set ", 4) == 0)
        set_property(f, f->line + 4);
    f->sync_seq = pw_core_sync(f->core, PW_ID_CORE, 0);
}

static void on_stdin(void *arg, int fd, uint32_t) {
    struct fake *f = arg;
    char c;
    if (read(fd, &c, 1) != 1) {
        pw_main_loop_quit(f->main_loop);
    } else if (c != '\n') {
        if (f->len + 1 < sizeof f->line)
            f->line[f->len++] = c;
    } else {
        f->line[f->len] = '\0';
        f->len = 0;
        run_line(f);
    }
}

int main(int argc, char **argv) {
    static struct fake f;
    if (argc < 2 || (strcmp(argv[1], "card") == 0 && argc < 3))
        return 2;
    f.name = argv[argc - 1];
    pw_init(nullptr, nullptr);
    f.main_loop = pw_main_loop_new(nullptr);
    f.loop = pw_main_loop_get_loop(f.main_loop);
    struct pw_context *context = pw_context_new(f.loop, nullptr, 0);
    f.core = context ? pw_context_connect(context, nullptr, 0) : nullptr;
    if (!f.core || (strcmp(argv[1], "card") == 0 && !start_card(&f)) ||
        (strcmp(argv[1], "properties") == 0 && !start_properties(&f)) ||
        (strcmp(argv[1], "session") == 0 && !start_session(&f, context))) {
        perror("pipewire-fake");
        return 1;
    }
    pw_core_add_listener(f.core, &f.core_hook, &CORE_EVENTS, &f);
    pw_loop_add_io(f.loop, STDIN_FILENO, SPA_IO_IN | SPA_IO_HUP, false, on_stdin, &f);
    pw_main_loop_run(f.main_loop);
    pw_core_disconnect(f.core);
    pw_context_destroy(context);
    pw_main_loop_destroy(f.main_loop);
    pw_deinit();
    return 0;
}
