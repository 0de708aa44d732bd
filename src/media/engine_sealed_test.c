/* SPDX-License-Identifier: MPL-2.0 */
#include "transport/sealed_test.h"

#include <math.h>
#include <poll.h>
#include <stdlib.h>

#include "base/loop_sim.h"
#include "base/loop_uv.h"
#include "media/engine.h"
#include "support/fake_audio.h"
#include "support/link_sim.h"
#include "transport/seal/seal.h"

/*
 * Two engines, the sound between them sealed. On virtual time with a relay on the way, which has all datagrams in its
 * hands and plays with them: real sockets, but in every tick everything that was sent arrives, so nothing depends on the
 * machine. And once with real threads.
 */

constexpr int64_t TICK_NS = 5 * NS_PER_MS;
constexpr size_t SECOND = 48000; /* frames */
constexpr size_t SINK_FRAMES = 20 * SECOND;
constexpr size_t KEPT_MAX = 8000; /* datagrams */

struct datagram {
    uint8_t data[PACKET_MAX];
    size_t len;
    bool to_receiver;
};

constexpr size_t HELD_MAX = 256; /* datagrams */
constexpr int64_t AUTO_MAX_NS = 400 * NS_PER_MS;

enum trick { HONEST, REPLAY, REFLECT, FLIP, REORDER, FLOOD, CORRUPT, HOLD_UP, N_TRICKS };

struct rig {
    struct loop_sim sim;
    struct codec *codec;
    struct engine *sender, *receiver;
    struct fake_source source;
    struct fake_sink sink;
    uint32_t send, receive; /* links */
    int n_failed, n_changes;
    int64_t latency_max_ns; /* more than the target: it adapts */
    struct media_port *from, *to;
    struct sealed_link link; /* of the engines; not to be closed here */

    int fd; /* the relay's, which both take for the other */
    union path_address own, sender_address, receiver_address;
    enum trick trick;
    uint8_t back_id[4];    /* link id of what goes to the sender; all 0 until the first report has come by */
    struct datagram *kept; /* owned: all that came by */
    size_t n_kept;
    struct datagram held[HELD_MAX];
    size_t n_held;
    uint64_t n_to_receiver, n_to_sender; /* thrown so far */
    uint32_t random;
};

static void on_event(void *arg, const struct engine_event *event) {
    struct rig *rig = arg;
    rig->n_failed += event->kind == ENGINE_LINK_FAILED || event->kind == ENGINE_NODE_FAILED;
    rig->n_changes += event->kind == ENGINE_LINK_LATENCY;
}

static void on_added(void *, uint32_t, enum err result, const struct err_info *) {
    assert_int_equal(result, ERR_OK);
}

/* Plays every sample as it was sent. */
static struct codec_settings settings(enum codec_latency_profile profile) {
    return (struct codec_settings){
        .wire_rate_hz = 48000,
        .wire_channels = 2,
        .payload_type = codec_encoding_by_name("l16/48000/2")->payload_type,
        .fec = CODEC_FEC_RS8M,
        .fec_source_packets = 18,
        .fec_repair_packets = 10,
        .packet_length_ns = 5 * NS_PER_MS,
        .target_latency_ns = 100 * NS_PER_MS,
        .latency_profile = profile,
        .resampler = CODEC_RESAMPLER_MEDIUM,
        .control = true,
    };
}

static float noise(int64_t frame, uint32_t channel) {
    return (float)link_sim_sample((uint64_t)frame, channel) / 32768;
}

static struct engine *new_engine(struct rig *rig) {
    struct engine_config config = {
        .clock = &rig->sim.clock.clock, .loop = &rig->sim.loop, .codec = rig->codec, .stepped = true};
    struct engine *engine = nullptr;
    assert_int_equal(engine_create(&config, on_event, rig, &engine, nullptr), ERR_OK);
    return engine;
}

