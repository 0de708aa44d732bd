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
#include "base/loop_sim.h"
#include "media/engine.h"
#include "media/link_receive.h"
#include "support/fake_audio.h"
#include "support/lossy_path.h"
#include <stdio.h>

/*
 * The whole sound path with the real codec, on virtual time: engines are stepped, nothing sleeps, losses are seeded.
 */

constexpr int64_t TICK_NS = 5 * NS_PER_MS;
constexpr size_t MS = 48; /* frames */
constexpr size_t SINK_FRAMES = 60 * 1000 * MS;

struct stream;

struct rig {
    struct loop_sim sim;
    struct codec *codec;
    struct engine *engine; /* of both ends */
    int n_started, n_silent, n_failed, n_ended;
    int n_added, n_removed;
    enum err add_result;
    struct err_info add_info;
    struct engine *other; /* a second peer's, where a test needs one */
    struct stream *streams[8];
    size_t n_streams;
};

static void on_event(void *arg, const struct engine_event *event) {
    struct rig *rig = arg;
    switch (event->kind) {
    case ENGINE_LINK_STARTED:
        rig->n_started++;
        break;
    case ENGINE_LINK_SILENT:
        rig->n_silent++;
        break;
    case ENGINE_LINK_LATENCY:
        fail_msg("nothing here adapts");
        break;
    case ENGINE_LINK_FAILED:
    case ENGINE_NODE_FAILED:
        rig->n_failed++;
        break;
    case ENGINE_NODE_ENDED:
        rig->n_ended++;
        break;
    }
}

static void on_added(void *arg, uint32_t, enum err result, const struct err_info *info) {
    struct rig *rig = arg;
    rig->n_added++;
    rig->add_result = result;
    if (info)
        rig->add_info = *info;
}

static void on_removed(void *arg) {
    ((struct rig *)arg)->n_removed++;
}

static struct engine *new_engine(struct rig *rig) {
    struct engine_config config = {
        .clock = &rig->sim.clock.clock, .loop = &rig->sim.loop, .codec = rig->codec, .stepped = true};
    struct engine *engine = nullptr;
    assert_int_equal(engine_create(&config, on_event, rig, &engine, nullptr), ERR_OK);
    return engine;
}

static int rig_setup(void **state) {
    struct rig *rig = calloc(1, sizeof *rig);
    loop_sim_init(&rig->sim);
    assert_int_equal(roc_codec_create((struct log){}, &rig->codec, nullptr), ERR_OK);
    rig->engine = new_engine(rig);
    *state = rig;
    return 0;
}

/* Both engines, when there are two, tick in turn. */
static void run(struct rig *rig, int64_t ms) {
    for (int64_t end = rig->sim.clock.now_ns + ms * NS_PER_MS; rig->sim.clock.now_ns < end;) {
        loop_sim_run_until(&rig->sim, rig->sim.clock.now_ns + TICK_NS);
        engine_step(rig->engine, rig->sim.clock.now_ns);
        if (rig->other)
            engine_step(rig->other, rig->sim.clock.now_ns);
        loop_sim_settle(&rig->sim);
    }
}

static struct codec_settings settings_for(int64_t target_ms) {
    struct codec_settings s = {
        .wire_rate_hz = 48000,
        .wire_channels = 2,
        .payload_type = 96,
        .fec = CODEC_FEC_RS8M,
        .fec_source_packets = 18,
        .fec_repair_packets = 10,
        .packet_length_ns = 5 * NS_PER_MS,
        .target_latency_ns = target_ms * NS_PER_MS,
        .latency_profile = CODEC_LATENCY_GRADUAL,
        .resampler = CODEC_RESAMPLER_MEDIUM,
        .control = true,
    };
    const struct codec_encoding *encoding = codec_encoding_by_name("l16/48000/2");
    if (encoding)
        s.payload_type = encoding->payload_type;
    if (target_ms < 100) {
        s.fec_source_packets = 10;
        s.fec_repair_packets = 5;
        s.packet_length_ns = 5 * NS_PER_MS / 2;
    }
    return s;
}

/* One stream over a lossy memory path. */
struct stream {
    struct fake_source source;
    struct fake_sink sink;
    uint32_t source_node, sink_node, send, receive;
    struct lossy_path *lossy;
    struct path *sending, *receiving;
};

static void open_path(struct rig *rig, struct stream *s, double loss) {
    struct path *inner = nullptr;
    assert_int_equal(path_memory_open(&s->sending, &inner, nullptr), ERR_OK);
    s->lossy = lossy_path_open_take(inner, &rig->sim.clock.clock, loss, 7);
    s->receiving = &s->lossy->path;
}

static uint32_t add_source(struct engine *engine, struct fake_source *source) {
    uint32_t node = 0;
    assert_int_equal(engine_add_node_take(engine, &source->stream, AUDIO_INPUT, &node, nullptr), ERR_OK);
    return node;
}

