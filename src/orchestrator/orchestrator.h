/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "model/grant.h"
#include "model_gen.h"

struct audio_host;
struct codec;
struct crypto_sign_key;
struct engine;
struct events;
struct links;
struct loop;
struct media_port;
struct remote_endpoint;
struct remote_peer;
struct remote_stream;
struct remote_wait;
struct roster;
struct store;

/*
 * The orchestrator: what is (registry/), what shall be (specs in the store), and what has to be done about it
 * (reconcile/: plan() is a pure function of desired and observed; apply carries its actions out through the media
 * engine). Handlers of the API call these functions and see local objects only.
 *
 * Writes: the change is checked, applied in memory with the next generation, announced as an event and reconciled at
 * once; `done` is called when the store says it is durable (or failed: memory then follows the store, and that too is an
 * event). `done` never comes from inside the call.
 *
 * Life cycle: create → start (loads the store, begins to reconcile) → stop (removes all links, asynchronously) → destroy.
 * Threads: core. Ownership: pointers to objects are borrowed until the loop's next turn; keep uids.
 */
struct orchestrator;

struct orchestrator_config {
    struct log log;
    struct loop *loop;
    struct store *store;   /* borrowed, as are all below */
    struct engine *engine; /* may be nullptr in tests of writes and reads alone */
    struct audio_host *host;
    const char *peer_uid;
    const char *node_id;   /* see model/node_id.h, for the peer object; nullptr: not shown */
    const char *peer_name; /* from config; what REST sets wins */
    const char *address;   /* of the API, for the peer object; see orchestrator_set_address() */
    const char *version;
    uint16_t roc_port_min, roc_port_max;
    bool lacks_realtime; /* audio threads wanted real-time scheduling, and the system refuses it: told in readyz */
    const char *const *drivers; /* names of enabled drivers, nullptr-terminated; nullptr: all */
    /* Of a site of more than one; all nullptr: a site of one. */
    struct links *links;
    const struct roster *roster;
    struct media_port *media_port;
    const struct crypto_sign_key *key; /* signs grants for what is commanded here */
};

enum err orchestrator_create(const struct orchestrator_config *config, struct orchestrator **ret,
                             struct err_info *reterr);
enum err orchestrator_start(struct orchestrator *orchestrator, struct err_info *reterr);
/* done(arg) on the core when every link and node is gone. */
void orchestrator_stop(struct orchestrator *orchestrator, void (*done)(void *arg), void *arg);
void orchestrator_destroy(struct orchestrator *orchestrator);
/* Once it is known: the port may have been chosen by the system. */
void orchestrator_set_address(struct orchestrator *orchestrator, const char *address);

/* The engine's callback ends here: app makes the engine first and forwards its events. */
struct engine_event;
void orchestrator_on_engine_event(struct orchestrator *orchestrator, const struct engine_event *event);

/* ---- what is ---- */

struct registry_peer {
    char uid[UID_SIZE];
    int64_t generation;
    struct peer info; /* as the API shows it, but for uptime, which is computed when it is shown */
};

struct registry_endpoint {
    char uid[UID_SIZE];
    int64_t generation;
    struct endpoint_spec spec;
    const char *driver; /* static name */
    char system_name[256];
    struct endpoint_status status;
    struct list_link link; /* registry's list, in order of creation */
};

struct registry_stream {
    char uid[UID_SIZE];
    int64_t generation;
    struct stream_spec spec;
    struct stream_status status; /* refreshed twice a second while the stream runs */
    bool has_grant;
    struct grant grant; /* of the last writer who gave one; the API never shows it */
    struct list_link link;
};

const struct registry_peer *orchestrator_self(const struct orchestrator *orchestrator);
struct events *orchestrator_events(const struct orchestrator *orchestrator);

/* nullptr: no such object */
const struct registry_endpoint *orchestrator_endpoint(const struct orchestrator *orchestrator, const char *uid);
const struct registry_stream *orchestrator_stream(const struct orchestrator *orchestrator, const char *uid);

/* Iteration in order of creation: previous = nullptr gives the first, nullptr is the end. */
const struct registry_endpoint *orchestrator_next_endpoint(const struct orchestrator *orchestrator,
                                                           const struct registry_endpoint *previous);
const struct registry_stream *orchestrator_next_stream(const struct orchestrator *orchestrator,
                                                       const struct registry_stream *previous);

/* Reads levels and counters from the engine now (for GET of one object, /metrics and meters); cheap. */
void orchestrator_refresh(struct orchestrator *orchestrator);
/* Meter events are made (≤ 10 Hz) while somebody watches. */
void orchestrator_watch_meters(struct orchestrator *orchestrator, bool watched);
/* Those of other peers are asked for while somebody watches them. Whom another peer asks for ours is not watching theirs. */
void orchestrator_watch_remote_meters(struct orchestrator *orchestrator, bool watched);

/* Ready to serve and to play? Fills the reasons of /readyz. */
void orchestrator_ready(const struct orchestrator *orchestrator, struct ready *ret);

