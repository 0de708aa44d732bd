/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/id.h"
#include "base/log.h"

struct clock;
struct crypto_sign_key;
struct orchestrator;

/*
 * The one request path: method, path and body come in, a reply goes out; how they travel (HTTP, a unix socket, the link
 * with another peer) is not known here. Dispatch finds the route in the generated table, checks the principal's privilege,
 * decides whether the object is ours, and calls the handler or passes the request on to the peer that owns it.
 *
 * Replies may come later (a write is answered when it is durable); the caller keeps its side alive until then.
 * Threads: core.
 */
enum api_privilege { API_NOBODY, API_VIEWER, API_OPERATOR, API_ADMIN };

struct api_principal {
    enum api_privilege privilege;
    char name[64];           /* for the log: "unix:1000", "tcp:127.0.0.1", "peer:6uibwb-h3z9nn-1nwaw6/unix:1000" */
    char peer_uid[UID_SIZE]; /* the peer whose link it came over; "": one of our users */
    bool is_peer_itself;     /* it asks for itself, not for a user of its own */
};

struct api_request {    /* borrowed for the call of api_dispatch() */
    const char *method; /* "GET" */
    const char *path;   /* decoded once, without the query */
    const char *query;  /* raw, without '?'; may be nullptr */
    const char *body;   /* may be nullptr */
    size_t body_len;
    const char *content_type; /* of the body; nullptr: none given */
    const char *if_match;     /* header values; nullptr: absent */
    const char *if_none_match;
    const char *last_event_id;
    const char *idempotency_key;
    const char *grant; /* JSON, see model/grant.h; of peers only */
    struct api_principal principal;
};

enum api_reply_kind {
    API_REPLY_BODY,   /* status, headers, body */
    API_REPLY_EVENTS, /* 200 and an endless text/event-stream: see `events` */
};

struct api_header {
    const char *name; /* static */
    char value[160];
};

constexpr size_t API_HEADERS_MAX = 6;

struct api_reply {
    enum api_reply_kind kind;
    int status;
    const char *content_type; /* static; nullptr with an empty body */
    char *body;               /* owned by the reply, which is the receiver's: api_reply_finish() */
    size_t body_len;
    const void *static_body; /* instead of body: embedded, lives forever */
    struct api_header headers[API_HEADERS_MAX];
    size_t n_headers;
    struct api_events *events; /* owned; API_REPLY_EVENTS */
};

void api_reply_finish(struct api_reply *reply);

/* Called exactly once per dispatch, possibly before it returns; takes the reply. */
typedef void (*api_reply_fn)(void *arg, struct api_reply *reply);

struct api;

struct api_config {
    struct orchestrator *orchestrator; /* borrowed; outlives the api */
    struct log log;
    const char *libroc_version;        /* for /version; static */
    const struct crypto_sign_key *key; /* borrowed; signs what our users command; nullptr: a site of one */
    const struct clock *clock;         /* borrowed; nullptr: that of the system */
};

enum err api_create(const struct api_config *config, struct api **ret, struct err_info *reterr);
/* Answers what still waits for the store or for another peer with 503, so that every dispatch has had its reply. Before
 * links_destroy(). Event streams still open stay readable (nothing comes any more) until api_events_destroy(). */
void api_destroy(struct api *api);
/* HEAD is answered like GET, body and all: the transport sends its length and leaves the body out. */
void api_dispatch(struct api *api, const struct api_request *request, api_reply_fn reply, void *arg);
/* A problem+json reply without a route: for what the transport itself must refuse (Host, size, malformed HTTP). */
void api_problem(struct api_reply *ret, const struct err_info *info);

/* ---- event streams: pulled by the transport ---- */

/* Appends what this subscriber has not seen, as SSE text, up to about max bytes. 0 appended: nothing new.
 * A subscriber that has fallen out of the ring gets a `reset` event. */
size_t api_events_read(struct api_events *events, struct buf *to, size_t max);
void api_events_destroy(struct api_events *events);

/* The same news one by one, for whoever sends no SSE text. Borrowed until the loop's next turn. */
struct api_event {
    const char *name;   /* "stream_updated", "reset" */
    const char *cursor; /* where the reader stands after it */
    const char *json;
    size_t json_len;
};
/* The next one; again the same until api_events_advance(). false: nothing new. */
bool api_events_peek(struct api_events *events, struct api_event *ret);
void api_events_advance(struct api_events *events);

/* wake(arg) after each batch of new events, until api_off_events() with the same arg; one for each way that requests
 * come, so that API_WAKERS_MAX is never reached. */
constexpr size_t API_WAKERS_MAX = 4;
void api_on_events(struct api *api, void (*wake)(void *arg), void *arg);
void api_off_events(struct api *api, void *arg);
