/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "signaling/zmq/zmq_priv.h"

/*
 * What the sockets have to say: messages, each with the routing id of its connection before it, and the events of their
 * monitors. A connection that we made is known by the routing id we gave it and proved by the server key we pinned; one
 * that they made by the user id that ZAP put on its messages.
 */

struct zmq_line *zmq_line_find(struct zmq_carrier *c, const char *peer_uid) {
    for (size_t i = 0; i < c->roster->n; i++)
        if (strcmp(c->roster->members[i].uid, peer_uid) == 0)
            return &c->lines[i];
    return nullptr;
}

void zmq_line_tell(struct zmq_line *line, enum carrier_line which, bool is_up, enum err code, const char *why) {
    struct zmq_carrier *c = line->carrier;
    struct err_info info = {.code = code};
    snprintf(info.message, sizeof info.message, "%s", why ? why : "");
    c->handler->line(c->arg, line->member->uid, which, is_up, is_up ? nullptr : &info);
}

static bool route_is(const struct zmq_route *route, const struct zmq_route *other) {
    return route->len > 0 && route->len == other->len && memcmp(route->id, other->id, route->len) == 0;
}

/* ---- messages ---- */

static void note_host(char host[static 64], struct zmq_message *message) {
    if (*host)
        return;
    char address[64];
    zmq_message_property(message, "Peer-Address", address, sizeof address);
    snprintf(host, 64, "%s", strncmp(address, "::ffff:", 7) == 0 ? address + 7 : address);
}

static void accept_connection(struct zmq_line *line, struct zmq_message *message) {
    struct zmq_accepted *accepted = &line->accepted;
    if (accepted->is_up) {
        accepted->is_up = false;
        accepted->former = accepted->route;
        zmq_line_tell(line, CARRIER_ACCEPTED, false, ERR_UNAVAILABLE, "the peer has called anew");
    }
    accepted->route = message->route;
    accepted->fd = zmq_message_fd(message);
    *accepted->host = 0;
    note_host(accepted->host, message);
    accepted->is_up = true;
    zmq_line_tell(line, CARRIER_ACCEPTED, true, ERR_OK, nullptr);
}

static void take_accepted(struct zmq_line *line, struct zmq_message *message) {
    struct zmq_carrier *c = line->carrier;
    const struct zmq_route *route = &message->route;
    if (route->len == 0 || route_is(&line->accepted.former, route))
        return;
    if (!line->accepted.is_up || !route_is(&line->accepted.route, route))
        accept_connection(line, message);
    if (line->accepted.is_up) /* whoever was told of it may have hung up */
        c->handler->frame(c->arg, line->member->uid, CARRIER_ACCEPTED, message->body, message->len);
}

bool zmq_read_server(struct zmq_carrier *c) {
    struct zmq_message message;
    if (!zmq_message_receive(c->handles[ZMQ_ROLE_SERVER].socket, &message))
        return false;
    char user[UID_SIZE + 1] = "";
    if (message.is_sound)
        zmq_message_property(&message, "User-Id", user, sizeof user);
    struct zmq_line *line = *user ? zmq_line_find(c, user) : nullptr;
    if (line)
        take_accepted(line, &message);
    zmq_message_close(&message);
    return true;
}

static void take_dialed(struct zmq_line *line, struct zmq_message *message) {
    struct zmq_carrier *c = line->carrier;
    note_host(line->dialed.host, message);
    /* The monitor may be a moment behind the messages. */
    if (!line->dialed.is_up) {
        line->dialed.is_up = true;
        zmq_line_tell(line, CARRIER_DIALED, true, ERR_OK, nullptr);
    }
    if (line->dialed.is_up)
        c->handler->frame(c->arg, line->member->uid, CARRIER_DIALED, message->body, message->len);
}

bool zmq_read_client(struct zmq_carrier *c) {
    struct zmq_message message;
    if (!zmq_message_receive(c->handles[ZMQ_ROLE_CLIENT].socket, &message))
        return false;
    char uid[UID_SIZE] = "";
    if (message.is_sound && message.route.len > UID_LEN)
        memcpy(uid, message.route.id, UID_LEN);
    struct zmq_line *line = *uid ? zmq_line_find(c, uid) : nullptr;
    if (line && route_is(&line->dialed.route, &message.route))
        take_dialed(line, &message);
    zmq_message_close(&message);
    return true;
}

/* ---- monitors ---- */

