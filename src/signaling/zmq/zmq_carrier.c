/* SPDX-License-Identifier: MPL-2.0 */
#include "signaling/zmq/zmq_carrier.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/loop_uv.h"
#include "signaling/zmq/zmq_priv.h"

static struct zmq_carrier *of(const struct carrier *carrier) {
    return (struct zmq_carrier *)(uintptr_t)carrier;
}

/* ---- in the loop ---- */

/* A flood on one socket must not hold up the loop. */
constexpr int BUDGET = 200;

typedef bool read_fn(struct zmq_carrier *c);
static read_fn *const READ[ZMQ_N_ROLES] = {
    [ZMQ_ROLE_SERVER] = zmq_read_server,
    [ZMQ_ROLE_CLIENT] = zmq_read_client,
    [ZMQ_ROLE_ZAP] = zmq_read_zap,
    [ZMQ_ROLE_SERVER_MONITOR] = zmq_read_server_monitor,
    [ZMQ_ROLE_CLIENT_MONITOR] = zmq_read_client_monitor,
};

static bool has_input(const struct zmq_handle *handle) {
    int events = 0;
    size_t size = sizeof events;
    return handle->socket && zmq_getsockopt(handle->socket, ZMQ_EVENTS, &events, &size) == 0 && events & ZMQ_POLLIN;
}

static void on_check(uv_check_t *check) {
    struct zmq_carrier *c = check->data;
    for (int role = 0; role < ZMQ_N_ROLES; role++)
        for (int i = 0; i < BUDGET && has_input(&c->handles[role]) && READ[role](c); i++)
            ;
}

static void on_idle(uv_idle_t *) {
}

static void on_prepare(uv_prepare_t *prepare) {
    struct zmq_carrier *c = prepare->data;
    bool waits = false;
    for (int role = 0; role < ZMQ_N_ROLES; role++)
        waits |= has_input(&c->handles[role]);
    if (waits)
        uv_idle_start(&c->idle, on_idle);
    else
        uv_idle_stop(&c->idle);
}

/* Only wakes the loop: the check that follows reads. */
static void on_poll(uv_poll_t *, int, int) {
}

static void on_uv_closed(uv_handle_t *handle) {
    struct zmq_carrier *c = handle->data;
    if (--c->n_uv == 0 && c->is_closing)
        free(c);
}

static enum err watch(struct zmq_carrier *c, struct zmq_handle *handle, struct err_info *reterr) {
    uv_os_sock_t fd = -1;
    size_t size = sizeof fd;
    if (zmq_getsockopt(handle->socket, ZMQ_FD, &fd, &size) || uv_poll_init_socket(c->uv, &handle->poll, fd))
        return err_set(reterr, ERR_INTERNAL, "a signaling socket could not be put into the loop");
    handle->poll.data = c;
    handle->is_polled = true;
    c->n_uv++;
    uv_poll_start(&handle->poll, UV_READABLE, on_poll);
    return ERR_OK;
}

static void watch_turns(struct zmq_carrier *c) {
    uv_prepare_init(c->uv, &c->prepare);
    uv_check_init(c->uv, &c->check);
    uv_idle_init(c->uv, &c->idle);
    c->prepare.data = c->check.data = c->idle.data = c;
    c->n_uv += 3;
    uv_prepare_start(&c->prepare, on_prepare);
    uv_check_start(&c->check, on_check);
}

/* ---- sockets ---- */

static bool set_int(void *socket, int option, int value) {
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

static bool set_common(struct zmq_carrier *c, void *socket) {
    int64_t frame_max = CARRIER_FRAME_MAX;
    return zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof frame_max) == 0 &&
           set_int(socket, ZMQ_LINGER, 0) && set_int(socket, ZMQ_SNDHWM, CARRIER_QUEUE_MAX) &&
           set_int(socket, ZMQ_RCVHWM, CARRIER_QUEUE_MAX) && set_int(socket, ZMQ_HANDSHAKE_IVL, 5000) &&
           set_int(socket, ZMQ_HEARTBEAT_IVL, 2000) && set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, 6000) &&
           set_int(socket, ZMQ_HEARTBEAT_TTL, 6000) && set_int(socket, ZMQ_IPV6, 1) &&
           set_int(socket, ZMQ_ROUTER_MANDATORY, 1) &&
           zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, c->key.secret_key, sizeof c->key.secret_key) == 0;
}

/* The reader is connected before anything can happen: a monitor without one would block libzmq's thread. */
static bool monitor(struct zmq_carrier *c, enum zmq_role of_socket, enum zmq_role reader, const char *endpoint,
                    int events) {
    void *socket = c->handles[reader].socket = zmq_socket(c->context, ZMQ_PAIR);
    return socket && set_int(socket, ZMQ_LINGER, 0) &&
           zmq_socket_monitor(c->handles[of_socket].socket, endpoint, events) == 0 &&
           zmq_connect(socket, endpoint) == 0;
}

