/* SPDX-License-Identifier: MPL-2.0 */
#include "transport/rtp.h"

#include <string.h>

static uint16_t get16(const uint8_t *p) {
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get24(const uint8_t *p) {
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static uint32_t get32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | get24(p + 1);
}

/* ---- FEC ---- */

/* Bytes of the payload id. */
static const struct {
    size_t source_size, repair_size;
} fec_formats[] = {
    [CODEC_FEC_NONE] = {0, 0},
    [CODEC_FEC_RS8M] = {6, 6},
    [CODEC_FEC_LDPC] = {6, 8},
};

static struct rtp_fec_id get_fec_id(const uint8_t *p, enum codec_fec fec, bool repair) {
    if (fec == CODEC_FEC_RS8M)
        return (struct rtp_fec_id){.sbn = get24(p), .esi = p[3], .k = get16(p + 4)};
    return (struct rtp_fec_id){.sbn = get16(p), .esi = get16(p + 2), .k = get16(p + 4), .n = repair ? get16(p + 6) : 0};
}

static bool is_block_sane(const struct rtp_fec_id *id, enum codec_fec fec, bool repair) {
    uint32_t k_max = fec == CODEC_FEC_RS8M ? RTP_FEC_RS8M_MAX - 1 : RTP_FEC_BLOCK_MAX - RTP_FEC_LDPC_REPAIR_MIN;
    if (id->sbn > RTP_FEC_SBN_MAX || id->k == 0 || id->k > k_max)
        return false;
    if (!repair)
        return id->esi < id->k;
    uint32_t n = fec == CODEC_FEC_RS8M ? RTP_FEC_RS8M_MAX : id->n;
    if (fec == CODEC_FEC_LDPC && (n > RTP_FEC_BLOCK_MAX || n < id->k + RTP_FEC_LDPC_REPAIR_MIN))
        return false;
    return id->esi >= id->k && id->esi < n;
}

int32_t rtp_sbn_diff(uint32_t a, uint32_t b) {
    return (int16_t)(b - a);
}

/* ---- RTP ---- */

bool rtp_parse_source(const uint8_t *packet, size_t len, enum codec_fec fec, struct rtp_source *ret) {
    size_t footer = fec_formats[fec].source_size;
    /* Version 2, no padding, no extension, no CSRC. */
    if (len <= RTP_HEADER_SIZE + footer || len > PACKET_MAX || packet[0] != 0x80)
        return false;
    struct rtp_source source = {
        .payload_type = packet[1] & 0x7f,
        .seq = get16(packet + 2),
        .timestamp = get32(packet + 4),
        .ssrc = get32(packet + 8),
        .payload_len = len - RTP_HEADER_SIZE - footer,
    };
    if (fec != CODEC_FEC_NONE) {
        source.fec = get_fec_id(packet + len - footer, fec, false);
        if (!is_block_sane(&source.fec, fec, false))
            return false;
    }
    *ret = source;
    return true;
}

bool rtp_has_silence(const uint8_t *packet, const struct rtp_source *source, size_t n_channels, size_t n_run) {
    size_t frame = n_channels * sizeof(int16_t);
    for (size_t at = 0; at + frame <= source->payload_len; at += n_run * frame) {
        const uint8_t *bytes = packet + RTP_HEADER_SIZE + at;
        if (bytes[0] == 0 && memcmp(bytes, bytes + 1, frame - 1) == 0)
            return true;
    }
    return false;
}

bool rtp_parse_repair(const uint8_t *packet, size_t len, enum codec_fec fec, struct rtp_repair *ret) {
    size_t header = fec_formats[fec].repair_size;
    if (fec == CODEC_FEC_NONE || len <= header + RTP_HEADER_SIZE || len > PACKET_MAX)
        return false;
    struct rtp_repair repair = {.fec = get_fec_id(packet, fec, true), .symbol_len = len - header};
    if (!is_block_sane(&repair.fec, fec, true))
        return false;
    *ret = repair;
    return true;
}

/* ---- RTCP ---- */

enum { RTCP_SR = 200, RTCP_RR = 201, RTCP_SDES = 202, RTCP_BYE = 203, RTCP_XR = 207 };
enum { SDES_CNAME = 1 };

constexpr size_t REPORT_BLOCK = 24;

/* One chunk: SSRC, CNAME, perhaps other items, a zero, and zeros up to the word. */
static bool is_sdes_sound(const uint8_t *p, size_t len) {
    if ((p[0] & 31) != 1 || len < 12)
        return false;
    size_t at = 8;
    for (bool first = true; at < len && p[at] != 0; first = false) {
        if (at + 2 > len || at + 2 + p[at + 1] > len)
            return false;
        size_t text_len = p[at + 1];
        if (first && (p[at] != SDES_CNAME || text_len == 0))
            return false;
        /* A second CNAME would rename the stream. */
        if ((!first && p[at] == SDES_CNAME) || memchr(p + at + 2, 0, text_len))
            return false;
        at += 2 + text_len;
    }
    if (at == 8 || at >= len || len - at > 4)
        return false;
    for (; at < len; at++)
        if (p[at] != 0)
            return false;
    return true;
}

/* Lengths in bytes of the blocks libroc knows: it reads them without asking how long they are. */
static const struct {
    uint8_t type;
    uint16_t size;
} xr_blocks[] = {
    {4, 12},   /* receiver reference time, RFC 3611 4.4 */
    {14, 32},  /* measurement information, RFC 6776 */
    {16, 28},  /* delay metrics, RFC 6843 */
    {220, 16}, /* queue metrics, Roc's own */
};
constexpr uint8_t XR_DLRR = 5; /* RFC 3611 4.5: 4 bytes and 12 for each receiver */

static bool is_xr_block_sound(uint8_t type, size_t size) {
    if (type == XR_DLRR)
        return size >= 16 && (size - 4) % 12 == 0;
    for (size_t i = 0; i < sizeof xr_blocks / sizeof xr_blocks[0]; i++)
        if (xr_blocks[i].type == type)
            return xr_blocks[i].size == size;
    return false;
}

static bool is_xr_sound(const uint8_t *p, size_t len) {
    size_t at = 8;
    while (at < len) {
        if (at + 4 > len)
            return false;
        size_t size = 4 * ((size_t)get16(p + at + 2) + 1);
        if (size > len - at || !is_xr_block_sound(p[at], size))
            return false;
        at += size;
    }
    return true;
}

static bool is_bye_sound(const uint8_t *p, size_t len) {
    if ((p[0] & 31) != 1)
        return false;
    /* The reason is optional: one byte of length, text, zeros up to the word. */
    return len == 8 || (len > 9 && (size_t)p[8] + 9 <= len);
}

static bool is_rtcp_packet_sound(const uint8_t *p, size_t len) {
    size_t n_blocks = p[0] & 31;
    switch (p[1]) {
    case RTCP_SR:
        return len == 28 + n_blocks * REPORT_BLOCK;
    case RTCP_RR:
        return len == 8 + n_blocks * REPORT_BLOCK;
    case RTCP_SDES:
        return is_sdes_sound(p, len);
    case RTCP_BYE:
        return is_bye_sound(p, len);
    case RTCP_XR:
        return is_xr_sound(p, len);
    default:
        return false;
    }
}

bool rtcp_parse(const uint8_t *packet, size_t len, uint32_t *ret_ssrc) {
    uint32_t ssrc = 0;
    bool named = false;
    if (len < 8 || len % 4 != 0 || len > PACKET_MAX || (packet[1] != RTCP_SR && packet[1] != RTCP_RR))
        return false;
    for (size_t at = 0; at < len;) {
        const uint8_t *p = packet + at;
        if (len - at < 8 || (p[0] & 0xe0) != 0x80) /* version 2, no padding */
            return false;
        size_t size = 4 * ((size_t)get16(p + 2) + 1);
        if (size < 8 || size > len - at || !is_rtcp_packet_sound(p, size))
            return false;
        if (at == 0)
            ssrc = get32(p + 4);
        else if (ssrc != get32(p + 4) || (p[1] == RTCP_SDES && named))
            return false;
        named = named || p[1] == RTCP_SDES;
        at += size;
    }
    if (!named)
        return false;
    *ret_ssrc = ssrc;
    return true;
}
