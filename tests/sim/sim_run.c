/* SPDX-License-Identifier: MPL-2.0 */
#include "sim/sim_run.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yyjson.h>

#include "signaling/fake/fake.h"
#include "sim/sim_broken.h"
#include "sim/sim_history.h"
#include "sim/sim_random.h"
#include "sim/sim_world.h"

constexpr int SLOTS = 5;        /* streams that commanders work on at a time */
constexpr int STREAMS_MAX = 64; /* in all: a removed one does not come back */
constexpr int COMMANDERS = 2;
constexpr int64_t STORM_MS = 25'000;  /* faults and commands */
constexpr int64_t CLOSED_MS = 20'000; /* after the last fault nothing is half-open */
constexpr int64_t WANTED_MS = 15'000; /* and then every wanted stream runs */

/* A commander: one thing at a time, through any instance. */
struct commander {
    struct run *run;
    struct sim_answer answer;
    struct history_write *write; /* nullptr: idle */
    struct sim_instance *at;
    int destination; /* of the stream: its owner */
};

struct run {
    struct sim_world world;
    struct sim_result *result;
    struct history history;
    char inputs[SIM_INSTANCES_MAX][UID_SIZE], outputs[SIM_INSTANCES_MAX][UID_SIZE];
    char streams[STREAMS_MAX][UID_SIZE];
    int destinations[STREAMS_MAX]; /* peers: it cannot change for a stream, and owns it */
    int n_streams, slots[SLOTS];   /* slots: indices into streams */
    struct commander commanders[COMMANDERS];
    int next_value;
    bool is_stormy;
    int viewer; /* whom the others list as a viewer; -1: nobody */
};

[[gnu::format(printf, 2, 3)]] static void violate(struct run *run, const char *format, ...);

static void violate(struct run *run, const char *format, ...) {
    if (run->result->is_violated)
        return;
    run->result->is_violated = true;
    va_list args;
    va_start(args, format);
    vsnprintf(run->result->violation, sizeof run->result->violation, format, args);
    va_end(args);
    sim_trace(&run->world, "VIOLATED: %s", run->result->violation);
}

static int any(struct run *run, int n) {
    return (int)sim_random_below(&run->world.random, n);
}

/* ---- the site ---- */

static void make_endpoint(struct run *run, int at, const char *uid, const char *body) {
    char path[96];
    snprintf(path, sizeof path, "/peers/self/endpoints/%s", uid);
    const struct sim_call call = {.method = "PUT", .path = path, .body = body, .if_none_match = "*"};
    struct sim_answer answer = sim_call(run->world.instances[at], &call);
    if (answer.status != 201)
        violate(run, "an endpoint could not be made: %d %s", answer.status, answer.body ? answer.body : "");
    sim_answer_finish(&answer);
}

static void refill(struct run *run, int slot) {
    if (run->n_streams == STREAMS_MAX)
        return;
    uid_random(run->streams[run->n_streams]);
    run->destinations[run->n_streams] = any(run, run->world.n);
    run->slots[slot] = run->n_streams++;
}

static void build_site(struct run *run) {
    struct sim_world *world = &run->world;
    run->viewer = -1;
    if (world->n > 2 && sim_chance(&world->random, 500)) {
        run->viewer = world->n - 1;
        for (int i = 0; i < run->viewer; i++)
            sim_world_set_role(world, i, run->viewer, ROSTER_VIEWER);
    }
    for (int i = 0; i < world->n; i++)
        sim_instance_start(world->instances[i]);
    for (int i = 0; i < world->n; i++) {
        uid_random(run->inputs[i]);
        uid_random(run->outputs[i]);
        make_endpoint(run, i, run->inputs[i], "{\"kind\":\"virtual_speaker\"}");
        make_endpoint(run, i, run->outputs[i], "{\"kind\":\"null\"}");
    }
    for (int i = 0; i < SLOTS; i++)
        refill(run, i);
    sim_world_run_ms(world, 3000); /* links come up */
}

