/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

/*
 * UDP sockets the way media wants them: many datagrams per system call, receive times from the kernel, one descriptor
 * that tells when any of several sockets has something. Linux: sendmmsg, recvmmsg, SO_TIMESTAMPNS, epoll.
 *
 * Functions return -1 (or a count) and leave the reason in errno, as libc does.
 * Threads: any; a socket is used by one thread at a time.
 */

constexpr size_t OS_UDP_BATCH = 32;

struct os_datagram {
    void *data;            /* borrowed */
    size_t size;           /* sending: its length; receiving: the room there is */
    size_t len;            /* received only */
    bool truncated;        /* received only: it was longer than size */
    int64_t received_ns;   /* received only: CLOCK_MONOTONIC */
    struct sockaddr *addr; /* borrowed: where to, or room for sockaddr_in6 to put where from */
    socklen_t addr_len;
};

/* Non-blocking, close-on-exec, with kernel receive times and, where the system lets us, receive_buffer bytes of room and
 * the traffic class EF (expedited forwarding). IPv6 sockets take IPv6 only. */
int os_udp_open(int family, int receive_buffer);
/* For a socket that many streams share: `buffer` bytes of room both ways, beyond the system's limit where we have the right
 * to, and an IPv6 socket takes IPv4 as well, in mapped addresses (RFC 4291, 2.5.5.2). */
int os_udp_open_shared(int family, int buffer);

/* Sends up to OS_UDP_BATCH; returns how many of the first datagrams went out (0 … n). Fewer than n: errno tells why the
 * next one did not; EAGAIN means the socket is full. */
size_t os_udp_send(int fd, const struct os_datagram *datagrams, size_t n);
/* Receives up to OS_UDP_BATCH; 0 = nothing there (or an error that the next call may clear). */
size_t os_udp_receive(int fd, struct os_datagram *datagrams, size_t n);
