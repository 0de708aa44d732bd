/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "base/log.h"
#include "model/roster.h"

struct carrier;
struct loop;

/*
 * Links: one to each member of the roster, over a carrier. A link carries requests both ways, which are REST requests
 * (docs/protocol.md tells the frames), their replies, and endless replies of events.
 *
 * A link is *up* when both sides have heard each other's hello and agree on a version of the protocol. A hello names the
 * sender's epoch, which is new with every start: what was meant for an earlier run is dropped by its receiver, and what
 * was asked of it fails. Nothing is queued for a peer that is down.
 *
 * The peer whose uid sorts first dials; the other does when nobody has come for a while and it knows an address. When
 * both did, the line made by the first stays. After a failure it is dialed again in 0.2 s, doubled up to 30 s, ± 20 %;
 * the pause begins anew when the link has been up for 10 s.
 *
 * A request is done at most once in a run of its receiver, however often its frame travels. When a link goes down, its
 * endless replies end at once; requests wait two seconds more, for a line that only broke is back by then, and asks for
 * the replies again. A peer that asks more than 50 requests a second, or 200 at once, gets 429; renewals of attachments
 * are counted apart, so that a flood of the others does not end streams.
 *
 * Life cycle: links_create → links_start → … → links_destroy, which ends what is under way (every request gets its
 * reply: ERR_UNAVAILABLE). Threads: core. Callbacks never come from inside a call of these functions, but for those of
 * links_destroy(). From inside a callback everything but links_destroy() may be called.
 */
struct links;

constexpr int LINKS_PROTO_MIN = 1;
constexpr int LINKS_PROTO_MAX = 1;
constexpr size_t LINKS_BODY_MAX = 64 * 1024;        /* of a request */
constexpr size_t LINKS_REPLY_MAX = 8 * 1024 * 1024; /* of a reply; travels in parts below CARRIER_FRAME_MAX */
constexpr size_t LINKS_EVENT_MAX = 64 * 1024;       /* JSON of one event */
constexpr size_t LINKS_CALLS_MAX = 512;             /* requests under way to one peer */
constexpr int64_t LINKS_DEADLINE_NS = 10'000'000'000;

enum links_state {
    LINKS_DOWN,    /* not reached, and nothing to dial or waiting to */
    LINKS_DIALING, /* or greeting */
    LINKS_UP,
    LINKS_REFUSED, /* the other side does not list us, has another key, or speaks no version of ours; tried again slowly */
};

/* One link, as it is now. */
struct links_peer {
    enum links_state state;
    int64_t since_ns;       /* monotonic */
    int64_t heard_ns;       /* last frame; 0: never */
    uint64_t epoch;         /* of the other side, 0: not known */
    int proto;              /* agreed, 0: not yet */
    char host[64];          /* where it is, an IP address; "" unless up */
    struct err_info reason; /* why it is not up; ERR_OK: no reason known */
    char version[33];       /* of its rocd, for people; "" until its first hello */
};

/* A request, as it leaves and as it arrives. Strings may be nullptr where that means absent. Borrowed for the call. */
struct links_request {
    const char *method;
    const char *path;  /* with real uids, never `self` */
    const char *query; /* raw, without '?' */
    const void *body;  /* JSON */
    size_t body_len;
    const char *content_type; /* of the body */
    const char *if_match, *if_none_match, *idempotency_key;
    const char *last_event_id;
    const char *grant; /* JSON, see model/grant.h */
    const char *user;  /* of the sender's user, for the log; nullptr: the peer itself */
    enum roster_role
        role;            /* of that user, as the sender says; the receiver takes the lesser of it and the peer's own */
    int64_t deadline_ns; /* from now; 0: LINKS_DEADLINE_NS. As it arrives: what is left of it */
    bool repeatable;     /* may be done twice: asked again when the other side restarts meanwhile */
};

struct links_header {
    const char *name; /* "ETag" */
    const char *value;
};
constexpr size_t LINKS_HEADERS_MAX = 6;

struct links_reply {
    int status;
    bool streaming;           /* events follow, see links_stream */
    const char *content_type; /* nullptr with an empty body */
    const void *body;
    size_t body_len;
    struct links_header headers[LINKS_HEADERS_MAX];
    size_t n_headers;
};

