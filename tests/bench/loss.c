/* SPDX-License-Identifier: MPL-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/loop_sim.h"
#include "media/engine.h"
#include "media/profile.h"
#include "model_gen.h"
#include "support/lossy_path.h"
#include "support/wifi_trace.h"

/*
 * Sound over a bad network, on virtual time: one stream through the whole engine, packets lost at random by a seeded
 * generator. A minute takes about a second, a busy machine changes nothing but that, and the same seed gives the same
 * result.
 *
 *   loss-sim [target_ms=100] [loss_percent=5] [seconds=60] [seed=1] [jitter_ms=0] [delay_ms=0]
 *            [packet_ms=…] [source=… repair=…]          settings other than those rocd derives from the target
 *            [fec=1] [auto=0] [min_ms=…] [max_ms=…]     auto=1: target_ms is of no meaning, rocd chooses
 *            [wifi=0]                                   1: a made-up wireless network instead (support/wifi_trace.h)
 *
 * Prints one line of JSON: lost frames (in the sound itself), those of the first second apart, because libroc repairs
 * nothing while its queue fills, and how many had been lost at the first change of the latency; what the engine counted;
 * and the latency of the sound from being read at the source to being written at the sink, by an impulse every two seconds.
 */

constexpr uint32_t RATE_HZ = 48000;
constexpr int64_t TICK_NS = 5 * NS_PER_MS;
constexpr int64_t IMPULSE_FRAMES = 2 * RATE_HZ;
constexpr float STEADY = 0.5f;
constexpr float IMPULSE = 1.0f;
constexpr float LOST = 0.25f; /* what is below is a hole */
constexpr float HEARD = 0.8f; /* what is above is an impulse */

struct options {
    double target_ms, loss_percent, seconds, seed, jitter_ms, delay_ms, packet_ms, source, repair, fec, adapts, min_ms,
        max_ms, wifi;
};

/* One end of the stream: where frame 0 of it is in time, and what was seen of the sound. */
struct end {
    struct audio_stream stream; /* first member */
    const struct clock *clock;
    int64_t start_ns; /* -1: not yet */
    int64_t n_frames;
    struct sim *sim;
};

struct sim {
    struct loop_sim loop;
    struct end source, sink;
    bool sounding;
    uint64_t lost_frames, lost_at_start, heard_frames;
    double latency_first_ms, latency_min_ms, latency_max_ms, latency_last_ms, latency_sum_ms;
    uint64_t n_impulses, n_changes, lost_learning;
    struct wifi_trace wifi;
};

static void check(enum err e, const struct err_info *info) {
    if (e == ERR_OK)
        return;
    fprintf(stderr, "loss-sim: %s\n", info ? info->message : err_name(e));
    exit(1);
}

/* ---- the two ends ---- */

/* The first frames that move tell when the clock of the end began. */
static void moved(struct end *end, size_t n) {
    if (end->start_ns < 0 && n > 0)
        end->start_ns = clock_now_ns(end->clock) - (int64_t)n * NS_PER_S / RATE_HZ;
    end->n_frames += (int64_t)n;
}

static size_t source_read(struct audio_stream *stream, float *frames, size_t n) {
    struct end *end = (struct end *)stream;
    for (size_t i = 0; i < n; i++) {
        bool impulse = (end->n_frames + (int64_t)i) % IMPULSE_FRAMES == IMPULSE_FRAMES / 2;
        frames[2 * i] = frames[2 * i + 1] = impulse ? IMPULSE : STEADY;
    }
    moved(end, n);
    return n;
}

static void impulse_heard(struct sim *sim, int64_t frame) {
    int64_t offset_ns = sim->sink.start_ns - sim->source.start_ns;
    double since_ms =
        (double)frame * 1000 / RATE_HZ + (double)offset_ns / NS_PER_MS - (double)(IMPULSE_FRAMES / 2) * 1000 / RATE_HZ;
    double ms = fmod(since_ms, (double)IMPULSE_FRAMES * 1000 / RATE_HZ);
    if (sim->n_impulses++ == 0)
        sim->latency_first_ms = sim->latency_min_ms = sim->latency_max_ms = ms;
    sim->latency_min_ms = fmin(ms, sim->latency_min_ms);
    sim->latency_max_ms = fmax(ms, sim->latency_max_ms);
    sim->latency_last_ms = ms;
    sim->latency_sum_ms += ms;
}

static size_t sink_write(struct audio_stream *stream, const float *frames, size_t n) {
    struct end *end = (struct end *)stream;
    struct sim *sim = end->sim;
    moved(end, n);
    for (size_t i = 0; i < n; i++) {
        float x = frames[2 * i];
        sim->sounding |= x >= LOST;
        if (!sim->sounding)
            continue;
        sim->heard_frames++;
        *(sim->heard_frames <= RATE_HZ ? &sim->lost_at_start : &sim->lost_frames) += x < LOST;
        if (x > HEARD)
            impulse_heard(sim, end->n_frames - (int64_t)n + (int64_t)i);
    }
    return n;
}

