/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/log.h"
#include "orchestrator/registry/registry.h"
#include "signaling/links.h"

/*
 * The inside of the mirror: remote.c asks (when, whom, again), remote_objects.c reads what comes and keeps it,
 * remote_figures.c does both for figures.
 *
 * Threads: core.
 */
struct remote {
    struct log log;
    struct registry *registry;
    struct links *links;      /* borrowed; nullptr: none */
    struct map peers_by_uid;  // struct remote_peer
    struct list peers;        // struct remote_peer::link, owned
    struct map shown_streams; // struct remote_stream
    struct list endpoints;    // struct remote_endpoint::object.link, owned
    struct list streams;      // struct remote_stream::object.link, owned
    uint64_t last_order;
    struct list waits; // struct remote_wait::link
    bool watched;      /* meters are */
};

/* One line of the log in ten seconds for each peer. */
void remote_complain(struct remote_peer *peer, const char *uid, const struct err_info *info);
void remote_announce_peer(struct remote_peer *peer);

/* The body of GET /state: takes the place of all that was known of the peer, and sets its cursor. What the peer may not
 * claim is left out. ERR_MALFORMED, ERR_INVALID, ERR_NO_MEMORY: nothing can be made of it. */
enum err remote_take_state(struct remote_peer *peer, const char *json, size_t len, struct err_info *reterr);
/* An error: what is known of the peer is no longer what it is, ask anew. */
enum err remote_take_event(struct remote_peer *peer, const struct links_event *event, struct err_info *reterr);
void remote_take_meter(struct remote_peer *peer, const struct links_event *event);
/* The body of GET /state once more: figures alone, of what is known. */
void remote_take_figures(struct remote_peer *peer, const char *json, size_t len);
/* The link is down: nobody waits for it. */
void remote_figures_stop(struct remote_peer *peer);
void remote_objects_finish(struct remote *remote);