/* An event of an endless reply. */
struct links_event {
    const char *name;   /* "stream_updated" */
    const char *cursor; /* of the sender's log of events */
    const char *json;
    size_t json_len;
};

/* ---- asking ---- */

struct links_call;

struct links_caller {
    /* Once: the reply, or why there is none (then reply is nullptr): ERR_UNAVAILABLE: not up, went down or was restarted
     * before it answered (info says whether the request may have been done); ERR_LIMIT: too much under way. */
    void (*reply)(void *arg, const struct links_reply *reply, const struct err_info *info);
    /* Endless replies only (without `ended` an endless reply is an error), after reply(): each event in order, none left out; then once `ended` with the reason. */
    void (*event)(void *arg, const struct links_event *event);
    void (*ended)(void *arg, const struct err_info *info);
};

/* nullptr: no member, or out of memory, and no callback. A lost frame is sent again with the same id until the deadline; the other side
 * does it once. The call is gone when the last callback begins: reply(), or, where reply->streaming, `ended`. */
struct links_call *links_ask(struct links *links, const char *peer_uid, const struct links_request *request,
                             const struct links_caller *caller, void *arg);
/* Of a call that is not gone. No callback comes any more. The other side is told where the reply is endless. */
void links_cancel(struct links_call *call);

/* ---- being asked ---- */

struct links_serving; /* a request of a peer that waits for its reply, or an endless reply */

struct links_handler {
    /* Answered once with links_answer(), from inside or later. The peer is a member and its link is up. */
    void (*request)(void *arg, const char *peer_uid, const struct links_request *request,
                    struct links_serving *serving);
    /* The endless reply can take events again after links_push() said false, or has just begun. */
    void (*writable)(void *arg, struct links_serving *serving, void *stream);
    /* The reader is gone (or the links are): `stream` is the handler's to free. */
    void (*closed)(void *arg, struct links_serving *serving, void *stream);
    /* Something about the link is new: state, epoch, host. */
    void (*changed)(void *arg, const char *peer_uid, const struct links_peer *peer);
};

/* Takes nothing. The serving is gone, unless the reply is streaming: then `stream` is handed to the callbacks until
 * `closed`, which comes even where nobody waits any more; nothing is sent then. Every request must be answered, if need be
 * after links_destroy(). A streaming answer after that is not closed any more: the serving is gone. */
void links_answer(struct links_serving *serving, const struct links_reply *reply, void *stream);
/* Of an endless reply. false: not now, the reader has not yet got the last 50; `writable` follows. An event that cannot be
 * written (too large) ends the reply. */
bool links_push(struct links_serving *serving, const struct links_event *event);
/* The endless reply is over; the reader's `ended` tells it. No `closed` follows, and the serving is gone. */
void links_end(struct links_serving *serving);

/* ---- life ---- */

struct links_config {
    struct log log;
    struct loop *loop;
    struct carrier *carrier;     /* borrowed; outlives the links */
    const struct roster *roster; /* borrowed, constant */
    const char *own_uid;
    uint64_t epoch;           /* new with every start, never 0 */
    const char *version;      /* of this rocd */
    int proto_min, proto_max; /* 0: LINKS_PROTO_…; tests speak older and newer ones */
    uint64_t seed;            /* of jitter; 0: random */
};

enum err links_create(const struct links_config *config, struct links **ret, struct err_info *reterr);
/* More than one may listen: the API takes requests, the orchestrator wants news of peers. Members may be nullptr. Before
 * links_start(); the first with `request` gets the requests. */
void links_listen(struct links *links, const struct links_handler *handler, void *arg);
/* Starts the carrier, too. */
enum err links_start(struct links *links, struct err_info *reterr);
void links_destroy(struct links *links);

/* false: not a member */
bool links_peer(const struct links *links, const char *peer_uid, struct links_peer *ret);
/* Links with sound on them are watched more closely: pings every second instead of five. */
void links_watch_closely(struct links *links, const char *peer_uid, bool closely);
const struct roster *links_roster(const struct links *links);
