/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "transport/codec.h"
#include "transport/path.h"

#include <stdatomic.h>

/*
 * The gate in front of every decoder and encoder: no packet reaches libroc that it does not know how to take. One
 * malformed RTCP packet would end the process, and one stranger's packet would open a session of its own.
 *
 * - Source: RTP version 2 and exactly the layout libroc emits (no padding, extension, CSRC), the expected payload type,
 *   whole samples, a FEC footer that agrees with itself, with its block and with the sequence number.
 * - Repair: FEC header in range, symbols of the size of their block, near the block that plays, from the latched host.
 *   The sender's own packet and block lengths count, not ours: a stock sender chooses them.
 * - Control: strict RTCP compound (gate_rtcp_is_sound) with the SSRC of the sound, from the latched host.
 * - Latch: the first good source packet fixes SSRC and host; all others are refused until the latched sender has been
 *   silent for `release_ns`. The same host with a new SSRC (a restarted sender) latches anew at once after a short silence
 *   and raises GATE_NEW_SESSION: the owner then builds a new decoder. The very first sender is a plain GATE_PASS.
 * - A jump of sequence number or time that would make libroc give up its session is believed only when a second packet
 *   follows it, which raises GATE_NEW_SESSION, too. Packets in between are lost only where there was time to send them: else
 *   the sender went on elsewhere.
 *
 * - FEC: a block takes as many symbols as it has source packets and no more, and LDPC's repair packets not at all: libroc
 *   0.4 ends the process when it has repaired a part of a block and another packet of it comes. So LDPC is received as if
 *   it had no repair packets. What is not needed is dropped, and counted as any good packet.
 *
 * It also counts, since libroc does not: sequence numbers → lost, reordered, duplicate, late; RFC 3550 jitter; FEC block
 * accounting → repaired, which is exact: Reed-Solomon gives back a whole block as soon as as many symbols of it came as
 * it has source packets.
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
    _Atomic uint64_t packets, bytes; /* good ones, all interfaces */
    _Atomic uint64_t source_packets; /* good ones */
    _Atomic uint64_t rejected;       /* refused: malformed, stranger, wrong encoding */
    _Atomic uint64_t lost;           /* source packets that did not come within the target latency, before repair */
    _Atomic uint64_t repaired;       /* of those, the ones FEC gave back */
    _Atomic uint64_t late;           /* came after they had been counted as lost */
    _Atomic uint64_t reordered;      /* came after a later one, in time */
    _Atomic uint64_t duplicate;      /* dropped */
    _Atomic uint64_t jitter_ns;      /* RFC 3550, smoothed */
    _Atomic uint64_t sessions;       /* senders latched so far */
    /* Payload type of the last sound packet refused for it; 0 = none. The sender uses another encoding than we expect. */
    _Atomic uint32_t foreign_payload_type;
};

struct gate;
struct gate *gate_create(const struct gate_config *config);
void gate_destroy(struct gate *gate);

/* May this packet go to the decoder? `now_ns` is the media clock. GATE_NEW_SESSION: it may, but to a new decoder. */
enum gate_verdict gate_check(struct gate *gate, const struct packet *packet, int64_t now_ns);
/* Expires sequence gaps and the latch; call once a tick. */
void gate_tick(struct gate *gate, int64_t now_ns);
/* How long packets are waited for from now on. */
void gate_set_target_latency(struct gate *gate, int64_t target_latency_ns);
/* Is a sender latched, and when did its last source packet come? */
bool gate_is_latched(const struct gate *gate);
int64_t gate_last_packet_ns(const struct gate *gate);
/* Where the latched sender's control packets come from; nullptr if none came. */
const union path_address *gate_feedback_address(const struct gate *gate);
const struct gate_counters *gate_counters(const struct gate *gate);
/* Source packets that are not there and cannot be repaired so far, those not yet given up included. For blaming a hole in
 * the sound: if it has grown since the last sound frame, the network did it. */
uint64_t gate_missing(const struct gate *gate);

/* Stateless RTCP check for both directions; also what a sender uses for feedback (rtp.h tells what it demands). */
bool gate_rtcp_is_sound(const uint8_t *packet, size_t len);