static enum err sockets_failed(const char *what, struct err_info *reterr) {
    return err_set(reterr, ERR_INTERNAL, "%s could not be set up: %s", what, zmq_strerror(zmq_errno()));
}

static enum err open_client(struct zmq_carrier *c, struct err_info *reterr) {
    constexpr int EVENTS = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                           ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                           ZMQ_EVENT_CONNECTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED;
    void *socket = c->handles[ZMQ_ROLE_CLIENT].socket = zmq_socket(c->context, ZMQ_ROUTER);
    /* libzmq would dial again by itself, without pause where the handshake fails: links decides when. */
    if (!socket || !set_common(c, socket) || !set_int(socket, ZMQ_RECONNECT_IVL, -1) ||
        zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, c->key.public_key, sizeof c->key.public_key) ||
        !monitor(c, ZMQ_ROLE_CLIENT, ZMQ_ROLE_CLIENT_MONITOR, "inproc://client-monitor", EVENTS))
        return sockets_failed("the socket that dials peers", reterr);
    return ERR_OK;
}

static enum err open_server(struct zmq_carrier *c, struct err_info *reterr) {
    constexpr int EVENTS = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_ACCEPT_FAILED | ZMQ_EVENT_DISCONNECTED;
    void *socket = c->handles[ZMQ_ROLE_SERVER].socket = zmq_socket(c->context, ZMQ_ROUTER);
    if (!socket || !set_common(c, socket) || !set_int(socket, ZMQ_CURVE_SERVER, 1) ||
        zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, ZMQ_ZAP_DOMAIN_NAME, strlen(ZMQ_ZAP_DOMAIN_NAME)) ||
        !monitor(c, ZMQ_ROLE_SERVER, ZMQ_ROLE_SERVER_MONITOR, "inproc://server-monitor", EVENTS))
        return sockets_failed("the socket that peers dial", reterr);
    return zmq_door_open(c, reterr);
}

/* ---- the ops ---- */

static enum err carrier_start(struct carrier *carrier, const struct carrier_handler *handler, void *arg,
                              struct err_info *reterr) {
    struct zmq_carrier *c = of(carrier);
    c->handler = handler;
    c->arg = arg;
    enum err err = zmq_zap_start(c, reterr); /* before anything is bound */
    if (!err)
        err = open_client(c, reterr);
    if (!err && *c->address)
        err = open_server(c, reterr);
    for (int role = 0; role < ZMQ_N_ROLES && !err; role++)
        if (c->handles[role].socket)
            err = watch(c, &c->handles[role], reterr);
    if (!err)
        watch_turns(c);
    return err;
}

static void dial_failed(void *arg) {
    struct zmq_line *line = arg;
    if (!line->dialed.is_trying)
        zmq_line_tell(line, CARRIER_DIALED, false, ERR_INVALID, "its address cannot be dialed: it is no host:port");
}

static void carrier_dial(struct carrier *carrier, const struct roster_member *member) {
    struct zmq_carrier *c = of(carrier);
    struct zmq_line *line = zmq_line_find(c, member->uid);
    if (!line || line->dialed.is_trying || !c->handles[ZMQ_ROLE_CLIENT].socket)
        return;
    struct zmq_dialed *dialed = &line->dialed;
    void *socket = c->handles[ZMQ_ROLE_CLIENT].socket;
    snprintf(dialed->endpoint, sizeof dialed->endpoint, "tcp://%s", member->address);
    dialed->route.len =
        (size_t)snprintf((char *)dialed->route.id, sizeof dialed->route.id, "%s/%" PRIx64, member->uid, ++dialed->n);
    dialed->is_trying = true;
    dialed->is_connected = false;
    *dialed->host = 0;
    if (zmq_setsockopt(socket, ZMQ_CONNECT_ROUTING_ID, dialed->route.id, dialed->route.len) == 0 &&
        zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, member->curve_key, sizeof member->curve_key) == 0 &&
        zmq_connect(socket, dialed->endpoint) == 0)
        return;
    dialed->is_trying = false;
    dialed->route.len = 0;
    loop_timer_start(c->loop, &line->dial_failed, 0);
}

static void carrier_hang_up(struct carrier *carrier, const char *peer_uid, enum carrier_line which) {
    struct zmq_line *line = zmq_line_find(of(carrier), peer_uid);
    if (!line)
        return;
    if (which == CARRIER_DIALED) {
        zmq_dialed_end(line);
    } else if (line->accepted.is_up) { /* libzmq cannot close it: it is not heard any more */
        line->accepted.is_up = false;
        line->accepted.former = line->accepted.route;
        line->accepted.route.len = 0;
    }
}

