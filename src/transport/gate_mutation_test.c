/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "support/heap.h"
#include "support/link_sim.h"
#include "support/roc_packets.h"
#include "transport/codec.h"
#include "transport/gate.h"

/*
 * A million broken and forged packets among those of a true stream, on virtual time: through the gate, and what it lets
 * through into libroc's decoder (RTCP into its encoder, too). They are made from true packets: bits turned, cut, grown,
 * spliced, sent again, with other numbers in the fields that libroc believes.
 *
 * From other hosts they change no sample. From the sender's own host (who can do that can speak in its place) they may
 * spoil the sound as long as they come, but nothing dies, nothing grows, and afterwards the sound is back.
 *
 * Seeded; another seed may be given as argument. Sanitizers are ten times slower and take a tenth of the packets.
 */

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
constexpr uint32_t N_MUTATED = 99'000;
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
constexpr uint32_t N_MUTATED = 99'000;
#else
constexpr uint32_t N_MUTATED = 999'000;
#endif
#else
constexpr uint32_t N_MUTATED = 999'000;
#endif

constexpr uint32_t N_A_TICK = 200;    /* mutated packets */
constexpr size_t N_KEPT = 128;        /* true packets that others are made from */
constexpr size_t FRAMES_A_TICK = 240; /* 5 ms */
constexpr size_t FRAMES_MAX = 30 * 48'000;
constexpr uint8_t OWN_HOST = 1;

static uint64_t seed = 20'261'125;

struct rig {
    struct codec *codec;
    struct codec_settings settings;
    struct codec_encoder *encoder;
    struct codec_decoder *decoder;
    struct gate *gate;
    int64_t now_ns;
    uint64_t random;
    struct packet kept[N_KEPT];
    size_t n_kept; /* so far */
    uint64_t n_true, n_mutated, n_passed;
    uint64_t n_believed; /* mutated packets that the decoder got */
    uint64_t position;   /* frames sent */
    struct link_sim_result heard;
};

static const struct codec_frame_format format = {48'000, 2};

/* ---- chance ---- */

static uint64_t draw(struct rig *rig) {
    rig->random ^= rig->random << 13;
    rig->random ^= rig->random >> 7;
    rig->random ^= rig->random << 17;
    return rig->random;
}

static uint32_t below(struct rig *rig, uint32_t n) {
    return (uint32_t)((draw(rig) >> 32) * n >> 32);
}

/* Small numbers more often than large ones. */
static uint32_t small(struct rig *rig) {
    return (uint32_t)(draw(rig) >> (32 + below(rig, 32)));
}

/* ---- mutations ---- */

/* Adds delta to the big endian number of n bytes at `at`. */
static void shift_number(struct packet *packet, size_t at, size_t n, uint32_t delta) {
    if (at > packet->len || n > packet->len - at)
        return;
    for (size_t i = n; i-- > 0; delta >>= 8) {
        delta += packet->data[at + i];
        packet->data[at + i] = (uint8_t)delta;
    }
}

static void turn_bits(struct rig *rig, struct packet *packet) {
    for (uint32_t n = 1 + below(rig, 8); n > 0; n--)
        packet->data[below(rig, packet->len)] ^= (uint8_t)(1 << below(rig, 8));
}

static void set_bytes(struct rig *rig, struct packet *packet) {
    static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xc8, 0xff};
    uint32_t within = below(rig, 2) ? packet->len : (packet->len < 40 ? packet->len : 40); /* headers more often */
    for (uint32_t n = 1 + below(rig, 4); n > 0; n--)
        packet->data[below(rig, within)] = values[below(rig, sizeof values)];
}

static void cut(struct rig *rig, struct packet *packet) {
    packet->len = (uint16_t)below(rig, packet->len);
}

static void grow(struct rig *rig, struct packet *packet) {
    uint32_t len = packet->len + 1 + small(rig) % 64;
    for (uint32_t i = packet->len; i < len && i < PACKET_MAX; i++)
        packet->data[i] = (uint8_t)draw(rig);
    packet->len = (uint16_t)(below(rig, 100) ? len : 0xffff); /* longer than any buffer: must not be read */
}

static void splice(struct rig *rig, struct packet *packet) {
    const struct packet *other = &rig->kept[below(rig, N_KEPT)];
    uint32_t at = below(rig, packet->len), n = other->len > at ? below(rig, other->len - at) : 0;
    memcpy(packet->data + at, other->data + at, n);
    packet->len = (uint16_t)(below(rig, 2) || at + n > packet->len ? at + n : packet->len);
}

static void make_noise(struct rig *rig, struct packet *packet) {
    packet->len = (uint16_t)below(rig, PACKET_MAX + 1);
    for (uint32_t i = 0; i < packet->len; i++)
        packet->data[i] = (uint8_t)draw(rig);
    if (below(rig, 2))
        packet->data[0] = 0x80;
}

