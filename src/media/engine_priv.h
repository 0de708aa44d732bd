/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <pthread.h>

#include "base/list.h"
#include "base/loop.h"
#include "media/engine.h"
#include "media/media_thread.h"

/*
 * The engine as its own files see it: the core's records of nodes and links, and the jobs on workers.
 *
 * A record is lent to a media thread between the ADD command and the GONE notice, and to a worker while one of its jobs
 * is active; it is freed when neither has it. Records outlive the engine only while a finished job still has to report:
 * then `engine` is nullptr and the report frees the record.
 *
 * Threads: the core, apart from the `work` functions of jobs.
 */

/* Work on a worker, then `done` on the core; both get the object. Where the loop takes no more work, it is tried again
 * from the engine's timer, so that a job cannot fail to start. */
struct job {
    struct list_link in_retry; /* struct engine::retry */
    struct engine *engine;
    loop_fn work, done;
    void *object;
    bool active;
};

enum record_state {
    RECORD_OPENING, /* links: a worker is building it */
    RECORD_LIVE,    /* a media thread has it */
    RECORD_LEAVING, /* a media thread has been told to let it go; nodes also while their links go */
    RECORD_CLOSING, /* a worker closes it */
};

/* What links cost their thread, one beside the other: to receive is about twice the work (make bench ONLY=cpu). */
constexpr unsigned ENGINE_LOAD_SEND = 1;
constexpr unsigned ENGINE_LOAD_RECEIVE = 2;

struct node_record {
    struct list_link in_engine; /* struct engine::nodes */
    struct engine *engine;
    uint32_t id;
    enum record_state state;
    struct node *node;   /* owned */
    struct delay *delay; /* the node's; nullptr: it never had one */
    int64_t delay_ns;
    struct media_thread *thread;
    size_t n_links;      /* records that refer to it */
    unsigned links_load; /* … and what they cost its thread */
    unsigned least_load; /* one link is expected: endpoints come before their links */
    bool told_to_go;
    void (*removed)(void *arg);
    void *removed_arg;
    struct job close;
};

struct link_record {
    struct list_link in_engine; /* struct engine::links */
    struct engine *engine;
    uint32_t id;
    enum record_state state;
    struct node_record *node; /* nullptr: there was none of that id */
    struct engine_link_config config;
    struct path *path;            /* owned until the link has it */
    struct share *share;          /* a reference, which is the link's once there is one; nullptr: none */
    bool has_joined;              /* … and it counts among its n_joined */
    struct link_send *send;       /* owned; one of the two */
    struct link_receive *receive; /* owned */
    /* What is queried: the newest of its kind, until the link is told to leave. Core only. */
    struct codec_encoder *encoder;
    struct codec_decoder *decoder;
    struct codec_decoder *offered; /* of another latency: the media thread will let go of it, or of `decoder` */
    struct adapt_decision offer;   /* that it was built for; ADAPT_STAY: the clocks alone */
    int32_t offer_sender_ppm;      /* likewise */
    int32_t sender_ppm;            /* of `decoder` */
    int64_t end_to_end_ns;
    bool latency_is_measured; /* by pings; else it is an estimate, by the wall clocks of both ends */
    struct latency_known latency;
    struct latency_median latency_readings;
    double gain_db; /* wanted now; `config` has that of the beginning */
    bool muted;
    bool remove_wanted;  /* while it is still being opened */
    bool gone;           /* the media thread has let go */
    bool decoder_wanted; /* for a new sender, as soon as nothing else is under way */
    bool latency_wanted; /* likewise: a decoder of another latency */
    bool builds_latency; /* what the build job is for */
    enum err result;     // of open and build jobs
    struct err_info info;
    struct codec_decoder *built;       /* owned: on its way to the media thread */
    struct codec_decoder *old;         /* owned: on its way to be closed */
    struct codec_decoder *next_old[2]; /* owned: to be closed after it */
    size_t n_next_old;
    struct job main, build, dispose;
    engine_link_done_fn added;
    void *added_arg;
    void (*removed)(void *arg);
    void *removed_arg;
};

struct engine {
    struct engine_config config;
    engine_event_fn on_event;
    void *event_arg;
    struct list nodes; /* struct node_record, owned */
    struct list links; /* struct link_record, owned */
    size_t n_objects;
    uint64_t n_counts; /* of encoders; see struct share */
    uint32_t next_id;
    struct list retry; /* struct job::in_retry */
    struct loop_timer timer;
    struct stall_board stalls;
    pthread_mutex_t works_lock; /* n_works */
    pthread_cond_t works_over;
    unsigned n_works; /* functions that workers run or will run */
    unsigned n_threads;
    struct media_thread threads[];
};

/* ---- engine.c ---- */

void engine_job_start(struct engine *engine, struct job *job, loop_fn work, loop_fn done, void *object);
void engine_tell(struct engine *engine, enum engine_event_kind kind, uint32_t node, uint32_t link,
                 const struct err_info *reason);
uint32_t engine_new_id(struct engine *engine);
/* Calls done(arg) on the core, but not from here. Harmless without a function. */
void engine_call_later(struct engine *engine, void (*done)(void *arg), void *arg);

/* ---- engine_node.c ---- */

struct node_record *engine_find_node(struct engine *engine, uint32_t id);
void engine_node_notice(struct engine *engine, const struct notice *notice);
int64_t engine_node_delay_ns(const struct node_record *record);
/* A record refers to it; or does so no more. */
void engine_node_add_link(struct node_record *node, bool receiving);
void engine_node_link_closed(struct node_record *node, bool receiving);
void engine_node_destroy_now(struct node_record *record);

/* ---- engine_link.c ---- */

void engine_link_notice(struct engine *engine, const struct notice *notice);
void engine_link_remove(struct link_record *record, void (*done)(void *arg), void *arg);
void engine_link_query(struct link_record *record);
void engine_link_destroy_now(struct link_record *record);
