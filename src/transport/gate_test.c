/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "support/roc_packets.h"
#include "transport/gate.h"
#include "transport/rtp.h"

/*
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

static void open_gate(struct rig *rig, const struct gate_config *config) {
    gate_destroy(rig->gate);
    rig->config = *config;
    rig->gate = gate_create(config);
    assert_non_null(rig->gate);
    roc_sender_init(&rig->sender, &config->settings, 0xc0ffee, 1);
    rig->now_ns = 1000 * NS_PER_S;
}

static void open_gate_for(struct rig *rig, enum codec_fec fec) {
    open_gate(rig, &(struct gate_config){.settings = roc_packets_settings(fec), .release_ns = RELEASE_NS});
}

static int setup(void **state) {
    struct rig *rig = calloc(1, sizeof *rig);
    open_gate_for(rig, CODEC_FEC_RS8M);
    *state = rig;
    return 0;
}

static int teardown(void **state) {
    struct rig *rig = *state;
    gate_destroy(rig->gate);
    free(rig);
    return 0;
}

#define COUNTER(rig, name) atomic_load(&gate_counters((rig)->gate)->name)

static enum gate_verdict check(struct rig *rig) {
    return gate_check(rig->gate, &rig->packet, rig->now_ns);
}

static enum gate_verdict sound(struct rig *rig) {
    roc_sender_source(&rig->sender, &rig->packet);
    return check(rig);
}

static enum gate_verdict repair(struct rig *rig, uint32_t sbn, uint32_t index) {
    roc_sender_repair(&rig->sender, sbn, index, &rig->packet);
    return check(rig);
}

/* Whether the decoder gets it or not. */
static bool is_taken(struct rig *rig, const struct packet *packet) {
    uint64_t n = COUNTER(rig, packets);
    gate_check(rig->gate, packet, rig->now_ns);
    return COUNTER(rig, packets) == n + 1;
}

static bool takes_repair(struct rig *rig, uint32_t sbn, uint32_t index) {
    roc_sender_repair(&rig->sender, sbn, index, &rig->packet);
    return is_taken(rig, &rig->packet);
}

static enum gate_verdict report(struct rig *rig) {
    roc_sender_report(&rig->sender, &rig->packet);
    return check(rig);
}

static void wait_ns(struct rig *rig, int64_t ns) {
    for (int64_t end = rig->now_ns + ns; rig->now_ns < end;) {
        rig->now_ns += end - rig->now_ns < PACKET_NS ? end - rig->now_ns : PACKET_NS;
        gate_tick(rig->gate, rig->now_ns);
    }
}