static enum audio_state running(const struct audio_stream *) {
    return AUDIO_RUNNING;
}

static void close_end(struct audio_stream *) {
}

static uint32_t add_end(struct engine *engine, struct sim *sim, struct end *end, enum audio_direction direction) {
    static const struct audio_stream_ops OPS = {
        .read = source_read, .write = sink_write, .state = running, .close = close_end};
    *end = (struct end){
        .stream = {.ops = &OPS, .format = {RATE_HZ, 2}}, .clock = &sim->loop.clock.clock, .start_ns = -1, .sim = sim};
    uint32_t node = 0;
    struct err_info info;
    check(engine_add_node_take(engine, &end->stream, direction, &node, &info), &info);
    return node;
}

/* ---- the stream ---- */

static struct codec_settings settings_for(const struct options *o, struct profile_latency *ret_latency) {
    struct stream_settings settings;
    stream_settings_defaults(&settings);
    settings.has_target_latency_ms = o->adapts > 0 ? PRESENCE_NULL : PRESENCE_VALUE;
    settings.has_latency_min_ms = o->min_ms > 0 ? PRESENCE_VALUE : PRESENCE_NULL;
    settings.has_latency_max_ms = o->max_ms > 0 ? PRESENCE_VALUE : PRESENCE_NULL;
    settings.latency_min_ms = (int32_t)o->min_ms;
    settings.latency_max_ms = (int32_t)o->max_ms;
    settings.fec = o->fec > 0 ? FEC_CODE_RS8M : FEC_CODE_NONE;
    settings.target_latency_ms = (int32_t)o->target_ms;
    struct codec_settings derived;
    struct err_info info;
    check(profile_derive(&settings, &derived, &info), &info);
    check(profile_latency(&settings, ret_latency, &info), &info);
    if (o->packet_ms > 0)
        derived.packet_length_ns = llround(o->packet_ms * NS_PER_MS);
    if (o->source > 0)
        derived.fec_source_packets = (uint32_t)o->source;
    if (o->repair > 0)
        derived.fec_repair_packets = (uint32_t)o->repair;
    return derived;
}

static void on_added(void *, uint32_t, enum err e, const struct err_info *info) {
    check(e, info);
}

static void on_event(void *arg, const struct engine_event *event) {
    struct sim *sim = arg;
    if (event->kind == ENGINE_LINK_LATENCY && sim->n_changes++ == 0)
        sim->lost_learning = sim->lost_frames + sim->lost_at_start;
    if (event->kind == ENGINE_LINK_FAILED || event->kind == ENGINE_NODE_FAILED)
        check(ERR_INTERNAL, &event->reason);
}

static void report(const struct options *o, const struct codec_settings *s, const struct sim *sim,
                   const struct engine_link_status *status) {
    double n = (double)(sim->n_impulses ? sim->n_impulses : 1);
    printf(
        "{\"target_ms\": %g, \"loss_percent\": %g, \"seconds\": %g, \"seed\": %g, \"jitter_ms\": %g, \"delay_ms\": %g, "
        "\"packet_ms\": %g, \"source\": %u, \"repair\": %u, ",
        o->target_ms, o->loss_percent, o->seconds, o->seed, o->jitter_ms, o->delay_ms,
        (double)s->packet_length_ns / NS_PER_MS, s->fec_source_packets, s->fec_repair_packets);
    printf("\"heard_frames\": %llu, \"lost_frames\": %llu, \"lost_at_start\": %llu, \"lost_learning\": %llu, "
           "\"lost_frames_counted\": %llu, "
           "\"packets_lost\": %llu, "
           "\"packets_repaired\": %llu, \"sessions\": %llu, \"changes\": %llu, \"target_last_ms\": %g, ",
           (unsigned long long)sim->heard_frames, (unsigned long long)sim->lost_frames,
           (unsigned long long)sim->lost_at_start, (unsigned long long)sim->lost_learning,
           (unsigned long long)status->lost_frames, (unsigned long long)status->lost,
           (unsigned long long)status->repaired, (unsigned long long)status->sessions,
           (unsigned long long)sim->n_changes, (double)status->target_latency_ns / NS_PER_MS);
    printf("\"latency_ms\": {\"first\": %.2f, \"least\": %.2f, \"mean\": %.2f, \"most\": %.2f, \"last\": %.2f}}\n",
           sim->latency_first_ms, sim->latency_min_ms, sim->latency_sum_ms / n, sim->latency_max_ms,
           sim->latency_last_ms);
}

