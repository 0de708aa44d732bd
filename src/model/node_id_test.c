/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "model/node_id.h"

/* The public keys of RFC 8032, 7.1, tests 1 to 3; their ids were worked out with another program (hashlib, base64). */
static const struct {
    const char *key, *id;
} VECTORS[] = {
    {"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
     "25njqam-cweflpv-kl73j4s-zahhiho-c4xt3kt-cgjnpai-ngr5yhk-enaan5g"},
    {"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
     "hvabpq7-iioevve-vxbktu2-g36xsoj-qlgpf3c-jndgazv-k7ckxum-ygaly5n"},
    {"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
     "7ri43dt-cdcq2hd-nep3iae-mhqlaeb-n3itxiz-qhlc55o-irkseqq-asqqcu2"},
};
constexpr size_t N_VECTORS = sizeof VECTORS / sizeof *VECTORS;
static const char ALPHABET[] = "abcdefghijklmnopqrstuvwxyz234567";

static void assert_refused(const char *text, const char *complaint) {
    uint8_t key[CRYPTO_PUBLIC_KEY_SIZE] = {1}, before[CRYPTO_PUBLIC_KEY_SIZE] = {1};
    struct err_info info = {};
    if (node_id_parse(text, key, &info) != ERR_INVALID)
        fail_msg("'%s' was taken", text);
    assert_int_equal(info.code, ERR_INVALID);
    if (!strstr(info.message, complaint))
        fail_msg("'%s': no '%s' in: %s", text, complaint, info.message);
    assert_memory_equal(key, before, sizeof key);
    assert_int_equal(node_id_parse(text, key, nullptr), ERR_INVALID);
}

static void known_keys_have_known_ids(void **) {
    for (size_t i = 0; i < N_VECTORS; i++) {
        uint8_t key[CRYPTO_PUBLIC_KEY_SIZE], read[CRYPTO_PUBLIC_KEY_SIZE];
        char id[NODE_ID_SIZE];
        assert_true(crypto_unhex(key, sizeof key, VECTORS[i].key));
        node_id_format(id, key);
        assert_string_equal(id, VECTORS[i].id);
        assert_int_equal(strlen(id), NODE_ID_LEN);
        assert_int_equal(node_id_parse(id, read, nullptr), ERR_OK);
        assert_memory_equal(read, key, sizeof key);
    }
}

static void new_keys_come_back(void **) {
    for (int i = 0; i < 200; i++) {
        struct crypto_sign_key key;
        uint8_t read[CRYPTO_PUBLIC_KEY_SIZE];
        char id[NODE_ID_SIZE];
        crypto_sign_key_make(&key);
        node_id_format(id, key.public_key);
        assert_int_equal(node_id_parse(id, read, nullptr), ERR_OK);
        assert_memory_equal(read, key.public_key, sizeof read);
    }
}

static void case_hyphens_and_spaces_do_not_matter(void **) {
    static const char *const WRITTEN[] = {
        "25NJQAM-CWEFLPV-KL73J4S-ZAHHIHO-C4XT3KT-CGJNPAI-NGR5YHK-ENAAN5G",
        "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenaan5g",
        " 25njqam cweflpv kl73j4s zahhiho  c4xt3kt cgjnpai ngr5yhk enaan5g ",
        "2-5njqa-mcwef-lpv-KL73j4s-zahhiho-c4xt3kt-cgjnpai-ngr5yhk-e-n-a-a-n-5-g--",
    };
    for (size_t i = 0; i < sizeof WRITTEN / sizeof *WRITTEN; i++) {
        uint8_t key[CRYPTO_PUBLIC_KEY_SIZE];
        char id[NODE_ID_SIZE];
        assert_int_equal(node_id_parse(WRITTEN[i], key, nullptr), ERR_OK);
        node_id_format(id, key);
        assert_string_equal(id, VECTORS[0].id);
    }
}

static void every_changed_character_is_seen(void **) {
    size_t n = 0;
    for (size_t i = 0; i < N_VECTORS; i++)
        for (size_t k = 0; k < NODE_ID_LEN; k++)
            for (const char *c = ALPHABET; *c && VECTORS[i].id[k] != '-'; c++) {
                char id[NODE_ID_SIZE];
                memcpy(id, VECTORS[i].id, sizeof id);
                if (id[k] == *c)
                    continue;
                id[k] = *c;
                assert_refused(id, "slip");
                n++;
            }
    assert_int_equal(n, 3 * 56 * 31);
}

