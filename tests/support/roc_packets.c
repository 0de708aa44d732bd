/* SPDX-License-Identifier: MPL-2.0 */
#include "support/roc_packets.h"

#include <arpa/inet.h>
#include <string.h>

#include "transport/rtp.h"

/* Sound of a constant level: read as a FEC payload id it is out of range. */
constexpr uint8_t SOUND = 0x40;

struct codec_settings roc_packets_settings(enum codec_fec fec) {
    return (struct codec_settings){
        .wire_rate_hz = 48000,
        .wire_channels = 2,
        .payload_type = codec_encoding_by_name("l16/48000/2")->payload_type,
        .fec = fec,
        .fec_source_packets = fec == CODEC_FEC_NONE ? 0 : 18,
        .fec_repair_packets = fec == CODEC_FEC_NONE ? 0 : 10,
        .packet_length_ns = 5'000'000,
        .target_latency_ns = 100'000'000,
        .latency_profile = CODEC_LATENCY_INTACT,
        .resampler = CODEC_RESAMPLER_MEDIUM,
        .control = true,
    };
}

union path_address roc_packets_host(uint8_t host, uint16_t port) {
    return (union path_address){
        .v4 = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(0xc0000200u | host)}};
}

void roc_sender_init(struct roc_sender *sender, const struct codec_settings *settings, uint32_t ssrc, uint8_t host) {
    *sender = (struct roc_sender){
        .settings = *settings,
        .ssrc = ssrc,
        .seq = 1000,
        .timestamp = 50'000,
        .sbn = 7,
        .from = roc_packets_host(host, 5000),
    };
}

static uint8_t *put(uint8_t *at, uint64_t value, size_t n_bytes) {
    for (size_t i = n_bytes; i-- > 0; value >>= 8)
        at[i] = (uint8_t)value;
    return at + n_bytes;
}

static uint8_t *put_fec_id(const struct roc_sender *sender, uint8_t *at, uint32_t sbn, uint32_t esi, bool repair) {
    const struct codec_settings *s = &sender->settings;
    if (s->fec == CODEC_FEC_RS8M) {
        at = put(at, sbn & RTP_FEC_SBN_MAX, 3);
        at = put(at, esi, 1);
        return put(at, s->fec_source_packets, 2);
    }
    at = put(at, sbn, 2);
    at = put(at, esi, 2);
    at = put(at, s->fec_source_packets, 2);
    return repair ? put(at, s->fec_source_packets + s->fec_repair_packets, 2) : at;
}

void roc_sender_source(struct roc_sender *sender, struct packet *ret) {
    const struct codec_settings *s = &sender->settings;
    *ret = (struct packet){.iface = MEDIA_SOURCE, .from = sender->from};
    uint8_t *at = ret->data;
    at = put(at, 0x80, 1);
    at = put(at, s->payload_type, 1);
    at = put(at, sender->seq, 2);
    at = put(at, sender->timestamp, 4);
    at = put(at, sender->ssrc, 4);
    memset(at, SOUND, codec_payload_bytes(s));
    at += codec_payload_bytes(s);
    if (s->fec != CODEC_FEC_NONE)
        at = put_fec_id(sender, at, sender->sbn, sender->esi, false);
    ret->len = (uint16_t)(at - ret->data);
    roc_sender_lose(sender, 1);
}

void roc_sender_lose(struct roc_sender *sender, unsigned n) {
    for (; n > 0; n--) {
        sender->seq++;
        sender->timestamp += (uint32_t)codec_packet_samples(&sender->settings);
        if (sender->settings.fec != CODEC_FEC_NONE && ++sender->esi == sender->settings.fec_source_packets) {
            sender->esi = 0;
            sender->sbn = (sender->sbn + 1) & RTP_FEC_SBN_MAX;
        }
    }
}

void roc_sender_repair(const struct roc_sender *sender, uint32_t sbn, uint32_t index, struct packet *ret) {
    const struct codec_settings *s = &sender->settings;
    *ret = (struct packet){.iface = MEDIA_REPAIR, .from = sender->from};
    uint8_t *at = put_fec_id(sender, ret->data, sbn, s->fec_source_packets + index, true);
    size_t symbol = RTP_HEADER_SIZE + codec_payload_bytes(s);
    for (size_t i = 0; i < symbol; i++)
        at[i] = (uint8_t)(31 * i + index);
    ret->len = (uint16_t)(at + symbol - ret->data);
}

void roc_sender_report(const struct roc_sender *sender, struct packet *ret) {
    static const char name[] = "rocd@test";
    *ret = (struct packet){.iface = MEDIA_CONTROL, .from = sender->from};
    uint8_t *at = ret->data;
    at = put(at, 0x80c80006, 4); /* SR of 7 words, RFC 3550 6.4.1 */
    at = put(at, sender->ssrc, 4);
    at = put(at, 0xe8000000'80000000, 8); /* NTP */
    at = put(at, sender->timestamp, 4);
    at = put(at, sender->seq, 4);
    at = put(at, sender->seq * codec_payload_bytes(&sender->settings), 4);
    uint8_t *sdes = at; /* 6.5 */
    at = put(at, 0x81ca0000, 4);
    at = put(at, sender->ssrc, 4);
    at = put(at, 1, 1);
    at = put(at, sizeof name - 1, 1);
    memcpy(at, name, sizeof name - 1);
    at += sizeof name - 1;
    do
        *at++ = 0;
    while ((at - sdes) % 4 != 0);
    put(sdes + 2, (uint64_t)(at - sdes) / 4 - 1, 2);
    ret->len = (uint16_t)(at - ret->data);
}
