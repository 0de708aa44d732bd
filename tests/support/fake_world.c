/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/fake_world.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/registry/events.h"
#include "store/store.h"
#include "transport/path.h"

/* Drivers and paths are called without anything that could tell worlds apart. */
static struct fake_world *the_world;

static void trace(struct fake_world *world, const char *word) {
    size_t used = strlen(world->trace);
    assert_true(used + strlen(word) + 2 < sizeof world->trace);
    snprintf(world->trace + used, sizeof world->trace - used, "%s%s", used ? " " : "", word);
}

/* ---- drivers ---- */

static enum audio_state stream_state(const struct audio_stream *) {
    return AUDIO_RUNNING;
}

static void stream_close(struct audio_stream *stream) {
    if (!stream)
        return;
    the_world->open_streams--;
    free(stream);
}

static enum audio_direction fake_direction(const struct endpoint_spec *spec) {
    if (spec->kind == ENDPOINT_KIND_FILE)
        return spec->file.mode == FILE_MODE_PLAY ? AUDIO_INPUT : AUDIO_OUTPUT;
    if (spec->kind == ENDPOINT_KIND_NULL)
        return spec->null.direction == NULL_DIRECTION_INPUT ? AUDIO_INPUT : AUDIO_OUTPUT;
    return AUDIO_INPUT;
}

static enum err file_available(struct audio_driver_state *, const struct audio_host *,
                               const struct audio_endpoint *endpoint, struct err_info *reterr) {
    if (the_world->file_error == ERR_OK)
        return ERR_OK;
    return err_set(reterr, the_world->file_error, "the file '%s' does not please the test", endpoint->spec->file.name);
}

static enum err fake_open(struct audio_driver_state *state, const struct audio_host *host,
                          const struct audio_endpoint *endpoint, struct audio_stream **ret, struct err_info *reterr) {
    static const struct audio_stream_ops OPS = {.state = stream_state, .close = stream_close};
    enum err err = ERR_OK;
    if (the_world->open_error != ERR_OK)
        err = err_set(reterr, the_world->open_error, "the test does not let it open");
    else if (endpoint->spec->kind == ENDPOINT_KIND_FILE)
        err = file_available(state, host, endpoint, reterr);
    if (err)
        return err;
    struct audio_stream *stream = calloc(1, sizeof *stream);
    assert_non_null(stream);
    *stream = (struct audio_stream){.ops = &OPS, .format = {48000, 2}};
    the_world->period_ns = endpoint->period_ns;
    the_world->open_streams++;
    *ret = stream;
    return ERR_OK;
}

static const struct audio_driver FILES = {.name = "file",
                                          .summary = "files that are there when the test says so",
                                          .kinds = 1u << ENDPOINT_KIND_FILE,
                                          .direction = fake_direction,
                                          .open = fake_open,
                                          .available = file_available};
static const struct audio_driver OTHERS = {.name = "tone",
                                           .summary = "always there",
                                           .kinds = 1u << ENDPOINT_KIND_TONE | 1u << ENDPOINT_KIND_NULL,
                                           .direction = fake_direction,
                                           .open = fake_open};

/* Finds what the test says; keeps up what it is asked to. */
static void devices_watch(struct audio_driver_state *, const struct audio_watcher *watcher, void *arg) {
    the_world->watcher = watcher;
    the_world->watcher_arg = arg;
}

static void devices_set_volume(struct audio_driver_state *, const char *system_name, const double *volume,
                               const bool *is_muted) {
    char text[128];
    snprintf(text, sizeof text, "%s:%s%.2f%s", system_name, volume ? "" : "-", volume ? *volume : 0.0,
             !is_muted   ? ""
             : *is_muted ? ":mute"
                         : ":loud");
    trace(the_world, text);
}

static void devices_expose(struct audio_driver_state *, const struct audio_endpoint *endpoint) {
    trace(the_world, "expose");
    snprintf(the_world->exposed, sizeof the_world->exposed, "%s", endpoint->uid);
}