static uint32_t add_sink(struct engine *engine, struct fake_sink *sink) {
    uint32_t node = 0;
    assert_int_equal(engine_add_node_take(engine, &sink->stream, AUDIO_OUTPUT, &node, nullptr), ERR_OK);
    return node;
}

static uint32_t add_send(struct rig *rig, struct engine *engine, uint32_t node, struct path *path, int64_t target_ms) {
    struct engine_link_config config = {.settings = settings_for(target_ms)};
    return engine_add_link_take(engine, node, &config, path, on_added, rig);
}

static uint32_t add_receive(struct rig *rig, struct engine *engine, uint32_t node, struct path *path,
                            int64_t target_ms) {
    struct engine_link_config config = {
        .settings = settings_for(target_ms), .receiving = true, .gate = {.trusted_path = true}};
    return engine_add_link_take(engine, node, &config, path, on_added, rig);
}

static struct stream *new_stream(struct rig *rig, struct engine *sender, fake_signal signal, int64_t target_ms,
                                 double loss) {
    struct stream *s = calloc(1, sizeof *s);
    rig->streams[rig->n_streams++] = s;
    fake_source_init(&s->source, 48000, 2, signal);
    fake_sink_init(&s->sink, 48000, 2, SINK_FRAMES);
    s->source_node = add_source(sender, &s->source);
    s->sink_node = add_sink(rig->engine, &s->sink);
    open_path(rig, s, loss);
    s->receive = add_receive(rig, rig->engine, s->sink_node, s->receiving, target_ms);
    s->send = add_send(rig, sender, s->source_node, s->sending, target_ms);
    loop_sim_settle(&rig->sim);
    assert_int_equal(rig->add_result, ERR_OK);
    return s;
}

static int rig_teardown(void **state) {
    struct rig *rig = *state;
    engine_destroy(rig->engine);
    engine_destroy(rig->other);
    loop_sim_settle(&rig->sim);
    for (size_t i = 0; i < rig->n_streams; i++) {
        struct stream *s = rig->streams[i];
        assert_true(s->source.closed || !s->source_node);
        assert_true(s->sink.closed || !s->sink_node);
        fake_sink_finish(&s->sink);
        free(s);
    }
    rig->codec->ops->close(rig->codec);
    loop_sim_finish(&rig->sim);
    free(rig);
    return 0;
}

static struct engine_link_status status_of(struct engine *engine, uint32_t link) {
    struct engine_link_status status;
    assert_true(engine_link_status(engine, link, &status));
    return status;
}

/* ---- latency and loss ---- */

static void first_sound_comes_after_the_target_latency(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, rig->engine, fake_steady, 100, 0);
    run(rig, 1000);
    size_t first = fake_sink_find(&s->sink, 0, 0.3f);
    assert_in_range(first, 90 * MS, 120 * MS);
    assert_int_equal(rig->n_started, 2);
    assert_int_equal(fake_sink_zeros(&s->sink, first + 10 * MS, s->sink.n, 1), 0);
    struct engine_link_status status = status_of(rig->engine, s->receive);
    assert_true(status.playing);
    assert_int_equal(status.lost_frames, 0);
    assert_int_equal(status.sessions, 1);
    assert_int_equal(status.lost, 0);
    assert_true(status.level_dbfs[0] > -7 && status.level_dbfs[0] < -5);
}

static void nothing_is_lost_at_five_percent(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, rig->engine, fake_steady, 100, 0.05);
    run(rig, 20000);
    size_t first = fake_sink_find(&s->sink, 0, 0.3f);
    assert_int_equal(fake_sink_zeros(&s->sink, first + 10 * MS, s->sink.n, MS), 0);
    struct engine_link_status status = status_of(rig->engine, s->receive);
    assert_int_equal(status.lost_frames, 0);
    assert_true(s->lossy->n_lost > 100);
    assert_true(status.repaired > 0);
}

static void fifty_milliseconds_lose_nothing_at_five_percent(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, rig->engine, fake_steady, 50, 0.05);
    run(rig, 20000);
    size_t first = fake_sink_find(&s->sink, 0, 0.3f);
    assert_in_range(first, 40 * MS, 65 * MS);
    assert_int_equal(fake_sink_zeros(&s->sink, first + 10 * MS, s->sink.n, MS), 0);
    assert_int_equal(status_of(rig->engine, s->receive).lost_frames, 0);
}