static void change_interface(struct rig *rig, struct packet *packet) {
    packet->iface = (enum media_iface)below(rig, MEDIA_N_IFACES);
}

static void send_again(struct rig *, struct packet *) {
}

/* One field of the header of a sound or repair packet, or of an RTCP packet: a bit more, a bit less, anything. */
static void forge_field(struct rig *rig, struct packet *packet) {
    static const struct {
        int at, n; /* from the end where negative */
    } fields[MEDIA_N_IFACES][8] = {
        [MEDIA_SOURCE] = {{0, 1}, {1, 1}, {2, 2}, {4, 4}, {8, 4}, {-6, 2}, {-4, 2}, {-2, 2}},
        [MEDIA_REPAIR] = {{0, 2}, {1, 2}, {2, 2}, {3, 1}, {4, 2}, {6, 2}, {8, 4}, {12, 2}},
        [MEDIA_CONTROL] = {{0, 1}, {1, 1}, {2, 2}, {4, 4}, {28, 1}, {30, 2}, {32, 4}, {36, 2}},
    };
    int at = fields[packet->iface][below(rig, 8)].at, n = fields[packet->iface][below(rig, 8)].n;
    uint32_t delta = small(rig);
    shift_number(packet, (size_t)(at < 0 ? packet->len + at : at), (size_t)n, below(rig, 2) ? delta : -delta);
}

/* A sound packet that fits: some packets ahead or behind in every field, with sound of its own. */
static void forge_sound(struct rig *rig, struct packet *packet) {
    const struct codec_settings *s = &rig->settings;
    if (packet->iface != MEDIA_SOURCE || packet->len < 18)
        return;
    bool fec = s->fec != CODEC_FEC_NONE;
    int32_t ahead = (int32_t)below(rig, 120) - 30;
    shift_number(packet, 2, 2, (uint32_t)ahead);
    shift_number(packet, 4, 4, (uint32_t)ahead * 240);
    if (fec) {
        size_t esi_at = packet->len - 6U + (s->fec == CODEC_FEC_RS8M ? 3 : 2), esi_n = s->fec == CODEC_FEC_RS8M ? 1 : 2;
        int32_t esi = packet->data[esi_at + esi_n - 1], k = (int32_t)s->fec_source_packets;
        int32_t blocks = (esi + ahead + 100 * k) / k - 100;
        shift_number(packet, packet->len - 6U, s->fec == CODEC_FEC_RS8M ? 3 : 2, (uint32_t)blocks);
        packet->data[esi_at + esi_n - 1] = (uint8_t)(esi + ahead - blocks * k);
    }
    for (uint32_t i = 12; i < packet->len - (fec ? 6U : 0); i++)
        packet->data[i] = (uint8_t)draw(rig);
}

/* A repair packet that fits and gives back rubbish. */
static void forge_repair(struct rig *rig, struct packet *packet) {
    if (packet->iface != MEDIA_REPAIR)
        return;
    if (below(rig, 2))
        shift_number(packet, 1, 2, below(rig, 3) - 1);
    packet->data[3] = (uint8_t)(rig->settings.fec_source_packets + below(rig, 10));
    for (uint32_t i = 8; i < packet->len; i++)
        packet->data[i] = (uint8_t)draw(rig);
}

/* The sender report that ends any program that gives it to libroc 0.4. */
static void forge_deadly_report(struct rig *, struct packet *packet) {
    if (packet->iface == MEDIA_CONTROL)
        packet->len = 28;
}

static void mutate(struct rig *rig, struct packet *packet) {
    static void (*const mutations[])(struct rig *, struct packet *) = {
        turn_bits,   set_bytes,   cut,         grow,        splice,      make_noise,   change_interface,    send_again,
        forge_field, forge_field, forge_field, forge_sound, forge_sound, forge_repair, forge_deadly_report,
    };
    do {
        mutations[below(rig, sizeof mutations / sizeof mutations[0])](rig, packet);
    } while (packet->len > 0 && packet->len <= PACKET_MAX && below(rig, 3) == 0);
}

/* ---- the stream ---- */

#define COUNTER(rig, name) atomic_load_explicit(&gate_counters((rig)->gate)->name, memory_order_relaxed)

static void open_decoder(struct rig *rig) {
    struct err_info info;
    if (rig->decoder)
        rig->decoder->ops->close(rig->decoder);
    if (rig->codec->ops->open_decoder(rig->codec, &rig->settings, format, &rig->decoder, &info) != ERR_OK)
        fail_msg("%s", info.message);
}