static void simulate(const struct options *o) {
    static struct sim sim;
    struct err_info info;
    struct codec *codec = nullptr;
    struct engine *engine = nullptr;
    loop_sim_init(&sim.loop);
    check(roc_codec_create((struct log){}, &codec, &info), &info);
    struct engine_config engine_config = {
        .clock = &sim.loop.clock.clock, .loop = &sim.loop.loop, .codec = codec, .stepped = true};
    check(engine_create(&engine_config, on_event, &sim, &engine, &info), &info);
    uint32_t source = add_end(engine, &sim, &sim.source, AUDIO_INPUT);
    uint32_t sink = add_end(engine, &sim, &sim.sink, AUDIO_OUTPUT);

    struct path *sending = nullptr, *inner = nullptr;
    check(path_memory_open(&sending, &inner, &info), &info);
    struct lossy_path *lossy =
        lossy_path_open_take(inner, &sim.loop.clock.clock, o->loss_percent / 100, (uint64_t)o->seed);
    lossy->jitter_ns = llround(o->jitter_ms * NS_PER_MS);
    lossy->delay_ns = llround(o->delay_ms * NS_PER_MS);
    struct profile_latency latency;
    struct engine_link_config config = {
        .settings = settings_for(o, &latency), .receiving = true, .gate = {.trusted_path = true}};
    config.latency_min_ns = latency.min_ms * NS_PER_MS;
    config.latency_max_ns = latency.max_ms * NS_PER_MS;
    wifi_trace_init(&sim.wifi, (uint64_t)o->seed);
    uint32_t receive = engine_add_link_take(engine, sink, &config, &lossy->path, on_added, nullptr);
    config.receiving = false;
    (void)engine_add_link_take(engine, source, &config, sending, on_added, nullptr);

    int64_t end_ns = sim.loop.clock.now_ns + llround(o->seconds * NS_PER_S);
    while (sim.loop.clock.now_ns < end_ns) {
        loop_sim_run_until(&sim.loop, sim.loop.clock.now_ns + TICK_NS);
        if (o->wifi > 0)
            wifi_trace_step(&sim.wifi, lossy, sim.loop.clock.now_ns);
        engine_step(engine, sim.loop.clock.now_ns);
        loop_sim_settle(&sim.loop);
    }
    struct engine_link_status status = {};
    if (!engine_link_status(engine, receive, &status) || sim.heard_frames == 0)
        check(ERR_INTERNAL, nullptr);
    report(o, &config.settings, &sim, &status);
    engine_destroy(engine);
    loop_sim_settle(&sim.loop);
    codec->ops->close(codec);
    loop_sim_finish(&sim.loop);
}

/* ---- command line ---- */

static const struct {
    const char *name;
    size_t offset;
} OPTIONS[] = {
    {"target_ms", offsetof(struct options, target_ms)}, {"loss_percent", offsetof(struct options, loss_percent)},
    {"seconds", offsetof(struct options, seconds)},     {"seed", offsetof(struct options, seed)},
    {"jitter_ms", offsetof(struct options, jitter_ms)}, {"delay_ms", offsetof(struct options, delay_ms)},
    {"packet_ms", offsetof(struct options, packet_ms)}, {"source", offsetof(struct options, source)},
    {"repair", offsetof(struct options, repair)},       {"fec", offsetof(struct options, fec)},
    {"auto", offsetof(struct options, adapts)},         {"min_ms", offsetof(struct options, min_ms)},
    {"max_ms", offsetof(struct options, max_ms)},       {"wifi", offsetof(struct options, wifi)},
};

static bool set_option(struct options *options, const char *word) {
    for (size_t i = 0; i < sizeof OPTIONS / sizeof *OPTIONS; i++) {
        size_t len = strlen(OPTIONS[i].name);
        if (strncmp(word, OPTIONS[i].name, len) != 0 || word[len] != '=')
            continue;
        char *end = nullptr;
        *(double *)((char *)options + OPTIONS[i].offset) = strtod(word + len + 1, &end);
        return end != word + len + 1 && *end == 0;
    }
    return false;
}

int main(int argc, char **argv) {
    struct options options = {.target_ms = 100, .loss_percent = 5, .seconds = 60, .seed = 1, .fec = 1};
    for (int i = 1; i < argc; i++)
        if (!set_option(&options, argv[i])) {
            fprintf(stderr, "loss-sim: %s is none of:", argv[i]);
            for (size_t j = 0; j < sizeof OPTIONS / sizeof *OPTIONS; j++)
                fprintf(stderr, " %s=NUMBER", OPTIONS[j].name);
            fprintf(stderr, "\n");
            return 2;
        }
    simulate(&options);
    return 0;
}
