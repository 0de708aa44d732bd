/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"

/*
 * plan(): desired + observed → actions, and what to tell people. A pure function of one stream: no clock, no I/O, no
 * memory; the same input gives the same output. Whatever happened before, the next plan closes the distance; so a
 * crash, a failure or a change between any two actions needs no special care.
 *
 * The order it keeps: nodes before links, the receiver before the sender (so that no first packet is lost), the sender
 * gone before the receiver, links gone before nodes. Links of an older generation go before new ones come.
 *
 * A source that is an endpoint of another peer has an attachment where one of ours has a node and a sender. It is asked for
 * when the receiver stands; nothing waits for its end, for the other peer ends it by itself. A destination of another peer
 * (in the run of an attachment) is to this peer like one outside.
 *
 * Threads: any.
 */

/* One side of a stream, seen from this peer. */
enum plan_side_kind { PLAN_SIDE_EXTERNAL, PLAN_SIDE_ENDPOINT, PLAN_SIDE_REMOTE };

enum plan_availability {
    PLAN_AVAILABLE,
    PLAN_MISSING,  /* no such endpoint, or its device or file is absent: wait for it */
    PLAN_DISABLED, /* endpoint is disabled */
    PLAN_UNUSABLE, /* it is there and cannot be used (not a sound file …) */
    PLAN_ENDED,    /* a source that has given all it had */
};

/* How the peer of a remote source stands to the stream, as it said last. */
enum plan_remote {
    PLAN_REMOTE_READY,       /* it has not been asked yet, or it sends, or is about to */
    PLAN_REMOTE_IDLE,        /* it would send, and nobody plays into its endpoint */
    PLAN_REMOTE_STARVED,     /* it sends, and its device moves more sound at a time than the target latency holds */
    PLAN_REMOTE_UNREACHABLE, /* its link is down, or it does not answer */
    PLAN_REMOTE_REFUSING,    /* it cannot take the attachment now */
    PLAN_REMOTE_FORBIDDEN,   /* the commander may not do this there (or here) */
    PLAN_REMOTE_WAITING,     /* it has taken the attachment, and its endpoint is missing or disabled */
    PLAN_REMOTE_UNUSABLE,    /* … and its endpoint cannot be used, or its sender cannot be built */
    PLAN_REMOTE_ENDED,       /* … and the source has given all it had */
};

/* How far a part has come. */
enum plan_part {
    PLAN_PART_NONE,
    PLAN_PART_STARTING, /* an action is under way: wait for its end */
    PLAN_PART_UP,
    PLAN_PART_STOPPING,
};

struct plan_desired {
    bool exists; /* false: the stream was deleted */
    bool enabled;
    int64_t generation; /* of the link: grows with each change that needs a new one */
    enum plan_side_kind source, destination;
};

struct plan_observed {
    enum plan_availability source_availability, destination_availability; /* endpoints only */
    enum plan_part source_node, destination_node;
    bool source_node_stale,
        destination_node_stale; /* the node held is of another endpoint, of an older spec, or broken */
    enum plan_part sender, receiver;
    int64_t link_generation; /* what sender and receiver were built from; 0 = nothing built */
    bool link_failed;        /* a link reported failure since it was built */
    bool flowing;            /* first sound has come */
    bool silent;             /* no packets now */
    bool losing;             /* sound is lost faster than the degraded threshold */
    bool starved;            /* a device moves more sound at a time than the target latency holds */
    bool source_idle;        /* a source of ours that gives nothing because nobody plays into it */
    bool port_in_use;        /* last attempt failed that way */
    bool retry_waiting;      /* a pause after a failure is running */

    /* a remote source */
    enum plan_remote source_peer;
    enum plan_part attachment; /* never stopping */
    bool attachment_lost;      /* its link is of no use any more: build the next */
    bool attachment_waiting;   /* there is no sense in building: its link is down, or a pause is running */
};

enum plan_action {
    PLAN_OPEN_SOURCE_NODE = 1 << 0,
    PLAN_OPEN_DESTINATION_NODE = 1 << 1,
    PLAN_OPEN_RECEIVER = 1 << 2, /* with the path: before the sender, so that no first packet is lost */
    PLAN_OPEN_SENDER = 1 << 3,
    PLAN_CLOSE_SENDER = 1 << 4,
    PLAN_CLOSE_RECEIVER = 1 << 5,
    PLAN_RELEASE_SOURCE_NODE = 1 << 6, /* this stream no longer needs it; it closes with its last user */
    PLAN_RELEASE_DESTINATION_NODE = 1 << 7,
    PLAN_FORGET = 1 << 8, /* deleted and nothing left */
    PLAN_ATTACH = 1 << 9,
    PLAN_DETACH = 1 << 10,          /* nobody wants it any more: say so */
    PLAN_DROP_ATTACHMENT = 1 << 11, /* the next link takes its place */
};

enum plan_state { PLAN_PENDING, PLAN_CONNECTING, PLAN_RUNNING, PLAN_DEGRADED, PLAN_STOPPED, PLAN_FAILED };

struct plan {
    uint32_t actions; /* bits of enum plan_action, independent of each other: all may be started now */
    enum plan_state state;
    const char *reason; /* "DeviceMissing", "NoMedia", …; nullptr when all is well. reasons.h tells the words */
};

struct plan plan(const struct plan_desired *desired, const struct plan_observed *observed);
