/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "fuzz/target.h"
#include "transport/rtp.h"

/* Any bytes as each kind of packet: what is taken holds what transport/rtp.h says, and a part of it is refused where the
 * format tells its own length. */
static void check_block(const struct rtp_fec_id *id, enum codec_fec fec, bool repair) {
    FUZZ_CHECK(id->k > 0 && id->k <= RTP_FEC_BLOCK_MAX);
    FUZZ_CHECK(repair ? id->esi >= id->k : id->esi < id->k);
    FUZZ_CHECK(id->esi < RTP_FEC_BLOCK_MAX);
    if (fec == CODEC_FEC_RS8M)
        FUZZ_CHECK(id->esi < RTP_FEC_RS8M_MAX && id->k < RTP_FEC_RS8M_MAX);
    else if (repair)
        FUZZ_CHECK(id->esi < id->n && id->n <= RTP_FEC_BLOCK_MAX && id->n - id->k >= RTP_FEC_LDPC_REPAIR_MIN);
    FUZZ_CHECK(rtp_sbn_diff(id->sbn, id->sbn) == 0);
    FUZZ_CHECK(rtp_sbn_diff(id->sbn, id->sbn + 1) == 1 && rtp_sbn_diff(id->sbn + 1, id->sbn) == -1);
}

/* RFC 3550, 6.1, read once more in another way: lengths only, and how many packets of a type. */
static size_t count_rtcp(const uint8_t *data, size_t size, uint8_t type) {
    size_t n = 0;
    for (size_t at = 0; at < size;) {
        FUZZ_CHECK(size - at >= 8);
        n += data[at + 1] == type;
        at += 4 * (size_t)((data[at + 2] << 8 | data[at + 3]) + 1);
        FUZZ_CHECK(at <= size);
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (int i = CODEC_FEC_NONE; i <= CODEC_FEC_LDPC; i++) {
        enum codec_fec fec = (enum codec_fec)i;
        struct rtp_source source;
        struct rtp_repair repair;
        if (rtp_parse_source(data, size, fec, &source)) {
            FUZZ_CHECK(size <= PACKET_MAX && data[0] == 0x80 && source.payload_type < 128);
            FUZZ_CHECK(source.payload_len == size - RTP_HEADER_SIZE - (fec == CODEC_FEC_NONE ? 0 : 6));
            FUZZ_CHECK(source.payload_len > 0);
            size_t n_channels = data[1] % 16 + 1;
            bool may_be_silent = memchr(data + RTP_HEADER_SIZE, 0, source.payload_len) != nullptr;
            FUZZ_CHECK(!rtp_has_silence(data, &source, n_channels, data[2] + 1) || may_be_silent);
            if (fec != CODEC_FEC_NONE)
                check_block(&source.fec, fec, /* repair= */ false);
        }
        if (rtp_parse_repair(data, size, fec, &repair)) {
            FUZZ_CHECK(size <= PACKET_MAX && fec != CODEC_FEC_NONE);
            FUZZ_CHECK(repair.symbol_len == size - (fec == CODEC_FEC_RS8M ? 6 : 8));
            FUZZ_CHECK(repair.symbol_len > RTP_HEADER_SIZE);
            check_block(&repair.fec, fec, /* repair= */ true);
        }
    }
    uint32_t ssrc;
    if (rtcp_parse(data, size, &ssrc)) {
        FUZZ_CHECK(size % 4 == 0 && size <= PACKET_MAX);
        FUZZ_CHECK(ssrc == ((uint32_t)data[4] << 24 | (uint32_t)data[5] << 16 | (uint32_t)data[6] << 8 | data[7]));
        /* The one that libroc cannot do without (RFC 3550, 6.5). */
        FUZZ_CHECK(count_rtcp(data, size, 202) == 1);
        FUZZ_CHECK(!rtcp_parse(data, size - 4, &ssrc) || count_rtcp(data, size - 4, 202) == 1);
    }
    return 0;
}
