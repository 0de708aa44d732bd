/* SPDX-License-Identifier: MPL-2.0 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <roc/config.h>
#include <roc/context.h>
#include <roc/log.h>
#include <roc/receiver_decoder.h>
#include <roc/sender_encoder.h>

#include "bench/usage.h"

/*
 * What libroc itself costs: N encoders and decoders in one process and one thread, and nothing of rocd. rocd's own cost
 * per stream is judged against this figure.
 *
 *   bare-roc [N [SECONDS [TARGET_MS [udp|memory]]]]      default 20, 5, 100, udp
 *
 * udp: the packets travel over the loopback interface by the plainest means, a sendto() and a recvfrom() each, over one
 * socket of the sender and three of the receiver, all of them asked in every tick. memory: from hand to hand.
 * The settings are those rocd derives for that target.
 *
 * Prints one line of JSON: CPU of one core in percent per stream (encoding with sending, receiving with decoding, both),
 * frames lost after the start, and memory per stream. Lost are frames of silence, and all frames of a tick that begins later
 * than the target latency: sender and receiver share a thread here and fall behind together, so that libroc misses nothing,
 * but whoever listens does.
 */

constexpr int64_t TICK_NS = 5'000'000;
constexpr size_t RATE_HZ = 48000;
constexpr size_t FRAMES = 240;
constexpr size_t CHANNELS = 2;
constexpr int ENCODING = 100;
constexpr int N_IFACES = 3;
constexpr int CONTROL = 2;
constexpr int WARM_UP_S = 2;

static const roc_interface INTERFACES[] = {ROC_INTERFACE_AUDIO_SOURCE, ROC_INTERFACE_AUDIO_REPAIR,
                                           ROC_INTERFACE_AUDIO_CONTROL};
static const roc_protocol PROTOCOLS[] = {ROC_PROTO_RTP_RS8M_SOURCE, ROC_PROTO_RS8M_REPAIR, ROC_PROTO_RTCP};

struct wire_packet {
    int iface;
    size_t len;
    uint8_t bytes[2048];
};

/* The packets of one pair in one tick: two of the source, a block of repair packets, RTCP. */
struct hand {
    struct wire_packet packets[24];
    size_t n;
};

struct pair {
    roc_sender_encoder *encoder;
    roc_receiver_decoder *decoder;
    struct hand *hand; /* memory only; owned */
    int sender, receivers[N_IFACES];
    struct sockaddr_in to[N_IFACES], feedback_to;
};

struct settings {
    int n, seconds;
    bool udp;
    int64_t target_ns;
    unsigned long long packet_ns;
    unsigned source_packets, repair_packets;
};

static int64_t clock_ns(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

static void check(int result, const char *what) {
    if (result == 0)
        return;
    fprintf(stderr, "bare-roc: %s failed\n", what);
    exit(1);
}

/* ---- the network ---- */

static int open_socket(struct sockaddr_in *ret_address) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    *ret_address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof *ret_address;
    check(fd < 0 || bind(fd, (struct sockaddr *)ret_address, len) ||
              getsockname(fd, (struct sockaddr *)ret_address, &len),
          "opening a socket");
    return fd;
}

static void open_sockets(struct pair *pair) {
    pair->sender = open_socket(&pair->feedback_to);
    for (int i = 0; i < N_IFACES; i++)
        pair->receivers[i] = open_socket(&pair->to[i]);
}

static void send_to(int fd, const struct sockaddr_in *to, const void *bytes, size_t len) {
    check(sendto(fd, bytes, len, 0, (const struct sockaddr *)to, sizeof *to) < 0, "sending");
}

static size_t receive_from(int fd, uint8_t bytes[static 2048]) {
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    ssize_t got = recvfrom(fd, bytes, 2048, 0, (struct sockaddr *)&from, &len);
    return got > 0 ? (size_t)got : 0;
}

/* ---- one pair ---- */

