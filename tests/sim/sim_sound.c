/* SPDX-License-Identifier: MPL-2.0 */
#include "sim/sim_sound.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/loop.h"
#include "model_gen.h"

constexpr uint16_t MEDIA_PORT = 4042;

/* What the program knows as an engine and as a port is the sound of its instance. */
static struct sim_sound *of_engine(struct engine *engine) {
    return (struct sim_sound *)engine;
}

static struct sim_sound *of_port(const struct media_port *port) {
    return (struct sim_sound *)(uintptr_t)port;
}

struct engine *sim_sound_engine(struct sim_sound *sound) {
    return (struct engine *)sound;
}

struct media_port *sim_sound_port(struct sim_sound *sound) {
    return (struct media_port *)sound;
}

[[noreturn]] static void give_up(const char *why) {
    fprintf(stderr, "the simulated sound: %s\n", why);
    abort();
}

/* ---- drivers ---- */

struct sim_stream {
    struct audio_stream stream; /* first member */
    struct sim_sound *sound;
};

static enum audio_state stream_state(const struct audio_stream *) {
    return AUDIO_RUNNING;
}

static void stream_close(struct audio_stream *stream) {
    if (!stream)
        return;
    ((struct sim_stream *)stream)->sound->open_streams--;
    free(stream);
}

static enum audio_direction direction_of(const struct endpoint_spec *spec) {
    if (spec->kind == ENDPOINT_KIND_NULL)
        return spec->null.direction == NULL_DIRECTION_INPUT ? AUDIO_INPUT : AUDIO_OUTPUT;
    return AUDIO_INPUT;
}

static enum err open_stream(struct audio_driver_state *, const struct audio_host *host, const struct audio_endpoint *,
                            struct audio_stream **ret, struct err_info *) {
    static const struct audio_stream_ops OPS = {.state = stream_state, .close = stream_close};
    struct sim_stream *stream = calloc(1, sizeof *stream);
    stream->stream = (struct audio_stream){.ops = &OPS, .format = {48000, 2}};
    stream->sound = container_of((struct audio_host *)(uintptr_t)host, struct sim_sound, host);
    stream->sound->open_streams++;
    *ret = &stream->stream;
    return ERR_OK;
}

static enum err make_state(const struct audio_host *host, struct audio_driver_state **ret, struct err_info *) {
    *ret = (struct audio_driver_state *)container_of((struct audio_host *)(uintptr_t)host, struct sim_sound, host);
    return ERR_OK;
}

static void forget_state(struct audio_driver_state *) {
}

static void watch(struct audio_driver_state *state, const struct audio_watcher *watcher, void *arg) {
    struct sim_sound *sound = (struct sim_sound *)state;
    sound->watcher = watcher;
    sound->watcher_arg = arg;
}

static void tell_exposed(void *arg) {
    struct sim_sound *sound = arg;
    if (!sound->speaker[0])
        return;
    const struct audio_device device = {.uid = sound->speaker,
                                        .system_name = "speaker",
                                        .display_name = "Speaker",
                                        .kind = ENDPOINT_KIND_VIRTUAL_SPEAKER,
                                        .direction = AUDIO_INPUT,
                                        .format = {48000, 2}};
    sound->watcher->device(sound->watcher_arg, &device);
}

static void expose(struct audio_driver_state *state, const struct audio_endpoint *endpoint) {
    struct sim_sound *sound = (struct sim_sound *)state;
    snprintf(sound->speaker, sizeof sound->speaker, "%s", endpoint->uid);
    (void)!loop_post(sound->loop, tell_exposed, sound);
}

static void withdraw(struct audio_driver_state *state, const char *) {
    ((struct sim_sound *)state)->speaker[0] = '\0';
}

static const struct audio_driver TONE = {.name = "tone",
                                         .summary = "always there",
                                         .kinds = 1u << ENDPOINT_KIND_TONE | 1u << ENDPOINT_KIND_NULL |
                                                  1u << ENDPOINT_KIND_VIRTUAL_SPEAKER,
                                         .create = make_state,
                                         .destroy = forget_state,
                                         .direction = direction_of,
                                         .open = open_stream,
                                         .watch = watch,
                                         .expose = expose,
                                         .withdraw = withdraw};

