/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/clock.h"
#include "base/loop_sim.h"
#include "media/engine.h"
#include "support/fake_audio.h"
#include "support/fake_device.h"
#include "support/heap.h"

/*
 * Endpoints with a clock of their own, on virtual time: sound cards that take and give their frames in quanta, at a rate
 * that is not quite the system's, and stand still when they like.
 *
 * With an argument, the drift is watched for an hour instead of some minutes.
 */

constexpr int64_t TICK_NS = 5 * NS_PER_MS;
constexpr int64_t MS = NS_PER_MS;
constexpr size_t N_STREAMS = 3;

static int64_t drift_minutes = 4;

/* From a source, ticked or a card, to a sink, ticked or a card. */
struct stream {
    struct fake_source source;
    struct fake_sink sink;
    struct fake_device in, out;
    uint32_t source_node, sink_node, send, receive;
};

struct rig {
    struct loop_sim sim;
    struct codec *codec;
    struct engine *engine;
    int n_started, n_silent, n_failed, n_removed, n_changes;
    struct stream streams[N_STREAMS];
    size_t n_streams;
};

static void on_event(void *arg, const struct engine_event *event) {
    struct rig *rig = arg;
    rig->n_started += event->kind == ENGINE_LINK_STARTED;
    rig->n_silent += event->kind == ENGINE_LINK_SILENT;
    rig->n_changes += event->kind == ENGINE_LINK_LATENCY;
    rig->n_failed += event->kind == ENGINE_LINK_FAILED || event->kind == ENGINE_NODE_FAILED;
}

static void on_added(void *, uint32_t, enum err result, const struct err_info *) {
    assert_int_equal(result, ERR_OK);
}

static void on_removed(void *arg) {
    ((struct rig *)arg)->n_removed++;
}

static int rig_setup(void **state) {
    struct rig *rig = calloc(1, sizeof *rig);
    loop_sim_init(&rig->sim);
    assert_int_equal(roc_codec_create((struct log){}, &rig->codec, nullptr), ERR_OK);
    struct engine_config config = {
        .clock = &rig->sim.clock.clock, .loop = &rig->sim.loop, .codec = rig->codec, .stepped = true};
    assert_int_equal(engine_create(&config, on_event, rig, &rig->engine, nullptr), ERR_OK);
    *state = rig;
    return 0;
}

static int rig_teardown(void **state) {
    struct rig *rig = *state;
    engine_destroy(rig->engine);
    loop_sim_settle(&rig->sim);
    for (size_t i = 0; i < rig->n_streams; i++) {
        fake_sink_finish(&rig->streams[i].sink);
        fake_device_finish(&rig->streams[i].in);
        fake_device_finish(&rig->streams[i].out);
    }
    rig->codec->ops->close(rig->codec);
    loop_sim_finish(&rig->sim);
    free(rig);
    return 0;
}

static void run(struct rig *rig, int64_t ms) {
    for (int64_t end = rig->sim.clock.now_ns + ms * MS; rig->sim.clock.now_ns < end;) {
        loop_sim_run_until(&rig->sim, rig->sim.clock.now_ns + TICK_NS);
        engine_step(rig->engine, rig->sim.clock.now_ns);
        loop_sim_settle(&rig->sim);
    }
}

static struct codec_settings settings_for(int64_t target_ms) {
    return (struct codec_settings){
        .wire_rate_hz = 48'000,
        .wire_channels = 2,
        .payload_type = codec_encoding_by_name("l16/48000/2")->payload_type,
        .fec = CODEC_FEC_NONE,
        .packet_length_ns = target_ms < 20    ? 2 * NS_PER_MS
                            : target_ms < 100 ? 5 * NS_PER_MS / 2
                                              : 5 * NS_PER_MS,
        .target_latency_ns = target_ms * NS_PER_MS,
        .latency_profile = target_ms < 30 ? CODEC_LATENCY_RESPONSIVE : CODEC_LATENCY_GRADUAL,
        .resampler = CODEC_RESAMPLER_LOW,
        .control = true,
    };
}

