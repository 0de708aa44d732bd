/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/clock.h"
#include "support/roc_packets.h"
#include "transport/gate.h"

/*
 * What the unit tests of the gate share.
 *
 * One gate, one sender whose packets are made by hand, and a clock that the test turns on. A packet every 5 ms, a block
 * of 18 + 10, a target latency of 100 ms: 21 packets.
 */
struct rig {
    struct gate_config config;
    struct gate *gate;
    struct roc_sender sender;
    struct packet packet; /* the last that was made */
    int64_t now_ns;
};

constexpr int64_t PACKET_NS = 5 * NS_PER_MS;
constexpr int64_t RELEASE_NS = 2 * NS_PER_S;

static inline void open_gate(struct rig *rig, const struct gate_config *config) {
    gate_destroy(rig->gate);
    rig->config = *config;
    rig->gate = gate_create(config);
    assert_non_null(rig->gate);
    roc_sender_init(&rig->sender, &config->settings, 0xc0ffee, 1);
    rig->now_ns = 1000 * NS_PER_S;
}

static inline void open_gate_for(struct rig *rig, enum codec_fec fec) {
    open_gate(rig, &(struct gate_config){.settings = roc_packets_settings(fec), .release_ns = RELEASE_NS});
}

static inline int setup(void **state) {
    struct rig *rig = calloc(1, sizeof *rig);
    open_gate_for(rig, CODEC_FEC_RS8M);
    *state = rig;
    return 0;
}

static inline int teardown(void **state) {
    struct rig *rig = *state;
    gate_destroy(rig->gate);
    free(rig);
    return 0;
}

#define COUNTER(rig, name) atomic_load(&gate_counters((rig)->gate)->name)

static inline enum gate_verdict check(struct rig *rig) {
    return gate_check(rig->gate, &rig->packet, rig->now_ns);
}

static inline enum gate_verdict sound(struct rig *rig) {
    roc_sender_source(&rig->sender, &rig->packet);
    return check(rig);
}

static inline enum gate_verdict repair(struct rig *rig, uint32_t sbn, uint32_t index) {
    roc_sender_repair(&rig->sender, sbn, index, &rig->packet);
    return check(rig);
}

/* Whether the decoder gets it or not. */
static inline bool is_taken(struct rig *rig, const struct packet *packet) {
    uint64_t n = COUNTER(rig, packets);
    gate_check(rig->gate, packet, rig->now_ns);
    return COUNTER(rig, packets) == n + 1;
}

static inline bool takes_repair(struct rig *rig, uint32_t sbn, uint32_t index) {
    roc_sender_repair(&rig->sender, sbn, index, &rig->packet);
    return is_taken(rig, &rig->packet);
}

static inline enum gate_verdict report(struct rig *rig) {
    roc_sender_report(&rig->sender, &rig->packet);
    return check(rig);
}

static inline void wait_ns(struct rig *rig, int64_t ns) {
    for (int64_t end = rig->now_ns + ns; rig->now_ns < end;) {
        rig->now_ns += end - rig->now_ns < PACKET_NS ? end - rig->now_ns : PACKET_NS;
        gate_tick(rig->gate, rig->now_ns);
    }
}

/* n packets in time, the repair packets of each block at its end. */
static inline void play(struct rig *rig, unsigned n) {
    for (; n > 0; n--) {
        uint32_t sbn = rig->sender.sbn;
        wait_ns(rig, PACKET_NS);
        assert_int_equal(sound(rig), GATE_PASS);
        if (rig->sender.sbn != sbn)
            for (uint32_t i = 0; i < rig->sender.settings.fec_repair_packets; i++)
                assert_true(takes_repair(rig, sbn, i));
    }
}

/* The same packet again, as if it had taken another way. */
static inline enum gate_verdict again(struct rig *rig, const struct packet *packet) {
    return gate_check(rig->gate, packet, rig->now_ns);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
