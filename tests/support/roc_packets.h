/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "transport/codec.h"
#include "transport/path.h"

/*
 * A sender's packets made by hand, the same every time: well formed as transport/rtp.h describes the formats, so that a
 * test changes one thing and sees that one refused. libroc's own packets hold random SSRCs and the time of day.
 * The repair symbols protect nothing: their bytes are a pattern.
 *
 * Threads: one.
 */
struct roc_sender {
    struct codec_settings settings;
    uint32_t ssrc;
    uint16_t seq;       /* of the next packet */
    uint32_t timestamp; /* of the next packet */
    uint32_t sbn;       /* of the next packet's block */
    uint32_t esi;       /* of the next packet */
    union path_address from;
};

/* 48 kHz stereo l16, 5 ms, blocks of 18 + 10, 100 ms of latency. */
struct codec_settings roc_packets_settings(enum codec_fec fec);

/* 192.0.2.`host`, an address of documentation (RFC 5737). */
union path_address roc_packets_host(uint8_t host, uint16_t port);

void roc_sender_init(struct roc_sender *sender, const struct codec_settings *settings, uint32_t ssrc, uint8_t host);
/* The next sound packet. */
void roc_sender_source(struct roc_sender *sender, struct packet *ret);
/* Sends it without looking: the network has lost it. */
void roc_sender_lose(struct roc_sender *sender, unsigned n);
/* A repair packet of block `sbn`; `index` counts from 0. */
void roc_sender_repair(const struct roc_sender *sender, uint32_t sbn, uint32_t index, struct packet *ret);
/* RTCP: a sender report and the name of the stream. */
void roc_sender_report(const struct roc_sender *sender, struct packet *ret);