static void a_character_too_few_or_too_many_is_seen(void **) {
    for (size_t k = 0; k < NODE_ID_LEN; k++) {
        char less[NODE_ID_SIZE], more[NODE_ID_SIZE + 1];
        const char *id = VECTORS[0].id;
        if (id[k] == '-')
            continue;
        snprintf(less, sizeof less, "%.*s%s", (int)k, id, id + k + 1);
        snprintf(more, sizeof more, "%.*s%c%s", (int)k, id, id[k], id + k);
        assert_refused(less, "this has 55");
        assert_refused(more, "this has 57");
    }
    assert_refused("", "this has 0");
    assert_refused(" - - ", "this has 0");
    static char many[100'000];
    memset(many, 'a', sizeof many - 1);
    assert_refused(many, "this has 99999");
}

/* Two neighbours, and two that are three apart: what a hand does when it copies. Of so many none may pass for the fixed
 * keys; of new keys one in a million does. */
static size_t count_unseen(const char *good, size_t apart, size_t *n_tried) {
    size_t n_unseen = 0;
    char compact[NODE_ID_SIZE] = "";
    for (size_t k = 0, n = 0; k < NODE_ID_LEN; k++)
        if (good[k] != '-')
            compact[n++] = good[k];
    for (size_t k = 0; k + apart < strlen(compact); k++) {
        char id[NODE_ID_SIZE];
        uint8_t key[CRYPTO_PUBLIC_KEY_SIZE];
        if (compact[k] == compact[k + apart])
            continue;
        memcpy(id, compact, sizeof id);
        id[k] = compact[k + apart];
        id[k + apart] = compact[k];
        ++*n_tried;
        n_unseen += node_id_parse(id, key, nullptr) == ERR_OK;
    }
    return n_unseen;
}

static void exchanged_characters_are_seen(void **) {
    size_t n_tried = 0;
    for (size_t i = 0; i < N_VECTORS; i++)
        for (size_t apart = 1; apart <= 3; apart++)
            assert_int_equal(count_unseen(VECTORS[i].id, apart, &n_tried), 0);
    assert_true(n_tried > 400);
    size_t n_unseen = 0;
    n_tried = 0;
    for (int i = 0; i < 1000; i++) {
        struct crypto_sign_key key;
        char id[NODE_ID_SIZE];
        crypto_sign_key_make(&key);
        node_id_format(id, key.public_key);
        n_unseen += count_unseen(id, 1, &n_tried);
    }
    assert_true(n_tried > 50'000);
    assert_true(n_unseen <= 4); /* expected: 0.05 */
    print_message("%zu of %zu exchanges went unseen\n", n_unseen, n_tried);
}

static void other_characters_are_named(void **) {
    static const struct {
        char c;
        const char *complaint;
    } CASES[] = {
        {'0', "is it o?"}, {'1', "is it l or i?"}, {'8', "is it b?"},   {'9', "is it g?"},     {'_', "is a '_'"},
        {'=', "is a '='"}, {'\n', "byte 0x0a"},    {'\t', "byte 0x09"}, {'\x7f', "byte 0x7f"}, {'\xc3', "byte 0xc3"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        for (size_t k = 0; k < NODE_ID_LEN; k++) {
            char id[NODE_ID_SIZE];
            memcpy(id, VECTORS[0].id, sizeof id);
            id[k] = CASES[i].c;
            assert_refused(id, CASES[i].complaint);
        }
    assert_refused("25njqa1-cweflpv", "character 7 is a '1'");
    for (int c = 1; c < 256; c++) { /* no other byte stands for one of the alphabet, or for nothing */
        char id[NODE_ID_SIZE];
        memcpy(id, VECTORS[0].id, sizeof id);
        id[20] = (char)c;
        bool known = strchr(ALPHABET, tolower(c)) || c == '-' || c == ' ';
        if (!known)
            assert_refused(id, "a node id is made of");
    }
}

/* The 52nd character carries one bit of the key; with others the check over the key would still be right. */
static void unused_bits_must_be_zero(void **) {
    const char *id = VECTORS[0].id;
    size_t at = NODE_ID_LEN - 5;
    assert_int_equal(id[at], 'a');
    for (const char *c = "bcdefghijklmnop"; *c; c++) {
        char other[NODE_ID_SIZE];
        memcpy(other, id, sizeof other);
        other[at] = *c;
        assert_refused(other, "slip");
    }
}

/* Points of small order in all their encodings, points outside the main subgroup, and what is no point; all with the
 * right check. */
static void keys_that_prove_nothing_are_refused(void **) {
    static const char *const KEYS[] = {
        "0100000000000000000000000000000000000000000000000000000000000000", /* order 1 */
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* order 2 */
        "0000000000000000000000000000000000000000000000000000000000000000", /* order 4 */
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", /* order 8 */
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* 2^255 - 19 for 0, and so on */
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "3b5b475c4b82dd1572799fc546f4c6c03e478c6654aa4c7f945b347ea32af60d", /* a good key and one of order 8, added */
        "0200000000000000000000000000000000000000000000000000000000000000", /* no x for this y */
    };
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
        uint8_t key[CRYPTO_PUBLIC_KEY_SIZE];
        char id[NODE_ID_SIZE];
        assert_true(crypto_unhex(key, sizeof key, KEYS[i]));
        node_id_format(id, key);
        assert_refused(id, "no key that can be used");
    }
    assert_refused("hnnuoxc-lqlork4-tzt7cun-5ggya7e-pddgksv-ey74ulm-2h5izk6-ygqaufv", "no key that can be used");
    assert_refused("aeaaaaa-aaaaaaa-aaaaaaa-aaaaaaa-aaaaaaa-aaaaaaa-aaaaaaa-aaa7npv", "no key that can be used");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_keys_have_known_ids),
        cmocka_unit_test(new_keys_come_back),
        cmocka_unit_test(case_hyphens_and_spaces_do_not_matter),
        cmocka_unit_test(every_changed_character_is_seen),
        cmocka_unit_test(a_character_too_few_or_too_many_is_seen),
        cmocka_unit_test(exchanged_characters_are_seen),
        cmocka_unit_test(other_characters_are_named),
        cmocka_unit_test(unused_bits_must_be_zero),
        cmocka_unit_test(keys_that_prove_nothing_are_refused),
    };
    if (crypto_init(nullptr) != ERR_OK)
        return 1;
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
