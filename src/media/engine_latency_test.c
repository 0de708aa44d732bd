/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "base/loop_sim.h"
#include "media/engine.h"
#include "support/fake_audio.h"
#include "support/fake_device.h"
#include "support/far_path.h"

/*
 * Two machines whose clocks have nothing to do with each other, on virtual time: what is reported as latency is what an
 * impulse says, to 3 ms.
 */

constexpr int64_t STEP_NS = NS_PER_MS; /* the ticks of the two fall anywhere beside each other */
/* The decoder's part is read off libroc, which goes by the wall clock: what a slow build takes between a report and a frame is
 * milliseconds of that, and nothing on the virtual clock. */
#ifdef __SANITIZE_THREAD__
constexpr int64_t TRUE_TO_NS = 6 * NS_PER_MS;
#else
constexpr int64_t TRUE_TO_NS = 3 * NS_PER_MS;
#endif
constexpr int64_t IMPULSES_NS = 500 * NS_PER_MS;
constexpr int64_t HOUR_NS = 3600 * NS_PER_S;

struct setup {
    double ppm;       /* of the sender's clock */
    int64_t ahead_ns; /* … and how far it is ahead of the receiver's */
    int64_t delay_ns, jitter_ns;
    double loss;
    int64_t target_ms;
    uint32_t source_rate; /* 0: 48000 */
    bool devices;
    bool no_pings;
};

struct rig {
    struct loop_sim sim;
    struct codec *codec;
    struct far_machine here, there; /* receiver, sender */
    struct far_way to_here, to_there;
    struct engine *sender, *receiver;
    struct fake_source source;
    struct fake_sink sink;
    struct fake_device microphone, speaker;
    uint32_t source_node, sink_node, receive;
    bool devices;
    uint32_t source_rate;
};

static void on_event(void *, const struct engine_event *event) {
    assert_int_not_equal(event->kind, ENGINE_LINK_FAILED);
}

static void on_added(void *, uint32_t, enum err result, const struct err_info *) {
    assert_int_equal(result, ERR_OK);
}

static struct engine *new_engine(struct rig *rig, struct far_machine *machine) {
    struct engine_config config = {
        .clock = &machine->clock, .loop = &rig->sim.loop, .codec = rig->codec, .stepped = true};
    struct engine *engine = nullptr;
    assert_int_equal(engine_create(&config, on_event, rig, &engine, nullptr), ERR_OK);
    return engine;
}

static struct codec_settings settings_for(int64_t target_ms) {
    struct codec_settings s = {
        .wire_rate_hz = 48000,
        .wire_channels = 2,
        .payload_type = codec_encoding_by_name("l16/48000/2")->payload_type,
        .fec = CODEC_FEC_RS8M,
        .fec_source_packets = target_ms < 100 ? 10 : 18,
        .fec_repair_packets = target_ms < 100 ? 7 : 10,
        .packet_length_ns = target_ms < 100 ? 5 * NS_PER_MS / 2 : 5 * NS_PER_MS,
        .target_latency_ns = target_ms * NS_PER_MS,
        .latency_profile = CODEC_LATENCY_GRADUAL,
        .resampler = CODEC_RESAMPLER_MEDIUM,
        .control = true,
    };
    return s;
}

/* One full frame in half a second of sound, at any rate. */
static float impulses_44(int64_t frame, uint32_t) {
    return frame % 22'050 == 0 ? 0.9f : 0.01f;
}

static float impulses_48(int64_t frame, uint32_t) {
    return frame % 24'000 == 0 ? 0.9f : 0.01f;
}

