/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/loop_sim.h"
#include "media/engine.h"
#include "support/fake_audio.h"
#include "support/lossy_path.h"

/*
 * Streams out of one endpoint that share an encoder, with the real codec on virtual time. The source is a slow tone without
 * a zero, so that every hole shows, and every click.
 */

constexpr int64_t TICK_NS = 5 * NS_PER_MS;
constexpr size_t N_MAX = 48;
constexpr size_t SINK_FRAMES = 90 * 48'000;
constexpr float STEP_MAX = 0.01f; /* of the tone from one frame to the next, ten times over */

struct stream {
    struct fake_sink sink;
    struct lossy_path *network;
    uint32_t node, send, receive;
};

struct rig {
    struct loop_sim sim;
    struct codec codec; /* counts, and lets libroc work */
    struct codec_ops ops;
    struct codec *roc;
    struct engine *engine;
    int n_encoders, n_removed;
    struct fake_source source;
    uint32_t source_node;
    struct stream streams[N_MAX];
    size_t n_streams;
};

static void on_event(void *, const struct engine_event *event) {
    assert_int_not_equal(event->kind, ENGINE_LINK_FAILED);
    assert_int_not_equal(event->kind, ENGINE_NODE_FAILED);
}

static void on_added(void *, uint32_t, enum err result, const struct err_info *) {
    assert_int_equal(result, ERR_OK);
}

static void on_removed(void *arg) {
    ((struct rig *)arg)->n_removed++;
}

static enum err open_encoder(struct codec *codec, const struct codec_settings *settings,
                             struct codec_frame_format format, struct codec_encoder **ret, struct err_info *reterr) {
    struct rig *rig = container_of(codec, struct rig, codec);
    rig->n_encoders++;
    return rig->roc->ops->open_encoder(rig->roc, settings, format, ret, reterr);
}

static enum err open_decoder(struct codec *codec, const struct codec_settings *settings,
                             struct codec_frame_format format, struct codec_decoder **ret, struct err_info *reterr) {
    struct rig *rig = container_of(codec, struct rig, codec);
    return rig->roc->ops->open_decoder(rig->roc, settings, format, ret, reterr);
}

static float slow_tone(int64_t frame, uint32_t) {
    return 0.5f + 0.2f * (float)sin((double)(frame % 4800) * 2 * 3.14159265358979 / 4800);
}