static void impulses_arrive_in_time(void **state) {
    static const int64_t targets[] = {50, 100, 200};
    for (size_t t = 0; t < sizeof targets / sizeof *targets; t++) {
        struct rig *rig = *state;
        struct stream *s = new_stream(rig, rig->engine, fake_impulses, targets[t], 0);
        run(rig, 5000);
        size_t n_heard = 0;
        for (size_t at = fake_sink_find(&s->sink, 0, 0.3f); at < s->sink.n;
             at = fake_sink_find(&s->sink, at + 100 * MS, 0.3f), n_heard++) {
            /* both clocks start in the same tick, and impulses come every 500 ms */
            int64_t latency_ms = (int64_t)(at % (500 * MS)) / (int64_t)MS;
            assert_in_range(latency_ms, targets[t] - 5, targets[t] + 15);
        }
        assert_in_range(n_heard, 9, 10);
        /* nothing was lost: the silence was sent on purpose */
        assert_int_equal(status_of(rig->engine, s->receive).lost_frames, 0);
    }
}

/* ---- holes and whom to blame ---- */

static void assert_blame(struct engine_link_status status, const char *who) {
    assert_int_equal(status.lost_network + status.lost_machine + status.lost_sender, status.lost_frames);
    assert_true(status.lost_frames > 0);
    assert_int_equal(status.lost_network, strcmp(who, "network") == 0 ? status.lost_frames : 0);
    assert_int_equal(status.lost_machine, strcmp(who, "machine") == 0 ? status.lost_frames : 0);
    assert_int_equal(status.lost_sender, strcmp(who, "sender") == 0 ? status.lost_frames : 0);
    assert_true(status.stalls > 0);
}

/* Its glitches are of these kinds, and are all that was lost. */
static void assert_glitches(struct engine *engine, uint32_t link, uint64_t lost_frames, unsigned kinds) {
    struct glitch glitches[LINK_GLITCHES_MAX];
    uint64_t n_frames = 0;
    size_t n = engine_take_glitches(engine, link, glitches, LINK_GLITCHES_MAX);
    assert_in_range(n, 1, LINK_GLITCHES_MAX - 1);
    for (size_t i = 0; i < n; i++) {
        n_frames += glitches[i].frames;
        assert_true(kinds & 1u << glitches[i].kind);
        assert_true(glitches[i].at_ns > 0);
    }
    assert_int_equal(n_frames, lost_frames);
    assert_int_equal(engine_take_glitches(engine, link, glitches, 1), 0);
}

static void heavy_loss_is_blamed_on_the_network(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, rig->engine, fake_steady, 100, 0.4);
    run(rig, 10000);
    s->lossy->loss = 0;
    run(rig, 2000);
    size_t first = fake_sink_find(&s->sink, 0, 0.3f);
    size_t zeros = fake_sink_zeros(&s->sink, first, s->sink.n, MS);
    struct engine_link_status status = status_of(rig->engine, s->receive);
    assert_blame(status, "network");
    assert_in_range(status.lost_frames, zeros * 8 / 10, zeros);
}

static void blackout_is_blamed_on_the_network(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, rig->engine, fake_steady, 100, 0);
    run(rig, 2000);
    s->lossy->blackout = true;
    run(rig, 300);
    s->lossy->blackout = false;
    run(rig, 3000);
    size_t first = fake_sink_find(&s->sink, 0, 0.3f);
    size_t zeros = fake_sink_zeros(&s->sink, first + 10 * MS, s->sink.n, MS);
    struct engine_link_status status = status_of(rig->engine, s->receive);
    assert_blame(status, "network");
    assert_int_equal(status.lost_frames, zeros);
    assert_glitches(rig->engine, s->receive, status.lost_frames, 1u << GLITCH_NETWORK_LOSS);
    assert_in_range(zeros, 150 * MS, 400 * MS);
    assert_int_equal(rig->n_silent, 0);
}

/* Sound is back no later than when a stream starts, whatever the decoder thought of the silence. */
static void long_blackout_is_over_when_packets_are_back(void **state) {
    static const int64_t targets[] = {50, 100, 200};
    struct rig *rig = *state;
    for (size_t t = 0; t < sizeof targets / sizeof *targets; t++) {
        struct stream *s = new_stream(rig, rig->engine, fake_steady, targets[t], 0);
        run(rig, 2000);
        s->lossy->blackout = true;
        run(rig, 3000);
        size_t back = s->sink.n;
        s->lossy->blackout = false;
        run(rig, 3000);
        size_t first = fake_sink_find(&s->sink, back, 0.3f);
        assert_true(first - back <= (size_t)(targets[t] + 100) * MS);
        assert_int_equal(fake_sink_zeros(&s->sink, first + 10 * MS, s->sink.n, MS), 0);
        assert_true(status_of(rig->engine, s->receive).playing);
    }
}