const struct audio_driver *const audio_drivers[] = {&TONE, nullptr};

const struct audio_driver *audio_driver_for_kind(int endpoint_kind) {
    return TONE.kinds & 1u << endpoint_kind ? &TONE : nullptr;
}

const struct audio_driver *audio_driver_by_name(const char *name) {
    return strcmp(name, TONE.name) == 0 ? &TONE : nullptr;
}

/* ---- paths ---- */

static void path_close(struct path *path) {
    struct sim_path *p = (struct sim_path *)path;
    if (!p)
        return;
    if (p->is_sealed)
        media_port_release_link(p->sealed.port, p->sealed.own_link);
    if (p->twin)
        p->twin->twin = nullptr;
    if (p->sound)
        p->sound->open_paths--;
    free(p);
}

static struct sim_path *path_create(struct sim_sound *sound) {
    static const struct path_ops OPS = {.close = path_close};
    struct sim_path *p = calloc(1, sizeof *p);
    p->path.ops = &OPS;
    p->sound = sound;
    if (sound)
        sound->open_paths++;
    return p;
}

enum err path_memory_open(struct path **ret_sender, struct path **ret_receiver, struct err_info *) {
    struct sim_path *sender = path_create(nullptr), *receiver = path_create(nullptr);
    sender->twin = receiver;
    receiver->twin = sender;
    *ret_sender = &sender->path;
    *ret_receiver = &receiver->path;
    return ERR_OK;
}

/* External streams have no other side here: their packets go nowhere. */
enum err path_udp_open_sender(const struct path_udp_config *, struct path **ret, struct err_info *) {
    *ret = &path_create(nullptr)->path;
    return ERR_OK;
}

enum err path_udp_open_receiver(const struct path_udp_config *, struct path **ret, struct err_info *) {
    *ret = &path_create(nullptr)->path;
    return ERR_OK;
}

/* ---- the media port ---- */

uint16_t media_port_number(const struct media_port *) {
    return MEDIA_PORT;
}

uint32_t media_port_reserve_link(struct media_port *port) {
    struct sim_sound *sound = of_port(port);
    for (size_t i = 0; i < SIM_LINKS_MAX; i++) {
        if (sound->reserved[i])
            continue;
        crypto_random(&sound->reserved[i], sizeof sound->reserved[i]);
        sound->reserved[i] |= 1;
        return sound->reserved[i];
    }
    return 0;
}

void media_port_release_link(struct media_port *port, uint32_t link) {
    struct sim_sound *sound = of_port(port);
    for (size_t i = 0; i < SIM_LINKS_MAX; i++)
        if (sound->reserved[i] == link)
            sound->reserved[i] = 0;
}

enum err path_sealed_open(const struct path_sealed_config *config, struct path **ret, struct err_info *) {
    struct sim_path *p = path_create(of_port(config->port));
    p->is_sealed = true;
    p->is_answered = config->sending;
    p->sealed = *config;
    *ret = &p->path;
    return ERR_OK;
}

void path_sealed_answer(struct path *path, uint32_t other_link, const struct seal_keys *keys) {
    struct sim_path *p = (struct sim_path *)path;
    if (!p->is_sealed || p->is_answered)
        give_up("a path was answered twice, or is none that can be");
    p->is_answered = true;
    p->sealed.other_link = other_link;
    p->sealed.keys = *keys;
}

/* ---- the engine ---- */

enum err engine_add_node_take(struct engine *engine, struct audio_stream *stream, enum audio_direction direction,
                              uint32_t *ret_node, struct err_info *) {
    struct sim_sound *sound = of_engine(engine);
    for (uint32_t i = 0; i < SIM_NODES_MAX; i++) {
        if (sound->nodes[i].is_open)
            continue;
        sound->nodes[i] = (struct sim_node){.is_open = true, .direction = direction, .stream = stream};
        *ret_node = i + 1;
        return ERR_OK;
    }
    give_up("too many nodes");
}

void engine_remove_node(struct engine *engine, uint32_t node, void (*done)(void *arg), void *arg) {
    struct sim_sound *sound = of_engine(engine);
    struct sim_node *n = &sound->nodes[node - 1];
    for (size_t i = 0; i < SIM_LINKS_MAX; i++)
        if (sound->links[i].is_open && sound->links[i].node == node)
            give_up("a node was removed before its links");
    n->is_open = false;
    n->stream->ops->close(n->stream);
    if (done)
        (void)!loop_post(sound->loop, done, arg);
}