struct monitor_event {
    uint16_t event;
    uint32_t value;
    char address[sizeof((struct zmq_dialed *)nullptr)->endpoint];
};

/* Two frames: event (2 bytes) and value (4), in the byte order of the machine; the endpoint. */
static bool read_event(void *socket, struct monitor_event *ret) {
    struct zmq_message message;
    *ret = (struct monitor_event){};
    if (!zmq_message_receive(socket, &message))
        return false;
    if (message.is_sound && message.route.len == sizeof ret->event + sizeof ret->value) {
        memcpy(&ret->event, message.route.id, sizeof ret->event);
        memcpy(&ret->value, message.route.id + sizeof ret->event, sizeof ret->value);
        snprintf(ret->address, sizeof ret->address, "%.*s", (int)message.len, (const char *)message.body);
    }
    zmq_message_close(&message);
    return true;
}

bool zmq_read_server_monitor(struct zmq_carrier *c) {
    struct monitor_event event;
    if (!read_event(c->handles[ZMQ_ROLE_SERVER_MONITOR].socket, &event))
        return false;
    if (event.event == ZMQ_EVENT_ACCEPTED)
        zmq_door_on_accepted(c);
    if (event.event == ZMQ_EVENT_ACCEPT_FAILED)
        zmq_door_on_accept_failed(c, (int)event.value);
    if (event.event != ZMQ_EVENT_DISCONNECTED)
        return true;
    for (size_t i = 0; i < c->roster->n; i++) {
        struct zmq_line *line = &c->lines[i];
        if (!line->accepted.is_up || line->accepted.fd < 0 || line->accepted.fd != (int)event.value)
            continue;
        line->accepted.is_up = false;
        line->accepted.former = line->accepted.route;
        line->accepted.route.len = 0;
        zmq_line_tell(line, CARRIER_ACCEPTED, false, ERR_UNAVAILABLE, "the connection has broken off");
    }
    return true;
}

/* How an attempt or a connection of ours ends, and what that means. */
static const struct {
    uint16_t event;
    enum err code;
    const char *why;
} ENDS[] = {
    {ZMQ_EVENT_HANDSHAKE_FAILED_AUTH, ERR_FORBIDDEN,
     "it does not list this peer: add our node id (rocctl id) to site.peers there"},
    {ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL, ERR_INVALID, "what answers there is no rocd, or has another key"},
    {ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL, ERR_INVALID,
     "the handshake broke off: is the node id that is listed for it the right one? (rocctl id, there)"},
    {ZMQ_EVENT_DISCONNECTED, ERR_UNAVAILABLE, "the connection has broken off"},
    {ZMQ_EVENT_CLOSED, ERR_UNAVAILABLE, "nobody answers at its address"},
};

static void end_by_event(struct zmq_line *line, enum err code, const char *why) {
    char text[ERR_MESSAGE_MAX];
    snprintf(text, sizeof text, "%s (%s)", why, line->member->address);
    zmq_dialed_end(line);
    zmq_line_tell(line, CARRIER_DIALED, false, code, text);
}

bool zmq_read_client_monitor(struct zmq_carrier *c) {
    struct monitor_event event;
    if (!read_event(c->handles[ZMQ_ROLE_CLIENT_MONITOR].socket, &event))
        return false;
    for (size_t i = 0; i < c->roster->n; i++) {
        struct zmq_line *line = &c->lines[i];
        if (!line->dialed.is_trying || strcmp(line->dialed.endpoint, event.address) != 0)
            continue;
        line->dialed.is_connected |= event.event == ZMQ_EVENT_CONNECTED;
        if (!line->dialed.is_connected && event.event != ZMQ_EVENT_CLOSED)
            break;
        if (event.event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED && !line->dialed.is_up) {
            line->dialed.is_up = true;
            zmq_line_tell(line, CARRIER_DIALED, true, ERR_OK, nullptr);
        }
        for (size_t e = 0; e < sizeof ENDS / sizeof *ENDS; e++)
            if (ENDS[e].event == event.event) {
                end_by_event(line, ENDS[e].code, ENDS[e].why);
                break;
            }
        break;
    }
    return true;
}

void zmq_dialed_end(struct zmq_line *line) {
    struct zmq_dialed *dialed = &line->dialed;
    if (!dialed->is_trying)
        return;
    (void)zmq_disconnect(line->carrier->handles[ZMQ_ROLE_CLIENT].socket, dialed->endpoint);
    dialed->is_trying = dialed->is_up = false;
    dialed->route.len = 0;
    *dialed->host = 0;
}
