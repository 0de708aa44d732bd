/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "transport/codec.h"

/*
 * Wire formats of what Roc sends, parsed strictly: RTP (RFC 3550), FEC payload ids of FECFRAME Reed-Solomon with m = 8
 * (RFC 6865) and LDPC-Staircase (RFC 6816), RTCP compounds (RFC 3550, XR of RFC 3611). All big endian.
 *
 *   source packet  RTP header 12 | sound | payload id      rs8m: SBN 24 | ESI 8 | K 16      ldpc: SBN 16 | ESI 16 | K 16
 *   repair packet  payload id | repair symbol              rs8m: the same                   ldpc: … | N 16
 *
 * K = source packets in the block, N = all its packets, ESI = which one, SBN = number of the block. A symbol protects the
 * RTP header and the sound, so it is as long as both.
 *
 * Strict means: what libroc's encoder never emits is refused, also where the standards allow it. Pure functions.
 */

constexpr size_t RTP_HEADER_SIZE = 12;
/* Larger blocks than this are of no use for live sound and would make libroc take memory. */
constexpr uint32_t RTP_FEC_BLOCK_MAX = 512;
constexpr uint32_t RTP_FEC_RS8M_MAX = 255;
/* libroc counts blocks in 16 bits and starts again at 0, also for rs8m, where 24 are on the wire. */
constexpr uint32_t RTP_FEC_SBN_MAX = 0xffff;
/* OpenFEC cannot build an LDPC-Staircase matrix with fewer repair packets; libroc would end the process. */
constexpr uint32_t RTP_FEC_LDPC_REPAIR_MIN = 7;

struct rtp_fec_id {
    uint32_t sbn;
    uint32_t esi;
    uint32_t k;
    uint32_t n; /* 0: not in the packet */
};

struct rtp_source {
    uint8_t payload_type;
    uint16_t seq;
    uint32_t timestamp;
    uint32_t ssrc;
    size_t payload_len;    /* sound, bytes */
    struct rtp_fec_id fec; /* zeros without FEC */
};

struct rtp_repair {
    struct rtp_fec_id fec;
    size_t symbol_len;
};

bool rtp_parse_source(const uint8_t *packet, size_t len, enum codec_fec fec, struct rtp_source *ret);
/* Whether there is silence in the sound of a source packet, parsed before: 16-bit samples, all channels zero. A run of n_run
 * frames of it does not go unseen, and a shorter one may be seen. */
bool rtp_has_silence(const uint8_t *packet, const struct rtp_source *source, size_t n_channels, size_t n_run);
bool rtp_parse_repair(const uint8_t *packet, size_t len, enum codec_fec fec, struct rtp_repair *ret);
/* b - a in block numbers, as a small signed number. */
int32_t rtp_sbn_diff(uint32_t a, uint32_t b);

/* A compound of SR, RR, SDES, BYE and XR with exact lengths, a report first, all of one SSRC, and one SDES chunk for it
 * that begins with a CNAME that is not empty. */
bool rtcp_parse(const uint8_t *packet, size_t len, uint32_t *ret_ssrc);
