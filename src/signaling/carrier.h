/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"

struct roster_member;

/*
 * The carrier vtable: moves frames between this peer and others, and vouches for who sent them. It knows keys and
 * addresses, and nothing of what the frames say; when to dial, who is up and what was meant is the business of links.
 * Implementations: signaling/zmq (ROUTER sockets, CURVE, ZAP) and signaling/fake (a made-up network on virtual time).
 *
 * A *line* is a connection with one peer, made by dialing or by being dialed. At most one in each direction a peer; when
 * there are two, links hangs up one of them. Frames of a line arrive in order or not at all; a line that breaks loses
 * what was under way without a word.
 *
 * Life cycle: create (of the implementation) → start → … → close. Threads: core; callbacks come on the core and never
 * from inside a call of the ops.
 */
constexpr size_t CARRIER_FRAME_MAX = 256 * 1024;
constexpr size_t CARRIER_QUEUE_MAX = 100; /* frames waiting to be sent, a line */

enum carrier_line { CARRIER_DIALED, CARRIER_ACCEPTED }; /* who made it: we or they */

struct carrier {
    const struct carrier_ops *ops;
};

struct carrier_handler {
    /* A whole frame of a member of the roster, by the line it came on. Untrusted bytes, borrowed. */
    void (*frame)(void *arg, const char *peer_uid, enum carrier_line line, const void *frame, size_t len);
    /* A line is there (an accepted one: with its first frame) or gone; `info` says why it went, nullptr for a new one.
     * ERR_FORBIDDEN: the other side does not list us; ERR_INVALID: the key there is another; else ERR_UNAVAILABLE. */
    void (*line)(void *arg, const char *peer_uid, enum carrier_line line, bool is_up, const struct err_info *info);
};

struct carrier_ops {
    /* Binds and takes calls; the roster given at creation says from whom. ERR_BUSY: the port is taken. */
    enum err (*start)(struct carrier *carrier, const struct carrier_handler *handler, void *arg,
                      struct err_info *reterr);
    /* One attempt, which ends in handler.line (up, or not up with the reason). Nothing if a dialed line is there. */
    void (*dial)(struct carrier *carrier, const struct roster_member *member);
    /* Without a callback. Nothing if there is no such line. */
    void (*hang_up)(struct carrier *carrier, const char *peer_uid, enum carrier_line line);
    /* ERR_UNAVAILABLE: no such line. ERR_LIMIT: its queue is full, and the frame was not taken. */
    enum err (*send)(struct carrier *carrier, const char *peer_uid, enum carrier_line line, const void *frame,
                     size_t len);
    /* Where the other side of the line is, as an IP address without port; "": not known. */
    void (*host)(const struct carrier *carrier, const char *peer_uid, enum carrier_line line, char ret[static 64]);
    /* The port that others dial; 0: none. */
    uint16_t (*port)(const struct carrier *carrier);
    void (*close)(struct carrier *carrier); /* accepts nullptr */
};
