/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "os/udp.h"
#include "transport/path_batch.h"

/*
 * Roc's three ports over UDP. The sending end has one socket for all three interfaces, so that one hole in a NAT serves
 * the sound and the feedback; the receiving end has a socket per interface, which is how stock senders tell them apart.
 */

constexpr int RECEIVE_BUFFER = 1 << 20; /* half a second of the densest stream */
/* Datagrams looked at for each that is asked for: a flood of such as are dropped must not hold the thread. */
constexpr size_t BAD_PER_GOOD_MAX = 4;

struct path_udp {
    struct path path; /* first member */
    bool sending;
    int fd[MEDIA_N_IFACES]; /* owned; sending: only [MEDIA_SOURCE]; -1 = not used */
    unsigned next; /* receiving: which socket comes first next time, so that a flooded one cannot starve others */
    /* sending: remotes; receiving: only [MEDIA_CONTROL], where feedback goes */
    union path_address remote[MEDIA_N_IFACES];
    uint16_t port[MEDIA_N_IFACES];
};

static const char *const iface_names[] = {
    [MEDIA_SOURCE] = "source",
    [MEDIA_REPAIR] = "repair",
    [MEDIA_CONTROL] = "control",
};

static struct path_udp *udp_of(struct path *path) {
    return container_of(path, struct path_udp, path);
}

static void udp_close(struct path *base) {
    if (!base)
        return;
    struct path_udp *udp = udp_of(base);
    for (unsigned i = 0; i < MEDIA_N_IFACES; i++)
        if (udp->fd[i] >= 0)
            close(udp->fd[i]);
    free(udp);
}

static void udp_send(struct path *base, const struct packet *packets, size_t n) {
    struct path_udp *udp = udp_of(base);
    int fd = udp->fd[udp->sending ? MEDIA_SOURCE : MEDIA_CONTROL];
    struct os_datagram batch[OS_UDP_BATCH];
    size_t n_batch = 0;
    for (size_t i = 0; i < n; i++) {
        union path_address *remote = &udp->remote[packets[i].iface];
        if (remote->sa.sa_family == AF_UNSPEC || fd < 0)
            continue; /* this interface is not used */
        batch[n_batch++] = (struct os_datagram){
            .data = (void *)(uintptr_t)packets[i].data,
            .size = packets[i].len,
            .addr = &remote->sa,
            .addr_len = path_address_len(remote),
        };
        if (n_batch == OS_UDP_BATCH) {
            path_send_batch(base, fd, batch, n_batch);
            n_batch = 0;
        }
    }
    path_send_batch(base, fd, batch, n_batch);
}

/* Feedback is taken from the host we send to. A group has no address of its own: anybody in it may answer. */
static bool is_expected(const struct path_udp *udp, const struct packet *packet) {
    if (!udp->sending)
        return true; /* the gate decides */
    const union path_address *remote = &udp->remote[MEDIA_CONTROL];
    return path_address_same_host(remote, &packet->from) || path_address_is_multicast(remote);
}

/* Fills packets[0 … max), moving good ones together. Sets *ret_drained when the socket is empty, and takes all that came,
 * good or not, from *budget. */
static size_t receive_from(struct path_udp *udp, enum media_iface iface, struct packet *packets, size_t max,
                           size_t *budget, bool *ret_drained) {
    struct os_datagram batch[OS_UDP_BATCH];
    size_t n = max < OS_UDP_BATCH ? max : OS_UDP_BATCH;
    for (size_t i = 0; i < n; i++) {
        packets[i].from = (union path_address){};
        batch[i] = (struct os_datagram){
            .data = packets[i].data,
            .size = PACKET_MAX,
            .addr = &packets[i].from.sa,
            .addr_len = sizeof packets[i].from,
        };
    }
    size_t got = os_udp_receive(udp->fd[iface], batch, n), kept = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < got; i++) {
        bytes += batch[i].len;
        packets[i].iface = udp->sending ? MEDIA_CONTROL : iface;
        packets[i].len = (uint16_t)batch[i].len;
        packets[i].received_ns = batch[i].received_ns;
        if (batch[i].truncated || batch[i].len == 0 || !is_expected(udp, &packets[i]))
            continue;
        if (kept != i)
            memcpy(&packets[kept], &packets[i], offsetof(struct packet, data) + packets[i].len);
        kept++;
    }
    atomic_fetch_add_explicit(&udp->path.counters.packets_received, got, memory_order_relaxed);
    atomic_fetch_add_explicit(&udp->path.counters.bytes_received, bytes, memory_order_relaxed);
    *ret_drained = got < n;
    *budget -= got < *budget ? got : *budget;
    return kept;
}

static size_t udp_receive(struct path *base, struct packet *packets, size_t max) {
    struct path_udp *udp = udp_of(base);
    size_t n = 0, budget = BAD_PER_GOOD_MAX * max;
    udp->next = (udp->next + 1) % MEDIA_N_IFACES;
    for (unsigned i = 0; i < MEDIA_N_IFACES; i++) {
        enum media_iface iface = (enum media_iface)((udp->next + i) % MEDIA_N_IFACES);
        bool drained = udp->fd[iface] < 0 || (base->watched && !base->ready[iface]);
        while (!drained && n < max && budget > 0)
            n += receive_from(udp, iface, packets + n, max - n, &budget, &drained);
        base->ready[iface] = !drained;
    }
    return n;
}

