/* SPDX-License-Identifier: MPL-2.0 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/list.h"
#include "transport/media_port_priv.h"
#include "transport/path_batch.h"
#include "transport/rtp.h"
#include "transport/seal/seal.h"

constexpr size_t SOUND_BYTES = 128 * 1024; /* 400 ms of stereo at 48 kHz with repair */
constexpr size_t SOUND_BYTES_MAX = 4 << 20;
constexpr int64_t ROOM_NS = 380'000'000; /* what a ring of a power of two bytes holds of the usual streams */
constexpr size_t FEEDBACK_BYTES = 8 * 1024;
/* Datagrams opened in vain in one receive(): a flood with wrong tags costs no more than about a hundred microseconds a tick,
 * and is still taken away faster than it can well be sent. */
constexpr size_t BAD_MAX = 512;

struct path_sealed {
    struct path path; /* first member */
    struct media_port *port;
    struct media_inbox inbox;
    bool sending;
    /* The keys: written once, before `answered`, which the media thread looks at before it touches them. */
    _Atomic bool answered;
    struct seal_out out;
    struct seal_in in;
    union path_address remote; /* the media thread's, as the socket wants it; AF_UNSPEC: not known yet */
    _Atomic uint64_t forged, replayed;
};

static struct path_sealed *sealed_of(struct path *path) {
    return container_of(path, struct path_sealed, path);
}

static bool is_answered(const struct path_sealed *sealed) {
    return atomic_load_explicit(&sealed->answered, memory_order_acquire);
}

/* ---- sending ---- */

static void sealed_send(struct path *base, const struct packet *packets, size_t n) {
    struct path_sealed *sealed = sealed_of(base);
    uint8_t datagrams[OS_UDP_BATCH][PACKET_MAX];
    struct os_datagram batch[OS_UDP_BATCH];
    if (!is_answered(sealed) || sealed->remote.sa.sa_family == AF_UNSPEC)
        return; /* nobody has spoken yet */
    int fd = media_port_fd(sealed->port);
    socklen_t addr_len = path_address_len(&sealed->remote);
    size_t n_batch = 0;
    for (size_t i = 0; i < n; i++) {
        size_t size = seal_close(&sealed->out, (enum seal_kind)packets[i].iface, packets[i].data, packets[i].len,
                                 datagrams[n_batch]);
        if (size == 0) {
            atomic_fetch_add_explicit(&base->counters.send_dropped, 1, memory_order_relaxed);
            continue;
        }
        batch[n_batch] = (struct os_datagram){
            .data = datagrams[n_batch],
            .size = size,
            .addr = &sealed->remote.sa,
            .addr_len = addr_len,
        };
        if (++n_batch == OS_UDP_BATCH) {
            path_send_batch(base, fd, batch, n_batch);
            n_batch = 0;
        }
    }
    path_send_batch(base, fd, batch, n_batch);
}

/* ---- receiving ---- */

static void follow(struct path_sealed *sealed, const union path_address *from) {
    union path_address mapped = *from;
    if (media_port_map(sealed->port, &mapped))
        sealed->remote = mapped;
}

/* Opens the record into the packet. false: there is nothing in it for the decoder. */
static bool open_record(struct path_sealed *sealed, const struct media_record *record, struct packet *packet) {
    struct seal_header header;
    if (!seal_parse(record->data, record->len, &header))
        return false; /* the port has asked before: it does not come to this */
    switch (seal_open(&sealed->in, record->data, record->len, packet->data)) {
    case SEAL_FORGED:
        atomic_fetch_add_explicit(&sealed->forged, 1, memory_order_relaxed);
        return false;
    case SEAL_REPLAYED:
        atomic_fetch_add_explicit(&sealed->replayed, 1, memory_order_relaxed);
        return false;
    case SEAL_OPENED_NEWEST:
        follow(sealed, &record->from);
        break;
    case SEAL_OPENED:
        break;
    }
    packet->iface = (enum media_iface)header.kind;
    packet->len = (uint16_t)(record->len - SEAL_OVERHEAD);
    packet->received_ns = record->received_ns;
    packet->from = record->from;
    return packet->len > 0;
}

static size_t sealed_receive(struct path *base, struct packet *packets, size_t max) {
    struct path_sealed *sealed = sealed_of(base);
    if (!is_answered(sealed))
        return 0;
    struct media_record record;
    uint64_t n_taken = 0, bytes = 0;
    size_t n = 0;
    while (n < max && n_taken - n < BAD_MAX && media_inbox_take(&sealed->inbox, &record)) {
        n_taken++;
        bytes += record.len;
        n += open_record(sealed, &record, &packets[n]);
    }
    if (n_taken > 0) {
        atomic_fetch_add_explicit(&base->counters.packets_received, n_taken, memory_order_relaxed);
        atomic_fetch_add_explicit(&base->counters.bytes_received, bytes, memory_order_relaxed);
    }
    return n;
}

