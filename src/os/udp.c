/* SPDX-License-Identifier: MPL-2.0 */
#include "os/udp.h"

#include <errno.h>
#include <netinet/ip.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

constexpr int DSCP_EF = 46 << 2; /* RFC 3246, in the place of the old TOS byte */

static int open_socket(int family) {
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1, tos = DSCP_EF;
    /* What is refused here makes things a little worse, not wrong. An IPv6 socket has a traffic class for mapped addresses
     * as well. */
    (void)setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof tos);
    if (family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof tos);
    return fd;
}

static int with_ipv6_only(int fd, int only) {
    if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

int os_udp_open(int family, int receive_buffer) {
    int fd = open_socket(family);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    return family == AF_INET6 ? with_ipv6_only(fd, 1) : fd;
}

int os_udp_open_shared(int family, int buffer) {
    int fd = open_socket(family);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    return family == AF_INET6 ? with_ipv6_only(fd, 0) : fd;
}

size_t os_udp_send(int fd, const struct os_datagram *datagrams, size_t n) {
    struct mmsghdr messages[OS_UDP_BATCH];
    struct iovec parts[OS_UDP_BATCH];
    if (n > OS_UDP_BATCH)
        n = OS_UDP_BATCH;
    for (size_t i = 0; i < n; i++) {
        parts[i] = (struct iovec){datagrams[i].data, datagrams[i].size};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = datagrams[i].addr,
            .msg_namelen = datagrams[i].addr_len,
            .msg_iov = &parts[i],
            .msg_iovlen = 1,
        };
    }
    int sent = sendmmsg(fd, messages, (unsigned)n, MSG_NOSIGNAL);
    return sent < 0 ? 0 : (size_t)sent;
}

static int64_t now_ns(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

/* The kernel stamps in wall time, which may jump; the media clock does not. The difference is taken now, when the packet
 * is at most a moment old, and an absurd result (the wall clock was set in between) is not believed. */
static int64_t received_ns(struct msghdr *message, int64_t mono_ns, int64_t wall_ns) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
            continue;
        struct timespec t;
        memcpy(&t, CMSG_DATA(c), sizeof t);
        int64_t age_ns = wall_ns - ((int64_t)t.tv_sec * 1'000'000'000 + t.tv_nsec);
        return age_ns >= 0 && age_ns < 5'000'000'000 ? mono_ns - age_ns : mono_ns;
    }
    return mono_ns;
}

size_t os_udp_receive(int fd, struct os_datagram *datagrams, size_t n) {
    struct mmsghdr messages[OS_UDP_BATCH];
    struct iovec parts[OS_UDP_BATCH];
    union {
        char bytes[CMSG_SPACE(sizeof(struct timespec))];
        struct cmsghdr align;
    } controls[OS_UDP_BATCH];
    if (n > OS_UDP_BATCH)
        n = OS_UDP_BATCH;
    for (size_t i = 0; i < n; i++) {
        parts[i] = (struct iovec){datagrams[i].data, datagrams[i].size};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = datagrams[i].addr,
            .msg_namelen = datagrams[i].addr_len,
            .msg_iov = &parts[i],
            .msg_iovlen = 1,
            .msg_control = controls[i].bytes,
            .msg_controllen = sizeof controls[i].bytes,
        };
    }
    int got = recvmmsg(fd, messages, (unsigned)n, MSG_DONTWAIT, nullptr);
    if (got <= 0)
        return 0;
    int64_t mono_ns = now_ns(CLOCK_MONOTONIC), wall_ns = now_ns(CLOCK_REALTIME);
    for (int i = 0; i < got; i++) {
        datagrams[i].len = messages[i].msg_len;
        datagrams[i].truncated = messages[i].msg_hdr.msg_flags & MSG_TRUNC;
        datagrams[i].received_ns = received_ns(&messages[i].msg_hdr, mono_ns, wall_ns);
        datagrams[i].addr_len = messages[i].msg_hdr.msg_namelen;
    }
    return (size_t)got;
}
