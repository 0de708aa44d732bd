/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Sums, randomness and keys, on libsodium, which is fenced here.
 *
 * Life cycle: crypto_init() once (any number of times) before anything else.
 * Threads: any.
 */
constexpr size_t CRYPTO_SHA256_SIZE = 32;
constexpr size_t CRYPTO_PUBLIC_KEY_SIZE = 32;
constexpr size_t CRYPTO_SECRET_KEY_SIZE = 64;

struct crypto_sign_key { /* Ed25519 */
    uint8_t public_key[CRYPTO_PUBLIC_KEY_SIZE];
    uint8_t secret_key[CRYPTO_SECRET_KEY_SIZE];
};

enum err crypto_init(struct err_info *reterr);
void crypto_random(void *bytes, size_t len);
void crypto_sha256(uint8_t sum[static CRYPTO_SHA256_SIZE], const void *bytes, size_t len);
void crypto_sign_key_make(struct crypto_sign_key *ret);
/* Overwrites memory that held a secret, in a way the compiler keeps. */
void crypto_wipe(void *bytes, size_t len);
