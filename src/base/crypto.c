/* SPDX-License-Identifier: MPL-2.0 */
#include "base/crypto.h"

#include <sodium.h>
#include <string.h>

enum err crypto_init(struct err_info *reterr) {
    if (sodium_init() < 0)
        return err_set(reterr, ERR_INTERNAL,
                       "libsodium could not be initialised: the system has no source of randomness");
    return ERR_OK;
}

void crypto_random(void *bytes, size_t len) {
    randombytes_buf(bytes, len);
}

void crypto_sha256(uint8_t sum[static CRYPTO_SHA256_SIZE], const void *bytes, size_t len) {
    crypto_hash_sha256(sum, bytes, len);
}

void crypto_sign_key_make(struct crypto_sign_key *ret) {
    crypto_sign_keypair(ret->public_key, ret->secret_key);
}

void crypto_wipe(void *bytes, size_t len) {
    sodium_memzero(bytes, len);
}

/* ---- signatures ---- */

void crypto_sign_message(uint8_t ret_signature[static CRYPTO_SIGNATURE_SIZE], const struct crypto_sign_key *key,
                         const void *message, size_t len) {
    crypto_sign_detached(ret_signature, nullptr, message, len, key->secret_key);
}

bool crypto_verify_message(const uint8_t signature[static CRYPTO_SIGNATURE_SIZE],
                           const uint8_t public_key[static CRYPTO_PUBLIC_KEY_SIZE], const void *message, size_t len) {
    return crypto_sign_verify_detached(signature, message, len, public_key) == 0;
}

/* ---- agreement ---- */

void crypto_dh_key_make(struct crypto_dh_key *ret) {
    crypto_random(ret->secret_key, sizeof ret->secret_key);
    crypto_scalarmult_base(ret->public_key, ret->secret_key);
}

void crypto_dh_key_from_sign(struct crypto_dh_key *ret, const struct crypto_sign_key *key) {
    crypto_sign_ed25519_sk_to_curve25519(ret->secret_key, key->secret_key);
    crypto_scalarmult_base(ret->public_key, ret->secret_key);
}

bool crypto_dh_public_from_sign(uint8_t ret[static CRYPTO_DH_KEY_SIZE],
                                const uint8_t public_key[static CRYPTO_PUBLIC_KEY_SIZE]) {
    return crypto_sign_ed25519_pk_to_curve25519(ret, public_key) == 0;
}

bool crypto_dh(uint8_t ret_secret[static CRYPTO_DH_KEY_SIZE], const struct crypto_dh_key *own,
               const uint8_t other_public[static CRYPTO_DH_KEY_SIZE]) {
    return crypto_scalarmult(ret_secret, own->secret_key, other_public) == 0;
}

void crypto_derive(uint8_t ret[static CRYPTO_DERIVED_SIZE], const uint8_t secret[static CRYPTO_DH_KEY_SIZE],
                   const void *context, size_t len) {
    crypto_generichash(ret, CRYPTO_DERIVED_SIZE, context, len, secret, CRYPTO_DH_KEY_SIZE);
}

/* ---- text ---- */

void crypto_hex(char *ret, const uint8_t *bytes, size_t len) {
    sodium_bin2hex(ret, 2 * len + 1, bytes, len);
}

bool crypto_unhex(uint8_t *ret, size_t len, const char *text) {
    size_t n = 0;
    const char *end = nullptr;
    return strlen(text) == 2 * len && sodium_hex2bin(ret, len, text, 2 * len, nullptr, &n, &end) == 0 && n == len &&
           *end == 0;
}