static void udp_set_feedback_address(struct path *base, const union path_address *address) {
    struct path_udp *udp = udp_of(base);
    if (!udp->sending)
        udp->remote[MEDIA_CONTROL] = *address;
}

static int udp_poll_fd(const struct path *base, enum media_iface iface) {
    return ((const struct path_udp *)base)->fd[iface];
}

static uint16_t udp_local_port(const struct path *base, enum media_iface iface) {
    const struct path_udp *udp = (const struct path_udp *)base;
    return udp->port[udp->sending ? MEDIA_SOURCE : iface];
}

static const struct path_ops sender_ops = {
    .send = udp_send,
    .receive = udp_receive,
    .poll_fd = udp_poll_fd,
    .local_port = udp_local_port,
    .close = udp_close,
};

static const struct path_ops receiver_ops = {
    .send = udp_send,
    .receive = udp_receive,
    .poll_fd = udp_poll_fd,
    .set_feedback_address = udp_set_feedback_address,
    .local_port = udp_local_port,
    .close = udp_close,
};

static struct path_udp *udp_create(const struct path_ops *ops, bool sending) {
    struct path_udp *udp = calloc(1, sizeof *udp);
    if (!udp)
        return nullptr;
    udp->path.ops = ops;
    udp->sending = sending;
    for (unsigned i = 0; i < MEDIA_N_IFACES; i++)
        udp->fd[i] = -1;
    return udp;
}

/* Binds fd[iface] to the address and notes the port it got. */
static enum err bind_iface(struct path_udp *udp, enum media_iface iface, const union path_address *address,
                           struct err_info *reterr) {
    char text[PATH_ADDRESS_TEXT_SIZE];
    path_address_format(text, address);
    int fd = udp->fd[iface] = os_udp_open(address->sa.sa_family, RECEIVE_BUFFER);
    if (fd < 0)
        return err_set_errno(reterr, errno, "cannot open a UDP socket for %s", text);
    if (bind(fd, &address->sa, path_address_len(address)) != 0) {
        if (errno == EADDRINUSE)
            return err_set(reterr, ERR_BUSY,
                           "UDP port %u is in use (%s, for %s packets); choose another port, or 0 for a free one",
                           path_address_port(address), text, iface_names[iface]);
        if (errno == EADDRNOTAVAIL)
            return err_set(reterr, ERR_UNAVAILABLE,
                           "this machine has no address %s; bind one it has, or 0.0.0.0 or [::] for all", text);
        return err_set_errno(reterr, errno, "cannot bind UDP %s", text);
    }
    union path_address bound = {};
    socklen_t len = sizeof bound;
    if (getsockname(fd, &bound.sa, &len) != 0)
        return err_set_errno(reterr, errno, "cannot tell the port of %s", text);
    udp->port[iface] = path_address_port(&bound);
    return ERR_OK;
}

static bool is_usable(const union path_address *address) {
    return address->sa.sa_family == AF_INET || address->sa.sa_family == AF_INET6;
}

enum err path_udp_open_sender(const struct path_udp_config *remote, struct path **ret, struct err_info *reterr) {
    const union path_address *source = &remote->address[MEDIA_SOURCE];
    if (!is_usable(source))
        return err_set(reterr, ERR_INVALID, "a sender needs an address for source packets");
    for (enum media_iface i = 0; i < MEDIA_N_IFACES; i++) {
        const union path_address *address = &remote->address[i];
        if (address->sa.sa_family == AF_UNSPEC)
            continue;
        if (address->sa.sa_family != source->sa.sa_family)
            return err_set(reterr, ERR_INVALID,
                           "source and %s packets cannot go to an IPv4 and an IPv6 address: they share a socket",
                           iface_names[i]);
        if (path_address_port(address) == 0)
            return err_set(reterr, ERR_INVALID, "the remote port for %s packets is 0", iface_names[i]);
    }
    struct path_udp *udp = udp_create(&sender_ops, true);
    if (!udp)
        return err_set(reterr, ERR_NO_MEMORY, "no memory for a network path");
    memcpy(udp->remote, remote->address, sizeof udp->remote);
    union path_address any = {.sa = {.sa_family = source->sa.sa_family}}; /* zeros: every address, any port */
    enum err err = bind_iface(udp, MEDIA_SOURCE, &any, reterr);
    if (err != ERR_OK) {
        udp_close(&udp->path);
        return err;
    }
    *ret = &udp->path;
    return ERR_OK;
}

enum err path_udp_open_receiver(const struct path_udp_config *local, struct path **ret, struct err_info *reterr) {
    if (!is_usable(&local->address[MEDIA_SOURCE]))
        return err_set(reterr, ERR_INVALID, "a receiver needs an address for source packets");
    struct path_udp *udp = udp_create(&receiver_ops, false);
    if (!udp)
        return err_set(reterr, ERR_NO_MEMORY, "no memory for a network path");
    enum err err = ERR_OK;
    for (enum media_iface i = 0; err == ERR_OK && i < MEDIA_N_IFACES; i++)
        if (is_usable(&local->address[i]))
            err = bind_iface(udp, i, &local->address[i], reterr);
    if (err != ERR_OK) {
        udp_close(&udp->path);
        return err;
    }
    *ret = &udp->path;
    return ERR_OK;
}
