/* SPDX-License-Identifier: MPL-2.0 */
#include "base/id.h"

#include <stdint.h>
#include <string.h>

#include "base/crypto.h"

static const char ALPHABET[] = "abcdefghijklmnopqrstuvwxyz0123456789";
constexpr size_t N_DIGITS = 18;
constexpr size_t GROUP = 6;

static void write_digits(char uid[static UID_SIZE], const uint8_t digits[static N_DIGITS]) {
    char *out = uid;
    for (size_t i = 0; i < N_DIGITS; i++) {
        if (i && i % GROUP == 0)
            *out++ = '-';
        *out++ = ALPHABET[digits[i] % 36];
    }
    *out = 0;
}

void uid_random(char uid[static UID_SIZE]) {
    uint8_t digits[N_DIGITS];
    for (size_t i = 0; i < N_DIGITS;) {
        uint8_t draw[N_DIGITS];
        crypto_random(draw, sizeof draw);
        for (size_t j = 0; j < sizeof draw && i < N_DIGITS; j++)
            if (draw[j] < 252) /* 7 × 36: above it, mod would favour the first letters */
                digits[i++] = draw[j];
    }
    write_digits(uid, digits);
}

void uid_reproducible(char uid[static UID_SIZE], enum uid_tag tag, const void *seed, size_t seed_len) {
    uint8_t message[1 + 1024];
    uint8_t sum[CRYPTO_SHA256_SIZE];
    if (seed_len > sizeof message - 1) { /* a longer seed stands for itself by its own sum */
        crypto_sha256(message + 1, seed, seed_len);
        seed_len = CRYPTO_SHA256_SIZE;
    } else {
        memcpy(message + 1, seed, seed_len);
    }
    message[0] = (uint8_t)tag;
    crypto_sha256(sum, message, seed_len + 1);
    write_digits(uid, sum);
}

bool uid_is_valid(const char *text) {
    for (size_t i = 0; i < UID_LEN; i++) {
        char c = text[i];
        bool ok = i % (GROUP + 1) == GROUP ? c == '-' : (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!ok)
            return false;
    }
    return text[UID_LEN] == 0;
}
