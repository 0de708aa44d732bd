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
#include "media/profile.h"
#include "model_gen.h"
#include "support/heap.h"
#include "support/lossy_path.h"
#include "support/wifi_trace.h"

/*
 * Auto through the whole engine with the real codec, on virtual time: networks that change, what is heard, and how often
 * the latency is changed for it. Losses and delays are seeded.
 */

constexpr int64_t TICK_NS = 5 * NS_PER_MS;
constexpr uint32_t RATE_HZ = 48000;
constexpr double TONE_HZ = 440;
constexpr double TONE_PEAK = 0.5;

/* Hears everything and keeps nothing. */
struct ear {
    struct audio_stream stream;                /* first member */
    int64_t n_frames, first_frame, last_sound; /* -1: none */
    uint64_t zero_run, lost;                   /* silent frames, in runs of a millisecond and more */
    float before, worst_step;
};

struct tone {
    struct audio_stream stream; /* first member */
    int64_t n_frames;
    bool is_tone; /* else steady */
};

struct rig {
    struct loop_sim sim;
    struct codec *codec;
    struct engine *engine;
    struct tone tone;
    struct ear ear;
    struct lossy_path *lossy;
    struct wifi_trace *wifi;
    uint32_t source_node, sink_node, send, receive;
    struct stream_settings settings;
    struct profile_latency latency;
    int n_changes, n_raises, n_started, n_failed;
    int64_t target_ns, least_ns, most_ns; /* in use */
    enum adapt_cause cause;
};

/* ---- both ends ---- */

static size_t tone_read(struct audio_stream *stream, float *frames, size_t n) {
    struct tone *tone = (struct tone *)stream;
    for (size_t i = 0; i < n; i++, tone->n_frames++) {
        double phase = 2 * M_PI * TONE_HZ * (double)(tone->n_frames % RATE_HZ) / RATE_HZ;
        frames[2 * i] = frames[2 * i + 1] = tone->is_tone ? (float)(TONE_PEAK * sin(phase)) : 0.5f;
    }
    return n;
}

static void hear(struct ear *ear, float x) {
    float step = fabsf(x - ear->before);
    ear->before = x;
    ear->n_frames++;
    if (x != 0) {
        if (ear->first_frame < 0)
            ear->first_frame = ear->n_frames;
        else if (step > ear->worst_step)
            ear->worst_step = step;
        ear->zero_run = 0;
        ear->last_sound = ear->n_frames;
        return;
    }
    if (ear->first_frame < 0)
        return;
    ear->zero_run++;
    ear->lost += ear->zero_run == RATE_HZ / 1000 ? ear->zero_run : ear->zero_run > RATE_HZ / 1000;
}

static size_t ear_write(struct audio_stream *stream, const float *frames, size_t n) {
    for (size_t i = 0; i < n; i++)
        hear((struct ear *)stream, frames[2 * i]);
    return n;
}

static enum audio_state running(const struct audio_stream *) {
    return AUDIO_RUNNING;
}

static void close_nothing(struct audio_stream *) {
}

static const struct audio_stream_ops OPS = {
    .read = tone_read, .write = ear_write, .state = running, .close = close_nothing};

/* ---- the rig ---- */

static void on_event(void *arg, const struct engine_event *event) {
    struct rig *rig = arg;
    rig->n_started += event->kind == ENGINE_LINK_STARTED;
    rig->n_failed += event->kind == ENGINE_LINK_FAILED || event->kind == ENGINE_NODE_FAILED;
    if (event->kind != ENGINE_LINK_LATENCY)
        return;
    assert_int_equal(event->link, rig->receive);
    assert_int_equal(event->from_ns, rig->target_ns);
    assert_int_not_equal(event->to_ns, event->from_ns);
    assert_in_range(event->to_ns, rig->latency.min_ms * NS_PER_MS, rig->latency.max_ms * NS_PER_MS);
    rig->n_changes++;
    rig->n_raises += event->to_ns > event->from_ns;
    rig->target_ns = event->to_ns;
    rig->least_ns = event->to_ns < rig->least_ns ? event->to_ns : rig->least_ns;
    rig->most_ns = event->to_ns > rig->most_ns ? event->to_ns : rig->most_ns;
    rig->cause = event->cause;
}

static void on_added(void *, uint32_t, enum err result, const struct err_info *info) {
    if (result != ERR_OK)
        fail_msg("%s", info->message);
}

static int set_up(void **state) {
    struct rig *rig = calloc(1, sizeof *rig);
    loop_sim_init(&rig->sim);
    assert_int_equal(roc_codec_create((struct log){}, &rig->codec, nullptr), ERR_OK);
    stream_settings_defaults(&rig->settings);
    *state = rig;
    return 0;
}

