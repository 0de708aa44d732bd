/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "transport/codec.h"
#include "transport/path.h"

/*
 * The gate in front of every decoder and encoder: no packet reaches libroc that it does not know how to take. One
 * malformed RTCP packet would end the process, and one stranger's packet would open a session of its own.
 *
 * - Source: RTP version 2, exact layout, the expected payload type, room for the FEC footer, sane block numbers.
 * - Repair: FEC header and payload of the size the settings say, from the latched address only.
 * - Control: strict RTCP compound: lengths exact, exactly one SSRC, an SDES chunk with a non-empty CNAME for it.
 * - Latch: the first good source packet fixes SSRC and address; all others are refused until the latched sender has been
 *   silent for `release_ns`. The same address with a new SSRC (a restarted sender) latches anew at once after a short
 *   silence and raises `session`: the owner then builds a new decoder.
 *
 * It also counts, since libroc does not: sequence numbers → lost, reordered, duplicate, late; RFC 3550 jitter; FEC block
 * accounting → repaired.
 *
 * Threads: one owner (media thread) for gate_*(); the counters may be read from any thread.
 */

enum gate_verdict { GATE_PASS, GATE_NEW_SESSION, GATE_DROP };

constexpr size_t GATE_ALLOWED_MAX = 8;

struct gate_config {
    struct codec_settings settings;
    union path_address allowed[GATE_ALLOWED_MAX]; /* only these hosts may send (ports ignored); none = any */
    size_t n_allowed;
    int64_t release_ns; /* silence after which another sender may take over */
    bool trusted_path;  /* memory path within the process: no latch on addresses */
};

struct gate_counters {
    _Atomic uint64_t packets, bytes; /* passed, all interfaces */
    _Atomic uint64_t source_packets; /* passed */
    _Atomic uint64_t rejected;       /* refused: malformed, stranger, wrong encoding */
    _Atomic uint64_t lost;           /* source packets that never came, before repair */
    _Atomic uint64_t repaired;       /* of those, the ones FEC gave back */
    _Atomic uint64_t late, reordered, duplicate;
    _Atomic uint64_t jitter_ns; /* RFC 3550, smoothed */
    _Atomic uint64_t sessions;  /* senders latched so far */
};

struct gate;
struct gate *gate_create(const struct gate_config *config);
void gate_destroy(struct gate *gate);

/* May this packet go to the decoder? `now_ns` is the media clock. GATE_NEW_SESSION: it may, but to a new decoder. */
enum gate_verdict gate_check(struct gate *gate, const struct packet *packet, int64_t now_ns);
/* Expires sequence gaps and the latch; call once a tick. */
void gate_tick(struct gate *gate, int64_t now_ns);
/* Is a sender latched, and when did its last source packet come? */
bool gate_is_latched(const struct gate *gate);
int64_t gate_last_packet_ns(const struct gate *gate);
/* Where the latched sender's control packets come from; nullptr if none came. */
const union path_address *gate_feedback_address(const struct gate *gate);
const struct gate_counters *gate_counters(const struct gate *gate);
/* Were source packets due between the two times and not there (after repair)? For blaming a hole in the sound. */
uint64_t gate_missing(const struct gate *gate);

/* Stateless RTCP check for both directions; also what a sender uses for feedback. */
bool gate_rtcp_is_sound(const uint8_t *packet, size_t len);
