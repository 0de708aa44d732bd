/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/id.h"
#include "base/list.h"
#include "base/loop.h"
#include "base/map.h"
#include "model_gen.h"

/*
 * The mirror: what the other peers of the site have, as they last said it. It is filled by asking: as soon as the link
 * with a peer is up, GET /state?peer=… of it, and from the cursor of that snapshot on its events, without end. What breaks
 * (a reset, the end of the events, something that cannot be read) is mended by asking for the state again. Differences
 * become events of the local log that carry the uid of that peer.
 *
 * A listed peer may lie. It is believed only about what is its own: endpoints that name it as their peer, streams whose
 * owner it is. So objects are kept by peer and uid, and an endpoint is named by both. A stream is named by its uid alone:
 * of several that have one, ours is shown, else the one that was heard of first, and the others wait, hidden, until it goes.
 * Objects are decoded, checked, and kept as JSON written anew; nothing of the bytes received is passed on.
 *
 * Events tell of changes, and figures (levels, packets, latencies) change always and make no events. Whoever is about to
 * show them asks for them first: remote_refresh().
 *
 * The objects of a peer that is offline stay, as it was last seen. Nothing is kept over a restart: a peer that has not been
 * seen since is pending.
 *
 * Life cycle: remote_create → … → remote_destroy, before or after links_destroy. Threads: core.
 * Ownership: pointers to objects are borrowed until the loop's next turn.
 */
struct links;
struct links_call;
struct registry;
struct remote;
struct roster;
struct roster_member;

struct remote_object {
    char uid[UID_SIZE];
    struct remote_peer *peer;
    int64_t generation;
    char *json; /* owned; as the API shows it */
    size_t json_len;
    uint64_t order;        // Private state: grows with each new object
    bool is_seen;          // Private state: named by the snapshot that is being read
    struct list_link link; // Private state
};

struct remote_endpoint {
    struct remote_object object; /* first member */
    enum stream_direction direction;
    enum endpoint_kind kind;
    enum endpoint_state state;
    char reason[sizeof((struct endpoint_status *)nullptr)->reason]; /* "": none */
    char display_name[sizeof((struct endpoint_spec *)nullptr)->display_name];
};

struct remote_stream {
    struct remote_object object;                          /* first member */
    char source_uid[UID_SIZE], source_peer_uid[UID_SIZE]; /* of the endpoint; "": external */
    char destination_uid[UID_SIZE], destination_peer_uid[UID_SIZE];
    bool is_shown; // Private state
};

/* A member of the roster. All of them are there from the start to the end. */
struct remote_peer {
    char uid[UID_SIZE];
    bool is_up;                    /* its link is */
    bool was_seen;                 /* since this instance started: `info` is what it said */
    uint64_t epoch;                /* of its present run, 0: not known */
    bool is_in_step;               /* its objects are those it has now */
    struct peer info;              /* with the view from here: state, since, role, reason … */
    size_t n_endpoints, n_streams; /* hidden ones included */

    // Private state
    struct remote *remote;
    const struct roster_member *member; /* borrowed */
    struct list_link link;
    struct map endpoints_by_uid, streams_by_uid; // struct remote_object
    struct links_call *call;                     /* of the state, then of the events; nullptr: none under way */
    struct links_call *meters;                   /* events of its meters */
    struct links_call *figures;
    int64_t figures_asked_ns;
    char cursor[65];
    unsigned attempts;  /* that failed in a row */
    int64_t in_step_ns; /* since when */
    int64_t info_ns;    /* when `info` was said */
    struct loop_timer retry, retry_meters;
    int64_t complained_ns; /* 0: never */
    unsigned n_unsaid;     /* complaints since */
};

/* Who waits for figures; in the place of whoever does. */
struct remote_wait {
    // Private state
    struct remote *remote; /* nullptr: for none */
    struct list_link link;
    char peer_uid[UID_SIZE]; /* "": of all */
    void (*done)(void *arg);
    void *arg;
    struct loop_timer timer;
};

constexpr int64_t REMOTE_FIGURES_NS = 1'000'000'000;    /* a peer is asked for its figures once in */
constexpr int64_t REMOTE_FIGURES_WAIT_NS = 500'000'000; /* nobody waits for them longer */
constexpr int64_t REMOTE_RETRY_MIN_NS = 500'000'000;
constexpr int64_t REMOTE_RETRY_MAX_NS = 10'000'000'000;

/* Listens to the links, which may be nullptr: then all members stay pending. nullptr: out of memory. */
struct remote *remote_create(struct registry *registry, struct links *links, const struct roster *roster);
void remote_destroy(struct remote *remote);
/* Meters of other peers come while somebody watches. */
void remote_watch_meters(struct remote *remote, bool watched);
/* Asks peers that are up and have anything for their figures, unless they were asked a moment ago; peer_uid: that one alone,
 * "": all. true: `wait` is taken, and done(arg) comes once, never from inside: when all have answered, or when it has taken
 * too long. false: nothing is to be waited for. */
bool remote_refresh(struct remote *remote, const char *peer_uid, struct remote_wait *wait, void (*done)(void *arg),
                    void *arg);
/* `done` does not come any more. Accepts one that is over. */
void remote_refresh_cancel(struct remote_wait *wait);
/* A stream of our own has this uid now, or has it no more. */
void remote_stream_is_ours(struct remote *remote, const char *uid);
void remote_stream_was_ours(struct remote *remote, const char *uid);

/* All of these take nullptr for `remote`: a site of one. nullptr: no such thing. */
const struct remote_peer *remote_peer(const struct remote *remote, const char *uid);
const struct remote_endpoint *remote_endpoint(const struct remote *remote, const char *peer_uid, const char *uid);
/* Hidden ones are not told of, neither here nor below. */
const struct remote_stream *remote_stream(const struct remote *remote, const char *uid);
/* In no particular order; previous = nullptr gives the first. */
const struct remote_peer *remote_next_peer(const struct remote *remote, const struct remote_peer *previous);
const struct remote_endpoint *remote_next_endpoint(const struct remote *remote, const struct remote_endpoint *previous);
const struct remote_stream *remote_next_stream(const struct remote *remote, const struct remote_stream *previous);

/* As the API shows it, uptime computed. */
void remote_show_peer(const struct remote_peer *peer, struct peer *ret);