/* n packets in time, the repair packets of each block at its end. */
static void play(struct rig *rig, unsigned n) {
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
static enum gate_verdict again(struct rig *rig, const struct packet *packet) {
    return gate_check(rig->gate, packet, rig->now_ns);
}

/* ---- who may send ---- */

static void the_first_good_packet_latches(void **state) {
    struct rig *rig = *state;
    assert_false(gate_is_latched(rig->gate));
    assert_int_equal(sound(rig), GATE_PASS);
    assert_true(gate_is_latched(rig->gate));
    assert_int_equal(gate_last_packet_ns(rig->gate), rig->now_ns);
    assert_int_equal(COUNTER(rig, sessions), 1);
    assert_int_equal(COUNTER(rig, packets), 1);
    assert_int_equal(COUNTER(rig, source_packets), 1);
    assert_int_equal(COUNTER(rig, bytes), rig->packet.len);
    assert_int_equal(COUNTER(rig, rejected), 0);
    assert_int_equal(COUNTER(rig, lost), 0);
}

static void a_steady_stream_passes_and_nothing_is_lost(void **state) {
    struct rig *rig = *state;
    for (enum codec_fec fec = CODEC_FEC_NONE; fec <= CODEC_FEC_LDPC; fec++) {
        open_gate_for(rig, fec);
        play(rig, 18 * 50);
        assert_int_equal(report(rig), GATE_PASS);
        wait_ns(rig, NS_PER_S);
        assert_int_equal(COUNTER(rig, source_packets), 900);
        assert_int_equal(COUNTER(rig, packets), 901 + (fec == CODEC_FEC_NONE ? 0 : 500));
        assert_int_equal(COUNTER(rig, rejected) + COUNTER(rig, lost) + COUNTER(rig, repaired) + COUNTER(rig, late) +
                             COUNTER(rig, reordered) + COUNTER(rig, duplicate) + COUNTER(rig, jitter_ns),
                         0);
        assert_int_equal(gate_missing(rig->gate), 0);
    }
}

static void strangers_are_refused_while_the_sender_speaks(void **state) {
    struct rig *rig = *state;
    play(rig, 5);
    struct roc_sender own = rig->sender;

    roc_sender_init(&rig->sender, &rig->config.settings, 0xc0ffee, 2); /* its SSRC, another host */
    assert_int_equal(sound(rig), GATE_DROP);
    assert_int_equal(repair(rig, 7, 0), GATE_DROP);
    assert_int_equal(report(rig), GATE_DROP);
    roc_sender_init(&rig->sender, &rig->config.settings, 0xbad, 1); /* its host, another SSRC */
    assert_int_equal(sound(rig), GATE_DROP);
    assert_int_equal(report(rig), GATE_DROP);
    assert_int_equal(COUNTER(rig, rejected), 5);
    assert_int_equal(COUNTER(rig, sessions), 1);
    assert_null(gate_feedback_address(rig->gate));

    rig->sender = own;
    play(rig, 5);
    rig->sender.from = roc_packets_host(1, 6000); /* a NAT has given it another port */
    play(rig, 5);
}

static void another_sender_may_take_over_after_silence(void **state) {
    struct rig *rig = *state;
    play(rig, 5);
    roc_sender_init(&rig->sender, &rig->config.settings, 0xabba, 2);
    wait_ns(rig, RELEASE_NS - 1);
    assert_true(gate_is_latched(rig->gate));
    assert_int_equal(sound(rig), GATE_DROP);
    wait_ns(rig, 2);
    assert_false(gate_is_latched(rig->gate));
    assert_int_equal(sound(rig), GATE_NEW_SESSION);
    assert_int_equal(COUNTER(rig, sessions), 2);
    play(rig, 20);
    wait_ns(rig, NS_PER_S);
    assert_int_equal(COUNTER(rig, lost), 0);

    roc_sender_init(&rig->sender, &rig->config.settings, 0xc0ffee, 1); /* now the first is the stranger */
    assert_int_equal(sound(rig), GATE_DROP);
}

static void a_restarted_sender_is_heard_at_once(void **state) {
    struct rig *rig = *state;
    play(rig, 40);
    roc_sender_init(&rig->sender, &rig->config.settings, 0xabba, 1);
    wait_ns(rig, 59 * NS_PER_MS);
    assert_int_equal(sound(rig), GATE_DROP); /* both at once are no restart */
    wait_ns(rig, 2 * NS_PER_MS);
    assert_int_equal(sound(rig), GATE_NEW_SESSION);
    play(rig, 40);
    wait_ns(rig, NS_PER_S);
    assert_int_equal(COUNTER(rig, sessions), 2);
    assert_int_equal(COUNTER(rig, rejected), 1);
    assert_int_equal(COUNTER(rig, lost) + COUNTER(rig, repaired), 0);
}

static void the_same_sender_goes_on_after_silence(void **state) {
    struct rig *rig = *state;
    play(rig, 40);
    wait_ns(rig, 10 * RELEASE_NS);
    assert_false(gate_is_latched(rig->gate));
    play(rig, 40);
    assert_true(gate_is_latched(rig->gate));
    assert_int_equal(COUNTER(rig, sessions), 1);
    assert_int_equal(COUNTER(rig, lost) + COUNTER(rig, rejected), 0);
}

static void only_allowed_hosts_may_send(void **state) {
    struct rig *rig = *state;
    struct gate_config config = {.settings = roc_packets_settings(CODEC_FEC_RS8M),
                                 .allowed = {roc_packets_host(9, 1), roc_packets_host(3, 0)},
                                 .n_allowed = 2};
    open_gate(rig, &config);
    assert_int_equal(sound(rig), GATE_DROP);
    assert_int_equal(repair(rig, 7, 0), GATE_DROP);
    assert_int_equal(report(rig), GATE_DROP);
    assert_int_equal(COUNTER(rig, rejected), 3);
    assert_false(gate_is_latched(rig->gate));
    roc_sender_init(&rig->sender, &config.settings, 0xc0ffee, 3);
    play(rig, 30);
    assert_int_equal(COUNTER(rig, rejected), 3);
}

static void a_trusted_path_has_no_addresses(void **state) {
    struct rig *rig = *state;
    open_gate(rig, &(struct gate_config){.settings = roc_packets_settings(CODEC_FEC_RS8M), .trusted_path = true});
    rig->sender.from = (union path_address){};
    play(rig, 30);
    assert_int_equal(report(rig), GATE_PASS);
    assert_null(gate_feedback_address(rig->gate));
    assert_int_equal(COUNTER(rig, rejected), 0);
}

static void ipv6_senders_are_told_apart(void **state) {
    struct rig *rig = *state;
    union path_address a = {.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(1)}}, b = a;
    inet_pton(AF_INET6, "2001:db8::1", &a.v6.sin6_addr);
    inet_pton(AF_INET6, "2001:db8::2", &b.v6.sin6_addr);
    rig->sender.from = a;
    play(rig, 3);
    rig->sender.from = b;
    assert_int_equal(sound(rig), GATE_DROP);
    rig->sender.from = a;
    play(rig, 3);
}