static void end_engine(struct rig *rig) {
    engine_destroy(rig->engine);
    loop_sim_settle(&rig->sim);
    rig->engine = nullptr;
}

static int tear_down(void **state) {
    struct rig *rig = *state;
    end_engine(rig);
    assert_int_equal(rig->n_failed, 0);
    rig->codec->ops->close(rig->codec);
    loop_sim_finish(&rig->sim);
    free(rig);
    return 0;
}

static void set_target(struct rig *rig, int32_t target_ms, int32_t min_ms, int32_t max_ms) {
    rig->settings.has_target_latency_ms = target_ms ? PRESENCE_VALUE : PRESENCE_NULL;
    rig->settings.target_latency_ms = target_ms;
    rig->settings.has_latency_min_ms = min_ms ? PRESENCE_VALUE : PRESENCE_NULL;
    rig->settings.latency_min_ms = min_ms;
    rig->settings.has_latency_max_ms = max_ms ? PRESENCE_VALUE : PRESENCE_NULL;
    rig->settings.latency_max_ms = max_ms;
}

static struct engine_link_config config_of(const struct rig *rig, bool receiving) {
    struct engine_link_config config = {.receiving = receiving, .gate = {.trusted_path = true}};
    struct err_info info;
    if (profile_derive(&rig->settings, &config.settings, &info) != ERR_OK)
        fail_msg("%s", info.message);
    config.latency_min_ns = rig->latency.min_ms * NS_PER_MS;
    config.latency_max_ns = rig->latency.max_ms * NS_PER_MS;
    return config;
}

static void add_send(struct rig *rig, struct path *path) {
    struct engine_link_config config = config_of(rig, false);
    rig->send = engine_add_link_take(rig->engine, rig->source_node, &config, path, on_added, rig);
    loop_sim_settle(&rig->sim);
}

/* One stream, from the beginning; a second call begins anew. */
static void start(struct rig *rig, bool is_tone, double loss) {
    end_engine(rig);
    struct engine_config engine = {
        .clock = &rig->sim.clock.clock, .loop = &rig->sim.loop, .codec = rig->codec, .stepped = true};
    assert_int_equal(engine_create(&engine, on_event, rig, &rig->engine, nullptr), ERR_OK);
    assert_int_equal(profile_latency(&rig->settings, &rig->latency, nullptr), ERR_OK);
    rig->target_ns = rig->least_ns = rig->most_ns = rig->latency.start_ms * NS_PER_MS;
    rig->n_changes = rig->n_raises = rig->n_started = 0;
    rig->tone = (struct tone){.stream = {.ops = &OPS, .format = {RATE_HZ, 2}}, .is_tone = is_tone};
    rig->ear = (struct ear){.stream = {.ops = &OPS, .format = {RATE_HZ, 2}}, .first_frame = -1};
    assert_int_equal(engine_add_node_take(rig->engine, &rig->tone.stream, AUDIO_INPUT, &rig->source_node, nullptr),
                     ERR_OK);
    assert_int_equal(engine_add_node_take(rig->engine, &rig->ear.stream, AUDIO_OUTPUT, &rig->sink_node, nullptr),
                     ERR_OK);
    struct path *sending = nullptr, *inner = nullptr;
    assert_int_equal(path_memory_open(&sending, &inner, nullptr), ERR_OK);
    rig->lossy = lossy_path_open_take(inner, &rig->sim.clock.clock, loss, 7);
    rig->lossy->in_order = true;
    struct engine_link_config config = config_of(rig, true);
    rig->receive = engine_add_link_take(rig->engine, rig->sink_node, &config, &rig->lossy->path, on_added, rig);
    add_send(rig, sending);
}

static void run(struct rig *rig, double seconds) {
    int64_t end_ns = rig->sim.clock.now_ns + (int64_t)(seconds * NS_PER_S);
    while (rig->sim.clock.now_ns < end_ns) {
        loop_sim_run_until(&rig->sim, rig->sim.clock.now_ns + TICK_NS);
        if (rig->wifi)
            wifi_trace_step(rig->wifi, rig->lossy, rig->sim.clock.now_ns);
        engine_step(rig->engine, rig->sim.clock.now_ns);
        loop_sim_settle(&rig->sim);
    }
}

/* Runs until auto has changed the latency, or fails. */
static void run_to_change(struct rig *rig, double most_s) {
    int n_changes = rig->n_changes;
    for (double s = 0; s < most_s && rig->n_changes == n_changes; s += 0.1)
        run(rig, 0.1);
    assert_int_equal(rig->n_changes, n_changes + 1);
}

