/* SPDX-License-Identifier: MPL-2.0 */
#include "signaling/zmq/zmq_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_THREAD__
constexpr bool IS_WATCHED = true;
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
#define LOOK_AWAY()  AnnotateIgnoreReadsBegin(__FILE__, __LINE__)
#define LOOK_AGAIN() AnnotateIgnoreReadsEnd(__FILE__, __LINE__)
#else
constexpr bool IS_WATCHED = false;
#define LOOK_AWAY()
#define LOOK_AGAIN()
#endif

void zmq_message_copy_bytes(void *to, zmq_msg_t *frame, size_t n) {
    LOOK_AWAY();
    if (n > 0)
        memcpy(to, zmq_msg_data(frame), n);
    LOOK_AGAIN();
}

static void drop_rest(void *socket) {
    for (bool more = true; more;) {
        zmq_msg_t rest;
        zmq_msg_init(&rest);
        more = zmq_msg_recv(&rest, socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&rest);
        zmq_msg_close(&rest);
    }
}

static void read_frames(struct zmq_message *message) {
    size_t route_len = zmq_msg_size(&message->frames[0]);
    message->len = zmq_msg_size(&message->frames[1]);
    if (route_len > ZMQ_ROUTE_MAX) {
        message->is_sound = false;
        return;
    }
    message->route.len = route_len;
    zmq_message_copy_bytes(message->route.id, &message->frames[0], route_len);
    message->body = zmq_msg_data(&message->frames[1]);
    if (IS_WATCHED) {
        message->body = message->copy = malloc(message->len + 1);
        message->is_sound = message->copy != nullptr;
        if (message->copy)
            zmq_message_copy_bytes(message->copy, &message->frames[1], message->len);
    }
}

bool zmq_message_receive(void *socket, struct zmq_message *ret) {
    *ret = (struct zmq_message){};
    zmq_msg_init(&ret->frames[0]);
    zmq_msg_init(&ret->frames[1]);
    if (zmq_msg_recv(&ret->frames[0], socket, ZMQ_DONTWAIT) < 0) {
        zmq_message_close(ret);
        return false;
    }
    if (!zmq_msg_more(&ret->frames[0]) || zmq_msg_recv(&ret->frames[1], socket, ZMQ_DONTWAIT) < 0)
        return true;
    if (zmq_msg_more(&ret->frames[1])) {
        drop_rest(socket);
        return true;
    }
    ret->is_sound = true;
    read_frames(ret);
    return true;
}

void zmq_message_close(struct zmq_message *message) {
    zmq_msg_close(&message->frames[0]);
    zmq_msg_close(&message->frames[1]);
    free(message->copy);
}

void zmq_message_property(struct zmq_message *message, const char *name, char *ret, size_t size) {
    LOOK_AWAY();
    const char *value = zmq_msg_gets(&message->frames[1], name);
    snprintf(ret, size, "%s", value ? value : "");
    LOOK_AGAIN();
}

int zmq_message_fd(struct zmq_message *message) {
    return zmq_msg_get(&message->frames[1], ZMQ_SRCFD);
}