static uint32_t add_node(struct rig *rig, struct audio_stream *stream, enum audio_direction direction) {
    uint32_t node = 0;
    assert_int_equal(engine_add_node_take(rig->engine, stream, direction, &node, nullptr), ERR_OK);
    return node;
}

static void add_send(struct rig *rig, struct stream *s, struct path *path, int64_t target_ms) {
    struct engine_link_config config = {.settings = settings_for(target_ms)};
    s->send = engine_add_link_take(rig->engine, s->source_node, &config, path, on_added, rig);
}

static void add_links(struct rig *rig, struct stream *s, int64_t target_ms) {
    struct path *sending = nullptr, *receiving = nullptr;
    assert_int_equal(path_memory_open(&sending, &receiving, nullptr), ERR_OK);
    struct engine_link_config config = {
        .settings = settings_for(target_ms), .receiving = true, .gate = {.trusted_path = true}};
    s->receive = engine_add_link_take(rig->engine, s->sink_node, &config, receiving, on_added, rig);
    add_send(rig, s, sending, target_ms);
    loop_sim_settle(&rig->sim);
}

/* Quantum 0: not a card, but on the system's clock. */
static struct stream *new_stream(struct rig *rig, size_t in_quantum, double in_ppm, size_t out_quantum, double out_ppm,
                                 int64_t target_ms) {
    struct stream *s = &rig->streams[rig->n_streams++];
    const struct clock *clock = &rig->sim.clock.clock;
    fake_source_init(&s->source, 48'000, 2, fake_peaks);
    fake_sink_init(&s->sink, 48'000, 2, 30 * 48'000);
    fake_device_init(&s->in, clock, true, in_quantum ? in_quantum : 1, in_ppm, TICK_NS, fake_peaks);
    fake_device_init(&s->out, clock, false, out_quantum ? out_quantum : 1, out_ppm, TICK_NS, nullptr);
    s->out.peak_period_ns = 1000 * MS;
    s->out.peak_start_ns = clock_now_ns(clock) + TICK_NS; /* a ticked source begins with the first tick */
    s->source_node = add_node(rig, in_quantum ? &s->in.stream : &s->source.stream, AUDIO_INPUT);
    s->sink_node = add_node(rig, out_quantum ? &s->out.stream : &s->sink.stream, AUDIO_OUTPUT);
    add_links(rig, s, target_ms);
    return s;
}

static struct engine_link_status status_of(struct rig *rig, uint32_t link) {
    struct engine_link_status status;
    assert_true(engine_link_status(rig->engine, link, &status));
    return status;
}

static struct engine_node_status node_of(struct rig *rig, uint32_t node) {
    struct engine_node_status status;
    assert_true(engine_node_status(rig->engine, node, &status));
    return status;
}

/* ---- drift ---- */

static void show(const char *what, const struct stream *s) {
    print_message("  %s: latency %.1f to %.1f ms over %lld peaks, %llu xruns, %llu silent frames\n", what,
                  (double)s->out.latency_min_ns / 1e6, (double)s->out.latency_max_ns / 1e6, (long long)s->out.n_peaks,
                  (unsigned long long)s->out.n_xruns, (unsigned long long)s->out.n_zeros);
}

static void begin_counting(struct stream *s) {
    s->out.n_zeros = 0;
    s->out.n_peaks = 0;
}

/* The receiver's resampler follows the card: nothing is lost, nothing grows, and the latency stays what it was. */
static void watch_drift(struct rig *rig, size_t n) {
    run(rig, 30'000);
    size_t heap = heap_in_use();
    for (size_t i = 0; i < n; i++)
        begin_counting(&rig->streams[i]);
    run(rig, drift_minutes * 60'000);
    assert_in_range(heap_in_use(), 0, heap + (1 << 20));
}

static void assert_steady(struct rig *rig, const struct stream *s, int64_t target_ms, int64_t spread_ms) {
    const struct fake_device *card = &s->out;
    assert_int_equal(card->n_xruns, 0);
    assert_int_equal(card->n_zeros, 0);
    assert_in_range(card->level_max, 1, card->n_wanted);
    assert_in_range(card->n_peaks, drift_minutes * 60 - 1, drift_minutes * 60 + 1);
    assert_in_range(card->latency_max_ns - card->latency_min_ns, 0, spread_ms * MS);
    /* libroc keeps the mean of its queue, seen when packets come, at the target: half a quantum below it at the time of an
     * interrupt; then comes the ring */
    int64_t ring_ms = (int64_t)card->n_wanted / 48;
    assert_in_range(card->latency_min_ns, (target_ms - 10) * MS, (target_ms + 15 + 2 * ring_ms) * MS);
    assert_in_range(card->latency_max_ns, (target_ms - 10) * MS, (target_ms + 15 + 2 * ring_ms) * MS);
    struct engine_link_status status = status_of(rig, s->receive);
    assert_int_equal(status.lost_frames, 0);
    assert_int_equal(status.sessions, 1);
    assert_int_equal(node_of(rig, s->sink_node).late_ticks, 0);
}

static void sinks_of_all_quanta_follow_their_own_clock(void **state) {
    struct rig *rig = *state;
    struct stream *small = new_stream(rig, 0, 0, 256, 300, 50);
    struct stream *usual = new_stream(rig, 0, 0, 1024, -300, 100);
    struct stream *large = new_stream(rig, 0, 0, 8192, 300, 500);
    watch_drift(rig, 3);
    show("256 frames, +300 ppm, 50 ms", small);
    show("1024 frames, -300 ppm, 100 ms", usual);
    show("8192 frames, +300 ppm, 500 ms", large);
    assert_steady(rig, small, 50, 12);
    assert_steady(rig, usual, 100, 12);
    assert_steady(rig, large, 500, 60);
}

static void sources_of_all_quanta_are_followed(void **state) {
    struct rig *rig = *state;
    struct stream *small = new_stream(rig, 256, -300, 256, 300, 50);
    struct stream *usual = new_stream(rig, 1024, 300, 1024, -300, 100);
    struct stream *large = new_stream(rig, 8192, -300, 256, 0, 500);
    run(rig, 30'000);
    size_t heap = heap_in_use();
    run(rig, drift_minutes * 60'000);
    assert_in_range(heap_in_use(), 0, heap + (1 << 20));
    struct stream *const all[] = {small, usual, large};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(all[i]->in.n_xruns, 0);
        assert_int_equal(all[i]->out.n_xruns, 0);
        assert_int_equal(all[i]->out.n_zeros, 0);
        assert_int_equal(status_of(rig, all[i]->receive).lost_frames, 0);
        assert_in_range(all[i]->in.level, 0, 2 * all[i]->in.quantum);
    }
}

/* A tick of half the latency, and cards of one machine: their clocks are the same, or nearly so. */
static void ten_milliseconds_are_enough_between_cards(void **state) {
    struct rig *rig = *state;
    struct stream *const all[] = {new_stream(rig, 64, 0, 64, 0, 10), new_stream(rig, 128, 0, 128, 0, 10),
                                  new_stream(rig, 256, 0, 256, 0, 10)};
    run(rig, 30'000);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_int_equal(all[i]->in.n_xruns, 0);
        assert_int_equal(all[i]->out.n_xruns, 0);
        assert_int_equal(all[i]->out.n_zeros, 0);
        assert_true(all[i]->out.has_sounded);
        assert_int_equal(status_of(rig, all[i]->receive).lost_frames, 0);
        assert_int_equal(status_of(rig, all[i]->receive).sessions, 1);
    }
}

/* libroc's tuning wants a sample of its queue for each part per million, which is more than such a queue has: without a
 * decoder that knows how the clocks differ, sound is missing for ever, the first of it within ten to forty seconds. */
static void ten_milliseconds_bear_clocks_that_differ(void **state) {
    struct rig *rig = *state;
    struct stream *const all[] = {new_stream(rig, 128, 200, 128, -200, 10), new_stream(rig, 128, -300, 128, 300, 10),
                                  new_stream(rig, 0, 0, 240, 300, 10)};
    run(rig, 90'000); /* the last one moves in steps of a tick, and is found out in a minute */
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        begin_counting(all[i]);
    uint64_t lost = status_of(rig, all[2]->receive).lost_frames;
    size_t heap = heap_in_use();
    run(rig, drift_minutes * 60'000);
    assert_in_range(heap_in_use(), 0, heap + (1 << 20));
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        static const char *const NAMES[] = {"+200 to -200 ppm", "-300 to +300 ppm", "to +300 ppm, quanta of a tick"};
        show(NAMES[i], all[i]);
        assert_int_equal(all[i]->in.n_xruns, 0);
        assert_int_equal(all[i]->out.n_xruns, 0);
        assert_int_equal(all[i]->out.n_zeros, 0);
        assert_int_equal(status_of(rig, all[i]->receive).lost_frames, i == 2 ? lost : 0);
        assert_int_equal(status_of(rig, all[i]->receive).sessions, 1);
    }
    assert_int_equal(rig->n_changes, 0); /* it is no change of the latency */
}

/* Clocks that no resampler follows: libroc begins anew each time its queue has left its bounds, though nothing was missing. */
static void what_the_decoder_leaves_out_is_told(void **state) {
    struct rig *rig = *state;
    struct stream *const all[] = {new_stream(rig, 0, 0, 256, 20'000, 50), new_stream(rig, 0, 0, 256, -20'000, 50)};
    run(rig, 30'000);
    uint64_t before[2];
    for (size_t i = 0; i < 2; i++) {
        begin_counting(all[i]);
        before[i] = status_of(rig, all[i]->receive).lost_frames;
    }
    run(rig, 60'000);
    for (size_t i = 0; i < 2; i++) {
        show(i ? "-20000 ppm" : "+20000 ppm", all[i]);
        struct engine_link_status status = status_of(rig, all[i]->receive);
        assert_in_range(all[i]->out.n_zeros, 48'000 / 2, 60 * 48'000);
        assert_in_range(status.lost_frames - before[i], all[i]->out.n_zeros * 9 / 10, all[i]->out.n_zeros * 11 / 10);
        assert_int_equal(status.lost_machine, status.lost_frames);
        assert_int_equal(status.sessions, 1);
    }
}

/* ---- standing still ---- */

/* A card that nobody uses goes on sleeping for minutes, and the sound for it is thrown away as it comes. */
static void sink_that_stands_still_drains_its_streams(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, 0, 0, 1024, 100, 100);
    run(rig, 5000);
    fake_device_stop(&s->out);
    run(rig, 1000);
    assert_true(node_of(rig, s->sink_node).stands_still);
    size_t heap = heap_in_use();
    int64_t played = s->out.n_played, frames = node_of(rig, s->sink_node).frames;
    run(rig, 60'000);
    assert_in_range(heap_in_use(), 0, heap + (1 << 18));
    assert_int_equal(s->out.n_played, played);
    assert_in_range(node_of(rig, s->sink_node).frames - frames, 60 * 48'000 - 500, 60 * 48'000 + 500);
    struct engine_link_status status = status_of(rig, s->receive);
    assert_true(status.playing);
    assert_int_equal(status.lost_frames, 0);
    /* it wakes, and is in time at once */
    fake_device_start(&s->out);
    s->out.n_zeros = s->out.n_xruns = 0;
    s->out.has_sounded = false;
    s->out.n_peaks = 0;
    s->out.peak_after_ns = rig->sim.clock.now_ns + 1000 * MS;
    run(rig, 20'000);
    show("woken", s);
    assert_false(node_of(rig, s->sink_node).stands_still);
    assert_int_equal(s->out.n_zeros, 0);
    assert_in_range(s->out.latency_min_ns, 75 * MS, 135 * MS);
    assert_in_range(s->out.latency_max_ns, 75 * MS, 135 * MS);
    status = status_of(rig, s->receive);
    assert_int_equal(status.lost_frames, 0);
    assert_int_equal(status.sessions, 1);
}

/* A driver needs a moment to notice: what was not asked for meanwhile is thrown away when it says so. */
static void standing_still_may_be_noticed_late(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, 0, 0, 1024, 0, 100);
    run(rig, 5000);
    fake_device_stop(&s->out);
    s->out.mute_clock = true;
    int64_t frames = node_of(rig, s->sink_node).frames;
    run(rig, 300);
    s->out.mute_clock = false;
    run(rig, 5);
    assert_in_range(node_of(rig, s->sink_node).frames - frames, 280 * 48, 310 * 48);
    /* of a driver that says nothing for minutes, no more than a second is made up for at once */
    s->out.mute_clock = true;
    run(rig, 120'000);
    frames = node_of(rig, s->sink_node).frames;
    s->out.mute_clock = false;
    run(rig, 5);
    assert_in_range(node_of(rig, s->sink_node).frames - frames, 990 * 48, 1010 * 48);
}

static void source_that_stands_still_sends_nothing(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, 1024, 50, 0, 0, 100);
    run(rig, 3000);
    fake_device_stop(&s->in);
    run(rig, 200);
    uint64_t sent = status_of(rig, s->send).packets_sent;
    run(rig, 10'000);
    assert_int_equal(status_of(rig, s->send).packets_sent, sent);
    assert_int_equal(rig->n_silent, 1);
    assert_false(status_of(rig, s->receive).playing);
    assert_true(node_of(rig, s->source_node).stands_still);
    fake_device_start(&s->in);
    size_t before = s->sink.n;
    run(rig, 2000);
    size_t first = fake_sink_find(&s->sink, before, 0.3f);
    assert_in_range(first - before, 60 * 48, 200 * 48);
    assert_int_equal(fake_sink_zeros(&s->sink, first + 480, s->sink.n, 1), 0);
    assert_true(status_of(rig, s->receive).playing);
    assert_int_equal(s->in.n_xruns, 0);
}

/* Nothing is to be done but to see whether it moves again; and then its sound is not late. */
/* Not at every tick, but as often as it gives, or nearly so; and as the latency of its streams wants it. */
static void source_is_asked_as_often_as_it_gives(void **state) {
    struct rig *rig = *state;
    static const struct {
        size_t quantum;
        int64_t target_ms, every_ms;
    } CASES[] = {{1024, 100, 10}, {512, 200, 10}, {256, 100, 5}, {1024, 40, 5}, {64, 200, 5}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct stream *s = &rig->streams[0];
        struct path *sending = nullptr, *receiving = nullptr;
        assert_int_equal(path_memory_open(&sending, &receiving, nullptr), ERR_OK);
        fake_device_init(&s->in, &rig->sim.clock.clock, true, CASES[i].quantum, 0, TICK_NS, fake_peaks);
        s->source_node = add_node(rig, &s->in.stream, AUDIO_INPUT);
        add_send(rig, s, sending, CASES[i].target_ms);
        loop_sim_settle(&rig->sim);
        run(rig, 1000);
        uint64_t asked = s->in.n_asked;
        int64_t frames = node_of(rig, s->source_node).frames;
        run(rig, 10'000);
        assert_in_range(s->in.n_asked - asked, 10'000 / CASES[i].every_ms - 2, 10'000 / CASES[i].every_ms + 2);
        assert_in_range(node_of(rig, s->source_node).frames - frames, 480'000 - 2 * 1'024, 480'000 + 1'024);
        assert_int_equal(s->in.n_xruns, 0);
        assert_int_equal(node_of(rig, s->source_node).late_ticks, 0);
        /* what was left out is not late, and what is late is told */
        loop_sim_run_until(&rig->sim, rig->sim.clock.now_ns + 100 * MS);
        engine_step(rig->engine, rig->sim.clock.now_ns);
        run(rig, 100);
        assert_int_equal(node_of(rig, s->source_node).late_ticks, 1);
        assert_in_range(node_of(rig, s->source_node).worst_late_ns, 85 * MS, 100 * MS);
        int n_removed = rig->n_removed;
        engine_remove_node(rig->engine, s->source_node, on_removed, rig);
        run(rig, 200);
        assert_int_equal(rig->n_removed, n_removed + 1);
        receiving->ops->close(receiving);
        fake_device_finish(&s->in);
    }
}

static void source_that_stands_still_is_asked_rarely(void **state) {
    struct rig *rig = *state;
    static const struct {
        int64_t target_ms, every_ms;
        bool can_call;
    } CASES[] = {{200, 20, false}, {100, 10, false}, {40, 5, false}, {200, 200, true}, {40, 200, true}};
    struct stream *s = &rig->streams[rig->n_streams++];
    fake_sink_init(&s->sink, 48'000, 2, 1);
    fake_device_init(&s->out, &rig->sim.clock.clock, false, 1, 0, TICK_NS, nullptr);
    fake_device_init(&s->in, &rig->sim.clock.clock, true, 256, 0, TICK_NS, fake_peaks);
    s->source_node = add_node(rig, &s->in.stream, AUDIO_INPUT);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct path *sending = nullptr, *receiving = nullptr;
        assert_int_equal(path_memory_open(&sending, &receiving, nullptr), ERR_OK);
        s->in.can_call = CASES[i].can_call;
        add_send(rig, s, sending, CASES[i].target_ms);
        loop_sim_settle(&rig->sim);
        run(rig, 1000);
        fake_device_stop(&s->in);
        run(rig, 100);
        uint64_t asked = s->in.n_asked;
        run(rig, 10'000);
        assert_in_range(s->in.n_asked - asked, 10'000 / CASES[i].every_ms - 2, 10'000 / CASES[i].every_ms + 2);
        asked = s->in.n_asked;
        fake_device_start(&s->in);
        if (CASES[i].can_call) { /* it is asked at once, and then often enough */
            run(rig, TICK_NS / MS);
            assert_int_equal(s->in.n_asked - asked, 1);
        }
        int64_t frames = node_of(rig, s->source_node).frames;
        run(rig, 1000);
        assert_in_range(node_of(rig, s->source_node).frames - frames, 48'000 - 2 * 1'024, 48'000 + 256);
        assert_int_equal(s->in.n_xruns, 0);
        assert_int_equal(node_of(rig, s->source_node).late_ticks, 0);
        int n_removed = rig->n_removed;
        engine_remove_link(rig->engine, s->send, on_removed, rig);
        run(rig, 200);
        assert_int_equal(rig->n_removed, n_removed + 1);
        receiving->ops->close(receiving);
    }
}

static void source_that_is_never_idle_sends_silence(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, 1024, 50, 0, 0, 100);
    s->in.stream.never_idle = true;
    run(rig, 3000);
    fake_device_stop(&s->in);
    uint64_t sent = status_of(rig, s->send).packets_sent;
    run(rig, 10'000);
    assert_in_range(status_of(rig, s->send).packets_sent - sent, 1990, 2110); /* of 5 ms, and some of RTCP */
    assert_int_equal(rig->n_silent, 0);
    assert_true(status_of(rig, s->receive).playing);
    assert_int_equal(status_of(rig, s->receive).lost_frames, 0);
    assert_true(s->sink.frames[(s->sink.n - 1) * 2] == 0);
    fake_device_start(&s->in);
    run(rig, 2000);
    assert_true(s->sink.frames[(s->sink.n - 1) * 2] > 0.4f);
    assert_int_equal(status_of(rig, s->receive).sessions, 1);
}

/* Nobody listens yet: what it captures meanwhile is not kept. */
static void source_without_listeners_does_not_overrun(void **state) {
    struct rig *rig = *state;
    struct stream *s = &rig->streams[rig->n_streams++];
    fake_device_init(&s->in, &rig->sim.clock.clock, true, 1024, 0, TICK_NS, fake_peaks);
    s->source_node = add_node(rig, &s->in.stream, AUDIO_INPUT);
    run(rig, 10'000);
    assert_int_equal(s->in.n_xruns, 0);
    assert_int_equal(node_of(rig, s->source_node).frames, 0);
}

static void stops_and_starts_leave_nothing_behind(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, 256, 100, 1024, -100, 100);
    run(rig, 3000);
    size_t heap = 0;
    for (int i = 0; i < 40; i++) {
        fake_device_stop(i % 2 ? &s->in : &s->out);
        run(rig, 37 * i % 1500);
        fake_device_start(i % 2 ? &s->in : &s->out);
        run(rig, 900);
        if (i == 8)
            heap = heap_in_use();
    }
    assert_in_range(heap_in_use(), 0, heap + (1 << 19));
    s->out.n_zeros = 0;
    run(rig, 2000);
    assert_int_equal(s->out.n_zeros, 0);
    assert_int_equal(rig->n_failed, 0);
    assert_in_range(s->out.level_max, 1, s->out.n_wanted);
}

/* ---- stalls ---- */

/* The card ran dry while we stood still; what it would have played then is not played later. */
static void stall_is_not_kept_in_the_queue(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, 0, 0, 256, 0, 200);
    run(rig, 5000);
    rig->sim.clock.now_ns += 150 * MS;
    run(rig, 5);
    assert_true(s->out.n_xruns > 0);
    struct engine_node_status node = node_of(rig, s->sink_node);
    assert_true(node.has_xruns);
    assert_int_equal(node.xruns, s->out.n_xruns);
    assert_int_equal(node.late_ticks, 1);
    assert_in_range(node.worst_late_ns, 140 * MS, 160 * MS);
    run(rig, 2000);
    uint64_t xruns = s->out.n_xruns;
    begin_counting(s);
    run(rig, 10'000);
    show("after a stall", s);
    assert_int_equal(s->out.n_xruns, xruns);
    assert_int_equal(s->out.n_zeros, 0);
    assert_in_range(s->out.latency_max_ns, 180 * MS, 230 * MS);
    /* a stall that is longer than what is caught up */
    rig->sim.clock.now_ns += 3 * NS_PER_S;
    run(rig, 3000);
    s->out.n_zeros = 0;
    run(rig, 3000);
    assert_int_equal(s->out.n_zeros, 0);
    assert_int_equal(rig->n_failed, 0);
}

static void links_leave_a_card_that_sleeps(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, 1024, 0, 1024, 0, 100);
    run(rig, 1000);
    fake_device_stop(&s->in);
    fake_device_stop(&s->out);
    run(rig, 100);
    engine_remove_link(rig->engine, s->receive, on_removed, rig);
    engine_remove_link(rig->engine, s->send, on_removed, rig);
    engine_remove_node(rig->engine, s->source_node, on_removed, rig);
    engine_remove_node(rig->engine, s->sink_node, on_removed, rig);
    run(rig, 50);
    assert_int_equal(rig->n_removed, 4);
    assert_true(s->in.closed && s->out.closed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(int argc, char **) {
    if (argc > 1)
        drift_minutes = 60;
    const struct CMUnitTest tests[] = {
        TEST(sinks_of_all_quanta_follow_their_own_clock),
        TEST(sources_of_all_quanta_are_followed),
        TEST(ten_milliseconds_are_enough_between_cards),
        TEST(ten_milliseconds_bear_clocks_that_differ),
        TEST(what_the_decoder_leaves_out_is_told),
        TEST(sink_that_stands_still_drains_its_streams),
        TEST(standing_still_may_be_noticed_late),
        TEST(source_that_stands_still_sends_nothing),
        TEST(source_is_asked_as_often_as_it_gives),
        TEST(source_that_stands_still_is_asked_rarely),
        TEST(source_that_is_never_idle_sends_silence),
        TEST(source_without_listeners_does_not_overrun),
        TEST(stops_and_starts_leave_nothing_behind),
        TEST(stall_is_not_kept_in_the_queue),
        TEST(links_leave_a_card_that_sleeps),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