static void add_links(struct rig *rig) {
    uint32_t node = 0;
    struct engine_link_config config = {.settings = settings(CODEC_LATENCY_INTACT), .gate = {.trusted_path = true}};
    fake_source_init(&rig->source, 48000, 2, noise);
    fake_sink_init(&rig->sink, 48000, 2, SINK_FRAMES);
    assert_int_equal(engine_add_node_take(rig->sender, &rig->source.stream, AUDIO_INPUT, &node, nullptr), ERR_OK);
    rig->send = engine_add_link_take(rig->sender, node, &config, rig->link.sender, on_added, rig);
    assert_int_equal(engine_add_node_take(rig->receiver, &rig->sink.stream, AUDIO_OUTPUT, &node, nullptr), ERR_OK);
    config.receiving = true;
    config.latency_min_ns = config.settings.target_latency_ns;
    config.latency_max_ns = rig->latency_max_ns;
    rig->receive = engine_add_link_take(rig->receiver, node, &config, rig->link.receiver, on_added, rig);
    loop_sim_settle(&rig->sim);
}

static int set_up(void **state, int64_t latency_max_ns) {
    struct rig *rig = calloc(1, sizeof *rig);
    loop_sim_init(&rig->sim);
    assert_int_equal(roc_codec_create((struct log){}, &rig->codec, nullptr), ERR_OK);
    rig->sender = new_engine(rig);
    rig->receiver = new_engine(rig);
    rig->from = port_at("127.0.0.1");
    rig->to = port_at("127.0.0.1");
    rig->fd = socket_at("127.0.0.1", &rig->own);
    rig->sender_address = address_of("127.0.0.1", media_port_number(rig->from));
    rig->receiver_address = address_of("127.0.0.1", media_port_number(rig->to));
    rig->kept = calloc(KEPT_MAX, sizeof *rig->kept);
    rig->link = sealed_link_open(rig->from, rig->to, rig->own);
    rig->random = 1;
    rig->latency_max_ns = latency_max_ns;
    add_links(rig);
    *state = rig;
    return 0;
}

static int rig_setup(void **state) {
    return set_up(state, 0);
}

static int rig_setup_auto(void **state) {
    return set_up(state, AUTO_MAX_NS);
}

static int rig_teardown(void **state) {
    struct rig *rig = *state;
    engine_destroy(rig->sender);
    engine_destroy(rig->receiver);
    loop_sim_settle(&rig->sim);
    media_port_close(rig->from);
    media_port_close(rig->to);
    close(rig->fd);
    rig->codec->ops->close(rig->codec);
    loop_sim_finish(&rig->sim);
    fake_sink_finish(&rig->sink);
    free(rig->kept);
    free(rig);
    return 0;
}

/* ---- the relay ---- */

static uint32_t draw(struct rig *rig, uint32_t n) {
    rig->random = rig->random * 1664525 + 1013904223;
    return (uint32_t)(((uint64_t)rig->random * n) >> 32);
}

static void relay_throw(struct rig *rig, const struct datagram *datagram, bool to_receiver) {
    throw_at(rig->fd, to_receiver ? &rig->receiver_address : &rig->sender_address, datagram->data, datagram->len);
    *(to_receiver ? &rig->n_to_receiver : &rig->n_to_sender) += 1;
}

static void relay_flush(struct rig *rig) {
    for (size_t i = 0; i < rig->n_held; i++) {
        const struct datagram *datagram = &rig->held[rig->trick == REORDER ? rig->n_held - 1 - i : i];
        relay_throw(rig, datagram, datagram->to_receiver);
    }
    rig->n_held = 0;
}

static void flip_a_bit(struct rig *rig, struct datagram *datagram) {
    size_t bit = draw(rig, (uint32_t)(8 * datagram->len));
    datagram->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
}