static void devices_withdraw(struct audio_driver_state *, const char *uid) {
    trace(the_world, "withdraw");
    assert_string_equal(the_world->exposed, uid);
    *the_world->exposed = 0;
}

static void devices_set_period(struct audio_driver_state *, const char *, int64_t period_ns) {
    the_world->period_ns = period_ns;
    the_world->n_periods++;
}

static enum audio_direction devices_direction(const struct endpoint_spec *spec) {
    if (spec->has_device == PRESENCE_VALUE)
        return spec->device.direction == DEVICE_DIRECTION_INPUT ? AUDIO_INPUT : AUDIO_OUTPUT;
    return spec->kind == ENDPOINT_KIND_VIRTUAL_SPEAKER ? AUDIO_INPUT : AUDIO_OUTPUT;
}

static const struct audio_driver DEVICES = {.name = "card",
                                            .summary = "devices that are there when the test says so",
                                            .kinds = 1u << ENDPOINT_KIND_DEVICE | 1u << ENDPOINT_KIND_DEFAULT |
                                                     1u << ENDPOINT_KIND_VIRTUAL_SPEAKER |
                                                     1u << ENDPOINT_KIND_VIRTUAL_MICROPHONE,
                                            .direction = devices_direction,
                                            .open = fake_open,
                                            .watch = devices_watch,
                                            .set_volume = devices_set_volume,
                                            .expose = devices_expose,
                                            .withdraw = devices_withdraw,
                                            .set_period = devices_set_period};

const struct audio_driver *const audio_drivers[] = {&FILES, &OTHERS, &DEVICES, nullptr};

const struct audio_driver *audio_driver_for_kind(int endpoint_kind) {
    for (const struct audio_driver *const *d = audio_drivers; *d; d++)
        if ((*d)->kinds & 1u << endpoint_kind)
            return *d;
    return nullptr;
}

const struct audio_driver *audio_driver_by_name(const char *name) {
    for (const struct audio_driver *const *d = audio_drivers; *d; d++)
        if (strcmp((*d)->name, name) == 0)
            return *d;
    return nullptr;
}

/* ---- paths ---- */

static void path_close(struct path *path) {
    if (!path)
        return;
    the_world->open_paths--;
    free(path);
}

static struct path *path_create(void) {
    static const struct path_ops OPS = {.close = path_close};
    struct path *path = calloc(1, sizeof *path);
    assert_non_null(path);
    path->ops = &OPS;
    the_world->open_paths++;
    return path;
}

static enum err open_udp(struct path **ret, struct err_info *reterr) {
    if (the_world->n_path_opened < sizeof the_world->path_opened_ns / sizeof *the_world->path_opened_ns)
        the_world->path_opened_ns[the_world->n_path_opened++] = loop_now_ns(&the_world->sim.loop);
    if (the_world->path_error != ERR_OK)
        return err_set(reterr, the_world->path_error, "port 10001 does not please the test");
    *ret = path_create();
    return ERR_OK;
}

enum err path_udp_open_sender(const struct path_udp_config *, struct path **ret, struct err_info *reterr) {
    return open_udp(ret, reterr);
}

enum err path_udp_open_receiver(const struct path_udp_config *, struct path **ret, struct err_info *reterr) {
    return open_udp(ret, reterr);
}

enum err path_memory_open(struct path **ret_sender, struct path **ret_receiver, struct err_info *) {
    *ret_sender = path_create();
    *ret_receiver = path_create();
    return ERR_OK;
}

enum err path_address_resolve(const char *host, uint16_t port, union path_address *ret, struct err_info *) {
    *ret = (union path_address){.v4 = {.sin_family = AF_INET, .sin_port = htons(port)}};
    (void)inet_pton(AF_INET, host, &ret->v4.sin_addr); /* names are all the same */
    return ERR_OK;
}

/* ---- the engine ---- */

struct engine {
    struct fake_world *world;
};

static void send_event(struct fake_world *world, const struct engine_event *event) {
    if (world->orchestrator)
        orchestrator_on_engine_event(world->orchestrator, event);
}

