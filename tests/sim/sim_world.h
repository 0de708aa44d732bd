/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "api/api.h"
#include "base/crypto.h"
#include "base/loop_sim.h"
#include "model/roster.h"
#include "orchestrator/orchestrator.h"
#include "sim/sim_sound.h"
#include "sim/sim_store.h"

struct carrier;
struct fake_network;
struct links;
struct serve;

/*
 * A site of instances in one process, on one virtual time: the real api, orchestrator and links of each, over a network,
 * disks and sound that are made up. Every instance has a loop and clocks of its own, which differ from those of the
 * others; the world lets the instance go on whose next timer is due first. The same seed gives the same run.
 *
 * Randomness of the whole process is replaced (libsodium's, too): one world at a time.
 *
 * Life cycle: sim_world_init → sim_instance_start … sim_world_run_until … → sim_world_finish. Threads: one.
 */
struct sim_instance {
    struct sim_world *world;
    int index;
    char name[16]; /* "A", "B", … */
    struct crypto_sign_key key;
    char uid[UID_SIZE];
    char node_id[NODE_ID_SIZE];
    struct roster roster; /* as its configuration says; others may say otherwise of it */
    struct sim_disk disk;
    int64_t monotonic_offset_ns, wall_offset_ns;

    /* while it runs */
    bool is_up;
    unsigned n_starts;
    struct log_sink sink; /* its log is part of the trace */
    struct sim_clock {
        struct clock clock; /* first member */
        struct sim_instance *instance;
    } clock;
    struct loop_sim loop;
    struct store *store;
    struct carrier *carrier;
    struct links *links;
    struct sim_sound sound;
    struct orchestrator *orchestrator;
    struct api *api;
    struct serve *serve;
};

struct sim_world {
    uint64_t random; /* state; for the world's own decisions */
    int64_t now_ns;
    int n;
    struct sim_instance *instances[SIM_INSTANCES_MAX]; /* owned */
    struct sim_air air;
    struct fake_network *network;                   /* owned */
    bool cut[SIM_INSTANCES_MAX][SIM_INSTANCES_MAX]; /* sound from … to … does not pass */
    /* Called after each step of an instance; it may crash it. nullptr: not. */
    void (*after_step)(void *arg, struct sim_instance *instance);
    void *arg;
    uint64_t n_steps;
    bool is_traced; /* what happens goes to standard output */
};

void sim_world_init(struct sim_world *world, int n, uint64_t seed);
void sim_world_finish(struct sim_world *world);
/* `n` lists `who` with a role (ROSTER_NOBODY: not at all). Takes effect at the next start. */
void sim_world_set_role(struct sim_world *world, int at, int who, enum roster_role role);

void sim_instance_start(struct sim_instance *instance);
/* Between two steps: everything in memory is lost, and what was not durable. */
void sim_instance_crash(struct sim_instance *instance);
void sim_world_run_until(struct sim_world *world, int64_t until_ns);
static inline void sim_world_run_ms(struct sim_world *world, int64_t ms) {
    sim_world_run_until(world, world->now_ns + ms * NS_PER_MS);
}

/* Nothing passes between the two, and nobody is told. */
void sim_world_cut(struct sim_world *world, int a, int b, bool is_cut);

[[gnu::format(printf, 2, 3)]] void sim_trace(const struct sim_world *world, const char *format, ...);

/* ---- a client of an instance's REST API ---- */

struct sim_answer {
    bool is_done;
    int status; /* 0: the instance crashed before it answered */
    char *body; /* owned, ends with NUL */
    char location[160];
    char etag[64];
    struct sim_answer *next; // Private state: those that wait
    struct sim_instance *instance;
};
struct sim_call {
    const char *method, *path, *body;
    const char *if_match, *if_none_match, *idempotency_key;
    enum api_privilege privilege; /* 0: admin */
};
/* The answer must stay where it is until it is done. */
void sim_ask(struct sim_instance *instance, const struct sim_call *call, struct sim_answer *ret);
/* Waits (virtual time, at most 30 s); status 0 after a crash. The body must be freed: sim_answer_finish(). */
struct sim_answer sim_call(struct sim_instance *instance, const struct sim_call *call);
void sim_answer_finish(struct sim_answer *answer);
