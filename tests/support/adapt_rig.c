/* SPDX-License-Identifier: MPL-2.0 */
#include "support/adapt_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

constexpr int64_t TICK_NS = 5 * NS_PER_MS;
constexpr uint32_t RATE_HZ = ADAPT_RIG_RATE_HZ;

/* ---- both ends ---- */

static size_t tone_read(struct audio_stream *stream, float *frames, size_t n) {
    struct adapt_tone *tone = (struct adapt_tone *)stream;
    for (size_t i = 0; i < n; i++, tone->n_frames++) {
        double phase = 2 * M_PI * ADAPT_RIG_TONE_HZ * (double)(tone->n_frames % RATE_HZ) / RATE_HZ;
        frames[2 * i] = frames[2 * i + 1] = tone->is_tone ? (float)(ADAPT_RIG_TONE_PEAK * sin(phase)) : 0.5f;
    }
    return n;
}

static void hear(struct adapt_ear *ear, float x) {
    float step = fabsf(x - ear->before);
    ear->before = x;
    ear->n_frames++;
    if (ear->first_frame >= 0 && step > ear->worst_step)
        ear->worst_step = step;
    if (x != 0) {
        if (ear->first_frame < 0)
            ear->first_frame = ear->n_frames;
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
        hear((struct adapt_ear *)stream, frames[2 * i]);
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
    struct adapt_rig *rig = arg;
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

int adapt_rig_set_up(void **state) {
    struct adapt_rig *rig = calloc(1, sizeof *rig);
    loop_sim_init(&rig->sim);
    assert_int_equal(roc_codec_create((struct log){}, &rig->codec, nullptr), ERR_OK);
    stream_settings_defaults(&rig->settings);
    *state = rig;
    return 0;
}

void adapt_rig_end(struct adapt_rig *rig) {
    engine_destroy(rig->engine);
    loop_sim_settle(&rig->sim);
    rig->engine = nullptr;
    fake_device_finish(&rig->card);
}

int adapt_rig_tear_down(void **state) {
    struct adapt_rig *rig = *state;
    adapt_rig_end(rig);
    assert_int_equal(rig->n_failed, 0);
    rig->codec->ops->close(rig->codec);
    loop_sim_finish(&rig->sim);
    free(rig);
    return 0;
}

void adapt_rig_choose(struct adapt_rig *rig, int32_t target_ms, int32_t min_ms, int32_t max_ms) {
    rig->settings.has_target_latency_ms = target_ms ? PRESENCE_VALUE : PRESENCE_NULL;
    rig->settings.target_latency_ms = target_ms;
    rig->settings.has_latency_min_ms = min_ms ? PRESENCE_VALUE : PRESENCE_NULL;
    rig->settings.latency_min_ms = min_ms;
    rig->settings.has_latency_max_ms = max_ms ? PRESENCE_VALUE : PRESENCE_NULL;
    rig->settings.latency_max_ms = max_ms;
}

static struct engine_link_config config_of(const struct adapt_rig *rig, bool receiving) {
    struct engine_link_config config = {.receiving = receiving, .gate = {.trusted_path = true}};
    struct err_info info;
    if (profile_derive(&rig->settings, &config.settings, &info) != ERR_OK)
        fail_msg("%s", info.message);
    config.latency_min_ns = rig->latency.min_ms * NS_PER_MS;
    config.latency_max_ns = rig->latency.max_ms * NS_PER_MS;
    return config;
}

static void add_send(struct adapt_rig *rig, struct path *path) {
    struct engine_link_config config = config_of(rig, false);
    rig->send = engine_add_link_take(rig->engine, rig->source_node, &config, path, on_added, rig);
    loop_sim_settle(&rig->sim);
}

static void add_sink(struct adapt_rig *rig) {
    rig->ear = (struct adapt_ear){.stream = {.ops = &OPS, .format = {RATE_HZ, 2}}, .first_frame = -1};
    struct audio_stream *stream = &rig->ear.stream;
    if (rig->quantum) {
        fake_device_init(&rig->card, &rig->sim.clock.clock, false, rig->quantum, 100, TICK_NS, nullptr);
        stream = &rig->card.stream;
    }
    assert_int_equal(engine_add_node_take(rig->engine, stream, AUDIO_OUTPUT, &rig->sink_node, nullptr), ERR_OK);
}

void adapt_rig_start(struct adapt_rig *rig, bool is_tone, double loss) {
    adapt_rig_end(rig);
    struct engine_config engine = {
        .clock = &rig->sim.clock.clock, .loop = &rig->sim.loop, .codec = rig->codec, .stepped = true};
    assert_int_equal(engine_create(&engine, on_event, rig, &rig->engine, nullptr), ERR_OK);
    assert_int_equal(profile_latency(&rig->settings, &rig->latency, nullptr), ERR_OK);
    rig->target_ns = rig->least_ns = rig->most_ns = rig->latency.start_ms * NS_PER_MS;
    rig->n_changes = rig->n_raises = rig->n_started = rig->n_removed = 0;
    rig->tone = (struct adapt_tone){.stream = {.ops = &OPS, .format = {RATE_HZ, 2}}, .is_tone = is_tone};
    assert_int_equal(engine_add_node_take(rig->engine, &rig->tone.stream, AUDIO_INPUT, &rig->source_node, nullptr),
                     ERR_OK);
    add_sink(rig);
    struct path *sending = nullptr, *inner = nullptr;
    assert_int_equal(path_memory_open(&sending, &inner, nullptr), ERR_OK);
    rig->lossy = lossy_path_open_take(inner, &rig->sim.clock.clock, loss, 7);
    rig->lossy->in_order = true;
    struct engine_link_config config = config_of(rig, true);
    rig->receive = engine_add_link_take(rig->engine, rig->sink_node, &config, &rig->lossy->path, on_added, rig);
    add_send(rig, sending);
}

void adapt_rig_run(struct adapt_rig *rig, double seconds) {
    int64_t end_ns = rig->sim.clock.now_ns + (int64_t)(seconds * NS_PER_S);
    while (rig->sim.clock.now_ns < end_ns) {
        loop_sim_run_until(&rig->sim, rig->sim.clock.now_ns + TICK_NS);
        if (rig->wifi)
            wifi_trace_step(rig->wifi, rig->lossy, rig->sim.clock.now_ns);
        engine_step(rig->engine, rig->sim.clock.now_ns);
        loop_sim_settle(&rig->sim);
    }
}

void adapt_rig_run_to_change(struct adapt_rig *rig, double most_s) {
    int n_changes = rig->n_changes;
    for (double s = 0; s < most_s && rig->n_changes == n_changes; s += 0.1)
        adapt_rig_run(rig, 0.1);
    assert_int_equal(rig->n_changes, n_changes + 1);
}

int64_t adapt_rig_target_ms(const struct adapt_rig *rig) {
    struct engine_link_status status;
    assert_true(engine_link_status(rig->engine, rig->receive, &status));
    assert_int_equal(status.target_latency_ns, rig->target_ns);
    return rig->target_ns / NS_PER_MS;
}

void adapt_rig_restart_sender(struct adapt_rig *rig, double pause_s) {
    engine_remove_link(rig->engine, rig->send, nullptr, nullptr);
    adapt_rig_run(rig, pause_s);
    struct path *sending = nullptr, *receiving = nullptr;
    assert_int_equal(path_memory_open(&sending, &receiving, nullptr), ERR_OK);
    rig->lossy->inner->ops->close(rig->lossy->inner);
    rig->lossy->inner = receiving;
    add_send(rig, sending);
}

static void on_removed(void *arg) {
    ((struct adapt_rig *)arg)->n_removed++;
}

void adapt_rig_remove_receiver(struct adapt_rig *rig) {
    engine_remove_link(rig->engine, rig->receive, on_removed, rig);
}