enum err engine_add_node_take(struct engine *engine, struct audio_stream *stream, enum audio_direction direction,
                              uint32_t *ret_node, struct err_info *) {
    struct fake_world *world = engine->world;
    assert_true(world->n_nodes < FAKE_NODES_MAX);
    world->nodes[world->n_nodes++] = (struct fake_node){
        .is_open = true, .direction = direction, .stream = stream, .status = {.position_frames = -1}};
    *ret_node = (uint32_t)world->n_nodes;
    trace(world, direction == AUDIO_INPUT ? "+source" : "+destination");
    return ERR_OK;
}

void engine_remove_node(struct engine *engine, uint32_t node, void (*done)(void *arg), void *arg) {
    struct fake_world *world = engine->world;
    struct fake_node *n = &world->nodes[node - 1];
    assert_true(n->is_open);
    for (size_t i = 0; i < world->n_links; i++)
        assert_false(world->links[i].is_open && world->links[i].node == node); /* links go first */
    n->is_open = false;
    n->stream->ops->close(n->stream);
    trace(world, n->direction == AUDIO_INPUT ? "-source" : "-destination");
    if (done)
        assert_int_equal(loop_post(&world->sim.loop, done, arg), ERR_OK);
}

bool engine_node_status(struct engine *engine, uint32_t node, struct engine_node_status *ret) {
    if (node == 0 || !engine->world->nodes[node - 1].is_open)
        return false;
    *ret = engine->world->nodes[node - 1].status;
    return true;
}

static void link_up(void *arg) {
    struct fake_link *link = arg;
    struct fake_world *world = the_world;
    if (!link->is_open)
        return; /* removed before: no callback */
    if (world->link_error != ERR_OK && world->n_link_errors > 0) {
        world->n_link_errors--;
        struct err_info info = {};
        (void)err_set(&info, world->link_error, "the test does not let it be built");
        link->is_open = false;
        link->path->ops->close(link->path);
        link->done(link->arg, link->id, info.code, &info);
        return;
    }
    link->is_up = true;
    link->done(link->arg, link->id, ERR_OK, nullptr);
    if (!world->mute && link->is_open) {
        link->status.playing = true;
        fake_world_link_event(world, link, ENGINE_LINK_STARTED);
    }
}

uint32_t engine_add_link_take(struct engine *engine, uint32_t node, const struct engine_link_config *config,
                              struct path *path, engine_link_done_fn done, void *arg) {
    struct fake_world *world = engine->world;
    assert_true(world->n_links < FAKE_LINKS_MAX);
    assert_true(world->nodes[node - 1].is_open);
    struct fake_link *link = &world->links[world->n_links++];
    *link = (struct fake_link){.is_open = true,
                               .id = (uint32_t)world->n_links,
                               .node = node,
                               .config = *config,
                               .path = path,
                               .status = {.receiving = config->receiving},
                               .done = done,
                               .arg = arg};
    trace(world, config->receiving ? "+receiver" : "+sender");
    assert_int_equal(loop_post(&world->sim.loop, link_up, link), ERR_OK);
    return link->id;
}

void engine_remove_link(struct engine *engine, uint32_t id, void (*done)(void *arg), void *arg) {
    struct fake_world *world = engine->world;
    struct fake_link *link = &world->links[id - 1];
    assert_true(link->is_open);
    link->is_open = false;
    link->path->ops->close(link->path);
    trace(world, link->config.receiving ? "-receiver" : "-sender");
    assert_int_equal(loop_post(&world->sim.loop, done, arg), ERR_OK);
}

bool engine_link_status(struct engine *engine, uint32_t link, struct engine_link_status *ret) {
    *ret = engine->world->links[link - 1].status;
    return engine->world->links[link - 1].is_open;
}

size_t engine_take_glitches(struct engine *engine, uint32_t link, struct glitch *ret, size_t) {
    struct fake_link *l = &engine->world->links[link - 1];
    if (l->n_glitches == 0)
        return 0;
    *ret = l->glitches[0];
    memmove(l->glitches, l->glitches + 1, --l->n_glitches * sizeof *l->glitches);
    return 1;
}