static int64_t target_ms(const struct rig *rig) {
    struct engine_link_status status;
    assert_true(engine_link_status(rig->engine, rig->receive, &status));
    assert_int_equal(status.target_latency_ns, rig->target_ns);
    return rig->target_ns / NS_PER_MS;
}

/* Another encoder, as when the peer has restarted. */
static void restart_sender(struct rig *rig, double pause_s) {
    engine_remove_link(rig->engine, rig->send, nullptr, nullptr);
    run(rig, pause_s);
    struct path *sending = nullptr, *receiving = nullptr;
    assert_int_equal(path_memory_open(&sending, &receiving, nullptr), ERR_OK);
    rig->lossy->inner->ops->close(rig->lossy->inner);
    rig->lossy->inner = receiving;
    add_send(rig, sending);
}

/* ---- networks ---- */

static void a_good_network_changes_nothing(void **state) {
    struct rig *rig = *state;
    start(rig, false, 0);
    run(rig, 120);
    assert_int_equal(rig->n_changes, 0);
    assert_int_equal(target_ms(rig), 100);
    assert_int_equal(rig->ear.lost, 0);
    rig->settings.fec = FEC_CODE_NONE;
    set_target(rig, 10, 0, 0);
    start(rig, false, 0);
    run(rig, 30);
    assert_int_equal(rig->ear.lost, 0);
    assert_in_range(rig->ear.first_frame, 0, 25 * RATE_HZ / 1000);
}

/* Samples lost from two seconds after each step on: in the first moments nothing can help. */
static uint64_t jitter_steps(struct rig *rig) {
    static const int STEPS_MS[] = {0, 150, 40, 260, 0};
    uint64_t lost_later = 0;
    start(rig, false, 0.01);
    for (size_t i = 0; i < sizeof STEPS_MS / sizeof *STEPS_MS; i++) {
        rig->lossy->jitter_ns = STEPS_MS[i] * NS_PER_MS;
        run(rig, 2);
        uint64_t lost = rig->ear.lost;
        run(rig, i == 4 && rig->latency.adapts ? 280 : 30);
        lost_later += rig->ear.lost - lost;
    }
    return lost_later;
}

static void jitter_is_followed_up_and_down(void **state) {
    struct rig *rig = *state;
    set_target(rig, 100, 0, 0);
    uint64_t lost_fixed = jitter_steps(rig), all_lost_fixed = rig->ear.lost;
    assert_int_equal(rig->n_changes, 0);
    set_target(rig, 0, 0, 0);
    uint64_t lost = jitter_steps(rig);
    assert_true(lost_fixed > 0);
    assert_int_equal(lost, 0);
    assert_true(rig->ear.lost < all_lost_fixed);
    assert_in_range(rig->n_raises, 2, 4);
    assert_in_range(rig->n_changes, 3, 6);
    assert_true(rig->most_ns >= 200 * NS_PER_MS);
    assert_true(target_ms(rig) * NS_PER_MS < rig->most_ns);
}

static void losses_alone_need_room_for_a_block(void **state) {
    struct rig *rig = *state;
    static const double LOSSES[] = {0.05, 0.10};
    for (size_t i = 0; i < 2; i++) {
        set_target(rig, 0, 20, 200);
        start(rig, false, LOSSES[i]);
        run(rig, 250);
        assert_true(rig->least_ns < 100 * NS_PER_MS);
        assert_in_range(rig->n_changes, 1, 10);
        struct engine_link_status status;
        assert_true(engine_link_status(rig->engine, rig->receive, &status));
        assert_true(status.repaired > 500);
        assert_true((double)rig->ear.lost < (i == 0 ? 0.0002 : 0.002) * (double)rig->ear.n_frames);
    }
}

static void a_blackout_is_no_reason_for_latency(void **state) {
    struct rig *rig = *state;
    start(rig, false, 0);
    run(rig, 10);
    rig->lossy->blackout = true;
    run(rig, 3);
    rig->lossy->blackout = false;
    int64_t before = rig->ear.n_frames;
    run(rig, 0.22);
    assert_in_range(rig->ear.last_sound, before, before + RATE_HZ);
    uint64_t lost = rig->ear.lost;
    run(rig, 60);
    assert_int_equal(rig->ear.lost, lost);
    assert_int_equal(rig->n_changes, 0);
}