/* ---- commands ---- */

[[gnu::format(printf, 3, 4)]] static const char *text_of(char *buffer, size_t size, const char *format, ...);

static const char *text_of(char *buffer, size_t size, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(buffer, size, format, args);
    va_end(args);
    return buffer;
}

static void begin(struct commander *commander, int stream, int value, const struct sim_call *call) {
    struct run *run = commander->run;
    const char *uid = run->streams[stream];
    commander->destination = run->destinations[stream];
    commander->at = run->world.instances[any(run, run->world.n)];
    commander->write = history_ask(&run->history, uid, value, run->world.now_ns);
    if (!commander->write)
        return;
    sim_trace(&run->world, "%s is asked: %s %s %s", commander->at->name, call->method, call->path,
              call->body ? call->body : "");
    run->result->writes++;
    sim_ask(commander->at, call, &commander->answer);
}

static void command_put(struct commander *commander, bool is_new) {
    struct run *run = commander->run;
    int stream = run->slots[any(run, SLOTS)];
    const char *uid = run->streams[stream];
    int source = any(run, run->world.n), destination = run->destinations[stream], value = ++run->next_value;
    char path[64], body[640];
    const struct sim_call call = {
        .method = "PUT",
        .path = text_of(path, sizeof path, "/streams/%s", uid),
        .if_none_match = is_new ? "*" : nullptr,
        .body = text_of(
            body, sizeof body,
            "{\"display_name\":\"%d\",\"source\":{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"/peers/%s/"
            "endpoints/%s\"},\"destination\":{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"/peers/%s/"
            "endpoints/%s\"},\"settings\":{\"target_latency_ms\":%d}}",
            value, run->world.instances[source]->uid, run->inputs[source], run->world.instances[destination]->uid,
            run->outputs[destination], 100 + 10 * any(run, 5)),
    };
    begin(commander, stream, value, &call);
}

static void command_patch(struct commander *commander) {
    struct run *run = commander->run;
    int stream = run->slots[any(run, SLOTS)];
    const char *uid = run->streams[stream];
    int value = ++run->next_value;
    char path[64], body[256];
    const char *const changes[] = {"\"enabled\":false", "\"enabled\":true", "\"settings\":{\"gain_db\":-6}",
                                   "\"settings\":{\"target_latency_ms\":150}"};
    const struct sim_call call = {
        .method = "PATCH",
        .path = text_of(path, sizeof path, "/streams/%s", uid),
        .body = text_of(body, sizeof body, "{\"display_name\":\"%d\",%s}", value, changes[any(run, 4)]),
    };
    begin(commander, stream, value, &call);
}

static void command_delete(struct commander *commander) {
    struct run *run = commander->run;
    int slot = any(run, SLOTS);
    const char *uid = run->streams[run->slots[slot]];
    char path[64];
    begin(commander, run->slots[slot], 0,
          &(struct sim_call){.method = "DELETE", .path = text_of(path, sizeof path, "/streams/%s", uid)});
    if (sim_chance(&run->world.random, 700)) /* the other commander may not know yet */
        refill(run, slot);
}

static bool finish(struct commander *commander) {
    struct run *run = commander->run;
    struct sim_answer *answer = &commander->answer;
    struct history_write *write = commander->write;
    if (!write)
        return true;
    if (!answer->is_done)
        return false;
    sim_trace(&run->world, "%s answers %d %.120s", commander->at->name, answer->status,
              answer->body ? answer->body : "");
    if (answer->status >= 200 && answer->status < 300) {
        write->answered = run->world.now_ns;
        write->is_acknowledged = true;
        if (commander->at->index == run->viewer && commander->destination != run->viewer)
            violate(run, "%s is a viewer to the others, and changed a stream of %s", commander->at->name,
                    run->world.instances[commander->destination]->name);
        run->result->acknowledged++;
    } else if (answer->status >= 400 && answer->status < 500) {
        write->answered = run->world.now_ns;
        write->is_refused = true;
        run->result->refused++;
    } else { /* crashed, or 503: it may have been done */
        run->result->unanswered++;
    }
    sim_answer_finish(answer);
    commander->write = nullptr;
    return true;
}