/* ---- before the first sound ---- */

static void what_comes_before_the_first_sound_is_not_counted(void **state) {
    struct rig *rig = *state;
    assert_int_equal(report(rig), GATE_DROP);
    assert_int_equal(repair(rig, 7, 0), GATE_DROP);
    assert_int_equal(COUNTER(rig, rejected) + COUNTER(rig, packets), 0);
    assert_null(gate_feedback_address(rig->gate));
    /* What could never be right is. */
    rig->packet.len = 5;
    assert_int_equal(check(rig), GATE_DROP);
    roc_sender_report(&rig->sender, &rig->packet);
    rig->packet.len -= 4;
    assert_int_equal(check(rig), GATE_DROP);
    assert_int_equal(COUNTER(rig, rejected), 2);
    play(rig, 3);
    assert_int_equal(report(rig), GATE_PASS);
}

static void a_session_that_begins_within_a_block_has_lost_nothing(void **state) {
    struct rig *rig = *state;
    roc_sender_lose(&rig->sender, 7);
    play(rig, 11 + 18);
    wait_ns(rig, NS_PER_S);
    assert_int_equal(COUNTER(rig, lost) + COUNTER(rig, repaired), 0);
    assert_int_equal(gate_missing(rig->gate), 0);
}

static void the_first_packets_may_change_places(void **state) {
    struct rig *rig = *state;
    struct packet first, second;
    roc_sender_source(&rig->sender, &first);
    roc_sender_source(&rig->sender, &second);
    play(rig, 1);
    assert_int_equal(again(rig, &second), GATE_PASS);
    assert_int_equal(again(rig, &first), GATE_PASS);
    assert_int_equal(again(rig, &first), GATE_DROP);
    play(rig, 40);
    wait_ns(rig, NS_PER_S);
    assert_int_equal(COUNTER(rig, reordered), 2);
    assert_int_equal(COUNTER(rig, duplicate), 1);
    assert_int_equal(COUNTER(rig, late) + COUNTER(rig, lost) + COUNTER(rig, repaired) + COUNTER(rig, rejected), 0);
    assert_int_equal(gate_missing(rig->gate), 0);
}

/* ---- forged and broken packets ---- */

/* An RTCP sender report without SDES ends any program that gives it to libroc 0.4. */
static void the_28_bytes_that_end_libroc_are_refused(void **state) {
    struct rig *rig = *state;
    for (int playing = 0; playing < 2; playing++) {
        for (enum media_iface iface = 0; iface < MEDIA_N_IFACES; iface++) {
            roc_sender_report(&rig->sender, &rig->packet);
            rig->packet.len = 28;
            rig->packet.iface = iface;
            assert_false(gate_rtcp_is_sound(rig->packet.data, 28));
            assert_int_equal(check(rig), GATE_DROP);
        }
        assert_int_equal(COUNTER(rig, rejected), 3 * (playing + 1));
        if (!playing)
            play(rig, 20);
    }
}

