/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "orchestrator/orchestrator.h"
#include "orchestrator/registry/events.h"
#include "orchestrator/registry/remote.h"

/*
 * An orchestrator for the tests of api/, put in the place of the real one by the linker: objects in arrays, a store that
 * says "durable" when the test lets it, a log of events that forgets when the test says so. No sound, no checks.
 *
 * Threads: none. malloc is not checked, as in all tests.
 */
constexpr size_t FAKE_MAX = 16;
constexpr size_t FAKE_EVENTS_MAX = 64;

struct fake_pending {
    orchestrator_done_fn done;
    void *arg;
};

struct events {
    uint64_t epoch, last;
    uint64_t forgotten; /* events up to this number are gone */
    struct event events[FAKE_EVENTS_MAX];
    void (*wake)(void *arg);
    void *wake_arg;
};

struct orchestrator {
    struct registry_peer self;
    struct registry_endpoint endpoints[FAKE_MAX];
    size_t n_endpoints;
    struct registry_stream streams[FAKE_MAX];
    size_t n_streams;
    struct fake_pending pending[FAKE_MAX];
    size_t n_pending;
    struct events events;
    bool watched, watched_remote;
    struct grant grant; /* of the last write of a stream */
    bool has_grant;
    size_t n_confirmed;  /* streams that were to be stored as they are */
    struct links *links; /* see fake_links.h; nullptr: a site of one */
    struct remote_peer remote_peers[FAKE_MAX];
    size_t n_remote_peers;
    struct remote_endpoint remote_endpoints[FAKE_MAX];
    size_t n_remote_endpoints;
    struct remote_stream remote_streams[FAKE_MAX];
    size_t n_remote_streams;
    bool is_stale; /* the next that asks for figures has to wait for fake_refreshed() */
    char refreshed_peer[UID_SIZE];
    struct remote_wait *wait; /* nullptr: nobody waits */
    size_t n_refreshes;
    bool not_ready;
    char owner[UID_SIZE];   /* who asked for an attachment */
    int64_t attached_link;  /* 0: nothing is attached */
    struct err_info refuse; /* the next write is refused so; code 0: taken */
};

constexpr char FAKE_PEER[] = "6uibwb-h3z9nn-1nwaw6";

struct orchestrator *fake_create(void);
void fake_destroy(struct orchestrator *fake);
/* Another peer, and what it has; `json` is kept as it is, and is the caller's. */
struct remote_peer *fake_remote_peer(struct orchestrator *fake, const char *uid, const char *name);
void fake_remote_endpoint(struct orchestrator *fake, struct remote_peer *peer, const char *uid, const char *json);
void fake_remote_stream(struct orchestrator *fake, struct remote_peer *peer, const char *uid, const char *json);
/* Figures have come. */
void fake_refreshed(struct orchestrator *fake);
/* The store answers all that waits for it. */
void fake_store_answers(struct orchestrator *fake, enum err result);
void fake_event(struct orchestrator *fake, enum event_type type, const char *uid, const char *json);
void fake_event_of(struct orchestrator *fake, const char *peer_uid, enum event_type type, const char *uid,
                   const char *json);
