/* SPDX-License-Identifier: MPL-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "os/thread.h"
#include "os/udp.h"
#include "transport/media_port_priv.h"
#include "transport/seal/seal.h"

/*
 * A link id is 32 random bits, and its last ones are its place in the table: so it is found without a search, and an id is
 * drawn again until its place is free. The thread reads the table without a lock. Who closes a path empties its place and
 * then waits until the batch that may have seen it there is over: `turn` is odd while a batch is handed out.
 */
constexpr size_t N_PLACES = 4 * MEDIA_LINKS_MAX;
constexpr int SOCKET_BUFFER = 4 << 20; /* 20 ms of a hundred streams with what the system adds to each datagram */
constexpr int BATCHES_PER_LOOK = 64;   /* at the stop signal, when it never ends */

struct media_port {
    struct log log;
    int fd, stop_read, stop_write; /* owned; -1: not open */
    uint16_t number;
    bool is_ipv6, is_dual;
    bool realtime;
    struct thread thread;
    struct media_record *records; /* owned; OS_UDP_BATCH of them, the thread's */

    _Atomic(struct media_inbox *) inboxes[N_PLACES];
    alignas(64) _Atomic uint64_t turn;
    _Atomic uint64_t received, unknown_link, malformed, overflowed;

    pthread_mutex_t lock;     /* never taken by the thread */
    uint32_t links[N_PLACES]; /* 0: free */
    size_t n_links;
};

/* ---- the thread ---- */

/* As who sends by IPv4 knows himself. */
static void unmap(union path_address *address) {
    if (address->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&address->v6.sin6_addr))
        return;
    union path_address v4 = {.v4 = {.sin_family = AF_INET, .sin_port = address->v6.sin6_port}};
    memcpy(&v4.v4.sin_addr, &address->v6.sin6_addr.s6_addr[12], 4);
    *address = v4;
}

struct tally {
    uint64_t unknown_link, malformed, overflowed;
};

static void hand_out(struct media_port *port, struct media_record *record, bool truncated, struct tally *tally) {
    struct seal_header header;
    if (truncated || !seal_parse(record->data, record->len, &header)) {
        tally->malformed++;
        return;
    }
    struct media_inbox *inbox = atomic_load(&port->inboxes[header.link % N_PLACES]);
    if (!inbox || inbox->link != header.link) {
        tally->unknown_link++;
        return;
    }
    unmap(&record->from);
    tally->overflowed += !media_inbox_put(inbox, record);
}

static size_t take_batch(struct media_port *port) {
    struct os_datagram batch[OS_UDP_BATCH];
    for (size_t i = 0; i < OS_UDP_BATCH; i++) {
        struct media_record *record = &port->records[i];
        batch[i] = (struct os_datagram){
            .data = record->data,
            .size = PACKET_MAX,
            .addr = &record->from.sa,
            .addr_len = sizeof record->from,
        };
    }
    size_t n = os_udp_receive(port->fd, batch, OS_UDP_BATCH);
    if (n == 0)
        return 0;
    struct tally tally = {};
    atomic_fetch_add(&port->turn, 1);
    for (size_t i = 0; i < n; i++) {
        port->records[i].len = (uint16_t)batch[i].len;
        port->records[i].received_ns = batch[i].received_ns;
        hand_out(port, &port->records[i], batch[i].truncated, &tally);
    }
    atomic_fetch_add(&port->turn, 1);
    atomic_fetch_add_explicit(&port->unknown_link, tally.unknown_link, memory_order_relaxed);
    atomic_fetch_add_explicit(&port->malformed, tally.malformed, memory_order_relaxed);
    atomic_fetch_add_explicit(&port->overflowed, tally.overflowed, memory_order_relaxed);
    /* last: who sees the number sees what became of them */
    atomic_fetch_add_explicit(&port->received, n, memory_order_release);
    return n;
}

/* false: the port is being closed. */
static bool wait_for_datagrams(struct media_port *port) {
    struct pollfd fds[] = {{.fd = port->fd, .events = POLLIN}, {.fd = port->stop_read}};
    while (poll(fds, 2, -1) < 0 && errno == EINTR)
        ;
    return fds[1].revents == 0;
}