/* The sender goes on for five seconds, and what waits in the path is of then. */
static void long_sleep_of_the_receiver_is_not_kept_in_the_queue(void **state) {
    struct rig *rig = *state;
    struct engine *other = new_engine(rig);
    struct stream *s = new_stream(rig, other, fake_steady, 100, 0);
    rig->other = other;
    run(rig, 2000);
    for (int i = 0; i < 1000; i++) {
        loop_sim_run_until(&rig->sim, rig->sim.clock.now_ns + TICK_NS);
        engine_step(other, rig->sim.clock.now_ns);
    }
    run(rig, 5); /* a second is caught up */
    size_t awake = s->sink.n;
    run(rig, 3000);
    size_t first = fake_sink_find(&s->sink, awake + 200 * MS, 0.3f);
    assert_true(first - awake <= 200 * MS);
    assert_int_equal(fake_sink_zeros(&s->sink, first, s->sink.n, MS), 0);
    struct engine_link_status status = status_of(rig->engine, s->receive);
    assert_true(status.playing);
    assert_int_equal(status.lost_network + status.lost_sender, 0);
}

static void stopped_sender_is_blamed_and_falls_silent(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, rig->engine, fake_steady, 100, 0);
    run(rig, 2000);
    engine_remove_link(rig->engine, s->send, on_removed, rig);
    run(rig, 3000);
    assert_int_equal(rig->n_removed, 1);
    assert_int_equal(rig->n_silent, 1);
    struct engine_link_status status = status_of(rig->engine, s->receive);
    assert_false(status.playing);
    assert_blame(status, "sender");
    assert_in_range(status.lost_frames, 700 * MS, 1000 * MS);
    assert_glitches(rig->engine, s->receive, status.lost_frames, 1u << GLITCH_SENDER_STOPPED);
}

static void a_jump_of_the_senders_clock_is_told(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, rig->engine, fake_steady, 100, 0);
    run(rig, 2000);
    s->lossy->time_shift = 3600 * 48'000;
    run(rig, 3000);
    struct engine_link_status status = status_of(rig->engine, s->receive);
    assert_true(status.playing);
    assert_in_range(status.lost_frames, 50 * MS, 200 * MS);
    assert_in_range(status.lost_network, 0, 5 * MS); /* the packet that came first, and was not believed */
    assert_int_equal(status.lost_machine, 0);
    assert_glitches(rig->engine, s->receive, status.lost_frames, 1u << GLITCH_CLOCK_JUMP | 1u << GLITCH_NETWORK_LOSS);
}

/* Far ahead, where no packets are missing: there was no time for them. */
static void a_jump_of_the_senders_numbers_is_no_loss_of_the_network(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, rig->engine, fake_steady, 100, 0);
    run(rig, 2000);
    s->lossy->seq_shift = 20'000;
    run(rig, 3000);
    struct engine_link_status status = status_of(rig->engine, s->receive);
    assert_true(status.playing);
    assert_in_range(status.lost, 0, 1); /* the packet that came first, and was not believed */
    assert_in_range(status.lost_frames, 50 * MS, 200 * MS);
    assert_in_range(status.lost_network, 0, 5 * MS);
    assert_glitches(rig->engine, s->receive, status.lost_frames, 1u << GLITCH_CLOCK_JUMP);
}

/* Held up on the way for longer than the target latency. */
static void packets_that_come_late_are_told_from_lost_ones(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, rig->engine, fake_steady, 100, 0);
    run(rig, 2000);
    s->lossy->held_until_ns = rig->sim.clock.now_ns + 180 * NS_PER_MS;
    run(rig, 3000);
    struct engine_link_status status = status_of(rig->engine, s->receive);
    assert_blame(status, "network");
    assert_int_equal(status.lost, 0);
    assert_glitches(rig->engine, s->receive, status.lost_frames, 1u << GLITCH_LATE);
}

/* A sender of another peer, whose machine stands still for a moment, makes up for it, as a network does that held its packets
 * up: nobody can tell the two from here. */
static void sender_that_makes_up_for_a_pause_was_late(void **state) {
    struct rig *rig = *state;
    struct engine *other = new_engine(rig);
    struct stream *s = new_stream(rig, other, fake_steady, 100, 0);
    rig->other = other;
    run(rig, 2000);
    rig->other = nullptr;
    run(rig, 190);
    rig->other = other;
    run(rig, 3000);
    struct engine_link_status status = status_of(rig->engine, s->receive);
    assert_blame(status, "network");
    assert_glitches(rig->engine, s->receive, status.lost_frames, 1u << GLITCH_LATE);
}

static void stall_of_this_machine_is_caught_up(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, rig->engine, fake_steady, 100, 0);
    run(rig, 2000);
    rig->sim.clock.now_ns += 400 * NS_PER_MS;
    run(rig, 3000);
    size_t first = fake_sink_find(&s->sink, 0, 0.3f);
    struct engine_node_status node;
    assert_true(engine_node_status(rig->engine, s->sink_node, &node));
    assert_int_equal(node.late_ticks, 1);
    assert_in_range(node.worst_late_ns, 390 * NS_PER_MS, 410 * NS_PER_MS);
    /* the sound of 200 ms was too old to be sent */
    struct engine_link_status status = status_of(rig->engine, s->receive);
    size_t zeros = fake_sink_zeros(&s->sink, first + 10 * MS, s->sink.n, MS);
    assert_in_range(zeros, 1, 500 * MS);
    assert_blame(status, "machine");
    assert_int_equal(status.lost_frames, zeros);
}