static void relay_pass(struct rig *rig, const struct datagram *datagram) {
    bool to_receiver = datagram->to_receiver;
    struct datagram other = *datagram;
    switch (rig->trick) {
    case REORDER: /* by up to 8; the tick is over sooner where nothing else comes */
        if (rig->n_held == 8)
            relay_flush(rig);
        rig->held[rig->n_held++] = *datagram;
        return;
    case HOLD_UP: /* until the test lets them go */
        assert_true(rig->n_held < HELD_MAX);
        rig->held[rig->n_held++] = *datagram;
        return;
    case CORRUPT: /* one in ten, instead of the good one */
        if (draw(rig, 10) == 0)
            flip_a_bit(rig, &other);
        relay_throw(rig, &other, to_receiver);
        return;
    case FLIP: /* before the good one */
        for (int i = 0; i < 3; i++, other = *datagram) {
            flip_a_bit(rig, &other);
            relay_throw(rig, &other, to_receiver);
        }
        break;
    case FLOOD:
        for (uint32_t i = 0; i < 20; i++) {
            other.len = SEAL_OVERHEAD + draw(rig, 200);
            crypto_random(other.data, other.len);
            memcpy(other.data, datagram->data, 5); /* kind and link id are right */
            relay_throw(rig, &other, to_receiver);
        }
        break;
    case REFLECT:
        relay_throw(rig, datagram, !to_receiver);
        memcpy(other.data + 1, rig->back_id, sizeof rig->back_id); /* as if it were meant so */
        relay_throw(rig, &other, !to_receiver);
        break;
    case REPLAY:
        relay_throw(rig, datagram, to_receiver);
        for (int i = 0; i < 3; i++) {
            const struct datagram *old = &rig->kept[draw(rig, (uint32_t)rig->n_kept)];
            relay_throw(rig, old, old->to_receiver);
        }
        break;
    case HONEST:
    case N_TRICKS:
        break;
    }
    relay_throw(rig, datagram, to_receiver);
}

static uint64_t n_sent(const struct rig *rig) {
    return rig->link.sender->counters.packets_sent + rig->link.receiver->counters.packets_sent;
}

/* All that was sent in this tick passes, and arrives. */
static void relay_work(struct rig *rig) {
    while (rig->n_kept < n_sent(rig)) {
        struct pollfd ready = {.fd = rig->fd, .events = POLLIN};
        assert_int_equal(poll(&ready, 1, (int)(SEALED_DEADLINE_NS / NS_PER_MS)), 1);
        assert_true(rig->n_kept < KEPT_MAX);
        struct datagram *datagram = &rig->kept[rig->n_kept++];
        union path_address from = {};
        socklen_t from_len = sizeof from;
        ssize_t len = recvfrom(rig->fd, datagram->data, sizeof datagram->data, 0, &from.sa, &from_len);
        assert_true(len > 0);
        datagram->len = (size_t)len;
        datagram->to_receiver = path_address_equal(&from, &rig->sender_address);
        if (!datagram->to_receiver)
            memcpy(rig->back_id, datagram->data + 1, sizeof rig->back_id);
        relay_pass(rig, datagram);
        UNTIL(counters_of(rig->to).received == rig->n_to_receiver &&
              counters_of(rig->from).received == rig->n_to_sender);
    }
    if (rig->trick != HOLD_UP)
        relay_flush(rig);
    UNTIL(counters_of(rig->to).received == rig->n_to_receiver && counters_of(rig->from).received == rig->n_to_sender);
}

static void run(struct rig *rig, int64_t ms) {
    for (int64_t end = rig->sim.clock.now_ns + ms * NS_PER_MS; rig->sim.clock.now_ns < end;) {
        loop_sim_run_until(&rig->sim, rig->sim.clock.now_ns + TICK_NS);
        engine_step(rig->sender, rig->sim.clock.now_ns);
        relay_work(rig);
        engine_step(rig->receiver, rig->sim.clock.now_ns);
        relay_work(rig);
        loop_sim_settle(&rig->sim);
    }
}

/* ---- the sound ---- */

static bool is_sample(const struct rig *rig, size_t at, uint64_t position) {
    for (uint32_t c = 0; c < 2; c++)
        if (lrintf(rig->sink.frames[at * 2 + c] * 32768) != link_sim_sample(position, c))
            return false;
    return true;
}

/* From there on, every sample is the one that was sent, or silent; returns how many frames are silent. */
static size_t listen_from(const struct rig *rig, size_t first) {
    size_t n_silent = 0;
    uint64_t position = 0;
    while (position < first && !(is_sample(rig, first, position) && is_sample(rig, first + 1, position + 1)))
        position++;
    assert_true(position < first);
    for (size_t i = first; i < rig->sink.n; i++) {
        if (rig->sink.frames[2 * i] == 0 && rig->sink.frames[2 * i + 1] == 0)
            n_silent++;
        else if (!is_sample(rig, i, position + (i - first)))
            fail_msg("frame %zu is not what was sent", i);
    }
    return n_silent;
}