static void open_pair(roc_context *context, const struct settings *s, struct pair *pair) {
    roc_media_encoding frames = {(unsigned)RATE_HZ, ROC_FORMAT_PCM_FLOAT32, ROC_CHANNEL_LAYOUT_STEREO, 0};
    roc_sender_config sender = {
        .frame_encoding = frames,
        .packet_encoding = (roc_packet_encoding)ENCODING,
        .packet_length = s->packet_ns,
        .fec_encoding = ROC_FEC_ENCODING_RS8M,
        .fec_block_source_packets = s->source_packets,
        .fec_block_repair_packets = s->repair_packets,
        .resampler_backend = ROC_RESAMPLER_BACKEND_SPEEX,
    };
    roc_receiver_config receiver = {
        .frame_encoding = frames,
        .target_latency = (unsigned long long)s->target_ns,
        .latency_tuner_profile = ROC_LATENCY_TUNER_PROFILE_GRADUAL,
        .resampler_backend = ROC_RESAMPLER_BACKEND_SPEEX,
        .resampler_profile = ROC_RESAMPLER_PROFILE_MEDIUM,
    };
    check(roc_sender_encoder_open(context, &sender, &pair->encoder), "opening an encoder");
    check(roc_receiver_decoder_open(context, &receiver, &pair->decoder), "opening a decoder");
    for (int i = 0; i < N_IFACES; i++) {
        check(roc_sender_encoder_activate(pair->encoder, INTERFACES[i], PROTOCOLS[i]), "activating an encoder");
        check(roc_receiver_decoder_activate(pair->decoder, INTERFACES[i], PROTOCOLS[i]), "activating a decoder");
    }
    if (s->udp)
        open_sockets(pair);
    else
        check(!(pair->hand = calloc(1, sizeof *pair->hand)), "allocating");
}

static void close_pair(struct pair *pair) {
    roc_sender_encoder_close(pair->encoder);
    roc_receiver_decoder_close(pair->decoder);
    if (pair->hand) {
        free(pair->hand);
        return;
    }
    close(pair->sender);
    for (int i = 0; i < N_IFACES; i++)
        close(pair->receivers[i]);
}

static void push_feedback(struct pair *pair, void *bytes, size_t len) {
    roc_packet packet = {bytes, len};
    check(roc_sender_encoder_push_feedback_packet(pair->encoder, ROC_INTERFACE_AUDIO_CONTROL, &packet), "feeding back");
}

static void push_packet(struct pair *pair, int iface, void *bytes, size_t len) {
    roc_packet packet = {bytes, len};
    check(roc_receiver_decoder_push_packet(pair->decoder, INTERFACES[iface], &packet), "decoding");
}

static void encode(struct pair *pair, float *samples) {
    uint8_t bytes[2048];
    if (!pair->hand)
        for (size_t len; (len = receive_from(pair->sender, bytes)) > 0;)
            push_feedback(pair, bytes, len);
    roc_frame frame = {samples, FRAMES * CHANNELS * sizeof *samples};
    check(roc_sender_encoder_push_frame(pair->encoder, &frame), "encoding");
    for (int i = 0; i < N_IFACES; i++)
        for (;;) {
            struct hand *hand = pair->hand;
            check(hand && hand->n == sizeof hand->packets / sizeof *hand->packets, "holding that many packets");
            roc_packet packet = {hand ? hand->packets[hand->n].bytes : bytes, sizeof bytes};
            if (roc_sender_encoder_pop_packet(pair->encoder, INTERFACES[i], &packet) != 0)
                break;
            if (!hand) {
                send_to(pair->sender, &pair->to[i], packet.bytes, packet.bytes_size);
                continue;
            }
            hand->packets[hand->n].iface = i;
            hand->packets[hand->n++].len = packet.bytes_size;
        }
}

static void take_packets(struct pair *pair) {
    uint8_t bytes[2048];
    if (!pair->hand) {
        for (int i = 0; i < N_IFACES; i++)
            for (size_t len; (len = receive_from(pair->receivers[i], bytes)) > 0;)
                push_packet(pair, i, bytes, len);
        return;
    }
    for (size_t i = 0; i < pair->hand->n; i++)
        push_packet(pair, pair->hand->packets[i].iface, pair->hand->packets[i].bytes, pair->hand->packets[i].len);
    pair->hand->n = 0;
}

static size_t decode(struct pair *pair, float *samples) {
    take_packets(pair);
    roc_frame frame = {samples, FRAMES * CHANNELS * sizeof *samples};
    check(roc_receiver_decoder_pop_frame(pair->decoder, &frame), "decoding");
    uint8_t bytes[2048];
    roc_packet feedback = {bytes, sizeof bytes};
    while (roc_receiver_decoder_pop_feedback_packet(pair->decoder, ROC_INTERFACE_AUDIO_CONTROL, &feedback) == 0) {
        if (pair->hand)
            push_feedback(pair, bytes, feedback.bytes_size);
        else
            send_to(pair->receivers[CONTROL], &pair->feedback_to, bytes, feedback.bytes_size);
        feedback.bytes_size = sizeof bytes;
    }
    size_t n_silent = 0;
    for (size_t i = 0; i < FRAMES; i++)
        n_silent += samples[i * CHANNELS] == 0;
    return n_silent;
}

/* ---- all of them ---- */