static void stall_of_the_receiver_loses_nothing(void **state) {
    struct rig *rig = *state;
    struct engine *receiver = rig->engine;
    struct engine *other = new_engine(rig);
    struct stream *s = new_stream(rig, other, fake_steady, 100, 0);
    rig->other = other;
    run(rig, 2000);
    /* the sender goes on, the receiver stands still: its packets wait in the path */
    for (int i = 0; i < 30; i++) {
        loop_sim_run_until(&rig->sim, rig->sim.clock.now_ns + TICK_NS);
        engine_step(other, rig->sim.clock.now_ns);
    }
    run(rig, 3000);
    size_t first = fake_sink_find(&s->sink, 0, 0.3f);
    assert_int_equal(fake_sink_zeros(&s->sink, first + 10 * MS, s->sink.n, MS), 0);
    assert_int_equal(status_of(receiver, s->receive).lost_frames, 0);
}

static void time_that_is_skipped_is_blamed_on_the_machine(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, rig->engine, fake_steady, 100, 0);
    run(rig, 2000);
    size_t before = s->sink.n;
    rig->sim.clock.now_ns += 3 * NS_PER_S;
    run(rig, 5);
    assert_in_range(s->sink.n - before, 1000 * MS, 1010 * MS); /* no more than a second is caught up */
    run(rig, 3000);
    struct engine_link_status status = status_of(rig->engine, s->receive);
    assert_blame(status, "machine");
    assert_true(status.lost_machine >= 2000 * MS);
    assert_glitches(rig->engine, s->receive, status.lost_frames, 1u << GLITCH_STALL);
}

/* Its sender has gone on. */
static void receiver_that_slept_is_at_its_target_again(void **state) {
    struct rig *rig = *state;
    struct engine *receiver = rig->engine, *other = new_engine(rig);
    struct stream *s = new_stream(rig, other, fake_steady, 100, 0);
    rig->other = other;
    run(rig, 2000);
    uint64_t lost = 0;
    for (int sleep_ms = 1500; sleep_ms <= 5000; sleep_ms += 300) {
        for (int i = 0; i < sleep_ms / 5; i++) {
            loop_sim_run_until(&rig->sim, rig->sim.clock.now_ns + TICK_NS);
            engine_step(other, rig->sim.clock.now_ns);
            s->lossy->held_until_ns = rig->sim.clock.now_ns + TICK_NS;
            (void)s->lossy->path.ops->receive(&s->lossy->path, nullptr, 0); /* a socket keeps what comes */
        }
        size_t before = s->sink.n;
        run(rig, 3000);
        struct engine_link_status status = status_of(receiver, s->receive);
        assert_in_range(status.end_to_end_ns, 85 * NS_PER_MS, 115 * NS_PER_MS);
        assert_in_range(fake_sink_zeros(&s->sink, before, s->sink.n, MS), 0, 120 * MS); /* beside what was left out */
        assert_blame(status, "machine");
        assert_glitches(receiver, s->receive, status.lost_frames - lost, 1u << GLITCH_STALL);
        lost = status.lost_frames;
        assert_int_equal(status.sessions, 1);
    }
}

static void digital_silence_is_no_loss(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, rig->engine, fake_silence, 100, 0.05);
    run(rig, 10000);
    assert_int_equal(rig->n_started, 2);
    struct engine_link_status status = status_of(rig->engine, s->receive);
    assert_true(status.playing);
    assert_true(status.lost > 0);
    assert_int_equal(status.lost_frames, 0);
    assert_true(status.level_dbfs[0] <= -120);
}

/* ---- sessions ---- */

static void restarted_sender_is_heard_again(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, rig->engine, fake_steady, 100, 0);
    run(rig, 2000);
    /* the same path gets a new encoder, as when a peer restarts: the memory path has one end only, so a second path is
     * put behind the lossy one */
    struct path *sending = nullptr, *receiving = nullptr;
    engine_remove_link(rig->engine, s->send, on_removed, rig);
    run(rig, 200);
    assert_int_equal(path_memory_open(&sending, &receiving, nullptr), ERR_OK);
    s->lossy->inner->ops->close(s->lossy->inner);
    s->lossy->inner = receiving;
    uint32_t again = add_send(rig, rig->engine, s->source_node, sending, 100);
    loop_sim_settle(&rig->sim);
    size_t before = s->sink.n;
    run(rig, 2000);
    size_t first = fake_sink_find(&s->sink, before, 0.3f);
    assert_in_range(first - before, 80 * MS, 140 * MS);
    assert_int_equal(fake_sink_zeros(&s->sink, first + 10 * MS, s->sink.n, 1), 0);
    struct engine_link_status status = status_of(rig->engine, s->receive);
    assert_int_equal(status.sessions, 2);
    assert_blame(status, "sender");
    assert_true(status_of(rig->engine, again).playing);
}

