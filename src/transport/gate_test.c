/* SPDX-License-Identifier: MPL-2.0 */
#include "transport/gate_test.h"

#include <arpa/inet.h>
#include <string.h>

#include "transport/rtp.h"

/* Who and what is let through. */

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

int main(void) {
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
    };
    return cmocka_run_group_tests_name("transport-gate", tests, nullptr, nullptr);
}
