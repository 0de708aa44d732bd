/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Sums, randomness, keys, signatures and seals, on libsodium, which is fenced here.
 *
 * One Ed25519 key is a peer's identity. It signs, and turned into X25519 (RFC 7748, by the map of the two curves) it is
 * the key of its CURVE links, so that who knows a peer's public key can dial it and knows who answers.
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

/* ---- signatures: Ed25519 (RFC 8032) ---- */

constexpr size_t CRYPTO_SIGNATURE_SIZE = 64;

void crypto_sign_message(uint8_t ret_signature[static CRYPTO_SIGNATURE_SIZE], const struct crypto_sign_key *key,
                         const void *message, size_t len);
bool crypto_verify_message(const uint8_t signature[static CRYPTO_SIGNATURE_SIZE],
                           const uint8_t public_key[static CRYPTO_PUBLIC_KEY_SIZE], const void *message, size_t len);

/* ---- agreement: X25519 (RFC 7748) ---- */

constexpr size_t CRYPTO_DH_KEY_SIZE = 32;

struct crypto_dh_key {
    uint8_t public_key[CRYPTO_DH_KEY_SIZE];
    uint8_t secret_key[CRYPTO_DH_KEY_SIZE];
};

void crypto_dh_key_make(struct crypto_dh_key *ret);
/* The X25519 form of an Ed25519 key. */
void crypto_dh_key_from_sign(struct crypto_dh_key *ret, const struct crypto_sign_key *key);
/* The same of a public key alone. false: it is no point of the curve that may be used. */
bool crypto_dh_public_from_sign(uint8_t ret[static CRYPTO_DH_KEY_SIZE],
                                const uint8_t public_key[static CRYPTO_PUBLIC_KEY_SIZE]);
/* false: the other key is of small order, and nothing may be built on it. The result is no key yet: derive one. */
bool crypto_dh(uint8_t ret_secret[static CRYPTO_DH_KEY_SIZE], const struct crypto_dh_key *own,
               const uint8_t other_public[static CRYPTO_DH_KEY_SIZE]);

/* A key from a secret and what it is for: BLAKE2b-256 (RFC 7693) keyed with the secret, over the context. */
constexpr size_t CRYPTO_DERIVED_SIZE = 32;
void crypto_derive(uint8_t ret[static CRYPTO_DERIVED_SIZE], const uint8_t secret[static CRYPTO_DH_KEY_SIZE],
                   const void *context, size_t len);

/* ---- text ---- */

/* 2 * len + 1 bytes, lower case. */
void crypto_hex(char *ret, const uint8_t *bytes, size_t len);
/* Exactly len bytes in 2 * len digits of either case, and nothing else. */
bool crypto_unhex(uint8_t *ret, size_t len, const char *text);
