/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/loop_uv.h"
#include "bench/usage.h"
#include "media/engine.h"
#include "support/fake_audio.h"
#include "transport/seal/seal.h"
#include "transport/sealed.h"

/*
 * What the media engine costs: N streams from a source over UDP on the loopback interface to a sink, in one process.
 * To be compared with bare-roc, which has the same settings and no engine.
 *
 *   engine-cpu [N [SECONDS [PATH]]]      default 20, 5, udp
 *
 * PATH: "udp", Roc's three ports; "memory"; "mixed", the same with one sink for all; "sealed", as between peers: two media
 * ports, sealed datagrams. "fan", one source whose packets go to N sockets that nobody reads, by one encoder; "fan-own", the same with
 * an encoder for each.
 *
 * Prints one line of JSON: CPU of one core in percent per stream, lost frames, memory per stream; and for sealed paths the
 * part of that CPU that closing and opening seals takes, measured on as many datagrams of that size right after the run.
 */
constexpr int STREAMS_MAX = 500;
enum way { WAY_UDP, WAY_MEMORY, WAY_MIXED, WAY_SEALED, WAY_FAN, WAY_FAN_OWN, N_WAYS };
static const char *const ways[] = {"udp", "memory", "mixed", "sealed", "fan", "fan-own"};

struct stream {
    struct fake_source source;
    struct fake_sink sink;
    uint32_t receive;
    struct path *paths[2];
};

