/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "transport/path.h"

/*
 * Where the media port's thread leaves what came for a link, still sealed: a ring of records as long as their datagrams,
 * each in one piece. One thread puts, one takes, and neither waits or makes a system call.
 *
 * As soon as it has been emptied it begins again at the start. So a stream whose packets are fetched in time uses the
 * first few pages of it, over and over: they stay in the caches, and the rest, there for bad times, is never touched.
 *
 * Life cycle: init → put, take → finish. Threads: put the one, take the other; init and finish while neither runs;
 * `overflowed` any.
 */
struct media_record {
    int64_t received_ns;
    union path_address from;
    uint16_t len;
    uint8_t data[PACKET_MAX];
};

struct media_inbox {
    uint32_t link; /* what the datagrams carry */
    size_t capacity;
    uint8_t *bytes;                         /* owned */
    _Atomic uint64_t overflowed;            /* dropped: it was full */
    alignas(64) _Atomic uint64_t write_pos; /* only ever grow; a multiple of 8; wrap by the capacity */
    alignas(64) _Atomic uint64_t read_pos;
};

/* Room for `capacity` bytes of records, rounded up to a power of two. false: out of memory. */
[[nodiscard]] bool media_inbox_init(struct media_inbox *inbox, uint32_t link, size_t capacity);
void media_inbox_finish(struct media_inbox *inbox);
/* false: there is no room. The record is dropped and counted. */
bool media_inbox_put(struct media_inbox *inbox, const struct media_record *record);
/* The oldest record; false: there is none. */
bool media_inbox_take(struct media_inbox *inbox, struct media_record *ret);
