/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/loop_uv.h"
#include "bench/usage.h"
#include "media/engine.h"
#include "support/fake_audio.h"

/*
 * What the media engine costs: N streams from a source over UDP on the loopback interface to a sink, in one process.
 * To be compared with bare-roc, which has the same settings and no engine.
 *
 *   engine-cpu [N [SECONDS [memory]]]      default 20, 5; "memory": over memory paths instead of UDP
 *
 * Prints one line of JSON: CPU of one core in percent per stream, lost frames, memory per stream.
 */

struct stream {
    struct fake_source source;
    struct fake_sink sink;
    uint32_t receive;
};

struct bench {
    struct loop_uv *uv;
    struct engine *engine;
    struct stream *streams;
    int n, seconds, n_started;
    bool memory;
    struct loop_timer timer;
    long before_kb;
    int64_t begin_ns, begin_cpu_ns;
};

static void check(enum err e, const struct err_info *info) {
    if (e == ERR_OK)
        return;
    fprintf(stderr, "engine-cpu: %s\n", info ? info->message : err_name(e));
    exit(1);
}

static void on_added(void *, uint32_t, enum err e, const struct err_info *info) {
    check(e, info);
}

static void report(void *arg) {
    struct bench *b = arg;
    double wall = (double)(clock_now_ns(clock_system()) - b->begin_ns);
    double cpu = (double)(usage_cpu_ns() - b->begin_cpu_ns);
    unsigned long long lost = 0, packets_lost = 0;
    for (int i = 0; i < b->n; i++) {
        struct engine_link_status status;
        if (!engine_link_status(b->engine, b->streams[i].receive, &status))
            continue;
        lost += status.lost_frames;
        packets_lost += status.lost;
    }
    printf(
        "{\"streams\": %d, \"seconds\": %d, \"path\": \"%s\", \"cpu_percent_per_stream\": %.4f, \"lost_frames\": %llu, "
        "\"packets_lost\": %llu, \"kb_per_stream\": %.1f}\n",
        b->n, b->seconds, b->memory ? "memory" : "udp", 100 * cpu / wall / b->n, lost, packets_lost,
        (double)(usage_private_kb() - b->before_kb) / b->n);
    loop_uv_stop(b->uv);
}

static void begin(void *arg) {
    struct bench *b = arg;
    b->begin_ns = clock_now_ns(clock_system());
    b->begin_cpu_ns = usage_cpu_ns();
    b->timer.fire = report;
    loop_timer_start(loop_uv_loop(b->uv), &b->timer, b->seconds * NS_PER_S);
}

/* Two seconds after the last stream has started, so that all of them are settled. */
static void on_event(void *arg, const struct engine_event *event) {
    struct bench *b = arg;
    if (event->kind == ENGINE_LINK_STARTED && ++b->n_started == 2 * b->n) {
        b->timer = (struct loop_timer){.fire = begin, .arg = b};
        loop_timer_start(loop_uv_loop(b->uv), &b->timer, 2 * NS_PER_S);
    }
}

static void open_paths(struct bench *b, struct path **sender, struct path **receiver) {
    struct err_info info;
    if (b->memory) {
        check(path_memory_open(sender, receiver, &info), &info);
        return;
    }
    struct path_udp_config config = {};
    for (enum media_iface i = 0; i < MEDIA_N_IFACES; i++)
        check(path_address_resolve("127.0.0.1", 0, &config.address[i], &info), &info);
    check(path_udp_open_receiver(&config, receiver, &info), &info);
    for (enum media_iface i = 0; i < MEDIA_N_IFACES; i++)
        config.address[i].v4.sin_port = htons((*receiver)->ops->local_port(*receiver, i));
    check(path_udp_open_sender(&config, sender, &info), &info);
}

static void add_stream(struct bench *b, int number) {
    struct stream *s = &b->streams[number];
    struct err_info info;
    fake_source_init(&s->source, 48000, 2, fake_square);
    fake_sink_init(&s->sink, 48000, 2, 1);
    struct engine_link_config config = {
        .settings = {.wire_rate_hz = 48000,
                     .wire_channels = 2,
                     .payload_type = codec_encoding_by_name("l16/48000/2")->payload_type,
                     .fec = CODEC_FEC_RS8M,
                     .fec_source_packets = 18,
                     .fec_repair_packets = 10,
                     .packet_length_ns = 5 * NS_PER_MS,
                     .target_latency_ns = 100 * NS_PER_MS,
                     .latency_profile = CODEC_LATENCY_GRADUAL,
                     .resampler = CODEC_RESAMPLER_MEDIUM,
                     .control = true},
        .gate = {.trusted_path = b->memory},
        .start_delay_ns = (number % 4) * 5 * NS_PER_MS,
    };
    struct path *sender = nullptr, *receiver = nullptr;
    open_paths(b, &sender, &receiver);
    uint32_t source = 0, sink = 0;
    check(engine_add_node_take(b->engine, &s->source.stream, AUDIO_INPUT, &source, &info), &info);
    check(engine_add_node_take(b->engine, &s->sink.stream, AUDIO_OUTPUT, &sink, &info), &info);
    (void)engine_add_link_take(b->engine, source, &config, sender, on_added, b);
    config.receiving = true;
    s->receive = engine_add_link_take(b->engine, sink, &config, receiver, on_added, b);
}

int main(int argc, char **argv) {
    struct bench b = {.n = argc > 1 ? atoi(argv[1]) : 20, .seconds = argc > 2 ? atoi(argv[2]) : 5, .memory = argc > 3};
    if (b.n < 1 || b.n > 500 || b.seconds < 1) {
        fprintf(stderr, "usage: engine-cpu [N [SECONDS [memory]]]\n");
        return 2;
    }
    struct err_info info;
    struct codec *codec = nullptr;
    check(loop_uv_create(&b.uv, &info), &info);
    check(roc_codec_create((struct log){}, &codec, &info), &info);
    struct engine_config config = {
        .clock = clock_system(), .loop = loop_uv_loop(b.uv), .codec = codec, .realtime = true};
    check(engine_create(&config, on_event, &b, &b.engine, &info), &info);
    b.before_kb = usage_private_kb();
    b.streams = calloc((size_t)b.n, sizeof *b.streams);
    for (int i = 0; i < b.n; i++)
        add_stream(&b, i);
    loop_uv_run(b.uv);
    engine_destroy(b.engine);
    codec->ops->close(codec);
    loop_uv_destroy(b.uv);
    for (int i = 0; i < b.n; i++)
        fake_sink_finish(&b.streams[i].sink);
    free(b.streams);
    return 0;
}
