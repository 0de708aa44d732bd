/* SPDX-License-Identifier: MPL-2.0 */
#include "sim/sim_world.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/serve.h"
#include "base/list.h"
#include "model/node_id.h"
#include "signaling/fake/fake.h"
#include "signaling/links.h"
#include "sim/sim_random.h"

constexpr int64_t START_NS = 1'000 * NS_PER_S;
constexpr int64_t WALL_NS = 1'767'225'600 * NS_PER_S; /* 2026-01-01 */
constexpr int64_t AIR_STEP_NS = 100 * NS_PER_MS;

void sim_trace(const struct sim_world *world, const char *format, ...) {
    if (!world->is_traced)
        return;
    printf("%9.3f  ", (double)(world->now_ns - START_NS) / (double)NS_PER_S);
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

[[noreturn]] static void give_up(const char *what, const struct err_info *info) {
    fprintf(stderr, "the simulated world: %s: %s\n", what, info->message);
    abort();
}

/* ---- randomness ---- */

static uint64_t the_random;

static const char *random_name(void) {
    return "seeded";
}

static uint32_t random_32(void) {
    return (uint32_t)sim_random(&the_random);
}

static void random_bytes(void *const bytes, const size_t len) {
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)bytes)[i] = (uint8_t)sim_random(&the_random);
}

static void seed_randomness(uint64_t seed) {
    static struct randombytes_implementation implementation = {
        .implementation_name = random_name, .random = random_32, .buf = random_bytes};
    randombytes_set_implementation(&implementation);
    if (crypto_init(nullptr) != ERR_OK)
        abort();
    the_random = seed; /* last: the first run of a process must not differ from the later ones */
}

/* ---- clocks ---- */

static const struct sim_instance *instance_of(const struct clock *clock) {
    return ((const struct sim_clock *)clock)->instance;
}

static int64_t clock_monotonic(const struct clock *clock) {
    const struct sim_instance *instance = instance_of(clock);
    return instance->world->now_ns + instance->monotonic_offset_ns;
}

static int64_t clock_wall(const struct clock *clock) {
    const struct sim_instance *instance = instance_of(clock);
    return WALL_NS + instance->world->now_ns + instance->wall_offset_ns;
}

/* ---- instances ---- */

constexpr size_t SIM_ADDRESS_SIZE = 32;

static void address_of(int index, char ret[static SIM_ADDRESS_SIZE]) {
    snprintf(ret, SIM_ADDRESS_SIZE, "10.0.0.%d:4041", index + 1);
}

static void on_engine_event(void *arg, const struct engine_event *event) {
    struct sim_instance *instance = arg;
    if (instance->orchestrator)
        orchestrator_on_engine_event(instance->orchestrator, event);
}

/* The line begins with the wall clock of the instance, which is of no use here. */
static void write_log(void *arg, enum log_level, const char *line, size_t) {
    const struct sim_instance *instance = arg;
    const char *rest = strchr(line, ' ');
    sim_trace(instance->world, "  %s |%s", instance->name, rest ? rest : line);
}

void sim_instance_start(struct sim_instance *instance) {
    struct sim_world *world = instance->world;
    struct err_info info = {};
    instance->n_starts++;
    log_sink_init(&instance->sink, world->is_traced ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR, write_log, instance);
    struct log log = {&instance->sink, "links"};
    instance->monotonic_offset_ns = sim_random_below(&world->random, 1'000'000) * NS_PER_S; /* since it was booted */
    loop_sim_init(&instance->loop);
    instance->clock =
        (struct sim_clock){.clock = {.monotonic_ns = clock_monotonic, .wall_ns = clock_wall}, .instance = instance};
    instance->loop.loop.clock = &instance->clock.clock;
    struct loop *loop = &instance->loop.loop;
    instance->store = sim_store_open(&instance->disk, loop);
    sim_sound_init(&instance->sound, &world->air, instance->index, loop, on_engine_event, instance);
    enum err err =
        fake_carrier_create(world->network, loop, instance->uid, &instance->roster, &instance->carrier, &info);
    uint64_t epoch;
    crypto_random(&epoch, sizeof epoch);
    const struct links_config links = {.log = log,
                                       .loop = loop,
                                       .carrier = instance->carrier,
                                       .roster = &instance->roster,
                                       .own_uid = instance->uid,
                                       .epoch = epoch | 1,
                                       .version = "1",
                                       .seed = sim_random(&world->random)};
    if (!err)
        err = links_create(&links, &instance->links, &info);
    const struct orchestrator_config orchestrator = {.log = log,
                                                     .loop = loop,
                                                     .store = instance->store,
                                                     .engine = sim_sound_engine(&instance->sound),
                                                     .host = &instance->sound.host,
                                                     .peer_uid = instance->uid,
                                                     .node_id = instance->node_id,
                                                     .peer_name = instance->name,
                                                     .version = "1",
                                                     .roc_port_min = 20000,
                                                     .roc_port_max = 20009,
                                                     .links = instance->links,
                                                     .roster = &instance->roster,
                                                     .media_port = sim_sound_port(&instance->sound),
                                                     .key = &instance->key};
    if (!err)
        err = orchestrator_create(&orchestrator, &instance->orchestrator, &info);
    const struct api_config api = {.orchestrator = instance->orchestrator,
                                   .libroc_version = "0",
                                   .key = &instance->key,
                                   .clock = &instance->clock.clock};
    if (!err)
        err = api_create(&api, &instance->api, &info);
    const struct serve_config serve = {.api = instance->api, .links = instance->links};
    if (!err)
        err = serve_create(&serve, &instance->serve, &info);
    if (!err)
        err = orchestrator_start(instance->orchestrator, &info);
    if (!err)
        err = links_start(instance->links, &info);
    if (err)
        give_up("an instance did not start", &info);
    instance->is_up = true;
    sim_trace(world, "%s is up, for the %u. time", instance->name, instance->n_starts);
}

