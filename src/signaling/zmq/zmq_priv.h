/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdint.h>
#include <uv.h>
#include <zmq.h>

#include "base/crypto.h"
#include "base/list.h"
#include "base/loop.h"
#include "model/roster.h"
#include "signaling/zmq/zmq_carrier.h"
#include "signaling/zmq/zmq_message.h"

/*
 * The inside of the ZeroMQ carrier: sockets in the core's loop, the ZAP handler, the monitors and the lines.
 *
 * ZMQ_FD is edge-triggered and becomes readable for more than messages, so each socket is looked at before the loop
 * sleeps (prepare) and after it woke (check); an idle handle keeps it from sleeping while something waits.
 *
 * Threads: core.
 */
enum zmq_role {
    ZMQ_ROLE_SERVER,
    ZMQ_ROLE_CLIENT,
    ZMQ_ROLE_ZAP,
    ZMQ_ROLE_SERVER_MONITOR,
    ZMQ_ROLE_CLIENT_MONITOR,
    ZMQ_N_ROLES
};

struct zmq_handle {
    void *socket; /* nullptr: closed */
    uv_poll_t poll;
    bool is_polled;
};

/* The connection that they made. */
struct zmq_accepted {
    bool is_up;
    struct zmq_route route;
    struct zmq_route
        former; /* the connection before it, or one that was hung up: what still comes by it is not heard */
    int fd;     /* of libzmq, for its monitor; -1: not known */
    char host[64];
};

/* The connection that we made, or try to make. */
struct zmq_dialed {
    bool is_trying, is_up;
    bool
        is_connected; /* by TCP. What the monitor says before that is of an earlier attempt: it comes later than we act */
    struct zmq_route route;
    uint64_t n; /* attempts so far; each has a routing id of its own, for libzmq aborts when one is used twice */
    char endpoint[ROSTER_ADDRESS_MAX + 16];
    char host[64];
};

struct zmq_line {
    struct zmq_carrier *carrier;
    const struct roster_member *member;
    struct zmq_accepted accepted;
    struct zmq_dialed dialed;
    struct loop_timer dial_failed; /* an attempt that failed at once is told of later */
};

struct zmq_door {
    int fd;                  /* owned; -1: nobody is listened for */
    bool is_held;            /* descriptors are short */
    struct loop_timer timer; /* looks how many are left */
    int64_t logged_ns;       /* when the log was last told of it; 0: never */
};

struct zmq_carrier {
    struct carrier carrier; /* first member */
    struct log log;
    const struct roster *roster;
    struct loop *loop;
    uv_loop_t *uv;
    struct crypto_dh_key key;
    char address[ROSTER_ADDRESS_MAX + 1];
    uint16_t port;
    const struct carrier_handler *handler;
    void *arg;
    void *context;
    struct zmq_handle handles[ZMQ_N_ROLES];
    struct zmq_door door;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle;
    unsigned n_uv;          /* handles of libuv that are not closed */
    struct zmq_line *lines; /* one a member, in its order; owned */
    bool is_closing;
    int64_t refused_logged_ns; /* when a stranger was last told of in the log; 0: never */
    uint64_t n_refused;
};

struct zmq_line *zmq_line_find(struct zmq_carrier *c, const char *peer_uid);
void zmq_line_tell(struct zmq_line *line, enum carrier_line which, bool is_up, enum err code, const char *why);

/* zmq_lines.c: messages and monitor events. true: there was something. */
bool zmq_read_server(struct zmq_carrier *c);
bool zmq_read_client(struct zmq_carrier *c);
bool zmq_read_server_monitor(struct zmq_carrier *c);
bool zmq_read_client_monitor(struct zmq_carrier *c);
/* Ends the attempt or the connection that we made; tells nobody. */
void zmq_dialed_end(struct zmq_line *line);

/* zmq_door.c: the port that peers dial. The socket of ZMQ_ROLE_SERVER is there and set. */
enum err zmq_door_open(struct zmq_carrier *c, struct err_info *reterr);
void zmq_door_close(struct zmq_carrier *c); /* after the socket */
/* What its monitor tells; `error` of accept() */
void zmq_door_on_accepted(struct zmq_carrier *c);
void zmq_door_on_accept_failed(struct zmq_carrier *c, int error);

/* zap.c */
bool zmq_read_zap(struct zmq_carrier *c);
/* Binds the handler; without it libzmq would let everybody in. */
enum err zmq_zap_start(struct zmq_carrier *c, struct err_info *reterr);
extern const char ZMQ_ZAP_DOMAIN_NAME[];
