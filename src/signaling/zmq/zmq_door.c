/* SPDX-License-Identifier: MPL-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/listener.h"
#include "signaling/zmq/zmq_priv.h"

/*
 * Where peers knock. Anybody can, and every connection takes a descriptor until its handshake has failed. When
 * descriptors run out, libzmq's thread calls accept() in vain without end; to unbind is no way out, for the connections
 * that were accepted go with the endpoint. So the socket is made here and libzmq is handed a copy, and while descriptors
 * are short nobody is let in: who has a link keeps it, and what is left is for the sound.
 */
constexpr int BACKLOG = 512;
constexpr int64_t LOOK_NS = NS_PER_S;
constexpr unsigned FILES_KEPT = 64;
constexpr unsigned FILES_AGAIN = 80; /* who waits is let in when so many are left */
constexpr int64_t LOG_EVERY_NS = 60 * NS_PER_S;

static void hold(struct zmq_carrier *c) {
    struct zmq_door *door = &c->door;
    bool was_held = door->is_held;
    door->is_held = os_listener_hold(door->fd) == 0;
    int64_t now_ns = loop_now_ns(c->loop);
    if (was_held || (door->logged_ns && now_ns - door->logged_ns < LOG_EVERY_NS))
        return;
    door->logged_ns = now_ns;
    log_warn(c->log,
             "file descriptors are nearly used up: no peer is let in until some are free again; raise the limit "
             "of open files (ulimit -n, LimitNOFILE=)");
}

/* What waits when it is held already came in the very moment. */
static void look(struct zmq_carrier *c) {
    struct zmq_door *door = &c->door;
    bool is_short = os_is_short_of_files(door->fd, door->is_held ? FILES_AGAIN : FILES_KEPT);
    if (is_short)
        hold(c);
    else if (door->is_held)
        door->is_held = os_listener_release(door->fd) != 0;
}

static void on_time(void *arg) {
    struct zmq_carrier *c = arg;
    look(c);
    loop_timer_start(c->loop, &c->door.timer, LOOK_NS);
}

void zmq_door_on_accepted(struct zmq_carrier *c) {
    if (!c->door.is_held)
        look(c);
}

void zmq_door_on_accept_failed(struct zmq_carrier *c, int error) {
    if (!c->door.is_held && os_accept_is_short(error))
        hold(c);
}

/* "0.0.0.0:4041", "[::]:4041" */
static bool parse(const char *address, struct sockaddr_storage *ret, socklen_t *ret_len) {
    char host[64];
    const char *colon = strrchr(address, ':');
    bool is_ipv6 = *address == '[';
    size_t len = colon ? (size_t)(colon - address) : 0;
    char *end = nullptr;
    unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;
    if (len < 2 || len >= sizeof host || !end || *end || end == colon + 1 || port > UINT16_MAX)
        return false;
    memcpy(host, address + is_ipv6, len - 2u * is_ipv6);
    host[len - 2u * is_ipv6] = 0;
    *ret = (struct sockaddr_storage){};
    if (is_ipv6) {
        struct sockaddr_in6 *at = (struct sockaddr_in6 *)ret;
        *at = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
        *ret_len = sizeof *at;
        return inet_pton(AF_INET6, host, &at->sin6_addr) == 1;
    }
    struct sockaddr_in *at = (struct sockaddr_in *)ret;
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    *ret_len = sizeof *at;
    return inet_pton(AF_INET, host, &at->sin_addr) == 1;
}

enum err zmq_door_open(struct zmq_carrier *c, struct err_info *reterr) {
    struct zmq_door *door = &c->door;
    void *socket = c->handles[ZMQ_ROLE_SERVER].socket;
    struct sockaddr_storage at;
    socklen_t len;
    if (!parse(c->address, &at, &len))
        return err_set(reterr, ERR_INVALID,
                       "peers cannot be listened for at %s (signaling.address): it is no host:port of this computer",
                       c->address);
    door->fd = os_listener_open((const struct sockaddr *)&at, len, BACKLOG);
    if (door->fd < 0)
        return err_set(reterr, errno == EADDRINUSE ? ERR_BUSY : ERR_INVALID,
                       "peers cannot be listened for at %s (signaling.address): %s%s", c->address, strerror(errno),
                       errno == EADDRINUSE ? "; another rocd may have it: give this one another port" : "");
    char endpoint[ROSTER_ADDRESS_MAX + 16];
    snprintf(endpoint, sizeof endpoint, "tcp://%s", c->address);
    int copy = fcntl(door->fd, F_DUPFD_CLOEXEC, 0); /* libzmq closes it */
    if (copy < 0 || zmq_setsockopt(socket, ZMQ_USE_FD, &copy, sizeof copy) || zmq_bind(socket, endpoint))
        return err_set(reterr, ERR_INTERNAL, "peers cannot be listened for at %s (signaling.address): %s", c->address,
                       zmq_strerror(zmq_errno()));
    c->port = os_listener_port(door->fd);
    door->timer = (struct loop_timer){.fire = on_time, .arg = c};
    loop_timer_start(c->loop, &door->timer, LOOK_NS);
    return ERR_OK;
}

void zmq_door_close(struct zmq_carrier *c) {
    loop_timer_stop(c->loop, &c->door.timer);
    if (c->door.fd >= 0)
        close(c->door.fd);
    c->door.fd = -1;
}
