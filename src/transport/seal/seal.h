/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/crypto.h"
#include "transport/path.h"

/*
 * Sealed datagrams, byte by byte (transport/sealed.h has the format): one direction of a link is a seal_out at one end and
 * a seal_in at the other, with the same key. It knows no sockets and no threads.
 *
 * The count. Each datagram has a number of 64 bits, which is its nonce: 1, 2, 3 … and never the same twice under one key.
 * Its low half is on the wire. The receiver takes the number that is nearest to the highest it has opened, so it is right
 * as long as fewer than 2^31 datagrams in a row are lost, which are weeks of sound. A sender cannot know what was lost and
 * does not try: a wrong guess gives another nonce, so the datagram does not open, nothing is ever accepted twice, and
 * the next generation of the stream, which has other keys, ends the deafness. The count itself does not come round.
 *
 * The window. A bit for each of the last SEAL_WINDOW numbers: datagrams may overtake each other by as many, and each is
 * taken once. Only what opened moves it, however far ahead it is, so a forged number changes nothing.
 *
 * How much may be forged. One attempt at a tag succeeds with a probability below 2^-95 (RFC 8439, 4), so even years of
 * flooding at full speed are nothing to renew keys for; RFC 9147, 4.5.3, wants it after 2^36 attempts and that is 20 hours
 * at a million a second, long after somebody has seen the counter.
 *
 * Threads: one owner each.
 */
constexpr size_t SEAL_HEADER_SIZE = 9;
constexpr size_t SEAL_TAG_SIZE = 16;
constexpr size_t SEAL_OVERHEAD = SEAL_HEADER_SIZE + SEAL_TAG_SIZE;
constexpr size_t SEAL_PAYLOAD_MAX =
    PACKET_MAX - SEAL_OVERHEAD; /* a sealed datagram is not larger than another packet */
constexpr size_t SEAL_WINDOW = 4096;

enum seal_kind {
    SEAL_SOURCE = MEDIA_SOURCE,
    SEAL_REPAIR = MEDIA_REPAIR,
    SEAL_CONTROL = MEDIA_CONTROL,
    SEAL_PING = MEDIA_PING, /* transport/ping.h; without a payload it says that somebody is there, and where */
    SEAL_N_KINDS,
};

/* What is on the outside, which proves nothing before the seal has been opened. */
struct seal_header {
    enum seal_kind kind;
    uint32_t link;
    uint32_t sequence;
};
/* false: this is no sealed datagram. */
bool seal_parse(const uint8_t *datagram, size_t len, struct seal_header *ret);

/* ---- closing ---- */

struct seal_out {
    uint8_t key[CRYPTO_DERIVED_SIZE];
    uint32_t link;  /* that the datagrams carry */
    uint64_t count; /* of the last one; 0: none yet */
};
void seal_out_init(struct seal_out *out, const uint8_t key[static CRYPTO_DERIVED_SIZE], uint32_t link);
/* Seals payload[0 … len) and tells the size of the datagram; 0: too long. Of both arrays more than that may be read, or
 * filled with bytes that mean nothing, up to PACKET_MAX. */
size_t seal_close(struct seal_out *out, enum seal_kind kind, const uint8_t payload[static PACKET_MAX], size_t len,
                  uint8_t datagram[static PACKET_MAX]);

/* ---- opening ---- */

struct seal_in {
    uint8_t key[CRYPTO_DERIVED_SIZE];
    uint64_t highest; /* number opened so far */
    /* Bit n % 64 of word n / 64 % 65 tells of number n: one word more than the window has, because the word of the
     * highest number is still filling up (as RFC 6479 does it). */
    uint64_t seen[SEAL_WINDOW / 64 + 1];
};
void seal_in_init(struct seal_in *in, const uint8_t key[static CRYPTO_DERIVED_SIZE]);

enum seal_verdict {
    SEAL_OPENED,
    SEAL_OPENED_NEWEST, /* … and it has the highest number so far */
    SEAL_FORGED,        /* the key, or a byte, is another */
    SEAL_REPLAYED, /* seen before, or older than the window. Told without opening: a forged one may be counted here */
};
/* `datagram`, of `len` bytes, has been parsed. The payload, len - SEAL_OVERHEAD bytes, is valid only if it opened; reading and
 * writing beyond as with seal_close(). */
enum seal_verdict seal_open(struct seal_in *in, const uint8_t datagram[static PACKET_MAX], size_t len,
                            uint8_t payload[static PACKET_MAX]);
