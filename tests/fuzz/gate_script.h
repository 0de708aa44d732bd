/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "support/roc_packets.h"
#include "transport/gate.h"

/*
 * Bytes as the story of a receiving link: a well-behaved sender whose packets are lost, held back, sent twice, repaired and
 * reported, and what a broken or hostile one does besides: restarts, jumps, other hosts, changed and cut packets, any bytes
 * at all. So a fuzzer gets past the first checks of the gate and into its depths with few bytes.
 *
 *   4 bytes    FEC, options | source packets a block | repair packets a block | where the numbers begin
 *   then steps, a byte each: what (low half, enum in gate_script.c) and how much (high half), some with bytes behind it
 *
 * Life cycle: begin → next … until it returns false; nothing to finish.  Threads: one.
 */
constexpr size_t GATE_SCRIPT_BACKLOG = 16;

struct gate_script {
    struct gate_config config;
    int64_t now_ns;
    /* Only the well-behaved sender has spoken so far, and its host is one that may. */
    bool honest;

    const uint8_t *at, *end;
    struct roc_sender sender;
    unsigned n_again;   /* times the next sound packet is sent before the next step is read */
    unsigned n_packets; /* so far: a script ends after a good many */
    struct packet packet;
    struct packet backlog[GATE_SCRIPT_BACKLOG]; /* the last that were sent */
    size_t n_sent;

    /* Done to the next packet only. */
    bool change, cut, from_other;
    uint16_t change_at, cut_to;
    uint8_t change_by, other_host;
};

void gate_script_begin(struct gate_script *script, const uint8_t *data, size_t size);
/* What happens next at now_ns: a packet comes, or (nullptr) time has passed. false: the story is over. */
bool gate_script_next(struct gate_script *script, const struct packet **ret);