static void *port_main(void *arg) {
    struct media_port *port = arg;
    if (port->realtime)
        (void)thread_become_realtime(); /* refused: then it runs as everybody else */
    while (wait_for_datagrams(port))
        for (int i = 0; i < BATCHES_PER_LOOK && take_batch(port) == OS_UDP_BATCH; i++)
            ;
    return nullptr;
}

/* ---- links ---- */

uint32_t media_port_reserve_link(struct media_port *port) {
    uint32_t link = 0;
    pthread_mutex_lock(&port->lock);
    while (link == 0 && port->n_links < MEDIA_LINKS_MAX) {
        crypto_random(&link, sizeof link);
        uint32_t *place = &port->links[link % N_PLACES];
        if (link == 0 || *place != 0) {
            link = 0;
            continue;
        }
        *place = link;
        port->n_links++;
    }
    pthread_mutex_unlock(&port->lock);
    return link;
}

static void free_place(struct media_port *port, uint32_t link) {
    uint32_t *place = &port->links[link % N_PLACES];
    if (link == 0 || *place != link)
        return;
    *place = 0;
    port->n_links--;
}

void media_port_release_link(struct media_port *port, uint32_t link) {
    pthread_mutex_lock(&port->lock);
    if (!atomic_load(&port->inboxes[link % N_PLACES])) /* a path's is released with the path */
        free_place(port, link);
    pthread_mutex_unlock(&port->lock);
}

void media_port_attach(struct media_port *port, struct media_inbox *inbox) {
    atomic_store(&port->inboxes[inbox->link % N_PLACES], inbox);
}

void media_port_detach(struct media_port *port, struct media_inbox *inbox) {
    atomic_store(&port->inboxes[inbox->link % N_PLACES], nullptr);
    uint64_t turn = atomic_load(&port->turn);
    while (turn % 2 != 0 && atomic_load(&port->turn) == turn)
        sched_yield();
    pthread_mutex_lock(&port->lock);
    free_place(port, inbox->link);
    pthread_mutex_unlock(&port->lock);
}

/* ---- addresses ---- */

int media_port_fd(const struct media_port *port) {
    return port->fd;
}

bool media_port_map(const struct media_port *port, union path_address *address) {
    if (address->sa.sa_family == (port->is_ipv6 ? AF_INET6 : AF_INET))
        return true;
    if (address->sa.sa_family != AF_INET || !port->is_dual)
        return false;
    union path_address mapped = {.v6 = {.sin6_family = AF_INET6, .sin6_port = address->v4.sin_port}};
    memset(&mapped.v6.sin6_addr.s6_addr[10], 0xff, 2);
    memcpy(&mapped.v6.sin6_addr.s6_addr[12], &address->v4.sin_addr, 4);
    *address = mapped;
    return true;
}

static enum err parse_address(const struct media_port_config *config, union path_address *ret,
                              struct err_info *reterr) {
    char bracketed[64];
    union path_address v4 = {.v4 = {.sin_family = AF_INET, .sin_port = htons(config->port)}};
    if (inet_pton(AF_INET, config->address, &v4.v4.sin_addr) == 1) {
        *ret = v4;
        return ERR_OK;
    }
    /* in brackets it is never a name, which would take time to look up */
    int len = snprintf(bracketed, sizeof bracketed, "[%s]", config->address);
    if (len < (int)sizeof bracketed && path_address_resolve(bracketed, config->port, ret, nullptr) == ERR_OK)
        return ERR_OK;
    return err_set(reterr, ERR_INVALID,
                   "'%.60s' is no IP address that media can be bound to; 0.0.0.0 stands for all of IPv4, :: for all",
                   config->address);
}

/* ---- life ---- */