static void command(struct commander *commander) {
    if (!finish(commander))
        return;
    int what = any(commander->run, 10);
    if (what < 4)
        command_put(commander, true);
    else if (what < 5)
        command_put(commander, false);
    else if (what < 8)
        command_patch(commander);
    else
        command_delete(commander);
}

/* ---- faults ---- */

static void after_step(void *arg, struct sim_instance *instance) {
    struct run *run = arg;
    if (!run->is_stormy || any(run, 4000) > 0)
        return;
    run->result->faults++;
    sim_instance_crash(instance);
}

static void fault(struct run *run) {
    struct sim_world *world = &run->world;
    int a = any(run, world->n), b = any(run, world->n);
    struct sim_instance *instance = world->instances[a];
    run->result->faults++;
    switch (any(run, 8)) {
    case 7: /* its programs begin to play, or stop */
        instance->sound.is_idle = !instance->sound.is_idle;
        sim_trace(world, "the speaker of %s is %s", instance->name, instance->sound.is_idle ? "idle" : "played to");
        break;
    case 0:
        sim_instance_crash(instance);
        break;
    case 1:
    case 2:
        if (!instance->is_up)
            sim_instance_start(instance);
        break;
    case 3:
        if (a != b)
            sim_world_cut(world, a, b, true);
        break;
    case 4:
        if (a != b)
            sim_world_cut(world, a, b, false);
        break;
    case 5:
        if (a != b)
            fake_network_break(world->network, instance->uid, world->instances[b]->uid);
        break;
    default:
        instance->wall_offset_ns = sim_random_below(&world->random, 7200) * NS_PER_S - 3600 * NS_PER_S;
        sim_trace(world, "the wall clock of %s is set", instance->name);
    }
}

static void storm(struct run *run) {
    struct sim_world *world = &run->world;
    run->is_stormy = true;
    int64_t end_ns = world->now_ns + STORM_MS * NS_PER_MS;
    const struct fake_weather weather = {.loss_permille = any(run, 100),
                                         .duplicate_permille = any(run, 100),
                                         .reorder_permille = any(run, 100),
                                         .delay_min_ns = NS_PER_MS / 10,
                                         .delay_max_ns = (1 + any(run, 100)) * NS_PER_MS};
    fake_network_set_weather(world->network, &weather);
    while (world->now_ns < end_ns) {
        sim_world_run_ms(world, 1 + any(run, 800));
        if (any(run, 3) == 0)
            fault(run);
        for (int i = 0; i < COMMANDERS; i++)
            command(&run->commanders[i]);
    }
}

static void calm(struct run *run) {
    struct sim_world *world = &run->world;
    run->is_stormy = false;
    const struct fake_weather weather = {.delay_min_ns = NS_PER_MS / 10, .delay_max_ns = 2 * NS_PER_MS};
    fake_network_set_weather(world->network, &weather);
    for (int a = 0; a < world->n; a++)
        for (int b = 0; b < a; b++)
            sim_world_cut(world, a, b, false);
    for (int i = 0; i < world->n; i++)
        if (!world->instances[i]->is_up)
            sim_instance_start(world->instances[i]);
    sim_trace(world, "all is calm");
    sim_world_run_ms(world, CLOSED_MS);
    for (int i = 0; i < COMMANDERS; i++)
        if (!finish(&run->commanders[i]))
            violate(run, "a request had no answer %d s after the last fault", (int)(CLOSED_MS / 1000));
}

/* ---- checks ---- */