struct bench {
    struct loop_uv *uv;
    struct engine *engine;
    struct stream *streams;
    int n, seconds, n_started;
    uint32_t sink;   /* of the last stream */
    uint32_t source; /* of the first, where all have one */
    enum way way;
    struct media_port *ports[2]; /* of the sending and the receiving end */
    struct loop_timer timer;
    long before_kb;
    int64_t begin_ns, begin_cpu_ns;
    uint64_t begin_packets, begin_bytes;
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

static void count_packets(const struct bench *b, uint64_t *ret_packets, uint64_t *ret_bytes) {
    *ret_packets = *ret_bytes = 0;
    for (int i = 0; i < 2 * b->n; i++) {
        const struct path_counters *counters = &b->streams[i / 2].paths[i % 2]->counters;
        *ret_packets += atomic_load(&counters->packets_sent);
        *ret_bytes += atomic_load(&counters->bytes_sent);
    }
}

static double thread_cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* CPU time of closing and opening n datagrams of that many bytes, of as many links as there are. */
static double seal_ns(const struct bench *b, uint64_t n, size_t len) {
    static uint8_t payload[PACKET_MAX], datagram[PACKET_MAX], opened[PACKET_MAX];
    static struct seal_out out[STREAMS_MAX];
    static struct seal_in in[STREAMS_MAX];
    uint8_t key[CRYPTO_DERIVED_SIZE];
    for (int i = 0; i < b->n; i++) {
        crypto_random(key, sizeof key);
        seal_out_init(&out[i], key, 1);
        seal_in_init(&in[i], key);
    }
    double begin_ns = thread_cpu_ns();
    uint64_t n_opened = 0;
    for (uint64_t i = 0; i < n; i++) {
        size_t size = seal_close(&out[i % (uint64_t)b->n], SEAL_SOURCE, payload, len - SEAL_OVERHEAD, datagram);
        n_opened += seal_open(&in[i % (uint64_t)b->n], datagram, size, opened) == SEAL_OPENED_NEWEST;
    }
    double ns = thread_cpu_ns() - begin_ns;
    if (n_opened != n)
        fprintf(stderr, "engine-cpu: a seal does not open\n");
    return ns;
}

static void report(void *arg) {
    struct bench *b = arg;
    double seal_percent = 0;
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
    double kb = (double)(usage_private_kb() - b->before_kb) / b->n;
    uint64_t packets, bytes;
    count_packets(b, &packets, &bytes);
    packets -= b->begin_packets;
    bytes -= b->begin_bytes;
    if (b->way == WAY_SEALED)
        seal_percent = 100 * seal_ns(b, packets, bytes / packets) / wall / b->n;
    printf(
        "{\"streams\": %d, \"seconds\": %d, \"path\": \"%s\", \"cpu_percent_per_stream\": %.4f, \"lost_frames\": %llu, "
        "\"packets_lost\": %llu, \"kb_per_stream\": %.1f, \"seal_percent_per_stream\": %.4f}\n",
        b->n, b->seconds, ways[b->way], 100 * cpu / wall / b->n, lost, packets_lost, kb, seal_percent);
    loop_uv_stop(b->uv);
}

static void begin(void *arg) {
    struct bench *b = arg;
    b->begin_ns = clock_now_ns(clock_system());
    b->begin_cpu_ns = usage_cpu_ns();
    count_packets(b, &b->begin_packets, &b->begin_bytes);
    b->timer.fire = report;
    loop_timer_start(loop_uv_loop(b->uv), &b->timer, b->seconds * NS_PER_S);
}

static bool is_fan(const struct bench *b) {
    return b->way == WAY_FAN || b->way == WAY_FAN_OWN;
}

/* Two seconds after the last stream has started, so that all of them are settled. */
static void on_event(void *arg, const struct engine_event *event) {
    struct bench *b = arg;
    if (event->kind == ENGINE_LINK_STARTED && ++b->n_started == (is_fan(b) ? 1 : 2) * b->n) {
        b->timer = (struct loop_timer){.fire = begin, .arg = b};
        loop_timer_start(loop_uv_loop(b->uv), &b->timer, 2 * NS_PER_S);
    }
}

static void open_ports(struct bench *b) {
    struct err_info info;
    struct media_port_config config = {.address = "127.0.0.1", .realtime = true};
    for (int i = 0; i < 2 && b->way == WAY_SEALED; i++)
        check(media_port_open(&config, &b->ports[i], &info), &info);
}

static void open_sealed(struct bench *b, struct path **sender, struct path **receiver) {
    struct err_info info;
    struct path_sealed_config config = {.port = b->ports[1]};
    uint32_t links[] = {media_port_reserve_link(b->ports[0]), media_port_reserve_link(b->ports[1])};
    crypto_random(&config.keys, sizeof config.keys);
    config.own_link = links[1];
    config.other_link = links[0];
    check(path_sealed_open(&config, receiver, &info), &info);
    config.port = b->ports[0];
    config.sending = true;
    config.own_link = links[0];
    config.other_link = links[1];
    check(path_address_resolve("127.0.0.1", media_port_number(b->ports[1]), &config.remote, &info), &info);
    check(path_sealed_open(&config, sender, &info), &info);
}

static void open_paths(struct bench *b, struct path **sender, struct path **receiver) {
    struct err_info info;
    if (b->way == WAY_SEALED) {
        open_sealed(b, sender, receiver);
        return;
    }
    if (b->way == WAY_MEMORY || b->way == WAY_MIXED) {
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

/* The same over and over, as bare-roc has it: what it costs to make sound is not to be measured. */
constexpr size_t TABLE_FRAMES = 480;
static float table[TABLE_FRAMES][2];

static void fill_table(void) {
    for (size_t i = 0; i < TABLE_FRAMES; i++)
        table[i][0] = table[i][1] = (float)(i % 97 + 1) / 98;
}

static size_t read_table(struct audio_stream *, float *frames, size_t n) {
    for (size_t at = 0; at < n; at += TABLE_FRAMES)
        memcpy(frames + at * 2, table, (n - at < TABLE_FRAMES ? n - at : TABLE_FRAMES) * sizeof *table);
    return n;
}

static void open_source(struct fake_source *source) {
    static struct audio_stream_ops ops;
    fake_source_init(source, 48000, 2, fake_square);
    ops = *source->stream.ops;
    ops.read = read_table;
    source->stream.ops = &ops;
}

static void add_stream(struct bench *b, int number) {
    struct stream *s = &b->streams[number];
    struct err_info info;
    open_source(&s->source);
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
        .gate = {.trusted_path = b->way != WAY_UDP},
        .start_delay_ns = (number % 4) * 5 * NS_PER_MS,
    };
    struct path *sender = nullptr, *receiver = nullptr;
    open_paths(b, &sender, &receiver);
    s->paths[0] = sender;
    s->paths[1] = receiver;
    if (is_fan(b)) {
        if (!b->source)
            check(engine_add_node_take(b->engine, &s->source.stream, AUDIO_INPUT, &b->source, &info), &info);
        config.may_share = b->way == WAY_FAN;
        (void)engine_add_link_take(b->engine, b->source, &config, sender, on_added, b);
        return;
    }
    uint32_t source = 0, sink = b->way == WAY_MIXED ? b->sink : 0;
    check(engine_add_node_take(b->engine, &s->source.stream, AUDIO_INPUT, &source, &info), &info);
    if (!sink)
        check(engine_add_node_take(b->engine, &s->sink.stream, AUDIO_OUTPUT, &sink, &info), &info);
    b->sink = sink;
    (void)engine_add_link_take(b->engine, source, &config, sender, on_added, b);
    config.receiving = true;
    s->receive = engine_add_link_take(b->engine, sink, &config, receiver, on_added, b);
}

int main(int argc, char **argv) {
    struct bench b = {.n = argc > 1 ? atoi(argv[1]) : 20, .seconds = argc > 2 ? atoi(argv[2]) : 5};
    while (argc > 3 && b.way < N_WAYS && strcmp(argv[3], ways[b.way]) != 0)
        b.way++;
    if (b.n < 1 || b.n > STREAMS_MAX || b.seconds < 1 || b.way == N_WAYS) {
        fprintf(stderr, "usage: engine-cpu [N [SECONDS [udp|memory|mixed|sealed|fan|fan-own]]]\n");
        return 2;
    }
    struct err_info info;
    struct codec *codec = nullptr;
    check(crypto_init(&info), &info);
    check(loop_uv_create(&b.uv, &info), &info);
    check(roc_codec_create((struct log){}, &codec, &info), &info);
    struct engine_config config = {
        .clock = clock_system(), .loop = loop_uv_loop(b.uv), .codec = codec, .realtime = true};
    check(engine_create(&config, on_event, &b, &b.engine, &info), &info);
    fill_table();
    b.before_kb = usage_private_kb();
    open_ports(&b);
    b.streams = calloc((size_t)b.n, sizeof *b.streams);
    for (int i = 0; i < b.n; i++)
        add_stream(&b, i);
    loop_uv_run(b.uv);
    engine_destroy(b.engine);
    for (int i = 0; is_fan(&b) && i < b.n; i++)
        b.streams[i].paths[1]->ops->close(b.streams[i].paths[1]);
    for (int i = 0; i < 2; i++)
        media_port_close(b.ports[i]);
    codec->ops->close(codec);
    loop_uv_destroy(b.uv);
    for (int i = 0; i < b.n; i++)
        fake_sink_finish(&b.streams[i].sink);
    free(b.streams);
    return 0;
}