static enum err open_socket(struct media_port *port, union path_address *address, struct err_info *reterr) {
    port->fd = os_udp_open_shared(address->sa.sa_family, SOCKET_BUFFER);
    bool all = address->sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address->v6.sin6_addr);
    if (port->fd < 0 && errno == EAFNOSUPPORT && all) { /* a system without IPv6: then IPv4 is all there is */
        *address = (union path_address){.v4 = {.sin_family = AF_INET, .sin_port = address->v6.sin6_port}};
        port->fd = os_udp_open_shared(AF_INET, SOCKET_BUFFER);
    }
    if (port->fd < 0)
        return err_set_errno(reterr, errno, "cannot open a UDP socket for media");
    port->is_ipv6 = address->sa.sa_family == AF_INET6;
    port->is_dual = port->is_ipv6 && all;
    return ERR_OK;
}

static enum err bind_socket(struct media_port *port, const union path_address *address, struct err_info *reterr) {
    char text[PATH_ADDRESS_TEXT_SIZE];
    path_address_format(text, address);
    if (bind(port->fd, &address->sa, path_address_len(address)) != 0) {
        if (errno == EADDRINUSE)
            return err_set(
                reterr, ERR_BUSY,
                "UDP port %u is in use (%s, for media between peers); choose another one, or 0 for a free one",
                path_address_port(address), text);
        if (errno == EADDRNOTAVAIL)
            return err_set(reterr, ERR_UNAVAILABLE,
                           "this machine has no address %s; bind one it has, or 0.0.0.0 or :: for all", text);
        return err_set_errno(reterr, errno, "cannot bind UDP %s", text);
    }
    union path_address bound = {};
    socklen_t len = sizeof bound;
    if (getsockname(port->fd, &bound.sa, &len) != 0)
        return err_set_errno(reterr, errno, "cannot tell the port of %s", text);
    port->number = path_address_port(&bound);
    return ERR_OK;
}

static enum err start(struct media_port *port, struct err_info *reterr) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_set_errno(reterr, errno, "the media port could not be started");
    port->stop_read = ends[0];
    port->stop_write = ends[1];
    int error_number = thread_start(&port->thread, "media-port", port_main, port);
    if (error_number)
        return err_set_errno(reterr, error_number, "the thread of the media port could not be started");
    return ERR_OK;
}

enum err media_port_open(const struct media_port_config *config, struct media_port **ret, struct err_info *reterr) {
    union path_address address;
    enum err err = parse_address(config, &address, reterr);
    if (err != ERR_OK)
        return err;
    struct media_port *port = alloc_aligned(struct media_port);
    struct media_record *records = calloc(OS_UDP_BATCH, sizeof *records);
    if (!port || !records) {
        free(port);
        free(records);
        return err_set(reterr, ERR_NO_MEMORY, "no memory for the media port");
    }
    *port = (struct media_port){.log = config->log,
                                .fd = -1,
                                .stop_read = -1,
                                .stop_write = -1,
                                .realtime = config->realtime,
                                .records = records,
                                .lock = PTHREAD_MUTEX_INITIALIZER};
    err = open_socket(port, &address, reterr);
    if (err == ERR_OK)
        err = bind_socket(port, &address, reterr);
    if (err == ERR_OK)
        err = start(port, reterr);
    if (err != ERR_OK) {
        media_port_close(port);
        return err;
    }
    log_info(port->log, "media port opened", LOG_STR("address", config->address), LOG_UINT("port", port->number));
    *ret = port;
    return ERR_OK;
}

static void close_fd(int fd) {
    if (fd >= 0)
        close(fd);
}

void media_port_close(struct media_port *port) {
    if (!port)
        return;
    close_fd(port->stop_write); /* which the thread hears */
    thread_join(&port->thread);
    close_fd(port->stop_read);
    close_fd(port->fd);
    pthread_mutex_destroy(&port->lock);
    free(port->records);
    free(port);
}

uint16_t media_port_number(const struct media_port *port) {
    return port->number;
}

void media_port_counters(const struct media_port *port, struct media_port_counters *ret) {
    ret->received = atomic_load_explicit(&port->received, memory_order_acquire);
    ret->unknown_link = atomic_load_explicit(&port->unknown_link, memory_order_relaxed);
    ret->malformed = atomic_load_explicit(&port->malformed, memory_order_relaxed);
    ret->overflowed = atomic_load_explicit(&port->overflowed, memory_order_relaxed);
}