/* The source of this receiving link is idle. */
static bool gets_silence(struct run *run, int at, const struct sim_link *receiver) {
    for (int from = 0; from < run->world.n; from++)
        for (size_t i = 0; i < SIM_LINKS_MAX; i++) {
            const struct sim_sound *sound = &run->world.instances[from]->sound;
            int to;
            if (sound->is_idle && sound->links[i].is_open && sound->links[i].path->is_sealed &&
                !sound->links[i].config.receiving &&
                sim_air_receiver(&run->world.air, &sound->links[i], &to) == receiver && to == at)
                return true;
        }
    return false;
}

/* Sound goes to nobody, or is waited for in vain. */
static void check_nothing_is_half_open(struct run *run) {
    struct sim_world *world = &run->world;
    for (int at = 0; at < world->n; at++)
        for (size_t i = 0; i < SIM_LINKS_MAX; i++) {
            struct sim_link *link = &world->instances[at]->sound.links[i];
            if (!link->is_open || !link->path->is_sealed)
                continue;
            int to;
            if (!link->config.receiving && !sim_air_receiver(&world->air, link, &to))
                violate(run, "%s sends sound that nobody takes, to link %08x of %s", world->instances[at]->name,
                        link->path->sealed.other_link, to < 0 ? "nobody" : world->instances[to]->name);
            if (link->config.receiving && link->path->is_answered && !gets_silence(run, at, link) &&
                (!link->flows || loop_now_ns(&world->instances[at]->loop.loop) - link->last_flow_ns > NS_PER_S))
                violate(run, "%s waits for sound that nobody sends, with keys for it", world->instances[at]->name);
        }
}

struct view {
    char uid[UID_SIZE];
    int value; /* display_name */
    int64_t generation;
    bool is_enabled;
    char state[16], reason[64];
    char source_peer[UID_SIZE], destination_peer[UID_SIZE];
};

static const char *member(yyjson_val *object, const char *name) {
    const char *text = yyjson_get_str(yyjson_obj_get(object, name));
    return text ? text : "";
}

static void peer_of(yyjson_val *connection, char ret[static UID_SIZE]) {
    const char *uri = member(connection, "endpoint_uri"); /* /peers/<uid>/endpoints/<uid> */
    snprintf(ret, UID_SIZE, "%.20s", strlen(uri) > 7 ? uri + 7 : "");
}

static size_t view_streams(struct run *run, int at, struct view views[static STREAMS_MAX]) {
    struct sim_answer answer =
        sim_call(run->world.instances[at], &(struct sim_call){.method = "GET", .path = "/streams"});
    yyjson_doc *doc = answer.body ? yyjson_read(answer.body, strlen(answer.body), 0) : nullptr;
    if (answer.status != 200 || !yyjson_is_arr(yyjson_doc_get_root(doc)))
        violate(run, "GET /streams at %s: %d", run->world.instances[at]->name, answer.status);
    size_t n = 0, i, max;
    yyjson_val *stream;
    yyjson_arr_foreach(yyjson_doc_get_root(doc), i, max, stream) {
        if (n == STREAMS_MAX) {
            violate(run, "there are more streams than were ever made");
            break;
        }
        struct view *view = &views[n++];
        *view = (struct view){.value = atoi(member(stream, "display_name")),
                              .generation = yyjson_get_sint(yyjson_obj_get(stream, "generation")),
                              .is_enabled = yyjson_get_bool(yyjson_obj_get(stream, "enabled"))};
        snprintf(view->uid, sizeof view->uid, "%s", member(stream, "stream_uid"));
        peer_of(yyjson_obj_get(stream, "source"), view->source_peer);
        peer_of(yyjson_obj_get(stream, "destination"), view->destination_peer);
        yyjson_val *status = yyjson_obj_get(stream, "status");
        snprintf(view->state, sizeof view->state, "%s", member(status, "state"));
        yyjson_val *condition = yyjson_arr_get_first(yyjson_obj_get(status, "conditions"));
        snprintf(view->reason, sizeof view->reason, "%s", member(condition, "reason"));
    }
    yyjson_doc_free(doc);
    sim_answer_finish(&answer);
    return n;
}