static void every_truncation_is_refused(void **state) {
    struct rig *rig = *state;
    for (enum codec_fec fec = CODEC_FEC_NONE; fec <= CODEC_FEC_LDPC; fec++) {
        open_gate_for(rig, fec);
        play(rig, 5);
        uint64_t n_refused = 0;
        struct packet whole[3];
        size_t n_whole = 0;
        struct roc_sender sender = rig->sender;
        roc_sender_report(&sender, &whole[n_whole++]);
        if (fec != CODEC_FEC_NONE) {
            roc_sender_repair(&sender, 7, 0, &whole[n_whole++]);
            roc_sender_source(&sender, &whole[n_whole++]);
        }
        for (size_t i = 0; i < n_whole; i++) {
            for (uint16_t len = 0; len < whole[i].len; len++, n_refused++) {
                rig->packet = whole[i];
                rig->packet.len = len;
                assert_int_equal(check(rig), GATE_DROP);
            }
            assert_true(is_taken(rig, &whole[i]));
        }
        assert_int_equal(COUNTER(rig, rejected), n_refused);
    }
}

static void foreign_encodings_are_refused_and_named(void **state) {
    struct rig *rig = *state;
    struct codec_settings foreign = rig->config.settings;
    foreign.payload_type = 10;
    roc_sender_init(&rig->sender, &foreign, 1, 1);
    assert_int_equal(COUNTER(rig, rejected), 0);
    assert_int_equal(sound(rig), GATE_DROP);
    assert_int_equal(atomic_load(&gate_counters(rig->gate)->foreign_payload_type), 10);
    assert_false(gate_is_latched(rig->gate));
    assert_int_equal(COUNTER(rig, rejected), 1);

    /* Half a frame: 238.5 of them. */
    open_gate_for(rig, CODEC_FEC_NONE);
    roc_sender_source(&rig->sender, &rig->packet);
    rig->packet.len -= 2;
    assert_int_equal(check(rig), GATE_DROP);
    /* Fewer samples than we would send are the sender's choice. */
    rig->packet.len -= 2;
    assert_int_equal(check(rig), GATE_PASS);
}

static void control_is_taken_only_where_it_is_agreed(void **state) {
    struct rig *rig = *state;
    play(rig, 2);
    rig->sender.from = roc_packets_host(1, 7777);
    assert_int_equal(report(rig), GATE_PASS);
    assert_int_equal(path_address_port(gate_feedback_address(rig->gate)), 7777);

    struct gate_config config = rig->config;
    config.settings.control = false;
    open_gate(rig, &config);
    play(rig, 2);
    assert_int_equal(report(rig), GATE_DROP);
    assert_int_equal(COUNTER(rig, rejected), 1);
}

static void packets_that_contradict_their_block_are_refused(void **state) {
    struct rig *rig = *state;
    play(rig, 18 * 3 + 5);
    uint32_t sbn = rig->sender.sbn;
    struct roc_sender own = rig->sender;
    const struct {
        const char *why;
        uint32_t sbn, esi, k;
    } forged[] = {
        {"another place in the block", sbn, 9, 18},  {"another length of the block", sbn, 5, 17},
        {"a block far ahead", sbn + 25, 5, 18},      {"a block far behind", sbn - 25, 5, 18},
        {"the place of another packet", sbn, 4, 18},
    };
    for (size_t i = 0; i < sizeof forged / sizeof forged[0]; i++) {
        rig->sender = own;
        rig->sender.sbn = forged[i].sbn;
        rig->sender.esi = forged[i].esi;
        rig->sender.settings.fec_source_packets = forged[i].k;
        if (sound(rig) != GATE_DROP)
            fail_msg("%s was taken", forged[i].why);
    }
    assert_int_equal(COUNTER(rig, rejected), sizeof forged / sizeof forged[0]);
    rig->sender = own;
    play(rig, 40); /* and have changed nothing */
    assert_int_equal(COUNTER(rig, lost) + COUNTER(rig, repaired), 0);
}

static void repair_that_fits_nothing_is_refused(void **state) {
    struct rig *rig = *state;
    play(rig, 18 * 30 + 5);
    uint32_t sbn = rig->sender.sbn;
    assert_true(takes_repair(rig, sbn - 24, 0));
    assert_int_equal(repair(rig, sbn - 25, 0), GATE_DROP);
    assert_int_equal(repair(rig, sbn + 8, 0), GATE_PASS);
    assert_int_equal(repair(rig, sbn + 9, 0), GATE_DROP);
    roc_sender_repair(&rig->sender, sbn, 0, &rig->packet);
    rig->packet.len -= 4; /* symbols of another size */
    assert_int_equal(check(rig), GATE_DROP);
    roc_sender_repair(&rig->sender, sbn + 2, 0, &rig->packet);
    rig->packet.len--; /* half a sample */
    assert_int_equal(check(rig), GATE_DROP);
    assert_int_equal(COUNTER(rig, rejected), 4);

    open_gate_for(rig, CODEC_FEC_NONE);
    play(rig, 2);
    rig->sender.settings.fec = CODEC_FEC_RS8M;
    assert_int_equal(repair(rig, 7, 0), GATE_DROP);
}