bool engine_node_status(struct engine *engine, uint32_t node, struct engine_node_status *ret) {
    const struct sim_sound *sound = of_engine(engine);
    *ret = (struct engine_node_status){.position_frames = -1, .stands_still = sound->is_idle};
    return node > 0 && sound->nodes[node - 1].is_open;
}

static struct sim_link *find_link(struct sim_sound *sound, uint32_t id) {
    for (size_t i = 0; id && i < SIM_LINKS_MAX; i++)
        if (sound->links[i].is_open && sound->links[i].id == id)
            return &sound->links[i];
    return nullptr;
}

static void tell(struct sim_sound *sound, const struct sim_link *link, enum engine_event_kind kind) {
    const struct engine_event event = {.kind = kind, .node = link->node, .link = link->id};
    sound->on_event(sound->arg, &event);
}

struct link_job {
    struct sim_sound *sound;
    uint32_t id;
};

static void on_link_up(void *arg) {
    struct link_job job = *(struct link_job *)arg;
    free(arg);
    struct sim_link *link = find_link(job.sound, job.id);
    if (!link)
        return; /* removed before: no callback */
    link->is_up = true;
    link->done(link->arg, link->id, ERR_OK, nullptr);
    link = find_link(job.sound, job.id);
    if (link && !link->config.receiving)
        tell(job.sound, link, ENGINE_LINK_STARTED);
}

uint32_t engine_add_link_take(struct engine *engine, uint32_t node, const struct engine_link_config *config,
                              struct path *path, engine_link_done_fn done, void *arg) {
    struct sim_sound *sound = of_engine(engine);
    if (!sound->nodes[node - 1].is_open)
        give_up("a link was put on a node that is not there");
    struct sim_link *link = nullptr;
    for (size_t i = 0; !link && i < SIM_LINKS_MAX; i++)
        if (!sound->links[i].is_open)
            link = &sound->links[i];
    if (!link)
        give_up("too many links");
    *link = (struct sim_link){.is_open = true,
                              .id = ++sound->next_id,
                              .node = node,
                              .config = *config,
                              .path = (struct sim_path *)path,
                              .done = done,
                              .arg = arg};
    sound->links_made++;
    struct link_job *job = malloc(sizeof *job);
    *job = (struct link_job){sound, link->id};
    (void)!loop_post(sound->loop, on_link_up, job);
    return link->id;
}

void engine_remove_link(struct engine *engine, uint32_t id, void (*done)(void *arg), void *arg) {
    struct sim_sound *sound = of_engine(engine);
    struct sim_link *link = find_link(sound, id);
    if (!link)
        give_up("a link was removed that is not there");
    link->is_open = false;
    link->path->path.ops->close(&link->path->path);
    (void)!loop_post(sound->loop, done, arg);
}

bool engine_link_status(struct engine *engine, uint32_t id, struct engine_link_status *ret) {
    const struct sim_link *link = find_link(of_engine(engine), id);
    *ret = (struct engine_link_status){};
    if (!link)
        return false;
    ret->receiving = link->config.receiving;
    ret->playing = link->config.receiving ? link->flows && !link->is_silent : link->is_up;
    ret->packets_received = link->config.receiving ? link->packets : 0;
    ret->packets_sent = link->config.receiving ? 0 : link->packets;
    return true;
}

size_t engine_take_glitches(struct engine *, uint32_t, struct glitch *, size_t) {
    return 0;
}

enum err engine_set_delay(struct engine *engine, uint32_t node, int64_t, struct err_info *) {
    if (!node || !of_engine(engine)->nodes[node - 1].is_open)
        give_up("the delay of an endpoint was set that is not in use");
    return ERR_OK;
}

void engine_set_gain(struct engine *engine, uint32_t id, double, bool) {
    if (!find_link(of_engine(engine), id))
        give_up("the gain of a link was set that is not there");
}

/* ---- what flows ---- */

/* -1: nobody is there */
static int index_of_host(const struct sim_air *air, const union path_address *address) {
    for (int i = 0; i < (int)SIM_INSTANCES_MAX; i++)
        if (air->hosts[i].sa.sa_family != AF_UNSPEC && path_address_same_host(&air->hosts[i], address))
            return i;
    return -1;
}

