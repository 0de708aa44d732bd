/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "audio/driver.h"
#include "base/id.h"
#include "media/engine.h"
#include "transport/sealed.h"

/*
 * The sound of simulated instances: engine_…, the audio drivers, paths and the media port are defined here at link time,
 * and nothing of them sounds. What matters is kept: who holds which endpoint, which links there are, and whether packets
 * of a sending link would reach a receiving one and open there (host, link id and key agree, and the network lets them).
 *
 * Life cycle: sim_air_init → sim_sound_init of each instance → sim_air_step every now and then → sim_sound_finish (also
 * what a crash does) → sim_air_finish. Threads: one.
 */
constexpr size_t SIM_INSTANCES_MAX = 16;
constexpr size_t SIM_NODES_MAX = 64;
constexpr size_t SIM_LINKS_MAX = 64;
constexpr int64_t SIM_SILENT_AFTER_NS = 1'000'000'000;

struct sim_path {
    struct path path; /* first member */
    struct sim_sound *sound;
    bool is_sealed, is_answered;
    struct path_sealed_config sealed;
    struct sim_path *twin; /* memory: the other end; nullptr: closed */
};

struct sim_node {
    bool is_open;
    enum audio_direction direction;
    struct audio_stream *stream;
};

struct sim_link {
    bool is_open, is_up;
    uint32_t id; /* never given twice */
    uint32_t node;
    struct engine_link_config config;
    struct sim_path *path;
    engine_link_done_fn done;
    void *arg;
    bool flows;           /* receiving: packets come in */
    int64_t last_flow_ns; /* monotonic of the instance */
    bool is_silent;
    uint64_t packets;
};

struct sim_sound {
    struct sim_air *air;
    int index;
    struct loop *loop;
    struct audio_host host;
    engine_event_fn on_event;
    void *arg;
    uint32_t next_id;
    struct sim_node nodes[SIM_NODES_MAX]; /* id is the index + 1 */
    struct sim_link links[SIM_LINKS_MAX];
    uint32_t reserved[SIM_LINKS_MAX]; /* link ids of the media port, 0: free */
    const struct audio_watcher *watcher;
    void *watcher_arg;
    char speaker[UID_SIZE]; /* the virtual loudspeaker that was exposed; "": none */
    bool is_idle;           /* no program plays into it */
    unsigned open_streams, open_paths;
    uint64_t links_made;
};

struct sim_air {
    struct sim_sound *sounds[SIM_INSTANCES_MAX]; /* nullptr: the instance is down */
    union path_address hosts[SIM_INSTANCES_MAX]; /* where each is; ports do not matter */
    /* Does the network let packets pass from the one to the other? */
    bool (*passes)(void *arg, int from, int to);
    void *arg;
};

void sim_air_init(struct sim_air *air, bool (*passes)(void *arg, int from, int to), void *arg);
/* Lets packets flow, for as long as time has passed. */
void sim_air_step(struct sim_air *air);

void sim_sound_init(struct sim_sound *sound, struct sim_air *air, int index, struct loop *loop,
                    engine_event_fn on_event, void *arg);
void sim_sound_finish(struct sim_sound *sound);
struct engine *sim_sound_engine(struct sim_sound *sound);
struct media_port *sim_sound_port(struct sim_sound *sound);
/* The receiving link at `at` that would take what this sending link sends, or nullptr. */
struct sim_link *sim_air_receiver(const struct sim_air *air, const struct sim_link *sender, int *ret_index);
