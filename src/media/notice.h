/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/ring.h"

/*
 * News from a media thread to the core. Most kinds are bounded by their nature: an object is let go once, a link waits
 * for one decoder at a time. Those that may repeat at will (playing, silent) leave NOTICES_RESERVED places free for
 * them and are tried again a tick later, so nothing is ever lost.
 *
 * Threads: put by the one media thread, taken by the core.
 */
enum notice_kind {
    NOTICE_NODE_GONE,
    NOTICE_LINK_GONE,
    NOTICE_LINK_STARTED,
    NOTICE_LINK_SILENT,
    NOTICE_LINK_FAILED,
    NOTICE_LINK_NEW_SESSION, /* wants a new decoder */
    NOTICE_LINK_LATENCY,     /* wants a decoder of another latency, see struct link_receive::wanted */
    NOTICE_DECODER_OUT,      /* payload: the old decoder */
    NOTICE_NODE_ENDED,
    NOTICE_NODE_FAILED,
};

struct notice {
    enum notice_kind kind;
    void *owner;   /* the core's record of the node or link */
    void *payload; /* see kind */
};

/* Nodes and links of one engine together. What an object may have under way at once is at most 3 commands and
 * 6 notices of the bounded kinds. */
constexpr size_t ENGINE_OBJECTS_MAX = 2048;
constexpr size_t COMMANDS_CAPACITY = 4 * ENGINE_OBJECTS_MAX;
constexpr size_t NOTICES_RESERVED = 6 * ENGINE_OBJECTS_MAX;
constexpr size_t NOTICES_CAPACITY = 8 * ENGINE_OBJECTS_MAX;

struct notices {
    struct ring ring;
    bool fresh; // media thread: the core must be woken
};

static inline void notices_put(struct notices *notices, enum notice_kind kind, void *owner, void *payload) {
    struct notice notice = {.kind = kind, .owner = owner, .payload = payload};
    ring_write(&notices->ring, &notice, 1);
    notices->fresh = true;
}

/* For the kinds that may repeat. false: later. */
static inline bool notices_try_put(struct notices *notices, enum notice_kind kind, void *owner) {
    if (ring_writable(&notices->ring) <= NOTICES_RESERVED)
        return false;
    notices_put(notices, kind, owner, nullptr);
    return true;
}
