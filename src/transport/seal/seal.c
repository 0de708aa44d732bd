/* SPDX-License-Identifier: MPL-2.0 */
#include "transport/seal/seal.h"

#include <sodium.h>
#include <string.h>

#include "transport/rtp.h"
#include "transport/sealed.h"

/*
 * ChaCha20-Poly1305 as RFC 8439, 2.8, puts it together, from libsodium's two parts: its own function for both takes half as
 * long again, because of what it asks of ChaCha20 at the end of a datagram (see stream_length). The test compares them.
 */

constexpr uint8_t MARK = 0xe0;
constexpr size_t NONCE_SIZE = crypto_stream_chacha20_ietf_NONCEBYTES;
constexpr size_t BLOCK = 64; /* of ChaCha20 */
constexpr size_t WORD_BITS = 64;

static_assert(CRYPTO_DERIVED_SIZE == crypto_stream_chacha20_ietf_KEYBYTES);
static_assert(SEAL_TAG_SIZE == crypto_onetimeauth_poly1305_BYTES);
/* The largest packet of sound, with RTP header and FEC footer, fits. */
static_assert(CODEC_PAYLOAD_MAX + RTP_HEADER_SIZE + 8 <= SEAL_PAYLOAD_MAX);

static void put_be32(uint8_t *to, uint32_t value) {
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void put_be64(uint8_t *to, uint64_t value) {
    put_be32(to, (uint32_t)(value >> 32));
    put_be32(to + 4, (uint32_t)value);
}

static void put_le64(uint8_t *to, uint64_t value) {
    for (int i = 0; i < 8; i++)
        to[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t get_be32(const uint8_t *from) {
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

bool seal_parse(const uint8_t *datagram, size_t len, struct seal_header *ret) {
    if (len < SEAL_OVERHEAD || len > PACKET_MAX || (datagram[0] & ~3) != MARK)
        return false;
    *ret = (struct seal_header){
        .kind = (enum seal_kind)(datagram[0] & 3),
        .link = get_be32(datagram + 1),
        .sequence = get_be32(datagram + 5),
    };
    return true;
}

/* ---- cipher ---- */

static void make_nonce(uint8_t nonce[static NONCE_SIZE], uint64_t count) {
    memset(nonce, 0, NONCE_SIZE - 8);
    put_be64(nonce + NONCE_SIZE - 8, count);
}

/* How much to encrypt of something of len bytes: libsodium does four or eight blocks at once, and what is left over one by
 * one, each of which takes more than half as long as four. So a rest of more than one is filled up where there is room. */
static size_t stream_length(size_t len, size_t room) {
    size_t rest = len % (4 * BLOCK), filled = len - rest + 4 * BLOCK;
    return rest > BLOCK && filled <= room ? filled : len;
}

static void make_tag(uint8_t tag[static SEAL_TAG_SIZE], const uint8_t *key, const uint8_t *nonce,
                     const uint8_t *datagram, size_t len) {
    uint8_t head[16] = {}, tail[32] = {}, one_time_key[crypto_onetimeauth_poly1305_KEYBYTES];
    size_t padding = -len % 16;
    memcpy(head, datagram, SEAL_HEADER_SIZE);
    put_le64(tail + padding, SEAL_HEADER_SIZE);
    put_le64(tail + padding + 8, len);
    crypto_stream_chacha20_ietf(one_time_key, sizeof one_time_key, nonce, key);
    crypto_onetimeauth_poly1305_state state;
    crypto_onetimeauth_poly1305_init(&state, one_time_key);
    crypto_onetimeauth_poly1305_update(&state, head, sizeof head);
    crypto_onetimeauth_poly1305_update(&state, datagram + SEAL_HEADER_SIZE, len);
    crypto_onetimeauth_poly1305_update(&state, tail, padding + 16);
    crypto_onetimeauth_poly1305_final(&state, tag);
}

/* ---- closing ---- */

void seal_out_init(struct seal_out *out, const uint8_t key[static CRYPTO_DERIVED_SIZE], uint32_t link) {
    *out = (struct seal_out){.link = link};
    memcpy(out->key, key, sizeof out->key);
}

size_t seal_close(struct seal_out *out, enum seal_kind kind, const uint8_t payload[static PACKET_MAX], size_t len,
                  uint8_t datagram[static PACKET_MAX]) {
    if (len > SEAL_PAYLOAD_MAX)
        return 0;
    uint8_t nonce[NONCE_SIZE];
    make_nonce(nonce, ++out->count);
    datagram[0] = (uint8_t)(MARK | kind);
    put_be32(datagram + 1, out->link);
    put_be32(datagram + 5, (uint32_t)out->count);
    crypto_stream_chacha20_ietf_xor_ic(datagram + SEAL_HEADER_SIZE, payload,
                                       stream_length(len, PACKET_MAX - SEAL_HEADER_SIZE), nonce, 1, out->key);
    make_tag(datagram + SEAL_HEADER_SIZE + len, out->key, nonce, datagram, len);
    return len + SEAL_OVERHEAD;
}

/* ---- opening ---- */

void seal_in_init(struct seal_in *in, const uint8_t key[static CRYPTO_DERIVED_SIZE]) {
    *in = (struct seal_in){.seen = {1}}; /* number 0 is never used */
    memcpy(in->key, key, sizeof in->key);
}

static uint64_t *word_of(struct seal_in *in, uint64_t count) {
    return &in->seen[count / WORD_BITS % (sizeof in->seen / sizeof *in->seen)];
}

/* The number with this low half that is nearest to the highest so far. false: there is none, they begin with 0. */
static bool extend(const struct seal_in *in, uint32_t sequence, uint64_t *ret) {
    int32_t distance = (int32_t)(sequence - (uint32_t)in->highest);
    *ret = in->highest + (uint64_t)(int64_t)distance;
    return distance < 0 ? *ret < in->highest : *ret >= in->highest;
}

static bool is_fresh(struct seal_in *in, uint64_t count) {
    if (count > in->highest)
        return true;
    return in->highest - count < SEAL_WINDOW && !(*word_of(in, count) >> count % WORD_BITS & 1);
}

static void mark_seen(struct seal_in *in, uint64_t count) {
    if (count > in->highest) {
        constexpr uint64_t N_WORDS = sizeof in->seen / sizeof *in->seen;
        uint64_t n_new = count / WORD_BITS - in->highest / WORD_BITS;
        for (uint64_t i = 0; i < n_new && i < N_WORDS; i++)
            *word_of(in, count - i * WORD_BITS) = 0;
        in->highest = count;
    }
    *word_of(in, count) |= (uint64_t)1 << count % WORD_BITS;
}

enum seal_verdict seal_open(struct seal_in *in, const uint8_t datagram[static PACKET_MAX], size_t len,
                            uint8_t payload[static PACKET_MAX]) {
    uint64_t count;
    if (!extend(in, get_be32(datagram + 5), &count) || !is_fresh(in, count))
        return SEAL_REPLAYED;
    uint8_t nonce[NONCE_SIZE], tag[SEAL_TAG_SIZE];
    size_t payload_len = len - SEAL_OVERHEAD;
    make_nonce(nonce, count);
    make_tag(tag, in->key, nonce, datagram, payload_len);
    if (crypto_verify_16(tag, datagram + SEAL_HEADER_SIZE + payload_len) != 0)
        return SEAL_FORGED;
    crypto_stream_chacha20_ietf_xor_ic(payload, datagram + SEAL_HEADER_SIZE,
                                       stream_length(payload_len, PACKET_MAX - SEAL_HEADER_SIZE), nonce, 1, in->key);
    bool newest = count > in->highest;
    mark_seen(in, count);
    return newest ? SEAL_OPENED_NEWEST : SEAL_OPENED;
}

/* ---- keys ---- */

/* What a key is for, so that no two are the same (sealed.h). */
struct [[gnu::packed]] purpose {
    char label[12];
    uint8_t direction;
    char stream_uid[UID_LEN];
    uint8_t generation[8];
    uint8_t sender[CRYPTO_DH_KEY_SIZE], receiver[CRYPTO_DH_KEY_SIZE];
};
static_assert(sizeof(struct purpose) == 12 + 1 + 20 + 8 + 32 + 32);

enum err seal_keys_derive(struct seal_keys *ret, const struct crypto_dh_key *own, const uint8_t other[static 32],
                          bool own_is_sender, const char *stream_uid, int64_t generation, struct err_info *reterr) {
    if (!uid_is_valid(stream_uid))
        return err_set(reterr, ERR_INVALID, "keys for sealed media are made for a stream, and '%.40s' is no uid of one",
                       stream_uid);
    uint8_t secret[CRYPTO_DH_KEY_SIZE];
    if (!crypto_dh(secret, own, other))
        return err_set(reterr, ERR_INVALID,
                       "the other peer's key for sealed media is not usable (it is of small order); nothing is sent");
    struct purpose purpose = {.label = "rocd-media-1"};
    memcpy(purpose.stream_uid, stream_uid, sizeof purpose.stream_uid);
    put_be64(purpose.generation, (uint64_t)generation);
    memcpy(purpose.sender, own_is_sender ? own->public_key : other, sizeof purpose.sender);
    memcpy(purpose.receiver, own_is_sender ? other : own->public_key, sizeof purpose.receiver);
    crypto_derive(ret->to_receiver, secret, &purpose, sizeof purpose);
    purpose.direction = 1;
    crypto_derive(ret->to_sender, secret, &purpose, sizeof purpose);
    crypto_wipe(secret, sizeof secret);
    return ERR_OK;
}