/* Killed, and there again after a pause. Returns when, in frames of the sink. */
static size_t restart_sender(struct rig *rig, struct stream *s, int64_t target_ms, int64_t pause_ms) {
    struct path *sending = nullptr, *receiving = nullptr;
    assert_int_equal(path_memory_open(&sending, &receiving, nullptr), ERR_OK);
    s->lossy->inner->ops->close(s->lossy->inner);
    s->lossy->inner = receiving;
    engine_remove_link(rig->engine, s->send, on_removed, rig);
    run(rig, pause_ms);
    size_t again = s->sink.n;
    s->send = add_send(rig, rig->engine, s->source_node, sending, target_ms);
    loop_sim_settle(&rig->sim);
    return again;
}

/* At once or after a while: the gate waits for the old one before it believes the new one. */
static void restarted_sender_is_back_in_time(void **state) {
    static const int64_t targets[] = {20, 50, 100, 200}, pauses[] = {0, 30, 55, 100, 1500, 3000};
    struct rig *rig = *state;
    for (size_t t = 0; t < sizeof targets / sizeof *targets; t++) {
        struct stream *s = new_stream(rig, rig->engine, fake_steady, targets[t], 0);
        run(rig, 1000);
        for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++) {
            size_t again = restart_sender(rig, s, targets[t], pauses[i]);
            run(rig, 1500);
            size_t in_time = again + (size_t)(targets[t] + 100) * MS;
            assert_int_equal(fake_sink_find(&s->sink, in_time, 0.3f), in_time);
            assert_int_equal(fake_sink_zeros(&s->sink, in_time, s->sink.n, 1), 0);
            assert_int_equal(status_of(rig->engine, s->receive).sessions, i + 2);
        }
    }
}

static float largest_step(const struct fake_sink *sink, size_t from, size_t to) {
    float largest = 0;
    for (size_t i = from; i < to; i++)
        largest = fmaxf(largest, fabsf(sink->frames[2 * i] - sink->frames[2 * i - 2]));
    return largest;
}

/* What the old one still had in the queue goes down, and the new one comes up. */
static void one_sender_fades_into_the_next(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, rig->engine, fake_steady, 200, 0);
    run(rig, 1000);
    float usual = largest_step(&s->sink, s->sink.n - 500 * MS, s->sink.n);
    size_t again = restart_sender(rig, s, 200, 0);
    run(rig, 1500);
    assert_in_range(fake_sink_zeros(&s->sink, again, s->sink.n, MS), 50 * MS, 250 * MS);
    assert_true(largest_step(&s->sink, again, again + 200 * MS) < usual + 0.01f);
    /* in the middle of a sound the resampler begins with a step, in the first sixth of the ramp */
    assert_true(largest_step(&s->sink, again + 200 * MS, s->sink.n) < 0.5f / 5);
}

static void silent_link_starts_again(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, rig->engine, fake_steady, 100, 0);
    run(rig, 2000);
    s->lossy->blackout = true;
    run(rig, 2000);
    assert_int_equal(rig->n_silent, 1);
    assert_false(status_of(rig->engine, s->receive).playing);
    s->lossy->blackout = false;
    run(rig, 2000);
    assert_int_equal(rig->n_started, 3);
    assert_true(status_of(rig->engine, s->receive).playing);
}

/* ---- mixing, gain, channels ---- */

static void two_streams_mix_in_one_sink(void **state) {
    struct rig *rig = *state;
    struct stream *a = new_stream(rig, rig->engine, fake_steady, 100, 0);
    struct stream *b = calloc(1, sizeof *b);
    rig->streams[rig->n_streams++] = b;
    fake_source_init(&b->source, 48000, 2, fake_steady);
    b->source_node = add_source(rig->engine, &b->source);
    open_path(rig, b, 0);
    struct engine_link_config config = {
        .settings = settings_for(100), .receiving = true, .gate = {.trusted_path = true}, .gain_db = -12};
    b->receive = engine_add_link_take(rig->engine, a->sink_node, &config, b->receiving, on_added, rig);
    b->send = add_send(rig, rig->engine, b->source_node, b->sending, 100);
    loop_sim_settle(&rig->sim);
    run(rig, 1000);
    float mixed = a->sink.frames[(a->sink.n - 10) * 2];
    assert_true(mixed > 0.58f && mixed < 0.68f); /* 0.5 ± 0.02 and a quarter of it */
    /* each keeps its own level */
    assert_true(fabsf(status_of(rig->engine, a->receive).level_dbfs[0] + 5.7f) < 0.5f);
    assert_true(fabsf(status_of(rig->engine, b->receive).level_dbfs[0] + 17.7f) < 0.5f);
    engine_set_gain(rig->engine, b->receive, 0, true);
    run(rig, 100);
    float alone = a->sink.frames[(a->sink.n - 10) * 2];
    assert_true(alone > 0.47f && alone < 0.53f);
}

