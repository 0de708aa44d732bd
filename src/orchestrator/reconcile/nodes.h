/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "audio/driver.h"
#include "base/list.h"
#include "model_gen.h"
#include "orchestrator/reconcile/plan.h"
#include "orchestrator/registry/drivers.h"

struct reconcile;
struct run;

/*
 * Endpoints in use: one node of the engine for each, shared by the streams that use it, opened for the first and closed
 * after the last. A node whose endpoint has changed, or that has ended or failed, is stale: nobody joins it any more, its
 * users let go, and only when it is closed is the next one of that endpoint opened (a recording must be finished before it
 * is begun anew).
 *
 * Life cycle: nodes_acquire → … → nodes_release. Threads: core; opening and closing on workers.
 */
enum node_state {
    NODE_WAITING, /* until the node before it is closed */
    NODE_OPENING,
    NODE_UP,
    NODE_CLOSING,
};

struct node {
    struct reconcile *reconcile;
    struct list_link link;
    char endpoint_uid[UID_SIZE];
    struct endpoint_spec spec;
    const struct drivers_entry *driver;
    enum audio_direction direction;
    enum node_state state;
    bool is_stale, has_ended;
    bool was_up;
    bool is_idle;                /* gives nothing, because nobody plays into it */
    bool has_xruns, knows_xruns; /* the device counts them; how many there were when they were judged last is known: */
    uint64_t xruns, judged_xruns, n_dry; /* as of now; then; of them, those to be judged next */
    int64_t late_ns, late_before_ns;     /* the worst lateness of its media thread since then, and before */
    int64_t still_ns;                    /* since when it moves nothing, though it is hardware; 0: it moves */
    struct list users;                   // struct node_use::link
    uint32_t id;                         /* engine's, once up */
    int64_t period_ns, opened_period_ns; /* asked of the device: now, and of `open` */
    int64_t real_period_ns;              /* that it has, whatever was asked for; 0: it is no device, or not known */
    struct audio_format format;
    struct audio_stream *stream; /* owned between open and engine */
    struct err_info failure;     /* of open */
};

struct node_use {
    struct run *run;
    bool as_source;
    struct node *node;     /* nullptr: not held */
    struct list_link link; /* node::users */
    bool is_stale;         /* this user must let go, others need not */
};

/* Failure (no memory) leaves the use without node. */
enum err nodes_acquire(struct reconcile *reconcile, const char *endpoint_uid, struct node_use *use,
                       struct err_info *reterr);
/* Accepts a use that holds nothing. */
void nodes_release(struct node_use *use);
/* The settings of a user's links have changed. Accepts a use that holds nothing. */
void nodes_take_period(struct node_use *use);
enum plan_part nodes_part(const struct node_use *use);
bool nodes_is_stale(const struct node_use *use, const char *endpoint_uid);

/* The spec of an endpoint changed, or it is gone. */
void nodes_endpoint_changed(struct reconcile *reconcile, const char *endpoint_uid);
struct node *nodes_find(struct reconcile *reconcile, uint32_t id);
void nodes_ended(struct node *node);
void nodes_failed(struct node *node, const struct err_info *reason);
/* Forgets what an orderly stop would have closed; the engine is gone, or goes. */
void nodes_finish(struct reconcile *reconcile);