static size_t listen_to(const struct rig *rig) {
    size_t first = fake_sink_find(&rig->sink, 0, 0.3f);
    assert_in_range(first, SECOND * 90 / 1000, SECOND * 120 / 1000);
    return listen_from(rig, first);
}

static struct engine_link_status heard(struct rig *rig) {
    struct engine_link_status status;
    assert_true(engine_link_status(rig->receiver, rig->receive, &status));
    assert_true(status.playing);
    assert_int_equal(status.sessions, 1);
    assert_int_equal(rig->n_failed, 0);
    return status;
}

static void the_sound_is_what_was_sent(void **state) {
    struct rig *rig = *state;
    run(rig, 5000);
    assert_true(rig->sink.n >= 5 * SECOND - 1000);
    assert_int_equal(listen_to(rig), 0);
    assert_int_equal(heard(rig).lost_frames, 0);
    struct path_sealed_counters counters = seal_counters_of(rig->link.receiver);
    assert_int_equal(counters.forged + counters.replayed + counters.overflowed, 0);
    /* the reports have come back */
    assert_true(rig->link.sender->counters.packets_received > 0);
    assert_int_equal(counters_of(rig->from).unknown_link + counters_of(rig->from).malformed, 0);
}

/* The samples are all near half of full scale, so half of the bytes of the sound lie between 0x3e and 0x42. */
static double share_of_sound(const uint8_t *data, size_t len) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += data[i] >= 0x3e && data[i] < 0x42;
    return (double)n / (double)len;
}

