/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "support/roc_packets.h"
#include "transport/rtp.h"

/* ---- sound and repair ---- */

static void a_sound_packet_is_read(void **) {
    for (enum codec_fec fec = CODEC_FEC_NONE; fec <= CODEC_FEC_LDPC; fec++) {
        struct codec_settings settings = roc_packets_settings(fec);
        struct roc_sender sender;
        struct packet packet;
        struct rtp_source source;
        roc_sender_init(&sender, &settings, 0xdecafbad, 1);
        roc_sender_lose(&sender, 3);
        roc_sender_source(&sender, &packet);
        assert_true(rtp_parse_source(packet.data, packet.len, fec, &source));
        assert_int_equal(source.payload_type, 96);
        assert_int_equal(source.seq, 1003);
        assert_int_equal(source.timestamp, 50'000 + 3 * 240);
        assert_int_equal(source.ssrc, 0xdecafbad);
        assert_int_equal(source.payload_len, 960);
        assert_int_equal(source.fec.sbn, fec == CODEC_FEC_NONE ? 0 : 7);
        assert_int_equal(source.fec.esi, fec == CODEC_FEC_NONE ? 0 : 3);
        assert_int_equal(source.fec.k, fec == CODEC_FEC_NONE ? 0 : 18);
        assert_int_equal(source.fec.n, 0);
    }
}

static void silence_in_a_packet_is_seen(void **) {
    struct codec_settings settings = roc_packets_settings(CODEC_FEC_RS8M);
    struct roc_sender sender;
    struct packet packet;
    struct rtp_source source;
    roc_sender_init(&sender, &settings, 1, 1);
    roc_sender_source(&sender, &packet);
    assert_true(rtp_parse_source(packet.data, packet.len, CODEC_FEC_RS8M, &source));
    uint8_t *sound = packet.data + RTP_HEADER_SIZE;
    for (size_t i = 0; i < source.payload_len; i++)
        sound[i] = i % 4 == 3; /* one channel is silent, the other as quiet as can be */
    assert_false(rtp_has_silence(packet.data, &source, 2, 24));
    for (size_t begin = 0; begin + 24 <= 240; begin++) { /* frames */
        memset(sound + 4 * begin, 0, 4 * 24UL);
        assert_true(rtp_has_silence(packet.data, &source, 2, 24));
        for (size_t i = 4 * begin; i < 4 * (begin + 24); i++)
            sound[i] = i % 4 == 3;
    }
    memset(sound, 0, source.payload_len);
    assert_true(rtp_has_silence(packet.data, &source, 2, 24));
    assert_true(rtp_has_silence(packet.data, &source, 16, 24));
    source.payload_len = 3; /* not even a frame */
    assert_false(rtp_has_silence(packet.data, &source, 2, 24));
}

static void a_repair_packet_is_read(void **) {
    for (enum codec_fec fec = CODEC_FEC_RS8M; fec <= CODEC_FEC_LDPC; fec++) {
        struct codec_settings settings = roc_packets_settings(fec);
        struct roc_sender sender;
        struct packet packet;
        struct rtp_repair repair;
        roc_sender_init(&sender, &settings, 1, 1);
        roc_sender_repair(&sender, 9, 4, &packet);
        assert_true(rtp_parse_repair(packet.data, packet.len, fec, &repair));
        assert_int_equal(repair.fec.sbn, 9);
        assert_int_equal(repair.fec.esi, 22);
        assert_int_equal(repair.fec.k, 18);
        assert_int_equal(repair.fec.n, fec == CODEC_FEC_LDPC ? 28 : 0);
        assert_int_equal(repair.symbol_len, 972);
        assert_false(rtp_parse_repair(packet.data, packet.len, CODEC_FEC_NONE, &repair));
    }
}

/* One byte of a good packet is changed; `at` counts from the end where it is negative. */
struct change {
    const char *why;
    enum codec_fec fec;
    int at;
    uint8_t value;
};

static void put_change(struct packet *packet, const struct change *change) {
    packet->data[change->at < 0 ? packet->len + change->at : change->at] = change->value;
}

static void what_libroc_never_sends_is_refused(void **) {
    static const struct change changes[] = {
        {"version 1", CODEC_FEC_NONE, 0, 0x40},
        {"version 3", CODEC_FEC_NONE, 0, 0xc0},
        {"padding", CODEC_FEC_NONE, 0, 0xa0},
        {"an extension", CODEC_FEC_NONE, 0, 0x90},
        {"a contributing source", CODEC_FEC_NONE, 0, 0x81},
        {"a symbol beyond the block", CODEC_FEC_RS8M, -3, 18},
        {"a block of none", CODEC_FEC_RS8M, -1, 0},
        {"a block of 274", CODEC_FEC_RS8M, -2, 1},
        {"a symbol beyond the block", CODEC_FEC_LDPC, -3, 18},
        {"a symbol far beyond the block", CODEC_FEC_LDPC, -4, 1},
        {"a block of none", CODEC_FEC_LDPC, -1, 0},
        {"a block of 530", CODEC_FEC_LDPC, -2, 2},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct codec_settings settings = roc_packets_settings(changes[i].fec);
        struct roc_sender sender;
        struct packet packet;
        struct rtp_source source;
        roc_sender_init(&sender, &settings, 1, 1);
        roc_sender_source(&sender, &packet);
        put_change(&packet, &changes[i]);
        if (rtp_parse_source(packet.data, packet.len, changes[i].fec, &source))
            fail_msg("%s was taken", changes[i].why);
    }
}

static void impossible_repair_packets_are_refused(void **) {
    static const struct change changes[] = {
        {"a source symbol", CODEC_FEC_RS8M, 3, 17},
        {"symbol 255 of 255", CODEC_FEC_RS8M, 3, 255},
        {"a block of 255", CODEC_FEC_RS8M, 5, 255},
        {"a block of none", CODEC_FEC_RS8M, 5, 0},
        {"a block number of more than 16 bits", CODEC_FEC_RS8M, 0, 1},
        {"a source symbol", CODEC_FEC_LDPC, 3, 17},
        {"a symbol beyond the block", CODEC_FEC_LDPC, 3, 28},
        {"6 repair packets, too few for the matrix", CODEC_FEC_LDPC, 7, 24},
        {"fewer packets than source packets", CODEC_FEC_LDPC, 7, 17},
        {"a block of 540", CODEC_FEC_LDPC, 6, 2},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct codec_settings settings = roc_packets_settings(changes[i].fec);
        struct roc_sender sender;
        struct packet packet;
        struct rtp_repair repair;
        roc_sender_init(&sender, &settings, 1, 1);
        roc_sender_repair(&sender, 7, 0, &packet);
        put_change(&packet, &changes[i]);
        if (rtp_parse_repair(packet.data, packet.len, changes[i].fec, &repair))
            fail_msg("%s was taken", changes[i].why);
    }
}

static void short_and_long_packets_are_refused(void **) {
    uint8_t data[PACKET_MAX + 1] = {0x80, 96};
    struct rtp_source source;
    struct rtp_repair repair;
    for (size_t len = 0; len <= RTP_HEADER_SIZE; len++)
        assert_false(rtp_parse_source(data, len, CODEC_FEC_NONE, &source));
    assert_true(rtp_parse_source(data, RTP_HEADER_SIZE + 1, CODEC_FEC_NONE, &source));
    assert_true(rtp_parse_source(data, PACKET_MAX, CODEC_FEC_NONE, &source));
    assert_false(rtp_parse_source(data, PACKET_MAX + 1, CODEC_FEC_NONE, &source));
    data[3] = 5, data[5] = 1; /* rs8m: symbol 5 of a block of 1 */
    for (size_t len = 0; len <= 6 + RTP_HEADER_SIZE; len++)
        assert_false(rtp_parse_repair(data, len, CODEC_FEC_RS8M, &repair));
    assert_false(rtp_parse_repair(data, PACKET_MAX + 1, CODEC_FEC_RS8M, &repair));
}

static void block_numbers_wrap(void **) {
    assert_int_equal(rtp_sbn_diff(0xffff, 1), 2);
    assert_int_equal(rtp_sbn_diff(1, 0xffff), -2);
    assert_int_equal(rtp_sbn_diff(7, 7), 0);
}

/* ---- RTCP ---- */

/* Words of a compound; text in them is big endian too. */
struct compound {
    const char *what;
    bool sound;
    size_t n_words;
    uint32_t words[24];
};

#define SR(blocks) 0x80c80000 | (blocks) << 24 | (6 + 6 * (blocks)), 7, 1, 2, 3, 4, 5
#define RR         0x80c90001, 7
#define BLOCK      9, 1, 2, 3, 4, 5
#define SDES       0x81ca0003, 7, 0x01046e61, 0x6d650000 /* CNAME "name" */
#define WORDS(...) \
    sizeof((uint32_t[]){__VA_ARGS__}) / 4, { \
        __VA_ARGS__ \
    }

static void rtcp_is_taken_only_when_libroc_can_take_it(void **) {
    static const struct compound compounds[] = {
        {"report and name", true, WORDS(SR(0), SDES)},
        {"receiver report and name", true, WORDS(RR, SDES)},
        {"report with a block", true, WORDS(SR(1), BLOCK, SDES)},
        {"bye", true, WORDS(RR, SDES, 0x81cb0001, 7)},
        {"bye with a reason", true, WORDS(RR, SDES, 0x81cb0002, 7, 0x03627965)},
        {"receiver time", true, WORDS(RR, SDES, 0x80cf0004, 7, 0x04000002, 1, 2)},
        {"delay since", true, WORDS(RR, SDES, 0x80cf0005, 7, 0x05000003, 1, 2, 3)},
        {"name and note", true, WORDS(RR, 0x81ca0004, 7, 0x01046e61, 0x6d650702, 0x68690000)},

        /* The packet that ends any program that gives it to libroc 0.4. */
        {"report without a name", false, WORDS(SR(0))},
        {"name alone", false, WORDS(SDES)},
        {"name first", false, WORDS(SDES, RR)},
        {"two names", false, WORDS(RR, SDES, SDES)},
        {"an empty name", false, WORDS(RR, 0x81ca0002, 7, 0x01000000)},
        {"no name in the chunk", false, WORDS(RR, 0x81ca0002, 7, 0x02016100)},
        {"no chunk", false, WORDS(RR, 0x80ca0000)},
        {"two chunks", false, WORDS(RR, 0x82ca0003, 7, 0x01046e61, 0x6d650000)},
        {"a name that is longer than its packet", false, WORDS(RR, 0x81ca0003, 7, 0x01ff6e61, 0x6d650000)},
        {"a name with a zero in it", false, WORDS(RR, 0x81ca0003, 7, 0x01046e00, 0x6d650000)},
        {"a name without an end", false, WORDS(RR, 0x81ca0002, 7, 0x01026e61)},
        {"two names in a chunk", false, WORDS(RR, 0x81ca0004, 7, 0x01046e61, 0x6d650102, 0x68690000)},
        {"name of another", false, WORDS(RR, 0x81ca0003, 8, 0x01046e61, 0x6d650000)},
        {"bye of another", false, WORDS(RR, SDES, 0x81cb0001, 8)},
        {"bye of nobody", false, WORDS(RR, SDES, 0x80cb0001, 7)},
        {"a reason longer than its packet", false, WORDS(RR, SDES, 0x81cb0002, 7, 0xff627965)},
        {"a block that is not there", false, WORDS(0x81c80006, 7, 1, 2, 3, 4, 5, SDES)},
        {"31 blocks", false, WORDS(0x9fc90001, 7, SDES)},
        {"a block too many", false, WORDS(0x80c90007, 7, BLOCK, SDES)},
        {"version 1", false, WORDS(0x40c90001, 7, SDES)},
        {"padding", false, WORDS(0xa0c90001, 7, SDES)},
        {"a type libroc does not know", false, WORDS(RR, SDES, 0x80cc0002, 7, 0x6e616d65)},
        {"a receiver time that is cut short", false, WORDS(RR, SDES, 0x80cf0003, 7, 0x04000001, 1)},
        {"an extended block longer than its packet", false, WORDS(RR, SDES, 0x80cf0004, 7, 0x04000009, 1, 2)},
        {"an extended block of an unknown type", false, WORDS(RR, SDES, 0x80cf0004, 7, 0x63000002, 1, 2)},
        {"delays that do not come in threes", false, WORDS(RR, SDES, 0x80cf0004, 7, 0x05000002, 1, 2)},
        {"a length beyond the packet", false, WORDS(0x80c90001, 7, 0x81ca0004, 7, 0x01046e61, 0x6d650000)},
        {"a packet of one word", false, WORDS(0x80c90000, SDES)},
        {"something after it", false, WORDS(RR, SDES, 0)},
    };
    for (size_t i = 0; i < sizeof compounds / sizeof compounds[0]; i++) {
        const struct compound *c = &compounds[i];
        uint8_t data[sizeof c->words];
        for (size_t w = 0; w < c->n_words; w++)
            for (size_t b = 0; b < 4; b++)
                data[4 * w + b] = (uint8_t)(c->words[w] >> (24 - 8 * b));
        uint32_t ssrc = 0;
        if (rtcp_parse(data, 4 * c->n_words, &ssrc) != c->sound)
            fail_msg("%s was %s", c->what, c->sound ? "refused" : "taken");
        if (c->sound)
            assert_int_equal(ssrc, 7);
    }
}

static void rtcp_cut_short_is_refused(void **) {
    struct codec_settings settings = roc_packets_settings(CODEC_FEC_RS8M);
    struct roc_sender sender;
    struct packet packet;
    uint32_t ssrc;
    roc_sender_init(&sender, &settings, 0x12345678, 1);
    roc_sender_report(&sender, &packet);
    assert_true(rtcp_parse(packet.data, packet.len, &ssrc));
    assert_int_equal(ssrc, 0x12345678);
    for (size_t len = 0; len < packet.len; len++)
        assert_false(rtcp_parse(packet.data, len, &ssrc));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_packet_is_read),
        cmocka_unit_test(silence_in_a_packet_is_seen),
        cmocka_unit_test(a_repair_packet_is_read),
        cmocka_unit_test(what_libroc_never_sends_is_refused),
        cmocka_unit_test(impossible_repair_packets_are_refused),
        cmocka_unit_test(short_and_long_packets_are_refused),
        cmocka_unit_test(block_numbers_wrap),
        cmocka_unit_test(rtcp_is_taken_only_when_libroc_can_take_it),
        cmocka_unit_test(rtcp_cut_short_is_refused),
    };
    return cmocka_run_group_tests_name("transport-rtp", tests, nullptr, nullptr);
}
