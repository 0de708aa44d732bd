/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sodium.h>
#include <string.h>

#include "transport/seal/seal.h"
#include "transport/sealed.h"

/* ---- vectors: also in docs/protocol.md, to hold a second implementation against ---- */

static const char stream_uid[] = "ab12cd-ef34gh-ij56kl";
constexpr int64_t GENERATION = 7;
constexpr uint32_t TO_RECEIVER = 0x01234567; /* link ids */
constexpr uint32_t TO_SENDER = 0x89abcdef;

static const char sender_public[] = "8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f";
static const char receiver_public[] = "358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254";
static const char key_to_receiver[] = "29020f62a23f3dbf132af45c5e37e7fd443a8d1d1e6ef9720b3502606245f70a";
static const char key_to_sender[] = "261d90828ec7a48db7adb3ba7dda4e019d66a26c830bfb51cf34fc684f2a47f3";

/* The secret keys are the bytes 0 … 31 and 32 … 63. */
static struct crypto_dh_key key_from(uint8_t first, const char *public_key) {
    struct crypto_dh_key key;
    for (size_t i = 0; i < sizeof key.secret_key; i++)
        key.secret_key[i] = (uint8_t)(first + i);
    assert_true(crypto_unhex(key.public_key, sizeof key.public_key, public_key));
    uint8_t computed[CRYPTO_DH_KEY_SIZE];
    crypto_scalarmult_base(computed, key.secret_key);
    assert_memory_equal(computed, key.public_key, sizeof computed);
    return key;
}

static struct seal_keys vector_keys(void) {
    struct crypto_dh_key sender = key_from(0, sender_public), receiver = key_from(32, receiver_public);
    struct seal_keys at_sender, at_receiver;
    assert_int_equal(seal_keys_derive(&at_sender, &sender, receiver.public_key, true, stream_uid, GENERATION, nullptr),
                     ERR_OK);
    assert_int_equal(
        seal_keys_derive(&at_receiver, &receiver, sender.public_key, false, stream_uid, GENERATION, nullptr), ERR_OK);
    assert_memory_equal(&at_sender, &at_receiver, sizeof at_sender);
    return at_sender;
}

static void assert_hex(const uint8_t *bytes, size_t len, const char *hex) {
    char text[2 * PACKET_MAX + 1];
    crypto_hex(text, bytes, len);
    assert_string_equal(text, hex);
}

static void keys_are_as_written_down(void **) {
    struct seal_keys keys = vector_keys();
    assert_hex(keys.to_receiver, sizeof keys.to_receiver, key_to_receiver);
    assert_hex(keys.to_sender, sizeof keys.to_sender, key_to_sender);
}

static void datagrams_are_as_written_down(void **) {
    static const struct {
        bool to_sender;
        enum seal_kind kind;
        uint64_t count;
        const char *payload, *datagram;
    } vectors[] = {
        {false, SEAL_SOURCE, 1, "sound", "e001234567000000010cc9fa9c985bab281ef076b8de7f76a5b9c7bf9c2c"},
        {false, SEAL_PING, 2, "", "e30123456700000002d8f8e6ad7009f21e615407fcbd481358"},
        {true, SEAL_CONTROL, 0x1'0000'0002, "a report of what was heard",
         "e289abcdef000000025496b6862223caa5b69098af0834eb715dda2dad921530d9263131e09c74b0fab1aebcf283c8296959c5"},
    };
    struct seal_keys keys = vector_keys();
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        const uint8_t *key = vectors[i].to_sender ? keys.to_sender : keys.to_receiver;
        struct seal_out out;
        struct seal_in in;
        uint8_t payload[PACKET_MAX] = {}, datagram[PACKET_MAX], opened[PACKET_MAX];
        size_t len = strlen(vectors[i].payload);
        memcpy(payload, vectors[i].payload, len);
        seal_out_init(&out, key, vectors[i].to_sender ? TO_SENDER : TO_RECEIVER);
        out.count = vectors[i].count - 1;
        assert_int_equal(seal_close(&out, vectors[i].kind, payload, len, datagram), len + SEAL_OVERHEAD);
        assert_hex(datagram, len + SEAL_OVERHEAD, vectors[i].datagram);
        seal_in_init(&in, key);
        in.highest = vectors[i].count - 1;
        assert_int_equal(seal_open(&in, datagram, len + SEAL_OVERHEAD, opened), SEAL_OPENED_NEWEST);
        assert_memory_equal(opened, payload, len);
    }
}

