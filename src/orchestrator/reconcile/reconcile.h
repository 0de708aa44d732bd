/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "media/engine.h"
#include "orchestrator/reconcile/glitch_log.h"
#include "orchestrator/reconcile/nodes.h"
#include "orchestrator/reconcile/plan.h"
#include "orchestrator/reconcile/remote_source.h"
#include "orchestrator/registry/registry.h"

struct attachments_entry;
struct links;
struct media_port;

/*
 * What has to be done about the specs: for every stream a *run*, which knows what is wanted of it and what has been
 * built for it. Whatever happens (a write, an endpoint that comes or goes, news from the engine, the end of a pause) only
 * changes what is known and kicks the run; run_reconcile() asks plan() and starts what it says. So there is one way in
 * which things are built and taken down, and no other.
 *
 *   reconcile.c      what happens: news from registry, engine and links, and the sweep
 *   run.c            one run: from what is known to what is desired and observed, failures and pauses
 *   apply.c          actions on links          apply_path.c  paths         nodes.c  endpoints in use    ports.c  local ports
 *   glitch_log.c     the last pieces of sound that were lost
 *   status.c         from the engine's figures and the plan's word to the status of streams and endpoints
 *   remote_source.c  streams from other peers, at the owner           farewell.c  telling a source that it is done
 *   attachments.c    the other half, at the peer of the source: runs made for the streams of others
 *
 * Life cycle: reconcile_init → reconcile_start → reconcile_stop, reconcile_is_still → reconcile_finish.
 * Threads: core; path opening and closing on workers.
 */
constexpr int64_t RECONCILE_STATUS_NS = 500'000'000;
constexpr int64_t RECONCILE_METER_NS = 100'000'000;
constexpr int64_t RECONCILE_RETRY_MIN_NS = 500'000'000;
constexpr int64_t RECONCILE_RETRY_MAX_NS = 10'000'000'000;
/* Sound that flowed for so long makes the next failure a first one. */
constexpr int64_t RECONCILE_STEADY_NS = 10'000'000'000;

struct reconcile {
    struct log log;
    struct loop *loop;
    struct engine *engine; /* nullptr: nothing is built */
    struct registry *registry;
    uint16_t port_min, port_max, next_port; /* 0: the system chooses */
    struct map runs_by_uid;
    struct list runs;  // struct run::link, owned
    struct list nodes; // struct node::link, owned
    struct loop_timer sweep, status, meter;
    size_t n_jobs; /* path work on workers */

    /* other peers; all nullptr or zero in a site of one */
    struct links *links;
    const struct roster *roster;
    struct media_port *media_port;
    const struct crypto_sign_key *key;
    char epoch[17];               /* of this run of rocd, in hexadecimal: owners are told apart by it */
    int64_t last_link_generation; /* of links from other peers; never given twice, whatever becomes of the stream */
    struct list attachments;      // struct attachments_entry::link, owned
    struct list farewells;        // struct farewell::link, owned
    bool watched[ROSTER_MAX];     /* links with sound on them, by the member's place in the roster */

    uint32_t next_start; /* staggers encoders */
    bool is_stopping;
    bool in_write; /* the registry makes the event itself */
};

/* One end of a stream's link. */
struct run_end {
    struct run *run;
    bool is_sender;
    enum plan_part part;
    uint32_t link; /* engine's id, 0: none */
};

/* The last failure, for people. */
struct run_failure {
    char type[16];   /* "Path" */
    char reason[49]; /* stable word */
    struct err_info info;
};

/* Counts at a status tick, for figures over the last seconds. */
struct run_sample {
    int64_t at_ns;
    uint64_t lost_frames, bytes, sent, dropped;
};
constexpr size_t RUN_SAMPLES = 11; /* 5 s */

struct run {
    struct reconcile *reconcile;
    struct list_link link;
    char uid[UID_SIZE];
    bool is_dirty;
    struct attachments_entry *attachment; /* what it was made for, if not for a stream of our own */
    struct remote_source remote;          /* where the source is an endpoint of another peer */

    /* desired */
    bool exists;
    struct stream_spec spec;
    struct stream_sides sides;
    int64_t wanted_link; /* generation of the link; grows with each change that needs a new one */