/* ---- life ---- */

static void sealed_close(struct path *base) {
    if (!base)
        return;
    struct path_sealed *sealed = sealed_of(base);
    media_port_detach(sealed->port, &sealed->inbox);
    media_inbox_finish(&sealed->inbox);
    crypto_wipe(sealed, sizeof *sealed);
    free(sealed);
}

static uint16_t sealed_local_port(const struct path *base, enum media_iface) {
    return media_port_number(((const struct path_sealed *)base)->port);
}

/* No descriptor to watch: looking into the inbox is a load, so a tick in which nothing came makes no system call. */
static const struct path_ops sealed_ops = {
    .send = sealed_send,
    .receive = sealed_receive,
    .local_port = sealed_local_port,
    .close = sealed_close,
};

static void set_keys(struct path_sealed *sealed, uint32_t other_link, const struct seal_keys *keys) {
    seal_out_init(&sealed->out, sealed->sending ? keys->to_receiver : keys->to_sender, other_link);
    seal_in_init(&sealed->in, sealed->sending ? keys->to_sender : keys->to_receiver);
    atomic_store_explicit(&sealed->answered, true, memory_order_release);
}

/* Bytes of an inbox that holds what comes within ROOM_NS. */
static size_t room_for(const struct codec_settings *settings) {
    constexpr size_t AROUND = offsetof(struct media_record, data) + SEAL_OVERHEAD + RTP_HEADER_SIZE + 8;
    if (!settings || settings->packet_length_ns <= 0)
        return SOUND_BYTES;
    size_t n = (size_t)(ROOM_NS / settings->packet_length_ns);
    if (settings->fec_source_packets > 0)
        n += n * settings->fec_repair_packets / settings->fec_source_packets;
    size_t bytes = n * (codec_payload_bytes(settings) + AROUND);
    return bytes < SOUND_BYTES_MAX ? bytes : SOUND_BYTES_MAX;
}

enum err path_sealed_open(const struct path_sealed_config *config, struct path **ret, struct err_info *reterr) {
    if (config->own_link == 0)
        return err_set(reterr, ERR_LIMIT, "all %zu links of the media port are taken; end other streams first",
                       MEDIA_LINKS_MAX);
    union path_address remote = config->remote;
    char text[PATH_ADDRESS_TEXT_SIZE];
    path_address_format(text, &remote);
    if (remote.sa.sa_family != AF_UNSPEC &&
        (!media_port_map(config->port, &remote) || path_address_port(&remote) == 0)) {
        media_port_release_link(config->port, config->own_link);
        return err_set(reterr, ERR_INVALID, "the media port cannot send to %s; bind it to :: for IPv4 and IPv6", text);
    }
    struct path_sealed *sealed = alloc_aligned(struct path_sealed);
    if (sealed)
        *sealed = (struct path_sealed){
            .path = {.ops = &sealed_ops, .carries_pings = true}, .port = config->port, .sending = config->sending};
    if (!sealed || !media_inbox_init(&sealed->inbox, config->own_link,
                                     config->sending ? FEEDBACK_BYTES : room_for(config->settings))) {
        free(sealed);
        media_port_release_link(config->port, config->own_link);
        return err_set(reterr, ERR_NO_MEMORY, "no memory for a sealed path");
    }
    sealed->remote = remote;
    if (config->other_link != 0)
        set_keys(sealed, config->other_link, &config->keys);
    media_port_attach(config->port, &sealed->inbox);
    *ret = &sealed->path;
    return ERR_OK;
}

void path_sealed_answer(struct path *base, uint32_t other_link, const struct seal_keys *keys) {
    set_keys(sealed_of(base), other_link, keys);
}

void path_sealed_counters(const struct path *base, struct path_sealed_counters *ret) {
    const struct path_sealed *sealed = (const struct path_sealed *)base;
    *ret = (struct path_sealed_counters){
        .forged = atomic_load_explicit(&sealed->forged, memory_order_relaxed),
        .replayed = atomic_load_explicit(&sealed->replayed, memory_order_relaxed),
        .overflowed = atomic_load_explicit(&sealed->inbox.overflowed, memory_order_relaxed),
    };
}