static void keys_differ_in_all_they_are_for(void **) {
    struct crypto_dh_key sender = key_from(0, sender_public), receiver = key_from(32, receiver_public);
    struct seal_keys all[4];
    all[0] = vector_keys();
    assert_int_equal(seal_keys_derive(&all[1], &sender, receiver.public_key, true, stream_uid, GENERATION + 1, nullptr),
                     ERR_OK);
    assert_int_equal(
        seal_keys_derive(&all[2], &sender, receiver.public_key, true, "bb12cd-ef34gh-ij56kl", GENERATION, nullptr),
        ERR_OK);
    /* the same two keys, with the sound going the other way */
    assert_int_equal(seal_keys_derive(&all[3], &sender, receiver.public_key, false, stream_uid, GENERATION, nullptr),
                     ERR_OK);
    for (size_t i = 0; i < 8; i++)
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(i % 2 ? all[i / 2].to_sender : all[i / 2].to_receiver,
                                    k % 2 ? all[k / 2].to_sender : all[k / 2].to_receiver, CRYPTO_DERIVED_SIZE);
}

static void unusable_keys_are_refused(void **) {
    struct crypto_dh_key own = key_from(0, sender_public);
    struct seal_keys keys;
    struct err_info info;
    static const uint8_t zero[32], one[32] = {1};
    assert_int_equal(seal_keys_derive(&keys, &own, zero, true, stream_uid, 1, &info), ERR_INVALID);
    assert_int_equal(seal_keys_derive(&keys, &own, one, true, stream_uid, 1, &info), ERR_INVALID);
    assert_non_null(strstr(info.message, "small order"));
    assert_int_equal(seal_keys_derive(&keys, &own, own.public_key, true, "melody", 1, &info), ERR_INVALID);
    assert_non_null(strstr(info.message, "'melody' is no uid"));
}

/* ---- a pair ---- */

struct pair {
    struct seal_out out;
    struct seal_in in;
};

static struct pair new_pair(void) {
    struct pair pair;
    uint8_t key[CRYPTO_DERIVED_SIZE];
    crypto_random(key, sizeof key);
    seal_out_init(&pair.out, key, TO_RECEIVER);
    seal_in_init(&pair.in, key);
    return pair;
}

struct datagram {
    uint8_t data[PACKET_MAX];
    size_t len;
};

static struct datagram closed(struct pair *pair, size_t len) {
    uint8_t payload[PACKET_MAX];
    struct datagram datagram;
    memset(payload, 0x55, sizeof payload);
    datagram.len = seal_close(&pair->out, SEAL_REPAIR, payload, len, datagram.data);
    assert_int_equal(datagram.len, len + SEAL_OVERHEAD);
    return datagram;
}

static enum seal_verdict opened(struct pair *pair, const struct datagram *datagram) {
    uint8_t payload[PACKET_MAX];
    struct seal_header header;
    if (!seal_parse(datagram->data, datagram->len, &header))
        return SEAL_FORGED;
    return seal_open(&pair->in, datagram->data, datagram->len, payload);
}

/* Both ways of putting it together agree, with all lengths, and nobody reads or writes beyond the arrays. */
static void it_is_what_libsodium_makes_of_it(void **) {
    struct pair pair = new_pair();
    for (size_t len = 0; len <= SEAL_PAYLOAD_MAX; len++) {
        uint8_t payload[PACKET_MAX], got[PACKET_MAX], want[PACKET_MAX], nonce[12] = {};
        crypto_random(payload, sizeof payload);
        size_t n = seal_close(&pair.out, SEAL_SOURCE, payload, len, got);
        assert_int_equal(n, len + SEAL_OVERHEAD);
        memcpy(want, got, SEAL_HEADER_SIZE);
        nonce[10] = (uint8_t)((len + 1) >> 8);
        nonce[11] = (uint8_t)(len + 1);
        crypto_aead_chacha20poly1305_ietf_encrypt(want + SEAL_HEADER_SIZE, nullptr, payload, len, want,
                                                  SEAL_HEADER_SIZE, nullptr, nonce, pair.out.key);
        assert_memory_equal(got, want, n);
        uint8_t again[PACKET_MAX];
        assert_int_equal(seal_open(&pair.in, got, n, again), SEAL_OPENED_NEWEST);
        assert_memory_equal(again, payload, len);
    }
    uint8_t payload[PACKET_MAX] = {}, datagram[PACKET_MAX];
    uint64_t count = pair.out.count;
    assert_int_equal(seal_close(&pair.out, SEAL_SOURCE, payload, SEAL_PAYLOAD_MAX + 1, datagram), 0);
    assert_int_equal(pair.out.count, count);
}

