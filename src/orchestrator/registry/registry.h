/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "model/maxima.h"
#include "model/roster.h"
#include "model/stream_check.h"
#include "orchestrator/orchestrator.h"
#include "orchestrator/registry/drivers.h"
#include "orchestrator/registry/events.h"
#include "orchestrator/registry/level.h"
#include "orchestrator/registry/remote.h"
#include "orchestrator/registry/tombstones.h"
#include "orchestrator/registry/writes.h"

/*
 * What is: the objects of this peer with their specs and status, by uid and in order of creation. The one place that
 * changes them, and so the one that makes their events. It does not act on them: whoever does (reconcile/) listens.
 *
 * Life cycle: registry_init → registry_load → … → registry_finish. Threads: core.
 * Ownership: objects are the registry's. A removed one stays readable until the loop's next turn.
 */

/* What is known of an endpoint beyond its spec; endpoints.c keeps it. */
struct endpoint_entry {
    struct registry_endpoint object;    /* first member: what others see */
    const struct drivers_entry *driver; /* nullptr: none here makes this kind */
    enum stream_direction direction;
    struct err_info probe; /* what `available` said last; ERR_OK: fine, or not asked yet */
    bool is_probed, is_probe_under_way;
    int64_t revision;     /* grows with each change of spec: an answer to an older question is dropped */
    struct err_info open; /* why it could not be opened or failed in use; ERR_OK: nothing known */
    bool in_use;          /* has a node */
    /* devices.c: of what drivers tell of */
    bool is_stored;  /* it has a record in the store; a device that was found and left as it is has none */
    bool is_present; /* its driver tells of it */
    bool is_exposed; /* a virtual one that its driver has been asked to keep up */
    char found_name[LIMIT_NAME + 1];
    char follows[256]; /* a default: the system_name of the device that it is at present; empty: of none */
    struct level level;
};

struct stream_entry {
    struct registry_stream object; /* first member */
    struct stream_sides sides;
};

/* Whose news these are. */
struct registry_watch {
    struct registry *registry;
    struct drivers_entry *driver;
};

/* Told after the change, before its event, so that the event shows what came of it. Not told of changes of status. */
struct registry_listener {
    void (*endpoint_changed)(void *arg, const char *uid);
    void (*stream_changed)(void *arg, const char *uid);
    /* Not the spec but what endpoints.c found out about it. */
    void (*endpoint_availability_changed)(void *arg, const char *uid);
    /* Another peer: its link went up or down, or it has been restarted. May be nullptr, like the next. */
    void (*peer_changed)(void *arg, const char *peer_uid);
    /* An endpoint of another peer came, went or changed: remote_endpoint() tells how it is now. */
    void (*remote_endpoint_changed)(void *arg, const char *peer_uid, const char *endpoint_uid);
    /* Does a stream use the endpoint, one of ours or one that another peer owns? May be nullptr. */
    bool (*endpoint_is_used)(void *arg, const char *uid);
};

struct registry {
    struct log log;
    struct loop *loop;
    struct store *store;
    struct events *events;
    struct drivers *drivers;
    const struct registry_listener *listener;
    void *listener_arg;
    const struct roster *roster;       /* nullptr: a site of one, as below */
    const struct crypto_sign_key *key; /* signs grants of what is written here */
    struct registry_peer self;
    struct peer_spec configured;                 /* what the peer is called unless REST said otherwise */
    struct map endpoints_by_uid, streams_by_uid; // endpoint_entry, stream_entry
    struct list endpoints;                       // endpoint_entry::object.link, owned
    struct list streams;                         // stream_entry::object.link, owned
    size_t n_endpoints, n_streams;
    struct list dead_endpoints, dead_streams; // the same links: removed in this turn of the loop
    struct loop_timer bury;
    struct tombstones tombstones; /* uids of streams that were removed lately */
    struct writes writes;
    struct remote *remote; /* owned: what other peers have; nullptr: a site of one */
    struct loop_timer probe_timer;
    size_t n_probes;     /* under way */
    uint64_t next_probe; /* whose turn it is among the idle ones */
    bool is_loaded, is_stopping;
    bool has_watches, told_of_limit;    // devices.c
    const struct audio_device *finding; // devices.c: what is being listed; nullptr: nothing
    struct registry_watch watches[DRIVERS_MAX];
    int64_t started_ns;
};

enum err registry_init(struct registry *registry, const struct orchestrator_config *config, struct events *events,
                       struct drivers *drivers, const struct registry_listener *listener, void *arg,
                       struct err_info *reterr);
enum err registry_load(struct registry *registry, struct err_info *reterr);
void registry_finish(struct registry *registry);

/* nullptr: no such object */
struct endpoint_entry *registry_endpoint(const struct registry *registry, const char *uid);
struct stream_entry *registry_stream(const struct registry *registry, const char *uid);
/* In order of creation; previous = nullptr gives the first. */
struct endpoint_entry *registry_next_endpoint(const struct registry *registry, const struct endpoint_entry *previous);
struct stream_entry *registry_next_stream(const struct registry *registry, const struct stream_entry *previous);

/* Makes the event that tells the object as it is now. */
void registry_announce_endpoint(struct registry *registry, const struct endpoint_entry *entry, enum event_type type);
void registry_announce_stream(struct registry *registry, const struct stream_entry *entry, enum event_type type);
void registry_announce_peer(struct registry *registry);
/* What a schema describes, as an event. */
void registry_announce(struct registry *registry, enum event_type type, const char *uid, const struct schema *schema,
                       const void *object);

/* Writes: see orchestrator.h. */
enum err registry_put_endpoint(struct registry *registry, const char *uid, const struct endpoint_spec *spec,
                               int64_t if_generation, char ret_uid[static UID_SIZE], orchestrator_done_fn done,
                               void *arg, struct err_info *reterr);
enum err registry_remove_endpoint(struct registry *registry, const char *uid, int64_t if_generation, bool is_forced,
                                  orchestrator_done_fn done, void *arg, struct err_info *reterr);
enum err registry_put_stream(struct registry *registry, const char *uid, const struct stream_spec *spec,
                             const struct grant *grant, int64_t if_generation, char ret_uid[static UID_SIZE],
                             orchestrator_done_fn done, void *arg, struct err_info *reterr);
enum err registry_confirm_stream(struct registry *registry, const char *uid, orchestrator_done_fn done, void *arg,
                                 struct err_info *reterr);
enum err registry_remove_stream(struct registry *registry, const char *uid, int64_t if_generation,
                                orchestrator_done_fn done, void *arg, struct err_info *reterr);
enum err registry_rename_peer(struct registry *registry, const char *name, int64_t if_generation,
                              orchestrator_done_fn done, void *arg, struct err_info *reterr);

/* The change itself, in memory, with listeners and events: what writes, loading and reading back have in common.
 * Creates or replaces. ERR_NO_MEMORY, ERR_INVALID (a spec that does not pass its checks). */
enum err registry_set_endpoint(struct registry *registry, const char *uid, int64_t generation,
                               const struct endpoint_spec *spec, struct err_info *reterr);
enum err registry_set_stream(struct registry *registry, const char *uid, int64_t generation,
                             const struct stream_spec *spec, const struct grant *grant, struct err_info *reterr);
void registry_drop_endpoint(struct registry *registry, struct endpoint_entry *entry);
void registry_drop_stream(struct registry *registry, struct stream_entry *entry);