/* ---- sequence numbers ---- */

static void lost_packets_are_counted_after_the_latency(void **state) {
    struct rig *rig = *state;
    open_gate_for(rig, CODEC_FEC_NONE);
    play(rig, 10);
    roc_sender_lose(&rig->sender, 3);
    play(rig, 18);
    assert_int_equal(COUNTER(rig, lost), 0); /* they still may come */
    assert_int_equal(gate_missing(rig->gate), 3);
    play(rig, 5);
    assert_int_equal(COUNTER(rig, lost), 3);
    assert_int_equal(gate_missing(rig->gate), 3);
}

static void silence_settles_what_is_missing(void **state) {
    struct rig *rig = *state;
    open_gate_for(rig, CODEC_FEC_NONE);
    play(rig, 10);
    roc_sender_lose(&rig->sender, 3);
    play(rig, 1);
    wait_ns(rig, 200 * NS_PER_MS);
    assert_int_equal(COUNTER(rig, lost), 3);
    play(rig, 100); /* the sender had stopped: it has lost nothing */
    assert_int_equal(COUNTER(rig, lost), 3);
}

static void reordered_late_and_duplicate_packets_are_told_apart(void **state) {
    struct rig *rig = *state;
    open_gate_for(rig, CODEC_FEC_NONE);
    play(rig, 10);
    struct packet in_time, too_late, twice;
    roc_sender_source(&rig->sender, &in_time);
    roc_sender_source(&rig->sender, &too_late);
    play(rig, 5);
    twice = rig->packet;
    assert_int_equal(again(rig, &in_time), GATE_PASS);
    assert_int_equal(again(rig, &in_time), GATE_DROP);
    assert_int_equal(again(rig, &twice), GATE_DROP);
    play(rig, 50);
    assert_int_equal(again(rig, &too_late), GATE_PASS);
    assert_int_equal(again(rig, &too_late), GATE_DROP);
    assert_int_equal(again(rig, &twice), GATE_DROP);
    play(rig, 50);
    assert_int_equal(COUNTER(rig, reordered), 1);
    assert_int_equal(COUNTER(rig, late), 1);
    assert_int_equal(COUNTER(rig, duplicate), 4);
    assert_int_equal(COUNTER(rig, lost), 1);
    assert_int_equal(COUNTER(rig, source_packets), 10 + 1 + 1 + 105);
    assert_int_equal(gate_missing(rig->gate), 1);
}

static void numbers_wrap(void **state) {
    struct rig *rig = *state;
    rig->sender.seq = 65530;
    rig->sender.timestamp = 0xffffff00;
    rig->sender.sbn = 0xffff;
    play(rig, 18 * 40);
    roc_sender_lose(&rig->sender, 1);
    play(rig, 18 * 40);
    wait_ns(rig, NS_PER_S);
    assert_int_equal(COUNTER(rig, lost), 1);
    assert_int_equal(COUNTER(rig, repaired), 1);
    assert_int_equal(COUNTER(rig, rejected) + COUNTER(rig, late) + COUNTER(rig, reordered), 0);

    open_gate_for(rig, CODEC_FEC_LDPC);
    rig->sender.sbn = 0xffff;
    play(rig, 18 * 40);
    wait_ns(rig, NS_PER_S);
    assert_int_equal(COUNTER(rig, lost) + COUNTER(rig, rejected), 0);
}