static void a_wireless_network_is_borne(void **state) {
    struct rig *rig = *state;
    struct wifi_trace wifi;
    rig->wifi = &wifi;
    uint64_t lost[2];
    for (int adapts = 0; adapts < 2; adapts++) {
        set_target(rig, adapts ? 0 : 100, 0, 0);
        wifi_trace_init(&wifi, 5);
        start(rig, false, 0);
        run(rig, 300);
        lost[adapts] = rig->ear.lost;
    }
    if (lost[1] * 2 > lost[0])
        fail_msg("%llu samples lost, and %llu without adapting", (unsigned long long)lost[1],
                 (unsigned long long)lost[0]);
    assert_in_range(rig->n_changes, 1, 12);
    rig->wifi = nullptr;
}

/* ---- what is heard of a change ---- */

static void a_change_does_not_click(void **state) {
    struct rig *rig = *state;
    start(rig, true, 0);
    run(rig, 5);
    float usual = rig->ear.worst_step;
    assert_true((double)usual < 1.1 * 2 * M_PI * TONE_HZ / RATE_HZ * TONE_PEAK);
    rig->lossy->jitter_ns = 90 * NS_PER_MS; /* not so much that anything is lost: only the change is heard */
    for (int i = 0; i < 20 && rig->n_changes == 0; i++) {
        rig->lossy->jitter_ns += 4 * NS_PER_MS;
        run(rig, 2);
    }
    assert_true(rig->n_raises >= 1);
    assert_int_equal(rig->ear.lost, 0);
    rig->lossy->jitter_ns = 0;
    run_to_change(rig, 200);
    assert_int_equal(rig->cause, ADAPT_CALM);
    assert_int_equal(rig->ear.lost, 0);
    /* two tones out of phase are louder while they are faded, but no steeper than that */
    assert_true((double)rig->ear.worst_step < 2 * (double)usual);
}

/* ---- what happens meanwhile ---- */

static void a_new_sender_in_the_middle_of_a_change(void **state) {
    struct rig *rig = *state;
    for (int64_t wait_ms = 0; wait_ms < 700; wait_ms += 70) {
        start(rig, false, 0);
        run(rig, 2);
        rig->lossy->jitter_ns = 200 * NS_PER_MS;
        run(rig, 0.5 + (double)wait_ms / 1000);
        rig->lossy->jitter_ns = 0;
        restart_sender(rig, 0.5);
        int64_t before = rig->ear.n_frames;
        double back_s = (double)rig->target_ns / NS_PER_S + 0.1;
        run(rig, back_s);
        assert_true(rig->ear.last_sound > before);
        uint64_t lost = rig->ear.lost;
        run(rig, 5);
        assert_int_equal(rig->ear.lost, lost);
    }
}

static void a_link_can_go_in_the_middle_of_a_change(void **state) {
    struct rig *rig = *state;
    for (int64_t wait_ms = 0; wait_ms < 1000; wait_ms += 25) {
        start(rig, false, 0);
        run(rig, 1);
        rig->lossy->jitter_ns = 200 * NS_PER_MS;
        run(rig, (double)wait_ms / 1000);
        if (wait_ms % 50)
            engine_remove_link(rig->engine, rig->receive, nullptr, nullptr);
        if (wait_ms % 75)
            run(rig, 0.05);
        end_engine(rig);
    }
}

static void nothing_grows_in_an_hour_of_changes(void **state) {
    struct rig *rig = *state;
    rig->settings.fec = FEC_CODE_NONE;
    rig->settings.resampler_profile = RESAMPLER_PROFILE_LOW;
    set_target(rig, 0, 40, 400);
    start(rig, false, 0);
    size_t settled = 0;
    for (int i = 0; i < 24; i++) {
        static const int JITTER_MS[] = {0, 120, 20, 250};
        rig->lossy->jitter_ns = JITTER_MS[i % 4] * NS_PER_MS;
        run(rig, 150);
        if (i == 7)
            settled = heap_in_use();
    }
    assert_true(rig->n_changes >= 10);
    size_t now = heap_in_use();
    if (now > settled + 512 * 1024)
        fail_msg("%zu bytes more after an hour and %d changes", now - settled, rig->n_changes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_good_network_changes_nothing),
        TEST(jitter_is_followed_up_and_down),
        TEST(losses_alone_need_room_for_a_block),
        TEST(a_blackout_is_no_reason_for_latency),
        TEST(a_wireless_network_is_borne),
        TEST(a_change_does_not_click),
        TEST(a_new_sender_in_the_middle_of_a_change),
        TEST(a_link_can_go_in_the_middle_of_a_change),
        TEST(nothing_grows_in_an_hour_of_changes),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
