/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "audio/driver.h"
#include "base/loop_sim.h"
#include "media/engine.h"
#include "orchestrator/orchestrator.h"

/*
 * An orchestrator on virtual time, with everything around it made up: the engine, the audio drivers, the paths, the
 * store. Its link-time neighbours (engine_…, path_…, audio_drivers) are defined here; this is not a test of them. A test
 * says what they shall answer, moves time, and looks at what was asked of them.
 *
 * Life cycle: fake_world_init → … → fake_world_finish, which stops the orchestrator and asserts that nothing it opened is
 * still open. Threads: one. One world at a time, for drivers and paths have no argument that could tell worlds apart.
 */
constexpr size_t FAKE_NODES_MAX = 64;
constexpr size_t FAKE_LINKS_MAX = 128;
constexpr size_t FAKE_TRACE_MAX = 4096;

struct fake_node {
    bool is_open;
    enum audio_direction direction;
    struct audio_stream *stream;
    struct engine_node_status status;
    int64_t delay_ns;
};

struct fake_link {
    bool is_open, is_up;
    uint32_t id, node;
    struct engine_link_config config;
    struct path *path;
    struct engine_link_status status;
    struct glitch glitches[4]; /* not yet taken */
    size_t n_glitches;
    engine_link_done_fn done;
    void *arg;
};

struct fake_world {
    struct loop_sim sim;
    struct store *store; /* memory; outlives a restart of the orchestrator */
    struct audio_host host;
    struct orchestrator *orchestrator;
    bool without_engine;
    struct links *peer_links;      /* see fake_links.h; nullptr: a site of one */
    const struct roster *roster;   /* may be nullptr */
    struct media_port *media_port; /* see fake_site.h; may be nullptr, as the next */
    const struct crypto_sign_key *key;

    /* What they shall answer. ERR_OK: all is well */
    enum err file_error; /* availability and opening of files */
    enum err open_error; /* opening alone, of any endpoint */
    enum err path_error; /* opening of UDP paths */
    enum err link_error; /* of the next links, `n_link_errors` of them */
    unsigned n_link_errors;
    bool mute; /* links that come up do not start to play by themselves */

    /* What was asked of them: "+node +recv +send -send …", with times */
    char trace[FAKE_TRACE_MAX];
    int64_t path_opened_ns[64];
    size_t n_path_opened;
    unsigned open_streams, open_paths;
    struct fake_node nodes[FAKE_NODES_MAX]; /* id is the index + 1 */
    size_t n_nodes;
    struct fake_link links[FAKE_LINKS_MAX]; /* as above */
    size_t n_links;
    const struct audio_watcher *watcher; /* of the driver "card" */
    void *watcher_arg;
    char exposed[UID_SIZE]; /* "": nothing */
    int64_t period_ns;      /* asked last of an endpoint that was opened, or is open */
    unsigned n_periods;     /* times that one that is open was asked */
    double gain_db;         /* last engine_set_gain */
    bool muted;
};

void fake_world_init(struct fake_world *world);
void fake_world_finish(struct fake_world *world);
/* Makes the orchestrator, and loads the store into it. */
void fake_world_start(struct fake_world *world);
/* Orderly: until stop says it is done, a second at most. Asserts that nothing is left. */
void fake_world_stop(struct fake_world *world);

void fake_world_run_ms(struct fake_world *world, int64_t ms);
/* One posted job, or the timers that are due. */
void fake_world_step(struct fake_world *world);
/* The newest open link of that direction, or nullptr. */
struct fake_link *fake_world_link(struct fake_world *world, bool receiving);
void fake_world_link_event(struct fake_world *world, const struct fake_link *link, enum engine_event_kind kind);
void fake_world_latency_event(struct fake_world *world, const struct fake_link *link, int64_t from_ms, int64_t to_ms,
                              enum adapt_cause cause);
/* The newest open node of that direction has ended or failed. */
void fake_world_node_event(struct fake_world *world, enum audio_direction direction, enum engine_event_kind kind);
void fake_world_clear_trace(struct fake_world *world);
/* The number of the last event, and the types of those after one: "endpoint_added endpoint_removed". */
uint64_t fake_world_last_event(const struct fake_world *world);
const char *fake_world_news(const struct fake_world *world, uint64_t since);

/* ---- writes that wait for their end ---- */

struct fake_answer {
    bool is_done;
    enum err result;
    struct err_info info;
};
void fake_done(void *arg, enum err result, const struct err_info *info); /* arg: struct fake_answer */

/* Specs by their JSON, as the API would read them; a text that is wrong fails the test. */
struct endpoint_spec fake_endpoint_spec(const char *json);
struct stream_spec fake_stream_spec(const char *json);
/* Both sides endpoints. */
struct stream_spec fake_stream_between(const char *source_uid, const char *destination_uid);
/* Put, settled, and well: the uid. uid "" makes one. */
void fake_put_endpoint(struct fake_world *world, const char *uid, const char *json, char ret_uid[static UID_SIZE]);
void fake_put_stream(struct fake_world *world, const char *uid, const struct stream_spec *spec,
                     char ret_uid[static UID_SIZE]);