static struct sim_answer *the_waiting; /* answers of all instances that are not done */

static void fail_waiting(struct sim_instance *instance) {
    for (struct sim_answer **at = &the_waiting; *at;) {
        struct sim_answer *answer = *at;
        if (answer->instance != instance) {
            at = &answer->next;
            continue;
        }
        *at = answer->next;
        answer->instance = nullptr;
        answer->is_done = true;
        answer->status = 0;
    }
}

void sim_instance_crash(struct sim_instance *instance) {
    if (!instance->is_up)
        return;
    sim_trace(instance->world, "%s crashes", instance->name);
    instance->is_up = false;
    fail_waiting(instance);
    if (sim_chance(&instance->world->random, 500))
        fake_carrier_crash(instance->carrier);
    else
        fake_carrier_lose_power(instance->carrier);
    loop_sim_settle(&instance->loop); /* what workers had done, for nobody */
    sim_store_fail_all(instance->store);
    api_destroy(instance->api);
    orchestrator_destroy(instance->orchestrator);
    links_destroy(instance->links);
    serve_destroy(instance->serve);
    sim_store_crash(instance->store);
    sim_sound_finish(&instance->sound);
    instance->carrier->ops->close(instance->carrier);
    loop_sim_settle(&instance->loop);
    loop_sim_finish(&instance->loop);
    log_sink_finish(&instance->sink);
    instance->api = nullptr;
    instance->orchestrator = nullptr;
    instance->links = nullptr;
    instance->store = nullptr;
    instance->carrier = nullptr;
}

void sim_world_set_role(struct sim_world *world, int at, int who, enum roster_role role) {
    struct sim_instance *instance = world->instances[at];
    struct roster roster = {};
    struct err_info info = {};
    for (int i = 0; i < world->n; i++) {
        const struct sim_instance *other = world->instances[i];
        const struct roster_member *member = roster_find(&instance->roster, other->uid);
        enum roster_role wanted = i == who ? role : member ? member->role : ROSTER_NOBODY;
        char address[SIM_ADDRESS_SIZE];
        address_of(i, address);
        if (i != at && wanted != ROSTER_NOBODY &&
            roster_add(&roster, other->node_id, address, wanted, instance->key.public_key, &info) != ERR_OK)
            give_up("a member could not be added", &info);
    }
    roster_finish(&instance->roster);
    instance->roster = roster;
}

/* ---- time ---- */

static bool passes(void *arg, int from, int to) {
    const struct sim_world *world = arg;
    return !world->cut[from][to];
}

void sim_world_cut(struct sim_world *world, int a, int b, bool is_cut) {
    if (world->cut[a][b] == is_cut)
        return;
    sim_trace(world, "%s and %s %s", world->instances[a]->name, world->instances[b]->name,
              is_cut ? "are cut off from each other" : "reach each other again");
    world->cut[a][b] = world->cut[b][a] = is_cut;
    fake_network_cut(world->network, world->instances[a]->uid, world->instances[b]->uid, is_cut);
}

/* When the instance has something to do, in the world's time. */
static int64_t due_of(const struct sim_instance *instance) {
    if (!instance->is_up)
        return INT64_MAX;
    if (instance->loop.n_jobs > 0)
        return instance->world->now_ns;
    int64_t due = loop_next_due_ns(&instance->loop.loop);
    return due == INT64_MAX ? due : due - instance->monotonic_offset_ns;
}

static void step(struct sim_instance *instance) {
    struct sim_world *world = instance->world;
    struct loop_sim *loop = &instance->loop;
    if (loop->n_jobs > 0) {
        struct loop_sim_job job = loop->jobs[loop->head];
        loop->head = (loop->head + 1) % loop->cap_jobs;
        loop->n_jobs--;
        job.fn(job.arg);
    } else {
        loop_fire_due(&loop->loop);
    }
    world->n_steps++;
    if (world->after_step)
        world->after_step(world->arg, instance);
}

void sim_world_run_until(struct sim_world *world, int64_t until_ns) {
    for (;;) {
        struct sim_instance *next = nullptr;
        int64_t due = until_ns;
        for (int i = 0; i < world->n; i++) {
            int64_t its = due_of(world->instances[i]);
            if (its <= due && (!next || its < due)) {
                due = its;
                next = world->instances[i];
            }
        }
        int64_t air = (world->now_ns / AIR_STEP_NS + 1) * AIR_STEP_NS;
        if (air <= due) {
            world->now_ns = air;
            sim_air_step(&world->air);
            continue;
        }
        if (!next)
            break;
        if (due > world->now_ns)
            world->now_ns = due;
        step(next);
    }
    if (until_ns > world->now_ns)
        world->now_ns = until_ns;
}

