/* SPDX-License-Identifier: MPL-2.0 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/list.h"
#include "base/ring.h"
#include "transport/path.h"

/*
 * Streams within one peer: two byte rings of records {iface, length, packet}, one per direction. A record is written in
 * one piece, so the reader sees all of it or nothing.
 */

constexpr size_t FORWARD_BYTES = 64 * 1024; /* about 200 ms of 48 kHz stereo with FEC: the reader may be that late */
constexpr size_t BACKWARD_BYTES = 8 * 1024;

struct record {
    uint16_t iface, len;
    uint8_t data[PACKET_MAX];
};
constexpr size_t RECORD_HEADER = offsetof(struct record, data);

struct path_memory;

struct memory_end {
    struct path path;
    struct path_memory *memory;
    struct ring *out, *in;
};

struct path_memory {
    struct memory_end sender, receiver;
    struct ring forward, backward;
    atomic_int n_open; /* ends; the last one to close frees */
};

static struct memory_end *end_of(struct path *path) {
    return container_of(path, struct memory_end, path);
}

static void memory_send(struct path *base, const struct packet *packets, size_t n) {
    struct memory_end *end = end_of(base);
    uint64_t bytes = 0, n_sent = 0;
    for (size_t i = 0; i < n; i++) {
        struct record record;
        size_t size = RECORD_HEADER + packets[i].len;
        if (packets[i].len > PACKET_MAX || ring_writable(end->out) < size)
            continue;
        record.iface = (uint16_t)packets[i].iface;
        record.len = packets[i].len;
        memcpy(record.data, packets[i].data, packets[i].len);
        ring_write(end->out, &record, size);
        bytes += packets[i].len;
        n_sent++;
    }
    atomic_fetch_add_explicit(&base->counters.packets_sent, n_sent, memory_order_relaxed);
    atomic_fetch_add_explicit(&base->counters.bytes_sent, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&base->counters.send_dropped, n - n_sent, memory_order_relaxed);
}

static size_t memory_receive(struct path *base, struct packet *packets, size_t max) {
    struct memory_end *end = end_of(base);
    uint64_t bytes = 0;
    size_t n = 0;
    for (struct record record; n < max && ring_readable(end->in) >= RECORD_HEADER; n++) {
        ring_read(end->in, &record, RECORD_HEADER);
        packets[n].iface = (enum media_iface)record.iface;
        packets[n].len = record.len;
        packets[n].received_ns = 0;
        packets[n].from = (union path_address){};
        ring_read(end->in, packets[n].data, record.len);
        bytes += record.len;
    }
    atomic_fetch_add_explicit(&base->counters.packets_received, n, memory_order_relaxed);
    atomic_fetch_add_explicit(&base->counters.bytes_received, bytes, memory_order_relaxed);
    return n;
}

static void memory_close(struct path *base) {
    if (!base)
        return;
    struct path_memory *memory = end_of(base)->memory;
    if (atomic_fetch_sub_explicit(&memory->n_open, 1, memory_order_acq_rel) > 1)
        return;
    ring_finish(&memory->forward);
    ring_finish(&memory->backward);
    free(memory);
}

static const struct path_ops memory_ops = {
    .send = memory_send,
    .receive = memory_receive,
    .close = memory_close,
};

enum err path_memory_open(struct path **ret_sender, struct path **ret_receiver, struct err_info *reterr) {
    struct path_memory *memory = alloc_aligned(struct path_memory);
    if (!memory || !ring_init(&memory->forward, 1, FORWARD_BYTES) || !ring_init(&memory->backward, 1, BACKWARD_BYTES)) {
        if (memory)
            ring_finish(&memory->forward);
        free(memory);
        return err_set(reterr, ERR_NO_MEMORY, "no memory for a path within this peer");
    }
    struct path path = {.ops = &memory_ops, .carries_pings = true, .same_clock = true};
    memory->sender = (struct memory_end){path, memory, &memory->forward, &memory->backward};
    memory->receiver = (struct memory_end){path, memory, &memory->backward, &memory->forward};
    atomic_init(&memory->n_open, 2);
    *ret_sender = &memory->sender.path;
    *ret_receiver = &memory->receiver.path;
    return ERR_OK;
}
