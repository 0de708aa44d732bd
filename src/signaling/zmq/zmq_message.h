/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

/*
 * A message of one of the sockets: two frames, of which the first is short (a routing id, the event of a monitor).
 *
 * This is the one place that reads what libzmq's thread has written. It is handed over by atomics that the thread
 * sanitizer does not see; under it, and only there, the bytes are copied while it looks away, so that it still sees all
 * that we do with them.
 *
 * Life cycle: zmq_message_receive → … → zmq_message_close. Threads: core.
 */
constexpr size_t ZMQ_ROUTE_MAX = 64; /* bytes of a routing id */

struct zmq_route {
    uint8_t id[ZMQ_ROUTE_MAX];
    size_t len; /* 0: none */
};

struct zmq_message {
    zmq_msg_t frames[2];
    struct zmq_route route; /* a copy of the first */
    const void *body;       /* the second; as long as the message */
    size_t len;
    void *copy;    /* under the thread sanitizer: what body points to; owned */
    bool is_sound; /* false: it has more or fewer frames, or the first is too long; it was taken off the socket whole */
};

/* false: nothing there; nothing to close either. */
bool zmq_message_receive(void *socket, struct zmq_message *ret);
void zmq_message_close(struct zmq_message *message);

/* What libzmq knows of the connection it came by ("User-Id", "Peer-Address"); "" where it knows nothing. */
void zmq_message_property(struct zmq_message *message, const char *name, char *ret, size_t size);
/* The descriptor of that connection, -1: not known. */
int zmq_message_fd(struct zmq_message *message);

/* Of any frame, for those who read frames one by one. */
void zmq_message_copy_bytes(void *to, zmq_msg_t *frame, size_t n);
