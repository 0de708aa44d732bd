/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "base/crypto.h"
#include "fuzz/target.h"
#include "transport/seal/seal.h"

/*
 * The input twice. As a datagram, with a key the fuzzer knows: what opens is, closed again, the same datagram. And as a
 * script that closes datagrams, changes, cuts, repeats and delivers them in any order: what opens is what a plain list of
 * numbers says, and what does not moves nothing.
 *
 *   0 SHIFT BITS LEN   close a datagram of LEN bytes, BITS << SHIFT numbers ahead
 *   1 WHICH 0 0        deliver one of the last 64
 *   2 WHICH AT XOR     … with a byte changed
 *   3 WHICH LEN 0      … or cut
 */
static const uint8_t key[CRYPTO_DERIVED_SIZE] = "a key that everybody may know";
constexpr size_t N_KEPT = 64;

struct kept {
    uint8_t data[PACKET_MAX];
    size_t len;
    uint64_t count; /* 0: none */
    bool taken;
};

struct world {
    struct seal_out out;
    struct seal_in in;
    struct kept kept[N_KEPT];
    size_t n_closed;
    uint64_t highest;
};

static void any_bytes(const uint8_t *data, size_t size) {
    uint8_t datagram[PACKET_MAX] = {}, payload[PACKET_MAX] = {}, again[PACKET_MAX];
    struct seal_header header;
    if (!seal_parse(data, size, &header)) {
        FUZZ_CHECK(size < SEAL_OVERHEAD || size > PACKET_MAX || data[0] >> 2 != 0xe0 >> 2);
        return;
    }
    FUZZ_CHECK(header.kind < SEAL_N_KINDS && size <= PACKET_MAX);
    struct seal_in in;
    struct seal_out out;
    seal_in_init(&in, key);
    memcpy(datagram, data, size);
    if (seal_open(&in, datagram, size, payload) != SEAL_OPENED_NEWEST)
        return;
    seal_out_init(&out, key, header.link);
    out.count = header.sequence - 1;
    FUZZ_CHECK(seal_close(&out, header.kind, payload, size - SEAL_OVERHEAD, again) == size);
    FUZZ_CHECK(memcmp(again, data, size) == 0);
}

static void close_one(struct world *world, const uint8_t *step) {
    struct kept *kept = &world->kept[world->n_closed++ % N_KEPT];
    uint8_t payload[PACKET_MAX];
    memset(payload, step[3], sizeof payload);
    world->out.count += (uint64_t)step[2] << step[1] % 40;
    kept->count = world->out.count + 1;
    kept->len = seal_close(&world->out, (enum seal_kind)(step[2] % SEAL_N_KINDS), payload, step[3], kept->data);
    kept->taken = false;
    FUZZ_CHECK(kept->len == step[3] + SEAL_OVERHEAD);
}

static void deliver(struct world *world, struct kept *kept) {
    uint8_t payload[PACKET_MAX];
    enum seal_verdict verdict = seal_open(&world->in, kept->data, kept->len, payload);
    if (kept->count > world->highest) {
        bool told_apart = kept->count - world->highest < 0x8000'0000;
        FUZZ_CHECK((verdict == SEAL_OPENED_NEWEST) == told_apart && verdict != SEAL_OPENED);
    } else {
        bool fresh = !kept->taken && world->highest - kept->count < SEAL_WINDOW;
        FUZZ_CHECK((verdict == SEAL_OPENED) == fresh && verdict != SEAL_OPENED_NEWEST);
    }
    if (verdict != SEAL_OPENED && verdict != SEAL_OPENED_NEWEST)
        return;
    for (size_t i = 0; i < kept->len - SEAL_OVERHEAD; i++)
        FUZZ_CHECK(payload[i] == kept->len - SEAL_OVERHEAD);
    kept->taken = true;
    if (kept->count > world->highest)
        world->highest = kept->count;
}

static void deliver_bad(struct world *world, const struct kept *good, const uint8_t *step) {
    struct kept bad = *good;
    struct seal_in before = world->in;
    struct seal_header header;
    uint8_t payload[PACKET_MAX];
    if (step[0] % 4 == 2)
        bad.data[step[2] % bad.len] ^= step[3] ? step[3] : 1;
    else
        bad.len = step[2] % bad.len;
    if (!seal_parse(bad.data, bad.len, &header))
        return;
    enum seal_verdict verdict = seal_open(&world->in, bad.data, bad.len, payload);
    FUZZ_CHECK(verdict == SEAL_FORGED || verdict == SEAL_REPLAYED);
    FUZZ_CHECK(memcmp(&world->in, &before, sizeof before) == 0);
}

static void script(const uint8_t *data, size_t size) {
    static struct world world;
    memset(&world, 0, sizeof world);
    seal_out_init(&world.out, key, 0x01234567);
    seal_in_init(&world.in, key);
    if (size > 4 * 500)
        size = 4 * 500;
    for (; size >= 4; data += 4, size -= 4) {
        struct kept *kept = &world.kept[data[1] % N_KEPT];
        if (data[0] % 4 == 0)
            close_one(&world, data);
        else if (kept->count == 0)
            continue;
        else if (data[0] % 4 == 1)
            deliver(&world, kept);
        else
            deliver_bad(&world, kept, data);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (crypto_init(nullptr) != ERR_OK)
        return 0;
    any_bytes(data, size);
    script(data, size);
    return 0;
}
