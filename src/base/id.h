/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Uids: "ab12cd-ef34gh-ij56kl", three groups of six of a–z0–9 (93 bits).
 * Random ones are unbiased draws; reproducible ones are the first 18 bytes of SHA-256(tag ‖ seed), each mod 36, as in
 * the Roc Streaming project's draft API, so that the same thing has the same uid everywhere and after every restart.
 *
 * Threads: any. crypto_init() must have been called.
 */
constexpr size_t UID_LEN = 20;
constexpr size_t UID_SIZE = UID_LEN + 1;

enum uid_tag { UID_TAG_PEER = 1, UID_TAG_STREAM = 2, UID_TAG_ENDPOINT = 3 };

void uid_random(char uid[static UID_SIZE]);
void uid_reproducible(char uid[static UID_SIZE], enum uid_tag tag, const void *seed, size_t seed_len);
bool uid_is_valid(const char *text);
