/* SPDX-License-Identifier: MPL-2.0 */
#include "base/crypto.h"

#include <sodium.h>

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