static void a_forged_jump_is_not_believed_and_a_real_one_is(void **state) {
    struct rig *rig = *state;
    open_gate_for(rig, CODEC_FEC_NONE);
    play(rig, 50);
    struct roc_sender own = rig->sender;
    const int32_t jumps[] = {100, -102, 30'000, -30'000};
    for (size_t i = 0; i < sizeof jumps / sizeof jumps[0]; i++) {
        rig->sender = own;
        rig->sender.seq = (uint16_t)(own.seq + jumps[i]);
        assert_int_equal(sound(rig), GATE_DROP);
    }
    rig->sender = own;
    rig->sender.timestamp += 48'001 + 240; /* the number is right, the time is not */
    assert_int_equal(sound(rig), GATE_DROP);
    assert_int_equal(COUNTER(rig, rejected), 5);
    rig->sender = own;
    play(rig, 50);
    assert_int_equal(COUNTER(rig, lost), 0);

    roc_sender_lose(&rig->sender, 400); /* two seconds without network */
    wait_ns(rig, 400 * PACKET_NS);
    assert_int_equal(sound(rig), GATE_DROP);
    assert_int_equal(sound(rig), GATE_NEW_SESSION);
    play(rig, 49);
    assert_int_equal(COUNTER(rig, lost), 401);
    assert_int_equal(COUNTER(rig, sessions), 1);
    assert_int_equal(COUNTER(rig, source_packets), 150);
}

/* Found by fuzzing: refused until 100 packets were lost. */
static void small_blocks_are_heard_again_after_a_break(void **state) {
    struct rig *rig = *state;
    struct gate_config config = rig->config;
    config.settings.fec_source_packets = 1;
    open_gate(rig, &config);
    play(rig, 10);
    roc_sender_lose(&rig->sender, 30);
    wait_ns(rig, 30 * PACKET_NS);
    assert_int_equal(sound(rig), GATE_DROP);
    wait_ns(rig, PACKET_NS);
    assert_int_equal(sound(rig), GATE_NEW_SESSION);
    play(rig, 10);
    wait_ns(rig, NS_PER_S);
    assert_int_equal(COUNTER(rig, lost), 31);
    assert_int_equal(COUNTER(rig, rejected), 1);
    assert_int_equal(COUNTER(rig, sessions), 1);
}

static void jitter_is_that_of_rfc_3550(void **state) {
    struct rig *rig = *state;
    play(rig, 100);
    assert_int_equal(COUNTER(rig, jitter_ns), 0);
    /* Every other packet 2 ms late: each way differs from the one before by 2 ms. */
    for (int i = 0; i < 200; i++) {
        wait_ns(rig, PACKET_NS + (i % 2 ? 2 : -2) * NS_PER_MS);
        assert_int_equal(sound(rig), GATE_PASS);
    }
    assert_in_range(COUNTER(rig, jitter_ns), 19 * NS_PER_MS / 10, 2 * NS_PER_MS);
    /* The kernel's receive time counts, not when we came to look. */
    open_gate_for(rig, CODEC_FEC_NONE);
    for (int i = 0; i < 100; i++) {
        roc_sender_source(&rig->sender, &rig->packet);
        rig->packet.received_ns = rig->now_ns + i * PACKET_NS;
        assert_int_equal(check(rig), GATE_PASS);
    }
    assert_int_equal(COUNTER(rig, jitter_ns), 0);
}

/* ---- FEC blocks ---- */

/* One block with `n_lost` source packets and `n_repair` repair packets that came. */
static void block(struct rig *rig, unsigned n_lost, unsigned n_repair) {
    uint32_t sbn = rig->sender.sbn;
    assert_int_equal(rig->sender.esi, 0);
    roc_sender_lose(&rig->sender, n_lost);
    for (unsigned i = n_lost; i < 18; i++) {
        wait_ns(rig, PACKET_NS);
        assert_int_equal(sound(rig), GATE_PASS);
    }
    for (unsigned i = 0; i < n_repair; i++)
        assert_true(takes_repair(rig, sbn, i));
}

static void a_block_gives_back_what_its_repair_packets_can(void **state) {
    struct rig *rig = *state;
    static const struct {
        unsigned n_lost, n_repair, repaired;
    } cases[] = {{0, 10, 0}, {1, 1, 1}, {1, 10, 1}, {10, 10, 10}, {10, 9, 0}, {11, 10, 0}, {3, 2, 0}, {3, 0, 0}};
    for (enum codec_fec fec = CODEC_FEC_RS8M; fec <= CODEC_FEC_LDPC; fec++)
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            open_gate_for(rig, fec);
            block(rig, 0, 10);
            block(rig, cases[i].n_lost, cases[i].n_repair);
            block(rig, 0, 10);
            unsigned repaired = fec == CODEC_FEC_RS8M ? cases[i].repaired : 0;
            assert_int_equal(gate_missing(rig->gate), cases[i].n_lost - repaired);
            wait_ns(rig, NS_PER_S);
            assert_int_equal(COUNTER(rig, lost), cases[i].n_lost);
            assert_int_equal(COUNTER(rig, repaired), repaired);
            assert_int_equal(gate_missing(rig->gate), cases[i].n_lost - repaired);
        }
}