/* ---- life ---- */

static void make_identity(struct sim_instance *instance) {
    crypto_sign_key_make(&instance->key);
    uid_reproducible(instance->uid, UID_TAG_PEER, instance->key.public_key, CRYPTO_PUBLIC_KEY_SIZE);
    node_id_format(instance->node_id, instance->key.public_key);
    char host[64];
    fake_network_host(instance->uid, host);
    struct err_info info = {};
    if (path_address_resolve(host, 0, &instance->world->air.hosts[instance->index], &info) != ERR_OK)
        give_up("an instance has no address", &info);
}

/* The made-up network has few addresses: once in some millions two uids have the same. */
static bool shares_host(const struct sim_world *world, int index) {
    for (int i = 0; i < index; i++)
        if (path_address_same_host(&world->air.hosts[i], &world->air.hosts[index]))
            return true;
    return false;
}

void sim_world_init(struct sim_world *world, int n, uint64_t seed) {
    *world = (struct sim_world){.random = seed, .n = n, .now_ns = START_NS};
    seed_randomness(seed ^ 0x726f6364);
    world->network = fake_network_create(seed);
    sim_air_init(&world->air, passes, world);
    for (int i = 0; i < n; i++) {
        struct sim_instance *instance = world->instances[i] = calloc(1, sizeof *instance);
        instance->world = world;
        instance->index = i;
        snprintf(instance->name, sizeof instance->name, "%c", 'A' + i);
        do
            make_identity(instance);
        while (shares_host(world, i));
        sim_disk_init(&instance->disk, sim_random(&world->random));
        instance->wall_offset_ns = sim_random_below(&world->random, 200) * NS_PER_S - 100 * NS_PER_S;
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            if (i != j)
                sim_world_set_role(world, i, j, ROSTER_ADMIN);
}

void sim_world_finish(struct sim_world *world) {
    world->after_step = nullptr;
    for (int i = 0; i < world->n; i++) {
        sim_instance_crash(world->instances[i]);
        roster_finish(&world->instances[i]->roster);
        sim_disk_finish(&world->instances[i]->disk);
        free(world->instances[i]);
    }
    fake_network_destroy(world->network);
    *world = (struct sim_world){};
}

/* ---- a client ---- */

static void on_reply(void *arg, struct api_reply *reply) {
    struct sim_answer *answer = arg;
    if (!answer->instance) { /* after a crash nobody waits */
        api_reply_finish(reply);
        return;
    }
    for (struct sim_answer **at = &the_waiting; *at; at = &(*at)->next)
        if (*at == answer) {
            *at = answer->next;
            break;
        }
    answer->instance = nullptr;
    answer->is_done = true;
    answer->status = reply->status;
    const char *body = reply->body ? reply->body : reply->static_body;
    answer->body = strndup(body ? body : "", body ? reply->body_len : 0);
    for (size_t i = 0; i < reply->n_headers; i++) {
        const struct api_header *header = &reply->headers[i];
        if (strcmp(header->name, "Location") == 0)
            snprintf(answer->location, sizeof answer->location, "%s", header->value);
        else if (strcmp(header->name, "ETag") == 0)
            snprintf(answer->etag, sizeof answer->etag, "%.63s", header->value);
    }
    api_reply_finish(reply);
}

void sim_ask(struct sim_instance *instance, const struct sim_call *call, struct sim_answer *ret) {
    *ret = (struct sim_answer){.instance = instance, .next = the_waiting};
    if (!instance->is_up) {
        *ret = (struct sim_answer){.is_done = true};
        return;
    }
    the_waiting = ret;
    struct api_request request = {.method = call->method,
                                  .path = call->path,
                                  .body = call->body,
                                  .body_len = call->body ? strlen(call->body) : 0,
                                  .content_type = call->body ? "application/json" : nullptr,
                                  .if_match = call->if_match,
                                  .if_none_match = call->if_none_match,
                                  .idempotency_key = call->idempotency_key};
    request.principal.privilege = call->privilege ? call->privilege : API_ADMIN;
    snprintf(request.principal.name, sizeof request.principal.name, "sim");
    api_dispatch(instance->api, &request, on_reply, ret);
}

struct sim_answer sim_call(struct sim_instance *instance, const struct sim_call *call) {
    struct sim_answer answer;
    sim_ask(instance, call, &answer);
    int64_t end_ns = instance->world->now_ns + 30 * NS_PER_S;
    while (!answer.is_done && instance->world->now_ns < end_ns)
        sim_world_run_ms(instance->world, 1);
    if (!answer.is_done)
        fail_waiting(instance);
    answer.next = nullptr;
    return answer;
}

void sim_answer_finish(struct sim_answer *answer) {
    free(answer->body);
    *answer = (struct sim_answer){};
}
