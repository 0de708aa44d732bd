/* SPDX-License-Identifier: MPL-2.0 */
#include "transport/gate_test.h"

#include <arpa/inet.h>
#include <string.h>

#include "transport/rtp.h"

/* What the gate counts: lost, late, repaired, and what it takes for a jump. */

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

static void they_are_waited_for_as_long_as_the_latency_of_now(void **state) {
    struct rig *rig = *state;
    open_gate_for(rig, CODEC_FEC_NONE);
    play(rig, 10);
    gate_set_target_latency(rig->gate, 200 * NS_PER_MS);
    roc_sender_lose(&rig->sender, 3);
    play(rig, 38);
    assert_int_equal(COUNTER(rig, lost), 0);
    play(rig, 5);
    assert_int_equal(COUNTER(rig, lost), 3);
    gate_set_target_latency(rig->gate, 50 * NS_PER_MS);
    roc_sender_lose(&rig->sender, 2);
    play(rig, 8);
    assert_int_equal(COUNTER(rig, lost), 3);
    play(rig, 5);
    assert_int_equal(COUNTER(rig, lost), 5);
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

/* So far ahead within a packet's time that the sender cannot have sent what would be missing. */
static void a_jump_ahead_of_the_sender_loses_nothing(void **state) {
    struct rig *rig = *state;
    open_gate_for(rig, CODEC_FEC_NONE);
    play(rig, 50);
    uint64_t missing = gate_missing(rig->gate);
    roc_sender_lose(&rig->sender, 20'000);
    wait_ns(rig, PACKET_NS);
    assert_int_equal(sound(rig), GATE_DROP);
    wait_ns(rig, PACKET_NS);
    assert_int_equal(sound(rig), GATE_NEW_SESSION);
    play(rig, 49);
    assert_int_equal(COUNTER(rig, lost), 0);
    assert_int_equal(gate_missing(rig->gate), missing);
}

/* Found by fuzzing: each of them made the gate forget the jump. */
static void a_jump_is_believed_though_an_older_packet_comes_within_it(void **state) {
    struct rig *rig = *state;
    open_gate_for(rig, CODEC_FEC_NONE);
    play(rig, 50);
    struct packet older;
    roc_sender_source(&rig->sender, &older);
    play(rig, 1);
    roc_sender_lose(&rig->sender, 400);
    assert_int_equal(sound(rig), GATE_DROP);
    assert_int_equal(again(rig, &older), GATE_PASS);
    assert_int_equal(sound(rig), GATE_NEW_SESSION);
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
    const struct CMUnitTest tests[] = {
        TEST(lost_packets_are_counted_after_the_latency),
        TEST(they_are_waited_for_as_long_as_the_latency_of_now),
        TEST(silence_settles_what_is_missing),
        TEST(reordered_late_and_duplicate_packets_are_told_apart),
        TEST(numbers_wrap),
        TEST(a_forged_jump_is_not_believed_and_a_real_one_is),
        TEST(a_jump_ahead_of_the_sender_loses_nothing),
        TEST(a_jump_is_believed_though_an_older_packet_comes_within_it),
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
    return cmocka_run_group_tests_name("transport-gate-count", tests, nullptr, nullptr);
}
