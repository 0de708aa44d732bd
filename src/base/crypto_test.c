/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/crypto.h"

/* Longest: the hexadecimal of a signature. */
static const uint8_t *bytes(uint8_t *ret, size_t len, const char *hex) {
    assert_true(crypto_unhex(ret, len, hex));
    return ret;
}

static void assert_hex(const uint8_t *got, size_t len, const char *wanted) {
    char hex[129];
    assert_true(2 * len < sizeof hex);
    crypto_hex(hex, got, len);
    assert_string_equal(hex, wanted);
}

static struct crypto_sign_key sign_key(const char *seed, const char *public_key) {
    struct crypto_sign_key key;
    bytes(key.public_key, sizeof key.public_key, public_key);
    bytes(key.secret_key, 32, seed);
    memcpy(key.secret_key + 32, key.public_key, sizeof key.public_key);
    return key;
}

/* RFC 8032, 7.1, tests 1 to 3 */
static const struct {
    const char *seed, *public_key, *message, *signature;
    size_t len;
} SIGNED[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
     "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
     0},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "\x72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
     "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
     1},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "\xaf\x82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
     "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
     2},
};

static void signatures_are_those_of_rfc_8032(void **) {
    for (size_t i = 0; i < sizeof SIGNED / sizeof *SIGNED; i++) {
        struct crypto_sign_key key = sign_key(SIGNED[i].seed, SIGNED[i].public_key);
        uint8_t signature[CRYPTO_SIGNATURE_SIZE];
        crypto_sign_message(signature, &key, SIGNED[i].message, SIGNED[i].len);
        assert_hex(signature, sizeof signature, SIGNED[i].signature);
        assert_true(crypto_verify_message(signature, key.public_key, SIGNED[i].message, SIGNED[i].len));
        assert_false(crypto_verify_message(signature, key.public_key, "\x73\x74\x75", SIGNED[i].len + 1));
        for (size_t bit = 0; bit < 8 * sizeof signature; bit++) {
            signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_false(crypto_verify_message(signature, key.public_key, SIGNED[i].message, SIGNED[i].len));
            signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        uint8_t other[CRYPTO_PUBLIC_KEY_SIZE];
        bytes(other, sizeof other, SIGNED[(i + 1) % 3].public_key);
        assert_false(crypto_verify_message(signature, other, SIGNED[i].message, SIGNED[i].len));
    }
}

static void new_keys_sign(void **) {
    struct crypto_sign_key key;
    uint8_t signature[CRYPTO_SIGNATURE_SIZE];
    crypto_sign_key_make(&key);
    crypto_sign_message(signature, &key, "abc", 3);
    assert_true(crypto_verify_message(signature, key.public_key, "abc", 3));
    assert_false(crypto_verify_message(signature, key.public_key, "abd", 3));
}

/* RFC 7748, 6.1 */
static void agreement_is_that_of_rfc_7748(void **) {
    struct crypto_dh_key alice, bob;
    uint8_t secret[CRYPTO_DH_KEY_SIZE];
    bytes(alice.secret_key, 32, "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    bytes(alice.public_key, 32, "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    bytes(bob.secret_key, 32, "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    bytes(bob.public_key, 32, "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    static const char SHARED[] = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
    assert_true(crypto_dh(secret, &alice, bob.public_key));
    assert_hex(secret, sizeof secret, SHARED);
    assert_true(crypto_dh(secret, &bob, alice.public_key));
    assert_hex(secret, sizeof secret, SHARED);
}

static void new_keys_agree(void **) {
    struct crypto_dh_key a, b, c;
    uint8_t ab[CRYPTO_DH_KEY_SIZE], ba[CRYPTO_DH_KEY_SIZE], ac[CRYPTO_DH_KEY_SIZE];
    crypto_dh_key_make(&a);
    crypto_dh_key_make(&b);
    crypto_dh_key_make(&c);
    assert_memory_not_equal(a.secret_key, b.secret_key, sizeof a.secret_key);
    assert_true(crypto_dh(ab, &a, b.public_key));
    assert_true(crypto_dh(ba, &b, a.public_key));
    assert_true(crypto_dh(ac, &a, c.public_key));
    assert_memory_equal(ab, ba, sizeof ab);
    assert_memory_not_equal(ab, ac, sizeof ab);
}

/* With these the shared secret would be zero, whatever the other key: RFC 7748, 6.1, last paragraphs. */
static void keys_of_small_order_agree_on_nothing(void **) {
    static const char *const KEYS[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    struct crypto_dh_key own;
    uint8_t secret[CRYPTO_DH_KEY_SIZE], other[CRYPTO_DH_KEY_SIZE];
    crypto_dh_key_make(&own);
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++)
        assert_false(crypto_dh(secret, &own, bytes(other, sizeof other, KEYS[i])));
}

/* u = (1 + y) / (1 - y), RFC 7748, 4.1; the first vector was worked out with long integers. */
static void keys_that_sign_become_keys_that_agree(void **) {
    struct crypto_sign_key sign = sign_key(SIGNED[0].seed, SIGNED[0].public_key);
    struct crypto_dh_key dh, other;
    uint8_t public_key[CRYPTO_DH_KEY_SIZE], ab[CRYPTO_DH_KEY_SIZE], ba[CRYPTO_DH_KEY_SIZE];
    crypto_dh_key_from_sign(&dh, &sign);
    assert_hex(dh.public_key, sizeof dh.public_key, "d85e07ec22b0ad881537c2f44d662d1a143cf830c57aca4305d85c7a90f6b62e");
    for (int i = 0; i < 20; i++) {
        assert_true(crypto_dh_public_from_sign(public_key, sign.public_key));
        assert_memory_equal(public_key, dh.public_key, sizeof public_key);
        crypto_dh_key_make(&other);
        assert_true(crypto_dh(ab, &dh, other.public_key));
        assert_true(crypto_dh(ba, &other, public_key));
        assert_memory_equal(ab, ba, sizeof ab);
        crypto_sign_key_make(&sign);
        crypto_dh_key_from_sign(&dh, &sign);
    }
    uint8_t bad[CRYPTO_PUBLIC_KEY_SIZE] = {1}; /* the neutral element */
    assert_false(crypto_dh_public_from_sign(public_key, bad));
    bad[0] = 2; /* no point */
    assert_false(crypto_dh_public_from_sign(public_key, bad));
}

/* Worked out with hashlib.blake2b(context, digest_size=32, key=secret). */
static void derived_keys_depend_on_secret_and_context(void **) {
    uint8_t secret[CRYPTO_DH_KEY_SIZE], a[CRYPTO_DERIVED_SIZE], b[CRYPTO_DERIVED_SIZE];
    for (size_t i = 0; i < sizeof secret; i++)
        secret[i] = (uint8_t)i;
    crypto_derive(a, secret, "rocd media", 10);
    assert_hex(a, sizeof a, "10ef3ae49bdc908904ebbe6ef11ade2c780f3a83491095ef6a397feb122fd032");
    crypto_derive(b, secret, "rocd media", 9);
    assert_memory_not_equal(a, b, sizeof a);
    secret[31] ^= 1;
    crypto_derive(b, secret, "rocd media", 10);
    assert_memory_not_equal(a, b, sizeof a);
}

static void hexadecimal_is_exact(void **) {
    static const uint8_t BYTES[] = {0x00, 0x9f, 0xa0, 0xff};
    uint8_t read[4];
    char hex[9];
    crypto_hex(hex, BYTES, sizeof BYTES);
    assert_string_equal(hex, "009fa0ff");
    assert_true(crypto_unhex(read, 4, "009FA0fF"));
    assert_memory_equal(read, BYTES, sizeof BYTES);
    crypto_hex(hex, BYTES, 0);
    assert_string_equal(hex, "");
    assert_true(crypto_unhex(read, 0, ""));
    static const char *const BAD[] = {"",         "0",         "009fa0f",  "009fa0ff0", "009fa0ff00",
                                      "009fa0fg", " 09fa0ff",  "009fa0f ", "00:9f:a0",  "0x9fa0ff",
                                      "009f-0ff", "009fa0f\n", "é0000000"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        assert_false(crypto_unhex(read, 4, BAD[i]));
    for (int i = 0; i < 256; i++) {
        uint8_t byte = (uint8_t)i;
        crypto_hex(hex, &byte, 1);
        assert_true(crypto_unhex(read, 1, hex));
        assert_int_equal(read[0], i);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_are_those_of_rfc_8032),
        cmocka_unit_test(new_keys_sign),
        cmocka_unit_test(agreement_is_that_of_rfc_7748),
        cmocka_unit_test(new_keys_agree),
        cmocka_unit_test(keys_of_small_order_agree_on_nothing),
        cmocka_unit_test(keys_that_sign_become_keys_that_agree),
        cmocka_unit_test(derived_keys_depend_on_secret_and_context),
        cmocka_unit_test(hexadecimal_is_exact),
    };
    if (crypto_init(nullptr) != ERR_OK)
        return 1;
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
