/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/ring.h"
#include "transport/path.h"
#include "transport/sealed.h"

/*
 * Between the port and its paths: where the port's thread leaves what came for a link, still sealed. One thread writes, the
 * media thread of the path reads, and neither makes a system call for it.
 *
 * Threads: init, attach, detach and finish: the one that opens or closes the path; take: the path's media thread.
 */
struct media_record {
    int64_t received_ns;
    union path_address from;
    uint16_t len;
    uint8_t data[PACKET_MAX];
};

struct media_inbox {
    struct ring ring;            /* bytes: records, cut after the datagram */
    uint32_t link;               /* what the datagrams carry */
    _Atomic uint64_t overflowed; /* dropped: it was full */
};

[[nodiscard]] bool media_inbox_init(struct media_inbox *inbox, uint32_t link, size_t capacity);
void media_inbox_finish(struct media_inbox *inbox);
/* The oldest record; false: there is none. */
bool media_inbox_take(struct media_inbox *inbox, struct media_record *ret);

/* From now on, what carries its link id goes there. The link has been reserved; it passes to the inbox. */
void media_port_attach(struct media_port *port, struct media_inbox *inbox);
/* Releases the link. When it returns, the port's thread has left the inbox for good: waits for it, some microseconds. */
void media_port_detach(struct media_port *port, struct media_inbox *inbox);

int media_port_fd(const struct media_port *port);
/* Turns an address into one that the port's socket can send to. false: it cannot reach that family. */
bool media_port_map(const struct media_port *port, union path_address *address);