/* One packet after libroc has repaired a part of a block ends the process. */
static void a_block_takes_no_more_than_it_needs(void **state) {
    struct rig *rig = *state;
    struct packet late;
    block(rig, 0, 10);
    uint32_t sbn = rig->sender.sbn;
    roc_sender_source(&rig->sender, &late);
    roc_sender_lose(&rig->sender, 1);
    for (int i = 2; i < 18; i++)
        assert_int_equal(sound(rig), GATE_PASS);
    assert_int_equal(repair(rig, sbn, 3), GATE_PASS);
    assert_int_equal(repair(rig, sbn, 3), GATE_DROP);
    assert_int_equal(repair(rig, sbn, 9), GATE_PASS);
    assert_int_equal(repair(rig, sbn, 0), GATE_DROP);
    assert_int_equal(again(rig, &late), GATE_DROP);
    assert_int_equal(COUNTER(rig, rejected), 0);
    assert_int_equal(COUNTER(rig, reordered), 1);
    assert_int_equal(gate_missing(rig->gate), 0);
    block(rig, 3, 2);
    assert_int_equal(gate_missing(rig->gate), 3);
    wait_ns(rig, NS_PER_S);
    assert_int_equal(COUNTER(rig, lost), 4);
    assert_int_equal(COUNTER(rig, repaired), 1);

    open_gate_for(rig, CODEC_FEC_LDPC);
    block(rig, 0, 10);
    sbn = rig->sender.sbn;
    block(rig, 5, 0);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(repair(rig, sbn, i), GATE_DROP);
    assert_int_equal(COUNTER(rig, rejected), 0);
}

/* libroc repairs nothing before the first block that it sees from its beginning. */
static void repair_from_before_the_session_repairs_nothing(void **state) {
    struct rig *rig = *state;
    struct gate_config config = rig->config;
    config.settings.fec_repair_packets = 18;
    open_gate(rig, &config);
    uint32_t sbn = rig->sender.sbn;
    roc_sender_lose(&rig->sender, 18); /* that block ended before we came */
    assert_int_equal(sound(rig), GATE_PASS);
    for (uint32_t i = 0; i < 18; i++)
        assert_int_equal(repair(rig, sbn, i), GATE_DROP);
    play(rig, 17 + 18 * 40);
    wait_ns(rig, NS_PER_S);
    assert_int_equal(COUNTER(rig, rejected) + COUNTER(rig, lost) + COUNTER(rig, repaired), 0);

    open_gate(rig, &config);
    roc_sender_lose(&rig->sender, 2);
    sbn = rig->sender.sbn;
    assert_int_equal(sound(rig), GATE_PASS);
    roc_sender_lose(&rig->sender, 2);
    for (int i = 5; i < 18; i++)
        assert_int_equal(sound(rig), GATE_PASS);
    for (uint32_t i = 0; i < 18; i++)
        assert_int_equal(repair(rig, sbn, i), GATE_DROP);
    play(rig, 18 * 40);
    wait_ns(rig, NS_PER_S);
    assert_int_equal(COUNTER(rig, lost), 2);
    assert_int_equal(COUNTER(rig, repaired), 0);
}

static void a_repair_packet_counts_once(void **state) {
    struct rig *rig = *state;
    block(rig, 0, 10);
    uint32_t sbn = rig->sender.sbn;
    block(rig, 2, 1);
    assert_true(takes_repair(rig, sbn, 0));
    assert_int_equal(gate_missing(rig->gate), 2);
    assert_int_equal(repair(rig, sbn, 5), GATE_PASS);
    assert_int_equal(gate_missing(rig->gate), 0);
}