static int setup(void **state) {
    struct rig *rig = calloc(1, sizeof *rig);
    loop_sim_init(&rig->sim);
    assert_int_equal(roc_codec_create((struct log){}, &rig->roc, nullptr), ERR_OK);
    rig->ops = (struct codec_ops){.open_encoder = open_encoder, .open_decoder = open_decoder};
    rig->codec.ops = &rig->ops;
    struct engine_config config = {
        .clock = &rig->sim.clock.clock, .loop = &rig->sim.loop, .codec = &rig->codec, .stepped = true};
    assert_int_equal(engine_create(&config, on_event, rig, &rig->engine, nullptr), ERR_OK);
    fake_source_init(&rig->source, 48'000, 2, slow_tone);
    assert_int_equal(engine_add_node_take(rig->engine, &rig->source.stream, AUDIO_INPUT, &rig->source_node, nullptr),
                     ERR_OK);
    *state = rig;
    return 0;
}

static int teardown(void **state) {
    struct rig *rig = *state;
    engine_destroy(rig->engine);
    loop_sim_settle(&rig->sim);
    for (size_t i = 0; i < rig->n_streams; i++)
        fake_sink_finish(&rig->streams[i].sink);
    rig->roc->ops->close(rig->roc);
    loop_sim_finish(&rig->sim);
    free(rig);
    return 0;
}

static void run(struct rig *rig, int64_t ms) {
    for (int64_t end = rig->sim.clock.now_ns + ms * NS_PER_MS; rig->sim.clock.now_ns < end;) {
        loop_sim_run_until(&rig->sim, rig->sim.clock.now_ns + TICK_NS);
        engine_step(rig->engine, rig->sim.clock.now_ns);
        loop_sim_settle(&rig->sim);
    }
}

static struct engine_link_config config_for(int64_t target_ms) {
    return (struct engine_link_config){
        .settings = {.wire_rate_hz = 48'000,
                     .wire_channels = 2,
                     .payload_type = codec_encoding_by_name("l16/48000/2")->payload_type,
                     .fec = CODEC_FEC_RS8M,
                     .fec_source_packets = 10,
                     .fec_repair_packets = 5,
                     .packet_length_ns = 5 * NS_PER_MS / 2,
                     .target_latency_ns = target_ms * NS_PER_MS,
                     .latency_profile = CODEC_LATENCY_GRADUAL,
                     .resampler = CODEC_RESAMPLER_MEDIUM,
                     .control = true},
        .may_share = true,
    };
}

static struct stream *add(struct rig *rig, const struct engine_link_config *wanted) {
    struct stream *s = &rig->streams[rig->n_streams++];
    struct engine_link_config config = *wanted;
    struct path *sending = nullptr, *receiving = nullptr;
    fake_sink_init(&s->sink, 48'000, 2, SINK_FRAMES);
    assert_int_equal(engine_add_node_take(rig->engine, &s->sink.stream, AUDIO_OUTPUT, &s->node, nullptr), ERR_OK);
    assert_int_equal(path_memory_open(&sending, &receiving, nullptr), ERR_OK);
    s->network = lossy_path_open_take(receiving, &rig->sim.clock.clock, 0, rig->n_streams);
    config.gate.trusted_path = true;
    config.receiving = true;
    s->receive = engine_add_link_take(rig->engine, s->node, &config, &s->network->path, on_added, rig);
    config.receiving = false;
    s->send = engine_add_link_take(rig->engine, rig->source_node, &config, sending, on_added, rig);
    return s;
}

static void leave(struct rig *rig, struct stream *s) {
    engine_remove_link(rig->engine, s->send, on_removed, rig);
    engine_remove_link(rig->engine, s->receive, on_removed, rig);
}

static struct engine_link_status status_of(struct rig *rig, uint32_t link) {
    struct engine_link_status status = {};
    assert_true(engine_link_status(rig->engine, link, &status));
    return status;
}

static uint32_t n_encoders(struct rig *rig) {
    struct engine_node_status status = {};
    assert_true(engine_node_status(rig->engine, rig->source_node, &status));
    return status.n_encoders;
}

/* From there on: neither hole nor click. */
static void assert_whole(const struct stream *s, size_t from) {
    assert_true(s->sink.n > from + 4'800);
    assert_int_equal(fake_sink_zeros(&s->sink, from, s->sink.n, 1), 0);
    for (size_t i = from + 1; i < s->sink.n; i++)
        assert_true(fabsf(s->sink.frames[2 * i] - s->sink.frames[2 * i - 2]) < STEP_MAX);
}

/* Where its sound has begun and been faded in. */
static size_t begin_of(const struct stream *s, size_t from) {
    size_t first = fake_sink_find(&s->sink, from, 0.25f);
    assert_true(first < s->sink.n);
    return first;
}

/* ---- one for all ---- */

static void one_encoder_serves_all(void **state) {
    struct rig *rig = *state;
    struct engine_link_config config = config_for(100);
    for (int i = 0; i < 12; i++) {
        config.start_delay_ns = (2 - i % 3) * 7 * NS_PER_MS; /* the first in the list is not the first to begin */
        config.settings.target_latency_ns = (100 + 50 * (i % 2)) * NS_PER_MS; /* a matter of the receiver */
        add(rig, &config);
    }
    run(rig, 20'000);
    assert_int_equal(rig->n_encoders, 1);
    assert_int_equal(n_encoders(rig), 1);
    for (size_t i = 0; i < rig->n_streams; i++) {
        const struct stream *s = &rig->streams[i];
        size_t begin = begin_of(s, 0);
        assert_in_range(begin, 0, 350 * 48);
        assert_whole(s, begin + 480);
        struct engine_link_status sender = status_of(rig, s->send);
        assert_int_equal(sender.n_sharing, 12);
        assert_true(sender.playing && sender.packets_sent > 20 * 400);
        assert_true(fabsf(sender.level_dbfs[0] + 3.1f) < 0.2f);
        assert_int_equal(status_of(rig, s->receive).lost_frames, 0);
        assert_int_equal(status_of(rig, s->receive).sessions, 1);
    }
}

static void what_differs_has_its_own(void **state) {
    struct rig *rig = *state;
    struct engine_link_config config = config_for(100);
    add(rig, &config);
    struct engine_link_config other = config;
    other.settings.packet_length_ns = 5 * NS_PER_MS;
    add(rig, &other);
    other = config;
    other.settings.fec_repair_packets = 10;
    add(rig, &other);
    other = config;
    other.n_map = 2;
    other.map[0] = 1;
    other.map[1] = 0;
    add(rig, &other);
    other = config;
    other.may_share = false;
    other.gain_db = -6;
    add(rig, &other);
    assert_int_equal(n_encoders(rig), 5);
    run(rig, 2000);
    assert_int_equal(rig->n_encoders, 5);
    assert_int_equal(n_encoders(rig), 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(status_of(rig, rig->streams[i].send).n_sharing, 1);
    assert_true(fabsf(rig->streams[4].sink.frames[2 * rig->streams[4].sink.n - 1]) < 0.36f);
    add(rig, &(struct engine_link_config){config.settings, .may_share = true, .n_map = 2, .map = {1, 0}});
    run(rig, 1000);
    assert_int_equal(rig->n_encoders, 5); /* the one of the same map */
    assert_int_equal(status_of(rig, rig->streams[3].send).n_sharing, 2);
}

/* ---- coming and going ---- */

static void who_comes_later_begins_in_the_middle(void **state) {
    struct rig *rig = *state;
    struct engine_link_config config = config_for(100);
    struct stream *first = add(rig, &config);
    for (int i = 0; i < 9; i++) {
        run(rig, 1003 + 7 * i); /* somewhere in a block */
        struct stream *next = add(rig, &config);
        run(rig, 500);
        size_t begin = begin_of(next, 0);
        assert_in_range(begin, 0, 250 * 48);
    }
    run(rig, 2000);
    assert_int_equal(rig->n_encoders, 1);
    for (size_t i = 0; i < rig->n_streams; i++) {
        struct stream *s = &rig->streams[i];
        assert_whole(s, begin_of(s, 0) + 480);
        assert_int_equal(status_of(rig, s->receive).lost_frames, 0);
    }
    assert_whole(first, begin_of(first, 0) + 480);
}

static void who_goes_is_not_missed(void **state) {
    struct rig *rig = *state;
    struct engine_link_config config = config_for(100);
    struct stream *a = add(rig, &config), *b = add(rig, &config), *c = add(rig, &config);
    run(rig, 3000);
    leave(rig, a); /* that has led */
    run(rig, 1000);
    assert_int_equal(rig->n_removed, 2);
    assert_int_equal(status_of(rig, b->send).n_sharing, 2);
    leave(rig, c);
    struct stream *d = add(rig, &config);
    run(rig, 2000);
    assert_int_equal(rig->n_encoders, 1);
    assert_whole(b, begin_of(b, 0) + 480);
    assert_whole(d, begin_of(d, 0) + 480);
    /* nobody hears a click either who goes: the receiving end fades */
    for (struct stream *s = a; s; s = s == a ? c : nullptr)
        for (size_t i = begin_of(s, 0) + 481; i < s->sink.n; i++)
            assert_true(fabsf(s->sink.frames[2 * i] - s->sink.frames[2 * i - 2]) < STEP_MAX);
    /* after the last, the next begins with an encoder of its own, even while that one still fades */
    leave(rig, b);
    leave(rig, d);
    struct stream *e = add(rig, &config);
    run(rig, 2000);
    assert_int_equal(rig->n_encoders, 2);
    assert_whole(e, begin_of(e, 0) + 480);
    assert_int_equal(rig->n_removed, 8);
    assert_int_equal(n_encoders(rig), 1);
    leave(rig, e);
    assert_int_equal(n_encoders(rig), 0);
}

static void the_last_goes_while_the_next_comes(void **state) {
    struct rig *rig = *state;
    struct engine_link_config config = config_for(100);
    struct stream *a = add(rig, &config);
    run(rig, 2000);
    struct stream *b = add(rig, &config); /* still being opened */
    leave(rig, a);
    run(rig, 2000);
    assert_int_equal(rig->n_encoders, 1);
    assert_whole(b, begin_of(b, 0) + 480);
}

/* Pings of each path tell of the packets that all of them get. */
static void latency_is_true_for_each(void **state) {
    struct rig *rig = *state;
    struct engine_link_config config = config_for(100), own = config;
    own.may_share = false;
    struct stream *alone = add(rig, &own), *a = add(rig, &config), *b = add(rig, &config);
    run(rig, 5000);
    int64_t wanted_ns = status_of(rig, alone->receive).end_to_end_ns;
    assert_in_range(wanted_ns, 95 * NS_PER_MS, 115 * NS_PER_MS);
    assert_in_range(status_of(rig, a->receive).end_to_end_ns, wanted_ns - 3 * NS_PER_MS, wanted_ns + 3 * NS_PER_MS);
    assert_in_range(status_of(rig, b->receive).end_to_end_ns, wanted_ns - 3 * NS_PER_MS, wanted_ns + 3 * NS_PER_MS);
    leave(rig, a);
    run(rig, 2000);
    struct stream *c = add(rig, &config);
    run(rig, 15'000);
    wanted_ns = status_of(rig, alone->receive).end_to_end_ns;
    assert_in_range(status_of(rig, b->receive).end_to_end_ns, wanted_ns - 3 * NS_PER_MS, wanted_ns + 3 * NS_PER_MS);
    /* its queue is younger, and still on its way to where the others have theirs */
    assert_in_range(status_of(rig, c->receive).end_to_end_ns, wanted_ns - 8 * NS_PER_MS, wanted_ns + 8 * NS_PER_MS);
    assert_int_equal(rig->n_encoders, 2);
}

/* Whatever the others do, and whatever the networks of the others are like. */
static void nobody_disturbs_the_others(void **state) {
    struct rig *rig = *state;
    struct engine_link_config config = config_for(100);
    struct stream *steady = add(rig, &config), *bad = add(rig, &config), *others[8] = {};
    run(rig, 1000);
    bad->network->loss = 0.3;
    size_t begin = begin_of(steady, 0) + 480;
    for (size_t i = 0; rig->n_streams < 40; i++) {
        struct stream **other = &others[i * 5 % 8];
        if (*other)
            leave(rig, *other);
        *other = *other ? nullptr : add(rig, &config);
        if (i % 5 == 0) /* removed before it is there */
            leave(rig, add(rig, &config));
        run(rig, (int64_t)(37 * i % 700));
    }
    run(rig, 1000);
    assert_int_equal(rig->n_encoders, 1);
    assert_whole(steady, begin);
    assert_int_equal(status_of(rig, steady->receive).lost_frames, 0);
    assert_true(status_of(rig, bad->receive).lost > 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(one_encoder_serves_all),
        TEST(what_differs_has_its_own),
        TEST(who_comes_later_begins_in_the_middle),
        TEST(who_goes_is_not_missed),
        TEST(the_last_goes_while_the_next_comes),
        TEST(latency_is_true_for_each),
        TEST(nobody_disturbs_the_others),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