struct sim_link *sim_air_receiver(const struct sim_air *air, const struct sim_link *sender, int *ret_index) {
    const struct path_sealed_config *out = &sender->path->sealed;
    *ret_index = index_of_host(air, &out->remote);
    struct sim_sound *there = *ret_index >= 0 ? air->sounds[*ret_index] : nullptr;
    for (size_t i = 0; there && i < SIM_LINKS_MAX; i++) {
        struct sim_link *link = &there->links[i];
        if (!link->is_open || !link->is_up || !link->config.receiving || !link->path->is_sealed)
            continue;
        const struct path_sealed_config *in = &link->path->sealed;
        if (in->own_link == out->other_link && link->path->is_answered &&
            memcmp(in->keys.to_receiver, out->keys.to_receiver, sizeof in->keys.to_receiver) == 0)
            return link;
    }
    return nullptr;
}

static void flow_to(struct sim_sound *sound, struct sim_link *receiver) {
    receiver->packets += 10;
    receiver->last_flow_ns = loop_now_ns(sound->loop);
    if (receiver->flows && !receiver->is_silent)
        return;
    receiver->flows = true;
    receiver->is_silent = false;
    tell(sound, receiver, ENGINE_LINK_STARTED);
}

static void flow_from(struct sim_air *air, struct sim_sound *sound, struct sim_link *sender) {
    if (sound->is_idle)
        return;
    sender->packets += 10;
    struct sim_path *twin = sender->path->twin;
    if (twin) {
        for (size_t i = 0; i < SIM_LINKS_MAX; i++)
            if (sound->links[i].is_open && sound->links[i].is_up && sound->links[i].path == twin)
                flow_to(sound, &sound->links[i]);
    } else if (sender->path->is_sealed) {
        int to;
        struct sim_link *receiver = sim_air_receiver(air, sender, &to);
        if (receiver && air->passes(air->arg, sound->index, to))
            flow_to(air->sounds[to], receiver);
    }
}

static void note_silence(struct sim_sound *sound) {
    for (size_t i = 0; i < SIM_LINKS_MAX; i++) {
        struct sim_link *link = &sound->links[i];
        if (!link->is_open || !link->flows || link->is_silent ||
            loop_now_ns(sound->loop) - link->last_flow_ns < SIM_SILENT_AFTER_NS)
            continue;
        link->is_silent = true;
        tell(sound, link, ENGINE_LINK_SILENT);
    }
}

void sim_air_step(struct sim_air *air) {
    for (size_t s = 0; s < SIM_INSTANCES_MAX; s++)
        for (size_t i = 0; air->sounds[s] && i < SIM_LINKS_MAX; i++) {
            struct sim_link *link = &air->sounds[s]->links[i];
            if (link->is_open && link->is_up && !link->config.receiving)
                flow_from(air, air->sounds[s], link);
        }
    for (size_t s = 0; s < SIM_INSTANCES_MAX; s++)
        if (air->sounds[s])
            note_silence(air->sounds[s]);
}

/* ---- life ---- */

void sim_air_init(struct sim_air *air, bool (*passes)(void *arg, int from, int to), void *arg) {
    *air = (struct sim_air){.passes = passes, .arg = arg};
}

void sim_sound_init(struct sim_sound *sound, struct sim_air *air, int index, struct loop *loop,
                    engine_event_fn on_event, void *arg) {
    *sound = (struct sim_sound){.air = air, .index = index, .loop = loop, .on_event = on_event, .arg = arg};
    sound->host = (struct audio_host){.clock = loop->clock, .loop = loop};
    air->sounds[index] = sound;
}

void sim_sound_finish(struct sim_sound *sound) {
    sound->air->sounds[sound->index] = nullptr;
    for (size_t i = 0; i < SIM_LINKS_MAX; i++)
        if (sound->links[i].is_open)
            sound->links[i].path->path.ops->close(&sound->links[i].path->path);
    for (size_t i = 0; i < SIM_NODES_MAX; i++)
        if (sound->nodes[i].is_open)
            sound->nodes[i].stream->ops->close(sound->nodes[i].stream);
}