static enum err carrier_send(struct carrier *carrier, const char *peer_uid, enum carrier_line which, const void *frame,
                             size_t len) {
    struct zmq_carrier *c = of(carrier);
    const struct zmq_line *line = zmq_line_find(c, peer_uid);
    if (!line || !(which == CARRIER_DIALED ? line->dialed.is_up : line->accepted.is_up))
        return ERR_UNAVAILABLE;
    const struct zmq_route *route = which == CARRIER_DIALED ? &line->dialed.route : &line->accepted.route;
    void *socket = c->handles[which == CARRIER_DIALED ? ZMQ_ROLE_CLIENT : ZMQ_ROLE_SERVER].socket;
    if (zmq_send(socket, route->id, route->len, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        return zmq_errno() == EAGAIN ? ERR_LIMIT : ERR_UNAVAILABLE;
    return zmq_send(socket, frame, len, ZMQ_DONTWAIT) < 0 ? ERR_UNAVAILABLE : ERR_OK;
}

static void carrier_host(const struct carrier *carrier, const char *peer_uid, enum carrier_line which,
                         char ret[static 64]) {
    const struct zmq_line *line = zmq_line_find(of(carrier), peer_uid);
    snprintf(ret, 64, "%s", !line ? "" : which == CARRIER_DIALED ? line->dialed.host : line->accepted.host);
}

static uint16_t carrier_port(const struct carrier *carrier) {
    return of(carrier)->port;
}

static void uv_close_if_open(struct zmq_carrier *c, uv_handle_t *handle) {
    if (handle->data == c && !uv_is_closing(handle))
        uv_close(handle, on_uv_closed);
}

static void carrier_close(struct carrier *carrier) {
    struct zmq_carrier *c = of(carrier);
    if (!c)
        return;
    for (int role = 0; role < ZMQ_N_ROLES; role++) {
        struct zmq_handle *handle = &c->handles[role];
        if (handle->is_polled)
            uv_close((uv_handle_t *)&handle->poll, on_uv_closed);
        if (handle->socket && (role == ZMQ_ROLE_SERVER || role == ZMQ_ROLE_CLIENT))
            (void)zmq_socket_monitor(handle->socket, nullptr, 0);
    }
    for (int role = 0; role < ZMQ_N_ROLES; role++)
        if (c->handles[role].socket)
            zmq_close(c->handles[role].socket);
    zmq_door_close(c);
    uv_close_if_open(c, (uv_handle_t *)&c->prepare);
    uv_close_if_open(c, (uv_handle_t *)&c->check);
    uv_close_if_open(c, (uv_handle_t *)&c->idle);
    if (c->context)
        zmq_ctx_term(c->context);
    crypto_wipe(&c->key, sizeof c->key);
    for (size_t i = 0; c->lines && i < c->roster->n; i++)
        loop_timer_stop(c->loop, &c->lines[i].dial_failed);
    free(c->lines);
    c->lines = nullptr;
    c->is_closing = true;
    if (c->n_uv == 0)
        free(c);
}

enum err zmq_carrier_create(const struct zmq_carrier_config *config, struct carrier **ret, struct err_info *reterr) {
    static const struct carrier_ops OPS = {.start = carrier_start,
                                           .dial = carrier_dial,
                                           .hang_up = carrier_hang_up,
                                           .send = carrier_send,
                                           .host = carrier_host,
                                           .port = carrier_port,
                                           .close = carrier_close};
    struct zmq_carrier *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(reterr, ERR_NO_MEMORY, "no memory for the links to other peers");
    c->carrier.ops = &OPS;
    c->door.fd = -1;
    c->log = config->log;
    c->roster = config->roster;
    c->loop = loop_uv_loop(config->loop);
    c->uv = loop_uv_handle(config->loop);
    snprintf(c->address, sizeof c->address, "%s", config->address);
    crypto_dh_key_from_sign(&c->key, config->key);
    c->lines = calloc(config->roster->n + 1, sizeof *c->lines);
    c->context = zmq_ctx_new();
    if (!c->lines || !c->context) {
        carrier_close(&c->carrier);
        return err_set(reterr, ERR_NO_MEMORY, "no memory for the links to other peers");
    }
    for (size_t i = 0; i < config->roster->n; i++)
        c->lines[i] = (struct zmq_line){.carrier = c,
                                        .member = &config->roster->members[i],
                                        .accepted = {.fd = -1},
                                        .dial_failed = {.fire = dial_failed, .arg = &c->lines[i]}};
    *ret = &c->carrier;
    return ERR_OK;
}