static void what_comes_late_had_been_repaired(void **state) {
    struct rig *rig = *state;
    struct packet late;
    block(rig, 0, 10);
    struct roc_sender before = rig->sender;
    block(rig, 1, 10);
    roc_sender_source(&before, &late);
    block(rig, 0, 10);
    block(rig, 0, 10);
    assert_int_equal(again(rig, &late), GATE_DROP);
    wait_ns(rig, NS_PER_S);
    assert_int_equal(COUNTER(rig, lost), 1);
    assert_int_equal(COUNTER(rig, repaired), 1);
    assert_int_equal(COUNTER(rig, late), 1);
    assert_int_equal(COUNTER(rig, rejected), 0);
    assert_int_equal(gate_missing(rig->gate), 0);
}

static void silence_within_a_block_does_not_change_what_came(void **state) {
    struct rig *rig = *state;
    block(rig, 0, 10);
    play(rig, 9);
    wait_ns(rig, 150 * NS_PER_MS);
    play(rig, 9 + 18 * 40);
    wait_ns(rig, NS_PER_S);
    assert_int_equal(COUNTER(rig, lost) + COUNTER(rig, repaired), 0);
    roc_sender_lose(&rig->sender, 11);
    play(rig, 7);
    assert_int_equal(gate_missing(rig->gate), 11);
}

/* Found by fuzzing: lost 0, repaired 4. */
static void the_end_of_a_block_is_lost_when_only_its_repair_came(void **state) {
    struct rig *rig = *state;
    block(rig, 0, 10);
    play(rig, 14);
    uint32_t sbn = rig->sender.sbn;
    roc_sender_source(&rig->sender, &rig->packet);
    struct packet held = rig->packet;
    roc_sender_lose(&rig->sender, 3);
    for (unsigned i = 0; i < 10; i++)
        takes_repair(rig, sbn, i);
    assert_int_equal(COUNTER(rig, lost), 0);
    wait_ns(rig, 150 * NS_PER_MS);
    assert_int_equal(COUNTER(rig, lost), 4);
    assert_int_equal(COUNTER(rig, repaired), 4);
    assert_int_equal(gate_missing(rig->gate), 0);
    assert_int_equal(again(rig, &held), GATE_DROP); /* the decoder has had enough of that block */
    play(rig, 18);
    wait_ns(rig, NS_PER_S);
    assert_int_equal(COUNTER(rig, lost), 4);
    assert_int_equal(COUNTER(rig, repaired), 4);
    assert_int_equal(COUNTER(rig, late), 1);
    assert_int_equal(COUNTER(rig, reordered), 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_first_good_packet_latches),
        TEST(a_steady_stream_passes_and_nothing_is_lost),
        TEST(strangers_are_refused_while_the_sender_speaks),
        TEST(another_sender_may_take_over_after_silence),
        TEST(a_restarted_sender_is_heard_at_once),
        TEST(the_same_sender_goes_on_after_silence),
        TEST(only_allowed_hosts_may_send),
        TEST(a_trusted_path_has_no_addresses),
        TEST(ipv6_senders_are_told_apart),
        TEST(what_comes_before_the_first_sound_is_not_counted),
        TEST(a_session_that_begins_within_a_block_has_lost_nothing),
        TEST(the_first_packets_may_change_places),
        TEST(the_28_bytes_that_end_libroc_are_refused),
        TEST(every_truncation_is_refused),
        TEST(foreign_encodings_are_refused_and_named),
        TEST(control_is_taken_only_where_it_is_agreed),
        TEST(packets_that_contradict_their_block_are_refused),
        TEST(repair_that_fits_nothing_is_refused),
        TEST(lost_packets_are_counted_after_the_latency),
        TEST(silence_settles_what_is_missing),
        TEST(reordered_late_and_duplicate_packets_are_told_apart),
        TEST(numbers_wrap),
        TEST(a_forged_jump_is_not_believed_and_a_real_one_is),
        TEST(small_blocks_are_heard_again_after_a_break),
        TEST(jitter_is_that_of_rfc_3550),
        TEST(a_block_gives_back_what_its_repair_packets_can),
        TEST(a_block_takes_no_more_than_it_needs),
        TEST(repair_from_before_the_session_repairs_nothing),
        TEST(a_repair_packet_counts_once),
        TEST(what_comes_late_had_been_repaired),
        TEST(silence_within_a_block_does_not_change_what_came),
        TEST(the_end_of_a_block_is_lost_when_only_its_repair_came),
    };
    return cmocka_run_group_tests_name("transport-gate", tests, nullptr, nullptr);
}