enum err engine_set_delay(struct engine *engine, uint32_t node, int64_t delay_ns, struct err_info *) {
    assert_true(engine->world->nodes[node - 1].is_open);
    engine->world->nodes[node - 1].delay_ns = delay_ns;
    return ERR_OK;
}

void engine_set_gain(struct engine *engine, uint32_t link, double gain_db, bool muted) {
    assert_true(engine->world->links[link - 1].is_open);
    engine->world->gain_db = gain_db;
    engine->world->muted = muted;
}

/* ---- what tests call ---- */

struct fake_link *fake_world_link(struct fake_world *world, bool receiving) {
    for (size_t i = world->n_links; i-- > 0;)
        if (world->links[i].is_open && world->links[i].config.receiving == receiving)
            return &world->links[i];
    return nullptr;
}

void fake_world_link_event(struct fake_world *world, const struct fake_link *link, enum engine_event_kind kind) {
    struct engine_event event = {.kind = kind, .node = link->node, .link = link->id};
    if (kind == ENGINE_LINK_FAILED)
        (void)err_set(&event.reason, ERR_INTERNAL, "the decoder broke in the test");
    send_event(world, &event);
}

void fake_world_latency_event(struct fake_world *world, const struct fake_link *link, int64_t from_ms, int64_t to_ms,
                              enum adapt_cause cause) {
    send_event(world, &(struct engine_event){.kind = ENGINE_LINK_LATENCY,
                                             .node = link->node,
                                             .link = link->id,
                                             .from_ns = from_ms * NS_PER_MS,
                                             .to_ns = to_ms * NS_PER_MS,
                                             .cause = cause});
}

void fake_world_node_event(struct fake_world *world, enum audio_direction direction, enum engine_event_kind kind) {
    for (size_t i = world->n_nodes; i-- > 0;) {
        if (!world->nodes[i].is_open || world->nodes[i].direction != direction)
            continue;
        struct engine_event event = {.kind = kind, .node = (uint32_t)i + 1};
        if (kind == ENGINE_NODE_FAILED)
            (void)err_set(&event.reason, ERR_IO, "the disk broke in the test");
        send_event(world, &event);
        return;
    }
    fail_msg("there is no such node");
}

void fake_world_run_ms(struct fake_world *world, int64_t ms) {
    loop_sim_run_until(&world->sim, loop_now_ns(&world->sim.loop) + ms * NS_PER_MS);
}

void fake_world_step(struct fake_world *world) {
    struct loop_sim *sim = &world->sim;
    if (sim->n_jobs == 0) {
        loop_fire_due(&sim->loop);
        return;
    }
    struct loop_sim_job job = sim->jobs[sim->head];
    sim->head = (sim->head + 1) % sim->cap_jobs;
    sim->n_jobs--;
    job.fn(job.arg);
}

void fake_world_clear_trace(struct fake_world *world) {
    *world->trace = 0;
}

uint64_t fake_world_last_event(const struct fake_world *world) {
    return events_last(orchestrator_events(world->orchestrator));
}

const char *fake_world_news(const struct fake_world *world, uint64_t since) {
    static char text[1024];
    *text = 0;
    const struct events *events = orchestrator_events(world->orchestrator);
    for (uint64_t n = since + 1; n <= events_last(events); n++) {
        const struct event *event = events_get(events, n);
        assert_non_null(event);
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%s", used ? " " : "", event_type_name(event->type));
    }
    return text;
}

static struct engine the_engine;

void fake_world_start(struct fake_world *world) {
    struct err_info info = {};
    const struct orchestrator_config config = {.loop = &world->sim.loop,
                                               .store = world->store,
                                               .engine = world->without_engine ? nullptr : &the_engine,
                                               .host = &world->host,
                                               .peer_uid = "peer00-peer00-peer00",
                                               .peer_name = "Test",
                                               .version = "1",
                                               .roc_port_min = 20000,
                                               .roc_port_max = 20009,
                                               .links = world->peer_links,
                                               .roster = world->roster,
                                               .media_port = world->media_port,
                                               .key = world->key};
    enum err err = orchestrator_create(&config, &world->orchestrator, &info);
    if (!err)
        err = orchestrator_start(world->orchestrator, &info);
    if (err)
        fail_msg("%s", info.message);
    loop_sim_settle(&world->sim);
}

