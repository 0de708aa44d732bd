/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/loop_sim.h"
#include "media/engine.h"
#include "media/profile.h"
#include "model_gen.h"
#include "support/fake_device.h"

/*
 * Sound from a microphone to a loudspeaker whose clocks disagree, on virtual time: an hour takes less than a minute, and a busy
 * machine changes nothing but that.
 *
 *   drift-sim TARGET_MS SECONDS SOURCE_PPM SINK_PPM QUANTUM
 *
 * Prints one line of JSON: frames of silence within the sound, lost frames as the engine counts them, xruns of both devices,
 * and the latency from the one to the other, by an impulse every second once the first half minute is over.
 */
constexpr int64_t TICK_NS = 5 * NS_PER_MS;
constexpr int64_t SETTLED_NS = 30 * NS_PER_S;

static void check(enum err e, const struct err_info *info) {
    if (e == ERR_OK)
        return;
    fprintf(stderr, "drift-sim: %s\n", info ? info->message : err_name(e));
    exit(1);
}

static void on_added(void *, uint32_t, enum err e, const struct err_info *info) {
    check(e, info);
}

static void on_event(void *, const struct engine_event *event) {
    if (event->kind == ENGINE_LINK_FAILED || event->kind == ENGINE_NODE_FAILED)
        check(ERR_INTERNAL, &event->reason);
}

static struct codec_settings settings_for(int target_ms) {
    struct stream_settings settings;
    stream_settings_defaults(&settings);
    settings.has_target_latency_ms = PRESENCE_VALUE;
    settings.target_latency_ms = target_ms;
    struct codec_settings derived;
    struct err_info info;
    check(profile_derive(&settings, &derived, &info), &info);
    return derived;
}

static void run_until(struct loop_sim *sim, struct engine *engine, int64_t end_ns) {
    while (sim->clock.now_ns < end_ns) {
        loop_sim_run_until(sim, sim->clock.now_ns + TICK_NS);
        engine_step(engine, sim->clock.now_ns);
        loop_sim_settle(sim);
    }
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: drift-sim TARGET_MS SECONDS SOURCE_PPM SINK_PPM QUANTUM\n");
        return 2;
    }
    int target_ms = atoi(argv[1]), seconds = atoi(argv[2]);
    double source_ppm = strtod(argv[3], nullptr), sink_ppm = strtod(argv[4], nullptr);
    size_t quantum = strtoul(argv[5], nullptr, 10);

    struct loop_sim sim;
    struct err_info info;
    struct codec *codec = nullptr;
    struct engine *engine = nullptr;
    loop_sim_init(&sim);
    check(roc_codec_create((struct log){}, &codec, &info), &info);
    struct engine_config engine_config = {
        .clock = &sim.clock.clock, .loop = &sim.loop, .codec = codec, .stepped = true};
    check(engine_create(&engine_config, on_event, nullptr, &engine, &info), &info);
    struct fake_device source, sink;
    fake_device_init(&source, &sim.clock.clock, true, quantum, source_ppm, TICK_NS, fake_peaks);
    fake_device_init(&sink, &sim.clock.clock, false, quantum, sink_ppm, TICK_NS, nullptr);
    uint32_t source_node = 0, sink_node = 0;
    check(engine_add_node_take(engine, &source.stream, AUDIO_INPUT, &source_node, &info), &info);
    check(engine_add_node_take(engine, &sink.stream, AUDIO_OUTPUT, &sink_node, &info), &info);

    struct path *sending = nullptr, *receiving = nullptr;
    check(path_memory_open(&sending, &receiving, &info), &info);
    struct engine_link_config config = {
        .settings = settings_for(target_ms), .receiving = true, .gate = {.trusted_path = true}};
    uint32_t receive = engine_add_link_take(engine, sink_node, &config, receiving, on_added, nullptr);
    config.receiving = false;
    (void)engine_add_link_take(engine, source_node, &config, sending, on_added, nullptr);

    run_until(&sim, engine, sim.clock.now_ns + SETTLED_NS);
    /* an impulse is captured at multiples of a second of the source's own clock */
    double period_ns = NS_PER_S / (1 + source_ppm / 1e6);
    sink.peak_period_ns = (int64_t)period_ns;
    sink.peak_start_ns = source.start_ns;
    sink.n_zeros = 0;
    sink.n_peaks = 0;
    uint64_t xruns = source.n_xruns + sink.n_xruns;
    run_until(&sim, engine, sim.clock.now_ns + seconds * NS_PER_S);

    struct engine_link_status status = {};
    if (!engine_link_status(engine, receive, &status) || sink.n_peaks == 0)
        check(ERR_INTERNAL, nullptr);
    printf("{\"target_ms\": %d, \"seconds\": %d, \"source_ppm\": %g, \"sink_ppm\": %g, \"quantum\": %zu, ", target_ms,
           seconds, source_ppm, sink_ppm, quantum);
    printf("\"silent_frames\": %llu, \"lost_frames\": %llu, \"sessions\": %llu, \"xruns\": %llu, \"impulses\": %lld, "
           "\"latency_least_ms\": %.2f, \"latency_most_ms\": %.2f}\n",
           (unsigned long long)sink.n_zeros, (unsigned long long)status.lost_frames,
           (unsigned long long)status.sessions, (unsigned long long)(source.n_xruns + sink.n_xruns - xruns),
           (long long)sink.n_peaks, (double)sink.latency_min_ns / NS_PER_MS, (double)sink.latency_max_ns / NS_PER_MS);
    engine_destroy(engine);
    loop_sim_settle(&sim);
    fake_device_finish(&source);
    fake_device_finish(&sink);
    codec->ops->close(codec);
    loop_sim_finish(&sim);
    return 0;
}
