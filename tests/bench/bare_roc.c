/* SPDX-License-Identifier: MPL-2.0 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <roc/config.h>
#include <roc/context.h>
#include <roc/log.h>
#include <roc/receiver_decoder.h>
#include <roc/sender_encoder.h>

/*
 * What libroc itself costs: N encoders and decoders in one process and one thread, packets passed from hand to hand, no
 * network and nothing of rocd. rocd's own cost per stream is judged against this figure.
 *
 *   bare-roc [N [SECONDS [TARGET_MS]]]      default 20, 5, 100; the settings are those rocd derives for that target
 *
 * Prints one line of JSON: CPU of one core in percent per stream (encoder, decoder, both), and memory per stream.
 */

constexpr int64_t TICK_NS = 5'000'000;
constexpr size_t RATE_HZ = 48000;
constexpr size_t FRAMES = 240;
constexpr size_t CHANNELS = 2;
constexpr int ENCODING = 100;

struct pair {
    roc_sender_encoder *encoder;
    roc_receiver_decoder *decoder;
};

struct settings {
    int n, seconds;
    int64_t target_ns;
    unsigned long long packet_ns;
    unsigned source_packets, repair_packets;
};

static const roc_interface INTERFACES[] = {ROC_INTERFACE_AUDIO_SOURCE, ROC_INTERFACE_AUDIO_REPAIR,
                                           ROC_INTERFACE_AUDIO_CONTROL};
static const roc_protocol PROTOCOLS[] = {ROC_PROTO_RTP_RS8M_SOURCE, ROC_PROTO_RS8M_REPAIR, ROC_PROTO_RTCP};

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
    for (int i = 0; i < 3; i++) {
        check(roc_sender_encoder_activate(pair->encoder, INTERFACES[i], PROTOCOLS[i]), "activating an encoder");
        check(roc_receiver_decoder_activate(pair->decoder, INTERFACES[i], PROTOCOLS[i]), "activating a decoder");
    }
}

/* The packets of one pair in one tick: taken out first and handed over afterwards, so that each side is timed alone. */
struct hand {
    struct {
        int iface;
        size_t len;
        uint8_t bytes[2048];
    } packets[64];
    size_t n;
};

static void encode(struct pair *pair, float *samples, struct hand *hand) {
    roc_frame frame = {samples, FRAMES * CHANNELS * sizeof *samples};
    check(roc_sender_encoder_push_frame(pair->encoder, &frame), "encoding");
    hand->n = 0;
    for (int i = 0; i < 3; i++)
        for (; hand->n < 64; hand->n++) {
            roc_packet packet = {hand->packets[hand->n].bytes, sizeof hand->packets[0].bytes};
            if (roc_sender_encoder_pop_packet(pair->encoder, INTERFACES[i], &packet) != 0)
                break;
            hand->packets[hand->n].iface = i;
            hand->packets[hand->n].len = packet.bytes_size;
        }
}

static void decode(struct pair *pair, float *samples, struct hand *hand) {
    for (size_t i = 0; i < hand->n; i++) {
        roc_packet packet = {hand->packets[i].bytes, hand->packets[i].len};
        check(roc_receiver_decoder_push_packet(pair->decoder, INTERFACES[hand->packets[i].iface], &packet), "decoding");
    }
    roc_frame frame = {samples, FRAMES * CHANNELS * sizeof *samples};
    check(roc_receiver_decoder_pop_frame(pair->decoder, &frame), "decoding");
    uint8_t bytes[2048];
    roc_packet feedback = {bytes, sizeof bytes};
    while (roc_receiver_decoder_pop_feedback_packet(pair->decoder, ROC_INTERFACE_AUDIO_CONTROL, &feedback) == 0) {
        check(roc_sender_encoder_push_feedback_packet(pair->encoder, ROC_INTERFACE_AUDIO_CONTROL, &feedback),
              "feeding back");
        feedback.bytes_size = sizeof bytes;
    }
}

static void sleep_until(int64_t ns) {
    struct timespec t = {ns / 1'000'000'000, ns % 1'000'000'000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr) != 0) {
    }
}

static long resident_kb(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

static void run(const struct settings *s, struct pair *pairs, long before_kb) {
    static float samples[FRAMES * CHANNELS];
    static struct hand hand;
    for (size_t i = 0; i < FRAMES * CHANNELS; i++)
        samples[i] = (float)(i % 97) / 97 - 0.5f;
    int64_t encode_ns = 0, decode_ns = 0, begin_cpu_ns = 0;
    int64_t start_ns = clock_ns(CLOCK_MONOTONIC);
    int64_t n_ticks = (int64_t)s->seconds * 1'000'000'000 / TICK_NS, n_warm = 1'000'000'000 / TICK_NS;
    for (int64_t tick = 0; tick < n_warm + n_ticks; tick++) {
        sleep_until(start_ns + tick * TICK_NS);
        if (tick == n_warm) {
            begin_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
            encode_ns = decode_ns = 0;
        }
        for (int i = 0; i < s->n; i++) {
            float out[FRAMES * CHANNELS];
            int64_t t0 = clock_ns(CLOCK_THREAD_CPUTIME_ID);
            encode(&pairs[i], samples, &hand);
            int64_t t1 = clock_ns(CLOCK_THREAD_CPUTIME_ID);
            decode(&pairs[i], out, &hand);
            decode_ns += clock_ns(CLOCK_THREAD_CPUTIME_ID) - t1;
            encode_ns += t1 - t0;
        }
    }
    double per_stream = 100.0 / (s->seconds * 1e9) / s->n;
    printf("{\"pairs\": %d, \"seconds\": %d, \"target_ms\": %d, \"cpu_percent_per_stream\": %.3f, "
           "\"encoder_percent\": %.3f, \"decoder_percent\": %.3f, \"kb_per_stream\": %.0f}\n",
           s->n, s->seconds, (int)(s->target_ns / 1'000'000),
           (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin_cpu_ns) * per_stream, (double)encode_ns * per_stream,
           (double)decode_ns * per_stream, (double)(resident_kb() - before_kb) / s->n);
}

static struct settings settings_from(int argc, char **argv) {
    int target_ms = argc > 3 ? atoi(argv[3]) : 100;
    bool low = target_ms < 100; /* as rocd: a block must be over before the target latency is */
    struct settings s = {
        .n = argc > 1 ? atoi(argv[1]) : 20,
        .seconds = argc > 2 ? atoi(argv[2]) : 5,
        .target_ns = target_ms * 1'000'000LL,
        .packet_ns = low ? 2'500'000 : 5'000'000,
        .source_packets = low ? 10 : 18,
        .repair_packets = low ? 5 : 10,
    };
    if (s.n < 1 || s.n > 1000 || s.seconds < 1 || target_ms < 20) {
        fprintf(stderr, "usage: bare-roc [N [SECONDS [TARGET_MS]]]\n");
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
    long before_kb = resident_kb();
    for (int i = 0; i < s.n; i++)
        open_pair(context, &s, &pairs[i]);
    run(&s, pairs, before_kb);
    for (int i = 0; i < s.n; i++) {
        roc_sender_encoder_close(pairs[i].encoder);
        roc_receiver_decoder_close(pairs[i].decoder);
    }
    roc_context_close(context);
    free(pairs);
    return 0;
}