static void the_outside_is_read(void **) {
    struct pair pair = new_pair();
    struct datagram datagram = closed(&pair, 3);
    struct seal_header header;
    for (unsigned first = 0; first < 256; first++) {
        datagram.data[0] = (uint8_t)first;
        assert_int_equal(seal_parse(datagram.data, datagram.len, &header), first >= 0xe0 && first <= 0xe3);
        if (first >= 0xe0 && first <= 0xe3)
            assert_int_equal(header.kind, first - 0xe0);
    }
    datagram.data[0] = 0xe0;
    assert_true(seal_parse(datagram.data, SEAL_OVERHEAD, &header));
    assert_int_equal(header.link, TO_RECEIVER);
    assert_int_equal(header.sequence, 1);
    for (size_t len = 0; len < SEAL_OVERHEAD; len++)
        assert_false(seal_parse(datagram.data, len, &header));
    assert_true(seal_parse(datagram.data, PACKET_MAX, &header));
    assert_false(seal_parse(datagram.data, PACKET_MAX + 1, &header));
}

/* ---- forgery ---- */

static void no_bit_can_be_changed(void **) {
    struct pair pair = new_pair();
    struct datagram good = closed(&pair, 100);
    for (size_t bit = 0; bit < 8 * good.len; bit++) {
        struct datagram bad = good;
        bad.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum seal_verdict verdict = opened(&pair, &bad);
        if (verdict != SEAL_FORGED && verdict != SEAL_REPLAYED)
            fail_msg("bit %zu was changed and it opened", bit);
    }
    /* which includes the link id and all numbers, and has moved nothing */
    assert_int_equal(opened(&pair, &good), SEAL_OPENED_NEWEST);
}

static void no_part_opens(void **) {
    struct pair pair = new_pair();
    struct datagram good = closed(&pair, 100);
    for (size_t len = 0; len < good.len; len++) {
        struct datagram part = good;
        part.len = len;
        assert_int_equal(opened(&pair, &part), SEAL_FORGED);
    }
    struct datagram longer = good;
    longer.len++;
    assert_int_equal(opened(&pair, &longer), SEAL_FORGED);
    assert_int_equal(opened(&pair, &good), SEAL_OPENED_NEWEST);
}

static void what_is_sent_back_does_not_open(void **) {
    struct seal_keys keys = vector_keys();
    struct pair sender, receiver; /* what each end has: out and in */
    seal_out_init(&sender.out, keys.to_receiver, TO_RECEIVER);
    seal_in_init(&sender.in, keys.to_sender);
    seal_out_init(&receiver.out, keys.to_sender, TO_SENDER);
    seal_in_init(&receiver.in, keys.to_receiver);
    struct datagram sound = closed(&sender, 50), report = closed(&receiver, 50);
    assert_int_equal(opened(&sender, &sound), SEAL_FORGED);
    assert_int_equal(opened(&receiver, &report), SEAL_FORGED);
    sound.data[1] ^= (uint8_t)(TO_RECEIVER >> 24 ^ TO_SENDER >> 24); /* with the other link's name, as far as it goes */
    assert_int_equal(opened(&sender, &sound), SEAL_FORGED);
    assert_int_equal(opened(&sender, &report), SEAL_OPENED_NEWEST);
}

static void forged_numbers_move_nothing(void **) {
    struct pair pair = new_pair();
    for (int i = 0; i < 10; i++) {
        struct datagram good = closed(&pair, 10);
        assert_int_equal(opened(&pair, &good), SEAL_OPENED_NEWEST);
    }
    struct seal_in before = pair.in;
    for (uint32_t i = 0; i < 100'000; i++) {
        struct datagram forged = {.len = SEAL_OVERHEAD + i % 50};
        crypto_random(forged.data, forged.len);
        forged.data[0] = 0xe0;
        enum seal_verdict verdict = opened(&pair, &forged);
        assert_true(verdict == SEAL_FORGED || verdict == SEAL_REPLAYED);
    }
    assert_memory_equal(&pair.in, &before, sizeof before);
}

