/* SPDX-License-Identifier: MPL-2.0 */
#include "model/node_id.h"

#include <string.h>

/* RFC 4648, 6, in lower case: neither 0 and 1 nor 8 and 9, which are taken for o, l or i, b and g. */
static const char ALPHABET[] = "abcdefghijklmnopqrstuvwxyz234567";
static const char CHECK_TAG[] = "rocd node id";

constexpr size_t N_KEY = 52;  /* characters of the key: 260 bits, of which the last four are zero */
constexpr size_t N_CHECK = 4; /* 20 bits */
constexpr size_t N_CHARACTERS = N_KEY + N_CHECK;
constexpr size_t GROUP = 7;
static_assert(N_CHARACTERS + N_CHARACTERS / GROUP - 1 == NODE_ID_LEN);

/* Five bits each, the first bit of the first byte first; bits behind the last byte are zero. */
static void write_digits(uint8_t *digits, size_t n_digits, const uint8_t *bytes, size_t n_bytes) {
    unsigned bits = 0, n_bits = 0;
    for (size_t i = 0; i < n_digits; i++) {
        if (n_bits < 5) {
            bits = bits << 8 | (n_bytes > 0 ? *bytes : 0);
            if (n_bytes > 0) {
                bytes++;
                n_bytes--;
            }
            n_bits += 8;
        }
        n_bits -= 5;
        digits[i] = bits >> n_bits & 31;
        bits &= (1u << n_bits) - 1;
    }
}

static void make_digits(uint8_t digits[static N_CHARACTERS], const uint8_t key[static CRYPTO_PUBLIC_KEY_SIZE]) {
    uint8_t message[sizeof CHECK_TAG - 1 + CRYPTO_PUBLIC_KEY_SIZE], sum[CRYPTO_SHA256_SIZE];
    memcpy(message, CHECK_TAG, sizeof CHECK_TAG - 1);
    memcpy(message + sizeof CHECK_TAG - 1, key, CRYPTO_PUBLIC_KEY_SIZE);
    crypto_sha256(sum, message, sizeof message);
    write_digits(digits, N_KEY, key, CRYPTO_PUBLIC_KEY_SIZE);
    write_digits(digits + N_KEY, N_CHECK, sum, sizeof sum);
}

void node_id_format(char ret[static NODE_ID_SIZE], const uint8_t public_key[static CRYPTO_PUBLIC_KEY_SIZE]) {
    uint8_t digits[N_CHARACTERS];
    make_digits(digits, public_key);
    for (size_t i = 0; i < N_CHARACTERS; i++) {
        if (i > 0 && i % GROUP == 0)
            *ret++ = '-';
        *ret++ = ALPHABET[digits[i]];
    }
    *ret = 0;
}

static int digit_of(char c) {
    if (c >= 'A' && c <= 'Z')
        c = (char)(c - 'A' + 'a');
    const char *at = c ? strchr(ALPHABET, c) : nullptr;
    return at ? (int)(at - ALPHABET) : -1;
}

static enum err bad_character(char c, size_t n_before, struct err_info *reterr) {
    static const char KNOWN[] = "a node id is made of the letters a to z and the digits 2 to 7";
    const char *meant = c == '0' ? "o" : c == '1' ? "l or i" : c == '8' ? "b" : c == '9' ? "g" : nullptr;
    if (meant)
        return err_set(reterr, ERR_INVALID, "character %zu is a '%c', but %s: is it %s?", n_before + 1, c, KNOWN,
                       meant);
    if (c > ' ' && c < 0x7f)
        return err_set(reterr, ERR_INVALID, "character %zu is a '%c', but %s, with hyphens or spaces between",
                       n_before + 1, c, KNOWN);
    return err_set(reterr, ERR_INVALID, "character %zu is the byte 0x%02x, but %s, with hyphens or spaces between",
                   n_before + 1, (unsigned)(unsigned char)c, KNOWN);
}

static enum err read_digits(const char *text, uint8_t digits[static N_CHARACTERS], struct err_info *reterr) {
    size_t n = 0;
    for (; *text; text++) {
        if (*text == '-' || *text == ' ')
            continue;
        int digit = digit_of(*text);
        if (digit < 0)
            return bad_character(*text, n, reterr);
        if (n < N_CHARACTERS)
            digits[n] = (uint8_t)digit;
        n++;
    }
    if (n == N_CHARACTERS)
        return ERR_OK;
    return err_set(reterr, ERR_INVALID,
                   "a node id has %zu letters and digits besides its hyphens, and this has %zu: copy all of what "
                   "'rocctl id' prints there",
                   N_CHARACTERS, n);
}

enum err node_id_parse(const char *text, uint8_t ret_public_key[static CRYPTO_PUBLIC_KEY_SIZE],
                       struct err_info *reterr) {
    uint8_t digits[N_CHARACTERS], again[N_CHARACTERS];
    enum err e = read_digits(text, digits, reterr);
    if (e != ERR_OK)
        return e;
    uint8_t key[CRYPTO_PUBLIC_KEY_SIZE];
    unsigned bits = 0, n_bits = 0;
    for (size_t i = 0, n = 0; n < sizeof key; i++) {
        bits = bits << 5 | digits[i];
        n_bits += 5;
        if (n_bits >= 8) {
            n_bits -= 8;
            key[n++] = (uint8_t)(bits >> n_bits);
            bits &= (1u << n_bits) - 1;
        }
    }
    make_digits(again, key); /* also tells unused bits that are not zero */
    if (memcmp(digits, again, sizeof digits) != 0)
        return err_set(reterr, ERR_INVALID,
                       "there is a slip in this node id: its last four characters do not fit the others; compare it "
                       "with what 'rocctl id' prints there");
    uint8_t curve_key[CRYPTO_DH_KEY_SIZE];
    if (!crypto_dh_public_from_sign(curve_key, key))
        return err_set(reterr, ERR_INVALID, "this node id is of no key that can be used: no rocd has made it");
    memcpy(ret_public_key, key, sizeof key);
    return ERR_OK;
}
