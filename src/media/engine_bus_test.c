/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/loop_sim.h"
#include "media/engine.h"
#include "support/fake_audio.h"

/*
 * Buses, with the real codec on virtual time. Every source gives a level of its own all the time, so that what a sink hears
 * tells who is in it. And whatever changes on the way of a tone may not click.
 */

constexpr int64_t TICK_NS = 5 * NS_PER_MS;
constexpr size_t N_MAX = 12;
constexpr float NEAR = 0.002f;

struct rig {
    struct loop_sim sim;
    struct codec *codec;
    struct engine *engine;
    int n_removed;
    struct fake_source sources[N_MAX];
    struct fake_sink sinks[N_MAX];
    struct audio_stream buses[N_MAX];
    size_t n_sources, n_sinks, n_buses;
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

static int setup(void **state) {
    struct rig *rig = calloc(1, sizeof *rig);
    loop_sim_init(&rig->sim);
    assert_int_equal(roc_codec_create((struct log){}, &rig->codec, nullptr), ERR_OK);
    struct engine_config config = {
        .clock = &rig->sim.clock.clock, .loop = &rig->sim.loop, .codec = rig->codec, .stepped = true};
    assert_int_equal(engine_create(&config, on_event, rig, &rig->engine, nullptr), ERR_OK);
    *state = rig;
    return 0;
}

static int teardown(void **state) {
    struct rig *rig = *state;
    engine_destroy(rig->engine);
    loop_sim_settle(&rig->sim);
    for (size_t i = 0; i < rig->n_sinks; i++)
        fake_sink_finish(&rig->sinks[i]);
    rig->codec->ops->close(rig->codec);
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

/* ---- endpoints ---- */

static uint32_t add_node(struct rig *rig, struct audio_stream *stream, enum audio_direction direction) {
    uint32_t node = 0;
    assert_int_equal(engine_add_node_take(rig->engine, stream, direction, &node, nullptr), ERR_OK);
    return node;
}

static float level_1(int64_t, uint32_t) {
    return 0.1f;
}
static float level_2(int64_t, uint32_t) {
    return 0.2f;
}
static float level_4(int64_t, uint32_t) {
    return 0.4f;
}

static float tone_440(int64_t frame, uint32_t) {
    return 0.5f * (float)sin((double)(frame % 1200) * 2 * 3.14159265358979 * 440 / 48'000);
}

static uint32_t add_source(struct rig *rig, fake_signal signal) {
    struct fake_source *source = &rig->sources[rig->n_sources++];
    fake_source_init(source, 48'000, 2, signal);
    return add_node(rig, &source->stream, AUDIO_INPUT);
}

static uint32_t add_sink(struct rig *rig) {
    struct fake_sink *sink = &rig->sinks[rig->n_sinks++];
    fake_sink_init(sink, 48'000, 2, 30 * 48'000);
    return add_node(rig, &sink->stream, AUDIO_OUTPUT);
}

static enum audio_state bus_state(const struct audio_stream *) {
    return AUDIO_RUNNING;
}

static void bus_close(struct audio_stream *) {
}

static uint32_t add_bus(struct rig *rig, bool mix_minus) {
    static const struct audio_stream_ops OPS = {.state = bus_state, .close = bus_close};
    struct audio_stream *bus = &rig->buses[rig->n_buses++];
    *bus = (struct audio_stream){.ops = &OPS, .format = {48'000, 2}, .mix_minus = mix_minus};
    return add_node(rig, bus, AUDIO_DUPLEX);
}

/* ---- streams ---- */

struct pair {
    uint32_t send, receive;
};

static struct engine_link_config config_for(const char *member) {
    struct engine_link_config config = {
        .settings = {.wire_rate_hz = 48'000,
                     .wire_channels = 2,
                     .payload_type = codec_encoding_by_name("l16/48000/2")->payload_type,
                     .fec = CODEC_FEC_NONE,
                     .packet_length_ns = 5 * NS_PER_MS / 2,
                     .target_latency_ns = 50 * NS_PER_MS,
                     .latency_profile = CODEC_LATENCY_GRADUAL,
                     .resampler = CODEC_RESAMPLER_MEDIUM,
                     .control = true}};
    snprintf(config.member, sizeof config.member, "%s", member);
    return config;
}

/* `member`: of the end at the bus */
static struct pair connect_nodes(struct rig *rig, uint32_t from, uint32_t to, const char *member) {
    struct path *sending = nullptr, *receiving = nullptr;
    struct pair pair;
    assert_int_equal(path_memory_open(&sending, &receiving, nullptr), ERR_OK);
    struct engine_link_config config = config_for(member);
    pair.send = engine_add_link_take(rig->engine, from, &config, sending, on_added, rig);
    config.receiving = true;
    config.gate.trusted_path = true;
    pair.receive = engine_add_link_take(rig->engine, to, &config, receiving, on_added, rig);
    loop_sim_settle(&rig->sim);
    return pair;
}

/* The levels that the last 100 ms of a sink lie between. */
static void assert_hears(const struct rig *rig, size_t sink, float level) {
    const struct fake_sink *s = &rig->sinks[sink];
    for (size_t i = 2 * (s->n - 4'800); i < 2 * s->n; i++)
        assert_true(fabsf(s->frames[i] - level) < NEAR);
}

/* ---- mixes ---- */

static void bus_gives_the_sum(void **state) {
    struct rig *rig = *state;
    uint32_t bus = add_bus(rig, false);
    connect_nodes(rig, add_source(rig, level_1), bus, "a");
    connect_nodes(rig, add_source(rig, level_2), bus, "b");
    connect_nodes(rig, add_source(rig, level_4), bus, "c");
    connect_nodes(rig, bus, add_sink(rig), "a"); /* members mean nothing to such a bus */
    connect_nodes(rig, bus, add_sink(rig), "");
    run(rig, 1000);
    assert_hears(rig, 0, 0.7f);
    assert_hears(rig, 1, 0.7f);
    struct engine_node_status status;
    assert_true(engine_node_status(rig->engine, bus, &status));
    run(rig, 100); /* what was before, with the ringing of the begin, is read */
    assert_true(engine_node_status(rig->engine, bus, &status));
    assert_true(fabsf(status.level_dbfs[0] + 3.1f) < 0.2f); /* of the whole mix */
}

static void members_hear_all_but_themselves(void **state) {
    struct rig *rig = *state;
    uint32_t bus = add_bus(rig, true);
    connect_nodes(rig, add_source(rig, level_1), bus, "a");
    connect_nodes(rig, add_source(rig, level_2), bus, "b");
    struct pair c = connect_nodes(rig, add_source(rig, level_4), bus, "c");
    connect_nodes(rig, bus, add_sink(rig), "a");
    connect_nodes(rig, bus, add_sink(rig), "b");
    connect_nodes(rig, bus, add_sink(rig), "c");
    connect_nodes(rig, bus, add_sink(rig), "c");        /* as many as it likes */
    connect_nodes(rig, bus, add_sink(rig), "listener"); /* who says nothing hears all */
    connect_nodes(rig, bus, add_sink(rig), "");
    run(rig, 1000);
    static const float HEARD[] = {0.6f, 0.5f, 0.3f, 0.3f, 0.7f, 0.7f};
    for (size_t i = 0; i < 6; i++)
        assert_hears(rig, i, HEARD[i]);
    engine_remove_link(rig->engine, c.receive, nullptr, nullptr);
    engine_remove_link(rig->engine, c.send, nullptr, nullptr);
    run(rig, 500);
    static const float LATER[] = {0.2f, 0.1f, 0.3f, 0.3f, 0.3f, 0.3f};
    for (size_t i = 0; i < 6; i++)
        assert_hears(rig, i, LATER[i]);
}

static void what_has_no_member_is_heard_by_all(void **state) {
    struct rig *rig = *state;
    uint32_t bus = add_bus(rig, true);
    connect_nodes(rig, add_source(rig, level_1), bus, "");
    connect_nodes(rig, add_source(rig, level_2), bus, "a");
    connect_nodes(rig, add_source(rig, level_4), bus, "a"); /* two of one member */
    connect_nodes(rig, bus, add_sink(rig), "");
    connect_nodes(rig, bus, add_sink(rig), "a");
    run(rig, 1000);
    assert_hears(rig, 0, 0.7f);
    assert_hears(rig, 1, 0.1f);
}

/* Not quiet: exactly nothing, from the first frame on. */
static void alone_it_is_silent(void **state) {
    struct rig *rig = *state;
    uint32_t bus = add_bus(rig, true);
    connect_nodes(rig, add_source(rig, fake_steady), bus, "a");
    connect_nodes(rig, add_source(rig, tone_440), bus, "a");
    connect_nodes(rig, bus, add_sink(rig), "a");
    connect_nodes(rig, bus, add_sink(rig), "b");
    run(rig, 2000);
    for (size_t i = 0; i < 2 * rig->sinks[0].n; i++)
        assert_true(rig->sinks[0].frames[i] == 0);
    assert_true(fake_sink_find(&rig->sinks[1], 0, 0.3f) < rig->sinks[1].n);
}

static void buses_in_a_row(void **state) {
    struct rig *rig = *state;
    uint32_t first = add_bus(rig, false), second = add_bus(rig, true), third = add_bus(rig, false);
    connect_nodes(rig, add_source(rig, level_1), first, "");
    connect_nodes(rig, first, second, "first");
    connect_nodes(rig, add_source(rig, level_2), second, "b");
    connect_nodes(rig, second, third, "b");
    connect_nodes(rig, second, add_sink(rig), "first");
    connect_nodes(rig, third, add_sink(rig), "");
    connect_nodes(rig, add_source(rig, level_4), third, "");
    run(rig, 1500);
    assert_hears(rig, 0, 0.2f);
    assert_hears(rig, 1, 0.5f);
}

static void loud_mixes_are_bent_and_not_cut(void **state) {
    struct rig *rig = *state;
    uint32_t bus = add_bus(rig, true);
    for (int i = 0; i < 3; i++)
        connect_nodes(rig, add_source(rig, level_4), bus, i ? "b" : "a");
    connect_nodes(rig, bus, add_sink(rig), "c");
    connect_nodes(rig, bus, add_sink(rig), "a");
    run(rig, 1000);
    const struct fake_sink *all = &rig->sinks[0];
    float last = all->frames[2 * (all->n - 1)];
    assert_true(last > 0.95f && last <= 1);
    assert_hears(rig, 1, 0.8f); /* no knee below the clipping point */
}

static void bus_goes_with_its_links(void **state) {
    struct rig *rig = *state;
    uint32_t bus = add_bus(rig, true);
    connect_nodes(rig, add_source(rig, level_1), bus, "a");
    connect_nodes(rig, bus, add_sink(rig), "b");
    run(rig, 500);
    engine_remove_node(rig->engine, bus, on_removed, rig);
    run(rig, 300);
    assert_int_equal(rig->n_removed, 1);
    assert_hears(rig, 0, 0);
}

/* ---- changes do not click ---- */

/* Of a tone of 440 Hz at half scale, from one frame to the next: 0.0288. Ramps of 5 ms add 0.0021. */
constexpr float TONE_STEP = 0.0288f;
constexpr float RAMP_STEP = 0.0025f;

static float largest_step(const struct fake_sink *sink, size_t from) {
    float step = 0;
    for (size_t i = from ? from : 1; i < sink->n; i++) {
        float now = fabsf(sink->frames[2 * i] - sink->frames[2 * i - 2]);
        step = now > step ? now : step;
    }
    return step;
}

static void assert_smooth(const struct rig *rig, size_t sink, size_t from, const char *what) {
    float step = largest_step(&rig->sinks[sink], from);
    print_message("  %-28s largest step %.4f, of the tone %.4f\n", what, (double)step, (double)TONE_STEP);
    assert_true(step < TONE_STEP + RAMP_STEP);
}

static void changes_do_not_click(void **state) {
    struct rig *rig = *state;
    uint32_t source = add_source(rig, tone_440), sink = add_sink(rig);
    struct pair pair = connect_nodes(rig, source, sink, "");
    run(rig, 1003);
    struct fake_sink *s = &rig->sinks[0];
    size_t from = s->n;
    engine_set_gain(rig->engine, pair.receive, -20, false);
    run(rig, 103);
    engine_set_gain(rig->engine, pair.receive, 0, false);
    run(rig, 104);
    assert_smooth(rig, 0, from, "gain at the receiver");
    from = s->n;
    engine_set_gain(rig->engine, pair.send, 0, true);
    run(rig, 203);
    engine_set_gain(rig->engine, pair.send, 0, false);
    run(rig, 204);
    assert_smooth(rig, 0, from, "mute at the sender");
    from = s->n;
    engine_set_gain(rig->engine, pair.receive, 0, true);
    run(rig, 101);
    engine_set_gain(rig->engine, pair.receive, 0, false);
    run(rig, 101);
    assert_smooth(rig, 0, from, "mute at the receiver");
    from = s->n;
    assert_int_equal(engine_set_delay(rig->engine, sink, 30 * NS_PER_MS, nullptr), ERR_OK);
    run(rig, 203);
    assert_int_equal(engine_set_delay(rig->engine, sink, 0, nullptr), ERR_OK);
    run(rig, 203);
    assert_smooth(rig, 0, from, "delay");
    /* the sender goes, and another comes in the middle of the tone */
    from = s->n;
    for (int i = 0; i < 3; i++) { /* a tick is 2.2 periods: each time elsewhere in one */
        engine_remove_link(rig->engine, pair.send, nullptr, nullptr);
        run(rig, 503);
        engine_remove_link(rig->engine, pair.receive, nullptr, nullptr);
        run(rig, 53 + 5 * i);
        pair = connect_nodes(rig, source, sink, "");
        run(rig, 503);
    }
    assert_smooth(rig, 0, from, "links removed and made anew");
    from = s->n;
    engine_remove_link(rig->engine, pair.receive, nullptr, nullptr);
    run(rig, 103);
    assert_smooth(rig, 0, from, "receiver removed");
    pair = connect_nodes(rig, source, sink, "");
    run(rig, 503);
    from = s->n;
    engine_remove_node(rig->engine, source, nullptr, nullptr);
    run(rig, 503);
    assert_smooth(rig, 0, from, "source removed");
    assert_true(s->frames[2 * (s->n - 1)] == 0);
}

static void sink_that_goes_fades(void **state) {
    struct rig *rig = *state;
    uint32_t sink = add_sink(rig);
    connect_nodes(rig, add_source(rig, tone_440), sink, "");
    run(rig, 707);
    size_t from = rig->sinks[0].n;
    engine_remove_node(rig->engine, sink, on_removed, rig);
    run(rig, 100);
    assert_int_equal(rig->n_removed, 1);
    assert_smooth(rig, 0, from, "sink removed");
    assert_true(fabsf(rig->sinks[0].frames[2 * (rig->sinks[0].n - 1)]) < 0.001f);
}

/* Of a delay: an impulse is heard that much later. */
static void delay_of_a_sink_is_exact(void **state) {
    struct rig *rig = *state;
    uint32_t source = add_source(rig, fake_impulses), plain = add_sink(rig), delayed = add_sink(rig);
    assert_int_equal(engine_set_delay(rig->engine, delayed, 123'400'000, nullptr), ERR_OK);
    uint32_t bus = add_bus(rig, false);
    connect_nodes(rig, source, bus, "");
    struct pair a = connect_nodes(rig, bus, plain, ""), b = connect_nodes(rig, bus, delayed, "");
    run(rig, 5000);
    size_t first = fake_sink_find(&rig->sinks[0], 96'000, 0.3f), second = fake_sink_find(&rig->sinks[1], 96'000, 0.3f);
    while (second < first)
        second = fake_sink_find(&rig->sinks[1], second + 4'800, 0.3f);
    assert_in_range(second - first, 5'923 - 2, 5'923 + 2); /* 123.4 ms */
    struct engine_link_status of_a, of_b;
    assert_true(engine_link_status(rig->engine, a.receive, &of_a) && engine_link_status(rig->engine, b.receive, &of_b));
    if (of_a.end_to_end_ns > 0 && of_b.end_to_end_ns > 0)
        assert_in_range(of_b.end_to_end_ns - of_a.end_to_end_ns, 122'000'000, 125'000'000);
    assert_int_equal(engine_set_delay(rig->engine, source, NS_PER_MS, nullptr), ERR_OK); /* means nothing */
    assert_int_equal(engine_set_delay(rig->engine, 4711, NS_PER_MS, nullptr), ERR_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(bus_gives_the_sum),
        TEST(members_hear_all_but_themselves),
        TEST(what_has_no_member_is_heard_by_all),
        TEST(alone_it_is_silent),
        TEST(buses_in_a_row),
        TEST(loud_mixes_are_bent_and_not_cut),
        TEST(bus_goes_with_its_links),
        TEST(changes_do_not_click),
        TEST(sink_that_goes_fades),
        TEST(delay_of_a_sink_is_exact),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