/* ---- once and in any order ---- */

static void each_is_taken_once(void **) {
    struct pair pair = new_pair();
    static struct datagram all[300];
    for (size_t i = 0; i < 300; i++)
        all[i] = closed(&pair, 8);
    for (size_t i = 0; i < 300; i++) {
        assert_int_equal(opened(&pair, &all[i]), SEAL_OPENED_NEWEST);
        for (size_t k = 0; k <= i; k++)
            assert_int_equal(opened(&pair, &all[k]), SEAL_REPLAYED);
    }
}

static void close_many(struct pair *pair, struct datagram *all, size_t n) {
    for (size_t i = 0; i < n; i++)
        all[i] = closed(pair, 4);
}

/* The window is as wide as it says, to the last one, wherever its edge lies within a word. */
static void they_may_overtake_each_other_by_thousands(void **) {
    static struct datagram all[SEAL_WINDOW + 200];
    constexpr size_t N = sizeof all / sizeof *all;
    for (size_t newest = SEAL_WINDOW; newest < SEAL_WINDOW + 130; newest++) {
        struct pair pair = new_pair();
        close_many(&pair, all, N);
        assert_int_equal(opened(&pair, &all[newest]), SEAL_OPENED_NEWEST);
        size_t oldest = newest - SEAL_WINDOW + 1;
        assert_int_equal(opened(&pair, &all[oldest - 1]), SEAL_REPLAYED);
        for (size_t i = newest; i-- > oldest;)
            assert_int_equal(opened(&pair, &all[i]), SEAL_OPENED);
        for (size_t i = 0; i <= newest; i++)
            assert_int_equal(opened(&pair, &all[i]), SEAL_REPLAYED);
        assert_int_equal(opened(&pair, &all[newest + 1]), SEAL_OPENED_NEWEST);
    }
}

static uint32_t draw(uint32_t *random, size_t n) {
    *random = *random * 1664525 + 1013904223;
    return (uint32_t)(((uint64_t)*random * n) >> 32);
}

