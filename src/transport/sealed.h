/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdint.h>

#include "base/crypto.h"
#include "base/err.h"
#include "base/id.h"
#include "base/log.h"
#include "transport/path.h"

/*
 * Sealed media between peers: all streams of a daemon through one UDP port.
 *
 * Datagram, big endian:
 *   kind and version (1)   0xE0 | kind: 0 source, 1 repair, 2 control, 3 ping; outside the ranges of STUN, DTLS and RTP
 *                          (RFC 7983). Another version has another first half, and is refused by this one
 *   link id (4)            the receiver's name for this direction of this link
 *   sequence (4)           low half of a count of 64 bits that begins with 1 and never repeats under one key
 *   payload                a packet of the codec for that interface; ping.h has that of a ping, which may have none
 *   tag (16)               ChaCha20-Poly1305 (RFC 8439): key of this direction, nonce = 4 zero bytes ‖ the 64-bit count,
 *                          additional data = the 9 bytes above
 * 25 bytes are added to each packet; a datagram is at most PACKET_MAX long. What does not open, was seen before or is too
 * old (seal/seal.h has the window) is dropped and counted. The source address of the newest datagram that opened, the one
 * with the highest count so far, is where the other direction goes to, at both ends: so either may change its address.
 *
 * Link ids can be read by whoever sees the datagrams, so they protect nothing: the tag does. They keep strangers who see
 * nothing from costing more than a look into a table.
 *
 * The port (media_port) owns the socket and one thread, which receives and hands each datagram to the path of its link
 * id, still sealed; opening and sealing is done by the path, on its media thread. Neither side waits for the other: what
 * a path does not fetch within about 400 ms of sound is dropped, the newest first, and counted. A path has no descriptor
 * to watch (path.h): whether something has come is a look into memory.
 *
 * Life cycle: media_port_open → path_sealed_open … close → media_port_close (no path may be left).
 * Threads: port: open and close on the core, path_sealed_open and close on any but the media threads (close may wait some
 * microseconds for the port's thread); a path as path.h says.
 */
struct media_port;

struct media_port_config {
    struct log log;
    const char *address; /* "0.0.0.0", "::" (both families), an own address */
    uint16_t port;       /* 0: the system chooses */
    bool realtime;       /* ask for real-time priority for the thread, as the engine does; refused quietly */
};

/* ERR_BUSY when the port is taken, and the message names it. "::" means IPv4 alone on a system without IPv6. */
enum err media_port_open(const struct media_port_config *config, struct media_port **ret, struct err_info *reterr);
uint16_t media_port_number(const struct media_port *port);
void media_port_close(struct media_port *port); /* accepts nullptr */

struct media_port_counters {
    uint64_t received;     /* all datagrams, those below included */
    uint64_t unknown_link; /* nobody here has that link id, or its path is not open */
    uint64_t malformed;    /* no sealed datagram, or too long a one */
    uint64_t overflowed;   /* its path did not fetch what it had */
};
/* Any thread. */
void media_port_counters(const struct media_port *port, struct media_port_counters *ret);

/* A link id nobody here uses, taken until media_port_release_link() or until the path that was opened with it is closed.
 * Random, so that a stranger cannot guess it. 0: MEDIA_LINKS_MAX are taken. Core. */
constexpr size_t MEDIA_LINKS_MAX = 1024;
uint32_t media_port_reserve_link(struct media_port *port);
/* Harmless for a link that a path has taken, or that nobody has. */
void media_port_release_link(struct media_port *port, uint32_t link);

/* Keys of a link's two directions from an X25519 agreement of two keys made for it alone; both sides get the same.
 * Each end may use them for one path only: a second one would count from 1 again, and whoever has two datagrams with the
 * same key and number can read both and forge more. So a path that is opened again takes part in a new agreement. */
struct seal_keys {
    uint8_t to_receiver[CRYPTO_DERIVED_SIZE]; /* sound and control of the sending end */
    uint8_t to_sender[CRYPTO_DERIVED_SIZE];   /* feedback */
};
/* The context of each: "rocd-media-1" ‖ 0 or 1 (direction) ‖ stream uid ‖ generation (8, big endian) ‖ sender's public
 * key ‖ receiver's. ERR_INVALID: the other key is of small order, or the uid is none. */
enum err seal_keys_derive(struct seal_keys *ret, const struct crypto_dh_key *own, const uint8_t other[static 32],
                          bool own_is_sender, const char *stream_uid, int64_t generation, struct err_info *reterr);

struct path_sealed_config {
    struct media_port *port;   /* borrowed */
    bool sending;              /* the sending end of the sound */
    uint32_t own_link;         /* reserved above: what comes to us carries it; passes to the path */
    uint32_t other_link;       /* what we send carries it; receiving end: 0 until path_sealed_answer() */
    struct seal_keys keys;     /* unused by a receiving end until path_sealed_answer() */
    union path_address remote; /* where the sending end sends to; AF_UNSPEC at a receiving end: learnt */
    /* What comes to a receiving end, so that there is room for about 400 ms of it. Borrowed for the call; nullptr: 16-bit stereo
     * at 48 kHz. */
    const struct codec_settings *settings;
};

/* Takes own_link (also on failure). ERR_LIMIT: it is 0. ERR_INVALID: the port's socket cannot send to `remote`. */
enum err path_sealed_open(const struct path_sealed_config *config, struct path **ret, struct err_info *reterr);
/* Wipes its copy of the keys when it is closed. The caller wipes its own.
 *
 * The receiving end is opened before the other side has answered, so that no packet is lost: this gives it keys and the
 * other's link id. Core; once. What came before is kept, as far as there is room, and opened then. */
void path_sealed_answer(struct path *path, uint32_t other_link, const struct seal_keys *keys);

struct path_sealed_counters { /* any thread */
    uint64_t forged;          /* did not open */
    uint64_t replayed;        /* seen before, or older than the window; told by the number, which may be forged */
    uint64_t overflowed;      /* did not fit; the newest are dropped */
};
void path_sealed_counters(const struct path *path, struct path_sealed_counters *ret);