/* Through the gate and on; every packet is counted once. */
static void give(struct rig *rig, const struct packet *packet) {
    uint64_t packets = COUNTER(rig, packets), bytes = COUNTER(rig, bytes), late = COUNTER(rig, late);
    uint64_t refused = COUNTER(rig, rejected) + COUNTER(rig, duplicate);
    bool was_latched = gate_is_latched(rig->gate);
    enum gate_verdict verdict = gate_check(rig->gate, packet, rig->now_ns);
    packets = COUNTER(rig, packets) - packets;
    bytes = COUNTER(rig, bytes) - bytes;
    late = COUNTER(rig, late) - late;
    refused = COUNTER(rig, rejected) + COUNTER(rig, duplicate) - refused;
    if (packets + refused != 1 && (packets + refused != 0 || (was_latched && late != 1)))
        fail_msg("a packet was counted %zu times", (size_t)(packets + refused));
    if (bytes != packets * packet->len || (verdict != GATE_DROP && packets != 1))
        fail_msg("%zu packets of %zu bytes were counted for verdict %d", (size_t)packets, (size_t)bytes, verdict);
    if (verdict == GATE_NEW_SESSION)
        open_decoder(rig);
    if (verdict == GATE_DROP)
        return;
    rig->n_passed++;
    assert_int_equal(rig->decoder->ops->push_packet(rig->decoder, packet->iface, packet->data, packet->len), ERR_OK);
}

static void give_mutated(struct rig *rig, uint32_t n, bool own_host) {
    for (; n > 0; n--) {
        struct packet packet = rig->kept[below(rig, N_KEPT)];
        packet.from = roc_packets_host(own_host ? OWN_HOST : (uint8_t)(OWN_HOST + 1 + below(rig, 100)), 5000);
        mutate(rig, &packet);
        uint64_t n_passed = rig->n_passed;
        give(rig, &packet);
        rig->n_mutated++;
        rig->n_believed += rig->n_passed - n_passed;
        if (packet.iface == MEDIA_CONTROL && gate_rtcp_is_sound(packet.data, packet.len))
            assert_int_equal(rig->encoder->ops->push_feedback(rig->encoder, packet.data, packet.len), ERR_OK);
    }
}

static void send_sound(struct rig *rig) {
    float frames[2 * FRAMES_A_TICK];
    for (size_t i = 0; i < 2 * FRAMES_A_TICK; i++)
        frames[i] = (float)link_sim_sample(rig->position + i / 2, i % 2) / 32768;
    rig->position += FRAMES_A_TICK;
    assert_int_equal(rig->encoder->ops->push_frames(rig->encoder, frames, FRAMES_A_TICK), ERR_OK);
}

static void tick(struct rig *rig, uint32_t n_mutated, bool own_host) {
    struct packet packet = {.from = roc_packets_host(OWN_HOST, 5000)};
    rig->now_ns += 5 * NS_PER_MS;
    send_sound(rig);
    give_mutated(rig, n_mutated / 2, own_host);
    for (packet.iface = 0; packet.iface < MEDIA_N_IFACES; packet.iface++)
        while ((packet.len = (uint16_t)rig->encoder->ops->pop_packet(rig->encoder, packet.iface, packet.data)) > 0) {
            /* How many RTCP packets there are depends on the clock on the wall: they have places of their own. */
            rig->kept[packet.iface == MEDIA_CONTROL ? 0 : 2 + rig->n_kept++ % (N_KEPT - 2)] = packet;
            if (n_mutated > 0 && own_host && packet.iface == MEDIA_SOURCE && below(rig, 10) == 0)
                continue; /* lost: with nothing missing libroc would not look at repair packets */
            rig->n_true++;
            give(rig, &packet);
        }
    give_mutated(rig, n_mutated - n_mutated / 2, own_host);
    gate_tick(rig->gate, rig->now_ns);

    struct link_sim_result *heard = &rig->heard;
    assert_true(heard->n_frames + FRAMES_A_TICK <= FRAMES_MAX);
    assert_int_equal(rig->decoder->ops->pop_frames(rig->decoder, heard->sound + 2 * heard->n_frames, FRAMES_A_TICK),
                     ERR_OK);
    heard->n_frames += FRAMES_A_TICK;
    packet.iface = MEDIA_CONTROL;
    while ((packet.len = (uint16_t)rig->decoder->ops->pop_feedback(rig->decoder, packet.data)) > 0) {
        rig->kept[1] = packet;
        if (gate_rtcp_is_sound(packet.data, packet.len))
            assert_int_equal(rig->encoder->ops->push_feedback(rig->encoder, packet.data, packet.len), ERR_OK);
    }
}

/* The last n frames are what was sent, sample by sample. */
static void assert_sounds(struct rig *rig, size_t n) {
    struct link_sim_result *heard = &rig->heard;
    size_t from = heard->n_frames - n;
    uint64_t position = link_sim_position(heard, 2, from);
    if (position == UINT64_MAX)
        fail_msg("no sound at frame %zu of %zu", from, heard->n_frames);
    for (size_t i = 0; i < 2 * n; i++)
        if (lrintf(heard->sound[2 * from + i] * 32768) != link_sim_sample(position + i / 2, i % 2))
            fail_msg("another sound at frame %zu of %zu", from + i / 2, heard->n_frames);
}