    /* observed */
    struct node_use source, destination;
    struct run_end sender, receiver;
    int64_t built_link;
    struct codec_settings settings; /* of the built link */
    struct path *waiting_path;      /* owned: the sending end of a memory path, until the sender is opened */
    bool link_failed, flowing, silent, losing, starved, source_ended, port_in_use;
    uint16_t ports[URI_N_ROLES]; /* chosen for an external source, kept over rebuilds; 0: none */
    struct stream_local_uris local_uris;
    int64_t built_ns, flowing_ns, silent_ns; /* since when; 0: not */
    int64_t starved_ns;                      /* likewise: a device takes more at a time than the target holds */
    uint64_t silent_packets;                 /* had come when silence began */
    struct loop_timer drain;                 /* the source has ended, its last sound is on its way */

    /* failures */
    struct run_failure failure;
    unsigned attempts;
    bool retry_waiting, rebuilds; /* rebuilds: the next link replaces one that failed */
    struct loop_timer retry;

    /* figures */
    struct level level;
    struct run_sample samples[RUN_SAMPLES];
    size_t n_samples, next_sample;
    struct glitch_log glitches;
};

void reconcile_init(struct reconcile *reconcile, const struct orchestrator_config *config, struct registry *registry);
void reconcile_start(struct reconcile *reconcile);
/* Takes everything down; reconcile_is_still() tells when it is. */
void reconcile_stop(struct reconcile *reconcile);
bool reconcile_is_still(const struct reconcile *reconcile);
void reconcile_finish(struct reconcile *reconcile);

extern const struct registry_listener reconcile_listener; /* arg: struct reconcile */
void reconcile_on_engine_event(struct reconcile *reconcile, const struct engine_event *event);
void reconcile_watch_meters(struct reconcile *reconcile, bool watched);

/* ---- within this folder: run.c ---- */

/* nullptr: out of memory. It is in no map yet. */
struct run *run_create(struct reconcile *reconcile, const char *uid);
void run_destroy(struct run *run);
/* The stream it is of; nullptr: it is gone, or there is none, for the run was made for an attachment. */
struct stream_entry *run_stream(const struct run *run);
/* Something about this run has changed: it is planned anew in the loop's next turn. */
void run_kick(struct run *run);
void run_reconcile(struct run *run);
/* Begins the pause after a failure. `what` may be nullptr: see run_failure. */
void run_failed(struct run *run, const char *type, const char *reason, const struct err_info *info);
void run_forgive(struct run *run);
/* What was read last is still in the encoder, on the way and in the queue of the receiver. */
void run_begin_drain(struct run *run);
/* Written anew: a source that has ended begins again. */
void run_begin_again(struct run *run);

/* apply.c */
void apply_actions(struct run *run, uint32_t actions);
void apply_gain(struct run *run);
void apply_links_gone(struct run *run);
/* The end could not be built. */
void apply_end_failed(struct run_end *end, const char *reason, const struct err_info *info);
/* Takes the path. `gate` may be nullptr for a sending end. */
void apply_add_link_take(struct run_end *end, struct path *path, const struct gate_config *gate);

/* apply_path.c: paths to and from the outside, opened on a worker, end in one of the two above. */
void apply_open_external(struct run_end *end, const struct stream_side *side);
void apply_close_path(struct reconcile *reconcile, struct path *path);
void apply_close_waiting_path(struct run *run);

/* ports.c: the first (of at most max) sets of local ports to try for an external source; 0 stands for what the system
 * chooses. Returns how many sets. */
size_t ports_candidates(struct run *run, size_t max, uint16_t (*ret)[URI_N_ROLES]);

/* status.c */
void status_poll_run(struct run *run);
void status_poll_all(struct reconcile *reconcile);
void status_poll_node(struct reconcile *reconcile, struct node *node);
void status_latency_changed(struct run *run, const struct engine_event *event);
void status_publish(struct run *run, const struct plan *plan);
enum stream_state status_state_of(enum plan_state state);
void status_tick(void *arg);  /* struct reconcile */
void status_meter(void *arg); /* struct reconcile */