static void sleep_until(int64_t ns) {
    struct timespec t = {ns / 1'000'000'000, ns % 1'000'000'000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr) != 0) {
    }
}

static void run(const struct settings *s, struct pair *pairs, long before_kb) {
    static float samples[FRAMES * CHANNELS], out[FRAMES * CHANNELS];
    for (size_t i = 0; i < FRAMES * CHANNELS; i++)
        samples[i] = (float)(i % 97 + 1) / 98;
    int64_t encode_ns = 0, decode_ns = 0, begin_cpu_ns = 0;
    size_t lost_frames = 0;
    int64_t start_ns = clock_ns(CLOCK_MONOTONIC);
    int64_t n_ticks = s->seconds * 1'000'000'000LL / TICK_NS, n_warm = WARM_UP_S * 1'000'000'000LL / TICK_NS;
    for (int64_t tick = 0; tick < n_warm + n_ticks; tick++) {
        sleep_until(start_ns + tick * TICK_NS);
        if (tick == n_warm) {
            begin_cpu_ns = usage_cpu_ns();
            encode_ns = decode_ns = 0;
            lost_frames = 0;
        }
        if (tick >= n_warm && clock_ns(CLOCK_MONOTONIC) - (start_ns + tick * TICK_NS) > s->target_ns)
            lost_frames += (size_t)s->n * FRAMES;
        /* looked at twice a tick and no more: this clock costs a system call */
        int64_t t0 = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        for (int i = 0; i < s->n; i++)
            encode(&pairs[i], samples);
        int64_t t1 = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        for (int i = 0; i < s->n; i++)
            lost_frames += decode(&pairs[i], out);
        decode_ns += clock_ns(CLOCK_THREAD_CPUTIME_ID) - t1;
        encode_ns += t1 - t0;
    }
    double cpu_ns = (double)(usage_cpu_ns() - begin_cpu_ns);
    double per_stream = 100.0 / ((double)s->seconds * 1e9) / s->n;
    printf("{\"streams\": %d, \"seconds\": %d, \"target_ms\": %d, \"path\": \"%s\", \"cpu_percent_per_stream\": %.4f, "
           "\"encoder_percent\": %.4f, \"decoder_percent\": %.4f, \"lost_frames\": %zu, \"kb_per_stream\": %.1f}\n",
           s->n, s->seconds, (int)(s->target_ns / 1'000'000), s->udp ? "udp" : "memory", cpu_ns * per_stream,
           (double)encode_ns * per_stream, (double)decode_ns * per_stream, lost_frames,
           (double)(usage_private_kb() - before_kb) / s->n);
}

static struct settings settings_from(int argc, char **argv) {
    int target_ms = argc > 3 ? atoi(argv[3]) : 100;
    bool low = target_ms < 100; /* as rocd: a block must be over before the target latency is */
    struct settings s = {
        .n = argc > 1 ? atoi(argv[1]) : 20,
        .seconds = argc > 2 ? atoi(argv[2]) : 5,
        .udp = argc <= 4 || strcmp(argv[4], "udp") == 0,
        .target_ns = target_ms * 1'000'000LL,
        .packet_ns = low ? 2'500'000 : 5'000'000,
        .source_packets = low ? 10 : 18,
        .repair_packets = low ? 7 : 10,
    };
    if (s.n < 1 || s.n > 1000 || s.seconds < 1 || target_ms < 20 || (!s.udp && strcmp(argv[4], "memory") != 0)) {
        fprintf(stderr, "usage: bare-roc [N [SECONDS [TARGET_MS [udp|memory]]]]\n");
        exit(2);
    }
    return s;
}

int main(int argc, char **argv) {
    struct settings s = settings_from(argc, argv);
    struct pair *pairs = calloc((size_t)s.n, sizeof *pairs);
    if (!pairs)
        return 1;
    roc_log_set_level(ROC_LOG_ERROR);
    roc_context_config config = {};
    roc_context *context;
    check(roc_context_open(&config, &context), "opening libroc");
    roc_media_encoding wire = {(unsigned)RATE_HZ, ROC_FORMAT_PCM_FLOAT32, ROC_CHANNEL_LAYOUT_STEREO, 0};
    check(roc_context_register_encoding(context, ENCODING, &wire), "registering the encoding");
    long before_kb = usage_private_kb();
    for (int i = 0; i < s.n; i++)
        open_pair(context, &s, &pairs[i]);
    run(&s, pairs, before_kb);
    for (int i = 0; i < s.n; i++)
        close_pair(&pairs[i]);
    roc_context_close(context);
    free(pairs);
    return 0;
}
