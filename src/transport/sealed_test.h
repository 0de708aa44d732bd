/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "transport/path_test.h"

#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "transport/sealed.h"

/* What the tests of the media port and of sealed paths share: real sockets on the loopback, and no sleeps. */

constexpr int64_t SEALED_DEADLINE_NS = 30 * NS_PER_S;

/* Lets others run until the condition holds. */
#define UNTIL(condition) \
    for (int64_t until_end_ = clock_now_ns(clock_system()) + SEALED_DEADLINE_NS; !(condition); sched_yield()) \
        if (clock_now_ns(clock_system()) > until_end_) \
    fail_msg("%s:%d: never: %s", __FILE__, __LINE__, #condition)

static inline struct media_port *port_at(const char *address) {
    struct media_port *port = nullptr;
    struct err_info info;
    if (media_port_open(&(struct media_port_config){.address = address}, &port, &info) != ERR_OK)
        fail_msg("%s", info.message);
    return port;
}

static inline struct media_port_counters counters_of(const struct media_port *port) {
    struct media_port_counters counters;
    media_port_counters(port, &counters);
    return counters;
}

static inline struct path *sealed_path(const struct path_sealed_config *config) {
    struct path *path = nullptr;
    struct err_info info;
    if (path_sealed_open(config, &path, &info) != ERR_OK)
        fail_msg("%s", info.message);
    return path;
}

static inline struct path_sealed_counters seal_counters_of(const struct path *path) {
    struct path_sealed_counters counters;
    path_sealed_counters(path, &counters);
    return counters;
}

/* Both ends of a link, with keys of their own. */
struct sealed_link {
    struct path *sender, *receiver;
    uint32_t to_receiver, to_sender; /* link ids */
    struct seal_keys keys;
};

static inline struct sealed_link sealed_link_open(struct media_port *from, struct media_port *to,
                                                  union path_address remote) {
    struct sealed_link link = {.to_receiver = media_port_reserve_link(to), .to_sender = media_port_reserve_link(from)};
    crypto_random(&link.keys, sizeof link.keys);
    link.receiver = sealed_path(&(struct path_sealed_config){
        .port = to, .own_link = link.to_receiver, .other_link = link.to_sender, .keys = link.keys});
    link.sender = sealed_path(&(struct path_sealed_config){.port = from,
                                                           .sending = true,
                                                           .own_link = link.to_sender,
                                                           .other_link = link.to_receiver,
                                                           .keys = link.keys,
                                                           .remote = remote});
    return link;
}

static inline void sealed_link_close(struct sealed_link *link) {
    link->sender->ops->close(link->sender);
    link->receiver->ops->close(link->receiver);
}

static inline void send_one(struct path *path, uint32_t number, enum media_iface iface, uint16_t len) {
    struct packet packet = packet_of(number, iface, len);
    path->ops->send(path, &packet, 1);
}

/* n packets, however long they take. */
static inline void receive_all(struct path *path, struct packet *packets, size_t n) {
    size_t got = 0;
    UNTIL((got += path->ops->receive(path, packets + got, n - got)) == n);
}

static inline void receive_one(struct path *path, uint32_t number, enum media_iface iface, uint16_t len) {
    struct packet packet;
    receive_all(path, &packet, 1);
    assert_packet(&packet, number, iface, len);
}

/* A socket that is no port, and what it says. */
static inline int socket_at(const char *host, union path_address *ret) {
    *ret = address_of(host, 0);
    socklen_t len = sizeof *ret;
    int fd = socket(ret->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, &ret->sa, path_address_len(ret)), 0);
    assert_int_equal(getsockname(fd, &ret->sa, &len), 0);
    return fd;
}

static inline void throw_at(int fd, const union path_address *to, const void *data, size_t len) {
    assert_int_equal(sendto(fd, data, len, 0, &to->sa, path_address_len(to)), len);
}

/* What looks like a sealed datagram from outside. */
static inline void disguise(uint8_t *datagram, uint32_t link, uint32_t sequence) {
    datagram[0] = 0xe0;
    for (int i = 0; i < 4; i++) {
        datagram[1 + i] = (uint8_t)(link >> (24 - 8 * i));
        datagram[5 + i] = (uint8_t)(sequence >> (24 - 8 * i));
    }
}
