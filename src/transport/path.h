/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <netinet/in.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "transport/codec.h"

/*
 * The path vtable: how packets travel. UDP with Roc's three ports for the outside world, memory for streams within one
 * peer; sealed UDP between peers, ICE and relay come later.
 *
 * A path has two ends, each its own object. The sending end sends source, repair and control packets and receives
 * feedback (control); the receiving end receives all three and sends feedback to where control came from.
 *
 * Life cycle: open (worker) → send/receive (the media thread that owns the end) → close (worker).
 * Nothing here blocks: a packet that cannot be sent at once is dropped and counted.
 */

union path_address {
    struct sockaddr sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct packet {
    enum media_iface iface;
    uint16_t len;
    int64_t received_ns;     /* received only: when the system got it, CLOCK_MONOTONIC; 0 = not known (memory path) */
    union path_address from; /* received only; sa_family AF_UNSPEC on a memory path */
    uint8_t data[PACKET_MAX];
};

struct path_counters { /* any thread may read */
    _Atomic uint64_t packets_sent, bytes_sent, send_dropped;
    _Atomic uint64_t packets_received, bytes_received;
};

/* One end. Its owner may watch its descriptors and set `ready` where packets wait: then receive() asks only there, and
 * clears `ready` where it has seen the end. Not watched, it asks everywhere. */
struct path {
    const struct path_ops *ops;
    struct path_counters counters;
    bool watched;
    bool carries_pings; /* MEDIA_PING beside the interfaces, both ways */
    bool same_clock;    /* both ends are of one machine: its monotonic clock needs no ping to be known */
    bool ready[MEDIA_N_IFACES];
};

struct path_ops {
    /* Sends them all, in order, in as few system calls as the system allows. */
    void (*send)(struct path *path, const struct packet *packets, size_t n);
    /* Receives up to max packets; returns how many. Oversized datagrams are dropped and counted as received. So is, at a
     * sending end, what does not come from the host that control packets go to. */
    size_t (*receive)(struct path *path, struct packet *packets, size_t max);
    /* The descriptor that is readable when packets of that interface wait; -1: none. Optional. */
    int (*poll_fd)(const struct path *path, enum media_iface iface);
    /* Receiving end: feedback goes to this address from now on (the gate has latched it). Optional. */
    void (*set_feedback_address)(struct path *path, const union path_address *address);
    /* The URIs really bound, for the status, e.g. when the port was 0. Core thread; optional. */
    uint16_t (*local_port)(const struct path *path, enum media_iface iface);
    void (*close)(struct path *path); /* accepts nullptr */
};

/* Addresses of the three interfaces. sa_family AF_UNSPEC = not used. */
struct path_udp_config {
    union path_address address[MEDIA_N_IFACES];
};

/* Sends to three remote addresses from one local socket of their family. */
enum err path_udp_open_sender(const struct path_udp_config *remote, struct path **ret, struct err_info *reterr);
/* Binds three local addresses. ERR_BUSY when a port is taken, and the message names the port. */
enum err path_udp_open_receiver(const struct path_udp_config *local, struct path **ret, struct err_info *reterr);

/* Both ends of a memory path, which may be on two media threads. Each end is closed by its own user; the memory goes
 * with the second. */
enum err path_memory_open(struct path **ret_sender, struct path **ret_receiver, struct err_info *reterr);

/* Resolves "127.0.0.1", "::1", "[::1]" or a host name. Worker thread: may block on names. */
enum err path_address_resolve(const char *host, uint16_t port, union path_address *ret, struct err_info *reterr);
/* "127.0.0.1:4040", "[::1]:4040" */
constexpr size_t PATH_ADDRESS_TEXT_SIZE = 64;
void path_address_format(char text[static PATH_ADDRESS_TEXT_SIZE], const union path_address *address);
uint16_t path_address_port(const union path_address *address);
socklen_t path_address_len(const union path_address *address);
/* Same address, whatever the port. */
bool path_address_same_host(const union path_address *a, const union path_address *b);
bool path_address_equal(const union path_address *a, const union path_address *b);
bool path_address_is_multicast(const union path_address *address);