static void rates_and_channels_are_converted(void **state) {
    struct rig *rig = *state;
    struct stream *s = calloc(1, sizeof *s);
    rig->streams[rig->n_streams++] = s;
    fake_source_init(&s->source, 44100, 1, fake_steady);
    fake_sink_init(&s->sink, 96000, 4, SINK_FRAMES);
    s->source_node = add_source(rig->engine, &s->source);
    s->sink_node = add_sink(rig->engine, &s->sink);
    open_path(rig, s, 0);
    s->receive = add_receive(rig, rig->engine, s->sink_node, s->receiving, 100);
    s->send = add_send(rig, rig->engine, s->source_node, s->sending, 100);
    loop_sim_settle(&rig->sim);
    run(rig, 2000);
    assert_in_range(s->sink.n, 2 * 96000 - 1000, 2 * 96000);
    assert_in_range(s->source.n_read, 2 * 44100 - 500, 2 * 44100);
    const float *last = s->sink.frames + (s->sink.n - 1) * 4;
    assert_true(last[0] > 0.45f && last[1] > 0.45f);
    assert_true(last[2] == 0 && last[3] == 0);
    assert_int_equal(status_of(rig->engine, s->receive).lost_frames, 0);
}

/* Each channel has a level of its own. */
static float by_channel(int64_t, uint32_t channel) {
    return 0.1f * (float)(channel + 1);
}

static void channels_go_where_the_map_says(void **state) {
    static const struct {
        const char *what;
        uint32_t n_source, n_sink;
        bool is_at_receiver; /* where the map is; from an endpoint it is the sender's */
        int map[2];
        float expected[4];
    } cases[] = {
        {"mono to stereo", 1, 2, false, {0, 0}, {0.1f, 0.1f}},
        {"left only", 2, 2, false, {0, -1}, {0.1f, 0}},
        {"swapped", 2, 2, false, {1, 0}, {0.2f, 0.1f}},
        {"the last two of four", 4, 2, false, {2, 3}, {0.3f, 0.4f}},
        {"swapped where it arrives", 2, 2, true, {1, 0}, {0.2f, 0.1f}},
        {"right only where it arrives", 2, 2, true, {-1, 1}, {0, 0.2f}},
        {"to the last two of four", 2, 4, true, {2, 3}, {0, 0, 0.1f, 0.2f}},
    };
    struct rig *rig = *state;
    struct stream *streams[sizeof cases / sizeof *cases];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stream *s = streams[i] = calloc(1, sizeof *s);
        rig->streams[rig->n_streams++] = s;
        fake_source_init(&s->source, 48000, cases[i].n_source, by_channel);
        fake_sink_init(&s->sink, 48000, cases[i].n_sink, SINK_FRAMES);
        s->source_node = add_source(rig->engine, &s->source);
        s->sink_node = add_sink(rig->engine, &s->sink);
        open_path(rig, s, 0);
        struct engine_link_config from = {.settings = settings_for(100)};
        struct engine_link_config to = {
            .settings = settings_for(100), .receiving = true, .gate = {.trusted_path = true}};
        struct engine_link_config *mapped = cases[i].is_at_receiver ? &to : &from;
        mapped->n_map = 2;
        memcpy(mapped->map, cases[i].map, sizeof cases[i].map);
        s->receive = engine_add_link_take(rig->engine, s->sink_node, &to, s->receiving, on_added, rig);
        s->send = engine_add_link_take(rig->engine, s->source_node, &from, s->sending, on_added, rig);
    }
    loop_sim_settle(&rig->sim);
    run(rig, 1000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct fake_sink *sink = &streams[i]->sink;
        const float *last = sink->frames + (sink->n - 1) * cases[i].n_sink;
        for (uint32_t c = 0; c < cases[i].n_sink; c++)
            if (fabsf(last[c] - cases[i].expected[c]) > 0.005f)
                fail_msg("%s: channel %u has %.3f, not %.3f", cases[i].what, c, (double)last[c],
                         (double)cases[i].expected[c]);
    }
}

/* ---- coming and going ---- */