static void on_stopped(void *arg) {
    *(bool *)arg = true;
}

void fake_world_stop(struct fake_world *world) {
    bool stopped = false;
    orchestrator_stop(world->orchestrator, on_stopped, &stopped);
    fake_world_run_ms(world, 1000);
    assert_true(stopped);
    assert_int_equal(world->open_streams, 0);
    assert_int_equal(world->open_paths, 0);
    orchestrator_destroy(world->orchestrator);
    world->orchestrator = nullptr;
}

void fake_world_init(struct fake_world *world) {
    *world = (struct fake_world){};
    the_world = world;
    the_engine.world = world;
    loop_sim_init(&world->sim);
    world->host = (struct audio_host){.clock = world->sim.loop.clock, .loop = &world->sim.loop};
    assert_int_equal(store_memory_open(&world->sim.loop, &world->store, nullptr), ERR_OK);
}

void fake_world_finish(struct fake_world *world) {
    if (world->orchestrator)
        fake_world_stop(world);
    world->store->ops->close(world->store);
    loop_sim_settle(&world->sim);
    loop_sim_finish(&world->sim);
    the_world = nullptr;
}

/* ---- writes ---- */

void fake_done(void *arg, enum err result, const struct err_info *info) {
    struct fake_answer *answer = arg;
    assert_false(answer->is_done);
    answer->is_done = true;
    answer->result = result;
    if (info)
        answer->info = *info;
}

struct endpoint_spec fake_endpoint_spec(const char *json) {
    struct endpoint_spec spec;
    struct err_info info = {};
    if (schema_decode_text(&endpoint_spec_schema, json, strlen(json), 0, &spec, nullptr, &info) != ERR_OK)
        fail_msg("%s: %s", info.pointer, info.message);
    return spec;
}

struct stream_spec fake_stream_spec(const char *json) {
    struct stream_spec spec;
    struct err_info info = {};
    if (schema_decode_text(&stream_spec_schema, json, strlen(json), 0, &spec, nullptr, &info) != ERR_OK)
        fail_msg("%s: %s", info.pointer, info.message);
    return spec;
}

struct stream_spec fake_stream_between(const char *source_uid, const char *destination_uid) {
    char json[512];
    snprintf(
        json, sizeof json,
        "{\"source\":{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"/peers/peer00-peer00-peer00/endpoints/%s\"},"
        "\"destination\":{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"/peers/peer00-peer00-peer00/endpoints/%s\"}}",
        source_uid, destination_uid);
    return fake_stream_spec(json);
}

static void settle_well(struct fake_world *world, enum err err, const struct err_info *info,
                        const struct fake_answer *answer) {
    if (err)
        fail_msg("%s: %s", info->pointer, info->message);
    assert_false(answer->is_done); /* never from inside the call */
    loop_sim_settle(&world->sim);
    assert_true(answer->is_done);
    assert_int_equal(answer->result, ERR_OK);
}

void fake_put_endpoint(struct fake_world *world, const char *uid, const char *json, char ret_uid[static UID_SIZE]) {
    struct endpoint_spec spec = fake_endpoint_spec(json);
    struct fake_answer answer = {};
    struct err_info info = {};
    enum err err =
        orchestrator_put_endpoint(world->orchestrator, uid, &spec, ANY_GENERATION, ret_uid, fake_done, &answer, &info);
    settle_well(world, err, &info, &answer);
}

void fake_put_stream(struct fake_world *world, const char *uid, const struct stream_spec *spec,
                     char ret_uid[static UID_SIZE]) {
    struct fake_answer answer = {};
    struct err_info info = {};
    enum err err = orchestrator_put_stream(world->orchestrator, uid, spec, nullptr, ANY_GENERATION, ret_uid, fake_done,
                                           &answer, &info);
    settle_well(world, err, &info, &answer);
}