/* Against the plain rule: within the window of the highest, and not taken yet. */
static void any_order_gives_what_the_rule_says(void **) {
    static struct datagram all[20'000];
    static bool taken[20'000];
    constexpr size_t N = sizeof all / sizeof *all;
    struct pair pair = new_pair();
    close_many(&pair, all, N);
    memset(taken, 0, sizeof taken);
    uint32_t random = 4711;
    int64_t highest = -1, n_opened = 0, n_replayed = 0;
    for (int round = 0; round < 60'000; round++) {
        /* goes ahead on the whole, strays by up to 5000, and now and then jumps */
        int64_t i = round / 3 + (int64_t)draw(&random, 10'000) - 5000;
        if (i < 0 || i >= (int64_t)N)
            continue;
        bool good = !taken[i] && i > highest - (int64_t)SEAL_WINDOW;
        enum seal_verdict verdict = opened(&pair, &all[i]);
        assert_int_equal(verdict, !good ? SEAL_REPLAYED : i > highest ? SEAL_OPENED_NEWEST : SEAL_OPENED);
        taken[i] |= good;
        highest = i > highest ? i : highest;
        n_opened += good;
        n_replayed += !good;
    }
    assert_true(n_opened > 5000 && n_replayed > 5000);
}

static void the_low_half_comes_round(void **) {
    struct pair pair = new_pair();
    pair.out.count = 0xffff'ff00;
    pair.in.highest = 0xffff'fe00;
    static struct datagram all[512];
    close_many(&pair, all, 512);
    assert_int_equal(opened(&pair, &all[400]), SEAL_OPENED_NEWEST); /* beyond the turn */
    assert_int_equal(opened(&pair, &all[3]), SEAL_OPENED);          /* before it */
    for (size_t i = 0; i < 512; i++)
        assert_int_equal(opened(&pair, &all[i]), i == 400 || i == 3 ? SEAL_REPLAYED
                                                 : i > 400          ? SEAL_OPENED_NEWEST
                                                                    : SEAL_OPENED);
    /* what went before the turn has the same low half as something after it, and is not mistaken for it */
    assert_int_equal(pair.in.highest, 0x1'0000'0100);
}

static void a_jump_ahead_is_followed_as_far_as_numbers_can_be_told_apart(void **) {
    static const uint64_t jumps[] = {1, 63, 64, 65, 4095, 4096, 4097, 4160, 4161, 100'000, 0x7fff'ffff};
    for (size_t i = 0; i < sizeof jumps / sizeof *jumps; i++) {
        struct pair pair = new_pair();
        struct datagram first = closed(&pair, 4), skipped = closed(&pair, 4);
        assert_int_equal(opened(&pair, &first), SEAL_OPENED_NEWEST);
        pair.out.count = jumps[i]; /* the first had 1 */
        struct datagram far = closed(&pair, 4), after = closed(&pair, 4);
        assert_int_equal(opened(&pair, &far), SEAL_OPENED_NEWEST);
        assert_int_equal(opened(&pair, &after), SEAL_OPENED_NEWEST);
        assert_int_equal(opened(&pair, &far), SEAL_REPLAYED);
        assert_int_equal(opened(&pair, &first), SEAL_REPLAYED);
        bool in_window = jumps[i] > 1 && jumps[i] < SEAL_WINDOW;
        assert_int_equal(opened(&pair, &skipped), in_window ? SEAL_OPENED : SEAL_REPLAYED);
    }
    /* Deaf for 2^31 datagrams: it stays so, and takes nothing for what it is not. */
    struct pair pair = new_pair();
    pair.out.count = 0x8000'0000;
    struct datagram beyond = closed(&pair, 4);
    pair.in.highest = 0x1'0000'0000;
    assert_int_equal(opened(&pair, &beyond), SEAL_REPLAYED);
    seal_in_init(&pair.in, pair.out.key);
    pair.out.count = 0x1'0000'0004;
    beyond = closed(&pair, 4);
    assert_int_equal(opened(&pair, &beyond), SEAL_FORGED);
}

/* Nothing is left in the window of what was seen before the jump, wherever it ends. */
static void after_a_jump_the_window_is_empty(void **) {
    static struct datagram all[SEAL_WINDOW];
    for (uint64_t target = 8200; target < 8500; target += 7) {
        struct pair pair = new_pair();
        for (int i = 0; i < 200; i++) {
            struct datagram early = closed(&pair, 1);
            assert_int_equal(opened(&pair, &early), SEAL_OPENED_NEWEST);
        }
        pair.out.count = target - SEAL_WINDOW;
        close_many(&pair, all, SEAL_WINDOW);
        for (size_t i = SEAL_WINDOW; i-- > 0;)
            assert_int_equal(opened(&pair, &all[i]), i == SEAL_WINDOW - 1 ? SEAL_OPENED_NEWEST : SEAL_OPENED);
    }
}

static void number_0_is_never_taken(void **) {
    struct pair pair = new_pair();
    pair.out.count = UINT64_MAX;
    struct datagram zero = closed(&pair, 4), one = closed(&pair, 4);
    assert_int_equal(opened(&pair, &zero), SEAL_REPLAYED);
    assert_int_equal(opened(&pair, &one), SEAL_OPENED_NEWEST);
    pair.out.count = UINT64_MAX - 1;
    struct datagram last = closed(&pair, 4); /* low half -1, nearest to 1: below all numbers */
    assert_int_equal(opened(&pair, &last), SEAL_REPLAYED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_as_written_down),
        cmocka_unit_test(datagrams_are_as_written_down),
        cmocka_unit_test(keys_differ_in_all_they_are_for),
        cmocka_unit_test(unusable_keys_are_refused),
        cmocka_unit_test(it_is_what_libsodium_makes_of_it),
        cmocka_unit_test(the_outside_is_read),
        cmocka_unit_test(no_bit_can_be_changed),
        cmocka_unit_test(no_part_opens),
        cmocka_unit_test(what_is_sent_back_does_not_open),
        cmocka_unit_test(forged_numbers_move_nothing),
        cmocka_unit_test(each_is_taken_once),
        cmocka_unit_test(they_may_overtake_each_other_by_thousands),
        cmocka_unit_test(any_order_gives_what_the_rule_says),
        cmocka_unit_test(the_low_half_comes_round),
        cmocka_unit_test(a_jump_ahead_is_followed_as_far_as_numbers_can_be_told_apart),
        cmocka_unit_test(after_a_jump_the_window_is_empty),
        cmocka_unit_test(number_0_is_never_taken),
    };
    if (crypto_init(nullptr) != ERR_OK)
        return 99;
    return cmocka_run_group_tests_name("seal", tests, nullptr, nullptr);
}