static void what_cannot_be_is_refused(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, rig->engine, fake_steady, 100, 0);
    struct path *sending = nullptr, *receiving = nullptr;
    assert_int_equal(path_memory_open(&sending, &receiving, nullptr), ERR_OK);
    rig->n_added = 0;
    uint32_t link = add_send(rig, rig->engine, 4711, sending, 100); /* no such node */
    assert_int_equal(rig->n_added, 0);                              /* never from inside the call */
    loop_sim_settle(&rig->sim);
    assert_int_equal(rig->n_added, 1);
    assert_int_equal(rig->add_result, ERR_NOT_FOUND);
    struct engine_link_status status;
    assert_false(engine_link_status(rig->engine, link, &status));
    struct engine_link_config config = {
        .settings = settings_for(100), .receiving = true, .gate = {.trusted_path = true}, .n_map = 2, .map = {0, 2}};
    (void)engine_add_link_take(rig->engine, s->sink_node, &config, receiving, on_added, rig);
    loop_sim_settle(&rig->sim);
    assert_int_equal(rig->add_result, ERR_INVALID);
    assert_non_null(strstr(rig->add_info.message, "channel 2"));
    engine_remove_link(rig->engine, link, on_removed, rig); /* unknown: done all the same */
    loop_sim_settle(&rig->sim);
    assert_int_equal(rig->n_removed, 1);
}

static void everything_can_be_removed_in_any_order(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, rig->engine, fake_steady, 100, 0);
    run(rig, 500);
    engine_remove_node(rig->engine, s->sink_node, on_removed, rig); /* takes its link along */
    engine_remove_link(rig->engine, s->receive, on_removed, rig);
    engine_remove_link(rig->engine, s->send, on_removed, rig);
    engine_remove_node(rig->engine, s->source_node, on_removed, rig);
    assert_false(s->sink.closed);
    run(rig, 100);
    assert_int_equal(rig->n_removed, 4);
    assert_true(s->sink.closed && s->source.closed);
    struct engine_node_status node;
    assert_false(engine_node_status(rig->engine, s->sink_node, &node));
    /* and while it is being opened */
    struct stream *t = new_stream(rig, rig->engine, fake_steady, 100, 0);
    struct path *sending = nullptr, *receiving = nullptr;
    assert_int_equal(path_memory_open(&sending, &receiving, nullptr), ERR_OK);
    receiving->ops->close(receiving);
    rig->n_added = rig->n_removed = 0;
    uint32_t link = add_send(rig, rig->engine, t->source_node, sending, 100);
    engine_remove_link(rig->engine, link, on_removed, rig);
    run(rig, 50);
    assert_int_equal(rig->n_added, 0); /* removal cancels the report */
    assert_int_equal(rig->n_removed, 1);
}

static void engine_can_go_with_everything_alive(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, rig->engine, fake_steady, 100, 0);
    run(rig, 500);
    struct path *sending = nullptr, *receiving = nullptr;
    assert_int_equal(path_memory_open(&sending, &receiving, nullptr), ERR_OK);
    receiving->ops->close(receiving);
    (void)add_send(rig, rig->engine, s->source_node, sending, 100); /* its report is under way */
    engine_remove_link(rig->engine, s->receive, on_removed, rig);
    /* teardown destroys the engine now */
}

static void ended_source_is_told_once(void **state) {
    struct rig *rig = *state;
    struct stream *s = new_stream(rig, rig->engine, fake_steady, 100, 0);
    run(rig, 100);
    s->source.state = AUDIO_ENDED;
    run(rig, 100);
    assert_int_equal(rig->n_ended, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(first_sound_comes_after_the_target_latency),
        TEST(nothing_is_lost_at_five_percent),
        TEST(fifty_milliseconds_lose_nothing_at_five_percent),
        TEST(impulses_arrive_in_time),
        TEST(heavy_loss_is_blamed_on_the_network),
        TEST(blackout_is_blamed_on_the_network),
        TEST(long_blackout_is_over_when_packets_are_back),
        TEST(long_sleep_of_the_receiver_is_not_kept_in_the_queue),
        TEST(stopped_sender_is_blamed_and_falls_silent),
        TEST(a_jump_of_the_senders_clock_is_told),
        TEST(a_jump_of_the_senders_numbers_is_no_loss_of_the_network),
        TEST(packets_that_come_late_are_told_from_lost_ones),
        TEST(sender_that_makes_up_for_a_pause_was_late),
        TEST(stall_of_this_machine_is_caught_up),
        TEST(stall_of_the_receiver_loses_nothing),
        TEST(time_that_is_skipped_is_blamed_on_the_machine),
        TEST(receiver_that_slept_is_at_its_target_again),
        TEST(digital_silence_is_no_loss),
        TEST(restarted_sender_is_heard_again),
        TEST(restarted_sender_is_back_in_time),
        TEST(one_sender_fades_into_the_next),
        TEST(silent_link_starts_again),
        TEST(two_streams_mix_in_one_sink),
        TEST(rates_and_channels_are_converted),
        TEST(channels_go_where_the_map_says),
        TEST(what_cannot_be_is_refused),
        TEST(everything_can_be_removed_in_any_order),
        TEST(engine_can_go_with_everything_alive),
        TEST(ended_source_is_told_once),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