static void ticks(struct rig *rig, uint32_t n, uint32_t n_mutated, bool own_host) {
    for (; n > 0; n--)
        tick(rig, n_mutated, own_host);
}

/* ---- tests ---- */

static void open_stream(struct rig *rig, enum codec_fec fec) {
    struct err_info info;
    rig->settings = roc_packets_settings(fec);
    rig->random = seed * 0x9e3779b97f4a7c15 + fec + 1;
    rig->now_ns = 1000 * NS_PER_S;
    rig->heard.sound = calloc(2 * FRAMES_MAX, sizeof *rig->heard.sound);
    rig->gate = gate_create(&(struct gate_config){.settings = rig->settings});
    if (rig->codec->ops->open_encoder(rig->codec, &rig->settings, format, &rig->encoder, &info) != ERR_OK)
        fail_msg("%s", info.message);
    open_decoder(rig);
    assert_true(rig->heard.sound && rig->gate);
    for (uint32_t i = 0; i < 2; i++)
        roc_sender_report(&(struct roc_sender){.settings = rig->settings, .ssrc = i}, &rig->kept[i]);
    ticks(rig, 200, 0, true);
    assert_true(rig->n_kept >= N_KEPT);
}

static void close_stream(struct rig *rig) {
    rig->encoder->ops->close(rig->encoder);
    rig->decoder->ops->close(rig->decoder);
    gate_destroy(rig->gate);
    free(rig->heard.sound);
    *rig = (struct rig){.codec = rig->codec};
}

static void mutated_packets_of_strangers_change_no_sample(void **state) {
    struct rig *rig = *state;
    for (enum codec_fec fec = CODEC_FEC_NONE; fec <= CODEC_FEC_LDPC; fec++) {
        open_stream(rig, fec);
        uint64_t rejected = COUNTER(rig, rejected);
        uint32_t n_ticks = N_MUTATED / 6 / N_A_TICK;
        ticks(rig, n_ticks, N_A_TICK, false);
        assert_int_equal(rig->n_mutated, n_ticks * N_A_TICK);
        assert_int_equal(COUNTER(rig, rejected) - rejected, rig->n_mutated);
        assert_int_equal(rig->n_believed, 0);
        assert_sounds(rig, (n_ticks + 150) * FRAMES_A_TICK);
        assert_int_equal(COUNTER(rig, sessions), 1);
        assert_int_equal(COUNTER(rig, lost) + COUNTER(rig, late) + COUNTER(rig, reordered) + COUNTER(rig, duplicate),
                         0);
        close_stream(rig);
    }
}

static void mutated_packets_of_the_sender_itself_end_nothing(void **state) {
    struct rig *rig = *state;
    for (enum codec_fec fec = CODEC_FEC_NONE; fec <= CODEC_FEC_LDPC; fec++) {
        open_stream(rig, fec);
        uint32_t n_ticks = N_MUTATED / 6 / N_A_TICK;
        size_t heap = 0;
        for (int round = 0; round < 3; round++) {
            ticks(rig, n_ticks / 3, N_A_TICK, true);
            if (round == 0)
                heap = heap_in_use();
            ticks(rig, 1000, 0, true); /* libroc gives up a session that has been spoilt after two seconds */
            assert_sounds(rig, 48'000);
        }
        assert_true(rig->n_mutated >= n_ticks / 3 * 3 * N_A_TICK);
        assert_true(rig->n_believed > rig->n_mutated / 100); /* many do get in */
        assert_true(COUNTER(rig, rejected) > rig->n_mutated / 3);
        assert_true(heap_in_use() < heap + 1024 * 1024);
        close_stream(rig);
    }
}

static int setup(void **state) {
    struct rig *rig = calloc(1, sizeof *rig);
    struct err_info info;
    if (!rig || roc_codec_create((struct log){}, &rig->codec, &info) != ERR_OK)
        fail_msg("%s", info.message);
    *state = rig;
    return 0;
}

static int teardown(void **state) {
    struct rig *rig = *state;
    rig->codec->ops->close(rig->codec);
    free(rig);
    return 0;
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(mutated_packets_of_strangers_change_no_sample, setup, teardown),
        cmocka_unit_test_setup_teardown(mutated_packets_of_the_sender_itself_end_nothing, setup, teardown),
    };
    if (argc > 1)
        seed = strtoull(argv[1], nullptr, 10);
    return cmocka_run_group_tests_name("transport-gate-mutation", tests, nullptr, nullptr);
}