static const struct view *view_find(const struct view *views, size_t n, const char *uid) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(views[i].uid, uid) == 0)
            return &views[i];
    return nullptr;
}

static void check_agreement(struct run *run, const struct view *views, size_t n) {
    for (int at = 1; at < run->world.n; at++) {
        struct view others[STREAMS_MAX];
        size_t n_others = view_streams(run, at, others);
        const char *name = run->world.instances[at]->name;
        if (n_others != n)
            violate(run, "A knows of %zu streams, %s of %zu", n, name, n_others);
        for (size_t i = 0; i < n; i++) {
            const struct view *other = view_find(others, n_others, views[i].uid);
            if (!other || other->value != views[i].value || other->generation != views[i].generation)
                violate(run, "A and %s do not agree on stream %s: \"%d\" and \"%d\"", name, views[i].uid,
                        views[i].value, other ? other->value : 0);
        }
    }
}

static void check_history(struct run *run, const struct view *views, size_t n) {
    for (int i = 0; i < run->n_streams; i++) {
        const struct view *view = view_find(views, n, run->streams[i]);
        int value = view ? view->value : 0;
        if (!history_allows(&run->history, run->streams[i], value))
            violate(run, "stream %s is \"%d\" (0: gone), which no acknowledged write left behind", run->streams[i],
                    value);
    }
}

static bool is_idle(const struct run *run, const char *peer_uid) {
    for (int i = 0; i < run->world.n; i++)
        if (strcmp(run->world.instances[i]->uid, peer_uid) == 0)
            return run->world.instances[i]->sound.is_idle;
    return false;
}

static void check_wanted(struct run *run, const struct view *views, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const struct view *view = &views[i];
        const char *viewer = run->viewer >= 0 ? run->world.instances[run->viewer]->uid : "";
        /* What the viewer itself commanded from others is forbidden there; its sinks are its own to give away. */
        bool may_be_forbidden = strcmp(view->destination_peer, viewer) == 0 && strcmp(view->source_peer, viewer) != 0;
        run->result->streams_wanted += view->is_enabled;
        if (!view->is_enabled && strcmp(view->state, "stopped") != 0)
            violate(run, "stream %s is disabled and %s", view->uid, view->state);
        else if (view->is_enabled && strcmp(view->state, "running") != 0 &&
                 !(may_be_forbidden && strcmp(view->reason, "Forbidden") == 0))
            violate(run, "stream %s is wanted and %s (%s)", view->uid, view->state, view->reason);
        else if (view->is_enabled && strcmp(view->state, "running") == 0 &&
                 (strcmp(view->reason, "SourceIdle") == 0) != is_idle(run, view->source_peer))
            violate(run, "stream %s is running (%s), and its source %s", view->uid, view->reason,
                    is_idle(run, view->source_peer) ? "is idle" : "is played to");
    }
}

/* ---- one run ---- */

void sim_run(const struct sim_settings *settings, struct sim_result *ret) {
    *ret = (struct sim_result){};
    struct run *run = calloc(1, sizeof *run);
    run->result = ret;
    sim_broken_set(settings->broken);
    sim_world_init(&run->world, settings->n_peers, settings->seed);
    run->world.is_traced = settings->is_traced;
    run->world.after_step = after_step;
    run->world.arg = run;
    for (int i = 0; i < COMMANDERS; i++)
        run->commanders[i].run = run;
    build_site(run);
    if (!ret->is_violated)
        storm(run);
    calm(run);
    if (!ret->is_violated)
        check_nothing_is_half_open(run);
    sim_world_run_ms(&run->world, WANTED_MS);
    struct view views[STREAMS_MAX];
    size_t n = ret->is_violated ? 0 : view_streams(run, 0, views);
    if (!ret->is_violated) {
        check_history(run, views, n);
        check_agreement(run, views, n);
        check_wanted(run, views, n);
        check_nothing_is_half_open(run);
    }
    ret->steps = run->world.n_steps;
    sim_world_finish(&run->world);
    sim_broken_set(nullptr);
    free(run);
}