/* The API objects, read-only members and status included. */
void orchestrator_show_endpoint(const struct orchestrator *orchestrator, const struct registry_endpoint *endpoint,
                                struct endpoint *ret);
void orchestrator_show_stream(const struct orchestrator *orchestrator, const struct registry_stream *stream,
                              struct stream *ret);
/* The last pieces of its sound that were lost, the newest first. false: there are no more. */
bool orchestrator_show_glitch(const struct orchestrator *orchestrator, const char *stream_uid, size_t i,
                              struct stream_glitch *ret);
void orchestrator_show_peer(const struct orchestrator *orchestrator, struct peer *ret);
/* The driver at this position of the list, enabled ones only; false: past the end. */
bool orchestrator_show_driver(const struct orchestrator *orchestrator, size_t index, struct driver *ret);

/* ---- what other peers have: see registry/remote.h ---- */

/* nullptr: a site of one */
struct links *orchestrator_links(const struct orchestrator *orchestrator);
/* nullptr: no such object */
const struct remote_peer *orchestrator_remote_peer(const struct orchestrator *orchestrator, const char *uid);
const struct remote_endpoint *orchestrator_remote_endpoint(const struct orchestrator *orchestrator,
                                                           const char *peer_uid, const char *uid);
const struct remote_stream *orchestrator_remote_stream(const struct orchestrator *orchestrator, const char *uid);
/* Figures of other peers, before they are shown: see remote_refresh(). */
bool orchestrator_refresh_remote(struct orchestrator *orchestrator, const char *peer_uid, struct remote_wait *wait,
                                 void (*done)(void *arg), void *arg);
void orchestrator_refresh_cancel(struct remote_wait *wait);
/* In no particular order; previous = nullptr gives the first, nullptr is the end. */
const struct remote_peer *orchestrator_next_remote_peer(const struct orchestrator *orchestrator,
                                                        const struct remote_peer *previous);
const struct remote_endpoint *orchestrator_next_remote_endpoint(const struct orchestrator *orchestrator,
                                                                const struct remote_endpoint *previous);
const struct remote_stream *orchestrator_next_remote_stream(const struct orchestrator *orchestrator,
                                                            const struct remote_stream *previous);
void orchestrator_show_remote_peer(const struct orchestrator *orchestrator, const struct remote_peer *peer,
                                   struct peer *ret);

/* ---- writes ---- */

/* info is nullptr on success. The object may be gone again by then. */
typedef void (*orchestrator_done_fn)(void *arg, enum err result, const struct err_info *info);

constexpr int64_t ANY_GENERATION = -1;

/* uid "" makes one: random for streams and made endpoints; it is written to ret_uid. With a uid that exists: replaces the
 * spec if its generation is `if_generation` (ERR_GENERATION); with one that does not: creates it (if_generation must be
 * ANY_GENERATION or 0). Returns what the checks say; only then is `done` called. */
enum err orchestrator_put_endpoint(struct orchestrator *orchestrator, const char *uid, const struct endpoint_spec *spec,
                                   int64_t if_generation, char ret_uid[static UID_SIZE], orchestrator_done_fn done,
                                   void *arg, struct err_info *reterr);
/* ERR_CONFLICT: streams use it, and it is not forced; forced: they stay and become pending (DeviceMissing). */
enum err orchestrator_remove_endpoint(struct orchestrator *orchestrator, const char *uid, int64_t if_generation,
                                      bool is_forced, orchestrator_done_fn done, void *arg, struct err_info *reterr);
/* `grant`: the commander's, stored with the spec in one piece; nullptr: none. */
enum err orchestrator_put_stream(struct orchestrator *orchestrator, const char *uid, const struct stream_spec *spec,
                                 const struct grant *grant, int64_t if_generation, char ret_uid[static UID_SIZE],
                                 orchestrator_done_fn done, void *arg, struct err_info *reterr);
/* `done` when the stream as it is now is durable. ERR_NOT_FOUND. */
enum err orchestrator_confirm_stream(struct orchestrator *orchestrator, const char *uid, orchestrator_done_fn done,
                                     void *arg, struct err_info *reterr);
enum err orchestrator_remove_stream(struct orchestrator *orchestrator, const char *uid, int64_t if_generation,
                                    orchestrator_done_fn done, void *arg, struct err_info *reterr);
enum err orchestrator_rename_peer(struct orchestrator *orchestrator, const char *name, int64_t if_generation,
                                  orchestrator_done_fn done, void *arg, struct err_info *reterr);

/* ---- what other peers ask for ---- */

/* The owner of a stream asks for the sound of an endpoint of ours: see reconcile/attachments.h, which also tells the
 * errors. Nothing is stored, so the answer comes at once. */
enum err orchestrator_put_attachment(struct orchestrator *orchestrator, const char *owner_uid, const char *stream_uid,
                                     const struct attachment_spec *spec, struct attachment *ret,
                                     struct err_info *reterr);
enum err orchestrator_remove_attachment(struct orchestrator *orchestrator, const char *owner_uid,
                                        const char *stream_uid, int64_t if_link_generation, struct err_info *reterr);