static void a_capture_holds_no_sound(void **state) {
    struct rig *rig = *state;
    run(rig, 3000);
    size_t histogram[256] = {}, n_bytes = 0;
    uint8_t plain[960];
    for (size_t i = 0; i < sizeof plain / 4; i++)
        for (uint32_t c = 0; c < 2; c++) {
            plain[4 * i + 2 * c] = (uint8_t)(link_sim_sample(i, c) >> 8);
            plain[4 * i + 2 * c + 1] = (uint8_t)link_sim_sample(i, c);
        }
    assert_true(share_of_sound(plain, sizeof plain) > 0.4); /* as an open capture would be */
    for (size_t i = 0; i < rig->n_kept; i++) {
        const struct datagram *datagram = &rig->kept[i];
        const uint8_t *inside = datagram->data + SEAL_HEADER_SIZE;
        size_t len = datagram->len - SEAL_HEADER_SIZE;
        if (len > 500)
            assert_true(share_of_sound(inside, len) < 0.1); /* 0.016 expected */
        for (size_t k = 0; k < len; k++, n_bytes++)
            histogram[inside[k]]++;
    }
    assert_true(n_bytes > 500'000);
    for (size_t i = 0; i < 256; i++) /* a fifth is 9 standard deviations and more */
        assert_in_range(histogram[i], n_bytes / 256 * 4 / 5, n_bytes / 256 * 6 / 5);
}

static void no_trick_of_the_network_reaches_the_sound(void **state) {
    struct rig *rig = *state;
    for (enum trick trick = HONEST; trick < CORRUPT; trick++) {
        rig->trick = trick;
        struct path_sealed_counters before = seal_counters_of(rig->link.receiver);
        run(rig, 2000);
        struct path_sealed_counters after = seal_counters_of(rig->link.receiver);
        assert_int_equal(after.overflowed, 0);
        if (trick == REPLAY)
            assert_true(after.replayed - before.replayed > 1000);
        if (trick == FLIP || trick == FLOOD)
            assert_true(after.forged - before.forged > 1000);
    }
    assert_true(seal_counters_of(rig->link.sender).forged > 0); /* of what was reflected */
    assert_int_equal(listen_to(rig), 0);
    struct engine_link_status status = heard(rig);
    assert_int_equal(status.lost_frames + status.lost, 0);
    assert_int_equal(status.rejected, 0); /* nothing of it has come as far as the gate */
}

/* Where the good datagrams are changed they are lost: the sound has holes, and no sample in it is another. */
static void what_is_changed_is_lost_and_nothing_else(void **state) {
    struct rig *rig = *state;
    rig->trick = CORRUPT;
    run(rig, 10'000);
    size_t n_silent = listen_to(rig);
    struct engine_link_status status = heard(rig);
    assert_true(status.lost > 100);
    assert_true(status.repaired > 50);
    assert_int_equal(status.rejected, 0);
    assert_in_range(status.lost_frames, 0, n_silent);
    assert_true(n_silent < SECOND / 2); /* repair gives most of it back */
}

static void hold_up(struct rig *rig, int64_t ms) {
    rig->trick = HOLD_UP;
    run(rig, ms);
    rig->trick = HONEST;
    relay_flush(rig); /* before what is sent next */
}

static void on_removed(void *arg) {
    *(bool *)arg = true;
}

/* What was held up comes at once, and the second decoder plays the same samples. */
static void auto_changes_the_latency_behind_the_seal(void **state) {
    struct rig *rig = *state;
    run(rig, 2000);
    assert_int_equal(listen_to(rig), 0);
    hold_up(rig, 150);
    run(rig, 3000);
    assert_int_equal(rig->n_changes, 1);
    struct engine_link_status status = heard(rig);
    assert_in_range(status.target_latency_ns, 150 * NS_PER_MS, AUTO_MAX_NS);
    assert_int_equal(status.lost + status.rejected, 0);
    assert_int_equal(listen_from(rig, rig->sink.n - 2 * SECOND), 0);
    struct path_sealed_counters counters = seal_counters_of(rig->link.receiver);
    assert_int_equal(counters.forged + counters.replayed + counters.overflowed, 0);
    /* once more, and the stream goes while there are two decoders */
    hold_up(rig, 300);
    run(rig, 500);
    assert_int_equal(rig->n_changes, 1);
    bool removed = false;
    engine_remove_link(rig->receiver, rig->receive, on_removed, &removed);
    for (int i = 0; i < 10 && !removed; i++) { /* without the relay, which looks at the counters of the path */
        rig->sim.clock.now_ns += TICK_NS;
        engine_step(rig->receiver, rig->sim.clock.now_ns);
        loop_sim_settle(&rig->sim);
    }
    assert_true(removed);
    assert_int_equal(rig->n_changes, 1);
}

/* ---- real threads ---- */

constexpr size_t N_STREAMS = 4;

struct bed {
    struct loop_uv *uv;
    struct engine *engine;
    struct media_port *from, *to;
    struct fake_source sources[N_STREAMS];
    struct fake_sink sinks[N_STREAMS];
    struct sealed_link links[N_STREAMS];
    uint32_t nodes[2 * N_STREAMS];
    struct loop_timer deadline, answer;
    int n_added, n_started, n_removed;
    bool timed_out;
};

static void on_deadline(void *arg) {
    struct bed *bed = arg;
    bed->timed_out = true;
    loop_uv_stop(bed->uv);
}

static void on_bed_removed(void *arg) {
    struct bed *bed = arg;
    if (++bed->n_removed == 2 * (int)N_STREAMS)
        loop_uv_stop(bed->uv);
}

/* All play: everything is taken down while the datagrams fly. */
static void on_bed_event(void *arg, const struct engine_event *event) {
    struct bed *bed = arg;
    assert_int_not_equal(event->kind, ENGINE_LINK_FAILED);
    if (event->kind == ENGINE_LINK_STARTED && ++bed->n_started == 2 * (int)N_STREAMS)
        for (size_t i = 0; i < 2 * N_STREAMS; i++)
            engine_remove_node(bed->engine, bed->nodes[i], on_bed_removed, bed);
}

/* The media threads have the paths for a while already. */
static void on_answer(void *arg) {
    struct bed *bed = arg;
    for (size_t i = 0; i < N_STREAMS; i++)
        path_sealed_answer(bed->links[i].receiver, bed->links[i].to_sender, &bed->links[i].keys);
}

static void on_bed_added(void *arg, uint32_t, enum err result, const struct err_info *) {
    struct bed *bed = arg;
    assert_int_equal(result, ERR_OK);
    if (++bed->n_added == 2 * (int)N_STREAMS) {
        bed->answer = (struct loop_timer){.fire = on_answer, .arg = bed};
        loop_timer_start(loop_uv_loop(bed->uv), &bed->answer, 50 * NS_PER_MS);
    }
}

static void add_stream(struct bed *bed, size_t i) {
    struct sealed_link *link = &bed->links[i];
    struct engine_link_config config = {.settings = settings(CODEC_LATENCY_GRADUAL), .gate = {.trusted_path = true}};
    link->to_receiver = media_port_reserve_link(bed->to);
    link->to_sender = media_port_reserve_link(bed->from);
    crypto_random(&link->keys, sizeof link->keys);
    link->receiver = sealed_path(&(struct path_sealed_config){.port = bed->to, .own_link = link->to_receiver});
    link->sender =
        sealed_path(&(struct path_sealed_config){.port = bed->from,
                                                 .sending = true,
                                                 .own_link = link->to_sender,
                                                 .other_link = link->to_receiver,
                                                 .keys = link->keys,
                                                 .remote = address_of("127.0.0.1", media_port_number(bed->to))});
    fake_source_init(&bed->sources[i], 48000, 2, fake_steady);
    fake_sink_init(&bed->sinks[i], 48000, 2, SECOND);
    uint32_t *source = &bed->nodes[2 * i], *sink = &bed->nodes[2 * i + 1];
    assert_int_equal(engine_add_node_take(bed->engine, &bed->sources[i].stream, AUDIO_INPUT, source, nullptr), ERR_OK);
    assert_int_equal(engine_add_node_take(bed->engine, &bed->sinks[i].stream, AUDIO_OUTPUT, sink, nullptr), ERR_OK);
    (void)engine_add_link_take(bed->engine, *source, &config, link->sender, on_bed_added, bed);
    config.receiving = true;
    (void)engine_add_link_take(bed->engine, *sink, &config, link->receiver, on_bed_added, bed);
}

static void threads_hand_over_to_each_other(void **) {
    struct bed bed = {.from = port_at("127.0.0.1"), .to = port_at("127.0.0.1")};
    struct codec *codec = nullptr;
    assert_int_equal(loop_uv_create(&bed.uv, nullptr), ERR_OK);
    assert_int_equal(roc_codec_create((struct log){}, &codec, nullptr), ERR_OK);
    struct engine_config config = {
        .clock = clock_system(), .loop = loop_uv_loop(bed.uv), .codec = codec, .n_threads = 2};
    assert_int_equal(engine_create(&config, on_bed_event, &bed, &bed.engine, nullptr), ERR_OK);
    for (size_t i = 0; i < N_STREAMS; i++)
        add_stream(&bed, i);
    bed.deadline = (struct loop_timer){.fire = on_deadline, .arg = &bed};
    loop_timer_start(loop_uv_loop(bed.uv), &bed.deadline, 2 * SEALED_DEADLINE_NS);
    loop_uv_run(bed.uv);
    assert_false(bed.timed_out);
    loop_timer_stop(loop_uv_loop(bed.uv), &bed.deadline);
    engine_destroy(bed.engine);
    loop_uv_destroy(bed.uv);
    assert_true(counters_of(bed.to).received > 0);
    assert_int_equal(counters_of(bed.to).malformed, 0);
    media_port_close(bed.from);
    media_port_close(bed.to);
    codec->ops->close(codec);
    for (size_t i = 0; i < N_STREAMS; i++)
        fake_sink_finish(&bed.sinks[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_sound_is_what_was_sent),
        TEST(a_capture_holds_no_sound),
        TEST(no_trick_of_the_network_reaches_the_sound),
        TEST(what_is_changed_is_lost_and_nothing_else),
        cmocka_unit_test_setup_teardown(auto_changes_the_latency_behind_the_seal, rig_setup_auto, rig_teardown),
        cmocka_unit_test(threads_hand_over_to_each_other),
    };
    if (crypto_init(nullptr) != ERR_OK)
        return 99;
    return cmocka_run_group_tests_name("engine-sealed", tests, nullptr, nullptr);
}