static void add_nodes(struct rig *rig) {
    struct audio_stream *source = &rig->source.stream, *sink = &rig->sink.stream;
    if (rig->devices) {
        fake_device_init(&rig->microphone, &rig->there.clock, true, 256, 0, 5 * NS_PER_MS, impulses_48);
        fake_device_init(&rig->speaker, &rig->here.clock, false, 256, 0, 5 * NS_PER_MS, nullptr);
        source = &rig->microphone.stream;
        sink = &rig->speaker.stream;
    } else {
        fake_source_init(&rig->source, rig->source_rate, 2, rig->source_rate == 48'000 ? impulses_48 : impulses_44);
        fake_sink_init(&rig->sink, 48'000, 2, 120 * 48'000);
    }
    assert_int_equal(engine_add_node_take(rig->sender, source, AUDIO_INPUT, &rig->source_node, nullptr), ERR_OK);
    assert_int_equal(engine_add_node_take(rig->receiver, sink, AUDIO_OUTPUT, &rig->sink_node, nullptr), ERR_OK);
}

static struct rig *rig_open(struct setup setup) {
    struct rig *rig = calloc(1, sizeof *rig);
    loop_sim_init(&rig->sim);
    const struct clock *truth = &rig->sim.clock.clock;
    assert_int_equal(roc_codec_create((struct log){}, &rig->codec, nullptr), ERR_OK);
    far_machine_init(&rig->here, truth, 0, 7 * HOUR_NS);
    far_machine_init(&rig->there, truth, setup.ppm, 7 * HOUR_NS + setup.ahead_ns);
    rig->to_here = (struct far_way){.delay_ns = setup.delay_ns,
                                    .jitter_ns = setup.jitter_ns,
                                    .loss = setup.loss,
                                    .no_pings = setup.no_pings,
                                    .random = 1};
    rig->to_there = rig->to_here;
    rig->to_there.random = 2;
    rig->devices = setup.devices;
    rig->source_rate = setup.source_rate ? setup.source_rate : 48'000;
    rig->sender = new_engine(rig, &rig->there);
    rig->receiver = new_engine(rig, &rig->here);
    add_nodes(rig);
    struct path *sending, *receiving;
    far_path_open(&rig->there, &rig->here, &rig->to_here, &rig->to_there, &sending, &receiving);
    struct engine_link_config config = {.settings = settings_for(setup.target_ms ? setup.target_ms : 100),
                                        .gate = {.trusted_path = true}};
    (void)engine_add_link_take(rig->sender, rig->source_node, &config, sending, on_added, rig);
    config.receiving = true;
    rig->receive = engine_add_link_take(rig->receiver, rig->sink_node, &config, receiving, on_added, rig);
    loop_sim_settle(&rig->sim);
    return rig;
}

static void rig_close(struct rig *rig) {
    engine_destroy(rig->sender);
    engine_destroy(rig->receiver);
    loop_sim_settle(&rig->sim);
    rig->codec->ops->close(rig->codec);
    loop_sim_finish(&rig->sim);
    if (rig->devices) {
        fake_device_finish(&rig->microphone);
        fake_device_finish(&rig->speaker);
    } else {
        fake_sink_finish(&rig->sink);
    }
    free(rig);
}

static void run(struct rig *rig, double seconds) {
    int64_t end_ns = rig->sim.clock.now_ns + (int64_t)(seconds * 1e9);
    while (rig->sim.clock.now_ns < end_ns) {
        loop_sim_run_until(&rig->sim, rig->sim.clock.now_ns + STEP_NS);
        engine_step(rig->sender, clock_now_ns(&rig->there.clock));
        engine_step(rig->receiver, clock_now_ns(&rig->here.clock));
        loop_sim_settle(&rig->sim);
    }
}

/* True time of a node's frame 0. */
static int64_t start_ns(const struct rig *rig, bool of_sender) {
    const struct far_machine *machine = of_sender ? &rig->there : &rig->here;
    struct engine_node_status status;
    assert_true(engine_node_status(of_sender ? rig->sender : rig->receiver,
                                   of_sender ? rig->source_node : rig->sink_node, &status));
    return far_machine_true_ns(machine, status.started_wall_ns - machine->wall_ahead_ns);
}

/* By the last impulse that was heard. */
static int64_t heard_ns(struct rig *rig) {
    double period_ns = (double)IMPULSES_NS / (1 + rig->there.ppm * 1e-6);
    if (rig->devices) { /* the devices have run from the beginning */
        int64_t since_ns = far_machine_true_ns(&rig->here, rig->speaker.last_peak_ns) -
                           far_machine_true_ns(&rig->there, rig->microphone.start_ns);
        return (int64_t)fmod((double)since_ns, period_ns);
    }
    size_t best = 0;
    for (size_t i = rig->sink.n - 30'000; i < rig->sink.n; i++)
        if (rig->sink.frames[2 * i] > 0.3f && (i - best > 100 || rig->sink.frames[2 * i] > rig->sink.frames[2 * best]))
            best = i;
    assert_true(best > 0);
    int64_t at_ns = start_ns(rig, false) + (int64_t)best * NS_PER_S / 48'000;
    return (int64_t)fmod((double)(at_ns - start_ns(rig, true)), period_ns);
}

static struct engine_link_status status_of(struct rig *rig) {
    struct engine_link_status status;
    assert_true(engine_link_status(rig->receiver, rig->receive, &status));
    return status;
}

static void assert_true_latency(struct rig *rig, const char *what) {
    struct engine_link_status status = status_of(rig);
    int64_t heard = heard_ns(rig);
    if (!status.latency_is_measured)
        fail_msg("%s: nothing was measured", what);
    if (llabs(status.end_to_end_ns - heard) > TRUE_TO_NS)
        fail_msg("%s: %.2f ms are said, %.2f ms are heard", what, (double)status.end_to_end_ns * 1e-6,
                 (double)heard * 1e-6);
    int64_t sum_ns = 0;
    for (size_t i = 0; i < LATENCY_N_STAGES; i++) {
        assert_true(status.stages.ns[i] >= 0);
        sum_ns += status.stages.ns[i];
    }
    assert_int_equal(sum_ns, status.end_to_end_ns);
    assert_int_equal(status.stages.ns[LATENCY_NETWORK], status.network_ns);
    if (rig->devices) {
        assert_true(status.stages.ns[LATENCY_PLAYBACK] >= 5 * NS_PER_MS);
        assert_true(status.stages.ns[LATENCY_CAPTURE] > 0);
    }
    if (getenv("SHOW"))
        print_message("%s: %.2f ms said, %.2f ms heard, network %.2f, round trip %.2f\n", what,
                      (double)status.end_to_end_ns * 1e-6, (double)heard * 1e-6, (double)status.network_ns * 1e-6,
                      (double)status.round_trip_ns * 1e-6);
}

static void latency_is_true_with(const char *what, struct setup setup) {
    struct rig *rig = rig_open(setup);
    run(rig, 6);
    for (int i = 0; i < 8; i++) {
        run(rig, 3);
        assert_true_latency(rig, what);
        int64_t mean_ns = setup.delay_ns + setup.jitter_ns / 2;
        assert_in_range(status_of(rig).network_ns,
                        mean_ns - setup.jitter_ns / 2 - TRUE_TO_NS < 0 ? 0 : mean_ns - setup.jitter_ns / 2 - TRUE_TO_NS,
                        mean_ns + setup.jitter_ns / 2 + TRUE_TO_NS);
    }
    rig_close(rig);
}

static void latency_is_true_whatever_the_clocks_say(void **) {
    latency_is_true_with("clocks that agree", (struct setup){.delay_ns = 3 * NS_PER_MS});
    latency_is_true_with("three hours ahead, 300 ppm fast",
                         (struct setup){.ahead_ns = 3 * HOUR_NS, .ppm = 300, .delay_ns = 3 * NS_PER_MS});
    latency_is_true_with("five hours behind, 300 ppm slow",
                         (struct setup){.ahead_ns = -5 * HOUR_NS, .ppm = -300, .delay_ns = 40 * NS_PER_MS});
}

static void latency_is_true_on_bad_networks(void **) {
    latency_is_true_with("jitter", (struct setup){.ahead_ns = -HOUR_NS,
                                                  .ppm = 300,
                                                  .delay_ns = 20 * NS_PER_MS,
                                                  .jitter_ns = 20 * NS_PER_MS,
                                                  .target_ms = 150});
    latency_is_true_with(
        "loss",
        (struct setup){
            .ahead_ns = HOUR_NS, .ppm = -300, .delay_ns = 10 * NS_PER_MS, .jitter_ns = 4 * NS_PER_MS, .loss = 0.05});
}

static void latency_is_true_at_any_setting(void **) {
    latency_is_true_with("50 ms", (struct setup){.target_ms = 50, .ahead_ns = HOUR_NS, .delay_ns = NS_PER_MS});
    latency_is_true_with("200 ms", (struct setup){.target_ms = 200, .ahead_ns = HOUR_NS, .delay_ns = NS_PER_MS});
    latency_is_true_with("44100 Hz", (struct setup){.source_rate = 44'100, .ahead_ns = HOUR_NS, .ppm = 100});
    latency_is_true_with("devices",
                         (struct setup){.devices = true, .ahead_ns = HOUR_NS, .ppm = 200, .delay_ns = 5 * NS_PER_MS});
}

/* A machine that was suspended: its monotonic clock stood still meanwhile. */
static void a_clock_that_jumps_is_followed(void **) {
    struct rig *rig = rig_open((struct setup){.ahead_ns = HOUR_NS, .delay_ns = 5 * NS_PER_MS});
    run(rig, 10);
    assert_true_latency(rig, "before the jump");
    rig->there.ahead_ns += 400 * NS_PER_MS; /* it makes up for the ticks that it thinks it has missed */
    run(rig, 10);
    assert_true_latency(rig, "after the jump");
    rig_close(rig);
}

/* A peer of before: sound as ever, and no more pings than one in five seconds. */
static void without_answers_it_is_an_estimate(void **) {
    struct rig *rig = rig_open((struct setup){.no_pings = true, .delay_ns = 3 * NS_PER_MS});
    run(rig, 30);
    struct engine_link_status status = status_of(rig);
    assert_true(status.playing);
    assert_int_equal(status.lost_frames, 0);
    assert_false(status.latency_is_measured);
    assert_int_equal(status.network_ns, 0);
    assert_in_range(rig->to_here.n_pings, 40, 52);
    assert_int_equal(rig->to_there.n_pings, 0);
    rig_close(rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(latency_is_true_whatever_the_clocks_say), cmocka_unit_test(latency_is_true_on_bad_networks),
        cmocka_unit_test(latency_is_true_at_any_setting),          cmocka_unit_test(a_clock_that_jumps_is_followed),
        cmocka_unit_test(without_answers_it_is_an_estimate),
    };
    return cmocka_run_group_tests_name("engine-latency", tests, nullptr, nullptr);
}
